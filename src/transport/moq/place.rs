//! Where a room is at a MoQ relay, and what is there (SPEC section 8.8).

use std::time::Duration;

use crate::{hex::Hex, keys::derive::hkdf_sha256, transport::RoomHandle};

/// Where everything of a room is at a relay, which learns nothing else of it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The path of the room.
    pub(super) room: String,
    /// The path of this connection's messages.
    pub(super) own: String,
}

/// What a broadcast has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Messages,
    Packets,
}

impl Place {
    pub(super) fn new(handle: RoomHandle, nonce: [u8; 16]) -> Self {
        let mut room = [0; 16];
        hkdf_sha256(&[], handle.as_bytes(), &[b"sottovoce 1 moq"], &mut room);
        let room = Hex(&room).to_string();
        let own = format!("{room}/{}", Hex(&nonce));
        Self { room, own }
    }

    /// The path of the packets that this connection sends after `number` pauses.
    pub(super) fn packets(&self, number: u32) -> String {
        format!("{}{number:08x}", self.own)
    }

    /// What another connection in the room has at that path: what else a relay announces there is
    /// not one of ours.
    pub(super) fn of_another(&self, path: &str) -> Option<Kind> {
        let name = path.strip_prefix(self.room.as_str())?.strip_prefix('/')?;
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let kind = match name.len() {
            MEMBER => Kind::Messages,
            PACKETS => Kind::Packets,
            _ => return None,
        };
        (name.bytes().all(digit) && !path.starts_with(self.own.as_str())).then_some(kind)
    }
}

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lanes {
    Both,
    /// IETF MoQ transport has no way to ask for what was said a moment ago.
    MediaOnly,
}

/// Digits of a connection, and of its packets.
const MEMBER: usize = 32;
const PACKETS: usize = 40;
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
    fn connections_are_one_step_below_the_room_and_have_32_digits_or_40() {
        let place = Place::new(RoomHandle::from_bytes([1; 16]), [2; 16]);
        let other = Place::new(RoomHandle::from_bytes([1; 16]), [3; 16]);
        assert_eq!(place.of_another(&other.own), Some(Kind::Messages));
        assert_eq!(other.packets(0x1f), format!("{}0000001f", other.own));
        for number in [0, 1, u32::MAX] {
            assert_eq!(place.of_another(&other.packets(number)), Some(Kind::Packets));
            assert_eq!(place.of_another(&place.packets(number)), None);
        }
        let elsewhere = Place::new(RoomHandle::from_bytes([9; 16]), [3; 16]).own;
        let other = other.own;
        let (long, upper, deep) = (format!("{other}0"), other.to_uppercase(), format!("{other}/c"));
        let longer = format!("{other}000000000");
        for path in ["", &place.room, &place.own, &elsewhere, &long, &longer, &upper, &deep, &other[..60]] {
            assert_eq!(place.of_another(path), None, "{path}");
        }
    }
}
