//! What a client knows of its connection, for an application to show.

use std::time::Duration;

/// Counts and times of both lanes, since the last connect.
///
/// What is lost, late or out of order between members is not here: [`Opener::stats`] and
/// [`Opener::sender_stats`] know that.
///
/// [`Opener::stats`]: crate::Opener::stats
/// [`Opener::sender_stats`]: crate::Opener::sender_stats
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Control messages.
    pub control: LaneStats,
    /// Sealed packets.
    pub media: LaneStats,
}

/// Counts and times of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneStats {
    /// What left for the relay.
    pub sent: Count,
    /// What came from it for us, whether it was received by now or not.
    pub received: Count,
    /// What came and was dropped, because too much waited to be received.
    pub overrun: u64,
    /// The way to the relay and back; `None` where that is not measured, or not yet.
    pub path: Option<PathStats>,
}

/// Messages or packets, and their bytes, without what any network adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub units: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// The way between a member and its relay, both directions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathStats {
    /// How long there and back takes, smoothed over the last eight measurements or so.
    pub round_trip: Duration,
    /// How far it differs from one measurement to the next, smoothed (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// How many were sent that an answer was due to, and how many of them had none.
    pub asked: u64,
    /// See `asked`.
    pub lost: u64,
}

impl Count {
    /// Bits a second since `earlier`, which was counted so long ago.
    pub fn bitrate(self, earlier: Self, ago: Duration) -> u64 {
        let bits = 8 * u128::from(self.bytes.saturating_sub(earlier.bytes));
        let rate = bits * 1_000_000 / ago.as_micros().max(1);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }

    pub(super) fn note(&mut self, bytes: usize) {
        self.units += 1;
        self.bytes += bytes as u64;
    }
}

/// Measures a path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gauge {
    known: Option<(Duration, Duration)>,
    last: Option<Duration>,
    asked: u64,
    lost: u64,
}

impl Gauge {
    /// One measurement.
    pub(super) fn note(&mut self, took: Duration) {
        let step = self.last.map_or(Duration::ZERO, |last| last.abs_diff(took));
        self.last = Some(took);
        let (round_trip, jitter) = self.known.unwrap_or((took, Duration::ZERO));
        self.known = Some(((7 * round_trip + took) / 8, (15 * jitter + step) / 16));
    }

    pub(super) fn count(&mut self, asked: u64, lost: u64) {
        (self.asked, self.lost) = (asked, lost);
    }

    pub(super) fn stats(&self) -> Option<PathStats> {
        let (round_trip, jitter) = self.known?;
        Some(PathStats { round_trip, jitter, asked: self.asked, lost: self.lost })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_follows_what_it_measures_and_a_count_has_a_rate() {
        let mut gauge = Gauge::default();
        assert_eq!(gauge.stats(), None);
        let ms = Duration::from_millis;
        gauge.note(ms(40));
        let steady = gauge.stats().unwrap();
        assert_eq!((steady.round_trip, steady.jitter), (ms(40), Duration::ZERO));
        for number in 0..200 {
            gauge.note(ms(if number % 2 == 0 { 100 } else { 120 }));
        }
        gauge.count(200, 3);
        let now = gauge.stats().unwrap();
        assert!((ms(105)..ms(115)).contains(&now.round_trip), "{now:?}");
        assert!((ms(18)..=ms(20)).contains(&now.jitter), "{now:?}");
        assert_eq!((now.asked, now.lost), (200, 3));
        let (mut earlier, mut later) = (Count::default(), Count::default());
        earlier.note(1_000);
        later.note(1_000);
        later.note(500);
        assert_eq!(later.bitrate(earlier, ms(500)), 8_000);
        assert_eq!(earlier.bitrate(later, Duration::ZERO), 0);
    }
}
