//! Ed25519 for identities and leaves (RFC 8032, SPEC section 6.1). Speaker keys are in `keys`.

use std::hint::black_box;

use ring::signature::{Ed25519KeyPair, KeyPair};

pub(crate) use crate::keys::ed25519::verify;
use crate::{
    Seed,
    keys::secret::{DEEP, scrub_stack},
};

/// A private Ed25519 key. Expanding the seed costs as much as a signature, so it is expanded once.
pub(crate) struct SigningKey {
    seed: Seed,
    /// On the heap, so that moving the key leaves no copy behind.
    pair: Box<Ed25519KeyPair>,
    public: [u8; 32],
}

impl SigningKey {
    pub(crate) fn from_seed(seed: Seed) -> Self {
        let pair = Box::new(expand(seed.bytes()));
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        scrub_stack::<DEEP>();
        Self { seed, pair, public }
    }

    pub(crate) fn seed(&self) -> &Seed {
        &self.seed
    }

    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

/// `ring` does not wipe its key pairs, so the pair of a public seed takes the place of this one.
impl Drop for SigningKey {
    fn drop(&mut self) {
        *self.pair = expand(&[0; 32]);
        black_box(&self.pair);
        scrub_stack::<DEEP>();
    }
}

fn expand(seed: &[u8]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed")
}
