//! The sealer: one Opus packet in, one sealed packet out, in place (RFC 9605 section 4.4.3, SPEC
//! section 5).

use std::{fmt, mem};

use super::{
    header::{FIRST_COUNTER, HEADER, Header, LAST_COUNTER},
    opus::{OpusPacket, Shape, duration_of},
    profile::{PacketSize, SilenceReason},
    rekey::{Retired, SealChange, SealKey, SealRekey},
    stamp::{self, FILLER, Stamp, TAIL},
};
use crate::id::{CaptureTime, Counter, Epoch, Step};

/// Bytes that the caller leaves free before the Opus packet, for the header and for padding's own
/// header.
pub const HEADROOM: usize = 16;

/// Bytes that a buffer needs beyond [`HEADROOM`] and the room's packet size, for the tag.
pub const TAILROOM: usize = 16;

/// Seals our own Opus packets. Owned by the audio thread.
///
/// It uses no lock, allocation or clock. It is not `Clone`, because it owns the counter, and a key
/// has one counter.
///
/// ```text
/// buffer  [ 16 bytes free | Opus packet, `len` bytes | free ]      at least 16 + packet size + 16 bytes
/// sealed      [ header 7 | Opus packet grown to the packet size | tag 16 ]
/// ```
pub struct Sealer {
    state: State,
    paused: Option<SilenceReason>,
    /// The counter of the next packet under the present key.
    counter: u64,
    /// When the last packet was captured, and when its audio ended, through all keys; `None` before
    /// the first.
    last: Option<Captured>,
    /// Names of the keys that were here, so that none comes back with its counter at the start.
    seen: [[u8; 16]; REMEMBERED],
    remembered: usize,
}

/// The capture time of a packet in milliseconds, and the end of its audio in microseconds.
#[derive(Clone, Copy)]
struct Captured {
    at_ms: u64,
    end_us: u64,
}

enum State {
    Speaking(Box<SealKey>),
    Silent(SilenceReason),
}

/// Keys are remembered for at least ten minutes of steps.
const REMEMBERED: usize = 64;

impl Sealer {
    /// A sealer without a key: it seals nothing until one is installed.
    pub fn new() -> Self {
        Self {
            state: State::Silent(SilenceReason::NotYet),
            paused: None,
            counter: FIRST_COUNTER,
            last: None,
            seen: [[0; 16]; REMEMBERED],
            remembered: 0,
        }
    }

    /// Takes a change of keys, and returns the replaced key, to be dropped outside the audio
    /// thread.
    ///
    /// The key that is in use may be installed again: its counter goes on.
    ///
    /// # Errors
    /// [`Reused`] for a key that was in use before another: sealing under it again could repeat a
    /// nonce. Nothing changes then.
    pub fn install(&mut self, rekey: SealRekey) -> Result<Retired, Reused> {
        let old = match rekey.0 {
            SealChange::Pause(reason) => {
                self.paused = Some(reason);
                return Ok(Retired::nothing());
            }
            SealChange::Resume => {
                self.paused = None;
                return Ok(Retired::nothing());
            }
            SealChange::Stop(reason) => mem::replace(&mut self.state, State::Silent(reason)),
            SealChange::Key(key) => {
                if let State::Speaking(present) = &self.state
                    && present.name == key.name
                {
                    return Ok(Retired::seal(Some(key)));
                }
                if self.seen.iter().take(self.remembered).any(|name| *name == key.name) {
                    return Err(Reused(Retired::seal(Some(key))));
                }
                if let Some(oldest) = self.seen.get_mut(self.remembered % REMEMBERED) {
                    *oldest = key.name;
                }
                self.remembered += 1;
                self.counter = FIRST_COUNTER;
                mem::replace(&mut self.state, State::Speaking(key))
            }
        };
        Ok(Retired::seal(match old {
            State::Speaking(key) => Some(key),
            State::Silent(_) => None,
        }))
    }

    /// Seals the Opus packet at `buffer[HEADROOM..HEADROOM + len]`, in place, and returns the
    /// sealed packet.
    ///
    /// The packet is first grown to the room's packet size. `stamp` travels only in rooms with
    /// [`Authenticity::Signed`](crate::Authenticity::Signed). There its capture time must be later
    /// than that of the packet before; a packet with [`CaptureTime::UNKNOWN`] follows the packet
    /// before without a gap. After an error the buffer's content is unspecified, but nothing of it
    /// has been sealed.
    ///
    /// # Errors
    /// See [`SealError`]; each says what to do. No error uses up a counter.
    pub fn seal<'b>(
        &mut self,
        buffer: &'b mut [u8],
        len: usize,
        stamp: Stamp,
    ) -> Result<&'b mut [u8], SealError> {
        let key = match (&self.state, self.paused) {
            (State::Speaking(key), None) => key,
            (State::Speaking(_), Some(reason)) => return Err(SealError::Silent(reason)),
            (State::Silent(reason), _) => return Err(SealError::Silent(*reason)),
        };
        if self.counter > LAST_COUNTER {
            return Err(SealError::Exhausted);
        }
        let captured = match &key.signer {
            Some(_) => Some(self.captured(buffer, len, stamp.captured)?),
            None => None,
        };
        let (start, end) = grow(buffer, len, key)?;
        let whole = buffer.get_mut(start - HEADER..end + TAILROOM).ok_or(SealError::BufferTooSmall)?;

        let header = Header { kid: key.kid, counter: Counter(self.counter) };
        self.counter += 1;
        let (head, rest) = whole.split_first_chunk_mut().ok_or(SealError::BufferTooSmall)?;
        let (packet, tag) = rest.split_last_chunk_mut().ok_or(SealError::BufferTooSmall)?;
        header.write_ours(head);
        if let (Some(signer), Some(captured)) = (&key.signer, captured) {
            self.last = Some(captured);
            let stamp = Stamp { captured: CaptureTime(captured.at_ms), ..stamp };
            stamp::sign(packet, stamp, header, key.step, &key.key, signer);
        }
        *tag = key.key.seal(header.counter, head, packet);
        Ok(whole)
    }

    /// When the packet in the buffer was captured: by its stamp, or else right after the packet
    /// before.
    fn captured(&self, buffer: &[u8], len: usize, stamp: CaptureTime) -> Result<Captured, SealError> {
        let end = HEADROOM.checked_add(len).ok_or(SealError::BufferTooSmall)?;
        let packet = buffer.get(HEADROOM..end).ok_or(SealError::BufferTooSmall)?;
        let packet = OpusPacket::parse(packet).map_err(|_| SealError::NotOpus)?;
        let begin_us = match stamp {
            CaptureTime::UNKNOWN => self.last.map_or(0, |last| last.end_us),
            CaptureTime(ms) => (ms & TRAVELS) * 1_000,
        };
        let at_ms = (begin_us / 1_000) & TRAVELS;
        if self.last.is_some_and(|last| at_ms <= last.at_ms) {
            return Err(SealError::NotLater);
        }
        let length = u64::try_from(duration_of(packet).as_micros()).unwrap_or(u64::MAX);
        Ok(Captured { at_ms, end_us: begin_us.saturating_add(length.max(1_000)) })
    }

    /// The epoch and step in which packets are sealed, while there is a key.
    pub fn position(&self) -> Option<(Epoch, Step)> {
        match &self.state {
            State::Speaking(key) => Some((key.epoch, key.step)),
            State::Silent(_) => None,
        }
    }

    /// The size of every sealed packet, while there is a key.
    pub fn sealed_size(&self) -> Option<usize> {
        match &self.state {
            State::Speaking(key) => Some(usize::from(key.packet_size.bytes() + PacketSize::SEALED_EXTRA)),
            State::Silent(_) => None,
        }
    }

    /// How many more packets the present key seals; 0 without a key.
    pub fn remaining(&self) -> u64 {
        match self.state {
            State::Speaking(_) => (LAST_COUNTER + 1).saturating_sub(self.counter),
            State::Silent(_) => 0,
        }
    }
}

/// The bits of a capture time that travel.
const TRAVELS: u64 = (1 << 48) - 1;

/// Grows the packet to the room's size; `(start, end)` is where it stands then.
#[inline]
fn grow(buffer: &mut [u8], len: usize, key: &SealKey) -> Result<(usize, usize), SealError> {
    let size = usize::from(key.packet_size.bytes());
    let end = HEADROOM.checked_add(len).ok_or(SealError::BufferTooSmall)?;
    let packet = buffer.get(HEADROOM..end).ok_or(SealError::BufferTooSmall)?;
    let shape = Shape::parse(packet).map_err(|_| SealError::NotOpus)?;
    let extra = size.checked_sub(len).ok_or(SealError::TooLarge)?;
    let growth = shape.growth(extra);
    let (fill, tail) = if key.signer.is_some() { (FILLER, TAIL) } else { (0, 0) };
    if growth.back < tail {
        return Err(SealError::TooLarge);
    }
    let start = shape.grow(buffer, HEADROOM, end, growth, fill).ok_or(SealError::BufferTooSmall)?;
    Ok((start, end + growth.back))
}

impl Default for Sealer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Silent(reason) => write!(f, "Sealer(silent: {reason})"),
            State::Speaking(key) => write!(f, "Sealer(epoch {}, step {})", key.epoch.0, key.step.0),
        }
    }
}

/// Why a packet was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum SealError {
    /// There is no key to seal with at the moment. Drop the audio and tell the user.
    Silent(SilenceReason),
    /// The key has sealed all the packets it may (65,280 in ten seconds). Wait for the next step.
    Exhausted,
    /// The Opus packet, with stamp and signature where the room has them, exceeds the room's packet
    /// size. Encode at a lower bitrate, or create rooms with larger packets.
    TooLarge,
    /// The capture time is not later than that of the packet before: every receiver would take this
    /// packet for one that it already has. Give each packet the time at which its own audio was
    /// captured, or [`CaptureTime::UNKNOWN`].
    NotLater,
    /// The bytes are not an Opus packet (RFC 6716 section 3.4).
    NotOpus,
    /// The buffer is smaller than [`HEADROOM`], the room's packet size and [`TAILROOM`] together.
    BufferTooSmall,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(reason) => write!(f, "nothing is sealed: {reason}"),
            Self::Exhausted => f.write_str("the key has sealed all the packets it may in this step"),
            Self::TooLarge => f.write_str("the Opus packet does not fit the room's packet size"),
            Self::NotLater => f.write_str("the capture time is not later than that of the packet before"),
            Self::NotOpus => f.write_str("the bytes are not an Opus packet"),
            Self::BufferTooSmall => f.write_str("the buffer is too small for a sealed packet"),
        }
    }
}

impl std::error::Error for SealError {}

/// The key was in use before another one, and must not be used again.
///
/// Holds the refused key, to be dropped outside the audio thread.
#[derive(Debug)]
pub struct Reused(#[expect(dead_code, reason = "kept only to be dropped elsewhere")] Retired);

impl fmt::Display for Reused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key was in use before another one")
    }
}

impl std::error::Error for Reused {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{
        Authenticity, CaptureTime, EpochSecret, EpochStart, Leaf, MemberId, Rekey, Schedule, Speaker,
        keys::vectors::cases,
        media::{Level, Loss, Notes},
    };

    /// A byte of notes, read a second time.
    fn notes(byte: u8) -> Notes {
        let loss = [
            Loss::Unknown,
            Loss::Below1,
            Loss::Below3,
            Loss::Below7,
            Loss::Below15,
            Loss::Below25,
            Loss::Below40,
            Loss::Worse,
        ];
        Notes { muted: byte >= 128, loss: loss[usize::from(byte % 128)] }
    }

    /// From an epoch secret to the bytes on the wire, through nothing but what callers use.
    #[test]
    fn whole_packets_are_those_of_the_vectors() {
        for case in cases("signature.txt", "packet", 12) {
            let leaves = case.numbers("leaves").into_iter().map(|leaf| Leaf(leaf as u32));
            let speakers: Vec<_> =
                leaves.map(|leaf| Speaker { leaf, member: MemberId::from_bytes([0; 32]) }).collect();
            let start = EpochStart {
                secret: EpochSecret::new(case.bytes("epoch_secret")).unwrap(),
                group_id: &case.bytes("group_id"),
                epoch: Epoch(case.number("epoch")),
                authenticator: &case.bytes("authenticator"),
                suite: case.suite(),
                authenticity: [Authenticity::Group, Authenticity::Signed][case.number("signed") as usize],
                packet_size: PacketSize::new(case.number("size") as u16).unwrap(),
                own_leaf: Leaf(case.number("leaf") as u32),
                speakers: &speakers,
                removed: &[],
                seed: &case.array("seed"),
            };
            let now = Instant::now();
            let mut schedule = Schedule::start(start, now).unwrap();
            schedule.handle_timeout(now + Duration::from_secs(10) * case.step().0);
            let mut sealer = Sealer::new();
            while let Some(rekey) = schedule.poll_rekey() {
                if let Rekey::Seal(rekey) = rekey {
                    drop(sealer.install(rekey).unwrap());
                }
            }
            assert_eq!(sealer.position(), Some((Epoch(case.number("epoch")), case.step())));
            sealer.counter = case.number("ctr");
            let packet = case.bytes("packet");
            let mut buffer = vec![0; HEADROOM + case.number("size") as usize + TAILROOM];
            buffer[HEADROOM..HEADROOM + packet.len()].copy_from_slice(&packet);
            let stamp = Stamp {
                captured: CaptureTime(case.number("captured")),
                level: Level::from_byte(case.number("level") as u8),
                notes: notes(case.number("notes") as u8),
            };
            let sealed = sealer.seal(&mut buffer, packet.len(), stamp).unwrap();
            assert_eq!(sealed, case.bytes("sealed"));
        }
    }
}
