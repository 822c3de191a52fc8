//! The join key: what a knock is sealed to, so that only the host learns who knocks (RFC 9180, SPEC
//! section 6.4).

use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    crypto::OpenMlsCrypto,
    types::{HpkeAeadType, HpkeCiphertext, HpkeConfig, HpkeKdfType, HpkeKemType},
};

use super::Failure;
use crate::{group::codec::Writer, keys::secret::Secret};

/// The public half, in every invite of a room.
#[derive(Clone, Copy)]
pub(crate) struct JoinKey(pub(crate) [u8; JOIN_KEY_LEN]);

/// The private half, with the host.
pub(crate) struct JoinSecret {
    private: Secret,
    public: JoinKey,
    crypto: RustCrypto,
}

/// A KeyPackage sealed to a join key.
pub(crate) struct SealedKnock {
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
        Ok(Self { private, public, crypto })
    }

    pub(crate) fn public(&self) -> JoinKey {
        self.public
    }

    /// The KeyPackage of a knock, if it was sealed for this room and invite.
    pub(crate) fn open(&self, kem_output: &[u8], sealed: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let input = HpkeCiphertext { kem_output: kem_output.into(), ciphertext: sealed.into() };
        self.crypto.hpke_open(config(), &input, self.private.bytes(), INFO, aad).ok()
    }
}

impl JoinKey {
    pub(crate) fn seal(&self, key_package: &[u8], aad: &[u8]) -> Result<SealedKnock, Failure> {
        let sealed = RustCrypto::default()
            .hpke_seal(config(), &self.0, INFO, aad, key_package)
            .map_err(Failure::of)?;
        Ok(SealedKnock {
            kem_output: sealed.kem_output.as_slice().to_vec(),
            sealed: sealed.ciphertext.as_slice().to_vec(),
        })
    }
}

/// What binds a sealed KeyPackage to one invite of one room.
pub(crate) fn knock_aad(group_id: &[u8], invite: &[u8; 16], reference: &[u8; 32]) -> Vec<u8> {
    Writer::new().vec8(group_id).bytes(invite).bytes(reference).finish()
}

fn config() -> HpkeConfig {
    HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128)
}

pub(crate) const JOIN_KEY_LEN: usize = 32;
const INFO: &[u8] = b"sottovoce 1 knock";
