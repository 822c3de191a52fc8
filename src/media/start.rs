//! The inputs that the keys of an epoch start from, and the errors (SPEC section 4.1).

use std::fmt;

use super::profile::{Authenticity, PacketSize};
use crate::{
    id::{Epoch, Leaf, MemberId},
    keys::{EpochSecret, Suite},
};

/// The inputs of a key schedule: an epoch's secret and the values that all its members agree on.
pub struct EpochStart<'a> {
    /// The secret that exactly the members of the epoch know; used once, then wiped.
    pub secret: EpochSecret,
    /// Names the room.
    pub group_id: &'a [u8],
    /// Counts the commits.
    pub epoch: Epoch,
    /// Differs between branches of a fork (RFC 9420 section 8.7).
    pub authenticator: &'a [u8],
    /// The cipher suite that packets are sealed with.
    pub suite: Suite,
    /// Whether packets carry their sender's signature.
    pub authenticity: Authenticity,
    /// The one size of an Opus packet when it is sealed.
    pub packet_size: PacketSize,
    /// Our own leaf, among the speakers or not.
    pub own_leaf: Leaf,
    /// Every leaf that may speak, in strictly ascending order, the same list at every member.
    pub speakers: &'a [Speaker],
    /// The leaves that were removed on the way into this epoch.
    pub removed: &'a [Leaf],
    /// Fresh secret randomness, for the speaker key of this epoch. The caller wipes it.
    pub seed: &'a [u8; 32],
}

/// A leaf that may speak, and the identity that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// Its place in the tree.
    pub leaf: Leaf,
    /// Its identity, which opened packets are attributed to.
    pub member: MemberId,
}

/// Why a schedule did not start, or did not take a speaker key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The speakers are not strictly ascending by leaf, or too many.
    Speakers,
    /// The group id or the epoch authenticator is empty or too long.
    Context,
    /// The leaf may not speak in this epoch, or is our own.
    NotASpeaker,
    /// The key has a small order or is not canonical: its signatures would prove nothing.
    WeakKey,
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Speakers => "speakers must be strictly ascending by leaf, and at most 65,000",
            Self::Context => "group id and epoch authenticator must have 1 to 255 bytes",
            Self::NotASpeaker => "the leaf may not speak in this epoch",
            Self::WeakKey => "the speaker key has a small order or is not canonical",
        })
    }
}

impl std::error::Error for ScheduleError {}
