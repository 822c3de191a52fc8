//! Duties that concern people: who is absent, who has been ignored, who is alone, doors and badges
//! (SPEC section 7, rules P1 to P5 and D8).

use std::time::{Duration, Instant};

use super::{
    doors::badges::badge,
    event::Event,
    memory::Memory,
    outbox::{Outbox, own_key},
    place::Place,
    presence::HEARTBEAT,
    sealing::send_show,
    seat::{IGNORED_AFTER, Seat},
};
use crate::{
    group::Member,
    id::MemberId,
    law::{Act, Rank, acts::take_in_at},
    mls::{Occupant, SealingSecret},
    wire::{
        leave::Leave,
        saying::Saying,
        show::{ShowContent, Wish},
        signed::Signed,
        statements::Statements,
    },
};

impl Seat {
    /// Tells the application about people, and does what the host does by itself.
    pub(super) fn tend_people(&mut self, out: &mut Outbox, memory: &mut Memory, now: Instant) {
        for (member, absent) in self.presence.changes(self.group.roster(), self.beat) {
            out.tell(Event::Absent { member, absent });
        }
        let law = self.epoch_law.clone();
        self.asked.retain(|(_, id, _)| law.get(id).is_none() && memory.store.known().get(id).is_some());
        let ignored: Vec<MemberId> = self
            .asked
            .extract_if(.., |(_, _, at)| *at + IGNORED_AFTER <= now)
            .map(|(member, ..)| member)
            .collect();
        for member in ignored {
            out.tell(Event::Ignored { member });
        }
        let others = self.group.roster().len() > 1;
        let alone = others && self.keeps() && self.liveness.proof() + ALONE_AFTER <= now;
        if alone && !self.told_alone {
            out.tell(Event::Alone);
        }
        self.told_alone = alone;
        let ranks = memory.store.law().rank_of(&own_key(out));
        let unattended = ranks != Rank::Host && self.liveness.rank_heard() + UNATTENDED_AFTER <= now;
        if unattended && !self.told_unattended {
            out.tell(Event::Unattended);
        }
        self.told_unattended = unattended;
        let count = memory.store.law().standings();
        self.left_out = self.left_out.min(count);
        if ranks == Rank::Host && count >= self.left_out + take_in_at(memory.store.law()) {
            // What a table leaves out counts on (L32): another table would not take it in either.
            let _ = self.act(out, memory, Act::TakeIn, now);
            self.left_out = memory.store.law().standings();
        }
    }

    /// Tells the application whose clock is wrong.
    pub(super) fn tend_clocks(&mut self, out: &mut Outbox, memory: &Memory, now: Instant) {
        let law = memory.store.law();
        let ahead = |member: &Occupant| match member.is_self {
            true => Some(0),
            false => out.skew.ahead_ms(member.id, &out.clock, now),
        };
        if !out.wrong.is_due(self.group.roster().iter().filter_map(ahead)) {
            return;
        }
        let clocks = self.group.roster().iter();
        let clocks =
            clocks.filter_map(|member| Some((Place::of(law, &member.key), member.id, ahead(member)?)));
        let clocks: Vec<_> = clocks.collect();
        for (member, seconds) in out.wrong.changes(&clocks) {
            out.tell(Event::ClockWrong { member, seconds });
        }
    }

    /// When [`tend_people`](Self::tend_people) has something to look at next.
    pub(super) fn people_at(&self, now: Instant) -> Instant {
        let alone = (self.liveness.proof() + ALONE_AFTER, self.told_alone);
        let unattended = (self.liveness.rank_heard() + UNATTENDED_AFTER, self.told_unattended);
        let times = [alone, unattended].into_iter().filter(|(at, told)| !told && *at > now).map(|(at, _)| at);
        times.fold(now + HEARTBEAT, Instant::min)
    }

    /// When [`tend_door`](Self::tend_door) has something to say next.
    pub(super) fn door_at(&self, now: Instant) -> Instant {
        self.door_said_at.map_or(now, |at| at + DOOR_AGAIN)
    }

    /// Asks the host for a badge, and says our door when it is another or has not been said for a
    /// minute.
    pub(super) fn tend_door(&mut self, out: &mut Outbox, memory: &mut Memory, now: Instant) {
        if let Some(doors) = &mut memory.doors {
            // A newcomer that waits and no longer knocks is dropped, whether the law changes or
            // not.
            doors.handle_timeout(out, &memory.store, now);
        }
        if self.door_said_at.is_some_and(|at| at + DOOR_AGAIN > now) {
            return;
        }
        let Some(doors) = &mut memory.doors else { return };
        self.door_said_at = Some(now);
        if doors.wants_badge(memory.store.law()) {
            let answer_key = doors.answer_key();
            if memory.store.law().rank_of(&own_key(out)) == Rank::Host {
                let own = badge(out, &memory.store, answer_key);
                if let Ok(badge) = own.verify(&memory.store.known().group_id().0, &own_key(out)) {
                    doors.set_badge(badge);
                }
            } else {
                self.say(out, &Saying::AnswerKey { answer_key });
            }
        }
        if let Some(door) = memory.doors.as_ref().and_then(|doors| doors.door(&memory.store))
            && self.group.roster().len() > 1
        {
            self.say(out, &Saying::Door(door));
        }
    }

    /// Sends a Leave to the keeper's door, if we know one.
    pub(super) fn show_leave(
        &mut self,
        out: &mut Outbox,
        memory: &Memory,
        leave: Signed<Leave>,
        now: Instant,
    ) {
        let Some(door_key) = self.keeper_door.clone() else { return };
        let key_exchange = self.group.key_exchange();
        let Ok(one_use) = SealingSecret::derive(key_exchange, &out.rng.seed()) else { return };
        let group_id = memory.store.known().group_id().0;
        let reference = out.random();
        let content = ShowContent {
            key: own_key(out),
            one_use: one_use.public().as_bytes().to_vec(),
            time_ms: out.clock.unix_ms(now),
            wish: Wish::Leave(leave),
            statements: Statements::default(),
        };
        let _ = send_show(out, key_exchange, &group_id, &door_key, reference, content);
    }

    /// Reads the roster of the epoch: the tree, with the roles that the law of the epoch gives.
    pub(super) fn read_members(&mut self) {
        let law = self.epoch_law.law();
        self.members = self
            .group
            .roster()
            .iter()
            .map(|occupant| {
                let (role, muted) = super::view::role_of(law, &occupant.key);
                Member {
                    id: occupant.id,
                    name: occupant.name.clone(),
                    role,
                    muted,
                    leaf: occupant.leaf,
                    is_self: occupant.is_self,
                    key: *occupant.key.as_bytes(),
                }
            })
            .collect();
    }
}

const ALONE_AFTER: Duration = Duration::from_secs(15);
const UNATTENDED_AFTER: Duration = Duration::from_secs(30);
const DOOR_AGAIN: Duration = Duration::from_secs(60);
