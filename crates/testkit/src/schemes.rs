//! Scenes that need more than messages: the relay's help, somebody's absence, the keeping.

use std::time::Duration;

use rand::RngExt;
use sottovoce::{
    MemberId,
    room::Status,
    testkit::{Claim, Forced, ForcedAdd, ForcedLaw, Kind, Witness},
};

use crate::{
    gang::{Gang, SECOND, SLICE},
    net::Peer,
    scenes::Scene,
};

impl Gang<'_> {
    pub fn keeping(&mut self) {
        // One scheme after the other, so that a few seeds have all of them.
        let what = (self.plan.seed + self.kept) % 8;
        self.kept += 1;
        // The first one listens for all of them: what is sealed to its door is theirs.
        let by = if what == 3 { self.insiders[0] } else { self.some_insider() };
        if what == 3 {
            self.come_and_go();
        }
        let ranked: Vec<Peer> = {
            let ranks = self.book.borrow().ranked.clone();
            let has = |peer: &Peer| ranks.contains(&self.net.id(*peer)) && *peer != by;
            (0..self.net.devices.len()).map(Peer).filter(has).collect()
        };
        for peer in ranked {
            if !self.insiders.contains(&peer) && !self.off.contains_key(&peer) {
                self.switch_off(peer);
            }
        }
        self.pass_slices(7 * SECOND);
        let end = self.net.now + 40 * SECOND;
        let mut turn = 0;
        // Somebody comes back to the insider, who keeps its KeyPackage for later.
        let returner = self.follower().filter(|_| what == 3);
        while self.net.now < end {
            turn += 1;
            self.tricks += 1;
            let own = self.net.id(by);
            if self.net.room(by).keeper() != Some(own) && self.net.room(by).status() == Status::Present {
                // The race for the keeping: the insider is the first.
                self.insider(by, |insider| insider.commit_and_merge(&[]));
            }
            if let Some(returner) = returner
                && turn == 30
            {
                self.switch_off(returner);
                if let Some(membership) = self.off.remove(&returner) {
                    self.switch_on(returner, &membership, 0);
                }
            }
            let (_, victim) = self.victim();
            let forced = match what {
                0 => Some(Forced { law: ForcedLaw::False, ..Forced::default() }),
                1 => Some(Forced { adds: ForcedAdd::Friend, ..Forced::default() }),
                2 => Some(Forced { removes: vec![victim], ..Forced::default() }),
                3 if turn % 8 == 0 => Some(Forced { adds: ForcedAdd::Old, ..Forced::default() }),
                3 => Some(Forced { adds: ForcedAdd::Gone, ..Forced::default() }),
                4 => Some(Forced { unshown: 2, ..Forced::default() }),
                _ => None,
            };
            match (forced, what) {
                (Some(forced), _) if turn % 4 == 0 => {
                    self.tell_all(by, |insider| insider.commit(forced));
                }
                (None, 5) => (0..3).for_each(|_| self.insider(by, |insider| insider.commit_and_merge(&[]))),
                (None, 6) if turn % 8 == 0 => self.equivocate(by),
                (None, 7) if turn % 8 == 0 => self.tell_all(by, |insider| insider.made_up_welcome(turn / 8)),
                _ => {}
            }
            self.pass(SLICE);
        }
    }

    /// Guests whose KeyPackages insiders keep come in and leave again.
    fn come_and_go(&mut self) {
        let guests: Vec<Peer> = (0..2).map(|_| self.guest()).collect();
        for _ in 0..80 {
            self.pass(SLICE);
            // What doors passed on is looked at before more of it comes.
            self.each_insider(|_| ());
            if guests.iter().all(|guest| self.net.is_present(*guest)) {
                break;
            }
        }
        for guest in guests {
            let id = self.net.id(guest);
            let now = self.net.now;
            self.book.borrow_mut().note_left(id, now);
            let _ = self.net.with(guest, |room, _| room.leave());
        }
        self.pass_slices(5 * SECOND);
    }

    /// Two commits of one epoch, to two halves.
    fn equivocate(&mut self, by: Peer) {
        let (one, other): (Vec<Peer>, Vec<Peer>) =
            self.others(by).into_iter().partition(|peer| peer.0 % 2 == 0);
        let forced = Forced { law: ForcedLaw::Known, ..Forced::default() };
        let messages = self.insider(by, |insider| insider.commit(forced));
        self.net.send_as(by, &one, messages);
        self.hold(vec![by], one.first().copied().unwrap_or(by), Some(Kind::Mls), None);
        let now_held: Vec<Peer> = one;
        for peer in &now_held {
            self.hold(vec![by], *peer, Some(Kind::Mls), None);
        }
        self.insider(by, |insider| insider.commit_and_merge(&[]));
        let _ = other;
        self.pass_slices(SECOND);
        self.book.borrow_mut().relay.holds.clear();
    }

    pub fn idle(&mut self) {
        // An insider of rank keeps while the host is away; the honest moderator bans an insider
        // without rank.
        let ranked = self.book.borrow().ranked_insiders.clone();
        let by = self.insiders.iter().copied().find(|peer| ranked.contains(&self.net.id(*peer)));
        let moderator = Peer(1);
        let (Some(by), true) = (by, self.honest.contains(&moderator)) else {
            return self.floods_for_a_while();
        };
        if self.host != by && !self.off.contains_key(&self.host) {
            self.switch_off(self.host);
        }
        // Its takeover waits at the others until the host counts as silent, and is the first.
        self.pass_slices(2 * SECOND);
        let own = self.net.id(by);
        if self.net.room(by).keeper() != Some(own) {
            self.insider(by, |insider| insider.commit_and_merge(&[]));
        }
        for _ in 0..48 {
            if self.net.room(moderator).keeper() == Some(own) {
                break;
            }
            self.pass(SLICE);
        }
        let membership = self.off.remove(&self.host);
        let Some(victim) = self.follower() else { return };
        self.insider(by, |insider| insider.idle(true));
        self.put_out(moderator, victim, false);
        let end = self.net.now + 45 * SECOND;
        let mut turn = 0;
        while self.net.now < end {
            if turn % 16 == 0 {
                let claim = Claim { later: 0, elsewhere: false, ahead_ms: 0, knows: turn % 32 == 0 };
                self.tell_all(by, |insider| insider.beat(claim));
            }
            turn += 1;
            self.pass(SLICE);
        }
        self.insider(by, |insider| insider.idle(false));
        self.off.extend(membership.map(|membership| (self.host, membership)));
    }

    fn floods_for_a_while(&mut self) {
        for _ in 0..40 {
            self.trick(Scene::Floods);
            self.pass(SLICE);
        }
    }

    pub fn made_up(&mut self) {
        let by = self.some_insider();
        let (target, _) = self.victim();
        // The relay lets through to the target what the insiders say, and nothing else.
        let honest: Vec<Peer> =
            self.others(target).into_iter().filter(|peer| !self.insiders.contains(peer)).collect();
        self.hold(honest.clone(), target, None, None);
        let end = self.net.now + Duration::from_secs(self.rng.random_range(20..50));
        let mut turn = 0;
        while self.net.now < end {
            self.tricks += 1;
            if turn % 8 == 0 {
                let claim =
                    Claim { later: turn as u64 / 8, elsewhere: true, ahead_ms: 0, knows: turn % 16 == 0 };
                self.tell_all(by, |insider| insider.beat(claim));
            }
            if turn % 4 == 2 && self.loot.packages() > 0 {
                self.tell_all(by, |insider| insider.made_up_welcome(turn / 4));
            }
            turn += 1;
            self.pass(SLICE);
        }
    }

    pub fn newcomer(&mut self) {
        let by = self.some_insider();
        // An old law admits who was there then, and comes again with another device.
        let first = self.follower().filter(|_| self.rng.random_bool(0.5));
        let guest = match first {
            Some(first) => {
                self.net.speak(first, false);
                self.honest.retain(|peer| *peer != first);
                let identity = self.net.identity_of(first);
                let second = self.net.knock_as(identity, &self.link.clone());
                self.net.speak(second, true);
                second
            }
            None => self.guest(),
        };
        self.honest.push(guest);
        // The true Welcome comes late.
        self.hold(self.others(guest), guest, Some(Kind::Welcome), Some(20 * SECOND));
        for turn in 0..60 {
            self.tricks += 1;
            if self.loot.packages() > 0 {
                let messages = self.insider(by, |insider| insider.made_up_welcome(turn));
                for message in messages {
                    let _ = self.net.inject(guest, &message);
                }
            }
            self.pass(SLICE);
        }
    }

    pub fn refuse(&mut self) {
        // Nobody of rank is there, and an insider lets its turn go by; then it says that it keeps,
        // and lets nobody back.
        let Some(target) = self.follower() else { return };
        let ranks = self.book.borrow().ranked.clone();
        let ranked: Vec<Peer> =
            self.honest.clone().into_iter().filter(|peer| ranks.contains(&self.net.id(*peer))).collect();
        ranked.into_iter().for_each(|peer| self.switch_off(peer));
        for insider in self.insiders.clone() {
            self.net.devices[insider.0].holds_its_tongue = true;
        }
        let others: Vec<Peer> = self
            .honest
            .iter()
            .copied()
            .filter(|peer| *peer != target && !self.off.contains_key(peer))
            .collect();
        if others.len() < 2 {
            return;
        }
        self.pass_slices(30 * SECOND);
        let restart = self.net.room(target).membership();
        // If it keeps, nobody else does before it has been silent for 8 s and the turns of those
        // who are away are over (K2, K4).
        let (keeper, people) = (self.net.room(target).keeper(), self.net.room(target).roster().len());
        let next = if keeper == Some(self.net.id(target)) { 32 + 6 * people.min(12) } else { 0 };
        self.switch_off(target);
        self.pass_slices(2 * SECOND);
        self.off.remove(&target);
        let Some(membership) = restart else { return };
        self.switch_on(target, &membership, 0);
        let began = self.net.now;
        // Each insider that says that it keeps is asked for ten seconds (R3). With three the member
        // founds a branch within a minute (F2), and in ten seconds more the branches are one (B4).
        let asked = 40 * self.insiders.len();
        let slices = 28 + next + if self.insiders.len() < 3 { asked } else { 280 };
        for turn in 0..slices {
            self.tricks += 1;
            if turn % 6 == 0 {
                for by in self.insiders.clone() {
                    let claim = Claim { later: 3, elsewhere: true, ahead_ms: 0, knows: true };
                    self.tell_all(by, |insider| insider.beat(claim));
                }
            }
            self.pass(SLICE);
            let branch = |peer: Peer| Witness::of(&self.net.devices[peer.0].room).branch();
            if branch(target).is_some() && others.iter().any(|other| branch(target) == branch(*other)) {
                return;
            }
        }
        let what = format!("R3: {target:?} is not back after {:?}", self.net.now - began);
        self.book.borrow_mut().violations.push(what);
    }

    pub fn held_back(&mut self) {
        let Some(target) = self.follower() else { return };
        // Each message comes a little later than the one before.
        for delay in 0..40 {
            self.book.borrow_mut().relay.holds.clear();
            let later = Duration::from_millis(400 + 1_000 * delay);
            self.hold(self.others(target), target, None, Some(later));
            self.tricks += 1;
            self.pass_slices(SECOND);
        }
        // In the end nothing comes but what was held back.
        self.book.borrow_mut().relay.holds.clear();
        self.hold(self.others(target), target, None, None);
        self.pass_slices(30 * SECOND);
    }

    pub fn withheld(&mut self) {
        let (target, _) = self.victim();
        self.hold(self.others(target), target, Some(Kind::Mls), None);
        let (by, moderator) = (self.host, self.insiders[0]);
        if !self.off.contains_key(&by) && target != by && self.rng.random_bool(0.3) && self.insiders.len() > 1
        {
            // Somebody is put out, of which the target is not told.
            self.put_out(by, moderator, true);
        }
        let end = self.net.now + 25 * SECOND;
        while self.net.now < end {
            if self.rng.random_range(0..20) == 0 {
                let any = self.host;
                let name = sottovoce::group::Name::new("another").expect("a name");
                let _ = self.net.with(any, |room, now| room.rename(name, now));
            }
            self.tricks += 1;
            self.pass(SLICE);
        }
    }

    pub fn unattended(&mut self) {
        let Some(target) = self.follower() else { return };
        let ranks = self.book.borrow().ranked.clone();
        let ranked: Vec<Peer> =
            self.others(target).into_iter().filter(|peer| ranks.contains(&self.net.id(*peer))).collect();
        let by = self.some_insider();
        let rest: Vec<Peer> = self.others(target).into_iter().filter(|peer| *peer != by).collect();
        // The insider keeps for the target alone.
        if ranked.contains(&by) {
            return self.floods_for_a_while();
        }
        self.net.divide(&[target, by], &rest);
        self.pass_slices(85 * SECOND);
    }

    pub fn succession(&mut self) {
        // Nobody is heard by the target but an insider, whose words it has had up to now; then that
        // one keeps.
        let Some(target) = self.follower() else { return };
        let by = self.some_insider();
        let honest: Vec<Peer> = self.others(target).into_iter().filter(|peer| *peer != by).collect();
        // What the insider says comes late, its takeover too: it was made when the keeper was
        // there.
        self.hold(vec![by], target, None, Some(Duration::from_millis(21_500)));
        let messages = self.insider(by, |insider| {
            insider.commit(Forced { takes_over: true, law: ForcedLaw::Epochs, ..Forced::default() })
        });
        self.net.send_as(by, &[target], messages);
        self.pass_slices(13 * SECOND);
        self.hold(honest, target, None, None);
        self.pass_slices(22 * SECOND);
    }

    pub fn two_in_turn(&mut self) {
        let ranks = self.book.borrow().ranked.clone();
        let ranked: Vec<Peer> =
            self.honest.clone().into_iter().filter(|peer| ranks.contains(&self.net.id(*peer))).collect();
        ranked.into_iter().for_each(|peer| self.switch_off(peer));
        self.pass_slices(7 * SECOND);
        let insiders = self.insiders.clone();
        let all: Vec<MemberId> = insiders.iter().map(|peer| self.net.id(*peer)).collect();
        let until = 1_000 * (self.net.unix_now().as_secs() + 30);
        self.book.borrow_mut().said_to_leave.extend(all.iter().map(|id| (*id, until)));
        // Nobody of them puts out who said that it leaves.
        self.each_insider(|insider| insider.idle(true));
        let keeps = |gang: &Self| {
            let seen = gang.honest.iter().filter(|peer| !gang.net.is_off(**peer));
            let seen = seen.map(|peer| &gang.net.devices[peer.0].room);
            let keeper = seen.filter(|room| room.status() == Status::Present).find_map(|room| room.keeper());
            insiders.iter().copied().find(|peer| Some(gang.net.id(*peer)) == keeper)
        };
        let mut goes = None;
        for turn in 0..80 {
            self.tricks += 1;
            let keeping = keeps(self);
            if let Some(by) = keeping.filter(|_| keeping != goes) {
                // Who says that it leaves counts as silent at once, and stays.
                self.tell_all(by, |insider| insider.leave_ahead(0));
                self.insider(by, |insider| insider.lay_down());
                goes = Some(by);
            } else {
                let next = insiders.iter().copied().filter(|peer| {
                    let room = &self.net.devices[peer.0].room;
                    Some(*peer) != goes
                        && room.status() == Status::Present
                        && room.keeper() != Some(room.id())
                });
                let next: Vec<Peer> = next.collect();
                if let Some(by) = next.get(turn / 4 % next.len().max(1)).copied() {
                    self.insider(by, |insider| insider.commit_and_merge(&[]));
                }
            }
            self.pass(SLICE);
        }
        self.each_insider(|insider| insider.idle(false));
    }
}
