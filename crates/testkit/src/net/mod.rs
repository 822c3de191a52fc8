//! Rooms on virtual time, joined by a relay with seeded faults.
//!
//! ```text
//! Room, Sealer ── control: reliable, in order per sender ──┐
//! Room, Sealer ── media: delayed, lost, doubled, reordered ─┴─ everybody else's Room, Opener
//! ```
//!
//! Nothing here sleeps or reads a clock. A run is a function of its seed, which is printed when a
//! test fails; `NET_SEED=n cargo test name` runs the same again.

mod packets;
mod people;
mod relay;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sottovoce::{
    MemberId, OpenError, Opener, Rekey, Sealer,
    group::Name,
    media::SilenceReason,
    room::{ControlError, Event, Room, Status, UnixTime},
};

pub use self::{
    people::{options, room_of},
    relay::{Fate, Lane, Watcher},
};

/// Names a member of the network, whatever becomes of its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(pub usize);

/// One device.
pub struct Device {
    pub room: Room,
    pub sealer: Sealer,
    pub opener: Opener,
    pub events: Vec<Event>,
    /// Packets that came to this device, by what became of them.
    pub received: u64,
    pub opened: u64,
    pub refused: HashMap<OpenError, u64>,
    /// When what was opened had been sealed, by sender.
    pub heard: Vec<(MemberId, Instant)>,
    pub control_errors: Vec<ControlError>,
    pub sent: u64,
    pub silent: u64,
    /// Why it did not send last.
    pub why_silent: Option<SilenceReason>,
    /// A device that does not obey: it keeps the keys it has when it is told to drop them.
    pub keeps_keys: bool,
    /// Its holder is hostile: no promise is made to it, and none is checked.
    pub is_insider: bool,
    /// What its room says of its own accord is dropped.
    pub holds_its_tongue: bool,
    /// When the newest control message that reached it was sent, by what it can know: it cannot
    /// know of anything later.
    pub news: Instant,
    /// The times that the leaves of its tree say.
    made_ms: HashMap<MemberId, u64>,
    speaks_at: Option<Instant>,
    /// When its room wants to be called again: nothing but a call changes that.
    due: Option<Instant>,
}

impl Device {
    /// Whether what it seals binds nobody: its holder is hostile, or it is out and keeps its keys.
    pub fn disobeys(&self) -> bool {
        self.is_insider || self.keeps_keys && self.room.status() == Status::Over
    }
}

enum Arrival {
    Control { message: Bytes },
    Media { packet: Bytes, sealed: Instant, audience: Rc<[MemberId]> },
}

/// What was seen that must never be.
#[derive(Default)]
pub struct Watch {
    pub violations: Vec<String>,
    /// The key and the counter of every packet: branch, step, leaf, KID and CTR.
    nonces: HashSet<(String, u32, u32, [u8; 7])>,
    /// Says of every packet that nobody may hear it, to see whether that is noticed.
    pub lies: bool,
}

pub struct Net {
    pub seed: u64,
    pub now: Instant,
    pub control: Lane,
    pub media: Lane,
    /// Everything that the relay saw on the control lane, in order.
    pub relay_log: Vec<Bytes>,
    pub devices: Vec<Device>,
    began: Instant,
    unix: UnixTime,
    rng: StdRng,
    arrivals: BTreeMap<(Instant, u64), (Peer, Arrival)>,
    /// When the last control message of a pair arrives: the next one comes after it.
    order: HashMap<(Peer, Peer), Instant>,
    withheld: HashSet<(Peer, Peer)>,
    kept_back: HashMap<(Peer, Peer), Vec<Bytes>>,
    /// Who sent a control message, and when: a relay may deliver by playing again what it had kept.
    origins: HashMap<Bytes, (Peer, Instant)>,
    /// The least time that a control message of a pair ever took, and when that was.
    shortest: HashMap<(Peer, Peer), (Duration, Instant)>,
    /// Pairs between whom nothing passes, on either lane; what is sent is lost.
    cut: HashSet<(Peer, Peer)>,
    /// Devices that are switched off.
    off: HashSet<Peer>,
    identities: HashMap<MemberId, ([u8; 32], Name)>,
    /// Whether one epoch may have several branches for now.
    pub forks: bool,
    pub watch: Watch,
    pub watcher: Option<Box<dyn Watcher>>,
    /// Devices that sleep: what comes waits until they wake.
    asleep: HashSet<Peer>,
    /// How often somebody who speaks sends a packet.
    pub pace: Duration,
    number: u64,
}

impl Net {
    /// A network with 20 to 60 ms of delay, without loss.
    pub fn new(seed: u64) -> Self {
        let seed = std::env::var("NET_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(seed);
        let now = Instant::now();
        let delay = Duration::from_millis(20)..Duration::from_millis(60);
        Self {
            seed,
            now,
            control: Lane::slow(delay.clone()),
            media: Lane::slow(delay),
            relay_log: Vec::new(),
            devices: Vec::new(),
            began: now,
            unix: UnixTime::from_secs(unix_begin()),
            rng: StdRng::seed_from_u64(seed),
            arrivals: BTreeMap::new(),
            order: HashMap::new(),
            withheld: HashSet::new(),
            kept_back: HashMap::new(),
            origins: HashMap::new(),
            shortest: HashMap::new(),
            cut: HashSet::new(),
            off: HashSet::new(),
            identities: HashMap::new(),
            forks: false,
            watch: Watch::default(),
            watcher: None,
            asleep: HashSet::new(),
            pace: Duration::from_millis(40),
            number: 0,
        }
    }

    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    pub fn device(&mut self, peer: Peer) -> &mut Device {
        &mut self.devices[peer.0]
    }

    pub fn room(&mut self, peer: Peer) -> &mut Room {
        &mut self.devices[peer.0].room
    }

    pub fn id(&self, peer: Peer) -> MemberId {
        self.devices[peer.0].room.id()
    }

    /// For how long the network has been there.
    pub fn since_begin(&self) -> Duration {
        self.now - self.began
    }

    pub fn unix_now(&self) -> UnixTime {
        UnixTime::from_secs(self.unix.as_secs() + (self.now - self.began).as_secs())
    }

    /// Calls a command of a room and carries out what follows from it.
    pub fn with<T>(&mut self, peer: Peer, command: impl FnOnce(&mut Room, Instant) -> T) -> T {
        let now = self.now;
        let result = command(&mut self.devices[peer.0].room, now);
        self.drain(peer);
        result
    }

    /// Starts or stops a device's microphone: one packet every 40 ms.
    pub fn speak(&mut self, peer: Peer, on: bool) {
        self.devices[peer.0].speaks_at = on.then_some(self.now);
    }

    fn watched(&mut self, look: impl FnOnce(&mut dyn Watcher, &Self)) {
        if let Some(mut watcher) = self.watcher.take() {
            look(&mut *watcher, self);
            self.watcher = Some(watcher);
        }
    }

    /// Delivers bytes of the relay's own making to one device, now.
    pub fn inject(&mut self, to: Peer, message: &[u8]) -> Result<(), ControlError> {
        let now = self.now;
        if let Some((from, sent)) = self.origins.get(message).copied() {
            self.note_news(from, to, sent);
            let message = Bytes::copy_from_slice(message);
            self.watched(|watcher, net| watcher.comes(net, to, from, sent, &message));
        }
        let outcome = self.devices[to.0].room.handle_control(message, now);
        self.drain(to);
        outcome
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        for peer in (0..self.devices.len()).map(Peer) {
            if !self.off.contains(&peer) {
                self.drain(peer);
            }
        }
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until something holds, for a minute at most.
    pub fn run_until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let end = self.now + Duration::from_secs(60);
        while !holds(self) {
            assert!(self.now < end, "a minute passed without: {what}");
            self.run_for(Duration::from_millis(20));
        }
    }

    /// Every control message that a device has sent, in order.
    pub fn sent_by(&self, peer: Peer) -> Vec<Bytes> {
        let sent = self.relay_log.iter().filter(|message| self.origins[*message].0 == peer);
        sent.cloned().collect()
    }

    pub fn is_present(&self, peer: Peer) -> bool {
        self.devices[peer.0].room.status() == Status::Present
    }

    fn add(&mut self, room: Room) -> Peer {
        let peer = Peer(self.devices.len());
        self.devices.push(Device {
            room,
            sealer: Sealer::new(),
            opener: Opener::new(),
            events: Vec::new(),
            received: 0,
            opened: 0,
            refused: HashMap::new(),
            heard: Vec::new(),
            control_errors: Vec::new(),
            sent: 0,
            silent: 0,
            why_silent: None,
            keeps_keys: false,
            is_insider: false,
            holds_its_tongue: false,
            news: self.now,
            made_ms: HashMap::new(),
            speaks_at: None,
            due: None,
        });
        self.drain(peer);
        peer
    }

    fn next(&self) -> Option<Instant> {
        let arrival = self.arrivals.keys().next().map(|(at, _)| *at);
        let on = self.devices.iter().enumerate();
        let on =
            on.filter(|(peer, _)| !self.off.contains(&Peer(*peer)) && !self.asleep.contains(&Peer(*peer)));
        let devices = on.flat_map(|(_, device)| [device.due, device.speaks_at]).flatten();
        devices.chain(arrival).min()
    }

    fn step(&mut self) {
        let now = self.now;
        while self.arrivals.keys().next().is_some_and(|(at, _)| *at <= now) {
            let Some((_, (peer, arrival))) = self.arrivals.pop_first() else { break };
            if self.off.contains(&peer) {
                continue;
            }
            if self.asleep.contains(&peer) {
                if matches!(arrival, Arrival::Control { .. }) {
                    self.post(now + A_MOMENT, peer, arrival);
                }
                continue;
            }
            match arrival {
                Arrival::Control { message } => {
                    let before = self.devices[peer.0].room.epoch();
                    if let Err(error) = self.inject(peer, &message) {
                        self.watched(|watcher, net| watcher.refused(net, peer, &error));
                        self.devices[peer.0].control_errors.push(error);
                    }
                    if self.devices[peer.0].room.epoch() != before {
                        self.check_agreement_of(peer);
                    }
                }
                Arrival::Media { packet, sealed, audience } => self.open(peer, &packet, sealed, &audience),
            }
        }
        for peer in (0..self.devices.len()).map(Peer) {
            if self.off.contains(&peer) || self.asleep.contains(&peer) {
                continue;
            }
            if self.devices[peer.0].due.is_some_and(|at| at <= now) {
                self.devices[peer.0].room.handle_timeout(now);
                self.drain(peer);
                let next = self.devices[peer.0].due;
                if next.is_some_and(|at| at <= now) {
                    let agenda = sottovoce::testkit::Witness::of(&self.devices[peer.0].room).agenda(now);
                    panic!("{peer:?} asks again for a time that has come: {agenda:?}");
                }
            }
            if self.devices[peer.0].speaks_at.is_some_and(|at| at <= now) {
                self.devices[peer.0].speaks_at = Some(now + self.pace);
                self.say(peer);
            }
        }
    }

    /// Takes out of a room what is to happen, as its driver would.
    fn drain(&mut self, peer: Peer) {
        while let Some(message) = self.devices[peer.0].room.poll_transmit() {
            if self.devices[peer.0].holds_its_tongue {
                continue;
            }
            self.watched(|watcher, net| watcher.sent(net, peer, &message));
            self.relay_log.push(message.clone());
            self.origins.insert(message.clone(), (peer, self.now));
            for to in (0..self.devices.len()).map(Peer).filter(|to| *to != peer) {
                if self.devices[to.0].room.handle() == self.devices[peer.0].room.handle() {
                    self.post_control(peer, to, message.clone());
                }
            }
        }
        let device = &mut self.devices[peer.0];
        while let Some(rekey) = device.room.poll_rekey() {
            match rekey {
                Rekey::Seal(rekey) if device.keeps_keys && device.room.status() == Status::Over => {
                    drop(rekey)
                }
                Rekey::Seal(rekey) => drop(device.sealer.install(rekey).unwrap()),
                Rekey::Open(rekey) if device.keeps_keys && device.room.status() == Status::Over => {
                    drop(rekey)
                }
                Rekey::Open(rekey) => drop(device.opener.install(rekey)),
            }
        }
        while let Some(event) = self.devices[peer.0].room.poll_event() {
            self.watched(|watcher, net| watcher.told(net, peer, &event));
            let device = &mut self.devices[peer.0];
            if matches!(event, Event::Joined { .. }) {
                // Of a welcome nobody can tell how long it was on its way, and what came before it
                // a newcomer could not read.
                device.news = self.now;
                self.shortest.retain(|(_, to), _| *to != peer);
            }
            let entered = match &event {
                Event::Changed { by, .. } => Some(Some(*by)),
                Event::Joined { .. } | Event::Returned { .. } => Some(None),
                _ => None,
            };
            device.events.push(event);
            if let Some(by) = entered {
                self.note_tree(peer, by);
            }
        }
        let device = &mut self.devices[peer.0];
        device.due = device.room.poll_timeout();
        self.watched(|watcher, net| watcher.called(net, peer));
    }
}

/// When runs begin, in Unix seconds. MLS takes leaves of 42 days before and after the real time, so
/// it is near that, but the same for 24 days: `NET_UNIX` runs a seed of another time again.
pub fn unix_begin() -> u64 {
    let real = || UnixTime::from(std::time::SystemTime::now()).as_secs() >> 21 << 21;
    std::env::var("NET_UNIX").ok().and_then(|unix| unix.parse().ok()).unwrap_or_else(real)
}

/// How often it is looked whether a device that sleeps is awake.
const A_MOMENT: Duration = Duration::from_millis(500);

/// The seed is the whole of a failure.
impl Drop for Net {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the network's seed was {}; NET_SEED={} runs it again", self.seed, self.seed);
        }
    }
}
