//! The packets that a recorder kept of one speaker, copied out for a report.

use std::fmt;

use zeroize::Zeroize;

use super::Buffer;
use crate::{
    id::{Counter, KeyId, MemberId, Step},
    media::stamp::SALT,
};

/// One speaker's packets of one window of time, copied out of a [`Buffer`].
///
/// [`Room::report`](crate::room::Room::report) turns it into a report, on the control thread. Wiped
/// on drop.
pub struct Excerpt {
    pub(super) member: Option<MemberId>,
    pub(super) frames: Vec<u8>,
    pub(super) frame_len: usize,
}

impl Excerpt {
    /// An empty excerpt, with room for all that this recorder can keep of a speaker.
    pub fn new(recorder: &Buffer) -> Self {
        let frames = Vec::with_capacity(recorder.depth * recorder.frame_len);
        Self { member: None, frames, frame_len: recorder.frame_len }
    }

    /// The speaker; `None` while the excerpt is empty.
    pub fn member(&self) -> Option<MemberId> {
        self.member
    }

    /// How many packets it holds.
    pub fn len(&self) -> usize {
        self.frames.len() / self.frame_len.max(1)
    }

    /// Whether it holds no packets.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Overwrites and empties it.
    pub fn clear(&mut self) {
        self.member = None;
        self.frames.zeroize();
    }

    /// The packets, in the order of their arrival.
    #[cfg_attr(not(any(feature = "room", test)), expect(dead_code, reason = "only a room makes reports"))]
    pub(crate) fn frames(&self) -> impl Iterator<Item = Recorded<'_>> {
        self.frames.chunks_exact(self.frame_len.max(1)).filter_map(read)
    }
}

impl Drop for Excerpt {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Excerpt({} frames)", self.len())
    }
}

/// One packet as it was kept.
#[cfg_attr(not(any(feature = "room", test)), expect(dead_code, reason = "only a room makes reports"))]
pub(crate) struct Recorded<'a> {
    pub(crate) speaker_context: [u8; 32],
    pub(crate) step: Step,
    pub(crate) kid: KeyId,
    pub(crate) counter: Counter,
    pub(crate) salt: [u8; SALT],
    pub(crate) packet: &'a [u8],
}

/// Why there is no excerpt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExcerptError {
    /// The window is shorter than five seconds: a few words out of context mislead.
    TooShort,
    /// The recorder has no packets of this speaker from this window.
    NothingHeard,
}

impl fmt::Display for ExcerptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "a report covers five seconds at least",
            Self::NothingHeard => "nothing of this speaker is kept in that window",
        })
    }
}

impl std::error::Error for ExcerptError {}

fn read(frame: &[u8]) -> Option<Recorded<'_>> {
    let (_arrival, rest) = frame.split_first_chunk::<8>()?;
    let (speaker_context, rest) = rest.split_first_chunk()?;
    let (step, rest) = rest.split_first_chunk()?;
    let (kid, rest) = rest.split_first_chunk()?;
    let (counter, rest) = rest.split_first_chunk()?;
    let (salt, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    Some(Recorded {
        speaker_context: *speaker_context,
        step: Step(u32::from_be_bytes(*step)),
        kid: KeyId(u32::from_be_bytes(*kid).into()),
        counter: Counter(u16::from_be_bytes(*counter).into()),
        salt: *salt,
        packet: rest.get(..u16::from_be_bytes(*length).into())?,
    })
}
