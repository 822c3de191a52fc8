//! The media lane through a Janus VideoRoom (SPEC section 8.9), with the real one.

use std::{
    collections::HashSet,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sottovoce::transport::{
    Inbound, MAX_MEDIA, RelayName, RoomHandle, Transport, TransportError, block_on,
    janus::{JanusClient, Pin},
};
use sottovoce_testkit::janus::Janus;

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
/// Long enough for any machine; nothing that works waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for a packet that should not come to come.
const MOMENT: Duration = Duration::from_millis(200);

fn member(relay: &RelayName) -> JanusClient {
    let mut client = JanusClient::new(relay.clone()).unwrap();
    block_on(client.connect(ROOM)).unwrap();
    client
}

fn next(member: &mut JanusClient, patience: Duration) -> Result<Inbound, TransportError> {
    block_on(member.receive(Instant::now() + patience))
}

/// One speaks until these all have heard it.
fn hear(speaker: &mut JanusClient, listeners: &mut [&mut JanusClient], packet: &[u8]) {
    let said = Ok(Inbound::Media(Bytes::copy_from_slice(packet)));
    let mut deaf: Vec<_> = (0..listeners.len()).collect();
    let deadline = Instant::now() + PATIENCE;
    while !deaf.is_empty() {
        speaker.send_media(packet).unwrap();
        thread::sleep(Duration::from_millis(20));
        deaf.retain(|listener| {
            loop {
                match next(listeners[*listener], Duration::ZERO) {
                    heard if heard == said => break false,
                    Ok(Inbound::Media(_)) => {}
                    other => {
                        assert_eq!(other, Ok(Inbound::Idle), "{listener}");
                        break true;
                    }
                }
            }
        });
        assert!(Instant::now() < deadline, "{deaf:?} do not hear {packet:02x?}");
    }
}

fn drain(member: &mut JanusClient) {
    while next(member, MOMENT) != Ok(Inbound::Idle) {}
}

/// Everybody in turn speaks until all others have heard it.
fn all_hear_all(members: &mut [JanusClient]) {
    for speaker in 0..members.len() {
        let (before, rest) = members.split_at_mut(speaker);
        let (one, after) = rest.split_first_mut().unwrap();
        let mut others: Vec<&mut JanusClient> = before.iter_mut().chain(after).collect();
        hear(one, &mut others, &[0xb9, speaker as u8]);
    }
    members.iter_mut().for_each(drain);
}

#[test]
fn sealed_packets_reach_every_other_member_once_as_they_are_and_never_the_sender() {
    let Some(relay) = Janus::start() else { return };
    let mut members: Vec<JanusClient> = (0..4).map(|_| member(&relay.name())).collect();
    all_hear_all(&mut members);
    let (ada, others) = members.split_first_mut().unwrap();
    // Every first byte that an Opus packet could have, and what no Opus packet looks like.
    let mut sent: Vec<Vec<u8>> = (0..=255u8)
        .map(|first| {
            let rest: [u8; 262] = std::array::from_fn(|_| rand::random());
            [&[first][..], &rest].concat()
        })
        .collect();
    sent.extend([1, 2, 120, 1_000, MAX_MEDIA].map(|size| (0..size).map(|_| rand::random()).collect()));
    for packet in &sent {
        ada.send_media(packet).unwrap();
        thread::sleep(Duration::from_millis(2));
    }
    for member in others {
        let mut missing: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
        while let Ok(Inbound::Media(packet)) = next(member, MOMENT) {
            let place = missing.iter().position(|sent| *sent == packet);
            missing.remove(place.expect("something that was not sent, or was heard before"));
        }
        // The lane may lose a packet. On loopback it loses none.
        assert_eq!(missing.len(), 0);
    }
    assert_eq!(next(ada, MOMENT), Ok(Inbound::Idle));
    assert_eq!(block_on(ada.send_control(Bytes::new())), Err(TransportError::Closed));
    let too_large = TransportError::TooLarge { length: MAX_MEDIA + 1, limit: MAX_MEDIA };
    assert_eq!(ada.send_media(&[0; MAX_MEDIA + 1]), Err(too_large));
}

#[test]
fn whoever_comes_late_hears_those_who_speak_already_and_is_heard() {
    let Some(relay) = Janus::start() else { return };
    let mut members: Vec<JanusClient> = (0..2).map(|_| member(&relay.name())).collect();
    all_hear_all(&mut members);
    let mut late = member(&relay.name());
    for speaker in 0..2u8 {
        hear(&mut members[usize::from(speaker)], &mut [&mut late], &[0xb9, 7, speaker]);
    }
    let [ada, ben] = &mut members[..] else { unreachable!() };
    hear(&mut late, &mut [ada, ben], b"\xb9late");
}

#[test]
fn a_speaker_that_leaves_is_dropped_and_the_next_is_heard() {
    let Some(relay) = Janus::start() else { return };
    let (mut ada, mut ben) = (member(&relay.name()), member(&relay.name()));
    for round in 0..3u8 {
        let mut speaker = member(&relay.name());
        hear(&mut speaker, &mut [&mut ada, &mut ben], &[0xb9, round]);
        // Twice with a word, once without.
        if round < 2 {
            block_on(speaker.close());
            assert_eq!(speaker.send_media(b"\xb9x"), Err(TransportError::Closed));
        } else {
            drop(speaker);
        }
        drain(&mut ada);
    }
    hear(&mut ada, &mut [&mut ben], b"\xb9still here");
}

#[test]
fn who_only_listens_is_published_nowhere_and_a_room_ends_with_its_last_member() {
    let Some(relay) = Janus::start() else { return };
    let (mut ada, ben) = (member(&relay.name()), member(&relay.name()));
    assert_eq!(next(&mut ada, MOMENT), Ok(Inbound::Idle));
    let log = relay.log();
    assert!(!log.contains("Creating ICE agent"), "{log}");
    // Whoever goes first leaves it to the other.
    for mut member in [ada, ben] {
        block_on(member.close());
    }
    let missing = |log: String| log.matches("No such room").count();
    assert_eq!(missing(relay.log()), 1, "it was made once");
    let ada = member(&relay.name());
    assert_eq!(missing(relay.log()), 2, "it was not ended");
    drop(ada);
    // Other rooms have other names.
    let mut other = JanusClient::new(relay.name()).unwrap();
    block_on(other.connect(RoomHandle::from_bytes([2; 16]))).unwrap();
    let rooms: HashSet<String> = relay
        .log()
        .lines()
        .filter_map(|line| Some(line.split_once("No such room (")?.1.trim_end_matches(')').to_owned()))
        .collect();
    assert_eq!(rooms.len(), 2, "{rooms:?}");
    for byte in [1u8, 2] {
        let handle = u64::from_be_bytes([byte; 8]);
        assert!(rooms.iter().all(|room| *room != handle.to_string()), "{rooms:?}");
    }
}

#[test]
fn members_who_come_and_go_at_the_same_time_end_in_one_room() {
    let Some(relay) = Janus::start() else { return };
    for _ in 0..3 {
        // All find no room, and all make it.
        let coming: Vec<_> = (0..5)
            .map(|_| {
                let name = relay.name();
                thread::spawn(move || member(&name))
            })
            .collect();
        let mut members: Vec<JanusClient> = coming.into_iter().map(|one| one.join().unwrap()).collect();
        all_hear_all(&mut members);
        // Those who leave find it empty, and end it under those who come.
        drop(members);
    }
}

#[test]
fn over_tls_the_relay_is_who_has_the_certificate_and_nobody_else() {
    let Some(relay) = Janus::start_with_tls() else { return };
    let (mut ada, mut ben) = (member(&relay.name()), member(&relay.name()));
    hear(&mut ada, &mut [&mut ben], b"\xb9over TLS");
    hear(&mut ben, &mut [&mut ada], b"\xb9and back");
    let connect = |name: String| {
        let mut client = JanusClient::new(name.parse().unwrap()).unwrap();
        block_on(client.connect(ROOM))
    };
    let other = Pin::of(b"another certificate");
    let wrong = Err(TransportError::WrongCertificate);
    assert_eq!(connect(format!("janus+tls:127.0.0.1:{}#{other}", relay.port())), wrong);
    // No root vouches for this one.
    assert_eq!(connect(format!("janus+tls:127.0.0.1:{}", relay.port())), wrong);
    // And what does not speak TLS is no relay by that name.
    assert_eq!(connect(format!("janus:127.0.0.1:{}", relay.port())), Err(TransportError::Refused));
    let Some(plain) = Janus::start() else { return };
    assert_eq!(connect(format!("janus+tls:127.0.0.1:{}", plain.port())), Err(TransportError::Refused));
}

#[test]
fn a_relay_that_dies_closes_the_lane_and_nobody_there_is_unreachable() {
    let Some(relay) = Janus::start() else { return };
    let name = relay.name();
    let (mut ada, mut ben) = (member(&name), member(&name));
    hear(&mut ada, &mut [&mut ben], b"\xb9x");
    drop(relay);
    let start = Instant::now();
    while next(&mut ben, PATIENCE) != Err(TransportError::Closed) {}
    while next(&mut ada, PATIENCE) != Err(TransportError::Closed) {}
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(ada.send_media(b"\xb9x"), Err(TransportError::Closed));
    block_on(ada.close());
    assert_eq!(block_on(ben.connect(ROOM)), Err(TransportError::Unreachable));
    assert_eq!(next(&mut ben, MOMENT), Err(TransportError::Closed));
}
