//! Our own speaker keys and their end: announced anew while they are in use, published when their
//! time is over (SPEC sections 12.2 and 12.6).
//!
//! ```text
//! epoch begins ── announced ── every 5 min ── epoch ends ── 30 min or as set ── published, wiped
//! ```

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    Seed,
    defence::{Defence, holds},
    group::announce::{MIN_HOLDS, RENEWAL},
    wire::message::MAX_SPENT,
};

/// What we still have to say about our speaker keys. No clock: every moment is told.
pub(in crate::room) struct Expiry {
    /// For epochs that are to begin: seconds after an epoch in which its key stays private, 0 for
    /// ever.
    holds: u32,
    /// The key of the present epoch.
    present: Option<Present>,
    /// Keys of epochs that ended, the oldest first, and when they are to be published.
    spent: VecDeque<(Instant, Seed)>,
}

struct Present {
    holds: u32,
    /// `None` for a key that is never published.
    seed: Option<Seed>,
    announced_at: Instant,
    renew_at: Instant,
}

impl Expiry {
    /// What is set for the epochs to come: `None` for keys that are never published.
    pub(in crate::room) fn set(&mut self, after: Option<Duration>) {
        self.holds =
            after.map_or(0, |after| u32::try_from(after.as_secs()).unwrap_or(u32::MAX).max(MIN_HOLDS));
    }

    /// An epoch begins in which we speak with the key of `seed`. Returns what the announcement has
    /// to promise.
    pub(in crate::room) fn begin_epoch(&mut self, seed: Seed, now: Instant) -> u32 {
        let seed = (self.holds != 0).then_some(seed);
        self.present = Some(Present { holds: self.holds, seed, announced_at: now, renew_at: now + RENEW });
        self.holds
    }

    /// The private half of the present key, for whoever plays a hostile member.
    #[cfg(feature = "testkit")]
    pub(in crate::room) fn live_seed(&self) -> Option<Seed> {
        Some(Seed::copied(self.present.as_ref()?.seed.as_ref()?.bytes()))
    }

    /// The epoch is over, or we are out of the room.
    pub(in crate::room) fn end_epoch(&mut self, now: Instant) {
        let Some(Present { holds, seed: Some(seed), .. }) = self.present.take() else { return };
        if self.spent.len() >= MAX_KEPT {
            // Never published: early would break what was promised to whoever holds a report.
            self.spent.pop_front();
        }
        // Later epochs may have promised less; the order of the queue is that of the promises.
        let due = now + Duration::from_secs(holds.into());
        let at = self.spent.partition_point(|(other, _)| *other <= due);
        self.spent.insert(at, (due, seed));
    }

    /// The promise of the present key, if it is time to announce it again.
    pub(in crate::room) fn renew(&mut self, now: Instant) -> Option<u32> {
        let present = self.present.as_mut().filter(|present| present.renew_at <= now)?;
        (present.announced_at, present.renew_at) = (now, now + RENEW);
        Some(present.holds)
    }

    /// Somebody lacks the present key: it is announced again, unless it was a moment ago.
    pub(in crate::room) fn ask(&mut self, now: Instant) {
        if let Some(present) = &mut self.present {
            let paced = if holds(Defence::AnnouncePace) { present.announced_at + ASKED_AGAIN } else { now };
            let soon = now.max(paced);
            present.renew_at = present.renew_at.min(soon);
        }
    }

    /// Private halves whose time is over, as many as go into one message.
    pub(in crate::room) fn publish(&mut self, now: Instant) -> Vec<[u8; 32]> {
        let due = self.spent.iter().take_while(|(due, _)| *due <= now).count().min(MAX_SPENT);
        self.spent.drain(..due).map(|(_, seed)| *seed.bytes()).collect()
    }

    /// When [`renew`](Self::renew) or [`publish`](Self::publish) has something to say.
    pub(in crate::room) fn poll_timeout(&self) -> Option<Instant> {
        let renew = self.present.as_ref().map(|present| present.renew_at);
        let publish = self.spent.front().map(|(due, _)| *due);
        [renew, publish].into_iter().flatten().min()
    }
}

/// Keys are published half an hour after their epoch.
impl Default for Expiry {
    fn default() -> Self {
        Self { holds: MIN_HOLDS, present: None, spent: VecDeque::new() }
    }
}

/// However many ask for a key, it is not said more often.
const ASKED_AGAIN: Duration = Duration::from_secs(2);
const RENEW: Duration = Duration::from_secs(RENEWAL);
/// Keys that wait to be published. More than two epochs a second for half an hour lose the oldest.
const MAX_KEPT: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn seed(n: u8) -> Seed {
        Seed::from_bytes(&mut [n; 32])
    }

    #[test]
    fn a_key_is_published_half_an_hour_after_its_epoch_and_never_before() {
        let (mut expiry, now) = (Expiry::default(), Instant::now());
        assert_eq!(expiry.begin_epoch(seed(1), now), 1_800);
        let ended = now + 90 * MINUTE;
        assert!(expiry.publish(ended).is_empty(), "its epoch lasts");
        expiry.end_epoch(ended);
        assert_eq!(expiry.begin_epoch(seed(2), ended), 1_800);
        let due = ended + 30 * MINUTE;
        assert!(expiry.publish(due - Duration::from_millis(1)).is_empty());
        assert_eq!(expiry.publish(due), [[1; 32]]);
        assert!(expiry.publish(due + 90 * MINUTE).is_empty(), "it is published once");
    }

    #[test]
    fn a_key_that_holds_for_ever_is_never_published_and_not_even_kept() {
        let (mut expiry, now) = (Expiry::default(), Instant::now());
        expiry.set(None);
        assert_eq!(expiry.begin_epoch(seed(1), now), 0);
        assert!(expiry.present.as_ref().is_some_and(|present| present.seed.is_none()));
        expiry.end_epoch(now);
        assert!(expiry.publish(now + 100_000 * MINUTE).is_empty());
    }

    #[test]
    fn what_is_set_holds_from_the_next_epoch_on_and_is_half_an_hour_at_least() {
        let (mut expiry, now) = (Expiry::default(), Instant::now());
        expiry.begin_epoch(seed(1), now);
        expiry.set(Some(120 * MINUTE));
        assert_eq!(expiry.renew(now + 5 * MINUTE), Some(1_800), "a promise is repeated as it was made");
        expiry.end_epoch(now);
        assert_eq!(expiry.begin_epoch(seed(2), now), 7_200);
        expiry.end_epoch(now);
        expiry.set(Some(Duration::ZERO));
        assert_eq!(expiry.begin_epoch(seed(3), now), 1_800);
        expiry.end_epoch(now);
        assert_eq!(expiry.publish(now + 30 * MINUTE), [[1; 32], [3; 32]]);
        assert_eq!(expiry.publish(now + 120 * MINUTE), [[2; 32]]);
    }

    #[test]
    fn a_key_is_announced_every_five_minutes() {
        let (mut expiry, now) = (Expiry::default(), Instant::now());
        assert_eq!(expiry.renew(now), None);
        expiry.begin_epoch(seed(1), now);
        assert_eq!(expiry.poll_timeout(), Some(now + 5 * MINUTE));
        assert_eq!(expiry.renew(now + 4 * MINUTE), None);
        assert_eq!(expiry.renew(now + 5 * MINUTE), Some(1_800));
        assert_eq!(expiry.renew(now + 6 * MINUTE), None);
    }

    #[test]
    fn what_is_kept_and_what_one_message_takes_is_bounded() {
        let (mut expiry, now) = (Expiry::default(), Instant::now());
        for n in 0..MAX_KEPT + 10 {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&n.to_be_bytes());
            expiry.begin_epoch(Seed::from_bytes(&mut seed), now);
            expiry.end_epoch(now);
        }
        assert_eq!(expiry.spent.len(), MAX_KEPT);
        let first = expiry.publish(now + 30 * MINUTE);
        assert_eq!(first.len(), MAX_SPENT);
        assert_eq!(first[0][..8], 10usize.to_be_bytes(), "the oldest were lost");
    }
}
