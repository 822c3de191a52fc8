//! What a member makes: commits, takeovers, renewals, heartbeats, Shows and Returns
//! (`spec/room.md`, sections 6, 7 and 13).

use crate::{
    commits::count,
    law::{Content, NOBODY, Set, each},
    room::{Door, Epoch, KeyPackage, Message, Ms, NAMES, Phase, Return, Room},
    rules::Rule,
};

impl Room {
    /// Whether a member plays its part in its epoch, and does not ask for a place elsewhere.
    pub(crate) fn takes_part(&self, r: usize) -> bool {
        let in_vain = |returning: &Return| self.rules.has(Rule::GoesOn) && returning.is_in_vain(self.now);
        self.members[r].returning.as_ref().is_none_or(in_vain)
    }

    /// K6 to K8: what the keeper commits, if anything is due.
    pub(crate) fn keep(&mut self, r: usize) {
        if self.members[r].phase != Phase::Present || !self.keeps(r) {
            return;
        }
        let (now, clock) = (self.now, self.clock(r));
        let packages = &self.packages;
        let member = &mut self.members[r];
        let law = member.law.clone();
        let (leaf_said, leave_said) = (member.leaf_said, member.leave_said);
        member.waiting.retain(|package| {
            let KeyPackage { of, said, .. } = packages[*package];
            law.admits(of)
                && said > leaf_said[of]
                && said > leave_said[of]
                && said + 600_000 >= clock
                && said <= clock + 60_000
        });
        let epoch = self.epoch_of(r).expect("keeps").clone();
        let member = &self.members[r];
        let (known, mut tree, mut urgent) = (member.known, epoch.tree, false);
        for who in Self::leaves(&epoch).filter(|who| *who != r) {
            let out = !law.admits(who);
            let left = epoch.tree[who].is_some_and(|leaf| self.packages[leaf].said <= member.leave_said[who]);
            let silent =
                now - member.heard[who] > 600_000 || law.rank[r] > 0 && self.is_absent(r, who, 120_000);
            if out || left || silent {
                tree[who] = None;
                urgent |= out;
            }
        }
        let mut adds = Vec::new();
        for package in member.waiting.iter().copied() {
            let of = self.packages[package].of;
            let often =
                count(&member.added, of, now, 5_000) >= 1 || count(&member.added, of, now, 60_000) >= 4;
            if of != r && !(often && self.rules.has(Rule::Readd)) {
                tree[of] = Some(package);
                adds.push(of);
            }
        }
        if tree == epoch.tree && known == epoch.law {
            self.members[r].batch_at = None;
            return;
        }
        let made = self.commits_lately(r);
        let spare = if self.rules.has(Rule::Spare) { 14 } else { 17 };
        if urgent {
            if made < 17 {
                self.commit(r, tree, &adds);
            }
            return;
        }
        if !self.takes_part(r) {
            return;
        }
        let quiet = tree == epoch.tree && law.sense() == self.law(epoch.law, member.pins).sense();
        let member = &mut self.members[r];
        let due = now + if quiet { 2_000 } else { 250 };
        let due = member.batch_at.map_or(due, |at| at.min(due));
        member.batch_at = Some(due);
        let answered = if self.rules.has(Rule::Answered) && member.beat_sent - member.proof > 5_000 {
            member.beat_sent + 1_000
        } else {
            now
        };
        let paced = match member.committed.last() {
            Some(at) if made >= 4 => at + 2_500,
            _ => now,
        };
        if due.max(answered).max(paced) <= now && made < spare {
            self.commit(r, tree, &adds);
        }
    }

    /// Commits, merges and welcomes.
    pub(crate) fn commit(&mut self, r: usize, tree: [Option<usize>; crate::law::PEOPLE], adds: &[usize]) {
        let now = self.now;
        // A keeper that goes elsewhere commits nothing but removals (K9).
        if !self.takes_part(r) && !self.rules.has(Rule::Going) {
            return;
        }
        let at = self.members[r].at.expect("present");
        self.show(r);
        let (law, parent) = (self.members[r].known, self.epochs[at].clone());
        let number = parent.number + 1;
        self.epochs.push(Epoch { parent: Some(at), number, tree, law, keeper: r, by: r, renews: false });
        let next = self.epochs.len() - 1;
        self.post(r, Message::Commit(next));
        for of in adds {
            let package = tree[*of].expect("it is added");
            self.members[r].added.push((now, *of));
            self.check_adds(r, *of);
            self.members[r].waiting.retain(|waiting| *waiting != package);
            self.post(r, Message::Welcome { epoch: next, package });
        }
        self.merge(r, next);
        let member = &mut self.members[r];
        member.committed.push(now);
        member.batch_at = None;
        member.beat_at = member.beat_at.min(now.max(member.beat_sent + 1_000));
    }

    /// K3 and K4.
    pub(crate) fn take_over(&mut self, r: usize) {
        if self.members[r].phase != Phase::Present || self.keeps(r) || !self.takes_part(r) {
            return;
        }
        let member = &self.members[r];
        let law = member.law.clone();
        let (now, epoch) = (self.now, self.epoch_of(r).expect("present").clone());
        let limited = self.rules.has(Rule::Takeovers);
        if !law.admits(r) || limited && !self.may_take_over(r, r) {
            return;
        }
        let place = self.place(&law, r);
        let before = Self::leaves(&epoch).filter(|who| {
            *who != r
                && *who != epoch.keeper
                && law.admits(*who)
                && !self.is_absent(r, *who, 0)
                && self.place(&law, *who) > place
        });
        let before = before.count() as Ms;
        let due = if law.rank[r] > law.rank[epoch.keeper] && self.rules.has(Rule::RankTakes) {
            Some(member.keeper_since + 500 * before)
        } else {
            self.silent_since(r, now).map(|at| at + 1_500 * before.min(12))
        };
        if due.is_none_or(|due| due > now) {
            return;
        }
        let mut tree = epoch.tree;
        for who in Self::leaves(&epoch).filter(|who| *who != r) {
            let left = epoch.tree[who].is_some_and(|leaf| self.packages[leaf].said <= member.leave_said[who]);
            if left || !law.admits(who) {
                tree[who] = None;
            }
        }
        self.note(|_| format!("{} takes over from {}", NAMES[r], NAMES[epoch.keeper]));
        self.commit(r, tree, &[]);
    }

    /// K10 and C7: a renewal of the member's own leaf.
    pub(crate) fn renew(&mut self, r: usize) {
        let now = self.now;
        let member = &self.members[r];
        if member.phase != Phase::Present || now < member.renew_at || !self.takes_part(r) || self.keeps(r) {
            return;
        }
        let epoch = self.epoch_of(r).expect("present").clone();
        let at = member.at;
        if member.known != epoch.law || Self::leaves(&epoch).count() == 1 {
            return;
        }
        let next = 30_000 + self.random.below(60_000) as Ms;
        self.epochs.push(Epoch { parent: at, number: epoch.number + 1, by: r, renews: true, ..epoch });
        let renewal = self.epochs.len() - 1;
        self.members[r].prepared = Some(renewal);
        self.members[r].renew_at = now + next;
        self.post(r, Message::Commit(renewal));
    }

    /// K5.
    pub(crate) fn beat(&mut self, r: usize) {
        let now = self.now;
        if self.members[r].phase != Phase::Present
            || !self.keeps(r)
            || now < self.members[r].beat_at
            || !self.takes_part(r)
        {
            return;
        }
        let said = self.stamp(r);
        let member = &mut self.members[r];
        (member.beat_at, member.beat_sent, member.beat) = (now + 5_000, now, now);
        member.newest[r] = said;
        let (epoch, known, law) = (member.at.expect("present"), member.known, member.law.clone());
        let tree = self.epochs[epoch].tree;
        let mut ranked: Vec<usize> =
            (0..self.people).filter(|who| tree[*who].is_some() && law.rank[*who] > 0).collect();
        ranked.sort_by_key(|who| (*who != r, std::cmp::Reverse(law.rank[*who])));
        let doors = ranked.into_iter().filter_map(|of| {
            let (office, no) = if law.host as usize == of {
                (law.office, law.no.unwrap_or(0))
            } else {
                self.members[of].badge?
            };
            (office == law.office).then_some(Door { of, office, no, genuine: true })
        });
        let doors = doors.take(3).collect();
        self.post(r, Message::Beat { epoch, said, known, doors });
        let chain = self.members[r].law.chain;
        if chain != 0 && self.members[r].chain_at <= now {
            self.members[r].chain_at = now + 20_000;
            self.post(r, Message::Chain { set: chain });
        }
    }

    /// G1: says in the epoch what its law lacks and nobody has shown.
    pub(crate) fn show(&mut self, r: usize) {
        let now = self.now;
        let member = &self.members[r];
        let Some(epoch) = member.at else { return };
        let set = member.known & !self.epochs[epoch].law & !member.shown_here;
        let member = &mut self.members[r];
        (member.showed, member.show_at) = (now, None);
        member.shown_here |= set;
        if set != 0 {
            self.post(r, Message::Statements { epoch, set });
        }
    }

    /// G2 and G4.
    pub(crate) fn tend_showing(&mut self, r: usize) {
        let now = self.now;
        if self.members[r].phase != Phase::Present {
            return;
        }
        if self.members[r].show_at.is_some_and(|at| at <= now) {
            self.members[r].shown_here = 0;
            self.show(r);
        }
        for to in 0..self.people {
            if self.members[r].across[to].is_some_and(|at| at <= now) {
                self.members[r].across[to] = None;
                if self.members[r].law.admits(to) {
                    let set = self.members[r].known;
                    self.post(r, Message::Show { to, set, package: None });
                }
            }
        }
        let (fallen, epoch) = (self.members[r].fallen, self.members[r].at);
        if let Some(epoch) = epoch
            && fallen != 0
            && self.rules.has(Rule::FallenBan)
            && now % 10_000 == 0
        {
            self.post(r, Message::Fallen { epoch, set: fallen });
        }
    }

    /// R1 to R3.
    pub(crate) fn tend_returning(&mut self, r: usize) {
        let (now, clock) = (self.now, self.stamp(r));
        let in_vain = self.rules.has(Rule::InVain);
        let Some(mut returning) = self.members[r].returning.take() else { return };
        let phase = self.members[r].phase;
        if !matches!(phase, Phase::Present | Phase::Returning) {
            return;
        }
        for target in &mut returning.targets {
            *target = target.filter(|target| target.heard + 20_000 > now);
        }
        if now >= returning.ask_at {
            returning.ask_at = now + if returning.slow { 60_000 } else { 2_000 };
            if let Some((to, since, _)) = returning.asking
                && since + 10_000 <= now
            {
                returning.asking = None;
                if in_vain {
                    returning.passed_over[to] = now + 30_000;
                }
            }
            self.ask_for_place(r, &mut returning, clock);
        }
        let keeper = self.epoch_of(r).map(|epoch| epoch.keeper);
        if let Some(keeper) = keeper
            && returning.passed_over[keeper] > now
        {
            self.members[r].in_vain_until = returning.passed_over[keeper];
        }
        let idle = returning.targets.iter().all(Option::is_none) && returning.began + 20_000 <= now;
        if !(phase == Phase::Present && idle) {
            self.members[r].returning = Some(returning);
        }
    }

    fn ask_for_place(&mut self, r: usize, returning: &mut Return, clock: Ms) {
        let now = self.now;
        let (law, any) = (self.members[r].law.clone(), !self.rules.has(Rule::BeatAdmitted));
        let usable =
            (0..self.people).filter(|to| returning.targets[*to].is_some() && (any || law.admits(*to)));
        let Some(to) = usable.max_by_key(|to| (returning.passed_over[*to] <= now, self.place(&law, *to)))
        else {
            return;
        };
        let target = returning.targets[to].expect("it is one");
        let (since, sent) = match returning.asking {
            Some((other, since, sent)) if other == to => (since, sent),
            _ => (now, 4),
        };
        let package = match self.members[r].package {
            Some(package) if sent < 4 => package,
            _ => {
                // R2: the keeper's time, and later than every leaf and Leave of its own.
                let said = target.said + (now - target.heard);
                let said = if (said - clock).abs() <= 900_000 { said } else { clock };
                let least = self.members[r].leaf_said[r].max(self.members[r].leave_said[r]) + 1;
                self.package(r, said.max(least))
            }
        };
        returning.asking = Some((to, since, if sent < 4 { sent + 1 } else { 1 }));
        let known = self.members[r].known;
        let set = if self.rules.has(Rule::ReturnSet) { known } else { 0 };
        self.post(r, Message::Show { to, set, package: Some(package) });
        // G6: whom standings put out asks every keeper.
        for other in (0..self.people)
            .filter(|other| *other != to && returning.slow && returning.targets[*other].is_some())
        {
            self.post(r, Message::Show { to: other, set, package: Some(package) });
        }
    }

    /// A new KeyPackage, which is the one that is out.
    pub(crate) fn package(&mut self, of: usize, said: Ms) -> usize {
        self.packages.push(KeyPackage { of, said, made: self.now });
        let package = self.packages.len() - 1;
        self.members[of].package = Some(package);
        package
    }

    /// F2 and F3.
    pub(crate) fn found(&mut self, r: usize) {
        let member = &self.members[r];
        if member.phase != Phase::Returning || !member.law.admits(r) || !self.rules.has(Rule::Founding) {
            return;
        }
        let ranks = member.law.rank[r] > 0;
        let at = if ranks && member.heard_beat { member.found_at + 20_000 } else { member.found_at };
        if self.now < at {
            return;
        }
        let said = self.stamp(r);
        let package = self.package(r, said);
        let mut tree = [None; crate::law::PEOPLE];
        tree[r] = Some(package);
        let law = self.members[r].known;
        self.epochs.push(Epoch { parent: None, number: 0, tree, law, keeper: r, by: r, renews: false });
        let next = self.epochs.len() - 1;
        self.note(|_| format!("{} founds e{next}", NAMES[r]));
        let (now, member) = (self.now, &mut self.members[r]);
        (member.returning, member.package, member.proof) = (None, None, now);
        self.enter(r, next, &[r], None);
    }

    /// The statements that put somebody out: what a receipt shows.
    pub(crate) fn puts_out(&self, known: Set) -> Set {
        let out = |at: &usize| matches!(self.book[*at].content, Content::Standing { word, .. } if word == 0 || word == crate::law::BAN);
        each(known).filter(out).fold(0, |all, at| all | 1 << at)
    }

    /// Whether the room is over for what somebody knows.
    pub(crate) fn is_over(&self, r: usize) -> bool {
        self.members[r].law.host == NOBODY
    }
}
