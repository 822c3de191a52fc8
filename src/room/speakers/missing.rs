//! When we ask for speaker keys that did not reach us (SPEC section 12.3).

use std::time::{Duration, Instant};

use crate::id::Leaf;

/// When we ask next for what is missing.
pub(crate) struct Missing {
    ask_at: Instant,
    wait: Duration,
}

impl Missing {
    /// An epoch begins: keys come by themselves, for a while.
    pub(crate) fn begin(own: Leaf, now: Instant) -> Self {
        // Not all at once: what one asks for is said to all.
        Self { ask_at: now + FIRST + SPREAD * (own.0 % 64), wait: FIRST }
    }

    /// We are connected again: keys may have come while we were not. What is on its way comes
    /// first.
    pub(crate) fn ask_soon(&mut self, own: Leaf, now: Instant) {
        self.ask_at = self.ask_at.min(now + SOON + SPREAD * (own.0 % 64));
        self.wait = FIRST;
    }

    /// Whether it is time to ask; if so, when we ask next is later.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.ask_at;
        if due {
            self.ask_at = now + self.wait;
            self.wait = (self.wait * 2).min(LONGEST);
        }
        due
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.ask_at
    }
}

/// How long a key takes at most that comes by itself.
const FIRST: Duration = Duration::from_secs(3);
/// The same after a connection was lost.
const SOON: Duration = Duration::from_millis(200);
const SPREAD: Duration = Duration::from_millis(15);
/// Between two looks in an epoch that lasts.
const LONGEST: Duration = Duration::from_secs(48);
