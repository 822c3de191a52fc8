//! A little hall for those who attack it, and for the fuzzer: what one sends the other has at once.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{HallLane, Listener, Stage, lane::HallKey};
use crate::{
    Seed,
    group::{Identity, Name, Role},
    room::{Invite, InviteOptions, Room, RoomOptions, UnixTime},
};

/// A host alone on its stage, and listeners.
pub(super) struct Hall {
    pub(super) now: Instant,
    unix: UnixTime,
    pub(super) room: Room,
    pub(super) stage: Stage,
    pub(super) invite: Invite,
    pub(super) listeners: Vec<Listener>,
    pub(super) sent: Vec<(HallLane, Bytes)>,
}

impl Hall {
    /// `None` if a room cannot be made at all.
    pub(super) fn new(listeners: u8, now: Instant, unix: UnixTime) -> Option<Self> {
        let relay = "relay.example:1".parse().ok()?;
        let options = RoomOptions::new(Name::new("hall").ok()?, [relay]);
        let mut room = Room::create(identity(200)?, options, seed(1), now, unix).ok()?;
        let for_listeners = InviteOptions { role: Some(Role::Listener), ..InviteOptions::default() };
        let invite = room.invite(for_listeners, now).ok()?;
        let stage = Stage::new(&mut room, seed(2), now).ok()?;
        let mut hall = Self { now, unix, room, stage, invite, listeners: Vec::new(), sent: Vec::new() };
        hall.pass(Duration::from_secs(2));
        for who in 0..listeners {
            hall.join(who)?;
        }
        hall.pass(Duration::from_secs(2));
        Some(hall)
    }

    pub(super) fn join(&mut self, who: u8) -> Option<usize> {
        let (invite, seed) = (self.invite.copy(), seed(who.checked_add(10)?));
        let listener = Listener::join(identity(who)?, invite, seed, self.now, self.unix).ok()?;
        self.listeners.push(listener);
        Some(self.listeners.len() - 1)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(20);
            self.stage.handle_timeout(self.now);
            self.stage.follow(&mut self.room, self.now);
            self.room.handle_timeout(self.now);
            for listener in &mut self.listeners {
                listener.handle_timeout(self.now);
            }
            self.exchange();
        }
    }

    /// Whatever waits to be sent arrives.
    fn exchange(&mut self) {
        for listener in &mut self.listeners {
            while let Some((_, bytes)) = listener.poll_transmit() {
                let _ = self.stage.handle_control(&bytes, self.now);
            }
        }
        while let Some((lane, bytes)) = self.stage.poll_transmit() {
            for listener in &mut self.listeners {
                if listener.lanes().any(|mine| mine == lane) {
                    let _ = listener.handle_control(lane, &bytes, self.now);
                }
            }
            self.sent.push((lane, bytes));
        }
    }

    pub(super) fn cell(&self, index: usize) -> Option<HallLane> {
        self.listeners.get(index)?.lanes().find(|lane| matches!(lane, HallLane::Cell { .. }))
    }

    pub(super) fn key(&self) -> HallKey {
        HallKey::of(&self.invite.lane)
    }

    pub(super) fn group_id(&self) -> [u8; 32] {
        self.invite.group_id
    }
}

pub(super) fn identity(seed: u8) -> Option<Identity> {
    Some(Identity::from_seed([seed; 32], Name::new(&format!("L{seed}")).ok()?))
}

pub(super) fn seed(byte: u8) -> Seed {
    Seed::from_bytes(&mut [byte; 32])
}
