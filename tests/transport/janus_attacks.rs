//! What only pretends to be a Janus, and cannot do more harm to a member of it than to close the
//! lane.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sottovoce::transport::{Inbound, RoomHandle, Transport, TransportError, block_on, janus::JanusClient};
use tungstenite::{
    Message, WebSocket, accept_hdr,
    handshake::server::{Request, Response},
    http::HeaderValue,
};

const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);
const PATIENCE: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(200);

/// Serves each connection with `serve`, for as long as the test lasts.
fn pretend(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (serve, stream) = (Arc::clone(&serve), stream.unwrap());
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn shake(stream: TcpStream) -> Option<WebSocket<TcpStream>> {
    #[allow(clippy::result_large_err)] // So it is declared.
    let agree = |_: &Request, mut response: Response| {
        let protocol = HeaderValue::from_static("janus-protocol");
        response.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        Ok(response)
    };
    accept_hdr(stream, agree).ok()
}

/// What a Janus answers, until somebody is in the room and from then on, unless `other` answers
/// instead.
fn janus(stream: TcpStream, other: impl Fn(&Value, &mut WebSocket<TcpStream>) -> bool) {
    let Some(mut socket) = shake(stream) else { return };
    let mut handles = 100;
    while let Ok(message) = socket.read() {
        let Message::Text(text) = message else { continue };
        let asked: Value = serde_json::from_str(&text).unwrap();
        if other(&asked, &mut socket) {
            continue;
        }
        let transaction = &asked["transaction"];
        let answer = match (asked["janus"].as_str().unwrap(), asked["body"]["request"].as_str()) {
            ("create", _) => json!({ "janus": "success", "transaction": transaction, "data": { "id": 1 } }),
            ("attach", _) => {
                handles += 1;
                json!({ "janus": "success", "transaction": transaction, "data": { "id": handles } })
            }
            ("keepalive", _) => json!({ "janus": "ack", "transaction": transaction }),
            (_, Some("join")) if asked["body"]["ptype"] == "publisher" => joined(&asked, &[]),
            _ => json!({ "janus": "success", "transaction": transaction }),
        };
        if socket.send(Message::text(answer.to_string())).is_err() {
            return;
        }
    }
}

fn joined(asked: &Value, feeds: &[u64]) -> Value {
    let publishers: Vec<Value> = feeds.iter().map(|feed| json!({ "id": feed })).collect();
    json!({
        "janus": "event", "transaction": asked["transaction"], "sender": asked["handle_id"],
        "plugindata": { "data": { "videoroom": "joined", "publishers": publishers } },
    })
}

fn is_join(asked: &Value, kind: &str) -> bool {
    asked["body"]["request"] == "join" && asked["body"]["ptype"] == kind
}

fn say(socket: &mut WebSocket<TcpStream>, value: Value) {
    let _ = socket.send(Message::text(value.to_string()));
}

fn connect(address: SocketAddr) -> Result<JanusClient, TransportError> {
    let mut client = JanusClient::new(format!("janus:{address}").parse().unwrap()).unwrap();
    block_on(client.connect(ROOM)).map(|()| client)
}

fn next(member: &mut JanusClient, patience: Duration) -> Result<Inbound, TransportError> {
    block_on(member.receive(Instant::now() + patience))
}

/// Says what it is given once the WebSocket is open, and then nothing.
fn says(bytes: Vec<u8>) -> impl Fn(TcpStream) + Send + Sync {
    move |stream| {
        let Some(mut socket) = shake(stream) else { return };
        let _ = socket.get_mut().write_all(&bytes);
        let _ = socket.read();
        thread::sleep(PATIENCE);
    }
}

/// A frame of the WebSocket, as far as `bytes` go.
fn frame(first: u8, length: u64, bytes: &[u8]) -> Vec<u8> {
    [&[first, 127][..], &length.to_be_bytes(), bytes].concat()
}

#[test]
fn what_is_no_janus_is_refused_or_unreachable_in_bounded_time() {
    use TransportError::{Refused, Unreachable};
    type Serve = Box<dyn Fn(TcpStream) + Send + Sync>;
    let text = |text: &str| -> Serve { Box::new(says(frame(0x81, text.len() as u64, text.as_bytes()))) };
    let http = |text: &'static str| -> Serve {
        Box::new(move |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 2_000]);
            let _ = stream.write_all(text.as_bytes());
        })
    };
    let cases: Vec<(&str, Serve, TransportError)> = vec![
        ("silence", Box::new(|_stream| thread::sleep(PATIENCE)), Unreachable),
        ("hangs up", Box::new(drop), Refused),
        ("no HTTP", http("\0\u{1}\u{2}\r\n\r\n"), Refused),
        ("not found", http("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), Refused),
        ("no WebSocket", http("HTTP/1.1 200 OK\r\n\r\n"), Refused),
        (
            "another protocol",
            Box::new(|stream| {
                let mut socket = tungstenite::accept(stream);
                let _ = socket.as_mut().map(WebSocket::read);
            }),
            Refused,
        ),
        (
            "endless headers",
            Box::new(|mut stream| {
                let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n");
                while stream.write_all(&b"a: b\r\n".repeat(1_000)).is_ok() {}
            }),
            Refused,
        ),
        (
            "one byte at a time",
            Box::new(|mut stream| {
                while stream.write_all(b"H").is_ok() {
                    thread::sleep(Duration::from_millis(100));
                }
            }),
            Refused,
        ),
        ("a WebSocket that says nothing", Box::new(says(vec![])), Unreachable),
        ("garbage", Box::new(says(vec![0xff; 100])), Refused),
        ("text that is no JSON", text("hello"), Refused),
        ("JSON that is not of Janus", text("[]"), Refused),
        ("nested too deep", text(&"[".repeat(100_000)), Refused),
        ("an error", text(r#"{"janus":"error","transaction":"1","error":{"code":403}}"#), Refused),
        ("a success without a number", text(r#"{"janus":"success","transaction":"1"}"#), Refused),
        ("a frame of an exabyte", Box::new(says(frame(0x81, 1 << 60, &[b' '; 1_000]))), Refused),
        ("a frame of a megabyte", Box::new(says(frame(0x81, 1 << 20, &[b' '; 1 << 20]))), Refused),
        (
            "an endless message in pieces",
            Box::new(|stream| {
                let Some(mut socket) = shake(stream) else { return };
                let stream = socket.get_mut();
                let _ = stream.write_all(&frame(0x01, 1_000, &[b' '; 1_000]));
                while stream.write_all(&frame(0x00, 1_000, &[b' '; 1_000])).is_ok() {}
            }),
            Refused,
        ),
        (
            "endless messages that mean nothing",
            Box::new(|stream| {
                let Some(mut socket) = shake(stream) else { return };
                let nothing = r#"{"janus":"webrtcup","sender":5}"#;
                let nothing = frame(0x81, nothing.len() as u64, nothing.as_bytes()).repeat(100);
                while socket.get_mut().write_all(&nothing).is_ok() {}
            }),
            Unreachable,
        ),
    ];
    let tries: Vec<_> = cases
        .into_iter()
        .map(|(name, serve, expected)| {
            thread::spawn(move || {
                let start = Instant::now();
                let result = connect(pretend(serve)).map(drop);
                // Whoever drips bytes may be told by either.
                let dripped = name.starts_with("one byte") && result == Err(Unreachable);
                assert!(result == Err(expected) || dripped, "{name}: {result:?}");
                assert!(start.elapsed() < Duration::from_secs(8), "{name}: {:?}", start.elapsed());
            })
        })
        .collect();
    tries.into_iter().for_each(|one| one.join().unwrap());
}

#[test]
fn a_member_is_told_nothing_but_closed_when_a_relay_goes_mad_later() {
    for mad in [frame(0x81, 1 << 60, b""), frame(0x81, 5, b"hello"), vec![0xff; 64], vec![]] {
        let address = pretend(move |stream| {
            let mad = mad.clone();
            janus(stream, move |asked, socket| {
                let join = is_join(asked, "publisher");
                if join {
                    say(socket, joined(asked, &[]));
                    thread::sleep(MOMENT);
                    match mad.is_empty() {
                        true => drop(socket.get_mut().shutdown(std::net::Shutdown::Both)),
                        false => drop(socket.get_mut().write_all(&mad)),
                    }
                }
                join
            });
        });
        let mut member = connect(address).unwrap();
        let start = Instant::now();
        assert_eq!(next(&mut member, PATIENCE), Err(TransportError::Closed));
        assert!(start.elapsed() < Duration::from_secs(3));
        assert_eq!(member.send_media(b"\xb9x"), Err(TransportError::Closed));
    }
}

#[test]
fn a_relay_that_answers_no_more_closes_the_lane() {
    let address = pretend(|stream| janus(stream, |asked, _| asked["janus"] == "keepalive"));
    let mut member = connect(address).unwrap();
    let start = Instant::now();
    assert_eq!(next(&mut member, PATIENCE), Err(TransportError::Closed));
    assert!(start.elapsed() < Duration::from_secs(17), "{:?}", start.elapsed());
}

#[test]
fn no_more_than_64_speakers_are_asked_for_however_many_there_are() {
    let asked_for = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked_for);
    let address = pretend(move |stream| {
        let count = Arc::clone(&count);
        janus(stream, move |asked, socket| {
            if is_join(asked, "publisher") {
                for batch in 0..20 {
                    let feeds: Vec<u64> = (batch * 1_000..(batch + 1) * 1_000).collect();
                    match batch {
                        0 => say(socket, joined(asked, &feeds)),
                        _ => say(
                            socket,
                            json!({
                                "janus": "event", "sender": asked["handle_id"],
                                "plugindata": { "data": {
                                    "videoroom": "event", "publishers": [{ "id": batch * 1_000 }],
                                } },
                            }),
                        ),
                    }
                }
                return true;
            }
            // Never an offer, and never an error.
            let subscribes = is_join(asked, "subscriber");
            *count.lock().unwrap() += u32::from(subscribes);
            subscribes
        });
    });
    let mut member = connect(address).unwrap();
    assert_eq!(next(&mut member, Duration::from_secs(1)), Ok(Inbound::Idle));
    assert_eq!(*asked_for.lock().unwrap(), 64);
}

/// An offer of one audio stream, from a place of the test's choice.
fn offer(candidate: SocketAddr) -> String {
    let (ip, port) = (candidate.ip(), candidate.port());
    let fingerprint = ["AB"; 32].join(":");
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=ice-lite\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 {ip}\r\na=sendonly\r\na=mid:0\r\na=rtcp-mux\r\n\
         a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=rtpmap:111 opus/48000/2\r\na=ssrc:1 cname:x\r\n\
         a=candidate:1 1 udp 2015363327 {ip} {port} typ host\r\na=end-of-candidates\r\n"
    )
}

/// A Janus with one speaker, whose media is offered as `sdp` says.
fn offers(sdp: impl Fn() -> String + Send + Sync + 'static) -> SocketAddr {
    pretend(move |stream| {
        janus(stream, |asked, socket| {
            if is_join(asked, "publisher") {
                say(socket, joined(asked, &[7]));
            } else if is_join(asked, "subscriber") {
                say(
                    socket,
                    json!({
                        "janus": "event", "transaction": asked["transaction"], "sender": asked["handle_id"],
                        "plugindata": { "data": { "videoroom": "attached" } },
                        "jsep": { "type": "offer", "sdp": sdp() },
                    }),
                );
            } else {
                return false;
            }
            true
        });
    })
}

#[test]
fn media_goes_to_no_address_but_the_relays() {
    let [there, elsewhere] = ["127.0.0.1:0", "127.0.0.2:0"].map(|at| UdpSocket::bind(at).unwrap());
    for socket in [&there, &elsewhere] {
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    }
    let address = elsewhere.local_addr().unwrap();
    let member = connect(offers(move || offer(address))).unwrap();
    assert!(elsewhere.recv_from(&mut [0; 2_000]).is_err());
    drop(member);
    // The same offer with the relay's own address does bring something.
    let address = there.local_addr().unwrap();
    let member = connect(offers(move || offer(address))).unwrap();
    there.recv_from(&mut [0; 2_000]).unwrap();
    drop(member);
}

#[test]
fn offers_and_datagrams_that_make_no_sense_end_nothing() {
    let media = UdpSocket::bind("127.0.0.1:0").unwrap();
    media.set_read_timeout(Some(PATIENCE)).unwrap();
    let good = offer(media.local_addr().unwrap());
    let sense = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&sense);
    let sdp = move || match now.load(Ordering::Relaxed) {
        true => good.clone(),
        false => {
            // Cut, garbled, repeated, or all of it.
            let mut bytes = good.clone().into_bytes();
            for _ in 0..rand::random_range(1..6) {
                let place = rand::random_range(0..bytes.len());
                match rand::random_range(0..8) {
                    0 => bytes.truncate(place + 1),
                    1 => bytes.extend_from_within(place..),
                    _ => bytes[place] = rand::random_range(32..127),
                }
            }
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    let mut members: Vec<JanusClient> = {
        let address = offers(sdp);
        (0..40).map(|_| connect(address).unwrap()).collect()
    };
    for member in &mut members {
        assert_eq!(next(member, Duration::from_millis(50)), Ok(Inbound::Idle));
    }
    members.truncate(1);
    sense.store(true, Ordering::Relaxed);
    // Now the member asks for its way to the speaker, and gets nonsense of every kind.
    let (length, from) = {
        let mut found = None;
        while found.is_none() {
            let mut buffer = [0; 2_000];
            let (length, from) = media.recv_from(&mut buffer).unwrap();
            found = Some((buffer[..length].to_vec(), from)).filter(|(bytes, _)| bytes[0] == 0);
        }
        found.unwrap()
    };
    for round in 0..20_000u32 {
        let mut bytes = match round % 4 {
            // Almost the same as what it said.
            0 => length.clone(),
            kind => {
                let size = rand::random_range(1..1_300);
                let mut bytes: Vec<u8> = (0..size).map(|_| rand::random()).collect();
                bytes[0] = [0x80 | (bytes[0] & 0x3f), 20 + bytes[0] % 44, bytes[0] % 2][kind as usize - 1];
                bytes
            }
        };
        let place = rand::random_range(0..bytes.len());
        bytes[place] = rand::random();
        let _ = media.send_to(&bytes, from);
    }
    let member = &mut members[0];
    assert_eq!(next(member, MOMENT), Ok(Inbound::Idle));
    assert_eq!(member.send_media(b"\xb9x"), Ok(()));
}
