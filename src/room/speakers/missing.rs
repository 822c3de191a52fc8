//! Speaker keys that did not reach us: whoever lacks one asks for it, and the speaker says it again
//! (SPEC section 12.3).

use std::time::{Duration, Instant};

use crate::{
    Authenticity,
    id::Leaf,
    room::{memory::Memory, outbox::Outbox, seat::Seat},
    wire::saying::Saying,
};

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

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.ask_at
    }
}

impl Seat {
    /// Asks for the keys of speakers whom we could not hear.
    pub(in crate::room) fn tend_missing(&mut self, out: &mut Outbox, memory: &Memory, now: Instant) {
        if now < self.missing.ask_at {
            return;
        }
        self.missing.ask_at = now + self.missing.wait;
        self.missing.wait = (self.missing.wait * 2).min(LONGEST);
        if memory.store.known().terms().authenticity != Authenticity::Signed || self.returning.is_some() {
            return;
        }
        let speaks = self.members.iter().filter(|member| member.role.may_speak() && !member.muted);
        let lacks = speaks.filter(|member| !member.is_self && !out.reports.vouched.hears(member.leaf));
        let leaves: Vec<Leaf> = lacks.map(|member| member.leaf).take(MAX_ASKED).collect();
        if !leaves.is_empty() {
            self.say(out, &Saying::Missing(leaves));
        }
    }
}

/// How long a key takes at most that comes by itself.
const FIRST: Duration = Duration::from_secs(3);
const SPREAD: Duration = Duration::from_millis(15);
/// Between two looks in an epoch that lasts.
const LONGEST: Duration = Duration::from_secs(48);
/// One message asks for so many at most: each of them answers to everybody.
const MAX_ASKED: usize = 32;
