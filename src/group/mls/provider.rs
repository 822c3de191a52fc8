//! What openmls runs on: RustCrypto, the room's own randomness, storage that is wiped.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
};

use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    OpenMlsProvider,
    random::OpenMlsRand,
    signatures::{Signer, SignerError},
    types::SignatureScheme,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::storage::Storage;
use crate::group::signing::SigningKey;

/// Crypto, randomness and storage of one room. Nothing of it outlives the room.
pub(super) struct Provider {
    crypto: RustCrypto,
    rand: SeededRand,
    storage: Storage,
}

impl Provider {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self {
            crypto: RustCrypto::default(),
            rand: SeededRand(Mutex::new(StdRng::from_seed(seed))),
            storage: Storage::default(),
        }
    }
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = RustCrypto;
    type RandProvider = SeededRand;
    type StorageProvider = Storage;

    fn storage(&self) -> &Storage {
        &self.storage
    }

    fn crypto(&self) -> &RustCrypto {
        &self.crypto
    }

    fn rand(&self) -> &SeededRand {
        &self.rand
    }
}

/// Randomness from the seed that the room was given.
///
/// HPKE encapsulation is the exception: its library draws from the operating system itself.
pub(super) struct SeededRand(Mutex<StdRng>);

impl OpenMlsRand for SeededRand {
    type Error = Infallible;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], Infallible> {
        let mut out = [0; N];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut out);
        Ok(out)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, Infallible> {
        let mut out = vec![0; len];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut out);
        Ok(out)
    }
}

impl Signer for SigningKey {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(SigningKey::sign(self, payload).to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
