//! The hostile relay, and what honest people do beside talking: leave, come back, restore a backup.

use crate::{
    law::PEOPLE,
    room::{F, H, LONG_AGO, M, Member, Message, Ms, NAMES, Phase, Room, STEP, V},
};

impl Room {
    /// The relay changes its mind now and then; while the room heals it delivers everything.
    pub(crate) fn tend_relay(&mut self) {
        if self.script.is_some() {
            return;
        }
        if self.healing || !self.relay.hostile {
            (self.relay.link, self.relay.delay, self.relay.loss) = ([[true; PEOPLE]; PEOPLE], 0, 0);
            self.relay.withholds_from = None;
            self.relay.hostile &= !self.healing;
            return;
        }
        if self.now < self.relay.until {
            self.replay();
            return;
        }
        self.relay.until = self.now + 5_000 + self.random.below(25_000) as Ms;
        self.relay.delay = self.random.one_of(&[0, 0, 0, 1_000, 5_000]);
        self.relay.loss = self.random.one_of(&[0, 0, 10, 4]);
        let (mode, cut) = (self.random.below(8), self.random.draw());
        self.relay.withholds_from = (mode >= 6).then(|| self.random.below(self.people));
        let victim = if self.random.one_in(2) { V } else { self.random.below(self.people) };
        for a in 0..PEOPLE {
            for b in 0..PEOPLE {
                let hostile = self.hostile[a] || self.hostile[b];
                self.relay.link[a][b] = match mode {
                    0 | 1 | 6 | 7 => true,
                    2 => cut >> a & 1 == cut >> b & 1,
                    3 => a != victim && b != victim || hostile,
                    4 => b != victim || self.hostile[a],
                    _ => !self.random.one_in(3),
                };
            }
        }
        self.note(|room| {
            format!(
                "relay: mode {mode}, victim {}, delay {}, loss {}",
                NAMES[victim], room.relay.delay, room.relay.loss
            )
        });
    }

    /// The relay plays something again, from a moment ago or from the beginning.
    pub(crate) fn replay(&mut self) {
        if self.posts.is_empty() || !self.random.one_in(3) {
            return;
        }
        let (to, post) = (self.random.below(self.people), self.random.below(self.posts.len()));
        if self.posts[post].from != to {
            self.inbox[to].push((self.now + STEP, post));
        }
    }

    /// Honest members leave and come back; people of rank restore a backup.
    pub(crate) fn come_and_go(&mut self) {
        if self.script.is_some() {
            return;
        }
        for who in [H, M] {
            if self.hostile[who] || self.members[who].phase != Phase::Present {
                continue;
            }
            if self.random.one_in(24) {
                self.backups[who] = Some((self.members[who].known, self.members[who].pins));
            }
            if let Some((known, pins)) = self.backups[who]
                && self.random.one_in(200)
            {
                self.note(|_| format!("{} restores a backup", NAMES[who]));
                self.restore(who, known, pins);
            }
        }
        for who in F..self.people {
            if self.hostile[who] {
                continue;
            }
            if self.members[who].phase == Phase::Present && self.random.one_in(400) {
                let (epoch, said) = (self.members[who].at.expect("present"), self.stamp(who));
                self.note(|_| format!("{} leaves", NAMES[who]));
                self.post(who, Message::Leave { epoch, of: who, said });
                let (now, member) = (self.now, &mut self.members[who]);
                (member.left, member.phase, member.at, member.returning) = (now, Phase::Over, None, None);
                member.leave_said[who] = said;
            } else if self.members[who].phase == Phase::Over
                && self.members[who].left > LONG_AGO
                && self.random.one_in(40)
            {
                let now = self.now;
                self.members[who].rank_heard = now;
                self.members[who].first_entered = now;
                self.lose_place(who);
            }
        }
    }

    pub(crate) fn restore(&mut self, who: usize, known: u64, pins: u64) {
        let (now, law) = (self.now, self.law(known, pins));
        let old = &self.members[who];
        let mut member = Member::new(now, law);
        // U4: the times of C4 are stored whenever something changes; a backup of them is as old as
        // the rest.
        (member.known, member.ever, member.pins, member.held) = (known, known, pins, vec![known]);
        (member.ahead, member.invite, member.past, member.stamp) =
            (old.ahead, old.invite, old.past.clone(), 0);
        (member.fresh, member.badge) = (true, old.badge);
        self.members[who] = member;
        self.inbox[who].clear();
        self.lose_place(who);
    }
}
