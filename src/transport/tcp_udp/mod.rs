//! The client of the reference relay ([`crate::relay`], SPEC section 8.2), on `std` alone.
//!
//! ```text
//! send_control -> TCP -> relay        relay -> TCP -> reader thread -> inbox -> receive
//! send_media   -> UDP -> relay        relay -> UDP -> reader thread -> inbox -> receive
//! ```
//!
//! Its futures block and are ready at their first poll: drive it from a thread of its own, with
//! [`block_on`](super::block_on) if there is no async runtime.

mod media;

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Inbound, MAX_CONTROL, MAX_MEDIA, RelayName, RoomHandle, Transport, TransportError, attempts,
    check_length, inbox::Inbox,
};
use crate::relay_protocol::{
    token::{Revocation, Token},
    wire::{self, Frames, Rejection, Ticket},
};

/// A member's connection to a reference relay: control over TCP, media over UDP to the same port.
///
/// Nothing is looked up or contacted before [`Transport::connect`]. Messages of at most 4 MiB and
/// 1,024 packets wait for `receive`; beyond that packets are dropped and the relay's messages are
/// left unread until the relay cuts the connection.
#[derive(Debug)]
pub struct TcpUdpClient {
    relay: RelayName,
    token: Option<Token>,
    connection: Option<Connection>,
}

impl TcpUdpClient {
    /// A client of the relay with this name, which must be `host:port`. Not yet connected.
    pub fn new(relay: RelayName) -> Self {
        Self { relay, token: None, connection: None }
    }

    /// The same with a token, which a relay that asks for tokens lets in (SPEC section 8.2.7).
    pub fn with_token(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    fn connection(&self) -> Result<&Connection, TransportError> {
        self.connection.as_ref().ok_or(TransportError::Closed)
    }
}

impl Transport for TcpUdpClient {
    fn relays(&self) -> Vec<&RelayName> {
        vec![&self.relay]
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.connection = None;
        self.connection = Some(Connection::open(&self.relay, handle, self.token.as_ref())?);
        Ok(())
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        check_length(message.len(), MAX_CONTROL)?;
        self.connection()?.send_control(&message)
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        check_length(packet.len(), MAX_MEDIA)?;
        self.connection()?.send_media(packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        self.connection()?.inbox.take(until)
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }
}

struct Connection {
    control: Arc<TcpStream>,
    media: Arc<UdpSocket>,
    inbox: Arc<Inbox>,
    /// Hangs up when the relay has closed its side of the control lane.
    ended: mpsc::Receiver<()>,
}

impl Connection {
    fn open(relay: &RelayName, handle: RoomHandle, token: Option<&Token>) -> Result<Self, TransportError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let (control, address) = reach(relay, deadline)?;
        let ticket = greet(&control, &wire::hello(handle, token), deadline)?;
        let media = media::bind(address, ticket)?;
        let (control, media, inbox) = (Arc::new(control), Arc::new(media), Arc::new(Inbox::default()));
        let (alive, ended) = mpsc::channel();
        // From here on dropping it ends whatever thread was started.
        let connection = Self { control, media, inbox, ended };
        let (control, inbox) = (Arc::clone(&connection.control), Arc::clone(&connection.inbox));
        spawn("control lane", move || {
            read_control(&control, &inbox);
            drop(alive);
        })?;
        let (control, inbox) = (Arc::clone(&connection.control), Arc::clone(&connection.inbox));
        let media = Arc::clone(&connection.media);
        spawn("media lane", move || {
            media::read(&media, ticket, &inbox, &media::PACE);
            // Frees a reader of the control lane that the relay has left hanging.
            if !inbox.is_closed() {
                end(&control, &inbox);
            }
        })?;
        Ok(connection)
    }

    fn send_control(&self, message: &[u8]) -> Result<(), TransportError> {
        let limit = MAX_CONTROL;
        let frame = wire::frame(message).ok_or(TransportError::TooLarge { length: message.len(), limit })?;
        if self.inbox.is_closed() {
            return Err(TransportError::Closed);
        }
        self.control.as_ref().write_all(&frame).map_err(|_| {
            // Part of the message may have left, so nothing can follow it.
            end(&self.control, &self.inbox);
            TransportError::Closed
        })
    }

    fn send_media(&self, packet: &[u8]) -> Result<(), TransportError> {
        if self.inbox.is_closed() {
            return Err(TransportError::Closed);
        }
        // What cannot leave now is lost, as on any network. Whether the relay is still there is for
        // the control lane to say.
        let _ = self.media.send(packet);
        Ok(())
    }

    /// Says that nothing more comes, and waits until the relay has read everything before that.
    fn close(self) {
        self.inbox.close();
        if self.control.shutdown(Shutdown::Write).is_ok() {
            // Ends with a hang-up, or too late; both are the end.
            let _ = self.ended.recv_timeout(CLOSE_TIMEOUT);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        end(&self.control, &self.inbox);
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("closed", &self.inbox.is_closed()).finish_non_exhaustive()
    }
}

/// Ends both lanes at once.
fn end(control: &TcpStream, inbox: &Inbox) {
    inbox.close();
    // It may have ended by itself.
    let _ = control.shutdown(Shutdown::Both);
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
        control.set_write_timeout(Some(WRITE_TIMEOUT)).map_err(|_| TransportError::Closed)?;
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

/// Fills the inbox from the control lane until that ends.
fn read_control(mut control: &TcpStream, inbox: &Inbox) {
    let mut frames = Frames::default();
    let mut chunk = [0; 8 * 1024];
    'lane: loop {
        match control.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(length) => frames.push(chunk.get(..length).unwrap_or_default()),
        }
        loop {
            match frames.next() {
                // A closed inbox takes nothing, but the lane is read to its end: what is left
                // unread when a socket closes would destroy what was sent just before.
                Ok(Some(message)) => inbox.push_control(message),
                Ok(None) => break,
                Err(_) => break 'lane,
            };
        }
    }
    end(control, inbox);
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), TransportError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|_| TransportError::Exhausted)
}

/// For the connection and the relay's answer together. Name look-up takes what the operating system
/// takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a relay may leave a control message unread before the connection counts as lost.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long `close` waits for the relay to close as well.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
