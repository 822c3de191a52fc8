//! AES-GCM, for packets, the control envelope and stored records. The only file that names the
//! AEAD.

use std::hint::black_box;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};

use super::suite::{NONCE_LEN, Suite, TAG_LEN};

/// An AEAD key with its schedule expanded: expanding it again would cost more than sealing a
/// packet.
pub(crate) struct Key(LessSafeKey);

impl Key {
    /// Expands the first Nk bytes of `key`.
    pub(crate) fn new(suite: Suite, key: &[u8]) -> Self {
        let (algorithm, key) = match suite {
            Suite::Aes128Gcm => (&AES_128_GCM, key.get(..16)),
            Suite::Aes256Gcm => (&AES_256_GCM, key.get(..32)),
        };
        Self(expand(algorithm, key.expect("callers derive Nk bytes")))
    }

    /// Encrypts `text` in place and returns the tag.
    ///
    /// The nonce must be new under this key. Texts here are at most 2 MiB, far below the AEAD's
    /// limit.
    #[inline]
    pub(crate) fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        let sealed =
            self.0.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), text);
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(sealed.expect("2 MiB is below the limit of AES-GCM").as_ref());
        tag
    }

    /// Decrypts `text` in place, if the tag holds; otherwise `text` is left without meaning.
    #[inline]
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: [u8; TAG_LEN],
    ) -> Result<(), Forged> {
        self.0
            .open_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                tag.into(),
                text,
                0..,
            )
            .map(|_| ())
            .map_err(|_| Forged)
    }
}

/// `ring` does not wipe its keys, so a key of zeros takes the place of this one before it goes.
impl Drop for Key {
    fn drop(&mut self) {
        let algorithm = self.0.algorithm();
        let zeros = [0; 32];
        self.0 = expand(algorithm, zeros.get(..algorithm.key_len()).unwrap_or(&zeros));
        black_box(&self.0);
    }
}

/// Seals one control envelope. Every envelope has a key of its own, so the nonce is always zero
/// (SPEC section 8.3).
#[cfg(feature = "room")]
pub(crate) struct EnvelopeKey(Key);

#[cfg(feature = "room")]
impl EnvelopeKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Key::new(Suite::Aes256Gcm, key))
    }

    pub(crate) fn seal_in_place(&self, text: &mut [u8]) -> [u8; TAG_LEN] {
        self.0.seal([0; NONCE_LEN], &[], text)
    }

    /// Decrypts text and tag; what comes back is the text.
    pub(crate) fn open_in_place<'a>(&self, sealed: &'a mut [u8]) -> Result<&'a mut [u8], Forged> {
        let (text, tag) = sealed.split_last_chunk_mut().ok_or(Forged)?;
        self.0.open([0; NONCE_LEN], &[], text, *tag).map(|()| text)
    }
}

/// Seals stored records, many under one key: the caller brings a random nonce for each (SPEC
/// section 11.1).
#[cfg(feature = "room")]
pub(crate) struct RecordKey(Key);

#[cfg(feature = "room")]
impl RecordKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Key::new(Suite::Aes256Gcm, key))
    }

    pub(crate) fn seal_in_place(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        self.0.seal(nonce, aad, text)
    }

    /// Decrypts text and tag; what comes back is the text.
    pub(crate) fn open_in_place<'a>(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Forged> {
        let (text, tag) = sealed.split_last_chunk_mut().ok_or(Forged)?;
        self.0.open(nonce, aad, text, *tag).map(|()| text)
    }
}

/// The tag is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forged;

fn expand(algorithm: &'static Algorithm, key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(algorithm, key).expect("the key has the algorithm's length"))
}
