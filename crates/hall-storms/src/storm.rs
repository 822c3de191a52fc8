//! One storm: what is played, and what came of it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sottovoce::{
    MemberId,
    group::Role,
    room::{Invite, InviteOptions},
    stage::HallLane,
    testkit::{Hearing, LookedAt},
};
use sottovoce_stage_sim::{Network, Node, Setup, World};

use crate::{bans::Banned, judge::Eye, scenes::Scene};

/// What a storm is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub listeners: usize,
    /// Hostile listeners; a third as many people of rank are hostile too.
    pub insiders: usize,
    /// How long the trouble lasts.
    pub minutes: f64,
    /// Nothing but this scene.
    pub only: Option<Scene>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub violations: Vec<String>,
    pub scenes: Vec<Scene>,
    pub lasted: Duration,
    pub healed: Option<Duration>,
    pub tally: Tally,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub tricks: usize,
    pub packets: usize,
    pub opened: u64,
    pub bans: usize,
    pub turns: usize,
    /// The latest that somebody banned opened what was sealed after its ban.
    pub deaf: Duration,
    /// Messages on one own lane in 10 s, and bytes that an honest listener, and somebody honest on
    /// the stage, sent in 60 s: the most.
    pub own_in_10_s: usize,
    pub listener_bytes: u64,
    pub stage_bytes: u64,
    /// Lanes that one listener was on at a time, and cells that it came to in 60 s: the most.
    pub lanes: usize,
    pub cells: usize,
}

/// What the relay withholds.
#[derive(Default)]
pub(crate) struct Cut {
    pub(crate) room: HashSet<(usize, usize)>,
    /// Sides of a division, by party.
    pub(crate) side: Option<u64>,
    pub(crate) cells_of: HashSet<usize>,
    pub(crate) ears: HashSet<usize>,
}

impl Cut {
    fn withholds(&self, from: Node, to: Node, lane: Option<HallLane>) -> bool {
        let side = |node: Node| match (self.side, node) {
            (None, _) => 0,
            (Some(by), Node::Stage(index)) => by >> (index % 16) & 1,
            (Some(by), Node::Ear(index)) => by >> (16 + index % 48) & 1,
        };
        let pair = matches!((from, to), (Node::Stage(a), Node::Stage(b)) if self.room.contains(&(a, b)));
        let cell = matches!(from, Node::Stage(a) if self.cells_of.contains(&a))
            && matches!(lane, Some(HallLane::Cell { .. } | HallLane::Own(_)));
        let ear = matches!(to, Node::Ear(index) if self.ears.contains(&index))
            && matches!(lane, Some(HallLane::Cell { .. }));
        side(from) != side(to) || pair || cell || ear
    }
}

pub(crate) struct Storm {
    pub(crate) plan: Plan,
    pub(crate) world: World,
    pub(crate) rng: StdRng,
    pub(crate) porters: usize,
    /// Hostile listeners.
    pub(crate) liars: BTreeSet<usize>,
    /// People of rank who lie, and all on the stage who are not held to rules any more.
    pub(crate) lying: Vec<usize>,
    pub(crate) false_members: BTreeSet<usize>,
    pub(crate) banned: Vec<Banned>,
    /// Who came back after a ban, and as whom.
    pub(crate) returned: Vec<(usize, usize)>,
    pub(crate) without_right: BTreeSet<MemberId>,
    pub(crate) turned_away: BTreeSet<MemberId>,
    pub(crate) revoked: Option<Invite>,
    pub(crate) recorded: VecDeque<(usize, HallLane, Bytes)>,
    pub(crate) knocks: Vec<Bytes>,
    /// Epochs that liars made.
    pub(crate) lied: BTreeSet<LookedAt>,
    pub(crate) wrong_clocks: BTreeSet<usize>,
    pub(crate) eye: Eye,
    pub(crate) calm_since: Option<Duration>,
    pub(crate) violations: Vec<String>,
    pub(crate) tally: Tally,
    pub(crate) cut: Rc<RefCell<Cut>>,
    pub(crate) active: BTreeMap<Scene, Duration>,
    pub(crate) played: BTreeSet<Scene>,
}

/// Plays a storm.
pub fn storm(plan: Plan) -> Report {
    let mut storm = Storm::new(plan);
    let begin = storm.world.now();
    let end = begin + Duration::from_secs_f64(plan.minutes * 60.0);
    let mut next = begin;
    while storm.world.now() < end {
        if next <= storm.world.now() {
            next = storm.world.now() + Duration::from_millis(storm.rng.random_range(2_000..7_000));
            storm.begin_scene();
        }
        storm.act();
        storm.step();
    }
    storm.calm_down();
    let healed = storm.heal();
    storm.tally.turns = storm.world.turns;
    Report {
        lasted: storm.world.now(),
        violations: storm.violations,
        scenes: storm.played.into_iter().collect(),
        healed,
        tally: storm.tally,
    }
}

impl Storm {
    fn new(plan: Plan) -> Self {
        let mut rng = StdRng::seed_from_u64(plan.seed ^ 0x4a11);
        let porters = 3 + usize::from(rng.random::<bool>());
        let speakers = rng.random_range(1..4);
        let setup = Setup { seed: plan.seed, porters, speakers, network: FAIR, sample: plan.listeners / 8 };
        let mut world = World::new(setup);
        world.tick = Duration::from_millis(100);
        let mut liars = BTreeSet::new();
        for _ in 0..plan.listeners {
            world.join();
            world.run_for(Duration::from_millis(20));
        }
        for _ in 0..plan.insiders {
            liars.insert(world.join());
        }
        world.run_for(Duration::from_secs(3));
        let lying = if plan.insiders == 0 { Vec::new() } else { vec![porters - 1] };
        let cut = Rc::new(RefCell::new(Cut::default()));
        let by = Rc::clone(&cut);
        world.withholds = Some(Box::new(move |from, to, lane| by.borrow().withholds(from, to, lane)));
        (world.spoke, world.reached, world.knocked) = (Some(Vec::new()), Some(Vec::new()), Some(Vec::new()));
        world.tape = Some(Vec::new());
        let mut revoked = None;
        world.member(0, |host, now| {
            let mut options = InviteOptions::default();
            options.role = Some(Role::Listener);
            revoked = host.room.invite(options, now).ok();
            if let Some(last) = host.room.invites().last() {
                let _ = host.room.revoke_invite(last.id, now);
            }
        });
        let calm_since = Some(world.now());
        Self {
            plan,
            world,
            rng,
            porters,
            liars,
            false_members: lying.iter().copied().collect(),
            lying,
            banned: Vec::new(),
            returned: Vec::new(),
            without_right: BTreeSet::new(),
            turned_away: BTreeSet::new(),
            revoked,
            recorded: VecDeque::new(),
            knocks: Vec::new(),
            lied: BTreeSet::new(),
            wrong_clocks: BTreeSet::new(),
            eye: Eye::default(),
            calm_since,
            violations: Vec::new(),
            tally: Tally::default(),
            cut,
            active: BTreeMap::new(),
            played: BTreeSet::new(),
        }
    }

    /// A tenth of a second, and everything that must hold after it.
    fn step(&mut self) {
        let speaker = self.rng.random_range(0..self.world.members.len());
        self.world.speaker = Some(speaker);
        self.world.run_for(Duration::from_millis(100));
        self.judge();
    }

    /// How long it takes until everybody honest hears.
    fn heal(&mut self) -> Option<Duration> {
        let begin = self.world.now();
        for round in 0..HEALS {
            // Whoever was lied to about an epoch hears again after the next turn.
            if round % 5 == 0
                && let Some(index) = self.world.anybody().filter(|index| !self.liars.contains(index))
            {
                self.leave(index);
            }
            let before = self.hearing();
            for index in before.keys() {
                self.world.watched.insert(*index);
            }
            for _ in 0..20 {
                self.act();
                self.step();
            }
            let after = self.hearing();
            let deaf: Vec<_> = after
                .iter()
                .filter(|(index, opened)| before.get(*index) == Some(*opened))
                .map(|(i, _)| *i)
                .collect();
            if deaf.is_empty() {
                return Some(self.world.now() - begin);
            }
            if round + 1 == HEALS {
                for index in deaf.iter().take(3) {
                    let ear = self.world.ears[*index].as_ref();
                    let what =
                        ear.map(|ear| (ear.epoch, ear.joined, ear.events.last().map(|it| format!("{it:?}"))));
                    let stage: Vec<_> = self.world.members.iter().map(|it| (it.dead, it.epoch)).collect();
                    self.violations.push(format!(
                        "H11: {} of {} are deaf {:?} after trouble ended: {index} {what:?} {stage:?}",
                        deaf.len(),
                        after.len(),
                        self.world.now() - begin
                    ));
                }
            }
        }
        None
    }

    /// What honest listeners have opened. Those of a porter that lies are left out: it can keep
    /// them deaf for as long as they stay (`spec/stage.md`, section 8).
    fn hearing(&self) -> BTreeMap<usize, u64> {
        let honest = self.world.present().iter().filter(|index| self.is_honest_ear(**index));
        let opened = honest.filter_map(|index| {
            let ear = self.world.ears[*index].as_ref()?;
            let porter = Hearing::of(&ear.listener, self.world.instant()).map(|hearing| hearing.porter);
            if self.lying_porter(porter) {
                return None;
            }
            (!ear.over && ear.joined + Duration::from_secs(10) < self.world.now())
                .then_some((*index, ear.watch.opened))
        });
        opened.collect()
    }

    /// Whether this is the door of a porter that lies.
    pub(crate) fn lying_porter(&self, door: Option<[u8; 16]>) -> bool {
        let stages = self.false_members.iter().filter_map(|index| self.world.members[*index].stage.as_ref());
        door.is_some() && stages.into_iter().any(|stage| stage.porter() == door)
    }

    pub(crate) fn is_honest(&self, index: usize) -> bool {
        !self.world.members[index].dead && !self.false_members.contains(&index)
    }

    pub(crate) fn is_honest_ear(&self, index: usize) -> bool {
        !self.liars.contains(&index) && !self.is_banned(index)
    }

    pub(crate) fn is_banned(&self, index: usize) -> bool {
        self.world.ears[index].as_ref().is_none_or(|ear| ear.stubborn)
    }

    pub(crate) fn honest_porter(&mut self) -> Option<usize> {
        let honest: Vec<_> = (0..self.porters).filter(|index| self.is_honest(*index)).collect();
        if honest.is_empty() { None } else { Some(honest[self.rng.random_range(0..honest.len())]) }
    }

    pub(crate) fn head_is_honest(&self) -> bool {
        let leads = |index: &usize| {
            let member = &self.world.members[*index];
            !member.dead && member.stage.as_ref().is_some_and(|stage| stage.leads())
        };
        let heads: Vec<_> = (0..self.world.members.len()).filter(leads).collect();
        !heads.is_empty() && heads.iter().all(|head| self.is_honest(*head))
    }
}

pub(crate) const FAIR: Network =
    Network { round_trip: Duration::from_millis(100), loss_ppm: 20_000, jitter: Duration::from_millis(10) };
/// Rounds of two seconds until all have to hear.
const HEALS: usize = 40;
