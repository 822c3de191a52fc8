//! The protocol between the reference relay and its clients (SPEC section 8.2): the bytes between
//! them, and the tokens that let a member in. No sockets.

pub mod token;
pub(crate) mod wire;
