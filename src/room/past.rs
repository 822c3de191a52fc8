//! What a member has seen of branches and of those who keep them, which outlives its place in one.

use std::time::{Duration, Instant};

use super::bounded::{Lately, Rate, Recent};
use crate::{id::MemberId, law::Rank};

/// Epochs of branches that we were in: their heartbeats are of the past.
pub(super) type Past = Recent<(u64, [u8; 32]), 1_024>;

/// Heartbeats by key: the time in the newest, so that none counts twice.
#[derive(Default)]
pub(super) struct Newest(Lately<MemberId, u64, Rank, 1_024>);

impl Newest {
    /// Whether a heartbeat is newer than all before of that member.
    pub(super) fn is_newer(&self, member: MemberId, time_ms: u64) -> bool {
        self.0.get(&member).is_none_or(|newest| time_ms > *newest)
    }

    /// Notes the time of a genuine heartbeat.
    pub(super) fn note(&mut self, member: MemberId, time_ms: u64, rank: Rank) {
        let newest = self.0.get(&member).map_or(time_ms, |newest| time_ms.max(*newest));
        self.0.note(member, newest, rank);
    }
}

/// How often members have committed lately, and taken the keeping over.
///
/// It belongs to the identity and not to the leaf: nobody starts anew by losing its place and
/// coming back (C6, K3, K7).
pub(super) struct Pace {
    /// Commits that were merged, by committer.
    commits: Rate<MemberId>,
    takeovers: Rate<MemberId>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            commits: Rate::new(MAX_COMMITS, COMMITS_WITHIN),
            takeovers: Rate::new(MAX_TAKEOVERS, TAKEOVERS_WITHIN),
        }
    }
}

impl Pace {
    /// An epoch has begun that counts as committed by `by`; `takes_over` says whether it made its
    /// committer the keeper.
    pub(super) fn note(&mut self, by: MemberId, takes_over: bool, now: Instant) {
        self.commits.note(by, now);
        if takes_over {
            self.takeovers.note(by, now);
        }
    }

    /// A restart has forgotten what we committed before it: as much counts as made as slows us
    /// down.
    pub(super) fn begin_slowly(&mut self, own: MemberId, now: Instant) {
        (0..AT_ONCE).for_each(|_| self.commits.note(own, now));
    }

    /// When commits of this member were merged lately, the oldest first.
    pub(super) fn commits_of(&self, by: MemberId) -> impl Iterator<Item = Instant> + '_ {
        self.commits.times(by)
    }

    /// Since when the member has committed as often as members accept; `None` while it may go on
    /// (C6).
    pub(super) fn too_fast_since(&self, by: MemberId, now: Instant) -> Option<Instant> {
        self.commits.full_since(&by, now)
    }

    /// Whether one more takeover of this member counts (K3).
    pub(super) fn lets_take_over(&self, by: MemberId, now: Instant) -> bool {
        !self.takeovers.is_full(&by, now)
    }

    /// Whether one more takeover by whomever counts (K3).
    pub(super) fn lets_anybody_take_over(&self, now: Instant) -> bool {
        self.takeovers.total(now) < MAX_ALL_TAKEOVERS
    }

    /// When a takeover of this member counts again; `now` if it does.
    pub(super) fn takeover_free_at(&self, by: MemberId, now: Instant) -> Instant {
        self.takeovers.free_at(&by, now)
    }
}

/// A keeper makes so many commits as they come; the others in [`COMMITS_WITHIN`] are apart.
pub(super) const AT_ONCE: usize = 4;
/// Members accept so many commits of one committer in [`COMMITS_WITHIN`]; the keeper makes two
/// thirds of them at most.
const MAX_COMMITS: usize = 18;
const COMMITS_WITHIN: Duration = Duration::from_secs(30);
const MAX_TAKEOVERS: usize = 2;
const MAX_ALL_TAKEOVERS: usize = 6;
const TAKEOVERS_WITHIN: Duration = Duration::from_secs(60);
