//! What a heartbeat means (`spec/room.md`, section 8), and the Word that answers it (P1).

use crate::{
    law::Set,
    room::{Door, Message, Ms, NAMES, Phase, Return, Room, Target},
    rules::Rule,
};

impl Room {
    /// B1 to B6.
    #[allow(clippy::too_many_arguments, reason = "the parts of one heartbeat")]
    pub(crate) fn hear_beat(
        &mut self,
        r: usize,
        from: usize,
        at: Ms,
        epoch: usize,
        said: Ms,
        known: Set,
        doors: &[Door],
    ) {
        let now = self.now;
        if self.members[r].phase == Phase::Joining {
            return self.hear_doors(r, doors);
        }
        if !matches!(self.members[r].phase, Phase::Present | Phase::Returning) {
            return;
        }
        let member = &self.members[r];
        if self.rules.has(Rule::BeatAdmitted) && !member.law.admits(from)
            || self.rules.has(Rule::BeatNewer) && said <= member.newest[from]
        {
            return;
        }
        self.members[r].newest[from] = said.max(self.members[r].newest[from]);
        let made = self.made(r, from, said);
        let target = Target { said, heard: now, known };
        let Some(own) = self.members[r].at else {
            let member = &mut self.members[r];
            if made + 15_000 > now {
                member.heard_beat = true;
                if let Some(returning) = &mut member.returning {
                    returning.targets[from] = Some(target);
                }
            }
            return;
        };
        let keeper = self.epochs[own].keeper;
        if keeper == from && !self.members[r].stated.contains(&epoch) {
            self.members[r].stated.push(epoch);
        }
        if epoch == own {
            if keeper == from {
                self.hear_keeper(r, from, at, said, known, made);
                if self.members[r].told_of.is_some_and(|(of, _, before)| of == own && before < said) {
                    self.members[r].told_of = None;
                }
                if self.rules.has(Rule::Abreast) && self.members[r].at == Some(own) {
                    self.members[r].lacking = None;
                }
            }
            return;
        }
        if self.rules.has(Rule::BeatAdmitted) && !self.members[r].law.admits(from) || made + 15_000 <= now {
            return;
        }
        if made <= self.members[r].entered && self.members[r].past.contains(&epoch) {
            return;
        }
        if keeper == from {
            return self.hear_own_keeper(r, from, at, epoch, target, made);
        }
        let law = self.members[r].law.clone();
        if !self.rules.has(Rule::HeldHash) && law.rank[from] > 0 {
            self.members[r].rank_heard = self.members[r].rank_heard.max(made);
        }
        let down = law.rank[r] > law.rank[from] && self.rules.has(Rule::NotDown);
        let first = self.place(&law, from) > self.place(&law, keeper);
        if !down && (first || self.silent_since(r, now).is_some()) {
            self.go_to(r, from, target);
        } else if self.rules.has(Rule::Across) {
            let wait = if keeper == r { 0 } else { 10_000 + self.random.below(10_000) as Ms };
            let member = &mut self.members[r];
            if known == member.known {
                member.across[from] = None;
            } else {
                member.across[from].get_or_insert(now + wait);
            }
        }
    }

    /// A heartbeat of the own keeper that names another epoch (B3, B4).
    pub(crate) fn hear_own_keeper(
        &mut self,
        r: usize,
        from: usize,
        at: Ms,
        epoch: usize,
        target: Target,
        made: Ms,
    ) {
        let own = self.members[r].at.expect("present");
        let (number, ours) = (self.epochs[epoch].number, self.epochs[own].number);
        if number < ours {
            return;
        }
        if number == ours {
            if epoch < own {
                self.go_to(r, from, target);
            }
            return;
        }
        self.merge_pending(r);
        if self.members[r].at == Some(epoch) {
            return self.hear_keeper(r, from, at, target.said, target.known, made);
        }
        let Some(own) = self.members[r].at else { return };
        if self.epochs[own].keeper != from {
            return;
        }
        let now = self.now;
        let member = &mut self.members[r];
        if member.told_of.is_none_or(|(of, ..)| of != own) {
            member.told_of = Some((own, now, target.said));
        }
        let (lacking, since) = member.lacking.unwrap_or((number, now));
        member.lacking = Some((lacking.min(number), since));
        self.note(|_| {
            format!(
                "{} lacks e{epoch}, number {number}, as {} said at {}",
                NAMES[r], NAMES[from], target.said
            )
        });
        if since + 3_000 <= now {
            self.go_to(r, from, target);
        }
    }

    /// B2: a heartbeat of the keeper of the own epoch, and the Word that answers it (P1).
    pub(crate) fn hear_keeper(&mut self, r: usize, from: usize, at: Ms, said: Ms, known: Set, made: Ms) {
        self.members[r].beat = self.members[r].beat.max(made);
        self.hear_word(r, from, made, at);
        self.hear_law(r, from, known, made);
        if self.is_turn(r, said) && self.members[r].phase == Phase::Present {
            let said = self.stamp(r);
            let member = &self.members[r];
            if let Some(epoch) = member.at {
                let known = member.known;
                self.post(r, Message::Word { epoch, said, known });
            }
        }
    }

    /// P1: the first three always, the others in turn.
    pub(crate) fn is_turn(&self, r: usize, said: Ms) -> bool {
        let Some(epoch) = self.epoch_of(r) else { return false };
        let law = &self.members[r].law;
        let place = self.place(law, r);
        let others = || Self::leaves(epoch).filter(|who| *who != epoch.keeper);
        let before = others().filter(|who| self.place(law, *who) > place).count();
        let turns = others().count().div_ceil(8).max(1);
        before < 3 || before % turns == (said / 5_000) as usize % turns
    }

    pub(crate) fn go_to(&mut self, r: usize, to: usize, target: Target) {
        let now = self.now;
        let returning = self.members[r].returning.get_or_insert_with(|| Return::new(now));
        let is_new = returning.targets[to].is_none();
        returning.targets[to] = Some(target);
        if is_new {
            self.note(|_| format!("{} wants to go to {}", NAMES[r], NAMES[to]));
        }
    }
}
