//! The name of each event, which tells nobody who it is about.

use super::{Ending, Event};

impl Event {
    /// What kind of event it is.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Slept { .. } => "slept",
            Self::ClockWrong { .. } => "clock wrong",
            Self::Knocked { .. } => "knocked",
            Self::KnockRefused { .. } => "knock refused",
            Self::KnockGone { .. } => "knock gone",
            Self::Waiting => "waiting",
            Self::NoDoor => "no door",
            Self::NoAnswer => "no answer",
            Self::Joined { .. } => "joined",
            Self::Changed { .. } => "changed",
            Self::RoleChanged { .. } => "role changed",
            Self::Muted { .. } => "muted",
            Self::HostChanged { .. } => "host changed",
            Self::Message(_) => "message",
            Self::Hand { .. } => "hand",
            Self::Locked { .. } => "locked",
            Self::Absent { .. } => "absent",
            Self::Alone => "alone",
            Self::Keeper { .. } => "keeper",
            Self::Returned { .. } => "returned",
            Self::Ignored { .. } => "ignored",
            Self::Accused { .. } => "accused",
            Self::RoomTooLarge => "room too large",
            Self::Unattended => "unattended",
            Self::BanFell { .. } => "ban fell",
            Self::Violation { .. } => "violation",
            Self::Silent { .. } => "silent",
            Self::Audible => "audible",
            Self::KeptOut { .. } => "kept out",
            Self::Over(ending) => ending.kind(),
            #[cfg(feature = "stage")]
            Self::Hall(_) => "hall",
        }
    }
}

impl Ending {
    /// How the room ended, without whose doing it was.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Removed { banned: false, .. } => "removed",
            Self::Removed { banned: true, .. } => "banned",
            Self::Closed => "closed",
            Self::Left => "left",
            Self::TakenOver => "taken over by another device",
            Self::Expired => "the invite has expired",
            Self::Broken(_) => "MLS failed",
        }
    }
}
