//! What is sealed to one key outside MLS: knocks, shows and their answers (RFC 9180, SPEC section
//! 14.5).
//!
//! The HPKE of a room is that of its MLS cipher suite, so in a room with ML-KEM a knock is
//! post-quantum too.

use std::{fmt, hint::black_box};

use openmls_rust_crypto::RustCrypto;
use openmls_traits::{
    crypto::OpenMlsCrypto,
    types::{HpkeCiphertext, HpkeConfig},
};

use super::{Failure, ciphersuite};
use crate::{Seed, group::KeyExchange, hex, keys::secret::Secret};

/// A public key that something is sealed to: of a door, or for one answer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealingKey {
    key_exchange: KeyExchange,
    bytes: Vec<u8>,
}

/// The private half of a [`SealingKey`]. Wiped on drop.
pub(crate) struct SealingSecret {
    private: Secret,
    public: SealingKey,
}

/// The kind of what is sealed. Nothing that was sealed for one purpose opens for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Knock,
    Show,
    Answer,
    App,
    /// A listener's, at the door of a porter (`spec/stage.md`, H8).
    #[cfg(feature = "stage")]
    HallKnock,
    /// A porter's, to the one-use key of a listener.
    #[cfg(feature = "stage")]
    HallAnswer,
}

/// A sealed message with the encapsulation of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) kem_output: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
}

impl SealingKey {
    /// Takes a public key as it stands in a message; `None` if its length is not that of the room's
    /// key exchange.
    pub(crate) fn from_bytes(key_exchange: KeyExchange, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == public_len(key_exchange)).then(|| Self { key_exchange, bytes: bytes.to_vec() })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Seals `plain` to this key. The encapsulation draws its randomness from the operating system.
    pub(crate) fn seal(&self, purpose: Purpose, plain: &[u8], aad: &[u8]) -> Result<Sealed, Failure> {
        let HpkeCiphertext { kem_output, ciphertext } = RustCrypto::default()
            .hpke_seal(config(self.key_exchange), &self.bytes, purpose.info(), aad, plain)
            .map_err(Failure::of)?;
        Ok(Sealed { kem_output: kem_output.into(), sealed: ciphertext.into() })
    }
}

/// The first four bytes of the key.
impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::short(f, "SealingKey", &self.bytes)
    }
}

impl SealingSecret {
    /// Derives the pair from 32 secret random bytes (RFC 9180 section 7.1.3).
    pub(crate) fn derive(key_exchange: KeyExchange, ikm: &Seed) -> Result<Self, Failure> {
        let pair = RustCrypto::default()
            .derive_hpke_keypair(config(key_exchange), ikm.bytes())
            .map_err(Failure::of)?;
        scrub_heap();
        let private = Secret::filled(pair.private.len(), |out| out.copy_from_slice(&pair.private));
        let public = SealingKey::from_bytes(key_exchange, &pair.public)
            .ok_or_else(|| Failure::of("the derived public key has another length"))?;
        Ok(Self { private, public })
    }

    /// Takes a pair that MLS made: the keys of a leaf.
    pub(super) fn of_pair(key_exchange: KeyExchange, private: Secret, public: &[u8]) -> Option<Self> {
        Some(Self { private, public: SealingKey::from_bytes(key_exchange, public)? })
    }

    pub(crate) fn public(&self) -> &SealingKey {
        &self.public
    }

    /// Opens what was sealed to this key for this purpose and with this `aad`; `None` if it was
    /// altered, or is not.
    pub(crate) fn open(&self, purpose: Purpose, sealed: &Sealed, aad: &[u8]) -> Option<Vec<u8>> {
        let key_exchange = self.public.key_exchange;
        let input = HpkeCiphertext {
            kem_output: sealed.kem_output.as_slice().into(),
            ciphertext: sealed.sealed.as_slice().into(),
        };
        RustCrypto::default()
            .hpke_open(config(key_exchange), &input, self.private.bytes(), purpose.info(), aad)
            .ok()
    }
}

impl Purpose {
    fn info(self) -> &'static [u8] {
        match self {
            Self::Knock => b"sottovoce 2 knock",
            Self::Show => b"sottovoce 2 show",
            Self::Answer => b"sottovoce 2 answer",
            Self::App => b"sottovoce 2 app message",
            #[cfg(feature = "stage")]
            Self::HallKnock => b"sottovoce 2 hall knock",
            #[cfg(feature = "stage")]
            Self::HallAnswer => b"sottovoce 2 hall answer",
        }
    }
}

/// The bytes of a public key (RFC 9180 table 2; draft-connolly-cfrg-xwing-kem).
pub(crate) const fn public_len(key_exchange: KeyExchange) -> usize {
    match key_exchange {
        KeyExchange::X25519 => 32,
        KeyExchange::MlKem768X25519 => 1216,
    }
}

/// The bytes of an encapsulation.
#[cfg(test)]
pub(crate) const fn encapsulation_len(key_exchange: KeyExchange) -> usize {
    match key_exchange {
        KeyExchange::X25519 => 32,
        KeyExchange::MlKem768X25519 => 1120,
    }
}

/// Overwrites the blocks that the derivation has freed: its library wipes neither its copy of the
/// seed nor what it extracts from it. Best effort, as
/// [`scrub_stack`](crate::keys::secret::scrub_stack) is: an allocator hands out first what it was
/// given back last.
fn scrub_heap() {
    let blocks: [Vec<u8>; 16] = std::array::from_fn(|n| {
        let mut block = Vec::with_capacity(if n % 2 == 0 { LABELED_SEED } else { EXTRACTED });
        block.resize(block.capacity(), 0);
        block
    });
    black_box(&blocks);
}

/// `"HPKE-v1" | "KEM" | kem id | "dkp_prk" | seed` (RFC 9180 sections 4 and 7.1.3), and what HKDF
/// extracts.
const LABELED_SEED: usize = 7 + 5 + 7 + 32;
const EXTRACTED: usize = 32;

fn config(key_exchange: KeyExchange) -> HpkeConfig {
    ciphersuite(key_exchange).hpke_config()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [KeyExchange; 2] = [KeyExchange::X25519, KeyExchange::MlKem768X25519];

    fn secret(key_exchange: KeyExchange, seed: u8) -> SealingSecret {
        SealingSecret::derive(key_exchange, &Seed::from_bytes(&mut [seed; 32])).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_key_purpose_and_aad_only() {
        for key_exchange in BOTH {
            let (secret, other) = (secret(key_exchange, 1), secret(key_exchange, 2));
            let sealed = secret.public().seal(Purpose::Knock, b"hello", b"aad").unwrap();
            assert_eq!(sealed.kem_output.len(), encapsulation_len(key_exchange));
            assert_eq!(secret.public().as_bytes().len(), public_len(key_exchange));
            assert_eq!(secret.open(Purpose::Knock, &sealed, b"aad").as_deref(), Some(&b"hello"[..]));
            assert_eq!(secret.open(Purpose::Show, &sealed, b"aad"), None);
            assert_eq!(secret.open(Purpose::Answer, &sealed, b"aad"), None);
            assert_eq!(secret.open(Purpose::Knock, &sealed, b"other"), None);
            assert_eq!(other.open(Purpose::Knock, &sealed, b"aad"), None);
            let again = secret.public().seal(Purpose::Knock, b"hello", b"aad").unwrap();
            assert_ne!(again.kem_output, sealed.kem_output);
        }
    }

    #[test]
    fn altered_and_shortened_messages_do_not_open() {
        for key_exchange in BOTH {
            let secret = secret(key_exchange, 1);
            let sealed = secret.public().seal(Purpose::Show, b"hello", b"").unwrap();
            for len in [0, 1, 31, 33, 1119, 1121, 70_000, sealed.kem_output.len() - 1] {
                let kem_output = sealed.kem_output.iter().copied().cycle().take(len).collect();
                assert_eq!(secret.open(Purpose::Show, &Sealed { kem_output, ..sealed.clone() }, b""), None);
            }
            for len in 0..sealed.sealed.len() {
                let short = Sealed { sealed: sealed.sealed[..len].to_vec(), ..sealed.clone() };
                assert_eq!(secret.open(Purpose::Show, &short, b""), None);
            }
            let mut altered = sealed.clone();
            altered.kem_output[3] ^= 1;
            assert_eq!(secret.open(Purpose::Show, &altered, b""), None);
        }
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        for key_exchange in BOTH {
            let bytes = secret(key_exchange, 1).public().as_bytes().to_vec();
            assert!(SealingKey::from_bytes(key_exchange, &bytes).is_some());
            assert_eq!(SealingKey::from_bytes(key_exchange, &bytes[1..]), None);
            assert_eq!(SealingKey::from_bytes(key_exchange, &[]), None);
        }
    }

    #[test]
    fn a_public_key_that_gives_no_secret_is_a_typed_error() {
        // The zero point of X25519, and coefficients of ML-KEM above its prime.
        for (key_exchange, byte) in [(KeyExchange::X25519, 0), (KeyExchange::MlKem768X25519, 0xFF)] {
            let key = SealingKey::from_bytes(key_exchange, &vec![byte; public_len(key_exchange)]).unwrap();
            assert!(key.seal(Purpose::Knock, b"hello", b"").is_err(), "{key_exchange:?}");
        }
    }

    #[test]
    fn debug_shows_four_bytes_of_a_key() {
        let key = SealingKey::from_bytes(KeyExchange::X25519, &[0xAB; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "SealingKey(abababab..)");
    }
}
