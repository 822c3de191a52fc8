//! The client's media lane: binds an address, keeps it bound, fills the inbox (SPEC section 8.2.3).

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    relay_protocol::wire::{self, Cookie, Datagram, Ticket},
    transport::{MAX_MEDIA, TransportError, inbox::Inbox},
};

/// A socket whose address the relay has bound to the ticket.
pub(super) fn bind(relay: SocketAddr, ticket: Ticket) -> Result<UdpSocket, TransportError> {
    let exhausted = |_| TransportError::Exhausted;
    let any = match relay {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let media = UdpSocket::bind(any).map_err(exhausted)?;
    // From now on the operating system drops whatever comes from anybody else.
    media.connect(relay).map_err(|_| TransportError::NoMedia)?;
    media.set_write_timeout(Some(SEND_TIMEOUT)).map_err(exhausted)?;
    media.set_read_timeout(Some(BIND_INTERVAL)).map_err(exhausted)?;
    let mut binding = Binding { ticket, cookie: Cookie::NONE };
    let mut buffer = [0; MAX_MEDIA + 1];
    for _ in 0..BIND_ATTEMPTS {
        // A refusal here is the answer to an earlier datagram. The next attempt will tell.
        let _ = media.send(&binding.request());
        let Ok(length) = media.recv(&mut buffer) else { continue };
        if binding.handle(buffer.get(..length).unwrap_or_default()) == Some(Answer::Bound) {
            media.set_read_timeout(Some(TICK)).map_err(exhausted)?;
            return Ok(media);
        }
    }
    Err(TransportError::NoMedia)
}

/// The client's side of binding an address (SPEC section 8.2.3). No sockets.
struct Binding {
    ticket: Ticket,
    cookie: Cookie,
}

#[derive(PartialEq, Eq)]
enum Answer {
    Challenged,
    Bound,
}

impl Binding {
    fn request(&self) -> Bytes {
        wire::bind(self.ticket, self.cookie)
    }

    /// What the relay says about the binding, if that is what the datagram is about.
    fn handle(&mut self, datagram: &[u8]) -> Option<Answer> {
        match Datagram::parse(datagram) {
            Datagram::Bound(ticket) if ticket == self.ticket => Some(Answer::Bound),
            Datagram::Challenge(ticket, cookie) if ticket == self.ticket => {
                self.cookie = cookie;
                Some(Answer::Challenged)
            }
            _ => None,
        }
    }
}

/// How often the binding is renewed.
pub(super) struct Pace {
    /// Between two requests while all is well.
    keep_alive: Duration,
    /// Between two requests while the answer to the last one is missing.
    retry: Duration,
    /// No answer for so long means that the relay is gone, or its datagrams no longer come through.
    silence_timeout: Duration,
}

pub(super) const PACE: Pace = Pace {
    keep_alive: Duration::from_secs(1),
    retry: Duration::from_secs(1),
    silence_timeout: Duration::from_secs(35),
};

/// Fills the inbox from the media lane until the inbox is closed or the relay is silent for too
/// long.
pub(super) fn read(media: &UdpSocket, ticket: Ticket, inbox: &Inbox, pace: &Pace) {
    let mut binding = Binding { ticket, cookie: Cookie::NONE };
    let mut buffer = [0; MAX_MEDIA + 1];
    let (mut asked, mut confirmed) = (Instant::now(), Instant::now());
    let mut proved = false;
    while !inbox.is_closed() && confirmed.elapsed() < pace.silence_timeout {
        // Keeps the way through any address translation open, and finds out within a second or two
        // if it has moved.
        let pause = if confirmed >= asked { pace.keep_alive } else { pace.retry };
        if asked.elapsed() >= pause {
            (asked, proved) = (Instant::now(), false);
            let _ = media.send(&binding.request());
        }
        let datagram = match media.recv(&mut buffer) {
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => {
                // The relay's port may be closed for the moment; the control lane knows for good.
                thread::sleep(Duration::from_millis(1));
                continue;
            }
        };
        if datagram.starts_with(&wire::RESERVED) {
            match binding.handle(datagram) {
                Some(Answer::Bound) => confirmed = Instant::now(),
                // At most one proof for each request of ours, whatever a relay may send.
                Some(Answer::Challenged) if !proved => {
                    proved = true;
                    let _ = media.send(&binding.request());
                }
                _ => {}
            }
        } else if datagram.len() <= MAX_MEDIA {
            inbox.push_media(Bytes::copy_from_slice(datagram));
        }
    }
}

/// How long a full send buffer may hold up `send_media`, before the packet is dropped: the shortest
/// that works everywhere. A socket that another thread reads from cannot be made non-blocking for
/// sends alone.
const SEND_TIMEOUT: Duration = Duration::from_millis(1);
/// Between two requests while not yet bound, and how many there are.
const BIND_INTERVAL: Duration = Duration::from_millis(200);
const BIND_ATTEMPTS: u32 = 15;
/// How long the reader may take to notice that the connection is closed.
const TICK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Inbound;

    const TICKET: Ticket = Ticket([7; 16]);

    fn pace(keep_alive: u64, retry: u64, silence_timeout: u64) -> Pace {
        let [keep_alive, retry, silence_timeout] =
            [keep_alive, retry, silence_timeout].map(Duration::from_millis);
        Pace { keep_alive, retry, silence_timeout }
    }

    /// Lets `relay` play the relay's part against a lane that is already bound, then ends the lane.
    /// `relay` is given its socket, the lane's inbox, and what tells whether the lane has ended by
    /// itself.
    fn against(pace: &Pace, relay: impl FnOnce(&UdpSocket, &Inbox, &dyn Fn() -> bool)) {
        let [ours, theirs] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        ours.connect(theirs.local_addr().unwrap()).unwrap();
        ours.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        theirs.connect(ours.local_addr().unwrap()).unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let inbox = Inbox::default();
        thread::scope(|scope| {
            let lane = scope.spawn(|| read(&ours, TICKET, &inbox, pace));
            relay(&theirs, &inbox, &|| lane.is_finished());
            inbox.close();
        });
    }

    /// The cookie of the next request to bind.
    fn request(relay: &UdpSocket) -> [u8; 16] {
        let mut buffer = [0; 64];
        let length = relay.recv(&mut buffer).unwrap();
        match Datagram::parse(&buffer[..length]) {
            Datagram::Bind(TICKET, Cookie(cookie)) => cookie,
            _ => panic!("not a request to bind"),
        }
    }

    #[test]
    fn a_bound_lane_asks_now_and_then_and_hurries_while_it_has_no_answer() {
        let pace = pace(1_000, 20, 10_000);
        against(&pace, |relay, _, _| {
            let start = Instant::now();
            request(relay);
            assert!(start.elapsed() >= pace.keep_alive / 2);
            let unanswered = Instant::now();
            request(relay);
            request(relay);
            assert!(unanswered.elapsed() < pace.keep_alive);
            relay.send(&wire::bound(TICKET)).unwrap();
            let answered = Instant::now();
            // What comes within the first half was on its way.
            while answered.elapsed() < pace.keep_alive / 2 {
                request(relay);
            }
            assert!(answered.elapsed() >= pace.keep_alive - pace.retry - Duration::from_millis(100));
        });
    }

    #[test]
    fn a_lane_whose_address_changed_proves_the_new_one_once_a_request() {
        let pace = pace(300, 5_000, 10_000);
        against(&pace, |relay, _, _| {
            assert_eq!(request(relay), [0; 16]);
            for _ in 0..3 {
                relay.send(&wire::challenge(TICKET, Cookie([9; 16]))).unwrap();
            }
            assert_eq!(request(relay), [9; 16]);
            relay.send(&wire::bound(TICKET)).unwrap();
            let answered = Instant::now();
            request(relay);
            assert!(answered.elapsed() >= pace.keep_alive / 2, "three challenges, one proof");
            relay.send(&wire::challenge(TICKET, Cookie([5; 16]))).unwrap();
            assert_eq!(request(relay), [5; 16]);
            assert!(answered.elapsed() < pace.retry, "a proof for the next request as well");
        });
    }

    #[test]
    fn a_lane_that_hears_nothing_of_its_relay_ends_even_if_packets_come() {
        let pace = pace(50, 50, 500);
        against(&pace, |relay, _, is_over| {
            let start = Instant::now();
            while !is_over() {
                // Confirms somebody else's ticket, which is no answer to ours.
                for datagram in [&b"\xb0packet"[..], &wire::bound(Ticket([8; 16]))] {
                    relay.send(datagram).unwrap();
                }
                thread::sleep(Duration::from_millis(5));
                assert!(start.elapsed() < Duration::from_secs(20));
            }
            assert!(start.elapsed() >= pace.silence_timeout - Duration::from_millis(100));
        });
    }

    #[test]
    fn only_packets_reach_the_inbox() {
        against(&PACE, |relay, inbox, _| {
            for datagram in [&b"\xff\x00"[..], &wire::bound(TICKET), &[0xb0; MAX_MEDIA + 1], b"\xb0packet"] {
                relay.send(datagram).unwrap();
            }
            let until = Instant::now() + Duration::from_secs(10);
            assert_eq!(inbox.take(until), Ok(Inbound::Media(Bytes::from_static(b"\xb0packet"))));
            assert_eq!(inbox.take(Instant::now()), Ok(Inbound::Idle));
        });
    }
}
