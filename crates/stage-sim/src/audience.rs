//! Somebody in the audience, and what it is asked.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sottovoce::{
    MemberId, Opener,
    stage::{AudienceError, HallLane, Listener, ListenerEvent},
};

use crate::clock::Cpu;

/// A listener: its state machine and its opener.
pub struct Ear {
    pub listener: Listener,
    pub opener: Opener,
    pub id: MemberId,
    pub cpu: Cpu,
    pub sent: u64,
    pub received: u64,
    pub joined: Duration,
    /// When it opened its first packet.
    pub heard: Option<Duration>,
    pub lanes: Vec<HallLane>,
    pub watch: Watch,
    pub events: Vec<ListenerEvent>,
    pub errors: Vec<AudienceError>,
    /// The hall epoch that its opener has, and since when.
    pub epoch: u64,
    pub epoch_at: Duration,
    pub over: bool,
    /// It keeps what it has and hears nothing from its porter any more: a banned listener that
    /// does not give up.
    pub stubborn: bool,
    /// The timer that counts; others are of the past.
    pub timer: Option<Duration>,
}

/// What is looked at in a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// It gets every packet.
    pub every: bool,
    pub opened: u64,
    pub refused: u64,
    /// Packets in a row that came and did not open, and the most of these.
    pub row: u32,
    pub longest: u32,
    /// When the last packet that it opened came.
    pub last: Option<Duration>,
}

/// What left a listener, and whether its lanes have changed.
pub struct Said {
    pub messages: Vec<(HallLane, Bytes)>,
    pub moved: bool,
}

impl Ear {
    pub fn new(listener: Listener, id: MemberId, joined: Duration) -> Self {
        Self {
            listener,
            opener: Opener::new(),
            id,
            cpu: Cpu::default(),
            sent: 0,
            received: 0,
            joined,
            heard: None,
            lanes: Vec::new(),
            watch: Watch::default(),
            events: Vec::new(),
            errors: Vec::new(),
            epoch: 0,
            epoch_at: joined,
            over: false,
            stubborn: false,
            timer: None,
        }
    }

    /// Lets `act` act, installs keys, and takes what leaves.
    pub fn pump(
        &mut self,
        at: Duration,
        act: impl FnOnce(&mut Listener) -> Result<(), AudienceError>,
    ) -> Said {
        let mut cpu = self.cpu;
        let messages = cpu.charge(|| {
            if let Err(error) = act(&mut self.listener)
                && self.errors.len() < 64
            {
                self.errors.push(error);
            }
            while let Some(rekey) = self.listener.poll_rekey() {
                drop(self.opener.install(rekey));
            }
            let mut messages = Vec::new();
            while let Some(message) = self.listener.poll_transmit() {
                messages.push(message);
            }
            messages
        });
        self.cpu = cpu;
        self.sent += messages.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
        while let Some(event) = self.listener.poll_event() {
            if matches!(event, ListenerEvent::Over(_)) {
                self.over = true;
            }
            self.events.push(event);
        }
        let epoch = self.listener.epoch().map_or(0, |epoch| epoch.0);
        if epoch != self.epoch {
            (self.epoch, self.epoch_at) = (epoch, at);
        }
        let moved = !self.lanes.iter().copied().eq(self.listener.lanes());
        Said { messages, moved }
    }

    pub fn due(&self, _: Instant) -> Option<Instant> {
        self.listener.poll_timeout()
    }

    /// Opens a packet that came.
    pub fn hear(&mut self, packet: &[u8], at: Duration) -> bool {
        let mut frame = packet.to_vec();
        let opened = self.opener.open(&mut frame).is_ok();
        if opened {
            self.heard.get_or_insert(at);
            self.watch.opened += 1;
            self.watch.row = 0;
            self.watch.last = Some(at);
        } else if self.heard.is_some() {
            self.watch.refused += 1;
            self.watch.row += 1;
            self.watch.longest = self.watch.longest.max(self.watch.row);
        }
        opened
    }
}
