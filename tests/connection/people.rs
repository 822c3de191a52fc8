//! People in one room, each on a thread of its own, who say something every 20 ms.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use sottovoce::{
    Epoch, Seed, Stamp,
    driver::policy::{Call, CallNext, Connector, State, Why},
    group::{Identity, Name, Role},
    room::{Admission, Event, Invite, InviteOptions, Membership, Room, RoomOptions, UnixTime},
    transport::{RelayName, block_on, tcp_udp::TcpUdpClient},
};

pub const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(20);

pub fn identity(n: u8) -> Identity {
    Identity::from_seed([n; 32], Name::new("somebody").unwrap())
}

pub fn seed() -> Seed {
    Seed::generate().unwrap()
}

pub fn unix() -> UnixTime {
    UnixTime::from(SystemTime::now())
}

pub fn room(relays: impl IntoIterator<Item = RelayName>) -> RoomOptions {
    let mut options = RoomOptions::new(Name::new("room").unwrap(), relays);
    (options.default_role, options.admission) = (Role::Speaker, Admission::Open);
    options
}

/// A connector that knows these relays and no others of the list.
pub fn by(relays: impl Into<Vec<RelayName>>) -> impl Connector<Transport = TcpUdpClient> + 'static {
    let relays = relays.into();
    move |relay: &RelayName| relays.contains(relay).then(|| TcpUdpClient::new(relay.clone()))
}

/// What somebody has seen.
#[derive(Default)]
pub struct Seen {
    pub states: Vec<(Instant, State)>,
    pub events: Vec<Event>,
    pub heard: Vec<Instant>,
    pub people: usize,
    pub epoch: Option<Epoch>,
    pub membership: Option<Membership>,
    pub relay: Option<RelayName>,
}

impl Seen {
    pub fn note(&mut self, room: &Room, relay: Option<&RelayName>, next: CallNext) {
        match next {
            CallNext::State(state) => self.states.push((Instant::now(), state)),
            CallNext::Event(event) => self.events.push(event),
            CallNext::Packet(_) => self.heard.push(Instant::now()),
            CallNext::Idle => return,
        }
        (self.people, self.epoch) = (room.roster().len(), room.epoch());
        self.relay = relay.cloned();
        if let Some(membership) = room.membership() {
            self.membership = Some(membership);
        }
    }

    pub fn state(&self) -> Option<&State> {
        self.states.last().map(|(_, state)| state)
    }

    pub fn whys(&self) -> Vec<Why> {
        let why = |(_, state): &(Instant, State)| match state {
            State::Reconnecting { why, .. } => Some(*why),
            _ => None,
        };
        self.states.iter().filter_map(why).collect()
    }
}

pub struct Person {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    invites: Sender<Sender<Invite>>,
    thread: Option<JoinHandle<()>>,
}

impl Person {
    pub fn of<C: Connector + 'static>(call: Call<C>) -> Self {
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (invites, asked) = channel();
        let (ours, ended) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || talk(call, &ours, &ended, &asked));
        Self { seen, stop, invites, thread: Some(thread) }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub fn invite(&self) -> Invite {
        let (answer, invite) = channel();
        self.invites.send(answer).unwrap();
        invite.recv().unwrap()
    }

    /// Waits until something is so, and says how long that took.
    pub fn until(&self, what: &str, most: Duration, is_so: impl Fn(&Seen) -> bool) -> Duration {
        let start = Instant::now();
        while !is_so(&self.seen()) {
            if start.elapsed() >= most {
                let Seen { states, events, heard, .. } = std::mem::take(&mut *self.seen());
                let ago = heard.last().map(Instant::elapsed);
                panic!("{what}: not in {most:?}, heard {ago:?} ago; {states:?}; {events:?}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        start.elapsed()
    }

    /// How long after `since` the first packet was heard.
    pub fn hears(&self, since: Instant, most: Duration) -> Duration {
        self.until("nothing heard", most, |seen| seen.heard.last().is_some_and(|at| *at > since));
        let seen = self.seen();
        *seen.heard.iter().find(|at| **at > since).unwrap() - since
    }

    /// Ends without a word, as a process that is killed.
    pub fn kill(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.seen())
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn talk<C: Connector>(
    mut call: Call<C>,
    seen: &Mutex<Seen>,
    stop: &AtomicBool,
    invites: &Receiver<Sender<Invite>>,
) {
    let mut tick = call.now();
    while !stop.load(Ordering::Relaxed) {
        let next = block_on(call.next(tick));
        if next == CallNext::Idle {
            // Why we are silent is not what is tried here.
            let _ = call.speak(&[0xfc, 0xff, 0xfe], Stamp::default());
            tick = call.now() + TICK;
        }
        seen.lock().unwrap().note(call.room(), call.relay(), next);
        if call.state() == &State::In
            && let Ok(answer) = invites.try_recv()
        {
            let now = call.now();
            answer.send(call.room_mut().invite(InviteOptions::default(), now).unwrap()).unwrap();
        }
    }
}

/// Two who hear each other.
pub fn two<A: Connector + 'static, B: Connector + 'static>(
    relays: &[RelayName],
    ada: A,
    ben: B,
) -> [Person; 2] {
    let ada = Person::of(Call::create_with(ada, identity(1), room(relays.to_vec()), seed(), unix()).unwrap());
    let ben = Person::of(Call::join_with(ben, identity(2), ada.invite(), seed(), unix()).unwrap());
    let start = Instant::now();
    for person in [&ada, &ben] {
        person.hears(start, 10 * SECOND);
        assert_eq!(person.seen().state(), Some(&State::In));
    }
    [ada, ben]
}
