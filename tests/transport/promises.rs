//! What every transport promises (SPEC section 8.1), on the loopback hub and over real sockets, and
//! what each of the two adds.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sottovoce::{
    relay::{Limits, Relay, RelayOptions},
    transport::{
        Inbound, MAX_CONTROL, MAX_MEDIA, Percent, RelayName, RoomHandle, Transport, TransportError, block_on,
        loopback::{Faults, Hub, LoopbackClient},
        tcp_udp::TcpUdpClient,
    },
};

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
const OTHER_ROOM: RoomHandle = RoomHandle::from_bytes([2; 16]);

/// Long enough for any machine; nothing that works waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for a packet that should not come to come.
const MOMENT: Duration = Duration::from_millis(100);

fn name(name: &str) -> RelayName {
    name.parse().unwrap()
}

fn join<T: Transport>(mut member: T, room: RoomHandle) -> T {
    block_on(member.connect(room)).unwrap();
    member
}

fn receive<T: Transport>(member: &mut T, patience: Duration) -> Result<Inbound, TransportError> {
    let until = member.now() + patience;
    block_on(member.receive(until))
}

fn say<T: Transport>(member: &mut T, message: impl Into<Bytes>) {
    block_on(member.send_control(message.into())).unwrap();
}

fn control<T: Transport>(member: &mut T) -> Bytes {
    match receive(member, PATIENCE) {
        Ok(Inbound::Control(message)) => message,
        other => panic!("a control message should have come, not {other:?}"),
    }
}

fn media<T: Transport>(member: &mut T) -> Bytes {
    match receive(member, PATIENCE) {
        Ok(Inbound::Media(packet)) => packet,
        other => panic!("a packet should have come, not {other:?}"),
    }
}

// ---- what both promise
// --------------------------------------------------------------------------------

/// Runs a story on both transports. The story is given a function that makes unconnected members.
macro_rules! on_both {
    ($($story:ident)*) => {
        mod on_loopback {
            $(#[test] fn $story() {
                let hub = super::Hub::new(super::name("loopback"));
                super::$story(|| hub.client());
            })*
        }
        mod on_sockets {
            $(#[test] fn $story() {
                let relay = super::start_relay(super::RelayOptions::default());
                super::$story(|| super::TcpUdpClient::new(relay.name()));
            })*
        }
    };
}

on_both! {
    both_lanes_reach_every_other_member_and_never_the_sender
    each_senders_messages_stay_in_order_whatever_their_size
    two_rooms_never_mix
    the_longest_is_carried_and_anything_longer_is_refused_whole
    receive_waits_until_the_time_is_reached_and_not_longer
    receive_polls_when_the_time_has_passed
    without_a_connection_everything_is_closed_and_connecting_again_works
    closing_loses_nothing_that_was_sent_on_the_control_lane
    a_receive_that_is_cancelled_loses_nothing
    what_came_before_the_other_side_left_is_still_received
}

fn start_relay(options: RelayOptions) -> Relay {
    Relay::start(([127, 0, 0, 1], 0).into(), options).unwrap()
}

fn both_lanes_reach_every_other_member_and_never_the_sender<T: Transport>(member: impl Fn() -> T) {
    let mut members: Vec<T> = (0..4).map(|_| join(member(), ROOM)).collect();
    let [ada, others @ ..] = &mut members[..] else { unreachable!() };
    say(ada, "a message");
    for other in &mut *others {
        assert_eq!(control(other), "a message");
    }
    ada.send_media(b"a packet").unwrap();
    for other in &mut *others {
        assert_eq!(media(other), "a packet");
    }
    assert_eq!(receive(ada, MOMENT), Ok(Inbound::Idle));
    assert!(others.iter_mut().all(|other| receive(other, Duration::ZERO) == Ok(Inbound::Idle)));
}

fn each_senders_messages_stay_in_order_whatever_their_size<T: Transport>(member: impl Fn() -> T) {
    const MESSAGES: usize = 60;
    const SIZES: [usize; 5] = [3, 1_024, 4, MAX_CONTROL, 4_096];
    let mut receiver = join(member(), ROOM);
    let senders = [b'a', b'b'].map(|letter| (letter, join(member(), ROOM)));
    thread::scope(|scope| {
        for (letter, mut sender) in senders {
            scope.spawn(move || {
                for (number, size) in (0..MESSAGES).zip(SIZES.into_iter().cycle()) {
                    let mut message = vec![letter; size];
                    message[1] = number as u8;
                    say(&mut sender, message);
                }
                block_on(sender.close());
            });
        }
        let mut next = [0, 0];
        for _ in 0..2 * MESSAGES {
            let message = control(&mut receiver);
            let number = &mut next[usize::from(message[0] - b'a')];
            assert_eq!(usize::from(message[1]), *number);
            assert_eq!(message.len(), SIZES[*number % SIZES.len()]);
            assert!(message[2..].iter().all(|byte| *byte == message[0]));
            *number += 1;
        }
    });
}

fn two_rooms_never_mix<T: Transport>(member: impl Fn() -> T) {
    let [mut ada, mut ben] = [(); 2].map(|()| join(member(), ROOM));
    let [mut cem, mut dag] = [(); 2].map(|()| join(member(), OTHER_ROOM));
    for number in 0..20u8 {
        say(&mut ada, vec![1, number]);
        say(&mut cem, vec![2, number]);
        assert_eq!(control(&mut ben)[..], [1, number]);
        assert_eq!(control(&mut dag)[..], [2, number]);
        ada.send_media(&[3, number]).unwrap();
        cem.send_media(&[4, number]).unwrap();
        assert_eq!(media(&mut ben)[..], [3, number]);
        assert_eq!(media(&mut dag)[..], [4, number]);
    }
    for member in [&mut ada, &mut ben, &mut cem, &mut dag] {
        assert_eq!(receive(member, Duration::ZERO), Ok(Inbound::Idle));
    }
}

fn the_longest_is_carried_and_anything_longer_is_refused_whole<T: Transport>(member: impl Fn() -> T) {
    let [mut ada, mut ben] = [(); 2].map(|()| join(member(), ROOM));
    let too_large = |length, limit| Err(TransportError::TooLarge { length, limit });
    let message = Bytes::from(vec![0; MAX_CONTROL + 1]);
    assert_eq!(block_on(ada.send_control(message)), too_large(MAX_CONTROL + 1, MAX_CONTROL));
    assert_eq!(ada.send_media(&[0; MAX_MEDIA + 1]), too_large(MAX_MEDIA + 1, MAX_MEDIA));
    for length in [0, 1, MAX_CONTROL] {
        say(&mut ada, vec![7; length]);
        assert_eq!(control(&mut ben), vec![7; length]);
    }
    // An empty packet is none.
    for length in [1, MAX_MEDIA] {
        ada.send_media(&vec![8; length]).unwrap();
        assert_eq!(media(&mut ben), vec![8; length]);
    }
}

fn receive_waits_until_the_time_is_reached_and_not_longer<T: Transport>(member: impl Fn() -> T) {
    let mut ada = join(member(), ROOM);
    let start = Instant::now();
    assert_eq!(receive(&mut ada, MOMENT), Ok(Inbound::Idle));
    assert!((MOMENT..PATIENCE).contains(&start.elapsed()));
}

fn receive_polls_when_the_time_has_passed<T: Transport>(member: impl Fn() -> T) {
    let [mut ada, mut ben] = [(); 2].map(|()| join(member(), ROOM));
    let past = ben.now();
    assert_eq!(block_on(ben.receive(past)), Ok(Inbound::Idle));
    say(&mut ada, "here");
    let deadline = Instant::now() + PATIENCE;
    let polled = loop {
        match block_on(ben.receive(past)) {
            Ok(Inbound::Idle) if Instant::now() < deadline => thread::yield_now(),
            other => break other,
        }
    };
    assert_eq!(polled, Ok(Inbound::Control("here".into())));
}

fn without_a_connection_everything_is_closed_and_connecting_again_works<T: Transport>(
    member: impl Fn() -> T,
) {
    let mut ada = join(member(), ROOM);
    let mut ben = member();
    for _ in 0..2 {
        assert_eq!(block_on(ben.send_control(Bytes::new())), Err(TransportError::Closed));
        assert_eq!(ben.send_media(b""), Err(TransportError::Closed));
        assert_eq!(receive(&mut ben, PATIENCE), Err(TransportError::Closed));
        ben = join(ben, ROOM);
        say(&mut ada, "welcome");
        assert_eq!(control(&mut ben), "welcome");
        ada.send_media(b"listen").unwrap();
        assert_eq!(media(&mut ben), "listen");
        block_on(ben.close());
        block_on(ben.close());
    }
    say(&mut ada, "to nobody");
}

fn closing_loses_nothing_that_was_sent_on_the_control_lane<T: Transport>(member: impl Fn() -> T) {
    let [mut ada, mut ben] = [(); 2].map(|()| join(member(), ROOM));
    // What the closing side has not read must not destroy what it sent.
    say(&mut ben, "unread");
    for number in 0..40 {
        say(&mut ada, vec![number; MAX_CONTROL]);
    }
    block_on(ada.close());
    for number in 0..40 {
        assert_eq!(control(&mut ben), vec![number; MAX_CONTROL]);
    }
}

fn a_receive_that_is_cancelled_loses_nothing<T: Transport>(member: impl Fn() -> T) {
    let [mut ada, mut ben] = [(); 2].map(|()| join(member(), ROOM));
    for number in 0..10u8 {
        say(&mut ada, vec![number]);
    }
    for number in 0..10u8 {
        let until = ben.now() + PATIENCE;
        drop(ben.receive(until));
        assert_eq!(control(&mut ben)[..], [number]);
    }
}

fn what_came_before_the_other_side_left_is_still_received<T: Transport>(member: impl Fn() -> T) {
    let [mut ada, mut ben] = [(); 2].map(|()| join(member(), ROOM));
    say(&mut ada, "goodbye");
    block_on(ada.close());
    drop(ada);
    assert_eq!(control(&mut ben), "goodbye");
    assert_eq!(receive(&mut ben, MOMENT), Ok(Inbound::Idle));
}

// ---- sockets
// ------------------------------------------------------------------------------------------

#[test]
fn nobody_under_the_name_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for name in [RelayName::new(&free.to_string()).unwrap(), name("no-port"), name("moq+https://127.0.0.1/x")]
    {
        let mut client = TcpUdpClient::new(name.clone());
        assert_eq!(client.relays(), [&name]);
        assert_eq!(block_on(client.connect(ROOM)), Err(TransportError::Unreachable), "{name}");
    }
}

/// Something that is not our relay: says `words` to whoever connects, and hangs up when they do.
fn impostor(words: &'static [u8]) -> RelayName {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().take(1) {
            let mut stream = stream.unwrap();
            let mut hello = [0; 24];
            stream.read_exact(&mut hello).unwrap();
            stream.write_all(words).unwrap();
            // Until the client has had enough.
            let _ = stream.read(&mut hello);
        }
    });
    name(&address.to_string())
}

#[test]
fn what_does_not_speak_our_protocol_is_refused() {
    for words in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"svrelay\x02\x00", b"svrelay\x01\x01", b"svrelay\x01\x63"]
    {
        let mut client = TcpUdpClient::new(impostor(words));
        assert_eq!(block_on(client.connect(ROOM)), Err(TransportError::Refused), "{words:?}");
    }
}

#[test]
fn a_relay_whose_datagrams_do_not_come_through_is_no_media() {
    let mut client = TcpUdpClient::new(impostor(b"svrelay\x01\x00ticketticket0000"));
    assert_eq!(block_on(client.connect(ROOM)), Err(TransportError::NoMedia));
    assert_eq!(receive(&mut client, PATIENCE), Err(TransportError::Closed));
}

#[test]
fn a_full_relay_is_busy_until_somebody_leaves() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let relay = start_relay(RelayOptions { limits, ..RelayOptions::default() });
    let [mut ada, _ben] = [(); 2].map(|()| join(TcpUdpClient::new(relay.name()), ROOM));
    let mut cem = TcpUdpClient::new(relay.name());
    assert_eq!(block_on(cem.connect(OTHER_ROOM)), Err(TransportError::Busy));
    block_on(ada.close());
    let deadline = Instant::now() + PATIENCE;
    while block_on(cem.connect(ROOM)) != Ok(()) {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_relay_that_hangs_up_without_a_word_is_busy() {
    let relay = start_relay(RelayOptions {
        limits: Limits { pending: 0, ..Limits::default() },
        ..RelayOptions::default()
    });
    assert_eq!(block_on(TcpUdpClient::new(relay.name()).connect(ROOM)), Err(TransportError::Busy));
}

#[test]
fn a_relay_that_stops_closes_its_members_after_what_it_had_delivered() {
    let relay = start_relay(RelayOptions::default());
    let [mut ada, mut ben] = [(); 2].map(|()| join(TcpUdpClient::new(relay.name()), ROOM));
    say(&mut ada, "last words");
    assert_eq!(control(&mut ben), "last words");
    relay.stop().unwrap();
    for member in [&mut ada, &mut ben] {
        assert_eq!(receive(member, PATIENCE), Err(TransportError::Closed));
        assert_eq!(block_on(member.send_control("x".into())), Err(TransportError::Closed));
        assert_eq!(member.send_media(b"x"), Err(TransportError::Closed));
    }
}

#[test]
fn a_member_that_never_receives_is_cut_off_and_nobody_else_notices() {
    let limits = Limits { queue: 100_000, control_rate: u32::MAX, ..Limits::default() };
    let relay = start_relay(RelayOptions { limits, ..RelayOptions::default() });
    let [mut ada, mut ben, mut deaf] = [(); 3].map(|()| join(TcpUdpClient::new(relay.name()), ROOM));
    let mut sent = 0;
    while relay.counts().cut == 0 {
        say(&mut ada, vec![sent as u8; MAX_CONTROL]);
        assert_eq!(control(&mut ben), vec![sent as u8; MAX_CONTROL]);
        sent += 1;
        assert!(sent < 10_000, "kernel buffers cannot hold that much");
    }
    let mut heard = 0;
    while let Ok(Inbound::Control(message)) = receive(&mut deaf, PATIENCE) {
        assert_eq!(message[0], heard as u8);
        heard += 1;
    }
    assert!(heard < sent);
    assert_eq!(receive(&mut deaf, PATIENCE), Err(TransportError::Closed));
    say(&mut ada, "still here");
    assert_eq!(control(&mut ben), "still here");
}

// ---- the loopback hub
// ---------------------------------------------------------------------------------

fn percent(percent: f64) -> Percent {
    Percent::new(percent).unwrap()
}

/// What a listener hears of packets 0 to 199, and when, in milliseconds.
fn heard(faults: Faults, seed: u64) -> Vec<(u8, u128)> {
    let hub = Hub::simulated(name("loopback"), faults, seed);
    let [mut ada, mut ben] = [(); 2].map(|()| join(hub.client(), ROOM));
    let start = ada.now();
    let speaker = thread::spawn(move || {
        for number in 0..200 {
            ada.send_media(&[number]).unwrap();
            assert_eq!(receive(&mut ada, Duration::from_millis(20)), Ok(Inbound::Idle));
        }
    });
    let mut heard = Vec::new();
    while let Ok(Inbound::Media(packet)) = receive(&mut ben, Duration::from_secs(60)) {
        heard.push((packet[0], (ben.now() - start).as_millis()));
    }
    drop(ben);
    speaker.join().unwrap();
    heard
}

#[test]
fn faults_replay_from_their_seed() {
    let some = percent(20.0);
    let faults = Faults { loss: some, duplication: some, reordering: some, delay: Duration::from_millis(50) };
    assert_eq!(heard(faults, 1), heard(faults, 1));
    assert_ne!(heard(faults, 1), heard(faults, 2));
}

#[test]
fn without_faults_everything_arrives_at_once() {
    let expected: Vec<_> = (0..200).map(|number| (number, u128::from(number) * 20)).collect();
    assert_eq!(heard(Faults::default(), 1), expected);
}

#[test]
fn each_fault_does_what_it_says() {
    let numbers = |faults| heard(faults, 3).into_iter().map(|(number, _)| number).collect::<Vec<_>>();

    let lossy = numbers(Faults { loss: percent(25.0), ..Faults::default() });
    assert!((120..180).contains(&lossy.len()), "{}", lossy.len());
    assert!(lossy.is_sorted_by(|a, b| a < b));
    assert!(numbers(Faults { loss: percent(100.0), ..Faults::default() }).is_empty());

    let twice: Vec<u8> = (0..200).flat_map(|number| [number, number]).collect();
    assert_eq!(numbers(Faults { duplication: percent(100.0), ..Faults::default() }), twice);

    // Each of a pair is overtaken by the other.
    let swapped: Vec<u8> = (0..200).map(|number| number ^ 1).collect();
    assert_eq!(numbers(Faults { reordering: percent(100.0), ..Faults::default() }), swapped);

    let late = heard(Faults { delay: Duration::from_millis(15), ..Faults::default() }, 3);
    let delays: Vec<_> = late.iter().map(|(number, at)| at - u128::from(*number) * 20).collect();
    assert_eq!(delays.len(), 200);
    assert_eq!((delays.iter().min(), delays.iter().max()), (Some(&0), Some(&14)));
}

#[test]
fn faults_never_touch_the_control_lane() {
    let all = percent(100.0);
    let faults = Faults { loss: all, duplication: all, reordering: all, delay: PATIENCE };
    let hub = Hub::faulty(name("loopback"), faults, 1);
    let [mut ada, mut ben] = [(); 2].map(|()| join(hub.client(), ROOM));
    for number in 0..50u8 {
        say(&mut ada, vec![number]);
    }
    assert!((0..50u8).all(|number| control(&mut ben)[..] == [number]));
}

#[test]
fn a_simulated_day_of_heartbeats_takes_no_time() {
    const BEATS: usize = 24 * 60 * 12;
    let start = Instant::now();
    let hub = Hub::simulated(name("loopback"), Faults::default(), 0);
    let mut host = join(hub.client(), ROOM);
    let listeners: Vec<LoopbackClient> = (0..3).map(|_| join(hub.client(), ROOM)).collect();
    let listeners = listeners.into_iter().map(|mut listener| {
        thread::spawn(move || {
            let start = listener.now();
            let mut beats = 0;
            while let Ok(Inbound::Control(_)) = receive(&mut listener, Duration::from_secs(6)) {
                assert_eq!(listener.now() - start, Duration::from_secs(5) * beats);
                beats += 1;
            }
            beats as usize
        })
    });
    let listeners: Vec<_> = listeners.collect();
    for _ in 0..BEATS {
        say(&mut host, "alive");
        assert_eq!(receive(&mut host, Duration::from_secs(5)), Ok(Inbound::Idle));
    }
    drop(host);
    for listener in listeners {
        assert_eq!(listener.join().unwrap(), BEATS);
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn simulated_time_stands_still_for_a_member_that_is_busy() {
    let hub = Hub::simulated(name("loopback"), Faults::default(), 0);
    let [mut waiting, busy] = [(); 2].map(|()| join(hub.client(), ROOM));
    let start = busy.now();
    let thread = thread::spawn(move || receive(&mut waiting, Duration::from_secs(1)));
    thread::sleep(MOMENT);
    assert!(!thread.is_finished());
    assert_eq!(busy.now(), start);
    drop(busy);
    assert_eq!(thread.join().unwrap(), Ok(Inbound::Idle));
}

#[test]
fn a_member_that_lets_too_much_wait_is_cut_off_alone() {
    let hub = Hub::new(name("loopback"));
    let [mut ada, mut ben, mut deaf] = [(); 3].map(|()| join(hub.client(), ROOM));
    for _ in 0..300 {
        say(&mut ada, vec![0; MAX_CONTROL]);
        control(&mut ben);
    }
    let mut waiting = 0;
    while let Ok(Inbound::Control(_)) = receive(&mut deaf, Duration::ZERO) {
        waiting += 1;
    }
    assert_eq!(waiting, 4 * 1024 * 1024 / MAX_CONTROL);
    assert_eq!(receive(&mut deaf, Duration::ZERO), Err(TransportError::Closed));
    assert_eq!(block_on(deaf.send_control(Bytes::new())), Err(TransportError::Closed));
}
