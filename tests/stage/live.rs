//! A hall on real time and real transports: the driver's part (`spec/stage.md`, H17).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sottovoce::{
    MemberId, Stamp,
    driver::{
        Next, Session,
        hall::{Listening, ListeningNext, Silence},
    },
    group::{Identity, Name, Role},
    relay::{Limits, Relay, RelayOptions, token::Issuer},
    room::{Event, Invite, InviteOptions, RefuseReason, RoomOptions},
    stage::{Over, StageEvent},
    transport::{
        Inbound, Part, RelayName, RoomHandle, Transport, TransportError, block_on, loopback::Hub,
        tcp_udp::TcpUdpClient,
    },
};

const TICK: Duration = Duration::from_millis(20);
/// 20 ms of silence.
const OPUS: [u8; 3] = [0xf8, 0xff, 0xfe];

/// What a listener has to show.
#[derive(Default)]
struct Seen {
    id: Option<MemberId>,
    /// When it last opened a packet, and whose that was.
    heard: Vec<(Instant, MemberId)>,
    unattended: bool,
    over: Option<Over>,
    silence: Option<Silence>,
    audience: u32,
    people: usize,
}

enum Order {
    Hand,
    Page,
    Leave,
}

struct Ear {
    orders: Sender<Order>,
    seen: Arc<Mutex<Seen>>,
    thread: JoinHandle<()>,
}

impl Ear {
    fn id(&self) -> MemberId {
        self.seen.lock().unwrap().id.unwrap()
    }

    fn hears(&self, whom: MemberId, since: Instant) -> bool {
        self.seen.lock().unwrap().heard.iter().any(|(at, who)| *at > since && *who == whom)
    }
}

/// What makes transports for one relay.
trait Net: Clone + Send + 'static {
    type Client: Transport + 'static;
    fn client(&self) -> Self::Client;
    fn relay(&self) -> RelayName;
}

#[derive(Clone)]
struct InProcess(Hub);

impl Net for InProcess {
    type Client = sottovoce::transport::loopback::LoopbackClient;
    fn client(&self) -> Self::Client {
        self.0.client()
    }
    fn relay(&self) -> RelayName {
        "loopback".parse().unwrap()
    }
}

#[derive(Clone)]
struct Sockets(RelayName);

impl Net for Sockets {
    type Client = TcpUdpClient;
    fn client(&self) -> TcpUdpClient {
        TcpUdpClient::new(self.0.clone())
    }
    fn relay(&self) -> RelayName {
        self.0.clone()
    }
}

fn connector<N: Net>(net: &N) -> impl FnMut(&RelayName) -> Option<N::Client> + Send + 'static {
    let net = net.clone();
    move |_: &RelayName| Some(net.client())
}

fn identity(name: &str) -> Identity {
    Identity::generate(Name::new(name).unwrap()).unwrap()
}

/// A listener on a thread of its own; once it is let up it speaks.
fn listen<N: Net>(net: &N, name: &str, link: &str, stop: &Arc<AtomicBool>) -> Ear {
    let (orders, inbox) = channel();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let who = identity(name);
    seen.lock().unwrap().id = Some(who.id());
    let (net, link, theirs, stop) = (net.clone(), link.to_owned(), Arc::clone(&seen), Arc::clone(stop));
    let thread = thread::spawn(move || {
        let audience = Listening::join(connector(&net), &who, link.parse().unwrap()).unwrap();
        if let Some(invite) = hear(audience, &inbox, &theirs, &stop) {
            speak(&net, who, invite, &stop);
        }
    });
    Ear { orders, seen, thread }
}

fn hear<C: sottovoce::driver::policy::Connector + 'static>(
    mut audience: Listening<C>,
    inbox: &Receiver<Order>,
    seen: &Mutex<Seen>,
    stop: &AtomicBool,
) -> Option<Invite> {
    use sottovoce::stage::ListenerEvent;
    while !stop.load(Ordering::Relaxed) {
        match inbox.try_recv() {
            Ok(Order::Hand) => audience.set_hand(true).unwrap(),
            Ok(Order::Page) => audience.ask_page(0).unwrap(),
            Ok(Order::Leave) => {
                block_on(audience.leave());
                return None;
            }
            Err(_) => {}
        }
        let next = block_on(audience.next(audience.now() + TICK));
        let mut seen = seen.lock().unwrap();
        seen.silence = audience.silence();
        seen.audience = audience.audience();
        match next {
            ListeningNext::Packet(packet) => seen.heard.push((audience.now(), packet.member)),
            ListeningNext::Event(ListenerEvent::Up(invite)) => {
                drop(seen);
                block_on(audience.leave());
                return Some(*invite);
            }
            ListeningNext::Event(ListenerEvent::Over(over)) => seen.over = Some(over),
            ListeningNext::Event(ListenerEvent::Unattended) => seen.unattended = true,
            ListeningNext::Event(ListenerEvent::Page { people, .. }) => seen.people = people.len(),
            _ => {}
        }
    }
    None
}

/// Comes up, and speaks until everything ends.
fn speak<N: Net>(net: &N, who: Identity, invite: Invite, stop: &AtomicBool) {
    let session = block_on(Session::join(net.client(), who, invite)).unwrap();
    let mut session = session.with_hall(connector(net)).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let until = session.now() + TICK;
        while block_on(session.next(until)).unwrap() != Next::Idle {}
        let _ = session.speak(&OPUS, Stamp::default());
    }
}

/// The host speaks, and goes on until `done`, for at most so many seconds.
fn run<T: Transport>(
    host: &mut Session<T>,
    events: &mut Vec<StageEvent>,
    seconds: u64,
    mut done: impl FnMut(&mut Session<T>, &[StageEvent]) -> bool,
) -> bool {
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let _ = host.speak(&OPUS, Stamp::default());
        let until = host.now() + TICK;
        loop {
            match block_on(host.next(until)).unwrap() {
                Next::Event(Event::Hall(event)) => events.push(event),
                Next::Idle => break,
                _ => {}
            }
        }
        if done(host, events) {
            return true;
        }
    }
    false
}

/// Four come and hear, one raises its hand and speaks, one is banned, one goes.
fn story<N: Net>(net: &N, patient: bool) {
    let stop = Arc::new(AtomicBool::new(false));
    let options = RoomOptions::new(Name::new("Evening hall").unwrap(), [net.relay()]);
    let host = block_on(Session::create(net.client(), identity("Ada"), options)).unwrap();
    let mut host = host.with_hall(connector(net)).unwrap();
    let (ada, mut events) = (host.room().id(), Vec::new());
    let mut audience = InviteOptions::default();
    audience.role = Some(Role::Listener);
    let link = host.invite(audience).unwrap().to_string();
    let began = Instant::now();
    let names = ["Bob", "Cleo", "Dora", "Emil"];
    let ears = names.map(|name| listen(net, name, &link, &stop));
    let [up, banned, leaver, stays] = &ears;
    let all = |_: &mut Session<_>, _: &[StageEvent]| ears.iter().all(|ear| ear.hears(ada, began));
    let heard = run(&mut host, &mut events, 10, all);
    let silences: Vec<_> = ears.iter().map(|ear| ear.seen.lock().unwrap().silence).collect();
    assert!(heard, "{silences:?} {events:?} {:?}", host.hall_dropped());
    assert_eq!(host.stage().unwrap().audience(), 4);

    stays.orders.send(Order::Page).unwrap();
    up.orders.send(Order::Hand).unwrap();
    let id = up.id();
    let asked = |_: &mut Session<_>, events: &[StageEvent]| {
        events.contains(&StageEvent::Hand { member: id, up: true })
    };
    assert!(run(&mut host, &mut events, 5, asked), "no hand: {events:?}");
    assert_eq!(host.stage().unwrap().hands(), [id]);
    host.let_up(id).unwrap();
    let spoke = Instant::now();
    assert!(run(&mut host, &mut events, 10, |_, _| stays.hears(id, spoke)), "who came up is not heard");
    assert!(host.room().roster().len() == 2 && stays.hears(ada, spoke));

    host.room_mut().ban(banned.id(), Instant::now()).unwrap();
    let ban = Instant::now();
    let later = |_: &mut Session<_>, _: &[StageEvent]| ban.elapsed() > Duration::from_secs(2);
    assert!(run(&mut host, &mut events, 5, later));
    let seen = banned.seen.lock().unwrap();
    assert_eq!(seen.over, Some(Over::PutOut(RefuseReason::Banned)));
    assert_eq!(seen.silence, Some(Silence::Over(Over::PutOut(RefuseReason::Banned))));
    let last = seen.heard.last().unwrap().0;
    assert!(last < ban + Duration::from_secs(1), "heard on for {:?}", last - ban);
    drop(seen);
    assert!(stays.hears(ada, ban + Duration::from_millis(1_500)), "who stays hears on");

    leaver.orders.send(Order::Leave).unwrap();
    let gone = |host: &mut Session<_>, _: &[StageEvent]| host.stage().unwrap().audience() == 1;
    assert!(run(&mut host, &mut events, 5, gone), "{:?}", host.stage());
    let page = host.stage_mut().unwrap().page(0).unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(host.hall_dropped().1, 0, "a message to the audience was lost");

    // The stage is gone, and nobody says so: whoever listens is told by itself.
    if !patient {
        // Closed, and said so.
        host.room_mut().close().unwrap();
        let told = |_: &mut Session<_>, _: &[StageEvent]| stays.seen.lock().unwrap().over.is_some();
        assert!(run(&mut host, &mut events, 5, told));
        let seen = stays.seen.lock().unwrap();
        assert_eq!(seen.over, Some(Over::PutOut(RefuseReason::Declined)));
    } else {
        drop(host);
        let end = Instant::now() + Duration::from_secs(25);
        while Instant::now() < end && !stays.seen.lock().unwrap().unattended {
            thread::sleep(TICK);
        }
        assert!(stays.seen.lock().unwrap().unattended);
        thread::sleep(Duration::from_millis(100));
    }
    stop.store(true, Ordering::Relaxed);
    let [up, banned, leaver, stays] = ears;
    for ear in [up, banned, leaver, stays] {
        ear.thread.join().unwrap();
    }
}

#[test]
fn a_hall_through_a_relay_in_the_process() {
    story(&InProcess(Hub::new("loopback".parse().unwrap())), true);
}

#[test]
fn a_hall_through_the_reference_relay_on_sockets() {
    let options = RelayOptions { limits: Limits { rooms: 256, ..Limits::default() }, ..Default::default() };
    let relay = Relay::start(([127, 0, 0, 1], 0).into(), options).unwrap();
    story(&Sockets(relay.name()), false);
}

#[test]
fn who_has_a_token_to_hear_the_hall_cannot_send_to_it() {
    let issuer = Issuer::from_seed([7; 32]);
    let relay = Relay::start(
        ([127, 0, 0, 1], 0).into(),
        RelayOptions { issuer: Some(issuer.key()), ..Default::default() },
    )
    .unwrap();
    let hall = RoomHandle::from_bytes([5; 16]);
    let member = |part, serial| {
        let token = issuer.mint_for(hall, part, [serial; 16], u64::MAX);
        let mut client = TcpUdpClient::new(relay.name()).with_token(token);
        // What it says of itself does not count.
        client.set_part(Part::Both);
        block_on(client.connect(hall)).unwrap();
        client
    };
    let (mut stage, mut listener) = (member(Part::Both, 1), member(Part::Hears, 2));
    let mut other = member(Part::Hears, 3);
    for _ in 0..5 {
        listener.send_media(b"noise").unwrap();
        block_on(listener.send_control("noise".into())).unwrap();
    }
    thread::sleep(Duration::from_millis(200));
    stage.send_media(b"sealed").unwrap();
    for hears in [&mut listener, &mut other] {
        let until = hears.now() + Duration::from_secs(5);
        assert_eq!(block_on(hears.receive(until)), Ok(Inbound::Media("sealed".into())));
    }
    assert_eq!(block_on(stage.receive(stage.now() + Duration::from_millis(100))), Ok(Inbound::Idle));
    assert_eq!(relay.counts().no_part, 5);
    let mut stranger = TcpUdpClient::new(relay.name());
    assert_eq!(block_on(stranger.connect(hall)), Err(TransportError::Refused));
}
