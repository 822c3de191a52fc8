//! The moderation key: what a report is sealed to, so that nobody else reads it (RFC 9180, SPEC
//! section 12.3).

use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    crypto::OpenMlsCrypto,
    types::{HpkeAeadType, HpkeCiphertext, HpkeConfig, HpkeKdfType, HpkeKemType},
};

use super::Failure;
use crate::keys::secret::Secret;

/// The private half of a moderation key, and the public one.
pub(crate) struct Pair {
    private: Secret,
    pub(crate) public: [u8; 32],
}

impl Pair {
    /// Derives the pair from 32 random bytes (RFC 9180 section 7.1.3).
    pub(crate) fn derive(ikm: &Secret) -> Result<Self, Failure> {
        let pair = RustCrypto::default().derive_hpke_keypair(config(), ikm.bytes()).map_err(Failure::of)?;
        let public = pair.public.as_slice().try_into().map_err(Failure::of)?;
        let private = Secret::filled(pair.private.len(), |out| out.copy_from_slice(&pair.private));
        Ok(Self { private, public })
    }

    /// The report in a sealed one: `enc`, then the ciphertext.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Secret> {
        let (enc, ciphertext) = sealed.split_at_checked(ENC)?;
        let input = HpkeCiphertext { kem_output: enc.into(), ciphertext: ciphertext.into() };
        let opened = RustCrypto::default().hpke_open(config(), &input, self.private.bytes(), INFO, &[]);
        opened.ok().map(Secret::wrap)
    }
}

/// Seals a report to the public half: `enc`, then the ciphertext.
pub(crate) fn seal(public: &[u8; 32], report: &[u8]) -> Result<Vec<u8>, Failure> {
    let sealed = RustCrypto::default().hpke_seal(config(), public, INFO, &[], report).map_err(Failure::of)?;
    Ok([sealed.kem_output.as_slice(), sealed.ciphertext.as_slice()].concat())
}

fn config() -> HpkeConfig {
    HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128)
}

/// Bytes of an encapsulated key.
pub(crate) const ENC: usize = 32;
const INFO: &[u8] = b"sottovoce 1 report";
