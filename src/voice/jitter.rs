//! The packets of one speaker until they are played, and how long that has to be (SPEC section 13.3).
//!
//! ```text
//! transit  = when a packet came - its capture time          by two clocks, so only differences mean anything
//! earliest = the least transit of the last 128 packets
//! target   = what 97 of 100 of them came later than that, and a margin
//! a sample is due at   capture time + earliest + target
//! ```
//!
//! Times are in samples of 48 kHz since whatever moment; nothing here reads a clock or decodes anything.

/// Packets by capture time. All memory is taken when it is made.
pub(super) struct Buffer {
    slots: Box<[Slot]>,
    /// Transits of the last packets, in samples, oldest overwritten first.
    transits: [i64; HISTORY],
    seen: usize,
    /// Kept of the transits whenever one is added.
    earliest: i64,
    spread: i64,
}

struct Slot {
    /// Capture time of the first sample; `None` for a free slot.
    at: Option<i64>,
    /// Length in samples.
    samples: i64,
    len: usize,
    bytes: [u8; MAX_PACKET],
}

/// One packet that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting<'a> {
    pub(super) at: i64,
    pub(super) samples: i64,
    pub(super) packet: &'a [u8],
}

/// Why a packet was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotKept {
    /// It is there already.
    Twice,
    /// No slot is free, or it is too large.
    Full,
}

impl Buffer {
    pub(super) fn new(packets: usize) -> Self {
        let vacant = || Slot { at: None, samples: 0, len: 0, bytes: [0; MAX_PACKET] };
        Self {
            slots: (0..packets).map(|_| vacant()).collect(),
            transits: [0; HISTORY],
            seen: 0,
            earliest: 0,
            spread: 0,
        }
    }

    /// Notes when a packet came, whether it is kept or not.
    ///
    /// A transit far from all others is another clock: the history begins anew, and the caller should too.
    pub(super) fn note_transit(&mut self, at: i64, now: i64) -> Clock {
        let transit = now.saturating_sub(at);
        let clock = if self.seen > 0 && (transit - self.earliest).abs() > OTHER_CLOCK {
            Clock::Other
        } else {
            Clock::Same
        };
        if clock == Clock::Other {
            self.seen = 0;
        }
        if let Some(place) = self.transits.get_mut(self.seen % HISTORY) {
            *place = transit;
        }
        self.seen += 1;
        let mut sorted = self.transits;
        if let Some(known) = sorted.get_mut(..self.seen.min(HISTORY)) {
            known.sort_unstable();
            let late = known.get((known.len() * 97 / 100).min(known.len() - 1)).copied();
            if let (Some(first), Some(late)) = (known.first().copied(), late) {
                self.earliest = first;
                self.spread = late - first;
            }
        }
        clock
    }

    /// Keeps a packet that was captured at `at`.
    pub(super) fn insert(&mut self, at: i64, samples: i64, packet: &[u8]) -> Result<(), NotKept> {
        if self.slots.iter().any(|slot| slot.at == Some(at)) {
            return Err(NotKept::Twice);
        }
        let slot = self.slots.iter_mut().find(|slot| slot.at.is_none()).ok_or(NotKept::Full)?;
        slot.bytes.get_mut(..packet.len()).ok_or(NotKept::Full)?.copy_from_slice(packet);
        (slot.at, slot.samples, slot.len) = (Some(at), samples, packet.len());
        Ok(())
    }

    /// The first packet that was captured at `from` or later.
    pub(super) fn first_from(&self, from: i64) -> Option<Waiting<'_>> {
        let slots = self.slots.iter().filter_map(|slot| Some((slot.at.filter(|at| *at >= from)?, slot)));
        let (at, slot) = slots.min_by_key(|(at, _)| *at)?;
        Some(Waiting { at, samples: slot.samples, packet: slot.bytes.get(..slot.len)? })
    }

    /// Forgets what was captured before `from`, and returns how many packets that was.
    pub(super) fn forget_before(&mut self, from: i64) -> usize {
        let old = self.slots.iter_mut().filter(|slot| slot.at.is_some_and(|at| at < from));
        old.map(|slot| slot.at = None).count()
    }

    pub(super) fn clear(&mut self) {
        self.forget_before(i64::MAX);
    }

    /// Forgets who sent through it, too.
    pub(super) fn reset(&mut self) {
        self.clear();
        self.slots.iter_mut().for_each(|slot| slot.bytes.fill(0));
        (self.seen, self.earliest, self.spread) = (0, 0, 0);
    }

    /// When a sample captured at `at` is due, if packets are to be in time of which 97 of 100 come.
    pub(super) fn due(&self, at: i64, extra: i64) -> i64 {
        at + self.earliest + self.target(extra)
    }

    /// How long a packet waits that came as early as any.
    pub(super) fn target(&self, extra: i64) -> i64 {
        // Few packets say little of the jitter that is to come.
        let unsure = if self.seen < 16 { UNSURE } else { 0 };
        (self.spread.max(unsure) + MARGIN + extra).min(MOST)
    }
}

/// Whether the speaker's clock is the one that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Same,
    Other,
}

/// Transits that are remembered: 5 s of packets of 40 ms.
const HISTORY: usize = 128;
/// The largest packet of a room.
const MAX_PACKET: usize = 1_000;
/// 2 s: no network keeps a packet of ours that long and still gets an answer.
const OTHER_CLOCK: i64 = 96_000;
/// 1.25 ms besides.
const MARGIN: i64 = 60;
/// 10 ms until the jitter is known.
const UNSURE: i64 = 480;
/// 400 ms: later than that nobody can talk.
const MOST: i64 = 19_200;

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 1_920;

    #[test]
    fn packets_come_out_by_capture_time_whatever_the_order_they_came_in() {
        let mut buffer = Buffer::new(8);
        for n in [3, 0, 2] {
            buffer.insert(n * FRAME, FRAME, &[n as u8]).unwrap();
        }
        assert_eq!(buffer.insert(0, FRAME, &[9]), Err(NotKept::Twice));
        let first = buffer.first_from(0).unwrap();
        assert_eq!((first.at, first.packet), (0, &[0][..]));
        assert_eq!(buffer.first_from(1).unwrap().at, 2 * FRAME);
        assert_eq!(buffer.forget_before(3 * FRAME), 2);
        assert_eq!(buffer.first_from(i64::MIN).unwrap().packet, [3]);
        buffer.clear();
        assert!(buffer.first_from(i64::MIN).is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let mut buffer = Buffer::new(4);
        for n in 0..4 {
            buffer.insert(n, 1, &[0; MAX_PACKET]).unwrap();
        }
        assert_eq!(buffer.insert(9, 1, &[]), Err(NotKept::Full));
        buffer.forget_before(1);
        assert_eq!(buffer.insert(9, 1, &[0; MAX_PACKET + 1]), Err(NotKept::Full));
        assert_eq!(buffer.insert(9, 1, &[]), Ok(()));
    }

    #[test]
    fn a_steady_network_needs_little_delay_and_a_jittery_one_what_it_takes() {
        let mut buffer = Buffer::new(8);
        for n in 0..200 {
            buffer.note_transit(n * FRAME, n * FRAME + 5_000);
        }
        assert_eq!(buffer.target(0), MARGIN);
        // Every tenth packet is 30 ms late: most of those have to be waited for.
        for n in 200..400 {
            buffer.note_transit(n * FRAME, n * FRAME + 5_000 + if n % 10 == 0 { 1_440 } else { 0 });
        }
        assert_eq!(buffer.target(0), 1_440 + MARGIN);
        assert_eq!(buffer.due(1_000, 0), 1_000 + 5_000 + 1_440 + MARGIN);
        // One in a hundred is not.
        for n in 400..600 {
            buffer.note_transit(n * FRAME, n * FRAME + 5_000 + if n % 100 == 0 { 9_000 } else { 0 });
        }
        assert_eq!(buffer.target(0), MARGIN);
    }

    #[test]
    fn a_clock_that_drifts_is_followed_and_one_that_jumps_is_another() {
        let mut buffer = Buffer::new(8);
        for n in 0..10_000 {
            // 200 parts in a million.
            assert_eq!(buffer.note_transit(n * FRAME, n * FRAME + n * FRAME / 5_000), Clock::Same);
        }
        let expected = 9_900 * FRAME / 5_000;
        assert!((buffer.due(0, 0) - expected).abs() < 200, "{} {expected}", buffer.due(0, 0));
        assert_eq!(buffer.note_transit(0, 10_000 * FRAME), Clock::Other);
    }
}
