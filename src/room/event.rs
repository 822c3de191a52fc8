//! What a room tells the application (SPEC section 7.12).

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
    /// Another member puts commits in order from now on.
    Keeper {
        /// Who.
        member: MemberId,
    },
    /// We lost the thread of the room and are back in it: its roster, roles and bans may be others.
    Returned {
        /// The first epoch that we can hear.
        epoch: Epoch,
    },
    /// The keeper has not done for 3 s what we asked for and may ask for.
    Ignored {
        /// Whom it was about.
        member: MemberId,
    },
    /// A member came back that could not process a commit of another: so it says, and nobody can check it.
    Accused {
        /// Who made the commit.
        member: MemberId,
        /// Who says so.
        by: MemberId,
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
    /// We were not let in.
    Refused(RefuseReason),
    /// A commit removed us, or the room went on without us.
    Removed {
        /// Who committed, or said so.
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
