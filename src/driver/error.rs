//! The errors of a session.

use std::{error::Error, fmt};

#[cfg(feature = "stage")]
use crate::stage::HallError;
use crate::{
    NoRandomness,
    media::SealError,
    room::{CreateError, JoinError, ResumeError},
    transport::{RelayName, TransportError},
};

/// Why a session could not start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// A relay of the transport is not on the room's list. Nothing was contacted.
    RelayNotAllowed(RelayName),
    /// There is no transport for any relay of the room's list. Nothing was contacted.
    NoTransport,
    /// The room could not be created.
    Create(CreateError),
    /// This member could not knock at the room.
    Join(JoinError),
    /// The room could not be resumed.
    Resume(ResumeError),
    /// The operating system has no randomness. Nothing was contacted.
    Randomness(NoRandomness),
    /// The relay could not be used; another relay of the list may work.
    Transport(TransportError),
    /// The hall could not be started.
    #[cfg(feature = "stage")]
    Hall(HallError),
}

/// Why a packet was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpeakError {
    /// The packet was not sealed.
    Seal(SealError),
    /// The packet was sealed, but could not be sent.
    Transport(TransportError),
}

impl From<CreateError> for SessionError {
    fn from(error: CreateError) -> Self {
        Self::Create(error)
    }
}

impl From<JoinError> for SessionError {
    fn from(error: JoinError) -> Self {
        Self::Join(error)
    }
}

impl From<ResumeError> for SessionError {
    fn from(error: ResumeError) -> Self {
        Self::Resume(error)
    }
}

impl From<NoRandomness> for SessionError {
    fn from(error: NoRandomness) -> Self {
        Self::Randomness(error)
    }
}

impl From<TransportError> for SessionError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

#[cfg(feature = "stage")]
impl From<HallError> for SessionError {
    fn from(error: HallError) -> Self {
        Self::Hall(error)
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RelayNotAllowed(relay) => write!(f, "the room does not allow the relay {relay}"),
            Self::NoTransport => f.write_str("there is no transport for any relay of the room"),
            Self::Create(error) => error.fmt(f),
            Self::Join(error) => error.fmt(f),
            Self::Resume(error) => error.fmt(f),
            Self::Randomness(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
            #[cfg(feature = "stage")]
            Self::Hall(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for SpeakError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seal(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
        }
    }
}

impl Error for SessionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::RelayNotAllowed(_) | Self::NoTransport => None,
            Self::Create(error) => Some(error),
            Self::Join(error) => Some(error),
            Self::Resume(error) => Some(error),
            Self::Randomness(error) => Some(error),
            Self::Transport(error) => Some(error),
            #[cfg(feature = "stage")]
            Self::Hall(error) => Some(error),
        }
    }
}

impl Error for SpeakError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Seal(error) => Some(error),
            Self::Transport(error) => Some(error),
        }
    }
}
