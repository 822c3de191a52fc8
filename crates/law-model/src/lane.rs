//! How messages go from one to another: at once, late, in any order, or never.

use crate::room::{Message, Ms, Phase, Room};

impl Room {
    /// Sends a message to everybody, as the relay lets it.
    pub(crate) fn post(&mut self, from: usize, message: Message) {
        let at = self.now;
        self.posts.push(crate::room::Post { from, at, message });
        let post = self.posts.len() - 1;
        for to in (0..self.people).filter(|to| *to != from) {
            self.send(from, to, post);
        }
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, post: usize) {
        let lost = self.relay.loss > 0 && self.random.one_in(self.relay.loss);
        let cut = !self.relay.link[from][to];
        // What a cut holds back comes later, or never.
        let proves = matches!(self.posts[post].message, Message::Beat { .. } | Message::Word { .. });
        let withheld = self.relay.withholds_from == Some(to) && !proves;
        if withheld && !self.random.one_in(20) {
            return;
        }
        if lost || cut && !self.relay.hostile || cut && self.random.one_in(2) {
            return;
        }
        let held = if cut { 2_000 * (1 + self.random.below(20)) as Ms } else { 0 };
        let due = self.now + crate::room::STEP + self.relay.delay + held;
        self.inbox[to].push((due, post));
    }

    /// Takes what is due. What is of a later epoch waits for it, 60 s (C10).
    pub(crate) fn deliver(&mut self, r: usize) {
        let now = self.now;
        let mut due: Vec<(Ms, usize)> = Vec::new();
        self.inbox[r].retain(|entry| {
            let is_due = entry.0 <= now;
            due.extend(is_due.then_some(*entry));
            !is_due
        });
        due.sort_unstable();
        for (_, post) in due {
            self.take(r, post);
        }
    }

    /// Tries again what came before the epoch that it belongs to.
    pub(crate) fn retry_later(&mut self, r: usize) {
        let now = self.now;
        for (came, post) in std::mem::take(&mut self.later[r]) {
            if came + 60_000 > now {
                let epoch = self.posts[post].message.epoch(&self.epochs);
                if epoch == self.members[r].at {
                    self.take(r, post)
                } else {
                    self.later[r].push((came, post))
                }
            }
        }
    }

    pub(crate) fn take(&mut self, r: usize, post: usize) {
        let crate::room::Post { from, at, message } = self.posts[post].clone();
        if matches!(self.members[r].phase, Phase::Over | Phase::Away) {
            return;
        }
        if let Some(epoch) = message.epoch(&self.epochs)
            && self.members[r].at != Some(epoch)
        {
            if !self.members[r].past.contains(&epoch) && self.later[r].len() < 256 {
                self.later[r].push((self.now, post));
            }
            return;
        }
        if let Some(epoch) = message.epoch(&self.epochs)
            && self.epochs[epoch].tree[from].is_none()
        {
            return;
        }
        self.hear(r, from, at, message);
    }
}
