//! The end of a storm with insiders: the relay behaves, the insiders do not, and everybody honest
//! has to be heard.

use std::time::{Duration, Instant};

use sottovoce::{MemberId, SilenceReason, group::Role, room::Status, testkit::Witness};

use crate::{
    gang::{Gang, HEALS_WITHIN, Report, SECOND, SLICE},
    guard::{MINUTE, short},
    net::Peer,
    scenes::Scene,
};

impl Gang<'_> {
    /// The relay behaves, the host acts, and the insiders go on.
    pub fn calm(&mut self, report: &mut Report) {
        self.recover();
        let ranked: Vec<MemberId> = self.book.borrow().ranked_insiders.iter().copied().collect();
        for id in ranked {
            self.demote(id);
        }
        self.lift_what_insiders_said();
        let began = self.net.now;
        while self.net.now < began + HEALS_WITHIN {
            let scene = Scene::without_relay(&mut self.rng);
            self.trick(scene);
            self.pass(SLICE);
            self.honest.retain(|peer| self.net.devices[peer.0].room.status() != Status::Over);
            if self.deaf_pairs(self.net.now - 4 * SECOND).is_empty() {
                report.healed = Some(self.net.now - began);
                break;
            }
        }
        report.tricks = self.tricks;
        if report.healed.is_none() {
            let deaf = self.deaf_pairs(self.net.now - 4 * SECOND);
            let seen = self.honest.iter().map(|peer| self.describe(*peer)).collect::<Vec<_>>().join("; ");
            report.violations.push(format!("not together after {HEALS_WITHIN:?}: {deaf:?}; {seen}"));
            return;
        }
        let count = |gang: &Self| {
            let devices = gang.honest.iter().map(|peer| &gang.net.devices[peer.0]);
            devices.fold((0, 0), |(sent, silent), device| (sent + device.sent, silent + device.silent))
        };
        let before = count(self);
        let end = self.net.now + AFTERWARDS;
        while self.net.now < end {
            let scene = Scene::without_relay(&mut self.rng);
            self.trick(scene);
            self.pass(SLICE);
        }
        let after = count(self);
        (report.sent, report.silent) = (after.0 - before.0, after.1 - before.1);
    }

    /// The host ends the rank of an insider, and keeps none of its words (L17, L32).
    fn demote(&mut self, id: MemberId) {
        let _ = self.net.with(self.host, |room, now| room.set_role(id, Role::Listener, now));
        self.note_fallen();
    }

    /// Whom an insider of rank has admitted is out when its rank ends.
    pub fn note_fallen(&mut self) {
        let law = Witness::of(&self.net.devices[self.host.0].room);
        let known = self.honest.iter().map(|peer| &self.net.devices[peer.0].room);
        let fallen = known.flat_map(|room| {
            let before = Witness::of(room);
            room.hears().filter(|member| before.admits(*member)).collect::<Vec<_>>()
        });
        let fallen: Vec<MemberId> = fallen.filter(|member| !law.admits(*member)).collect();
        self.book.borrow_mut().put_out.extend(fallen);
    }

    /// The host takes back what an insider of rank did to honest members.
    pub fn lift_what_insiders_said(&mut self) {
        self.net.run_for(2 * SECOND);
        for peer in self.honest.clone() {
            let id = self.net.id(peer);
            let _ = self.net.with(self.host, |room, now| room.unban(id, now));
            let _ = self.net.with(self.host, |room, now| room.set_muted(id, false, now));
        }
    }

    /// Who is not heard by whom since then, of the honest who may speak.
    pub fn deaf_pairs(&mut self, since: Instant) -> Vec<(Peer, Peer)> {
        let mut deaf = Vec::new();
        for from in &self.honest {
            let room = &self.net.devices[from.0].room;
            let own = room.roster().iter().find(|member| member.is_self);
            let quiet = own.is_some_and(|own| own.muted || !own.role.may_speak());
            for to in self.honest.iter().filter(|to| *to != from) {
                if !quiet && self.net.heard_since(*to, *from, since) == 0 {
                    deaf.push((*to, *from));
                }
            }
        }
        deaf
    }

    /// Nobody is silent for long because somebody who is out stays in the tree.
    pub fn look_for_the_silenced(&mut self) {
        let now = self.net.now;
        // Guests are members too.
        let members = self.plan.members.max(self.honest.len() + self.insiders.len()) as u32;
        let bound = Duration::from_secs(14) + Duration::from_millis(1_500) * members;
        let calm = self.off.is_empty()
            && self.book.borrow().relay.holds.is_empty()
            && self.net.is_fair()
            && now >= self.slow_until;
        for peer in self.honest.clone() {
            let device = &self.net.devices[peer.0];
            let host_is_there = self.net.is_present(self.host)
                && !self.net.is_off(self.host)
                && self.honest.contains(&self.host);
            let removal = device.why_silent == Some(SilenceReason::AwaitingRemoval);
            let other = matches!(
                device.why_silent,
                Some(
                    SilenceReason::CommitWithheld | SilenceReason::NoProofOfLife | SilenceReason::NobodyHears
                )
            );
            let waits = (removal || other && host_is_there)
                && device.room.status() == Status::Present
                && calm
                && !self.net.is_asleep(peer)
                && !self.net.is_off(peer)
                && self.net.speaks(peer);
            // Who asks for its place waits until its keeper may add it once more (K7).
            let asks = other && Witness::of(&device.room).asks_elsewhere();
            let adds = if asks { MINUTE } else { Duration::ZERO };
            let sent = device.sent;
            let (before, since, asked) = self.silent_since.entry(peer).or_insert((sent, now, asks));
            // It has just come back, and has not had the time to send.
            let is_back = std::mem::replace(asked, asks) && !asks;
            if !waits || is_back || *before != sent {
                (*before, *since) = (sent, now);
            } else if now > *since + bound + adds {
                let (long, why) = (now - *since, device.why_silent);
                let what = format!("K2: {peer:?} is kept silent for {long:?}: {why:?}");
                (*before, *since) = (sent, now);
                if self.book.borrow().is_traced {
                    eprintln!("{:.2?} {}", self.net.since_begin(), self.describe(peer));
                }
                self.book.borrow_mut().violations.push(what);
            }
        }
    }

    pub fn describe(&self, peer: Peer) -> String {
        let device = &self.net.devices[peer.0];
        let room = &device.room;
        let story = Witness::of(room).story(self.net.now);
        format!(
            "{peer:?} {} {:?} {:?} of {}, kept by {}, silent {:?}, {story}, {:?}, {:?}",
            short(room.id()),
            room.status(),
            room.epoch(),
            room.roster().len(),
            room.keeper().map_or_else(String::new, short),
            device.why_silent,
            device.events,
            device.control_errors,
        )
    }
}

/// How long it is counted afterwards who sends.
const AFTERWARDS: Duration = Duration::from_secs(20);
