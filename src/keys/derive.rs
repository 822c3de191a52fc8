//! Hash, HMAC and HKDF (RFC 5869, RFC 6234). The only file that names a hash function.
//!
//! Not `ring`'s: these states wipe themselves when they go, and an expansion from a state that is kept costs
//! little more than half.

use hmac::{Hmac, KeyInit, Mac as Authenticate};
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroize;

use super::{secret::Secret, suite::Suite};

/// A pseudorandom key of HKDF, held as HMAC's two inner states: an expansion costs two hash blocks.
pub(crate) enum Prk {
    /// For suite 0x0004.
    Sha256(Hmac<Sha256>),
    /// For suite 0x0005.
    Sha512(Hmac<Sha512>),
}

impl Prk {
    /// HKDF-Extract with the suite's hash (RFC 5869 section 2.2).
    pub(crate) fn extract(suite: Suite, salt: &[u8], ikm: &[u8]) -> Self {
        match suite {
            Suite::Aes128Gcm => Self::Sha256(extract(salt, ikm)),
            Suite::Aes256Gcm => Self::Sha512(extract(salt, ikm)),
        }
    }

    /// HKDF-Expand (RFC 5869 section 2.3) of the concatenated `info` into all of `out`, 255 hashes at most.
    pub(crate) fn expand(&self, info: &[&[u8]], out: &mut [u8]) {
        match self {
            Self::Sha256(prk) => expand(prk, info, out),
            Self::Sha512(prk) => expand(prk, info, out),
        }
    }

    /// [`Prk::expand`] into a new secret of `len` bytes.
    pub(crate) fn expand_secret(&self, info: &[&[u8]], len: usize) -> Secret {
        Secret::filled(len, |out| self.expand(info, out))
    }
}

/// HMAC-SHA-256 under a key that is used many times.
pub(crate) struct Mac(Hmac<Sha256>);

impl Mac {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(keyed(key))
    }

    /// The first `N` bytes of HMAC-SHA-256 over the message, 32 at most.
    pub(crate) fn tag<const N: usize>(&self, message: &[u8]) -> [u8; N] {
        let mut out = [0; N];
        fill(&mut out, &self.0.clone().chain_update(message).finalize().into_bytes());
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
#[cfg(feature = "room")]
pub(crate) fn hkdf_sha256(salt: &[u8], ikm: &[u8], info: &[&[u8]], out: &mut [u8]) {
    Prk::extract(Suite::Aes128Gcm, salt, ikm).expand(info, out);
}

fn extract<H: Authenticate + KeyInit>(salt: &[u8], ikm: &[u8]) -> H {
    let mut prk = keyed::<H>(salt).chain_update(ikm).finalize().into_bytes();
    let state = keyed(&prk);
    prk.as_mut_slice().zeroize();
    state
}

fn expand<H: Authenticate + Clone>(prk: &H, info: &[&[u8]], out: &mut [u8]) {
    let (mut previous, mut rest): (&[u8], _) = (&[], out);
    for number in 1..=u8::MAX {
        let (block, after) = rest.split_at_mut(rest.len().min(H::output_size()));
        let mut state = prk.clone().chain_update(previous);
        info.iter().for_each(|part| state.update(part));
        let mut tag = state.chain_update([number]).finalize().into_bytes();
        fill(block, &tag);
        tag.as_mut_slice().zeroize();
        if after.is_empty() {
            return;
        }
        (previous, rest) = (block, after);
    }
}

fn keyed<H: KeyInit>(key: &[u8]) -> H {
    <H as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn fill(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
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
                Suite::Aes128Gcm => Prk::Sha256(keyed(&secret)),
                Suite::Aes256Gcm => Prk::Sha512(keyed(&secret)),
            };
            let extracted = Prk::extract(suite, &[], &case.bytes("base_key"));
            let (mut ours, mut theirs) = ([0; 100], [0; 100]);
            extracted.expand(&[b"any"], &mut ours);
            published.expand(&[b"any"], &mut theirs);
            assert_eq!(ours, theirs);
        }
    }
}
