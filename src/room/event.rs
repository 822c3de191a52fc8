//! The events that a room gives the application (SPEC section 7).

use std::{fmt, time::Duration};

use crate::{
    group::{Name, Role},
    id::{Epoch, MemberId},
    media::SilenceReason,
    room::{AppMessage, RefuseReason, Violation},
};

/// Something that the application may want to show.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Event {
    /// Something happened in the audience of a stage room. Only a session that has a hall gives
    /// this.
    #[cfg(feature = "stage")]
    Hall(super::audience::StageEvent),
    /// The device slept, or its clock was set forward. This member sends nothing until it has heard
    /// the room again.
    Slept {
        /// How long the device slept, or by how much its clock was set forward.
        lasted: Duration,
    },
    /// A member's clock is wrong by more than two and a half minutes, according to most members of
    /// the room; in a tie the host's clock decides. A member whose clock is five minutes off is not
    /// heard.
    ClockWrong {
        /// Whose clock it is, possibly ours.
        member: MemberId,
        /// By how many seconds the clock is ahead; negative if it is behind.
        seconds: i64,
    },
    /// Somebody knocks with a valid invite. Answer with `admit` or `refuse`.
    Knocked {
        /// Names the knock in the answer.
        knock: KnockId,
        /// The identity that knocks: compare the fingerprint if it matters.
        member: MemberId,
        /// The name that the identity gives itself.
        name: Name,
    },
    /// Our door refused a knock without asking the application. At most eight of these come in ten
    /// seconds.
    KnockRefused {
        /// The identity that knocked; `None` if its clock is so wrong that the identity cannot be
        /// checked.
        member: Option<MemberId>,
        /// The name that the identity gives itself.
        name: Option<Name>,
        /// The reason, as the newcomer was told it.
        reason: RefuseReason,
    },
    /// A knock no longer waits: another member answered it, its sender was banned, it was not
    /// repeated for a minute, it had waited for ten minutes, or another knock needed its place.
    KnockGone {
        /// The knock.
        knock: KnockId,
    },
    /// Our knock reached a member that may admit us, and waits for a decision.
    Waiting,
    /// We knocked, and for ten seconds have heard of no member that may admit us: none is there, or
    /// the relay does not pass on the room's heartbeats. We go on asking until the invite expires;
    /// the next sign of an answer is [`Waiting`](Self::Waiting) or [`Joined`](Self::Joined).
    NoDoor,
    /// We knock at a member that may admit us, and it has not answered for ten seconds. We go on
    /// asking.
    NoAnswer,
    /// We are in the room, and have its roster and keys.
    Joined {
        /// The first epoch that we can hear.
        epoch: Epoch,
    },
    /// A commit took effect: the members or the keys changed. The roster shows the new state.
    Changed {
        /// The new epoch.
        epoch: Epoch,
        /// The committer.
        by: MemberId,
        /// Identities that came in.
        joined: Vec<MemberId>,
        /// Identities that left or were removed; they cannot open packets that are sealed from now
        /// on.
        left: Vec<MemberId>,
    },
    /// A member's role changed.
    RoleChanged {
        /// The member, possibly ourselves.
        member: MemberId,
        /// Its new role.
        role: Role,
        /// The member whose statement says so.
        by: MemberId,
    },
    /// A member was muted or unmuted for everybody.
    Muted {
        /// The member, possibly ourselves.
        member: MemberId,
        /// Whether the member is muted now.
        muted: bool,
        /// The member whose statement says so.
        by: MemberId,
    },
    /// The room has another host.
    HostChanged {
        /// The new host.
        host: MemberId,
        /// The host that handed the room over to it.
        by: MemberId,
    },
    /// A member wrote to us, or to everybody.
    Message(AppMessage),
    /// A hand went up or down. [`Room::hands`](crate::room::Room::hands) has the order.
    Hand {
        /// The member whose hand it is, possibly ourselves.
        member: MemberId,
        /// Whether it is up now.
        raised: bool,
        /// The member that raised or lowered it; `None` if the hand went down because its member is
        /// gone or has a role that is heard.
        by: Option<MemberId>,
    },
    /// The doors were locked or unlocked: while they are locked nobody new is admitted.
    Locked {
        /// Whether the doors are locked now.
        locked: bool,
        /// The member whose statement says so.
        by: MemberId,
    },
    /// No message of a member has come for a while, or one has come again.
    Absent {
        /// The member.
        member: MemberId,
        /// Whether the member counts as absent now.
        absent: bool,
    },
    /// Nobody else has been heard for a while, so nobody hears us either. We are the keeper
    /// ourselves, so no other keeper can be the cause.
    Alone,
    /// Another member puts commits in order from now on.
    Keeper {
        /// The member.
        member: MemberId,
    },
    /// We lost our place in the group and are back. Roster, roles and bans may have changed.
    Returned {
        /// The first epoch that we can hear.
        epoch: Epoch,
    },
    /// The keeper has not acted for 3 s on a statement of ours.
    Ignored {
        /// The member that the statement is about.
        member: MemberId,
    },
    /// A member that came back says that it could not process a commit of another member. Nobody
    /// can check that.
    Accused {
        /// The member that made the commit.
        member: MemberId,
        /// The member that says so.
        by: MemberId,
    },
    /// A commit was not made because it would be longer than the control lane carries: the room is
    /// too large for its suite.
    RoomTooLarge,
    /// Neither the host nor a moderator has been heard for 30 s. Sending stops once that has lasted
    /// as long as the room's terms say ([`Room::unattended`](crate::room::Room::unattended)).
    Unattended,
    /// A ban lapsed because its issuer lost the rank. The host decides again, with `ban` or
    /// `unban`.
    BanFell {
        /// The banned person, if this member has seen it.
        member: Option<MemberId>,
        /// The member that had issued the ban.
        by: MemberId,
    },
    /// A member tried something that it may not do. Nothing of it took effect.
    Violation {
        /// The member; `None` for an outsider.
        by: Option<MemberId>,
        /// The rule that it broke.
        violation: Violation,
    },
    /// Sending stopped: the sealer is paused. Only members whose role is heard and that are not
    /// muted get this event; others get [`RoleChanged`](Self::RoleChanged) and
    /// [`Muted`](Self::Muted).
    Silent {
        /// Why.
        reason: SilenceReason,
    },
    /// Sending goes on, after [`Silent`](Self::Silent).
    Audible,
    /// While we were returning we were shown a statement that puts us out of the room, but no table
    /// of the host that confirms it. It may have been lifted, so we go on asking once a minute;
    /// leave the room to stop that.
    KeptOut {
        /// The member that issued the statement, if it is known.
        by: Option<MemberId>,
        /// Whether the statement is a ban.
        banned: bool,
    },
    /// The room is over for us. Its keys are wiped, and no event follows.
    Over(Ending),
}

/// How a room ended for us.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Ending {
    /// Every member that could have admitted us refused. This is the reason of the last one.
    Refused(RefuseReason),
    /// A statement put us out of the room.
    Removed {
        /// The member whose statement says so, if it is known.
        by: Option<MemberId>,
        /// Whether we are banned: otherwise we may knock again.
        banned: bool,
    },
    /// The host closed the room.
    Closed,
    /// We left.
    Left,
    /// Another device took our identity's place.
    TakenOver,
    /// The invite expired before anybody answered.
    Expired,
    /// MLS failed in a way that should be impossible. The text is for a bug report.
    Broken(String),
}

/// One line without a full stop.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "we were refused: {reason}"),
            Self::Removed { banned: true, .. } => f.write_str("we were banned"),
            Self::Removed { banned: false, .. } => f.write_str("we were removed"),
            Self::Closed => f.write_str("the host closed the room"),
            Self::Left => f.write_str("we left"),
            Self::TakenOver => f.write_str("another device of ours is in the room now"),
            Self::Expired => f.write_str("the invite expired before anybody answered"),
            Self::Broken(what) => write!(f, "a fault of the library: {what}"),
        }
    }
}

/// Names a knock that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct KnockId(pub(super) u64);

impl KnockId {
    /// Takes a number that [`number`](Self::number) gave, for example to another process.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number of the knock, unique in this room since it was made or resumed.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The number of the knock.
impl fmt::Display for KnockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
