//! Why a hall did not take something.

use std::fmt;

use crate::wire::answer::RefuseReason;

/// Why a message of the audience, or of a porter, did nothing. It tells the network nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AudienceError {
    /// It is not an envelope of this hall, or of this cell, or was altered.
    Envelope,
    /// What is sealed does not open.
    Undecryptable,
    /// It is not in its form.
    Malformed,
    /// A signature does not hold.
    Signature,
    /// It was taken before, or is older than what was.
    Repeated,
    /// There are too many of these at the moment.
    Flood,
    /// It is for somebody else of rank.
    OtherPorter,
    /// Nobody listens there.
    NotSeated,
    /// It came on a lane on which nothing of its kind is sent.
    Lane,
    /// The door said no.
    Refused(RefuseReason),
    /// The hall is over for us.
    Over,
    /// We have no rank.
    NoRank,
}

impl fmt::Display for AudienceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Envelope => "the message is of another hall or cell, or was altered",
            Self::Undecryptable => "the message does not open",
            Self::Malformed => "the message is malformed",
            Self::Signature => "the signature does not hold",
            Self::Repeated => "the message was taken before",
            Self::Flood => "too many such messages came",
            Self::OtherPorter => "the message is for another porter",
            Self::NotSeated => "nobody listens there",
            Self::Lane => "nothing of this kind is sent on this lane",
            Self::Refused(_) => "the door said no",
            Self::Over => "the hall is over",
            Self::NoRank => "only host and moderators may do this",
        })
    }
}

impl std::error::Error for AudienceError {}

/// Why nobody can be on a stage, or listen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HallError {
    /// The room is not entered.
    NotPresent,
    /// A hall wants signed packets: [`Authenticity::Group`](crate::Authenticity::Group) would let
    /// each of ten thousand speak in anybody's voice.
    Unsigned,
    /// The invite has expired.
    Expired,
    /// The crypto library failed.
    Crypto,
}

impl fmt::Display for HallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPresent => "the room is not entered",
            Self::Unsigned => "a hall needs a room with signed packets",
            Self::Expired => "the invite has expired",
            Self::Crypto => "the crypto library failed",
        })
    }
}

impl std::error::Error for HallError {}
