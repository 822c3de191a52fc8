//! What must be so once the relay has delivered for long enough: M5, M9, M10 and M13.

use crate::{
    law::{Content, NOBODY, PEOPLE, Set, each},
    room::{H, NAMES, Phase, Room, X},
};

impl Room {
    /// M5, M9, M10 and M13: after the relay has delivered for long enough.
    pub(crate) fn check_healed(&mut self) {
        let there = |room: &Self, who: &usize| {
            !room.hostile[*who] && !matches!(room.members[*who].phase, Phase::Away | Phase::Over)
        };
        let honest: Vec<usize> = (0..self.people).filter(|who| there(self, who)).collect();
        if self.hostile[H] || self.forked {
            return;
        }
        let has_place = |who: &usize| matches!(self.members[*who].phase, Phase::Present | Phase::Returning);
        let rank = |who: &usize| self.members[*who].law.rank[*who];
        let tops = honest.iter().copied().filter(|who| has_place(who) && rank(who) > 0);
        let Some(top) =
            tops.max_by_key(|who| (self.members[*who].law.hand_overs, self.members[*who].law.no, rank(who)))
        else {
            return;
        };
        let law = self.members[top].law.clone();
        if law.host == NOBODY || (0..PEOPLE).any(|who| self.hostile[who] && law.rank[who] >= law.rank[top]) {
            return;
        }
        if self.members[top].phase == Phase::Returning {
            return self.violation(top, "M5 somebody of rank is outside after healing".into());
        }
        let epoch = self.members[top].at;
        for who in honest.iter().copied() {
            let member = &self.members[who];
            let what = if !law.admits(who) {
                (member.law.admits(who) && member.phase != Phase::Joining)
                    .then_some("M9 somebody who is out is not told")
            } else if member.phase == Phase::Joining {
                (law.rank[who] == 0).then_some("M9 an admitted newcomer is kept out")
            } else if member.put_out && member.phase == Phase::Returning && !self.knows_keeper(who, epoch) {
                // It knows nobody who keeps, founds nothing while it is out by what it knows, and
                // so learns nothing (README).
                None
            } else if member.at != epoch {
                Some(if member.phase == Phase::Present {
                    "M5 in another epoch after healing"
                } else {
                    "M5 outside after healing"
                })
            } else if member.paused.is_some() && self.has_honest_company(who) {
                Some("M5 still silent after healing")
            } else {
                (member.law.sense() != law.sense()).then_some("M5 another law after healing")
            };
            if let Some(what) = what {
                let why = member.paused.unwrap_or_default();
                self.note(|_| format!("!!! {} is silent: {why}", NAMES[who]));
                self.violation(who, format!("{what} ({})", member_kind(who)));
            }
        }
        let stays = epoch.and_then(|epoch| Self::leaves(&self.epochs[epoch]).find(|who| !law.admits(*who)));
        if let Some(who) = stays {
            self.violation(who, "M5 somebody who is out is still in the tree after healing".into());
        }
        self.check_acts_hold(top, &honest);
        self.check_lost(&law);
        self.check_words_hold(&law);
    }

    /// Whether a member's known law admits the keeper of an epoch.
    fn knows_keeper(&self, who: usize, epoch: Option<usize>) -> bool {
        epoch.is_none_or(|epoch| self.members[who].law.admits(self.epochs[epoch].keeper))
    }

    /// Whether somebody else honest is in the epoch: nobody proves anything to who is alone with
    /// insiders.
    fn has_honest_company(&self, who: usize) -> bool {
        (0..self.people).any(|other| {
            other != who && !self.hostile[other] && self.members[other].at == self.members[who].at
        })
    }

    /// L33: a Ban that a table could not know stands.
    fn check_words_hold(&mut self, law: &crate::law::Law) {
        for at in 0..self.book.len() {
            let (by, made) = (usize::from(self.book[at].by), self.made[at]);
            let Content::Standing { term, about, word: crate::law::BAN, .. } = self.book[at].content else {
                continue;
            };
            if self.hostile[by]
                || self.members[by].ever >> at & 1 == 0
                || law.term[by] != term
                || law.rank[by] != 1
                || law.said[usize::from(about)].banned
            {
                continue;
            }
            let answered = (0..self.book.len()).any(|other| match &self.book[other].content {
                Content::Standing { about: of, word, .. } => {
                    // The host may have spoken a moment before.
                    let says =
                        *of == about && *word & 0x80 != 0 && self.made[other] + 30_000 > made && other != at;
                    says && (usize::from(self.book[other].by) == by || self.book[other].by == law.host)
                }
                // A host that had the time to hear it has decided; a change of office passes
                // everything.
                Content::Table { entries, .. } => {
                    let old = at > other || self.made[other] < made;
                    entries[usize::from(about)].is_some() && !old && self.made[other] >= made + 2_000
                        || law.rank[usize::from(about).min(PEOPLE - 1)] > 0
                }
            });
            if !answered && self.members[by].phase == Phase::Present && !self.members[by].fresh {
                self.violation(by, "M10 a moderator's ban fell to a table that could not know it".into());
            }
        }
    }

    /// M10 and M13.
    fn check_acts_hold(&mut self, top: usize, honest: &[usize]) {
        let (law, epoch) = (self.members[top].law.clone(), self.members[top].at);
        for who in 0..self.people {
            let Some(ban) = self.host_bans[who] else { continue };
            let seen = honest.iter().any(|other| {
                *other != usize::from(law.host)
                    && self.members[*other].at == epoch
                    && self.members[*other].ever >> ban & 1 == 1
            });
            if seen
                && law.admits(who)
                && usize::from(law.host) == self.ghost
                && self.members[top].phase == Phase::Present
            {
                self.violation(who, "M13 a host's ban is gone though no host lifted it".into());
            }
        }
        let host = usize::from(law.host);
        if self.hostile[host] || self.members[host].at != epoch || epoch.is_none() || honest.len() < 3 {
            return;
        }
        let knew = |who: &&usize| **who != host && self.members[**who].at == epoch && law.admits(**who);
        let fell: Set = honest.iter().filter(knew).fold(0, |all, who| all | self.members[*who].fallen);
        if each(fell & !self.members[host].asked & !self.members[host].ever).next().is_some() {
            self.violation(host, "M10 the host was not asked about a ban that fell".into());
        }
    }

    /// M9: whoever was put out, and is let in again by the newest law, is back.
    fn check_lost(&mut self, law: &crate::law::Law) {
        for who in 0..self.people {
            let member = &self.members[who];
            if member.put_out
                && member.phase == Phase::Over
                && law.admits(who)
                && member.left == crate::room::LONG_AGO
                && !self.hostile[who]
            {
                self.violation(who, "M9 somebody admitted was put out for good by an old word".into());
            }
        }
    }
}

const fn member_kind(who: usize) -> &'static str {
    match who {
        H..=X => NAMES[who],
        _ => "one of a crowd",
    }
}
