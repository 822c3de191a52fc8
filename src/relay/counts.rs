//! What a relay counts.

use crate::relay_protocol::wire;

/// What happened at a relay since it was started. Nothing in it is about a person or a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Counts {
    /// Members admitted.
    pub connections: u64,
    /// Connections turned away: garbage, silence, another version, no place, no token.
    pub refused: u64,
    /// The same by reason.
    pub refusals: Refusals,
    /// Control messages taken from members.
    pub control: u64,
    /// Bytes of them.
    pub control_bytes: u64,
    /// Copies of them that were put into a member's queue.
    pub control_copies: u64,
    /// Bytes of those.
    pub control_copied_bytes: u64,
    /// Sealed packets taken from members.
    pub media: u64,
    /// Bytes of them.
    pub media_bytes: u64,
    /// Copies of them sent to members.
    pub copies: u64,
    /// Bytes of those.
    pub copied_bytes: u64,
    /// Copies lost on purpose.
    pub lost: u64,
    /// Datagrams from an address that is bound to nobody, or with an unknown ticket.
    pub unbound: u64,
    /// Datagrams that are empty or too long, or begin like the relay's own and are none that a
    /// member sends.
    pub malformed: u64,
    /// Datagrams above a member's rate, or above its share of what its room may send.
    pub over_rate: u64,
    /// Datagrams of members whose part is only to hear.
    pub no_part: u64,
    /// Records that came after the log could no longer be written, and are not in it.
    pub log_lost: u64,
    /// Members cut off: too slow, silent for too long, or with a control message that is too long.
    pub cut: u64,
    /// Members cut off because their token was revoked.
    pub revoked: u64,
}

/// Connections turned away, by reason (SPEC section 8.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Refusals {
    /// Its first bytes are not of our protocol.
    pub garbage: u64,
    /// It did not finish its hello in time, or hung up before.
    pub no_hello: u64,
    /// Too many others had yet to send their hello.
    pub pending: u64,
    /// Another version, or a revocation where no tokens are asked for.
    pub version: u64,
    /// No place for another member, or for another revocation.
    pub relay_full: u64,
    /// No place for another room.
    pub rooms_full: u64,
    /// No place in that room.
    pub room_full: u64,
    /// No token, or one that is forged, expired, revoked, or for another room; or a forged
    /// revocation.
    pub token: u64,
}

impl Counts {
    pub(super) fn refuse(&mut self, reason: impl FnOnce(&mut Refusals) -> &mut u64) {
        self.refused += 1;
        *reason(&mut self.refusals) += 1;
    }
}

impl Refusals {
    pub(super) fn of(&mut self, refusal: wire::Rejection) -> &mut u64 {
        match refusal {
            wire::Rejection::Version => &mut self.version,
            wire::Rejection::Connections => &mut self.relay_full,
            wire::Rejection::Rooms => &mut self.rooms_full,
            wire::Rejection::Members => &mut self.room_full,
            wire::Rejection::Token => &mut self.token,
        }
    }
}
