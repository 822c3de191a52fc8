//! The relay's second door: members who come by QUIC, all of them on one thread (SPEC section 8.2.8).
//!
//! ```text
//! QUIC  member -> stream   -> rooms -> outbox of every other member, whichever way it came
//!       member -> datagram -> rooms -> QUIC datagrams, and the UDP socket of the media lane
//! other threads -> Hub: packets to copy, numbers of members with something new -> this thread
//! ```

mod guest;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    error::Error,
    fmt, io, mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use mio::Waker;
use quinn_proto::{ConnectionHandle, DatagramEvent, Endpoint, Incoming, ServerConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{
    Shared, TICK,
    log::{Connection, Lane},
    rooms::Copies,
};
use crate::transport::quic::{
    Pin,
    socket::{Arrived, Socket},
    tls,
};
use guest::{Guest, Present};

/// Where a relay listens for QUIC, and as whom.
#[derive(Debug)]
pub struct Listen {
    /// A UDP address and port of its own. Port 0 takes any that is free.
    pub address: SocketAddr,
    /// What members know the relay by.
    pub certificate: Certificate,
}

/// A certificate, what vouches for it, and its private key.
///
/// One that is pinned may be self-signed. It is then as good as the invite that names it, and never runs out.
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pin: Pin,
}

impl Certificate {
    /// Takes PEM text: the certificate followed by those that vouch for it, and the key.
    ///
    /// # Errors
    /// [`InvalidCertificate`] says what is wrong.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, InvalidCertificate> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| InvalidCertificate::Key)?;
        Self::new(chain.map_err(|_| InvalidCertificate::Chain)?, key)
    }

    /// The same in DER. The key is PKCS #8, PKCS #1 or SEC1.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem).
    pub fn from_der(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self, InvalidCertificate> {
        let key = PrivateKeyDer::try_from(key).map_err(|_| InvalidCertificate::Key)?;
        Self::new(chain.into_iter().map(CertificateDer::from).collect(), key)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, InvalidCertificate> {
        let pin = Pin::of(chain.first().ok_or(InvalidCertificate::Chain)?);
        // Whether they belong together shows when they are put to use.
        tls::server(chain.clone(), key.clone_key(), 1).map_err(|_| InvalidCertificate::Unfit)?;
        Ok(Self { chain, key, pin })
    }

    /// What stands in the relay's name.
    pub fn pin(&self) -> Pin {
        self.pin
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("pin", &self.pin).finish_non_exhaustive()
    }
}

/// Why a relay cannot have that certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidCertificate {
    /// There is none, or what stands there is none.
    Chain,
    /// There is no private key in a form that is known.
    Key,
    /// The key is of a kind that TLS 1.3 does not use here, or another certificate's.
    Unfit,
}

impl fmt::Display for InvalidCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "there is no certificate in it",
            Self::Key => "there is no private key in it",
            Self::Unfit => "the private key does not fit the certificate",
        })
    }
}

impl Error for InvalidCertificate {}

/// What other threads have for the members here.
pub(super) struct Hub {
    pub(super) address: SocketAddr,
    pub(super) pin: Pin,
    waiting: Mutex<Waiting>,
    waker: Arc<Waker>,
    /// Nobody need be woken: the thread will look before it sleeps.
    awake: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    packets: VecDeque<(Bytes, Vec<Connection>)>,
    rung: HashSet<Connection>,
}

impl Hub {
    /// Has a packet copied to these members. Too many at once push out the oldest.
    pub(super) fn forward(&self, packet: &[u8], to: &[Connection]) {
        if to.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        if waiting.packets.len() >= PACKETS_WAITING {
            waiting.packets.pop_front();
        }
        waiting.packets.push_back((Bytes::copy_from_slice(packet), to.to_vec()));
        drop(waiting);
        self.wake();
    }

    /// There is something new in that member's outbox.
    pub(super) fn ring(&self, member: Connection) {
        self.lock().rung.insert(member);
        self.wake();
    }

    fn wake(&self) {
        if !self.awake.load(Ordering::SeqCst) {
            // A thread that cannot be woken looks by itself before long.
            let _ = self.waker.wake();
        }
    }

    // Nothing panics while it holds the lock, and what it guards is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The door before it opens: it has its port.
pub(super) struct Door {
    socket: Socket,
    config: ServerConfig,
    pub(super) hub: Arc<Hub>,
}

impl Door {
    pub(super) fn new(listen: Listen, pending: usize) -> io::Result<Self> {
        let Certificate { chain, key, pin } = listen.certificate;
        let config = tls::server(chain, key, pending).map_err(io::Error::other)?;
        let socket = Socket::bind(listen.address, BATCH)?;
        let (waiting, awake) = (Mutex::default(), AtomicBool::new(false));
        let hub = Hub { address: socket.address()?, pin, waiting, waker: socket.waker(), awake };
        Ok(Self { socket, config, hub: Arc::new(hub) })
    }

    /// Serves members until the relay stops.
    pub(super) fn serve(self, shared: &Arc<Shared>) {
        let config = Some(Arc::new(self.config));
        let edge = Edge {
            endpoint: Endpoint::new(tls::endpoint(), config, true, None),
            socket: self.socket,
            hub: self.hub,
            shared,
            guests: HashMap::new(),
            members: HashMap::new(),
            due: BinaryHeap::new(),
            busy: Vec::new(),
            copies: Copies::default(),
            buffer: Vec::new(),
        };
        edge.run();
    }
}

struct Edge<'a> {
    endpoint: Endpoint,
    socket: Socket,
    hub: Arc<Hub>,
    shared: &'a Arc<Shared>,
    guests: HashMap<ConnectionHandle, Guest>,
    members: HashMap<Connection, ConnectionHandle>,
    /// When which connection wants to be looked at. Entries that came too early are put in again.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Connections that something has happened to.
    busy: Vec<ConnectionHandle>,
    copies: Copies,
    buffer: Vec<u8>,
}

impl Edge<'_> {
    fn run(mut self) {
        while !self.shared.is_stopping() {
            let now = Instant::now();
            self.receive(now);
            self.take_from_others();
            self.handle_timeouts(now);
            self.settle(now);
            self.sleep();
        }
        // The rooms are closed by the door of the others, so everybody here is cut off as well.
        let now = Instant::now();
        let mut guests = mem::take(&mut self.guests);
        for (handle, guest) in &mut guests {
            guest.hang_up(now);
            self.flush(*handle, guest, now);
        }
        for guest in guests.values() {
            guest.gone(self.shared);
        }
    }

    /// Waits for something to do. Whoever rings from here on wakes this thread.
    fn sleep(&mut self) {
        self.hub.awake.store(false, Ordering::SeqCst);
        let waiting = self.hub.lock();
        let idle = waiting.packets.is_empty() && waiting.rung.is_empty();
        drop(waiting);
        if idle {
            let tick = Instant::now() + TICK;
            let until = self.due.peek().map_or(tick, |Reverse((due, _))| tick.min(*due));
            self.socket.wait(until);
        }
        self.hub.awake.store(true, Ordering::SeqCst);
    }

    fn receive(&mut self, now: Instant) {
        let mut arrived = Vec::new();
        // Not for ever, so that the others have their turn.
        for _ in 0..BATCHES {
            if !self.socket.receive(|datagram| arrived.push(datagram)) {
                break;
            }
            for datagram in arrived.drain(..) {
                self.handle(datagram, now);
            }
        }
    }

    fn handle(&mut self, Arrived { from, to, ecn, bytes }: Arrived, now: Instant) {
        self.buffer.clear();
        match self.endpoint.handle(now, from, to, ecn, bytes, &mut self.buffer) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(guest) = self.guests.get_mut(&handle) {
                    guest.handle_event(event);
                    self.touch(handle);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.knock(incoming, now),
            Some(DatagramEvent::Response(transmit)) => self.socket.send(&transmit, &self.buffer),
            None => {}
        }
    }

    /// Nothing is kept and nothing signed for an address that has not proved to be the client's.
    fn knock(&mut self, incoming: Incoming, now: Instant) {
        let full = self.shared.pending.load(Ordering::Relaxed) >= self.shared.limits.pending;
        self.buffer.clear();
        if full || self.shared.draining.load(Ordering::Relaxed) {
            if full {
                self.shared.rooms().counts.refuse(|refusals| &mut refusals.pending);
            }
            let transmit = self.endpoint.refuse(incoming, &mut self.buffer);
            return self.socket.send(&transmit, &self.buffer);
        }
        if !incoming.remote_address_validated() {
            match self.endpoint.retry(incoming, &mut self.buffer) {
                Ok(transmit) => self.socket.send(&transmit, &self.buffer),
                Err(error) => self.endpoint.ignore(error.into_incoming()),
            }
            return;
        }
        match self.endpoint.accept(incoming, now, &mut self.buffer, None) {
            Ok((handle, connection)) => {
                self.guests.insert(handle, Guest::new(connection, now, self.shared));
                self.touch(handle);
            }
            Err(error) => {
                self.shared.rooms().counts.refuse(|refusals| &mut refusals.garbage);
                if let Some(transmit) = error.response {
                    self.socket.send(&transmit, &self.buffer);
                }
            }
        }
    }

    fn touch(&mut self, handle: ConnectionHandle) {
        if let Some(guest) = self.guests.get_mut(&handle)
            && !mem::replace(&mut guest.busy, true)
        {
            self.busy.push(handle);
        }
    }

    /// What other threads have brought.
    fn take_from_others(&mut self) {
        let Waiting { packets, rung } = mem::take(&mut *self.hub.lock());
        for member in rung {
            if let Some(handle) = self.members.get(&member).copied() {
                if let Some(guest) = self.guests.get_mut(&handle) {
                    guest.rung = true;
                }
                self.touch(handle);
            }
        }
        for (packet, to) in packets {
            self.copy(&packet, &to);
        }
    }

    /// Queues a packet for members here.
    fn copy(&mut self, packet: &Bytes, to: &[Connection]) {
        for member in to {
            let Some(handle) = self.members.get(member).copied() else { continue };
            if let Some(guest) = self.guests.get_mut(&handle) {
                guest.queue_packet(packet.clone());
                self.touch(handle);
            }
        }
    }

    fn handle_timeouts(&mut self, now: Instant) {
        while let Some(Reverse((due, handle))) = self.due.peek().copied() {
            if due > now {
                return;
            }
            self.due.pop();
            let handle = ConnectionHandle(handle);
            if let Some(guest) = self.guests.get_mut(&handle) {
                guest.scheduled = None;
                guest.handle_timeout(now, self.shared);
                self.touch(handle);
            }
        }
    }

    /// Carries on with every connection that something has happened to, until nothing happens any more.
    fn settle(&mut self, now: Instant) {
        while let Some(handle) = self.busy.pop() {
            // Out of the map, since what it says goes to the others in there.
            let Some(mut guest) = self.guests.remove(&handle) else { continue };
            guest.busy = false;
            guest.drive(now, self.shared, &self.hub);
            let member = guest.number();
            if let Some(member) = member
                && mem::take(&mut guest.admitted)
            {
                self.members.insert(member, handle);
            }
            while let Some(packet) = guest.next_packet() {
                // Before it is a member it has nobody to send to.
                if let Some(member) = member {
                    self.forward(member, packet, now);
                }
            }
            self.flush(handle, &mut guest, now);
            match guest.presence() {
                Present::Here => {
                    if let Some(due) = guest.due(&self.shared.limits)
                        && guest.scheduled.is_none_or(|scheduled| due < scheduled)
                    {
                        guest.scheduled = Some(due);
                        self.due.push(Reverse((due, handle.0)));
                    }
                    self.guests.insert(handle, guest);
                }
                Present::Gone => {
                    if let Some(member) = guest.number() {
                        self.members.remove(&member);
                    }
                    guest.gone(self.shared);
                }
            }
        }
    }

    /// Passes a member's packet on, whichever way the others came.
    fn forward(&mut self, from: Connection, packet: Bytes, now: Instant) {
        let mut copies = mem::take(&mut self.copies);
        copies.addresses.clear();
        copies.connections.clear();
        if self.shared.rooms().handle_quic_datagram(from, &packet, now, &mut copies) {
            self.shared.record(Lane::Media, from, &packet);
            for address in &copies.addresses {
                // A copy that cannot be sent is a copy lost, as on any network.
                let _ = self.shared.media.send_to(&packet, address);
            }
            self.copy(&packet, &copies.connections);
        }
        self.copies = copies;
    }

    /// Sends what a connection has to send.
    fn flush(&mut self, handle: ConnectionHandle, guest: &mut Guest, now: Instant) {
        let (endpoint, socket, buffer) = (&mut self.endpoint, &self.socket, &mut self.buffer);
        guest.poll_endpoint(|event| endpoint.handle_event(handle, event));
        while let Some(transmit) = guest.poll_transmit(now, socket.max_segments(), buffer) {
            socket.send(&transmit, buffer);
        }
        guest.poll_endpoint(|event| endpoint.handle_event(handle, event));
    }
}

/// Datagrams, or runs of equal ones, that are read in one call, and calls in a row.
const BATCH: usize = 32;
const BATCHES: usize = 8;
/// Packets of members who came by UDP that wait for this thread.
const PACKETS_WAITING: usize = 1_024;
/// How long a connection that has been answered may take to end.
const LINGER: Duration = Duration::from_secs(2);
