//! Speaker keys that did not reach us: whoever lacks one asks for it, and the speaker says it again
//! (SPEC section 12.3).

use std::time::Instant;

use crate::{
    Authenticity,
    id::Leaf,
    room::{memory::Memory, outbox::Outbox, seat::Seat},
    wire::saying::Saying,
};

impl Seat {
    /// Asks for the keys of speakers whom we could not hear.
    pub(in crate::room) fn tend_missing(&mut self, out: &mut Outbox, memory: &Memory, now: Instant) {
        if !self.missing.is_due(now) {
            return;
        }
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

/// One message asks for so many at most: each of them answers to everybody.
const MAX_ASKED: usize = 32;
