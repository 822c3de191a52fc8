//! How a member handles the messages of others: MLS messages, heartbeats, Shows and knocks.

use std::time::{Duration, Instant};

use super::{
    authors::{is_banned, issuer_of},
    doors::badges::badge,
    error::ControlError,
    event::{Ending, Event},
    freshness::is_timely_for_keeper,
    memory::Memory,
    outbox::{Outbox, own_key},
    seat::{Outcome, Seat},
    shown,
    violation::Violation,
};
use crate::{
    defence::{Defence, holds},
    id::{IdentityKey, Leaf, MemberId},
    law::{self, Rank, Statement, renewals},
    mls::Candidate,
    wire::{leave::Leave, saying::Saying, signed::Genuine},
};

impl Seat {
    /// Something that a member says in MLS, authenticated as from its leaf.
    pub(super) fn hear_saying(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        from: Leaf,
        saying: Saying,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        let member = self.group.occupant_at(from).ok_or(ControlError::Malformed)?;
        let (id, key) = (member.id, member.key);
        match saying {
            Saying::SpeakerKey(speaker_key) => {
                let announced_ms = speaker_key.announced.0.saturating_mul(1_000);
                let made = out.skew.hear(id, announced_ms, A_SECOND, now);
                match self.hear_speaker_key(out, memory, from, speaker_key, now) {
                    Ok(()) => self.hear_word(id, made),
                    Err(violation @ Violation::Clock) => {
                        // A comparison of all clocks shows whose is wrong.
                        self.due.clocks = true;
                        return Err(ControlError::NotPermitted { by: Some(id), violation });
                    }
                    Err(violation) => return Err(self.report(out, Some(from), violation)),
                }
            }
            Saying::Word { heard_ms, at_ms, known_law } => {
                if self.keeps() && self.doubted_ms.is_some_and(|doubted| heard_ms > doubted) {
                    self.doubted_ms = None;
                }
                let made = out.skew.hear(id, at_ms, Duration::ZERO, now);
                self.hear_word(id, made);
                self.hear_law(out, memory, &key, known_law, made, now);
            }
            Saying::Statements(statements) => {
                let statements = shown::decode(&statements);
                let group_id = *memory.store.known().group_id();
                let ids: Vec<_> = statements.iter().map(|said| said.id(&group_id)).collect();
                let outcome = self.learn(out, memory, statements, now);
                // A signature is no part of an id: only what is known to be genuine counts as
                // shown, or a false signature would keep the genuine statement from being shown.
                for id in ids.into_iter().filter(|id| memory.store.get(id).is_some()) {
                    self.showing.note_shown(id);
                }
                return Ok(outcome);
            }
            Saying::AskStatements { ids } => self.hear_ask(out, memory, id, &ids, now),
            Saying::Admit { key_package } => {
                #[cfg(feature = "testkit")]
                out.overhear(&key_package);
                if memory.store.law().rank_of(&key) == Rank::None {
                    return Err(self.report(out, Some(from), Violation::NoRight));
                }
                self.hear_admit(out, memory, &key_package, now)?;
            }
            Saying::Leave(leave) => {
                if memory.has_leave(leave.claimed().key.id(), leave.claimed().time_ms) {
                    return Ok(Outcome::Stays);
                }
                let genuine = leave.verify(&memory.store.known().group_id().0);
                let leave = genuine.map_err(|_| ControlError::Malformed)?;
                self.hear_leave(memory, leave, now);
            }
            Saying::Missing(leaves) => {
                if leaves.contains(&self.group.own_leaf()) {
                    out.reports.expiry.ask(now);
                }
            }
            Saying::AnswerKey { answer_key } => {
                let own = IdentityKey::from_bytes(*out.identity.public());
                let law = memory.store.law();
                if law.rank_of(&own) == Rank::Host
                    && law.rank_of(&key) == Rank::Moderator
                    && (self.badges.take(id, now) || !holds(Defence::BadgePace))
                {
                    let signed = badge(out, &memory.store, answer_key);
                    self.say(out, &Saying::Badge(signed));
                }
            }
            Saying::Badge(badge) => {
                let host = *memory.store.law().host();
                if let Some(doors) = &mut memory.doors
                    && badge.claimed().answer_key == doors.answer_key()
                    && let Ok(badge) = badge.verify(&memory.store.known().group_id().0, &host)
                {
                    doors.set_badge(badge);
                    self.door_said_at = None;
                }
            }
            Saying::Door(door) => {
                let host = *memory.store.law().host();
                if memory.store.law().rank_of(&key) > Rank::None
                    && door.clone().verify(&memory.store.known().group_id().0, &host).is_ok()
                    && (self.doors_heard.len() < MAX_DOORS || self.doors_heard.contains_key(&id))
                {
                    self.doors_heard.insert(id, door);
                }
            }
            Saying::App(app) => self.hear_app(out, memory, from, app, now)?,
            Saying::Again(again) => self.hear_again(out, memory, from, &again, now)?,
            #[cfg(feature = "stage")]
            Saying::Hall(bytes) => out.hall.push(super::said::Said { from: id, key, leaf: from, bytes }),
        }
        Ok(Outcome::Stays)
    }

    /// A word of a member in our epoch, made at `made` by our clock.
    pub(super) fn hear_word(&mut self, by: MemberId, made: Instant) {
        self.presence.hear(by, made);
        if self.doubted_ms.is_some() {
            return;
        }
        if self.keeper_id == Some(by) {
            self.turns.hear(made);
            self.liveness.prove(made);
        } else if self.keeps() {
            self.liveness.prove(made);
        }
        self.due.silence = true;
    }

    /// A word of a member says which law the member knows.
    pub(super) fn hear_law(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        by: &IdentityKey,
        known_law: [u8; 32],
        made: Instant,
        now: Instant,
    ) {
        if known_law == memory.store.known().hash() {
            if self.keeper_id == Some(by.id()) {
                self.turns.note_knows(self.liveness.out_since().is_some(), now);
                self.showing.note_agreement();
            }
        } else {
            let spread = if self.keeps() { 0 } else { u32::from_be_bytes(out.random()) % 3_000 };
            self.showing.note_difference(Duration::from_millis(spread.into()), now);
        }
        // A relay could let heartbeats through and nothing else: rank counts as heard only by
        // somebody whose law we have held.
        let ranks = memory.store.law().rank_of(by) > Rank::None && by.id() != out.id();
        if ranks && memory.has_held(&known_law) && self.doubted_ms.is_none() {
            self.liveness.hear_rank(made);
            self.told_unattended = false;
        }
        if known_law == memory.store.known().hash() && (self.keeps() || self.keeper_id == Some(by.id())) {
            self.learns_until = None;
        }
    }

    /// Takes statements that were shown, and does what follows at once: only ever a restriction.
    pub(super) fn learn(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        statements: Vec<Statement>,
        now: Instant,
    ) -> Outcome {
        let merged = memory.store.merge(statements, &self.epoch_law);
        for fallen in &merged.fallen {
            let about = fallen.ban().content().about;
            let member = memory.people().iter().find(|key| memory.store.law().tag(key) == about);
            let by = fallen.ban().content().issuer.id();
            out.tell(Event::BanFell { member: member.map(IdentityKey::id), by });
        }
        for proof in &merged.second_hand_over {
            out.tell(Event::Violation { by: Some(proof.signer().id()), violation: Violation::TwoHandOvers });
        }
        if !merged.changed {
            return Outcome::Stays;
        }
        self.act_on_law(out, memory, now)
    }

    /// The law that we know is another.
    pub(super) fn act_on_law(&mut self, out: &mut Outbox, memory: &mut Memory, now: Instant) -> Outcome {
        memory.note_law();
        let law = memory.store.law();
        let own = IdentityKey::from_bytes(*out.identity.public());
        if law.is_over() {
            return Outcome::Ends(Ending::Closed);
        }
        if !law.admits(&own) {
            let banned = is_banned(law, &own);
            return Outcome::Ends(Ending::Removed { by: issuer_of(law, &own), banned });
        }
        let now_ms = out.clock.unix_ms(now);
        let again = renewals(&out.identity, &memory.store, &memory.recent, now_ms);
        if !again.is_empty() {
            // A new table could not know what we signed a moment ago.
            let _ = memory.store.merge(again, &self.epoch_law);
            memory.note_law();
            self.show(out, memory, now);
        }
        self.review_law(memory, &[], now);
        if let Err(failure) = self.take_up_door(out, memory) {
            self.fault = Some(failure);
        }
        (self.due.keeping, self.due.silence) = (true, true);
        Outcome::Stays
    }

    fn hear_ask(&mut self, out: &mut Outbox, memory: &Memory, by: MemberId, ids: &[[u8; 32]], now: Instant) {
        // The keeper answers, and the issuer of what is lacking; nobody else, or everybody would.
        let (keeps, own) = (self.keeps(), own_key(out));
        let found = ids.iter().filter_map(|id| {
            let id = law::StatementId(*id);
            let found = memory.store.get(&id).or_else(|| self.epoch_law.get(&id))?;
            let ours = matches!(found, law::GenuineStatement::Standing(said) if said.content().issuer == own);
            (keeps || ours).then_some(found)
        });
        let found: Vec<_> = found.collect();
        if found.is_empty() || !self.showing.may_answer(by, now) {
            return;
        }
        let found = found.into_iter().filter(|statement| self.showing.may_repeat(statement.id(), now));
        let found: Vec<_> = found.map(|statement| statement.statement()).collect();
        for part in shown::parts(found) {
            self.say(out, &Saying::Statements(part));
        }
    }

    /// Somebody of rank passes on a KeyPackage.
    pub(super) fn hear_admit(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        key_package: &[u8],
        now: Instant,
    ) -> Result<(), ControlError> {
        let group_id = memory.store.known().group_id().0;
        let candidate = Candidate::vet(key_package, &group_id, self.group.key_exchange())
            .map_err(|violation| ControlError::KeyPackage(violation.into()))?;
        // Only whom law admits, or a moderator could make us forget everybody else.
        if memory.store.law().admits(&candidate.key) {
            memory.note_person(candidate.key);
        }
        if let Some(doors) = &mut memory.doors
            && let Some(knock) = doors.forget(candidate.id)
        {
            out.tell(Event::KnockGone { knock });
        }
        self.enqueue(out, memory, candidate, now);
        Ok(())
    }

    /// Queues a KeyPackage to be added, if we are the keeper.
    pub(super) fn enqueue(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        candidate: Candidate,
        now: Instant,
    ) {
        let now_ms = self.room_ms(out, now);
        let is_newer = memory.freshness.is_new(candidate.id, candidate.made_ms)
            && is_timely_for_keeper(candidate.made_ms, now_ms);
        if is_newer && self.keeper_id == Some(candidate.id) && self.keeper_id != Some(out.id()) {
            // The keeper's identity asks to come in again: it is not where it keeps.
            self.turns.note_gone(now);
        }
        if let Some(keeper) = &mut self.keeper
            && memory.store.law().admits(&candidate.key)
            && memory.freshness.is_new(candidate.id, candidate.made_ms)
            && is_timely_for_keeper(candidate.made_ms, now_ms)
        {
            keeper.enqueue(candidate);
            self.due.keeping = true;
        }
    }

    pub(super) fn hear_leave(&mut self, memory: &mut Memory, leave: Genuine<Leave>, now: Instant) {
        let Leave { key, time_ms } = *leave.content();
        // Leaves of nobody would crowd out those of members; one that came before counts from then.
        let known = memory.store.law().admits(&key) || self.group.occupant(key.id()).is_some();
        if !known || memory.has_leave(key.id(), time_ms) {
            return;
        }
        memory.note_leave(leave);
        self.due.keeping = true;
        if self.keeper_id == Some(key.id())
            && self
                .group
                .occupant(key.id())
                .is_some_and(|keeper| memory.freshness.has_left(keeper.id, keeper.made_ms))
        {
            self.turns.note_gone(now);
        }
        let law = memory.store.law();
        let ranked = self.group.roster().iter().filter(|member| law.rank_of(&member.key) > Rank::None);
        if ranked.clone().count() > 0
            && ranked.clone().all(|member| memory.freshness.has_left(member.id, member.made_ms))
        {
            self.liveness.note_rank_left();
        }
    }
}

const A_SECOND: Duration = Duration::from_millis(999);
const MAX_DOORS: usize = 17;
