//! What a room tells the application (SPEC section 7.8).

use crate::{
    group::{Name, Violation, message::RefuseReason},
    id::{Epoch, MemberId},
    media::Silence,
};

/// Something that the application may want to show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Somebody knocks, with a valid invite. Answer with `admit` or `refuse`.
    Knocked {
        /// What to answer with.
        knock: KnockId,
        /// Who it is: compare the fingerprint if it matters.
        member: MemberId,
        /// The name that it gives itself.
        name: Name,
    },
    /// We are in: the roster is there, and keys are.
    Joined {
        /// The first epoch that we can hear.
        epoch: Epoch,
    },
    /// A commit took effect: members, roles or keys are new. The roster says what they are now.
    Changed {
        /// The new epoch.
        epoch: Epoch,
        /// Who committed.
        by: MemberId,
        /// Who came.
        joined: Vec<MemberId>,
        /// Who is gone, and hears nothing that is sealed from now on.
        left: Vec<MemberId>,
    },
    /// A member tried something that it may not do. Nothing of it took effect.
    Violation {
        /// Who; `None` for somebody outside the group.
        by: Option<MemberId>,
        /// What.
        violation: Violation,
    },
    /// We stopped sending: the sealer is paused.
    Silent {
        /// Why.
        reason: Silence,
    },
    /// We may send again.
    Audible,
    /// The room is over for us. Keys are gone; nothing follows.
    Over(Ending),
}

/// How a room ended for us.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The host did not let us in.
    Refused(RefuseReason),
    /// A commit removed us.
    Removed {
        /// Who committed.
        by: MemberId,
        /// Whether we were banned as well.
        banned: bool,
    },
    /// The host closed the room.
    Closed,
    /// We left.
    Left,
    /// MLS failed where it cannot. The text is for a report of the fault.
    Broken(String),
}

/// Names a knock that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KnockId(pub(super) u64);
