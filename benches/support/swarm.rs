//! Many members of our relay by QUIC on one thread.

use std::{
    collections::HashMap,
    io::ErrorKind,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use mio::{Events, Interest, Poll, Token};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event,
    Transmit, TransportConfig, crypto::rustls::QuicClientConfig,
};
use sottovoce_testkit::raw_quic;

use super::process::Process;
use crate::Way;

/// So few that their acknowledgements and packets fit into a socket's buffer.
const MEMBERS_PER_SOCKET: usize = 25;

/// A speaker and receivers.
pub struct OurQuic {
    process: Process,
    groups: Vec<Group>,
    poll: Poll,
    events: Events,
}

/// Members who share a socket.
struct Group {
    socket: mio::net::UdpSocket,
    endpoint: Endpoint,
    members: HashMap<ConnectionHandle, Member>,
}

struct Member {
    connection: Connection,
    admitted: bool,
    due: Option<Instant>,
}

impl OurQuic {
    pub fn gather(receivers: usize) -> Self {
        let process = Process::start("quic");
        let poll = Poll::new().expect("a poll");
        let mut this = Self { process, groups: Vec::new(), poll, events: Events::with_capacity(256) };
        let config = config();
        let mut left = receivers + 1;
        while left > 0 {
            let mut socket = mio::net::UdpSocket::bind(([127, 0, 0, 1], 0).into()).expect("a socket");
            let token = Token(this.groups.len());
            this.poll.registry().register(&mut socket, token, Interest::READABLE).expect("it registers");
            let endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
            this.groups.push(Group { socket, endpoint, members: HashMap::new() });
            let number = this.groups.len() - 1;
            for _ in 0..left.min(MEMBERS_PER_SOCKET) {
                this.join(number, &config);
                left -= 1;
            }
        }
        this
    }

    fn join(&mut self, group: usize, config: &ClientConfig) {
        let Group { endpoint, members, .. } = &mut self.groups[group];
        let relay = self.process.addresses[0];
        let (handle, connection) =
            endpoint.connect(Instant::now(), config.clone(), relay, "relay").expect("an address");
        members.insert(handle, Member { connection, admitted: false, due: None });
        self.groups[group].flush(handle);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.groups[group].members[&handle].admitted {
            assert!(Instant::now() < deadline, "the relay does not let in");
            self.receive(Instant::now() + Duration::from_millis(5), &mut |_| {});
        }
    }
}

fn config() -> ClientConfig {
    let mut tls = raw_quic::credulous();
    tls.alpn_protocols = vec![b"sottovoce/1".to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3")));
    let mut transport = TransportConfig::default();
    transport.mtu_discovery_config(None).keep_alive_interval(Some(Duration::from_secs(10)));
    config.transport_config(Arc::new(transport));
    config
}

impl Group {
    /// Takes what has come, and answers it.
    fn receive(&mut self, take: &mut dyn FnMut(&[u8])) {
        let (mut datagram, mut buffer) = ([0; 2_048], Vec::new());
        let mut busy = Vec::new();
        loop {
            let (length, from) = match self.socket.recv_from(&mut datagram) {
                Ok(came) => came,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => continue,
            };
            let bytes = BytesMut::from(&datagram[..length]);
            let event = self.endpoint.handle(Instant::now(), from, None, None, bytes, &mut buffer);
            if let Some(DatagramEvent::ConnectionEvent(handle, event)) = event {
                let member = self.members.get_mut(&handle).expect("it is ours");
                member.connection.handle_event(event);
                while let Some(packet) = member.connection.datagrams().recv() {
                    take(&packet);
                }
                busy.push(handle);
            }
        }
        for handle in busy {
            self.flush(handle);
        }
    }

    fn handle_timeouts(&mut self, now: Instant) {
        let due: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.due.is_some_and(|due| due <= now))
            .map(|(handle, _)| *handle)
            .collect();
        for handle in due {
            if let Some(member) = self.members.get_mut(&handle) {
                member.connection.handle_timeout(now);
            }
            self.flush(handle);
        }
    }

    fn flush(&mut self, handle: ConnectionHandle) {
        let now = Instant::now();
        let Some(member) = self.members.get_mut(&handle) else { return };
        while let Some(event) = member.connection.poll() {
            match event {
                Event::Connected => {
                    let stream = member.connection.streams().open(Dir::Bi).expect("the relay grants one");
                    let hello = [&b"svrelay\x01"[..], &[1; 16]].concat();
                    let written = member.connection.send_stream(stream).write(&hello);
                    assert_eq!(written.ok(), Some(hello.len()));
                }
                // Its answer is all that it ever says here.
                Event::Stream(_) => member.admitted = true,
                Event::ConnectionLost { reason } => panic!("the relay is lost: {reason}"),
                _ => {}
            }
        }
        while let Some(event) = member.connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                member.connection.handle_event(event);
            }
        }
        let mut buffer = Vec::new();
        while let Some(Transmit { destination, size, .. }) =
            member.connection.poll_transmit(now, 1, &mut buffer)
        {
            let _ = self.socket.send_to(&buffer[..size], destination);
            buffer.clear();
        }
        member.due = member.connection.poll_timeout();
    }
}

impl Way for OurQuic {
    fn name(&self) -> &'static str {
        "sottovoce, QUIC"
    }

    fn pid(&self) -> u32 {
        self.process.child.id()
    }

    fn send(&mut self, payload: &[u8]) {
        // The last one is the speaker.
        let group = self.groups.last_mut().expect("there is one");
        let handle = *group.members.keys().max_by_key(|handle| handle.0).expect("there is one");
        let member = group.members.get_mut(&handle).expect("it is there");
        member.connection.datagrams().send(Bytes::copy_from_slice(payload), true).expect("it is taken");
        group.flush(handle);
    }

    fn receive(&mut self, until: Instant, take: &mut dyn FnMut(&[u8])) {
        loop {
            let now = Instant::now();
            for group in &mut self.groups {
                group.handle_timeouts(now);
            }
            let due = self
                .groups
                .iter()
                .flat_map(|group| group.members.values().filter_map(|member| member.due))
                .min();
            let wake = due.map_or(until, |due| due.min(until));
            let _ = self.poll.poll(&mut self.events, Some(wake.saturating_duration_since(now)));
            let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
            for group in ready {
                self.groups[group].receive(take);
            }
            if Instant::now() >= until {
                return;
            }
        }
    }
}
