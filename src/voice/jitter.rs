//! The packets of one speaker until they are played, and how long that has to be (SPEC section
//! 13.3).
//!
//! ```text
//! transit  = when a packet came - its capture time          by two clocks, so only differences mean anything
//! earliest = the least transit of the history, which is the last 128 packets at most
//! target   = how much later than that 97 of 100 of them came that came within 400 ms, and a margin
//! a sample is due at   capture time + earliest + target + lead
//! ```
//!
//! The history begins anew (an anchor) when the path or the sender's clock changed by more than the
//! target covers: see [`Buffer::note_transit`]. Times are in samples of 48 kHz since whatever
//! moment; nothing here reads a clock or decodes anything.

/// Packets by capture time. All memory is taken when it is made.
pub(super) struct Buffer {
    slots: Box<[Slot]>,
    /// Transits of the last packets, in samples, oldest overwritten first.
    transits: [i64; HISTORY],
    seen: usize,
    /// Kept of the transits whenever one is added.
    earliest: i64,
    spread: i64,
    /// The spread that is assumed while the history is short.
    assumed: i64,
    /// When the first of a run of packets came that all came later than any target waits.
    late_since: Option<i64>,
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
    /// As much sound waits as may, and all of it is newer.
    Old,
    /// It is larger than any packet of a room.
    Large,
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
            assumed: UNSURE,
            late_since: None,
        }
    }

    /// Notes when a packet came, whether the packet is kept or not.
    ///
    /// The history begins anew, and [`Anchor::New`] comes back, for a packet
    /// - whose transit differs from the earliest by more than 2 s: another clock,
    /// - that comes while nothing of this sender is played (`resting`) and would not be in time, or
    ///   is far too early: the path or the clock changed while nothing came, or the capture times
    ///   stood still in a pause,
    /// - that ends half a second in which all packets came later than any target waits: a longer
    ///   path.
    pub(super) fn note_transit(&mut self, at: i64, now: i64, resting: bool) -> Anchor {
        let transit = now.saturating_sub(at);
        let anchor = if self.seen > 0 && self.left_history(transit, now, resting) {
            // The jitter stays what it was until the new history says more.
            self.assumed = self.spread.max(UNSURE);
            self.seen = 0;
            self.late_since = None;
            Anchor::New
        } else {
            Anchor::Kept
        };
        if let Some(place) = self.transits.get_mut(self.seen % HISTORY) {
            *place = transit;
        }
        self.seen += 1;
        let mut sorted = self.transits;
        if let Some(known) = sorted.get_mut(..self.seen.min(HISTORY)) {
            known.sort_unstable();
            let first = known.first().copied().unwrap_or(transit);
            // What comes later than any target waits is as good as lost, and no reason to wait for
            // the rest.
            let waited = known.partition_point(|transit| transit - first <= MOST);
            let late = known.get(waited.saturating_sub(1).min(waited * 97 / 100)).copied().unwrap_or(first);
            self.earliest = first;
            self.spread = late - first;
        }
        anchor
    }

    /// Whether a transit does not belong to the history.
    fn left_history(&mut self, transit: i64, now: i64, resting: bool) -> bool {
        let late = transit.saturating_sub(self.earliest);
        let run = if late > MOST { Some(*self.late_since.get_or_insert(now)) } else { None };
        self.late_since = run;
        late.saturating_abs() > OTHER_CLOCK
            || (resting && (late > self.target() || late < -FAR_TOO_EARLY))
            || run.is_some_and(|since| now - since >= LATE_FOR)
    }

    /// Keeps a packet that was captured at `at`, and returns how many older ones had to go for it.
    pub(super) fn insert(&mut self, at: i64, samples: i64, packet: &[u8]) -> Result<usize, NotKept> {
        if self.slots.iter().any(|slot| slot.at == Some(at)) {
            return Err(NotKept::Twice);
        }
        if packet.len() > MAX_PACKET {
            return Err(NotKept::Large);
        }
        // What is oldest is worth least.
        let mut gone = 0;
        while self.waiting() + samples > MOST_SOUND || self.slots.iter().all(|slot| slot.at.is_some()) {
            let oldest = self.first_from(i64::MIN).map(|waiting| waiting.at).ok_or(NotKept::Old)?;
            if oldest > at {
                return Err(NotKept::Old);
            }
            gone += self.forget_before(oldest.saturating_add(1));
        }
        let slot = self.slots.iter_mut().find(|slot| slot.at.is_none()).ok_or(NotKept::Old)?;
        slot.bytes.get_mut(..packet.len()).ok_or(NotKept::Large)?.copy_from_slice(packet);
        (slot.at, slot.samples, slot.len) = (Some(at), samples, packet.len());
        Ok(gone)
    }

    /// Samples of sound that wait.
    fn waiting(&self) -> i64 {
        self.slots.iter().filter(|slot| slot.at.is_some()).map(|slot| slot.samples).sum()
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
        (self.assumed, self.late_since) = (UNSURE, None);
    }

    /// When a sample captured at `at` is due, if 97 of 100 packets are to be in time and sound is
    /// made `lead` before it is heard.
    pub(super) fn due(&self, at: i64, lead: i64) -> i64 {
        at.saturating_add(self.earliest).saturating_add(self.target() + lead)
    }

    /// How long a packet waits for later ones, if it came as early as any.
    pub(super) fn target(&self) -> i64 {
        // Few packets say little of the jitter that is to come.
        let assumed = if self.seen < 16 { self.assumed } else { 0 };
        (self.spread.max(assumed) + MARGIN).min(MOST)
    }
}

/// Whether capture times are still related to our clock as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Kept,
    New,
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
/// 1.28 s of sound: behind a network that froze for longer there is no use in more.
const MOST_SOUND: i64 = 61_440;
/// 20 ms: a packet that comes so much earlier than any before it is no jitter.
const FAR_TOO_EARLY: i64 = 960;
/// 500 ms of packets that are all too late.
const LATE_FOR: i64 = 24_000;

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
    fn memory_is_bounded_and_the_newest_are_kept() {
        let mut buffer = Buffer::new(4);
        for n in 0..4 {
            assert_eq!(buffer.insert(n, 1, &[0; MAX_PACKET]), Ok(0));
        }
        assert_eq!(buffer.insert(9, 1, &[7; MAX_PACKET + 1]), Err(NotKept::Large));
        assert_eq!(buffer.insert(-1, 1, &[]), Err(NotKept::Old));
        assert_eq!(buffer.insert(9, 1, &[]), Ok(1));
        assert_eq!(buffer.first_from(i64::MIN).unwrap().at, 1);
        // 1.28 s of sound, in however few packets.
        assert_eq!(buffer.insert(10, MOST_SOUND - 1, &[]), Ok(3));
        assert_eq!(buffer.first_from(i64::MIN).unwrap().at, 9);
    }

    #[test]
    fn a_steady_network_needs_little_delay_and_a_jittery_one_what_it_takes() {
        let mut buffer = Buffer::new(8);
        for n in 0..200 {
            buffer.note_transit(n * FRAME, n * FRAME + 5_000, false);
        }
        assert_eq!(buffer.target(), MARGIN);
        // Every tenth packet is 30 ms late: most of those have to be waited for.
        for n in 200..400 {
            buffer.note_transit(n * FRAME, n * FRAME + 5_000 + if n % 10 == 0 { 1_440 } else { 0 }, false);
        }
        assert_eq!(buffer.target(), 1_440 + MARGIN);
        assert_eq!(buffer.due(1_000, 0), 1_000 + 5_000 + 1_440 + MARGIN);
        // One in a hundred is not.
        for n in 400..600 {
            buffer.note_transit(n * FRAME, n * FRAME + 5_000 + if n % 100 == 0 { 9_000 } else { 0 }, false);
        }
        assert_eq!(buffer.target(), MARGIN);
    }

    #[test]
    fn a_clock_that_drifts_is_followed_and_one_that_jumps_is_another() {
        let mut buffer = Buffer::new(8);
        for n in 0..10_000 {
            // 200 parts in a million.
            assert_eq!(buffer.note_transit(n * FRAME, n * FRAME + n * FRAME / 5_000, false), Anchor::Kept);
        }
        let expected = 9_900 * FRAME / 5_000;
        assert!((buffer.due(0, 0) - expected).abs() < 200, "{} {expected}", buffer.due(0, 0));
        assert_eq!(buffer.note_transit(0, 10_000 * FRAME, false), Anchor::New);
    }

    #[test]
    fn half_a_second_of_packets_that_are_all_too_late_is_a_longer_path_and_fewer_are_jitter() {
        let mut buffer = Buffer::new(8);
        let mut note = |n: i64, late: i64| buffer.note_transit(n * FRAME, n * FRAME + late, false);
        assert!((0..50).all(|n| note(n, 0) == Anchor::Kept));
        // 480 ms of them, and one that is in time.
        assert!((50..63).all(|n| note(n, MOST + 1) == Anchor::Kept));
        assert_eq!(note(63, 0), Anchor::Kept);
        let first = (64..100).find(|n| note(*n, MOST + 1) == Anchor::New);
        assert_eq!(first, Some(64 + 13));
        assert_eq!(buffer.due(0, 0), MOST + 1 + UNSURE + MARGIN);
    }

    #[test]
    fn what_would_not_be_in_time_after_a_rest_begins_anew_with_the_jitter_that_was_known() {
        let mut buffer = Buffer::new(8);
        for n in 0..50 {
            buffer.note_transit(n * FRAME, n * FRAME + (n % 5) * 240, false);
        }
        let target = buffer.target();
        assert_eq!(buffer.note_transit(50 * FRAME, 50 * FRAME + target, true), Anchor::Kept);
        assert_eq!(buffer.note_transit(51 * FRAME, 51 * FRAME + 9_600, true), Anchor::New);
        assert_eq!(buffer.due(0, 0), 9_600 + target);
        assert_eq!(buffer.note_transit(52 * FRAME, 52 * FRAME - 9_600, true), Anchor::New);
    }
}
