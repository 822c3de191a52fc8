//! Connections that have yet to say which room they want: bounded, and shared fairly by where they
//! come from.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// All of them, whichever way they came.
pub(super) struct Pending {
    limit: usize,
    /// How long one is left in peace though its own source has more connections than places.
    peace: Duration,
    /// Oldest first.
    waiting: BTreeMap<Number, Waiting>,
    next: u64,
}

/// Names one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Number(u64);

/// Ends a connection from whatever thread.
pub(super) type HangUp = Box<dyn FnOnce(Number) + Send>;

struct Waiting {
    source: Source,
    since: Instant,
    hang_up: HangUp,
}

/// Where connections come from: an IPv4 address, or the first half of an IPv6 address, which is
/// what one site has.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Source(IpAddr);

/// What came of a new connection.
pub(super) enum Entry {
    /// It is in.
    Free(Number),
    /// It is in, and another one was hung up on for it.
    Instead(Number),
    /// There is no place for it.
    Full,
}

impl Pending {
    /// Places for `limit` connections, each of which has `patience` to say its hello.
    pub(super) fn new(limit: usize, patience: Duration) -> Self {
        Self { limit, peace: patience / 3, waiting: BTreeMap::new(), next: 0 }
    }

    /// Takes in a connection. If there is no place, the oldest one of the source that has most is
    /// hung up on.
    ///
    /// If that is the newcomer's own source, only one that has waited for a third of its time gives
    /// way.
    pub(super) fn enter(&mut self, address: IpAddr, now: Instant, hang_up: HangUp) -> Entry {
        let source = Source::of(address);
        let mut evicted = false;
        if self.waiting.len() >= self.limit {
            let Some(number) = self.least_deserving(source, now) else { return Entry::Full };
            if let Some(waiting) = self.waiting.remove(&number) {
                (waiting.hang_up)(number);
            }
            evicted = true;
        }
        let number = Number(self.next);
        self.next += 1;
        self.waiting.insert(number, Waiting { source, since: now, hang_up });
        if evicted { Entry::Instead(number) } else { Entry::Free(number) }
    }

    /// Takes out a connection that has said its hello, or has ended. False if it was hung up on for
    /// another one.
    pub(super) fn leave(&mut self, number: Number) -> bool {
        self.waiting.remove(&number).is_some()
    }

    fn least_deserving(&self, newcomer: Source, now: Instant) -> Option<Number> {
        let mut sources: HashMap<Source, usize> = HashMap::new();
        for waiting in self.waiting.values() {
            *sources.entry(waiting.source).or_default() += 1;
        }
        let own = sources.get(&newcomer).copied().unwrap_or(0);
        let most = sources.values().copied().max()?;
        let mut oldest = self.waiting.iter();
        let found = if most > own {
            oldest.find(|(_, waiting)| sources.get(&waiting.source) == Some(&most))
        } else {
            let tired = |waiting: &Waiting| now.saturating_duration_since(waiting.since) >= self.peace;
            oldest.find(|(_, waiting)| waiting.source == newcomer && tired(waiting))
        };
        found.map(|(number, _)| *number)
    }
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into()),
            address => Self(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Door {
        pending: Pending,
        hung_up: Arc<Mutex<Vec<Number>>>,
    }

    impl Door {
        fn new(limit: usize) -> Self {
            Self { pending: Pending::new(limit, Duration::from_secs(3)), hung_up: Arc::default() }
        }

        fn enter(&mut self, source: &str, now: Instant) -> Option<Number> {
            let hung_up = Arc::clone(&self.hung_up);
            let hang_up = Box::new(move |number| hung_up.lock().unwrap().push(number));
            match self.pending.enter(source.parse().unwrap(), now, hang_up) {
                Entry::Free(number) | Entry::Instead(number) => Some(number),
                Entry::Full => None,
            }
        }
    }

    #[test]
    fn a_source_that_takes_all_places_loses_its_oldest_to_others() {
        let (mut door, now) = (Door::new(4), Instant::now());
        let flood: Vec<_> = (0..4).map(|_| door.enter("192.0.2.1", now).unwrap()).collect();
        assert!(door.enter("192.0.2.1", now).is_none(), "its own have only just come");
        let other = door.enter("198.51.100.1", now).unwrap();
        assert_eq!(*door.hung_up.lock().unwrap(), [flood[0]]);
        assert!(!door.pending.leave(flood[0]) && door.pending.leave(other));
        // There is a place again, and then not even one of the same source is turned away for good.
        assert!(door.enter("192.0.2.1", now).is_some());
        assert!(door.enter("192.0.2.1", now + Duration::from_secs(1)).is_some());
        assert_eq!(*door.hung_up.lock().unwrap(), [flood[0], flood[1]]);
    }

    #[test]
    fn connections_that_say_nothing_keep_nobody_out() {
        // From the flood's own address up to 25 a second, from any other at any rate.
        for (honest, each_second) in [("192.0.2.1", 25), ("198.51.100.1", 5_000)] {
            let pending = Pending::new(64, Duration::from_secs(5));
            let (mut door, start) = (Door { pending, hung_up: Arc::default() }, Instant::now());
            for number in 0..each_second * 20 {
                let now = start + Duration::from_secs(1) * number / each_second;
                door.enter("192.0.2.1", now);
                let joining = door.enter(honest, now).expect("a place");
                assert!(door.pending.leave(joining), "{honest}");
            }
        }
    }

    #[test]
    fn the_addresses_of_one_site_are_one_source() {
        let (mut door, now) = (Door::new(2), Instant::now());
        assert!(door.enter("2001:db8::1", now).is_some() && door.enter("2001:db8::2", now).is_some());
        assert!(door.enter("2001:db8::3", now).is_none());
        assert!(door.enter("2001:db8:0:1::1", now).is_some());
        let mut door = Door::new(1);
        assert!(door.enter("::ffff:192.0.2.1", now).is_some());
        assert!(door.enter("192.0.2.1", now).is_none());
        assert!(door.enter("::ffff:192.0.2.2", now).is_some());
    }

    #[test]
    fn without_places_nobody_comes_in() {
        assert!(Door::new(0).enter("192.0.2.1", Instant::now()).is_none());
    }
}
