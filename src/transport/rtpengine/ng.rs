//! rtpengine's control protocol: a cookie and a bencoded dictionary in a datagram, and the answer
//! likewise.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use super::bencode::{self, Value};

/// Asks, and waits for the answer.
pub(super) struct Ng {
    socket: UdpSocket,
    asked: u64,
    cookie: [u8; 8],
    buffer: Vec<u8>,
}

/// Why there is no answer that could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NgError {
    /// None came in time.
    Silent,
    /// It was not granted. For some requests that is an answer.
    Denied,
    /// What came does not make sense.
    Malformed,
}

impl Ng {
    /// Talks to this address and hears nobody else. `random` keeps the answers of two members
    /// apart.
    pub(super) fn new(relay: SocketAddr, local: SocketAddr, random: [u8; 8]) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(local)?;
        socket.connect(relay)?;
        Ok(Self { socket, asked: 0, cookie: random, buffer: vec![0; DATAGRAM_MAX] })
    }

    /// This side's address towards the relay.
    pub(super) fn local_ip(&self) -> std::io::Result<IpAddr> {
        self.socket.local_addr().map(|address| address.ip())
    }

    /// Asks until there is an answer or the time is up, and hands it to `read`.
    pub(super) fn ask<T>(
        &mut self,
        command: &str,
        arguments: &[(&str, &str)],
        patience: Duration,
        read: impl FnOnce(&Value<'_>) -> Option<T>,
    ) -> Result<T, NgError> {
        self.asked += 1;
        let cookie = format!("{:016x}{}", u64::from_be_bytes(self.cookie), self.asked);
        let question = [cookie.as_bytes(), b" ", &question(command, arguments)].concat();
        let deadline = Instant::now() + patience;
        let mut repeat = Instant::now();
        let length = loop {
            let now = Instant::now();
            if now >= deadline {
                return Err(NgError::Silent);
            }
            if now >= repeat {
                // The same cookie: a relay that has answered before says the same again.
                let _ = self.socket.send(&question);
                repeat = now + REPEAT;
            }
            let left = repeat.min(deadline).saturating_duration_since(now).max(Duration::from_millis(1));
            match self.socket.set_read_timeout(Some(left)).and_then(|()| self.socket.recv(&mut self.buffer)) {
                Ok(length) if is_answer(self.buffer.get(..length), cookie.as_bytes()) => break length,
                // Somebody else's answer, or that of a question that was given up.
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                // Nobody is there at the moment. It may be starting.
                Err(_) => std::thread::sleep(left),
            }
        };
        let answer = self.buffer.get(cookie.len() + 1..length).ok_or(NgError::Malformed)?;
        let answer = bencode::parse(answer).ok_or(NgError::Malformed)?;
        match answer.get("result").and_then(Value::text) {
            Some("ok" | "pong") => read(&answer).ok_or(NgError::Malformed),
            Some("error") => Err(NgError::Denied),
            _ => Err(NgError::Malformed),
        }
    }
}

fn is_answer(datagram: Option<&[u8]>, cookie: &[u8]) -> bool {
    let rest = datagram.and_then(|datagram| datagram.strip_prefix(cookie));
    rest.is_some_and(|rest| rest.starts_with(b" "))
}

/// The dictionary of a question: keys in order, as bencoding wants them.
fn question(command: &str, arguments: &[(&str, &str)]) -> Vec<u8> {
    let mut all: Vec<_> = arguments.iter().copied().chain([("command", command)]).collect();
    all.sort_unstable();
    let mut out = vec![b'd'];
    for text in all.into_iter().flat_map(|(key, value)| [key, value]) {
        out.extend_from_slice(format!("{}:{text}", text.len()).as_bytes());
    }
    out.push(b'e');
    out
}

/// A session description with one audio stream at this address (RFC 8866).
pub(super) fn sdp(address: SocketAddr, direction: &str) -> String {
    let (ip, port) = (address.ip(), address.port());
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let kind = super::packet::PAYLOAD_TYPE;
    format!(
        "v=0\r\no=- 0 0 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {kind}\r\n\
         a=rtpmap:{kind} opus/48000/2\r\na={direction}\r\na=rtcp-mux\r\n"
    )
}

/// Where a session description has its one audio stream.
pub(super) fn audio_address(sdp: &str) -> Option<SocketAddr> {
    let mut lines = sdp.lines();
    let port = lines.clone().find_map(|line| line.strip_prefix("m=audio "))?;
    let port: u16 = port.split(' ').next()?.parse().ok()?;
    let address =
        lines.find_map(|line| line.strip_prefix("c=IN IP4 ").or_else(|| line.strip_prefix("c=IN IP6 ")))?;
    let ip: IpAddr = address.split('/').next()?.trim().parse().ok()?;
    (port > 0).then(|| SocketAddr::new(ip, port))
}

/// The largest UDP datagram.
const DATAGRAM_MAX: usize = 65_507;
/// How often a question is repeated that has no answer.
const REPEAT: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_bencoded_with_their_keys_in_order() {
        let bytes = question("query", &[("from-tag", "p"), ("call-id", "abc")]);
        assert_eq!(bytes, b"d7:call-id3:abc7:command5:query8:from-tag1:pe");
    }

    #[test]
    fn the_audio_of_a_description_is_found_and_nothing_else_taken_for_it() {
        for address in ["127.0.0.1:4000", "[::1]:4000"] {
            let address = address.parse().unwrap();
            assert_eq!(audio_address(&sdp(address, "sendonly")), Some(address));
        }
        for bad in [
            "",
            "m=audio 4000 RTP/AVP 96",
            "c=IN IP4 127.0.0.1",
            "m=audio 0 RTP/AVP 96\r\nc=IN IP4 127.0.0.1",
            "m=audio 70000 RTP/AVP 96\r\nc=IN IP4 127.0.0.1",
            "m=audio 4000 RTP/AVP 96\r\nc=IN IP4 relay.example",
            "m=video 4000 RTP/AVP 96\r\nc=IN IP4 127.0.0.1",
        ] {
            assert_eq!(audio_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_answer_to_another_question_is_passed_over_and_garbage_is_told_apart() {
        let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = relay.local_addr().unwrap();
        let answers = std::thread::spawn(move || {
            let mut buffer = [0; 1_000];
            for answer in [&b"d6:result2:oke"[..], b"d6:result5:errore", b"d6:result", b"d3:fooi1ee"] {
                let (length, from) = relay.recv_from(&mut buffer).unwrap();
                let cookie = buffer[..length].split(|byte| *byte == b' ').next().unwrap();
                relay.send_to(b"another d6:result2:oke", from).unwrap();
                relay.send_to(&[&cookie[..cookie.len() - 1], b" d6:result2:oke"].concat(), from).unwrap();
                relay.send_to(&[cookie, b" ", answer].concat(), from).unwrap();
            }
        });
        let mut ng = Ng::new(address, ([127, 0, 0, 1], 0).into(), [7; 8]).unwrap();
        let mut ask = || ng.ask("ping", &[], Duration::from_secs(10), |_| Some(()));
        let heard = [(); 4].map(|()| ask());
        answers.join().unwrap();
        let malformed = Err(NgError::Malformed);
        assert_eq!(heard, [Ok(()), Err(NgError::Denied), malformed, malformed]);
        assert_eq!(ng.ask("ping", &[], Duration::from_millis(50), |_| Some(())), Err(NgError::Silent));
    }
}
