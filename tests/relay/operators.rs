//! What an operator does with a relay: tokens, revoking them after a ban, metrics, and stopping
//! without loss.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use sottovoce::{
    relay::{
        Counts, Limits, Relay, RelayOptions,
        token::{Issuer, Token},
    },
    transport::{
        Inbound, MAX_CONTROL, RoomHandle, Transport, TransportError, block_on, tcp_udp::TcpUdpClient,
    },
};

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
const OTHER_ROOM: RoomHandle = RoomHandle::from_bytes([2; 16]);

/// Long enough for any machine; nothing that works waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(options: RelayOptions) -> Relay {
    Relay::start(([127, 0, 0, 1], 0).into(), options).unwrap()
}

fn issuer() -> Issuer {
    Issuer::from_seed([7; 32])
}

fn asking_for_tokens() -> Relay {
    start(RelayOptions { issuer: Some(issuer().key()), ..RelayOptions::default() })
}

fn in_an_hour() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 3_600
}

fn connect(relay: &Relay, token: Option<Token>) -> Result<TcpUdpClient, TransportError> {
    let client = TcpUdpClient::new(relay.name());
    let mut client = token.map_or(TcpUdpClient::new(relay.name()), |token| client.with_token(token));
    block_on(client.connect(ROOM)).map(|()| client)
}

fn say(client: &mut TcpUdpClient, message: impl Into<Bytes>) {
    block_on(client.send_control(message.into())).unwrap();
}

fn receive(client: &mut TcpUdpClient) -> Result<Inbound, TransportError> {
    block_on(client.receive(Instant::now() + PATIENCE))
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

// ---- tokens
// -------------------------------------------------------------------------------------------

#[test]
fn a_relay_that_asks_for_tokens_lets_in_nobody_without_a_good_one() {
    let relay = asking_for_tokens();
    let good = issuer().mint(ROOM, [1; 16], in_an_hour());
    let mut forged = good.to_bytes();
    forged[88] ^= 1;
    for bad in [
        None,
        Some(Token::from_bytes(forged)),
        Some(Token::from_bytes([0; 89])),
        Some(issuer().mint(OTHER_ROOM, [1; 16], in_an_hour())),
        Some(issuer().mint(ROOM, [1; 16], in_an_hour() - 3_601)),
        Some(Issuer::from_seed([8; 32]).mint(ROOM, [1; 16], in_an_hour())),
    ] {
        assert_eq!(connect(&relay, bad).map(drop), Err(TransportError::Refused));
    }
    let counts = relay.counts();
    assert_eq!((counts.connections, counts.refusals.token), (0, 6));
    // Any number of times, and by as many as share it.
    let [mut ada, mut ben] = [(); 2].map(|()| connect(&relay, Some(good.clone())).unwrap());
    say(&mut ada, "in");
    assert_eq!(receive(&mut ben), Ok(Inbound::Control("in".into())));
}

#[test]
fn a_relay_that_asks_for_none_takes_a_token_for_nothing_and_no_revocation() {
    let relay = start(RelayOptions::default());
    let token = issuer().mint(ROOM, [1; 16], 0);
    let [mut ada, mut ben] = [Some(token), None].map(|token| connect(&relay, token).unwrap());
    let refused = issuer().revoke([1; 16], in_an_hour()).send(&relay.name());
    assert_eq!(refused, Err(TransportError::Refused));
    say(&mut ada, "in");
    assert_eq!(receive(&mut ben), Ok(Inbound::Control("in".into())));
}

#[test]
fn revoking_a_token_cuts_the_relays_path_too_and_leaves_the_others() {
    let relay = asking_for_tokens();
    let expiry = in_an_hour();
    let [[mut ada, mut ben], [mut banned, mut its_phone]] =
        [[[1; 16], [2; 16]], [[3; 16], [3; 16]]].map(|serials| {
            serials.map(|serial| connect(&relay, Some(issuer().mint(ROOM, serial, expiry))).unwrap())
        });
    ada.send_media(b"before").unwrap();
    for other in [&mut ben, &mut banned, &mut its_phone] {
        assert_eq!(receive(other), Ok(Inbound::Media("before".into())));
    }
    // Somebody else's word counts for nothing.
    let forged = Issuer::from_seed([8; 32]).revoke([3; 16], expiry);
    assert_eq!(forged.send(&relay.name()), Err(TransportError::Refused));
    let revocation = issuer().revoke([3; 16], expiry);
    assert_eq!(revocation.send(&relay.name()), Ok(()));
    // From the answer on, nothing that is said or sealed reaches the banned member.
    say(&mut ada, "after");
    ada.send_media(b"after").unwrap();
    for other in [&mut banned, &mut its_phone] {
        assert_eq!(receive(other), Err(TransportError::Closed));
    }
    assert_eq!(
        connect(&relay, Some(issuer().mint(ROOM, [3; 16], expiry))).map(drop),
        Err(TransportError::Refused)
    );
    let mut heard = [receive(&mut ben).unwrap(), receive(&mut ben).unwrap()];
    heard.sort_by_key(|inbound| matches!(inbound, Inbound::Media(_)));
    assert_eq!(heard, [Inbound::Control("after".into()), Inbound::Media("after".into())]);
    // Repeating it changes nothing, and another token of the same person is another token.
    assert_eq!(revocation.send(&relay.name()), Ok(()));
    assert_eq!(wait_for(&relay, |counts| counts.revoked == 2).cut, 0);
    connect(&relay, Some(issuer().mint(ROOM, [4; 16], expiry))).unwrap();
}

#[test]
fn what_follows_a_hello_with_a_token_is_not_lost() {
    let relay = asking_for_tokens();
    let [ours, theirs] = [[1; 16], [2; 16]].map(|serial| issuer().mint(ROOM, serial, in_an_hour()));
    let mut ada = connect(&relay, Some(ours)).unwrap();
    let mut raw = TcpStream::connect(relay.address()).unwrap();
    let hello = [&b"svrelay\x02"[..], ROOM.as_bytes(), &theirs.to_bytes(), b"\x00\x05early"].concat();
    raw.write_all(&hello).unwrap();
    assert_eq!(receive(&mut ada), Ok(Inbound::Control("early".into())));
}

#[test]
fn revocations_that_come_in_pieces_or_are_garbage_disturb_nobody() {
    let limits = Limits { hello_timeout: Duration::from_millis(300), ..Limits::default() };
    let relay = start(RelayOptions { issuer: Some(issuer().key()), limits, ..RelayOptions::default() });
    let mut ada = connect(&relay, Some(issuer().mint(ROOM, [1; 16], in_an_hour()))).unwrap();
    let mut ben = connect(&relay, Some(issuer().mint(ROOM, [2; 16], in_an_hour()))).unwrap();
    let whole = [&b"svrelay\x03"[..], &issuer().revoke([2; 16], in_an_hour()).to_bytes()].concat();
    for length in [8, 9, 24, 95] {
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        stream.write_all(&whole[..length]).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"", "{length} bytes are no revocation");
    }
    assert_eq!(relay.counts().refusals.no_hello, 4);
    say(&mut ada, "still here");
    assert_eq!(receive(&mut ben), Ok(Inbound::Control("still here".into())));
    // In pieces, but whole.
    let mut stream = TcpStream::connect(relay.address()).unwrap();
    for piece in whole.chunks(20) {
        stream.write_all(piece).unwrap();
        thread::sleep(Duration::from_millis(5));
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"svrelay\x01\x06");
    assert_eq!(receive(&mut ben), Err(TransportError::Closed));
}

// ---- stopping without haste
// ---------------------------------------------------------------------------

#[test]
fn a_relay_that_drains_lets_nobody_in_and_everything_out() {
    let relay = start(RelayOptions {
        limits: Limits { control_rate: u32::MAX, ..Limits::default() },
        ..RelayOptions::default()
    });
    let address = relay.address();
    let [mut ada, mut ben] = [(); 2].map(|()| connect(&relay, None).unwrap());
    // More than socket buffers hold, and nobody reads yet.
    let messages: u8 = 100;
    for number in 0..messages {
        say(&mut ada, vec![number; MAX_CONTROL]);
    }
    wait_for(&relay, |counts| counts.control == u64::from(messages));
    let draining = thread::spawn(move || relay.drain(Duration::from_millis(500)));
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline && !draining.is_finished(), "it still lets in");
        thread::sleep(Duration::from_millis(5));
    }
    // Whoever is there goes on meanwhile.
    say(&mut ben, "meanwhile");
    assert_eq!(receive(&mut ada), Ok(Inbound::Control("meanwhile".into())));
    for number in 0..messages {
        assert_eq!(receive(&mut ben), Ok(Inbound::Control(vec![number; MAX_CONTROL].into())));
    }
    for member in [&mut ada, &mut ben] {
        assert_eq!(receive(member), Err(TransportError::Closed));
    }
    let counts = draining.join().unwrap().unwrap();
    assert_eq!((counts.control, counts.cut), (u64::from(messages) + 1, 0));
}

#[test]
fn a_relay_that_is_empty_drains_at_once_and_one_with_a_deaf_member_in_bounded_time() {
    let start_time = Instant::now();
    start(RelayOptions::default()).drain(Duration::from_secs(3_600)).unwrap();
    let limits =
        Limits { write_timeout: Duration::from_millis(300), control_rate: u32::MAX, ..Limits::default() };
    let relay = start(RelayOptions { limits, ..RelayOptions::default() });
    let mut ada = connect(&relay, None).unwrap();
    // Says hello, and reads nothing ever after.
    let mut deaf = TcpStream::connect(relay.address()).unwrap();
    deaf.write_all(&[&b"svrelay\x01"[..], ROOM.as_bytes()].concat()).unwrap();
    wait_for(&relay, |counts| counts.connections == 2);
    for _ in 0..100 {
        say(&mut ada, vec![0; MAX_CONTROL]);
    }
    relay.drain(Duration::from_millis(100)).unwrap();
    assert!(start_time.elapsed() < PATIENCE);
}

// ---- metrics
// ------------------------------------------------------------------------------------------

/// The samples of a text in Prometheus' format, each with the type that was declared for it.
fn parse(text: &str) -> HashMap<String, (String, u64)> {
    let mut kinds = HashMap::new();
    let mut samples = HashMap::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is declared twice");
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let kind = kinds[name].clone();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert!(samples.insert(sample.to_owned(), (kind, value.parse().unwrap())).is_none());
        }
    }
    samples
}

#[test]
fn metrics_count_bytes_packets_members_rooms_and_refusals_and_nothing_about_people() {
    let relay =
        start(RelayOptions { limits: Limits { members: 2, ..Limits::default() }, ..RelayOptions::default() });
    let [mut ada, mut ben] = [(); 2].map(|()| connect(&relay, None).unwrap());
    assert_eq!(connect(&relay, None).map(drop), Err(TransportError::Busy));
    let mut stranger = TcpStream::connect(relay.address()).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    wait_for(&relay, |counts| counts.refused == 2);
    say(&mut ada, "12345");
    ada.send_media(b"123").unwrap();
    receive(&mut ben).unwrap();
    receive(&mut ben).unwrap();
    let text = relay.metrics();
    let samples = parse(&text);
    let value = |name: &str| samples[&format!("sottovoce_relay_{name}")].1;
    for (name, expected) in [
        ("members", 2),
        ("rooms", 1),
        ("connections_total", 2),
        ("control_messages_total", 1),
        ("control_bytes_total", 5),
        ("control_copies_total", 1),
        ("control_copied_bytes_total", 5),
        ("media_packets_total", 1),
        ("media_bytes_total", 3),
        ("media_copies_total", 1),
        ("media_copied_bytes_total", 3),
        ("refused_total{reason=\"room_full\"}", 1),
        ("refused_total{reason=\"garbage\"}", 1),
        ("refused_total{reason=\"token\"}", 0),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    // The only label is the reason of a refusal or a drop: no room, no member, no address.
    assert!(samples.keys().all(|name| !name.contains('{') || name.contains("{reason=\"")), "{text}");
    for secret in ["127.0.0.1", &"01".repeat(16)] {
        assert!(!text.contains(secret), "{secret}");
    }
    block_on(ada.close());
    block_on(ben.close());
    let deadline = Instant::now() + PATIENCE;
    while parse(&relay.metrics())["sottovoce_relay_members"].1 > 0 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
}
