//! Takes a join token back at the relay that it is for (SPEC section 8.2.7).

#[cfg(feature = "quic")]
use super::quic;
use super::{RelayName, TransportError, tcp_udp};
use crate::relay_protocol::token::Revocation;

impl Revocation {
    /// Has the relay carry it out, and returns when it has. Blocks.
    ///
    /// # Errors
    /// [`TransportError::Unreachable`] if there is no such relay, [`TransportError::Refused`] if it
    /// does not take revocations of this issuer, [`TransportError::Busy`] if it cut off whoever was
    /// there and can remember no more of them.
    pub fn send(&self, relay: &RelayName) -> Result<(), TransportError> {
        #[cfg(feature = "quic")]
        if quic::is_name(relay) {
            return quic::revoke(relay, self);
        }
        tcp_udp::revoke(relay, self)
    }
}
