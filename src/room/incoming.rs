//! MLS messages: what a member says, and commits, which wait until one of them may be merged (SPEC
//! section 7, rules C1 to C10).

use std::time::{Duration, Instant};

use super::{
    commits::{Pending, Ruling, comes_before, rule},
    error::ControlError,
    memory::Memory,
    outbox::Outbox,
    seat::{Outcome, Seat},
    violation::Violation,
};
use crate::{
    defence::{Defence, holds},
    keys::secret::Secret,
    law::{LiveSet, StatementId},
    mls::{Group, Incoming, ProcessError, Staged},
    wire::{
        saying::{MAX_ASKED, Saying},
        show::Broken,
    },
};

impl Seat {
    /// Takes an MLS message: something that a member says, or a commit.
    pub(super) fn handle_mls(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        bytes: Vec<u8>,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        if self.returning.is_some() {
            // It may be of the branch that we return to. What is too much is asked for there.
            let _ = self.held.keep(bytes.clone(), now);
        }
        match self.group.process(&bytes) {
            Ok(Incoming::Application { from, bytes }) => {
                let bytes = Secret::wrap(bytes);
                let saying = Saying::decode(bytes.bytes()).map_err(|_| ControlError::Malformed)?;
                self.hear_saying(out, memory, from, saying, now)
            }
            Ok(Incoming::Commit { staged, .. }) => {
                if let Some(by) = self.group.occupant_at(staged.by) {
                    let by = by.id;
                    let made = out.skew.hear(by, staged.aad.said_ms(), Duration::ZERO, now);
                    self.hear_word(by, made);
                }
                self.make_room_for(&staged, memory, now)?;
                self.pending.push(Pending { staged, since: now, asked: false });
                self.try_pending(out, memory, now)
            }
            Err(ProcessError::Future(_)) if self.returning.is_some() => Ok(Outcome::Stays),
            Err(ProcessError::Future(_)) => {
                self.held.keep(bytes, now).map_err(|_| ControlError::Overflow)?;
                Ok(Outcome::Stays)
            }
            Err(ProcessError::Violation(leaf, violation)) => {
                let violation = Violation::from(violation);
                let by = leaf.and_then(|leaf| self.group.occupant_at(leaf)).map(|member| member.key);
                if let (Some(by), Violation::BrokenCommit) = (by, violation) {
                    self.broken = Some(Broken { by, epoch: self.group.epoch() });
                }
                Err(self.report(out, leaf, violation))
            }
            Err(error) => Err(ControlError::of(error)),
        }
    }

    /// Finds a place for one more commit: two of each committer wait, and when all places are taken
    /// the commit goes whose committer comes last in the order of keepers. Nobody crowds out the
    /// keeper.
    fn make_room_for(&mut self, staged: &Staged, memory: &Memory, now: Instant) -> Result<(), ControlError> {
        let keeper = self.keeper_id.and_then(|keeper| self.group.occupant(keeper)).map(|keeper| keeper.leaf);
        let of_committer = self.pending.iter().filter(|pending| pending.staged.by == staged.by).count();
        if of_committer >= MAX_PENDING_OF_ONE && holds(Defence::PendingBound) {
            return Err(ControlError::Overflow);
        }
        if self.pending.len() < MAX_PENDING || !holds(Defence::PendingBound) {
            return Ok(());
        }
        let view = self.view(memory, now);
        let mut last = None;
        for (at, pending) in
            self.pending.iter().enumerate().filter(|(_, pending)| Some(pending.staged.by) != keeper)
        {
            let before = last.and_then(|last: usize| self.pending.get(last));
            if before.is_none_or(|before| comes_before(&before.staged, &pending.staged, &view)) {
                last = Some(at);
            }
        }
        let Some(last) = last else { return Err(ControlError::Overflow) };
        let goes = self.pending.get(last).is_some_and(|pending| comes_before(staged, &pending.staged, &view));
        if !goes && Some(staged.by) != keeper {
            return Err(ControlError::Overflow);
        }
        self.pending.remove(last);
        Ok(())
    }

    /// Merges the best of the commits that wait, as long as one may be merged.
    pub(super) fn try_pending(
        &mut self,
        out: &mut Outbox,
        memory: &mut Memory,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        let mut refused = None;
        loop {
            let now_ms = self.room_ms(out, now);
            let mut best = None;
            for mut pending in std::mem::take(&mut self.pending) {
                let view = self.view(memory, now);
                let merges = match rule(&pending.staged, &view, &self.turns, now_ms) {
                    Ruling::Merge(law) => Some(law),
                    Ruling::Renewal(law) => self.renewal_counts(&pending, memory, now).then_some(law),
                    Ruling::Early => None,
                    Ruling::Lacks(ids) => {
                        self.ask_for(out, memory, &mut pending, ids, now);
                        None
                    }
                    Ruling::Refuse(violation) => {
                        refused = Some(self.report(out, Some(pending.staged.by), violation));
                        continue;
                    }
                };
                if let Some(merged) = merges
                    && best.as_ref().is_none_or(|(best, _): &(Pending, LiveSet)| {
                        comes_before(&pending.staged, &best.staged, &self.view(memory, now))
                    })
                {
                    let before = best.replace((pending, merged));
                    self.pending.extend(before.map(|(pending, _)| pending));
                } else {
                    self.pending.push(pending);
                }
            }
            let Some((Pending { staged, .. }, law)) = best else { break };
            let kept = self.keeps();
            if let Some(by) = self.group.occupant_at(staged.by).map(|by| by.id)
                && kept
            {
                self.renewals.note(by, now);
                self.renewed.note((self.group.epoch().0, by));
                // A renewal counts as the keeper's, which members let commit 18 times in 30 s.
                self.keeper.iter_mut().for_each(|keeper| keeper.note_renewal(now));
            }
            match self.merge(out, memory, *staged, law, now) {
                Outcome::Stays => {}
                outcome => return Ok(outcome),
            }
            if kept && self.keeper.as_mut().is_some_and(|keeper| keeper.take_heartbeat(now)) {
                // The others wait for the word that states this epoch: it has to come before the
                // next commit.
                self.send_heartbeat(out, memory, now);
            }
            match self.retry_held(out, memory, now) {
                Outcome::Stays => {}
                outcome => return Ok(outcome),
            }
        }
        refused.map_or(Ok(Outcome::Stays), Err)
    }

    /// Asks for the statements that a commit lacks. A keeper that does not show them counts as
    /// silent.
    fn ask_for(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        pending: &mut Pending,
        ids: Vec<StatementId>,
        now: Instant,
    ) {
        let Some(by) = self.group.occupant_at(pending.staged.by) else { return };
        let keeps = Some(by.id) == self.keeper_id;
        // A commit that could not count anyway makes nobody ask.
        let counts = keeps || self.turns.permits_takeover(by, &self.view(memory, now));
        if counts && !std::mem::replace(&mut pending.asked, true) {
            let ids = ids.into_iter().take(MAX_ASKED).map(|id| id.0).collect();
            self.say(out, &Saying::AskStatements { ids });
        }
        if keeps && pending.since + LACKS_FOR <= now {
            self.turns.note_gone(now);
        }
    }

    /// Whether a renewal counts: the keeper says so, or we are the keeper and have nothing to
    /// commit.
    fn renewal_counts(&self, pending: &Pending, memory: &Memory, now: Instant) -> bool {
        if self.keeps() {
            let by = self.group.occupant_at(pending.staged.by).map(|by| by.id);
            let is_free =
                by.is_some_and(|by| !self.renewals.is_full(&by, now) && !self.accused.is_full(&by, now));
            let settled = memory.store.known().hash() == self.epoch_law.hash();
            let room = self.keeper.as_ref().is_some_and(|keeper| keeper.lets_renew(now));
            // A keeper that goes elsewhere (K9) sends no heartbeat that could state the epoch.
            return is_free
                && settled
                && room
                && self.takes_part(now)
                && self.renewals.total(now) < MAX_RENEWALS;
        }
        let next = (self.group.epoch().0 + 1, pending.staged.branch());
        next.1.is_some_and(|branch| self.stated.contains(&(next.0, branch))) || !holds(Defence::RenewalWord)
    }

    /// Tries again what came before the epoch that it belongs to.
    pub(super) fn retry_held(&mut self, out: &mut Outbox, memory: &mut Memory, now: Instant) -> Outcome {
        for (came, message) in self.held.take() {
            if Group::epoch_of(&message).is_some_and(|epoch| epoch > self.group.epoch()) {
                let _ = self.held.keep(message, came);
                continue;
            }
            match self.handle_mls(out, memory, message, now) {
                Ok(Outcome::Stays) | Err(_) => {}
                Ok(outcome) => return outcome,
            }
        }
        Outcome::Stays
    }
}

const MAX_PENDING: usize = 16;
const MAX_PENDING_OF_ONE: usize = 2;
/// Renewals that a keeper lets through in 30 s, one of each member.
const MAX_RENEWALS: usize = 6;
/// A commit waits so long for what it lacks.
pub(super) const LACKS_FOR: Duration = Duration::from_secs(3);
