//! What insiders do all the time, beside what chance makes them do.

use crate::{
    insider::Strategy,
    law::{BAN, Content, OUT, Set},
    room::{Epoch, Message, Phase, Room},
};

impl Room {
    pub(crate) fn follow_strategy(&mut self, lead: usize, all: &[usize]) {
        let now = self.now;
        match self.insider.strategy {
            Strategy::Chance => {}
            Strategy::Commits | Strategy::TakesTurns => {
                let by = if self.insider.strategy == Strategy::TakesTurns {
                    self.random.one_of(all)
                } else {
                    lead
                };
                if let Some(at) = self.top(by) {
                    let epoch = self.epochs[at].clone();
                    let next = self.forge(by, at, epoch.tree, epoch.law, by);
                    self.beat_as(by, next);
                }
            }
            Strategy::Returns => {
                for by in all.iter().copied() {
                    let said = self.stamp(by);
                    let package = self.package(by, said);
                    for to in (0..self.people).filter(|to| !self.hostile[*to]).collect::<Vec<_>>() {
                        if self.keeps(to) {
                            self.post(by, Message::Show { to, set: 0, package: Some(package) });
                        }
                    }
                }
            }
            Strategy::TakesOver => {
                if let Some(at) = self.top(lead) {
                    let epoch = self.epochs[at].clone();
                    if epoch.keeper == lead {
                        self.beat_as(lead, at);
                    } else if now % 4_000 == 0 {
                        self.forge(lead, at, epoch.tree, epoch.law, lead);
                    }
                }
            }
            Strategy::Refuses => {
                if let Some(at) = self.top(lead) {
                    let epoch = self.epochs[at].clone();
                    if epoch.keeper == lead {
                        if now % 2_000 == 0 {
                            self.beat_as(lead, at);
                        }
                    } else if now % 2_000 == 0 {
                        self.forge(lead, at, epoch.tree, epoch.law, lead);
                    }
                }
            }
            Strategy::MakesUp => {
                let group = match self.insider.group {
                    Some(group) => group,
                    None => self.make_up(lead, all, None, false),
                };
                self.insider.group = Some(group);
                if now % 2_000 == 0 {
                    self.beat_as(lead, group);
                }
            }
            Strategy::Renews => {
                for by in all.iter().copied() {
                    if let Some(at) = self.top(by) {
                        let epoch = self.epochs[at].clone();
                        self.epochs.push(Epoch {
                            parent: Some(at),
                            number: epoch.number + 1,
                            by,
                            renews: true,
                            ..epoch
                        });
                        let next = self.epochs.len() - 1;
                        self.post(by, Message::Commit(next));
                    }
                }
            }
            Strategy::TurnsAway => self.turn_away(lead),
            Strategy::ShowsOldBan => self.show_old_bans(lead),
        }
    }

    /// Shows every door that insiders ever had, and refuses whoever may have heard of it.
    pub(crate) fn turn_away(&mut self, by: usize) {
        let doors = self.insider.doors.clone();
        let said = self.stamp(by);
        if self.now % 2_000 == 0 {
            self.post(by, Message::Beat { epoch: 0, said, known: 0, doors });
        }
        for who in 0..self.people {
            if let (Phase::Joining, Some(package), false) =
                (self.members[who].phase, self.members[who].package, self.hostile[who])
            {
                self.post(by, Message::Refused { package });
            }
        }
    }

    /// Shows statements from long ago to everybody who asks, in Shows, answers and MLS.
    pub(crate) fn show_old_bans(&mut self, by: usize) {
        if self.now % 4_000 != 0 {
            return;
        }
        let bans = |at: &usize| matches!(self.book[*at].content, Content::Standing { word: BAN | OUT, .. });
        let set = (0..self.book.len()).filter(bans).fold(0, |all, at| all | 1 << at);
        let tables = |at: &usize| matches!(self.book[*at].content, Content::Table { .. });
        let first: Set = (0..self.book.len())
            .filter(tables)
            .take(3 + self.random.below(4))
            .fold(0, |all, at| all | 1 << at);
        for to in (0..self.people).filter(|to| !self.hostile[*to]).collect::<Vec<_>>() {
            self.post(by, Message::Answer { to, set: set | first });
            self.post(by, Message::Show { to, set: set | first, package: None });
        }
        if let Some(epoch) = self.top(by) {
            self.post(by, Message::Statements { epoch, set: set | first });
        }
        if let Some(at) = self.top(by) {
            self.beat_as(by, at);
        }
    }
}
