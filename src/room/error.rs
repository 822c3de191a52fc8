//! The errors of a room, one type for each operation.

use std::{error::Error, fmt};

use super::violation::Violation;
use crate::{
    id::MemberId,
    law::ActError,
    mls::{EntryError, Failure, ProcessError},
    wire::envelope::EnvelopeError,
};

/// Why a room was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateError {
    /// Name 1 to 8 relays.
    Relays,
    /// A default role is speaker or listener.
    DefaultRole,
    /// The packets are too small for speech: beside stamp and signature they need 15 bytes, 20 ms
    /// of Opus at 6 kbit/s.
    PacketSize,
    /// MLS failed; the text is for a report of the fault.
    Mls(String),
}

/// Why this member cannot knock at a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The invite has expired. Ask for another.
    Expired,
    /// The invite is to a room whose host we are.
    OwnRoom,
    /// MLS failed; the text is for a report of the fault.
    Mls(String),
}

/// Why a room was not resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResumeError {
    /// The membership belongs to another identity.
    OtherIdentity,
    /// MLS failed; the text is for a report of the fault.
    Mls(String),
}

/// Why a command was not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// We are not in the room: not yet, or no longer.
    NotInRoom,
    /// We lost our place and are returning: try again after
    /// [`Event::Returned`](crate::room::Event::Returned).
    Returning,
    /// We came back from a restart less than three seconds ago, and may not know yet what we did
    /// before it: try again later.
    JustBack,
    /// Only the host and moderators may do this.
    NoRank,
    /// Only the host may do this.
    HostOnly,
    /// Nobody may do this to the host, not even the host itself. A host can hand the room over,
    /// leave it or close it.
    AboutHost,
    /// The command is about a moderator: only the host may do this, and for some commands it has to
    /// take the rank away first.
    Rank,
    /// The host cannot leave while others are present but no moderator is: close the room, or hand
    /// it over.
    HostStays,
    /// The member has not been heard in the last 15 s; a host can hand over only to a member that
    /// is present.
    NotHeard,
    /// There is no such knock: it was answered, its sender was banned, or its sender stopped
    /// repeating it.
    UnknownKnock,
    /// This member made no such invite.
    UnknownInvite,
    /// This member has never seen the key of this identity.
    UnknownMember,
    /// The person is not admitted: admit it first.
    NotAdmitted,
    /// The person is banned: lift the ban first.
    Banned,
    /// Another member issued the ban, so only the host can lift it.
    NotYours,
    /// The command would change nothing.
    AlreadySo,
    /// The role cannot be given on admission: only speaker, listener and recorder can.
    Role,
    /// The room's statements have reached a limit: a moderator has to wait for the host, and the
    /// host has to put somebody out first.
    Full,
    /// The host's tables have reached the greatest number that there is: the host has to hand the
    /// room over.
    Exhausted,
    /// This member has 256 invites that have not expired, the most that a room allows.
    TooManyInvites,
    /// The commit or the Welcome would be longer than the control lane carries.
    TooLarge,
    /// A rule of the room does not permit the command.
    NotPermitted(Violation),
    /// MLS failed; the text is for a report of the fault.
    Mls(String),
}

impl From<ActError> for CommandError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::NoRank => Self::NoRank,
            ActError::HostOnly => Self::HostOnly,
            ActError::AboutHost => Self::AboutHost,
            ActError::AboutModerator => Self::Rank,
            ActError::NotAdmitted => Self::NotAdmitted,
            ActError::Banned => Self::Banned,
            ActError::NotYours => Self::NotYours,
            // Somebody who is no moderator has no rank to lose.
            ActError::AlreadySo | ActError::NotAModerator => Self::AlreadySo,
            ActError::Full => Self::Full,
            ActError::Exhausted => Self::Exhausted,
            ActError::Over => Self::NotInRoom,
        }
    }
}

impl From<EnvelopeError> for ControlError {
    fn from(error: EnvelopeError) -> Self {
        match error {
            EnvelopeError::Malformed => Self::Malformed,
            _ => Self::Envelope,
        }
    }
}

/// Why a control message had no effect. The connection is fine; drop the message and go on.
///
/// Such messages are normal on any network: everybody with an invite, and every relay, can send
/// whatever it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlError {
    /// The room is over for us.
    Over,
    /// The message was altered in transit, or does not belong to this room.
    Envelope,
    /// The message is not in the form of SPEC section 8.
    Malformed,
    /// The message belongs to an epoch that is over.
    Stale,
    /// The message is our own, sent back to us.
    Own,
    /// The message was altered or replayed, or comes from another branch of the room.
    Undecryptable,
    /// The message would have to wait for its epoch, for statements or for the keeper, and too many
    /// messages are waiting already.
    Overflow,
    /// The message is authentic, but its sender may not do that.
    NotPermitted {
        /// The sender.
        by: Option<MemberId>,
        /// The rule that the message breaks.
        violation: Violation,
    },
    /// The welcome comes without a receipt of the host or a moderator.
    NoReceipt,
    /// The message claims to be from the room's keeper, or a former one, and is not.
    NotTheKeeper,
    /// The message asks for something that only members may ask for.
    NotAMember,
    /// The message is a knock that was answered or is waiting already, or it publishes keys that
    /// are known already or belong to nobody.
    Repeated,
    /// There are too many messages of this kind, for example a 65th knock or a 129th seed in a
    /// second, or our door may not let this newcomer in at the moment. The sender will repeat the
    /// message.
    Flood,
    /// The message holds a KeyPackage that cannot be used, in a knock or handed on by a moderator.
    KeyPackage(Violation),
    /// The welcome breaks a rule of the room.
    Welcome(Violation),
    /// The welcome leads into a group other than the invite's.
    OtherGroup,
}

impl From<Failure> for CreateError {
    fn from(failure: Failure) -> Self {
        Self::Mls(failure.0)
    }
}

impl From<Failure> for JoinError {
    fn from(failure: Failure) -> Self {
        Self::Mls(failure.0)
    }
}

impl From<Failure> for ResumeError {
    fn from(failure: Failure) -> Self {
        Self::Mls(failure.0)
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self::Mls(failure.0)
    }
}

impl ControlError {
    /// What a message of MLS means that the room does not hold back or attribute.
    pub(super) fn of(error: ProcessError) -> Self {
        match error {
            ProcessError::Malformed => Self::Malformed,
            ProcessError::OtherGroup => Self::OtherGroup,
            ProcessError::Stale => Self::Stale,
            ProcessError::Own => Self::Own,
            ProcessError::Future(_) => Self::Overflow,
            ProcessError::Undecryptable => Self::Undecryptable,
            ProcessError::Violation(_, violation) => {
                Self::NotPermitted { by: None, violation: violation.into() }
            }
        }
    }
}

/// Why a Welcome is not entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WelcomeError {
    /// MLS or the form of the room refuses it.
    Join(EntryError),
    /// A rule of the room refuses it.
    Rule(Violation),
    /// No receipt of somebody of rank goes with it.
    NoReceipt,
}

impl From<EntryError> for WelcomeError {
    fn from(error: EntryError) -> Self {
        Self::Join(error)
    }
}

impl From<WelcomeError> for ControlError {
    fn from(error: WelcomeError) -> Self {
        match error {
            WelcomeError::Join(EntryError::OtherGroup) => Self::OtherGroup,
            WelcomeError::Join(EntryError::Form(violation)) => Self::Welcome(violation.into()),
            WelcomeError::Join(EntryError::Mls(_)) => Self::Undecryptable,
            WelcomeError::Join(_) => Self::Malformed,
            WelcomeError::Rule(violation) => Self::Welcome(violation),
            WelcomeError::NoReceipt => Self::NoReceipt,
        }
    }
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relays => f.write_str("a room names 1 to 8 relays"),
            Self::DefaultRole => f.write_str("the default role is speaker or listener"),
            Self::PacketSize => f.write_str("the packet size is too small for speech"),
            Self::Mls(what) => write!(f, "MLS failed: {what}"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("the invite has expired"),
            Self::OwnRoom => f.write_str("the invite is to a room of our own"),
            Self::Mls(what) => write!(f, "MLS failed: {what}"),
        }
    }
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherIdentity => f.write_str("the membership belongs to another identity"),
            Self::Mls(what) => write!(f, "MLS failed: {what}"),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInRoom => "we are not in the room",
            Self::Returning => "we are on the way back into the room",
            Self::JustBack => "we came back from a restart a moment ago",
            Self::NoRank => "only the host and moderators may do this",
            Self::HostOnly => "only the host may do this",
            Self::AboutHost => "nobody may do this to the host",
            Self::Rank => "the command is about a moderator: the host has to take the rank away first",
            Self::HostStays => "the host cannot leave while no moderator is present",
            Self::NotHeard => "the member has not been heard in the last 15 s",
            Self::UnknownKnock => "no such knock is waiting",
            Self::UnknownInvite => "we made no such invite",
            Self::UnknownMember => "this member has never seen that identity",
            Self::NotAdmitted => "the person is not admitted",
            Self::Banned => "the person is banned",
            Self::NotYours => "only the host may lift a ban that another member issued",
            Self::AlreadySo => "the command would change nothing",
            Self::Role => "people are admitted as speaker, listener or recorder",
            Self::Full => "the room's statements have reached a limit",
            Self::Exhausted => "the host has to hand the room over first",
            Self::TooManyInvites => "we have too many invites",
            Self::TooLarge => "the message would be longer than the control lane carries",
            Self::NotPermitted(violation) => return write!(f, "not permitted: {violation}"),
            Self::Mls(what) => return write!(f, "MLS failed: {what}"),
        })
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over => f.write_str("the room is over for us"),
            Self::Envelope => f.write_str("the message was altered, or is not from this room"),
            Self::Malformed => f.write_str("the message is malformed"),
            Self::Stale => f.write_str("the message is from an epoch that is over"),
            Self::Own => f.write_str("the message is our own"),
            Self::Undecryptable => {
                f.write_str("the message was altered, replayed, or is from another branch")
            }
            Self::Overflow => f.write_str("too many messages are waiting already"),
            Self::NotPermitted { violation, .. } => write!(f, "not permitted: {violation}"),
            Self::NoReceipt => f.write_str("the welcome comes without a receipt"),
            Self::NotTheKeeper => f.write_str("the message is not from the keeper"),
            Self::NotAMember => f.write_str("the message is not from a member"),
            Self::Repeated => f.write_str("the message is known already"),
            Self::Flood => f.write_str("there are too many messages of this kind"),
            Self::KeyPackage(violation) => write!(f, "a KeyPackage that cannot be used: {violation}"),
            Self::Welcome(violation) => write!(f, "a welcome that cannot be used: {violation}"),
            Self::OtherGroup => f.write_str("the welcome leads into another group"),
        }
    }
}

impl Error for CreateError {}
impl Error for JoinError {}
impl Error for ResumeError {}

impl Error for CommandError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotPermitted(violation) => Some(violation),
            _ => None,
        }
    }
}

impl Error for ControlError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotPermitted { violation, .. } | Self::KeyPackage(violation) | Self::Welcome(violation) => {
                Some(violation)
            }
            _ => None,
        }
    }
}
