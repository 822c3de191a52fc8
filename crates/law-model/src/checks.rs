//! What must be so: M1 to M13, by the law with all rules and by what really happened.
//!
//! Each sentence starts with its number. A run that says one has found a violation.

use crate::{
    law::{Content, PEOPLE},
    room::{H, Ms, Phase, Receipt, Room, STEP, X},
    rules::Rule,
};

impl Room {
    /// When a member was last in an epoch in which `r` was as well.
    fn last_together(&self, r: usize, who: usize) -> Ms {
        let past = self.members[r].past.iter();
        past.filter_map(|epoch| self.was_in.get(*epoch)).map(|was| was[who]).max().unwrap_or(0)
    }

    /// S1 to S4: why a member does not seal.
    pub(crate) fn silence(&self, r: usize) -> Option<&'static str> {
        let (rules, now, member) = (self.rules, self.now, &self.members[r]);
        let epoch = self.epoch_of(r)?;
        let out = |who: usize| {
            let since = if rules.has(Rule::NoSecond) {
                member.admitted[who]
            } else if member.out_since[who] == Ms::MAX {
                now
            } else {
                member.admitted[who].max(member.entered)
            };
            who != r && !member.law.admits(who) && since + 1_000 < now
        };
        if rules.has(Rule::OutSecond) && Self::leaves(epoch).any(out) {
            return Some("out");
        }
        if rules.has(Rule::Lacking) && member.lacking.is_some_and(|(_, since)| since + 3_000 <= now) {
            return Some("lacking");
        }
        if rules.has(Rule::Proof) && Self::leaves(epoch).count() > 1 && member.proof + 15_000 <= now {
            return Some("proof");
        }
        let free = if rules.has(Rule::Moderators) { 2 } else { 1 };
        if rules.has(Rule::Unattended)
            && member.law.rank[r] < free
            && member.rank_heard + self.unattended <= now
        {
            return Some("unattended");
        }
        None
    }

    /// Seals a packet if the rules let it, and looks whether it should have.
    pub(crate) fn seal(&mut self, r: usize) {
        if self.members[r].phase != Phase::Present {
            return;
        }
        let silence = self.silence(r);
        self.check_idle_keeper(r, silence);
        self.members[r].paused =
            silence.filter(|why| *why != "unattended" || self.members[r].law.rank[r] == 0);
        if silence.is_some() {
            self.counts[2] += 1;
            return;
        }
        self.counts[0] += 1;
        let (now, member) = (self.now, &self.members[r]);
        let (at, epoch) = (member.at.expect("present"), self.epoch_of(r).expect("present"));
        let truth = self.true_law(member.known, member.pins);
        let out = |who: &usize| *who != r && !truth.admits(*who) && member.truly_admitted[*who] + 1_000 < now;
        let to = Self::leaves(epoch).find(out);
        let (keeper, entered) = (epoch.keeper, member.entered_made(self));
        if let Some(who) = to {
            let who = if who == X { "X" } else { "somebody" };
            return self.violation(r, format!("M1 seals to {who}, out by what the sealer knew a second ago"));
        }
        let member = &self.members[r];
        if keeper != r && !self.hostile[keeper] {
            if member.told_of.is_some_and(|(of, since, _)| of == at && since + 5_000 < now) {
                return self.violation(r, "M6 seals though an epoch that it was told of is withheld".into());
            }
            // A relay gains what it held back the fastest word by (T1).
            let made = self.last_together(r, keeper).max(entered) + member.gain[keeper].max(0);
            if made + 16_500 < now {
                return self.violation(r, "M6 seals though its keeper has left for more than 15 s".into());
            }
        }
        if self.check_cut_off(r, &truth) {
            return;
        }
        self.check_unattended(r, &truth);
    }

    /// S4: what everybody of rank has had out for `unattended` is out for a member that is cut off
    /// from their words.
    fn check_cut_off(&mut self, r: usize, truth: &crate::law::Law) -> bool {
        let (now, member) = (self.now, &self.members[r]);
        let ranked: Vec<usize> = (0..PEOPLE).filter(|who| *who != r && truth.rank[*who] > 0).collect();
        let honest = (0..PEOPLE).all(|who| !self.hostile[who] || self.had_rank[who] == crate::room::LONG_AGO);
        if !honest || self.forked || truth.rank[r] > 0 || ranked.is_empty() {
            return false;
        }
        let since = |who: &usize, of: usize| {
            let other = &self.members[*who];
            let out = matches!(other.phase, Phase::Present | Phase::Returning) && !other.law.admits(of);
            if out { other.out_since[of].min(now) } else { now }
        };
        let epoch = self.epoch_of(r).expect("present");
        let to = Self::leaves(epoch).find(|of| {
            let newest =
                ranked.iter().map(|who| since(who, *of) + member.gain[*who].max(0)).max().unwrap_or(now);
            *of != r && newest.max(member.first_entered) + self.unattended + 5_000 < now
        });
        if to.is_some() {
            self.violation(
                r,
                "M6 seals to somebody whom all of rank have had out for longer than `unattended`".into(),
            );
        }
        to.is_some()
    }

    fn check_unattended(&mut self, r: usize, truth: &crate::law::Law) {
        let (now, member) = (self.now, &self.members[r]);
        let others: Vec<usize> =
            (0..PEOPLE).filter(|who| *who != r && member.ranked[*who] > crate::room::LONG_AGO).collect();
        let alone = Self::leaves(self.epoch_of(r).expect("present")).count() == 1;
        // Once anybody hostile had rank, it may speak for rank.
        let honest = (0..PEOPLE).all(|who| !self.hostile[who] || self.had_rank[who] == crate::room::LONG_AGO);
        if alone || truth.rank[r] == 2 || others.is_empty() || !honest {
            return;
        }
        let heard = |who: &usize| {
            let gain = member.gain[*who].max(0);
            self.last_together(r, *who).min(member.ranked[*who] + STEP).max(member.first_entered) + gain
        };
        let newest = others.iter().map(heard).max().unwrap_or(0);
        if newest + self.unattended + 2_000 < now {
            self.violation(r, "M6 seals though everybody of rank has been elsewhere for `unattended`".into());
        }
    }

    /// M12: with a relay that delivers, an honest keeper removes who is out.
    fn check_idle_keeper(&mut self, r: usize, silence: Option<&str>) {
        let keeper = self.epoch_of(r).expect("present").keeper;
        let (member, of) = (&self.members[r], &self.members[keeper]);
        let idle = silence == Some("out")
            && !self.relay.hostile
            && keeper != r
            && !self.hostile[keeper]
            && of.phase == Phase::Present
            && of.at == member.at
            && of.law.admits(keeper);
        let steps = if idle { member.idle_steps + 1 } else { 0 };
        let out = silence == Some("out") && self.healing && keeper != r;
        let out_steps = if out { member.out_steps + 1 } else { 0 };
        (self.members[r].idle_steps, self.members[r].out_steps) = (steps, out_steps);
        if out_steps > 80 && !self.forked {
            self.violation(r, "M12 a keeper lets others be silent for 40 s with a leaf that is out".into());
        }
        if steps > 20 && !self.forked {
            self.violation(
                r,
                "M12 an honest keeper lets others be silent for 10 s with a leaf that is out".into(),
            );
        }
    }

    /// M2 and M4 for a commit that a member merges.
    pub(crate) fn check_merge(&mut self, r: usize, next: usize) {
        let at = self.members[r].at.expect("present");
        let (coming, parent) = (self.epochs[next].clone(), self.epochs[at].clone());
        if coming.by == r {
            return;
        }
        let pins = self.members[r].pins;
        let truth = self.true_law(coming.law, pins);
        for who in (0..PEOPLE).filter(|who| *who != r && coming.tree[*who] != parent.tree[*who]) {
            let member = &self.members[r];
            if let (Some(leaf), None) = (parent.tree[who], coming.tree[who]) {
                let left = self.members[who].left >= self.packages[leaf].made;
                if !self.hostile[who]
                    && truth.admits(who)
                    && !left
                    && member.truly_heard[who] + 15_000 > self.now
                {
                    self.violation(
                        r,
                        format!(
                            "M2 an admitted member that was heard lately is ejected by {}",
                            self.kind(coming.by)
                        ),
                    );
                }
            }
            if let Some(leaf) = coming.tree[who] {
                let package = self.packages[leaf];
                if self.members[r].used.contains(&leaf) && who != r {
                    self.violation(r, "M4 a KeyPackage is used a second time".into());
                }
                let member = &self.members[r];
                if !self.hostile[who]
                    && package.made <= self.members[who].left
                    && member.leave_said[who] >= package.said
                {
                    self.violation(r, "M4 somebody who left is added again by an old KeyPackage".into());
                }
            }
        }
        for leaf in parent.tree.iter().flatten() {
            if !coming.tree.contains(&Some(*leaf)) {
                self.members[r].used.push(*leaf);
            }
        }
        let (before, union) = (self.true_law(parent.law, pins), self.true_law(parent.law | coming.law, pins));
        if before.chain & !truth.chain != 0 {
            self.violation(r, "M2 an epoch's law loses a hand-over".into());
        }
        if truth.chain & !pins != 0 && pins & !truth.chain != 0 {
            self.violation(r, "M2 an epoch's chain contradicts a pin".into());
        }
        if (0..PEOPLE).any(|who| !before.admits(who) && !union.admits(who) && truth.admits(who)) {
            self.violation(r, "M2 an epoch's law loses a ban or a removal".into());
        }
        if before.rank != truth.rank && union.rank != truth.rank {
            self.violation(r, "M2 an epoch's law gives or takes rank that no statement gives".into());
        }
        let member = &self.members[r];
        if coming.law & !(member.known | member.shown | parent.law) != 0 {
            self.violation(r, "M2 an epoch's law holds statements that the member never saw".into());
        }
    }

    fn kind(&self, who: usize) -> &'static str {
        if self.hostile[who] { "an insider" } else { "an honest member" }
    }

    /// M8: what one member makes a keeper do is bounded.
    pub(crate) fn check_shows(&mut self, r: usize, from: usize) {
        let now = self.now;
        if crate::commits::count(&self.members[r].opened, from, now, 10_000) > 7 {
            self.violation(r, "M8 a keeper takes more than 7 Shows of one member in 10 s".into());
        }
    }

    /// M8: how often a keeper adds one member.
    pub(crate) fn check_adds(&mut self, r: usize, of: usize) {
        if crate::commits::count(&self.members[r].added, of, self.now, 60_000) > 4 {
            self.violation(r, "M8 an honest keeper adds one member more than 4 times in 60 s".into());
        }
    }

    /// M2 and M8 for an epoch that a member enters.
    pub(crate) fn check_entry(&mut self, r: usize, next: usize, by_welcome: bool) {
        let (now, epoch) = (self.now, self.epochs[next].clone());
        let truth = self.true_law(epoch.law, self.members[r].pins);
        if let Some(who) = Self::leaves(&epoch).find(|who| !truth.admits(*who)) {
            let (who, how) =
                (if who == X { "X" } else { "somebody" }, if by_welcome { "enters" } else { "merges" });
            self.violation(
                r,
                format!("M2 {how} a tree with {who}, not admitted by its law, by {}", self.kind(epoch.by)),
            );
        }
        let member = &mut self.members[r];
        member.entries.push(now);
        let lately = member.entries.iter().filter(|at| **at + 30_000 > now).count();
        if lately > 24 && (0..PEOPLE).all(|who| !self.hostile[who]) {
            self.violation(r, "M8 more than 24 epochs in 30 s though nobody is hostile".into());
        }
        let one =
            self.members[r].merged.iter().filter(|(at, who)| *who == epoch.by && at + 30_000 > now).count();
        if one > 18 {
            self.violation(r, "M8 more than 18 commits of one member in 30 s".into());
        }
        let takeovers = self.members[r].takeovers.iter().filter(|(at, _)| at + 60_000 > now).count();
        if takeovers > 6 {
            self.violation(r, "M8 more than 6 takeovers in 60 s".into());
        }
    }

    /// M3 and M4 for a Welcome that a member enters.
    pub(crate) fn check_welcome(
        &mut self,
        r: usize,
        epoch: usize,
        package: usize,
        receipt: Option<Receipt>,
        newcomer: bool,
    ) {
        let set = self.epochs[epoch].law;
        let law = self.true_law(set, 0);
        let member = &self.members[r];
        let (pins, known) = (member.pins, if newcomer { 0 } else { member.known });
        if law.live != set {
            self.violation(r, "M2 a Welcome's statements are no live set".into());
        }
        let office = self.members[r].invite.0;
        let lacks = usize::try_from(office).is_ok_and(|at| law.chain >> at & 1 == 0);
        if !newcomer && pins & !law.chain != 0 || newcomer && lacks {
            self.violation(r, "M3 a Welcome moves a pin".into());
        }
        let by_honest = receipt.filter(|receipt| !self.hostile[receipt.0]);
        let joint = self.true_law(
            set | known | by_honest.map_or(0, |receipt| receipt.5),
            if newcomer { 0 } else { pins },
        );
        let out = Self::leaves(&self.epochs[epoch]).find(|who| !joint.admits(*who));
        if let Some(who) = out {
            let who = if who == X { "X" } else { "somebody" };
            let (kind, knower) = if newcomer { ("newcomer", "who let it in") } else { ("returner", "it") };
            self.violation(r, format!("M3 a {kind} enters a tree with {who}, out by what {knower} knew"));
        }
        if newcomer && !self.hostile[H] {
            let by = receipt.map(|receipt| receipt.0);
            if by.is_none_or(|by| self.had_rank[by] == crate::room::LONG_AGO) {
                self.violation(r, "M3 a newcomer comes in on the word of nobody of rank".into());
            }
            let (of, no, _) = self.members[r].invite;
            if law.office == of && law.no.unwrap_or(0) < no {
                self.violation(r, "M3 a newcomer takes a table older than its invite".into());
            }
        }
        if self.members[r].used.contains(&package) {
            self.violation(r, "M4 an old KeyPackage of one's own is used".into());
        }
    }

    /// M9: nobody without rank turns a newcomer away for good while the relay delivers.
    pub(crate) fn check_turned_away(&mut self, r: usize) {
        let by = self.members[r].refused_by;
        let ranked = (0..PEOPLE).any(|who| by >> who & 1 == 1 && self.had_rank[who] + 30_000 > self.now);
        let honest = (0..self.people).any(|who| {
            !self.hostile[who]
                && self.members[who].phase == Phase::Present
                && self.members[who].law.rank[who] > 0
        });
        if !self.relay.hostile
            && honest
            && !ranked
            && !self.hostile[r]
            && !self.members[H].law.said[r].banned
            && !self.hostile[H]
        {
            self.violation(r, "M9 a newcomer is turned away for good by somebody without rank".into());
        }
    }

    /// M11 for a table that somebody honest signs.
    pub(crate) fn check_table(&mut self, by: usize, content: &Content) {
        let Content::Table { office, no, host, .. } = content else { return };
        for at in 0..self.book.len() {
            if let Content::Table { office: of, no: before, host: to, .. } = self.book[at].content
                && usize::from(self.book[at].by) == by
                && of == *office
            {
                if before == *no {
                    self.violation(by, "M11 an honest host signs two tables of one number".into());
                }
                if usize::from(*host) != by && usize::from(to) != by {
                    self.forked = true;
                }
            }
        }
    }
}

impl crate::room::Member {
    /// When the KeyPackage was made by which the member is in its tree.
    fn entered_made(&self, room: &Room) -> Ms {
        let of_self = |at: usize| {
            (0..PEOPLE)
                .find(|who| std::ptr::eq(&room.members[*who], self))
                .and_then(|me| room.epochs[at].tree[me])
        };
        self.at.and_then(of_self).map_or(0, |leaf| room.packages[leaf].made)
    }
}
