//! The credential of a leaf: how an identity vouches for a leaf key in one room (SPEC section
//! 14.10).
//!
//! ```text
//! version 2 u8 | identity key [32] | name <8> | made ms u64 | signature [64]
//! signed: "sottovoce 2 leaf" | group_id [32] | leaf key [32] | name <8> | made ms u64
//! ```

use crate::keys::ed25519;
use crate::{
    group::{
        CredentialError, Identity, Name,
        codec::{Malformed, Reader, Writer},
        identity::{MAX_NAME, fingerprint},
    },
    id::{IdentityKey, MemberId},
};

/// What an identity says about one leaf of one room: the content of the MLS basic credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) key: IdentityKey,
    pub(crate) name: Name,
    /// When the leaf was made, in milliseconds since 1970.
    pub(crate) made_ms: u64,
    signature: [u8; 64],
}

impl Credential {
    /// Signs with `identity` that `leaf_key` is its leaf key in this room, since `made_ms`.
    pub(crate) fn issue(identity: &Identity, group_id: &[u8; 32], leaf_key: &[u8; 32], made_ms: u64) -> Self {
        let name = identity.name().clone();
        let signature = identity.sign(&signed_content(group_id, leaf_key, &name, made_ms));
        Self { key: IdentityKey::from_bytes(*identity.public()), name, made_ms, signature }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new()
            .u8(VERSION)
            .bytes(self.key.as_bytes())
            .vec8(self.name.as_str().as_bytes())
            .u64(self.made_ms)
            .bytes(&self.signature)
            .finish()
    }

    /// Parses a credential, and checks that its identity vouches for `leaf_key` in this room.
    pub(crate) fn verify(
        bytes: &[u8],
        group_id: &[u8; 32],
        leaf_key: &[u8],
    ) -> Result<Self, CredentialError> {
        let credential = Self::decode(bytes).map_err(|Malformed| CredentialError::Malformed)?;
        let leaf_key = <&[u8; 32]>::try_from(leaf_key).map_err(|_| CredentialError::Malformed)?;
        if credential.key.as_bytes() == leaf_key {
            return Err(CredentialError::IdentityAsLeaf);
        }
        let content = signed_content(group_id, leaf_key, &credential.name, credential.made_ms);
        ed25519::verify(credential.key.as_bytes(), &content, &credential.signature)
            .map_err(|_| CredentialError::Forged)?;
        Ok(credential)
    }

    /// Parses a credential whose signature was verified when the leaf came into the tree.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let key = IdentityKey::from_bytes(reader.array()?);
        let name = Name::decode(reader.vec8(MAX_NAME)?)?;
        let (made_ms, signature) = (reader.u64()?, reader.array()?);
        reader.finish()?;
        Ok(Self { key, name, made_ms, signature })
    }

    /// The fingerprint of the identity.
    pub(crate) fn id(&self) -> MemberId {
        fingerprint(self.key.as_bytes())
    }
}

fn signed_content(group_id: &[u8; 32], leaf_key: &[u8; 32], name: &Name, made_ms: u64) -> Vec<u8> {
    Writer::new()
        .bytes(b"sottovoce 2 leaf")
        .bytes(group_id)
        .bytes(leaf_key)
        .vec8(name.as_str().as_bytes())
        .u64(made_ms)
        .finish()
}

const VERSION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Seed, group::signing::SigningKey};

    fn credential() -> (Identity, [u8; 32], Vec<u8>) {
        let identity = Identity::from_seed([7; 32], Name::new("Ada").unwrap());
        let leaf = *SigningKey::from_seed(Seed::from_bytes(&mut [8; 32])).public();
        let bytes = Credential::issue(&identity, &[1; 32], &leaf, 1234).encode();
        (identity, leaf, bytes)
    }

    #[test]
    fn a_credential_holds_for_its_own_leaf_and_room_only() {
        let (identity, leaf, bytes) = credential();
        let believed = Credential::verify(&bytes, &[1; 32], &leaf).unwrap();
        assert_eq!(believed.id(), identity.id());
        assert_eq!(believed.name.as_str(), "Ada");
        assert_eq!(believed.made_ms, 1234);
        assert_eq!(Credential::verify(&bytes, &[2; 32], &leaf), Err(CredentialError::Forged));
        assert_eq!(Credential::verify(&bytes, &[1; 32], &[9; 32]), Err(CredentialError::Forged));
        assert_eq!(Credential::verify(&bytes, &[1; 32], &leaf[1..]), Err(CredentialError::Malformed));
        assert_eq!(
            Credential::verify(&bytes, &[1; 32], identity.public()),
            Err(CredentialError::IdentityAsLeaf)
        );
    }

    #[test]
    fn every_altered_or_shortened_credential_is_refused() {
        let (_, leaf, bytes) = credential();
        for at in 0..bytes.len() {
            assert!(Credential::verify(&bytes[..at], &[1; 32], &leaf).is_err(), "{at} bytes");
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert!(Credential::verify(&altered, &[1; 32], &leaf).is_err(), "byte {at}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Credential::verify(&longer, &[1; 32], &leaf), Err(CredentialError::Malformed));
    }
}
