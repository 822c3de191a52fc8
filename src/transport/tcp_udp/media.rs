//! The client's media lane: binds an address, and keeps it bound (SPEC section 8.2.3).

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    relay_protocol::wire::{self, Cookie, Datagram, Ticket},
    transport::{MAX_MEDIA, TransportError, stats::Gauge},
};

/// A socket whose address the relay has bound to the ticket, and which waits for nothing any more.
pub(super) fn bind(relay: SocketAddr, ticket: Ticket) -> Result<UdpSocket, TransportError> {
    let exhausted = |_| TransportError::Exhausted;
    let any = match relay {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let media = UdpSocket::bind(any).map_err(exhausted)?;
    // From now on the operating system drops whatever comes from anybody else.
    media.connect(relay).map_err(|_| TransportError::NoMedia)?;
    media.set_read_timeout(Some(BIND_INTERVAL)).map_err(exhausted)?;
    let mut binding = Binding { ticket, cookie: Cookie::NONE };
    let mut buffer = [0; MAX_MEDIA + 1];
    for _ in 0..BIND_ATTEMPTS {
        // A refusal here is the answer to an earlier datagram. The next attempt will tell.
        let _ = media.send(&binding.request());
        let Ok(length) = media.recv(&mut buffer) else { continue };
        if binding.handle(buffer.get(..length).unwrap_or_default()) == Some(Answer::Bound) {
            media.set_nonblocking(true).map_err(exhausted)?;
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
    /// Between two requests.
    interval: Duration,
    /// Between two of which the first was not answered, if the way is no longer than a quarter of
    /// that.
    unanswered: Duration,
    /// No answer for so long means that the relay is gone, or its datagrams no longer come through.
    silence_timeout: Duration,
}

/// Keeps the way through any address translation open, and finds out within two seconds if it has
/// moved.
pub(super) const PACE: Pace = Pace {
    interval: Duration::from_secs(1),
    unanswered: Duration::from_millis(250),
    silence_timeout: Duration::from_secs(35),
};

/// A binding that is renewed now and then. No sockets.
pub(super) struct Keeper {
    binding: Binding,
    pace: Pace,
    asked: Instant,
    confirmed: Instant,
    requests: u64,
    unanswered: u64,
    gauge: Gauge,
    /// A challenge was answered since the last request.
    proved: bool,
    /// The last request repeats one that was not answered.
    repeats: bool,
}

impl Keeper {
    /// Of an address that was bound at this time.
    pub(super) fn new(ticket: Ticket, pace: Pace, now: Instant) -> Self {
        let binding = Binding { ticket, cookie: Cookie::NONE };
        Self {
            binding,
            pace,
            asked: now,
            confirmed: now,
            requests: 0,
            unanswered: 0,
            gauge: Gauge::default(),
            proved: false,
            repeats: false,
        }
    }

    /// When to call [`Keeper::poll`] next.
    pub(super) fn due(&self) -> Instant {
        if self.confirmed >= self.asked {
            return self.asked + self.pace.interval;
        }
        let way = self.gauge.stats().map_or(self.pace.interval, |path| 4 * path.round_trip);
        self.asked + way.clamp(self.pace.unanswered, self.pace.interval)
    }

    /// The request that is due, if one is.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Bytes> {
        if now < self.due() {
            return None;
        }
        self.repeats = self.confirmed < self.asked;
        self.unanswered += u64::from(self.repeats);
        self.gauge.count(self.requests, self.unanswered);
        self.requests += 1;
        (self.asked, self.proved) = (now, false);
        Some(self.binding.request())
    }

    /// Takes a datagram that is about the binding; what has to be sent in answer.
    pub(super) fn handle(&mut self, datagram: &[u8], now: Instant) -> Option<Bytes> {
        match self.binding.handle(datagram)? {
            Answer::Bound => {
                // Of a request that was repeated nobody knows which was answered.
                if self.confirmed < self.asked && !self.proved && !self.repeats {
                    self.gauge.note(now.saturating_duration_since(self.asked));
                }
                self.confirmed = now;
                None
            }
            // At most one proof for each request of ours, whatever a relay may send.
            Answer::Challenged if !self.proved => {
                self.proved = true;
                Some(self.binding.request())
            }
            Answer::Challenged => None,
        }
    }

    /// What the answers tell of the way.
    pub(super) fn gauge(&self) -> Gauge {
        self.gauge
    }

    /// Whether the relay has been silent for too long.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        now >= self.confirmed + self.pace.silence_timeout
    }
}

/// Between two requests while not yet bound, and how many there are.
const BIND_INTERVAL: Duration = Duration::from_millis(200);
const BIND_ATTEMPTS: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    const TICKET: Ticket = Ticket([7; 16]);

    fn keeper() -> (Keeper, Instant) {
        let now = Instant::now();
        (Keeper::new(TICKET, PACE, now), now)
    }

    /// The cookie of a request to bind.
    fn cookie(request: Option<Bytes>) -> [u8; 16] {
        match Datagram::parse(&request.unwrap()) {
            Datagram::Bind(TICKET, Cookie(cookie)) => cookie,
            _ => panic!("not a request to bind"),
        }
    }

    #[test]
    fn a_bound_lane_asks_each_second_and_four_times_while_it_has_no_answer() {
        let (mut keeper, start) = keeper();
        let ms = Duration::from_millis;
        let asks = |keeper: &mut Keeper, due: Instant| {
            assert_eq!(keeper.due(), due);
            assert_eq!(keeper.poll(due - ms(1)), None);
            assert_eq!(cookie(keeper.poll(due)), [0; 16]);
        };
        // Nobody knows how long the way is.
        asks(&mut keeper, start + ms(1_000));
        asks(&mut keeper, start + ms(2_000));
        asks(&mut keeper, start + ms(3_000));
        assert_eq!(keeper.handle(&wire::bound(TICKET), start + ms(3_030)), None);
        asks(&mut keeper, start + ms(4_000));
        assert_eq!(keeper.handle(&wire::bound(TICKET), start + ms(4_030)), None);
        for after in [0, 250, 500, 750] {
            asks(&mut keeper, start + ms(5_000 + after));
        }
        // The way is as long as it was.
        assert_eq!(keeper.handle(&wire::bound(TICKET), start + ms(5_990)), None);
        assert_eq!(keeper.gauge().stats().unwrap().round_trip, ms(30));
        asks(&mut keeper, start + ms(6_750));
        assert_eq!(keeper.handle(&wire::bound(TICKET), start + ms(7_350)), None);
        asks(&mut keeper, start + ms(7_750));
        // Four times 101 ms.
        asks(&mut keeper, start + ms(8_155));
    }

    #[test]
    fn answers_tell_how_long_the_way_is_and_how_much_of_it_is_lost() {
        let (mut keeper, start) = keeper();
        for second in 1..=10 {
            let asked = start + second * PACE.interval;
            assert!(keeper.poll(asked).is_some());
            if second % 5 != 0 {
                assert_eq!(keeper.handle(&wire::bound(TICKET), asked + Duration::from_millis(30)), None);
            }
        }
        assert!(keeper.poll(start + 11 * PACE.interval).is_some());
        let path = keeper.gauge().stats().unwrap();
        assert_eq!((path.round_trip, path.jitter), (Duration::from_millis(30), Duration::ZERO));
        assert_eq!((path.asked, path.lost), (10, 2));
    }

    #[test]
    fn a_lane_whose_address_changed_proves_the_new_one_once_a_request() {
        let (mut keeper, start) = keeper();
        assert_eq!(cookie(keeper.poll(start + PACE.interval)), [0; 16]);
        let asked = start + PACE.interval;
        assert_eq!(cookie(keeper.handle(&wire::challenge(TICKET, Cookie([9; 16])), asked)), [9; 16]);
        for _ in 0..3 {
            assert_eq!(keeper.handle(&wire::challenge(TICKET, Cookie([5; 16])), asked), None);
        }
        let asked = asked + PACE.interval;
        assert_eq!(cookie(keeper.poll(asked)), [5; 16]);
        assert_eq!(cookie(keeper.handle(&wire::challenge(TICKET, Cookie([6; 16])), asked)), [6; 16]);
    }

    #[test]
    fn a_lane_that_hears_nothing_of_its_relay_is_lost_even_if_packets_come() {
        let (mut keeper, start) = keeper();
        let heard = start + Duration::from_secs(3);
        assert_eq!(keeper.handle(&wire::bound(TICKET), heard), None);
        // Confirms somebody else's ticket, which is no answer to ours.
        for datagram in [&b"\xb0packet"[..], &wire::bound(Ticket([8; 16])), b"\xff\x00"] {
            assert_eq!(keeper.handle(datagram, heard + Duration::from_secs(10)), None);
        }
        assert!(!keeper.is_lost(heard + PACE.silence_timeout - Duration::from_millis(1)));
        assert!(keeper.is_lost(heard + PACE.silence_timeout));
    }
}
