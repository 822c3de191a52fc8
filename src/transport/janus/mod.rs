//! The media lane through a Janus VideoRoom (SPEC section 8.9). It carries no control messages:
//! make it the media half of a [`Split`](super::Split).
//!
//! ```text
//! send_media -> queue -> peer connection that speaks -> Janus
//! Janus -> one peer connection for each who speaks -> inbox -> receive
//! WebSocket <-> session: come in, hear who speaks, subscribe, speak, leave
//! ```
//!
//! Sealed packets are where Opus packets would be. WebRTC encrypts them once more, to and from
//! Janus, which is of no use to the room; RTP headers are rewritten on the way and mean nothing
//! here. ICE, DTLS and SRTP are `str0m`, on one thread for each connection, and no async runtime:
//! the thread wakes whoever waits.

mod feeds;
mod link;
mod name;
mod peer;
mod session;
mod socket;
mod videoroom;
mod worker;

use std::{
    fmt,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;

pub use super::certificate::Pin;
use super::{
    Inbound, MAX_CONTROL, MAX_MEDIA, RelayName, RoomHandle, Transport, TransportError,
    answer::{self, Answer},
    attempts, check_length,
    line::Line,
    stats::ConnectionStats,
};
use name::Address;
pub use name::InvalidJanusName;
use worker::Worker;

/// A member's media lane through a Janus VideoRoom, at most 64 speakers a room.
///
/// The relay's name is that of its WebSocket: `janus+tls:host:port#pin`, with a [`Pin`] of its
/// certificate, `janus+tls:host:port`, whose certificate the Web PKI must vouch for, or
/// `janus:host:port` without TLS; `/path` may follow the port. Nothing is looked up or contacted
/// before [`Transport::connect`]. A member that sends nothing publishes nothing.
/// [`Transport::send_control`] is always
/// [`TransportError::Closed`]: there is no such lane.
///
/// ```
/// use sottovoce::transport::{Split, Transport, janus, tcp_udp};
/// let control = tcp_udp::TcpUdpClient::new("relay.example:4433".parse()?);
/// let media = janus::JanusClient::new("janus:media.example:8188".parse()?)?;
/// let member = Split::new(control, media);
/// assert_eq!(member.relays().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JanusClient {
    relay: RelayName,
    connection: Option<Connection>,
}

impl JanusClient {
    /// A client of the relay with this name. Not yet connected.
    ///
    /// # Errors
    /// [`InvalidJanusName`] if it is not the name of a Janus.
    pub fn new(relay: RelayName) -> Result<Self, InvalidJanusName> {
        Address::parse(&relay)?;
        Ok(Self { relay, connection: None })
    }

    /// Counts and times of the connection; of none, nothing.
    pub fn stats(&self) -> ConnectionStats {
        self.connection.as_ref().map(|connection| connection.line.stats()).unwrap_or_default()
    }

    fn line(&self) -> Result<&Line, TransportError> {
        self.connection.as_ref().map(|connection| connection.line.as_ref()).ok_or(TransportError::Closed)
    }
}

impl Transport for JanusClient {
    fn relays(&self) -> Vec<&RelayName> {
        vec![&self.relay]
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.connection = None;
        let relay = self.relay.clone();
        let open = move || Connection::open(&relay, handle);
        self.connection = Some(answer::elsewhere("janus connect", open).await?);
        Ok(())
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        check_length(message.len(), MAX_CONTROL)?;
        Err(TransportError::Closed)
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        check_length(packet.len(), MAX_MEDIA)?;
        self.line()?.send_media(packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        self.line()?.receive(until).await
    }

    async fn close(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.line.finish();
            if let Some(ended) = connection.ended.take() {
                // It is told, or it is too late; both are the end.
                let _ = ended.by(Instant::now() + CLOSE_TIMEOUT).await;
            }
        }
    }
}

struct Connection {
    line: Arc<Line>,
    /// Told when the thread of the connection has ended.
    ended: Option<Answer<()>>,
}

impl Connection {
    /// Connects to the first of the relay's addresses that answers.
    fn open(relay: &RelayName, handle: RoomHandle) -> Result<Self, TransportError> {
        let address = Address::parse(relay).map_err(|_| TransportError::Unreachable)?;
        let remotes = attempts::resolve(address.host_and_port)?;
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let relay = relay.clone();
        attempts::race(remotes, deadline, move |remote, claim| {
            let address = Address::parse(&relay).map_err(|_| TransportError::Unreachable)?;
            let (told, answer) = mpsc::channel();
            let connection = Self::spawn(Worker::new(address, remote, handle, deadline, claim, told)?)?;
            let left = deadline.saturating_duration_since(Instant::now());
            answer.recv_timeout(left).unwrap_or(Err(TransportError::Unreachable)).map(|()| connection)
        })
    }

    /// From here on dropping the connection ends the thread.
    fn spawn(worker: Worker) -> Result<Self, TransportError> {
        struct Closes(Arc<Line>);
        impl Drop for Closes {
            fn drop(&mut self) {
                self.0.hang_up();
            }
        }
        let line = worker.line();
        let (alive, ended) = answer::channel();
        let closes = Closes(Arc::clone(&line));
        let thread = thread::Builder::new().name("webrtc connection".to_owned()).spawn(move || {
            // However the thread ends, nobody waits for it in vain.
            let _closes = closes;
            let _alive = alive;
            worker.run();
        });
        thread.map_err(|_| TransportError::Exhausted)?;
        Ok(Self { line, ended: Some(ended) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.line.give_up();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("line", &self.line).finish_non_exhaustive()
    }
}

/// For the connection and coming into the room together. Name look-up takes what the operating
/// system takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `close` waits for the relay to let go.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
