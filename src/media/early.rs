//! Packets that came before their key: a small ring that holds them for a moment (SPEC section
//! 5.6).

use super::open::{MAX_FRAME, Opener};

/// Holds packets that were refused as [early](crate::OpenError::is_early), to try them after the
/// next rekey.
///
/// Bounded: a full ring forgets its oldest packet. All memory is taken when it is made.
pub struct Early {
    frames: Box<[Held]>,
    /// Where the next packet goes.
    next: usize,
    /// How many packets are held; the oldest stands `held` places before `next`.
    held: usize,
}

struct Held {
    bytes: [u8; MAX_FRAME],
    len: usize,
}

impl Early {
    /// Makes room for `packets` packets.
    pub fn new(packets: usize) -> Self {
        let vacant = || Held { bytes: [0; MAX_FRAME], len: 0 };
        Self { frames: (0..packets).map(|_| vacant()).collect(), next: 0, held: 0 }
    }

    /// Keeps a copy of a packet. Places are filled in turn, and then again in turn, the oldest
    /// first.
    ///
    /// A packet larger than any that can be opened is not kept.
    pub fn hold(&mut self, frame: &[u8]) {
        let span = self.frames.len();
        let Some(place) = self.frames.get_mut(self.next) else { return };
        let Some(bytes) = place.bytes.get_mut(..frame.len()) else { return };
        bytes.copy_from_slice(frame);
        place.len = frame.len();
        self.next = (self.next + 1) % span;
        self.held = (self.held + 1).min(span);
    }

    /// Takes out the oldest packet that `opener` has the key for by now.
    ///
    /// Open it, and call again until this yields `None`. Packets that are still unknown stay.
    pub fn next_known(&mut self, opener: &mut Opener) -> Option<&mut [u8]> {
        let span = self.frames.len();
        let mut oldest_first = (1..=self.held).rev().map(|age| (self.next + span - age) % span);
        let index = oldest_first.find(|index| {
            let frame = self.frames.get(*index).and_then(|held| held.bytes.get(..held.len));
            frame.is_some_and(|frame| !frame.is_empty() && opener.knows(frame))
        })?;
        let held = self.frames.get_mut(index)?;
        let len = std::mem::take(&mut held.len);
        held.bytes.get_mut(..len)
    }

    /// Forgets everything, for example when an epoch is dropped.
    pub fn clear(&mut self) {
        self.held = 0;
    }
}
