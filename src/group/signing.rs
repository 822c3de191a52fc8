//! Ed25519 for identities and leaves (RFC 8032, SPEC section 6.1). Speaker keys are in `keys`.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroize;

use crate::keys::secret::Secret;

/// A private Ed25519 key, kept as its seed so that it can be wiped.
///
/// Expanding the seed at each signature costs microseconds, on a path that signs a few times a minute.
pub(crate) struct SigningKey {
    seed: Secret,
    public: [u8; 32],
}

impl SigningKey {
    pub(crate) fn from_seed(mut seed: [u8; 32]) -> Self {
        let kept = Secret::filled(seed.len(), |out| out.copy_from_slice(&seed));
        seed.zeroize();
        let mut public = [0; 32];
        public.copy_from_slice(expand(&kept).public_key().as_ref());
        Self { seed: kept, public }
    }

    pub(crate) fn seed(&self) -> &Secret {
        &self.seed
    }

    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(expand(&self.seed).sign(message).as_ref());
        signature
    }
}

/// Checks a signature by `public` over `message`.
pub(crate) fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).map_err(|_| BadSignature)
}

/// The signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadSignature;

fn expand(seed: &Secret) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed.bytes()).expect("every 32 bytes are a seed")
}
