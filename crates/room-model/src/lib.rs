//! The keeper, withholding and forks as a model, looked at in every state that a relay can bring
//! about (SPEC sections 7.6 and 7.7).
//!
//! ```text
//! host 0, moderator 1, speaker 2: honest        somebody to be banned: listens, and works with the relay
//! relay: delivers any commit, heartbeat or echo that was ever made, to anybody, at any time, or never
//! ```
//!
//! Time goes in ticks of 5 s, the interval of heartbeats. Only ages count, and beyond 15 s all are
//! alike: so there is no last moment, and the states are finite. Three commits at most. That the
//! properties can fail is shown by taking rules out.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model, Property};

/// Members who keep to the rules, by rank.
const HONEST: usize = 3;
/// A proof of life is good for less than so many ticks.
const HOLDS: u8 = 2;
/// A keeper that was not heard for so many ticks is gone.
const SILENT: u8 = 1;
/// One epoch, and three commits.
const MAX_EPOCHS: usize = 4;

/// An epoch of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Epoch {
    parent: Option<u8>,
    keeper: u8,
    /// Whether the one who is to be banned is out.
    banned: bool,
    /// Since it began.
    age: u8,
    /// Since its keeper left it, if it has.
    left: Option<u8>,
    /// Since somebody else than its keeper was in it; none ever was if it is `HOLDS`.
    others: u8,
    /// How old the newest heartbeat is that somebody answered.
    echo: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Member {
    at: u8,
    /// How old the newest proof of life is.
    proof: u8,
    /// Since the keeper was heard.
    silence: u8,
    /// Whose branch it has to go to.
    rival: Option<u8>,
    knows_ban: bool,
}

/// The members, and every epoch that there ever was.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Room {
    epochs: Vec<Epoch>,
    members: [Member; HONEST],
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    Tick,
    /// A keeper commits: a ban, or anything else.
    Commit {
        by: u8,
        bans: bool,
    },
    TakeOver {
        by: u8,
    },
    /// The relay lets something through.
    Commits {
        to: u8,
        epoch: u8,
    },
    Beats {
        to: u8,
        epoch: u8,
        age: u8,
    },
    Echoes {
        epoch: u8,
        age: u8,
    },
    /// A keeper lets somebody back.
    Returns {
        member: u8,
    },
    GivesUp {
        member: u8,
    },
}

/// Which rules there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    All,
    /// Nobody asks for proof of life.
    NoHeartbeats,
    /// A commit is proof of life, whenever it comes.
    CommitsProve,
    /// Whoever comes back does not care for bans that it knows.
    NoOrders,
}

impl Room {
    fn new() -> Self {
        let first =
            Epoch { parent: None, keeper: 0, banned: false, age: 0, left: None, others: 0, echo: HOLDS };
        let member = Member { at: 0, proof: 0, silence: 0, rival: None, knows_ban: false };
        Self { epochs: vec![first], members: [member; HONEST] }
    }

    fn epoch(&self, index: u8) -> &Epoch {
        &self.epochs[usize::from(index)]
    }

    fn member(&self, index: u8) -> &Member {
        &self.members[usize::from(index)]
    }

    fn keeps(&self, member: u8) -> bool {
        self.epoch(self.member(member).at).keeper == member
    }

    fn depth(&self, epoch: u8) -> usize {
        self.epoch(epoch).parent.map_or(0, |parent| 1 + self.depth(parent))
    }

    /// Whether `epoch` comes after `before`, in its branch.
    fn descends(&self, epoch: u8, before: u8) -> bool {
        self.epoch(epoch).parent.is_some_and(|parent| parent == before || self.descends(parent, before))
    }

    fn sends(&self, rules: Rules, member: u8) -> bool {
        let member = self.member(member);
        rules == Rules::NoHeartbeats || member.proof < HOLDS && member.rival.is_none()
    }

    fn tick(&mut self) {
        for epoch in &mut self.epochs {
            let older = |age: u8| (age + 1).min(HOLDS);
            (epoch.age, epoch.echo) = (older(epoch.age), older(epoch.echo));
            (epoch.left, epoch.others) = (epoch.left.map(older), older(epoch.others));
        }
        for member in &mut self.members {
            member.proof = (member.proof + 1).min(HOLDS);
            member.silence = (member.silence + 1).min(SILENT);
        }
        self.note_places();
    }

    fn note_places(&mut self) {
        for index in 0..HONEST as u8 {
            let at = self.member(index).at;
            let epoch = &mut self.epochs[usize::from(at)];
            if epoch.keeper != index {
                epoch.others = 0;
            }
        }
    }

    /// Goes to an epoch, out of another.
    fn go(&mut self, index: u8, to: u8) {
        let from = self.member(index).at;
        if self.keeps(index) {
            self.epochs[usize::from(from)].left.get_or_insert(0);
        }
        let (next, before) = (*self.epoch(to), self.epoch(from).keeper);
        let banned = next.banned;
        let member = &mut self.members[usize::from(index)];
        (member.at, member.silence, member.rival) = (to, 0, None);
        if next.keeper != before && next.keeper != index {
            // What the keeper before proved is nothing of this one, which said something when it
            // was with us at best.
            member.proof = member.proof.max(next.age);
        }
        member.knows_ban |= banned;
        self.note_places();
    }

    fn begin(&mut self, by: u8, bans: bool) -> u8 {
        let parent = self.member(by).at;
        let next = self.epochs.len() as u8;
        let banned = self.epoch(parent).banned || bans;
        let (age, others, echo) = (0, HOLDS, HOLDS);
        let (parent, left) = (Some(parent), None);
        self.epochs.push(Epoch { parent, keeper: by, banned, age, left, others, echo });
        self.go(by, next);
        next
    }

    /// Whether a commit is merged when it comes.
    fn merges(&self, index: u8, epoch: u8) -> bool {
        let (member, epoch) = (self.member(index), self.epoch(epoch));
        let (before, gone) = (self.epoch(member.at).keeper, member.silence >= SILENT);
        epoch.parent == Some(member.at)
            && index != epoch.keeper
            // The keeper's own; a takeover that the keeper hears of; or one of a keeper that is
            // gone.
            && (epoch.keeper == before || before == index || gone || member.rival == Some(epoch.keeper))
    }

    fn merge(&mut self, rules: Rules, index: u8, epoch: u8) {
        self.go(index, epoch);
        if rules == Rules::CommitsProve {
            self.members[usize::from(index)].proof = 0;
        }
    }

    /// A heartbeat of an epoch's keeper, made so many ticks ago.
    fn hear(&mut self, index: u8, epoch: u8, age: u8) {
        let (own, by) = (self.member(index).at, self.epoch(epoch).keeper);
        let (keeper, keeps) = (self.epoch(own).keeper, self.keeps(index));
        let member = &mut self.members[usize::from(index)];
        if epoch == own {
            member.silence = 0;
            member.proof = member.proof.min(age);
            let answered = &mut self.epochs[usize::from(own)].echo;
            *answered = (*answered).min(age);
            return;
        }
        if self.descends(own, epoch) || by == index {
            return;
        }
        let ahead = self.descends(epoch, own);
        if by == keeper {
            let newer = (self.depth(epoch), own) > (self.depth(own), epoch);
            if ahead || newer {
                let member = &mut self.members[usize::from(index)];
                (member.silence, member.rival) = (0, Some(by));
            }
            return;
        }
        let member = &mut self.members[usize::from(index)];
        let lives = keeps || member.silence < SILENT;
        let better = member.rival.is_some_and(|rival| rival < by);
        if age < HOLDS && !better && (!lives || by < keeper) {
            member.rival = Some(by);
        }
    }

    /// The keeper that somebody is to go to lets it back, with the bans that it knows.
    fn can_return(&self, rules: Rules, index: u8) -> Option<u8> {
        let member = self.member(index);
        let to = self.member(member.rival?).at;
        let keeper = self.epoch(to).keeper;
        let there = Some(keeper) == member.rival && self.member(keeper).rival.is_none() && to != member.at;
        let accepted = rules == Rules::NoOrders || !member.knows_ban || self.epoch(to).banned;
        (there && accepted).then_some(to)
    }

    fn let_back(&mut self, index: u8, to: u8) {
        self.go(index, to);
        // Its KeyPackage was new.
        self.members[usize::from(index)].proof = 0;
    }

    /// Whether everybody is in one epoch soon after the relay has begun to deliver everything.
    fn heals(&self) -> bool {
        let mut room = self.clone();
        for _ in 0..ROUNDS {
            room.tick();
            for (by, to) in (0..HONEST as u8).flat_map(|by| (0..HONEST as u8).map(move |to| (by, to))) {
                let at = room.member(by).at;
                if by != to && room.keeps(by) && room.member(by).rival.is_none() {
                    let behind = room.member(to).at;
                    room.hear(to, at, 0);
                    // Others went on from its epoch without it: it parts, so that they do not take
                    // it for their past.
                    if room.keeps(to) && to < by && room.descends(at, behind) {
                        room.begin(to, false);
                    }
                }
            }
            for index in 0..HONEST as u8 {
                while let Some(next) = (0..room.epochs.len() as u8).find(|epoch| room.merges(index, *epoch)) {
                    room.merge(Rules::All, index, next);
                }
                let rival = room.member(index).rival;
                if let (true, Some(rival)) = (room.member(index).knows_ban, rival)
                    && room.keeps(rival)
                    && !room.epoch(room.member(rival).at).banned
                {
                    room.begin(rival, true);
                }
                match room.can_return(Rules::All, index) {
                    Some(to) => room.let_back(index, to),
                    // Of that keeper nothing is heard any more.
                    None if rival.is_some_and(|rival| !room.keeps(rival)) => {
                        room.members[usize::from(index)].rival = None;
                    }
                    None => {}
                }
                if room.takes_over(index) {
                    room.begin(index, false);
                }
            }
            let together = room.members.iter().all(|member| {
                member.at == room.members[0].at && member.rival.is_none() && member.proof < HOLDS
            });
            if together && room.keeps(room.epoch(room.members[0].at).keeper) {
                return true;
            }
            // Echoes, for keepers.
            for epoch in 0..room.epochs.len() as u8 {
                let (keeper, age) = (room.epoch(epoch).keeper, room.epoch(epoch).echo);
                if room.member(keeper).at == epoch {
                    let proof = &mut room.members[usize::from(keeper)].proof;
                    *proof = (*proof).min(age);
                }
            }
        }
        false
    }

    fn takes_over(&self, index: u8) -> bool {
        let member = self.member(index);
        !self.keeps(index) && member.rival.is_none() && member.silence >= SILENT
    }
}

/// How long the members have to come together: a minute and a half.
const ROUNDS: usize = 18;

impl Model for Rules {
    type State = Room;
    type Action = Act;

    fn init_states(&self) -> Vec<Room> {
        vec![Room::new()]
    }

    fn actions(&self, room: &Room, acts: &mut Vec<Act>) {
        acts.push(Act::Tick);
        let more = room.epochs.len() < MAX_EPOCHS;
        for by in 0..HONEST as u8 {
            let member = room.member(by);
            if more && room.keeps(by) && member.rival.is_none() {
                acts.push(Act::Commit { by, bans: false });
                if !room.epoch(member.at).banned {
                    acts.push(Act::Commit { by, bans: true });
                }
            }
            if more && room.takes_over(by) {
                acts.push(Act::TakeOver { by });
            }
            if member.rival.is_some() {
                acts.push(Act::GivesUp { member: by });
            }
            if room.can_return(*self, by).is_some() {
                acts.push(Act::Returns { member: by });
            }
            for epoch in 0..room.epochs.len() as u8 {
                if room.merges(by, epoch) {
                    acts.push(Act::Commits { to: by, epoch });
                }
                let Epoch { keeper, age: oldest, left, .. } = *room.epoch(epoch);
                if keeper != by {
                    let ages = [left.unwrap_or(0), oldest];
                    acts.extend(ages.map(|age| Act::Beats { to: by, epoch, age }));
                }
            }
        }
        for epoch in 0..room.epochs.len() as u8 {
            let Epoch { keeper, echo, .. } = *room.epoch(epoch);
            if room.member(keeper).at == epoch {
                acts.extend((echo < HOLDS).then_some(Act::Echoes { epoch, age: echo }));
            }
        }
    }

    fn next_state(&self, before: &Room, act: Act) -> Option<Room> {
        let mut room = before.clone();
        match act {
            Act::Tick => room.tick(),
            Act::Commit { by, bans } => {
                room.begin(by, bans);
                if *self == Self::CommitsProve {
                    room.members[usize::from(by)].proof = 0;
                }
            }
            Act::TakeOver { by } => {
                room.begin(by, false);
            }
            Act::Commits { to, epoch } => room.merge(*self, to, epoch),
            Act::Beats { to, epoch, age } => room.hear(to, epoch, age),
            Act::Echoes { epoch, age } => {
                let proof = &mut room.members[usize::from(before.epoch(epoch).keeper)].proof;
                *proof = (*proof).min(age);
            }
            Act::Returns { member } => {
                let to = before.can_return(*self, member)?;
                room.let_back(member, to);
            }
            Act::GivesUp { member } => room.members[usize::from(member)].rival = None,
        }
        (room != *before).then_some(room)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(STOPS, |rules: &Rules, room: &Room| {
                (0..HONEST as u8).filter(|member| room.sends(*rules, *member)).all(|member| {
                    let epoch = room.epoch(room.member(member).at);
                    match epoch.keeper == member {
                        true => epoch.others < HOLDS || epoch.age < HOLDS,
                        false => epoch.left.is_none_or(|left| left < HOLDS),
                    }
                })
            }),
            Property::always(BANNED, |rules: &Rules, room: &Room| {
                (0..HONEST as u8).filter(|member| room.sends(*rules, *member)).all(|index| {
                    let member = room.member(index);
                    !member.knows_ban || room.epoch(member.at).banned
                })
            }),
            Property::always(HEALS, |_, room: &Room| room.heals()),
            // It happens at all: otherwise nothing would be shown.
            Property::sometimes("a fork", |_, room: &Room| {
                let at = room.members.map(|member| member.at);
                at.iter()
                    .any(|a| at.iter().any(|b| a != b && !room.descends(*a, *b) && !room.descends(*b, *a)))
            }),
            Property::sometimes("everybody knows of the ban", |_, room: &Room| {
                room.members.iter().all(|member| member.knows_ban && member.proof == 0)
            }),
        ]
    }
}

/// What must always be.
pub const STOPS: &str =
    "nobody sends in an epoch that its keeper left 15 s ago, and no keeper that the others left";
/// What must always be.
pub const BANNED: &str = "who knows of a ban never again sends to the banned";
const HEALS: &str = "with a relay that delivers, all are in one epoch within 90 s";

/// Looks at every state, and panics if something is not as it must be. Returns how many states
/// there are, and how many steps between them.
pub fn look_at_all() -> (usize, usize) {
    let checker = Rules::All.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    checker.assert_properties();
    (checker.unique_state_count(), checker.state_count())
}

/// What a relay has to do to break a property where some rules are missing; `None` if it cannot.
pub fn way_to_break(rules: Rules, property: &'static str) -> Option<String> {
    let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = rules.checker().threads(2).finish_when(found).spawn_bfs().join();
    checker.discovery(property).map(|path| format!("{:?}", path.into_actions()))
}
