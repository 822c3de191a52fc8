//! All parties, what is under way between them, and what is held against them.

mod due;
mod storm;
mod traffic;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sottovoce::{
    CaptureTime, MemberId, Sealer, Seed, Stamp,
    group::{Identity, Name, Role},
    media::{HEADROOM, TAILROOM},
    room::{Admission, Invite, InviteOptions, Room, RoomOptions, UnixTime},
    stage::{AudienceError, HallLane, Listener, Stage},
};

use self::due::{Due, What};
use crate::{
    audience::Ear,
    line::{Line, Network},
    onstage::Member,
    packets::opus,
};

/// Somebody, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    Stage(usize),
    Ear(usize),
}

/// How a world begins.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub seed: u64,
    /// Host and moderators, each a porter.
    pub porters: usize,
    /// Speakers beside them.
    pub speakers: usize,
    pub network: Network,
    /// How many listeners, of those that nobody watches, each packet goes to.
    pub sample: usize,
}

impl Default for Setup {
    fn default() -> Self {
        let network = Network {
            round_trip: Duration::from_millis(100),
            loss_ppm: 20_000,
            jitter: Duration::from_millis(10),
        };
        Self { seed: 1, porters: 3, speakers: 2, network, sample: 4 }
    }
}

/// What a relay has recorded of the control lanes: when it was sent, on which lane.
pub type Tape = Vec<(Duration, HallLane, Bytes)>;
/// A control message that a listener took, or not.
pub struct Reached {
    pub to: usize,
    pub lane: HallLane,
    pub bytes: Bytes,
    pub taken: Result<(), AudienceError>,
}
/// Which messages a relay keeps back: from whom to whom, and the lane if it is not the room's.
pub type Withholds = Box<dyn Fn(Node, Node, Option<HallLane>) -> bool>;

/// A packet as it was sealed: when, by which member of the stage, and its bytes.
pub type Spoken = (Duration, usize, Rc<[u8]>);

/// A stage room with its audience.
pub struct World {
    start: Instant,
    unix: UnixTime,
    now: Duration,
    due: BinaryHeap<Reverse<Due>>,
    number: u64,
    pub members: Vec<Member>,
    pub ears: Vec<Option<Ear>>,
    seeds: Vec<[u8; 32]>,
    pub invite: Invite,
    line: Line,
    pub rng: StdRng,
    lanes: HashMap<HallLane, Vec<usize>>,
    /// Who gets every packet, and who has opened none yet.
    pub watched: HashSet<usize>,
    waiting: HashSet<usize>,
    present: Vec<usize>,
    /// Index into `members` of who speaks; `None` is silence.
    pub speaker: Option<usize>,
    spoken: u64,
    sample: usize,
    first_sent: BTreeMap<u64, Duration>,
    pub turns: usize,
    /// The longest that anybody who was in missed at a turn, and who.
    pub missed: (Duration, usize),
    /// How often somebody went over to an epoch, and how often more than 200 ms too late.
    pub turned: usize,
    /// How many packets the speaker had no key for.
    pub unsaid: usize,
    pub late: usize,
    pub joins: Vec<Duration>,
    /// How many messages came to listeners, by lane and size.
    pub traffic: BTreeMap<(&'static str, usize), u64>,
    /// What a relay withholds: true is withheld.
    pub withholds: Option<Withholds>,
    pub tape: Option<Tape>,
    pub packets: Option<Vec<(Duration, Rc<[u8]>)>>,
    pub violations: Vec<String>,
    /// For storms: what was sealed, when and by whom; and what reached a listener.
    pub spoke: Option<Vec<Spoken>>,
    pub reached: Option<Vec<Reached>>,
    pub knocked: Option<Vec<Bytes>>,
    /// Listeners that are asleep: nothing reaches them, and their timers wait.
    pub asleep: HashSet<usize>,
    /// How far apart packets are.
    pub tick: Duration,
    timers: HashMap<usize, Duration>,
}

impl World {
    /// A stage with its porters and speakers, all present, whose hall has begun.
    pub fn new(setup: Setup) -> Self {
        let mut rng = StdRng::seed_from_u64(setup.seed);
        // MLS looks at the time of day itself.
        let (start, unix) = (Instant::now(), UnixTime::from(std::time::SystemTime::now()));
        let name = Name::new("Evening hall").expect("a name");
        let relay = "relay.example:4433".parse().expect("a relay");
        let mut options = RoomOptions::new(name, [relay]);
        options.admission = Admission::Open;
        options.default_role = Role::Speaker;
        let host = identity(rng.random());
        let mut room = Room::create(host, options, seed(&mut rng), start, unix).expect("a room");
        let mut audience = InviteOptions::default();
        audience.role = Some(Role::Listener);
        let to_stage = room.invite(InviteOptions::default(), start).expect("an invite");
        let invite = room.invite(audience, start).expect("an invite");
        let mut world = Self {
            start,
            unix,
            now: Duration::ZERO,
            due: BinaryHeap::new(),
            number: 0,
            members: vec![Member::new(room)],
            ears: Vec::new(),
            seeds: Vec::new(),
            invite,
            line: Line::new(setup.network, setup.seed ^ 0x5eed),
            rng,
            lanes: HashMap::new(),
            watched: HashSet::new(),
            waiting: HashSet::new(),
            present: Vec::new(),
            speaker: None,
            spoken: 0,
            sample: setup.sample,
            first_sent: BTreeMap::new(),
            turns: 0,
            missed: (Duration::ZERO, 0),
            turned: 0,
            unsaid: 0,
            late: 0,
            joins: Vec::new(),
            traffic: BTreeMap::new(),
            withholds: None,
            tape: None,
            packets: None,
            violations: Vec::new(),
            spoke: None,
            reached: None,
            knocked: None,
            asleep: HashSet::new(),
            tick: TICK,
            timers: HashMap::new(),
        };
        world.member(0, |_, _| {});
        for _ in 1..setup.porters + setup.speakers {
            let to_stage = to_stage.copy();
            world.come_on_stage(to_stage, None);
        }
        for index in 1..setup.porters {
            let member = world.members[index].id;
            world.member(0, |host, now| {
                host.room.set_role(member, Role::Moderator, now).expect("the host promotes");
            });
            world.run_for(Duration::from_secs(3));
        }
        for index in 0..world.members.len() {
            world.go_on_stage(index);
        }
        world.run_for(Duration::from_secs(13));
        world.push(world.now, What::Tick);
        world.speaker = Some(setup.porters.min(world.members.len() - 1));
        world
    }

    /// Somebody joins the stage's room. Returns its index.
    pub fn come_on_stage(&mut self, invite: Invite, identity: Option<Identity>) -> usize {
        let who = identity.unwrap_or_else(|| self::identity(self.rng.random()));
        let (now, unix) = (self.instant(), self.unix_now());
        let room = Room::join(who, invite, seed(&mut self.rng), now, unix).expect("an invite that is good");
        self.members.push(Member::new(room));
        let index = self.members.len() - 1;
        self.member(index, |_, _| {});
        // A badge follows its table within a minute, and an invite wants the badge of its table.
        for _ in 0..800 {
            if !self.members[index].room.roster().is_empty() {
                return index;
            }
            self.run_for(Duration::from_millis(100));
        }
        let refused: Vec<_> = self.members.iter().map(|member| &member.refused).collect();
        panic!("member {index} did not come in: {refused:?}");
    }

    /// A member whose room is entered takes its part in the hall.
    pub fn go_on_stage(&mut self, index: usize) {
        let now = self.instant();
        let fresh = seed(&mut self.rng);
        self.member(index, |member, _| {
            member.stage = Some(Stage::new(&mut member.room, fresh, now).expect("a signed room"));
        });
    }

    pub fn now(&self) -> Duration {
        self.now
    }

    pub fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn unix_now(&self) -> UnixTime {
        UnixTime::from_secs(self.unix.as_secs() + self.now.as_secs())
    }

    /// Somebody knocks at the audience's doors. Returns its index.
    pub fn join(&mut self) -> usize {
        let seed = self.rng.random();
        self.seeds.resize(self.ears.len(), [0; 32]);
        self.seeds.push(seed);
        let invite = self.invite.copy();
        self.join_as(identity(seed), invite)
    }

    /// The same, by an identity and an invite.
    pub fn join_as(&mut self, who: Identity, invite: Invite) -> usize {
        self.join_at(who, invite, 0)
    }

    /// The same, by a wall clock that is wrong by so many seconds.
    pub fn join_at(&mut self, who: Identity, invite: Invite, wrong_by: i64) -> usize {
        let (now, id) = (self.instant(), who.id());
        let unix = UnixTime::from_secs(self.unix_now().as_secs().saturating_add_signed(wrong_by));
        let listener = Listener::join(who, invite, seed(&mut self.rng), now, unix).expect("a good invite");
        self.ears.push(Some(Ear::new(listener, id, self.now)));
        let index = self.ears.len() - 1;
        self.waiting.insert(index);
        self.present.push(index);
        self.ear(index, |listener, now| {
            listener.handle_timeout(now);
            Ok(())
        });
        index
    }

    /// Somebody whose listener is over comes again.
    pub fn join_again(&mut self, index: usize, invite: Invite) -> usize {
        let who = identity(self.seeds[index]);
        self.join_as(who, invite)
    }

    /// Somebody who listens goes up by an invite to the stage, and leaves the audience.
    pub fn come_up(&mut self, index: usize, invite: Invite) -> usize {
        let who = identity(self.seeds[index]);
        let on_stage = self.come_on_stage(invite, Some(who));
        self.leave(index);
        self.go_on_stage(on_stage);
        on_stage
    }

    /// Somebody leaves, and says so.
    pub fn leave(&mut self, index: usize) {
        self.ear(index, |listener, now| {
            listener.leave(now);
            Ok(())
        });
        self.forget(index);
    }

    /// Somebody is gone, and says nothing. Its state comes back.
    pub fn take_out(&mut self, index: usize) -> Option<Ear> {
        let ear = self.ears[index].take();
        if let Some(ear) = &ear {
            for lane in &ear.lanes {
                unsubscribe(&mut self.lanes, *lane, index);
            }
        }
        self.forget(index);
        ear
    }

    fn forget(&mut self, index: usize) {
        self.present.retain(|other| *other != index);
        self.watched.remove(&index);
        self.waiting.remove(&index);
        self.line.forget(Node::Ear(index));
        if let Some(ear) = self.ears[index].take() {
            for lane in &ear.lanes {
                unsubscribe(&mut self.lanes, *lane, index);
            }
        }
    }

    /// Who is in the audience, by index.
    pub fn present(&self) -> &[usize] {
        &self.present
    }

    /// A random one of those who hear.
    pub fn anybody(&mut self) -> Option<usize> {
        for _ in 0..64 {
            let at = self.rng.random_range(0..self.present.len().max(1));
            let index = *self.present.get(at)?;
            let hears = self.ears[index].as_ref().is_some_and(|ear| ear.heard.is_some() && !ear.over);
            if hears && !self.watched.contains(&index) {
                return Some(index);
            }
        }
        None
    }

    /// Lets a member of the stage act, and sends what leaves it.
    pub fn member(&mut self, index: usize, act: impl FnOnce(&mut Member, Instant)) {
        let now = self.instant();
        if self.members[index].dead {
            return;
        }
        let left = self.members[index].pump(now, |member| act(member, now));
        self.send_from_stage(index, left);
        self.plan_member(index);
    }

    fn is_withheld(&self, from: Node, to: Node, lane: Option<HallLane>) -> bool {
        self.withholds.as_ref().is_some_and(|withholds| withholds(from, to, lane))
    }

    fn plan_member(&mut self, index: usize) {
        if let Some(due) = self.members[index].due() {
            let at = self.since(due);
            if self.timers.get(&index).is_none_or(|planned| *planned <= self.now || at < *planned) {
                self.timers.insert(index, at);
                self.push(at, What::Timer(Node::Stage(index)));
            }
        }
    }

    fn plan_ear(&mut self, index: usize) {
        let now = self.instant();
        let Some(due) = self.ears[index].as_ref().and_then(|ear| ear.due(now)) else { return };
        let at = self.since(due);
        let Some(ear) = self.ears[index].as_mut() else { return };
        if ear.timer.is_none_or(|planned| planned <= self.now || at < planned) {
            ear.timer = Some(at);
            self.push(at, What::Timer(Node::Ear(index)));
        }
    }

    fn since(&self, due: Instant) -> Duration {
        due.saturating_duration_since(self.start).max(self.now + Duration::from_millis(1))
    }

    fn push(&mut self, at: Duration, what: What) {
        self.number += 1;
        self.due.push(Reverse(Due { at, number: self.number, what }));
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    pub fn run_until(&mut self, until: Duration) {
        while self.due.peek().is_some_and(|Reverse(due)| due.at <= until) {
            let Some(Reverse(due)) = self.due.pop() else { break };
            self.now = due.at.max(self.now);
            self.happen(due.what);
        }
        self.now = until.max(self.now);
    }

    /// Finds an ear by fingerprint.
    pub fn find(&self, member: MemberId) -> Option<usize> {
        self.present
            .iter()
            .copied()
            .find(|index| self.ears[*index].as_ref().is_some_and(|ear| ear.id == member))
    }

    /// What must hold at any time: whoever hears one epoch reads one code.
    pub fn check(&mut self) {
        let mut codes = BTreeMap::new();
        let mut broken = Vec::new();
        for index in &self.present {
            let Some(ear) = &self.ears[*index] else { continue };
            let (Some(epoch), Some(code)) = (ear.listener.epoch(), ear.listener.code()) else { continue };
            let first = codes.entry(epoch.0).or_insert((code, *index));
            if first.0 != code {
                broken.push(format!("epoch {}: {} and {index} read two codes", epoch.0, first.1));
            }
        }
        self.violations.extend(broken);
    }
}

/// Seals one packet; `None` if nothing may be sealed. With it comes the hall epoch.
pub fn seal(sealer: &mut Sealer, number: u64, captured: CaptureTime) -> Option<(Vec<u8>, u64)> {
    let packet = opus(number);
    let mut buffer = [0; HEADROOM + 240 + TAILROOM];
    buffer[HEADROOM..HEADROOM + packet.len()].copy_from_slice(&packet);
    let (epoch, _) = sealer.position()?;
    let sealed = sealer.seal(&mut buffer, packet.len(), Stamp { captured, ..Stamp::default() }).ok()?;
    Some((sealed.to_vec(), epoch.0))
}

/// An identity from a seed.
pub fn identity(seed: [u8; 32]) -> Identity {
    let name = format!("L{:02x}{:02x}{:02x}", seed[0], seed[1], seed[2]);
    Identity::from_seed(seed, Name::new(&name).expect("a name"))
}

fn seed(rng: &mut StdRng) -> Seed {
    Seed::from_bytes(&mut rng.random())
}

fn unsubscribe(lanes: &mut HashMap<HallLane, Vec<usize>>, lane: HallLane, index: usize) {
    if let Some(on) = lanes.get_mut(&lane) {
        on.retain(|other| *other != index);
        if on.is_empty() {
            lanes.remove(&lane);
        }
    }
}

const TICK: Duration = Duration::from_millis(20);
