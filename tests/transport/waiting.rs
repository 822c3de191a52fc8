//! Clients wait by waking, whatever runs their futures (SPEC section 8.1): nothing of ours, or
//! tokio on one thread or several.

use std::{
    net::{TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use sottovoce::{
    relay::{Relay, RelayOptions},
    transport::{
        ConnectionStats, Inbound, RoomHandle, Split, Transport, TransportError, block_on, loopback::Hub,
        tcp_udp::TcpUdpClient,
    },
};
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(2);

/// One thread, and several.
fn runtimes() -> [Runtime; 2] {
    let [mut one, mut several] = [Builder::new_current_thread(), Builder::new_multi_thread()];
    [one.enable_time(), several.worker_threads(2).enable_time()].map(|builder| builder.build().unwrap())
}

/// Runs each story with each client, as a task of either runtime.
macro_rules! on_tokio {
    ($($story:ident)*) => {
        mod loopback {
            $(#[test] fn $story() {
                for runtime in super::runtimes() {
                    let hub = super::Hub::new("loopback".parse().unwrap());
                    let story = super::$story(move || hub.client());
                    runtime.block_on(runtime.spawn(story)).unwrap();
                }
            })*
        }
        mod tcp_udp {
            $(#[test] fn $story() {
                for runtime in super::runtimes() {
                    let relay = super::relay();
                    let name = relay.name();
                    let story = super::$story(move || super::TcpUdpClient::new(name.clone()));
                    runtime.block_on(runtime.spawn(story)).unwrap();
                }
            })*
        }
        mod split {
            $(#[test] fn $story() {
                for runtime in super::runtimes() {
                    let (relay, hub) = (super::relay(), super::Hub::new("loopback".parse().unwrap()));
                    let name = relay.name();
                    let client = move || super::Split::new(super::TcpUdpClient::new(name.clone()), hub.client());
                    runtime.block_on(runtime.spawn(super::$story(client))).unwrap();
                }
            })*
        }
        #[cfg(feature = "quic")]
        mod quic {
            $(#[test] fn $story() {
                use sottovoce::transport::quic::QuicClient;
                for runtime in super::runtimes() {
                    let relay = sottovoce_testkit::quic::relay(super::RelayOptions::default());
                    let name = relay.quic_name().unwrap();
                    let story = super::$story(move || QuicClient::new(name.clone()).unwrap());
                    runtime.block_on(runtime.spawn(story)).unwrap();
                }
            })*
        }
    };
}

on_tokio! {
    a_timeout_around_receive_is_on_time_and_other_tasks_run
    tasks_of_one_runtime_talk_to_each_other
    block_on_inside_a_runtime_ends
}

fn relay() -> Relay {
    Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions::default()).unwrap()
}

async fn join<T: Transport>(mut member: T) -> T {
    member.connect(ROOM).await.unwrap();
    member
}

async fn control<T: Transport>(member: &mut T) -> Bytes {
    let until = member.now() + LONG;
    match member.receive(until).await {
        Ok(Inbound::Control(message)) => message,
        other => panic!("a message should have come, not {other:?}"),
    }
}

async fn a_timeout_around_receive_is_on_time_and_other_tasks_run<T: Transport>(member: impl Fn() -> T) {
    let mut ada = join(member()).await;
    let beats = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&beats);
    let other = tokio::spawn(async move {
        loop {
            sleep(SHORT / 20).await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let start = Instant::now();
    let until = ada.now() + LONG;
    assert!(timeout(SHORT, ada.receive(until)).await.is_err());
    assert!((SHORT..SHORT + SLACK).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(beats.load(Ordering::Relaxed) >= 3, "another task did not run");
    other.abort();
    // Its own time is kept as well, and what comes ends the wait.
    let start = Instant::now();
    let until = ada.now() + SHORT;
    assert_eq!(ada.receive(until).await, Ok(Inbound::Idle));
    assert!((SHORT - SHORT / 10..SHORT + SLACK).contains(&start.elapsed()), "{:?}", start.elapsed());
    let start = Instant::now();
    ada.close().await;
    assert!(start.elapsed() < SLACK);
}

async fn tasks_of_one_runtime_talk_to_each_other<T: Transport + 'static>(member: impl Fn() -> T) {
    const MEMBERS: u8 = 8;
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        members.push(join(member()).await);
    }
    let tasks: Vec<_> = (0..MEMBERS)
        .zip(members)
        .map(|(number, mut member)| {
            tokio::spawn(async move {
                member.send_control(Bytes::from(vec![number; 10_000])).await.unwrap();
                let mut heard = Vec::new();
                for _ in 1..MEMBERS {
                    heard.push(control(&mut member).await[0]);
                }
                heard.sort_unstable();
                (heard, member)
            })
        })
        .collect();
    let mut all = Vec::new();
    for (number, task) in (0..MEMBERS).zip(tasks) {
        let (heard, member) = task.await.unwrap();
        assert_eq!(heard, (0..MEMBERS).filter(|other| *other != number).collect::<Vec<_>>());
        // Nobody leaves before everybody has heard.
        all.push(member);
    }
}

/// Bad manners, and no hang: threads of their own drive what it waits for.
async fn block_on_inside_a_runtime_ends<T: Transport>(member: impl Fn() -> T) {
    let [mut ada, mut ben] = [(); 2].map(|()| block_on(join(member())));
    block_on(ada.send_control("here".into())).unwrap();
    assert_eq!(block_on(control(&mut ben)), "here");
    let until = ben.now() + SHORT;
    assert_eq!(block_on(ben.receive(until)), Ok(Inbound::Idle));
    block_on(ada.close());
    block_on(ben.close());
}

/// Somebody who accepts, and says nothing.
fn mute() -> (TcpListener, UdpSocket, String) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        if let Ok(socket) = UdpSocket::bind(address) {
            return (listener, socket, address.to_string());
        }
    }
}

async fn connecting_can_be_cancelled<T: Transport>(mut member: T) {
    let start = Instant::now();
    assert!(timeout(SHORT, member.connect(ROOM)).await.is_err());
    assert!((SHORT..SHORT + SLACK).contains(&start.elapsed()), "{:?}", start.elapsed());
    let until = member.now() + LONG;
    assert_eq!(member.receive(until).await, Err(TransportError::Closed));
    assert_eq!(member.send_media(b"x"), Err(TransportError::Closed));
}

#[test]
fn connecting_to_somebody_who_does_not_answer_holds_nobody_up() {
    let (_listener, _socket, address) = mute();
    for runtime in runtimes() {
        runtime.block_on(async {
            connecting_can_be_cancelled(TcpUdpClient::new(address.parse().unwrap())).await;
            #[cfg(feature = "quic")]
            {
                let name = sottovoce::transport::quic::Pin::of(b"").name(&address).unwrap();
                let client = sottovoce::transport::quic::QuicClient::new(name).unwrap();
                connecting_can_be_cancelled(client).await;
            }
            #[cfg(feature = "moq")]
            {
                let name = format!("moq:{address}").parse().unwrap();
                connecting_can_be_cancelled(sottovoce::transport::moq::MoqClient::new(name).unwrap()).await;
            }
            #[cfg(feature = "janus")]
            {
                let name = format!("janus:{address}").parse().unwrap();
                let client = sottovoce::transport::janus::JanusClient::new(name).unwrap();
                connecting_can_be_cancelled(client).await;
            }
            #[cfg(feature = "rtpengine")]
            {
                let name = format!("rtp:{address}").parse().unwrap();
                let client = sottovoce::transport::rtpengine::RtpengineClient::new(name).unwrap();
                connecting_can_be_cancelled(client).await;
            }
        });
    }
}

#[cfg(feature = "room")]
#[test]
fn a_timeout_around_next_is_on_time() {
    use sottovoce::{
        Seed,
        driver::Session,
        group::{Identity, Name},
        room::{RoomOptions, UnixTime},
    };
    for runtime in runtimes() {
        let relay = relay();
        let task = runtime.spawn(async move {
            let options = RoomOptions::new(Name::new("room").unwrap(), [relay.name()]);
            let ada = Identity::from_seed(rand::random(), Name::new("Ada").unwrap());
            let unix = UnixTime::from(std::time::SystemTime::now());
            let client = TcpUdpClient::new(relay.name());
            let created = Session::create_with(client, ada, options, Seed::generate().unwrap(), unix).await;
            let mut session = created.unwrap();
            let until = session.now() + LONG;
            // Whatever a new room has to tell comes first.
            while timeout(SHORT, session.next(until)).await.is_ok() {}
            let start = Instant::now();
            assert!(timeout(SHORT, session.next(until)).await.is_err());
            assert!((SHORT..SHORT + SLACK).contains(&start.elapsed()), "{:?}", start.elapsed());
            session.close().await.unwrap();
        });
        runtime.block_on(task).unwrap();
    }
}

#[test]
fn simulated_time_passes_while_every_task_waits() {
    let [runtime, _] = runtimes();
    let hub = Hub::simulated("loopback".parse().unwrap(), Default::default(), 0);
    let start = Instant::now();
    let members: Vec<_> = (0..3).map(|_| block_on(join(hub.client()))).collect();
    let tasks: Vec<_> = members
        .into_iter()
        .map(|mut member| {
            runtime.spawn(async move {
                let began = member.now();
                for hour in 1..=24 {
                    let until = began + hour * Duration::from_secs(3_600);
                    assert_eq!(member.receive(until).await, Ok(Inbound::Idle));
                    assert_eq!(member.now(), until);
                }
            })
        })
        .collect();
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
    assert!(start.elapsed() < LONG);
}

/// What both clients of the reference relay say of their connections.
fn counted<T: Transport>(member: impl Fn() -> T, stats: impl Fn(&T) -> ConnectionStats) {
    let [mut ada, mut ben] = [(); 2].map(|()| block_on(join(member())));
    for _ in 0..10 {
        ada.send_media(&[0xb0; 200]).unwrap();
    }
    block_on(ada.send_control(Bytes::from_static(&[1; 300]))).unwrap();
    assert_eq!(block_on(control_alone(&mut ben)).len(), 300);
    let start = Instant::now();
    while stats(&ada).media.path.is_none() || stats(&ben).media.received.units < 10 {
        assert!(start.elapsed() < LONG, "{:?}, {:?}", stats(&ada), stats(&ben));
        std::thread::sleep(SHORT / 10);
    }
    let (sent, came) = (stats(&ada), stats(&ben));
    assert_eq!((sent.media.sent.units, sent.media.sent.bytes), (10, 2_000));
    assert_eq!((came.media.received.units, came.media.received.bytes), (10, 2_000));
    assert_eq!((sent.control.sent.units, came.control.received.units), (1, 1));
    assert_eq!((came.control.received.bytes, came.media.overrun), (300, 0));
    let path = sent.media.path.unwrap();
    assert!(path.round_trip > Duration::ZERO && path.round_trip < SLACK, "{path:?}");
    block_on(ada.close());
    assert_eq!(stats(&ada), ConnectionStats::default());
}

/// The next message; packets that come before it are passed over.
async fn control_alone<T: Transport>(member: &mut T) -> Bytes {
    let until = member.now() + LONG;
    loop {
        match member.receive(until).await {
            Ok(Inbound::Control(message)) => return message,
            Ok(Inbound::Media(_)) => {}
            other => panic!("a message should have come, not {other:?}"),
        }
    }
}

#[test]
fn clients_count_what_passes_and_measure_the_way() {
    let relay = relay();
    counted(|| TcpUdpClient::new(relay.name()), TcpUdpClient::stats);
    #[cfg(feature = "quic")]
    {
        use sottovoce::transport::quic::QuicClient;
        let relay = sottovoce_testkit::quic::relay(RelayOptions::default());
        counted(|| QuicClient::new(relay.quic_name().unwrap()).unwrap(), QuicClient::stats);
    }
}
