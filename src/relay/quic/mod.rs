//! The relay's second door: members who come by QUIC, all of them on one thread (SPEC section
//! 8.2.8).
//!
//! ```text
//! QUIC  member -> stream   -> rooms -> outbox of every other member, whichever way it came
//!       member -> datagram -> rooms -> QUIC datagrams, and the UDP socket of the media lane
//! other threads -> Hub: packets to copy, numbers of members with something new -> this thread
//! ```
//!
//! ```
//! use sottovoce::relay::{Relay, RelayOptions, quic::{Certificate, Listen}};
//!
//! let made = rcgen::generate_simple_self_signed(["relay.example".to_owned()])?;
//! let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
//! let certificate = Certificate::from_pem(certificate.as_bytes(), key.as_bytes())?;
//! let here = ([127, 0, 0, 1], 0).into();
//! let quic = Some(Listen { address: here, certificate });
//! let relay = Relay::start(here, RelayOptions { quic, ..RelayOptions::default() })?;
//! // The name for invites: address and pin of the certificate.
//! let name = relay.quic_name().ok_or("no QUIC")?.to_string();
//! assert!(name.starts_with("quic:127.0.0.1:") && name.contains('#'));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod certificate;
mod guest;
mod hub;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io, mem,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn_proto::{ConnectionHandle, DatagramEvent, Endpoint, Incoming, ServerConfig};

use super::{
    Shared, TICK,
    log::{Connection, Lane},
    rooms::Copies,
};
use crate::transport::quic::{
    probe::Gate,
    socket::{Arrived, Socket},
    tls,
};
pub use certificate::{Certificate, InvalidCertificate};
use guest::{Guest, Present};
pub(super) use hub::Hub;
use hub::Waiting;

/// Where a relay listens for QUIC, and as whom.
#[derive(Debug)]
pub struct Listen {
    /// A UDP address and port of its own. Port 0 takes any that is free.
    pub address: SocketAddr,
    /// What members know the relay by.
    pub certificate: Certificate,
}

/// The door before it opens: it has its port.
pub(super) struct Listener {
    socket: Socket,
    config: ServerConfig,
    pub(super) hub: Arc<Hub>,
}

impl Listener {
    pub(super) fn new(listen: Listen, pending: usize) -> io::Result<Self> {
        let pin = listen.certificate.pin();
        let config = listen.certificate.config(pending).map_err(io::Error::other)?;
        let socket = Socket::bind(listen.address, BATCH)?;
        let hub = Hub::new(socket.address()?, pin, socket.waker());
        Ok(Self { socket, config, hub: Arc::new(hub) })
    }

    /// Serves members until the relay stops.
    pub(super) fn serve(self, shared: &Arc<Shared>) {
        let config = Arc::new(self.config);
        let edge = Edge {
            endpoint: Endpoint::new(tls::endpoint(), Some(Arc::clone(&config)), true, None),
            config,
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
    config: Arc<ServerConfig>,
    socket: Socket,
    hub: Arc<Hub>,
    shared: &'a Arc<Shared>,
    /// Boxed, since they go in and out of the map all the time.
    guests: HashMap<ConnectionHandle, Box<Guest>>,
    members: HashMap<Connection, ConnectionHandle>,
    /// When which connection wants to be looked at.
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
            self.take_from_others(now);
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

    /// Waits for something to do.
    fn sleep(&mut self) {
        if self.hub.rest() {
            let tick = Instant::now() + TICK;
            let until = self.due.peek().map_or(tick, |Reverse((due, _))| tick.min(*due));
            self.socket.wait(until);
        }
        self.hub.rise();
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
        self.buffer.clear();
        if self.shared.draining.load(Ordering::Relaxed) {
            return self.refuse(incoming);
        }
        if !incoming.remote_address_validated() {
            match self.endpoint.retry(incoming, &mut self.buffer) {
                Ok(transmit) => self.socket.send(&transmit, &self.buffer),
                Err(error) => self.endpoint.ignore(error.into_incoming()),
            }
            return;
        }
        let hub = Arc::clone(&self.hub);
        let hang_up = Box::new(move |number| hub.hang_up(number));
        let Some(number) = self.shared.enter(incoming.remote_address().ip(), hang_up) else {
            return self.refuse(incoming);
        };
        let (gate, mut config) = (Gate::default(), ServerConfig::clone(&self.config));
        config.transport_config(tls::server_transport(&gate));
        match self.endpoint.accept(incoming, now, &mut self.buffer, Some(Arc::new(config))) {
            Ok((handle, connection)) => {
                let guest = Guest::new(connection, gate, number, now, &self.shared.limits);
                self.guests.insert(handle, Box::new(guest));
                self.touch(handle);
            }
            Err(error) => {
                self.shared.pending().leave(number);
                self.shared.rooms().counts.refuse(|refusals| &mut refusals.garbage);
                if let Some(transmit) = error.response {
                    self.socket.send(&transmit, &self.buffer);
                }
            }
        }
    }

    fn refuse(&mut self, incoming: Incoming) {
        let transmit = self.endpoint.refuse(incoming, &mut self.buffer);
        self.socket.send(&transmit, &self.buffer);
    }

    fn touch(&mut self, handle: ConnectionHandle) {
        if let Some(guest) = self.guests.get_mut(&handle)
            && !mem::replace(&mut guest.busy, true)
        {
            self.busy.push(handle);
        }
    }

    /// What other threads have brought.
    fn take_from_others(&mut self, now: Instant) {
        let Waiting { mut packets, rung, hung_up } = self.hub.take();
        if !hung_up.is_empty() {
            let gone = |guest: &Guest| guest.pending().is_some_and(|number| hung_up.contains(&number));
            let gone = self.guests.iter().filter(|(_, guest)| gone(guest)).map(|(handle, _)| *handle);
            for handle in gone.collect::<Vec<_>>() {
                if let Some(guest) = self.guests.get_mut(&handle) {
                    guest.hang_up(now);
                }
                self.touch(handle);
            }
        }
        for member in rung {
            if let Some(handle) = self.members.get(&member).copied() {
                if let Some(guest) = self.guests.get_mut(&handle) {
                    guest.rung = true;
                }
                self.touch(handle);
            }
        }
        while let Some((from, (packet, to))) = packets.pop() {
            self.copy(from, &packet, &to);
        }
    }

    /// Queues a packet for members here.
    fn copy(&mut self, from: Connection, packet: &Bytes, to: &[Connection]) {
        for member in to {
            let Some(handle) = self.members.get(member).copied() else { continue };
            if let Some(guest) = self.guests.get_mut(&handle) {
                guest.queue_packet(from, packet.clone());
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
            // Others have been overtaken by an earlier time, and are of no use.
            if let Some(guest) = self.guests.get_mut(&handle)
                && guest.scheduled == Some(due)
            {
                guest.scheduled = None;
                if guest.handle_timeout(now, self.shared) {
                    self.touch(handle);
                } else if let Some(due) = guest.due(&self.shared.limits) {
                    // It was put off in the meantime.
                    guest.scheduled = Some(due);
                    self.due.push(Reverse((due, handle.0)));
                }
            }
        }
    }

    /// Carries on with every connection that something has happened to, until nothing happens any
    /// more.
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
            self.copy(from, &packet, &copies.connections);
        }
        self.copies = copies;
    }

    /// Sends what a connection has to send.
    fn flush(&mut self, handle: ConnectionHandle, guest: &mut Guest, now: Instant) {
        let (endpoint, socket, buffer) = (&mut self.endpoint, &self.socket, &mut self.buffer);
        guest.poll_endpoint(|event| endpoint.handle_event(handle, event));
        loop {
            guest.hand_over_packets();
            let Some(transmit) = guest.poll_transmit(now, socket.max_segments(), buffer) else { break };
            socket.send(&transmit, buffer);
        }
        if let Some(transmit) = guest.poll_probe(now, buffer) {
            socket.send(&transmit, buffer);
        }
        guest.poll_endpoint(|event| endpoint.handle_event(handle, event));
    }
}

/// Datagrams, or runs of equal ones, that are read in one call, and calls in a row.
const BATCH: usize = 32;
const BATCHES: usize = 8;
/// How long a connection that has been answered may take to end.
const LINGER: Duration = Duration::from_secs(2);
