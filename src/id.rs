//! Types for numbers that must not be confused with one another (SPEC section 2).
//!
//! ```
//! use sottovoce::{CaptureTime, Epoch, MemberId};
//!
//! assert!(Epoch(2) > Epoch(1)); // and no `Step` or `Leaf` can be compared with either
//! assert_eq!(CaptureTime::default(), CaptureTime::UNKNOWN);
//! let member = MemberId::from_bytes([0xab; 32]);
//! assert_eq!(member.to_string(), "abab abab abab abab abab abab abab abab");
//! ```

use std::{
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::hex::{self, Hex};

/// Which MLS epoch of a room: grows by one with every commit (RFC 9420 section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Epoch(pub u64);

/// A member's place in the ratchet tree: its leaf index (RFC 9420 section 4).
///
/// A leaf index that became free may belong to another member in a later epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Leaf(pub u32);

/// Which ten seconds of an epoch: every step has media keys of its own (SPEC section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Step(pub u32);

/// The key id (KID) of an SFrame header (RFC 9605 section 4.3).
///
/// In this library it is a pseudonym of (epoch, step, leaf): it names nobody (SPEC section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct KeyId(pub u64);

/// The counter (CTR) of an SFrame header (RFC 9605 section 4.3): counts the packets under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Counter(pub u64);

/// When audio was captured, by the sender's clock: milliseconds since 1970-01-01 UTC, 48 bits on
/// the wire.
///
/// The default is [`UNKNOWN`](Self::UNKNOWN).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CaptureTime(pub(crate) u64);

impl CaptureTime {
    /// Not known: a [`Sealer`](crate::Sealer) then assumes that the packet directly follows the one
    /// before.
    pub const UNKNOWN: Self = Self(0);

    /// The time that is this many milliseconds after 1970-01-01 UTC; 0 is
    /// [`UNKNOWN`](Self::UNKNOWN).
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl From<SystemTime> for CaptureTime {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Seconds since 1970-01-01 UTC, by the clock of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnixTime(pub(crate) u64);

impl UnixTime {
    /// The time that is this many seconds after 1970-01-01 UTC.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01 UTC.
    pub const fn as_secs(self) -> u64 {
        self.0
    }
}

#[cfg(feature = "room")]
impl UnixTime {
    pub(crate) fn after(self, elapsed: std::time::Duration) -> Self {
        Self(self.0.saturating_add(elapsed.as_secs()))
    }
}

/// The time by the system's clock; 0 before 1970.
impl From<SystemTime> for UnixTime {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

/// The fingerprint of an identity key, which names a member in every room and at every leaf (SPEC
/// section 6.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId([u8; 32]);

impl MemberId {
    /// Takes a fingerprint as it stands in an invite, a roster or a store.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the fingerprint.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The public Ed25519 key of an identity: signs statements, and is the same in every room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityKey([u8; 32]);

impl IdentityKey {
    /// Takes the 32 bytes of a key (RFC 8032). This accepts any 32 bytes; checking a signature
    /// refuses those that are no key.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Shows the first four bytes: a log must not say more about a person than it has to.
impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::short(f, "IdentityKey", &self.0)
    }
}

/// Shows eight groups of four hex digits: the first 16 bytes, enough to compare by eye. `{:#}`
/// shows all 32 bytes, which parse back.
impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = if f.alternate() { 16 } else { 8 };
        for (i, pair) in self.0.chunks(2).take(pairs).enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{}", Hex(pair))?;
        }
        Ok(())
    }
}

/// Takes 64 hex digits, with or without spaces between them.
impl FromStr for MemberId {
    type Err = MemberIdError;

    fn from_str(text: &str) -> Result<Self, MemberIdError> {
        let digits = text.chars().filter(|c| !c.is_whitespace());
        hex::decode(digits).map(Self).ok_or(MemberIdError)
    }
}

/// The text is not the 64 hex digits of a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberIdError;

impl fmt::Display for MemberIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fingerprint has 64 hex digits")
    }
}

impl std::error::Error for MemberIdError {}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberId({self})")
    }
}
