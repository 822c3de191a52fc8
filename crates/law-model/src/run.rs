//! One run: a room that has a past, some time of trouble, and the time in which it has to heal.

use crate::{
    acts::{Act, Signer, sign},
    law::{Content, PEOPLE, Statement},
    room::{LONG_AGO, M, Ms, NAMES, Phase, Room, STEP, X},
    rules::{Rule, Rules},
};

/// How long a room has to heal.
const HEALING: Ms = 150_000;
/// A commit may be under way at any moment: once in this time everything has to be right.
const ONCE_IN: Ms = 40_000;

/// Runs a seed, and returns the room with what went wrong.
pub fn run(rules: Rules, seed: u64, trace: bool) -> Room {
    run_with(rules, seed, false, trace)
}

/// The same, with clocks that are wrong by up to ten minutes.
pub fn run_with(rules: Rules, seed: u64, wrong_clocks: bool, trace: bool) -> Room {
    let mut room = Room::new(rules, seed, trace);
    room.wrong_clocks = wrong_clocks;
    room.begin();
    let trouble = 10_000 + 1_000 * room.random.below(90) as Ms;
    let end = room.now + trouble;
    while room.now < end && room.violations.is_empty() {
        room.step();
    }
    room.healing = true;
    room.insider.goes_on = room.random.one_in(2);
    let end = room.now + HEALING;
    while room.now < end && room.violations.is_empty() {
        room.step();
    }
    if !room.violations.is_empty() {
        return room;
    }
    let mut last = Vec::new();
    let end = room.now + ONCE_IN;
    while room.now < end {
        room.check_healed();
        if room.violations.is_empty() {
            return room;
        }
        last = std::mem::take(&mut room.violations);
        room.step();
        if !room.violations.is_empty() {
            return room;
        }
    }
    room.violations = last;
    room
}

impl Room {
    /// One step of everybody.
    pub(crate) fn step(&mut self) {
        self.now += STEP;
        self.tend_relay();
        for r in 0..self.people {
            if !self.hostile[r] && !matches!(self.members[r].phase, Phase::Away | Phase::Over) {
                self.deliver(r);
                self.think(r);
            }
        }
        if !self.healing {
            self.come_and_go();
        }
        self.tend_insider();
        self.was_in.resize(self.epochs.len(), [LONG_AGO; PEOPLE]);
        for r in 0..self.people {
            if let (Phase::Present, Some(at), false) =
                (self.members[r].phase, self.members[r].at, self.hostile[r])
            {
                self.was_in[at][r] = self.now;
            }
        }
        for r in
            (0..self.people).filter(|r| !self.hostile[*r] && matches!(self.members[*r].phase, Phase::Present))
        {
            for who in 0..PEOPLE {
                if self.members[r].law.rank[who] > 0 {
                    self.had_rank[who] = self.now;
                }
            }
        }
    }

    /// What one honest member does in a step.
    pub(crate) fn think(&mut self, r: usize) {
        let now = self.now;
        for who in 0..PEOPLE {
            if self.members[r].law.admits(who) {
                self.members[r].admitted[who] = now;
            }
        }
        let truth = self.true_law(self.members[r].known, self.members[r].pins);
        for who in 0..PEOPLE {
            if truth.admits(who) {
                self.members[r].truly_admitted[who] = now;
            }
            if truth.rank[who] > 0 {
                self.members[r].ranked[who] = now;
            }
        }
        if self.is_over(r) {
            (self.members[r].phase, self.members[r].at) = (Phase::Over, None);
            return;
        }
        if self.members[r].phase == Phase::Present {
            self.merge_pending(r);
        }
        self.tend_welcomes(r);
        self.tend_joining(r);
        self.act_as_people_do(r);
        self.tend_door(r);
        self.tend_returning(r);
        self.take_over(r);
        self.renew(r);
        self.keep(r);
        self.beat(r);
        self.tend_showing(r);
        self.found(r);
        self.seal(r);
    }

    /// What users of rank do.
    pub(crate) fn act_as_people_do(&mut self, r: usize) {
        let member = &self.members[r];
        let (now, phase) = (self.now, member.phase);
        if phase == Phase::Present
            && member.fresh
            && member.entered + 3_000 <= now
            && self.has_heard_others(r)
        {
            self.members[r].fresh = false;
        }
        let member = &self.members[r];
        // After a restart nothing is signed before an epoch is entered and heard (U1).
        let early = member.fresh && self.rules.has(Rule::Restart);
        if early || phase != Phase::Present && !member.fresh {
            return;
        }
        if self.healing
            || self.script.is_some()
            || member.law.rank[r] == 0
            || !self.random.one_in(if self.busy { 12 } else { 60 })
        {
            return;
        }
        let acts = [
            Act::Ban,
            Act::Ban,
            Act::Ban,
            Act::Unban,
            Act::Remove,
            Act::Admit,
            Act::Promote,
            Act::Demote,
            Act::Demote,
            Act::HandOver,
            Act::TakeIn,
        ];
        let act = self.random.one_of(&acts);
        let who = if act == Act::Ban && self.random.one_in(2) { X } else { self.random.below(self.people) };
        let heard = self.members[r].heard[who] + 15_000 > now;
        if act == Act::HandOver && (!heard || self.hostile[who] || self.random.one_in(2))
            || who <= M && !self.random.one_in(3)
        {
            return;
        }
        self.sign(r, act, who as u8);
    }

    pub(crate) fn has_heard_others(&self, r: usize) -> bool {
        let member = &self.members[r];
        let Some(epoch) = self.epoch_of(r) else { return false };
        Self::leaves(epoch).any(|who| who != r && member.last_word[who] >= member.entered)
    }

    /// Signs what an act takes, keeps it, and shows it.
    pub(crate) fn sign(&mut self, by: usize, act: Act, who: u8) -> bool {
        if self.book.len() >= 56 {
            return false;
        }
        self.term += 1;
        let member = &self.members[by];
        let own = member.own.clone();
        let own = move |term, about, register| {
            own.iter()
                .filter(|(t, a, r, _)| (*t, *a, *r) == (term, about, register))
                .map(|(.., n)| *n)
                .max()
                .unwrap_or(0)
        };
        let seen =
            self.epoch_of(by).map_or(0, |epoch| Self::leaves(epoch).fold(0, |all, who| all | 1 << who));
        let seen =
            seen | member.knocks.iter().fold(0, |all, (package, _)| all | 1 << self.packages[*package].of);
        let clock = if self.rules.has(Rule::ClockNumber) { self.clock(by).max(0) as u64 } else { 0 };
        let signer = Signer { me: by as u8, law: &member.law, term: self.term, clock, own: &own, seen };
        let Some(content) = sign(self.rules, &self.bounds, &self.book, &signer, act, who) else {
            return false;
        };
        self.check_table(by, &content);
        self.note_host_act(by, act, who);
        let at = self.push(by, content);
        self.note(|room| room.describe(at));
        true
    }

    /// M13: what the host of the one true chain did.
    pub(crate) fn note_host_act(&mut self, by: usize, act: Act, who: u8) {
        let who = usize::from(who);
        if by != self.ghost || self.members[by].law.rank[by] != 2 || who >= PEOPLE {
            return;
        }
        match act {
            Act::Ban => self.host_bans[who] = Some(self.book.len()),
            Act::Unban | Act::Promote => self.host_bans[who] = None,
            Act::HandOver => (self.ghost, self.host_bans[who]) = (who, None),
            _ => {}
        }
    }

    /// Adds a statement to the book. Whoever signed it knows it at once.
    pub(crate) fn push(&mut self, by: usize, content: Content) -> usize {
        let id = self.random.draw();
        if let Content::Standing { term, about, word, n } = content {
            self.members[by].own.push((term, about, crate::law::register(word), n));
        }
        self.book.push(Statement { by: by as u8, id, content });
        self.made.push(self.now);
        let at = self.book.len() - 1;
        if matches!(self.book[at].content, Content::Standing { .. }) {
            let clock = self.clock(by).max(0) as u64;
            self.members[by].recent.push((at, clock));
            if self.members[by].recent.len() > 16 {
                self.members[by].recent.remove(0);
            }
        }
        if self.hostile[by] {
            self.members[by].known |= 1 << at;
        } else {
            self.learn(by, 1 << at);
            self.show(by);
        }
        at
    }

    /// A statement in words.
    pub(crate) fn describe(&self, at: usize) -> String {
        let said = &self.book[at];
        let by = NAMES[usize::from(said.by)];
        let name = |who: u8| NAMES.get(usize::from(who)).copied().unwrap_or("invite");
        match &said.content {
            Content::Standing { term, about, word, n } => {
                format!("s{at}: {by} says {word:#x} about {} n {n} term {term}", name(*about))
            }
            Content::Table { office, no, host, terms, .. } => {
                let moderators: String =
                    (0..PEOPLE).filter(|who| terms[*who] != 0).map(|who| NAMES[who]).collect();
                let host = if *host == crate::law::NOBODY { "nobody" } else { name(*host) };
                format!("s{at}: {by} table, office {office}, no {no}, host {host}, moderators {moderators}")
            }
        }
    }
}
