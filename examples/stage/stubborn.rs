//! The transport of a listener that does not want to know: from a moment on no control message
//! reaches it, so it never hears that it was put out, keeps its keys, and tries them on all
//! packets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use sottovoce::transport::tcp_udp::TcpUdpClient;
use sottovoce::transport::{Inbound, Part, RelayName, RoomHandle, Transport, TransportError};

/// What is known of a listener's lanes from outside.
#[derive(Default)]
pub struct Lines {
    /// No control message is let through any more.
    pub stubborn: AtomicBool,
    /// Bytes of control messages that came.
    pub control: AtomicU64,
    /// Sealed packets that came.
    pub packets: AtomicU64,
}

/// A client of the reference relay, counted.
pub struct Counted {
    inner: TcpUdpClient,
    lines: Arc<Lines>,
}

impl Counted {
    pub fn new(relay: RelayName, lines: Arc<Lines>) -> Self {
        Self { inner: TcpUdpClient::new(relay), lines }
    }
}

impl Transport for Counted {
    fn relays(&self) -> Vec<&RelayName> {
        Transport::relays(&self.inner)
    }

    fn set_part(&mut self, part: Part) {
        self.inner.set_part(part);
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        Transport::connect(&mut self.inner, handle).await
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.lines.control.fetch_add(message.len() as u64, Ordering::Relaxed);
        Transport::send_control(&mut self.inner, message).await
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        Transport::send_media(&mut self.inner, packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        loop {
            let came = Transport::receive(&mut self.inner, until).await?;
            match &came {
                Inbound::Control(message) => {
                    self.lines.control.fetch_add(message.len() as u64, Ordering::Relaxed);
                    if self.lines.stubborn.load(Ordering::Relaxed) {
                        continue;
                    }
                }
                Inbound::Media(_) => {
                    self.lines.packets.fetch_add(1, Ordering::Relaxed);
                }
                Inbound::Idle => {}
            }
            return Ok(came);
        }
    }

    async fn close(&mut self) {
        Transport::close(&mut self.inner).await;
    }

    fn heard(&self) -> Option<Instant> {
        Transport::heard(&self.inner)
    }
}
