//! Whose commits count: the keeper's at once, others' when the keeper says so or is gone (SPEC sections 7.5
//! and 7.6).

use std::time::{Duration, Instant};

use super::{
    core::Core,
    error::ControlError,
    event::Ending,
    lineage::{reclaims, successors},
    pending::Proposed,
    seat::{Outcome, Seat},
};
use crate::{
    group::{
        Violation,
        announcement::Task,
        message::Message,
        mls::{Draft, Staged},
        policy::{Permit, Standing},
    },
    id::{Leaf, MemberId},
};

impl Seat {
    /// Takes a commit that MLS authenticated as from `from`.
    pub(super) fn handle_commit(
        &mut self,
        core: &mut Core,
        from: Leaf,
        staged: Staged,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        let (permit, standing) = match self.group.check(&staged) {
            Ok(permitted) => permitted,
            Err(violation) => return Err(self.report(core, Some(from), violation)),
        };
        let Some(member) = self.group.member_at(from) else { return Err(ControlError::Malformed) };
        let (by, order) = (member.id, (member.role.rank(), from));
        match (standing, &mut self.keeping) {
            (Standing::Keeper, _) => return Ok(self.merge(core, by, staged, permit, now)),
            (Standing::Named, Some(keeping)) if keeping.naming.ordered(from, &staged.change) => {
                keeping.naming.note_done(by, self.group.epoch());
                let outcome = self.merge(core, by, staged, permit, now);
                // What makes it count for everybody else.
                self.send_heartbeat(core, now);
                return Ok(outcome);
            }
            // Whoever takes over from a keeper that lives did not hear it. Its word carries the others along.
            (Standing::Takeover, Some(_)) => {
                if self.rival.is_none() && self.yields_to(by, now) {
                    return Ok(self.yield_to(core, by, staged, permit, now));
                }
                return Err(self.report(core, Some(from), Violation::NotKeeper));
            }
            // Too late, and no fault of its own.
            (_, Some(keeping)) if keeping.naming.gave_up_on(by) => return Err(ControlError::Stale),
            (_, Some(_)) => return Err(self.report(core, Some(from), Violation::NotKeeper)),
            (_, None) => {}
        }
        let proposed = Proposed { from, by, order, staged, permit, standing };
        self.pending.hold(proposed).map_err(|_| ControlError::Overflow)?;
        Ok(self.try_pending(core, now))
    }

    /// Merges what waited for the keeper's word, or for its silence, if it has come.
    pub(super) fn try_pending(&mut self, core: &mut Core, now: Instant) -> Outcome {
        let next = self.group.epoch().0 + 1;
        let expected = self.expected.iter().find(|(epoch, _)| epoch.0 == next).map(|(_, branch)| *branch);
        if expected.is_some() && expected == self.group.prepared_branch() {
            match self.group.merge_prepared() {
                Ok(summary) => self.enter_epoch(core, core.identity.id(), &summary, now),
                Err(failure) => self.broken = Some(failure),
            }
            return self.retry_held(core, now);
        }
        let state = self.group.state();
        let silent = now.saturating_duration_since(self.heard_at()) >= TAKEN_OVER_AFTER;
        let rival = self.rival.as_ref().map(|rival| rival.branch);
        let task = self.task.as_ref();
        let holds = |proposed: &Proposed| {
            let branch = proposed.staged.branch();
            let confirmed = branch.is_some() && (branch == expected || branch == rival);
            let removes_us = expected.is_some()
                && proposed.staged.removes_us()
                && task.is_some_and(|task| is_for(task, proposed));
            let takes_over = proposed.standing == Standing::Takeover
                && (silent || reclaims(state.role(proposed.by), state.role(state.keeper)));
            confirmed || removes_us || takes_over
        };
        match self.pending.take(holds) {
            Some(Proposed { by, staged, permit, .. }) => self.merge(core, by, staged, permit, now),
            None => Outcome::Stays,
        }
    }

    /// When a takeover that waits is to be merged if the keeper stays silent.
    pub(super) fn pending_timeout(&self) -> Option<Instant> {
        let waits = self.pending.any(|proposed| proposed.standing == Standing::Takeover);
        waits.then(|| self.heard_at() + TAKEN_OVER_AFTER)
    }

    /// When it is our turn to take over, if nothing is heard of the keeper until then.
    pub(super) fn takeover_at(&self) -> Option<Instant> {
        if self.keeps() || self.rival.is_some() || self.took_over {
            return None;
        }
        let state = self.group.state();
        let own = self.group.member_at(self.group.own_leaf())?;
        let keeper = state.role(state.keeper);
        let successors = successors(self.group.roster(), state.keeper);
        let place = successors.iter().position(|member| member.id == own.id)?;
        if reclaims(own.role, keeper) {
            return Some(self.entered_at.max(self.awake_at) + stagger(place));
        }
        if let Some(at) = self.outlaws.since() {
            return Some(at.max(self.awake_at) + stagger(place));
        }
        Some(self.liveness.heard_at().max(self.awake_at) + SILENT_AFTER + stagger(place))
    }

    /// Takes over, if it is time to.
    pub(super) fn tend_succession(&mut self, core: &mut Core, now: Instant) {
        let Some(at) = self.takeover_at().filter(|at| *at <= now) else { return };
        if now.saturating_duration_since(at) > ASLEEP {
            // The device slept: what the keeper said meanwhile is still to be read.
            self.awake_at = now + TO_READ;
            return;
        }
        self.take_over(core, now);
    }

    /// Makes itself the keeper. Where it fails the next in line takes over.
    pub(super) fn take_over(&mut self, core: &mut Core, now: Instant) {
        self.took_over = true;
        let next = self.group.state().with_keeper(core.identity.id(), self.highest_term);
        let _ = self.commit_draft(core, &Draft { state: Some(&next), ..Draft::default() }, now);
    }

    /// Whether a takeover by `member` is to be followed: not twice in a minute, or it could keep us busy.
    fn yields_to(&mut self, member: MemberId, now: Instant) -> bool {
        let again = |(other, at): &(MemberId, Instant)| {
            *other == member && now.saturating_duration_since(*at) < YIELD_AGAIN
        };
        if self.yielded.as_ref().is_some_and(again) {
            return false;
        }
        self.yielded = Some((member, now));
        true
    }

    /// Follows somebody who took over from us, and tells those who heard us and not our silence.
    fn yield_to(
        &mut self,
        core: &mut Core,
        by: MemberId,
        staged: Staged,
        permit: Permit,
        now: Instant,
    ) -> Outcome {
        let keeping = self.keeping.take();
        let outcome = self.merge(core, by, staged, permit, now);
        if let (Some(keeping), None) = (keeping, &self.keeping) {
            self.keeping = Some(keeping);
            self.send_heartbeat(core, now);
            self.keeping = None;
        }
        outcome
    }

    fn merge(
        &mut self,
        core: &mut Core,
        by: MemberId,
        staged: Staged,
        permit: Permit,
        now: Instant,
    ) -> Outcome {
        let own = core.identity.id();
        let banned = staged.change.state.as_ref().is_some_and(|state| state.is_banned(own));
        match self.group.merge(staged, permit) {
            Ok(summary) if summary.removed_self && summary.added.contains(&own) => return Outcome::Lost,
            Ok(summary) if summary.removed_self => return Outcome::Ends(Ending::Removed { by, banned }),
            Ok(summary) => self.enter_epoch(core, by, &summary, now),
            Err(failure) => self.broken = Some(failure),
        }
        self.retry_held(core, now)
    }

    /// Makes the commit that the keeper named us for. It waits for the keeper's word.
    pub(super) fn handle_task(
        &mut self,
        core: &mut Core,
        from: Leaf,
        task: Task,
        now: Instant,
    ) -> Result<Outcome, ControlError> {
        let state = self.group.state();
        if self.group.member_at(from).is_none_or(|member| member.id != state.keeper) {
            return Err(self.report(core, Some(from), Violation::NotKeeper));
        }
        if task.committer == self.group.own_leaf() && self.rival.is_none() {
            let draft = Draft {
                removes: &task.removes,
                state: task.state.as_ref(),
                renews: Some(&core.identity),
                ..Draft::default()
            };
            // What we cannot commit the keeper gives to somebody else.
            if let Ok(commit) = self.group.prepare(&draft) {
                core.send(&Message::Mls(commit));
            }
        }
        self.task = Some(task);
        Ok(self.try_pending(core, now))
    }
}

fn is_for(task: &Task, proposed: &Proposed) -> bool {
    task.committer == proposed.from && task.removes == proposed.staged.change.removes
}

/// How much later than the first the successor at `place` takes over.
fn stagger(place: usize) -> Duration {
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    let (far, near) = (place.saturating_sub(FAR).min(1_000), place.min(FAR));
    STAGGER * near + STAGGER_FAR * far
}

/// Without a word from the keeper for so long the first successor takes over: a heartbeat was due twice by
/// then, or nearly.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(8);
/// Whoever heard the keeper a little later than the successor did still merges at once.
const TAKEN_OVER_AFTER: Duration = Duration::from_secs(7);
/// How long a keeper that followed a takeover does not follow another by the same member.
const YIELD_AGAIN: Duration = Duration::from_secs(60);
/// Who comes so much too late for its turn was not there to hear the keeper.
const ASLEEP: Duration = Duration::from_secs(1);
/// How long it takes at least to read it.
const TO_READ: Duration = Duration::from_millis(100);
const STAGGER: Duration = Duration::from_millis(1_500);
/// From the twelfth successor on.
const STAGGER_FAR: Duration = Duration::from_millis(100);
const FAR: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_successor_has_a_moment_of_its_own_and_the_twelfth_comes_within_half_a_minute() {
        assert_eq!(stagger(0), Duration::ZERO);
        assert_eq!(stagger(1), STAGGER);
        assert!((0..999).all(|place| stagger(place) < stagger(place + 1)));
        assert!(SILENT_AFTER + stagger(12) <= Duration::from_secs(30));
    }
}
