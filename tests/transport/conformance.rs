//! The conformance kit on our own transports, and on one that is broken in one way for each check.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
#[cfg(feature = "janus")]
use sottovoce::transport::janus;
#[cfg(feature = "moq")]
use sottovoce::transport::moq;
#[cfg(feature = "quic")]
use sottovoce::transport::quic;
#[cfg(feature = "rtpengine")]
use sottovoce::transport::rtpengine;
use sottovoce::{
    conformance::{self, Cut, KitOptions, KitReport},
    relay::{Relay, RelayOptions},
    transport::{
        Inbound, MAX_CONTROL, MAX_MEDIA, RelayName, RoomHandle, Split, Transport, TransportError, block_on,
        loopback::{Hub, LoopbackClient},
        tcp_udp::TcpUdpClient,
    },
};
#[cfg(feature = "janus")]
use sottovoce_testkit::janus::Janus;
#[cfg(feature = "moq")]
use sottovoce_testkit::moq as moq_relay;
#[cfg(feature = "quic")]
use sottovoce_testkit::quic as support;
#[cfg(feature = "rtpengine")]
use sottovoce_testkit::rtpengine::Rtpengine;

fn name(name: &str) -> RelayName {
    name.parse().unwrap()
}

fn hub() -> (Hub, KitOptions) {
    (Hub::new(name("loopback")), KitOptions::new([name("loopback")]))
}

fn relay() -> Relay {
    Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions::default()).unwrap()
}

#[track_caller]
fn assert_passed(report: &KitReport) {
    println!("{report}");
    assert!(report.passed(), "{report}");
    assert_eq!(report.checks.len() + report.untried.len(), 28);
}

/// A relay, and what stops it and starts it again at the addresses that it had.
fn restarted(
    start: impl Fn(Option<Addresses>) -> Relay + Send + Sync + 'static,
) -> (Arc<Mutex<Option<Relay>>>, Cut) {
    let relay = Arc::new(Mutex::new(Some(start(None))));
    let cut = Arc::clone(&relay);
    let cut = Cut::new(move || {
        let mut relay = cut.lock().unwrap();
        let before = relay.take().unwrap();
        let addresses = addresses(&before);
        before.stop().unwrap();
        *relay = Some(start(Some(addresses)));
    });
    (relay, cut)
}

/// By TCP and UDP, and by QUIC.
type Addresses = (SocketAddr, Option<SocketAddr>);

fn addresses(relay: &Relay) -> Addresses {
    #[cfg(feature = "quic")]
    return (relay.address(), relay.quic_address());
    #[cfg(not(feature = "quic"))]
    (relay.address(), None)
}

#[test]
fn the_loopback_hub_conforms() {
    let (hub, options) = hub();
    let cut = hub.clone();
    let options = KitOptions { cut: Some(Cut::new(move || cut.cut())), ..options };
    let report = conformance::run(move || hub.client(), &options);
    assert_passed(&report);
    assert!(report.untried.is_empty());
}

#[test]
fn the_client_of_the_reference_relay_conforms() {
    let relay = relay();
    let name = relay.name();
    let options = KitOptions::new([name.clone()]);
    let report = conformance::run(move || TcpUdpClient::new(name.clone()), &options);
    assert_passed(&report);
    assert_eq!(report.untried, ["lost"]);
    assert_eq!(relay.counts().malformed, 0);
}

#[test]
fn a_relay_that_is_lost_is_noticed() {
    let (relay, cut) = restarted(|before| {
        let address = before.map_or(([127, 0, 0, 1], 0).into(), |(address, _)| address);
        Relay::start(address, RelayOptions::default()).unwrap()
    });
    let name = relay.lock().unwrap().as_ref().unwrap().name();
    let options = KitOptions { cut: Some(cut), ..KitOptions::new([name.clone()]) };
    assert_noticed(&conformance::lanes(move || TcpUdpClient::new(name.clone()), &options));
}

#[cfg(feature = "quic")]
#[test]
fn a_relay_that_is_lost_is_noticed_over_quic() {
    use sottovoce::relay::quic::{Certificate, Listen};

    let made = rcgen::generate_simple_self_signed(["relay.example".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let (relay, cut) = restarted(move |before| {
        let any = ([127, 0, 0, 1], 0).into();
        let (plain, quic) = before.map_or((any, any), |(plain, quic)| (plain, quic.unwrap()));
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        let quic = Some(Listen { address: quic, certificate });
        Relay::start(plain, RelayOptions { quic, ..RelayOptions::default() }).unwrap()
    });
    let name = relay.lock().unwrap().as_ref().unwrap().quic_name().unwrap();
    let options = KitOptions { cut: Some(cut), ..KitOptions::new([name.clone()]) };
    assert_noticed(&conformance::lanes(move || quic::QuicClient::new(name.clone()).unwrap(), &options));
}

#[track_caller]
fn assert_noticed(report: &KitReport) {
    assert!(report.untried.is_empty());
    let lost = report.checks.iter().find(|check| check.name == "lost").unwrap();
    assert_eq!(lost.result, Ok(()), "{report}");
}

#[cfg(feature = "quic")]
#[test]
fn the_client_of_the_reference_relay_over_quic_conforms() {
    let relay = support::relay(RelayOptions::default());
    let name = relay.quic_name().unwrap();
    let options = KitOptions::new([name.clone()]);
    assert_passed(&conformance::run(move || quic::QuicClient::new(name.clone()).unwrap(), &options));
    assert_eq!(relay.counts().malformed, 0);
}

#[cfg(feature = "rtpengine")]
#[test]
fn media_through_rtpengine_with_control_over_the_reference_relay_conforms() {
    let Some(rtpengine) = Rtpengine::start() else { return };
    let relay = relay();
    let names = [relay.name(), rtpengine.name()];
    let options = KitOptions::new(names.clone());
    let members = move || {
        Split::new(
            TcpUdpClient::new(names[0].clone()),
            rtpengine::RtpengineClient::new(names[1].clone()).unwrap(),
        )
    };
    assert_passed(&conformance::run(members, &options));
}

#[cfg(feature = "janus")]
#[test]
fn media_through_janus_with_control_over_the_reference_relay_conforms() {
    let Some(janus) = Janus::start() else { return };
    let relay = relay();
    let names = [relay.name(), janus.name()];
    let options = KitOptions::new(names.clone());
    let members = move || {
        Split::new(TcpUdpClient::new(names[0].clone()), janus::JanusClient::new(names[1].clone()).unwrap())
    };
    assert_passed(&conformance::run(members, &options));
}

#[cfg(feature = "moq")]
#[test]
fn both_lanes_through_moq_relay_conform() {
    let Some(relay) = moq_relay::Moq::start(moq_relay::Kind::Lite) else { return };
    let name = relay.name();
    let options = KitOptions::new([name.clone()]);
    assert_passed(&conformance::run(move || moq::MoqClient::new(name.clone()).unwrap(), &options));
}

#[cfg(feature = "moq")]
#[test]
fn both_lanes_through_moq_relay_on_streams_conform() {
    let Some(relay) = moq_relay::Moq::start(moq_relay::Kind::Lite) else { return };
    let name = relay.name();
    let options = KitOptions::new([name.clone()]);
    let members = move || moq::MoqClient::new(name.clone()).unwrap().on_streams();
    assert_passed(&conformance::run(members, &options));
}

#[cfg(feature = "moq")]
#[test]
fn media_through_an_ietf_moq_relay_with_control_over_the_reference_relay_conforms() {
    let Some(ietf) = moq_relay::Moq::start(moq_relay::Kind::Ietf) else { return };
    let relay = relay();
    let names = [relay.name(), ietf.name()];
    let options = KitOptions::new(names.clone());
    let members = move || {
        Split::new(TcpUdpClient::new(names[0].clone()), moq::MoqClient::new(names[1].clone()).unwrap())
    };
    assert_passed(&conformance::run(members, &options));
}

#[test]
fn a_split_over_two_relays_conforms_whichever_lane_is_where() {
    let relay = relay();
    let (hub, _) = hub();
    let options = KitOptions::new([relay.name(), name("loopback")]);
    let (first, second) = ((hub.clone(), relay.name()), (hub, relay.name()));
    let backend = move || Split::new(TcpUdpClient::new(first.1.clone()), first.0.client());
    assert_passed(&conformance::run(backend, &options));
    let vendor = move || Split::new(second.0.client(), TcpUdpClient::new(second.1.clone()));
    assert_passed(&conformance::run(vendor, &options));
    // One of two names on the list is not enough.
    let (hub, _) = self::hub();
    let only = KitOptions::new([name("loopback")]);
    let split = move || Split::new(hub.client(), TcpUdpClient::new(relay.name()));
    assert_failed(&conformance::lanes(split, &only), "allow-list", "is not allowed");
}

// ---- what must fail
// ---------------------------------------------------------------------------------------

/// What is wrong with a transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    NameChanges,
    OpenBeforeConnecting,
    EchoesToSender,
    SwapsMessages,
    LosesEmptyMessages,
    CutsWhatIsTooLong,
    MixesRooms,
    ReturnsTooEarly,
    Blocks,
    NeverWakes,
    LosesUnderLoad,
    LosesWhenCancelled,
    ForgetsHowToConnect,
    LosesAtClose,
    Hangs,
    Panics,
    Mute,
    DropsPackets,
    NeverCloses,
}

/// The loopback hub, broken in one way.
struct Broken {
    inner: LoopbackClient,
    fault: Fault,
    names: [RelayName; 2],
    connects: u32,
    connected: bool,
    /// Messages that were not sent on yet.
    kept: VecDeque<Bytes>,
    /// Messages to be received before all others.
    echo: VecDeque<Bytes>,
}

impl Broken {
    fn new(hub: &Hub, fault: Fault) -> Self {
        let names = [name("loopback"), name("elsewhere")];
        let (kept, echo) = (VecDeque::new(), VecDeque::new());
        Self { inner: hub.client(), fault, names, connects: 0, connected: false, kept, echo }
    }
}

impl Transport for Broken {
    fn relays(&self) -> Vec<&RelayName> {
        let changed = self.fault == Fault::NameChanges && self.connected;
        vec![&self.names[usize::from(changed)]]
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.connects += 1;
        match self.fault {
            Fault::ForgetsHowToConnect if self.connects > 1 => return Err(TransportError::Refused),
            Fault::Panics => panic!("on purpose"),
            Fault::Hangs => std::future::pending().await,
            _ => {}
        }
        let handle = if self.fault == Fault::MixesRooms { RoomHandle::from_bytes([0; 16]) } else { handle };
        self.connected = true;
        self.inner.connect(handle).await
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        match self.fault {
            Fault::OpenBeforeConnecting if !self.connected => return Ok(()),
            Fault::LosesEmptyMessages if message.is_empty() => return Ok(()),
            Fault::CutsWhatIsTooLong => {
                return self.inner.send_control(message.slice(..message.len().min(MAX_CONTROL))).await;
            }
            Fault::Mute => return Ok(()),
            Fault::LosesAtClose => {
                self.kept.push_back(message);
                // A few are always under way.
                let due = if self.kept.len() > 3 { self.kept.pop_front() } else { None };
                return match due {
                    Some(message) => self.inner.send_control(message).await,
                    None => Ok(()),
                };
            }
            Fault::EchoesToSender => self.echo.push_back(message.clone()),
            Fault::SwapsMessages if self.kept.is_empty() && message.len() == 3 => {
                self.kept.push_back(message);
                return Ok(());
            }
            _ => {}
        }
        self.inner.send_control(message).await?;
        match self.kept.pop_front() {
            Some(late) => self.inner.send_control(late).await,
            None => Ok(()),
        }
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        match self.fault {
            Fault::CutsWhatIsTooLong => self.inner.send_media(&packet[..packet.len().min(MAX_MEDIA)]),
            Fault::DropsPackets => Ok(()),
            _ => self.inner.send_media(packet),
        }
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        if self.fault == Fault::LosesWhenCancelled {
            // Takes first, and waits afterwards: whoever cancels the wait loses what was taken.
            let past = self.inner.now();
            let taken = self.inner.receive(past).await?;
            if taken != Inbound::Idle {
                let mut yielded = false;
                std::future::poll_fn(|context| {
                    if std::mem::replace(&mut yielded, true) {
                        return std::task::Poll::Ready(());
                    }
                    context.waker().wake_by_ref();
                    std::task::Poll::Pending
                })
                .await;
                return Ok(taken);
            }
        }
        if self.fault == Fault::LosesUnderLoad {
            // A queue of fifty, and nobody is told what did not fit.
            let past = self.inner.now();
            while let Inbound::Control(message) = self.inner.receive(past).await? {
                if self.echo.len() < 50 {
                    self.echo.push_back(message);
                }
            }
        }
        if let Some(echo) = self.echo.pop_front() {
            return Ok(Inbound::Control(echo));
        }
        if self.fault == Fault::NeverCloses && self.connected {
            return self.inner.receive(until).await.or(Ok(Inbound::Idle));
        }
        if self.fault == Fault::Blocks {
            return block_on(self.inner.receive(until));
        }
        if self.fault == Fault::NeverWakes {
            let mut receive = std::pin::pin!(self.inner.receive(until));
            return std::future::poll_fn(|_| {
                receive.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
            })
            .await;
        }
        let until = if self.fault == Fault::ReturnsTooEarly { self.inner.now() } else { until };
        self.inner.receive(until).await
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn wall(&self) -> Option<SystemTime> {
        self.inner.wall()
    }
}

fn broken(fault: Fault) -> (impl Fn() -> Broken + Send + Sync + 'static, KitOptions) {
    let (hub, options) = hub();
    let (patience, limit) = (Duration::from_millis(700), Duration::from_secs(10));
    (move || Broken::new(&hub, fault), KitOptions { patience, limit, ..options })
}

#[track_caller]
fn assert_failed(report: &KitReport, check: &str, why: &str) {
    let failed = report.failed().find(|failed| failed.name == check);
    let said = failed.and_then(|failed| failed.result.clone().err());
    assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{check}: {said:?}\n{report}");
}

#[test]
fn a_transport_that_is_broken_fails_the_check_of_what_it_breaks() {
    for (fault, check, why) in [
        (Fault::NameChanges, "allow-list", "changed"),
        (Fault::OpenBeforeConnecting, "unconnected", "not Closed"),
        (Fault::EchoesToSender, "delivery", "the sender"),
        (Fault::SwapsMessages, "order", "was due"),
        (Fault::LosesEmptyMessages, "sizes", "did not arrive"),
        (Fault::CutsWhatIsTooLong, "too large", "a message: Ok"),
        (Fault::MixesRooms, "rooms apart", "a message of"),
        (Fault::ReturnsTooEarly, "waiting", "did not wait"),
        (Fault::Blocks, "yielding", "held up its thread"),
        (Fault::NeverWakes, "yielding", "nothing woke"),
        (Fault::LosesUnderLoad, "back-pressure", "waits for message 50 in vain"),
        (Fault::LosesWhenCancelled, "cancellation", "messages came"),
        (Fault::ForgetsHowToConnect, "reconnect", "cannot connect again"),
        (Fault::LosesAtClose, "close", "did not arrive"),
        (Fault::Mute, "gone", "did not arrive"),
    ] {
        let (members, options) = broken(fault);
        let report = conformance::lanes(members, &options);
        assert_failed(&report, check, why);
    }
}

#[test]
fn a_transport_that_never_says_that_its_connection_is_lost_fails() {
    let (hub, options) = hub();
    let cut = hub.clone();
    let cut = Some(Cut::new(move || cut.cut()));
    let (patience, limit) = (Duration::from_millis(700), Duration::from_secs(10));
    let options = KitOptions { patience, limit, cut, ..options };
    let report = conformance::lanes(move || Broken::new(&hub, Fault::NeverCloses), &options);
    assert_failed(&report, "lost", "gave nothing, not Closed");
}

#[test]
fn a_transport_that_hangs_or_panics_fails_and_the_kit_goes_on() {
    let (members, options) = broken(Fault::Panics);
    let report = conformance::lanes(members, &options);
    assert_failed(&report, "delivery", "it panicked");
    assert_eq!(report.checks.len(), 14);
    let (members, options) = broken(Fault::Hangs);
    let report = conformance::lanes(members, &KitOptions { limit: Duration::from_millis(200), ..options });
    assert_failed(&report, "order", "not done after");
    // What needs no connection is not held up by it.
    assert!(report.checks.iter().any(|check| check.name == "unconnected" && check.result.is_ok()));
}

#[test]
fn a_room_that_cannot_work_over_a_transport_is_not_said_to() {
    for (fault, why) in [(Fault::Mute, "at the start"), (Fault::DropsPackets, "does not hear")] {
        let (members, options) = broken(fault);
        let report = conformance::room(members, &options);
        assert_failed(&report, "room: calm", why);
        assert_failed(&report, "room: ban", why);
    }
}
