//! The reference relay against members who keep to SPEC section 8.2, written out here in raw bytes,
//! and against those who do not. Everybody else in the relay must go on undisturbed.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sottovoce::{
    relay::{
        Counts, Limits, Relay, RelayOptions,
        log::{Connection, Lane, LogRecord, Reader, Writer},
    },
    transport::Percent,
};

const ROOM: u8 = 1;
const OTHER_ROOM: u8 = 2;

/// Long enough for any machine; nothing that works waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for a packet that should not come to come.
const MOMENT: Duration = Duration::from_millis(100);

fn start(limits: Limits) -> Relay {
    start_with(RelayOptions { limits, ..RelayOptions::default() })
}

fn start_with(options: RelayOptions) -> Relay {
    Relay::start(([127, 0, 0, 1], 0).into(), options).unwrap()
}

fn connect(relay: &Relay) -> TcpStream {
    let stream = TcpStream::connect(relay.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn hello(room: u8) -> Vec<u8> {
    [&b"svrelay\x01"[..], &[room; 16]].concat()
}

fn bind(ticket: [u8; 16], cookie: [u8; 16]) -> Vec<u8> {
    [&b"\xff\x00sv\x01\x01"[..], &ticket, &cookie].concat()
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// Everything that the relay says until it hangs up.
fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("the relay holds on: {error}"),
        _ => bytes,
    }
}

fn datagram(socket: &UdpSocket, patience: Duration) -> Option<Vec<u8>> {
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut buffer = [0; 2_048];
    let length = socket.recv(&mut buffer).ok()?;
    Some(buffer[..length].to_vec())
}

fn wait_for(relay: &Relay, what: impl Fn(&Counts) -> bool) -> Counts {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let counts = relay.counts();
        if what(&counts) {
            return counts;
        }
        assert!(Instant::now() < deadline, "{counts:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A member who keeps to the rules.
struct Member {
    control: TcpStream,
    media: UdpSocket,
    ticket: [u8; 16],
}

impl Member {
    fn join(relay: &Relay, room: u8) -> Self {
        let mut member = Self { control: connect(relay), media: socket(), ticket: [0; 16] };
        member.control.write_all(&hello(room)).unwrap();
        let mut answer = [0; 25];
        member.control.read_exact(&mut answer).unwrap();
        assert_eq!(&answer[..9], b"svrelay\x01\x00");
        member.ticket = answer[9..].try_into().unwrap();
        assert!(member.bind(relay.address()));
        member
    }

    /// Binds the address of `self.media` and tells whether that worked.
    fn bind(&self, relay: SocketAddr) -> bool {
        self.media.send_to(&bind(self.ticket, [0; 16]), relay).unwrap();
        let challenge = datagram(&self.media, PATIENCE).unwrap();
        assert_eq!(challenge[..22], [&b"\xff\x00sv\x01\x02"[..], &self.ticket].concat());
        self.media.send_to(&bind(self.ticket, challenge[22..].try_into().unwrap()), relay).unwrap();
        let bound = datagram(&self.media, PATIENCE).unwrap();
        self.media.connect(relay).unwrap();
        bound == [&b"\xff\x00sv\x01\x03"[..], &self.ticket].concat()
    }

    fn say(&mut self, message: &[u8]) {
        self.control.write_all(&frame(message)).unwrap();
    }

    fn control(&mut self) -> Vec<u8> {
        let mut length = [0; 2];
        self.control.read_exact(&mut length).unwrap();
        let mut message = vec![0; u16::from_be_bytes(length).into()];
        self.control.read_exact(&mut message).unwrap();
        message
    }
}

/// Two members who must be able to talk whatever the third does.
struct Pair {
    ada: Member,
    ben: Member,
}

impl Pair {
    fn join(relay: &Relay) -> Self {
        Self { ada: Member::join(relay, ROOM), ben: Member::join(relay, ROOM) }
    }

    fn talk(&mut self) {
        let (mut from, mut to) = (&mut self.ada, &mut self.ben);
        for _ in 0..2 {
            from.say(b"message");
            assert_eq!(to.control(), b"message");
            from.media.send(b"\xb0packet").unwrap();
            assert_eq!(datagram(&to.media, PATIENCE).unwrap(), b"\xb0packet");
            std::mem::swap(&mut from, &mut to);
        }
    }
}

// ---- at the door
// --------------------------------------------------------------------------------------

#[test]
fn garbage_is_hung_up_on_without_a_word() {
    let relay = start(Limits::default());
    let mut pair = Pair::join(&relay);
    for garbage in [&b"G"[..], b"\x16\x03\x01", b"svrelax", b"\0", &[0xff; 4_096]] {
        let mut stream = connect(&relay);
        // It may hang up before it has read all of it.
        let _ = stream.write_all(garbage);
        assert_eq!(read_to_end(&stream), b"");
    }
    pair.talk();
    assert_eq!(wait_for(&relay, |counts| counts.refused >= 5).refused, 5);
}

#[test]
fn another_version_is_told_which_one_this_is() {
    let relay = start(Limits::default());
    let mut stream = connect(&relay);
    stream.write_all(b"svrelay\x05").unwrap();
    assert_eq!(read_to_end(&stream), b"svrelay\x01\x01");
}

#[test]
fn a_connection_that_says_too_little_ends_in_time_even_if_it_says_it_slowly() {
    let relay = start(Limits { hello_timeout: Duration::from_millis(300), ..Limits::default() });
    let start = Instant::now();
    let silent = connect(&relay);
    let mut slow = connect(&relay);
    thread::scope(|scope| {
        scope.spawn(|| {
            for byte in hello(ROOM) {
                if slow.write_all(&[byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        assert_eq!(read_to_end(&silent), b"");
    });
    assert_eq!(read_to_end(&slow), b"");
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(wait_for(&relay, |counts| counts.refused >= 2).connections, 0);
}

#[test]
fn half_open_connections_have_a_limit_of_their_own() {
    let limits = Limits { pending: 4, hello_timeout: Duration::from_millis(500), ..Limits::default() };
    let relay = start(limits);
    let mut pair = Pair::join(&relay);
    let half_open: Vec<_> = (0..20).map(|_| connect(&relay)).collect();
    wait_for(&relay, |counts| counts.refused >= 16);
    pair.talk();
    wait_for(&relay, |counts| counts.refused >= 20);
    let mut late = Member::join(&relay, ROOM);
    pair.ada.say(b"welcome");
    assert_eq!(late.control(), b"welcome");
    drop(half_open);
}

#[test]
fn a_member_is_told_which_limit_is_reached() {
    let relay = start(Limits { connections: 4, rooms: 2, members: 2, ..Limits::default() });
    let refusal = |room| {
        let mut stream = connect(&relay);
        stream.write_all(&hello(room)).unwrap();
        read_to_end(&stream)
    };
    let _pair = Pair::join(&relay);
    assert_eq!(refusal(ROOM), b"svrelay\x01\x04");
    let _cem = Member::join(&relay, OTHER_ROOM);
    assert_eq!(refusal(3), b"svrelay\x01\x03");
    let _dag = Member::join(&relay, OTHER_ROOM);
    assert_eq!(refusal(ROOM), b"svrelay\x01\x02");
}

// ---- on the control lane
// ------------------------------------------------------------------------------

#[test]
fn a_message_above_the_limit_ends_its_sender_only() {
    let relay = start(Limits::default());
    let mut pair = Pair::join(&relay);
    let mut rude = Member::join(&relay, ROOM);
    rude.say(b"before");
    rude.control.write_all(&[0x40, 0x01, b'x']).unwrap();
    assert_eq!(read_to_end(&rude.control), b"");
    assert_eq!((pair.ada.control(), pair.ben.control()), (b"before".to_vec(), b"before".to_vec()));
    pair.talk();
    assert_eq!(relay.counts().cut, 1);
}

#[test]
fn a_member_that_does_not_read_is_cut_off_while_the_others_continue() {
    let write_timeout = Duration::from_millis(200);
    let relay = start(Limits { queue: 50_000, control_rate: u32::MAX, write_timeout, ..Limits::default() });
    let mut pair = Pair::join(&relay);
    let deaf = Member::join(&relay, ROOM);
    let message = vec![7; 16 * 1024];
    let mut sent = 0;
    while relay.counts().cut == 0 {
        pair.ada.say(&message);
        assert_eq!(pair.ben.control(), message);
        sent += 1;
        assert!(sent < 10_000, "kernel buffers cannot hold that much");
    }
    pair.talk();
    // The connection really ends, and what was written is whole messages up to the cut.
    assert!(read_to_end(&deaf.control).len() < sent * message.len());
}

#[test]
fn a_member_that_accepts_nothing_for_too_long_is_cut_off_with_little_waiting() {
    let write_timeout = Duration::from_millis(200);
    let limits = Limits { queue: 1 << 30, control_rate: u32::MAX, write_timeout, ..Limits::default() };
    let relay = start(limits);
    let mut pair = Pair::join(&relay);
    let _deaf = Member::join(&relay, ROOM);
    let message = vec![7; 16 * 1024];
    let deadline = Instant::now() + PATIENCE;
    while relay.counts().cut == 0 {
        pair.ada.say(&message);
        assert_eq!(pair.ben.control(), message);
        thread::sleep(Duration::from_millis(1));
        assert!(Instant::now() < deadline);
    }
    pair.talk();
}

#[test]
fn a_member_that_floods_the_control_lane_is_slowed_down_and_loses_nothing() {
    let relay = start(Limits { control_rate: 20_000, ..Limits::default() });
    let mut pair = Pair::join(&relay);
    let start = Instant::now();
    let message = vec![7; 10_000 - 64 - 2];
    // 16 go at once, and each of the others takes half a second.
    for _ in 0..18 {
        pair.ada.say(&message);
    }
    for _ in 0..18 {
        assert_eq!(pair.ben.control(), message);
    }
    assert!(start.elapsed() >= Duration::from_millis(450));
    assert_eq!(relay.counts().cut, 0);
}

#[test]
fn a_member_that_falls_silent_is_taken_for_gone_and_one_that_binds_again_is_not() {
    let relay = start(Limits { idle_timeout: Duration::from_millis(600), ..Limits::default() });
    let gone = Member::join(&relay, ROOM);
    let alive = Member::join(&relay, ROOM);
    let end = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < end {
        alive.media.send(&bind(alive.ticket, [0; 16])).unwrap();
        assert_eq!(datagram(&alive.media, PATIENCE).unwrap()[5], 3);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(read_to_end(&gone.control), b"");
    assert_eq!(relay.counts().cut, 1);
}

// ---- on the media lane
// --------------------------------------------------------------------------------

#[test]
fn nobody_gets_into_a_room_by_datagrams_alone() {
    let relay = start(Limits::default());
    let mut pair = Pair::join(&relay);
    let stranger = socket();
    stranger.connect(relay.address()).unwrap();
    let forged_bound = [&b"\xff\x00sv\x01\x03"[..], &pair.ada.ticket].concat();
    let wrong_ticket = {
        let mut ticket = pair.ada.ticket;
        ticket[15] ^= 1;
        bind(ticket, [0; 16])
    };
    for attempt in [&b"\xb0packet"[..], b"", &wrong_ticket, &bind([0; 16], [0; 16]), &forged_bound] {
        stranger.send(attempt).unwrap();
    }
    let counts = wait_for(&relay, |counts| counts.unbound + counts.malformed >= 5);
    assert_eq!((counts.unbound, counts.malformed, counts.media), (4, 1, 0));
    pair.talk();
    assert_eq!(datagram(&stranger, MOMENT), None);
}

#[test]
fn a_ticket_moves_an_address_only_with_the_cookie_sent_there() {
    let relay = start(Limits::default());
    let mut pair = Pair::join(&relay);
    // Knows the ticket of the first, but not what the relay sends to the address that it claims to
    // have: with any other cookie, and with the one it was given at an address of its own, it gets
    // no further.
    let [thief, elsewhere] = [socket(), socket()];
    thief.send_to(&bind(pair.ada.ticket, [0; 16]), relay.address()).unwrap();
    let cookie: [u8; 16] = datagram(&thief, PATIENCE).unwrap()[22..].try_into().unwrap();
    for guess in [cookie, [0; 16], [0xff; 16]] {
        elsewhere.send_to(&bind(pair.ada.ticket, guess), relay.address()).unwrap();
        assert_eq!(datagram(&elsewhere, PATIENCE).unwrap()[5], 2);
    }
    pair.talk();
    // The member itself moves, and what comes from its old address counts no more.
    let old = std::mem::replace(&mut pair.ada.media, socket());
    assert!(pair.ada.bind(relay.address()));
    pair.talk();
    old.send(b"\xb0old").unwrap();
    wait_for(&relay, |counts| counts.unbound == 1);
    assert_eq!(datagram(&pair.ben.media, MOMENT), None);
}

#[test]
fn members_cannot_speak_in_the_relays_name_or_above_its_size() {
    let relay = start(Limits::default());
    let mut pair = Pair::join(&relay);
    let forged_bound = [&b"\xff\x00sv\x01\x03"[..], &pair.ben.ticket].concat();
    for dropped in
        [&forged_bound[..], b"\xff\x00", b"\xff\x00sv\x01\x01short", &[0xb0; 1_101], &[0xb0; 9_000]]
    {
        pair.ada.media.send(dropped).unwrap();
    }
    wait_for(&relay, |counts| counts.malformed == 5);
    assert_eq!(datagram(&pair.ben.media, MOMENT), None);
    pair.ada.media.send(&[0xb0; 1_100]).unwrap();
    assert_eq!(datagram(&pair.ben.media, PATIENCE).unwrap(), [0xb0; 1_100]);
    pair.talk();
}

#[test]
fn packets_above_a_members_rate_are_dropped_and_its_neighbours_keep_theirs() {
    let relay = start(Limits { media_rate: 50, ..Limits::default() });
    let mut pair = Pair::join(&relay);
    for _ in 0..200 {
        pair.ada.media.send(b"\xb0flood").unwrap();
    }
    let counts = wait_for(&relay, |counts| counts.media + counts.over_rate >= 200);
    assert!((40..100).contains(&counts.media), "{counts:?}");
    while datagram(&pair.ben.media, MOMENT).is_some() {}
    pair.ben.media.send(b"\xb0packet").unwrap();
    assert_eq!(datagram(&pair.ada.media, PATIENCE).unwrap(), b"\xb0packet");
    pair.ada.say(b"still here");
    assert_eq!(pair.ben.control(), b"still here");
}

#[test]
fn losses_on_purpose_follow_from_the_seed() {
    let run = |seed| {
        let media_loss = Percent::new(30.0).unwrap();
        let limits = Limits { media_rate: u32::MAX, ..Limits::default() };
        let relay = start_with(RelayOptions { media_loss, seed, limits, ..RelayOptions::default() });
        let speakers = [Member::join(&relay, ROOM), Member::join(&relay, ROOM)];
        let listener = Member::join(&relay, ROOM);
        let mut heard = Vec::new();
        for number in 0..200u8 {
            let before = relay.counts();
            speakers[usize::from(number % 2)].media.send(&[0xb0, number]).unwrap();
            wait_for(&relay, |counts| counts.copies + counts.lost == before.copies + before.lost + 2);
        }
        while let Some(packet) = datagram(&listener.media, MOMENT) {
            heard.push(packet[1]);
        }
        (heard, relay.counts().lost)
    };
    let (heard, lost) = run(1);
    assert!((100..180).contains(&heard.len()), "{}", heard.len());
    assert!((80..160).contains(&lost), "{lost}");
    assert_eq!(run(1), (heard.clone(), lost));
    assert_ne!(run(2).0, heard);
}

// ---- the log and the end
// ------------------------------------------------------------------------------

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_holds_exactly_what_the_members_sent() {
    let buffer = Buffer::default();
    let log = Some(Writer::new(buffer.clone()).unwrap());
    let relay = start_with(RelayOptions { log, ..RelayOptions::default() });
    let mut pair = Pair::join(&relay);
    let mut sent = Vec::new();
    for number in 0..20u8 {
        let message = vec![number; 1 + usize::from(number) * 800];
        pair.ada.say(&message);
        assert_eq!(pair.ben.control(), message);
        sent.push((Lane::Control, 0, message));
        let packet = vec![0xb0 | (number % 8); 1 + usize::from(number) * 50];
        pair.ben.media.send(&packet).unwrap();
        assert_eq!(datagram(&pair.ada.media, PATIENCE).unwrap(), packet);
        sent.push((Lane::Media, 1, packet));
    }
    let stranger = socket();
    stranger.send_to(b"not a member's", relay.address()).unwrap();
    wait_for(&relay, |counts| counts.unbound == 1);
    let counts = relay.stop().unwrap();
    assert_eq!((counts.connections, counts.control, counts.media, counts.copies), (2, 20, 20, 20));

    let bytes = buffer.0.lock().unwrap().clone();
    let records: Vec<LogRecord> = Reader::new(&bytes[..]).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(records.is_sorted_by_key(|record| record.at));
    let of = |lanes: &[Lane]| -> Vec<(Lane, u16, Vec<u8>)> {
        let records = records.iter().filter(|record| lanes.contains(&record.lane));
        records.map(|record| (record.lane, record.connection.0, record.bytes.clone())).collect()
    };
    assert_eq!(of(&[Lane::Control, Lane::Media]), sent);
    assert_eq!(of(&[Lane::Hello]), [(Lane::Hello, 0, hello(ROOM)), (Lane::Hello, 1, hello(ROOM))]);
    let binds = of(&[Lane::Bind]);
    assert_eq!(binds.len(), 4);
    for (member, connection) in [(&pair.ada, 0), (&pair.ben, 1)] {
        let first = (Lane::Bind, connection, bind(member.ticket, [0; 16]));
        assert!(binds.contains(&first));
    }
    assert!(records.iter().all(|record| record.connection <= Connection(1)));
}

#[test]
fn a_log_that_cannot_be_written_shows_at_once_and_when_the_relay_stops() {
    struct Full(bool);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match std::mem::replace(&mut self.0, true) {
                false => Ok(bytes.len()),
                true => Err(ErrorKind::StorageFull.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Some(Writer::new(Full(false)).unwrap());
    let relay = start_with(RelayOptions { log, ..RelayOptions::default() });
    assert_eq!(relay.log_error(), None);
    let mut pair = Pair::join(&relay);
    let deadline = Instant::now() + PATIENCE;
    while relay.log_error().is_none() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(relay.log_error(), Some(ErrorKind::StorageFull));
    // Its members go on, and what is missing in the log is counted.
    pair.talk();
    assert!(wait_for(&relay, |counts| counts.log_lost >= 4).log_lost >= 4);
    assert!(relay.metrics().contains("sottovoce_relay_log_failed 1\n"));
    assert_eq!(relay.stop().unwrap_err().kind(), ErrorKind::StorageFull);
}

#[test]
fn stopping_hangs_up_on_everybody_and_frees_the_port() {
    let relay = start(Limits::default());
    let address = relay.address();
    let mut pair = Pair::join(&relay);
    let mut half_open = connect(&relay);
    half_open.write_all(b"svrelay").unwrap();
    thread::sleep(MOMENT);
    pair.talk();
    assert_eq!(Relay::start(address, RelayOptions::default()).unwrap_err().kind(), ErrorKind::AddrInUse);
    let start = Instant::now();
    relay.stop().unwrap();
    assert!(start.elapsed() < Duration::from_secs(3));
    for stream in [&pair.ada.control, &pair.ben.control, &half_open] {
        assert_eq!(read_to_end(stream), b"");
    }
    UdpSocket::bind(address).unwrap();
    let again = Relay::start(address, RelayOptions::default()).unwrap();
    Pair::join(&again).talk();
    drop(again);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

// ---- everything at once
// -------------------------------------------------------------------------------

#[test]
fn random_bytes_on_both_lanes_disturb_nobody() {
    let relay = start(Limits { hello_timeout: Duration::from_millis(100), ..Limits::default() });
    let mut pair = Pair::join(&relay);
    let member = Member::join(&relay, OTHER_ROOM);
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let valid_starts = prop_oneof![
        Just(Vec::new()),
        Just(b"svrelay".to_vec()),
        Just(hello(OTHER_ROOM)),
        Just(b"\xff\x00sv\x01\x01".to_vec()),
        Just(bind(member.ticket, [0; 16])),
    ];
    runner
        .run(&(valid_starts, bytes), |(start, rest)| {
            let bytes = [start, rest].concat();
            let mut stream = connect(&relay);
            // The relay may hang up at any byte, and datagrams may be dropped.
            let _ = stream.write_all(&bytes);
            let _ = socket().send_to(&bytes, relay.address());
            let _ = member.media.send(&bytes);
            Ok(())
        })
        .unwrap();
    pair.talk();
    let counts = relay.counts();
    assert!(counts.refused > 0 && counts.unbound > 0 && counts.malformed > 0, "{counts:?}");
    relay.stop().unwrap();
}
