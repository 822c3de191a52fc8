//! Messages between a member and the keeper of another branch, sealed to one key: Shows, Returns,
//! Leaves and their answers (SPEC section 7, rules G and R).

use std::time::{Duration, Instant};

use super::{
    error::ControlError,
    event::Event,
    memory::Memory,
    outbox::{Outbox, own_key},
    returning::Returning,
    sealing::{send_answer, send_show},
    seat::{Outcome, Seat},
    shown,
};
use crate::{
    id::MemberId,
    mls::{Candidate, Purpose, Sealed, SealingSecret},
    wire::{
        answer::{Answer, AnswerContent},
        show::{Show, ShowContent, Wish},
        signed::Signed,
        statements::Statements,
    },
};

impl Seat {
    /// A Show, Return or Leave that is sealed to our door key, since we keep the room.
    pub(super) fn hear_show(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        show: &Show,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        let Some(keeper) = &self.keeper else { return Ok(Outcome::Stays) };
        let door_key = keeper.door.public().as_bytes().to_vec();
        if !show.is_at(&door_key) {
            return Ok(Outcome::Stays);
        }
        if !self.opened.take((), now) {
            return Err(ControlError::Flood);
        }
        let group_id = memory.store.known().group_id().0;
        let aad = Show::aad(&group_id, &door_key, &show.reference);
        let sealed = Sealed { kem_output: show.kem.clone(), sealed: show.sealed.clone() };
        let plain = keeper.door.open(Purpose::Show, &sealed, &aad).ok_or(ControlError::Undecryptable)?;
        let content = Signed::<ShowContent>::decode(&plain).map_err(|_| ControlError::Malformed)?;
        let content = content.verify(&group_id, &door_key, &show.reference);
        let ShowContent { key, one_use, wish, statements, .. } =
            content.map_err(|_| ControlError::Malformed)?.into_content();
        if !memory.store.law().admits(&key) && !self.strangers.take((), now) {
            return Err(ControlError::Flood);
        }
        // A Show that is played again must not use up what its identity may ask.
        if !self.shown_before.note(crate::keys::derive::sha256(&[&show.kem, &show.sealed])) {
            return Err(ControlError::Repeated);
        }
        let is_return = matches!(wish, Wish::Return { .. });
        let rate = if is_return { &mut self.returns } else { &mut self.shows };
        if !rate.take(key.id(), now) {
            return Err(ControlError::Flood);
        }
        match self.learn(out, memory, shown::decode(&statements), now) {
            Outcome::Stays => {}
            outcome => return Ok(outcome),
        }
        let key_exchange = self.group.key_exchange();
        let answer = |out: &mut Outbox, memory: &Memory, shown: Statements| {
            let content = AnswerContent::Shown(shown);
            send_answer(out, &memory.store, key_exchange, &one_use, show.reference, &content);
        };
        if !memory.store.law().admits(&key) {
            // Somebody who is out learns why, and nothing else; of throwaway identities a few in a
            // minute do.
            if self.turned_away.total(now) < MAX_TURNED_AWAY && self.turned_away.take(key.id(), now) {
                let why = shown::about(memory.store.known(), &key);
                answer(out, memory, why);
            }
            return Err(ControlError::NotAMember);
        }
        match wish {
            Wish::Nothing => answer(out, memory, shown::all(memory.store.known())),
            Wish::Leave(leave) => {
                let leave = leave.verify(&group_id).map_err(|_| ControlError::Malformed)?;
                if leave.content().key == key {
                    self.hear_leave(memory, leave, now);
                }
            }
            Wish::Return { key_package, broken } => {
                if let Some(broken) = broken {
                    out.tell(Event::Accused { member: broken.by.id(), by: key.id() });
                    let renewal = (broken.epoch.0, broken.by.id());
                    // Of one renewal, once: who says it again and again would keep a member from
                    // renewing for ever.
                    if self.renewed.contains(&renewal) && self.accused_of.note(renewal) {
                        self.accused.note(broken.by.id(), now);
                    }
                }
                let candidate = Candidate::vet(&key_package, &group_id, key_exchange)
                    .map_err(|violation| ControlError::KeyPackage(violation.into()))?;
                if candidate.key == key {
                    self.enqueue(out, memory, candidate, now);
                }
            }
        }
        Ok(Outcome::Stays)
    }

    /// The keeper of another branch answers a Show with what it knows.
    pub(super) fn hear_answer(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        answer: &Answer,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        let group_id = memory.store.known().group_id().0;
        let own = self.showing.open.iter().position(|(reference, _)| *reference == answer.reference);
        let content = match own {
            Some(at) => {
                if !self.showing.opened.take((), now) {
                    return Err(ControlError::Flood);
                }
                let aad = Answer::aad(&group_id, &answer.reference);
                let sealed = Sealed { kem_output: answer.kem.clone(), sealed: answer.sealed.clone() };
                let open = self.showing.open.get(at);
                let plain = open.and_then(|(_, secret)| secret.open(Purpose::Answer, &sealed, &aad));
                let plain = plain.ok_or(ControlError::Undecryptable)?;
                // Not before: whoever sees the reference can answer, and the keeper may answer
                // later.
                self.showing.open.remove(at);
                AnswerContent::decode(&plain).ok()
            }
            None => match self.returning.as_mut().and_then(Returning::petition) {
                Some(petition) => petition.open(answer, &group_id, now)?,
                None => None,
            },
        };
        match content {
            Some(AnswerContent::Shown(statements)) => {
                Ok(self.learn(out, memory, shown::decode(&statements), now))
            }
            _ => Ok(Outcome::Stays),
        }
    }

    /// Shows what we know: in our epoch, and to keepers of other branches.
    pub(super) fn tend_showing(&mut self, out: &mut Outbox, memory: &mut Memory, now: Instant) {
        if self.showing.is_due(now) {
            self.show(out, memory, now);
        }
        for across in self.showing.take_across(memory.store.known().hash(), now) {
            let target = across.target;
            if !memory.store.law().admits(&target.key) {
                continue;
            }
            let Ok(one_use) = SealingSecret::derive(self.group.key_exchange(), &out.rng.seed()) else {
                continue;
            };
            let group_id = memory.store.known().group_id().0;
            let reference = out.random();
            let content = ShowContent {
                key: own_key(out),
                one_use: one_use.public().as_bytes().to_vec(),
                time_ms: out.clock.unix_ms(now),
                wish: Wish::Nothing,
                statements: shown::all(memory.store.known()),
            };
            self.showing.note_open(reference, one_use);
            let key_exchange = self.group.key_exchange();
            let _ = send_show(out, key_exchange, &group_id, &target.door_key, reference, content);
        }
    }

    /// Another keeps our epoch. If we asked that one for a place elsewhere it is here now (R3).
    pub(super) fn find_keeper(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        keeper: Option<MemberId>,
        now: Instant,
    ) {
        let Some(member) = keeper else { return };
        out.tell(Event::Keeper { member });
        let Some(key) = self.group.occupant(member).map(|keeper| keeper.key) else { return };
        let law = memory.store.law();
        if self.returning.as_mut().is_some_and(|returning| returning.stay_with(&key, law)) {
            self.returning = None;
            self.outlive_petitions(out, now);
        }
    }

    /// Asks for our place elsewhere, while there is anybody to ask.
    pub(super) fn tend_returning(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        now: Instant,
    ) -> Result<(), crate::mls::Failure> {
        if let Some(returning) = &mut self.returning {
            returning.handle_timeout(out, &memory.store, &memory.freshness, now)?;
            if let Some(until) = self.keeper_id.and_then(|keeper| returning.asked_in_vain(keeper)) {
                self.turns.note_in_vain(until, now);
            }
            self.in_vain_until = returning.in_vain_until(now).or(self.in_vain_until);
            if !returning.has_target() && returning.began + GIVE_UP <= now {
                // Nobody speaks of that branch any more: we go on where we are.
                self.returning = None;
                self.outlive_petitions(out, now);
            }
        }
        Ok(())
    }
}

/// After so long without a target a member goes on where it is.
const GIVE_UP: Duration = Duration::from_secs(20);
const MAX_TURNED_AWAY: usize = 64;
