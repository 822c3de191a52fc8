//! What an interface shows of somebody who speaks, and what became of its packets.

use std::time::Duration;

use crate::{
    id::MemberId,
    media::{Level, Notes},
};

/// What became of a speaker's packets and sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StreamStats {
    /// Packets that were played as they came.
    pub played: u64,
    /// Packets that did not come, or too late, and were recovered from the next one.
    pub recovered: u64,
    /// Packets that did not come, or too late, and were made up. Where the sender had only stopped,
    /// nothing is counted.
    pub concealed: u64,
    /// Packets that came after their time, counted in one of the two above as well.
    pub late: u64,
    /// Packets that found no room, or would have been heard more than a second too late.
    pub dropped: u64,
    /// Packets whose Opus frames no decoder takes.
    pub broken: u64,
    /// Samples made up, whether a packet was lost or only late.
    pub made_up_samples: u64,
    /// Samples by which sound was shortened or lengthened, to follow the network and the speaker's
    /// clock.
    pub stretched_samples: u64,
}

/// A speaker as an interface shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Talker {
    /// Who it is.
    pub member: MemberId,
    /// How loud it says it is, and whether it speaks. In rooms whose packets do not say it: how
    /// loud it is heard to be, and silence while it is not decoded. Silence while the member is
    /// muted, and from 200 ms after its last packet on. Speech is shown within 300 ms of its
    /// beginning and of its end, on a network that takes up to 50 ms.
    pub level: Level,
    /// What else it says.
    pub notes: Notes,
    /// Whether it is among the loudest, and heard.
    pub mixed: bool,
    /// How long a packet of it waits before it is played, if it came as early as any.
    pub waits: Duration,
    /// What became of its packets.
    pub stats: StreamStats,
}
