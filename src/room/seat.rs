//! A member's place in the room: the group, the keys that come of it, and what the keeper does
//! (SPEC sections 7.3 to 7.6).

use std::time::{Duration, Instant};

use super::{
    core::Core,
    door::{Admitted, Door},
    error::{CommandError, ControlError},
    event::{Ending, Event},
    held::Held,
    liveness::{Doubt, HEARTBEAT, Liveness, Verdict},
    reports::begin_speaking,
};
use crate::{
    group::{
        Role, Violation,
        message::{Announcement, Heartbeat, Message, RefuseReason, branch},
        mls::{CommitError, Failure, Group, Incoming, ProcessError, Staged, Summary},
        policy::{self, Action},
        state::RoomState,
    },
    id::{Leaf, MemberId},
    keys::{EpochStart, Schedule, Speaker},
};

/// A member of the room, the host included.
pub(super) struct Seat {
    pub(super) group: Group,
    pub(super) schedule: Schedule,
    held: Held,
    part: Part,
    /// What failed after a merge, where nothing can fail: the room cannot go on with it.
    broken: Option<Failure>,
}

/// What a member does for the room.
enum Part {
    /// Puts commits in order and proves that it lives. At this edition the keeper is the host.
    Keeper { door: Box<Door>, heartbeat_at: Instant },
    /// Follows, and watches the keeper.
    Follower(Liveness),
}

/// Whether the seat is still ours after a message.
pub(super) enum Outcome {
    Stays,
    Ends(Ending),
}

impl Seat {
    /// The host's place in the room that it has just made.
    pub(super) fn keeper(
        core: &mut Core,
        mut group: Group,
        door: Door,
        now: Instant,
    ) -> Result<Self, Failure> {
        let schedule = begin_epoch(core, &mut group, &[], now)?;
        let part = Part::Keeper { door: Box::new(door), heartbeat_at: now + HEARTBEAT };
        Ok(Self { group, schedule, held: Held::default(), part, broken: None })
    }

    /// The place of somebody who was welcomed.
    pub(super) fn follower(
        core: &mut Core,
        mut group: Group,
        held: Held,
        now: Instant,
    ) -> Result<Self, Failure> {
        let schedule = begin_epoch(core, &mut group, &[], now)?;
        core.events.push_back(Event::Joined { epoch: group.epoch() });
        Ok(Self { group, schedule, held, part: Part::Follower(Liveness::begin(now)), broken: None })
    }

    pub(super) fn door(&mut self) -> Option<(&mut Door, &Group)> {
        match &mut self.part {
            Part::Keeper { door, .. } => Some((door, &self.group)),
            Part::Follower(_) => None,
        }
    }

    /// Whether we put the commits in order.
    pub(super) fn keeps(&self) -> bool {
        matches!(self.part, Part::Keeper { .. })
    }

    pub(super) fn handle_mls(
        &mut self,
        core: &mut Core,
        message: Vec<u8>,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        match self.group.process(&message) {
            Ok(Incoming::Application { from, bytes }) => self.handle_announcement(core, from, &bytes, now),
            Ok(Incoming::Commit { from, staged }) => self.handle_commit(core, from, staged, now),
            Err(ProcessError::Future(_)) => {
                self.held.keep(message).map_err(|_| ControlError::Overflow)?;
                Ok(Outcome::Stays)
            }
            Err(ProcessError::Violation(leaf, violation)) => Err(self.report(core, leaf, violation)),
            Err(error) => Err(ControlError::of(error)),
        }
    }

    /// Takes a heartbeat: proof of life, news of a commit that we lack, or of a fork.
    pub(super) fn handle_heartbeat(
        &mut self,
        core: &mut Core,
        heartbeat: &Heartbeat,
        now: Instant,
    ) -> Result<(), ControlError> {
        let keeper = self.group.member(self.group.state().terms.host).ok_or(ControlError::NotTheHost)?;
        if !heartbeat.is_from(&keeper.key, self.group.id()) {
            return Err(ControlError::NotTheHost);
        }
        if heartbeat.epoch < self.group.epoch() {
            return Err(ControlError::Stale);
        }
        let same_branch = heartbeat.branch == branch(self.group.authenticator());
        let Part::Follower(liveness) = &mut self.part else {
            // Our own signature over an epoch that is not ours: somebody else is us.
            return Err(if heartbeat.epoch == self.group.epoch() && same_branch {
                ControlError::Own
            } else {
                ControlError::NotTheHost
            });
        };
        let verdict = if heartbeat.epoch > self.group.epoch() {
            liveness.doubt(Doubt::Behind)
        } else if !same_branch {
            liveness.doubt(Doubt::Fork)
        } else {
            let reported = Duration::from_millis(heartbeat.elapsed_ms);
            self.schedule.handle_elapsed(reported, now);
            liveness.prove(reported, self.schedule.elapsed(now), now).map_err(|_| ControlError::Stale)?
        };
        carry_out(core, verdict);
        Ok(())
    }

    pub(super) fn handle_timeout(&mut self, core: &mut Core, now: Instant) {
        self.schedule.handle_timeout(now);
        match &mut self.part {
            Part::Follower(liveness) => {
                let verdict = liveness.handle_timeout(now);
                carry_out(core, verdict);
            }
            Part::Keeper { door, heartbeat_at } => {
                let batch = door.poll_timeout().is_some_and(|at| at <= now);
                if *heartbeat_at <= now {
                    *heartbeat_at = now + HEARTBEAT;
                    self.send_heartbeat(core, now);
                }
                if batch {
                    // Whoever cannot be added was answered so; there is nothing else in this commit.
                    let _ = self.commit(core, &[], None, now);
                }
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let part = match &self.part {
            Part::Follower(liveness) => liveness.poll_timeout(),
            Part::Keeper { door, heartbeat_at } => {
                [door.poll_timeout(), Some(*heartbeat_at)].into_iter().flatten().min()
            }
        };
        [self.schedule.poll_timeout(), part].into_iter().flatten().min()
    }

    pub(super) fn poll_rekey(&mut self) -> Option<crate::keys::Rekey> {
        self.schedule.poll_rekey()
    }

    /// Tries again what was held for this epoch.
    pub(super) fn retry_held(&mut self, core: &mut Core, now: Instant) -> Outcome {
        // What is dropped here was counted when it came, or says nothing that can be acted on any more.
        for message in self.held.take() {
            if let Ok(Outcome::Ends(ending)) = self.handle_mls(core, message, now) {
                return Outcome::Ends(ending);
            }
        }
        Outcome::Stays
    }

    /// Does what our role permits: commits it as the keeper, asks the keeper otherwise.
    pub(super) fn act(&mut self, core: &mut Core, action: Action, now: Instant) -> Result<(), CommandError> {
        let own = core.identity.id();
        policy::check_action(action, own, self.group.roster(), self.group.state())
            .map_err(CommandError::NotPermitted)?;
        match self.part {
            Part::Keeper { .. } => self.commit_action(core, action, now),
            Part::Follower(_) => Ok(self.announce(core, Announcement::Ask(action))?),
        }
    }

    /// Says something to everybody in this epoch.
    pub(super) fn announce(&mut self, core: &mut Core, announcement: Announcement) -> Result<(), Failure> {
        let message = self.group.seal(&announcement.encode())?;
        core.send(&Message::Mls(message));
        Ok(())
    }

    fn handle_commit(
        &mut self,
        core: &mut Core,
        from: Leaf,
        staged: Staged,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        let permit = match policy::check(&staged.change, self.group.roster(), self.group.state()) {
            Ok(permit) => permit,
            Err(violation) => return Err(self.report(core, Some(from), violation)),
        };
        let own = core.identity.id();
        let by = self.group.member_at(from).map_or(own, |member| member.id);
        let banned = staged.change.state.as_ref().is_some_and(|state| state.is_banned(own));
        match self.group.merge(staged, permit) {
            Ok(summary) if summary.removed_self => return Ok(Outcome::Ends(Ending::Removed { by, banned })),
            Ok(summary) => self.enter_epoch(core, by, &summary, now),
            Err(failure) => self.broken = Some(failure),
        }
        Ok(self.retry_held(core, now))
    }

    fn handle_announcement(
        &mut self,
        core: &mut Core,
        from: Leaf,
        bytes: &[u8],
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        let announcement = Announcement::decode(bytes).map_err(|_| ControlError::Malformed)?;
        let member = self.group.member_at(from).ok_or(ControlError::Malformed)?;
        let (member, role) = (member.id, member.role);
        let keeps = self.keeps();
        match announcement {
            Announcement::SpeakerKey(key) => {
                if let Err(violation) = self.handle_speaker_key(core, from, key, now) {
                    return Err(self.report(core, Some(from), violation));
                }
            }
            Announcement::Close if role == Role::Host => return Ok(Outcome::Ends(Ending::Closed)),
            Announcement::Close => return Err(self.report(core, Some(from), Violation::NoRight)),
            Announcement::Leave if keeps => {
                let _ = self.commit_action(core, Action::Remove(member), now);
            }
            Announcement::Ask(action) if keeps => {
                if let Err(violation) =
                    policy::check_action(action, member, self.group.roster(), self.group.state())
                {
                    return Err(self.report(core, Some(from), violation));
                }
                let _ = self.commit_action(core, action, now);
            }
            Announcement::Leave | Announcement::Ask(_) => {}
        }
        Ok(Outcome::Stays)
    }

    /// Commits an action that was checked.
    fn commit_action(&mut self, core: &mut Core, action: Action, now: Instant) -> Result<(), CommandError> {
        let state = self.group.state();
        let leaf = |member: MemberId| self.group.member(member).map(|member| member.leaf);
        let (next, removes) = match action {
            Action::Assign(member, role) => (state.with_role(member, role), None),
            Action::Remove(member) => (Ok(state.without_role(member)), leaf(member)),
            Action::Ban(member) => (state.with_ban(member), leaf(member)),
        };
        let next = next.map_err(|_| CommandError::Full)?;
        if next == *state && removes.is_none() {
            return Ok(());
        }
        if let (Action::Ban(member), Part::Keeper { door, .. }) = (action, &mut self.part) {
            door.turn_away(core, &self.group, member);
        }
        self.commit(core, removes.as_slice(), Some(next), now)
    }

    /// Makes one commit of removals, a new state, and whoever is admitted and waits for the next commit.
    pub(super) fn commit(
        &mut self,
        core: &mut Core,
        removes: &[Leaf],
        state: Option<RoomState>,
        now: Instant,
    ) -> Result<(), CommandError> {
        let Part::Keeper { door, .. } = &mut self.part else { return Err(CommandError::HostOnly) };
        let batch = door.take_batch(now);
        match self.commit_once(core, &batch, removes, state.clone(), now) {
            Ok(()) => Ok(()),
            Err(error) if batch.is_empty() => Err(error),
            Err(_) => {
                // Somebody's KeyPackage spoils the commit: it must not keep a ban or the others waiting.
                if !removes.is_empty() || state.is_some() {
                    self.commit_once(core, &[], removes, state, now)?;
                }
                for admitted in batch {
                    let reference = admitted.candidate.reference;
                    if self.commit_once(core, &[admitted], &[], None, now).is_err()
                        && let Part::Keeper { door, .. } = &mut self.part
                    {
                        door.answer(core, &self.group, reference, RefuseReason::Declined);
                    }
                }
                Ok(())
            }
        }
    }

    fn commit_once(
        &mut self,
        core: &mut Core,
        batch: &[Admitted],
        removes: &[Leaf],
        state: Option<RoomState>,
        now: Instant,
    ) -> Result<(), CommandError> {
        if batch.is_empty() && removes.is_empty() && state.is_none() {
            return Ok(());
        }
        let mut next = state.unwrap_or_else(|| self.group.state().clone());
        for admitted in batch {
            if let Some(role) = admitted.role {
                next = next.with_role(admitted.candidate.member, role).map_err(|_| CommandError::Full)?;
            }
        }
        let next = (next != *self.group.state()).then_some(next);
        let candidates: Vec<_> = batch.iter().map(|admitted| &admitted.candidate).collect();
        let committed =
            self.group.commit(&candidates, removes, next.as_ref()).map_err(|error| match error {
                CommitError::Violation(violation) => CommandError::NotPermitted(violation),
                CommitError::Mls(failure) => failure.into(),
            })?;
        core.send(&Message::Mls(committed.commit));
        if let Some(welcome) = committed.welcome {
            core.send(&Message::Welcome(welcome));
        }
        if let Part::Keeper { door, heartbeat_at } = &mut self.part {
            batch.iter().for_each(|admitted| door.note_answered(admitted.candidate.reference));
            *heartbeat_at = now + HEARTBEAT;
        }
        let own = core.identity.id();
        self.enter_epoch(core, own, &committed.summary, now);
        Ok(())
    }

    /// After a merge: new keys, our speaker key, and the news.
    fn enter_epoch(&mut self, core: &mut Core, by: MemberId, summary: &Summary, now: Instant) {
        let removed: Vec<Leaf> = summary.removed.iter().map(|member| member.leaf).collect();
        let next = match begin_epoch(core, &mut self.group, &removed, now) {
            Ok(next) => next,
            Err(failure) => {
                self.broken = Some(failure);
                return;
            }
        };
        let mut ended = std::mem::replace(&mut self.schedule, next);
        // Keys of the epoch before that nobody took yet still open its late packets.
        core.rekeys.extend(std::iter::from_fn(|| ended.poll_rekey()));
        if let Part::Follower(liveness) = &mut self.part {
            let verdict = liveness.renew(now);
            carry_out(core, verdict);
        }
        core.events.push_back(Event::Changed {
            epoch: self.group.epoch(),
            by,
            joined: summary.added.clone(),
            left: summary.removed.iter().map(|member| member.id).collect(),
        });
    }

    /// What keeps the room from going on, if there is anything.
    pub(super) fn broken(&mut self) -> Option<Failure> {
        self.broken.take()
    }

    fn send_heartbeat(&mut self, core: &mut Core, now: Instant) {
        let elapsed = u64::try_from(self.schedule.elapsed(now).as_millis()).unwrap_or(u64::MAX);
        let heartbeat = Heartbeat::new(
            &core.identity,
            self.group.id(),
            self.group.epoch(),
            branch(self.group.authenticator()),
            elapsed,
        );
        core.send(&Message::Heartbeat(heartbeat));
    }

    fn report(&self, core: &mut Core, leaf: Option<Leaf>, violation: Violation) -> ControlError {
        let by = leaf.and_then(|leaf| self.group.member_at(leaf)).map(|member| member.id);
        core.events.push_back(Event::Violation { by, violation });
        ControlError::NotPermitted { by, violation }
    }
}

/// Takes the epoch's secret, starts its keys and announces our speaker key.
fn begin_epoch(
    core: &mut Core,
    group: &mut Group,
    removed: &[Leaf],
    now: Instant,
) -> Result<Schedule, Failure> {
    core.end_epoch(now);
    let secret = group.take_epoch_secret()?;
    let mut seed = core.random();
    let terms = &group.state().terms;
    let speakers: Vec<Speaker> = group
        .roster()
        .iter()
        .filter(|member| member.role.may_speak())
        .map(|member| Speaker { leaf: member.leaf, member: member.id })
        .collect();
    let start = EpochStart {
        secret,
        group_id: group.id(),
        epoch: group.epoch(),
        authenticator: group.authenticator(),
        suite: terms.suite,
        authenticity: terms.authenticity,
        packet_size: terms.packet_size,
        own_leaf: group.own_leaf(),
        speakers: &speakers,
        removed,
        seed,
    };
    let schedule = Schedule::start(start, now).map_err(Failure::of)?;
    begin_speaking(core, group, &schedule, &mut seed, now)?;
    Ok(schedule)
}

fn carry_out(core: &mut Core, verdict: Verdict) {
    match verdict {
        Verdict::Nothing => {}
        Verdict::Pause(reason) => core.pause(reason),
        Verdict::Resume => core.resume(),
    }
}
