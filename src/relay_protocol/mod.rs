//! The protocol between the reference relay and its clients (SPEC section 8.2): the bytes between
//! them, and the tokens that let a member in. No sockets.

pub mod token;
pub(crate) mod wire;

use crate::lane::Part;

impl Part {
    /// The byte that hellos and tokens have.
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Both => 0,
            Self::Hears => 1,
            Self::Says => 2,
        }
    }

    /// The part of that byte, if there is one.
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Both),
            1 => Some(Self::Hears),
            2 => Some(Self::Says),
            _ => None,
        }
    }
}
