//! Whether anybody else is at our relay: members meet only if they use the same relay.

use std::time::{Duration, Instant};

use super::schedule::Schedule;

/// Since when nobody has been heard, and how long to wait before looking at other relays.
pub(super) struct Alone {
    /// Whether the room has other members.
    expects: bool,
    heard: Instant,
    /// The first waiting time, drawn at random, so that two members that look for each other do not
    /// change relays in step.
    first: Duration,
    patience: Duration,
    looking: bool,
}

impl Alone {
    pub(super) fn new(schedule: &mut Schedule, now: Instant) -> Self {
        let first = LEAST + schedule.below(LEAST);
        Self { expects: false, heard: now, first, patience: first, looking: false }
    }

    pub(super) fn expect(&mut self, expects: bool, now: Instant) {
        if expects && !self.expects {
            self.heard = now;
        }
        self.expects = expects;
    }

    /// When to look for others at other relays.
    pub(super) fn at(&self) -> Option<Instant> {
        (self.expects && !self.looking).then(|| self.heard + self.patience)
    }

    pub(super) fn begin(&mut self) {
        self.looking = true;
    }

    pub(super) fn is_looking(&self) -> bool {
        self.looking
    }

    /// There is no connection at all, so nobody is looked for.
    pub(super) fn give_up(&mut self) {
        self.looking = false;
    }

    /// Listens at this relay, the same as before or another; for longer if we were looking for
    /// others.
    pub(super) fn stay(&mut self, now: Instant) {
        if std::mem::take(&mut self.looking) {
            self.patience = (self.patience * 2).min(MOST);
        }
        self.heard = now;
    }

    /// Notes that somebody was heard. Returns whether we were looking for others elsewhere.
    pub(super) fn hear(&mut self, now: Instant) -> bool {
        (self.heard, self.patience) = (now, self.first);
        std::mem::take(&mut self.looking)
    }
}

/// Other relays are tried when nobody has been heard for this long, up to twice this long.
const LEAST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(160);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Seed, random::Generator};

    #[test]
    fn who_finds_nobody_looks_less_and_less_often_until_somebody_is_heard() {
        let start = Instant::now();
        let rng = Generator::new(Seed::from_bytes(&mut [3; 32]));
        let mut alone = Alone::new(&mut Schedule::new(rng, 2, start), start);
        assert_eq!(alone.at(), None);
        alone.expect(true, start);
        let first = alone.at().unwrap() - start;
        assert!((LEAST..2 * LEAST).contains(&first));
        let mut waits = Vec::new();
        for _ in 0..6 {
            alone.begin();
            assert_eq!(alone.at(), None);
            alone.stay(start);
            waits.push(alone.at().unwrap() - start);
        }
        assert_eq!(waits.first(), Some(&(2 * first)));
        assert_eq!(waits.last(), Some(&MOST));
        alone.begin();
        assert!(alone.hear(start));
        assert_eq!(alone.at(), Some(start + first));
    }
}
