//! Which branches were ours, so that another branch is told from our own past (SPEC section 7.7).

use std::collections::{BTreeMap, VecDeque};

use crate::{
    group::{
        Member, Role,
        chain::{HandOver, host_of},
        invite::UnixTime,
        message::Heartbeat,
        state::RoomState,
    },
    id::{Epoch, MemberId},
};

/// The epochs that we were in, and how recent what each member said as keeper is.
#[derive(Default)]
pub(super) struct Lineage {
    past: VecDeque<(Epoch, [u8; 32])>,
    newest: BTreeMap<MemberId, u64>,
}

impl Lineage {
    /// The epoch begins for us.
    pub(super) fn enter(&mut self, epoch: Epoch, branch: [u8; 32], roster: &[Member]) {
        if self.past.len() >= MAX_PAST {
            self.past.pop_front();
        }
        self.past.push_back((epoch, branch));
        self.newest.retain(|member, _| roster.iter().any(|other| other.id == *member));
    }

    /// Whether we are or were there.
    pub(super) fn contains(&self, heartbeat: &Heartbeat) -> bool {
        self.was_in(heartbeat.epoch, &heartbeat.branch)
    }

    pub(super) fn was_in(&self, epoch: Epoch, branch: &[u8; 32]) -> bool {
        self.past.iter().rev().any(|past| past.0 == epoch && past.1 == *branch)
    }

    /// Whether a member said this after all else that we have from it, and about now. Whoever plays old traffic
    /// again must not lead us into a branch that is gone.
    pub(super) fn is_fresh(&mut self, by: MemberId, at_ms: u64, now: UnixTime) -> bool {
        let newest = self.newest.entry(by).or_default();
        let fresh = *newest < at_ms && (at_ms / 1000).abs_diff(now.0) <= CLOCKS_DIFFER;
        if fresh {
            *newest = at_ms;
        }
        fresh
    }
}

/// Who keeps a branch. Of two branches the one with the lesser claim gives way.
///
/// A claim does not grow with the epochs of its branch: both sides commit while they cannot hear each other, and a
/// comparison that each of them changes would send members back and forth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    rank: u8,
    keeper: MemberId,
}

impl Claim {
    /// The claim of `keeper`, as far as we know, and as what the other branch says of the host.
    pub(super) fn of(keeper: MemberId, state: &RoomState, theirs: &[HandOver]) -> Self {
        let host = host_of(state.terms.founder, state.chain(), theirs);
        let role = match state.role(keeper) {
            _ if keeper == host => Role::Host,
            Role::Host => Role::Moderator,
            role => role,
        };
        Self { rank: role.rank(), keeper }
    }

    /// Whether this one's branch wins over the other's.
    pub(super) fn beats(&self, other: &Self) -> bool {
        self < other
    }
}

/// Those who take over from the keeper, the first first.
pub(super) fn successors(roster: &[Member], keeper: MemberId) -> Vec<&Member> {
    let mut successors: Vec<&Member> = roster.iter().filter(|member| member.id != keeper).collect();
    successors.sort_unstable_by_key(|member| (member.role.rank(), member.leaf));
    successors
}

/// Whether a role may keep the room in place of another that is there.
pub(super) fn reclaims(role: Role, keeper: Role) -> bool {
    role.may_admit() && role.rank() < keeper.rank()
}

/// Epochs that are remembered.
const MAX_PAST: usize = 1024;
/// Seconds that the clocks of two members may differ.
pub(super) const CLOCKS_DIFFER: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{
        message::Beat,
        state::tests::{GROUP, certificate, id, identity, state},
    };

    fn heartbeat(keeper: u8, epoch: u64, at_ms: u64) -> Heartbeat {
        let beat = Beat {
            term: 0,
            epoch: Epoch(epoch),
            branch: [epoch as u8; 32],
            elapsed_ms: 0,
            at_ms,
            door_key: [0; 32],
            chain: Vec::new(),
        };
        Heartbeat::new(&identity(keeper), GROUP, beat)
    }

    #[test]
    fn what_is_played_again_is_not_fresh() {
        let mut lineage = Lineage::default();
        let now = UnixTime(1_000_000);
        assert!(lineage.is_fresh(id(1), 1_000_000_000, now));
        assert!(!lineage.is_fresh(id(1), 1_000_000_000, now));
        assert!(!lineage.is_fresh(id(1), 999_999_999, now));
        assert!(lineage.is_fresh(id(2), 999_999_999, now), "each keeper for itself");
        assert!(!lineage.is_fresh(id(2), 1_301_000_000, now), "from another time");
    }

    #[test]
    fn the_past_is_ours_and_bounded() {
        let mut lineage = Lineage::default();
        for epoch in 0..2_000 {
            lineage.enter(Epoch(epoch), [epoch as u8; 32], &[]);
        }
        assert!(lineage.contains(&heartbeat(1, 1_990, 0)));
        assert!(!lineage.contains(&heartbeat(1, 10, 0)));
        assert!(!lineage.contains(&heartbeat(1, 2_000, 0)));
        assert_eq!(lineage.past.len(), MAX_PAST);
    }

    #[test]
    fn the_branch_of_the_host_wins_then_that_of_a_moderator() {
        let state = state().with_role(id(2), Role::Moderator, certificate(2)).unwrap();
        let claim = |n: u8| Claim::of(id(n), &state, &[]);
        assert!(claim(1).beats(&claim(2)) && claim(2).beats(&claim(3)) && !claim(3).beats(&claim(2)));
        assert!(claim(3).beats(&claim(4)) != claim(4).beats(&claim(3)), "of two equals one wins");
        // Elsewhere the host has passed the room on.
        let theirs = [HandOver::new(&identity(1), GROUP, id(3))];
        let claim = |n: u8| Claim::of(id(n), &state, &theirs);
        assert!(claim(3).beats(&claim(1)) && claim(1).beats(&claim(4)));
    }
}
