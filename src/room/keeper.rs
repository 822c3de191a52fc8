//! The commits of the keeper, which make the tree agree with the law that it knows (SPEC section 7,
//! rules K5 to K8). It keeps no list of wishes; a plan is computed from the law and the tree each
//! time.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    bounded::Rate,
    freshness::is_timely_for_keeper,
    past::AT_ONCE,
    presence::HEARTBEAT,
    view::{View, role_of},
};
use crate::{
    defence::{Defence, holds},
    id::{Leaf, MemberId},
    law::Rank,
    mls::{Candidate, SealingSecret},
};

/// The part of the member that keeps the room.
pub(super) struct Keeper {
    /// The key to which Shows and Returns to us are sealed. Made when we became the keeper.
    pub(super) door: SealingSecret,
    waiting: Vec<Candidate>,
    /// When what waits is committed; what comes until then goes along.
    batch_at: Option<Instant>,
    heartbeat_at: Instant,
    heartbeat_sent: Option<Instant>,
    commits: Rate<()>,
    committed_at: Option<Instant>,
    chains: Rate<()>,
    /// Calls that were answered by a heartbeat out of turn.
    calls: Rate<()>,
    added: Rate<MemberId>,
    added_lately: Rate<MemberId>,
}

/// A commit to be made.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) removes: Vec<Leaf>,
    /// The identities to add; their KeyPackages wait in the [`Keeper`].
    pub(super) adds: Vec<MemberId>,
    /// Somebody is out by the law that we know: nothing waits.
    pub(super) urgent: bool,
    /// The epoch's law is not the one that we know.
    pub(super) law: bool,
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.removes.is_empty() && self.adds.is_empty() && !self.law
    }
}

impl Keeper {
    /// Takes up the part. `made` says when this member's own commits of the last time were, the
    /// oldest first: they count though others kept the room meanwhile.
    pub(super) fn new(door: SealingSecret, made: impl Iterator<Item = Instant>, now: Instant) -> Self {
        let mut commits = Rate::new(MAX_COMMITS, COMMITS_WITHIN);
        let committed_at = made.inspect(|at| commits.note((), *at)).last();
        Self {
            door,
            waiting: Vec::new(),
            batch_at: None,
            heartbeat_at: now,
            heartbeat_sent: None,
            commits,
            committed_at,
            chains: Rate::new(1, CHAINS_APART),
            calls: Rate::new(MAX_CALLS, COMMITS_WITHIN),
            added: Rate::new(1, READD_APART),
            added_lately: Rate::new(MAX_READDS, READDS_WITHIN),
        }
    }

    /// Describes the waiting work, for logs.
    #[cfg(feature = "testkit")]
    pub(super) fn story(&self, now: Instant) -> String {
        let full = |candidate: &&Candidate| {
            self.added.is_full(&candidate.id, now) || self.added_lately.is_full(&candidate.id, now)
        };
        format!(
            "{} wait, of them {} were added lately; {} commits in 30 s, the last {:?} ago; batch in {:?}",
            self.waiting.len(),
            self.waiting.iter().filter(full).count(),
            self.commits.count(&(), now),
            self.committed_at.map(|at| now.saturating_duration_since(at)),
            self.batch_at.map(|at| at.saturating_duration_since(now)),
        )
    }

    /// Queues a KeyPackage; a newer one of its identity takes the place of an older one.
    pub(super) fn enqueue(&mut self, candidate: Candidate) {
        if let Some(older) = self.waiting.iter_mut().find(|other| other.id == candidate.id) {
            if candidate.made_ms > older.made_ms {
                *older = candidate;
            }
        } else if self.waiting.len() < MAX_WAITING {
            self.waiting.push(candidate);
        }
    }

    /// Takes what a plan adds out of the queue, to be committed.
    pub(super) fn take(&mut self, adds: &[MemberId]) -> Vec<Candidate> {
        self.waiting.extract_if(.., |candidate| adds.contains(&candidate.id)).collect()
    }

    /// Notes that a KeyPackage of this identity was added, or could not be.
    pub(super) fn note_added(&mut self, member: MemberId, now: Instant) {
        self.added.note(member, now);
        self.added_lately.note(member, now);
    }

    /// Puts back what could not be committed.
    pub(super) fn put_back(&mut self, candidates: Vec<Candidate>) {
        candidates.into_iter().for_each(|candidate| self.enqueue(candidate));
    }

    /// Forgets KeyPackages that cannot be added any more.
    fn forget_stale(&mut self, view: &View<'_>, now_ms: u64) {
        self.waiting.retain(|candidate| {
            view.known().admits(&candidate.key)
                && view.freshness.is_new(candidate.id, candidate.made_ms)
                && is_timely_for_keeper(candidate.made_ms, now_ms)
        });
    }

    /// The plan for a commit that is due now, if any.
    pub(super) fn plan(
        &mut self,
        view: &View<'_>,
        known_hash_differs: bool,
        proof: Instant,
        now_ms: u64,
    ) -> Option<Plan> {
        self.forget_stale(view, now_ms);
        let plan = self.draft(view, known_hash_differs);
        if plan.is_empty() {
            self.batch_at = None;
            return None;
        }
        if plan.urgent {
            return self.is_free(URGENT_SPARE, view.now).then_some(plan);
        }
        let quiet = plan.adds.is_empty() && plan.removes.is_empty() && !changes_anybody(view);
        let due = view.now + if quiet { QUIET_BATCH } else { BATCH };
        let due = self.batch_at.map_or(due, |at| at.min(due));
        self.batch_at = Some(due);
        let due = due.max(self.answered_at(proof)).max(self.paced_at(view.now));
        (due <= view.now && self.is_free(0, view.now)).then_some(plan)
    }

    fn draft(&self, view: &View<'_>, law: bool) -> Plan {
        let (known, roster) = (view.known(), view.group.roster());
        let most = view.terms().key_exchange.max_members();
        let ranks = view.own().is_some_and(|own| known.rank_of(&own.key) > Rank::None);
        let mut plan = Plan { law, ..Plan::default() };
        let mut gone = BTreeSet::new();
        for member in roster.iter().filter(|member| !member.is_self) {
            let out = !known.admits(&member.key);
            let left = view.freshness.has_left(member.id, member.made_ms);
            let silent = view.presence.is_long_gone(member.id, roster.len(), view.now)
                || ranks && view.presence.is_absent_for(member.id, roster.len(), view.beat, ABSENT_FOR);
            if out || left || silent {
                plan.removes.push(member.leaf);
                gone.insert(member.id);
                plan.urgent |= out;
            }
        }
        for candidate in &self.waiting {
            let replaced = roster.iter().find(|member| member.id == candidate.id);
            if replaced.is_some_and(|member| member.is_self)
                || holds(Defence::AddPace)
                    && (self.added.is_full(&candidate.id, view.now)
                        || self.added_lately.is_full(&candidate.id, view.now))
                || roster.len() + plan.adds.len() >= most + plan.removes.len()
            {
                continue;
            }
            if let Some(member) = replaced
                && gone.insert(member.id)
            {
                plan.removes.push(member.leaf);
            }
            plan.adds.push(candidate.id);
        }
        plan
    }

    /// Until when a keeper whose heartbeats go unanswered waits before it commits again: an answer
    /// in an epoch that is over cannot be read, so commits one after another would leave the keeper
    /// without proof that anybody hears it.
    fn answered_at(&self, proof: Instant) -> Instant {
        match self.heartbeat_sent {
            Some(sent) if sent.saturating_duration_since(proof) > HEARTBEAT => sent + ANSWER,
            _ => proof,
        }
    }

    /// When the next commit may be made: after a few in a row they come at even distances, so that
    /// nobody waits for long.
    fn paced_at(&self, now: Instant) -> Instant {
        match self.committed_at {
            Some(at) if self.commits.count(&(), now) >= AT_ONCE => at + PACE,
            _ => now,
        }
    }

    fn is_free(&self, spare: usize, now: Instant) -> bool {
        self.commits.count(&(), now) < MAX_COMMITS + spare
    }

    /// Notes that a plan could not be committed.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.batch_at = Some(now + FAILED_APART);
    }

    /// A commit of ours was merged.
    pub(super) fn note_commit(&mut self, now: Instant) {
        self.commits.note((), now);
        (self.batch_at, self.committed_at) = (None, Some(now));
        // The words that answer a heartbeat have to come before the next commit, or nobody could
        // read them.
        let least = self.heartbeat_sent.map_or(now, |sent| sent + COMMIT_BEATS_APART);
        self.heartbeat_at = self.heartbeat_at.min(least.max(now));
    }

    /// A renewal of a member was merged: it counts among our commits, and our word on it is due.
    pub(super) fn note_renewal(&mut self, now: Instant) {
        self.commits.note((), now);
        self.heartbeat_now(now);
    }

    /// Whether our commits leave a place for a renewal.
    pub(super) fn lets_renew(&self, now: Instant) -> bool {
        self.is_free(0, now)
    }

    /// Whether a heartbeat is due; it is then taken as sent.
    pub(super) fn take_heartbeat(&mut self, now: Instant) -> bool {
        if now < self.heartbeat_at {
            return false;
        }
        (self.heartbeat_at, self.heartbeat_sent) = (now + HEARTBEAT, Some(now));
        true
    }

    /// The next heartbeat is due soon: somebody waits for it.
    pub(super) fn hurry_heartbeat(&mut self, now: Instant) {
        if self.calls.take((), now) || !holds(Defence::CallPace) {
            let least = self.heartbeat_sent.map_or(now, |sent| sent + HEARTBEATS_APART);
            self.heartbeat_at = self.heartbeat_at.min(least.max(now));
        }
    }

    /// Whether the chain of hand-overs may be shown to holders of old links; it then counts as
    /// shown.
    pub(super) fn may_show_chain(&mut self, now: Instant) -> bool {
        self.chains.take((), now)
    }

    /// The next heartbeat is due now: it states the epoch that others may merge a renewal into.
    pub(super) fn heartbeat_now(&mut self, now: Instant) {
        self.heartbeat_at = now;
    }

    /// When there may be something to do.
    ///
    /// A keeper that does not stay (K9) commits only what waits for nothing.
    pub(super) fn poll_timeout(&self, proof: Instant, stays: bool, now: Instant) -> Instant {
        let free = self.commits.free_at(&(), now);
        let work = self.batch_at.filter(|_| stays);
        let work = work.map(|at| at.max(self.answered_at(proof)).max(self.paced_at(now)).max(free));
        let readds = self.waiting.iter().map(|candidate| {
            let at = self.added.free_at(&candidate.id, now);
            at.max(self.added_lately.free_at(&candidate.id, now))
        });
        let readds = readds.filter(|at| *at > now).min();
        [work, readds].into_iter().flatten().fold(self.heartbeat_at, Instant::min)
    }
}

/// Calls make heartbeats no more frequent than this, and no more than so many in
/// [`COMMITS_WITHIN`].
const HEARTBEATS_APART: Duration = Duration::from_millis(200);
const MAX_CALLS: usize = 12;
/// A heartbeat follows a commit, if the last is older than this.
const COMMIT_BEATS_APART: Duration = Duration::from_secs(1);
const CHAINS_APART: Duration = Duration::from_secs(5);
/// KeyPackages that wait: as many as a room has members.
const MAX_WAITING: usize = 1_000;
/// Whether the law that we know gives somebody in the tree another role or mute than the epoch's
/// law.
fn changes_anybody(view: &View<'_>) -> bool {
    let (known, epoch) = (view.known(), view.epoch());
    known.host() != epoch.host()
        || view.group.roster().iter().any(|member| role_of(known, &member.key) != role_of(epoch, &member.key))
}

/// Changes that arrive within this time go into one commit.
const BATCH: Duration = Duration::from_millis(250);
/// A change of the law that changes nothing for anybody in the tree waits longer.
const QUIET_BATCH: Duration = Duration::from_secs(2);
/// How long an answer to a heartbeat may take.
const ANSWER: Duration = Duration::from_secs(1);
/// Commits in [`COMMITS_WITHIN`], at most; removals of who is out have some more.
const MAX_COMMITS: usize = 14;
const URGENT_SPARE: usize = 3;
/// A commit that failed is tried again so much later.
const FAILED_APART: Duration = Duration::from_secs(1);
/// After [`AT_ONCE`] commits come so far apart.
const PACE: Duration = Duration::from_millis(2_500);
const COMMITS_WITHIN: Duration = Duration::from_secs(30);
/// One identity is added again no sooner than this.
const READD_APART: Duration = Duration::from_secs(5);
const MAX_READDS: usize = 4;
const READDS_WITHIN: Duration = Duration::from_secs(60);
/// A keeper of rank removes who has been absent for so long.
const ABSENT_FOR: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Seed, group::KeyExchange};

    #[test]
    fn k7_a_keeper_counts_what_it_committed_before_others_kept_the_room() {
        let now = Instant::now();
        let door = || SealingSecret::derive(KeyExchange::X25519, &Seed::from_bytes(&mut [7; 32])).unwrap();
        let made = (0..MAX_COMMITS as u64).map(|second| now + Duration::from_secs(second));
        let then = now + Duration::from_secs(20);
        let keeper = Keeper::new(door(), made, then);
        assert!(!keeper.is_free(0, then) && keeper.is_free(URGENT_SPARE, then));
        assert!(keeper.is_free(0, now + COMMITS_WITHIN));
        assert!(Keeper::new(door(), std::iter::empty(), then).is_free(0, then));
    }

    #[test]
    fn what_could_not_be_committed_is_not_due_again_at_once() {
        let now = Instant::now();
        let door = SealingSecret::derive(KeyExchange::X25519, &Seed::from_bytes(&mut [7; 32])).unwrap();
        let mut keeper = Keeper::new(door, std::iter::empty(), now);
        (keeper.batch_at, keeper.heartbeat_at) = (Some(now), now + 5 * FAILED_APART);
        assert_eq!(keeper.poll_timeout(now, true, now), now);
        keeper.put_off(now);
        assert_eq!(keeper.poll_timeout(now, true, now), now + FAILED_APART);
    }
}
