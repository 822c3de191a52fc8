//! The packets that a receiver keeps of the last minute, in memory only (SPEC section 12.1).
//!
//! ```text
//! rings[speaker]   [ frame | frame | frame | ...... free ...... ]     one for each, made before the first packet
//!                    ^ oldest: overwritten with zeros once the window has passed it
//! frame            [ arrival 8 | speaker context 32 | step 4 | KID 4 | CTR 2 | salt 16 | length 2 | packet ]
//! ```

mod excerpt;

use std::{
    fmt,
    ops::Range,
    time::{Duration, Instant},
};

use zeroize::Zeroize;

pub use self::excerpt::{Excerpt, ExcerptError};
use crate::{
    id::MemberId,
    media::{
        OpenRekey, Opened, PacketSize,
        stamp::{Evidence, SALT},
    },
};

/// How much of the audio that was heard is kept for reports.
///
/// A recorder takes `speakers` times `window / packet` times the room's packet size plus 68 bytes:
/// with the defaults 1.02 MB for each speaker, 65 MB in all. All of it is reserved when the
/// recorder is made; most systems provide memory only when it is first written to, which is when a
/// speaker is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// How long a packet is kept: 60 s by default, 5 minutes and 30,000 times `packet` at most.
    /// Zero keeps nothing.
    pub window: Duration,
    /// The least audio in a packet, 20 ms by default and 2.5 ms at least. If a speaker sends
    /// shorter packets all the time, the recorder refuses them after a while.
    pub packet: Duration,
    /// How many speakers are kept at a time, 64 by default and 1,024 at most. Half of the places,
    /// 32 at most, are for people with rank and for those whom this member has known the longest;
    /// the other speakers share the rest, first come, first served.
    pub speakers: usize,
}

impl Retention {
    /// Keeps nothing, so nothing can be reported.
    pub const NOTHING: Self = Self { window: Duration::ZERO, packet: Duration::from_millis(20), speakers: 0 };
}

impl Default for Retention {
    fn default() -> Self {
        Self { window: Duration::from_secs(60), speakers: 64, ..Self::NOTHING }
    }
}

/// Keeps the last minute of what an [`Opener`](crate::Opener) opened. Owned by the audio thread.
///
/// It uses no lock, allocation or clock: all its memory is there from the start, and packets older
/// than the window are overwritten. Give it every opened packet before playing it, and play only
/// packets that it kept: then users hear nothing that they cannot report. Wiped by
/// [`wipe`](Self::wipe) and on drop.
pub struct Buffer {
    keep: Retention,
    began: Instant,
    rings: Box<[Ring]>,
    /// The frames of all rings, one ring behind the other.
    frames: Box<[u8]>,
    frame_len: usize,
    /// Frames of a ring.
    depth: usize,
    /// The ring at which the search for old packets continues.
    hand: usize,
    gave_way: GaveWay,
}

/// Speakers for whom there was no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GaveWay {
    /// How many packets were not kept, and so must not be played.
    pub packets: u64,
    /// The speaker of the last of them.
    pub last: Option<MemberId>,
}

/// The frames of one speaker, oldest first, from `first` on and round.
#[derive(Clone, Copy)]
struct Ring {
    member: Option<MemberId>,
    /// It has a place of its own, and takes none of those for everybody.
    is_first: bool,
    first: usize,
    len: usize,
    /// Frames from the front that were ever written to.
    used: usize,
}

const VACANT: Ring = Ring { member: None, is_first: false, first: 0, len: 0, used: 0 };

impl Buffer {
    /// Reserves the memory for `keep` in a room of this packet size. Values out of bounds are
    /// clamped.
    pub fn new(mut keep: Retention, size: PacketSize, now: Instant) -> Self {
        keep.window = keep.window.min(MAX_WINDOW);
        keep.packet = keep.packet.max(MIN_PACKET);
        keep.window = keep.window.min(keep.packet.saturating_mul(MAX_PACKETS));
        keep.speakers = if keep.window.is_zero() { 0 } else { keep.speakers.min(MAX_SPEAKERS) };
        // One tenth more, for what jitter brings at once.
        let depth = keep.window.as_micros().div_ceil(keep.packet.as_micros());
        let depth = usize::try_from(depth + depth / 10 + 1).unwrap_or(usize::MAX).min(MAX_DEPTH);
        let frame_len = HEAD + usize::from(size.bytes());
        Self {
            keep,
            began: now,
            rings: vec![VACANT; keep.speakers].into(),
            frames: vec![0; keep.speakers * depth * frame_len].into(),
            frame_len,
            depth,
            hand: 0,
            gave_way: GaveWay::default(),
        }
    }

    /// Keeps a packet that was just opened, and wipes packets older than the window.
    ///
    /// A packet without a signature ([`Proof::Group`](crate::media::Proof::Group)) proves nothing,
    /// and is not kept.
    ///
    /// # Errors
    /// [`NotKept`]: do not play the packet.
    #[inline]
    pub fn record(&mut self, opened: &Opened<'_>, now: Instant) -> Result<(), NotKept> {
        let Some(evidence) = &opened.evidence else { return Ok(()) };
        if self.keep.window.is_zero() {
            return Ok(());
        }
        let arrival = self.millis(now);
        self.hand = (self.hand + 1) % self.rings.len().max(1);
        self.expire(self.hand, arrival);
        let Some(index) = self.ring_of(opened.member, evidence.is_first, arrival) else {
            self.gave_way = GaveWay { packets: self.gave_way.packets + 1, last: Some(opened.member) };
            return Err(NotKept::Speakers);
        };
        self.expire(index, arrival);
        let ring = self.rings.get_mut(index).ok_or(NotKept::Speakers)?;
        if ring.len >= self.depth {
            return Err(NotKept::Rate);
        }
        let place = (ring.first + ring.len) % self.depth;
        let at = (index * self.depth + place) * self.frame_len;
        let frame = self.frames.get_mut(at..).ok_or(NotKept::Size)?;
        let frame = frame.get_mut(..self.frame_len).ok_or(NotKept::Size)?;
        write(frame, arrival, evidence, opened).ok_or(NotKept::Size)?;
        (ring.member, ring.is_first) = (Some(opened.member), evidence.is_first);
        ring.len += 1;
        ring.used = ring.used.max(place + 1);
        Ok(())
    }

    /// Wipes packets older than the window. Call it now and then while nobody speaks.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.millis(now);
        (0..self.rings.len()).for_each(|index| self.expire(index, now));
    }

    /// Takes notice of a change of keys: when the last key goes, everything recorded is wiped.
    ///
    /// This is for applications whose users lose the recording when they leave, as the driver's do.
    pub fn handle_rekey(&mut self, rekey: &OpenRekey) {
        if rekey.is_close() {
            self.wipe();
        }
    }

    /// Overwrites everything.
    pub fn wipe(&mut self) {
        let (depth, len) = (self.depth, self.frame_len);
        for (ring, frames) in self.rings.iter_mut().zip(self.frames.chunks_exact_mut(depth * len)) {
            // What was never written to is not touched: the system has not given it yet.
            frames.get_mut(..ring.used * len).unwrap_or_default().zeroize();
            *ring = VACANT;
        }
    }

    /// Copies the packets of one speaker that arrived in `window` into `into`, and replaces its
    /// content.
    ///
    /// Allocates nothing if `into` was made for this recorder.
    ///
    /// # Errors
    /// See [`ExcerptError`]; `into` is empty then.
    pub fn excerpt(
        &self,
        member: MemberId,
        window: Range<Instant>,
        into: &mut Excerpt,
    ) -> Result<(), ExcerptError> {
        into.clear();
        if window.end.saturating_duration_since(window.start) < MIN_EXCERPT {
            return Err(ExcerptError::TooShort);
        }
        let index = self.rings.iter().position(|ring| ring.member == Some(member));
        let index = index.ok_or(ExcerptError::NothingHeard)?;
        let window = self.millis(window.start)..=self.millis(window.end);
        for frame in self.frames_of(index).filter(|frame| window.contains(&arrival_of(frame))) {
            into.frames.extend_from_slice(frame);
        }
        if into.frames.is_empty() {
            return Err(ExcerptError::NothingHeard);
        }
        into.member = Some(member);
        into.frame_len = self.frame_len;
        Ok(())
    }

    /// How long packets are kept, after the bounds were applied.
    pub fn window(&self) -> Duration {
        self.keep.window
    }

    /// Speakers for whom there was no place, since the recorder was made.
    pub fn gave_way(&self) -> GaveWay {
        self.gave_way
    }

    /// Bytes that are reserved for frames.
    pub fn reserved(&self) -> usize {
        self.frames.len()
    }

    /// How many frames of a speaker are kept now.
    pub fn kept(&self, member: MemberId) -> usize {
        self.rings.iter().find(|ring| ring.member == Some(member)).map_or(0, |ring| ring.len)
    }

    /// The ring of a speaker, or a free one.
    fn ring_of(&mut self, member: MemberId, is_first: bool, now: u64) -> Option<usize> {
        if let Some(index) = self.rings.iter().position(|ring| ring.member == Some(member)) {
            return Some(index);
        }
        if !is_first {
            let of_everybody =
                |rings: &[Ring]| rings.iter().filter(|ring| ring.member.is_some() && !ring.is_first).count();
            let most = self.rings.len() - (self.rings.len() / 2).min(FIRSTS);
            if of_everybody(&self.rings) >= most {
                (0..self.rings.len()).for_each(|index| self.expire(index, now));
            }
            if of_everybody(&self.rings) >= most {
                return None;
            }
        }
        let is_vacant =
            |rings: &[Ring], index: usize| rings.get(index).is_some_and(|ring| ring.member.is_none());
        let mut all = 0..self.rings.len();
        all.clone().find(|index| is_vacant(&self.rings, *index)).or_else(|| {
            all.find(|index| {
                self.expire(*index, now);
                is_vacant(&self.rings, *index)
            })
        })
    }

    /// Wipes the frames of one ring that are older than the window. A ring without frames is free.
    fn expire(&mut self, index: usize, now: u64) {
        let window = u64::try_from(self.keep.window.as_millis()).unwrap_or(u64::MAX);
        let Some(ring) = self.rings.get_mut(index) else { return };
        while ring.len > 0 {
            let at = (index * self.depth + ring.first) * self.frame_len;
            let Some(frame) = self.frames.get_mut(at..at + self.frame_len) else { return };
            if arrival_of(frame).saturating_add(window) >= now {
                return;
            }
            // Plain stores: this memory is read again, so they are not left out.
            frame.fill(0);
            ring.first = (ring.first + 1) % self.depth;
            ring.len -= 1;
        }
        *ring = Ring { used: ring.used, ..VACANT };
    }

    fn frames_of(&self, index: usize) -> impl Iterator<Item = &[u8]> {
        let ring = self.rings.get(index).copied().unwrap_or(VACANT);
        (0..ring.len).filter_map(move |frame| {
            let place = index * self.depth + (ring.first + frame) % self.depth;
            self.frames.get(place * self.frame_len..)?.get(..self.frame_len)
        })
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Shows how much is in it, but not whose packets.
impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames: usize = self.rings.iter().map(|ring| ring.len).sum();
        write!(f, "Recorder({frames} frames)")
    }
}

/// Why a packet was not kept. Do not play it, since nobody could report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotKept {
    /// More speakers were heard within the window than there is room for.
    Speakers,
    /// The speaker sends more packets than its audio needs.
    Rate,
    /// The packet is larger than those of the room, or has numbers that no packet of this library
    /// has.
    Size,
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Speakers => "more speakers than there is room to record",
            Self::Rate => "the speaker sends more packets than its audio needs",
            Self::Size => "the packet is not of the room's size",
        })
    }
}

impl std::error::Error for NotKept {}

fn write(frame: &mut [u8], arrival: u64, evidence: &Evidence, opened: &Opened<'_>) -> Option<()> {
    let packet = opened.packet.as_bytes();
    let kid = u32::try_from(evidence.kid.0).ok()?.to_be_bytes();
    let counter = u16::try_from(opened.counter.0).ok()?.to_be_bytes();
    let length = u16::try_from(packet.len()).ok()?.to_be_bytes();
    frame.get_mut(HEAD..)?.get_mut(..packet.len())?.copy_from_slice(packet);
    let (arrival, step) = (arrival.to_be_bytes(), opened.step.0.to_be_bytes());
    let parts: [&[u8]; 7] =
        [&arrival, &evidence.speaker_context, &step, &kid, &counter, &evidence.salt, &length];
    let mut at = 0;
    for part in parts {
        frame.get_mut(at..at + part.len())?.copy_from_slice(part);
        at += part.len();
    }
    Some(())
}

fn arrival_of(frame: &[u8]) -> u64 {
    frame.first_chunk().map_or(0, |arrival| u64::from_be_bytes(*arrival))
}

/// Bytes of a frame before its packet.
const HEAD: usize = 8 + 32 + 4 + 4 + 2 + SALT + 2;
/// The shortest window that is worth a report (SPEC section 12.2).
const MIN_EXCERPT: Duration = Duration::from_secs(5);
const MAX_WINDOW: Duration = Duration::from_secs(300);
/// Packets in the longest window: five minutes of packets of 10 ms. A report can hold that many.
const MAX_PACKETS: u32 = 30_000;
/// Frames of the deepest ring: those, a tenth for jitter, and one.
pub(super) const MAX_DEPTH: usize = 33_001;
const MIN_PACKET: Duration = Duration::from_micros(2_500);
const MAX_SPEAKERS: usize = 1_024;
/// Speakers that have a place of their own, where there are places for twice as many.
pub(crate) const FIRSTS: usize = 32;

#[cfg(test)]
mod tests;
