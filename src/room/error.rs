//! Why something was not done: one type per operation.

use std::{error::Error, fmt};

use crate::{
    group::{
        Violation,
        mls::{Failure, JoinError, ProcessError},
    },
    id::MemberId,
};

/// Why a room was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateError {
    /// Name 1 to 8 relays.
    Relays,
    /// A default role is speaker, listener or recorder.
    DefaultRole,
    /// MLS failed; the text is for a report of the fault.
    Mls(String),
}

/// Why there was no knock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KnockError {
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
    /// Only the host can do this, or a moderator that keeps the room in its place.
    HostOnly,
    /// The host cannot leave while there is no moderator to hand the room to: close it, or hand it over.
    HostStays,
    /// We lost the thread of the room and are on the way back: try again when we are there.
    Returning,
    /// There is no such knock: it was answered, or its sender was banned.
    UnknownKnock,
    /// A role that can be given on admission is any but host.
    Role,
    /// Our role does not permit it, or not to this member.
    NotPermitted(Violation),
    /// The room keeps at most 256 orders to ban, 1,024 roles other than the default one, and 8 changes of host.
    Full,
    /// A room has at most 256 invites that have not expired.
    TooManyInvites,
    /// MLS failed; the text is for a report of the fault.
    Mls(String),
}

/// Why a control message did nothing. The connection is fine; drop the message and go on.
///
/// Much of this happens on any network: whoever holds an invite, and every relay, can send whatever it
/// likes.
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
    /// It belongs to an epoch that has not begun here, and too much is waiting already.
    Overflow,
    /// It is authentic, and its sender may not do that.
    NotPermitted {
        /// Who.
        by: Option<MemberId>,
        /// What.
        violation: Violation,
    },
    /// It claims to be from the host, or from a moderator of the host, and is not.
    NotTheHost,
    /// It claims to be from the room's keeper, or from one who was, and is not.
    NotTheKeeper,
    /// It is from a branch of the room that gives way to ours.
    OtherBranch,
    /// It asks for something that only members may ask for.
    NotAMember,
    /// A knock that was answered or is waiting already, or published keys that are known or nobody's.
    Repeated,
    /// A knock with an invite that this room did not make.
    UnknownInvite,
    /// A knock too many: more than 64 in a second, or 64 are waiting. Its sender will repeat it.
    Flood,
    /// A knock with a KeyPackage that cannot be used.
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

impl From<Failure> for KnockError {
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
            ProcessError::Violation(_, violation) => Self::NotPermitted { by: None, violation },
        }
    }
}

impl From<JoinError> for ControlError {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Malformed | JoinError::NotForUs => Self::Malformed,
            JoinError::OtherGroup => Self::OtherGroup,
            JoinError::NotTheHost => Self::NotTheHost,
            JoinError::Room(violation) => Self::Welcome(violation),
            JoinError::Mls(_) => Self::Undecryptable,
        }
    }
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relays => f.write_str("a room names 1 to 8 relays"),
            Self::DefaultRole => f.write_str("the default role is speaker, listener or recorder"),
            Self::Mls(what) => write!(f, "MLS failed: {what}"),
        }
    }
}

impl fmt::Display for KnockError {
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
        match self {
            Self::NotInRoom => f.write_str("we are not in the room"),
            Self::HostOnly => f.write_str("only the host can do this, or a moderator in its place"),
            Self::HostStays => f.write_str("the host cannot leave while there is no moderator"),
            Self::Returning => f.write_str("we are on the way back into the room"),
            Self::UnknownKnock => f.write_str("nobody with that knock is waiting"),
            Self::Role => f.write_str("nobody can be admitted as another host"),
            Self::NotPermitted(violation) => write!(f, "not permitted: {violation}"),
            Self::Full => f.write_str("the room keeps no more bans or roles"),
            Self::TooManyInvites => f.write_str("the room has too many invites"),
            Self::Mls(what) => write!(f, "MLS failed: {what}"),
        }
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
            Self::Overflow => f.write_str("of an epoch to come, and too much is waiting"),
            Self::NotPermitted { violation, .. } => write!(f, "not permitted: {violation}"),
            Self::NotTheHost => f.write_str("not from the host"),
            Self::NotTheKeeper => f.write_str("not from the keeper"),
            Self::OtherBranch => f.write_str("of a branch that gives way to ours"),
            Self::NotAMember => f.write_str("not from a member"),
            Self::Repeated => f.write_str("known already"),
            Self::UnknownInvite => f.write_str("a knock with an unknown invite"),
            Self::Flood => f.write_str("a knock too many"),
            Self::KeyPackage(violation) => write!(f, "a knock that cannot be used: {violation}"),
            Self::Welcome(violation) => write!(f, "a welcome that cannot be used: {violation}"),
            Self::OtherGroup => f.write_str("of another group"),
        }
    }
}

impl Error for CreateError {}
impl Error for KnockError {}
impl Error for ResumeError {}
impl Error for CommandError {}
impl Error for ControlError {}
