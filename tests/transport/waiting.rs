//! Clients wait by waking, whatever runs their futures (SPEC section 8.1): nothing of ours, or
//! tokio on one thread or several.

use std::{
    future::poll_fn,
    net::{TcpListener, UdpSocket},
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sottovoce::transport::{
    ConnectionStats, Inbound, RoomHandle, Transport, TransportError, block_on, loopback::Hub,
    tcp_udp::TcpUdpClient,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

use super::places;

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
/// Longer than any test may take.
pub const LONG: Duration = Duration::from_secs(60);
pub const SHORT: Duration = Duration::from_millis(200);
/// What a busy machine may add.
pub const SLACK: Duration = Duration::from_secs(2);

/// One thread, and several.
pub fn runtimes() -> [Runtime; 2] {
    let [mut one, mut several] = [Builder::new_current_thread(), Builder::new_multi_thread()];
    [one.enable_time(), several.worker_threads(2).enable_time()].map(|builder| builder.build().unwrap())
}

/// Runs each story with one client, as a task of either runtime.
macro_rules! on_tokio {
    ($client:ident: $($story:ident)*) => {
        mod $client {
            $(#[test] fn $story() {
                for runtime in super::runtimes() {
                    let Some(place) = super::places::$client() else { return };
                    let (_relay, member) = (place.relay, place.member);
                    runtime.block_on(runtime.spawn(super::$story(member))).unwrap();
                }
            })*
        }
    };
    ($client:ident) => {
        on_tokio! { $client:
            a_timeout_around_receive_is_on_time_and_other_tasks_run
            a_packet_wakes_whoever_waits
            tasks_of_one_runtime_talk_to_each_other
            block_on_inside_a_runtime_ends
        }
    };
}

on_tokio!(loopback);
on_tokio!(tcp_udp);
on_tokio!(split);
#[cfg(feature = "quic")]
on_tokio!(quic);
#[cfg(feature = "moq")]
on_tokio!(moq);
#[cfg(feature = "janus")]
on_tokio!(janus);
#[cfg(feature = "rtpengine")]
on_tokio!(rtpengine);

/// Which of two ends first.
pub async fn either<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> Result<A, B> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => other.as_mut().poll(context).map(Err),
    })
    .await
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
    let start = Instant::now();
    let until = ada.now() + 10 * LONG;
    assert!(timeout(SHORT, ada.receive(until)).await.is_err());
    assert!((SHORT..SHORT + SLACK).contains(&start.elapsed()), "{:?}", start.elapsed());
    // Another task has its turns while one call waits: the last of them ends the wait.
    let other = tokio::spawn(async {
        for _ in 0..10 {
            sleep(SHORT / 20).await;
        }
    });
    let first = timeout(LONG, either(ada.receive(until), other)).await;
    assert!(matches!(first, Ok(Err(Ok(())))), "another task did not run: {first:?}");
    // Its own time is kept as well, and what comes ends the wait.
    let start = Instant::now();
    let until = ada.now() + SHORT;
    assert_eq!(ada.receive(until).await, Ok(Inbound::Idle));
    assert!((SHORT - SHORT / 10..SHORT + SLACK).contains(&start.elapsed()), "{:?}", start.elapsed());
    let start = Instant::now();
    ada.close().await;
    assert!(start.elapsed() < SLACK);
}

async fn a_packet_wakes_whoever_waits<T: Transport + 'static>(member: impl Fn() -> T) {
    let [mut ada, mut ben] = [join(member()).await, join(member()).await];
    let speaker = tokio::spawn(async move {
        loop {
            ada.send_media(&[0xb0; 200]).unwrap();
            sleep(SHORT / 10).await;
        }
    });
    // Far less than `until`: the packet itself ends the wait.
    let until = ben.now() + 10 * LONG;
    let heard = timeout(LONG, ben.receive(until)).await;
    assert_eq!(heard, Ok(Ok(Inbound::Media(Bytes::from_static(&[0xb0; 200])))));
    speaker.abort();
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

/// Somebody who does not answer, tried with one client.
macro_rules! in_vain {
    ($client:ident: |$address:ident| $member:expr) => {
        mod $client {
            #[test]
            fn connecting_to_somebody_who_does_not_answer_holds_nobody_up() {
                let (_listener, _socket, $address) = super::super::mute();
                for runtime in super::super::runtimes() {
                    runtime.block_on(super::super::connecting_can_be_cancelled($member));
                }
            }
        }
    };
}

mod in_vain {
    use sottovoce::transport;

    in_vain!(tcp_udp: |address| super::transport::tcp_udp::TcpUdpClient::new(address.parse().unwrap()));
    #[cfg(feature = "quic")]
    in_vain!(quic: |address| {
        let name = super::transport::quic::Pin::of(b"").name(&address).unwrap();
        super::transport::quic::QuicClient::new(name).unwrap()
    });
    #[cfg(feature = "moq")]
    in_vain!(moq: |address| {
        super::transport::moq::MoqClient::new(format!("moq:{address}").parse().unwrap()).unwrap()
    });
    #[cfg(feature = "janus")]
    in_vain!(janus: |address| {
        super::transport::janus::JanusClient::new(format!("janus:{address}").parse().unwrap()).unwrap()
    });
    #[cfg(feature = "rtpengine")]
    in_vain!(rtpengine: |address| {
        let name = format!("rtp:{address}").parse().unwrap();
        super::transport::rtpengine::RtpengineClient::new(name).unwrap()
    });
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
    let relay = places::relay();
    counted(|| TcpUdpClient::new(relay.name()), TcpUdpClient::stats);
    #[cfg(feature = "quic")]
    {
        use sottovoce::transport::quic::QuicClient;
        let relay = sottovoce_testkit::quic::relay(Default::default());
        counted(|| QuicClient::new(relay.quic_name().unwrap()).unwrap(), QuicClient::stats);
    }
}
