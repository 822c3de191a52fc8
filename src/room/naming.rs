//! Whom the keeper leaves a commit to: the member for whom it is smallest (SPEC section 7.5).
//!
//! If one member makes all commits the tree becomes a star, and each of them has a ciphertext for everybody.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{core::Core, error::CommandError, seat::Seat};
use crate::{
    group::{
        announcement::{Announcement, Task},
        message::Broken,
        policy::Change,
        state::RoomState,
    },
    id::{Epoch, Leaf, MemberId},
};

/// What the keeper has left to others.
#[derive(Default)]
pub(super) struct Naming {
    out: Option<Named>,
    /// Who asked for its turn.
    renewals: VecDeque<MemberId>,
    /// Who had its turn, and when.
    turns: VecDeque<(MemberId, Instant)>,
    /// Who was named and did not commit, and when.
    failed: VecDeque<(MemberId, Instant)>,
    /// Who was named and did, and the epoch that it ended.
    done: VecDeque<(MemberId, Epoch)>,
    /// Whose commit was broken for somebody else, and when we heard of it.
    distrusted: VecDeque<(MemberId, Instant)>,
}

struct Named {
    task: Task,
    until: Instant,
}

impl Naming {
    /// Whether this commit is the one that was ordered.
    pub(super) fn ordered(&self, from: Leaf, change: &Change) -> bool {
        self.out.as_ref().is_some_and(|named| {
            let Task { committer, removes, state } = &named.task;
            *committer == from
                && change.adds.is_empty()
                && change.removes == *removes
                && change.state == *state
                && change.path.is_some()
        })
    }

    /// Whether somebody has a commit to make.
    pub(super) fn is_out(&self) -> bool {
        self.out.is_some()
    }

    /// What is to be removed and has not been.
    pub(super) fn removes(&self) -> &[Leaf] {
        self.out.as_ref().map_or(&[], |named| &named.task.removes)
    }

    /// The state that is to be and is not.
    pub(super) fn state(&self) -> Option<&RoomState> {
        self.out.as_ref()?.task.state.as_ref()
    }

    /// Takes back what somebody was named for.
    pub(super) fn take(&mut self) -> Option<Task> {
        self.out.take().map(|named| named.task)
    }

    /// Whether somebody was named lately, and did not commit in time.
    pub(super) fn gave_up_on(&self, member: MemberId) -> bool {
        self.failed.iter().any(|(other, _)| *other == member)
    }

    /// Somebody made the commit that it was named for.
    pub(super) fn note_done(&mut self, member: MemberId, epoch: Epoch) {
        if self.done.len() == MAX_DONE {
            self.done.pop_front();
        }
        self.done.push_back((member, epoch));
    }

    /// A commit that somebody was named for was broken for another. Whether it is one of those that we remember.
    pub(super) fn distrust(&mut self, broken: &Broken, now: Instant) -> bool {
        let Broken { by, epoch } = *broken;
        let known = self.done.contains(&(by, epoch));
        if known {
            self.distrusted.retain(|(member, _)| *member != by);
            if self.distrusted.len() == MAX_FAILED {
                self.distrusted.pop_front();
            }
            self.distrusted.push_back((by, now));
        }
        known
    }

    fn distrusts(&self, member: MemberId, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < DISTRUSTED_FOR;
        self.distrusted.iter().any(|(other, at)| *other == member && recent(*at))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.out.as_ref().map(|named| named.until)
    }

    pub(super) fn enter_epoch(&mut self) {
        self.out = None;
    }
}

impl Seat {
    /// Somebody asks for its turn to renew its leaf.
    pub(super) fn note_renewal(
        &mut self,
        core: &mut Core,
        member: MemberId,
        now: Instant,
    ) -> Result<(), CommandError> {
        if member == core.identity.id() {
            return self.renew_leaf(core, now);
        }
        let Some(keeping) = &mut self.keeping else { return Ok(()) };
        // Somebody who wants its turn all the time would keep everybody busy.
        let naming = &mut keeping.naming;
        naming.turns.retain(|(_, at)| now.saturating_duration_since(*at) < TURN_AGAIN);
        let had_it = naming.turns.iter().any(|(other, _)| *other == member);
        if naming.distrusts(member, now) {
            return Ok(());
        }
        if !had_it && !naming.renewals.contains(&member) && naming.renewals.len() < MAX_RENEWALS {
            naming.renewals.push_back(member);
            naming.turns.push_back((member, now));
        }
        self.tend_naming(core, now);
        Ok(())
    }

    /// Leaves a commit with removals to the member for whom it is smallest, in rooms where that matters.
    pub(super) fn commit_or_name(
        &mut self,
        core: &mut Core,
        removes: Vec<Leaf>,
        state: Option<RoomState>,
        now: Instant,
    ) -> Result<(), CommandError> {
        let arrivals = self.keeping.as_ref().is_some_and(|keeping| !keeping.returns.is_empty())
            || self.door.as_ref().is_some_and(|door| door.poll_timeout().is_some());
        let nearest = if removes.is_empty() || arrivals || self.group.roster().len() < MIN_NAMING {
            None
        } else {
            self.nearest(&removes, now)
        };
        match nearest {
            Some(committer) if self.rival.is_none() => {
                self.name(core, Task { committer, removes, state }, now + NAMED_FOR)
            }
            _ => self.commit(core, &removes, state, now),
        }
    }

    fn name(&mut self, core: &mut Core, task: Task, until: Instant) -> Result<(), CommandError> {
        let Some(keeping) = &mut self.keeping else { return Ok(()) };
        keeping.naming.out = Some(Named { task: task.clone(), until });
        Ok(self.announce(core, &Announcement::Name(task))?)
    }

    /// The member whose leaf is nearest to what is removed: it shares the most of the tree with it, so that its
    /// commit replaces the most of what the removal left blank. `None` if that is us.
    fn nearest(&self, removes: &[Leaf], now: Instant) -> Option<Leaf> {
        let first = removes.first()?;
        let failed = |member: MemberId| {
            let keeping = self.keeping.as_ref();
            keeping.is_some_and(|keeping| {
                let recent = |at: Instant| now.saturating_duration_since(at) < FAILED_FOR;
                keeping.naming.failed.iter().any(|(other, at)| *other == member && recent(*at))
                    || keeping.naming.distrusts(member, now)
            })
        };
        let fit = self.group.roster().iter().filter(|member| {
            !removes.contains(&member.leaf)
                && !self.group.leaving().contains(&member.id)
                && !failed(member.id)
        });
        let nearest = fit.min_by_key(|member| (member.leaf.0 ^ first.0, member.leaf))?;
        (!nearest.is_self).then_some(nearest.leaf)
    }

    /// Goes on to the next-nearest when somebody who was named does not commit, and gives turns.
    pub(super) fn tend_naming(&mut self, core: &mut Core, now: Instant) {
        let Some(keeping) = &mut self.keeping else { return };
        if keeping.naming.out.as_ref().is_some_and(|named| named.until > now) {
            return;
        }
        if let Some(Named { task, .. }) = keeping.naming.out.take() {
            let renewal = task.removes.is_empty() && task.state.is_none();
            let again = !keeping.naming.failed.iter().any(|(_, at)| *at == now);
            if let Some(member) = self.group.member_at(task.committer) {
                if keeping.naming.failed.len() == MAX_FAILED {
                    keeping.naming.failed.pop_front();
                }
                keeping.naming.failed.push_back((member.id, now));
            }
            let tries = keeping.naming.failed.iter().filter(|(_, at)| now - *at < NAMED_FOR * 2).count();
            if !renewal {
                let next = (again && tries < MAX_NAMED).then(|| self.nearest(&task.removes, now)).flatten();
                // What fails here was refused by MLS or the policy, as the one who asked will see.
                let _ = match next {
                    Some(committer) => self.name(core, Task { committer, ..task }, now + NAMED_FOR),
                    None => self.commit(core, &task.removes, task.state, now),
                };
                return;
            }
        }
        let Some(keeping) = &mut self.keeping else { return };
        while let Some(member) = keeping.naming.renewals.pop_front() {
            if let Some(committer) = self.group.member(member).map(|member| member.leaf) {
                let task = Task { committer, removes: Vec::new(), state: None };
                let _ = self.name(core, task, now + RENEWS_FOR);
                return;
            }
        }
    }
}

/// Members that wait for their turn to renew their leaf.
const MAX_RENEWALS: usize = 64;
/// Below this a commit is small whoever makes it.
const MIN_NAMING: usize = 24;
/// How long somebody waits for its next turn.
const TURN_AGAIN: Duration = Duration::from_secs(10);
/// How many are named for one commit before the keeper makes it.
const MAX_NAMED: usize = 2;
/// How long somebody has who was named.
const NAMED_FOR: Duration = Duration::from_millis(300);
/// The same, when nobody waits for it.
const RENEWS_FOR: Duration = Duration::from_secs(1);
/// How long somebody is not named who did not commit.
const FAILED_FOR: Duration = Duration::from_secs(60);
const MAX_FAILED: usize = 16;
/// Commits of those who were named that are remembered.
const MAX_DONE: usize = 16;
/// How long somebody is not named whose commit was broken for somebody else.
const DISTRUSTED_FOR: Duration = Duration::from_secs(600);
