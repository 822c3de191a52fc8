//! When an attempt to connect begins, and with which relay. No clock and no transport.

use std::time::{Duration, Instant};

use crate::random::Generator;

/// The order of attempts, and the pauses between rounds through the list.
pub(super) struct Schedule {
    rng: Generator,
    relays: usize,
    /// The index of the next relay.
    next: usize,
    /// How many rounds through the list are complete.
    rounds: u32,
    began: Instant,
}

impl Schedule {
    pub(super) fn new(rng: Generator, relays: usize, now: Instant) -> Self {
        Self { rng, relays, next: 0, rounds: 0, began: now }
    }

    /// Begins anew with the first relay of the list and the shortest pause.
    pub(super) fn begin(&mut self, now: Instant) {
        (self.next, self.rounds, self.began) = (0, 0, now);
    }

    /// The next relay of the list.
    pub(super) fn take(&mut self) -> usize {
        let relay = self.next;
        self.next = (relay + 1) % self.relays.max(1);
        self.rounds = self.rounds.saturating_add(u32::from(self.next == 0));
        relay
    }

    /// How many rounds through the list are complete.
    pub(super) fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Whether the end of the list has been reached.
    pub(super) fn is_round(&self) -> bool {
        self.next == 0
    }

    /// How long after an attempt the next one begins, if the first has not failed by then.
    pub(super) fn pause(&mut self, now: Instant) -> Duration {
        if !self.is_round() {
            return STAGGER;
        }
        let most = if now < self.began + EAGER { LONGEST_AT_FIRST } else { LONGEST };
        let length = FIRST.saturating_mul(1 << self.rounds.saturating_sub(1).min(10)).min(most);
        length / 2 + self.below(length / 2)
    }

    /// How long to wait before the first attempt after a connection was lost, since others may have
    /// lost theirs at the same moment.
    pub(super) fn first(&mut self) -> Duration {
        self.below(FIRST)
    }

    /// A random length below `most`.
    pub(super) fn below(&mut self, most: Duration) -> Duration {
        most.mul_f64(f64::from(u32::from_be_bytes(self.rng.array())) / 2_f64.powi(32))
    }
}

/// The first pause; later ones double.
const FIRST: Duration = Duration::from_millis(250);
/// The longest pause in the first minute, and the longest after that.
const LONGEST_AT_FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(8);
const EAGER: Duration = Duration::from_secs(60);
/// How long a relay has to answer before the next one of the list is tried as well.
const STAGGER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    fn schedule(seed: u8, relays: usize) -> (Schedule, Instant) {
        let now = Instant::now();
        (Schedule::new(Generator::new(Seed::from_bytes(&mut [seed; 32])), relays, now), now)
    }

    #[test]
    fn pauses_double_up_to_a_second_in_the_first_minute_and_to_eight_after_it() {
        let ms = Duration::from_millis;
        for seed in 1..50 {
            let (mut schedule, start) = schedule(seed, 1);
            for most in [250, 500, 1_000, 1_000, 1_000] {
                assert_eq!(schedule.take(), 0);
                let pause = schedule.pause(start);
                assert!((ms(most / 2)..=ms(most)).contains(&pause), "{pause:?} of {most}");
            }
            let later = start + EAGER;
            for most in [8_000, 8_000] {
                schedule.take();
                assert!((ms(most / 2)..=ms(most)).contains(&schedule.pause(later)));
            }
            schedule.begin(later);
            schedule.take();
            assert!(schedule.pause(later) <= ms(250));
        }
    }

    #[test]
    fn relays_come_in_order_and_only_a_whole_round_is_followed_by_a_pause() {
        let (mut schedule, start) = schedule(7, 3);
        for round in 0..3 {
            for relay in 0..3 {
                assert_eq!(schedule.take(), relay);
                assert_eq!(schedule.is_round(), relay == 2, "round {round}");
                assert_eq!(schedule.pause(start) == STAGGER, relay < 2);
            }
        }
    }

    #[test]
    fn members_of_a_relay_that_is_gone_do_not_come_all_at_once() {
        let firsts: Vec<Duration> = (1..=200).map(|seed| schedule(seed, 1).0.first()).collect();
        for tenth in 0..10 {
            let from = FIRST * tenth / 10;
            let within = firsts.iter().filter(|first| (from..from + FIRST / 10).contains(*first)).count();
            assert!((5..=40).contains(&within), "{within} of 200 in {tenth}");
        }
    }
}
