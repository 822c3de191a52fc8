//! What a member of rank does: signs statements, shows them, lets people in (SPEC section 7, rules
//! A and D).

use std::{collections::BTreeSet, time::Instant};

use super::{
    doors::{Admitted, Used},
    error::{CommandError, ControlError},
    memory::Memory,
    outbox::Outbox,
    seat::{Outcome, Seat},
};
use crate::{
    id::{IdentityKey, MemberId},
    law::{self, Act, Tag},
    wire::{knock::Knock, saying::Saying},
};

impl Seat {
    /// A knock, at whatever door.
    pub(super) fn hear_knock(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        knock: &Knock,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        // Somebody with an old badge may have shown an old door to the holder of an old invite.
        self.show_chain(out, memory, now);
        if self.is_learning(now) {
            // It is repeated.
            return Ok(Outcome::Stays);
        }
        let Some(mut doors) = memory.doors.take() else { return Ok(Outcome::Stays) };
        let admitted = doors.handle_knock(out, &memory.store, self.group.roster(), knock, now);
        memory.doors = Some(doors);
        let Some(admitted) = admitted? else { return Ok(Outcome::Stays) };
        match self.admit(out, memory, &admitted.candidate.key, admitted.invite, None, now) {
            Ok(outcome) => {
                self.bring_in(out, memory, admitted, now);
                Ok(outcome)
            }
            Err(CommandError::Full) => {
                if let Some(doors) = &mut memory.doors {
                    doors.refuse_full(out, &memory.store, &admitted, now);
                }
                Ok(Outcome::Stays)
            }
            Err(_) => Err(ControlError::Flood),
        }
    }

    /// Signs that somebody is admitted, if law does not say so yet, and counts the use of the
    /// invite.
    pub(super) fn admit(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        key: &IdentityKey,
        invite: Used,
        role: Option<law::Role>,
        now: Instant,
    ) -> Result<Outcome, CommandError> {
        memory.note_person(*key);
        if memory.store.law().admits(key) {
            return Ok(Outcome::Stays);
        }
        let role = role.unwrap_or(invite.role);
        let who = memory.store.law().tag(key);
        let used_up = (invite.uses == 1).then_some(invite.tag);
        let outcome = self.act(out, memory, Act::Admit { who, role, used_up }, now)?;
        if let Some(doors) = &mut memory.doors {
            doors.count_use(invite.tag);
        }
        Ok(outcome)
    }

    /// Gives somebody who is admitted a receipt, and its KeyPackage to the keeper: others have no
    /// use for it, and would check three signatures.
    pub(super) fn bring_in(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        admitted: Admitted,
        now: Instant,
    ) {
        let Admitted { candidate, key_package, one_use, reference, .. } = admitted;
        if let Some(doors) = &memory.doors {
            doors.send_receipt(out, &memory.store, &one_use, reference);
        }
        if !self.keeps() {
            self.say(out, &Saying::Admit { key_package });
        }
        self.enqueue(out, memory, candidate, now);
    }

    /// Signs what an act takes, shows it to everybody, and acts on it.
    pub(super) fn act(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        act: Act,
        now: Instant,
    ) -> Result<Outcome, CommandError> {
        if self.is_learning(now) {
            return Err(CommandError::JustBack);
        }
        let clock_ms = out.clock.unix_ms(now);
        let about = self.subject_of(&act, memory);
        let law = memory.store.law();
        let seen: BTreeSet<Tag> = {
            let roster = self.group.roster().iter().map(|member| &member.key);
            memory.people().iter().chain(roster).map(|key| law.tag(key)).collect()
        };
        let rng = &mut out.rng;
        let mut random = || rng.array();
        let statements =
            law::sign(act, &out.identity, &memory.store, clock_ms, &mut random, &|tag| seen.contains(tag))?;
        let group_id = *memory.store.known().group_id();
        let ids: Vec<_> = statements.iter().map(|statement| statement.id(&group_id)).collect();
        let merged = memory.store.merge(statements, &self.epoch_law);
        memory.note_signed(&ids, clock_ms);
        if let Some(member) = about
            && self.asked.len() < MAX_ASKED
        {
            self.asked.extend(ids.into_iter().map(|id| (member, id, now)));
        }
        if !merged.changed {
            return Ok(Outcome::Stays);
        }
        self.show(out, memory, now);
        Ok(self.act_on_law(out, memory, now))
    }

    /// Whether we came back from a restart a moment ago, and may lack what we signed before it
    /// (U1).
    pub(super) fn is_learning(&self, now: Instant) -> bool {
        self.learns_until.is_some_and(|until| now < until)
    }

    /// The member that an act is about.
    fn subject_of(&self, act: &Act, memory: &Memory) -> Option<MemberId> {
        let tag = act.subject(memory.store.law())?;
        self.group
            .roster()
            .iter()
            .find(|member| memory.store.law().tag(&member.key) == tag)
            .map(|member| member.id)
    }
}

const MAX_ASKED: usize = 256;
