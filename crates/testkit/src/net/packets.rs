//! The packets that devices send each other, and who may open them.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, RngExt};
use sottovoce::{
    Epoch, MemberId, SealError, Stamp,
    media::{HEADROOM, TAILROOM},
    testkit::Witness,
    transport::RoomHandle,
};

use super::{Arrival, Net, Peer};

impl Net {
    /// Two rooms in one epoch agree on everything, and one of them is no better informed than
    /// another.
    pub fn check_agreement(&self) {
        (0..self.devices.len()).for_each(|peer| self.check_agreement_of(Peer(peer)));
    }

    /// The same of one device and the first of the others that are where it is: they were looked at
    /// when they came there.
    pub(super) fn check_agreement_of(&self, peer: Peer) {
        let Some(own) = self.place_of(peer) else { return };
        let mut others = (0..self.devices.len()).map(Peer).filter(|other| *other != peer);
        let Some(other) = others.find(|other| self.place_of(*other) == Some(own)) else { return };
        let roster = |peer: Peer| -> Vec<_> {
            let roster = self.devices[peer.0].room.roster();
            roster.iter().map(|member| (member.leaf, member.id, member.role, member.name.clone())).collect()
        };
        let code = |peer: Peer| self.devices[peer.0].room.code().map(|code| code.to_string());
        let (epoch, ..) = own;
        assert_eq!(roster(other), roster(peer), "{other:?} and {peer:?} have different rosters in {epoch:?}");
        assert_eq!(code(other), code(peer), "{other:?} and {peer:?} have different codes in {epoch:?}");
    }

    /// The epoch in which an honest device is that is on, its room and, where an epoch may have
    /// several branches, its branch.
    fn place_of(&self, peer: Peer) -> Option<(Epoch, RoomHandle, Option<[u8; 32]>)> {
        let device = &self.devices[peer.0];
        if self.off.contains(&peer) || device.is_insider {
            return None;
        }
        let epoch = device.room.epoch()?;
        let branch = self.forks.then(|| Witness::of(&device.room).branch()).flatten();
        Some((epoch, device.room.handle(), branch))
    }

    /// The packets of `from` that `to` opened and that were sealed at or after `since`.
    pub fn heard_since(&self, to: Peer, from: Peer, since: Instant) -> usize {
        let id = self.id(from);
        self.devices[to.0].heard.iter().filter(|(member, sealed)| *member == id && *sealed >= since).count()
    }

    pub(super) fn say(&mut self, from: Peer) {
        let mut buffer = [0; HEADROOM + 1000 + TAILROOM];
        // Twenty milliseconds of stereo CELT, code 0 (RFC 6716 section 3.2.2), with a payload of
        // noise.
        let len = 100;
        buffer[HEADROOM] = 0xfc;
        self.rng.fill_bytes(&mut buffer[HEADROOM + 1..HEADROOM + len]);
        let device = &mut self.devices[from.0];
        let packet = match device.sealer.seal(&mut buffer, len, Stamp::default()) {
            Ok(packet) => Bytes::copy_from_slice(packet),
            Err(SealError::Silent(why)) => {
                device.silent += 1;
                device.why_silent = Some(why);
                return;
            }
            Err(error) => panic!("{error}"),
        };
        device.sent += 1;
        let audience = self.watch_sealed(from, &packet);
        self.watched(|watcher, net| watcher.sealed(net, from));
        let sealed = self.now;
        for to in (0..self.devices.len()).map(Peer).filter(|to| *to != from) {
            let lane = self.media.clone();
            if self.rng.random_range(0..100) < lane.loss || self.cut.contains(&(from, to)) {
                continue;
            }
            let copies = 1 + u32::from(self.rng.random_range(0..100) < lane.doubled);
            for _ in 0..copies {
                let at = self.now + self.rng.random_range(lane.delay.clone());
                let audience = Rc::clone(&audience);
                self.post(at, to, Arrival::Media { packet: packet.clone(), sealed, audience });
            }
        }
    }

    /// Notes a packet that was sealed, and returns who may open it: the roster that its sender saw
    /// at that moment.
    pub(super) fn watch_sealed(&mut self, from: Peer, packet: &[u8]) -> Rc<[MemberId]> {
        let device = &self.devices[from.0];
        let silence = self.now.saturating_duration_since(device.news);
        let alone = device.room.roster().len() < 2;
        if device.disobeys() {
            let everybody: Vec<MemberId> = self.devices.iter().map(|device| device.room.id()).collect();
            return everybody.into();
        }
        if silence > PROOF_HOLDS && !alone {
            self.watch.violations.push(format!("{from:?} sends after {silence:?} without a word of anybody"));
        }
        if let (Some((_, step)), Some(code)) = (device.sealer.position(), device.room.code()) {
            let leaf =
                device.room.roster().iter().find(|member| member.is_self).map_or(u32::MAX, |own| own.leaf.0);
            let header: [u8; 7] = packet[..7].try_into().unwrap();
            let nonce = (code.to_string(), step.0, leaf, header);
            if !self.watch.nonces.insert(nonce) {
                self.watch.violations.push(format!("{from:?} sealed twice under one key and counter"));
            }
        }
        if self.watch.lies {
            return Rc::new([]);
        }
        self.devices[from.0].room.roster().iter().map(|member| member.id).collect()
    }

    pub(super) fn open(&mut self, to: Peer, packet: &[u8], sealed: Instant, audience: &[MemberId]) {
        let id = self.id(to);
        let device = &mut self.devices[to.0];
        let mut packet = packet.to_vec();
        device.received += 1;
        match device.opener.open(&mut packet) {
            Ok(opened) => {
                device.opened += 1;
                if !audience.contains(&id) {
                    let what =
                        format!("{to:?} opened a packet of a sender that did not have it on its roster");
                    self.watch.violations.push(what);
                }
                let member = opened.member;
                device.heard.push((member, sealed));
                self.watched(|watcher, net| watcher.opened(net, to, member, sealed));
            }
            Err(refusal) => *device.refused.entry(refusal).or_default() += 1,
        }
    }
}

/// How long a proof of life lets a member send, and how much older it may be than the member can
/// know: nobody can tell a slow way from a message that was made later, before a faster one has
/// come.
const PROOF_HOLDS: Duration = Duration::from_millis(15_000 + 1_500);
