//! Where a room is at a MoQ relay, and what is there (SPEC section 8.8).

use std::time::Duration;

use crate::{keys::derive::hkdf_sha256, transport::RoomHandle};

/// Where everything of a room is at a relay, which learns nothing else of it.
#[derive(Debug)]
pub(super) struct Place {
    /// The path of the room.
    pub(super) room: String,
    /// The path of this connection in the room.
    pub(super) own: String,
}

impl Place {
    pub(super) fn new(handle: RoomHandle, nonce: [u8; 16]) -> Self {
        let mut room = [0; 16];
        hkdf_sha256(&[], handle.as_bytes(), &[b"sottovoce 1 moq"], &mut room);
        let room = hex(&room);
        let own = format!("{room}/{}", hex(&nonce));
        Self { room, own }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lanes {
    Both,
    /// IETF MoQ transport has no way to ask for what was said a moment ago.
    MediaOnly,
}

/// The tracks of a member.
pub(super) const CONTROL: &str = "c";
pub(super) const MEDIA: &str = "m";
/// How long a message can be had: who comes in is behind those who are there by less.
pub(super) const KEPT: Duration = Duration::from_secs(10);
/// How late a packet may be that comes on a stream.
pub(super) const LATE: Duration = Duration::from_millis(500);
/// How long what nobody reads is kept.
pub(super) const EXPIRY: Duration = Duration::from_secs(30);
/// The number before each message: how many were said before it in the last moments.
pub(super) const BACK: usize = 4;
