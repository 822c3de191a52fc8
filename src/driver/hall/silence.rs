//! Why a listener hears nothing.

use std::{fmt, time::Instant};

use crate::{media::OpenError, stage::Over, transport::TransportError};

/// Why a listener hears nothing, the most telling reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Silence {
    /// It is over for us.
    Over(Over),
    /// There is no connection to a relay on which packets come.
    NoRelay {
        /// Why the last one was lost, or did not come about.
        why: Option<TransportError>,
    },
    /// Nobody has let us in yet.
    NotIn {
        /// Since when we ask.
        since: Instant,
    },
    /// The stage is gone, or the relay keeps it from us: nobody of rank is heard.
    Unattended {
        /// Since when we know; 15 s earlier somebody was heard.
        since: Instant,
    },
    /// Packets come, and none of them opens.
    Sealed {
        /// Why the last one did not.
        why: Option<OpenError>,
    },
    /// Somebody of rank is there, and no packets come.
    NobodySpeaks,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(Over::Left) => f.write_str("we left"),
            Self::Over(Over::Refused(_)) => f.write_str("every door has refused us"),
            Self::Over(Over::PutOut(_)) => f.write_str("we were put out"),
            Self::NoRelay { why: Some(why) } => write!(f, "no relay: {why}"),
            Self::NoRelay { why: None } => f.write_str("no relay is connected yet"),
            Self::NotIn { .. } => f.write_str("nobody has let us in yet"),
            Self::Unattended { .. } => f.write_str("nobody of the stage is heard any more"),
            Self::Sealed { .. } => f.write_str("what comes does not open"),
            Self::NobodySpeaks => f.write_str("nobody speaks"),
        }
    }
}
