//! The client of the reference relay over QUIC (SPEC section 8.2.8).
//!
//! ```text
//! send_control -> queue -> stream   -> relay -> stream   -> inbox -> receive
//! send_media   -> queue -> datagram -> relay -> datagram -> inbox -> receive
//! ```
//!
//! QUIC is `quinn-proto` on one thread for each connection, and no async runtime: the thread wakes
//! whoever waits.
//!
//! Whoever observes the connection sees that there is one, and sizes and times; handles, tokens and
//! the lanes are inside. The relay sees what any relay sees.

mod name;
pub(super) mod pipe;
pub(crate) mod probe;
pub(crate) mod socket;
pub(crate) mod tls;
mod worker;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;

pub use super::certificate::Pin;
use super::{
    Inbound, MAX_CONTROL, MAX_MEDIA, Part, RelayName, RoomHandle, Transport, TransportError,
    answer::{self, Answer},
    attempts, block_on, check_length,
    line::Line,
    stats::ConnectionStats,
};
use crate::relay_protocol::{
    token::{Revocation, Token},
    wire,
};
use name::Address;
pub use name::InvalidQuicName;
use worker::{Purpose, Worker};

/// A member's connection to a reference relay, both lanes by QUIC.
///
/// The relay's name is `quic:host:port#pin`, with a [`Pin`] of its certificate, or
/// `quic:host:port`, whose certificate the Web PKI must vouch for. Nothing is looked up or
/// contacted before [`Transport::connect`]. Messages of at most 4 MiB and 1,024 packets wait for
/// `receive`; beyond that packets are dropped and the relay's messages are left with it, until it
/// cuts the connection.
///
/// ```
/// use sottovoce::transport::quic::{Pin, QuicClient};
/// // An operator's side: the name to put into invites.
/// let certificate = b"the certificate in DER";
/// let name = Pin::of(certificate).name("relay.example:4434")?;
/// // A member's side.
/// let member = QuicClient::new(name)?;
/// # let _ = member;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct QuicClient {
    relay: RelayName,
    token: Option<Token>,
    part: Part,
    connection: Option<Connection>,
}

impl QuicClient {
    /// A client of the relay with this name. Not yet connected.
    ///
    /// # Errors
    /// [`InvalidQuicName`] if it is not the name of a relay reached by QUIC.
    pub fn new(relay: RelayName) -> Result<Self, InvalidQuicName> {
        Address::parse(&relay)?;
        Ok(Self { relay, token: None, part: Part::Both, connection: None })
    }

    /// The same with a token, which a relay that asks for tokens lets in (SPEC section 8.2.7).
    pub fn with_token(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Counts and times of the connection; of none, nothing.
    pub fn stats(&self) -> ConnectionStats {
        self.connection.as_ref().map(|connection| connection.line.stats()).unwrap_or_default()
    }

    fn line(&self) -> Result<&Line, TransportError> {
        self.connection.as_ref().map(|connection| connection.line.as_ref()).ok_or(TransportError::Closed)
    }
}

impl Transport for QuicClient {
    fn relays(&self) -> Vec<&RelayName> {
        vec![&self.relay]
    }

    fn set_part(&mut self, part: Part) {
        self.part = part;
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.connection = None;
        let hello = wire::hello(handle, self.token.as_ref(), self.part);
        let relay = self.relay.clone();
        let open = move || Connection::open(&relay, &hello, Purpose::Join);
        self.connection = Some(answer::elsewhere("quic connect", open).await?);
        Ok(())
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        check_length(message.len(), MAX_CONTROL)?;
        let too_large = TransportError::TooLarge { length: message.len(), limit: MAX_CONTROL };
        self.line()?.send_control(wire::frame(&message).ok_or(too_large)?).await
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        check_length(packet.len(), MAX_MEDIA)?;
        self.line()?.send_media(packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        self.line()?.receive(until).await
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

/// Has a relay take a token back.
pub(crate) fn revoke(relay: &RelayName, revocation: &Revocation) -> Result<(), TransportError> {
    Connection::open(relay, &wire::revoke(revocation), Purpose::Revoke)
        .map(|connection| block_on(connection.close()))
}

/// Whether a name is for this client.
pub(crate) fn is_name(relay: &RelayName) -> bool {
    Address::parse(relay).is_ok()
}

#[derive(Debug)]
struct Connection {
    line: Arc<Line>,
    /// Told when the thread of the connection has ended.
    ended: Option<Answer<()>>,
}

impl Connection {
    /// Connects to the first of the relay's addresses that answers.
    fn open(relay: &RelayName, opening: &Bytes, purpose: Purpose) -> Result<Self, TransportError> {
        let address = Address::parse(relay).map_err(|_| TransportError::Unreachable)?;
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let remotes = attempts::resolve(address.host_and_port)?;
        let (host, pin, opening) = (address.host.to_owned(), address.pin, opening.clone());
        attempts::race(remotes, deadline, move |remote, claim| {
            let (told, answer) = mpsc::channel();
            let terms = tls::client(pin).ok_or(TransportError::Exhausted)?;
            let worker = Worker::new(remote, &host, terms, opening.clone(), purpose, claim.clone(), told)?;
            let connection = Self::spawn(worker)?;
            let left = deadline.saturating_duration_since(Instant::now());
            answer.recv_timeout(left).unwrap_or(Err(TransportError::Unreachable)).map(|()| connection)
        })
    }

    /// From here on dropping the connection ends the thread.
    fn spawn(worker: Worker) -> Result<Self, TransportError> {
        let line = worker.line();
        let (alive, ended) = answer::channel();
        let thread = thread::Builder::new().name("quic connection".to_owned()).spawn(move || {
            worker.run();
            alive.tell(());
        });
        thread.map_err(|_| TransportError::Exhausted)?;
        Ok(Self { line, ended: Some(ended) })
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

/// For the connection and the relay's answer together. Name look-up takes what the operating system
/// takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `close` waits for the relay to close as well.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
