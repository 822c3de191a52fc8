//! Why something was not done: one type per operation.

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
    /// The packets hold no speech: 20 ms of Opus at 6 kbit/s are 15 bytes, beside stamp and
    /// signature.
    PacketSize,
    /// MLS failed; the text is for a report of the fault.
    Mls(String),
}

/// Why there was no knock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The invite has expired. Ask for another.
    Expired,
    /// The invite is our own: the host is in already.
    OwnRoom,
    /// MLS failed; the text is for a report of the fault.
    Mls(String),
}

/// Why a room was not resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResumeError {
    /// The membership is that of another identity.
    OtherIdentity,
    /// MLS failed; the text is for a report of the fault.
    Mls(String),
}

/// Why a command was not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// We are not in the room, not yet or no more.
    NotInRoom,
    /// We lost our place and are on the way back: try again when we are there.
    Returning,
    /// We came back from a restart, and have not heard for three seconds what we did before it: try
    /// again then.
    JustBack,
    /// Only the host and moderators may do this.
    NoRank,
    /// Only the host may do this.
    HostOnly,
    /// Nobody may do this to the host, the host itself included: it hands the room over, leaves or
    /// closes it.
    AboutHost,
    /// It is about a moderator: only the host may do this, and some of it only once it has taken
    /// the rank away.
    Rank,
    /// The host cannot leave while there is no moderator to hand the room to: close it, or hand it
    /// over.
    HostStays,
    /// The member has not been heard in the last 15 s: a host hands over only to somebody who is
    /// there.
    NotHeard,
    /// There is no such knock: it was answered, its sender was banned, or nobody repeated it.
    UnknownKnock,
    /// We made no such invite.
    UnknownInvite,
    /// Nobody with this identity was ever seen here.
    UnknownMember,
    /// The person is not admitted: admit it first.
    NotAdmitted,
    /// The person is banned: lift the ban first.
    Banned,
    /// The ban is somebody else's: only the host lifts it.
    NotYours,
    /// It is so already.
    AlreadySo,
    /// A role that can be given on admission is speaker, listener or recorder.
    Role,
    /// A bound of the room's law is reached: a moderator waits for the host, the host puts somebody
    /// out first.
    Full,
    /// The host's tables have reached the greatest number that there is: only a hand-over goes on.
    Exhausted,
    /// A room has at most 256 invites of one member that have not expired.
    TooManyInvites,
    /// The commit or the Welcome would be longer than the control lane carries.
    TooLarge,
    /// A rule of the room does not permit it.
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

/// Why a control message did nothing. The connection is fine; drop the message and go on.
///
/// Much of this happens on any network: whoever holds an invite, and every relay, can send whatever
/// it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlError {
    /// The room is over for us.
    Over,
    /// It was altered on the way, or does not belong to this room.
    Envelope,
    /// It is not in the form of SPEC section 8.
    Malformed,
    /// It belongs to an epoch that is over.
    Stale,
    /// It is our own message, come back.
    Own,
    /// It was altered, replayed, or comes from another branch of the room.
    Undecryptable,
    /// It would have to wait, for its epoch, for statements or for the keeper, and too much is
    /// waiting already.
    Overflow,
    /// It is authentic, and its sender may not do that.
    NotPermitted {
        /// Who.
        by: Option<MemberId>,
        /// What.
        violation: Violation,
    },
    /// No receipt of somebody of rank goes with this welcome.
    NoReceipt,
    /// It claims to be from the room's keeper, or from one who was, and is not.
    NotTheKeeper,
    /// It asks for something that only members may ask for.
    NotAMember,
    /// A knock that was answered or is waiting already, or published keys that are known or
    /// nobody's.
    Repeated,
    /// One too many of its kind, for example the 65th knock or the 129th seed in a second, or a
    /// knock of somebody whom the door may not let in at the moment. Its sender will repeat it.
    Flood,
    /// A KeyPackage that cannot be used, in a knock or handed on by a moderator.
    KeyPackage(Violation),
    /// A welcome that breaks a rule of the room.
    Welcome(Violation),
    /// A welcome into another group than the invite's.
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
            Self::OtherIdentity => f.write_str("the membership is that of another identity"),
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
            Self::Rank => "it is about a moderator, whose rank the host takes away first",
            Self::HostStays => "the host cannot leave while no moderator is there",
            Self::NotHeard => "the member has not been heard in the last 15 s",
            Self::UnknownKnock => "nobody with that knock is waiting",
            Self::UnknownInvite => "we made no such invite",
            Self::UnknownMember => "nobody with this identity was seen here",
            Self::NotAdmitted => "the person is not admitted",
            Self::Banned => "the person is banned",
            Self::NotYours => "only the host lifts a ban of somebody else",
            Self::AlreadySo => "it is so already",
            Self::Role => "people come in as speaker, listener or recorder",
            Self::Full => "a bound of the room's law is reached",
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
            Self::Envelope => f.write_str("altered on the way, or not of this room"),
            Self::Malformed => f.write_str("malformed"),
            Self::Stale => f.write_str("of an epoch that is over"),
            Self::Own => f.write_str("our own, come back"),
            Self::Undecryptable => f.write_str("altered, replayed, or of another branch"),
            Self::Overflow => f.write_str("too much is waiting already"),
            Self::NotPermitted { violation, .. } => write!(f, "not permitted: {violation}"),
            Self::NoReceipt => f.write_str("a welcome without a receipt"),
            Self::NotTheKeeper => f.write_str("not from the keeper"),
            Self::NotAMember => f.write_str("not from a member"),
            Self::Repeated => f.write_str("known already"),
            Self::Flood => f.write_str("too many of its kind"),
            Self::KeyPackage(violation) => write!(f, "a KeyPackage that cannot be used: {violation}"),
            Self::Welcome(violation) => write!(f, "a welcome that cannot be used: {violation}"),
            Self::OtherGroup => f.write_str("of another group"),
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
