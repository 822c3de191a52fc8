//! What a relay sees of the control lane: random bytes of one of five sizes (`spec/control.md`,
//! section 14.1).
//!
//! ```text
//! | salt 32 | AES-256-GCM { length u32 | kind u8 | bytes | zeros } | tag 16 |   1, 2, 4, 8 or 16 KiB in all
//! key = HKDF-SHA-256(salt, lane key, "sottovoce 2 envelope")
//! ```
//!
//! The lane key keeps the relay out, not the people who hold or held an invite: what has to be
//! believed is protected by MLS, HPKE or a signature inside.

use bytes::Bytes;
use rand::Rng;
use zeroize::Zeroize;

use super::parts::Tree;
use crate::{
    group::codec::{Reader, Writer},
    keys::{
        aead::EnvelopeKey,
        derive::hkdf_sha256,
        secret::{DEEP, Secret, scrub_stack},
    },
};

/// The key of a room's control lane, in every invite.
pub(crate) struct LaneKey(Secret);

impl LaneKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self(Secret::filled(bytes.len(), |out| out.copy_from_slice(bytes)))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The same key, for an invite. Copies are made on purpose only, so the type is not `Clone`.
    pub(crate) fn copy(&self) -> Self {
        Self(Secret::filled(self.bytes().len(), |out| out.copy_from_slice(self.bytes())))
    }

    /// The name by which relays know the room. It says nothing about the room.
    pub(crate) fn handle(&self) -> [u8; 16] {
        let mut handle = [0; 16];
        hkdf_sha256(&[], self.bytes(), &[b"sottovoce 2 handle"], &mut handle);
        handle
    }

    /// Seals one message into as many envelopes as it needs.
    ///
    /// # Errors
    /// [`TooLong`] above [`MAX_MESSAGE`] bytes.
    pub(crate) fn seal(&self, message: &[u8], rng: &mut impl Rng) -> Result<Vec<Bytes>, TooLong> {
        if message.len() <= MAX_WHOLE {
            let content = Writer::new().u8(WHOLE).bytes(message).finish();
            return Ok(vec![self.seal_one(&content, rng)]);
        }
        if message.len() > MAX_MESSAGE {
            return Err(TooLong);
        }
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let parts = message.chunks(PART);
        let tree = Tree::new(&nonce, parts.clone());
        let fragments = parts.enumerate().map(|(index, part)| {
            let head = Writer::new().u8(FRAGMENT).bytes(&nonce).u32(message.len() as u32).u16(index as u16);
            let content = tree.path(index).fold(head, |out, hash| out.bytes(hash)).bytes(part).finish();
            self.seal_one(&content, rng)
        });
        Ok(fragments.collect())
    }

    /// Opens one envelope. The content is authenticated to holders of the lane key, and to nobody
    /// closer.
    ///
    /// # Errors
    /// [`EnvelopeError`] says why the envelope is dropped.
    pub(super) fn open(&self, envelope: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        if !SIZES.contains(&envelope.len()) {
            return Err(EnvelopeError::Size);
        }
        let (salt, sealed) = envelope.split_first_chunk::<32>().ok_or(EnvelopeError::Size)?;
        let mut sealed = sealed.to_vec();
        let text = self.key(salt).open_in_place(&mut sealed).map_err(|_| EnvelopeError::Forged)?;
        let mut reader = Reader::new(text);
        let content = reader.vec32(MAX_CONTENT).map_err(|_| EnvelopeError::Malformed)?.to_vec();
        if reader.rest().iter().any(|padding| *padding != 0) {
            return Err(EnvelopeError::Malformed);
        }
        Ok(content)
    }

    pub(super) fn seal_one(&self, content: &[u8], rng: &mut impl Rng) -> Bytes {
        let needed = OVERHEAD + content.len();
        let size = SIZES.into_iter().find(|size| needed <= *size).expect("callers cut what is longer");
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let mut text = Writer::new().vec32(content).finish();
        text.resize(size - salt.len() - 16, 0);
        let tag = self.key(&salt).seal_in_place(&mut text);
        [&salt[..], &text, &tag].concat().into()
    }

    /// A key for one envelope: the salt is fresh, so the fixed nonce is used once under it.
    fn key(&self, salt: &[u8; 32]) -> EnvelopeKey {
        let mut bytes = [0; 32];
        hkdf_sha256(salt, self.bytes(), &[b"sottovoce 2 envelope"], &mut bytes);
        let key = EnvelopeKey::new(&bytes);
        bytes.zeroize();
        scrub_stack::<DEEP>();
        key
    }
}

/// Why an envelope is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnvelopeError {
    /// The envelope does not have one of the five sizes.
    Size,
    /// The envelope was not sealed with this room's lane key, or was altered.
    Forged,
    /// The content is not in the form of `spec/control.md`, section 14.1.
    Malformed,
}

/// The message has more than [`MAX_MESSAGE`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The five sizes of an envelope.
pub(crate) const SIZES: [usize; 5] = [1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10];
/// Salt, length, tag.
pub(super) const OVERHEAD: usize = 32 + 4 + 16;
const MAX_CONTENT: usize = (16 << 10) - OVERHEAD;
/// The longest message that is not cut.
pub(super) const MAX_WHOLE: usize = MAX_CONTENT - 1;
/// Kind, nonce, length, index, and eight hashes: a tree over 256 parts has no longer path.
const HEAD: usize = 1 + 16 + 4 + 2 + 8 * 32;
/// The length of every part of a message but the last.
pub(super) const PART: usize = MAX_CONTENT - HEAD;
/// Parts of one message.
const MAX_PARTS: usize = 256;
/// The longest message: 4,109,568 bytes.
///
/// A Welcome into a hybrid room was measured to have 1,568 bytes for each member, and a parent in
/// its tree that is filled has 1,253 more. So for 1,000 members it has 2.9 MB at most, and the law
/// that travels in it 512 KiB more.
pub(crate) const MAX_MESSAGE: usize = MAX_PARTS * PART;
pub(super) const WHOLE: u8 = 0;
pub(super) const FRAGMENT: u8 = 1;

#[cfg(test)]
pub(super) mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    pub(in crate::wire) fn lane() -> (LaneKey, StdRng) {
        (LaneKey::new(&[3; 32]), StdRng::from_seed([4; 32]))
    }

    #[test]
    fn the_smallest_size_that_fits_is_used() {
        let (lane, mut rng) = lane();
        let mut size = |len: usize| {
            lane.seal(&vec![0; len], &mut rng).unwrap().iter().map(Bytes::len).collect::<Vec<_>>()
        };
        assert_eq!(size(0), [1024]);
        assert_eq!(size(1024 - OVERHEAD - 1), [1024]);
        assert_eq!(size(1024 - OVERHEAD), [2048]);
        assert_eq!(size(MAX_WHOLE), [16384]);
        assert_eq!(size(MAX_WHOLE + 1), [16384, 1024]);
        let longest = size(MAX_MESSAGE);
        assert_eq!((longest.len(), longest.last()), (MAX_PARTS, Some(&16384)));
        assert_eq!(lane.seal(&vec![0; MAX_MESSAGE + 1], &mut rng), Err(TooLong));
    }

    #[test]
    fn every_altered_bit_cut_and_foreign_key_is_refused() {
        let (lane, mut rng) = lane();
        let envelope = lane.seal(b"hello", &mut rng).unwrap().remove(0);
        for at in 0..envelope.len() {
            let mut altered = envelope.to_vec();
            altered[at] ^= 1 << (at % 8);
            assert_eq!(lane.open(&altered), Err(EnvelopeError::Forged));
        }
        assert_eq!(lane.open(&envelope[1..]), Err(EnvelopeError::Size));
        assert_eq!(LaneKey::new(&[5; 32]).open(&envelope), Err(EnvelopeError::Forged));
    }

    #[test]
    fn a_wrong_length_and_padding_that_is_not_zero_are_refused() {
        let (lane, _) = lane();
        let seal = |text: &mut [u8]| {
            let tag = lane.key(&[7; 32]).seal_in_place(text);
            [&[7; 32][..], text, &tag].concat()
        };
        let text = |length: u32, last: u8| {
            let mut text = Writer::new().u32(length).finish();
            text.resize(1024 - 48, 0);
            *text.last_mut().unwrap() = last;
            text
        };
        assert_eq!(lane.open(&seal(&mut text(3, 0))), Ok(vec![0; 3]));
        assert_eq!(lane.open(&seal(&mut text(3, 1))), Err(EnvelopeError::Malformed));
        assert_eq!(lane.open(&seal(&mut text(1024, 0))), Err(EnvelopeError::Malformed));
        assert_eq!(lane.open(&seal(&mut text(u32::MAX, 0))), Err(EnvelopeError::Malformed));
    }

    #[test]
    fn one_message_has_no_two_equal_envelopes() {
        let (lane, mut rng) = lane();
        let (a, b) = (lane.seal(b"hello", &mut rng).unwrap(), lane.seal(b"hello", &mut rng).unwrap());
        assert!(a[0].iter().zip(&b[0]).filter(|(a, b)| a == b).count() < 50, "envelopes are not random");
    }
}
