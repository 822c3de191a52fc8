//! The insider of the exhaustive search: K, with X and perhaps F.

use crate::{
    law::{Content, Entry, LISTENER, PEOPLE, Set, TAGS, UNBAN},
    room::{Epoch, H, M, Message, Room},
};

impl Room {
    /// The exhaustive search's insider is K, with X and perhaps F: one action, without chance.
    pub(crate) fn follow_menu(&mut self, action: usize) {
        let (by, x) = (crate::room::K, crate::room::X);
        let top = self.top(by);
        let first = self.epochs[0].law;
        let all_said: Set = (1 << self.book.len()) - 1;
        let newest = self.true_law(all_said, 0).live;
        let fresh = |room: &mut Self, who: usize| {
            let said = room.stamp(who);
            Some(room.package(who, said))
        };
        let commit = |room: &mut Self, tree: [Option<usize>; PEOPLE], law: Set| {
            if let Some(at) = top {
                let next = room.forge(by, at, tree, law, by);
                room.beat_as(by, next);
            }
        };
        let tree = top.map_or([None; PEOPLE], |at| self.epochs[at].tree);
        let law = top.map_or(first, |at| self.epochs[at].law);
        let without = |who: usize| {
            let mut tree = tree;
            tree[who] = None;
            tree
        };
        match action {
            1 => commit(self, tree, law),
            2 => {
                let mut tree = tree;
                tree[x] = fresh(self, x);
                commit(self, tree, law);
            }
            3 => commit(self, without(crate::room::V), law),
            4 => commit(self, without(H), law),
            5 => commit(self, tree, first),
            6 => {
                let mut tree = tree;
                tree[x] = fresh(self, x);
                commit(self, tree, newest);
            }
            7..=9 => self.make_up_by_menu(by, action, newest),
            10 => {
                if let Some(at) = self.members[by].at.or(top) {
                    self.beat_as(by, at);
                }
            }
            11 => self.beat_as(by, 0),
            12 | 13 if self.book.len() < 50 => {
                let content = match action {
                    12 => Content::Standing { term: 4, about: x as u8, word: UNBAN, n: 2 },
                    _ => {
                        let mut entries = [None; TAGS];
                        entries[x] = Some(Entry { role: LISTENER, n: 9, banned: false, bn: 9 });
                        Content::Table {
                            office: -1,
                            no: u64::MAX,
                            host: by as u8,
                            floor: 0,
                            terms: [0; PEOPLE],
                            muted: 0,
                            entries,
                        }
                    }
                };
                let at = self.push(crate::room::F, content);
                if let Some(epoch) = top {
                    self.post(by, Message::Statements { epoch, set: all_said | 1 << at });
                }
            }
            14 => {
                self.turn_away(by);
                for who in [by, x] {
                    let package = fresh(self, who);
                    for to in [H, M] {
                        self.post(who, Message::Show { to, set: 0, package });
                    }
                }
            }
            _ => {}
        }
    }

    pub(crate) fn make_up_by_menu(&mut self, by: usize, action: usize, newest: Set) {
        let parent = (action == 8).then_some(0);
        let mut tree = parent.map_or([None; PEOPLE], |parent| self.epochs[parent].tree);
        let of = if action == 9 { vec![by] } else { vec![by, crate::room::X] };
        for who in of {
            let said = self.stamp(who);
            tree[who] = Some(self.package(who, said));
        }
        let law = if action == 9 { newest } else { self.epochs[0].law };
        let out: Vec<usize> = (0..self.people)
            .filter(|who| !self.hostile[*who])
            .filter_map(|who| self.members[who].package)
            .collect();
        for package in out.iter().copied() {
            tree[self.packages[package].of] = Some(package);
        }
        let number = u32::from(parent.is_some());
        self.epochs.push(Epoch { parent, number, tree, law, keeper: by, by, renews: false });
        let group = self.epochs.len() - 1;
        self.members[by].at = Some(group);
        self.beat_as(by, group);
        for package in out {
            self.post(by, Message::Welcome { epoch: group, package });
            self.post(by, Message::Receipt { package, office: -1, no: u64::MAX, set: law, truth: law });
        }
    }
}

/// How many actions the menu has.
pub const MENU: usize = 15;
