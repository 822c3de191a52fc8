//! What only pretends to be a MoQ relay, or publishes below a room's path what it likes, and cannot
//! do more harm to a member than to close its transport.

use std::{
    collections::HashSet,
    future::Future,
    net::UdpSocket,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    session::{Link, Session, lock},
    streams::Codes,
};
use crate::transport::{
    Inbound, MAX_CONTROL, MAX_MEDIA, RelayName, RoomHandle, Transport, TransportError, block_on,
    moq::{MoqClient, Pin, room_path},
};
use bytes::{Bytes, BytesMut};
use moq_net::{Server, Timestamp, broadcast, group, kio::Waiter, origin, track};
use quinn_proto::{DatagramEvent, Endpoint, EndpointConfig, ServerConfig, crypto::rustls::QuicServerConfig};

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
const PATIENCE: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(300);

/// A relay that does what it is told to, to the one member that it lets in.
struct Pretender {
    name: RelayName,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a turn of the pretender is given: where it publishes, and since when the member is there.
type Script = Box<dyn FnMut(&origin::Producer, Duration) + Send>;

impl Pretender {
    fn start(script: Script) -> Self {
        Self::spawn(Some(script))
    }

    /// One that does the handshake and then says nothing.
    fn mute() -> Self {
        Self::spawn(None)
    }

    fn spawn(script: Option<Script>) -> Self {
        let made = rcgen::generate_simple_self_signed(["relay.example".to_owned()]).unwrap();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let mut tls =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .unwrap();
        tls.alpn_protocols = vec![b"moq-lite-06".to_vec()];
        let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let address = socket.local_addr().unwrap();
        let name = format!("moq:{address}#{}", Pin::of(made.cert.der())).parse().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || serve(&socket, config, script, &stopped));
        Self { name, stop, thread: Some(thread) }
    }

    fn member(&self) -> MoqClient {
        let mut member = MoqClient::new(self.name.clone()).unwrap();
        block_on(member.connect(ROOM)).unwrap();
        member
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

fn serve(socket: &UdpSocket, config: ServerConfig, mut script: Option<Script>, stop: &AtomicBool) {
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), Some(Arc::new(config)), true, None);
    let mut there = None;
    let mut moq = None;
    let mut buffer = vec![0; 2_000];
    let mut out = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let now = Instant::now();
            out.clear();
            match endpoint.handle(now, from, None, None, BytesMut::from(&buffer[..length]), &mut out) {
                Some(DatagramEvent::NewConnection(incoming)) => {
                    let Ok((handle, connection)) = endpoint.accept(incoming, now, &mut out, None) else {
                        continue;
                    };
                    there = Some((handle, Arc::new(Mutex::new(Link::new(connection, now)))));
                    moq = None;
                }
                Some(DatagramEvent::ConnectionEvent(to, event)) => {
                    if let Some((_, link)) = there.as_ref().filter(|(handle, _)| *handle == to) {
                        lock(link).connection.handle_event(event);
                    }
                }
                _ => {}
            }
        }
        let Some((handle, link)) = &there else { continue };
        let now = Instant::now();
        {
            let mut link = lock(link);
            link.now = now;
            if link.connection.poll_timeout().is_some_and(|due| due <= now) {
                link.connection.handle_timeout(now);
            }
            link.handle_events();
        }
        if moq.is_none() && script.is_some() && !lock(link).connection.is_handshaking() {
            let session = Session::new(Arc::clone(link), "moq-lite-06", Codes::Plain);
            let (mouth, mouth_driver) = origin::Producer::new(origin::Config::default());
            let (ears, ears_driver) = origin::Producer::new(origin::Config::default());
            let server = Server::new().with_publisher(&mouth).with_subscriber(ears.clone());
            moq = Some((
                Box::pin(async move { server.accept(now, session).await }),
                None,
                [mouth_driver, ears_driver],
                mouth,
                ears,
                now,
            ));
        }
        if let Some((accepting, running, drivers, mouth, _ears, since)) = &mut moq {
            if running.is_none()
                && let Poll::Ready(Ok(accepted)) =
                    accepting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                *running = Some(accepted);
            }
            if let Some((_session, driver)) = running {
                if let Some(script) = &mut script {
                    script(mouth, now - *since);
                }
                for _ in 0..8 {
                    for driver in drivers.iter_mut() {
                        let _ = driver.poll(now, &Waiter::noop());
                    }
                    if driver.poll(now, &Waiter::noop()).is_err() {
                        break;
                    }
                }
            }
        }
        let mut link = lock(link);
        while let Some(event) = link.connection.poll_endpoint_events() {
            if let Some(event) = endpoint.handle_event(*handle, event) {
                link.connection.handle_event(event);
            }
        }
        loop {
            out.clear();
            let Some(transmit) = link.connection.poll_transmit(now, 1, &mut out) else { break };
            let _ = socket.send_to(&out[..transmit.size], transmit.destination);
        }
    }
}

/// Somebody in the room, who publishes what the script says.
struct Somebody {
    broadcasts: [broadcast::Producer; 2],
    control: track::Producer,
    media: track::Producer,
}

impl Somebody {
    fn new(mouth: &origin::Producer, number: u32) -> Self {
        let path = format!("{}/{number:032x}", room_path(ROOM));
        let info = track::Info::default().with_max_age(Duration::from_secs(10));
        let publish = |path: &str, track: &str| {
            let broadcast = mouth.create_broadcast(path).unwrap();
            let track = broadcast.create_track(track, info.clone()).unwrap();
            broadcast.announce(origin::Route::default()).unwrap();
            (broadcast, track)
        };
        let (messages, control) = publish(&path, "c");
        let (packets, media) = publish(&format!("{path}00000000"), "m");
        Self { broadcasts: [messages, packets], control, media }
    }

    /// A group of the control track with this number and these frames.
    fn group(&self, sequence: u64, frames: &[&[u8]]) {
        let mut group = self.control.create_group(group::Info { sequence }).unwrap();
        for frame in frames {
            group
                .write_frame(Timestamp::from_millis(sequence).unwrap(), Bytes::copy_from_slice(frame))
                .unwrap();
        }
        group.finish().unwrap();
    }
}

fn framed(back: u32, message: &[u8]) -> Vec<u8> {
    [&back.to_be_bytes(), message].concat()
}

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
