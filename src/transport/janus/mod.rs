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
//! here. ICE, DTLS and SRTP are `str0m`, on one thread for each connection, and no async runtime.

mod feeds;
mod janus;
mod link;
mod name;
mod peer;
mod session;
mod socket;
mod worker;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use mio::Waker;

pub use super::certificate::Pin;
use super::{
    Inbound, MAX_CONTROL, MAX_MEDIA, RelayName, RoomHandle, Transport, TransportError, attempts,
    check_length, inbox::Inbox,
};
use name::Address;
pub use name::InvalidJanusName;
use worker::Worker;

/// A member's media lane through a Janus VideoRoom, at most 64 speakers a room.
///
/// The relay's name is that of its WebSocket: `janus+tls:host:port#pin`, with a [`Pin`] of its
/// certificate, `janus+tls:host:port`, whose certificate the Web PKI must vouch for, or
/// `janus:host:port` without TLS; `/path` may follow the port. Nothing is looked up or contacted
/// before [`Transport::connect`]. Who sends nothing is published nowhere.
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
        self.connection = Some(Connection::open(&self.relay, handle)?);
        Ok(())
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        check_length(message.len(), MAX_CONTROL)?;
        Err(TransportError::Closed)
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        check_length(packet.len(), MAX_MEDIA)?;
        self.line()?.send(packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        self.line()?.inbox.take(until)
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.line.hang_up();
            // Ends with a hang-up, or too late; both are the end.
            let _ = connection.ended.recv_timeout(CLOSE_TIMEOUT);
        }
    }
}

/// What the application's thread and that of the connection have in common.
struct Line {
    inbox: Inbox,
    outgoing: Mutex<Outgoing>,
    waker: Waker,
}

#[derive(Default)]
struct Outgoing {
    packets: Vec<Bytes>,
    closing: bool,
}

impl Line {
    fn new(waker: Waker) -> Self {
        Self { inbox: Inbox::default(), outgoing: Mutex::default(), waker }
    }

    fn send(&self, packet: &[u8]) -> Result<(), TransportError> {
        if self.inbox.is_closed() {
            return Err(TransportError::Closed);
        }
        let mut outgoing = self.outgoing();
        if outgoing.packets.len() < WAITING {
            outgoing.packets.push(Bytes::copy_from_slice(packet));
        }
        let first = outgoing.packets.len() == 1;
        drop(outgoing);
        if first {
            self.wake();
        }
        Ok(())
    }

    /// Moves the packets that wait, and says whether the connection is to be ended.
    fn take(&self, packets: &mut Vec<Bytes>) -> bool {
        let mut outgoing = self.outgoing();
        packets.append(&mut outgoing.packets);
        outgoing.closing
    }

    fn hang_up(&self) {
        self.inbox.close();
        self.outgoing().closing = true;
        self.wake();
    }

    fn wake(&self) {
        // It fails if the system is out of memory; then the thread wakes by itself, later.
        let _ = self.waker.wake();
    }

    // Nothing panics while it holds the lock, and what it guards is valid after every statement.
    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Connection {
    line: Arc<Line>,
    /// Hangs up when the thread of the connection has ended.
    ended: mpsc::Receiver<()>,
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
                self.0.inbox.close();
            }
        }
        let line = worker.line();
        let (alive, ended) = mpsc::channel();
        let closes = Closes(Arc::clone(&line));
        let thread = thread::Builder::new().name("webrtc connection".to_owned()).spawn(move || {
            // However the thread ends, nobody waits for it in vain.
            let _closes = closes;
            let _alive = alive;
            worker.run();
        });
        thread.map_err(|_| TransportError::Exhausted)?;
        Ok(Self { line, ended })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.line.hang_up();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("closed", &self.line.inbox.is_closed()).finish_non_exhaustive()
    }
}

/// For the connection and coming into the room together. Name look-up takes what the operating
/// system takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `close` waits for the relay to let go.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Packets that wait for the thread before new ones are dropped.
const WAITING: usize = 64;
