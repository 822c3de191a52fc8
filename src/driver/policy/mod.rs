//! A session that reconnects by itself: it tries the relays of the room one after another, waits
//! between attempts, notices a relay that is silent, and returns to the room
//! (`docs/CONNECTION.md`).
//!
//! ```text
//! app <─ State, Event, Packet ─ Call ─> Session ─> Link ─> the transport that carries the room
//!                                │                  ├────> the old one, until there is a new one
//!                                └─ connection lost ├────> attempts, in the order of the list
//!                                   and back ─> Room└────> Connector, which makes transports
//! ```
//!
//! A [`Call`] spawns no thread or task and names no runtime, like a session: nothing happens while
//! its future is not polled.

mod alone;
mod attempts;
mod call;
mod link;
mod messages;
mod schedule;
mod state;

use std::{future::Future, time::Instant};

pub use call::Call;
pub use link::Link;
pub use state::{CallNext, Reason, State, Why};

use crate::transport::{Alarm, RelayName, Transport};
#[cfg(feature = "stage")]
use crate::transport::{Part, RoomHandle};

/// Makes transports for the relays of a room. Closures implement it.
///
/// ```
/// use sottovoce::{driver::policy::Connector, transport::{RelayName, tcp_udp::TcpUdpClient}};
///
/// fn connector() -> impl Connector<Transport = TcpUdpClient> {
///     |relay: &RelayName| Some(TcpUdpClient::new(relay.clone()))
/// }
/// # let _ = connector();
/// ```
pub trait Connector: Send {
    /// The type of transport that it makes.
    type Transport: Transport + 'static;

    /// A transport for the relay of this name, not connected yet; `None` if there is none, as for
    /// the second relay of a [`Split`](crate::transport::Split). This method contacts nobody.
    fn client(&mut self, relay: &RelayName) -> Option<Self::Transport>;

    /// A transport for a lane of a stage room at that relay, not connected yet. A connector with
    /// tokens gives the transport the one for this handle and this part. Without an implementation
    /// this calls [`client`](Self::client).
    #[cfg(feature = "stage")]
    fn lane(&mut self, relay: &RelayName, handle: RoomHandle, part: Part) -> Option<Self::Transport> {
        let _ = (handle, part);
        self.client(relay)
    }

    /// Waits until that time on the transports' clock. If their clock is simulated, implement this
    /// on the same clock.
    fn sleep(&self, until: Instant) -> impl Future<Output = ()> + Send + 'static {
        Alarm::at(until)
    }
}

impl<F, T> Connector for F
where
    F: FnMut(&RelayName) -> Option<T> + Send,
    T: Transport + 'static,
{
    type Transport = T;

    fn client(&mut self, relay: &RelayName) -> Option<T> {
        self(relay)
    }
}
