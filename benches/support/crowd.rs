//! Receivers by UDP, one socket each, all on one thread: behind bare `sendto`, our relay, and
//! rtpengine.

use std::{
    io::{Read, Write},
    marker::PhantomData,
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};
use sottovoce_testkit::rtpengine as daemon;

use super::process::Process;
use crate::Way;

/// How a socket becomes a receiver of a room.
pub trait Kind: Sized {
    const NAME: &'static str;
    /// Bytes before the packet.
    const HEADER: usize;

    /// `None` where there is no such relay.
    fn start() -> Option<Self>;
    fn pid(&self) -> u32;
    fn receiver(&mut self, socket: &UdpSocket);
    /// Where the speaker with this socket sends to. All receivers are there.
    fn speaker(&mut self, socket: &UdpSocket) -> SocketAddr;
}

/// A speaker and receivers.
pub struct Crowd<K> {
    kind: K,
    speaker: UdpSocket,
    to: SocketAddr,
    receivers: Vec<mio::net::UdpSocket>,
    poll: Poll,
    events: Events,
    sent: u16,
    _kind: PhantomData<K>,
}

impl<K: Kind> Crowd<K> {
    pub fn gather(receivers: usize) -> Option<Self> {
        let mut kind = K::start()?;
        let socket = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let poll = Poll::new().expect("a poll");
        let mut all = Vec::new();
        for number in 0..receivers {
            let socket = socket();
            socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            kind.receiver(&socket);
            socket.set_nonblocking(true).expect("a socket");
            let mut socket = mio::net::UdpSocket::from_std(socket);
            poll.registry().register(&mut socket, Token(number), Interest::READABLE).expect("it registers");
            all.push(socket);
        }
        let speaker = socket();
        speaker.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let to = kind.speaker(&speaker);
        let events = Events::with_capacity(2_048);
        Some(Self { kind, speaker, to, receivers: all, poll, events, sent: 0, _kind: PhantomData })
    }
}

impl<K: Kind> Way for Crowd<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn pid(&self) -> u32 {
        self.kind.pid()
    }

    fn send(&mut self, payload: &[u8]) {
        let mut packet = vec![0; K::HEADER];
        if K::HEADER > 0 {
            self.sent = self.sent.wrapping_add(1);
            packet[..2].copy_from_slice(&[0x80, 96]);
            packet[2..4].copy_from_slice(&self.sent.to_be_bytes());
            packet[4..8].copy_from_slice(&(u32::from(self.sent) * 960).to_be_bytes());
        }
        packet.extend_from_slice(payload);
        self.speaker.send_to(&packet, self.to).expect("it is sent");
    }

    fn receive(&mut self, until: Instant, take: &mut dyn FnMut(&[u8])) {
        let mut buffer = [0; 2_048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.poll.poll(&mut self.events, Some(left)).is_err() {
                continue;
            }
            for event in &self.events {
                let socket = &self.receivers[event.token().0];
                while let Ok(length) = socket.recv(&mut buffer) {
                    take(buffer[..length].get(K::HEADER..).unwrap_or_default());
                }
            }
            if left.is_zero() {
                return;
            }
        }
    }
}

/// One `sendto` for each receiver and nothing else.
pub struct Bare {
    process: Process,
    receivers: Vec<SocketAddr>,
}

impl Kind for Bare {
    const NAME: &'static str = "bare sendto";
    const HEADER: usize = 0;

    fn start() -> Option<Self> {
        Some(Self { process: Process::start("bare"), receivers: Vec::new() })
    }

    fn pid(&self) -> u32 {
        self.process.child.id()
    }

    fn receiver(&mut self, socket: &UdpSocket) {
        self.receivers.push(socket.local_addr().expect("an address"));
    }

    fn speaker(&mut self, _: &UdpSocket) -> SocketAddr {
        self.process.tell(&self.receivers);
        self.process.addresses[0]
    }
}

/// Our reference relay by TCP and UDP.
pub struct OurUdp {
    process: Process,
    lanes: Vec<TcpStream>,
}

impl OurUdp {
    fn join(&mut self, socket: &UdpSocket) {
        let relay = self.process.addresses[0];
        let mut lane = TcpStream::connect(relay).expect("the relay is there");
        lane.write_all(&[&b"svrelay\x01"[..], &[1; 16]].concat()).expect("it listens");
        let mut answer = [0; 25];
        lane.read_exact(&mut answer).expect("there is a place");
        let mut cookie = [0; 16];
        for _ in 0..2 {
            let bind = [&b"\xff\x00sv\x01\x01"[..], &answer[9..], &cookie].concat();
            socket.send_to(&bind, relay).expect("it is sent");
            let mut said = [0; 64];
            let length = socket.recv(&mut said).expect("it answers");
            if length == 38 {
                cookie.copy_from_slice(&said[22..38]);
            }
        }
        self.lanes.push(lane);
    }
}

impl Kind for OurUdp {
    const NAME: &'static str = "sottovoce, UDP";
    const HEADER: usize = 0;

    fn start() -> Option<Self> {
        Some(Self { process: Process::start("udp"), lanes: Vec::new() })
    }

    fn pid(&self) -> u32 {
        self.process.child.id()
    }

    fn receiver(&mut self, socket: &UdpSocket) {
        self.join(socket);
    }

    fn speaker(&mut self, socket: &UdpSocket) -> SocketAddr {
        self.join(socket);
        self.process.addresses[0]
    }
}

/// rtpengine, plain RTP in user space.
pub struct Rtpengine {
    daemon: daemon::Rtpengine,
    speaker: UdpSocket,
    published: SocketAddr,
    control: UdpSocket,
    asked: u32,
}

impl Rtpengine {
    fn ask(&mut self, question: &[(&str, &str)]) -> Option<SocketAddr> {
        self.asked += 1;
        let mut question = question.to_vec();
        question.sort_unstable();
        let body: String = question
            .iter()
            .flat_map(|(key, value)| [*key, *value])
            .map(|text| format!("{}:{text}", text.len()))
            .collect();
        self.control.send(format!("{} d{body}e", self.asked).as_bytes()).expect("it is sent");
        let mut answer = [0; 4_096];
        let length = self.control.recv(&mut answer).expect("it answers");
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.contains("6:result2:ok"), "{answer}");
        let port = answer.split("m=audio ").nth(1)?.split(' ').next()?.parse().ok()?;
        Some(([127, 0, 0, 1], port).into())
    }
}

fn sdp(socket: &UdpSocket, direction: &str) -> String {
    let port = socket.local_addr().expect("an address").port();
    format!(
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 96\r\n\
         a=rtpmap:96 opus/48000/2\r\na={direction}\r\na=rtcp-mux\r\n"
    )
}

impl Kind for Rtpengine {
    const NAME: &'static str = "rtpengine";
    const HEADER: usize = 12;

    fn start() -> Option<Self> {
        let daemon = daemon::Rtpengine::start_with(&["--port-min=20000", "--port-max=32000"])?;
        let control = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        control.connect(("127.0.0.1", daemon.port())).expect("an address");
        control.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        // Published first, since nobody can subscribe to nothing; it is never read from.
        let speaker = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let published = ([127, 0, 0, 1], 0).into();
        let mut this = Self { daemon, speaker, published, control, asked: 1_000 };
        let offer = sdp(&this.speaker, "sendonly");
        let publish = [("command", "publish"), ("call-id", "bench"), ("from-tag", "p"), ("sdp", &offer)];
        this.published = this.ask(&publish).expect("a port");
        Some(this)
    }

    fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    fn receiver(&mut self, socket: &UdpSocket) {
        let tag = socket.local_addr().expect("an address").port().to_string();
        self.ask(&[
            ("command", "subscribe request"),
            ("call-id", "bench"),
            ("from-tag", "p"),
            ("to-tag", &tag),
        ]);
        let answer = sdp(socket, "recvonly");
        self.ask(&[
            ("command", "subscribe answer"),
            ("call-id", "bench"),
            ("to-tag", &tag),
            ("sdp", &answer),
        ]);
    }

    fn speaker(&mut self, _: &UdpSocket) -> SocketAddr {
        self.published
    }
}
