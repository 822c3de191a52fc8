//! What members may do (SPEC section 7.1).

use std::fmt;

/// What a member of a room may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Role {
    /// The one member that created the room or was handed it: may admit, remove, give roles, and
    /// close the room.
    Host,
    /// May admit people, remove and ban speakers and listeners, and give those two roles.
    Moderator,
    /// Is heard.
    Speaker,
    /// Only hears: everybody refuses packets of a listener.
    Listener,
    /// Hears like a listener, and is shown to everybody as a recorder or bot.
    Recorder,
}

impl Role {
    /// Whether others open packets of members with this role.
    pub fn may_speak(self) -> bool {
        matches!(self, Self::Host | Self::Moderator | Self::Speaker)
    }

    /// Whether this role may admit new members.
    pub fn may_admit(self) -> bool {
        matches!(self, Self::Host | Self::Moderator)
    }

    /// Whether this role may remove, ban or give another role to a member that has role `other`.
    pub fn outranks(self, other: Role) -> bool {
        match self {
            Self::Host => other != Self::Host,
            Self::Moderator => matches!(other, Self::Speaker | Self::Listener | Self::Recorder),
            Self::Speaker | Self::Listener | Self::Recorder => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Moderator => "moderator",
            Self::Speaker => "speaker",
            Self::Listener => "listener",
            Self::Recorder => "recorder",
        })
    }
}
