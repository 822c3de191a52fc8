//! The reference relay under strangers who know a room's handle and flood it, by TCP, UDP and QUIC
//! (SPEC section 8.2.4): members stay connected, hear each other's messages within a second, and
//! get their packets.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sottovoce::{
    relay::{Limits, Relay, RelayOptions},
    transport::{Inbound, MAX_CONTROL, MAX_MEDIA, RoomHandle, Transport, block_on, quic, tcp_udp},
};
use sottovoce_testkit::quic as support;

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
const MEMBERS: u8 = 10;
/// How long the flood lasts.
const LASTS: Duration = Duration::from_secs(6);
/// How fast a member reads what comes by TCP: 10 Mbit/s.
const READS: usize = 1_250_000;
/// One packet in 20 ms, and one message in 200 ms.
const TICK: Duration = Duration::from_millis(20);
const MESSAGE_TICKS: u32 = 10;

// ---- what a member hears
// ------------------------------------------------------------------------------

/// What one member heard of the others.
#[derive(Default)]
struct Heard {
    cut_off: bool,
    packets: HashMap<u8, u32>,
    messages: u32,
    latest: Duration,
}

impl Heard {
    fn packet(&mut self, bytes: &[u8]) {
        if let [0xb0, b'm', sender, ..] = bytes {
            *self.packets.entry(*sender).or_default() += 1;
        }
    }

    fn message(&mut self, bytes: &[u8], start: Instant) {
        if let [b'm', _, sent @ ..] = bytes
            && let Ok(sent) = sent.try_into()
        {
            let sent = Duration::from_micros(u64::from_be_bytes(sent));
            self.latest = self.latest.max(start.elapsed().saturating_sub(sent));
            self.messages += 1;
        }
    }
}

fn packet(sender: u8) -> Vec<u8> {
    [&[0xb0, b'm', sender][..], &[7; 197]].concat()
}

fn message(sender: u8, start: Instant) -> Vec<u8> {
    let sent = u64::try_from(start.elapsed().as_micros()).unwrap();
    [&[b'm', sender][..], &sent.to_be_bytes()].concat()
}

/// Calls `tick` at every tick until the time is over, with the number of the tick.
fn ticking(until: Instant, mut tick: impl FnMut(u32)) {
    let start = Instant::now();
    for number in 0.. {
        let due = start + TICK * number;
        if due >= until {
            return;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        tick(number);
    }
}

// ---- by TCP and UDP
// -----------------------------------------------------------------------------------

struct Plain {
    control: TcpStream,
    media: UdpSocket,
}

impl Plain {
    fn join(relay: SocketAddr) -> Self {
        let mut control = TcpStream::connect(relay).unwrap();
        control.set_nodelay(true).unwrap();
        control.write_all(&[b"svrelay\x01", &ROOM.as_bytes()[..]].concat()).unwrap();
        let mut answer = [0; 25];
        control.read_exact(&mut answer).unwrap();
        assert_eq!(answer[8], 0);
        let media = UdpSocket::bind("127.0.0.1:0").unwrap();
        media.connect(relay).unwrap();
        media.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let bind = |cookie: &[u8]| [b"\xff\x00sv\x01\x01", &answer[9..], cookie].concat();
        media.send(&bind(&[0; 16])).unwrap();
        let mut challenge = [0; 38];
        media.recv(&mut challenge).unwrap();
        media.send(&bind(&challenge[22..])).unwrap();
        media.recv(&mut challenge).unwrap();
        Self { control, media }
    }

    /// Takes part until the time is over, reading so many bytes of messages a second.
    fn take_part(self, number: u8, start: Instant, until: Instant, per_second: usize) -> Heard {
        let Self { mut control, media } = self;
        let heard = Mutex::new(Heard::default());
        thread::scope(|scope| {
            scope.spawn(|| {
                media.set_read_timeout(Some(TICK)).unwrap();
                let mut buffer = [0; 2_048];
                while Instant::now() < until {
                    if let Ok(length) = media.recv(&mut buffer) {
                        heard.lock().unwrap().packet(&buffer[..length]);
                    }
                }
            });
            let mut ears = control.try_clone().unwrap();
            let heard = &heard;
            scope.spawn(move || {
                ears.set_read_timeout(Some(TICK)).unwrap();
                let (mut chunk, mut stream) = (vec![0; per_second / 100], Vec::new());
                while Instant::now() < until {
                    match ears.read(&mut chunk) {
                        Ok(length) if length > 0 => stream.extend_from_slice(&chunk[..length]),
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        }
                        _ => return heard.lock().unwrap().cut_off = true,
                    }
                    while let [high, low, rest @ ..] = &stream[..] {
                        let length = usize::from(u16::from_be_bytes([*high, *low]));
                        let Some(message) = rest.get(..length) else { break };
                        heard.lock().unwrap().message(message, start);
                        stream.drain(..2 + length);
                    }
                    thread::sleep(Duration::from_millis(10));
                }
            });
            ticking(until, |tick| {
                let _ = media.send(&packet(number));
                if tick % MESSAGE_TICKS == 0 {
                    let _ = control.write_all(&frame(&message(number, start)));
                }
            });
        });
        heard.into_inner().unwrap()
    }
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

/// A member by one of the clients of the library, which reads as fast as it can.
fn take_part(mut client: impl Transport, number: u8, start: Instant, until: Instant) -> Heard {
    let mut heard = Heard::default();
    ticking(until, |tick| {
        let _ = client.send_media(&packet(number));
        if tick % MESSAGE_TICKS == 0 {
            heard.cut_off |= block_on(client.send_control(message(number, start).into())).is_err();
        }
        let next = Instant::now() + TICK / 2;
        loop {
            match block_on(client.receive(next)) {
                Ok(Inbound::Media(bytes)) => heard.packet(&bytes),
                Ok(Inbound::Control(bytes)) => heard.message(&bytes, start),
                Ok(_) => break,
                Err(_) => return heard.cut_off = true,
            }
        }
    });
    heard
}

// ---- strangers
// ----------------------------------------------------------------------------------------

/// Reads all that comes, so that nobody waits for the stranger.
fn read_all(stream: &TcpStream) {
    let mut ears = stream.try_clone().unwrap();
    thread::spawn(move || {
        let mut sink = vec![0; 1 << 16];
        while matches!(ears.read(&mut sink), Ok(length) if length > 0) {}
    });
}

/// Says messages of that length as fast as the relay reads them.
fn shouts(relay: SocketAddr, length: usize, until: Instant) {
    let Plain { mut control, .. } = Plain::join(relay);
    read_all(&control);
    control.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let frames = frame(&vec![7; length]).repeat(8_192 / (length + 2) + 1);
    let mut unsent = 0;
    while Instant::now() < until {
        match control.write(&frames[unsent..]) {
            Ok(written) => unsent = (unsent + written) % frames.len(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

/// Sends datagrams of that length, a thousand in a second.
fn sprays(relay: SocketAddr, length: usize, until: Instant) {
    let Plain { control, media } = Plain::join(relay);
    read_all(&control);
    ticking(until, |_| {
        for _ in 0..20 {
            let _ = media.send(&vec![0xb0; length]);
        }
    });
}

/// Floods both lanes by QUIC.
fn floods_by_quic(mut client: quic::QuicClient, until: Instant) {
    ticking(until, |_| {
        for _ in 0..20 {
            let _ = client.send_media(&[0xb0; MAX_MEDIA]);
        }
        // Whatever it waits for, it waits for itself.
        let _ = block_on(client.send_control(vec![7; MAX_CONTROL].into()));
        while !matches!(block_on(client.receive(Instant::now())), Ok(Inbound::Idle) | Err(_)) {}
    });
}

fn by_quic(relay: &Relay) -> quic::QuicClient {
    let mut client = quic::QuicClient::new(relay.quic_name().unwrap()).unwrap();
    block_on(client.connect(ROOM)).unwrap();
    client
}

/// Ten members, five of each way, while the strangers do what they do.
fn members_among(relay: &Relay, strangers: impl FnOnce(SocketAddr, Instant)) -> Vec<Heard> {
    let members: Vec<_> = (0..MEMBERS / 2).map(|_| (Plain::join(relay.address()), by_quic(relay))).collect();
    let start = Instant::now();
    let until = start + LASTS;
    let threads: Vec<_> = (0..)
        .step_by(2)
        .zip(members)
        .flat_map(|(number, (plain, quic))| {
            [
                thread::spawn(move || plain.take_part(number, start, until, READS)),
                thread::spawn(move || take_part(quic, number + 1, start, until)),
            ]
        })
        .collect();
    strangers(relay.address(), until);
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

fn assert_undisturbed(relay: &Relay, members: &[Heard]) {
    let counts = relay.counts();
    for (number, heard) in members.iter().enumerate() {
        let sent = u32::try_from(LASTS.as_millis() / TICK.as_millis()).unwrap();
        let packets: u32 = heard.packets.values().sum();
        let due = sent * u32::from(MEMBERS - 1);
        println!(
            "member {number}: {packets} of {due} packets, {} messages, the latest after {:?}",
            heard.messages, heard.latest
        );
        assert!(!heard.cut_off, "member {number} was cut off: {counts:?}");
        assert!(heard.latest < Duration::from_secs(1), "member {number} heard one after {:?}", heard.latest);
        // Those of the last second may still be on their way.
        let messages = (sent / MESSAGE_TICKS - 5) * u32::from(MEMBERS - 1);
        assert!(heard.messages >= messages, "member {number}: {} of {messages} messages", heard.messages);
        assert!(packets * 100 >= due * 95, "member {number}: {packets} of {due} packets, {counts:?}");
    }
    assert_eq!(counts.cut, 0);
}

// ---- floods
// -------------------------------------------------------------------------------------------

#[test]
fn ten_strangers_by_tcp_udp_and_quic_disturb_no_member() {
    let relay = support::relay(RelayOptions::default());
    let quic: Vec<_> = (0..3).map(|_| by_quic(&relay)).collect();
    let members = members_among(&relay, |address, until| {
        for length in [MAX_CONTROL, MAX_CONTROL, 1_000, 1, 0] {
            thread::spawn(move || shouts(address, length, until));
        }
        for length in [MAX_MEDIA, 1] {
            thread::spawn(move || sprays(address, length, until));
        }
        for client in quic {
            thread::spawn(move || floods_by_quic(client, until));
        }
    });
    assert_undisturbed(&relay, &members);
}

#[test]
fn a_member_that_hardly_reads_does_not_silence_the_others() {
    let relay = support::relay(RelayOptions::default());
    // It reads just enough not to be hung up on at once, and what there is to read comes from
    // strangers.
    let stop = Arc::new(AtomicBool::new(false));
    let drip = Plain::join(relay.address()).control;
    let stopped = Arc::clone(&stop);
    let dripping = thread::spawn(move || {
        let mut ears = &drip;
        while !stopped.load(Ordering::Relaxed) && matches!(ears.read(&mut [0; 500]), Ok(length) if length > 0)
        {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let members = members_among(&relay, |address, until| {
        for _ in 0..2 {
            thread::spawn(move || shouts(address, MAX_CONTROL, until));
        }
    });
    stop.store(true, Ordering::Relaxed);
    for (number, heard) in members.iter().enumerate() {
        assert!(!heard.cut_off && heard.latest < Duration::from_secs(1), "{number}: {:?}", heard.latest);
    }
    drop(relay);
    dripping.join().unwrap();
}

/// The strangers and the clock that this goes by share the machine with other tests, so it has
/// three tries. A relay that does not divide what it has fails each of them.
#[test]
fn a_room_that_is_flooded_takes_nothing_from_another_room() {
    let mut tries = (0..3).map(|_| beside_a_flooded_room());
    let fair = |(packets, sent, latest): &(u32, u32, Duration)| {
        println!("{packets} of {sent} packets, a message took {latest:?}");
        packets * 100 >= sent * 95 && *latest < Duration::from_secs(1)
    };
    assert!(tries.any(|one| fair(&one)));
}

/// Packets that came to a member of a quiet room, packets that were sent, and the longest way of a
/// message, while strangers flood another room.
fn beside_a_flooded_room() -> (u32, u32, Duration) {
    let limits = Limits { copy_rate: 4 * 1024 * 1024, ..Limits::default() };
    let relay = support::relay(RelayOptions { limits, ..RelayOptions::default() });
    let address = relay.address();
    let mut quiet = [(); 2].map(|()| {
        let mut client = tcp_udp::TcpUdpClient::new(relay.name());
        block_on(client.connect(RoomHandle::from_bytes([2; 16]))).unwrap();
        client
    });
    let until = Instant::now() + LASTS / 2;
    let strangers: Vec<_> = (0..10)
        .flat_map(|_| {
            [
                thread::spawn(move || shouts(address, 1, until)),
                thread::spawn(move || sprays(address, 1, until)),
            ]
        })
        .collect();
    let [ada, ben] = &mut quiet;
    let (mut sent, mut heard) = (0, Heard::default());
    let start = Instant::now();
    ticking(until, |tick| {
        ada.send_media(&packet(0)).unwrap();
        sent += 1;
        if tick % MESSAGE_TICKS == 0 {
            block_on(ada.send_control(message(0, start).into())).unwrap();
        }
        loop {
            match block_on(ben.receive(Instant::now() + TICK / 2)).unwrap() {
                Inbound::Media(bytes) => heard.packet(&bytes),
                Inbound::Control(bytes) => heard.message(&bytes, start),
                _ => break,
            }
        }
    });
    for stranger in strangers {
        stranger.join().unwrap();
    }
    (heard.packets.values().sum(), sent, heard.latest)
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let relay = support::relay(RelayOptions::default());
    let address = relay.address();
    let until = Instant::now() + LASTS;
    let flood = thread::spawn(move || {
        let mut held = Vec::new();
        while Instant::now() < until {
            held.push(TcpStream::connect(address).unwrap());
            thread::sleep(Duration::from_millis(40));
        }
    });
    let mut joined = 0;
    while Instant::now() < until {
        for name in [relay.name(), relay.quic_name().unwrap()] {
            let connected = match name.as_str().starts_with("quic:") {
                true => block_on(quic::QuicClient::new(name).unwrap().connect(ROOM)),
                false => block_on(tcp_udp::TcpUdpClient::new(name).connect(ROOM)),
            };
            assert_eq!(connected, Ok(()), "after {joined}: {:?}", relay.counts());
            joined += 1;
        }
        thread::sleep(Duration::from_millis(100));
    }
    flood.join().unwrap();
    assert!(relay.counts().refusals.pending > 0, "the flood was no flood");
}

#[test]
fn an_empty_datagram_goes_nowhere() {
    let relay = support::relay(RelayOptions::default());
    let (ada, ben) = (Plain::join(relay.address()), Plain::join(relay.address()));
    let mut cem = by_quic(&relay);
    ada.media.send(&[]).unwrap();
    ada.media.send(b"\xb0packet").unwrap();
    let mut buffer = [0; 100];
    assert_eq!(ben.media.recv(&mut buffer).unwrap(), 7);
    let patience = Instant::now() + Duration::from_secs(20);
    assert_eq!(block_on(cem.receive(patience)), Ok(Inbound::Media(b"\xb0packet"[..].into())));
    assert_eq!(relay.counts().malformed, 1);
}
