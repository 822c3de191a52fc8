//! Rooms on virtual time, joined by a relay with seeded faults.
//!
//! ```text
//! Room, Sealer ── control: reliable, in order per sender ──┐
//! Room, Sealer ── media: delayed, lost, doubled, reordered ─┴─ everybody else's Room, Opener
//! ```
//!
//! Nothing here sleeps or reads a clock. A run is a function of its seed, which is printed when a
//! test fails; `NET_SEED=n cargo test name` runs the same again.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use sottovoce::{
    MemberId, OpenError, Opener, Rekey, SealError, Sealer, Seed, Stamp,
    group::{Identity, Name, Role},
    media::{HEADROOM, SilenceReason, TAILROOM},
    room::{ControlError, Event, Invite, InviteOptions, Room, RoomOptions, Status, UnixTime},
    transport::RelayName,
};

/// How one lane treats what goes through it.
#[derive(Clone, Debug)]
pub struct Lane {
    pub delay: Range<Duration>,
    /// Percent of packets that never arrive. What the control lane loses is sent again, until it
    /// arrives.
    pub loss: u32,
    /// Percent of packets that arrive twice.
    pub doubled: u32,
    /// Percent of packets that are lost for good, on the control lane too.
    pub gone: u32,
    /// Percent of packets in which a bit turns on the way.
    pub turned: u32,
}

impl Lane {
    /// A lane that only takes its time.
    pub const fn slow(delay: Range<Duration>) -> Self {
        Self { delay, loss: 0, doubled: 0, gone: 0, turned: 0 }
    }
}

/// What a relay does with one control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Passes,
    IsLost,
    ComesLater(Duration),
}

/// Somebody who sees everything: each call of a room, each message on its way.
///
/// With its `fate` it is also the relay that insiders have on their side.
pub trait Watcher {
    /// A room was called, and what follows from it was carried out.
    fn called(&mut self, _net: &Net, _peer: Peer) {}
    /// A room told its application something.
    fn told(&mut self, _net: &Net, _peer: Peer, _event: &Event) {}
    /// A device sends a control message of its own accord.
    fn sent(&mut self, _net: &Net, _from: Peer, _message: &Bytes) {}
    /// A control message is about to be taken.
    fn comes(&mut self, _net: &Net, _to: Peer, _from: Peer, _sent: Instant, _message: &Bytes) {}
    /// A device has sealed a packet.
    fn sealed(&mut self, _net: &Net, _from: Peer) {}
    /// A device has opened a packet.
    fn opened(&mut self, _net: &Net, _to: Peer, _from: MemberId, _sealed: Instant) {}
    /// What becomes of a control message.
    fn fate(&mut self, _net: &Net, _from: Peer, _to: Peer, _message: &Bytes) -> Fate {
        Fate::Passes
    }
}

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
    speaks_at: Option<Instant>,
    /// When its room wants to be called again: nothing but a call changes that.
    due: Option<Instant>,
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
            // The hour is real, since MLS looks at it; the rest of the time is not, or a seed would
            // not be all.
            unix: UnixTime(UnixTime::from(std::time::SystemTime::now()).0 / 3_600 * 3_600),
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

    pub fn create(&mut self, name: &str, options: RoomOptions) -> Peer {
        let (identity, seed) = (self.identity(name), self.bytes());
        let room =
            Room::create(identity, options, Seed::from_bytes(&mut { seed }), self.now, self.unix_now())
                .unwrap();
        self.add(room)
    }

    pub fn knock(&mut self, name: &str, invite: &str) -> Peer {
        let identity = self.identity(name);
        self.knock_as(identity, invite)
    }

    pub fn knock_as(&mut self, identity: Identity, invite: &str) -> Peer {
        let invite: Invite = invite.parse().unwrap();
        let seed = self.bytes();
        let room =
            Room::join(identity, invite, Seed::from_bytes(&mut { seed }), self.now, self.unix_now()).unwrap();
        self.add(room)
    }

    pub fn identity(&mut self, name: &str) -> Identity {
        let (seed, name) = (self.bytes(), Name::new(name).unwrap());
        let identity = Identity::from_seed(seed, name.clone());
        self.identities.insert(identity.id(), (seed, name));
        identity
    }

    /// The identity of a device, as its application has stored it.
    pub fn identity_of(&self, peer: Peer) -> Identity {
        let (seed, name) = &self.identities[&self.id(peer)];
        Identity::from_seed(*seed, name.clone())
    }

    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// A link into the host's room, for any number and a day.
    pub fn invite(&mut self, host: Peer) -> String {
        self.invite_with(host, InviteOptions::default())
    }

    pub fn invite_with(&mut self, host: Peer, options: InviteOptions) -> String {
        let now = self.now;
        self.device(host).room.invite(options, now).unwrap().to_string()
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

    pub fn unix_now(&self) -> UnixTime {
        UnixTime(self.unix.0 + (self.now - self.began).as_secs())
    }

    /// Calls a command of a room and carries out what follows from it.
    pub fn with<T>(&mut self, peer: Peer, command: impl FnOnce(&mut Room, Instant) -> T) -> T {
        let now = self.now;
        let result = command(&mut self.devices[peer.0].room, now);
        self.drain(peer);
        result
    }

    /// Admits everybody who waits at `host`, and says how many that were.
    pub fn admit_all(&mut self, host: Peer, role: Option<Role>) -> usize {
        let device = &mut self.devices[host.0];
        device.events.retain(|event| !matches!(event, Event::Knocked { .. }));
        let knocks: Vec<_> = device.room.waiting().map(|(knock, ..)| knock).collect();
        for knock in &knocks {
            self.with(host, |room, now| match role {
                Some(role) => room.admit_as(*knock, role, now).unwrap(),
                None => room.admit(*knock, now).unwrap(),
            });
        }
        knocks.len()
    }

    /// Starts or stops a device's microphone: one packet every 40 ms.
    pub fn speak(&mut self, peer: Peer, on: bool) {
        self.devices[peer.0].speaks_at = on.then_some(self.now);
    }

    /// Holds back the control messages of one pair, or delivers what was held back.
    pub fn withhold(&mut self, from: Peer, to: Peer, on: bool) {
        if on {
            self.withheld.insert((from, to));
            return;
        }
        self.withheld.remove(&(from, to));
        for message in self.kept_back.remove(&(from, to)).unwrap_or_default() {
            self.post_control(from, to, message);
        }
    }

    /// What is withheld from one to the other is lost.
    pub fn lose_withheld(&mut self) {
        self.kept_back.clear();
        self.withheld.clear();
    }

    /// Divides the network: nothing passes between the two sides, on either lane, and what is sent
    /// is lost.
    pub fn divide(&mut self, one: &[Peer], other: &[Peer]) {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            self.cut.extend([(a, b), (b, a)]);
        }
    }

    /// Cuts one way: nothing of `from` reaches `to`.
    pub fn cut(&mut self, from: Peer, to: Peer) {
        self.cut.insert((from, to));
    }

    /// A device falls asleep: it does nothing, and what is sent to it waits.
    pub fn sleep(&mut self, peer: Peer) {
        self.asleep.insert(peer);
    }

    /// A device wakes up. Its room is told how late it is before another packet is sealed.
    pub fn wake(&mut self, peer: Peer) {
        if self.asleep.remove(&peer) && !self.off.contains(&peer) {
            let now = self.now;
            self.devices[peer.0].room.handle_timeout(now);
            self.drain(peer);
        }
    }

    /// Whether everything arrives, and soon.
    pub fn is_fair(&self) -> bool {
        let lane = &self.control;
        self.cut.is_empty() && lane.gone + lane.loss + lane.turned == 0 && lane.delay.end < RESENT
    }

    pub fn is_asleep(&self, peer: Peer) -> bool {
        self.asleep.contains(&peer)
    }

    pub fn is_off(&self, peer: Peer) -> bool {
        self.off.contains(&peer)
    }

    /// Sends messages that a device's room did not make of its own accord, to these devices.
    pub fn send_as(&mut self, from: Peer, to: &[Peer], messages: Vec<Bytes>) {
        for message in messages {
            self.relay_log.push(message.clone());
            self.origins.insert(message.clone(), (from, self.now));
            for to in to.iter().filter(|to| **to != from) {
                self.post_control(from, *to, message.clone());
            }
        }
    }

    /// Forgets who sent what was sent before: it is played back no more.
    pub fn forget_before(&mut self, then: Instant) {
        self.origins.retain(|_, (_, sent)| *sent >= then);
    }

    fn watched(&mut self, look: impl FnOnce(&mut dyn Watcher, &Self)) {
        if let Some(mut watcher) = self.watcher.take() {
            look(&mut *watcher, self);
            self.watcher = Some(watcher);
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Switches a device off, without a word.
    pub fn switch_off(&mut self, peer: Peer) {
        self.off.insert(peer);
    }

    /// Switches a device on again: it goes on in its room with nothing but what it had stored.
    pub fn switch_on(&mut self, peer: Peer, room: Room) {
        self.off.remove(&peer);
        let device = &mut self.devices[peer.0];
        (device.room, device.sealer, device.opener) = (room, Sealer::new(), Opener::new());
        device.news = self.now;
        self.drain(peer);
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

    /// Two rooms in one epoch agree on everything, and one of them is no better informed than
    /// another.
    pub fn check_agreement(&self) {
        let mut by_epoch: HashMap<_, (usize, Vec<_>, String)> = HashMap::new();
        for (peer, device) in self.devices.iter().enumerate() {
            let Some(epoch) = device.room.epoch() else { continue };
            let roster: Vec<_> = device
                .room
                .roster()
                .iter()
                .map(|member| (member.leaf, member.id, member.role, member.name.clone()))
                .collect();
            let code = device.room.code().unwrap().to_string();
            if self.off.contains(&Peer(peer)) || device.is_insider {
                continue;
            }
            let branch = self.forks.then(|| code.clone());
            let handle = (device.room.handle(), epoch, branch);
            let (other, their_roster, their_code) =
                by_epoch.entry(handle).or_insert_with(|| (peer, roster.clone(), code.clone()));
            assert_eq!(*their_roster, roster, "{other} and {peer} have different rosters in epoch {epoch:?}");
            assert_eq!(*their_code, code, "{other} and {peer} have different codes in epoch {epoch:?}");
        }
    }

    /// The packets of `from` that `to` opened and that were sealed at or after `since`.
    pub fn heard_since(&self, to: Peer, from: Peer, since: Instant) -> usize {
        let id = self.id(from);
        self.devices[to.0].heard.iter().filter(|(member, sealed)| *member == id && *sealed >= since).count()
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
                        self.devices[peer.0].control_errors.push(error);
                    }
                    if self.devices[peer.0].room.epoch() != before {
                        self.check_agreement();
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
                // Of a welcome nobody can tell how long it was on its way.
                device.news = self.now;
            }
            device.events.push(event);
        }
        let device = &mut self.devices[peer.0];
        device.due = device.room.poll_timeout();
        self.watched(|watcher, net| watcher.called(net, peer));
    }

    fn post_control(&mut self, from: Peer, to: Peer, message: Bytes) {
        if self.cut.contains(&(from, to)) || self.off.contains(&to) {
            return;
        }
        if self.withheld.contains(&(from, to)) {
            self.kept_back.entry((from, to)).or_default().push(message);
            return;
        }
        let mut fate = Fate::Passes;
        self.watched(|watcher, net| fate = watcher.fate(net, from, to, &message));
        let lane = self.control.clone();
        let lost = lane.gone > 0 && self.rng.random_range(0..100) < lane.gone;
        if lost || fate == Fate::IsLost {
            return;
        }
        if let Fate::ComesLater(by) = fate {
            let at = self.now + by;
            self.post(at, to, Arrival::Control { message });
            return;
        }
        let message = self.turned(message, lane.turned);
        let copies = 1 + u32::from(self.rng.random_range(0..100) < lane.doubled);
        for _ in 0..copies {
            let mut at = self.now + self.rng.random_range(lane.delay.clone());
            while self.rng.random_range(0..100) < lane.loss {
                at += RESENT;
            }
            let after = self.order.entry((from, to)).or_insert(at);
            *after = at.max(*after);
            let at = *after;
            self.post(at, to, Arrival::Control { message: message.clone() });
        }
    }

    /// The message with a bit turned, now and then.
    fn turned(&mut self, message: Bytes, percent: u32) -> Bytes {
        if percent == 0 || self.rng.random_range(0..100) >= percent {
            return message;
        }
        let mut bytes = message.to_vec();
        let at = self.rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << self.rng.random_range(0..8);
        bytes.into()
    }

    /// How old what has come is at least: by the message of that sender that took the least time,
    /// were clocks to drift.
    fn note_news(&mut self, from: Peer, to: Peer, sent: Instant) {
        let (took, now) = (self.now - sent, self.now);
        let (least, at) = self.shortest.entry((from, to)).or_insert((took, now));
        *least = took.min(*least + (now - *at) / 1_000);
        *at = now;
        let news = &mut self.devices[to.0].news;
        *news = (sent + *least).max(*news);
    }

    fn post(&mut self, at: Instant, to: Peer, arrival: Arrival) {
        self.number += 1;
        self.arrivals.insert((at, self.number), (to, arrival));
    }

    fn say(&mut self, from: Peer) {
        let mut buffer = [0; HEADROOM + 1000 + TAILROOM];
        // Twenty milliseconds of stereo CELT, code 0 (RFC 6716 section 3.2.2), with a payload of
        // noise.
        let len = 100;
        buffer[HEADROOM] = 0xfc;
        self.rng.fill_bytes(&mut buffer[HEADROOM + 1..HEADROOM + len]);
        let device = &mut self.devices[from.0];
        let packet = match device.sealer.seal(&mut buffer, len, Stamp::default()) {
            Ok(packet) => Bytes::copy_from_slice(packet),
            Err(SealError::Silent(why)) => {
                device.silent += 1;
                device.why_silent = Some(why);
                return;
            }
            Err(error) => panic!("{error}"),
        };
        device.sent += 1;
        let audience = self.watch_sealed(from, &packet);
        self.watched(|watcher, net| watcher.sealed(net, from));
        let sealed = self.now;
        for to in (0..self.devices.len()).map(Peer).filter(|to| *to != from) {
            let lane = self.media.clone();
            if self.rng.random_range(0..100) < lane.loss || self.cut.contains(&(from, to)) {
                continue;
            }
            let copies = 1 + u32::from(self.rng.random_range(0..100) < lane.doubled);
            for _ in 0..copies {
                let at = self.now + self.rng.random_range(lane.delay.clone());
                let audience = Rc::clone(&audience);
                self.post(at, to, Arrival::Media { packet: packet.clone(), sealed, audience });
            }
        }
    }

    /// Notes a packet that was sealed, and returns who may open it: the roster that its sender saw
    /// at that moment.
    fn watch_sealed(&mut self, from: Peer, packet: &[u8]) -> Rc<[MemberId]> {
        let device = &self.devices[from.0];
        let silence = self.now.saturating_duration_since(device.news);
        let alone = device.room.roster().len() < 2;
        if device.is_insider {
            let everybody: Vec<MemberId> = self.devices.iter().map(|device| device.room.id()).collect();
            return everybody.into();
        }
        if silence > PROOF_HOLDS && !alone {
            self.watch.violations.push(format!("{from:?} sends after {silence:?} without a word of anybody"));
        }
        if let (Some((_, step)), Some(code)) = (device.sealer.position(), device.room.code()) {
            let leaf =
                device.room.roster().iter().find(|member| member.is_self).map_or(u32::MAX, |own| own.leaf.0);
            let header: [u8; 7] = packet[..7].try_into().unwrap();
            let nonce = (code.to_string(), step.0, leaf, header);
            if !self.watch.nonces.insert(nonce) {
                self.watch.violations.push(format!("{from:?} sealed twice under one key and counter"));
            }
        }
        if self.watch.lies {
            return Rc::new([]);
        }
        self.devices[from.0].room.roster().iter().map(|member| member.id).collect()
    }

    fn open(&mut self, to: Peer, packet: &[u8], sealed: Instant, audience: &[MemberId]) {
        let id = self.id(to);
        let device = &mut self.devices[to.0];
        let mut packet = packet.to_vec();
        device.received += 1;
        match device.opener.open(&mut packet) {
            Ok(opened) => {
                device.opened += 1;
                if !audience.contains(&id) {
                    let what =
                        format!("{to:?} opened a packet of a sender that did not have it on its roster");
                    self.watch.violations.push(what);
                }
                let member = opened.member;
                device.heard.push((member, sealed));
                self.watched(|watcher, net| watcher.opened(net, to, member, sealed));
            }
            Err(refusal) => *device.refused.entry(refusal).or_default() += 1,
        }
    }
}

/// How long a proof of life lets a member send, and how much older it may be than the member can
/// know: nobody can tell a slow way from a message that was made later, before a faster one has
/// come.
const PROOF_HOLDS: Duration = Duration::from_millis(15_000 + 1_500);
/// How often it is looked whether a device that sleeps is awake.
const A_MOMENT: Duration = Duration::from_millis(500);
/// When what the control lane has lost is sent again.
const RESENT: Duration = Duration::from_millis(200);

/// The seed is the whole of a failure.
impl Drop for Net {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the network's seed was {}; NET_SEED={} runs it again", self.seed, self.seed);
        }
    }
}

/// Options of a room called `name`, on one relay.
pub fn options(name: &str) -> RoomOptions {
    RoomOptions::new(Name::new(name).unwrap(), [RelayName::new("relay.test:443").unwrap()])
}

/// A room where everybody of `names` is in, with the first as host.
pub fn room_of(net: &mut Net, names: &[&str]) -> Vec<Peer> {
    let host = net.create(names[0], options("a room"));
    let invite = net.invite(host);
    let mut peers = vec![host];
    for name in &names[1..] {
        let peer = net.knock(name, &invite);
        peers.push(peer);
    }
    let mut admitted = 0;
    net.run_until("all have knocked and are in", |net| {
        admitted += net.admit_all(host, None);
        peers.iter().all(|peer| net.is_present(*peer))
    });
    net.run_until("all are in one epoch", |net| {
        let epoch = net.room(host).epoch();
        peers.iter().all(|peer| net.devices[peer.0].room.epoch() == epoch)
    });
    assert_eq!(admitted, names.len() - 1);
    peers
}
