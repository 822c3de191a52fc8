//! Where a room is at a MoQ relay, and what is there (SPEC section 8.8).

use std::time::Duration;

use crate::{hex::Hex, keys::derive::hkdf_sha256, transport::RoomHandle};

/// Where everything of a room is at a relay, which learns nothing else of it.
#[derive(Clone, Debug)]
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
        let room = Hex(&room).to_string();
        let own = format!("{room}/{}", Hex(&nonce));
        Self { room, own }
    }

    /// Whether that is the path of another connection in the room: what else a relay announces
    /// there is not one of ours.
    pub(super) fn is_of_another(&self, path: &str) -> bool {
        let member = path.strip_prefix(self.room.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        member.is_some_and(|member| member.len() == 32 && member.bytes().all(digit)) && path != self.own
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_one_step_below_the_room_and_have_32_digits() {
        let place = Place::new(RoomHandle::from_bytes([1; 16]), [2; 16]);
        let other = Place::new(RoomHandle::from_bytes([1; 16]), [3; 16]).own;
        assert!(place.is_of_another(&other));
        let elsewhere = Place::new(RoomHandle::from_bytes([9; 16]), [3; 16]).own;
        let (long, upper, deep) = (format!("{other}0"), other.to_uppercase(), format!("{other}/c"));
        for path in ["", &place.room, &place.own, &elsewhere, &long, &upper, &deep, &other[..60]] {
            assert!(!place.is_of_another(path), "{path}");
        }
    }
}
