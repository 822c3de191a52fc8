//! The insiders: hostile members who know everything that was ever sent, alone or together, with
//! the relay's help or without.

use crate::{
    acts::{Act, Signer, sign},
    law::{BAN, Content, Entry, LISTENER, OUT, PEOPLE, SPEAKER, Set, UNBAN, host_term},
    random::Random,
    room::{Door, Epoch, H, Message, Ms, NAMES, Room},
    rules::Rules,
};

/// What the insiders do all the time, beside what chance makes them do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Chance alone.
    Chance,
    /// One of them commits in every step.
    Commits,
    /// All of them commit in turn, and take over from each other.
    TakesTurns,
    /// They ask for their place in every step, at everybody.
    Returns,
    /// One takes over again and again, and beats.
    TakesOver,
    /// One makes up a group, and beats there for ever.
    MakesUp,
    /// One keeps, beats, and never lets anybody in or out.
    Refuses,
    /// They make renewals in every step.
    Renews,
    /// They show their door, and refuse whoever knocks.
    TurnsAway,
    /// They show a Ban that was taken back to whoever asks.
    ShowsOldBan,
}

/// The insiders' plan in a run.
#[derive(Clone, Debug)]
pub struct Insider {
    pub(crate) strategy: Strategy,
    /// Nothing but the strategy.
    pub(crate) pure: bool,
    /// Whether they go on while the room heals.
    pub(crate) goes_on: bool,
    /// Which one leads.
    pub(crate) leads: usize,
    /// The group that was made up, and the badges of all that had a door.
    pub(crate) group: Option<usize>,
    pub(crate) doors: Vec<Door>,
}

impl Insider {
    pub(crate) fn new(random: &mut Random) -> Self {
        use Strategy::*;
        let strategies =
            [Commits, TakesTurns, Returns, TakesOver, MakesUp, Refuses, Renews, TurnsAway, ShowsOldBan];
        let strategy = if random.one_in(2) { random.one_of(&strategies) } else { Chance };
        let (pure, leads) = (random.one_in(3), random.below(PEOPLE));
        Self { strategy, pure, goes_on: true, leads, group: None, doors: Vec::new() }
    }
}

impl Room {
    pub(crate) fn tend_insider(&mut self) {
        if let Some(step) = self.script {
            return self.follow_menu(step.insider);
        }
        let hostile: Vec<usize> = (0..self.people).filter(|who| self.hostile[*who]).collect();
        if hostile.is_empty() || self.healing && !self.insider.goes_on {
            return;
        }
        self.note_doors();
        if self.hostile[H] && self.random.one_in(40) && self.book.len() < 50 {
            self.hand_over_twice(&hostile);
        }
        let lead = hostile[self.insider.leads % hostile.len()];
        if self.insider.strategy != Strategy::Chance {
            self.follow_strategy(lead, &hostile);
            if self.insider.pure || self.random.one_in(2) {
                return;
            }
        }
        if self.random.one_in(4) {
            let who = self.random.one_of(&hostile);
            self.do_anything(who, &hostile);
        }
    }

    /// Badges that insiders had keep their signatures for ever; others can be made up, but not
    /// signed.
    pub(crate) fn note_doors(&mut self) {
        for of in (0..self.people).filter(|who| self.hostile[*who]) {
            let office = self.members[of].law.office;
            let false_one = Door { of, office, no: u64::MAX, genuine: false };
            if !self.insider.doors.iter().any(|door| door.of == of) {
                self.insider.doors.push(false_one);
            }
            if let Some((office, no)) = self.members[of].badge {
                let door = Door { of, office, no, genuine: true };
                if !self.insider.doors.contains(&door) {
                    self.insider.doors.push(door);
                }
            }
        }
    }

    /// The newest epoch with an honest member, and with a leaf of the insider.
    pub(crate) fn near(&self, who: usize) -> Vec<usize> {
        let honest =
            |epoch: usize| (0..self.people).any(|h| !self.hostile[h] && self.members[h].at == Some(epoch));
        let from = self.epochs.len().saturating_sub(40);
        (from..self.epochs.len())
            .filter(|epoch| self.epochs[*epoch].tree[who].is_some() && honest(*epoch))
            .collect()
    }

    pub(crate) fn top(&self, who: usize) -> Option<usize> {
        let ranked = |epoch: &usize| {
            (0..self.people)
                .filter(|h| !self.hostile[*h] && self.members[*h].at == Some(*epoch))
                .map(|h| self.members[h].law.rank[h])
                .max()
        };
        self.near(who).into_iter().max_by_key(|epoch| (ranked(epoch), self.epochs[*epoch].number))
    }

    /// A commit on an epoch, whatever it does; those who are added get a Welcome.
    pub(crate) fn forge(
        &mut self,
        by: usize,
        at: usize,
        tree: [Option<usize>; PEOPLE],
        law: Set,
        keeper: usize,
    ) -> usize {
        let parent = self.epochs[at].clone();
        let number = parent.number + 1;
        self.epochs.push(Epoch { parent: Some(at), number, tree, law, keeper, by, renews: false });
        let next = self.epochs.len() - 1;
        if law & !parent.law != 0 && !self.random.one_in(4) {
            self.post(by, Message::Statements { epoch: at, set: law & !parent.law });
        }
        self.post(by, Message::Commit(next));
        for who in 0..PEOPLE {
            if let Some(package) = tree[who]
                && parent.tree[who] != tree[who]
            {
                self.post(by, Message::Welcome { epoch: next, package });
            }
        }
        self.members[by].at = Some(next);
        next
    }

    pub(crate) fn beat_as(&mut self, by: usize, epoch: usize) {
        let said = self.stamp(by);
        // It says the law that the others want to hear.
        let h = self.random.below(self.people);
        let known = self.members[h].known;
        self.post(by, Message::Beat { epoch, said, known, doors: Vec::new() });
        if self.epochs[epoch].tree[by].is_some() {
            self.post(by, Message::Word { epoch, said, known });
        }
    }

    /// A group of the insider's own making, with whoever has a KeyPackage out.
    pub(crate) fn make_up(&mut self, by: usize, all: &[usize], parent: Option<usize>, old: bool) -> usize {
        let mut tree = parent.map_or([None; PEOPLE], |parent| self.epochs[parent].tree);
        for who in all.iter().copied() {
            if who == by || self.random.one_in(2) {
                let said = self.stamp(who);
                tree[who] = Some(self.package(who, said));
            }
        }
        let mut out = Vec::new();
        for who in (0..self.people).filter(|who| !self.hostile[*who]).collect::<Vec<_>>() {
            let newest = self.members[who].package;
            let mine = (0..self.packages.len())
                .filter(|package| self.packages[*package].of == who)
                .collect::<Vec<_>>();
            let package = if old && !mine.is_empty() { Some(self.random.one_of(&mine)) } else { newest };
            if let (Some(package), false) = (package, self.random.one_in(4)) {
                tree[who] = Some(package);
                out.push(package);
            }
        }
        let all_said = (1u64 << self.book.len()) - 1;
        let law = match self.random.below(7) {
            0 => self.random.draw() & all_said,
            5 | 6 => self.true_law((1 << self.random.clone().below(self.book.len())) - 1, 0).live,
            1 => self.members[self.random.clone().below(self.people)].known,
            2 => self.epochs[self.random.clone().below(self.epochs.len())].law,
            3 => self.true_law(all_said, 0).live,
            _ => parent.map_or_else(|| self.epochs[0].law, |parent| self.epochs[parent].law),
        };
        let number = parent.map_or(self.random.below(9) as u32, |parent| self.epochs[parent].number + 1);
        let keeper = if self.random.one_in(4) { self.random.below(self.people) } else { by };
        self.epochs.push(Epoch { parent, number, tree, law, keeper, by, renews: false });
        let group = self.epochs.len() - 1;
        self.note(|_| format!("insider {} makes up e{group} after {parent:?}", NAMES[by]));
        self.members[by].at = Some(group);
        for package in out {
            self.post(by, Message::Welcome { epoch: group, package });
            if self.random.one_in(2) {
                let set = if self.random.one_in(2) { law } else { self.random.draw() & law };
                self.post(
                    by,
                    Message::Receipt {
                        package,
                        office: -1,
                        no: self.random.clone().below(4) as u64,
                        set,
                        truth: 0,
                    },
                );
            }
        }
        group
    }

    pub(crate) fn hand_over_twice(&mut self, all: &[usize]) {
        let law = self.true_law((1u64 << self.book.len()) - 1, 0);
        if usize::from(law.host) != H {
            return;
        }
        self.forked = true;
        let mut both = Vec::new();
        for to in [self.random.one_of(all), self.random.below(self.people)] {
            let own = |_, _, _| 0;
            let signer = Signer {
                me: H as u8,
                law: &law,
                term: 990,
                clock: self.now as u64,
                own: &own,
                seen: u16::MAX,
            };
            if let Some(content) =
                sign(Rules::ALL, &self.bounds, &self.book, &signer, Act::HandOver, to as u8)
            {
                both.push(self.push(H, content));
            }
        }
        for to in (0..self.people).filter(|to| !self.hostile[*to]).collect::<Vec<_>>() {
            if let (Some(epoch), Some(one)) = (self.members[to].at, both.get(self.random.below(2))) {
                let set = 1 << one;
                self.posts.push(crate::room::Post {
                    from: H,
                    at: self.now,
                    message: Message::Statements { epoch, set },
                });
                let post = self.posts.len() - 1;
                self.inbox[to].push((self.now + crate::room::STEP, post));
            }
        }
        for by in all.iter().copied() {
            if let (Some(at), Some(one)) = (self.top(by), both.get(self.random.below(2))) {
                let (tree, law) = (self.epochs[at].tree, self.epochs[at].law | 1 << one);
                let law = self.true_law(law, 0).live;
                self.forge(by, at, tree, law, by);
            }
        }
    }

    /// Anything that an insider can do, by chance.
    pub(crate) fn do_anything(&mut self, by: usize, all: &[usize]) {
        let all_said: Set = (1 << self.book.len()) - 1;
        let near = self.near(by);
        match self.random.below(10) {
            0 if self.book.len() < 54 && !self.healing => self.sign_anything(by, all),
            1 | 2 if !near.is_empty() => {
                let at = self.random.one_of(&near);
                self.commit_anything(by, at, all, all_said);
            }
            3 | 4 => {
                let mine: Vec<usize> =
                    (0..self.epochs.len()).filter(|epoch| self.epochs[*epoch].tree[by].is_some()).collect();
                let parent = (!mine.is_empty() && self.random.one_in(2)).then(|| self.random.one_of(&mine));
                let old = self.random.one_in(4);
                self.make_up(by, all, parent, old);
            }
            5 | 6 => {
                let any = self.random.below(self.epochs.len());
                let epoch = self.members[by].at.filter(|_| self.random.one_in(2)).unwrap_or(any);
                self.beat_as(by, epoch);
            }
            7 => {
                let out: Vec<usize> = (0..self.people)
                    .filter(|who| !self.hostile[*who])
                    .filter_map(|who| self.members[who].package)
                    .collect();
                if !out.is_empty() {
                    let (package, set) = (self.random.one_of(&out), self.random.draw() & all_said);
                    let message = match self.random.one_in(2) {
                        true => Message::Refused { package },
                        false => Message::Receipt { package, office: -1, no: u64::MAX, set, truth: 0 },
                    };
                    self.post(by, message);
                }
            }
            8 if !near.is_empty() => {
                let epoch = self.random.one_of(&near);
                let set = if self.random.one_in(2) { all_said } else { self.random.draw() & all_said };
                self.post(by, Message::Statements { epoch, set });
                let said = self.clock(by);
                if self.random.one_in(20) {
                    self.post(
                        by,
                        Message::Leave {
                            epoch,
                            of: by,
                            said: said + self.random.clone().below(1_000_000) as Ms,
                        },
                    );
                }
            }
            _ => {
                let said = self.stamp(by) - if self.random.one_in(4) { 500_000 } else { 0 };
                let (package, set) = (self.package(by, said), self.random.draw() & all_said);
                let to = self.random.below(self.people);
                if self.members[by].law.rank[by] > 0 && !near.is_empty() {
                    let epoch = self.random.one_of(&near);
                    self.post(by, Message::Admit { epoch, package });
                }
                self.post(by, Message::Show { to, set, package: Some(package) });
            }
        }
    }

    pub(crate) fn commit_anything(&mut self, by: usize, at: usize, all: &[usize], all_said: Set) {
        let epoch = self.epochs[at].clone();
        let mut tree = epoch.tree;
        let who = self.random.below(self.people);
        match self.random.below(5) {
            0 if who != by => tree[who] = None,
            1 => {
                let of: Vec<usize> =
                    (0..self.packages.len()).filter(|package| self.packages[*package].of == who).collect();
                if !of.is_empty() {
                    tree[who] = Some(self.random.one_of(&of));
                }
            }
            2 => {
                let other = self.random.one_of(all);
                let said = self.stamp(other);
                tree[other] = Some(self.package(other, said));
            }
            _ => {}
        }
        let law = match self.random.below(4) {
            0 => epoch.law | self.random.draw() & all_said,
            1 => self.random.draw() & all_said & epoch.law,
            2 => self.true_law(epoch.law | self.random.clone().draw() & all_said, 0).live,
            _ => epoch.law,
        };
        let keeper = if self.random.one_in(2) { by } else { epoch.keeper };
        let next = self.forge(by, at, tree, law, keeper);
        self.note(|_| format!("insider {} commits e{next} on e{at}", NAMES[by]));
    }

    /// A statement at the edges: any term that the insider ever had, any number, any table.
    pub(crate) fn sign_anything(&mut self, by: usize, all: &[usize]) {
        let tables: Vec<usize> = (0..self.book.len())
            .filter(|at| matches!(self.book[*at].content, Content::Table { .. }))
            .collect();
        let mut terms = vec![host_term(-1)];
        for at in tables.iter().copied() {
            if let Content::Table { terms: of, .. } = &self.book[at].content {
                terms.extend((of[by] != 0).then_some(of[by]));
                terms.push(host_term(at as i16));
            }
        }
        let (last, tag) = (self.members[by].law.said, self.random.below(self.people));
        let base = self.true_law((1 << self.book.len()) - 1, 0).said[tag];
        let edge = |random: &mut Random, from: u32| match random.below(8) {
            0 => u32::MAX,
            1 => 0,
            2 => from.saturating_add(5),
            3 => from.saturating_add(4),
            more => from.saturating_add(more as u32 - 3),
        };
        if self.random.below(4) > 0 || tables.is_empty() {
            let word = self.random.one_of(&[BAN, UNBAN, OUT, LISTENER, SPEAKER, 0x13]);
            let from = if word & 0x80 == 0 { base.n } else { base.bn };
            let (term, n) = (self.random.one_of(&terms), edge(&mut self.random.clone(), from));
            self.push(by, Content::Standing { term, about: tag as u8, word, n });
        } else {
            let at = self.random.one_of(&tables);
            let Content::Table { office, no, terms, entries, .. } = self.book[at].content.clone() else {
                return;
            };
            let (mut terms, mut entries) = (terms, entries);
            let n = edge(&mut self.random.clone(), last[tag].n);
            entries[tag] = Some(Entry { role: LISTENER, n, banned: false, bn: n });
            if self.random.one_in(2) {
                terms[by] = 900 + by as u16;
            }
            let host = if self.random.one_in(2) { by } else { self.random.one_of(all) };
            terms[host] = 0;
            let no =
                if self.random.one_in(8) { u64::MAX } else { no.saturating_add(self.random.below(4) as u64) };
            let floor = edge(&mut self.random.clone(), 0) % 12;
            self.push(by, Content::Table { office, no, host: host as u8, floor, terms, muted: 0, entries });
            self.forked |= by == H;
        }
        let at = self.book.len() - 1;
        self.note(|room| format!("insider: {}", room.describe(at)));
    }
}

/// How many actions the menu has.
pub const MENU: usize = 15;
