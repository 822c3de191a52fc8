//! Somebody on the stage.

use std::time::Instant;

use bytes::Bytes;
use sottovoce::{
    MemberId, Opener, Rekey, Sealer,
    room::{ControlError, Room},
    stage::{HallLane, Stage, StageEvent},
};

use crate::clock::Cpu;

/// A member of the stage: its room, its part in the hall, its keys.
pub struct Member {
    pub room: Room,
    pub stage: Option<Stage>,
    pub sealer: Sealer,
    pub opener: Opener,
    pub id: MemberId,
    pub cpu: Cpu,
    /// Bytes of control messages that it sent and received.
    pub sent: u64,
    pub received: u64,
    /// What it sent since the beginning, by what a relay sees: room, or a lane.
    pub sent_room: u64,
    pub events: Vec<StageEvent>,
    /// Why messages of the room did nothing.
    pub refused: Vec<ControlError>,
    /// It was cut off.
    pub dead: bool,
    /// The hall epoch that it seals under, as its opener shows it.
    pub epoch: u64,
}

/// What left somebody on the stage.
#[derive(Default)]
pub struct Left {
    pub room: Vec<Bytes>,
    pub hall: Vec<(HallLane, Bytes)>,
}

impl Member {
    pub fn new(room: Room) -> Self {
        let id = room.id();
        Self {
            room,
            stage: None,
            sealer: Sealer::new(),
            opener: Opener::new(),
            id,
            cpu: Cpu::default(),
            sent: 0,
            received: 0,
            sent_room: 0,
            events: Vec::new(),
            refused: Vec::new(),
            dead: false,
            epoch: 0,
        }
    }

    /// Lets `act` act, follows, and takes what leaves.
    pub fn pump(&mut self, now: Instant, act: impl FnOnce(&mut Self)) -> Left {
        let mut cpu = self.cpu;
        let left = cpu.charge(|| {
            act(self);
            self.collect(now)
        });
        self.cpu = cpu;
        let sum = |sizes: &mut dyn Iterator<Item = usize>| sizes.sum::<usize>() as u64;
        let room = sum(&mut left.room.iter().map(Bytes::len));
        self.sent += room + sum(&mut left.hall.iter().map(|(_, bytes)| bytes.len()));
        self.sent_room += room;
        left
    }

    fn collect(&mut self, now: Instant) -> Left {
        if let Some(stage) = &mut self.stage {
            stage.follow(&mut self.room, now);
        }
        let mut left = Left::default();
        while let Some(bytes) = self.room.poll_transmit() {
            left.room.push(bytes);
        }
        while self.room.poll_event().is_some() {}
        let Some(stage) = &mut self.stage else {
            while self.room.poll_rekey().is_some() {}
            return left;
        };
        while let Some(message) = stage.poll_transmit() {
            left.hall.push(message);
        }
        while let Some(rekey) = stage.poll_rekey() {
            match rekey {
                Rekey::Seal(rekey) => drop(self.sealer.install(rekey)),
                Rekey::Open(rekey) => drop(self.opener.install(rekey)),
            }
        }
        while let Some(event) = stage.poll_event() {
            self.events.push(event);
        }
        self.epoch = stage.epoch().map_or(0, |epoch| epoch.0);
        left
    }

    pub fn due(&self) -> Option<Instant> {
        let stage = self.stage.as_ref().and_then(Stage::poll_timeout);
        [self.room.poll_timeout(), stage].into_iter().flatten().min()
    }
}
