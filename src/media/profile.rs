//! The properties of packets that a room agrees on (SPEC section 3.2).

use std::fmt;

/// What a packet proves about its sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Authenticity {
    /// Every packet carries its speaker's signature inside the encryption, so no other member can
    /// speak as that speaker.
    #[default]
    Signed,
    /// Plain RFC 9605: a packet proves only that *some* member sealed it, so a room that the
    /// relay's operator can enter is a room in which the operator can speak as anybody.
    Group,
}

/// The size of all packets of a room before they are sealed, in bytes.
///
/// Opus packets are padded to it (RFC 6716 section 3.2.5), so that sizes reveal nothing. A sealed
/// packet is [`PacketSize::SEALED_EXTRA`] bytes larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketSize(u16);

impl PacketSize {
    /// The smallest size.
    pub const MIN: u16 = 16;
    /// The largest size: with the seal around it a packet still fits what browsers and SFUs carry.
    pub const MAX: u16 = 1_000;
    /// The size for every sound but speech.
    pub(super) const LARGE: Self = Self(400);
    /// The bytes that sealing adds: a header of 7 and a tag of 16.
    pub const SEALED_EXTRA: u16 = 23;

    /// Checks a size.
    ///
    /// # Errors
    /// [`PacketSizeError`] outside [`MIN`](Self::MIN) to [`MAX`](Self::MAX).
    pub const fn new(bytes: u16) -> Result<Self, PacketSizeError> {
        if bytes < Self::MIN || bytes > Self::MAX { Err(PacketSizeError) } else { Ok(Self(bytes)) }
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u16 {
        self.0
    }
}

/// 240 bytes: 40 ms of Opus at 32 kb/s, stamp and signature.
impl Default for PacketSize {
    fn default() -> Self {
        Self(240)
    }
}

/// A packet size must lie between [`PacketSize::MIN`] and [`PacketSize::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketSizeError;

impl fmt::Display for PacketSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a packet size must lie between {} and {} bytes", PacketSize::MIN, PacketSize::MAX)
    }
}

impl std::error::Error for PacketSizeError {}

/// Why a sealer seals nothing at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum SilenceReason {
    /// No key has been installed yet.
    NotYet,
    /// Our role does not let us speak.
    NotASpeaker,
    /// The host or a moderator has muted us.
    Muted,
    /// A member that was removed or banned still has a leaf: the keeper has to commit the removal.
    AwaitingRemoval,
    /// We are the keeper and have heard nobody else for 15 s, so nobody hears us either.
    NobodyHears,
    /// Neither the host nor a moderator has been heard for as long as the room's terms allow.
    Unattended,
    /// Nothing has proved for 15 s that the room's keeper is still there: a ban could be withheld
    /// from us.
    NoProofOfLife,
    /// The keeper is in a later epoch than we are: a commit, which may be a ban, is withheld from
    /// us.
    CommitWithheld,
    /// The room has split, and we may be on the losing side.
    Forked,
    /// The epoch has lasted 121 days; the room must commit.
    EpochTooOld,
    /// We lost our place in the room and are returning.
    Returning,
    /// We were removed from the room.
    Removed,
    /// The room is closed, or we left it.
    Closed,
}

impl fmt::Display for SilenceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYet => "no key has been installed yet",
            Self::NotASpeaker => "our role does not let us speak",
            Self::Muted => "a moderator has silenced us",
            Self::AwaitingRemoval => "somebody who is out has not been removed yet",
            Self::NobodyHears => "nobody else has been heard for 15 s",
            Self::Unattended => "nobody of rank has been heard for too long",
            Self::NoProofOfLife => "the room's keeper has not been heard of for 15 s",
            Self::CommitWithheld => "a commit is withheld from us",
            Self::Forked => "the room has split",
            Self::EpochTooOld => "the epoch has lasted too long",
            Self::Returning => "we are on the way back into the room",
            Self::Removed => "we were removed from the room",
            Self::Closed => "the room is closed",
        })
    }
}
