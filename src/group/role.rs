//! What members may do (SPEC section 7.1).

use std::fmt;

/// What a member of a room may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Role {
    /// Made the room or was handed it: admits, removes, gives roles, closes. There is one.
    Host,
    /// Removes and bans speakers and listeners, and gives those roles.
    Moderator,
    /// Is heard.
    Speaker,
    /// Hears. Sealed audio of a listener is refused by everybody.
    Listener,
    /// Hears like a listener, and is shown to everybody as a recorder or bot.
    Recorder,
}

impl Role {
    /// Whether packets of this role are opened by the others.
    pub fn may_speak(self) -> bool {
        matches!(self, Self::Host | Self::Moderator | Self::Speaker)
    }

    /// Whether this role may bring new members in.
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
