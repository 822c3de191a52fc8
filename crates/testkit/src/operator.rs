//! Whoever runs a Janus: has it send on, as plain RTP, what it has of a room once SRTP is taken
//! off.

use std::{
    collections::HashSet,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use serde_json::{Value, json};
use sottovoce::transport::RoomHandle;
use tungstenite::{ClientRequestBuilder, Message, WebSocket, client};

pub struct Operator {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Operator {
    /// Sends on what everybody in the room says, to a port of this machine, from when they begin to
    /// speak.
    pub fn start(janus: u16, handle: RoomHandle, to: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut session = Session::open(janus);
            let mut forwarded = HashSet::new();
            while !stopped.load(Ordering::Relaxed) {
                for feed in session.speakers(handle) {
                    if !forwarded.contains(&feed) && session.forward(handle, feed, to) {
                        forwarded.insert(feed);
                    }
                }
                thread::sleep(Duration::from_millis(100));
            }
            forwarded.len()
        });
        Self { stop, thread: Some(thread) }
    }

    /// How many speakers were sent on.
    pub fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

struct Session {
    socket: WebSocket<TcpStream>,
    session: Value,
    handle: Value,
}

impl Session {
    fn open(janus: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", janus)).unwrap();
        let uri = format!("ws://127.0.0.1:{janus}/").parse().unwrap();
        let request = ClientRequestBuilder::new(uri).with_sub_protocol("janus-protocol");
        let (socket, _) = client(request, stream).unwrap();
        let mut session = Self { socket, session: Value::Null, handle: Value::Null };
        session.session = session.ask(json!({ "janus": "create" }))["data"]["id"].take();
        let attach = json!({ "janus": "attach", "plugin": "janus.plugin.videoroom" });
        session.handle = session.ask(attach)["data"]["id"].take();
        session
    }

    fn ask(&mut self, mut message: Value) -> Value {
        message["transaction"] = "operator".into();
        for (key, value) in [("session_id", &self.session), ("handle_id", &self.handle)] {
            if !value.is_null() {
                message[key] = value.clone();
            }
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else { continue };
            let said: Value = serde_json::from_str(&text).unwrap();
            if said["transaction"] == "operator" && said["janus"] != "ack" {
                return said;
            }
        }
    }

    fn speakers(&mut self, handle: RoomHandle) -> Vec<u64> {
        let list = json!({ "request": "listparticipants", "room": number(handle) });
        let mut said = self.ask(json!({ "janus": "message", "body": list }));
        let there = said["plugindata"]["data"]["participants"].take();
        let speaks = |one: &&Value| one["publisher"] == true;
        there.as_array().into_iter().flatten().filter(speaks).filter_map(|one| one["id"].as_u64()).collect()
    }

    fn forward(&mut self, handle: RoomHandle, feed: u64, to: u16) -> bool {
        let body = json!({
            "request": "rtp_forward", "room": number(handle), "secret": hex(part(handle, b"secret")),
            "publisher_id": feed, "host": "127.0.0.1", "host_family": "ipv4", "audio_port": to,
        });
        let said = self.ask(json!({ "janus": "message", "body": body }));
        said["plugindata"]["data"]["videoroom"] == "rtp_forward"
    }
}

/// As in SPEC section 8.9, from the same handle by another way.
fn part(handle: RoomHandle, name: &[u8]) -> [u8; 16] {
    struct Sixteen;
    impl KeyType for Sixteen {
        fn len(&self) -> usize {
            16
        }
    }
    let mut part = [0; 16];
    let secret = Salt::new(HKDF_SHA256, b"").extract(handle.as_bytes());
    secret.expand(&[b"sottovoce 1 janus ", name], Sixteen).unwrap().fill(&mut part).unwrap();
    part
}

fn number(handle: RoomHandle) -> u64 {
    let seven =
        part(handle, b"room").into_iter().take(7).fold(0, |number, byte| number << 8 | u64::from(byte));
    (1 << 52) + seven % (1 << 52)
}

fn hex(bytes: [u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
