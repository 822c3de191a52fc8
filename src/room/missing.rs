//! Speaker keys that did not reach us: whoever lacks one asks for it, and whoever is asked says it again
//! (SPEC section 7.3).

use std::time::{Duration, Instant};

use super::{core::Core, seat::Seat};
use crate::{Authenticity, group::announcement::Announcement, id::Leaf};

/// When we ask next for what is missing.
pub(super) struct Missing {
    ask_at: Instant,
    wait: Duration,
}

impl Missing {
    /// An epoch begins: keys come by themselves, for a while.
    pub(super) fn begin(own: Leaf, now: Instant) -> Self {
        // Not all at once: what one asks for is said to all.
        Self { ask_at: now + FIRST + SPREAD * (own.0 % 64), wait: FIRST }
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.ask_at
    }
}

impl Seat {
    /// Asks for the keys of speakers whom we could not hear.
    pub(super) fn tend_missing(&mut self, core: &mut Core, now: Instant) {
        if now < self.missing.ask_at {
            return;
        }
        self.missing.ask_at = now + self.missing.wait;
        self.missing.wait = (self.missing.wait * 2).min(LONGEST);
        if self.group.state().terms.authenticity != Authenticity::Signed || self.rival.is_some() {
            return;
        }
        let vouched = &core.reports.vouched;
        let speaks = self.group.roster().iter().filter(|member| member.role.may_speak() && !member.muted);
        let lacks = speaks.filter(|member| !member.is_self && !vouched.hears(member.leaf));
        let leaves: Vec<Leaf> = lacks.map(|member| member.leaf).collect();
        if !leaves.is_empty() {
            // What fails is asked for again.
            let _ = self.announce(core, &Announcement::Missing(leaves));
        }
    }

    /// Somebody lacks the keys of these leaves.
    pub(super) fn handle_missing(&mut self, core: &mut Core, leaves: &[Leaf], now: Instant) {
        if leaves.contains(&self.group.own_leaf()) {
            core.reports.expiry.ask(now);
        }
    }
}

/// How long a key takes at most that comes by itself.
const FIRST: Duration = Duration::from_secs(3);
const SPREAD: Duration = Duration::from_millis(15);
/// Between two looks in an epoch that lasts.
const LONGEST: Duration = Duration::from_secs(48);
