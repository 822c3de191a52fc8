//! The reference relay: passes sealed bytes between the members of a room and knows nothing else
//! (SPEC section 8.2).
//!
//! ```text
//! TCP  member -> hello, control messages -> outbox of every other member -> TCP
//! UDP  member -> sealed packet ----------> address of every other member -> UDP
//! QUIC both lanes on one connection, in the same rooms (feature `quic`)
//! ```
//!
//! It holds handles, tickets and addresses, and no key. Nothing is stored except in the [`log`], if
//! one is asked for. Every wait and every queue has a bound ([`Limits`]).
//!
//! Connections are plain TCP and UDP, since every byte is sealed before it comes here. So an
//! observer between a member and the relay sees what the relay sees, and whoever can read a
//! member's connection can use its ticket to take its place on the media lane: to get its copies of
//! sealed packets, and to keep them from it. Nobody else can.

pub mod log;
#[cfg(feature = "quic")]
pub mod quic;

mod bucket;
mod control;
mod counts;
mod fair;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod media;
mod metrics;
mod outbox;
mod pending;
mod rooms;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ring::rand::{SecureRandom, SystemRandom};
use socket2::SockRef;

pub use crate::relay_protocol::token;
use crate::{lane::RelayName, transport::Percent};
pub use counts::{Counts, Refusals};
use pending::{Entry, HangUp, Number, Pending};
use rooms::Rooms;

/// A relay that runs on threads of its own until it is stopped or dropped.
///
/// ```
/// use sottovoce::relay::{Relay, RelayOptions};
/// let relay = Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions::default())?;
/// println!("members connect to {}", relay.name());
/// let counts = relay.stop()?;
/// assert_eq!(counts.connections, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Listens at `address`, TCP and UDP on the same port. Port 0 takes any that is free on both.
    ///
    /// On a machine with several addresses give the one that members use: they take datagrams only
    /// from the address that they connected to.
    ///
    /// # Errors
    /// Whatever the operating system says about the sockets and threads.
    pub fn start(address: SocketAddr, options: RelayOptions) -> io::Result<Self> {
        let (listener, media) = listen(address)?;
        #[cfg(feature = "quic")]
        let quic =
            options.quic.map(|listen| quic::Listener::new(listen, options.limits.pending)).transpose()?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            rooms: Mutex::new(Rooms::new(options.limits, options.media_loss, options.seed, Instant::now())),
            log: Mutex::new(options.log),
            limits: options.limits,
            issuer: options.issuer,
            media,
            #[cfg(feature = "quic")]
            quic: quic.as_ref().map(|door| Arc::clone(&door.hub)),
            pending: Mutex::new(Pending::new(options.limits.pending, options.limits.hello_timeout)),
            draining: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        let mut relay = Self { address, shared: Arc::clone(&shared), threads: Vec::new() };
        let door = Arc::clone(&shared);
        relay.spawn("relay door", move || control::serve(listener, &door))?;
        #[cfg(feature = "quic")]
        if let Some(quic) = quic {
            let shared = Arc::clone(&shared);
            relay.spawn("relay quic", move || quic.serve(&shared))?;
        }
        relay.spawn("relay media", move || media::serve(&shared))?;
        trace_event!(INFO, "the relay listens");
        trace_event!(DEBUG, %address, "the relay listens here");
        Ok(relay)
    }

    /// Where the relay listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The relay's name for an allow-list: its address.
    pub fn name(&self) -> RelayName {
        let name = RelayName::new(&self.address.to_string());
        name.expect("an address is short and printable")
    }

    /// Where the relay listens for QUIC, if it does.
    #[cfg(feature = "quic")]
    pub fn quic_address(&self) -> Option<SocketAddr> {
        self.shared.quic.as_ref().map(|hub| hub.address)
    }

    /// The relay's name for members who come by QUIC: its address and the pin of its certificate.
    #[cfg(feature = "quic")]
    pub fn quic_name(&self) -> Option<RelayName> {
        let hub = self.shared.quic.as_ref()?;
        hub.pin.name(&hub.address.to_string()).ok()
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        let lost = self.log_failure().map_or(0, |(_, lost)| lost);
        Counts { log_lost: lost, ..self.shared.rooms().counts }
    }

    /// Why the log is no longer written, if it is not: the disk may be full. The relay goes on
    /// without it.
    ///
    /// This shows a tenth of a second after it happened, as `sottovoce_relay_log_failed` in the
    /// [metrics](Self::metrics).
    pub fn log_error(&self) -> Option<io::ErrorKind> {
        self.log_failure().map(|(error, _)| error)
    }

    fn log_failure(&self) -> Option<(io::ErrorKind, u64)> {
        self.shared.log().as_ref().and_then(log::Writer::failure)
    }

    /// The counts, and how many members and rooms there are now, as Prometheus text (format 0.0.4).
    ///
    /// Nothing in it is about a person or a room.
    pub fn metrics(&self) -> String {
        let (members, rooms) = self.shared.rooms().sizes();
        metrics::text(&self.counts(), members, rooms, self.log_error().is_some())
    }

    /// Stops without haste: admits nobody from now on, lets the members go on until all have left
    /// or `patience` is over, writes what still waits for each of them, then [stops](Self::stop).
    ///
    /// Members are told nothing; their connection ends after what was sent to it, and they connect
    /// to another relay of their list. It returns at most [`Limits::write_timeout`] after
    /// `patience`.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub fn drain(mut self, patience: Duration) -> io::Result<Counts> {
        trace_event!(INFO, members = self.shared.rooms().sizes().0, "the relay drains");
        self.shared.draining.store(true, Ordering::Relaxed);
        control::knock(self.address);
        self.wait_until_empty(patience);
        self.shared.rooms().finish();
        self.wait_until_empty(self.shared.limits.write_timeout);
        self.halt()?;
        Ok(self.counts())
    }

    fn wait_until_empty(&self, patience: Duration) {
        let start = Instant::now();
        while self.shared.rooms().sizes().0 > 0 && start.elapsed() < patience {
            thread::sleep(DRAIN_POLL);
        }
    }

    /// Ends all connections, waits for all threads and frees the port.
    ///
    /// # Errors
    /// What kept the log from being written in full.
    pub fn stop(mut self) -> io::Result<Counts> {
        self.halt()?;
        Ok(self.counts())
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(work)?);
        Ok(())
    }

    fn halt(&mut self) -> io::Result<()> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if !self.threads.is_empty() {
            trace_event!(INFO, "the relay stops");
            control::knock(self.address);
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
        self.shared.log().take().map_or(Ok(()), log::Writer::finish)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Whoever needs to know whether the log is whole calls `stop`.
        let _ = self.halt();
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("address", &self.address).finish_non_exhaustive()
    }
}

/// How a relay is to behave.
#[derive(Debug, Default)]
pub struct RelayOptions {
    /// What members may use.
    pub limits: Limits,
    /// The share of packet copies to lose on purpose, for demonstrations.
    pub media_loss: Percent,
    /// Makes the same packets get lost again: each member's losses follow from the seed, its
    /// connection number and how many packets it was due.
    pub seed: u64,
    /// Where to write all that comes in.
    pub log: Option<log::Writer>,
    /// Where to listen for QUIC as well, and as whom.
    #[cfg(feature = "quic")]
    pub quic: Option<quic::Listen>,
    /// Whose tokens let members in. Without one, whoever knows a room's handle is let in.
    pub issuer: Option<token::IssuerKey>,
}

/// What members may use of a relay. The defaults suit rooms of up to 250 on a small machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Members of all rooms together. Each takes two threads and one file descriptor.
    pub connections: usize,
    /// Connections that have not yet said which room they want. When there are more, the oldest one
    /// of the network address that has most of them gives way.
    pub pending: usize,
    /// Rooms with at least one member.
    pub rooms: usize,
    /// Members of one room.
    pub members: usize,
    /// Bytes of control messages that may wait for one member, 258 added to each. A sender of which
    /// more waits there than is free is not read until less does; nobody else is held up by that.
    pub queue: usize,
    /// Bytes of control messages a second that a member has to take while it holds up senders,
    /// judged every five seconds. A member that takes less is cut off.
    pub drain_rate: u32,
    /// Bytes of control messages a second that are read from one member, 258 added to each; eight
    /// seconds' worth may come at once. Whatever is above waits in the member's own connection.
    pub control_rate: u32,
    /// The same for all members of a room together, who have equal shares of it.
    pub room_control_rate: u32,
    /// Datagrams a second that are taken from one member; a second's worth may come at once. The
    /// rest is dropped.
    pub media_rate: u32,
    /// Bytes of datagrams a second, 64 added to each, that are taken from all members of a room
    /// together, who have equal shares of it.
    pub room_media_rate: u32,
    /// Bytes of copies a second that the relay makes on each of the two lanes, 258 added to each
    /// message and 320 to each datagram. Rooms have equal shares of it.
    pub copy_rate: u32,
    /// How long a new connection may take to ask for its room.
    pub hello_timeout: Duration,
    /// How long a member may be silent on both lanes before it is taken for gone. Clients send a
    /// datagram every ten seconds.
    pub idle_timeout: Duration,
    /// How long a member may take to accept anything of what is written to it.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            pending: 64,
            rooms: 64,
            members: 250,
            queue: 2 * 1024 * 1024,
            drain_rate: 64 * 1024,
            control_rate: 256 * 1024,
            room_control_rate: 384 * 1024,
            media_rate: 200,
            room_media_rate: 768 * 1024,
            copy_rate: 128 * 1024 * 1024,
            hello_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(40),
            write_timeout: Duration::from_secs(5),
        }
    }
}

/// What the relay's threads have in common.
struct Shared {
    rooms: Mutex<Rooms>,
    log: Mutex<Option<log::Writer>>,
    limits: Limits,
    issuer: Option<token::IssuerKey>,
    media: UdpSocket,
    #[cfg(feature = "quic")]
    quic: Option<Arc<quic::Hub>>,
    pending: Mutex<Pending>,
    draining: AtomicBool,
    stopping: AtomicBool,
}

impl Shared {
    // Nothing panics while it holds a lock, and what the locks guard is valid after every
    // statement.
    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a connection that has yet to send its hello, if there is a place for it.
    fn enter(&self, address: IpAddr, hang_up: HangUp) -> Option<Number> {
        let entry = self.pending().enter(address, Instant::now(), hang_up);
        if !matches!(entry, Entry::Free(_)) {
            self.rooms().counts.refuse(|refusals| &mut refusals.pending);
        }
        match entry {
            Entry::Free(number) | Entry::Instead(number) => Some(number),
            Entry::Full => None,
        }
    }

    fn log(&self) -> MutexGuard<'_, Option<log::Writer>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, lane: log::Lane, connection: log::Connection, bytes: &[u8]) {
        if let Some(log) = self.log().as_mut() {
            log.record(lane, connection, bytes);
        }
    }

    /// What has to be done now and then.
    fn handle_timeout(&self, now: Instant) {
        self.rooms().handle_timeout(now);
        if let Some(log) = self.log().as_mut() {
            log.flush();
        }
    }

    #[cfg(feature = "quic")]
    fn forward_by_quic(&self, from: log::Connection, packet: &[u8], to: &[log::Connection]) {
        if let Some(hub) = &self.quic {
            hub.forward(from, packet, to);
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Both sockets on one port.
fn listen(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let mut attempts = if address.port() == 0 { 16 } else { 1 };
    loop {
        let listener = TcpListener::bind(address)?;
        attempts -= 1;
        match UdpSocket::bind(listener.local_addr()?) {
            Ok(media) => {
                // As much as the system allows: what members send comes in bursts.
                let _ = SockRef::from(&media).set_recv_buffer_size(RECEIVE_BUFFER);
                return Ok((listener, media));
            }
            Err(error) if attempts == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// Sixteen bytes that nobody can guess; `None` if the operating system has none.
fn random() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Systems disagree on what a read or write that took too long is called.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Bytes of datagrams that the system may have waiting for the media lane.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// How long a thread may take to notice that the relay stops.
const TICK: Duration = Duration::from_millis(100);
/// How often a relay that drains looks whether anybody is left.
const DRAIN_POLL: Duration = Duration::from_millis(10);
