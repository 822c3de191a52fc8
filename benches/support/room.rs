//! Sealers and openers of a room, with their key schedules, in virtual time.

use std::time::Instant;

use sottovoce::{
    Authenticity, Epoch, EpochSecret, EpochStart, Leaf, MemberId, Opener, PacketSize, Rekey, Schedule,
    Sealer, Speaker, Stamp, Suite, media::STEP,
};

use super::arena::Arena;

/// What a room is like.
#[derive(Clone, Copy)]
pub struct Plan {
    pub suite: Suite,
    pub authenticity: Authenticity,
    /// The room's packet size, in bytes.
    pub packet: usize,
    /// Leaves that may speak.
    pub loaded: u32,
    /// Leaves that do.
    pub active: u32,
}

impl Plan {
    /// One sender that is heard, in group mode, under the default suite.
    pub fn new(packet: usize) -> Self {
        Self { suite: Suite::Aes128Gcm, authenticity: Authenticity::Group, packet, loaded: 1, active: 1 }
    }

    /// The key schedule of one member, in an epoch of its own secret.
    pub fn schedule(&self, epoch: u64, own_leaf: Leaf, now: Instant) -> Schedule {
        let speakers: Vec<Speaker> = (0..self.loaded).map(|index| speaker(FIRST_SPEAKER + index)).collect();
        let mut seed = [0x5e; 32];
        seed[..4].copy_from_slice(&own_leaf.0.to_be_bytes());
        let secret = [[0xa5; 24].as_slice(), &epoch.to_be_bytes()].concat();
        let start = EpochStart {
            secret: EpochSecret::new(secret).expect("32 bytes are enough"),
            group_id: b"bench",
            epoch: Epoch(epoch),
            authenticator: &epoch.to_be_bytes(),
            suite: self.suite,
            authenticity: self.authenticity,
            packet_size: self.packet_size(),
            own_leaf,
            speakers: &speakers,
            removed: &[],
            seed: &seed,
        };
        Schedule::start(start, now).expect("the speakers ascend")
    }

    fn packet_size(&self) -> PacketSize {
        let bytes = u16::try_from(self.packet).expect("a packet size fits 16 bits");
        PacketSize::new(bytes).expect("the size is one that a room may have")
    }
}

/// The listener's leaf. Speakers follow it.
pub const LISTENER: Leaf = Leaf(0);
/// The lowest leaf that may speak.
pub const FIRST_SPEAKER: u32 = 1;

/// The leaf with this number and an identity for it.
pub fn speaker(leaf: u32) -> Speaker {
    let mut member = [0x1d; 32];
    member[..4].copy_from_slice(&leaf.to_be_bytes());
    Speaker { leaf: Leaf(leaf), member: MemberId::from_bytes(member) }
}

/// A listener and the speakers it hears.
pub struct Room {
    now: Instant,
    pub speakers: Vec<Voice>,
    schedule: Schedule,
    pub opener: Opener,
}

/// A member that speaks.
pub struct Voice {
    schedule: Schedule,
    pub sealer: Sealer,
}

impl Voice {
    /// A speaker of the first epoch, at its first step.
    pub fn new(plan: Plan, leaf: Leaf, now: Instant) -> Self {
        let mut voice = Self { schedule: plan.schedule(1, leaf, now), sealer: Sealer::new() };
        voice.take_keys();
        voice
    }

    /// Lets time pass and takes the keys that are due.
    pub fn advance_to(&mut self, now: Instant) {
        self.schedule.handle_timeout(now);
        self.take_keys();
    }

    fn take_keys(&mut self) {
        while let Some(rekey) = self.schedule.poll_rekey() {
            if let Rekey::Seal(rekey) = rekey {
                drop(self.sealer.install(rekey).expect("a schedule never yields a key twice"));
            }
        }
    }
}

impl Room {
    /// Lets everybody in, and everybody who is active be heard once.
    pub fn new(plan: Plan) -> Self {
        let now = Instant::now();
        let spacing = plan.loaded / plan.active;
        let leaves = (0..plan.active).map(|index| Leaf(FIRST_SPEAKER + index * spacing));
        let speakers: Vec<Voice> = leaves.clone().map(|leaf| Voice::new(plan, leaf, now)).collect();
        let mut schedule = plan.schedule(1, LISTENER, now);
        for (leaf, voice) in leaves.zip(&speakers) {
            if let Some(key) = voice.schedule.speaker_key() {
                schedule.handle_speaker(leaf, key).expect("the leaf may speak");
            }
        }
        let mut room = Self { now, speakers, schedule, opener: Opener::new() };
        take_keys(&mut room.schedule, &mut room.opener);
        room.greet();
        room
    }

    /// Goes to the next step. The first packet of every sender will be the first of its key.
    pub fn advance(&mut self) {
        self.now += STEP;
        self.schedule.handle_timeout(self.now);
        take_keys(&mut self.schedule, &mut self.opener);
        self.speakers.iter_mut().for_each(|voice| voice.advance_to(self.now));
    }

    /// Goes to the next step if a speaker's key would not last for another `packets` packets.
    pub fn keep(&mut self, packets: usize) {
        if self.speakers.iter().any(|voice| voice.sealer.remaining() < packets as u64) {
            self.advance();
            self.greet();
        }
    }

    /// One packet of each speaker, so that the listener has expanded their keys.
    fn greet(&mut self) {
        for voice in &mut self.speakers {
            let mut arena = Arena::new(1_000, 1);
            arena.fill(2, 1);
            let buffer = arena.batch(1).next().expect("there is a buffer");
            let sealed = voice.sealer.seal(buffer, 2, Stamp::default()).expect("there is a key");
            self.opener.open(sealed).expect("the listener has the key");
        }
    }
}

/// Gives an opener what its schedule has for it.
pub fn take_keys(schedule: &mut Schedule, opener: &mut Opener) {
    while let Some(rekey) = schedule.poll_rekey() {
        if let Rekey::Open(rekey) = rekey {
            drop(opener.install(rekey));
        }
    }
}
