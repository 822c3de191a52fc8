//! Who answers for the tokens of a MoQ relay.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use sottovoce::transport::{RoomHandle, moq::room_path};

/// Answers what a relay asks about tokens, for one room: `good` may publish and subscribe there,
/// `hears` may subscribe, `says` may publish, all of them until they are withdrawn; all others
/// nothing.
pub struct Issuer {
    url: String,
    withdrawn: Arc<AtomicBool>,
}

impl Issuer {
    /// Serves on a port of its own, for as long as the process lives.
    pub fn start(room: RoomHandle) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let withdrawn = Arc::new(AtomicBool::new(false));
        let gone = Arc::clone(&withdrawn);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let gone = Arc::clone(&gone);
                thread::spawn(move || answer_all(stream, room, &gone));
            }
        });
        Self { url, withdrawn }
    }

    /// What a relay is told to ask.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// From now on no token is good any more.
    pub fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Relaxed);
    }
}

fn answer_all(stream: TcpStream, room: RoomHandle, withdrawn: &AtomicBool) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = request(&mut reader) {
        let has = |token: &str| asked.contains(&format!("jwt={token}")) && !withdrawn.load(Ordering::Relaxed);
        let rights = match () {
            () if has("good") => Some((true, true)),
            () if has("hears") => Some((false, true)),
            () if has("says") => Some((true, false)),
            () => None,
        };
        let answer = match rights {
            Some((publish, subscribe)) => {
                let paths =
                    |may: bool| if may { format!("\"{}/**\"", room_path(room)) } else { String::new() };
                let body = format!(
                    "{{\"publish\":[{}],\"subscribe\":[{}],\"expires\":4102444800,\"revalidate\":1}}",
                    paths(publish),
                    paths(subscribe)
                );
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                )
            }
            None => "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The body of the next request.
fn request(reader: &mut impl BufRead) -> Option<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}
