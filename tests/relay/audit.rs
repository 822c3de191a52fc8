//! The audit of what a relay sees: clean for a sealed room, by the relay's log and by a capture of
//! its real traffic, and anything but clean for the same room without sealing. Whatever is no
//! capture is refused.

use std::{
    env, fs,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use etherparse::PacketBuilder;
use sottovoce::{
    Authenticity, PacketSize, Seed, Stamp,
    codec::{Encoder, FrameLength},
    driver::{Next, Session},
    group::{Identity, Name, Role},
    relay::{
        Relay, RelayOptions,
        log::{Lane, LogRecord, Reader, Writer},
    },
    room::{Admission, Invite, InviteOptions, RoomOptions, UnixTime},
    transport::{RelayName, RoomHandle, Transport, block_on, tcp_udp::TcpUdpClient},
};
use sottovoce_audit::capture;
use sottovoce_examples::base64;
use sottovoce_testkit::namespace;

use sottovoce_audit::capture::Error as CaptureError;
use sottovoce_audit::report::{Error, Report, audit};

/// What is started again in a network of its own.
const PART: &str = "audit::plays_its_part_in_a_network_of_its_own";
/// What must not be found.
const ROOM_NAME: &str = "The canary room of Zanzibar";
const NAMES: [&str; 3] = ["Canary Clementine", "Canary Leopold", "Canary Mallory"];

fn canaries() -> Vec<String> {
    [&NAMES[..], &[ROOM_NAME]].concat().into_iter().map(str::to_owned).collect()
}

/// A file of this run in the target directory.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("audit-{}-{name}", std::process::id()))
}

// ---- the room, sealed and in the open
// -------------------------------------------------------------------

fn relay_with_log(log: &Path) -> Relay {
    let log = Some(Writer::new(fs::File::create(log).unwrap()).unwrap());
    Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions { log, ..RelayOptions::default() }).unwrap()
}

/// A tone of 40 ms that is another one each time, as Opus.
fn opus(encoder: &mut Encoder, number: usize) -> Vec<u8> {
    let pitch = 0.01 + 0.002 * ((number * 7) % 23) as f32;
    let pcm: Vec<i16> =
        (0..FrameLength::Ms40.samples()).map(|i| ((i as f32 * pitch).sin() * 9_000.0) as i16).collect();
    let mut packet = vec![0; encoder.packet_len()];
    let length = encoder.encode(&pcm, &mut packet).unwrap();
    packet.truncate(length);
    packet
}

fn encoder() -> Encoder {
    Encoder::new(FrameLength::Ms40, PacketSize::default(), Authenticity::Signed).unwrap()
}

/// Takes part until the time is up, and says whether anything was heard.
fn take_part(mut call: Session<TcpUdpClient>, speaks: bool, until: Instant) -> u64 {
    let (mut encoder, mut said, mut heard) = (encoder(), 0, 0);
    let start = Instant::now();
    while Instant::now() < until {
        let tick = start + Duration::from_millis(40) * said as u32;
        match block_on(call.next(tick.min(until))).unwrap() {
            Next::Packet(_) => heard += 1,
            Next::Idle => {
                if speaks {
                    // Nobody is admitted to speak before the room has said so.
                    let _ = call.speak(&opus(&mut encoder, said), Stamp::default());
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
fn sealed_room(relay: &RelayName, lasts: Duration) {
    let unix = UnixTime::from(SystemTime::now());
    let until = Instant::now() + lasts;
    let identity = |n: usize| Identity::from_seed([n as u8 + 1; 32], Name::new(NAMES[n]).unwrap());
    let mut options = RoomOptions::new(Name::new(ROOM_NAME).unwrap(), [relay.clone()]);
    (options.admission, options.default_role) = (Admission::Open, Role::Speaker);
    let host = Session::create_with(
        TcpUdpClient::new(relay.clone()),
        identity(0),
        options,
        Seed::generate().unwrap(),
        unix,
    );
    let mut host = block_on(host).unwrap();
    let now = host.now();
    let invite: Invite = host.room_mut().invite(InviteOptions::default(), now).unwrap();
    let guests = [1, 2].map(|n| {
        let (relay, invite) = (relay.clone(), invite.to_string().parse().unwrap());
        thread::spawn(move || {
            let call = Session::join_with(
                TcpUdpClient::new(relay),
                identity(n),
                invite,
                Seed::generate().unwrap(),
                unix,
            );
            take_part(block_on(call).unwrap(), n == 1, until)
        })
    });
    let heard = take_part(host, true, until);
    let heard = guests.map(|guest| guest.join().unwrap()).into_iter().chain([heard]);
    assert!(heard.into_iter().all(|heard| heard > 10), "the room was silent");
}

/// What the app of the control run does with packets and names.
#[derive(Clone, Copy)]
enum Open {
    /// Opus packets as they are, names in JSON.
    Plain,
    /// Opus packets of one size behind an SFrame header, names in messages of an envelope's size.
    Disguised,
}

/// The same without sealing.
fn open_room(relay: &RelayName, how: Open) {
    let handle = RoomHandle::from_bytes(*b"room in the open");
    let (mut speaker, mut listener) = (TcpUdpClient::new(relay.clone()), TcpUdpClient::new(relay.clone()));
    block_on(speaker.connect(handle)).unwrap();
    block_on(listener.connect(handle)).unwrap();
    for name in NAMES {
        let mut message = format!(r#"{{"room":"{ROOM_NAME}","name":"{name}"}}"#).into_bytes();
        if let Open::Disguised = how {
            message.resize(1_024, 0);
        }
        block_on(speaker.send_control(message.into())).unwrap();
    }
    let mut encoder = encoder();
    for number in 0..80 {
        let opus = opus(&mut encoder, number);
        let packet = match how {
            Open::Plain => opus,
            Open::Disguised => {
                let counter = (256 + number as u16).to_be_bytes();
                [&[0xb9, 0x80, 0x12, 0x34, 0x56], &counter[..], &opus].concat()
            }
        };
        speaker.send_media(&packet).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
    block_on(speaker.close());
    block_on(listener.close());
}

// ---- by the relay's log
// -----------------------------------------------------------------------------------

fn log_of(name: &str, play: impl FnOnce(&RelayName)) -> Vec<u8> {
    let path = file(name);
    let relay = relay_with_log(&path);
    play(&relay.name());
    relay.stop().unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    bytes
}

fn sealed_log() -> Vec<u8> {
    log_of("sealed.log", |relay| sealed_room(relay, Duration::from_secs(4)))
}

#[track_caller]
fn assert_clean(report: &Report) {
    assert!(report.is_clean(), "{report}");
    assert!(report.judged > 50, "{report}");
}

#[track_caller]
fn assert_found(report: &Report, reasons: &[&str]) {
    for reason in reasons {
        assert!(report.readable.iter().any(|said| said.contains(reason)), "{reason} is missing:\n{report}");
    }
}

#[test]
fn a_sealed_room_is_clean_by_the_log_and_by_captures_made_of_it() {
    let log = sealed_log();
    let report = audit(&log, &canaries()).unwrap();
    assert_clean(&report);
    for clear in ["hello: handle of the room", "bind:", "SFrame header: configuration b9, KID, CTR"] {
        assert!(report.text.contains(clear), "{clear} is missing:\n{report}");
    }
    let records: Vec<LogRecord> = Reader::new(&log[..]).unwrap().collect::<Result<_, _>>().unwrap();
    for (kind, write) in [("pcap", pcap as fn(&[Captured]) -> Vec<u8>), ("pcapng", pcapng)] {
        // TCP segments in order, and late, twice and out of order.
        for disorder in [false, true] {
            let bytes = write(&frames(&records, disorder));
            let report = audit(&bytes, &canaries()).unwrap();
            assert_clean(&report);
            assert!(report.text.starts_with(kind), "{report}");
            assert!(report.text.contains("length of each control message"), "{report}");
        }
    }
}

#[test]
fn a_room_in_the_open_is_caught_however_it_is_disguised() {
    let report = |how, name| {
        let log = log_of(name, |relay| open_room(relay, how));
        [audit(&log, &canaries()).unwrap(), audit(&log, &[]).unwrap()]
    };
    let [plain, blind] = report(Open::Plain, "plain.log");
    assert_found(&plain, &["without an SFrame header", "no size of an envelope", "Canary Leopold", "as raw"]);
    assert_found(&blind, &["without an SFrame header", "a text of"]);
    let [disguised, blind] = report(Open::Disguised, "disguised.log");
    assert_found(&disguised, &["Canary Mallory", "nearly the same byte"]);
    assert_found(&blind, &["entropy", "standard deviations from even", "blocks of 16 bytes", "a text of"]);
}

#[test]
fn a_canary_is_found_in_every_form_even_where_all_else_is_sealed() {
    let log = sealed_log();
    let records: Vec<LogRecord> = Reader::new(&log[..]).unwrap().collect::<Result<_, _>>().unwrap();
    let name = NAMES[0];
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    let forms = [
        ("raw", name.as_bytes().to_vec()),
        ("reversed", name.bytes().rev().collect()),
        ("hex", hex.clone().into_bytes()),
        ("upper-case hex", hex.to_uppercase().into_bytes()),
        ("base64", base64::encode(format!("x{name}yz").as_bytes(), base64::STANDARD).into_bytes()),
        ("base64", base64::encode(format!("xx{name}").as_bytes(), base64::STANDARD).into_bytes()),
        ("UTF-16LE", name.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("UTF-16BE", name.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ];
    for (form, bytes) in forms {
        let mut records = records.clone();
        let message = records.iter_mut().find(|record| record.lane == Lane::Control).unwrap();
        message.bytes[300..300 + bytes.len()].copy_from_slice(&bytes);
        let report = audit(&pcap(&frames(&records, true)), &canaries()).unwrap();
        assert_found(&report, &[&format!("{name:?} stands there as {form}")]);
    }
}

// ---- captures made by hand
// ----------------------------------------------------------------------------------

/// When, and an Ethernet frame.
type Captured = (Duration, Vec<u8>);

const RELAY: ([u8; 4], u16) = ([192, 0, 2, 1], 4433);

fn udp(at: Duration, from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Captured {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.0, to.0, 64).udp(from.1, to.1);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    (at, bytes)
}

fn tcp_segment(at: Duration, from: ([u8; 4], u16), sequence: u32, syn: bool, payload: &[u8]) -> Captured {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.0, RELAY.0, 64);
    let builder = builder.tcp(from.1, RELAY.1, sequence, 1_000);
    let mut bytes = Vec::new();
    if syn { builder.syn() } else { builder }.write(&mut bytes, payload).unwrap();
    (at, bytes)
}

/// What the members sent, as frames on an Ethernet.
fn frames(records: &[LogRecord], disorder: bool) -> Vec<Captured> {
    let mut frames = Vec::new();
    let mut next = std::collections::HashMap::new();
    for record in records {
        let number = record.connection.0;
        let member = ([198, 51, 100, number as u8 + 1], 40_000 + number);
        let mut say = |bytes: &[u8]| {
            // Sequence numbers go over their end in all streams.
            let next: &mut u32 = next.entry(number).or_insert(u32::MAX - 5_000);
            let mut segments = Vec::new();
            for part in bytes.chunks(700) {
                segments.push(tcp_segment(record.at, member, *next, false, part));
                *next = next.wrapping_add(part.len() as u32);
            }
            if disorder {
                segments.reverse();
                let again = segments[0].clone();
                segments.push(again);
            }
            segments
        };
        match record.lane {
            Lane::Hello => {
                frames.push(tcp_segment(record.at, member, u32::MAX - 5_001, true, b""));
                frames.extend(say(&record.bytes));
            }
            Lane::Control => {
                let length = (record.bytes.len() as u16).to_be_bytes();
                frames.extend(say(&[&length[..], &record.bytes].concat()));
            }
            _ => frames.push(udp(record.at, member, RELAY, &record.bytes)),
        }
    }
    frames
}

fn pcap(frames: &[Captured]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 262_144, 1] {
        bytes.extend(word.to_le_bytes());
    }
    for (at, frame) in frames {
        let length = frame.len() as u32;
        for word in [at.as_secs() as u32, at.subsec_micros(), length, length] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    bytes
}

fn pcapng(frames: &[Captured]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let length = (padded as u32 + 12).to_le_bytes();
        bytes.extend(kind.to_le_bytes());
        bytes.extend(length);
        bytes.extend(body);
        bytes.resize(bytes.len() + padded - body.len(), 0);
        bytes.extend(length);
    };
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]));
    block(1, &words(&[1, 262_144]));
    for (at, frame) in frames {
        let micros = at.as_micros() as u64;
        let length = frame.len() as u32;
        let head = words(&[0, (micros >> 32) as u32, micros as u32, length, length]);
        block(6, &[&head[..], frame].concat());
    }
    bytes
}

#[test]
fn what_other_relays_speak_is_named_and_judged_by_what_it_shows() {
    let [member, other] = [([198, 51, 100, 7], 40_000), ([203, 0, 113, 9], 5_000)];
    let random = |seed: u64, length: usize| -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    };
    let flow = |packet: &dyn Fn(u64) -> Vec<u8>| -> Report {
        let frames: Vec<_> =
            (0..60).map(|n| udp(Duration::from_millis(20 * n), member, other, &packet(n))).collect();
        audit(&pcap(&frames), &[]).unwrap()
    };
    let rtp = |n: u64, first: u8| {
        let time = (n as u32 * 960).to_be_bytes();
        [&[first, 111, 0, n as u8], &time[..], b"SSRC"].concat()
    };
    let sframe = |n: u64| [&[0xb9, 0x80, 1, 2, 3, 1, n as u8], &random(n + 1, 256)[..]].concat();
    let sealed = flow(&|n| [rtp(n, 0x80), sframe(n)].concat());
    assert!(sealed.is_clean() && sealed.text.contains("RTP") && sealed.text.contains("SSRC"), "{sealed}");
    let extended = flow(&|n| [&rtp(n, 0x90)[..], &[0xbe, 0xde, 0, 1, 0x10, 0x85, 0, 0], &sframe(n)].concat());
    assert_found(&extended, &["how loud somebody speaks"]);
    let plain = flow(&|n| [&rtp(n, 0x80)[..], &[0xfc], &random(n / 3 + 1, 120)].concat());
    assert_found(&plain, &["blocks of 16 bytes", "the same byte"]);
    let dtls =
        flow(&|n| [&[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, n as u8, 1, 0], &random(n + 1, 256)[..]].concat());
    assert!(dtls.is_clean() && dtls.text.contains("DTLS"), "{dtls}");
    let quic = flow(&|n| match n {
        0 => [&[0xc3, 0, 0, 0, 1, 8], &random(1, 1_194)[..]].concat(),
        n => [&[0x40], &random(9, 20)[..], &random(n + 1, 300)].concat(),
    });
    assert!(quic.is_clean() && quic.text.contains("QUIC"), "{quic}");
    let greased = flow(&|n| match n {
        0 => [&[0x83, 0, 0, 0, 1, 8], &random(1, 1_194)[..]].concat(),
        n => [&[n as u8 & 0x7f], &random(9, 20)[..], &random(n + 1, 300)].concat(),
    });
    assert!(greased.is_clean() && greased.text.contains("QUIC"), "{greased}");
    let dns = udp(
        Duration::ZERO,
        member,
        ([192, 0, 2, 53], 53),
        b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05relay\x07example",
    );
    assert_found(&audit(&pcap(&[dns]), &[]).unwrap(), &["DNS"]);
    assert_found(&flow(&|n| random(n + 1, 200)), &["not known here"]);
    // A nonce used twice, and packets whose size follows what is said.
    let reused = flow(&|n| [&[0xb9, 0x80, 1, 2, 3, 1, (n % 50) as u8], &random(n + 1, 256)[..]].concat());
    assert_found(&reused, &["a nonce used twice"]);
    let sizes =
        flow(&|n| [&[0xb9, 0x80, 1, 2, 3, 1, n as u8], &random(n + 1, 200 + n as usize % 40)[..]].concat());
    assert_found(&sizes, &["40 sizes"]);
}

#[test]
fn what_a_janus_is_told_in_clear_is_read_through_its_mask_and_names_in_it_are_found() {
    let member = ([198, 51, 100, 7], 40_000);
    let frame = |text: &str| -> Vec<u8> {
        let mask = [7, 8, 9, 10];
        let masked = text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let head = [&[0x81, 0x80 | 126][..], &(text.len() as u16).to_be_bytes(), &mask].concat();
        head.into_iter().chain(masked).collect()
    };
    let audited = |frames: &[Vec<u8>]| {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        let said = [&head[..], &frames.concat()].concat();
        let at = Duration::ZERO;
        let segments = [tcp_segment(at, member, 0, true, b""), tcp_segment(at, member, 1, false, &said)];
        let sealed =
            udp(at, member, RELAY, &[&[0xb9, 0x80, 1, 2, 3, 1, 0][..], &Vec::from_iter(0..32)].concat());
        audit(&pcap(&[&segments[..], &[sealed]].concat()), &["Canary Clementine".to_owned()]).unwrap()
    };
    let join = r#"{"janus":"message","body":{"request":"join","room":4503599627370497,"pin":"ab"}}"#;
    let clean = audited(&[frame(join), vec![0x89, 0x80, 1, 2, 3, 4]]);
    assert!(clean.is_clean(), "{clean}");
    for clear in ["Janus, signalling", "messages: join", "4503599627370497", "1 times its pin"] {
        assert!(clean.text.contains(clear), "{clear} is missing:\n{clean}");
    }
    let named = join.replace(r#""pin""#, r#""display":"Canary Clementine","pin""#);
    assert_found(&audited(&[frame(&named)]), &["names: Canary Clementine", "the canary"]);
    // In a place that nobody thought of.
    let hidden = join.replace(r#""pin""#, r#""x":["Canary Clementine"],"pin""#);
    assert_found(&audited(&[frame(&hidden)]), &["the canary"]);
    assert_found(&audited(&[frame("hello")]), &["1 messages that are no JSON"]);
    assert_found(&audited(&[frame(join), vec![0x81, 0xff]]), &["2 bytes that are no frame"]);
}

#[test]
fn what_is_no_capture_or_only_a_part_of_one_is_refused_with_its_reason() {
    let capture_error = |bytes: &[u8]| match audit(bytes, &[]) {
        Err(Error::Capture(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(capture_error(b""), CaptureError::Empty));
    assert!(matches!(capture_error(b"garbage, whatever its name"), CaptureError::Unknown));
    assert!(matches!(capture_error(b"sottovoce relay log 2\n"), CaptureError::Log(_)));
    assert!(matches!(capture_error(b"sottovoce relay log 1\n"), CaptureError::Empty));
    assert!(matches!(capture_error(&pcap(&[])), CaptureError::Empty));
    let packets = [1, 2].map(|n| udp(Duration::from_millis(n), ([1, 1, 1, 1], 1), RELAY, &[n as u8; 100]));
    for write in [pcap, pcapng] {
        let whole = write(&packets);
        for cut in 1..100 {
            let error = capture_error(&whole[..whole.len() - cut]);
            assert!(matches!(error, CaptureError::Truncated(1)), "{cut}: {error:?}");
        }
    }
    let mut snapped = pcap(&packets);
    // The length on the wire of the first packet.
    snapped[24 + 12..24 + 16].copy_from_slice(&9_000u32.to_le_bytes());
    assert!(matches!(capture_error(&snapped), CaptureError::Snapped(0)));
    let mut link = pcap(&packets);
    link[20] = 147;
    assert!(matches!(capture_error(&link), CaptureError::Link(147)));
    assert!(matches!(audit(&pcap(&packets), &["short".to_owned()]), Err(Error::Canary(_))));
    // Only a bind: nothing that could be judged is no proof of anything.
    let bind = [&b"\xff\x00sv\x01\x01"[..], &[7; 32]].concat();
    let bind = pcap(&[udp(Duration::ZERO, ([1, 1, 1, 1], 1), RELAY, &bind)]);
    assert!(matches!(audit(&bind, &[]), Err(Error::NothingToJudge)));
}

#[test]
fn damaged_captures_end_in_a_report_or_a_typed_error() {
    let packets: Vec<_> = (0..5u8)
        .flat_map(|n| {
            let at = Duration::from_millis(n.into());
            let member = ([1, 1, 1, 1], 7);
            [
                udp(at, member, RELAY, &[n; 60]),
                tcp_segment(at, member, n.into(), n == 0, b"svrelay\x01abcdefgh"),
            ]
        })
        .collect();
    for write in [pcap, pcapng] {
        let whole = write(&packets);
        for place in 0..whole.len() {
            for bit in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] ^= bit;
                let _ = audit(&damaged, &[]);
            }
        }
    }
}

// ---- by a capture of real traffic, in a network of its own
// ----------------------------------------------------

#[test]
#[ignore = "run by the tests below, in a network namespace"]
fn plays_its_part_in_a_network_of_its_own() {
    let relay = relay_with_log(&file("inner.log"));
    match env::var("SOTTOVOCE_PART").as_deref() {
        Ok("sealed") => sealed_room(&relay.name(), Duration::from_secs(5)),
        Ok("open") => open_room(&relay.name(), Open::Plain),
        Ok("stray") => {
            open_room(&relay.name(), Open::Plain);
            let stray = UdpSocket::bind("0.0.0.0:0").unwrap();
            stray.send_to(b"who is relay.example?", "192.0.2.53:53").unwrap();
            // Nobody answers; that it was tried is what counts.
            let _ = std::net::TcpStream::connect_timeout(
                &SocketAddr::from(([192, 0, 2, 80], 443)),
                Duration::from_millis(200),
            );
        }
        part => println!("no part to play: {part:?}"),
    }
    relay.stop().unwrap();
    fs::remove_file(file("inner.log")).unwrap();
}

/// Whom anybody tried to reach outside.
fn contacted(outside: &[u8]) -> Vec<String> {
    match capture::read(outside) {
        Err(CaptureError::Empty) => Vec::new(),
        Ok(capture) => {
            // A connection that nobody accepts says nothing, so its SYN is all there is of it.
            let mut all: Vec<String> = capture.flows.iter().map(|flow| flow.to.clone()).collect();
            all.extend(capture.silent.iter().cloned());
            all
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_capture_of_a_sealed_room_is_clean_and_its_members_contact_the_relay_and_nobody_else() {
    let Some([inside, outside]) = namespace::captured(PART, "sealed") else { return };
    let report = audit(&inside, &canaries()).unwrap();
    assert_clean(&report);
    println!("{report}");
    assert_eq!(contacted(&outside), [""; 0]);
    // Inside, everything is to or from one address and port.
    let capture = capture::read(&inside).unwrap();
    let relay = |flow: &&capture::Flow| matches!(&flow.said, capture::Said::Stream(s) if s.bytes.starts_with(b"svrelay\x01") && s.bytes.len() > 25);
    let ends = capture.flows.iter().find(relay).map(|flow| [flow.from.clone(), flow.to.clone()]).unwrap();
    let one = ends.iter().find(|end| capture.flows.iter().all(|flow| flow.from == **end || flow.to == **end));
    assert!(
        one.is_some(),
        "{:?}",
        capture.flows.iter().map(|flow| (&flow.from, &flow.to)).collect::<Vec<_>>()
    );
    // A relay that stops knocks at its own door: there and back, and nothing is said.
    let knocks = capture.silent.len() == 2 && one.is_some_and(|relay| capture.silent.contains(relay));
    assert!(capture.silent.is_empty() || knocks, "{:?}", capture.silent);
}

#[test]
fn a_capture_of_a_room_in_the_open_and_of_contact_with_others_is_caught() {
    let Some([inside, outside]) = namespace::captured(PART, "stray") else { return };
    let report = audit(&inside, &canaries()).unwrap();
    assert_found(&report, &["without an SFrame header", "Canary Clementine", "The canary room"]);
    let contacted = contacted(&outside);
    for other in ["192.0.2.53:53", "192.0.2.80:443"] {
        assert!(contacted.iter().any(|to| to == other), "{contacted:?}");
    }
}
