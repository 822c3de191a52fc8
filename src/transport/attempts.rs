//! The addresses of a relay, tried one after the other without waiting for each to fail (RFC 8305).
//!
//! ```text
//! address 1  |----------------------------- no answer
//! address 2        |------ answers: it is the one, and no more are tried
//! address 3              |
//!            0   250   500 ms
//! ```

use std::{
    collections::VecDeque,
    net::{SocketAddr, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::TransportError;

/// The right to be the connection: the first attempt that is answered takes it, and all others end.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Takes it, to be called once when the relay has answered. False if another attempt was
    /// faster.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The addresses of `host:port`, IPv6 and IPv4 in turn, beginning with what the operating system
/// prefers.
///
/// # Errors
/// [`TransportError::Unreachable`] if the name has none, or cannot be looked up.
pub(super) fn resolve(host_and_port: &str) -> Result<Vec<SocketAddr>, TransportError> {
    #[cfg(test)]
    if let Some(port) = host_and_port.strip_prefix(tests::TWO_ADDRESSES) {
        return Ok(tests::two_addresses(port));
    }
    let addresses = host_and_port.to_socket_addrs().map_err(|_| TransportError::Unreachable)?;
    Ok(interleaved(addresses))
}

/// Calls `attempt` with each address until one is answered, a new one each [`STAGGER`] or as soon
/// as one has failed.
///
/// An attempt that is answered after another one has to end; what it returns is dropped. An attempt
/// that ends with [`TransportError::Unreachable`] was not answered. With any other error the relay
/// is there, and it is no use asking it by another way.
///
/// # Errors
/// The error of the attempt that was answered; [`TransportError::Unreachable`] if none was before
/// the deadline.
pub(super) fn race<T: Send + 'static>(
    addresses: Vec<SocketAddr>,
    deadline: Instant,
    attempt: impl Fn(SocketAddr, &Claim) -> Result<T, TransportError> + Send + Sync + 'static,
) -> Result<T, TransportError> {
    let claim = Claim::default();
    if let [address] = addresses[..] {
        return attempt(address, &claim);
    }
    let attempt = Arc::new(attempt);
    let (ended, results) = mpsc::channel();
    let mut waiting: VecDeque<_> = addresses.into_iter().take(MOST).collect();
    let (mut under_way, mut next) = (0, Instant::now());
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Err(TransportError::Unreachable);
        }
        if !claim.is_taken()
            && now >= next
            && let Some(address) = waiting.pop_front()
        {
            let (attempt, claim, ended) = (Arc::clone(&attempt), claim.clone(), ended.clone());
            let thread = thread::Builder::new().name("relay attempt".to_owned()).spawn(move || {
                // Nobody listens any more if another one was faster; then the connection ends here.
                let _ = ended.send(attempt(address, &claim));
            });
            thread.map_err(|_| TransportError::Exhausted)?;
            under_way += 1;
            next = now + STAGGER;
        }
        if under_way == 0 {
            return Err(TransportError::Unreachable);
        }
        let until = if waiting.is_empty() || claim.is_taken() { deadline } else { deadline.min(next) };
        match results.recv_timeout(until.saturating_duration_since(now)) {
            Ok(Err(TransportError::Unreachable)) => {
                under_way -= 1;
                next = Instant::now();
                if under_way == 0 && (waiting.is_empty() || claim.is_taken()) {
                    return Err(TransportError::Unreachable);
                }
            }
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(TransportError::Unreachable),
        }
    }
}

/// The addresses of both kinds in turn (RFC 8305 section 4), each once.
fn interleaved(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (mut first, mut second) = (VecDeque::new(), VecDeque::new());
    for address in addresses {
        let like_first = first.front().is_none_or(|first: &SocketAddr| first.is_ipv6() == address.is_ipv6());
        let kind = if like_first { &mut first } else { &mut second };
        if !kind.contains(&address) {
            kind.push_back(address);
        }
    }
    let mut all = Vec::new();
    while !first.is_empty() || !second.is_empty() {
        all.extend(first.pop_front());
        all.extend(second.pop_front());
    }
    all
}

/// How long an attempt has before the next one begins beside it.
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses that are tried, however many a name has.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    #[cfg(any(feature = "quic", feature = "rtpengine"))]
    use std::net::UdpSocket;
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::transport::{RelayName, RoomHandle, Transport, block_on};

    /// The name of a relay that is at the second of its two addresses.
    pub(super) const TWO_ADDRESSES: &str = "two-addresses.test:";

    pub(super) fn two_addresses(port: &str) -> Vec<SocketAddr> {
        addresses(&[&format!("{SILENT}:{port}"), &format!("127.0.0.1:{port}")])
    }

    /// Where nobody answers.
    const SILENT: &str = "127.0.0.2";
    const ROOM: RoomHandle = RoomHandle::from_bytes([1; 16]);

    fn name(scheme: &str, address: SocketAddr, rest: &str) -> RelayName {
        format!("{scheme}{TWO_ADDRESSES}{}{rest}", address.port()).parse().unwrap()
    }

    #[cfg(any(feature = "quic", feature = "rtpengine"))]
    /// Somebody who takes datagrams at the silent address and says nothing.
    fn deaf(address: SocketAddr) -> UdpSocket {
        UdpSocket::bind((SILENT, address.port())).unwrap()
    }

    /// Somebody at the silent address who accepts no connection, not even by refusing it.
    fn full(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind((SILENT, address.port())).unwrap();
        let here = listener.local_addr().unwrap();
        let connect = |_: usize| TcpStream::connect_timeout(&here, Duration::from_millis(200)).ok();
        (listener, (0..10_000).map_while(connect).collect())
    }

    /// Connects, and expects that to be decided before the silent address would have eaten the
    /// deadline.
    fn decided(mut client: impl Transport) -> Result<(), TransportError> {
        let start = Instant::now();
        let connected = block_on(client.connect(ROOM));
        assert!(start.elapsed() < Duration::from_secs(3), "{connected:?} after {:?}", start.elapsed());
        connected
    }

    #[test]
    fn the_client_of_the_relay_passes_over_a_silent_address() {
        let relay = crate::relay::Relay::start(([127, 0, 0, 1], 0).into(), Default::default()).unwrap();
        let _full = full(relay.address());
        assert_eq!(
            decided(crate::transport::tcp_udp::TcpUdpClient::new(name("", relay.address(), ""))),
            Ok(())
        );
    }

    #[cfg(feature = "quic")]
    fn quic_relay() -> (crate::relay::Relay, SocketAddr, String) {
        use crate::relay::{
            Relay, RelayOptions,
            quic::{Certificate, Listen},
        };
        let here = ([127, 0, 0, 1], 0).into();
        let made = rcgen::generate_simple_self_signed(["relay.example".to_owned()]).unwrap();
        let key = made.signing_key.serialize_der();
        let certificate = Certificate::from_der(vec![made.cert.der().to_vec()], key).unwrap();
        let pin = format!("#{}", certificate.pin());
        let quic = Some(Listen { address: here, certificate });
        let relay = Relay::start(here, RelayOptions { quic, ..RelayOptions::default() }).unwrap();
        let address = relay.quic_address().unwrap();
        (relay, address, pin)
    }

    #[cfg(feature = "quic")]
    #[test]
    fn the_client_over_quic_passes_over_a_silent_address() {
        let (relay, address, pin) = quic_relay();
        let _deaf = deaf(address);
        let client = crate::transport::quic::QuicClient::new(name("quic:", address, &pin)).unwrap();
        assert_eq!(decided(client), Ok(()));
        assert_eq!(relay.counts().connections, 1);
    }

    #[cfg(feature = "moq")]
    #[test]
    fn the_moq_client_passes_over_a_silent_address() {
        // What answers is no MoQ relay, and says so at once.
        let (_relay, address, pin) = quic_relay();
        let _deaf = deaf(address);
        let client = crate::transport::moq::MoqClient::new(name("moq:", address, &pin)).unwrap();
        assert_eq!(decided(client), Err(TransportError::Refused));
    }

    #[cfg(feature = "janus")]
    #[test]
    fn the_webrtc_client_passes_over_a_silent_address() {
        use std::io::Write;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _full = full(address);
        // What answers is no Janus, and says so at once.
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
            thread::sleep(DEADLINE);
        });
        let client = crate::transport::janus::JanusClient::new(name("janus:", address, "")).unwrap();
        assert_eq!(decided(client), Err(TransportError::Refused));
    }

    #[cfg(feature = "rtpengine")]
    #[test]
    fn the_rtp_client_passes_over_a_silent_address() {
        let rtpengine = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = rtpengine.local_addr().unwrap();
        let _deaf = deaf(address);
        thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while let Ok((length, from)) = rtpengine.recv_from(&mut buffer) {
                let question = &buffer[..length];
                let cookie = question.split(|byte| *byte == b' ').next().unwrap();
                let ping = question.windows(6).any(|window| window == b"4:ping");
                let answer: &[u8] = if ping { b" d6:result4:ponge" } else { b" d6:result5:errore" };
                rtpengine.send_to(&[cookie, answer].concat(), from).unwrap();
            }
        });
        let client = crate::transport::rtpengine::RtpengineClient::new(name("rtp:", address, "")).unwrap();
        assert_eq!(decided(client), Ok(()));
    }

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn silent(until: Duration) -> Result<SocketAddr, TransportError> {
        thread::sleep(until);
        Err(TransportError::Unreachable)
    }

    const DEADLINE: Duration = Duration::from_secs(5);

    #[test]
    fn an_address_that_does_not_answer_costs_a_quarter_of_a_second() {
        let start = Instant::now();
        let all = addresses(&["[2001:db8::1]:1", "192.0.2.1:1"]);
        let answered = race(all.clone(), start + DEADLINE, |address, claim| match address.is_ipv6() {
            true => silent(DEADLINE),
            false => claim.take().then_some(address).ok_or(TransportError::Unreachable),
        });
        assert_eq!(answered, Ok(all[1]));
        assert!((STAGGER..DEADLINE / 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    #[test]
    fn an_address_that_fails_costs_nothing() {
        let start = Instant::now();
        let all = addresses(&["[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1"]);
        let answered = race(all.clone(), start + DEADLINE, |address, claim| match address.is_ipv6() {
            true => Err(TransportError::Unreachable),
            false => claim.take().then_some(address).ok_or(TransportError::Unreachable),
        });
        assert_eq!(answered, Ok(all[2]));
        assert!(start.elapsed() < STAGGER, "{:?}", start.elapsed());
    }

    #[test]
    fn once_an_address_has_answered_no_more_are_tried() {
        let tried = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&tried);
        let all = addresses(&["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]);
        let answered = race(all.clone(), Instant::now() + DEADLINE, move |address, claim| {
            count.fetch_add(1, Ordering::Relaxed);
            // Answers at once, and takes long to say more.
            let first = claim.take();
            thread::sleep(3 * STAGGER);
            first.then_some(address).ok_or(TransportError::Unreachable)
        });
        assert_eq!((answered, tried.load(Ordering::Relaxed)), (Ok(all[0]), 1));
    }

    #[test]
    fn what_a_relay_says_counts_and_silence_ends_at_the_deadline() {
        let all = || addresses(&["192.0.2.1:1", "192.0.2.2:1"]);
        let refused = race(all(), Instant::now() + DEADLINE, |_, _| Err::<(), _>(TransportError::Refused));
        assert_eq!(refused, Err(TransportError::Refused));
        let none = race(all(), Instant::now() + DEADLINE, |_, _| Err::<(), _>(TransportError::Unreachable));
        assert_eq!(none, Err(TransportError::Unreachable));
        let start = Instant::now();
        let deadline = Duration::from_millis(400);
        assert_eq!(race(all(), start + deadline, |_, _| silent(DEADLINE)), Err(TransportError::Unreachable));
        assert!((deadline..DEADLINE / 2).contains(&start.elapsed()));
        assert_eq!(race(Vec::new(), start + DEADLINE, |_, _| Ok(())), Err(TransportError::Unreachable));
    }

    #[test]
    fn both_kinds_of_addresses_take_turns_and_none_comes_twice() {
        let all = ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1"];
        let sorted = addresses(&["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1"]);
        assert_eq!(interleaved(addresses(&all)), sorted);
    }
}
