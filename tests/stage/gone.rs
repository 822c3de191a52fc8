//! A listener whose relay gives no sign of life (`spec/stage.md`, H17, rule 5): on relays in the
//! process, of which one falls silent.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use sottovoce::{
    Stamp,
    driver::{
        Next, Session,
        hall::{Listening, ListeningNext},
    },
    group::{Identity, Name, Role},
    room::{InviteOptions, RoomOptions},
    transport::{
        Inbound, Part, RelayName, RoomHandle, Transport, TransportError, block_on,
        loopback::{Hub, LoopbackClient},
    },
};

const TICK: Duration = Duration::from_millis(40);
const OPUS: [u8; 3] = [0xf8, 0xff, 0xfe];

/// A way to a relay, which can be down.
#[derive(Clone)]
struct Way {
    name: RelayName,
    hub: Hub,
    down: Arc<AtomicBool>,
    /// How often somebody has connected.
    connected: Arc<AtomicUsize>,
    /// Sends garbage to whoever is here.
    lies: bool,
}

impl Way {
    fn to(name: &str, hub: &Hub) -> Self {
        let name = name.parse().unwrap();
        Self { name, hub: hub.clone(), down: Arc::default(), connected: Arc::default(), lies: false }
    }

    fn client(&self) -> Client {
        Client { way: self.clone(), inner: self.hub.client(), heard: Mutex::default() }
    }
}

struct Client {
    way: Way,
    inner: LoopbackClient,
    /// The last sign of life before the way went down.
    heard: Mutex<Option<Instant>>,
}

impl Transport for Client {
    fn relays(&self) -> Vec<&RelayName> {
        vec![&self.way.name]
    }

    fn set_part(&mut self, part: Part) {
        Transport::set_part(&mut self.inner, part);
    }

    async fn connect(&mut self, handle: RoomHandle) -> Result<(), TransportError> {
        self.way.connected.fetch_add(1, Ordering::Relaxed);
        if self.way.down.load(Ordering::Relaxed) {
            return Err(TransportError::Unreachable);
        }
        Transport::connect(&mut self.inner, handle).await
    }

    async fn send_control(&mut self, message: Bytes) -> Result<(), TransportError> {
        if self.way.down.load(Ordering::Relaxed) {
            return Ok(());
        }
        Transport::send_control(&mut self.inner, message).await
    }

    fn send_media(&mut self, packet: &[u8]) -> Result<(), TransportError> {
        Transport::send_media(&mut self.inner, packet)
    }

    async fn receive(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        loop {
            let soon = until.min(Instant::now() + TICK);
            let came = Transport::receive(&mut self.inner, soon).await?;
            // On a way that is down everything is lost.
            if !self.way.down.load(Ordering::Relaxed) && came != Inbound::Idle {
                return Ok(came);
            }
            if Instant::now() >= until {
                return Ok(Inbound::Idle);
            }
            if self.way.lies {
                return Ok(Inbound::Media(Bytes::from_static(&[0xb9; 200])));
            }
        }
    }

    async fn close(&mut self) {
        Transport::close(&mut self.inner).await;
    }

    fn heard(&self) -> Option<Instant> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.way.down.load(Ordering::Relaxed) {
            *heard = Transport::heard(&self.inner);
        }
        *heard
    }
}

/// What a listener heard, and where it was then.
type Heard = Arc<Mutex<Vec<(Instant, RelayName)>>>;

/// A stage on `hub`, and a listener whose invite lists these relays, for so long. `act` is called
/// with each tick, with the time since the listener heard for the first time.
fn listen(
    hub: &Hub,
    ways: &[Way],
    lasts: Duration,
    mut act: impl FnMut(Duration),
) -> Vec<(Instant, RelayName)> {
    let names = ways.iter().map(|way| way.name.clone());
    let options = RoomOptions::new(Name::new("Evening hall").unwrap(), names);
    let identity = |name: &str| Identity::generate(Name::new(name).unwrap()).unwrap();
    // The stage has a way of its own, which is never down.
    let stage = Way::to(ways[0].name.as_str(), hub);
    let host = block_on(Session::create(stage.client(), identity("Ada"), options)).unwrap();
    let mut host = host.with_hall(move |_: &RelayName| Some(stage.client())).unwrap();
    let mut audience = InviteOptions::default();
    audience.role = Some(Role::Listener);
    let link = host.invite(audience).unwrap().to_string();
    let (stop, heard) = (Arc::new(AtomicBool::new(false)), Heard::default());
    let (stopped, notes, ours) = (Arc::clone(&stop), Arc::clone(&heard), ways.to_vec());
    let listener = thread::spawn(move || {
        let connector = move |name: &RelayName| ours.iter().find(|way| way.name == *name).map(Way::client);
        let who = Identity::generate(Name::new("Bob").unwrap()).unwrap();
        let mut audience = Listening::join(connector, &who, link.parse().unwrap()).unwrap();
        while !stopped.load(Ordering::Relaxed) {
            if let ListeningNext::Packet(_) = block_on(audience.next(audience.now() + TICK)) {
                notes.lock().unwrap().push((Instant::now(), audience.relay().unwrap().clone()));
            }
        }
    });
    let began = Instant::now();
    let mut first = None;
    while first.is_none_or(|first: Instant| first.elapsed() < lasts) {
        assert!(began.elapsed() < lasts + Duration::from_secs(15), "it hears nothing");
        let _ = host.speak(&OPUS, Stamp::default());
        let until = host.now() + TICK;
        while block_on(host.next(until)).unwrap() != Next::Idle {}
        if first.is_none() && !heard.lock().unwrap().is_empty() {
            first = Some(Instant::now());
        }
        act(first.map(|first| first.elapsed()).unwrap_or_default());
    }
    stop.store(true, Ordering::Relaxed);
    listener.join().unwrap();
    std::mem::take(&mut *heard.lock().unwrap())
}

/// The longest time without a packet, and where it was heard again.
fn gap(heard: &[(Instant, RelayName)]) -> (Duration, RelayName) {
    heard.windows(2).map(|pair| (pair[1].0 - pair[0].0, pair[1].1.clone())).max().unwrap()
}

#[test]
fn it_goes_to_the_next_relay_that_carries_the_hall_and_not_to_one_that_says_something() {
    let (hub, elsewhere) = (Hub::new("hub".parse().unwrap()), Hub::new("elsewhere".parse().unwrap()));
    let liar = Way { lies: true, ..Way::to("two", &elsewhere) };
    let ways = [Way::to("one", &hub), liar, Way::to("three", &hub)];
    let heard = listen(&hub, &ways, Duration::from_secs(12), |since| {
        ways[0].down.store(since > Duration::from_secs(2), Ordering::Relaxed);
    });
    let (gap, relay) = gap(&heard);
    println!("back after {gap:?} at {relay}");
    assert_eq!(relay, ways[2].name);
    // 0.8 s until it counts as gone, two for the liar.
    assert!((Duration::from_millis(2_700)..Duration::from_secs(4)).contains(&gap), "{gap:?}");
    assert!(heard.iter().all(|(_, relay)| *relay != ways[1].name));
    assert!(ways[1].connected.load(Ordering::Relaxed) > 0, "it was not tried");
    // Of a relay that is there nobody goes away.
    assert!(heard.iter().rev().take(100).all(|(_, relay)| *relay == ways[2].name));
}

#[test]
fn it_stays_when_its_relay_is_back_first() {
    let (hub, elsewhere) = (Hub::new("hub".parse().unwrap()), Hub::new("elsewhere".parse().unwrap()));
    let ways = [Way::to("one", &hub), Way::to("two", &elsewhere)];
    let down = Duration::from_secs(2)..Duration::from_millis(3_500);
    let heard = listen(&hub, &ways, Duration::from_secs(6), |since| {
        ways[0].down.store(down.contains(&since), Ordering::Relaxed);
    });
    let (gap, relay) = gap(&heard);
    println!("back after {gap:?} at {relay}");
    assert_eq!(relay, ways[0].name);
    assert!(gap < Duration::from_secs(2), "{gap:?}");
    assert!(ways[1].connected.load(Ordering::Relaxed) > 0, "it was not tried");
}
