//! Every sequence of relay, honest act and insider's action up to a depth, then quiet steps.

use std::collections::BTreeMap;

use crate::{
    acts::Act,
    insider::Strategy,
    menu::MENU,
    room::{F, H, K, M, Ms, PEOPLE_OF_MENU, Phase, Room, V, X},
    rules::Rules,
};

/// One choice of each in one step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub(crate) relay: usize,
    pub(crate) act: usize,
    pub(crate) insider: usize,
}

/// How far to look.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// How many steps have a choice.
    pub depth: usize,
    /// How many of the four relays.
    pub relays: usize,
    /// How many of the five honest acts.
    pub acts: usize,
    /// How many of the four starts.
    pub starts: usize,
}

/// What was found: states, and each violation with how often.
#[derive(Debug, Default)]
pub struct Found {
    /// States looked at.
    pub states: u64,
    /// Sequences that were followed to their end.
    pub sequences: u64,
    /// Violations.
    pub violations: BTreeMap<String, u64>,
}

/// How much time one choice takes: two seconds and a half.
const EACH: usize = 5;
/// How long it is quiet afterwards.
const QUIET: Ms = 22_000;

/// Looks at every sequence.
pub fn look(rules: Rules, reach: Reach) -> Found {
    let mut found = Found::default();
    for start in starts(rules).into_iter().take(reach.starts) {
        go(&start, reach, reach.depth, &mut found);
    }
    found
}

fn go(room: &Room, reach: Reach, left: usize, found: &mut Found) {
    for relay in 0..reach.relays {
        for act in 0..reach.acts {
            for insider in 0..MENU {
                let mut next = room.clone();
                next.choose(Step { relay, act, insider });
                found.states += 1;
                if next.violations.is_empty() && left > 1 {
                    go(&next, reach, left - 1, found);
                    continue;
                }
                if next.violations.is_empty() {
                    found.sequences += 1;
                    next.be_quiet();
                }
                for violation in next.violations {
                    *found.violations.entry(violation).or_default() += 1;
                }
            }
        }
    }
}

/// Four rooms in which K is hostile: X in the tree or out, V in or a newcomer, F hostile or not.
fn starts(rules: Rules) -> Vec<Room> {
    let mut starts: Vec<Room> = Vec::new();
    let mut seed = 0;
    while starts.len() < 4 {
        seed += 1;
        let mut room = Room::new(rules, seed, false);
        room.begin();
        let present = |who: usize| room.members[who].phase == Phase::Present;
        let f = starts.len() % 2 == 1;
        let v = if starts.len() < 2 { present(V) } else { room.members[V].phase == Phase::Joining };
        let law = &room.members[H].law;
        let fits = room.people == PEOPLE_OF_MENU
            && present(H)
            && present(M)
            && present(K)
            && v
            && room.hostile[K]
            && room.hostile[X]
            && room.hostile[F] == f
            && !room.hostile[H]
            && !room.hostile[M]
            && law.rank[M] == 1
            && room.members.iter().all(|member| member.ahead == 0)
            && room.insider.strategy == Strategy::Chance;
        if fits {
            // Chance has no part in it.
            room.relay.hostile = false;
            starts.push(room);
        }
    }
    starts
}

impl Room {
    fn choose(&mut self, step: Step) {
        for which in 0..EACH {
            let acts = [
                None,
                Some((H, Act::Ban, X)),
                Some((M, Act::Ban, X)),
                Some((H, Act::Demote, M)),
                Some((H, Act::HandOver, V)),
            ];
            // Each choice is made once, in its first half second.
            let now = if which == 0 { step } else { Step { act: 0, insider: 0, ..step } };
            self.script = Some(now);
            self.set_links(now.relay);
            if let Some((by, act, who)) = acts[now.act]
                && self.members[by].phase == Phase::Present
            {
                self.sign(by, act, who as u8);
            }
            self.step();
            if !self.violations.is_empty() {
                return;
            }
        }
    }

    fn set_links(&mut self, relay: usize) {
        let hostile = self.hostile;
        self.relay.hostile = false;
        for a in 0..crate::law::PEOPLE {
            for b in 0..crate::law::PEOPLE {
                self.relay.link[a][b] = match relay {
                    0 => true,
                    1 => hostile[a],
                    2 => a != V && b != V || hostile[a] || hostile[b],
                    _ => a != H && b != H,
                };
            }
        }
    }

    fn be_quiet(&mut self) {
        let end = self.now + QUIET;
        while self.now < end && self.violations.is_empty() {
            self.script = Some(Step { relay: 0, act: 0, insider: 0 });
            self.set_links(0);
            self.step();
        }
    }
}
