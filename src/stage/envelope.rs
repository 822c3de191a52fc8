//! What a relay sees of the lanes of a hall: random bytes of one of seven sizes (`spec/stage.md`,
//! section 5).
//!
//! ```text
//! | salt 32 | AES-256-GCM { length u16 | content | zeros } | tag 16 |      256 bytes to 16 KiB in all
//! key = HKDF-SHA-256(salt, key of lane, cell or pair, label)
//! ```

use bytes::Bytes;
use rand::Rng;
use zeroize::Zeroize;

use crate::keys::{
    aead::EnvelopeKey,
    derive::hkdf_sha256,
    secret::{DEEP, Secret, scrub_stack},
};

/// What an envelope is sealed under: nothing that was sealed for one use opens for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// The key of the hall's lanes, which every invite leads to.
    Lane,
    /// The chain of a cell.
    Cell,
    /// The chain of a listener, from its porter.
    Down,
    /// The chain of a listener, to its porter.
    Up,
}

impl Use {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Lane => b"sottovoce 2 hall envelope",
            Self::Cell => b"sottovoce 2 hall cell",
            Self::Down => b"sottovoce 2 hall down",
            Self::Up => b"sottovoce 2 hall up",
        }
    }
}

/// Seals `content` into the smallest envelope that holds it.
///
/// # Errors
/// [`TooLong`] above 16,334 bytes.
pub(super) fn seal(key: &Secret, to: Use, content: &[u8], rng: &mut impl Rng) -> Result<Bytes, TooLong> {
    let needed = OVERHEAD + content.len();
    let size = SIZES.into_iter().find(|size| needed <= *size).ok_or(TooLong)?;
    Ok(seal_to(key, to, content, size, rng).into())
}

/// Seals `content` without padding, for what travels inside an envelope.
pub(super) fn seal_bare(key: &Secret, to: Use, content: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    seal_to(key, to, content, OVERHEAD + content.len(), rng)
}

fn seal_to(key: &Secret, to: Use, content: &[u8], size: usize, rng: &mut impl Rng) -> Vec<u8> {
    let mut envelope = Vec::with_capacity(size);
    let mut salt = [0; SALT];
    rng.fill_bytes(&mut salt);
    envelope.extend_from_slice(&salt);
    envelope.extend_from_slice(&u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes());
    envelope.extend_from_slice(content);
    envelope.resize(size - TAG, 0);
    let tag = envelope.get_mut(SALT..).map(|text| envelope_key(key, &salt, to).seal_in_place(text));
    envelope.extend_from_slice(&tag.unwrap_or_default());
    envelope
}

/// Opens an envelope of one of the seven sizes; `None` if it is not sealed under this key for this
/// use, or is not in its form.
pub(super) fn open(key: &Secret, from: Use, envelope: &[u8]) -> Option<Secret> {
    if !SIZES.contains(&envelope.len()) {
        return None;
    }
    open_bare(key, from, envelope)
}

/// Opens what [`seal_bare`] sealed.
pub(super) fn open_bare(key: &Secret, from: Use, envelope: &[u8]) -> Option<Secret> {
    let (salt, sealed) = envelope.split_first_chunk::<SALT>()?;
    let mut sealed = Secret::filled(sealed.len(), |out| out.copy_from_slice(sealed));
    let text = envelope_key(key, salt, from).open_in_place(sealed.bytes_mut()).ok()?;
    let (length, rest) = text.split_first_chunk::<2>()?;
    let (content, padding) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    if padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some(Secret::filled(content.len(), |out| out.copy_from_slice(content)))
}

/// A key for one envelope: the salt is fresh, so the fixed nonce is used once under it.
fn envelope_key(key: &Secret, salt: &[u8; SALT], to: Use) -> EnvelopeKey {
    let mut bytes = [0; 32];
    hkdf_sha256(salt, key.bytes(), &[to.label()], &mut bytes);
    let key = EnvelopeKey::new(&bytes);
    bytes.zeroize();
    scrub_stack::<DEEP>();
    key
}

/// The content has more than 16,334 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// The seven sizes of an envelope.
pub(super) const SIZES: [usize; 7] = [256, 512, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10];
const SALT: usize = 32;
const TAG: usize = 16;
/// Salt, length, tag.
pub(super) const OVERHEAD: usize = SALT + 2 + TAG;

#[cfg(test)]
mod tests {
    /// The longest content.
    const MAX_CONTENT: usize = (16 << 10) - OVERHEAD;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn key(seed: u8) -> Secret {
        Secret::wrap(vec![seed; 32])
    }

    fn rng() -> StdRng {
        StdRng::from_seed([4; 32])
    }

    #[test]
    fn the_smallest_size_that_fits_is_used_and_opens_for_its_key_and_use_only() {
        for (length, size) in [(0, 256), (206, 256), (207, 512), (MAX_CONTENT, 16 << 10)] {
            let content = vec![7; length];
            let envelope = seal(&key(1), Use::Cell, &content, &mut rng()).unwrap();
            assert_eq!(envelope.len(), size);
            assert_eq!(open(&key(1), Use::Cell, &envelope).unwrap().bytes(), content);
            assert!(open(&key(2), Use::Cell, &envelope).is_none());
            assert!(open(&key(1), Use::Down, &envelope).is_none());
        }
        assert!(seal(&key(1), Use::Cell, &vec![0; MAX_CONTENT + 1], &mut rng()).is_err());
    }

    #[test]
    fn every_altered_bit_and_other_size_is_refused() {
        let envelope = seal(&key(1), Use::Lane, b"hello", &mut rng()).unwrap();
        for at in 0..envelope.len() {
            let mut altered = envelope.to_vec();
            altered[at] ^= 1 << (at % 8);
            assert!(open(&key(1), Use::Lane, &altered).is_none());
            assert!(open(&key(1), Use::Lane, &envelope[..at]).is_none());
        }
    }

    #[test]
    fn a_length_that_promises_too_much_and_padding_are_refused() {
        let made = |text: &[u8]| {
            let mut envelope = vec![9; SALT];
            let mut text = [text, &[0; 208][text.len()..]].concat();
            let tag = envelope_key(&key(1), &[9; SALT], Use::Lane).seal_in_place(&mut text);
            envelope.extend_from_slice(&text);
            envelope.extend_from_slice(&tag);
            envelope
        };
        assert_eq!(open(&key(1), Use::Lane, &made(&[0, 2, 5, 6])).unwrap().bytes(), [5, 6]);
        assert!(open(&key(1), Use::Lane, &made(&[0, 2, 5, 6, 1])).is_none());
        assert!(open(&key(1), Use::Lane, &made(&[0, 207])).is_none());
    }
}
