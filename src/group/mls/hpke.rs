//! What is sealed to one member outside MLS: knocks, petitions, and the keys of the door, so that only whoever
//! answers learns who asks (RFC 9180, SPEC sections 6.4, 7.7 and 7.9).

use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    crypto::OpenMlsCrypto,
    types::{HpkeAeadType, HpkeCiphertext, HpkeConfig, HpkeKdfType, HpkeKemType},
};

use super::Failure;
use crate::{group::codec::Writer, id::MemberId, keys::secret::Secret};

/// The public half: of the join key, in every invite of a room, or of a door key.
#[derive(Clone, Copy)]
pub(crate) struct JoinKey(pub(crate) [u8; JOIN_KEY_LEN]);

/// What is sealed. Nothing that was sealed for one purpose opens for another.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Knock,
    Petition,
    Door,
}

/// The private half, with whoever opens.
pub(crate) struct JoinSecret {
    /// What it is derived from, so that it can be handed on.
    ikm: Secret,
    private: Secret,
    public: JoinKey,
    crypto: RustCrypto,
}

/// Something sealed to a key.
pub(crate) struct Sealed {
    pub(crate) kem_output: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
}

impl JoinSecret {
    /// Derives the pair from 32 random bytes (RFC 9180 section 7.1.3).
    pub(crate) fn derive(ikm: &Secret) -> Result<Self, Failure> {
        let crypto = RustCrypto::default();
        let pair = crypto.derive_hpke_keypair(config(), ikm.bytes()).map_err(Failure::of)?;
        let public = JoinKey(pair.public.as_slice().try_into().map_err(Failure::of)?);
        let private = Secret::filled(pair.private.len(), |out| out.copy_from_slice(&pair.private));
        let ikm = Secret::filled(ikm.bytes().len(), |out| out.copy_from_slice(ikm.bytes()));
        Ok(Self { ikm, private, public, crypto })
    }

    pub(crate) fn ikm(&self) -> &[u8] {
        self.ikm.bytes()
    }

    pub(crate) fn public(&self) -> JoinKey {
        self.public
    }

    /// What was sealed to this key, for this purpose and with this `aad`.
    pub(crate) fn open(
        &self,
        purpose: Purpose,
        kem_output: &[u8],
        sealed: &[u8],
        aad: &[u8],
    ) -> Option<Vec<u8>> {
        let input = HpkeCiphertext { kem_output: kem_output.into(), ciphertext: sealed.into() };
        self.crypto.hpke_open(config(), &input, self.private.bytes(), purpose.info(), aad).ok()
    }
}

impl JoinKey {
    pub(crate) fn seal(&self, purpose: Purpose, plain: &[u8], aad: &[u8]) -> Result<Sealed, Failure> {
        let sealed = RustCrypto::default()
            .hpke_seal(config(), &self.0, purpose.info(), aad, plain)
            .map_err(Failure::of)?;
        Ok(Sealed {
            kem_output: sealed.kem_output.as_slice().to_vec(),
            sealed: sealed.ciphertext.as_slice().to_vec(),
        })
    }
}

/// What binds a sealed KeyPackage to one invite of one room.
pub(crate) fn knock_aad(group_id: &[u8], invite: &[u8; 16], reference: &[u8; 32]) -> Vec<u8> {
    Writer::new().vec8(group_id).bytes(invite).bytes(reference).finish()
}

/// What binds a petition to one keeper of one room.
pub(crate) fn petition_aad(group_id: &[u8], door_key: &[u8; 32], reference: &[u8; 32]) -> Vec<u8> {
    Writer::new().vec8(group_id).bytes(door_key).bytes(reference).finish()
}

/// What binds the keys of the door to whom they are for.
pub(crate) fn door_aad(group_id: &[u8], from: MemberId, to: MemberId) -> Vec<u8> {
    Writer::new().vec8(group_id).bytes(from.as_bytes()).bytes(to.as_bytes()).finish()
}

impl Purpose {
    fn info(self) -> &'static [u8] {
        match self {
            Self::Knock => b"sottovoce 1 knock",
            Self::Petition => b"sottovoce 1 petition",
            Self::Door => b"sottovoce 1 door",
        }
    }
}

fn config() -> HpkeConfig {
    HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128)
}

pub(crate) const JOIN_KEY_LEN: usize = 32;
