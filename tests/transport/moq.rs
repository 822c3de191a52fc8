//! Both lanes through MoQ relays (SPEC section 8.8), real ones.

use std::{
    collections::HashSet,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sottovoce::transport::{
    Inbound, MAX_CONTROL, MAX_MEDIA, RelayName, RoomHandle, Transport, TransportError, block_on,
    moq::MoqClient,
};
use sottovoce_testkit::moq::{Issuer, Kind, Moq, Setup};

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
/// Long enough for any machine; nothing that works waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for a packet that should not come to come.
const MOMENT: Duration = Duration::from_millis(300);

fn member(relay: &RelayName) -> MoqClient {
    let mut client = MoqClient::new(relay.clone()).unwrap();
    block_on(client.connect(ROOM)).unwrap();
    client
}

fn next(member: &mut MoqClient, patience: Duration) -> Result<Inbound, TransportError> {
    block_on(member.receive(Instant::now() + patience))
}

/// What comes until nothing comes for a moment.
fn all(member: &mut MoqClient) -> Vec<Inbound> {
    std::iter::from_fn(|| next(member, MOMENT).ok().filter(|next| *next != Inbound::Idle)).collect()
}

fn say(member: &mut MoqClient, message: &[u8]) {
    block_on(member.send_control(Bytes::copy_from_slice(message))).unwrap();
}

/// One speaks until these all have heard it.
fn hear(speaker: &mut MoqClient, listeners: &mut [&mut MoqClient], packet: &[u8]) {
    let deadline = Instant::now() + PATIENCE;
    let mut deaf: Vec<_> = (0..listeners.len()).collect();
    while !deaf.is_empty() {
        speaker.send_media(packet).unwrap();
        thread::sleep(Duration::from_millis(20));
        deaf.retain(|listener| {
            loop {
                match next(listeners[*listener], Duration::ZERO).unwrap() {
                    Inbound::Media(heard) if heard == packet => break false,
                    Inbound::Idle => break true,
                    _ => {}
                }
            }
        });
        assert!(Instant::now() < deadline, "{deaf:?} do not hear {packet:02x?}");
    }
}

/// A relay of each kind that there is, and members who send packets in datagrams, and on streams.
fn each(try_it: impl Fn(&str, &dyn Fn() -> MoqClient)) {
    for kind in [Kind::Lite, Kind::Ietf] {
        let Some(relay) = Moq::start(kind) else { continue };
        let client = || MoqClient::new(relay.name()).unwrap();
        try_it(&format!("{kind:?}, datagrams"), &client);
        try_it(&format!("{kind:?}, streams"), &|| client().on_streams());
    }
}

#[test]
fn both_lanes_reach_every_other_member_as_they_are_and_never_the_sender() {
    each(|which, client| {
        println!("{which}");
        let mut members: Vec<MoqClient> = (0..3)
            .map(|_| {
                let mut client = client();
                block_on(client.connect(ROOM)).unwrap();
                client
            })
            .collect();
        let [ada, ben, cem] = &mut members[..] else { unreachable!() };
        hear(ada, &mut [ben, cem], b"begins");
        [&mut *ada, ben, cem].into_iter().for_each(|member| drop(all(member)));
        // Every first byte that a sealed packet could have, and none.
        let mut packets: Vec<Vec<u8>> = (0..=255u8)
            .map(|first| {
                let rest: [u8; 262] = std::array::from_fn(|_| rand::random());
                [&[first][..], &rest].concat()
            })
            .collect();
        packets.extend([1, 2, 120, 1_000, MAX_MEDIA].map(|size| (0..size).map(|_| rand::random()).collect()));
        for packet in &packets {
            ada.send_media(packet).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
        let both = which.starts_with("Lite");
        for size in [0, 1, 4_096, MAX_CONTROL] {
            let sent = block_on(ada.send_control(vec![7; size].into()));
            assert_eq!(sent, if both { Ok(()) } else { Err(TransportError::Closed) }, "{which}");
        }
        for listener in [ben, cem] {
            let heard = all(listener);
            let missing = packets.iter().filter(|packet| {
                let times =
                    heard.iter().filter(|heard| **heard == Inbound::Media((*packet).clone().into())).count();
                assert!(times <= 1, "{which}: heard {times} times");
                times == 0
            });
            // The lane may lose a packet. On loopback it loses next to none.
            assert!(missing.count() <= 3, "{which}");
            let said: Vec<usize> = heard
                .iter()
                .filter_map(|heard| match heard {
                    Inbound::Control(message) => Some(message.len()),
                    _ => None,
                })
                .collect();
            assert_eq!(said, if both { vec![0, 1, 4_096, MAX_CONTROL] } else { vec![] }, "{which}");
            assert!(heard.len() <= packets.len() + 4);
        }
        assert_eq!(all(ada), [], "{which}");
    });
}

#[test]
fn whoever_comes_late_hears_those_who_are_there_and_what_was_said_last() {
    let Some(relay) = Moq::start(Kind::Lite) else { return };
    let mut ada = member(&relay.name());
    for number in 0..5u8 {
        say(&mut ada, &[number]);
    }
    let mut late = member(&relay.name());
    for number in 0..5u8 {
        assert_eq!(next(&mut late, PATIENCE), Ok(Inbound::Control(Bytes::copy_from_slice(&[number]))));
    }
    hear(&mut ada, &mut [&mut late], b"\xb9early");
    hear(&mut late, &mut [&mut ada], b"\xb9late");
    say(&mut late, b"here");
    loop {
        match next(&mut ada, PATIENCE).unwrap() {
            Inbound::Control(message) => break assert_eq!(message, "here"),
            Inbound::Media(_) => {}
            Inbound::Idle => panic!("not heard"),
        }
    }
}

#[test]
fn who_answers_with_another_certificate_or_protocol_or_not_at_all_is_told_apart() {
    let Some(relay) = Moq::start(Kind::Lite) else { return };
    let wrong = format!("moq:127.0.0.1:{}#{}", relay.port(), "A".repeat(43));
    let mut client = MoqClient::new(wrong.parse().unwrap()).unwrap();
    assert_eq!(block_on(client.connect(ROOM)), Err(TransportError::WrongCertificate));
    // No pin: the Web PKI does not vouch for it.
    let mut client = MoqClient::new(format!("moq:127.0.0.1:{}", relay.port()).parse().unwrap()).unwrap();
    assert_eq!(block_on(client.connect(ROOM)), Err(TransportError::WrongCertificate));
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    let name = format!("moq:127.0.0.1:{}", nobody.local_addr().unwrap().port());
    let mut client = MoqClient::new(name.parse().unwrap()).unwrap();
    assert_eq!(block_on(client.connect(ROOM)), Err(TransportError::Unreachable));
    assert_eq!(next(&mut client, MOMENT), Err(TransportError::Closed));
    // Garbage is no answer.
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    nobody.set_read_timeout(Some(MOMENT)).unwrap();
    let talker = thread::spawn(move || {
        let mut buffer = [0; 2_000];
        while !stopped.load(Ordering::Relaxed) {
            if let Ok((length, from)) = nobody.recv_from(&mut buffer) {
                for _ in 0..10 {
                    let garbage: [u8; 256] = std::array::from_fn(|_| rand::random());
                    let _ = nobody.send_to(&garbage, from);
                }
                let _ = nobody.send_to(&buffer[..length], from);
            }
        }
    });
    assert_eq!(block_on(client.connect(ROOM)), Err(TransportError::Unreachable));
    stop.store(true, Ordering::Relaxed);
    talker.join().unwrap();
}

#[cfg(feature = "quic")]
#[test]
fn a_relay_that_speaks_something_else_is_refused() {
    use sottovoce::relay::{
        Relay, RelayOptions,
        quic::{Certificate, Listen},
    };
    let made = rcgen::generate_simple_self_signed(["relay.example".to_owned()]).unwrap();
    let pem = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificate = Certificate::from_pem(pem.0.as_bytes(), pem.1.as_bytes()).unwrap();
    let quic = Some(Listen { address: ([127, 0, 0, 1], 0).into(), certificate });
    let relay =
        Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions { quic, ..RelayOptions::default() }).unwrap();
    let name = relay.quic_name().unwrap().to_string().replace("quic:", "moq:");
    let mut client = MoqClient::new(name.parse().unwrap()).unwrap();
    assert_eq!(block_on(client.connect(ROOM)), Err(TransportError::Refused));
}

#[test]
fn a_relay_that_ends_or_is_killed_closes_the_transport_and_it_connects_again() {
    let Some(relay) = Moq::start(Kind::Lite) else { return };
    let mut ada = member(&relay.name());
    drop(relay);
    let start = Instant::now();
    // Nothing says so: the connection is idle for too long.
    while next(&mut ada, MOMENT) == Ok(Inbound::Idle) {
        assert!(start.elapsed() < PATIENCE);
    }
    assert_eq!(next(&mut ada, MOMENT), Err(TransportError::Closed));
    assert_eq!(ada.send_media(b"x"), Err(TransportError::Closed));
    let Some(relay) = Moq::start(Kind::Lite) else { return };
    let (mut ada, mut ben) = (member(&relay.name()), member(&relay.name()));
    hear(&mut ada, &mut [&mut ben], b"\xb9again");
}

// ---- tokens
// -----------------------------------------------------------------------------------------------

#[test]
fn a_token_lets_in_and_taking_it_back_cuts_off() {
    let issuer = Issuer::start(ROOM);
    let setup = Setup { auth: Some(issuer.url()), ..Setup::default() };
    let Some(relay) = Moq::start_with(Kind::Lite, &setup) else { return };
    let client = |token: Option<&str>| {
        let client = MoqClient::new(relay.name()).unwrap();
        token.map_or(MoqClient::new(relay.name()).unwrap(), |token| client.with_token(token).unwrap())
    };
    for token in [None, Some("bad")] {
        assert_eq!(block_on(client(token).connect(ROOM)), Err(TransportError::Refused), "{token:?}");
    }
    let [mut ada, mut ben] = [client(Some("good")), client(Some("good"))];
    for member in [&mut ada, &mut ben] {
        block_on(member.connect(ROOM)).unwrap();
    }
    hear(&mut ada, &mut [&mut ben], b"\xb9ada");
    hear(&mut ben, &mut [&mut ada], b"\xb9ben");
    issuer.withdraw();
    let start = Instant::now();
    while next(&mut ada, MOMENT) != Err(TransportError::Closed) {
        assert!(start.elapsed() < PATIENCE, "still there");
    }
    println!("cut off after {:?}", start.elapsed());
    assert_eq!(block_on(ada.connect(ROOM)), Err(TransportError::Refused));
    let bad = MoqClient::new(relay.name()).unwrap().with_token("a token");
    assert!(bad.is_err());
}

// ---- a cluster
// --------------------------------------------------------------------------------------------

#[test]
fn when_the_node_that_carries_is_killed_media_comes_another_way_once_and_no_message_is_lost() {
    // A has the speaker, C the listener; what is between them goes by B, which is cheaper.
    let Some(a) = Moq::start(Kind::Lite) else { return };
    let b = Moq::start_with(Kind::Lite, &Setup { peers: &[(&a, 1)], ..Setup::default() }).unwrap();
    let c = Moq::start_with(Kind::Lite, &Setup { peers: &[(&b, 1), (&a, 10)], ..Setup::default() }).unwrap();
    let (mut speaker, mut listener) = (member(&a.name()), member(&c.name()));
    hear(&mut speaker, &mut [&mut listener], b"\xb9begins");
    hear(&mut listener, &mut [&mut speaker], b"\xb9back");
    drop(all(&mut listener));

    let talking = Arc::new(AtomicBool::new(true));
    let talks = Arc::clone(&talking);
    // A packet each 20 ms, a message each 100 ms, and what was said before the node was killed.
    let talk = thread::spawn(move || {
        let mut number = 0u32;
        while talks.load(Ordering::Relaxed) {
            speaker.send_media(&number.to_be_bytes()).unwrap();
            if number.is_multiple_of(5) {
                say(&mut speaker, &(number / 5).to_be_bytes());
            }
            number += 1;
            thread::sleep(Duration::from_millis(20));
        }
        (speaker, number)
    });
    let mut heard = Vec::new();
    let mut said = Vec::new();
    let mut take = |listener: &mut MoqClient, lasts: Duration, heard: &mut Vec<(Instant, u32)>| {
        let until = Instant::now() + lasts;
        while Instant::now() < until {
            match block_on(listener.receive(until)).unwrap() {
                Inbound::Media(packet) => {
                    heard.push((Instant::now(), u32::from_be_bytes(packet[..].try_into().unwrap())));
                }
                Inbound::Control(message) => said.push(u32::from_be_bytes(message[..].try_into().unwrap())),
                Inbound::Idle => {}
            }
        }
    };
    take(&mut listener, Duration::from_secs(2), &mut heard);
    assert!(heard.len() > 80, "{} packets before anything has happened", heard.len());
    let killed = Instant::now();
    drop(b);
    take(&mut listener, Duration::from_secs(6), &mut heard);
    talking.store(false, Ordering::Relaxed);
    let (mut speaker, sent) = talk.join().unwrap();
    take(&mut listener, Duration::from_secs(1), &mut heard);

    let last_before = heard.iter().rev().find(|(at, _)| *at < killed + Duration::from_millis(100)).unwrap();
    let gap = heard.windows(2).map(|pair| (pair[1].0 - pair[0].0, pair[1].0)).max().unwrap();
    println!(
        "killed: the longest gap is {:?}; {} of {sent} packets came, the last by the dead node {:?} after it was killed",
        gap.0,
        heard.len(),
        last_before.0.saturating_duration_since(killed)
    );
    assert!(gap.0 > Duration::from_millis(200), "it did not carry anything: {gap:?}");
    assert!(gap.0 < Duration::from_secs(2), "no media for {:?}", gap.0);
    let once: HashSet<u32> = heard.iter().map(|(_, number)| *number).collect();
    assert_eq!(once.len(), heard.len(), "packets came twice");
    assert!(heard.iter().any(|(at, _)| *at > killed + Duration::from_secs(4)), "media did not come back");
    // Every message, in order, once.
    let expected: Vec<u32> = (0..said.len() as u32).map(|number| said[0] + number).collect();
    assert_eq!(said, expected);
    assert_eq!(*said.last().unwrap(), (sent - 1) / 5, "messages were lost at the end");
    hear(&mut listener, &mut [&mut speaker], b"\xb9and back");
}

#[test]
fn what_is_said_last_is_heard() {
    let Some(relay) = Moq::start(Kind::Lite) else { return };
    for settled in [0, 50, 300, 1_000] {
        let (mut ada, mut ben) = (member(&relay.name()), member(&relay.name()));
        thread::sleep(Duration::from_millis(settled));
        for number in 0..40u8 {
            say(&mut ada, &vec![number; MAX_CONTROL]);
        }
        let start = Instant::now();
        block_on(ada.close());
        println!("after {settled} ms: closed in {:?}", start.elapsed());
        for number in 0..40u8 {
            assert_eq!(
                next(&mut ben, PATIENCE),
                Ok(Inbound::Control(vec![number; MAX_CONTROL].into())),
                "{settled}"
            );
        }
        assert_eq!(all(&mut ben), []);
    }
}

#[cfg(feature = "room")]
#[test]
fn a_room_is_unharmed_when_the_node_that_carries_it_is_killed() {
    use sottovoce::{
        Seed, Stamp,
        driver::{Next, Session},
        group::{Identity, Name, Role},
        room::{Admission, Invite, InviteOptions, RoomOptions, UnixTime},
    };
    use std::{sync::mpsc, time::SystemTime};
    let Some(a) = Moq::start(Kind::Lite) else { return };
    let b = Moq::start_with(Kind::Lite, &Setup { peers: &[(&a, 1)], ..Setup::default() }).unwrap();
    let c = Moq::start_with(Kind::Lite, &Setup { peers: &[(&b, 1), (&a, 10)], ..Setup::default() }).unwrap();
    let unix = UnixTime::from(SystemTime::now());
    let identity = |n: u8| Identity::from_seed([n; 32], Name::new("somebody").unwrap());
    let mut options = RoomOptions::new(Name::new("a room on two nodes").unwrap(), [a.name(), c.name()]);
    (options.admission, options.default_role) = (Admission::Open, Role::Speaker);
    let host = Session::create_with(
        MoqClient::new(a.name()).unwrap(),
        identity(1),
        options,
        Seed::generate().unwrap(),
        unix,
    );
    let mut host = block_on(host).unwrap();
    let now = host.now();
    let invite: Invite = host.room_mut().invite(InviteOptions::default(), now).unwrap();

    let until = Instant::now() + Duration::from_secs(14);
    let (told, tell) = mpsc::channel();
    // Speaks every 20 ms, and tells what it hears, and what has happened in the end.
    let take_part = move |mut call: Session<MoqClient>, told: Option<mpsc::Sender<Instant>>| {
        let start = Instant::now();
        let (mut said, mut events) = (0u32, Vec::new());
        while Instant::now() < until {
            match block_on(call.next((start + Duration::from_millis(20) * said).min(until))).unwrap() {
                Next::Packet(_) => {
                    if let Some(told) = &told {
                        told.send(Instant::now()).unwrap();
                    }
                }
                Next::Event(event) => events.push((Instant::now(), format!("{event:?}"))),
                Next::Idle => {
                    said += 1;
                    // Nobody is admitted to speak before the room has said so.
                    let _ = call.speak(&[0xfc, 0xff, 0xfe], Stamp::default());
                }
            }
        }
        let room = call.room();
        (events, room.roster().len(), room.code().map(|code| code.to_string()))
    };
    let guest = MoqClient::new(c.name()).unwrap();
    let joins = thread::spawn(move || {
        let call = Session::join_with(
            guest,
            identity(2),
            invite.to_string().parse().unwrap(),
            Seed::generate().unwrap(),
            unix,
        );
        take_part(block_on(call).unwrap(), Some(told))
    });
    let hosts = thread::spawn(move || take_part(host, None));
    let first = tell.recv_timeout(PATIENCE).unwrap();
    thread::sleep(Duration::from_secs(3));
    let killed = Instant::now();
    drop(b);
    let (events, members, code) = joins.join().unwrap();
    let (events_at_host, members_at_host, code_at_host) = hosts.join().unwrap();
    let heard: Vec<Instant> = [first].into_iter().chain(tell.try_iter()).collect();
    let gap = heard.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    println!("{} packets heard, the longest gap is {gap:?}", heard.len());
    assert!(gap > Duration::from_millis(200), "it did not carry anything");
    assert!(gap < Duration::from_secs(2), "no media for {gap:?}");
    assert!(heard.last().unwrap() > &(killed + Duration::from_secs(5)), "media did not come back");
    let after = |events: Vec<(Instant, String)>| {
        events.into_iter().filter(|(at, _)| *at > killed).map(|(_, event)| event).collect::<Vec<_>>()
    };
    // Nobody came, went, took over or was missed; and both are where they were.
    assert_eq!((after(events), after(events_at_host)), (vec![], vec![]));
    assert_eq!((members, members_at_host, &code), (2, 2, &code_at_host));
    assert!(code.is_some());
}
