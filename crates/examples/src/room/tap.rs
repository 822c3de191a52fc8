//! The plain relay's client with a counter on it: what went out and how much came in, for the
//! report.
//!
//! It is also what a transport of one's own looks like: six methods, here all handed on.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use sottovoce::transport::tcp_udp::TcpUdpClient;
use sottovoce::transport::{Inbound, RelayName, RoomHandle, Transport, TransportError};

/// A client that counts.
pub struct Tap {
    client: TcpUdpClient,
    traffic: Arc<Mutex<Traffic>>,
}

/// What passed a tap.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Media packets that came in.
    pub received: u64,
    /// The last packet that went out.
    pub last_sent: Vec<u8>,
}

impl Tap {
    /// A tap on a client of `relay`, and where its counts are to be read.
    pub fn new(relay: RelayName) -> (Self, Arc<Mutex<Traffic>>) {
        let traffic = Arc::default();
        (Tap { client: TcpUdpClient::new(relay), traffic: Arc::clone(&traffic) }, traffic)
    }

    fn count(&self, change: impl FnOnce(&mut Traffic)) {
        change(&mut self.traffic.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Transport for Tap {
    fn relays(&self) -> Vec<&RelayName> {
        self.client.relays()
    }

    fn connect(&mut self, handle: RoomHandle) -> impl Future<Output = Result<(), TransportError>> + Send {
        self.client.connect(handle)
    }

    fn send_control(&mut self, message: Bytes) -> impl Future<Output = Result<(), TransportError>> + Send {
        self.client.send_control(message)
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        self.count(|traffic| traffic.last_sent = packet.to_vec());
        self.client.send_media(packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        let inbound = self.client.receive(until).await?;
        if matches!(inbound, Inbound::Media(_)) {
            self.count(|traffic| traffic.received += 1);
        }
        Ok(inbound)
    }

    fn close(&mut self) -> impl Future<Output = ()> + Send {
        self.client.close()
    }
}
