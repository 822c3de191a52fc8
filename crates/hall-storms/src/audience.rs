//! What hostile listeners do, and what happens to honest ones.

use std::time::Duration;

use rand::RngExt;
use sottovoce::{
    stage::HallLane,
    testkit::{Hearing, ListenerClaim, ListenerInsider},
};

use crate::storm::Storm;

impl Storm {
    /// A hostile listener makes something up, and the relay gives it to whom it is meant for.
    pub(crate) fn make_up(&mut self) {
        let Some(liar) = self.a_liar() else { return };
        let now = self.world.instant();
        let (which, ahead) =
            (self.rng.random_range(0..7), [1, 1, 1, 2, 9, 2_000][self.rng.random_range(0..6)]);
        let slot = self.rng.random_range(0..16);
        let Some(ear) = self.world.ears[liar].as_mut() else { return };
        let porter = Hearing::of(&ear.listener, now).map_or([0; 16], |hearing| hearing.porter);
        let mut insider = ListenerInsider::of(&mut ear.listener, now);
        let made = match which {
            0 | 1 => insider.turn(ahead),
            2 => insider.bundle(),
            3 => insider.beat(porter),
            4 => insider.door(),
            5 => insider.programme(),
            _ => insider.leave_of(slot),
        };
        self.tally.tricks += 1;
        match made {
            Some((HallLane::Porter(_), bytes)) => {
                for to in 0..self.world.members.len() {
                    self.world.inject_at_door(to, bytes.clone(), Duration::from_millis(50));
                }
            }
            Some((lane, bytes)) => {
                for to in self.world.on_lane(lane) {
                    self.world.inject(to, lane, bytes.clone(), Duration::from_millis(50));
                }
            }
            None => {}
        }
    }

    /// A hostile listener asks for this and that, far too often.
    pub(crate) fn claim(&mut self) {
        let Some(liar) = self.a_liar() else { return };
        for _ in 0..8 {
            let claim = match self.rng.random_range(0..6) {
                0 | 1 => ListenerClaim::Keys(0),
                2 => ListenerClaim::Programme,
                3 => ListenerClaim::Page(self.rng.random_range(0..3)),
                4 => ListenerClaim::Hand(self.rng.random()),
                _ => ListenerClaim::Fresh,
            };
            self.tally.tricks += 1;
            self.world.ear(liar, |listener, now| {
                ListenerInsider::of(listener, now).claim(claim);
                Ok(())
            });
        }
    }

    /// What was recorded is said again: to those who had it, and elsewhere.
    pub(crate) fn replay(&mut self) {
        for _ in 0..6 {
            if self.recorded.is_empty() {
                return;
            }
            let at = self.rng.random_range(0..self.recorded.len());
            let (to, lane, bytes) = self.recorded[at].clone();
            let elsewhere = self.rng.random_range(0..4) == 0;
            let to = if elsewhere { self.world.anybody().unwrap_or(to) } else { to };
            self.tally.tricks += 1;
            self.world.inject(to, lane, bytes, Duration::from_millis(self.rng.random_range(0..2_000)));
        }
        for _ in 0..2 {
            if let Some(knock) = self.knocks.get(self.rng.random_range(0..self.knocks.len().max(1))).cloned()
            {
                for to in 0..self.porters {
                    self.world.inject_at_door(to, knock.clone(), Duration::from_millis(20));
                }
            }
        }
    }

    /// Somebody with a ticket that it signed itself and an invite that does not hold.
    pub(crate) fn intrude(&mut self) {
        let Some(revoked) = &self.revoked else { return };
        let invite = revoked.copy();
        let who = sottovoce_stage_sim::identity(self.rng.random());
        self.without_right.insert(who.id());
        let index = self.world.join_at(who, invite, 0);
        self.liars.insert(index);
        let now = self.world.instant();
        if let Some(ear) = self.world.ears[index].as_mut() {
            ListenerInsider::of(&mut ear.listener, now).show_forged();
        }
        self.tally.tricks += 1;
    }

    /// Half of a cell goes at once, or a crowd comes.
    pub(crate) fn crowd(&mut self) {
        if self.rng.random() && self.world.present().len() < self.plan.listeners + 24 {
            for _ in 0..24 {
                self.world.join();
            }
            return;
        }
        let now = self.world.instant();
        let place = |storm: &Self, index: usize| {
            Hearing::of(&storm.world.ears[index].as_ref()?.listener, now).map(|at| (at.porter, at.seat.0))
        };
        let Some(cell) = self.world.anybody().and_then(|index| place(self, index)) else { return };
        let there = self.world.present().to_vec();
        let there = there.into_iter().filter(|index| !self.liars.contains(index) && !self.is_banned(*index));
        let there: Vec<_> = there.filter(|index| place(self, *index) == Some(cell)).collect();
        for index in there.iter().step_by(2) {
            self.world.leave(*index);
            self.world.join();
        }
    }

    fn a_liar(&mut self) -> Option<usize> {
        let liars: Vec<_> =
            self.liars.iter().copied().filter(|index| self.world.ears[*index].is_some()).collect();
        if liars.is_empty() { None } else { Some(liars[self.rng.random_range(0..liars.len())]) }
    }
}
