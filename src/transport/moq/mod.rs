//! Both lanes through a relay for Media over QUIC: `moq-relay`, or one that speaks IETF MoQ
//! transport (SPEC section 8.8).
//!
//! ```text
//! send_control -> queue -> track c, a group for each message -> relay -> put in order -> inbox -> receive
//! send_media   -> queue -> track m, datagrams                -> relay -> each once    -> inbox -> receive
//! ```
//!
//! A relay that speaks IETF MoQ transport carries packets only: make it the media half of a
//! [`Split`](super::Split).
//!
//! A member announces what it says, once it says something, under a path that comes from the room's
//! handle and a random number, and subscribes to all that is announced below the same path. One
//! that only hears announces nothing, and one that only says subscribes to nothing. QUIC is
//! `quinn-proto` and MoQ is `moq-net`, both polled on one thread for each connection, with no async
//! runtime: the thread wakes whoever waits.

#[cfg(test)]
mod attacks;
mod clock;
mod name;
mod order;
mod place;
mod publish;
mod room;
mod session;
mod streams;
mod tls;
mod worker;

use std::{
    fmt,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};

pub use super::certificate::Pin;
use super::{
    Inbound, MAX_CONTROL, MAX_MEDIA, Part, RelayName, RoomHandle, Transport, TransportError,
    answer::{self, Answer},
    attempts, check_length,
    line::Line,
    stats::ConnectionStats,
};
use name::Address;
pub use name::InvalidMoqName;
use place::{Lanes, Place};
use worker::{Plan, Prepared};

/// A member's connection to a MoQ relay, or to the node of a cluster of them.
///
/// The relay's name is `moq:host:port#pin`, with a [`Pin`] of its certificate, or `moq:host:port`,
/// whose certificate the Web PKI must vouch for; `/path` may follow the port. Nothing is looked up
/// or contacted before [`Transport::connect`]. With a relay that speaks IETF MoQ transport
/// [`Transport::send_control`] is always [`TransportError::Closed`]: there is no such lane.
/// Messages of at most 4 MiB and 1,024 packets wait for `receive`; beyond that packets are dropped,
/// and messages end the connection.
///
/// ```
/// use sottovoce::transport::moq::{MoqClient, Pin};
/// let pin = Pin::of(b"the relay's certificate in DER");
/// let member = MoqClient::new(format!("moq:relay.example:4443#{pin}").parse()?)?;
/// # let _ = member;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MoqClient {
    relay: RelayName,
    token: Option<String>,
    lane: Lane,
    part: Part,
    connection: Option<Connection>,
}

/// How packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// In datagrams, or on streams to a relay that takes none.
    Datagrams,
    /// Each on a stream of its own.
    Streams,
}

impl MoqClient {
    /// A client of the relay with this name. Not yet connected.
    ///
    /// # Errors
    /// [`InvalidMoqName`] if it is not the name of a MoQ relay.
    pub fn new(relay: RelayName) -> Result<Self, InvalidMoqName> {
        Address::parse(&relay)?;
        Ok(Self { relay, token: None, lane: Lane::Datagrams, part: Part::Both, connection: None })
    }

    /// The same with a token, which the relay is given with the path, as `?jwt=token`. What it lets
    /// do is for the relay to say: below the room's path, [`room_path`], a member whose part is to
    /// hear has to subscribe, one that says has to publish, and one that does both needs both.
    ///
    /// # Errors
    /// [`InvalidMoqToken`] if it is empty, longer than 4,096 bytes, or has a byte that cannot stand
    /// in a query.
    pub fn with_token(self, token: &str) -> Result<Self, InvalidMoqToken> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~=+/".contains(&byte);
        let valid = !token.is_empty() && token.len() <= TOKEN_MAX && token.bytes().all(word);
        if valid { Ok(Self { token: Some(token.to_owned()), ..self }) } else { Err(InvalidMoqToken) }
    }

    /// The same, but packets go on streams, each on its own, as they do to a relay that takes no
    /// datagrams. It costs the relay more, and one that is late by more than half a second is given
    /// up.
    pub fn on_streams(self) -> Self {
        Self { lane: Lane::Streams, ..self }
    }

    /// Counts and times of the connection; of none, nothing.
    pub fn stats(&self) -> ConnectionStats {
        self.connection.as_ref().map(|connection| connection.line.stats()).unwrap_or_default()
    }

    fn line(&self) -> Result<&Line, TransportError> {
        self.connection.as_ref().map(|connection| connection.line.as_ref()).ok_or(TransportError::Closed)
    }
}

/// Below which path of a MoQ relay the members of a room publish: for whoever mints tokens.
pub fn room_path(handle: RoomHandle) -> String {
    Place::new(handle, [0; 16]).room
}

impl Transport for MoqClient {
    fn relays(&self) -> Vec<&RelayName> {
        vec![&self.relay]
    }

    fn set_part(&mut self, part: Part) {
        self.part = part;
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.connection = None;
        let (relay, token) = (self.relay.clone(), self.token.clone());
        let (lane, part) = (self.lane, self.part);
        let open = move || Connection::open(&relay, token.as_deref(), lane, part, handle);
        self.connection = Some(answer::elsewhere("moq connect", open).await?);
        Ok(())
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        check_length(message.len(), MAX_CONTROL)?;
        match &self.connection {
            Some(Connection { line, lanes: Lanes::Both, .. }) => line.send_control(message).await,
            _ => Err(TransportError::Closed),
        }
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

    fn heard(&self) -> Option<Instant> {
        self.connection.as_ref().map(|connection| connection.line.heard())
    }
}

impl fmt::Debug for MoqClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("MoqClient");
        debug.field("relay", &self.relay).field("connection", &self.connection).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Connection {
    line: Arc<Line>,
    lanes: Lanes,
    /// Told when the thread of the connection has ended.
    ended: Option<Answer<()>>,
}

impl Connection {
    /// Connects to the first of the relay's addresses that answers.
    fn open(
        relay: &RelayName,
        token: Option<&str>,
        lane: Lane,
        part: Part,
        handle: RoomHandle,
    ) -> Result<Self, TransportError> {
        let address = Address::parse(relay).map_err(|_| TransportError::Unreachable)?;
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let remotes = attempts::resolve(address.host_and_port)?;
        let path = match token {
            Some(token) if address.path.is_empty() => format!("/?jwt={token}"),
            Some(token) => format!("{}?jwt={token}", address.path),
            None => address.path.to_owned(),
        };
        let (host, pin) = (address.host.to_owned(), address.pin);
        attempts::race(remotes, deadline, move |remote, claim| {
            let mut nonce = [0; 16];
            SystemRandom::new().fill(&mut nonce).map_err(|_| TransportError::Exhausted)?;
            let plan = Plan {
                remote,
                host: host.clone(),
                terms: tls::client(pin).ok_or(TransportError::Exhausted)?,
                claim: claim.clone(),
                path: path.clone(),
                place: Place::new(handle, nonce),
                lane,
                part,
            };
            let (told, answer) = mpsc::channel();
            // From here on dropping it ends the thread.
            let mut connection = Self::spawn(Prepared::new(plan)?, told)?;
            let left = deadline.saturating_duration_since(Instant::now());
            connection.lanes = answer.recv_timeout(left).unwrap_or(Err(TransportError::Unreachable))?;
            Ok(connection)
        })
    }

    fn spawn(prepared: Prepared, told: worker::Told) -> Result<Self, TransportError> {
        struct HangsUp(Arc<Line>);
        impl Drop for HangsUp {
            fn drop(&mut self) {
                self.0.hang_up();
            }
        }
        let line = prepared.line();
        let (alive, ended) = answer::channel();
        let hangs_up = HangsUp(Arc::clone(&line));
        let thread = thread::Builder::new().name("moq connection".to_owned()).spawn(move || {
            // However the thread ends, nobody waits for it in vain.
            let _alive = alive;
            let _hangs_up = hangs_up;
            prepared.run(told);
        });
        thread.map_err(|_| TransportError::Exhausted)?;
        Ok(Self { line, lanes: Lanes::MediaOnly, ended: Some(ended) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.line.give_up();
    }
}

/// A token has a form in which it cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidMoqToken;

impl fmt::Display for InvalidMoqToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token is empty, too long, or has a byte that cannot stand in a query")
    }
}

impl std::error::Error for InvalidMoqToken {}

/// For the connection and the relay's answer together. Name look-up takes what the operating system
/// takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `close` waits for the relay to have everything.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
const TOKEN_MAX: usize = 4_096;
