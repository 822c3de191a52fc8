//! What is sent, what arrives, and what that makes of those it reaches.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use rand::RngExt;
use sottovoce::{
    CaptureTime,
    stage::{AudienceError, HallLane, Listener},
};

use super::{Node, Reached, What, World, seal, unsubscribe};
use crate::{audience::Said, onstage::Left};

impl World {
    pub(super) fn send_from_stage(&mut self, from: usize, left: Left) {
        for bytes in left.room {
            for to in (0..self.members.len()).filter(|to| *to != from) {
                if self.is_withheld(Node::Stage(from), Node::Stage(to), None) {
                    continue;
                }
                let at = self.line.control(Node::Stage(from), Node::Stage(to), None, self.now);
                self.push(at, What::Room { to, bytes: bytes.clone() });
            }
        }
        for (lane, bytes) in left.hall {
            if let Some(tape) = &mut self.tape {
                tape.push((self.now, lane, bytes.clone()));
            }
            let to: Vec<usize> = match lane {
                HallLane::Hall => self.present.clone(),
                lane => self.lanes.get(&lane).cloned().unwrap_or_default(),
            };
            for to in to {
                if self.is_withheld(Node::Stage(from), Node::Ear(to), Some(lane)) {
                    continue;
                }
                let at = self.line.control(Node::Stage(from), Node::Ear(to), Some(lane), self.now);
                self.push(at, What::Hall { to, lane, bytes: bytes.clone() });
            }
        }
    }

    /// Lets a listener act, and sends what leaves it.
    pub fn ear(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Listener, Instant) -> Result<(), AudienceError>,
    ) {
        let (now, at) = (self.instant(), self.now);
        let Some(ear) = self.ears[index].as_mut() else { return };
        let before = ear.epoch;
        let Said { messages, moved } = ear.pump(at, |listener| act(listener, now));
        if ear.epoch > before && ear.heard.is_some() && before != 0 && !ear.stubborn {
            self.turned += 1;
            let first = self.first_sent.range(before + 1..=ear.epoch).next();
            if let Some((_, first)) = first {
                let missed = at.saturating_sub(*first + self.line.least());
                self.late += usize::from(missed > LATE);
                if missed > self.missed.0 {
                    self.missed = (missed, index);
                }
            }
        }
        if moved {
            let new: Vec<HallLane> = ear.listener.lanes().collect();
            let old = std::mem::replace(&mut ear.lanes, new.clone());
            for lane in old.iter().filter(|lane| !new.contains(lane)) {
                unsubscribe(&mut self.lanes, *lane, index);
            }
            for lane in new.into_iter().filter(|lane| !old.contains(lane) && *lane != HallLane::Hall) {
                self.lanes.entry(lane).or_default().push(index);
            }
        }
        for (lane, bytes) in messages {
            if let Some(knocked) = &mut self.knocked {
                knocked.push(bytes.clone());
            }
            for to in 0..self.members.len() {
                let member = &self.members[to];
                let receives = member.stage.as_ref().is_some_and(|stage| stage.lanes().any(|on| on == lane));
                if member.dead || !receives {
                    continue;
                }
                if self.is_withheld(Node::Ear(index), Node::Stage(to), Some(lane)) {
                    continue;
                }
                let at = self.line.control(Node::Ear(index), Node::Stage(to), Some(lane), self.now);
                self.push(at, What::Doors { to, bytes: bytes.clone() });
            }
        }
        self.plan_ear(index);
    }

    pub(super) fn happen(&mut self, what: What) {
        match what {
            What::Room { to, bytes } => {
                self.members[to].received += bytes.len() as u64;
                self.member(to, |member, now| {
                    if let Err(error) = member.room.handle_control(&bytes, now) {
                        member.refused.push(error);
                    }
                });
            }
            What::Doors { to, bytes } => {
                self.members[to].received += bytes.len() as u64;
                self.member(to, |member, now| {
                    if let Some(stage) = &mut member.stage {
                        let _ = stage.handle_control(&bytes, now);
                    }
                });
            }
            What::Hall { to, lane, bytes } => {
                let Some(ear) = self.ears[to].as_mut() else { return };
                if ear.stubborn && matches!(lane, HallLane::Own(_)) {
                    return;
                }
                if self.asleep.contains(&to) {
                    return;
                }
                ear.received += bytes.len() as u64;
                *self.traffic.entry((kind(lane), bytes.len())).or_default() += 1;
                let mut taken = Ok(());
                self.ear(to, |listener, now| {
                    taken = listener.handle_control(lane, &bytes, now);
                    taken
                });
                if let Some(reached) = &mut self.reached {
                    reached.push(Reached { to, lane, bytes, taken });
                }
            }
            What::Packet { to, packet } => {
                let now = self.now;
                let Some(ear) = self.ears[to].as_mut().filter(|_| !self.asleep.contains(&to)) else { return };
                ear.hear(&packet, now);
                if ear.heard.is_some() && self.waiting.remove(&to) {
                    self.joins.push(now - ear.joined);
                }
            }
            What::Timer(Node::Stage(index)) => {
                if self.timers.get(&index).is_some_and(|at| *at <= self.now) {
                    self.timers.remove(&index);
                }
                self.member(index, |member, now| {
                    member.room.handle_timeout(now);
                    if let Some(stage) = &mut member.stage {
                        stage.handle_timeout(now);
                    }
                });
            }
            What::Timer(Node::Ear(index)) => {
                let now = self.now;
                let Some(ear) = self.ears[index].as_mut() else { return };
                if ear.timer != Some(now) {
                    return;
                }
                ear.timer = None;
                if self.asleep.contains(&index) {
                    return;
                }
                self.ear(index, |listener, now| {
                    listener.handle_timeout(now);
                    Ok(())
                });
            }
            What::Tick => self.speak(),
        }
    }

    /// One packet of who speaks, to those who are watched and to some others.
    fn speak(&mut self) {
        self.push(self.now + self.tick, What::Tick);
        let Some(speaker) = self.speaker.filter(|speaker| !self.members[*speaker].dead) else { return };
        self.spoken += 1;
        let captured = CaptureTime::from_millis(self.unix.as_secs() * 1_000 + self.now.as_millis() as u64);
        let Some((packet, epoch)) = seal(&mut self.members[speaker].sealer, self.spoken, captured) else {
            self.unsaid += 1;
            return;
        };
        if !self.first_sent.contains_key(&epoch) {
            self.first_sent.insert(epoch, self.now);
            self.turns += 1;
        }
        let packet: Rc<[u8]> = packet.into();
        if let Some(spoke) = &mut self.spoke {
            spoke.push((self.now, speaker, Rc::clone(&packet)));
        }
        if let Some(packets) = &mut self.packets {
            packets.push((self.now, Rc::clone(&packet)));
        }
        let mut to: Vec<usize> = self.watched.iter().chain(&self.waiting).copied().collect();
        for _ in 0..self.sample.min(self.present.len()) {
            let at = self.rng.random_range(0..self.present.len());
            to.push(self.present[at]);
        }
        to.sort_unstable();
        to.dedup();
        for to in to {
            if let Some(at) = self.line.packet(self.now) {
                self.push(at, What::Packet { to, packet: Rc::clone(&packet) });
            }
        }
    }
}

fn kind(lane: HallLane) -> &'static str {
    match lane {
        HallLane::Doors => "doors",
        HallLane::Foyer => "foyer",
        HallLane::Hall => "hall",
        HallLane::Cell { .. } => "cell",
        HallLane::Own(_) => "own",
        HallLane::Porter(_) => "porter",
    }
}

const LATE: Duration = Duration::from_millis(200);
