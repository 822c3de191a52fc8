//! Hash, HMAC and HKDF (RFC 5869, RFC 6234) with secrets wiped after use.
//!
//! The only file that names `ring`'s hash functions.

use std::hint::black_box;

use ring::{digest, hmac};

use super::{secret::Secret, suite::Suite};

/// A pseudorandom key of HKDF, held as HMAC's two inner states: an expansion costs two hash blocks.
pub(crate) struct Prk {
    key: hmac::Key,
}

impl Prk {
    /// HKDF-Extract with the suite's hash (RFC 5869 section 2.2).
    pub(crate) fn extract(suite: Suite, salt: &[u8], ikm: &[u8]) -> Self {
        let algorithm = algorithm(suite);
        let salt = hmac::Key::new(algorithm, salt);
        let tag = hmac::sign(&salt, ikm);
        Self { key: hmac::Key::new(algorithm, tag.as_ref()) }
    }

    /// HKDF-Expand (RFC 5869 section 2.3) of the concatenated `info` into all of `out`.
    ///
    /// `out` is at most 255 hashes long; all callers ask for 64 bytes or fewer.
    pub(crate) fn expand(&self, info: &[&[u8]], out: &mut [u8]) {
        let hash_len = self.key.algorithm().digest_algorithm().output_len();
        let mut previous: Option<hmac::Tag> = None;
        for (block, number) in out.chunks_mut(hash_len).zip(1u8..) {
            let mut context = hmac::Context::with_key(&self.key);
            if let Some(previous) = &previous {
                context.update(previous.as_ref());
            }
            info.iter().for_each(|part| context.update(part));
            context.update(&[number]);
            let tag = context.sign();
            for (to, from) in block.iter_mut().zip(tag.as_ref()) {
                *to = *from;
            }
            previous = Some(tag);
        }
    }

    /// [`Prk::expand`] into a new secret of `len` bytes.
    pub(crate) fn expand_secret(&self, info: &[&[u8]], len: usize) -> Secret {
        Secret::filled(len, |out| self.expand(info, out))
    }
}

impl Drop for Prk {
    fn drop(&mut self) {
        self.key = hmac::Key::new(self.key.algorithm(), &[]);
        black_box(&self.key);
    }
}

/// HMAC-SHA-256 under a key that is used many times.
pub(crate) struct Mac {
    key: hmac::Key,
}

impl Mac {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// The first `N` bytes of HMAC-SHA-256 over the message.
    pub(crate) fn tag<const N: usize>(&self, message: &[u8]) -> [u8; N] {
        first(hmac::sign(&self.key, message).as_ref())
    }
}

impl Drop for Mac {
    fn drop(&mut self) {
        self.key = hmac::Key::new(hmac::HMAC_SHA256, &[]);
        black_box(&self.key);
    }
}

/// SHA-256 of the concatenated parts.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    first(context.finish().as_ref())
}

/// HKDF-SHA-256, both halves, for derivations outside the media plane.
#[cfg(feature = "room")]
pub(crate) fn hkdf_sha256(salt: &[u8], ikm: &[u8], info: &[&[u8]], out: &mut [u8]) {
    Prk::extract(Suite::Aes128Gcm, salt, ikm).expand(info, out);
}

fn algorithm(suite: Suite) -> hmac::Algorithm {
    match suite {
        Suite::Aes128Gcm => hmac::HMAC_SHA256,
        Suite::Aes256Gcm => hmac::HMAC_SHA512,
    }
}

/// The first `N` bytes; a hash is never shorter than what is asked of it here.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::vectors::cases;

    #[test]
    fn rfc_9605_secrets_come_out_of_the_extraction() {
        for case in cases("rfc9605.txt", "sframe", 5) {
            let suite = if case.number("cipher_suite") == 5 { Suite::Aes256Gcm } else { Suite::Aes128Gcm };
            let secret = hmac::Key::new(algorithm(suite), &case.bytes("sframe_secret"));
            let extracted = Prk::extract(suite, &[], &case.bytes("base_key"));
            for message in [b"one".as_slice(), b"another"] {
                let expected = hmac::sign(&secret, message);
                assert_eq!(hmac::sign(&extracted.key, message).as_ref(), expected.as_ref());
            }
        }
    }
}
