//! Why a packet was not opened.

use std::fmt;

use super::stamp::Unfit;

/// Why a packet was not opened. It tells the network nothing: drop the packet and go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
#[non_exhaustive]
pub enum OpenError {
    /// The header is cut short or not in its shortest form, or no key may use the counter.
    Malformed,
    /// The packet is larger than any that this library seals.
    TooLarge,
    /// No key that we hold has this KID: another room's, another time's, or not here yet.
    UnknownKey,
    /// The speaker has not announced a key to sign with in this epoch yet.
    UnknownSpeaker,
    /// It is our own packet, sent back to us.
    Own,
    /// The leaf has been removed or may not speak any more.
    Removed,
    /// A moderator has silenced the speaker.
    Muted,
    /// The counter was opened before.
    Replayed,
    /// The counter is 1,024 or more below the highest of its key.
    TooOld,
    /// The tag does not hold: altered, or sealed by somebody who is not in the room.
    Forged,
    /// The speaker's signature does not hold or is not in the padding: another member, in this
    /// one's voice.
    Unsigned,
    /// A member sealed something that is not an Opus packet.
    NotOpus,
    /// The key has failed a million times, and is not tried again.
    Exhausted,
    /// More senders are active than there is room for.
    Busy,
    /// A member sealed a packet that has not the packet size of the room.
    WrongSize,
}

/// The order of the checks is that of [`stamp::accept`]. The counter was looked at before the tag.
impl From<Unfit> for OpenError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Counter => Self::Malformed,
            Unfit::Unsigned => Self::Unsigned,
            Unfit::NotOpus => Self::NotOpus,
            Unfit::Size => Self::WrongSize,
        }
    }
}

impl OpenError {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Malformed,
        Self::TooLarge,
        Self::UnknownKey,
        Self::UnknownSpeaker,
        Self::Own,
        Self::Removed,
        Self::Muted,
        Self::Replayed,
        Self::TooOld,
        Self::Forged,
        Self::Unsigned,
        Self::NotOpus,
        Self::Exhausted,
        Self::Busy,
        Self::WrongSize,
    ];

    /// Whether the packet may only have come before its key: hold it and try again after the next
    /// rekey.
    pub const fn is_early(self) -> bool {
        matches!(self, Self::UnknownKey | Self::UnknownSpeaker)
    }

    /// A short name for tables and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::UnknownKey => "unknown_key",
            Self::UnknownSpeaker => "unknown_speaker",
            Self::Own => "own",
            Self::Removed => "removed",
            Self::Muted => "muted",
            Self::Replayed => "replayed",
            Self::TooOld => "too_old",
            Self::Forged => "forged",
            Self::Unsigned => "unsigned",
            Self::NotOpus => "not_opus",
            Self::Exhausted => "exhausted",
            Self::Busy => "busy",
            Self::WrongSize => "wrong_size",
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for OpenError {}
