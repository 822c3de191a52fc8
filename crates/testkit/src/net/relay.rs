//! The relay: how long control messages take, which are lost, held back or played again.

use std::{
    collections::HashMap,
    ops::Range,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::RngExt;
use sottovoce::{
    MemberId,
    room::{ControlError, Event},
};

use super::{Arrival, Net, Peer};

/// How one lane treats what goes through it.
#[derive(Clone, Debug)]
pub struct Lane {
    pub delay: Range<Duration>,
    /// Percent of packets that never arrive. What the control lane loses is sent again, until it
    /// arrives.
    pub loss: u32,
    /// Percent of packets that arrive twice.
    pub doubled: u32,
    /// Percent of packets that are lost for good, on the control lane too.
    pub gone: u32,
    /// Percent of packets in which a bit turns on the way.
    pub turned: u32,
}

impl Lane {
    /// A lane that only takes its time.
    pub const fn slow(delay: Range<Duration>) -> Self {
        Self { delay, loss: 0, doubled: 0, gone: 0, turned: 0 }
    }
}

/// What a relay does with one control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Passes,
    IsLost,
    ComesLater(Duration),
}

/// Somebody who sees everything: each call of a room, each message on its way.
///
/// With its `fate` it is also the relay that insiders have on their side.
pub trait Watcher {
    /// A room was called, and what follows from it was carried out.
    fn called(&mut self, _net: &Net, _peer: Peer) {}
    /// A room told its application something.
    fn told(&mut self, _net: &Net, _peer: Peer, _event: &Event) {}
    /// A device sends a control message of its own accord.
    fn sent(&mut self, _net: &Net, _from: Peer, _message: &Bytes) {}
    /// A control message is about to be taken.
    fn comes(&mut self, _net: &Net, _to: Peer, _from: Peer, _sent: Instant, _message: &Bytes) {}
    /// A room refused a control message.
    fn refused(&mut self, _net: &Net, _peer: Peer, _error: &ControlError) {}
    /// A device has sealed a packet.
    fn sealed(&mut self, _net: &Net, _from: Peer) {}
    /// A device has opened a packet.
    fn opened(&mut self, _net: &Net, _to: Peer, _from: MemberId, _sealed: Instant) {}
    /// What becomes of a control message.
    fn fate(&mut self, _net: &Net, _from: Peer, _to: Peer, _message: &Bytes) -> Fate {
        Fate::Passes
    }
}

impl Net {
    /// Holds back the control messages of one pair, or delivers what was held back.
    pub fn withhold(&mut self, from: Peer, to: Peer, on: bool) {
        if on {
            self.withheld.insert((from, to));
            return;
        }
        self.withheld.remove(&(from, to));
        for message in self.kept_back.remove(&(from, to)).unwrap_or_default() {
            self.post_control(from, to, message);
        }
    }

    /// What is withheld from one to the other is lost.
    pub fn lose_withheld(&mut self) {
        self.kept_back.clear();
        self.withheld.clear();
    }

    /// Divides the network: nothing passes between the two sides, on either lane, and what is sent
    /// is lost.
    pub fn divide(&mut self, one: &[Peer], other: &[Peer]) {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            self.cut.extend([(a, b), (b, a)]);
        }
    }

    /// Cuts one way: nothing of `from` reaches `to`.
    pub fn cut(&mut self, from: Peer, to: Peer) {
        self.cut.insert((from, to));
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Whether everything arrives, and soon.
    pub fn is_fair(&self) -> bool {
        let lane = &self.control;
        self.cut.is_empty() && lane.gone + lane.loss + lane.turned == 0 && lane.delay.end < RESENT
    }

    /// Sends messages that a device's room did not make of its own accord, to these devices.
    pub fn send_as(&mut self, from: Peer, to: &[Peer], messages: Vec<Bytes>) {
        for message in messages {
            self.relay_log.push(message.clone());
            self.origins.insert(message.clone(), (from, self.now));
            for to in to.iter().filter(|to| **to != from) {
                self.post_control(from, *to, message.clone());
            }
        }
    }

    /// Forgets who sent what was sent before: it is played back no more.
    pub fn forget_before(&mut self, then: Instant) {
        self.origins.retain(|_, (_, sent)| *sent >= then);
    }

    pub(super) fn post_control(&mut self, from: Peer, to: Peer, message: Bytes) {
        if self.cut.contains(&(from, to)) || self.off.contains(&to) {
            return;
        }
        if self.withheld.contains(&(from, to)) {
            self.kept_back.entry((from, to)).or_default().push(message);
            return;
        }
        let mut fate = Fate::Passes;
        self.watched(|watcher, net| fate = watcher.fate(net, from, to, &message));
        let lane = self.control.clone();
        let lost = lane.gone > 0 && self.rng.random_range(0..100) < lane.gone;
        if lost || fate == Fate::IsLost {
            return;
        }
        if let Fate::ComesLater(by) = fate {
            let at = self.now + by;
            self.post(at, to, Arrival::Control { message });
            return;
        }
        let message = self.turned(message, lane.turned);
        let copies = 1 + u32::from(self.rng.random_range(0..100) < lane.doubled);
        for _ in 0..copies {
            let mut at = self.now + self.rng.random_range(lane.delay.clone());
            while self.rng.random_range(0..100) < lane.loss {
                at += RESENT;
            }
            let after = self.order.entry((from, to)).or_insert(at);
            *after = at.max(*after);
            let at = *after;
            self.post(at, to, Arrival::Control { message: message.clone() });
        }
    }

    /// The message with a bit turned, now and then.
    pub(super) fn turned(&mut self, message: Bytes, percent: u32) -> Bytes {
        if percent == 0 || self.rng.random_range(0..100) >= percent {
            return message;
        }
        let mut bytes = message.to_vec();
        let at = self.rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << self.rng.random_range(0..8);
        bytes.into()
    }

    /// How old what has come is at least: by the message of that sender that took the least time,
    /// were clocks to drift.
    pub(super) fn note_news(&mut self, from: Peer, to: Peer, sent: Instant) {
        let (took, now) = (self.now - sent, self.now);
        let (least, at) = self.shortest.entry((from, to)).or_insert((took, now));
        *least = took.min(*least + (now - *at) / 1_000);
        *at = now;
        let news = &mut self.devices[to.0].news;
        *news = (sent + *least).max(*news);
    }

    /// Notes the leaves of a device's tree. Of whom a commit of `by` has added it has forgotten how
    /// long messages took (T1).
    pub(super) fn note_tree(&mut self, peer: Peer, by: Option<MemberId>) {
        let device = &self.devices[peer.0];
        let witness = sottovoce::testkit::Witness::of(&device.room);
        let tree: HashMap<_, _> =
            device.room.hears().filter_map(|member| Some((member, witness.made_ms(member)?))).collect();
        for (member, made_ms) in &tree {
            // A committer's own leaf is renewed, and was there.
            if by.is_some_and(|by| *member != by) && device.made_ms.get(member) != Some(made_ms) {
                let from = self.devices.iter().position(|device| device.room.id() == *member).map(Peer);
                self.shortest.retain(|(other, to), _| Some(*other) != from || *to != peer);
            }
        }
        self.devices[peer.0].made_ms = tree;
    }

    pub(super) fn post(&mut self, at: Instant, to: Peer, arrival: Arrival) {
        self.number += 1;
        self.arrivals.insert((at, self.number), (to, arrival));
    }
}

/// When what the control lane has lost is sent again.
const RESENT: Duration = Duration::from_millis(200);
