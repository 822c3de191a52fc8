//! What openmls runs on: RustCrypto, the room's own randomness, storage that is wiped.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
};

use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    OpenMlsProvider,
    crypto::OpenMlsCrypto,
    random::OpenMlsRand,
    signatures::{Signer, SignerError},
    types::{
        AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig,
        HpkeKemType, HpkeKeyPair, KemOutput, SignatureScheme,
    },
};
use tls_codec::SecretVLBytes;

use super::storage::Storage;
use crate::keys::ed25519;
use crate::{Seed, group::signing::SigningKey, random::Generator};

/// Crypto, randomness and storage of one room. Nothing of it outlives the room.
pub(super) struct Provider {
    crypto: Crypto,
    rand: SeededRand,
    storage: Storage,
}

impl Provider {
    pub(super) fn new(seed: Seed) -> Self {
        let mut generator = Generator::new(seed);
        // The seed itself is gone at once: a draw replaces the key.
        let _: [u8; 1] = generator.array();
        Self {
            crypto: Crypto::default(),
            rand: SeededRand(Mutex::new(generator)),
            storage: Storage::default(),
        }
    }

    /// Mixes entropy into the randomness.
    pub(super) fn stir(&self, entropy: &[u8]) {
        self.rand.0.lock().unwrap_or_else(PoisonError::into_inner).stir(entropy);
    }

    /// The next 32 bytes of the randomness, for another provider.
    pub(super) fn seed(&self) -> Seed {
        self.rand.0.lock().unwrap_or_else(PoisonError::into_inner).seed()
    }
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = Crypto;
    type RandProvider = SeededRand;
    type StorageProvider = Storage;

    fn storage(&self) -> &Storage {
        &self.storage
    }

    fn crypto(&self) -> &Crypto {
        &self.crypto
    }

    fn rand(&self) -> &SeededRand {
        &self.rand
    }
}

/// The cryptography of openmls, and a note of whose signature was found to hold first.
///
/// openmls does not say whose commit it is that it cannot process: a commit is signed, and checked
/// before anything in it.
#[derive(Default)]
pub(super) struct Crypto {
    inner: RustCrypto,
    signer: Mutex<Option<Vec<u8>>>,
    /// What becomes of path secrets on their way to others.
    #[cfg(test)]
    pub(super) spoiled: Mutex<Option<Spoiled>>,
    /// Whether confirmation tags of our own come out wrong.
    #[cfg(test)]
    pub(super) false_tags: Mutex<bool>,
    /// What the next key pairs show as their public halves, where it is not their own.
    #[cfg(test)]
    pub(super) false_keys: Mutex<std::collections::VecDeque<Option<Vec<u8>>>>,
}

/// How somebody makes an update path that is wrong for others.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoil {
    /// It does not decrypt.
    Garbage,
    /// It decrypts to another secret.
    Another,
}

/// Whose path secrets are spoiled: those to these keys, or all but those.
#[cfg(test)]
pub(super) struct Spoiled {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) others: bool,
    pub(super) spoil: Spoil,
}

impl Crypto {
    /// Begins to look for the next signature.
    pub(super) fn forget_signer(&self) {
        *self.signer.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The key of the first signature that held since.
    pub(super) fn signer(&self) -> Option<Vec<u8>> {
        self.signer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[cfg(test)]
    fn spoil(&self, to: &[u8]) -> Option<Spoil> {
        let spoiled = self.spoiled.lock().unwrap();
        let spoiled =
            spoiled.as_ref().filter(|spoiled| spoiled.keys.iter().any(|key| key == to) != spoiled.others);
        spoiled.map(|spoiled| spoiled.spoil)
    }
}

impl OpenMlsCrypto for Crypto {
    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        key: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        // Members sign with Ed25519 in every suite, and all their signatures are checked alike.
        let (SignatureScheme::ED25519, Ok(public), Ok(signed)) = (alg, key.try_into(), signature.try_into())
        else {
            return Err(CryptoError::InvalidSignature);
        };
        ed25519::verify(public, data, signed).map_err(|_| CryptoError::InvalidSignature)?;
        self.signer.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| key.to_vec());
        Ok(())
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        to: &[u8],
        info: &[u8],
        aad: &[u8],
        plain: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        #[cfg(test)]
        match self.spoil(to) {
            Some(Spoil::Another) => {
                return self.inner.hpke_seal(config, to, info, aad, &vec![7; plain.len()]);
            }
            Some(Spoil::Garbage) => {
                return self.inner.hpke_seal(config, to, b"something else", aad, plain);
            }
            None => {}
        }
        // M32: whoever shows a key that nothing can be sealed to gets nothing, and stops nobody
        // else.
        let nothing = sealed_to_nobody(&config, plain.len());
        let sealed = self.inner.hpke_seal(config, to, info, aad, plain);
        Ok(sealed.unwrap_or(nothing))
    }

    fn supports(&self, ciphersuite: Ciphersuite) -> Result<(), CryptoError> {
        self.inner.supports(ciphersuite)
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        self.inner.supported_ciphersuites()
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        self.inner.hkdf_extract(hash, salt, ikm)
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        #[cfg(test)]
        if *self.false_tags.lock().unwrap() {
            return self.inner.hmac(hash, key, b"something else");
        }
        self.inner.hmac(hash, key, message)
    }

    fn hkdf_expand(
        &self,
        hash: HashType,
        prk: &[u8],
        info: &[u8],
        len: usize,
    ) -> Result<SecretVLBytes, CryptoError> {
        self.inner.hkdf_expand(hash, prk, info, len)
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.inner.hash(hash, data)
    }

    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        plain: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.inner.aead_encrypt(alg, key, plain, nonce, aad)
    }

    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        sealed: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.inner.aead_decrypt(alg, key, sealed, nonce, aad)
    }

    fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        self.inner.signature_key_gen(alg)
    }

    fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.inner.sign(alg, data, key)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        key: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.inner.hpke_open(config, input, key, info, aad)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        to: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        len: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        self.inner.hpke_setup_sender_and_export(config, to, info, exporter_context, len)
    }

    fn hpke_setup_receiver_and_export(
        &self,
        config: HpkeConfig,
        kem_output: &[u8],
        key: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        len: usize,
    ) -> Result<ExporterSecret, CryptoError> {
        self.inner.hpke_setup_receiver_and_export(config, kem_output, key, info, exporter_context, len)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        #[cfg(test)]
        if let Some(public) = self.false_keys.lock().unwrap().pop_front().flatten() {
            let pair = self.inner.derive_hpke_keypair(config, ikm)?;
            return Ok(HpkeKeyPair { public, ..pair });
        }
        self.inner.derive_hpke_keypair(config, ikm)
    }
}

/// Zeros in the place of a ciphertext, with the lengths of one.
fn sealed_to_nobody(config: &HpkeConfig, plain_len: usize) -> HpkeCiphertext {
    let kem_len = if config.0 == HpkeKemType::DhKem25519 { 32 } else { 1120 };
    HpkeCiphertext { kem_output: vec![0; kem_len].into(), ciphertext: vec![0; plain_len + TAG_LEN].into() }
}

/// Bytes of the tag of AES-128-GCM, the AEAD of both cipher suites.
const TAG_LEN: usize = 16;

/// Randomness from the seed that the room was given.
///
/// HPKE encapsulation is the exception: its library draws from the operating system itself.
pub(super) struct SeededRand(Mutex<Generator>);

impl OpenMlsRand for SeededRand {
    type Error = Infallible;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], Infallible> {
        let mut out = [0; N];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).draw(&mut out);
        Ok(out)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, Infallible> {
        let mut out = vec![0; len];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).draw(&mut out);
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
