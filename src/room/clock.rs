//! Clocks: the one that the application reads, and whose is wrong (SPEC section 7, rule T4).

use std::time::{Duration, Instant};

use super::place::Place;
use crate::id::{MemberId, UnixTime};

/// One moment by two clocks, as the application told it.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub(super) began: Instant,
    pub(super) unix: UnixTime,
}

impl Clock {
    pub(super) fn unix(&self, now: Instant) -> UnixTime {
        self.unix.after(now.saturating_duration_since(self.began))
    }

    pub(super) fn unix_ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began).as_millis();
        self.unix.0.saturating_mul(1000).saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// The first moment at which [`unix`](Self::unix) says `unix`.
    pub(super) fn instant(&self, unix: UnixTime) -> Instant {
        let after = Duration::from_secs(unix.0.saturating_sub(self.unix.0));
        self.began.checked_add(after).unwrap_or(self.began + A_YEAR)
    }
}

/// The members whose clocks are wrong, as far as the application was told.
#[derive(Default)]
pub(super) struct Wrong(Vec<MemberId>);

impl Wrong {
    /// Whether a clock was told to be wrong and is so still.
    pub(super) fn is_known(&self, member: MemberId) -> bool {
        self.0.contains(&member)
    }

    /// Whether there is anything to find out: a clock far from ours, or one that was.
    pub(super) fn is_due(&self, mut ahead: impl Iterator<Item = i64>) -> bool {
        !self.0.is_empty() || ahead.any(|ahead| ahead.abs() > NEAR_MS)
    }

    /// Whose clock has turned out to be wrong since this was asked last, and by how many seconds,
    /// ahead if positive.
    ///
    /// `clocks` are those of everybody, our own included, in milliseconds ahead of ours. The time
    /// that most of them show within two and a half minutes is right; of several such times that of
    /// the member who comes first in the order.
    pub(super) fn changes(&mut self, clocks: &[(Place, MemberId, i64)]) -> Vec<(MemberId, i64)> {
        let mut shown: Vec<i64> = clocks.iter().map(|(_, _, ahead)| *ahead).collect();
        shown.sort_unstable();
        let near = |at: i64| {
            let from = shown.partition_point(|other| *other < at - NEAR_MS);
            shown.partition_point(|other| *other <= at + NEAR_MS) - from
        };
        let right = clocks.iter().min_by_key(|(place, _, ahead)| (std::cmp::Reverse(near(*ahead)), *place));
        let Some(right) = right.map(|(_, _, ahead)| *ahead) else { return Vec::new() };
        let wrong = clocks.iter().filter(|(_, _, ahead)| (ahead - right).abs() > NEAR_MS);
        let wrong: Vec<_> = wrong.map(|(_, member, ahead)| (*member, (ahead - right) / 1_000)).collect();
        // Of whom no time is known at the moment, nothing is new.
        let unknown = |member: &MemberId| clocks.iter().all(|(_, other, _)| other != member);
        let mut told: Vec<_> = wrong.iter().map(|(member, _)| *member).collect();
        told.extend(self.0.iter().copied().filter(unknown).take(MAX_UNKNOWN));
        let before = std::mem::replace(&mut self.0, told);
        wrong.into_iter().filter(|(member, _)| !before.contains(member)).collect()
    }
}

const MAX_UNKNOWN: usize = 64;
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Half of what the time of an announcement may differ by (SPEC section 12.2).
pub(super) const NEAR_MS: i64 = 150_000;
