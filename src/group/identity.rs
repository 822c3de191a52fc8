//! Who somebody is, beyond one room: a long-term key and a name (SPEC section 6.1).
//!
//! ```text
//! identity key > fingerprint = MemberId
//!      | signs (group, leaf key, name)
//! credential of one leaf in one room
//! ```

use std::fmt;

use super::{
    codec::{Malformed, Reader, Writer},
    signing::{self, SigningKey},
};
use crate::{
    id::MemberId,
    keys::{derive::sha256, secret::Secret},
};

/// A person's or bot's long-term key with the name it shows.
///
/// Store the seed wherever the application keeps secrets; the same seed is the same [`MemberId`] in
/// every room. The key signs credentials and what has to outlive branches: bans, heartbeats, refusals; it is never a
/// leaf of an MLS tree. Wiped on drop. SPEC section 6.1.
pub struct Identity {
    key: SigningKey,
    name: Name,
}

impl Identity {
    /// Makes the identity of a seed of 32 secret random bytes.
    pub fn from_seed(seed: [u8; 32], name: Name) -> Self {
        Self { key: SigningKey::from_seed(seed), name }
    }

    /// The fingerprint that others see in the roster.
    pub fn id(&self) -> MemberId {
        fingerprint(self.key.public())
    }

    /// The name that others see in the roster.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What the identity is made of, for a store.
    pub(crate) fn seed(&self) -> &Secret {
        self.key.seed()
    }

    pub(crate) fn rename(&mut self, name: Name) {
        self.name = name;
    }

    pub(crate) fn public(&self) -> &[u8; 32] {
        self.key.public()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message)
    }

    /// The credential of a leaf key of this identity in one group.
    pub(crate) fn credential(&self, group_id: &[u8], leaf_key: &[u8; 32]) -> Credential {
        let signature = self.key.sign(&signed_content(group_id, leaf_key, &self.name));
        Credential { key: *self.key.public(), name: self.name.clone(), signature }
    }
}

/// Neither key nor name: a log line must not tell who was there.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// A name to show: 1 to 64 bytes of UTF-8 without control or text-direction characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(String);

impl Name {
    /// Takes a name as somebody typed it.
    ///
    /// # Errors
    /// [`NameError`] if it is empty, longer than 64 bytes, or has a character that controls the display.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        if name
            .chars()
            .any(|c| c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'))
        {
            return Err(NameError::Control);
        }
        Ok(Self(name.to_owned()))
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
        Self::new(text).map_err(|_| Malformed)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why some text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// There is no text.
    Empty,
    /// It has more than 64 bytes of UTF-8.
    TooLong,
    /// It has a control character, or one that turns the direction of text: both reshape what a roster shows.
    Control,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a name must not be empty",
            Self::TooLong => "a name has at most 64 bytes",
            Self::Control => "a name must not have control characters",
        })
    }
}

impl std::error::Error for NameError {}

/// What an identity says about one leaf of one group: the content of the MLS basic credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) key: [u8; 32],
    pub(crate) name: Name,
    signature: [u8; 64],
}

impl Credential {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new()
            .u8(VERSION)
            .bytes(&self.key)
            .vec8(self.name.as_str().as_bytes())
            .bytes(&self.signature)
            .finish()
    }

    /// Parses a credential and checks that its identity vouches for `leaf_key` in this group.
    pub(crate) fn verify(bytes: &[u8], group_id: &[u8], leaf_key: &[u8]) -> Result<Self, CredentialError> {
        let credential = Self::decode(bytes).map_err(|_| CredentialError::Malformed)?;
        let leaf_key = <&[u8; 32]>::try_from(leaf_key).map_err(|_| CredentialError::Malformed)?;
        if credential.key == *leaf_key {
            return Err(CredentialError::IdentityAsLeaf);
        }
        let content = signed_content(group_id, leaf_key, &credential.name);
        signing::verify(&credential.key, &content, &credential.signature)
            .map_err(|_| CredentialError::Forged)?;
        Ok(credential)
    }

    pub(crate) fn member(&self) -> MemberId {
        fingerprint(&self.key)
    }

    /// Parses a credential that was verified before.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let key = reader.array()?;
        let name = Name::decode(reader.vec8(MAX_NAME)?)?;
        let signature = reader.array()?;
        reader.finish()?;
        Ok(Self { key, name, signature })
    }
}

/// Why a leaf's credential is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialError {
    /// It is not in the form of SPEC section 6.2.
    Malformed,
    /// The identity's signature over group, leaf key and name does not hold.
    Forged,
    /// The identity key is used as the leaf key.
    IdentityAsLeaf,
}

/// `SHA-256("sottovoce 1 identity" || key)`.
pub(crate) fn fingerprint(key: &[u8; 32]) -> MemberId {
    MemberId::from_bytes(sha256(&[b"sottovoce 1 identity", key]))
}

fn signed_content(group_id: &[u8], leaf_key: &[u8; 32], name: &Name) -> Vec<u8> {
    Writer::new()
        .bytes(b"sottovoce 1 credential")
        .vec8(group_id)
        .bytes(leaf_key)
        .vec8(name.as_str().as_bytes())
        .finish()
}

pub(crate) const MAX_NAME: usize = 64;
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn credential() -> (Identity, [u8; 32], Vec<u8>) {
        let identity = Identity::from_seed([7; 32], Name::new("Ada").unwrap());
        let leaf = *SigningKey::from_seed([8; 32]).public();
        let bytes = identity.credential(b"group", &leaf).encode();
        (identity, leaf, bytes)
    }

    #[test]
    fn a_credential_is_believed_for_its_own_leaf_and_group_only() {
        let (identity, leaf, bytes) = credential();
        let believed = Credential::verify(&bytes, b"group", &leaf).unwrap();
        assert_eq!(believed.member(), identity.id());
        assert_eq!(believed.name.as_str(), "Ada");
        assert_eq!(Credential::verify(&bytes, b"other", &leaf), Err(CredentialError::Forged));
        assert_eq!(Credential::verify(&bytes, b"group", &[9; 32]), Err(CredentialError::Forged));
        assert_eq!(Credential::verify(&bytes, b"group", &leaf[1..]), Err(CredentialError::Malformed));
        assert_eq!(
            Credential::verify(&bytes, b"group", identity.public()),
            Err(CredentialError::IdentityAsLeaf)
        );
    }

    #[test]
    fn every_altered_or_shortened_credential_is_refused() {
        let (_, leaf, bytes) = credential();
        for at in 0..bytes.len() {
            assert!(Credential::verify(&bytes[..at], b"group", &leaf).is_err());
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert!(Credential::verify(&altered, b"group", &leaf).is_err(), "byte {at}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Credential::verify(&longer, b"group", &leaf), Err(CredentialError::Malformed));
    }

    #[test]
    fn names_are_bounded() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new(&"x".repeat(65)), Err(NameError::TooLong));
        assert_eq!(Name::new("a\nb"), Err(NameError::Control));
        assert_eq!(Name::new("a\u{202E}b"), Err(NameError::Control));
        assert!(Name::new(&"é".repeat(32)).is_ok());
    }

    #[test]
    fn debug_names_nobody() {
        let (identity, ..) = credential();
        assert_eq!(format!("{identity:?}"), "Identity(..)");
    }
}
