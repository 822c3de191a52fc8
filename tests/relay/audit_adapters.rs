//! What the relays of our adapters see and what their members contact, by captures of real traffic:
//! a sealed room over QUIC, and one whose media goes through a real rtpengine, each in a network of
//! its own.

use std::{
    env, thread,
    time::{Duration, Instant, SystemTime},
};

#[cfg(feature = "janus")]
use sottovoce::transport::janus::JanusClient;
use sottovoce::{
    Authenticity, PacketSize, Seed, Stamp,
    codec::{Encoder, FrameLength},
    driver::{Next, Session},
    group::{Identity, Name, Role},
    relay::RelayOptions,
    room::{Admission, Invite, InviteOptions, RoomOptions, UnixTime},
    transport::{
        RelayName, RoomHandle, Split, Transport, block_on, quic::QuicClient as Quic,
        rtpengine::RtpengineClient as Rtp, tcp_udp::TcpUdpClient as Socket,
    },
};
use sottovoce_audit::{capture, report};
#[cfg(feature = "moq")]
use sottovoce_testkit::moq as moq_relay;
#[cfg(any(feature = "moq", feature = "janus"))]
use sottovoce_testkit::watched;
#[cfg(feature = "janus")]
use sottovoce_testkit::{janus::Janus, operator};
use sottovoce_testkit::{namespace, quic, rtpengine::Rtpengine};

/// What is started again in a network of its own.
const PART: &str = "audit_adapters::plays_its_part_in_a_network_of_its_own";
/// What must not be found.
const ROOM_NAME: &str = "The canary room of Zanzibar";
const NAMES: [&str; 3] = ["Canary Clementine", "Canary Leopold", "Canary Mallory"];

fn canaries() -> Vec<String> {
    [&NAMES[..], &[ROOM_NAME]].concat().into_iter().map(str::to_owned).collect()
}

// ---- the room
// -------------------------------------------------------------------------------------------

/// Takes part until the time is up, and says how much was heard.
fn take_part<T: Transport>(mut call: Session<T>, speaks: bool, until: Instant) -> u64 {
    let mut encoder = Encoder::new(FrameLength::Ms40, PacketSize::default(), Authenticity::Signed).unwrap();
    let (mut said, mut heard) = (0usize, 0);
    let start = Instant::now();
    while Instant::now() < until {
        let tick = start + Duration::from_millis(40) * said as u32;
        match block_on(call.next(tick.min(until))).unwrap() {
            Next::Packet(_) => heard += 1,
            Next::Idle => {
                if speaks {
                    let pitch = 0.01 + 0.002 * ((said * 7) % 23) as f32;
                    let wave =
                        (0..FrameLength::Ms40.samples()).map(|i| ((i as f32 * pitch).sin() * 9_000.0) as i16);
                    let mut opus = vec![0; encoder.packet_len()];
                    let length = encoder.encode(&wave.collect::<Vec<_>>(), &mut opus).unwrap();
                    // Nobody is admitted to speak before the room has said so.
                    let _ = call.speak(&opus[..length], Stamp::default());
                }
                said += 1;
            }
            Next::Event(_) => {}
        }
    }
    block_on(call.close()).unwrap();
    heard
}

/// A room with a host who speaks, a speaker and a listener.
fn sealed_room<T: Transport + 'static>(relays: Vec<RelayName>, member: impl Fn() -> T, lasts: Duration) {
    let unix = UnixTime::from(SystemTime::now());
    let until = Instant::now() + lasts;
    let identity = |n: usize| Identity::from_seed([n as u8 + 1; 32], Name::new(NAMES[n]).unwrap());
    let mut options = RoomOptions::new(Name::new(ROOM_NAME).unwrap(), relays);
    (options.admission, options.default_role) = (Admission::Open, Role::Speaker);
    let host = Session::create_with(member(), identity(0), options, Seed::generate().unwrap(), unix);
    let mut host = block_on(host).unwrap();
    let now = host.now();
    let invite: Invite = host.room_mut().invite(InviteOptions::default(), now).unwrap();
    let guests = [1, 2].map(|n| {
        let (transport, invite) = (member(), invite.to_string().parse().unwrap());
        thread::spawn(move || {
            let call = Session::join_with(transport, identity(n), invite, Seed::generate().unwrap(), unix);
            take_part(block_on(call).unwrap(), n == 1, until)
        })
    });
    let heard = take_part(host, true, until);
    let heard = guests.map(|guest| guest.join().unwrap()).into_iter().chain([heard]);
    assert!(heard.into_iter().all(|heard| heard > 10), "the room was silent");
}

#[test]
#[ignore = "run by the tests below, in a network namespace"]
fn plays_its_part_in_a_network_of_its_own() {
    let relay = quic::relay(RelayOptions::default());
    match env::var("SOTTOVOCE_PART").as_deref() {
        Ok("quic") => {
            let name = relay.quic_name().unwrap();
            let member = || Quic::new(name.clone()).unwrap();
            sealed_room(vec![name.clone()], member, Duration::from_secs(5));
        }
        Ok("rtp") => {
            let rtpengine = Rtpengine::start().unwrap();
            let names = [relay.name(), rtpengine.name()];
            let member = || Split::new(Socket::new(names[0].clone()), Rtp::new(names[1].clone()).unwrap());
            sealed_room(names.to_vec(), member, Duration::from_secs(6));
        }
        #[cfg(feature = "moq")]
        Ok("moq") => {
            let relay = moq_relay::Moq::start(moq_relay::Kind::Lite).unwrap();
            let member = || sottovoce::transport::moq::MoqClient::new(relay.name()).unwrap();
            sealed_room(vec![relay.name()], member, Duration::from_secs(6));
        }
        #[cfg(feature = "janus")]
        Ok(part) if part.starts_with("janus") => through_janus(part, &relay.name()),
        Ok("rtp in the open") => {
            let rtpengine = Rtpengine::start().unwrap();
            in_the_open(&rtpengine.name());
        }
        part => println!("no part to play: {part:?}"),
    }
}

/// Names and audio as they are, through rtpengine.
fn in_the_open(relay: &RelayName) {
    let handle = RoomHandle::from_bytes(*b"room in the open");
    let [mut speaker, mut listener] = [(); 2].map(|()| {
        let mut client = Rtp::new(relay.clone()).unwrap();
        block_on(client.connect(handle)).unwrap();
        client
    });
    for number in 0..100u8 {
        let said = [NAMES[usize::from(number) % 3].as_bytes(), &[number; 100]].concat();
        speaker.send_media(&said).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    block_on(speaker.close());
    block_on(listener.close());
}

/// What a MoQ relay has is what it gives to whoever subscribes: a log of that, in the form of SPEC
/// section 8.2.6, while `play` has its room there.
#[cfg(feature = "moq")]
fn held_by_a_moq_relay(
    play: impl FnOnce(&RelayName, &std::sync::Arc<std::sync::Mutex<Vec<RoomHandle>>>),
) -> Vec<u8> {
    use sottovoce::transport::{Inbound, TransportError, moq::MoqClient};
    use std::sync::{Arc, Mutex};
    let relay = moq_relay::Moq::start(moq_relay::Kind::Lite).unwrap();
    let handles = Arc::new(Mutex::new(Vec::<RoomHandle>::new()));
    let watching = Arc::clone(&handles);
    let mut operator = MoqClient::new(relay.name()).unwrap();
    let subscribed = thread::spawn(move || {
        let handle = loop {
            if let Some(handle) = watching.lock().unwrap().first() {
                break *handle;
            }
            thread::sleep(Duration::from_millis(20));
        };
        block_on(operator.connect(handle)).unwrap();
        let (start, mut log) = (Instant::now(), b"sottovoce relay log 1\n".to_vec());
        let mut quiet = 0;
        while quiet < 20 {
            let (lane, bytes) = match block_on(operator.receive(Instant::now() + Duration::from_millis(100)))
            {
                Ok(Inbound::Control(message)) => (0, message),
                Ok(Inbound::Media(packet)) => (1, packet),
                Ok(Inbound::Idle) => {
                    quiet += 1;
                    continue;
                }
                Err(error) => panic!("{}", TransportError::to_string(&error)),
            };
            quiet = 0;
            log.extend(u64::try_from(start.elapsed().as_micros()).unwrap().to_le_bytes());
            log.extend([lane, 0, 0]);
            log.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
            log.extend(bytes);
        }
        block_on(operator.close());
        log
    });
    play(&relay.name(), &handles);
    subscribed.join().unwrap()
}

#[cfg(feature = "janus")]
fn through_janus(part: &str, relay: &RelayName) {
    use operator::Operator;
    use std::{
        net::UdpSocket,
        sync::{Arc, Mutex},
    };
    let janus = match part {
        "janus over TLS" => Janus::start_with_tls(),
        _ => Janus::start(),
    };
    let janus = janus.unwrap();
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = sink.local_addr().unwrap().port();
    let handles = Arc::new(Mutex::new(Vec::new()));
    let names = [relay.clone(), janus.name()];
    let member = || {
        let media = JanusClient::new(names[1].clone()).unwrap();
        Split::new(Socket::new(names[0].clone()), watched::Watched::new(media, Arc::clone(&handles)))
    };
    match part {
        "janus and its operator" => {
            let watching = Arc::clone(&handles);
            let (port, stop) = (janus.port(), Instant::now() + Duration::from_secs(6));
            let operator = thread::spawn(move || {
                let handle = loop {
                    if let Some(handle) = watching.lock().unwrap().first() {
                        break *handle;
                    }
                    thread::sleep(Duration::from_millis(20));
                };
                // Somebody makes the room first.
                thread::sleep(Duration::from_millis(300));
                let operator = Operator::start(port, handle, to);
                thread::sleep(stop.saturating_duration_since(Instant::now()));
                operator.stop()
            });
            sealed_room(names.to_vec(), member, Duration::from_secs(7));
            assert_eq!(operator.join().unwrap(), 2);
        }
        "janus in the open" => {
            let handle = RoomHandle::from_bytes(*b"room in the open");
            let mut speaker = JanusClient::new(names[1].clone()).unwrap();
            block_on(speaker.connect(handle)).unwrap();
            let operator = Operator::start(janus.port(), handle, to);
            for number in 0..150u8 {
                let said = [NAMES[usize::from(number) % 3].as_bytes(), &[number; 100]].concat();
                speaker.send_media(&said).unwrap();
                thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(operator.stop(), 1);
            block_on(speaker.close());
        }
        _ => sealed_room(names.to_vec(), member, Duration::from_secs(6)),
    }
}

// ---- what was seen
// --------------------------------------------------------------------------------------

/// Addresses and ports that anything was sent to.
fn contacted(bytes: &[u8]) -> Vec<String> {
    match capture::read(bytes) {
        Err(capture::Error::Empty) => Vec::new(),
        Ok(capture) => {
            capture.flows.iter().map(|flow| flow.to.clone()).chain(capture.silent.iter().cloned()).collect()
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn over_quic_nothing_is_readable_and_nobody_but_the_relay_is_contacted() {
    let Some([inside, outside]) = namespace::captured(PART, "quic") else { return };
    let report = report::audit(&inside, &canaries()).unwrap();
    println!("{report}");
    assert!(report.is_clean() && report.judged > 50, "{report}");
    assert!(report.text.contains("QUIC"), "{report}");
    // Not even the handle, or that there are two lanes.
    for clear in ["handle", "ticket", "SFrame", "control message"] {
        assert!(!report.text.contains(clear), "{clear}:\n{report}");
    }
    assert_eq!(contacted(&outside), [""; 0]);
    // A relay that stops knocks at its own TCP door: there and back, and nothing is said.
    let capture = capture::read(&inside).unwrap();
    let one = capture
        .flows
        .iter()
        .find(|relay| capture.flows.iter().all(|flow| flow.from == relay.to || flow.to == relay.to));
    assert!(one.is_some() && capture.silent.len() <= 2, "more than one place was contacted");
}

#[test]
fn through_rtpengine_nothing_is_readable_and_nobody_but_the_two_relays_is_contacted() {
    // Without it nothing could play its part.
    if Rtpengine::start().is_none() {
        return;
    }
    let Some([inside, outside]) = namespace::captured(PART, "rtp") else { return };
    let report = report::audit(&inside, &canaries()).unwrap();
    println!("{report}");
    assert!(report.is_clean() && report.judged > 50, "{report}");
    for clear in ["RTP", "rtpengine, control", "relay, control lane"] {
        assert!(report.text.contains(clear), "{clear} is missing:\n{report}");
    }
    assert_eq!(contacted(&outside), [""; 0]);
    let Some([inside, _]) = namespace::captured(PART, "rtp in the open") else { return };
    let report = report::audit(&inside, &canaries()).unwrap();
    assert!(!report.is_clean(), "{report}");
    assert!(report.readable.iter().any(|said| said.contains("Canary Leopold")), "{report}");
}

#[cfg(feature = "janus")]
#[test]
fn through_janus_nothing_is_readable_and_nobody_but_the_two_relays_is_contacted() {
    // Without it nothing could play its part.
    if Janus::start().is_none() {
        return;
    }
    for (part, signalling) in [("janus over TLS", "TLS"), ("janus", "Janus, signalling")] {
        let Some([inside, outside]) = namespace::captured(PART, part) else { return };
        let report = report::audit(&inside, &canaries()).unwrap();
        println!("{report}");
        assert!(report.is_clean() && report.judged > 50, "{report}");
        for clear in [signalling, "DTLS and STUN", "relay, control lane"] {
            assert!(report.text.contains(clear), "{clear} is missing:\n{report}");
        }
        assert_eq!(contacted(&outside), [""; 0]);
    }
}

#[cfg(feature = "janus")]
#[test]
fn what_a_janus_has_once_srtp_is_taken_off_is_sealed_packets() {
    if Janus::start().is_none() {
        return;
    }
    let Some([inside, outside]) = namespace::captured(PART, "janus and its operator") else { return };
    let report = report::audit(&inside, &canaries()).unwrap();
    println!("{report}");
    assert!(report.is_clean() && report.judged > 50, "{report}");
    let plain = report.text.matches(": RTP\n").count();
    assert_eq!(plain, 2, "not what two speakers said:\n{report}");
    assert_eq!(contacted(&outside), [""; 0]);
    // And there is nothing that only seems so: the same with names and audio as they are.
    let Some([inside, _]) = namespace::captured(PART, "janus in the open") else { return };
    let report = report::audit(&inside, &canaries()).unwrap();
    assert!(!report.is_clean(), "{report}");
    assert!(report.readable.iter().any(|said| said.contains("Canary Leopold")), "{report}");
}

#[cfg(feature = "moq")]
#[test]
fn through_moq_nothing_is_readable_and_nobody_but_the_relay_is_contacted() {
    // Without it nothing could play its part.
    if moq_relay::Moq::start(moq_relay::Kind::Lite).is_none() {
        return;
    }
    let Some([inside, outside]) = namespace::captured(PART, "moq") else { return };
    let report = report::audit(&inside, &canaries()).unwrap();
    println!("{report}");
    assert!(report.is_clean() && report.judged > 50, "{report}");
    assert!(report.text.contains("QUIC"), "{report}");
    assert_eq!(contacted(&outside), [""; 0]);
}

#[cfg(feature = "moq")]
#[test]
fn what_a_moq_relay_has_once_quic_is_taken_off_is_sealed() {
    use sottovoce::transport::moq::MoqClient;
    if moq_relay::Moq::start(moq_relay::Kind::Lite).is_none() {
        return;
    }
    let log = held_by_a_moq_relay(|relay, handles| {
        let member =
            || watched::Watched::new(MoqClient::new(relay.clone()).unwrap(), std::sync::Arc::clone(handles));
        sealed_room(vec![relay.clone()], member, Duration::from_secs(5));
    });
    let report = report::audit(&log, &canaries()).unwrap();
    println!("{report}");
    assert!(report.is_clean() && report.judged > 50, "{report}");
    // And there is nothing that only seems so: the same with names and audio as they are.
    let log = held_by_a_moq_relay(|relay, handles| {
        let handle = RoomHandle::from_bytes(*b"room in the open");
        handles.lock().unwrap().push(handle);
        let mut speaker = MoqClient::new(relay.clone()).unwrap();
        block_on(speaker.connect(handle)).unwrap();
        for number in 0..150u8 {
            let said = [NAMES[usize::from(number) % 3].as_bytes(), &[number; 100]].concat();
            speaker.send_media(&said).unwrap();
            thread::sleep(Duration::from_millis(20));
        }
        block_on(speaker.close());
    });
    let report = report::audit(&log, &canaries()).unwrap();
    assert!(!report.is_clean(), "{report}");
    assert!(report.readable.iter().any(|said| said.contains("Canary Leopold")), "{report}");
}
