//! The client of the reference relay ([`crate::relay`], SPEC section 8.2).
//!
//! ```text
//! send_control -> queue -> thread -> TCP -> relay -> TCP -> thread -> inbox -> receive
//! send_media   -> UDP                    -> relay -> UDP -> thread -> inbox -> receive
//! ```
//!
//! ```
//! use sottovoce::{
//!     relay::{Relay, RelayOptions},
//!     transport::{Inbound, RoomHandle, Transport, block_on, tcp_udp::TcpUdpClient},
//! };
//!
//! let relay = Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions::default())?;
//! let room = RoomHandle::from_bytes([7; 16]);
//! let (mut ada, mut ben) = (TcpUdpClient::new(relay.name()), TcpUdpClient::new(relay.name()));
//! block_on(ada.connect(room))?;
//! block_on(ben.connect(room))?;
//! block_on(ada.send_control("sealed".into()))?;
//! let soon = ben.now() + std::time::Duration::from_secs(10);
//! assert_eq!(block_on(ben.receive(soon))?, Inbound::Control("sealed".into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One thread for each connection owns the sockets and wakes whoever waits. Coming in, which a name
//! look-up may hold up, has a thread as well for as long as it takes.

mod media;
mod worker;

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use mio::net::UdpSocket;

use super::{
    Inbound, MAX_CONTROL, MAX_MEDIA, Part, RelayName, RoomHandle, Transport, TransportError,
    answer::{self, Answer},
    attempts, check_length,
    line::Line,
    stats::ConnectionStats,
};
use crate::relay_protocol::{
    token::{Revocation, Token},
    wire::{self, Rejection, Ticket},
};
use worker::Worker;

/// A member's connection to a reference relay: control over TCP, media over UDP to the same port.
///
/// Nothing is looked up or contacted before [`Transport::connect`]. Messages of at most 4 MiB and
/// 1,024 packets wait for `receive`; beyond that packets are dropped and the relay's messages are
/// left unread until the relay cuts the connection.
#[derive(Debug)]
pub struct TcpUdpClient {
    relay: RelayName,
    token: Option<Token>,
    part: Part,
    connection: Option<Connection>,
}

impl TcpUdpClient {
    /// A client of the relay with this name, which must be `host:port`. Not yet connected.
    pub fn new(relay: RelayName) -> Self {
        Self { relay, token: None, part: Part::Both, connection: None }
    }

    /// The same with a token, which a relay that asks for tokens lets in (SPEC section 8.2.7).
    pub fn with_token(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Counts and times of the connection; of none, nothing.
    pub fn stats(&self) -> ConnectionStats {
        self.connection.as_ref().map(|connection| connection.line.stats()).unwrap_or_default()
    }

    fn connection(&self) -> Result<&Connection, TransportError> {
        self.connection.as_ref().ok_or(TransportError::Closed)
    }
}

impl Transport for TcpUdpClient {
    fn relays(&self) -> Vec<&RelayName> {
        vec![&self.relay]
    }

    fn set_part(&mut self, part: Part) {
        self.part = part;
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.connection = None;
        let (relay, hello) = (self.relay.clone(), wire::hello(handle, self.token.as_ref(), self.part));
        let open = answer::elsewhere("relay connect", move || Connection::open(&relay, &hello));
        self.connection = Some(open.await?);
        Ok(())
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        check_length(message.len(), MAX_CONTROL)?;
        let too_large = TransportError::TooLarge { length: message.len(), limit: MAX_CONTROL };
        let frame = wire::frame(&message).ok_or(too_large)?;
        self.connection()?.line.send_control(frame).await
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        check_length(packet.len(), MAX_MEDIA)?;
        self.connection()?.send_media(packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        self.connection()?.line.receive(until).await
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    fn heard(&self) -> Option<Instant> {
        self.connection.as_ref().map(|connection| connection.line.heard())
    }
}

struct Connection {
    line: Arc<Line>,
    media: Arc<UdpSocket>,
    /// Told when the thread has ended.
    ended: Option<Answer<()>>,
}

impl Connection {
    fn open(relay: &RelayName, hello: &[u8]) -> Result<Self, TransportError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let (control, address) = reach(relay, deadline)?;
        let ticket = greet(&control, hello, deadline)?;
        let media = media::bind(address, ticket)?;
        let exhausted = |_| TransportError::Exhausted;
        control.set_nonblocking(true).map_err(exhausted)?;
        let worker = Worker::new(control, media, ticket).map_err(exhausted)?;
        let (line, media) = (worker.line(), worker.media());
        let (alive, ended) = answer::channel();
        let thread = thread::Builder::new().name("relay connection".to_owned()).spawn(move || {
            worker.run();
            alive.tell(());
        });
        thread.map_err(exhausted)?;
        Ok(Self { line, media, ended: Some(ended) })
    }

    fn send_media(&self, packet: &[u8]) -> Result<(), TransportError> {
        if self.line.inbox.is_closed() {
            return Err(TransportError::Closed);
        }
        // What cannot leave now is lost, as on any network. Whether the relay is still there is for
        // the control lane to say.
        let _ = self.media.send(packet);
        self.line.note_media_sent(packet.len());
        Ok(())
    }

    /// Says that nothing more comes, and waits until the relay has read everything before that.
    async fn close(mut self) {
        self.line.finish();
        if let Some(ended) = self.ended.take() {
            // It is told, or it is too late; both are the end.
            let _ = ended.by(Instant::now() + CLOSE_TIMEOUT).await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.line.give_up();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("line", &self.line).finish_non_exhaustive()
    }
}

/// The first of the relay's addresses that accepts a connection.
fn reach(relay: &RelayName, deadline: Instant) -> Result<(TcpStream, SocketAddr), TransportError> {
    attempts::race(attempts::resolve(relay.as_str())?, deadline, move |address, claim| {
        let left = deadline.saturating_duration_since(Instant::now());
        // Once the time is up this fails at once.
        let control = TcpStream::connect_timeout(&address, left).map_err(|_| TransportError::Unreachable)?;
        if !claim.take() {
            return Err(TransportError::Unreachable);
        }
        control.set_nodelay(true).map_err(|_| TransportError::Closed)?;
        control.set_write_timeout(Some(CONNECT_TIMEOUT)).map_err(|_| TransportError::Closed)?;
        Ok((control, address))
    })
}

/// Asks for a place in the room.
fn greet(mut control: &TcpStream, hello: &[u8], deadline: Instant) -> Result<Ticket, TransportError> {
    // A relay that hangs up without a word has no place for anybody.
    control.write_all(hello).map_err(|_| TransportError::Busy)?;
    let mut answer = Vec::new();
    loop {
        match wire::parse_answer(&answer) {
            Some(Ok(ticket)) => {
                control.set_read_timeout(None).map_err(|_| TransportError::Unreachable)?;
                return Ok(ticket);
            }
            Some(Err(refusal)) => return Err(refused(refusal)),
            None => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        // Byte by byte, since the first message may follow at once.
        let mut byte = [0];
        match control.set_read_timeout(Some(left)).and_then(|()| control.read(&mut byte)) {
            Ok(0) => return Err(TransportError::Busy),
            Ok(_) => answer.extend_from_slice(&byte),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(TransportError::Busy),
            Err(_) => return Err(TransportError::Unreachable),
        }
    }
}

pub(super) fn refused(refusal: Rejection) -> TransportError {
    match refusal {
        Rejection::Version | Rejection::Token => TransportError::Refused,
        Rejection::Connections | Rejection::Rooms | Rejection::Members => TransportError::Busy,
    }
}

/// Has a relay take a token back.
pub(crate) fn revoke(relay: &RelayName, revocation: &Revocation) -> Result<(), TransportError> {
    let (mut control, _) = reach(relay, Instant::now() + CONNECT_TIMEOUT)?;
    let mut answer = Vec::new();
    let talk = control
        .write_all(&wire::revoke(revocation))
        .and_then(|()| control.set_read_timeout(Some(CONNECT_TIMEOUT)))
        .and_then(|()| control.take(wire::SHORT_ANSWER_LEN as u64).read_to_end(&mut answer));
    match (talk, wire::parse_revoked(&answer)) {
        (_, Ok(())) => Ok(()),
        (Ok(_), Err(refusal)) if !answer.is_empty() => Err(refused(refusal)),
        _ => Err(TransportError::Unreachable),
    }
}

/// For the connection and the relay's answer together. Name look-up takes what the operating system
/// takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `close` waits for the relay to close as well.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
