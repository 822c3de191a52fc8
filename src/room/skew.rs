//! What members said of their time, so that a message that was held back proves no more than it did
//! when it was made (SPEC section 7.6).
//!
//! ```text
//! said 12:00:05 ── the shortest way ever seen from there ── 12:00:05.04 by our clock, whenever it came
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::clock::Clock;
use crate::{
    defence::{Defence, holds},
    id::MemberId,
    mls::Occupant,
};

/// How far our clock is ahead of what each member says, by the message that took the least time.
pub(super) struct Skew {
    began: Instant,
    leads: BTreeMap<MemberId, Lead>,
}

struct Lead {
    /// Milliseconds since `began`, less those that the member said.
    least: i128,
    noted: Instant,
    /// When the newest of its messages was made.
    last: Instant,
}

impl Skew {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, leads: BTreeMap::new() }
    }

    /// Takes the time of an authentic message of `member`, in milliseconds, that came at `now`.
    /// Returns when, by our clock, it was made at the latest that is known: never after `now`, and
    /// of a member's first message at `now`.
    ///
    /// `within` is how much later than it says the time may have been.
    pub(super) fn hear(&mut self, member: MemberId, said_ms: u64, within: Duration, now: Instant) -> Instant {
        let own = millis(now.saturating_duration_since(self.began));
        let said = i128::from(said_ms) + millis(within);
        let lead =
            self.leads.entry(member).or_insert(Lead { least: own - said, noted: now, last: self.began });
        let since = millis(now.saturating_duration_since(lead.noted));
        // Clocks drift: what was least once need not be possible any more.
        lead.least = (lead.least + since / DRIFT).min(own - said);
        if since >= DRIFT {
            lead.noted = now;
        }
        let made = u64::try_from(said + lead.least).unwrap_or(0);
        let made = if holds(Defence::Made) { self.began + Duration::from_millis(made) } else { now };
        lead.last = lead.last.max(made);
        made
    }

    /// How many milliseconds a member's clock is ahead of `clock`, at most, by the message that
    /// took the least time.
    pub(super) fn ahead_ms(&self, member: MemberId, clock: &Clock, now: Instant) -> Option<i64> {
        let began = i128::from(clock.unix_ms(now)) - millis(now.saturating_duration_since(self.began));
        let ahead = -self.leads.get(&member)?.least - began;
        Some(i64::try_from(ahead.clamp(-MOST_AHEAD, MOST_AHEAD)).unwrap_or(0))
    }

    /// When the newest message of a member was made, by our clock, if it said a time in any.
    pub(super) fn last(&self, member: MemberId) -> Option<Instant> {
        self.leads.get(&member).map(|lead| lead.last)
    }

    /// A member came in or came back: its device may be another, with another clock.
    pub(super) fn forget(&mut self, member: MemberId) {
        self.leads.remove(&member);
    }

    /// Forgets whoever is gone.
    pub(super) fn retain(&mut self, roster: &[Occupant]) {
        let stay: BTreeSet<MemberId> = roster.iter().map(|member| member.id).collect();
        self.leads.retain(|member, _| stay.contains(member));
    }
}

fn millis(duration: Duration) -> i128 {
    i128::try_from(duration.as_millis()).unwrap_or(i128::MAX / 4)
}

/// A clock that is wrong by more than a million days counts as wrong by a million days.
const MOST_AHEAD: i128 = 86_400_000_000_000;

/// A clock gains or loses one second in so many, at most.
const DRIFT: i128 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_790_000_000_000;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn id(n: u8) -> MemberId {
        MemberId::from_bytes([n; 32])
    }

    #[test]
    fn what_was_held_back_is_as_old_as_it_is() {
        let start = Instant::now();
        let mut times = Skew::new(start);
        let mut hear = |at, said| times.hear(id(1), NOON + said, Duration::ZERO, start + ms(at)) - start;
        assert_eq!(hear(900, 0), ms(900), "nothing is known yet");
        assert_eq!(hear(5_040, 5_000), ms(5_040), "that one came faster");
        assert_eq!(hear(10_700, 10_000), ms(10_045), "655 ms late; clocks may have drifted by 5 ms");
        assert_eq!(hear(40_000, 11_000), ms(11_074), "29 s late; by 29 ms more");
    }

    #[test]
    fn slow_clocks_are_followed_and_a_relay_gains_one_second_in_a_thousand() {
        let start = Instant::now();
        let mut times = Skew::new(start);
        let mut made = start;
        for second in 0..4_000u64 {
            // The speaker's clock loses 200 ppm; the relay adds a delay that grows by two per
            // mille.
            let (said, at) = (NOON + second * 1_000 - second / 5, start + ms(second * 1_002));
            made = times.hear(id(1), said, Duration::ZERO, at);
        }
        let honest = start + ms(3_999 * 1_000);
        assert!(made <= honest + ms(4_100), "{:?}", made - honest);
        assert!(made >= honest - ms(900), "and is not lost altogether");
    }

    #[test]
    fn a_time_that_is_said_in_seconds_is_not_believed_to_be_earlier() {
        let start = Instant::now();
        let mut times = Skew::new(start);
        let second = ms(999);
        assert_eq!(times.hear(id(1), NOON, second, start + ms(1_040)) - start, ms(1_040));
        // It was at 12:00:00.999, as far as anybody knows; so one from then is not later than that.
        assert_eq!(times.hear(id(1), NOON + 1_000, Duration::ZERO, start + ms(2_000)) - start, ms(1_041));
    }

    #[test]
    fn absurd_times_change_nothing_for_others() {
        let start = Instant::now();
        let mut times = Skew::new(start);
        for said in [u64::MAX, 0, u64::MAX, 1 << 63] {
            assert!(times.hear(id(1), said, Duration::ZERO, start + ms(10)) <= start + ms(10));
        }
        assert_eq!(times.hear(id(2), NOON, Duration::ZERO, start + ms(10)), start + ms(10));
        times.forget(id(1));
        assert_eq!(times.hear(id(1), NOON, Duration::ZERO, start + ms(10)), start + ms(10));
        times.retain(&[]);
        assert!(times.leads.is_empty());
    }
}
