//! What an application on the stage of a stage room is told of its audience.

use crate::{group::Name, id::MemberId, wire::answer::RefuseReason};

/// What happens on the stage, and in its audience.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum StageEvent {
    /// Somebody listens by us.
    Came {
        /// Its fingerprint.
        member: MemberId,
        /// The name that it gave itself.
        name: Name,
    },
    /// Somebody who listened by us does not any more.
    Went {
        /// Its fingerprint.
        member: MemberId,
        /// Why, if somebody of rank put it out.
        put_out: Option<RefuseReason>,
    },
    /// Somebody wants to speak, or does not want to any more.
    Hand {
        /// Its fingerprint.
        member: MemberId,
        /// Whether its hand is up.
        up: bool,
    },
    /// We seal nothing: somebody was banned, and no new hall secret has come for a second.
    Silent,
    /// We seal again.
    Audible,
}
