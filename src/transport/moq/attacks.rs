//! What only pretends to be a MoQ relay, or publishes below a room's path what it likes, and cannot
//! do more harm to a member than to close its transport.

mod pretender;

use std::{
    collections::HashSet,
    sync::mpsc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use moq_net::{Timestamp, broadcast, origin};

use crate::transport::{
    Inbound, MAX_CONTROL, MAX_MEDIA, Part, RoomHandle, Transport, TransportError, block_on,
    moq::{MoqClient, room_path},
};
use pretender::{Pretender, Somebody, framed};

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
const PATIENCE: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(300);

/// Publishes once, when the member is there.
fn once(say: impl FnMut(&Somebody) + Send + 'static) -> Pretender {
    let (mut say, mut somebody) = (say, None);
    Pretender::start(Box::new(move |mouth, _| {
        if somebody.is_none() {
            let new = Somebody::new(mouth, 7);
            say(&new);
            somebody = Some(new);
        }
    }))
}

fn next(member: &mut MoqClient, patience: Duration) -> Result<Inbound, TransportError> {
    block_on(member.receive(Instant::now() + patience))
}

fn message(bytes: &[u8]) -> Result<Inbound, TransportError> {
    Ok(Inbound::Control(Bytes::copy_from_slice(bytes)))
}

#[test]
fn what_somebody_says_out_of_order_comes_in_order_and_what_is_malformed_is_not_heard() {
    let relay = once(|somebody| {
        somebody.group(2, &[&framed(2, b"two")]);
        somebody.group(0, &[&framed(9, b"zero")]);
        somebody.group(1, &[&framed(1, b"one"), b"a second frame"]);
        for packet in [vec![1; MAX_MEDIA + 1], vec![2; MAX_MEDIA], vec![3; 1]] {
            let mut media = somebody.media.clone();
            media.write_frame(Timestamp::ZERO, Bytes::from(packet)).unwrap();
        }
    });
    let mut member = relay.member();
    let (mut said, mut heard) = (vec![], vec![]);
    while said.len() < 3 || heard.len() < 2 {
        match next(&mut member, PATIENCE).unwrap() {
            Inbound::Control(message) => said.push(message),
            Inbound::Media(packet) => heard.push((packet[0], packet.len())),
            Inbound::Idle => panic!("{said:?} {heard:?}"),
        }
    }
    assert_eq!(said, ["zero", "one", "two"]);
    heard.sort_unstable();
    assert_eq!(heard, [(2, MAX_MEDIA), (3, 1)]);
    assert_eq!(next(&mut member, MOMENT), Ok(Inbound::Idle));
}

#[test]
fn a_message_that_cannot_be_read_is_lost_and_so_is_the_connection_once_another_one_follows() {
    // Too long, and much too long; without the number before it; of no frame at all.
    let bad: [Vec<Vec<u8>>; 4] = [
        vec![framed(0, &[7; MAX_CONTROL + 1])],
        vec![framed(0, &vec![7; 8 << 20])],
        vec![vec![0; 3]],
        vec![],
    ];
    for bad in bad {
        let what = format!("{:?}", bad.iter().map(Vec::len).collect::<Vec<_>>());
        let relay = once(move |somebody| {
            somebody.group(0, &[&framed(0, b"before")]);
            let frames: Vec<&[u8]> = bad.iter().map(Vec::as_slice).collect();
            somebody.group(1, &frames);
        });
        let mut member = relay.member();
        assert_eq!(next(&mut member, PATIENCE), message(b"before"), "{what}");
        // Nobody misses it yet.
        assert_eq!(next(&mut member, MOMENT), Ok(Inbound::Idle), "{what}");
    }
    let relay = once(|somebody| {
        somebody.group(0, &[&framed(0, b"before")]);
        somebody.group(1, &[&[0; 3]]);
        somebody.group(2, &[&framed(2, b"after")]);
    });
    let mut member = relay.member();
    assert_eq!(next(&mut member, PATIENCE), message(b"before"));
    let start = Instant::now();
    loop {
        match next(&mut member, MOMENT) {
            Ok(Inbound::Idle) => assert!(start.elapsed() < PATIENCE),
            other => break assert_eq!(other, Err(TransportError::Closed)),
        }
    }
    assert!(start.elapsed() > Duration::from_secs(4), "it was not waited for");
}

#[test]
fn somebody_who_is_withdrawn_and_announced_again_is_heard_once_and_without_a_gap() {
    let (mut somebody, mut done) = (None, 0u64);
    let relay = Pretender::start(Box::new(move |mouth, since| {
        let somebody = somebody.get_or_insert_with(|| Somebody::new(mouth, 7));
        let step = u64::try_from(since.as_millis()).unwrap() / 500;
        while done <= step && done < 9 {
            match done {
                0 | 1 | 5 | 8 => {
                    let number = [0, 1, 5, 8].iter().position(|at| *at == done).unwrap() as u64;
                    somebody.group(number, &[&framed(0, &[number as u8])]);
                    let mut media = somebody.media.clone();
                    media
                        .append_datagram(
                            Timestamp::from_millis(done).unwrap(),
                            Bytes::from(vec![number as u8]),
                        )
                        .unwrap();
                }
                2 | 6 => somebody.broadcasts.iter().for_each(broadcast::Producer::unannounce),
                4 | 7 => somebody
                    .broadcasts
                    .iter()
                    .for_each(|broadcast| broadcast.announce(origin::Route::default()).unwrap()),
                _ => {}
            }
            done += 1;
        }
    }));
    let mut member = relay.member();
    let (mut said, mut heard) = (vec![], vec![]);
    let until = Instant::now() + Duration::from_secs(7);
    while Instant::now() < until {
        match next(&mut member, MOMENT).unwrap() {
            Inbound::Control(message) => said.push(message[0]),
            Inbound::Media(packet) => heard.push(packet[0]),
            Inbound::Idle => {}
        }
    }
    assert_eq!(said, [0, 1, 2, 3]);
    heard.sort_unstable();
    assert!(!heard.is_empty() && heard.windows(2).all(|pair| pair[0] < pair[1]), "{heard:?}");
}

#[test]
fn more_members_than_a_room_has_close_the_transport() {
    let mut there: Vec<Somebody> = Vec::new();
    let relay = Pretender::start(Box::new(move |mouth, _| {
        if there.len() < 1_100 {
            for _ in 0..50 {
                let number = u32::try_from(there.len()).unwrap();
                there.push(Somebody::new(mouth, number));
            }
        }
    }));
    let mut member = relay.member();
    let start = Instant::now();
    while next(&mut member, MOMENT) != Err(TransportError::Closed) {
        assert!(start.elapsed() < PATIENCE, "it stands for more than a thousand members");
    }
}

#[test]
fn more_packets_than_members_could_send_close_it_too_and_nobody_who_says_cares() {
    let mut there = Vec::new();
    let mut script = move |mouth: &origin::Producer, _: Duration| {
        for _ in 0..if there.len() < 1_100 { 50 } else { 0 } {
            let path = format!("{}/{:032x}{:08x}", room_path(ROOM), 7, there.len());
            let broadcast = mouth.create_broadcast(path.as_str()).unwrap();
            broadcast.announce(origin::Route::default()).unwrap();
            there.push(broadcast);
        }
    };
    let closes = Pretender::start(Box::new(move |mouth, since| script(mouth, since)));
    let mut member = closes.member();
    let start = Instant::now();
    while next(&mut member, MOMENT) != Err(TransportError::Closed) {
        assert!(start.elapsed() < PATIENCE, "it stands for more than a thousand that speak");
    }
    // Who only says asks for no announcements, and who only hears publishes nothing.
    let mut somebody = None;
    let relay = Pretender::start(Box::new(move |mouth, _| {
        somebody.get_or_insert_with(|| {
            let new = Somebody::new(mouth, 7);
            new.group(0, &[&framed(0, b"psst")]);
            new
        });
    }));
    let mut says = MoqClient::new(relay.name.clone()).unwrap();
    says.set_part(Part::Says);
    block_on(says.connect(ROOM)).unwrap();
    assert_eq!(next(&mut says, 3 * MOMENT), Ok(Inbound::Idle));
}

#[test]
fn numbers_that_jump_and_floods_of_packets_do_no_harm() {
    let (told, tell) = mpsc::channel();
    let mut somebody = None;
    let mut sent = 0u64;
    let relay = Pretender::start(Box::new(move |mouth, _| {
        let somebody = somebody.get_or_insert_with(|| {
            let new = Somebody::new(mouth, 7);
            // Nobody can have said so much.
            new.group(u64::from(u32::MAX) << 20, &[&framed(u32::MAX, b"far")]);
            new
        });
        for _ in 0..200 {
            let number = if sent.is_multiple_of(2) { sent } else { u64::from(u32::MAX) + sent };
            let mut media = somebody.media.clone();
            let _ = media.insert_datagram(
                number,
                Timestamp::ZERO,
                Bytes::from([&sent.to_be_bytes()[..], &[0; 192]].concat()),
            );
            sent += 1;
        }
        let _ = told.send(sent);
    }));
    let mut member = relay.member();
    let (mut heard, mut said, mut known) = (0u64, Vec::new(), HashSet::new());
    let until = Instant::now() + Duration::from_secs(7);
    while Instant::now() < until {
        match next(&mut member, MOMENT).unwrap() {
            Inbound::Media(packet) => {
                assert_eq!(packet.len(), 200);
                assert!(known.insert(packet), "a packet was heard twice");
                heard += 1;
            }
            Inbound::Control(message) => said.push(message),
            Inbound::Idle => {}
        }
    }
    // It is heard once what cannot be had was waited for.
    assert_eq!(said, ["far"]);
    let sent = tell.try_iter().last().unwrap();
    println!("{heard} of {sent} packets were heard");
    assert!(heard > 0 && heard <= sent);
}

#[test]
fn a_relay_that_lets_nobody_in_is_unreachable_after_a_while() {
    let relay = Pretender::mute();
    let mut member = MoqClient::new(relay.name.clone()).unwrap();
    let start = Instant::now();
    assert_eq!(block_on(member.connect(ROOM)), Err(TransportError::Unreachable));
    assert!((Duration::from_secs(4)..Duration::from_secs(8)).contains(&start.elapsed()));
    assert_eq!(next(&mut member, MOMENT), Err(TransportError::Closed));
}

#[test]
fn an_end_with_a_message_missing_is_a_loss_and_a_whole_one_is_not() {
    for (whole, expected) in [(true, Ok(Inbound::Idle)), (false, Err(TransportError::Closed))] {
        let relay = once(move |somebody| {
            somebody.group(0, &[&framed(0, b"zero")]);
            let last = if whole { 1 } else { 2 };
            somebody.group(last, &[&framed(1, b"one")]);
            somebody.control.finish().unwrap();
        });
        let mut member = relay.member();
        assert_eq!(next(&mut member, PATIENCE), message(b"zero"));
        if whole {
            assert_eq!(next(&mut member, PATIENCE), message(b"one"));
        }
        let until = Instant::now() + if whole { Duration::from_secs(2) } else { PATIENCE };
        let mut last = Ok(Inbound::Idle);
        while last == Ok(Inbound::Idle) && Instant::now() < until {
            last = next(&mut member, MOMENT);
        }
        assert_eq!(last, expected, "whole: {whole}");
    }
}

#[test]
fn messages_that_wait_for_others_fill_a_bounded_room() {
    let mut there: Vec<Somebody> = Vec::new();
    let relay = Pretender::start(Box::new(move |mouth, _| {
        if there.len() < 40 {
            let somebody = Somebody::new(mouth, u32::try_from(there.len()).unwrap());
            // The first never comes.
            for number in 1..40u32 {
                somebody.group(number.into(), &[&framed(number, &[7; MAX_CONTROL])]);
            }
            there.push(somebody);
        }
    }));
    let mut member = relay.member();
    let start = Instant::now();
    loop {
        match next(&mut member, MOMENT) {
            Ok(Inbound::Idle) => assert!(start.elapsed() < PATIENCE),
            Err(error) => break assert_eq!(error, TransportError::Closed),
            Ok(_) => panic!("something was handed on"),
        }
    }
    // Long before what is missing is given up.
    println!("closed after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(4));
}
