//! The clock of a hall, and keys that it ratchets (`spec/stage.md`, H2 and H5).
//!
//! ```text
//! hall step   0        1        2        3          ten seconds each, the same for everybody
//! chain       C0 ────> C1 ────> C2 ────> C3         C1 is wiped two seconds into step 2
//! ```
//!
//! Whoever seizes a device at step 3 finds nothing that opens what was sealed before step 2.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::Rng;

use super::envelope::{self, TooLong, Use};
use crate::{
    keys::{
        derive::hkdf_sha256,
        secret::{DEEP, Secret, scrub_stack},
    },
    media::{STEP, hall::until},
};

/// The time of a hall, as one device knows it: it goes forward, and never back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
}

impl Clock {
    /// The clock of whoever is told `elapsed` at `now`: a year at most.
    pub(super) fn told(elapsed: Duration, now: Instant) -> Self {
        let elapsed = elapsed.min(until(LONGEST));
        Self { began: now.checked_sub(elapsed).unwrap_or(now) }
    }

    /// For how long there has been a hall.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    pub(super) fn elapsed_ms(&self, now: Instant) -> u64 {
        u64::try_from(self.elapsed(now).as_millis()).unwrap_or(u64::MAX)
    }

    /// The hall step of `now`.
    pub(super) fn step(&self, now: Instant) -> u32 {
        u32::try_from(self.elapsed(now).as_secs() / STEP.as_secs()).unwrap_or(u32::MAX)
    }

    /// When a step begins.
    pub(super) fn boundary(&self, step: u32) -> Instant {
        self.began + until(step)
    }

    /// Whether a step is so near that what is of it is worth the work: six steps either way.
    pub(super) fn is_near(&self, step: u32, now: Instant) -> bool {
        step.abs_diff(self.step(now)) <= MOST_STEPS
    }

    /// Moves forward to what somebody else says, six steps at most. Returns whether it moved.
    pub(super) fn catch_up(&mut self, elapsed: Duration, now: Instant) -> bool {
        let ahead = elapsed.saturating_sub(self.elapsed(now)).min(STEP * MOST_STEPS);
        let began = self.began.checked_sub(ahead).unwrap_or(self.began);
        let moved = began < self.began;
        self.began = began;
        moved
    }
}

/// A key that is replaced at each hall step, for a cell or for one listener. Wiped on drop.
pub(super) struct Chain {
    step: u32,
    key: Secret,
    /// The key of the step before, until two seconds into this one.
    before: Option<Secret>,
}

impl Chain {
    pub(super) fn new(step: u32, key: Secret) -> Self {
        Self { step, key, before: None }
    }

    pub(super) fn step(&self) -> u32 {
        self.step
    }

    /// The present key, for whoever is given the chain.
    pub(super) fn key(&self) -> &Secret {
        &self.key
    }

    /// Goes to `step`, over those that time has passed by. It never goes back.
    pub(super) fn advance(&mut self, step: u32) {
        let steps = step.saturating_sub(self.step).min(LONGEST);
        for passed in 0..steps {
            let next = ratchet(&self.key);
            let before = std::mem::replace(&mut self.key, next);
            // What time has passed by has no grace left.
            self.before = (passed + 1 == steps).then_some(before);
        }
        if steps > 0 {
            self.step = step;
            scrub_stack::<DEEP>();
        }
    }

    /// Wipes the key of the step before.
    pub(super) fn retire(&mut self) {
        self.before = None;
    }

    /// Takes a fresh key of `step` in place of the present one: whoever knew that does not know
    /// this.
    pub(super) fn replace(&mut self, step: u32, fresh: Secret) {
        let own = self.step;
        self.step = step;
        // What is under way to us stays readable until the next retiring.
        self.before = Some(std::mem::replace(&mut self.key, fresh));
        if own > step {
            let before = self.before.take();
            self.advance(own);
            self.before = before;
        }
    }

    pub(super) fn seal(&self, to: Use, content: &[u8], rng: &mut impl Rng) -> Result<Bytes, TooLong> {
        envelope::seal(&self.key, to, content, rng)
    }

    pub(super) fn seal_bare(&self, to: Use, content: &[u8], rng: &mut impl Rng) -> Vec<u8> {
        envelope::seal_bare(&self.key, to, content, rng)
    }

    /// Opens what was sealed under the present step, the next, or the one before in its grace.
    pub(super) fn open(&self, from: Use, sealed: &[u8]) -> Option<Secret> {
        self.try_keys(|key| envelope::open(key, from, sealed))
    }

    pub(super) fn open_bare(&self, from: Use, sealed: &[u8]) -> Option<Secret> {
        self.try_keys(|key| envelope::open_bare(key, from, sealed))
    }

    /// What `open` makes of the key of a step: the present one, the next, or the one before.
    pub(super) fn try_at<T>(&self, step: u32, open: impl Fn(&Secret) -> Option<T>) -> Option<T> {
        if step == self.step {
            // A fresh key may have come in this step.
            return open(&self.key).or_else(|| open(self.before.as_ref()?));
        }
        if step == self.step.saturating_add(1) {
            return open(&ratchet(&self.key));
        }
        if self.step == step.saturating_add(1) { open(self.before.as_ref()?) } else { None }
    }

    fn try_keys(&self, open: impl Fn(&Secret) -> Option<Secret>) -> Option<Secret> {
        let before = || self.before.as_ref().and_then(&open);
        open(&self.key).or_else(before).or_else(|| open(&ratchet(&self.key)))
    }
}

fn ratchet(key: &Secret) -> Secret {
    Secret::filled(32, |out| hkdf_sha256(&[], key.bytes(), &[b"sottovoce 2 hall ratchet"], out))
}

/// For how long the key of the step before is kept.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How far one report moves the clock, in steps.
pub(super) const MOST_STEPS: u32 = 6;
/// Steps of a year: what slept for longer joins anew.
const LONGEST: u32 = 3_153_600;

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn chain(step: u32) -> Chain {
        Chain::new(step, Secret::wrap(vec![1; 32]))
    }

    #[test]
    fn h5_a_chain_opens_its_step_the_next_and_in_its_grace_the_one_before() {
        let mut rng = StdRng::from_seed([1; 32]);
        let at = |step| {
            let mut chain = chain(5);
            chain.advance(step);
            chain
        };
        let sealed: Vec<_> =
            (5..10).map(|step| at(step).seal(Use::Cell, &[step as u8], &mut rng).unwrap()).collect();
        let opens = |chain: &Chain| {
            (5..10).filter(|step| chain.open(Use::Cell, &sealed[step - 5]).is_some()).collect::<Vec<_>>()
        };
        let mut chain = at(7);
        assert_eq!(opens(&chain), [6, 7, 8]);
        chain.retire();
        assert_eq!(opens(&chain), [7, 8]);
        chain.advance(9);
        assert_eq!(opens(&chain), [8, 9]);
        chain.advance(3);
        assert_eq!(chain.step(), 9, "it never goes back");
    }

    #[test]
    fn h6_a_fresh_key_takes_the_chain_from_who_knew_it() {
        let mut rng = StdRng::from_seed([1; 32]);
        let (mut honest, thief) = (chain(5), chain(5));
        honest.replace(5, Secret::wrap(vec![9; 32]));
        let sealed = honest.seal(Use::Down, b"secret", &mut rng).unwrap();
        assert!(thief.open(Use::Down, &sealed).is_none());
        assert!(honest.open(Use::Down, &sealed).is_some());
        assert!(honest.open(Use::Down, &thief.seal(Use::Down, b"late", &mut rng).unwrap()).is_some());
        let mut late = chain(5);
        late.advance(6);
        late.replace(5, Secret::wrap(vec![9; 32]));
        honest.advance(6);
        assert!(late.key().bytes() == honest.key().bytes() && late.step() == 6);
    }

    #[test]
    fn h2_the_clock_goes_forward_by_six_steps_and_never_back() {
        let now = Instant::now();
        let mut clock = Clock::told(Duration::from_secs(25), now);
        assert_eq!((clock.step(now), clock.boundary(3)), (2, now + Duration::from_secs(5)));
        assert!(!clock.catch_up(Duration::from_secs(20), now));
        assert_eq!(clock.elapsed_ms(now), 25_000);
        assert!(clock.catch_up(Duration::from_secs(1_000), now));
        assert_eq!(clock.elapsed_ms(now), 85_000);
    }
}
