//! What one member may use of its room, and one room of the relay (SPEC section 8.2.4).
//!
//! ```text
//! relay: copies a second / rooms that are busy / receivers   = what a room may have copied
//! room: the dearer of that, and of the room's own rate       = the price of what is sent in the room
//! member: that price * members that are busy                 = the price of what the member sends
//! ```
//!
//! Busy is who has yet to pay for what it sent. Somebody who uses less than its share is busy only
//! for a part of the time, so what it leaves goes to the others, and the shares of all together are
//! the whole.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{Limits, Member};
use crate::lane::Part;
use crate::relay::{
    bucket::{self, Bucket},
    log::Connection,
};

/// One of the two lanes of a room or of a member.
#[derive(Clone, Copy)]
pub(in crate::relay) enum Lane {
    Control,
    Media,
}

/// What a message or a datagram costs.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    /// On the lines of the receivers.
    taken: usize,
    /// For each copy, to the relay.
    copy: usize,
}

impl Cost {
    /// Of a control message, by its cost in a queue.
    pub(super) fn message(cost: usize) -> Self {
        Self { taken: cost, copy: cost }
    }

    /// Of a datagram of so many bytes.
    pub(super) fn datagram(length: usize) -> Self {
        Self { taken: length + HEADERS, copy: length + COPYING }
    }
}

/// The members of a room, and what of each lane they have used together.
pub(super) struct Room {
    pub(super) members: Vec<Connection>,
    /// How many of them are sent anything: those that do not only say.
    receivers: usize,
    control: Use,
    media: Use,
}

/// What a room uses of one lane.
struct Use {
    /// Pays for the copies that went out.
    copies: Bucket,
    /// What its members have between them in a second: bytes that are taken from them, and bytes of
    /// each copy.
    rate: u32,
    copy_rate: u32,
    /// How many of them are busy.
    busy: u32,
}

/// What a member uses of one lane.
pub(super) struct Account {
    bucket: Bucket,
    /// It is among those that are counted as busy.
    counted: bool,
}

/// When the shares were last found out, and how many rooms were busy then.
pub(super) struct Shares {
    since: Instant,
    control_rooms: u32,
    media_rooms: u32,
}

impl Shares {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, control_rooms: 1, media_rooms: 1 }
    }

    /// Finds out the shares of all rooms again if that was some time ago.
    pub(super) fn refresh<H>(
        &mut self,
        now: Instant,
        limits: &Limits,
        rooms: &mut HashMap<H, Room>,
        members: &mut HashMap<Connection, Member>,
    ) {
        if now.saturating_duration_since(self.since) < REFRESH {
            return;
        }
        self.since = now;
        for lane in [Lane::Control, Lane::Media] {
            let busy = rooms.values().filter(|room| !room.lane(lane).copies.debt(now).is_zero()).count();
            *self.rooms_mut(lane) = u32::try_from(busy).unwrap_or(u32::MAX).max(1);
            for room in rooms.values_mut() {
                let mut busy = 0;
                for member in &room.members {
                    let Some(member) = members.get_mut(member) else { continue };
                    if member.part == Part::Hears {
                        continue;
                    }
                    let account = member.account(lane);
                    account.counted = !account.bucket.debt(now).is_zero();
                    busy += u32::from(account.counted);
                }
                room.lane_mut(lane).busy = busy;
                room.set_rate(lane, limits, self.rooms(lane));
            }
        }
    }

    pub(super) fn rooms(&self, lane: Lane) -> u32 {
        match lane {
            Lane::Control => self.control_rooms,
            Lane::Media => self.media_rooms,
        }
    }

    fn rooms_mut(&mut self, lane: Lane) -> &mut u32 {
        match lane {
            Lane::Control => &mut self.control_rooms,
            Lane::Media => &mut self.media_rooms,
        }
    }
}

impl Room {
    pub(super) fn new(now: Instant) -> Self {
        let lane = || Use { copies: Bucket::new(now), rate: 1, copy_rate: 1, busy: 0 };
        Self { members: Vec::new(), receivers: 0, control: lane(), media: lane() }
    }

    /// Adds a member.
    pub(super) fn join(&mut self, connection: Connection, part: Part, limits: &Limits, shares: &Shares) {
        self.members.push(connection);
        self.receivers += usize::from(part != Part::Says);
        for lane in [Lane::Control, Lane::Media] {
            self.set_rate(lane, limits, shares.rooms(lane));
        }
    }

    /// Takes a member out that came with that part.
    pub(super) fn leave(&mut self, connection: Connection, part: Part) {
        let before = self.members.len();
        self.members.retain(|other| *other != connection);
        if self.members.len() < before && part != Part::Says {
            self.receivers = self.receivers.saturating_sub(1);
        }
    }

    /// Counts a message that was handed on.
    pub(super) fn hand_on(&mut self, lane: Lane, now: Instant, cost: Cost, copies: usize, rate: u32) {
        let price = bucket::price(cost.copy.saturating_mul(copies), rate);
        // The debt is bounded, so that a room that was busy is not for long.
        self.lane_mut(lane).copies.afford(now, price, MOST_DEBT);
    }

    /// What a message of that cost costs a member in time, as things are.
    fn price(&self, lane: Lane, cost: Cost) -> Duration {
        let Use { rate, copy_rate, busy, .. } = self.lane(lane);
        bucket::price(cost.taken, *rate).max(bucket::price(cost.copy, *copy_rate)) * (*busy).max(1)
    }

    /// What all members of the room have between them, as long as so many rooms are busy.
    fn set_rate(&mut self, lane: Lane, limits: &Limits, rooms: u32) {
        // Where all are receivers, whoever sends is one of them.
        let own = usize::from(self.receivers == self.members.len());
        let receivers = u32::try_from(self.receivers.saturating_sub(own)).unwrap_or(u32::MAX).max(1);
        let most = match lane {
            Lane::Control => limits.room_control_rate,
            Lane::Media => limits.room_media_rate,
        };
        let lane = self.lane_mut(lane);
        (lane.rate, lane.copy_rate) = (most, limits.copy_rate / rooms.max(1) / receivers);
    }

    fn lane(&self, lane: Lane) -> &Use {
        match lane {
            Lane::Control => &self.control,
            Lane::Media => &self.media,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut Use {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Media => &mut self.media,
        }
    }
}

impl Account {
    pub(super) fn new(now: Instant) -> Self {
        Self { bucket: Bucket::new(now), counted: false }
    }

    /// Spends what is the member's own and no share of its room: it sends nothing to others.
    pub(super) fn afford_alone(&mut self, now: Instant, price: Duration, burst: Duration) -> bool {
        self.bucket.afford(now, price, burst)
    }

    /// The same in any case, and how long the member is to wait.
    pub(super) fn spend_alone(&mut self, now: Instant, price: Duration, burst: Duration) -> Duration {
        self.bucket.spend(now, price, burst)
    }

    /// Spends in any case, and tells how long the member is to wait. `least` is the price at the
    /// member's own rate.
    pub(super) fn spend(
        &mut self,
        room: &mut Room,
        lane: Lane,
        now: Instant,
        cost: Cost,
        least: Duration,
        burst: Duration,
    ) -> Duration {
        let wait = self.bucket.spend(now, room.price(lane, cost).max(least), burst);
        self.count(room, lane, now);
        wait
    }

    /// Spends only if the member has it.
    pub(super) fn afford(
        &mut self,
        room: &mut Room,
        lane: Lane,
        now: Instant,
        cost: Cost,
        least: Duration,
        burst: Duration,
    ) -> bool {
        let affordable = self.bucket.afford(now, room.price(lane, cost).max(least), burst);
        self.count(room, lane, now);
        affordable
    }

    /// A member that sends much at once is busy before the shares are found out again.
    fn count(&mut self, room: &mut Room, lane: Lane, now: Instant) {
        if !self.counted && self.bucket.debt(now) > REFRESH {
            self.counted = true;
            room.lane_mut(lane).busy += 1;
        }
    }
}

/// What a datagram counts for above its own bytes on a receiver's line.
const HEADERS: usize = 64;
/// What one copy of a datagram counts for above its own bytes: a system call costs as much as some
/// hundred bytes.
const COPYING: usize = 320;
/// How often the shares are found out.
const REFRESH: Duration = Duration::from_millis(20);
/// How long a room may count as busy that sends nothing any more.
const MOST_DEBT: Duration = Duration::from_secs(1);
