//! The media lane as plain RTP through rtpengine (SPEC section 8.7). It carries no control
//! messages: make it the media half of a [`Split`](super::Split).
//!
//! ```text
//! send_media -> RTP -> relay, where the slot that this member holds is published
//! relay, every other slot -> RTP -> reader thread -> inbox -> receive
//! control thread <-> ng: who is published, hold a slot, subscribe to the others
//! ```
//!
//! RTP headers are rewritten on the way and mean nothing here: what a packet is stands in its
//! SFrame header.

mod bencode;
mod ng;
mod packet;
mod session;

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use bytes::Bytes;
use mio::{Events, Interest, Poll, Token, net::UdpSocket};
use ring::rand::{SecureRandom, SystemRandom};

use super::{
    Inbound, MAX_CONTROL, MAX_MEDIA, RelayName, RoomHandle, Transport, TransportError,
    answer::{self, Answer},
    attempts::{self, Claim},
    check_length,
    inbox::Inbox,
    stats::{ConnectionStats, Count},
};
use packet::{HEADER, Stream};
use session::Session;

/// A member's media lane through rtpengine, at most 64 speakers a room.
///
/// The relay's name is `rtp:host:port`, the address of its control port. Nothing is looked up or
/// contacted before [`Transport::connect`]. A member that sends nothing is published nowhere.
/// [`Transport::send_control`] is always
/// [`TransportError::Closed`]: there is no such lane.
///
/// ```
/// use sottovoce::transport::{Split, Transport, rtpengine, tcp_udp};
/// let control = tcp_udp::TcpUdpClient::new("relay.example:4433".parse()?);
/// let media = rtpengine::RtpengineClient::new("rtp:media.example:2223".parse()?)?;
/// let member = Split::new(control, media);
/// assert_eq!(member.relays().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RtpengineClient {
    relay: RelayName,
    connection: Option<Connection>,
}

impl RtpengineClient {
    /// A client of the relay with this name. Not yet connected.
    ///
    /// # Errors
    /// [`InvalidRtpName`] if it is not `rtp:host:port`.
    pub fn new(relay: RelayName) -> Result<Self, InvalidRtpName> {
        host_and_port(&relay).ok_or(InvalidRtpName)?;
        Ok(Self { relay, connection: None })
    }

    /// Counts of the connection; of none, nothing. How long the way is, is not measured.
    pub fn stats(&self) -> ConnectionStats {
        let Some(Connection { lane, .. }) = &self.connection else { return ConnectionStats::default() };
        let mut stats = lane.inbox.stats();
        stats.media.sent = lane.outgoing().sent;
        stats
    }

    fn connection(&self) -> Result<&Connection, TransportError> {
        self.connection.as_ref().ok_or(TransportError::Closed)
    }
}

impl Transport for RtpengineClient {
    fn relays(&self) -> Vec<&RelayName> {
        vec![&self.relay]
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.connection = None;
        let relay = self.relay.clone();
        let open = move || Connection::open(&relay, handle);
        self.connection = Some(answer::elsewhere("rtp connect", open).await?);
        Ok(())
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        check_length(message.len(), MAX_CONTROL)?;
        Err(TransportError::Closed)
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        check_length(packet.len(), MAX_MEDIA)?;
        self.connection()?.send_media(packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        self.connection()?.lane.inbox.take(until).await
    }

    async fn close(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.lane.inbox.close();
            connection.control.unpark();
            if let Some(ended) = connection.ended.take() {
                // It is told, or it is too late; both are the end.
                let _ = ended.by(Instant::now() + CLOSE_TIMEOUT).await;
            }
        }
    }
}

/// What the application's thread, the reader and the control thread have in common.
struct Lane {
    socket: UdpSocket,
    inbox: Inbox,
    /// There is something to send, so a slot is wanted.
    wanted: AtomicBool,
    outgoing: Mutex<Outgoing>,
    /// Where packets may come from, and when the last one did.
    sources: Mutex<HashMap<SocketAddr, Instant>>,
}

struct Outgoing {
    stream: Stream,
    /// Where the slot is published, while this member holds one.
    to: Option<SocketAddr>,
    last: Instant,
    buffer: Vec<u8>,
    sent: Count,
}

impl Lane {
    // Nothing panics while it holds a lock, and what they guard is valid after every statement.
    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<SocketAddr, Instant>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the way through address translators.
    fn send_nothing(&self, to: SocketAddr) {
        let mut outgoing = self.outgoing();
        let Outgoing { stream, buffer, .. } = &mut *outgoing;
        stream.padding(buffer);
        let _ = self.socket.send_to(buffer, to);
    }

    /// Fills the inbox until that is closed.
    fn read(&self, mut poll: Poll) {
        let (mut events, mut buffer) = (Events::with_capacity(4), [0; MAX_MEDIA + HEADER + SLACK]);
        while !self.inbox.is_closed() {
            // It fails when a signal comes, which is as good as an event.
            let _ = poll.poll(&mut events, Some(TICK));
            loop {
                let (length, from) = match self.socket.recv_from(&mut buffer) {
                    Ok(arrived) => arrived,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Ports that are closed for the moment are for the control thread.
                    Err(_) => continue,
                };
                match self.sources().get_mut(&from) {
                    Some(last) => *last = Instant::now(),
                    None => continue,
                }
                if let Some(payload) = packet::payload(buffer.get(..length).unwrap_or_default()) {
                    self.inbox.push_media(Bytes::copy_from_slice(payload));
                }
            }
        }
    }
}

struct Connection {
    lane: Arc<Lane>,
    control: Thread,
    /// Told when the control thread has tidied up.
    ended: Option<Answer<()>>,
}

impl Connection {
    fn open(relay: &RelayName, handle: RoomHandle) -> Result<Self, TransportError> {
        let name = host_and_port(relay).ok_or(TransportError::Unreachable)?;
        let addresses = attempts::resolve(name)?;
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        attempts::race(addresses, deadline, move |address, claim| {
            Self::reach(address, handle, deadline, claim)
        })
    }

    fn reach(
        relay: SocketAddr,
        handle: RoomHandle,
        deadline: Instant,
        claim: &Claim,
    ) -> Result<Self, TransportError> {
        let any: SocketAddr = match relay {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let exhausted = |_| TransportError::Exhausted;
        let mut socket = UdpSocket::bind(any).map_err(exhausted)?;
        let poll = Poll::new().map_err(exhausted)?;
        poll.registry().register(&mut socket, Token(0), Interest::READABLE).map_err(exhausted)?;
        let mut random = [0; 4];
        SystemRandom::new().fill(&mut random).map_err(|_| TransportError::Exhausted)?;
        let outgoing = Outgoing {
            stream: Stream::new(random),
            to: None,
            last: Instant::now(),
            buffer: Vec::new(),
            sent: Count::default(),
        };
        let lane = Arc::new(Lane {
            socket,
            inbox: Inbox::default(),
            wanted: AtomicBool::new(false),
            outgoing: Mutex::new(outgoing),
            sources: Mutex::default(),
        });
        let mut session = Session::open(relay, any, handle, Arc::clone(&lane), deadline, claim)?;
        let (alive, ended) = answer::channel();
        let reader = Arc::clone(&lane);
        spawn("rtp media", move || reader.read(poll))?;
        let control = spawn("rtp control", move || {
            session.run();
            alive.tell(());
        });
        match control {
            Ok(control) => Ok(Self { lane, control, ended: Some(ended) }),
            Err(error) => {
                // Ends the reader.
                lane.inbox.close();
                Err(error)
            }
        }
    }

    fn send_media(&self, packet: &[u8]) -> Result<(), TransportError> {
        if self.lane.inbox.is_closed() {
            return Err(TransportError::Closed);
        }
        let mut outgoing = self.lane.outgoing();
        let Outgoing { stream, to, last, buffer, sent } = &mut *outgoing;
        *last = Instant::now();
        match *to {
            Some(to) => {
                stream.packet(packet, buffer);
                // What cannot leave now is lost, as on any network.
                let _ = self.lane.socket.send_to(buffer, to);
                sent.note(packet.len());
            }
            None => {
                drop(outgoing);
                if !self.lane.wanted.swap(true, Ordering::Relaxed) {
                    self.control.unpark();
                }
            }
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.lane.inbox.close();
        self.control.unpark();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("closed", &self.lane.inbox.is_closed()).finish_non_exhaustive()
    }
}

/// A name that is not `rtp:host:port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRtpName;

impl fmt::Display for InvalidRtpName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of the relay is not rtp:host:port")
    }
}

impl Error for InvalidRtpName {}

fn host_and_port(relay: &RelayName) -> Option<&str> {
    let rest = relay.as_str().strip_prefix("rtp:")?;
    let (host, port) = rest.rsplit_once(':')?;
    (!host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(rest)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<Thread, TransportError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(|handle| handle.thread().clone()).map_err(|_| TransportError::Exhausted)
}

/// For the first answers. Name look-up takes what the operating system takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `close` waits for the relay to let go.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the reader may take to notice that the lane is closed.
const TICK: Duration = Duration::from_millis(100);
/// Room for what relays put into an RTP header.
const SLACK: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_forms_of_a_name_are_refused() {
        for (name, valid) in [
            ("rtp:127.0.0.1:2223", true),
            ("rtp:[::1]:2223", true),
            ("127.0.0.1:2223", false),
            ("rtp:2223", false),
            ("rtp::2223", false),
            ("rtp:relay.example:0", false),
            ("rtp:relay.example:65536", false),
        ] {
            assert_eq!(RtpengineClient::new(name.parse().unwrap()).is_ok(), valid, "{name}");
        }
    }
}
