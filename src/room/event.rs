//! What a room tells the application (SPEC section 7).

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
    /// Something happened in the audience of a stage room: of a session that has a hall.
    #[cfg(feature = "stage")]
    Hall(super::audience::StageEvent),
    /// The device slept, or its clock was set forward: nothing is sent before the room was heard
    /// again.
    Slept {
        /// By how much the clock of the device is ahead of what was counted.
        lasted: Duration,
    },
    /// A clock is wrong by more than two and a half minutes, as most members of the room see it;
    /// where as many see it otherwise, as the host does. Whose clock is five minutes off is not
    /// heard.
    ClockWrong {
        /// Whose clock it is, possibly ours.
        member: MemberId,
        /// By how many seconds it is ahead; negative if it is behind.
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
    /// A knock was refused at our door without anybody being asked. At most eight in ten seconds
    /// are told.
    KnockRefused {
        /// The identity that knocked; `None` if its clock is so wrong that it cannot be checked.
        member: Option<MemberId>,
        /// The name that the identity gives itself.
        name: Option<Name>,
        /// Why, as it was told.
        reason: RefuseReason,
    },
    /// A knock waits no more: it was answered elsewhere, its sender was banned, it was not repeated
    /// for a minute, it waited for ten, or another needed its place.
    KnockGone {
        /// The knock.
        knock: KnockId,
    },
    /// Our knock reached somebody who may admit us, and waits for a decision.
    Waiting,
    /// We knocked, and for ten seconds no door has been shown to us: nobody who may admit us is
    /// there, or the relay does not pass the room's heartbeats on. We ask on until the invite
    /// expires; the next sign of an answer is [`Waiting`](Self::Waiting) or
    /// [`Joined`](Self::Joined).
    NoDoor,
    /// We knock at a door, and it has not answered for ten seconds. We ask on.
    NoAnswer,
    /// We are in: the roster is there, and keys are.
    Joined {
        /// The first epoch that we can hear.
        epoch: Epoch,
    },
    /// A commit took effect: members or keys are new. The roster says what they are now.
    Changed {
        /// The new epoch.
        epoch: Epoch,
        /// The committer.
        by: MemberId,
        /// Identities that came in.
        joined: Vec<MemberId>,
        /// Identities that are gone, and open nothing that is sealed from now on.
        left: Vec<MemberId>,
    },
    /// A member's role is another.
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
    /// A member wrote to us, or to all.
    Message(AppMessage),
    /// A hand went up or down. [`Room::hands`](crate::room::Room::hands) has the order.
    Hand {
        /// Whose hand, possibly ours.
        member: MemberId,
        /// Whether it is up now.
        raised: bool,
        /// Whose doing it was; `None` if the hand went down because its member is gone or has a
        /// role that is heard.
        by: Option<MemberId>,
    },
    /// The doors were locked or unlocked: while they are locked nobody new is admitted.
    Locked {
        /// Whether the doors are locked now.
        locked: bool,
        /// The member whose statement says so.
        by: MemberId,
    },
    /// A member has said nothing for a while, or is heard again.
    Absent {
        /// The member.
        member: MemberId,
        /// Whether the member counts as absent now.
        absent: bool,
    },
    /// Nobody else has been heard for a while: nobody hears us. The keeper is not to blame, since
    /// we keep the room.
    Alone,
    /// Another member puts commits in order from now on.
    Keeper {
        /// The member.
        member: MemberId,
    },
    /// We lost our place and are back: roster, roles and bans may be others.
    Returned {
        /// The first epoch that we can hear.
        epoch: Epoch,
    },
    /// The keeper has not acted for 3 s on a statement of ours.
    Ignored {
        /// The member that the statement is about.
        member: MemberId,
    },
    /// A member came back that could not process a commit of another: so it says, and nobody can
    /// check it.
    Accused {
        /// The member that made the commit.
        member: MemberId,
        /// The member that says so.
        by: MemberId,
    },
    /// A commit would be longer than the control lane carries, and was not made: the room is too
    /// large for its suite.
    RoomTooLarge,
    /// Nobody of rank has been heard for 30 s. Sending stops once that lasts as long as the room's
    /// terms say.
    Unattended,
    /// A ban stopped counting because its issuer lost the rank: the host decides again, by `ban` or
    /// `unban`.
    BanFell {
        /// The person, if this member has seen it.
        member: Option<MemberId>,
        /// The issuer.
        by: MemberId,
    },
    /// A member tried something that it may not do. Nothing of it took effect.
    Violation {
        /// The member; `None` for somebody outside the group.
        by: Option<MemberId>,
        /// The rule that it broke.
        violation: Violation,
    },
    /// Sending stopped: the sealer is paused. Told to members that are heard: others have
    /// [`RoleChanged`](Self::RoleChanged) and [`Muted`](Self::Muted).
    Silent {
        /// Why.
        reason: SilenceReason,
    },
    /// Sending may go on, after [`Silent`](Self::Silent).
    Audible,
    /// On the way back we were shown a statement that puts us out, and no table does. We ask on
    /// once a minute, since it may have been lifted; leave if that is not wanted.
    KeptOut {
        /// Whose statement it is.
        by: Option<MemberId>,
        /// Whether it is a ban.
        banned: bool,
    },
    /// The room is over for us. Keys are gone; nothing follows.
    Over(Ending),
}

/// How a room ended for us.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Ending {
    /// Every door that we found refused us. The reason is that of the last.
    Refused(RefuseReason),
    /// The law puts us out.
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
    /// MLS failed where it cannot. The text is for a report of the fault.
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

    /// The number of the knock: one of a kind in this room since it was made or resumed.
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
