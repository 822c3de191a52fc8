//! The reference relay over QUIC (SPEC section 8.2.8): members of both kinds in one room, relays
//! that are not who they should be, and members who do not keep to the rules. Everybody else in the
//! relay must go on undisturbed.

use std::{
    net::UdpSocket,
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use quinn_proto::{ConnectionError, TransportErrorCode};
use sottovoce::{
    relay::{
        Counts, Limits, Relay, RelayOptions,
        log::{Lane, LogRecord, Reader, Writer},
        quic::{Certificate, InvalidCertificate},
        token::Issuer,
    },
    transport::{
        Inbound, MAX_CONTROL, MAX_MEDIA, RelayName, RoomHandle, Transport, TransportError, block_on,
        quic::{Pin, QuicClient},
        tcp_udp,
    },
};

use sottovoce_testkit::quic as support;
use sottovoce_testkit::raw_quic::{Impostor, Raw};

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
/// Long enough for any machine; nothing that works waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(limits: Limits) -> Relay {
    support::relay(RelayOptions { limits, ..RelayOptions::default() })
}

fn connect(relay: &Relay) -> Result<QuicClient, TransportError> {
    let mut client = QuicClient::new(relay.quic_name().unwrap()).unwrap();
    block_on(client.connect(ROOM)).map(|()| client)
}

fn join(relay: &Relay) -> QuicClient {
    connect(relay).unwrap()
}

fn say(member: &mut impl Transport, message: impl Into<Bytes>) {
    block_on(member.send_control(message.into())).unwrap();
}

fn receive(member: &mut impl Transport) -> Result<Inbound, TransportError> {
    block_on(member.receive(Instant::now() + PATIENCE))
}

fn heard(member: &mut impl Transport) -> Bytes {
    match receive(member).unwrap() {
        Inbound::Control(message) => message,
        other => panic!("{other:?}"),
    }
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

fn hello() -> Vec<u8> {
    [&b"svrelay\x01"[..], ROOM.as_bytes()].concat()
}

/// A member who may break any rule from here on.
fn raw_member(relay: &Relay) -> Raw {
    let mut raw = Raw::connect(relay.quic_address().unwrap());
    raw.write(&hello());
    assert_eq!(raw.read(9), b"svrelay\x01\x00");
    raw
}

/// Two members, one of each kind, who must be able to talk whatever others do.
struct Pair {
    ada: QuicClient,
    ben: tcp_udp::TcpUdpClient,
}

impl Pair {
    fn join(relay: &Relay) -> Self {
        let mut ben = tcp_udp::TcpUdpClient::new(relay.name());
        block_on(ben.connect(ROOM)).unwrap();
        Self { ada: join(relay), ben }
    }

    fn talk(&mut self) {
        fn one_way(from: &mut impl Transport, to: &mut impl Transport) {
            say(from, "message");
            assert_eq!(receive(to), Ok(Inbound::Control("message".into())));
            from.send_media(b"\xb0packet").unwrap();
            assert_eq!(receive(to), Ok(Inbound::Media(Bytes::from_static(b"\xb0packet"))));
        }
        one_way(&mut self.ada, &mut self.ben);
        one_way(&mut self.ben, &mut self.ada);
    }
}

// ---- one room
// -----------------------------------------------------------------------------------------

#[test]
fn members_by_quic_and_members_by_tcp_and_udp_meet_in_one_room() {
    let path =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("quic-{}.log", std::process::id()));
    let log = Some(Writer::new(std::fs::File::create(&path).unwrap()).unwrap());
    let relay = support::relay(RelayOptions { log, ..RelayOptions::default() });
    let mut pair = Pair::join(&relay);
    let mut cem = join(&relay);
    pair.talk();
    // Order holds within a lane only.
    let mut all = [(); 4].map(|()| receive(&mut cem).unwrap());
    all.sort_by_key(|inbound| matches!(inbound, Inbound::Media(_)));
    let packet = || Inbound::Media(Bytes::from_static(b"\xb0packet"));
    let message = || Inbound::Control("message".into());
    assert_eq!(all, [message(), message(), packet(), packet()]);
    let largest = [vec![7; MAX_CONTROL], vec![8; MAX_MEDIA]];
    say(&mut cem, largest[0].clone());
    cem.send_media(&largest[1]).unwrap();
    for received in [[(); 2].map(|()| receive(&mut pair.ada)), [(); 2].map(|()| receive(&mut pair.ben))] {
        assert!(received.contains(&Ok(Inbound::Control(largest[0].clone().into()))));
        assert!(received.contains(&Ok(Inbound::Media(largest[1].clone().into()))));
    }
    let counts = relay.stop().unwrap();
    assert_eq!((counts.control, counts.control_copies, counts.media, counts.copies), (3, 6, 3, 6));
    // The log has what they sent, whichever way it came.
    let records = Reader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let records: Vec<LogRecord> = records.collect::<Result<_, _>>().unwrap();
    std::fs::remove_file(path).unwrap();
    let count = |lane| records.iter().filter(|record| record.lane == lane).count();
    assert_eq!((count(Lane::Hello), count(Lane::Control), count(Lane::Media)), (3, 3, 3));
    assert!(records.iter().any(|record| record.lane == Lane::Media && record.bytes == largest[1]));
}

#[test]
fn a_member_whose_address_changes_stays_in_the_room_with_both_lanes() {
    let relay = start(Limits::default());
    let mut ben = join(&relay);
    let mut ada = raw_member(&relay);
    for _ in 0..3 {
        ada.move_elsewhere();
        ada.write(&[0, 5, b'h', b'e', b'l', b'l', b'o']);
        assert_eq!(heard(&mut ben), "hello");
        ada.datagram(b"\xb0packet");
        assert_eq!(receive(&mut ben), Ok(Inbound::Media(Bytes::from_static(b"\xb0packet"))));
        // The way back goes to the new address.
        say(&mut ben, "there");
        assert_eq!(ada.read(7), b"\0\x05there");
    }
    assert_eq!(relay.counts().connections, 2);
}

#[test]
fn tokens_and_their_revocation_hold_for_members_by_quic() {
    let issuer = Issuer::from_seed([7; 32]);
    let relay = support::relay(RelayOptions { issuer: Some(issuer.key()), ..RelayOptions::default() });
    let expiry = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 3_600;
    assert_eq!(connect(&relay).map(drop), Err(TransportError::Refused));
    let [mut ada, mut banned] = [[1; 16], [2; 16]].map(|serial| {
        let client = QuicClient::new(relay.quic_name().unwrap()).unwrap();
        let mut client = client.with_token(issuer.mint(ROOM, serial, expiry));
        block_on(client.connect(ROOM)).unwrap();
        client
    });
    let forged = Issuer::from_seed([8; 32]).revoke([2; 16], expiry).send(&relay.quic_name().unwrap());
    assert_eq!(forged, Err(TransportError::Refused));
    // By QUIC as well, so that nobody on the way sees which token it is about.
    assert_eq!(issuer.revoke([2; 16], expiry).send(&relay.quic_name().unwrap()), Ok(()));
    say(&mut ada, "after");
    ada.send_media(b"after").unwrap();
    assert_eq!(receive(&mut banned), Err(TransportError::Closed));
    assert_eq!(block_on(banned.connect(ROOM)), Err(TransportError::Refused));
    assert_eq!(relay.counts().revoked, 1);
}

#[test]
fn a_relay_that_drains_lets_nobody_in_by_quic_and_everything_out() {
    let relay = start(Limits { control_rate: u32::MAX, ..Limits::default() });
    let name = relay.quic_name().unwrap();
    let mut pair = Pair::join(&relay);
    for number in 0..60 {
        say(&mut pair.ben, vec![number; MAX_CONTROL]);
    }
    wait_for(&relay, |counts| counts.control == 60);
    let draining = thread::spawn(move || relay.drain(Duration::from_millis(600)));
    thread::sleep(Duration::from_millis(100));
    let mut late = QuicClient::new(name).unwrap();
    assert_eq!(block_on(late.connect(ROOM)), Err(TransportError::Busy));
    say(&mut pair.ada, "meanwhile");
    assert_eq!(heard(&mut pair.ben), "meanwhile");
    for number in 0..60 {
        assert_eq!(heard(&mut pair.ada), vec![number; MAX_CONTROL]);
    }
    assert_eq!(receive(&mut pair.ada), Err(TransportError::Closed));
    assert_eq!(draining.join().unwrap().unwrap().cut, 0);
}

#[test]
fn a_relay_that_stops_hangs_up_and_a_member_connects_to_the_next_one() {
    let relay = start(Limits::default());
    let (mut pair, address) = (Pair::join(&relay), relay.quic_address().unwrap());
    pair.talk();
    relay.stop().unwrap();
    assert_eq!(receive(&mut pair.ada), Err(TransportError::Closed));
    assert_eq!(pair.ada.send_media(b"x"), Err(TransportError::Closed));
    UdpSocket::bind(address).unwrap();
}

// ---- relays that are not who they should be
// ------------------------------------------------------------

#[test]
fn whoever_has_another_certificate_than_the_pinned_one_is_told_apart() {
    let relay = start(Limits::default());
    let here = relay.quic_address().unwrap().to_string();
    let connect = |name: RelayName| block_on(QuicClient::new(name).unwrap().connect(ROOM));
    let other = support::certificate("relay.example").pin();
    assert_eq!(connect(other.name(&here).unwrap()), Err(TransportError::WrongCertificate));
    // Nobody whom the Web PKI trusts has vouched for this one.
    assert_eq!(connect(format!("quic:{here}").parse().unwrap()), Err(TransportError::WrongCertificate));
    assert_eq!(connect(relay.quic_name().unwrap()), Ok(()));
    // A certificate is no secret: who shows the right one has to have its key as well.
    let right = rcgen::generate_simple_self_signed(["relay.example".to_owned()]).unwrap();
    let wrong = rcgen::generate_simple_self_signed(["relay.example".to_owned()]).unwrap();
    let (der, pin) = (right.cert.der().to_vec(), Pin::of(right.cert.der()));
    let thief = Impostor::start(der.clone(), wrong.signing_key.serialize_der(), b"sottovoce/1");
    assert_eq!(connect(pin.name(&thief.address.to_string()).unwrap()), Err(TransportError::WrongCertificate));
    // The right one, but what is there speaks something else.
    let web = Impostor::start(der, right.signing_key.serialize_der(), b"h3");
    assert_eq!(connect(pin.name(&web.address.to_string()).unwrap()), Err(TransportError::Refused));
}

#[test]
fn nobody_at_all_and_whoever_says_nothing_are_unreachable_in_bounded_time() {
    let start = Instant::now();
    let made = rcgen::generate_simple_self_signed(["relay.example".to_owned()]).unwrap();
    let pin = Pin::of(made.cert.der());
    let silent = Impostor::start(made.cert.der().to_vec(), made.signing_key.serialize_der(), b"sottovoce/1");
    let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
    let places = [silent.address, deaf.local_addr().unwrap()].map(|place| place.to_string());
    let clients = places.into_iter().map(|place| {
        let mut client = QuicClient::new(pin.name(&place).unwrap()).unwrap();
        thread::spawn(move || block_on(client.connect(ROOM)))
    });
    for client in clients.collect::<Vec<_>>() {
        // What grants no stream cannot be a relay; what does not answer is not there.
        let result = client.join().unwrap();
        assert!(matches!(result, Err(TransportError::Unreachable)), "{result:?}");
    }
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn certificates_that_are_none_are_refused_when_the_relay_is_made() {
    let [one, other] =
        [(); 2].map(|()| rcgen::generate_simple_self_signed(["relay.example".to_owned()]).unwrap());
    let [chain, key] = [one.cert.pem(), one.signing_key.serialize_pem()];
    let from = |chain: &str, key: &str| Certificate::from_pem(chain.as_bytes(), key.as_bytes()).map(drop);
    assert_eq!(from(&chain, &key), Ok(()));
    assert_eq!(from("", &key), Err(InvalidCertificate::Chain));
    assert_eq!(from(&chain, &chain), Err(InvalidCertificate::Key));
    assert_eq!(from(&chain, &other.signing_key.serialize_pem()), Err(InvalidCertificate::Unfit));
    assert_eq!(
        Certificate::from_der(vec![vec![1, 2, 3]], one.signing_key.serialize_der()).map(drop),
        Err(InvalidCertificate::Unfit)
    );
    let shown = format!("{:?}", Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap());
    assert_eq!(shown, format!("Certificate {{ pin: {:?}, .. }}", Pin::of(one.cert.der())));
}

// ---- members who do not keep to the rules
// --------------------------------------------------------------

#[test]
fn garbage_in_datagrams_and_on_streams_disturbs_nobody() {
    let relay = start(Limits::default());
    let mut pair = Pair::join(&relay);
    let address = relay.quic_address().unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [0, 1, 20, 21, 100, 1_200, 1_500] {
        for first in [0x00, 0x40, 0xc0, 0xff] {
            let mut bytes: Vec<u8> = (0..length).map(|n| (n * 7 + length) as u8).collect();
            bytes.splice(..length.min(5), [first, 0, 0, 0, 1].into_iter().take(length.min(5)));
            stranger.send_to(&bytes, address).unwrap();
        }
    }
    for garbage in [&b"G"[..], b"svrelax", b"\x16\x03\x01", &[0xff; 4_096]] {
        let mut raw = Raw::connect(address);
        raw.write(garbage);
        assert_eq!(raw.code(), Some(1));
    }
    pair.talk();
    assert_eq!(wait_for(&relay, |counts| counts.refused >= 4).refusals.garbage, 4);
}

#[test]
fn another_version_is_told_which_one_this_is_and_another_protocol_does_not_get_that_far() {
    let relay = start(Limits::default());
    let mut raw = Raw::connect(relay.quic_address().unwrap());
    raw.write(b"svrelay\x05");
    assert_eq!(raw.read(100), b"svrelay\x01\x01");
    let mut web = Raw::start(relay.quic_address().unwrap(), b"h3");
    web.drive_until(|raw| raw.connected);
    let no_such_protocol = TransportErrorCode::crypto(120);
    assert!(
        matches!(&web.ended, Some(ConnectionError::ConnectionClosed(close)) if close.error_code == no_such_protocol)
    );
}

#[test]
fn half_open_connections_have_a_limit_and_end_in_time() {
    let limits = Limits { pending: 4, hello_timeout: Duration::from_millis(700), ..Limits::default() };
    let relay = start(limits);
    let mut pair = Pair::join(&relay);
    let address = relay.quic_address().unwrap();
    let mut silent: Vec<_> = (0..4).map(|_| Raw::connect(address)).collect();
    let mut late = Raw::start(address, b"sottovoce/1");
    late.drive_until(|raw| raw.connected);
    let refused = TransportErrorCode::CONNECTION_REFUSED;
    assert!(
        matches!(&late.ended, Some(ConnectionError::ConnectionClosed(close)) if close.error_code == refused)
    );
    assert_eq!(connect(&relay).map(drop), Err(TransportError::Busy));
    pair.talk();
    // Half a hello is none.
    silent[0].write(&hello()[..20]);
    for raw in &mut silent {
        assert_eq!(raw.code(), Some(1));
    }
    assert_eq!(wait_for(&relay, |counts| counts.refusals.no_hello == 4).connections, 2);
    let mut cem = join(&relay);
    say(&mut pair.ada, "welcome");
    assert_eq!(heard(&mut cem), "welcome");
}

#[test]
fn nothing_is_kept_for_an_address_that_does_not_answer() {
    let relay = start(Limits { pending: 2, ..Limits::default() });
    let address = relay.quic_address().unwrap();
    // Each begins a handshake and never sees what the relay says to it: what a forger of addresses
    // can do.
    for _ in 0..50 {
        let mut forged = Raw::start(address, b"sottovoce/1");
        let mut buffer = Vec::new();
        let transmit = forged.connection.poll_transmit(Instant::now(), 1, &mut buffer).unwrap();
        let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
        elsewhere.send_to(&buffer[..transmit.size], address).unwrap();
    }
    Pair::join(&relay).talk();
    assert_eq!(relay.counts().refused, 0);
}

#[test]
fn a_member_is_told_which_limit_is_reached() {
    let relay = start(Limits { connections: 3, rooms: 2, members: 2, ..Limits::default() });
    let refusal = |room: u8| {
        let mut raw = Raw::connect(relay.quic_address().unwrap());
        raw.write(&[&b"svrelay\x01"[..], &[room; 16]].concat());
        raw.read(100)
    };
    let _pair = Pair::join(&relay);
    assert_eq!(refusal(1), b"svrelay\x01\x04");
    let mut other = QuicClient::new(relay.quic_name().unwrap()).unwrap();
    block_on(other.connect(RoomHandle::from_bytes([2; 16]))).unwrap();
    assert_eq!(refusal(2), b"svrelay\x01\x02");
    assert_eq!(connect(&relay).map(drop), Err(TransportError::Busy));
}

#[test]
fn a_flood_of_rooms_is_bounded_and_disturbs_nobody() {
    let relay = start(Limits { rooms: 4, ..Limits::default() });
    let mut pair = Pair::join(&relay);
    let mut held = Vec::new();
    for number in 10..30 {
        let mut client = QuicClient::new(relay.quic_name().unwrap()).unwrap();
        match block_on(client.connect(RoomHandle::from_bytes([number; 16]))) {
            Ok(()) => held.push(client),
            Err(error) => assert_eq!(error, TransportError::Busy),
        }
    }
    assert_eq!((held.len(), relay.counts().refusals.rooms_full), (3, 17));
    pair.talk();
}

#[test]
fn a_giant_message_ends_its_sender_only() {
    let relay = start(Limits::default());
    let mut pair = Pair::join(&relay);
    let mut rude = raw_member(&relay);
    rude.write(&[0, 3, b'h', b'e', b'y', 0x40, 0x01, b'x']);
    assert_eq!(rude.code(), Some(2));
    assert_eq!((heard(&mut pair.ada), heard(&mut pair.ben)), ("hey".into(), "hey".into()));
    pair.talk();
    assert_eq!(relay.counts().cut, 1);
}

#[test]
fn a_member_that_does_not_read_is_cut_off_while_the_others_continue() {
    for (queue, write_timeout) in [(50_000, PATIENCE), (1 << 30, Duration::from_millis(300))] {
        let relay = start(Limits { queue, write_timeout, control_rate: u32::MAX, ..Limits::default() });
        let mut pair = Pair::join(&relay);
        let mut deaf = raw_member(&relay);
        let deadline = Instant::now() + PATIENCE;
        while relay.counts().cut == 0 {
            say(&mut pair.ada, vec![7; MAX_CONTROL]);
            assert_eq!(heard(&mut pair.ben), vec![7; MAX_CONTROL]);
            // It takes part in QUIC, and never reads its stream.
            deaf.drive(Duration::from_millis(1));
            assert!(Instant::now() < deadline);
        }
        assert_eq!(deaf.code(), Some(2));
        pair.talk();
    }
}

#[test]
fn a_member_that_floods_the_control_lane_is_slowed_down_and_loses_nothing() {
    let relay = start(Limits { control_rate: 20_000, ..Limits::default() });
    let mut pair = Pair::join(&relay);
    let start = Instant::now();
    let message = vec![7; 10_000 - 64 - 2];
    // 16 go at once, and each of the others takes half a second.
    for _ in 0..18 {
        say(&mut pair.ada, message.clone());
    }
    for _ in 0..18 {
        assert_eq!(heard(&mut pair.ben), message);
    }
    assert!(start.elapsed() >= Duration::from_millis(450));
    assert_eq!(relay.counts().cut, 0);
}

#[test]
fn packets_that_nobody_may_send_go_nowhere() {
    let relay = start(Limits { media_rate: 50, ..Limits::default() });
    let mut pair = Pair::join(&relay);
    // Before the hello nobody is in any room.
    let mut raw = Raw::connect(relay.quic_address().unwrap());
    raw.datagram(b"\xb0too early");
    raw.write(&hello());
    assert_eq!(raw.read(9), b"svrelay\x01\x00");
    // What only a relay may say, and what is too long.
    raw.datagram(&[&b"\xff\x00sv\x01\x03"[..], &[7; 16]].concat());
    raw.datagram(b"\xff\x00");
    raw.datagram(&[0xb0; MAX_MEDIA + 1]);
    raw.datagram(b"\xb0a packet");
    for member in [&mut pair.ada as &mut dyn FnMutReceive, &mut pair.ben] {
        assert_eq!(member.next(), Ok(Inbound::Media(Bytes::from_static(b"\xb0a packet"))));
    }
    assert_eq!(relay.counts().malformed, 3);
    let start = Instant::now();
    for _ in 0..200 {
        raw.datagram(b"\xb0flood");
    }
    let counts = wait_for(&relay, |counts| counts.media + counts.over_rate >= 201);
    let allowed = 50.0 + 50.0 * start.elapsed().as_secs_f64() + 1.0;
    assert!(counts.over_rate > 0 && counts.media as f64 <= allowed, "{counts:?}");
}

/// `Transport` is no trait for objects.
trait FnMutReceive {
    fn next(&mut self) -> Result<Inbound, TransportError>;
}

impl<T: Transport> FnMutReceive for T {
    fn next(&mut self) -> Result<Inbound, TransportError> {
        receive(self)
    }
}
