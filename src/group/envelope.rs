//! What a relay sees of the control lane: random bytes of one of five sizes (SPEC section 8.3).
//!
//! ```text
//! | salt 32 | AES-256-GCM { length u32 | kind u8 | bytes | zeros } | tag 16 |   1, 2, 4, 8 or 16 KiB in all
//! key = HKDF-SHA-256(salt, lane key, "sottovoce 1 envelope")
//! ```
//!
//! The lane key keeps the relay out, not the people who hold or held an invite: what has to be believed
//! is protected by MLS, HPKE or a signature inside.

use std::collections::VecDeque;

use bytes::Bytes;
use rand::Rng;
use zeroize::Zeroize;

use super::codec::{Malformed, Reader, Writer};
use crate::keys::{
    aead::EnvelopeKey,
    derive::hkdf_sha256,
    secret::{DEEP, Secret, scrub_stack},
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

    /// The same key, for an invite. Its owner decides, so it is no `Clone`.
    pub(crate) fn copy(&self) -> Self {
        Self(Secret::filled(self.bytes().len(), |out| out.copy_from_slice(self.bytes())))
    }

    /// The name by which relays know the room: says nothing about it, and is new for each room.
    pub(crate) fn handle(&self) -> [u8; 16] {
        let mut handle = [0; 16];
        hkdf_sha256(&[], self.bytes(), &[b"sottovoce 1 handle"], &mut handle);
        handle
    }

    /// Seals one message into as many envelopes as it needs.
    pub(crate) fn seal(&self, message: &[u8], rng: &mut impl Rng) -> Result<Vec<Bytes>, TooLong> {
        if message.len() <= MAX_WHOLE {
            let content = Writer::new().u8(WHOLE).bytes(message).finish();
            return Ok(vec![self.seal_one(&content, rng)]);
        }
        let count = message.len().div_ceil(MAX_FRAGMENT);
        if count > MAX_FRAGMENTS {
            return Err(TooLong);
        }
        let mut id = [0; 8];
        rng.fill_bytes(&mut id);
        let fragments = (0u16..).zip(message.chunks(MAX_FRAGMENT)).map(|(index, bytes)| {
            let content =
                Writer::new().u8(FRAGMENT).bytes(&id).u16(index).u16(count as u16).bytes(bytes).finish();
            self.seal_one(&content, rng)
        });
        Ok(fragments.collect())
    }

    /// Opens one envelope. What comes out is not authenticated to anybody but holders of the lane key.
    fn open(&self, envelope: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
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

    fn seal_one(&self, content: &[u8], rng: &mut impl Rng) -> Bytes {
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
        hkdf_sha256(salt, self.bytes(), &[b"sottovoce 1 envelope"], &mut bytes);
        let key = EnvelopeKey::new(&bytes);
        bytes.zeroize();
        scrub_stack::<DEEP>();
        key
    }
}

/// Opens envelopes and puts fragments together, within bounds.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Oldest first.
    open: VecDeque<Partial>,
}

struct Partial {
    id: [u8; 8],
    fragments: Vec<Option<Vec<u8>>>,
}

impl Inbox {
    /// Takes an envelope; a whole message comes out when its last part is in.
    pub(crate) fn receive(
        &mut self,
        lane: &LaneKey,
        envelope: &[u8],
    ) -> Result<Option<Vec<u8>>, EnvelopeError> {
        let content = lane.open(envelope)?;
        let mut reader = Reader::new(&content);
        match reader.u8() {
            Ok(WHOLE) => Ok(Some(reader.rest().to_vec())),
            Ok(FRAGMENT) => self.fragment(reader).map_err(|Malformed| EnvelopeError::Malformed),
            _ => Err(EnvelopeError::Malformed),
        }
    }

    fn fragment(&mut self, mut reader: Reader<'_>) -> Result<Option<Vec<u8>>, Malformed> {
        let id = reader.array()?;
        let index = usize::from(reader.u16()?);
        let count = usize::from(reader.u16()?);
        if !(2..=MAX_FRAGMENTS).contains(&count) || index >= count {
            return Err(Malformed);
        }
        let at = match self.open.iter().position(|partial| partial.id == id) {
            Some(at) => at,
            None => {
                if self.open.len() == MAX_OPEN {
                    self.open.pop_front();
                }
                self.open.push_back(Partial { id, fragments: vec![None; count] });
                self.open.len() - 1
            }
        };
        let partial = self.open.get_mut(at).ok_or(Malformed)?;
        if partial.fragments.len() != count {
            return Err(Malformed);
        }
        let slot = partial.fragments.get_mut(index).ok_or(Malformed)?;
        if slot.is_none() {
            *slot = Some(reader.rest().to_vec());
        }
        if partial.fragments.iter().any(Option::is_none) {
            return Ok(None);
        }
        let whole = self.open.remove(at).ok_or(Malformed)?;
        Ok(Some(whole.fragments.into_iter().flatten().flatten().collect()))
    }
}

/// Why an envelope is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnvelopeError {
    /// It does not have one of the five sizes.
    Size,
    /// It was not sealed with this room's lane key, or was altered.
    Forged,
    /// What is inside is not in the form of SPEC section 8.3.
    Malformed,
}

/// The message does not fit into 64 fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The five sizes of an envelope.
pub(crate) const SIZES: [usize; 5] = [1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10];
/// Salt, length, tag.
const OVERHEAD: usize = 32 + 4 + 16;
const MAX_CONTENT: usize = (16 << 10) - OVERHEAD;
const MAX_WHOLE: usize = MAX_CONTENT - 1;
const MAX_FRAGMENT: usize = MAX_CONTENT - 1 - 8 - 2 - 2;
const MAX_FRAGMENTS: usize = 64;
/// The longest message: about 1 MiB.
pub(crate) const MAX_MESSAGE: usize = MAX_FRAGMENTS * MAX_FRAGMENT;
/// Messages whose fragments are waited for at one time.
const MAX_OPEN: usize = 4;
const WHOLE: u8 = 0;
const FRAGMENT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn lane() -> (LaneKey, StdRng) {
        (LaneKey::new(&[3; 32]), StdRng::from_seed([4; 32]))
    }

    fn receive_all(lane: &LaneKey, envelopes: &[Bytes]) -> Option<Vec<u8>> {
        let mut inbox = Inbox::default();
        let mut whole = None;
        for envelope in envelopes {
            if let Some(message) = inbox.receive(lane, envelope).unwrap() {
                assert!(whole.replace(message).is_none());
            }
        }
        whole
    }

    proptest! {
        #[test]
        fn messages_round_trip_in_one_of_five_sizes(len in 0usize..60_000, reverse: bool) {
            let (lane, mut rng) = lane();
            let message: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut envelopes = lane.seal(&message, &mut rng).unwrap();
            prop_assert!(envelopes.iter().all(|envelope| SIZES.contains(&envelope.len())));
            if reverse {
                envelopes.reverse();
            }
            prop_assert_eq!(receive_all(&lane, &envelopes), Some(message));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let (lane, _) = lane();
            prop_assert!(Inbox::default().receive(&lane, &bytes).is_err());
        }

        #[test]
        fn random_contents_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..900), kind in 0u8..3) {
            let (lane, mut rng) = lane();
            let content = [&[kind][..], &bytes].concat();
            let _ = Inbox::default().receive(&lane, &lane.seal_one(&content, &mut rng));
        }
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
        assert!(lane.seal(&vec![0; MAX_MESSAGE], &mut rng).is_ok());
        assert_eq!(lane.seal(&vec![0; MAX_MESSAGE + 1], &mut rng), Err(TooLong));
    }

    #[test]
    fn every_altered_bit_cut_and_foreign_key_is_refused() {
        let (lane, mut rng) = lane();
        let envelope = lane.seal(b"hello", &mut rng).unwrap().remove(0);
        for at in 0..envelope.len() {
            let mut altered = envelope.to_vec();
            altered[at] ^= 1 << (at % 8);
            assert_eq!(Inbox::default().receive(&lane, &altered), Err(EnvelopeError::Forged));
        }
        assert_eq!(Inbox::default().receive(&lane, &envelope[1..]), Err(EnvelopeError::Size));
        let other = LaneKey::new(&[5; 32]);
        assert_eq!(Inbox::default().receive(&other, &envelope), Err(EnvelopeError::Forged));
    }

    #[test]
    fn one_message_has_no_two_equal_envelopes() {
        let (lane, mut rng) = lane();
        let (a, b) = (lane.seal(b"hello", &mut rng).unwrap(), lane.seal(b"hello", &mut rng).unwrap());
        assert!(a[0].iter().zip(&b[0]).filter(|(a, b)| a == b).count() < 50, "envelopes are not random");
    }

    #[test]
    fn reassembly_is_bounded_and_lies_about_counts_are_refused() {
        let (lane, mut rng) = lane();
        let mut inbox = Inbox::default();
        let messages: Vec<Vec<Bytes>> =
            (0..5).map(|n| lane.seal(&vec![n; 20_000], &mut rng).unwrap()).collect();
        for message in &messages {
            assert_eq!(inbox.receive(&lane, &message[0]), Ok(None));
        }
        assert_eq!(inbox.open.len(), MAX_OPEN);
        assert_eq!(inbox.receive(&lane, &messages[4][1]), Ok(Some(vec![4; 20_000])));
        assert_eq!(inbox.receive(&lane, &messages[0][1]), Ok(None), "the oldest was dropped");
        let part = |id: u8, index: u16, count: u16| {
            Writer::new().u8(FRAGMENT).bytes(&[id; 8]).u16(index).u16(count).bytes(b"x").finish()
        };
        let mut receive = |content: Vec<u8>| inbox.receive(&lane, &lane.seal_one(&content, &mut rng));
        assert_eq!(receive(part(1, 2, 2)), Err(EnvelopeError::Malformed));
        assert_eq!(receive(part(1, 0, 65)), Err(EnvelopeError::Malformed));
        assert_eq!(receive(part(1, 0, 1)), Err(EnvelopeError::Malformed));
        assert_eq!(receive(part(1, 0, 3)), Ok(None));
        assert_eq!(receive(part(1, 1, 2)), Err(EnvelopeError::Malformed));
    }
}
