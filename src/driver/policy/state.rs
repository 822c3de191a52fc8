//! What an application is told of its connection.

use std::{error::Error, fmt, time::Instant};

use crate::{
    driver::ReceivedPacket,
    room::{Ending, Event},
    transport::TransportError,
};

/// Where a call stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// We were not in yet: no relay has answered, or nobody has let us in.
    Connecting,
    /// There is a connection, and the room has us in it.
    In,
    /// We were in, and are on the way back.
    Reconnecting {
        /// When that was noticed, by the time of the transport.
        since: Instant,
        /// How many attempts to connect were begun since then.
        attempt: u32,
        /// What was the matter last.
        why: Why,
    },
    /// It is over. Nothing follows.
    Out {
        /// Why.
        reason: Reason,
    },
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The transport said so, or the last attempt failed.
    Transport(TransportError),
    /// The relay gave no sign of life, though it was asked for one.
    Silent,
    /// The device slept or its clock was set, and the relay gave no sign of life after that.
    Slept,
    /// The connector made a transport for a relay that is not on the room's list. It was not
    /// contacted.
    NotAllowed,
    /// The connector made no transport for any relay of the list.
    NoTransport,
    /// There is a connection, and we are on the way back into the room.
    Place,
}

/// Why a call is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The room is over for us.
    Room(Ending),
    /// The application gave up.
    GaveUp,
}

/// The result of [`Call::next`](super::Call::next).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallNext {
    /// The state is another.
    State(State),
    /// Something to tell the user, or to answer.
    Event(Event),
    /// Somebody's audio. Not after [`Call::split`](super::Call::split).
    Packet(ReceivedPacket),
    /// The time is up.
    Idle,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transport(error) => return error.fmt(f),
            Self::Silent => "the relay is silent",
            Self::Slept => "the device slept, and the relay is silent since",
            Self::NotAllowed => "the room does not allow the relay",
            Self::NoTransport => "there is no transport for any relay of the room",
            Self::Place => "we are on the way back into the room",
        })
    }
}

impl Error for Why {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Transport(error) => Some(error),
            Self::Silent | Self::Slept | Self::NotAllowed | Self::NoTransport | Self::Place => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::In => f.write_str("in"),
            Self::Reconnecting { attempt, why, .. } => write!(f, "reconnecting, attempt {attempt}: {why}"),
            Self::Out { reason: Reason::Room(ending) } => write!(f, "out: {ending}"),
            Self::Out { reason: Reason::GaveUp } => f.write_str("out: gave up"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_shows_the_error_that_it_wraps() {
        let why = Why::Transport(TransportError::Busy);
        assert_eq!(why.source().unwrap().to_string(), TransportError::Busy.to_string());
        assert!(Why::Silent.source().is_none());
    }
}
