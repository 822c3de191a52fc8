//! One storm: a room, a hostile relay, members that come, go, crash and disobey.
//!
//! ```text
//! blow > some time > blow > some time ...        then calm: everybody must be together and hear everybody
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use sottovoce::{
    MemberId, Seed,
    group::{Name, Role},
    room::{Admission, Event, Membership, Room, Status},
};

use crate::alloc::live_bytes;
use crate::net::{Device, Net, Peer, options};

/// What came of a storm.
#[derive(Default)]
pub struct Outcome {
    pub violations: Vec<String>,
    pub lasted: Duration,
    /// How long after the last blow everybody was together.
    pub healed: Option<Duration>,
    /// Whether nobody was left in the room who could let the others back.
    pub gone: bool,
    pub epochs: u64,
    pub opened: u64,
    pub blows: u64,
    /// Bytes of memory that the room of one member held at the end, at most.
    pub heaviest: i64,
}

/// Runs one storm. What breaks a rule is in the outcome, and nothing panics.
pub fn storm(seed: u64, members: usize, minutes: u64) -> Outcome {
    run(seed, members, minutes, false)
}

/// The same, but the check is told that nobody may hear anybody: it has to notice.
pub fn storm_of_lies(seed: u64) -> Outcome {
    run(seed, 4, 1, true)
}

fn run(seed: u64, members: usize, minutes: u64, lies: bool) -> Outcome {
    let mut net = Net::new(seed);
    net.watch.lies = lies;
    let mut outcome = Outcome::default();
    let began = net.now;
    let told = catch_unwind(AssertUnwindSafe(|| Storm::new(&mut net, members).rage(minutes, &mut outcome)));
    if let Err(panic) = told {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        outcome.violations.push(text.unwrap_or_else(|| "a panic without words".to_owned()));
    }
    outcome.lasted = net.now - began;
    outcome.opened = net.devices.iter().map(|device| device.opened).sum();
    outcome.violations.append(&mut net.watch.violations);
    for (peer, device) in net.devices.drain(..).enumerate() {
        let before = live_bytes();
        drop(device.room);
        let weight = before - live_bytes();
        outcome.heaviest = outcome.heaviest.max(weight);
        if weight > HEAVIEST {
            outcome.violations.push(format!("the room of peer {peer} holds {weight} bytes"));
        }
    }
    outcome
}

struct Storm<'a> {
    net: &'a mut Net,
    rng: StdRng,
    /// Everybody who belongs in the room.
    peers: Vec<Peer>,
    banned: Vec<Peer>,
    off: BTreeMap<Peer, Membership>,
    /// Whom each was in the room with last.
    knows: HashMap<Peer, Vec<MemberId>>,
    withheld: Vec<(Peer, Peer)>,
    invite: String,
    guests: u32,
}

impl<'a> Storm<'a> {
    /// A room in which everybody is, in calm weather, and some speak.
    fn new(net: &'a mut Net, members: usize) -> Self {
        let rng = StdRng::seed_from_u64(net.seed ^ 0x5702);
        net.pace = Duration::from_millis(200);
        let mut options = options("storm");
        options.admission = Admission::Open;
        options.default_role = Role::Speaker;
        let host = net.create("host", options);
        let invite = net.invite(host);
        let mut peers = vec![host];
        peers.extend((1..members).map(|n| net.knock(&format!("member {n}"), &invite)));
        net.run_until("all are in", |net| peers.iter().all(|peer| net.room(*peer).roster().len() == members));
        for moderator in peers.iter().skip(1).take(2) {
            let id = net.id(*moderator);
            net.with(host, |room, now| room.set_role(id, Role::Moderator, now)).expect("the host may");
        }
        net.run_for(Duration::from_secs(2));
        peers.iter().for_each(|peer| net.speak(*peer, true));
        Self {
            net,
            rng,
            peers,
            banned: vec![],
            off: BTreeMap::new(),
            knows: HashMap::new(),
            withheld: vec![],
            invite,
            guests: 0,
        }
    }

    fn rage(mut self, minutes: u64, outcome: &mut Outcome) {
        self.net.forks = true;
        let end = self.net.now + Duration::from_secs(60 * minutes);
        while self.net.now < end {
            self.blow();
            outcome.blows += 1;
            let time = Duration::from_millis(self.rng.random_range(10..8_000));
            self.net.run_for(time);
            self.tidy();
        }
        self.calm();
        let began = self.net.now;
        let mut unheard = Vec::new();
        while self.net.now < began + HEALS_WITHIN {
            self.forget_gone();
            if !self.is_together() {
                self.net.run_for(Duration::from_millis(100));
                continue;
            }
            outcome.healed = Some(self.net.now - began);
            unheard = self.all_hear_all(outcome);
            if unheard.is_empty() {
                break;
            }
        }
        let there = self.present();
        let Some(first) = there.first().copied() else {
            // All were away at one time: what they had of the room was gone with them (SPEC section
            // 7.10).
            outcome.gone = true;
            return;
        };
        outcome.violations.append(&mut unheard);
        if outcome.healed.is_none() {
            outcome.violations.push(format!("not together after {HEALS_WITHIN:?}: {}", self.describe()));
        }
        outcome.epochs = self.net.room(first).epoch().map_or(0, |epoch| epoch.0);
        self.no_banned_is_back(outcome);
    }

    /// One thing goes wrong.
    fn blow(&mut self) {
        let any = self.pick();
        let other = self.pick();
        let awake = !self.off.contains_key(&any);
        match self.rng.random_range(0..22) {
            0 | 1 => {
                let rng = &mut self.rng;
                let (one, two): (Vec<Peer>, Vec<Peer>) =
                    self.peers.iter().partition(|_| rng.random_bool(0.5));
                self.net.divide(&one, &two);
            }
            2..=4 => self.net.heal(),
            5 if any != other => self.net.divide(&[any], &[other]),
            6 if self.off.len() + 2 < self.peers.len() && awake => {
                if let Some(membership) = self.net.room(any).membership() {
                    self.note_known();
                    self.off.insert(any, membership);
                    self.net.switch_off(any);
                }
            }
            7 => {
                if let Some(membership) = self.off.remove(&any) {
                    self.back(any, &membership);
                }
            }
            8 => self.ban(any, other),
            9 if awake => {
                let (id, muted) = (self.net.id(other), self.rng.random_bool(0.5));
                let _ = self.net.with(any, |room, now| room.set_muted(id, muted, now));
            }
            10 | 11 if any != other => {
                self.net.withhold(any, other, true);
                self.withheld.push((any, other));
            }
            12 => self.release(),
            13 => self.net.lose_withheld(),
            14 if awake && self.peers.len() > 4 => {
                let left = self.net.with(any, |room, _| room.leave()).is_ok();
                self.peers.retain(|peer| *peer != any || !left);
            }
            15 if awake => {
                let name = format!("renamed {}", self.rng.random_range(0..1_000));
                let name = Name::new(&name).expect("a good name");
                let _ = self.net.with(any, |room, now| room.rename(name, now));
            }
            16 if awake => {
                let id = self.net.id(other);
                let _ = self.net.with(any, |room, now| room.hand_over(id, now));
            }
            17 if awake => {
                let id = self.net.id(other);
                let role = [Role::Moderator, Role::Speaker, Role::Listener][self.rng.random_range(0..3)];
                let _ = self.net.with(any, |room, now| room.set_role(id, role, now));
            }
            18 => self.weather(),
            19 => self.replay(any),
            20 => self.garbage(any),
            21 if self.peers.len() < 12 => {
                self.guests += 1;
                let guest = self.net.knock(&format!("guest {}", self.guests), &self.invite);
                self.net.speak(guest, true);
                self.peers.push(guest);
            }
            _ => {}
        }
    }

    /// Somebody bans somebody, who does not obey: it keeps the keys that it has.
    fn ban(&mut self, any: Peer, other: Peer) {
        if any == other || self.peers.len() <= 4 || self.off.contains_key(&any) {
            return;
        }
        let id = self.net.id(other);
        self.net.devices[other.0].keeps_keys = true;
        if self.net.with(any, |room, now| room.ban(id, now)).is_ok() {
            self.peers.retain(|peer| *peer != other);
            self.off.remove(&other);
            self.banned.push(other);
        } else {
            self.net.devices[other.0].keeps_keys = false;
        }
    }

    /// The network changes: delay, loss and repetition on both lanes.
    fn weather(&mut self) {
        let most = Duration::from_millis([60, 200, 1_500][self.rng.random_range(0..3)]);
        (self.net.control.delay, self.net.media.delay) = (BEST..most, BEST..most);
        self.net.control.loss = [0, 2, 10][self.rng.random_range(0..3)];
        self.net.media.loss = [0, 5, 20][self.rng.random_range(0..3)];
        (self.net.control.doubled, self.net.media.doubled) =
            (self.rng.random_range(0..10), self.rng.random_range(0..10));
    }

    /// The relay says again what it heard, to one of them.
    fn replay(&mut self, to: Peer) {
        if self.off.contains_key(&to) || self.net.relay_log.is_empty() {
            return;
        }
        for _ in 0..40 {
            let message = self.net.relay_log[self.rng.random_range(0..self.net.relay_log.len())].clone();
            let _ = self.net.inject(to, &message);
        }
    }

    /// The relay alters and invents.
    fn garbage(&mut self, to: Peer) {
        if self.off.contains_key(&to) {
            return;
        }
        for n in 0..40 {
            let mut message = vec![0; 1 << self.rng.random_range(0..15)];
            self.rng.fill_bytes(&mut message);
            if n % 2 == 0 && !self.net.relay_log.is_empty() {
                message = self.net.relay_log[self.rng.random_range(0..self.net.relay_log.len())].to_vec();
                let at = self.rng.random_range(0..message.len());
                message[at] ^= 1 << self.rng.random_range(0..8);
            }
            let _ = self.net.inject(to, &message);
        }
    }

    /// The relay behaves from now on, and who was switched off comes back.
    fn calm(&mut self) {
        self.net.heal();
        self.release();
        for (peer, membership) in std::mem::take(&mut self.off) {
            self.back(peer, &membership);
        }
        (self.net.control.delay, self.net.media.delay) =
            (BEST..Duration::from_millis(60), BEST..Duration::from_millis(60));
        (self.net.control.loss, self.net.media.loss) = (0, 0);
    }

    fn release(&mut self) {
        for (from, to) in std::mem::take(&mut self.withheld) {
            self.net.withhold(from, to, false);
        }
    }

    fn back(&mut self, peer: Peer, membership: &Membership) {
        let identity = self.net.identity_of(peer);
        let (seed, now, unix) = (self.net.bytes(), self.net.now, self.net.unix_now());
        let room = Room::resume(identity, membership, Seed::from_bytes(&mut { seed }), now, unix)
            .expect("what it stored is its own");
        self.net.switch_on(peer, room);
    }

    /// Everybody in one epoch and branch, with everybody in it.
    fn is_together(&mut self) -> bool {
        let expected: Vec<Peer> =
            self.peers.iter().copied().filter(|peer| !self.is_shut_out(*peer)).collect();
        // Whom a relay let leave or be removed while it divided the room has no place in it.
        let Some(first) = expected.first().copied() else { return self.peers.is_empty() };
        let code = (self.net.room(first).epoch(), self.net.room(first).code());
        let ids: Vec<_> = expected.iter().map(|peer| self.net.id(*peer)).collect();
        expected.iter().all(|peer| {
            let room = &self.net.devices[peer.0].room;
            let heard: Vec<_> = room.hears().collect();
            room.status() == Status::Present
                && (room.epoch(), room.code()) == code
                && ids.iter().all(|id| heard.contains(id))
        })
    }

    /// Nobody can let it in: it knocks, and nobody who is there may admit, or it comes back, and
    /// knows nobody who is there (SPEC section 7.10).
    fn is_shut_out(&self, peer: Peer) -> bool {
        let there = || self.peers.iter().filter(|other| self.net.is_present(**other));
        match self.net.devices[peer.0].room.status() {
            Status::Waiting => {
                let role = |other: &Peer| self.net.devices[other.0].room.role();
                !there().any(|other| matches!(role(other), Some(Role::Host | Role::Moderator)))
            }
            Status::Returning => {
                let known = self.knows.get(&peer).map_or(&[][..], Vec::as_slice);
                !there().any(|other| known.contains(&self.net.id(*other)))
            }
            _ => false,
        }
    }

    fn note_known(&mut self) {
        for peer in self.peers.iter().filter(|peer| self.net.is_present(**peer)) {
            self.knows.insert(*peer, self.net.devices[peer.0].room.hears().collect());
        }
    }

    fn present(&self) -> Vec<Peer> {
        self.peers.iter().copied().filter(|peer| self.net.is_present(*peer)).collect()
    }

    /// Whoever may speak is heard by all, or who is not by whom.
    fn all_hear_all(&mut self, outcome: &mut Outcome) -> Vec<String> {
        let mut unheard = Vec::new();
        self.net.run_for(Duration::from_secs(3));
        self.net.devices.iter_mut().for_each(|device| {
            device.refused.clear();
            (device.sent, device.silent) = (0, 0);
        });
        let since = self.net.now;
        self.net.run_for(Duration::from_secs(4));
        let peers = self.present();
        for from in &peers {
            let speaks = self.net.devices[from.0]
                .room
                .roster()
                .iter()
                .any(|member| member.is_self && member.role.may_speak() && !member.muted);
            for to in peers.iter().filter(|to| *to != from) {
                let heard = self.net.heard_since(*to, *from, since);
                if speaks && heard == 0 {
                    let (one, other) = (&self.net.devices[to.0], &self.net.devices[from.0]);
                    let sent = (other.sent, other.why_silent, other.sealer.position());
                    let what =
                        format!("{to:?} does not hear {from:?}: sent {sent:?}, refused {:?}", one.refused);
                    unheard.push(what);
                }
                if !speaks && heard > 0 {
                    outcome.violations.push(format!("{to:?} hears {from:?}, who may not speak"));
                }
            }
        }
        unheard
    }

    fn no_banned_is_back(&mut self, outcome: &mut Outcome) {
        let peers = self.present();
        for banned in &self.banned {
            let id = self.net.id(*banned);
            let knows = peers.iter().filter(|peer| self.net.devices[peer.0].room.is_banned(id)).count();
            let there =
                peers.iter().any(|peer| self.net.devices[peer.0].room.hears().any(|other| other == id));
            if knows > 0 && (there || knows < peers.len()) {
                outcome
                    .violations
                    .push(format!("{banned:?} was banned, and {knows} know it; is it there: {there}"));
            }
        }
    }

    /// What was looked at is forgotten: a storm may last.
    fn tidy(&mut self) {
        let old = self.net.relay_log.len().saturating_sub(2_000);
        self.net.relay_log.drain(..old);
        for device in &mut self.net.devices {
            device.heard.clear();
            device.control_errors.clear();
            device.events.clear();
        }
        self.note_known();
        self.forget_gone();
    }

    /// Whom somebody removed, or who was told that the room is over, is not waited for.
    fn forget_gone(&mut self) {
        let Self { net, peers, off, .. } = self;
        peers.retain(|peer| off.contains_key(peer) || net.devices[peer.0].room.status() != Status::Over);
    }

    fn pick(&mut self) -> Peer {
        self.peers[self.rng.random_range(0..self.peers.len())]
    }

    fn describe(&self) -> String {
        let one = |peer: &Peer| {
            let Device { room, events, .. } = &self.net.devices[peer.0];
            let end = events.iter().rev().find(|event| matches!(event, Event::Over(_)));
            format!(
                "{peer:?} {} {:?} {end:?} {:?} of {:?}, kept by {}, host {}",
                short(room.id()),
                room.status(),
                room.epoch(),
                room.roster().iter().map(|member| (short(member.id), member.role)).collect::<Vec<_>>(),
                room.keeper().map_or_else(String::new, short),
                room.host().map_or_else(String::new, short),
            )
        };
        self.peers.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// The beginning of a fingerprint.
fn short(id: MemberId) -> String {
    id.to_string().chars().take(4).collect()
}

/// The least that a message takes.
const BEST: Duration = Duration::from_millis(20);
/// What the room of one member may hold, in bytes, whatever was thrown at it.
const HEAVIEST: i64 = 2 << 20;
/// How long after the last blow everybody must be together.
const HEALS_WITHIN: Duration = Duration::from_secs(90);
