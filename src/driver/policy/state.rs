//! What an application learns about its connection.

use std::{error::Error, fmt, time::Instant};

use crate::{
    driver::ReceivedPacket,
    room::{Ending, Event},
    transport::TransportError,
};

/// The state of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// We have not been in the room yet: no relay has answered, or nobody has let us in.
    Connecting,
    /// We are connected, and a member of the room.
    In,
    /// We were in the room and lost it, and are trying to return.
    Reconnecting {
        /// When the call noticed the loss, on the transport's clock.
        since: Instant,
        /// How many attempts to connect have begun since then.
        attempt: u32,
        /// The newest reason for which we are not back.
        why: Why,
    },
    /// The call is over. No other state follows.
    Out {
        /// Why.
        reason: Reason,
    },
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The transport reported an error, or the last attempt failed.
    Transport(TransportError),
    /// The relay gave no sign of life, although the transport asked for one.
    Silent,
    /// The device slept or its clock was set, and the relay gave no sign of life after that.
    Slept,
    /// The connector made a transport for a relay that is not on the room's list. That relay was
    /// not contacted.
    NotAllowed,
    /// The connector made no transport for any relay of the list.
    NoTransport,
    /// We are connected, and are waiting to be let back into the room.
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
    /// The state changed.
    State(State),
    /// An event to show to the user or to answer.
    Event(Event),
    /// A packet of another member's audio. Never after [`Call::split`](super::Call::split).
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
