//! Hash, HMAC and HKDF (RFC 5869, RFC 6234). With `hmac256` the only file that names a hash
//! function.
//!
//! These are not `ring`'s functions: the states here are wiped on drop, and deriving from a kept
//! state costs less.

use hmac::{Hmac, KeyInit, Mac as Authenticate};
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroize;

use super::{hmac256, secret::Secret, suite::Suite};

/// A pseudorandom key of HKDF, held as HMAC's two inner states: an expansion costs two hash blocks.
#[expect(clippy::large_enum_variant, reason = "few of these exist, and none may be allocated for")]
pub(crate) enum Prk {
    /// For suite 0x0004.
    Sha256(hmac256::Key),
    /// For suite 0x0005.
    Sha512(Hmac<Sha512>),
}

impl Prk {
    /// HKDF-Extract with the suite's hash (RFC 5869 section 2.2).
    pub(crate) fn extract(suite: Suite, salt: &[u8], ikm: &[u8]) -> Self {
        match suite {
            Suite::Aes128Gcm => {
                let mut prk = hmac256::Key::new(salt).tag(&[ikm]);
                let key = hmac256::Key::new(&prk);
                prk.zeroize();
                Self::Sha256(key)
            }
            Suite::Aes256Gcm => {
                let mut prk = tag_512(&keyed_512(salt), &[ikm]);
                let key = keyed_512(&prk);
                prk.zeroize();
                Self::Sha512(key)
            }
        }
    }

    /// HKDF-Expand (RFC 5869 section 2.3) of the concatenated `info` into all of `out`, 255 hashes
    /// at most.
    pub(crate) fn expand(&self, info: &[&[u8]], out: &mut [u8]) {
        match self {
            Self::Sha256(prk) => expand(|parts| prk.tag(parts), info, out),
            Self::Sha512(prk) => expand(|parts| tag_512(prk, parts), info, out),
        }
    }

    /// [`Prk::expand`] into a new secret of `len` bytes.
    pub(crate) fn expand_secret(&self, info: &[&[u8]], len: usize) -> Secret {
        Secret::filled(len, |out| self.expand(info, out))
    }
}

/// HMAC-SHA-256 under a key that is used many times.
pub(crate) struct Mac(hmac256::Key);

impl Mac {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac256::Key::new(key))
    }

    /// The first `N` bytes of HMAC-SHA-256 over the message, 32 at most.
    pub(crate) fn tag<const N: usize>(&self, message: &[u8]) -> [u8; N] {
        self.tag_of(&[message])
    }

    /// [`Mac::tag`] of the concatenated parts.
    pub(crate) fn tag_of<const N: usize>(&self, parts: &[&[u8]]) -> [u8; N] {
        let mut out = [0; N];
        fill(&mut out, &self.0.tag(parts));
        out
    }
}

/// SHA-256 of the concatenated parts.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// HKDF-SHA-256, both halves, for derivations outside the media plane.
#[cfg(any(feature = "moq", feature = "room", feature = "rtpengine", feature = "janus"))]
pub(crate) fn hkdf_sha256(salt: &[u8], ikm: &[u8], info: &[&[u8]], out: &mut [u8]) {
    Prk::extract(Suite::Aes128Gcm, salt, ikm).expand(info, out);
}

/// RFC 5869 section 2.3: T(n) = tag(T(n-1) | info | n), one after the other into `out`.
///
/// `info` has at most four parts, here and everywhere.
#[inline]
fn expand<const N: usize>(tag: impl Fn(&[&[u8]]) -> [u8; N], info: &[&[u8]], out: &mut [u8]) {
    let part = |index: usize| info.get(index).copied().unwrap_or_default();
    debug_assert!(info.len() <= 4, "what is beyond them would be left out");
    let (mut previous, mut rest): (&[u8], _) = (&[], out);
    for number in 1..=u8::MAX {
        let (block, after) = rest.split_at_mut(rest.len().min(N));
        let tag = tag(&[previous, part(0), part(1), part(2), part(3), &[number]]);
        fill(block, &tag);
        if after.is_empty() {
            return;
        }
        (previous, rest) = (block, after);
    }
}

fn keyed_512(key: &[u8]) -> Hmac<Sha512> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn tag_512(key: &Hmac<Sha512>, parts: &[&[u8]]) -> [u8; 64] {
    let mut state = key.clone();
    parts.iter().for_each(|part| state.update(part));
    state.finalize().into_bytes().into()
}

/// The front of `from`, as far as `to` goes.
fn fill(to: &mut [u8], from: &[u8]) {
    if let Some(from) = from.get(..to.len()) {
        to.copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::vectors::cases;

    #[test]
    fn rfc_9605_secrets_come_out_of_the_extraction() {
        for case in cases("rfc9605.txt", "sframe", 5) {
            let suite = if case.number("cipher_suite") == 5 { Suite::Aes256Gcm } else { Suite::Aes128Gcm };
            let secret = case.bytes("sframe_secret");
            let published = match suite {
                Suite::Aes128Gcm => Prk::Sha256(hmac256::Key::new(&secret)),
                Suite::Aes256Gcm => Prk::Sha512(keyed_512(&secret)),
            };
            let extracted = Prk::extract(suite, &[], &case.bytes("base_key"));
            let (mut ours, mut theirs) = ([0; 100], [0; 100]);
            extracted.expand(&[b"any"], &mut ours);
            published.expand(&[b"any"], &mut theirs);
            assert_eq!(ours, theirs);
        }
    }
}
