//! Which commits a member merges, and what each new epoch does (`spec/room.md`, sections 5 and 6).

use crate::{
    law::PEOPLE,
    room::{Ms, NAMES, Phase, Room},
    rules::Rule,
};

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Merge,
    Renewal,
    Lacks,
    Early,
    Refuse(&'static str),
}

impl Room {
    /// K2: since when the keeper counts as silent, at `now`.
    pub(crate) fn silent_since(&self, r: usize, now: Ms) -> Option<Ms> {
        let (member, epoch) = (&self.members[r], self.epoch_of(r)?);
        let keeper = epoch.keeper;
        if keeper == r {
            return None;
        }
        let mut since = member.keeper_word + 8_000;
        if self.rules.has(Rule::Idle) {
            since = member.idle.map_or(since, |at| since.min(at + 2_000));
            since = self.out_since(r).map_or(since, |out| since.min(out.max(member.keeper_since) + 8_000));
        }
        if member.gone || !member.law.admits(keeper) || epoch.tree[keeper].is_none() {
            since = since.min(member.keeper_since);
        }
        if self.rules.has(Rule::InVain) && now < member.in_vain_until {
            since = since.min(member.keeper_since);
        }
        if self.is_too_fast(r, keeper) {
            since = since.min(now);
        }
        (since <= now).then_some(since)
    }

    /// K3.
    pub(crate) fn permits_takeover(&self, r: usize, by: usize) -> bool {
        let (member, now) = (&self.members[r], self.now);
        let Some(epoch) = self.epoch_of(r) else { return false };
        if !member.law.admits(by) || self.rules.has(Rule::Takeovers) && !self.may_take_over(r, by) {
            return false;
        }
        member.law.rank[by] > member.law.rank[epoch.keeper] || self.silent_since(r, now + 1_000).is_some()
    }

    pub(crate) fn may_take_over(&self, r: usize, by: usize) -> bool {
        let takeovers = &self.members[r].takeovers;
        let all = takeovers.iter().filter(|(at, _)| at + 60_000 > self.now).count();
        count(takeovers, by, self.now, 60_000) < 2 && all < 6
    }

    /// P2.
    pub(crate) fn is_absent(&self, r: usize, who: usize, longer: Ms) -> bool {
        let Some(epoch) = self.epoch_of(r) else { return false };
        let turns = Self::leaves(epoch).count().div_ceil(8).max(1) as Ms;
        self.members[r].beat - self.members[r].heard[who] > 5_000 * (3 * turns + 1) + longer
    }

    /// C1 to C7.
    pub(crate) fn rule(&self, r: usize, next: usize) -> Ruling {
        let rules = self.rules;
        let (coming, member) = (&self.epochs[next], &self.members[r]);
        let Some(parent) = coming.parent.map(|parent| &self.epochs[parent]) else {
            return Ruling::Refuse("founded");
        };
        let by = coming.by;
        if parent.tree[by].is_none() {
            return Ruling::Refuse("no leaf");
        }
        if rules.has(Rule::Shown) && coming.law & !(parent.law | member.known | member.shown) != 0 {
            return Ruling::Lacks;
        }
        if rules.has(Rule::Union) && self.live(parent.law | coming.law, member.pins) != coming.law {
            return Ruling::Refuse("C2 law");
        }
        let law = self.law(coming.law, member.pins);
        if rules.has(Rule::CommitPins) && law.chain & !member.pins != 0 && member.pins & !law.chain != 0 {
            return Ruling::Refuse("C2 pins");
        }
        if rules.has(Rule::Tree) && Self::leaves(coming).any(|who| !law.admits(who)) {
            return Ruling::Refuse("C3");
        }
        for who in 0..PEOPLE {
            let (before, after) = (parent.tree[who], coming.tree[who]);
            match after {
                _ if before == after => {}
                Some(leaf) => {
                    let (said, clock) = (self.packages[leaf].said, self.clock(r));
                    let timely = said + 1_800_000 >= clock && said <= clock + 900_000;
                    let stale = rules.has(Rule::Fresh) && (said <= member.leaf_said[who] || !timely);
                    if stale || rules.has(Rule::AfterLeave) && said <= member.leave_said[who] {
                        return Ruling::Refuse("C4");
                    }
                }
                None => {
                    let left = before.is_some_and(|leaf| self.packages[leaf].said <= member.leave_said[who]);
                    if rules.has(Rule::Removal)
                        && law.admits(who)
                        && !left
                        && !self.may_be_removed(r, who, by)
                    {
                        return Ruling::Refuse("C5");
                    }
                }
            }
        }
        self.rule_turn(r, next)
    }

    /// C5 and P3.
    fn may_be_removed(&self, r: usize, who: usize, by: usize) -> bool {
        let member = &self.members[r];
        let Some(epoch) = self.epoch_of(r) else { return false };
        let turns = Self::leaves(epoch).count().div_ceil(8).max(1) as Ms;
        let lately = (5_000 * (3 * turns + 1)).min(300_000);
        let heard = if self.rules.has(Rule::Vouch) { member.heard[who] } else { crate::hearing::NEVER };
        if who == r || self.now - heard < lately {
            return false;
        }
        member.law.rank[by] > 0 && member.beat - heard > 5_000 * (3 * turns + 1) || self.now - heard > 600_000
    }

    /// C6 and C7.
    fn rule_turn(&self, r: usize, next: usize) -> Ruling {
        let coming = &self.epochs[next];
        let parent = &self.epochs[coming.parent.expect("looked at before")];
        let by = coming.by;
        if by == parent.keeper {
            if coming.keeper != by {
                return Ruling::Refuse("C6 keeping");
            }
            return if self.is_too_fast(r, by) { Ruling::Refuse("C6 too fast") } else { Ruling::Merge };
        }
        if coming.keeper == by {
            if self.is_too_fast(r, by) {
                return Ruling::Refuse("C6 too fast");
            }
            let may = !self.rules.has(Rule::Turn) || self.permits_takeover(r, by);
            return if may { Ruling::Merge } else { Ruling::Early };
        }
        let same = coming.tree == parent.tree && coming.law == parent.law && coming.keeper == parent.keeper;
        if coming.renews && same { Ruling::Renewal } else { Ruling::Refuse("C6 not the keeper") }
    }

    /// C6.
    fn is_too_fast(&self, r: usize, by: usize) -> bool {
        self.rules.has(Rule::Rate) && count(&self.members[r].merged, by, self.now, 30_000) >= 18
    }

    /// C7.
    fn renewal_counts(&self, r: usize, next: usize) -> bool {
        let member = &self.members[r];
        if !self.keeps(r) {
            // It counts among the keeper's, and beyond what is merged of the keeper it does not.
            return !self.is_too_fast(r, self.epochs[next].keeper)
                && (!self.rules.has(Rule::Named) || member.stated.contains(&next));
        }
        let settled = self.epoch_of(r).is_some_and(|epoch| epoch.law == member.known);
        let by = self.epochs[next].by;
        let all = member.renewals.iter().filter(|(at, _)| at + 30_000 > self.now).count();
        let few = count(&member.renewals, by, self.now, 30_000) == 0 && all < 6;
        settled && self.commits_lately(r) < 14 && (few || !self.rules.has(Rule::RenewalRate))
    }

    /// C8: merges the best of what waits, as long as something may be merged.
    pub(crate) fn merge_pending(&mut self, r: usize) {
        let now = self.now;
        self.members[r].pending.retain(|(_, since)| since + 15_000 > now);
        for _ in 0..24 {
            let mut best: Option<usize> = None;
            let pending = self.members[r].pending.clone();
            for (next, since) in pending {
                if self.epochs[next].parent != self.members[r].at || self.members[r].phase != Phase::Present {
                    continue;
                }
                let by = self.epochs[next].by;
                let merges = match self.rule(r, next) {
                    Ruling::Merge => !self.keeps(r) || by != r,
                    Ruling::Renewal => self.renewal_counts(r, next),
                    Ruling::Lacks => {
                        self.ask(r, next, since);
                        false
                    }
                    Ruling::Early => false,
                    Ruling::Refuse(why) => {
                        self.members[r].pending.retain(|(other, _)| *other != next);
                        self.note(|_| format!("{} refuses e{next} by {}: {why}", NAMES[r], NAMES[by]));
                        false
                    }
                };
                let law = &self.members[r].law;
                if merges
                    && best.is_none_or(|best| self.place(law, by) > self.place(law, self.epochs[best].by))
                {
                    best = Some(next);
                }
            }
            // A renewal of the member's own counts once the keeper states it.
            if best.is_none()
                && let Some(own) = self.members[r].prepared
                && self.epochs[own].parent == self.members[r].at
                && self.members[r].stated.contains(&own)
            {
                best = Some(own);
            }
            let Some(next) = best else { return };
            self.merge(r, next);
        }
    }

    /// C1: asks once, and takes the keeper for silent after 3 s.
    fn ask(&mut self, r: usize, next: usize, since: Ms) {
        let (now, by) = (self.now, self.epochs[next].by);
        let Some(epoch) = self.members[r].at else { return };
        let keeper = self.epochs[epoch].keeper;
        if since == now {
            let member = &self.members[r];
            let set = self.epochs[next].law & !(self.epochs[epoch].law | member.known | member.shown);
            self.post(r, crate::room::Message::Ask { epoch, set });
        }
        if keeper == by && since + 3_000 <= now {
            self.members[r].gone = true;
        }
    }

    /// Merges a commit that leads from the member's epoch.
    pub(crate) fn merge(&mut self, r: usize, next: usize) {
        self.note(|room| {
            let epoch = &room.epochs[next];
            let leaves: String = Self::leaves(epoch).map(|who| NAMES[who]).collect();
            format!(
                "{} merges e{next} by {}: keeper {}, tree {leaves}",
                NAMES[r], NAMES[epoch.by], NAMES[epoch.keeper]
            )
        });
        self.check_merge(r, next);
        let now = self.now;
        let (coming, parent) =
            (self.epochs[next].clone(), self.epochs[self.members[r].at.expect("present")].clone());
        if coming.renews && coming.keeper == r && coming.by != r {
            // A renewal counts among the keeper's commits, and its word on it is due.
            let member = &mut self.members[r];
            member.renewals.push((now, coming.by));
            member.committed.push(now);
            member.beat_at = now;
        }
        let changed = coming.keeper != parent.keeper;
        let counts_for = if changed { coming.by } else { coming.keeper };
        let member = &mut self.members[r];
        member.merged.push((now, counts_for));
        if changed {
            member.takeovers.push((now, coming.by));
        }
        if coming.tree[r] != parent.tree[r] {
            self.learn(r, coming.law);
            if self.members[r].phase == Phase::Present {
                self.lose_place(r);
                // What it asks for already goes on; if nothing, it begins.
            }
            return;
        }
        let added: Vec<usize> =
            Self::leaves(&coming).filter(|who| coming.tree[*who] != parent.tree[*who]).collect();
        let members_before =
            Self::leaves(&parent).any(|who| who != r && coming.tree[who] == parent.tree[who]);
        self.enter(r, next, &added, Some(parent.keeper));
        if coming.by == r && coming.keeper == r && !members_before {
            self.members[r].proof = now;
        }
    }

    /// C9. `before` is the keeper before, if the member comes from an epoch of this branch.
    pub(crate) fn enter(&mut self, r: usize, next: usize, added: &[usize], before: Option<usize>) {
        let (now, epoch) = (self.now, self.epochs[next].clone());
        let keeper = epoch.keeper;
        let by_welcome = added.contains(&r);
        let member = &mut self.members[r];
        (member.at, member.phase, member.entered) = (Some(next), Phase::Present, now);
        member.past.push(next);
        member.pending.clear();
        member.prepared = None;
        member.shown_here = 0;
        member.show_at = None;
        member.shown = 0;
        for who in 0..PEOPLE {
            let Some(leaf) = epoch.tree[who] else { continue };
            member.leaf_said[who] = member.leaf_said[who].max(self.packages[leaf].said);
            if added.contains(&who) {
                // Its device may be another.
                (member.lead[who], member.heard[who]) = (None, now);
                member.last_word[who] = crate::hearing::NEVER;
            }
        }
        if !self.rules.has(Rule::NotAnew) {
            for who in 0..PEOPLE {
                if member.out_since[who] != Ms::MAX {
                    (member.out_since[who], member.admitted[who]) = (now, now);
                }
            }
        }
        let changed = before != Some(keeper);
        if changed {
            (member.keeper_since, member.keeper_word) = (now, now);
            (member.idle, member.gone, member.in_vain_until, member.beat) =
                (None, false, crate::hearing::NEVER, now);
            if keeper != r && !by_welcome {
                let last = member.last_word[keeper];
                member.proof =
                    member.proof.min(if last > crate::hearing::NEVER { last } else { now - 15_000 });
            }
        }
        if member.lacking.is_some_and(|(lacking, _)| lacking <= epoch.number)
            || changed && keeper != r
            || by_welcome
        {
            member.lacking = None;
        }
        if changed && keeper == r {
            member.returning = None;
            member.waiting.clear();
            (member.beat_at, member.batch_at, member.beat_sent) = (now, None, crate::hearing::NEVER);
            member.committed.clear();
        }
        if Self::leaves(&epoch).count() == 1 {
            member.proof = now;
        }
        self.counts[1] += 1;
        self.was_in.resize(self.epochs.len(), [crate::hearing::NEVER; PEOPLE]);
        self.was_in[next][r] = now;
        self.check_entry(r, next, by_welcome);
        if self.rules.has(Rule::KnowsEpoch) {
            self.learn(r, epoch.law);
        }
        self.retry_later(r);
    }

    /// Commits of a keeper's own in the last 30 s.
    pub(crate) fn commits_lately(&self, r: usize) -> usize {
        self.members[r].committed.iter().filter(|at| **at + 30_000 > self.now).count()
    }
}

/// How many events of one member lie in a window.
pub(crate) fn count(events: &[(Ms, usize)], of: usize, now: Ms, within: Ms) -> usize {
    events.iter().filter(|(at, who)| *who == of && at + within > now).count()
}
