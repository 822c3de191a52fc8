//! Commits that wait for the keeper's word (SPEC section 7.5).

use crate::{
    group::{
        mls::Staged,
        policy::{Permit, Standing},
    },
    id::{Leaf, MemberId},
};

/// Commits of the present epoch that were checked and are not merged, at most one a member.
#[derive(Default)]
pub(super) struct Pending(Vec<Proposed>);

/// One of them.
pub(super) struct Proposed {
    pub(super) from: Leaf,
    pub(super) by: MemberId,
    /// The committer's place among those who take over.
    pub(super) order: (u8, Leaf),
    pub(super) staged: Staged,
    pub(super) permit: Permit,
    pub(super) standing: Standing,
}

impl Pending {
    /// Keeps a commit, in place of an older one of the same member.
    pub(super) fn hold(&mut self, proposed: Proposed) -> Result<(), Overflow> {
        self.0.retain(|other| other.from != proposed.from);
        if self.0.len() >= MAX_PENDING {
            return Err(Overflow);
        }
        self.0.push(proposed);
        Ok(())
    }

    /// Takes out the first, by the order of succession, of those that hold.
    pub(super) fn take(&mut self, holds: impl Fn(&Proposed) -> bool) -> Option<Proposed> {
        let candidates = self.0.iter().enumerate().filter(|(_, proposed)| holds(proposed));
        let (at, _) = candidates.min_by_key(|(_, proposed)| proposed.order)?;
        Some(self.0.swap_remove(at))
    }

    pub(super) fn any(&self, holds: impl Fn(&Proposed) -> bool) -> bool {
        self.0.iter().any(holds)
    }

    /// The epoch is over, and with it whatever waited.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Too many wait already.
pub(super) struct Overflow;

/// Whoever is named, and whoever takes over: more at one time is nobody's need.
const MAX_PENDING: usize = 8;
