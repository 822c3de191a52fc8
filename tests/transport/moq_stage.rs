//! A stage room over a cluster of MoQ relays, of which one is killed (`spec/stage.md`, H17).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sottovoce::{
    MemberId, Stamp,
    driver::{
        Next, Session,
        hall::{Listening, ListeningNext},
    },
    group::{Identity, Name, Role},
    room::{Event, InviteOptions, RoomOptions},
    transport::{RelayName, block_on, moq::MoqClient},
};
use sottovoce_testkit::moq::{Kind, Moq, Setup};

const TICK: Duration = Duration::from_millis(40);
/// 20 ms of silence.
const OPUS: [u8; 3] = [0xf8, 0xff, 0xfe];
const LISTENERS: usize = 12;

fn identity(name: &str) -> Identity {
    Identity::generate(Name::new(name).unwrap()).unwrap()
}

fn connector() -> impl FnMut(&RelayName) -> Option<MoqClient> + Send + 'static {
    |name: &RelayName| MoqClient::new(name.clone()).ok()
}

/// A listener on a thread of its own.
struct Ear {
    id: MemberId,
    /// When it opened a packet, and whose that was.
    heard: Arc<Mutex<Vec<(Instant, MemberId)>>>,
    at: Arc<Mutex<Option<RelayName>>>,
    thread: JoinHandle<()>,
}

impl Ear {
    fn new(number: usize, link: &str, relay: RelayName, stop: &Arc<AtomicBool>) -> Self {
        let (heard, at) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Option<_>>>::default());
        let who = identity(&format!("Listener {number}"));
        let (id, link, stop) = (who.id(), link.to_owned(), Arc::clone(stop));
        let (notes, place) = (Arc::clone(&heard), Arc::clone(&at));
        let thread = thread::spawn(move || {
            let mut audience = Listening::join(connector(), &who, link.parse().unwrap()).unwrap();
            audience.go_to(&relay);
            while !stop.load(Ordering::Relaxed) {
                let until = audience.now() + TICK;
                if let ListeningNext::Packet(packet) = block_on(audience.next(until)) {
                    notes.lock().unwrap().push((Instant::now(), packet.member));
                }
                *place.lock().unwrap() = audience.relay().cloned();
            }
            block_on(audience.leave());
        });
        Self { id, heard, at, thread }
    }

    fn heard_since(&self, since: Instant) -> Vec<(Instant, MemberId)> {
        self.heard.lock().unwrap().iter().filter(|(at, _)| *at > since).copied().collect()
    }

    fn hears(&self, whom: MemberId, since: Instant) -> bool {
        self.heard_since(since).iter().any(|(_, who)| *who == whom)
    }

    fn relay(&self) -> RelayName {
        self.at.lock().unwrap().clone().unwrap()
    }
}

/// The host speaks, and goes on until `done`, for at most so many seconds.
fn run(host: &mut Session<MoqClient>, seconds: u64, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let _ = host.speak(&OPUS, Stamp::default());
        let until = host.now() + TICK;
        loop {
            match block_on(host.next(until)).unwrap() {
                Next::Event(Event::Knocked { knock, .. }) => {
                    let now = host.now();
                    host.room_mut().admit_as(knock, Role::Speaker, now).unwrap();
                }
                Next::Idle => break,
                _ => {}
            }
        }
        if done() {
            return true;
        }
    }
    false
}

#[test]
fn an_audience_at_three_nodes_hears_on_when_one_of_them_is_killed() {
    let Some(a) = Moq::start(Kind::Lite) else { return };
    let peers = [(&a, 1)];
    let follows = |metrics| Setup { peers: &peers, metrics, ..Setup::default() };
    let b = Moq::start_with(Kind::Lite, &follows(false)).unwrap();
    let c = Moq::start_with(Kind::Lite, &follows(true)).unwrap();
    let relays = [a.name(), b.name(), c.name()];
    let stop = Arc::new(AtomicBool::new(false));

    let options = RoomOptions::new(Name::new("Evening hall").unwrap(), relays.clone());
    let client = || MoqClient::new(relays[0].clone()).unwrap();
    let host = block_on(Session::create(client(), identity("Ada"), options)).unwrap();
    let mut host = host.with_hall(connector()).unwrap();
    let ada = host.room().id();
    let stage = host.invite(InviteOptions::default()).unwrap();
    let mut audience = InviteOptions::default();
    audience.role = Some(Role::Listener);
    let link = host.invite(audience).unwrap().to_string();
    // A second one on the stage, which speaks as well.
    let (second, stopped) = (identity("Ben"), Arc::clone(&stop));
    let (ben, guest) = (second.id(), client());
    let speaks = thread::spawn(move || {
        let session = block_on(Session::join(guest, second, stage)).unwrap();
        let mut session = session.with_hall(connector()).unwrap();
        while !stopped.load(Ordering::Relaxed) {
            let until = session.now() + TICK;
            while block_on(session.next(until)).unwrap() != Next::Idle {}
            let _ = session.speak(&OPUS, Stamp::default());
        }
        let _ = block_on(session.close());
    });
    let began = Instant::now();
    let ears: Vec<Ear> =
        (0..LISTENERS).map(|number| Ear::new(number, &link, relays[number % 3].clone(), &stop)).collect();
    let all = || ears.iter().all(|ear| ear.hears(ada, began) && ear.hears(ben, began));
    let counts = || ears.iter().map(|ear| ear.heard_since(began).len()).collect::<Vec<_>>();
    assert!(run(&mut host, 40, all), "{:?} {:?}", counts(), host.hall_dropped());
    println!("all hear after {:?}", began.elapsed());
    run(&mut host, 3, || false);

    // Everybody to everybody would be thirteen times two tracks for each lane of each of the four.
    let count = |what| c.counted(&format!("moq_relay_subscriptions_{what}_total"), "publisher").unwrap();
    let subscriptions = count("opened") - count("closed");
    println!("{subscriptions} subscriptions at a node with {} listeners", LISTENERS / 3);
    assert!(subscriptions <= 6 * LISTENERS as u64 / 3 + 8, "{subscriptions}");

    let killed = Instant::now();
    let gone = b.name();
    drop(b);
    run(&mut host, 6, || false);
    let mut back = Vec::new();
    for (number, ear) in ears.iter().enumerate() {
        let since: Vec<Instant> =
            ear.heard_since(killed - Duration::from_secs(1)).iter().map(|(at, _)| *at).collect();
        let gap = since.windows(2).map(|pair| (pair[1] - pair[0], pair[1])).max().unwrap();
        assert_ne!(ear.relay(), gone, "listener {number}");
        if number % 3 == 1 {
            assert!(gap.1 > killed, "listener {number} missed nothing of a node that was killed");
            back.push(gap.1 - killed);
        } else {
            assert_eq!(ear.relay(), relays[number % 3]);
            assert!(gap.0 < Duration::from_secs(1), "listener {number} missed {:?}", gap.0);
        }
    }
    println!("back after {back:?}");
    assert!(back.iter().all(|back| *back < Duration::from_secs(2)), "{back:?}");

    // Their other lanes have come along: the turn after a ban reaches them, and not the banned.
    let banned = ears[1].id;
    host.room_mut().ban(banned, Instant::now()).unwrap();
    let ban = Instant::now();
    run(&mut host, 3, || false);
    for (number, ear) in ears.iter().enumerate() {
        let hears = ear.hears(ada, ban + Duration::from_millis(1_500));
        assert_eq!(hears, ear.id != banned, "listener {number} at {}", ear.relay());
    }
    stop.store(true, Ordering::Relaxed);
    for ear in ears {
        ear.thread.join().unwrap();
    }
    speaks.join().unwrap();
}
