//! Values that a room and its relays agree on: names for one another, and the longest message of
//! each of the two lanes (SPEC sections 8.1 and 6.3).

use std::{error::Error, fmt, str::FromStr, sync::Arc};

/// The part that a member takes in a room, as it tells the relay (SPEC section 8.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Part {
    /// The member gets what others send, and others get what it sends.
    #[default]
    Both,
    /// The member gets what others send; the relay drops what it sends.
    Hears,
    /// Others get what the member sends; the relay sends it nothing.
    Says,
}

/// The name of a relay as it stands in a room's allow-list: `host:port`, a URL, or any opaque name.
///
/// It has 1 to 128 printable ASCII characters without spaces. Two names mean the same relay only if
/// all their bytes are equal. Making a name looks nothing up. An internationalised host name is
/// written in its ASCII form, so that a list that people read has no look-alike letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayName(Arc<str>);

impl RelayName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Takes a name unchanged, if it is valid.
    ///
    /// # Errors
    /// [`InvalidRelayName`] says what is wrong with it.
    pub fn new(name: &str) -> Result<Self, InvalidRelayName> {
        if name.is_empty() {
            return Err(InvalidRelayName::Empty);
        }
        if name.len() > Self::MAX_LEN {
            return Err(InvalidRelayName::TooLong { length: name.len() });
        }
        match name.bytes().position(|byte| !byte.is_ascii_graphic()) {
            Some(at) => Err(InvalidRelayName::Character { at }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RelayName {
    type Err = InvalidRelayName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl fmt::Display for RelayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a string is not a [`RelayName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRelayName {
    /// It has no characters.
    Empty,
    /// It is longer than [`RelayName::MAX_LEN`].
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It has a space, a control character, or something that is not ASCII.
    Character {
        /// Where, in bytes from the start.
        at: usize,
    },
}

impl fmt::Display for InvalidRelayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name of a relay is empty"),
            Self::TooLong { length } => {
                write!(f, "the name of a relay has {length} bytes, more than {}", RelayName::MAX_LEN)
            }
            Self::Character { at } => {
                write!(f, "the name of a relay has something other than printable ASCII at byte {at}")
            }
        }
    }
}

impl Error for InvalidRelayName {}

/// The name of a room at its relays: 16 bytes derived from the room's secrets, new with each room.
///
/// Anybody that has the handle can make the relay send them the room's sealed bytes, so `Debug`
/// does not show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoomHandle([u8; 16]);

impl RoomHandle {
    /// Wraps the bytes of a handle.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes as the relay sees them.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for RoomHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomHandle(..)")
    }
}

/// The longest control message, in bytes: the largest envelope (SPEC section 8.3).
pub const MAX_CONTROL: usize = 16 * 1024;

/// The longest sealed packet, in bytes: what fits into one datagram on any path that carries QUIC,
/// and more than the 1,000 bytes that a sealer makes at most.
pub const MAX_MEDIA: usize = 1_100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_urls_and_opaque_names_are_names() {
        for name in
            ["127.0.0.1:4000", "[::1]:4000", "relay.example:443", "moq+https://r.example/anon?x=1", "x"]
        {
            assert_eq!(RelayName::new(name).unwrap().as_str(), name);
            assert_eq!(name.parse::<RelayName>().unwrap().to_string(), name);
        }
        assert!(RelayName::new(&"n".repeat(RelayName::MAX_LEN)).is_ok());
    }

    #[test]
    fn what_could_mislead_a_reader_is_no_name() {
        let refused = |name: &str| RelayName::new(name).unwrap_err();
        assert_eq!(refused(""), InvalidRelayName::Empty);
        assert_eq!(refused(&"n".repeat(129)), InvalidRelayName::TooLong { length: 129 });
        assert_eq!(refused("relay.example:443 "), InvalidRelayName::Character { at: 17 });
        assert_eq!(refused("re\u{0}lay"), InvalidRelayName::Character { at: 2 });
        assert_eq!(refused("rel\u{0430}y:443"), InvalidRelayName::Character { at: 3 });
    }

    #[test]
    fn debug_of_a_handle_shows_none_of_it() {
        assert_eq!(format!("{:?}", RoomHandle::from_bytes([0xab; 16])), "RoomHandle(..)");
    }
}
