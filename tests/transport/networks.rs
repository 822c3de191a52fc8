//! Networks as they are in the field: links that go down, and address translators that forget (SPEC
//! sections 8.2.3 and 8.2.8).

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sottovoce::{
    relay::{Limits, RelayOptions},
    transport::{Inbound, RelayName, RoomHandle, Transport, block_on, quic, tcp_udp},
};
use sottovoce_testkit::quic as support;

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
const TICK: Duration = Duration::from_millis(20);

/// The way of one member to its relay, for datagrams: it can be down, and it can have another
/// address from now on.
struct Way {
    /// Where the member finds the relay.
    address: SocketAddr,
    down: Arc<AtomicBool>,
    forget: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Way {
    fn to(relay: SocketAddr, inner: UdpSocket) -> Self {
        let address = inner.local_addr().unwrap();
        inner.set_nonblocking(true).unwrap();
        let [down, forget, ended] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        let way =
            Self { address, down: Arc::clone(&down), forget: Arc::clone(&forget), ended: Arc::clone(&ended) };
        thread::spawn(move || {
            let outside = || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(relay).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            };
            let (mut outer, mut member, mut buffer) = (outside(), None, [0; 2_048]);
            while !ended.load(Ordering::Relaxed) {
                if forget.swap(false, Ordering::Relaxed) {
                    outer = outside();
                }
                let mut idle = true;
                while let Ok((length, from)) = inner.recv_from(&mut buffer) {
                    (member, idle) = (Some(from), false);
                    if !down.load(Ordering::Relaxed) {
                        let _ = outer.send(&buffer[..length]);
                    }
                }
                while let Ok(length) = outer.recv(&mut buffer) {
                    idle = false;
                    if let Some(member) = member.filter(|_| !down.load(Ordering::Relaxed)) {
                        let _ = inner.send_to(&buffer[..length], member);
                    }
                }
                if idle {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        way
    }

    fn is_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Both send a packet in 20 ms for so long; when each last heard the other, and when for the first
/// time after `since`.
fn talk(members: [&mut dyn Talks; 2], lasts: Duration, since: Instant) -> [Option<Duration>; 2] {
    let (start, mut first) = (Instant::now(), [None; 2]);
    let [ada, ben] = members;
    while start.elapsed() < lasts {
        for member in [&mut *ada, &mut *ben] {
            member.say();
        }
        let next = Instant::now() + TICK;
        for (member, first) in [&mut *ada, &mut *ben].into_iter().zip(&mut first) {
            if member.hears(next) && first.is_none() {
                *first = Some(since.elapsed());
            }
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    first
}

trait Talks {
    fn say(&mut self);
    fn hears(&mut self, until: Instant) -> bool;
}

impl<T: Transport> Talks for T {
    fn say(&mut self) {
        self.send_media(&[0xb0; 200]).unwrap();
    }

    fn hears(&mut self, until: Instant) -> bool {
        let mut heard = false;
        loop {
            match block_on(self.receive(if heard { Instant::now() } else { until })).unwrap() {
                Inbound::Media(_) => heard = true,
                Inbound::Control(_) => {}
                _ => return heard,
            }
        }
    }
}

/// A way by which the client for QUIC reaches a relay, and the client.
fn by_quic(relay: &sottovoce::relay::Relay) -> (Way, quic::QuicClient) {
    let way = Way::to(relay.quic_address().unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let name = relay.quic_name().unwrap();
    let pin = name.as_str().split('#').nth(1).unwrap();
    let name: RelayName = format!("quic:{}#{pin}", way.address).parse().unwrap();
    let mut client = quic::QuicClient::new(name).unwrap();
    block_on(client.connect(ROOM)).unwrap();
    (way, client)
}

/// The same for the client by TCP and UDP. What goes by TCP goes on through a thread for each
/// direction.
fn by_udp(relay: &sottovoce::relay::Relay) -> (Way, tcp_udp::TcpUdpClient) {
    let (listener, inner) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(inner) = UdpSocket::bind(listener.local_addr().unwrap()) {
            break (listener, inner);
        }
    };
    let way = Way::to(relay.address(), inner);
    let relay = relay.address();
    thread::spawn(move || {
        let (inside, _) = listener.accept().unwrap();
        let outside = TcpStream::connect(relay).unwrap();
        let [mut a, mut b] = [&inside, &outside].map(|stream| stream.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut a, &mut b));
        let _ = std::io::copy(&mut &outside, &mut &inside);
    });
    let mut client = tcp_udp::TcpUdpClient::new(way.address.to_string().parse().unwrap());
    block_on(client.connect(ROOM)).unwrap();
    (way, client)
}

fn outage(lasts: Duration, join: fn(&sottovoce::relay::Relay) -> (Way, Box<dyn Talks>)) {
    let relay = support::relay(RelayOptions { limits: Limits::default(), ..RelayOptions::default() });
    let (way, mut ada) = join(&relay);
    let mut ben = tcp_udp::TcpUdpClient::new(relay.name());
    block_on(ben.connect(ROOM)).unwrap();
    let second = Duration::from_secs(1);
    let before = talk([&mut *ada, &mut ben], second, Instant::now());
    assert!(before.iter().all(Option::is_some));
    way.is_down(true);
    talk([&mut *ada, &mut ben], lasts, Instant::now());
    way.is_down(false);
    let after = talk([&mut *ada, &mut ben], 4 * second, Instant::now());
    println!("down for {lasts:?}: back after {after:?}");
    assert!(after.iter().all(|after| after.is_some_and(|after| after < 2 * second)), "{lasts:?}: {after:?}");
}

#[test]
fn media_over_quic_is_back_two_seconds_after_the_link() {
    for lasts in [4, 12, 25] {
        outage(Duration::from_secs(lasts), |relay| {
            let (way, client) = by_quic(relay);
            (way, Box::new(client))
        });
    }
}

#[test]
fn media_over_udp_is_back_two_seconds_after_the_link() {
    outage(Duration::from_secs(12), |relay| {
        let (way, client) = by_udp(relay);
        (way, Box::new(client))
    });
}

/// Only the other one speaks: whoever sends as well shows its new address by that.
fn forgotten(way: &Way, listener: &mut dyn Talks, speaker: &mut dyn Talks) {
    let hears = |listener: &mut dyn Talks, speaker: &mut dyn Talks, lasts: Duration| {
        let (start, mut deaf, mut last) = (Instant::now(), Duration::ZERO, Instant::now());
        while start.elapsed() < lasts {
            speaker.say();
            if listener.hears(Instant::now() + TICK) {
                deaf = deaf.max(last.elapsed());
                last = Instant::now();
            }
        }
        deaf.max(last.elapsed())
    };
    assert!(hears(listener, speaker, Duration::from_millis(3_300)) < Duration::from_secs(1));
    way.forget.store(true, Ordering::Relaxed);
    let deaf = hears(listener, speaker, Duration::from_secs(5));
    println!("deaf for {deaf:?}");
    assert!(deaf < Duration::from_secs(2), "{deaf:?}");
}

#[test]
fn a_listener_whose_address_translator_forgets_is_deaf_for_two_seconds_at_most() {
    let relay = support::relay(RelayOptions::default());
    let mut speaker = tcp_udp::TcpUdpClient::new(relay.name());
    block_on(speaker.connect(ROOM)).unwrap();
    let (way, mut listener) = by_udp(&relay);
    forgotten(&way, &mut listener, &mut speaker);
    let (way, mut listener) = by_quic(&relay);
    forgotten(&way, &mut listener, &mut speaker);
}

#[test]
fn a_way_that_is_down_carries_nothing() {
    // What the tests above stand on.
    let far = UdpSocket::bind("127.0.0.1:0").unwrap();
    far.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let way = Way::to(far.local_addr().unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let near = UdpSocket::bind("127.0.0.1:0").unwrap();
    way.is_down(true);
    near.send_to(b"lost", way.address).unwrap();
    let nothing = far.recv(&mut [0; 10]).unwrap_err();
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    way.is_down(false);
    near.send_to(b"sent", way.address).unwrap();
    assert_eq!(far.recv(&mut [0; 10]).unwrap(), 4);
}
