//! A member that is present: the group, the media keys and the agents, and the one place where what
//! the agents want is carried out.
//!
//! ```text
//! message ─> hearing ─> agents: liveness, turns, keeper, presence, doors, returning
//!                          │ what they want
//!            making  <─────┘  commits of our own     entering: what each new epoch does
//! ```

use std::{collections::BTreeMap, time::Instant};

use super::{
    bounded::{Rate, Recent},
    commits::{Pending, Ruling, comes_before, rule},
    error::ControlError,
    event::{Ending, Event},
    held::Held,
    judge::{Newest, Past, Rivals},
    keeper::Keeper,
    liveness::Liveness,
    memory::Memory,
    order::Turns,
    outbox::Outbox,
    presence::Presence,
    returning::Returning,
    showing::Showing,
    speakers::missing::Missing,
    view::View,
    violation::Violation,
};
use crate::{
    defence::{Defence, holds},
    group::Member,
    id::{Leaf, MemberId},
    law::{LiveSet, StatementId},
    media::{Rekey, Schedule},
    mls::{Failure, Group, Incoming, ProcessError, Staged},
    wire::{
        door::Door,
        saying::{MAX_ASKED, Saying},
        show::Broken,
        signed::Signed,
    },
};

/// Our place in the tree, and all that comes with it.
pub(super) struct Seat {
    pub(super) group: Group,
    pub(super) schedule: Schedule,
    /// The law of this epoch: the same for everybody in it.
    pub(super) epoch_law: LiveSet,
    /// The roster of the epoch, as the application sees it.
    pub(super) members: Vec<Member>,
    pub(super) keeper_id: Option<MemberId>,
    /// What Shows to the keeper are sealed to, once it was heard.
    pub(super) keeper_door: Option<Vec<u8>>,
    pub(super) liveness: Liveness,
    pub(super) turns: Turns,
    pub(super) presence: Presence,
    pub(super) keeper: Option<Keeper>,
    pub(super) returning: Option<Returning>,
    pub(super) showing: Showing,
    pub(super) missing: Missing,
    pub(super) past: Past,
    pub(super) newest: Newest,
    pub(super) rivals: Rivals,
    /// When the newest heartbeat of this epoch's keeper was made.
    pub(super) beat: Instant,
    /// When one of our own heartbeats was sent, by what it said.
    pub(super) doors_heard: BTreeMap<MemberId, Signed<Door>>,
    /// Commits that wait: for statements, for a heartbeat, or until the keeper counts as silent.
    pub(super) pending: Vec<Pending>,
    /// Epochs and branches that the keeper's heartbeats have stated and that we have not entered.
    pub(super) stated: Recent<(u64, [u8; 32]), 64>,
    pub(super) held: Held,
    pub(super) renew_at: Instant,
    /// A Return of each identity in two seconds, a Show in ten; 64 of all in a second.
    pub(super) returns: Rate<MemberId>,
    pub(super) shows: Rate<MemberId>,
    pub(super) opened: Rate<()>,
    /// Badges that we signed as the host, by moderator.
    pub(super) badges: Rate<MemberId>,
    /// Genuine Shows that were taken, by a hash of what was sealed.
    pub(super) shown_before: Recent<[u8; 32], 1_024>,
    /// Answers to identities that are not admitted.
    pub(super) turned_away: Rate<MemberId>,
    /// Statements of ours that the epoch's law lacks still: (whom about, the statement, when it was
    /// made).
    pub(super) asked: Vec<(MemberId, StatementId, Instant)>,
    pub(super) broken: Option<Broken>,
    pub(super) fault: Option<Failure>,
    /// Since which of our own times words are to be answers to what we said, after the clock
    /// jumped.
    pub(super) doubted_ms: Option<u64>,
    pub(super) told_alone: bool,
    pub(super) told_unattended: bool,
    pub(super) door_said_at: Option<Instant>,
    pub(super) entered_at: Instant,
    /// Heartbeats that moved our step clock.
    pub(super) stepped: Rate<()>,
    /// We asked for a place elsewhere in vain; until then asking again does not keep us from our
    /// part.
    pub(super) in_vain_until: Option<Instant>,
    /// The standings that counted still after our last table that took in what counts.
    pub(super) left_out: usize,
    /// Until when a member that was restored from what it had stored signs nothing: it may lack
    /// acts of its own.
    pub(super) learns_until: Option<Instant>,
    /// When we answered a heartbeat last.
    pub(super) answered_at: Instant,
    /// Members that were added though they had left by a Leave that we keep, and when we say it.
    pub(super) unsaid: Vec<(Instant, MemberId)>,
    /// Renewals that were merged, by member.
    pub(super) renewals: Rate<MemberId>,
    /// Renewals that we merged as the keeper: the epoch that each ended, and whose it was.
    pub(super) renewed: Recent<(u64, MemberId), 64>,
    /// Members of whose renewals somebody said that it could not process them.
    pub(super) accused: Rate<MemberId>,
    /// Those of them that somebody said it could not process.
    pub(super) accused_of: Recent<(u64, MemberId), 64>,
    /// Heartbeats that we answered.
    pub(super) words: Rate<()>,
}

/// What a message or the time did to our place.
pub(super) enum Outcome {
    /// We are where we were, or in the next epoch.
    Stays,
    /// The room is over for us.
    Ends(Ending),
    /// Our leaf is gone, and we are admitted still: on the way back, with what we asked for
    /// already.
    Lost(Option<Box<Returning>>),
}

impl Seat {
    pub(super) fn view<'a>(&'a self, memory: &'a Memory, now: Instant) -> View<'a> {
        View {
            now,
            group: &self.group,
            epoch_law: &self.epoch_law,
            store: &memory.store,
            presence: &self.presence,
            freshness: &memory.freshness,
            keeper: self.keeper_id,
            beat: self.beat,
            out_since: self.liveness.out_since(),
            keeper_out_since: self.keeper_id.and_then(|keeper| self.liveness.out_since_of(keeper)),
        }
    }

    pub(super) fn keeps(&self) -> bool {
        self.keeper.is_some()
    }

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
                let saying = Saying::decode(&bytes).map_err(|_| ControlError::Malformed)?;
                self.hear_saying(out, memory, from, saying, now)
            }
            Ok(Incoming::Commit { staged, .. }) => {
                if let Some(by) = self.group.occupant_at(staged.by) {
                    let by = by.id;
                    let made = out.skew.hear(by, staged.aad.said_ms(), std::time::Duration::ZERO, now);
                    self.hear_word(out, memory, by, made, now);
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

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, out: &mut Outbox, memory: &mut Memory, now: Instant) -> Outcome {
        self.schedule.handle_timeout(now);
        self.pending.retain(|pending| pending.since + PENDING_FOR > now);
        match self.try_pending(out, memory, now) {
            Ok(Outcome::Stays) | Err(_) => {}
            Ok(outcome) => return outcome,
        }
        if let Err(failure) = self.tend_returning(out, memory, now) {
            self.fault = Some(failure);
        }
        self.tend_takeover(out, memory, now);
        self.tend_renewal(out, memory, now);
        // Last of the three: a heartbeat follows whatever was committed.
        self.tend_keeping(out, memory, now);
        self.tend_showing(out, memory, now);
        self.tend_missing(out, memory, now);
        self.tend_leaves(out, memory, now);
        self.tend_knocks(out, memory, now);
        self.tend_door(out, memory, now);
        self.tend_people(out, memory, now);
        self.review_silence(out, memory, now);
        Outcome::Stays
    }

    pub(super) fn poll_timeout(&self, memory: &Memory, now: Instant) -> Option<Instant> {
        let view = self.view(memory, now);
        let stays = self.returning.is_none();
        // What was due and could not be done is tried again a moment later.
        let later = |at: Instant| if at > now { at } else { now + A_MOMENT };
        let times = [
            self.schedule.poll_timeout(),
            self.liveness.poll_timeout(&view),
            // A member that returns takes nothing over, renews nothing and puts nothing together.
            self.takes_part(now).then(|| self.turns.takeover_at(&view)).flatten().map(later),
            self.keeper.as_ref().map(|keeper| keeper.poll_timeout(self.answered(now), stays, now)),
            self.returning.as_ref().map(Returning::poll_timeout),
            self.showing.poll_timeout(),
            Some(self.missing.poll_timeout()),
            memory.doors.as_ref().and_then(|doors| doors.poll_timeout()),
            memory.doors.as_ref().map(|_| self.door_at(now)),
            self.takes_part(now).then_some(self.renew_at),
            self.pending.iter().map(|pending| (pending.since + LACKS_FOR).max(now + A_MOMENT)).min(),
            self.asked.iter().map(|(_, _, at)| *at + IGNORED_AFTER).filter(|at| *at > now).min(),
            self.unsaid.iter().map(|(at, _)| *at).min(),
            Some(self.people_at(now)),
        ];
        times.into_iter().flatten().min()
    }

    /// Whether we play our part in this epoch: we do not ask for a place elsewhere, or have done so
    /// in vain for ten seconds, whomever we asked. Otherwise whoever says that it keeps a branch
    /// could stop us.
    pub(super) fn takes_part(&self, now: Instant) -> bool {
        self.returning.is_none() || self.in_vain_until.is_some_and(|until| now < until)
    }

    pub(super) fn poll_rekey(&mut self) -> Option<Rekey> {
        self.schedule.poll_rekey()
    }

    /// Pauses or resumes the sealer by the four rules (S1 to S4).
    pub(super) fn review_silence(&mut self, out: &mut Outbox, memory: &Memory, now: Instant) {
        let silence = self.liveness.silence(&self.view(memory, now));
        out.set_silence(silence);
    }

    /// Says something to everybody in this epoch. What cannot be sent is said again by who needs
    /// it.
    pub(super) fn say(&mut self, out: &mut Outbox, saying: &Saying) {
        match self.group.seal(&saying.encode()) {
            Ok(message) => {
                if out.send(&crate::wire::message::Message::Mls(message)).is_err() {
                    self.fault.get_or_insert_with(|| Failure::of("a message is too long"));
                }
            }
            Err(failure) => self.fault = Some(failure),
        }
    }

    pub(super) fn report(&self, out: &mut Outbox, leaf: Option<Leaf>, violation: Violation) -> ControlError {
        let by = leaf.and_then(|leaf| self.group.occupant_at(leaf)).map(|member| member.id);
        out.tell(Event::Violation { by, violation });
        ControlError::NotPermitted { by, violation }
    }

    /// The time of the room in Unix milliseconds: our own clock.
    pub(super) fn room_ms(&self, out: &Outbox, now: Instant) -> u64 {
        out.clock.unix_ms(now)
    }
}

const MAX_PENDING: usize = 16;
const MAX_PENDING_OF_ONE: usize = 2;
/// Renewals that a keeper lets through in 30 s, one of each member.
const MAX_RENEWALS: usize = 6;
/// A commit waits so long for what it lacks.
const LACKS_FOR: std::time::Duration = std::time::Duration::from_secs(3);
const PENDING_FOR: std::time::Duration = std::time::Duration::from_secs(15);
const A_MOMENT: std::time::Duration = std::time::Duration::from_millis(250);
pub(super) const IGNORED_AFTER: std::time::Duration = std::time::Duration::from_secs(3);
