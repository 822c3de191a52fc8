//! The media lane through rtpengine (SPEC section 8.7): with the real one, and with what only
//! pretends to be one.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sottovoce::transport::{
    Inbound, MAX_MEDIA, RelayName, RoomHandle, Transport, TransportError, block_on,
    rtpengine::RtpengineClient,
};
use sottovoce_testkit::rtpengine::Rtpengine;

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
/// Long enough for any machine; nothing that works waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for a packet that should not come to come.
const MOMENT: Duration = Duration::from_millis(150);

fn member(relay: &RelayName) -> RtpengineClient {
    let mut client = RtpengineClient::new(relay.clone()).unwrap();
    block_on(client.connect(ROOM)).unwrap();
    client
}

fn next(member: &mut RtpengineClient, patience: Duration) -> Result<Inbound, TransportError> {
    block_on(member.receive(Instant::now() + patience))
}

fn packet(bytes: &'static [u8]) -> Result<Inbound, TransportError> {
    Ok(Inbound::Media(Bytes::from_static(bytes)))
}

/// Everybody in turn speaks until all others have heard it.
fn all_hear_all(members: &mut [RtpengineClient]) {
    for speaker in 0..members.len() {
        let said = Ok(Inbound::Media(vec![0xb9, speaker as u8].into()));
        let mut deaf: Vec<usize> = (0..members.len()).filter(|other| *other != speaker).collect();
        let deadline = Instant::now() + PATIENCE;
        while !deaf.is_empty() {
            members[speaker].send_media(&[0xb9, speaker as u8]).unwrap();
            thread::sleep(Duration::from_millis(20));
            deaf.retain(|listener| {
                loop {
                    match next(&mut members[*listener], Duration::ZERO) {
                        heard if heard == said => break false,
                        Ok(Inbound::Media(_)) => {}
                        other => {
                            assert_eq!(other, Ok(Inbound::Idle), "{listener}");
                            break true;
                        }
                    }
                }
            });
            assert!(Instant::now() < deadline, "{deaf:?} do not hear {speaker}");
        }
    }
}

fn drain(member: &mut RtpengineClient) {
    while next(member, MOMENT) != Ok(Inbound::Idle) {}
}

// ---- with the real one
// ---------------------------------------------------------------------------------

#[test]
fn speakers_who_begin_at_the_same_time_all_find_a_slot_and_each_other() {
    let Some(relay) = Rtpengine::start() else { return };
    let mut members: Vec<RtpengineClient> = (0..6).map(|_| member(&relay.name())).collect();
    // All want the lowest slot in the same instant.
    for member in &mut members {
        member.send_media(b"\xb9begin").unwrap();
    }
    all_hear_all(&mut members);
    // Nobody hears itself, nor anything twice.
    members.iter_mut().for_each(drain);
    members[0].send_media(b"\xb9once").unwrap();
    assert_eq!(next(&mut members[0], MOMENT), Ok(Inbound::Idle));
    for member in &mut members[1..] {
        assert_eq!(next(member, PATIENCE), packet(b"\xb9once"));
        assert_eq!(next(member, MOMENT), Ok(Inbound::Idle));
    }
}

#[test]
fn a_slot_that_its_speaker_left_is_taken_by_the_next_and_heard_again() {
    let Some(relay) = Rtpengine::start() else { return };
    let mut listener = member(&relay.name());
    for round in 0..3u8 {
        let mut speaker = member(&relay.name());
        let deadline = Instant::now() + PATIENCE;
        while next(&mut listener, Duration::from_millis(50)) != Ok(Inbound::Media(vec![0xb9, round].into())) {
            speaker.send_media(&[0xb9, round]).unwrap();
            assert!(Instant::now() < deadline, "round {round}");
        }
        // Twice with a word, once without.
        if round < 2 {
            block_on(speaker.close())
        } else {
            drop(speaker)
        }
        drain(&mut listener);
    }
}

#[test]
fn packets_of_every_size_arrive_as_they_are_and_packets_of_strangers_do_not() {
    let Some(relay) = Rtpengine::start() else { return };
    let (mut ada, mut ben) = (member(&relay.name()), member(&relay.name()));
    for size in [0, 1, 263, MAX_MEDIA] {
        let sent = vec![0xb9; size];
        let deadline = Instant::now() + PATIENCE;
        while next(&mut ben, Duration::from_millis(50)) != Ok(Inbound::Media(sent.clone().into())) {
            ada.send_media(&sent).unwrap();
            assert!(Instant::now() < deadline, "{size} bytes");
        }
        drain(&mut ben);
    }
    // Whoever finds the member's port by trying all of them is not its relay.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let forged = [&[0x80, 96][..], &[0; 10], b"\xb9forged"].concat();
    for port in 32_768..61_000 {
        let _ = stranger.send_to(&forged, ("127.0.0.1", port));
    }
    assert_eq!(next(&mut ben, MOMENT), Ok(Inbound::Idle));
    assert_eq!(block_on(ada.send_control(Bytes::new())), Err(TransportError::Closed));
}

#[test]
fn a_relay_that_dies_closes_the_lane_in_bounded_time() {
    let Some(relay) = Rtpengine::start() else { return };
    let mut ada = member(&relay.name());
    ada.send_media(b"\xb9x").unwrap();
    drop(relay);
    let start = Instant::now();
    assert_eq!(next(&mut ada, PATIENCE), Err(TransportError::Closed));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(ada.send_media(b"\xb9x"), Err(TransportError::Closed));
}

// ---- with what only pretends
// ---------------------------------------------------------------------------

/// Answers each question with what `answer` makes of it; `None` is silence.
struct Pretender {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pretender {
    fn start(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, list) = (Arc::clone(&stop), Arc::clone(&asked));
        let thread = thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let question = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let (cookie, question) = question.split_once(' ').unwrap();
                list.lock().unwrap().push(question.to_owned());
                if let Some(answer) = answer(question) {
                    let _ = socket.send_to(&[cookie.as_bytes(), b" ", &answer].concat(), from);
                }
            }
        });
        Self { address, asked, stop, thread: Some(thread) }
    }

    fn connect(&self) -> Result<RtpengineClient, TransportError> {
        let mut client = RtpengineClient::new(format!("rtp:{}", self.address).parse().unwrap()).unwrap();
        block_on(client.connect(ROOM)).map(|()| client)
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn pong(question: &str) -> Option<Vec<u8>> {
    question.contains("7:command4:ping").then(|| b"d6:result4:ponge".to_vec())
}

fn offer(address: &str, port: u16) -> Vec<u8> {
    let sdp = format!("v=0\r\nc=IN IP4 {address}\r\nm=audio {port} RTP/AVP 96\r\n");
    format!("d6:result2:ok3:sdp{}:{sdp}e", sdp.len()).into_bytes()
}

#[test]
fn a_relay_that_says_nothing_or_nonsense_is_told_apart_from_one_that_works() {
    let denied = || b"d12:error-reason4:none6:result5:errore".to_vec();
    type Answer = fn(&str) -> Option<Vec<u8>>;
    let cases: [(&str, Answer, TransportError); 5] = [
        ("silent", |_| None, TransportError::Unreachable),
        ("garbage", |_| Some(b"\0\xff".to_vec()), TransportError::Refused),
        ("endless", |_| Some([&b"d"[..], &b"1:xl".repeat(10_000)].concat()), TransportError::Refused),
        ("denies", |_| Some(b"d6:result5:errore".to_vec()), TransportError::Refused),
        (
            "half",
            |question| pong(question).or(Some(b"d6:result2:ok3:sdp9:m=audio x".to_vec())),
            TransportError::Refused,
        ),
    ];
    let tries: Vec<_> = cases
        .into_iter()
        .map(|(name, answer, expected)| {
            thread::spawn(move || {
                let result = Pretender::start(answer).connect().map(drop);
                assert_eq!(result, Err(expected), "{name}");
            })
        })
        .collect();
    tries.into_iter().for_each(|one| one.join().unwrap());
    // A room in which nobody speaks is none of these.
    let relay = Pretender::start(move |question| pong(question).or_else(|| Some(denied())));
    let mut member = relay.connect().unwrap();
    assert_eq!(next(&mut member, MOMENT), Ok(Inbound::Idle));
    // Who only listens publishes nothing, and what a relay is told of a room is no handle.
    let asked = relay.asked.lock().unwrap().clone();
    assert!(asked.len() > 2 && asked.iter().all(|question| !question.contains("7:publish")));
    assert!(asked.iter().all(|question| !question.contains(&"01".repeat(16))), "{asked:?}");
}

#[test]
fn a_relay_that_sends_members_to_a_place_that_is_on_no_list_is_refused() {
    let elsewhere = Pretender::start(|question| pong(question).or_else(|| Some(offer("198.18.0.7", 4_000))));
    assert_eq!(elsewhere.connect().map(drop), Err(TransportError::Refused));
    // The same when it is asked to publish: not a packet goes there.
    let later = Pretender::start(|question| match question {
        question if question.contains("7:publish") => Some(offer("198.18.0.7", 4_000)),
        question => pong(question).or_else(|| Some(b"d6:result5:errore".to_vec())),
    });
    let mut member = later.connect().unwrap();
    member.send_media(b"\xb9x").unwrap();
    assert_eq!(next(&mut member, PATIENCE), Err(TransportError::Closed));
}

#[test]
fn rtp_that_is_none_and_packets_that_are_too_long_are_dropped() {
    let media = UdpSocket::bind("127.0.0.1:0").unwrap();
    media.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = media.local_addr().unwrap().port();
    let first = Arc::new(AtomicBool::new(true));
    let relay = Pretender::start(move |question| match question {
        question if question.contains("17:subscribe request") => {
            let once = first.swap(false, Ordering::Relaxed);
            Some(if once { offer("127.0.0.1", port) } else { b"d6:result5:errore".to_vec() })
        }
        question => pong(question).or_else(|| Some(b"d6:result2:ok4:tagsdee".to_vec())),
    });
    let mut member = relay.connect().unwrap();
    // The member opens the way; now the relay knows where it is.
    let (_, from) = media.recv_from(&mut [0; 100]).unwrap();
    let rtp = |first: u8, rest: &[u8]| [&[first, 96][..], &[0; 10], rest].concat();
    for bad in [
        vec![],
        vec![0x80; 11],
        rtp(0x00, b"\xb9x"),
        rtp(0x8f, b"\xb9x"),
        rtp(0x90, b"\0\0\xff\xffx"),
        rtp(0xa0, b"\xb9x\xff"),
        rtp(0xa0, &[0, 0, 0, 4]),
        rtp(0x80, &[0xb9; MAX_MEDIA + 1]),
        rtp(0x80, &[0xb9; 9_000]),
        rtp(0x80, b"\xb9good"),
    ] {
        media.send_to(&bad, from).unwrap();
    }
    assert_eq!(next(&mut member, PATIENCE), packet(b"\xb9good"));
}
