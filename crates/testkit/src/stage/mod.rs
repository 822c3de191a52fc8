//! A stage for the tests of the media plane: members who share epoch secrets, on virtual time,
//! without MLS.
//!
//! Every member has a schedule, a sealer and an opener of its own, and they meet only through
//! sealed bytes and announced speaker keys. [`insider`] is the member who does not play by the
//! rules.

pub mod insider;
pub mod opus;
pub mod targets;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use insider::Insider;
use ring::digest::{SHA256, digest};
use sottovoce::{
    Authenticity, CaptureTime, Counter, Epoch, EpochSecret, EpochStart, Leaf, MemberId, OpenError, Opened,
    Opener, PacketSize, Rekey, Schedule, SealError, Sealer, Speaker, Stamp, Step, Suite,
    media::{HEADROOM, Level, Loss, Notes, Proof, TAILROOM},
};

/// Names the room, unless a test says otherwise.
pub const GROUP_ID: &[u8] = b"stage";

/// What all packets of a stage have in common.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    pub suite: Suite,
    pub authenticity: Authenticity,
    pub size: u16,
}

impl Profile {
    /// Both suites, signed and not.
    pub fn all() -> impl Iterator<Item = Self> {
        let suites = [Suite::Aes128Gcm, Suite::Aes256Gcm];
        suites.into_iter().flat_map(|suite| [Self { suite, ..signed() }, Self { suite, ..group() }])
    }
}

/// The default profile.
pub fn signed() -> Profile {
    Profile { suite: Suite::Aes128Gcm, authenticity: Authenticity::Signed, size: 160 }
}

/// The same without signatures: plain RFC 9605.
pub fn group() -> Profile {
    Profile { authenticity: Authenticity::Group, ..signed() }
}

/// One epoch after another of one room.
pub struct Stage {
    pub profile: Profile,
    pub group_id: Vec<u8>,
    pub epoch: u64,
    pub now: Instant,
    pub members: BTreeMap<Leaf, Member>,
}

/// Somebody in the room.
pub struct Member {
    pub leaf: Leaf,
    pub id: MemberId,
    pub speaks: bool,
    pub schedule: Schedule,
    pub sealer: Sealer,
    pub opener: Opener,
}

/// A member as the next epoch will have it.
#[derive(Clone, Copy)]
pub struct Seat {
    pub leaf: Leaf,
    pub id: MemberId,
    pub speaks: bool,
}

/// An opened packet that does not borrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub member: MemberId,
    pub leaf: Leaf,
    pub epoch: Epoch,
    pub step: Step,
    pub counter: Counter,
    pub proof: Proof,
    pub packet: Vec<u8>,
}

impl Stage {
    /// `count` speakers at the leaves 0, 1, 2 ..., who know each other's speaker keys.
    pub fn of(count: u32, profile: Profile) -> Self {
        Self::in_room(GROUP_ID, (0..count).map(|leaf| seat(leaf, true)).collect(), profile)
    }

    /// Any room with any members, in its first epoch.
    pub fn in_room(group_id: &[u8], seats: Vec<Seat>, profile: Profile) -> Self {
        let mut stage = Self {
            profile,
            group_id: group_id.to_vec(),
            epoch: 0,
            now: Instant::now(),
            members: BTreeMap::new(),
        };
        stage.enter(&seats, &[]);
        stage
    }

    /// The members as seats, to change and to [`enter`](Self::enter) the next epoch with.
    pub fn seats(&self) -> Vec<Seat> {
        self.members.values().map(|m| Seat { leaf: m.leaf, id: m.id, speaks: m.speaks }).collect()
    }

    /// Begins the next epoch and announces all speaker keys; who is left behind comes back as they
    /// were.
    pub fn enter(&mut self, seats: &[Seat], removed: &[Leaf]) -> BTreeMap<Leaf, Member> {
        let left = self.enter_unannounced(seats, removed);
        self.announce();
        left
    }

    /// Begins the next epoch, in which nobody's speaker key is known yet.
    pub fn enter_unannounced(&mut self, seats: &[Seat], removed: &[Leaf]) -> BTreeMap<Leaf, Member> {
        self.epoch += 1;
        let mut before = std::mem::take(&mut self.members);
        for seat in seats {
            let schedule = self.schedule_of(seats, seat.leaf, removed, self.seed(seat.leaf));
            let stays = before.get(&seat.leaf).is_some_and(|member| member.id == seat.id);
            let stayed = if stays { before.remove(&seat.leaf) } else { None };
            let (sealer, opener) = stayed.map_or_else(Default::default, |m| (m.sealer, m.opener));
            let Seat { leaf, id, speaks } = *seat;
            let mut member = Member { leaf, id, speaks, schedule, sealer, opener };
            member.take_keys();
            self.members.insert(leaf, member);
        }
        before
    }

    /// The next epoch without this leaf.
    pub fn ban(&mut self, leaf: u32) -> Member {
        let seats: Vec<_> = self.seats().into_iter().filter(|seat| seat.leaf != Leaf(leaf)).collect();
        self.enter(&seats, &[Leaf(leaf)]).remove(&Leaf(leaf)).unwrap()
    }

    /// Everybody announces a speaker key, in rooms that have them.
    pub fn announce(&mut self) {
        for leaf in self.leaves() {
            self.announce_one(leaf);
        }
    }

    pub fn announce_one(&mut self, leaf: Leaf) {
        let Some(key) = self.members[&leaf].schedule.speaker_key() else { return };
        for other in self.members.values_mut().filter(|other| other.leaf != leaf) {
            other.schedule.handle_speaker(leaf, key).unwrap();
            other.take_keys();
        }
    }

    /// Lets time pass; whatever falls due on the way happens when it is due.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let due = self.members.values().filter_map(|member| member.schedule.poll_timeout()).min();
            self.now = due.filter(|due| *due <= until).unwrap_or(until);
            for member in self.members.values_mut() {
                member.schedule.handle_timeout(self.now);
                member.take_keys();
            }
            if due.is_none_or(|due| due > until) {
                return;
            }
        }
    }

    /// A schedule of the present epoch for `own` leaf, from the same secret as everybody's.
    pub fn schedule_of(&self, seats: &[Seat], own: Leaf, removed: &[Leaf], seed: [u8; 32]) -> Schedule {
        let speakers: Vec<_> = seats
            .iter()
            .filter(|seat| seat.speaks)
            .map(|seat| Speaker { leaf: seat.leaf, member: seat.id })
            .collect();
        let start = EpochStart {
            secret: EpochSecret::new(self.secret()).unwrap(),
            group_id: &self.group_id,
            epoch: Epoch(self.epoch),
            authenticator: &self.authenticator(),
            suite: self.profile.suite,
            authenticity: self.profile.authenticity,
            packet_size: PacketSize::new(self.profile.size).unwrap(),
            own_leaf: own,
            speakers: &speakers,
            removed,
            seed: &seed,
        };
        Schedule::start(start, self.now).unwrap()
    }

    /// Another schedule of the present epoch for a member, as if its secret had been used twice.
    pub fn schedule_again(&self, own: u32) -> Schedule {
        self.schedule_of(&self.seats(), Leaf(own), &[], self.seed(Leaf(own)))
    }

    /// What a member can calculate on its own in the present epoch.
    pub fn insider(&self) -> Insider {
        let speakers = self.members.values().filter(|member| member.speaks);
        self.insider_of(speakers.map(|member| member.leaf).collect())
    }

    /// The same, were these the speakers.
    pub fn insider_of(&self, speakers: Vec<Leaf>) -> Insider {
        let authenticator = self.authenticator();
        Insider::new(self.profile.suite, &self.secret(), &self.group_id, self.epoch, &authenticator, speakers)
    }

    /// Seals an Opus packet.
    pub fn say(&mut self, leaf: u32, packet: &[u8]) -> Vec<u8> {
        self.member(leaf).seal(packet).unwrap()
    }

    /// Opens a copy of a frame.
    pub fn hear(&mut self, leaf: u32, frame: &[u8]) -> Result<Heard, OpenError> {
        self.member(leaf).open(frame)
    }

    pub fn member(&mut self, leaf: u32) -> &mut Member {
        self.members.get_mut(&Leaf(leaf)).unwrap()
    }

    pub fn leaves(&self) -> Vec<Leaf> {
        self.members.keys().copied().collect()
    }

    /// The secret of the present epoch.
    pub fn secret(&self) -> Vec<u8> {
        self.derive(b"secret", 0).to_vec()
    }

    /// The present epoch's authenticator.
    pub fn authenticator(&self) -> Vec<u8> {
        self.derive(b"authenticator", 0).to_vec()
    }

    /// The seed of a member's speaker key in the present epoch: known to that member alone.
    pub fn seed(&self, leaf: Leaf) -> [u8; 32] {
        self.derive(b"seed", leaf.0)
    }

    fn derive(&self, what: &[u8], leaf: u32) -> [u8; 32] {
        let parts = [what, &self.group_id, &self.epoch.to_be_bytes(), &leaf.to_be_bytes()].concat();
        digest(&SHA256, &parts).as_ref().try_into().unwrap()
    }
}

impl Member {
    /// Gives the schedule's changes of keys to the sealer and the opener.
    pub fn take_keys(&mut self) {
        while let Some(rekey) = self.schedule.poll_rekey() {
            match rekey {
                Rekey::Seal(rekey) => drop(self.sealer.install(rekey).unwrap()),
                Rekey::Open(rekey) => drop(self.opener.install(rekey)),
            }
        }
    }

    pub fn seal(&mut self, packet: &[u8]) -> Result<Vec<u8>, SealError> {
        seal_with(&mut self.sealer, packet)
    }

    pub fn open(&mut self, frame: &[u8]) -> Result<Heard, OpenError> {
        let mut frame = frame.to_vec();
        self.opener.open(&mut frame).map(Heard::from)
    }
}

/// Seals a copy of a packet, with the stamp of every packet here.
pub fn seal_with(sealer: &mut Sealer, packet: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut buffer = vec![0; HEADROOM + 1_275.max(packet.len()) + TAILROOM];
    buffer[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
    sealer.seal(&mut buffer, packet.len(), STAMP).map(|sealed| sealed.to_vec())
}

/// The stamp of every packet here, each of which follows the one before.
pub const STAMP: Stamp = Stamp {
    captured: CaptureTime::UNKNOWN,
    level: Level::from_byte(0x93),
    notes: Notes { muted: false, loss: Loss::Below3 },
};

/// A seat whose member is named after the leaf.
pub fn seat(leaf: u32, speaks: bool) -> Seat {
    Seat { leaf: Leaf(leaf), id: name(leaf), speaks }
}

/// The member who sits at `leaf` unless a test says otherwise.
pub fn name(leaf: u32) -> MemberId {
    let mut id = [0x1d; 32];
    id[..4].copy_from_slice(&leaf.to_be_bytes());
    MemberId::from_bytes(id)
}

impl From<Opened<'_>> for Heard {
    fn from(opened: Opened<'_>) -> Self {
        let Opened { member, leaf, epoch, step, counter, proof, packet, .. } = opened;
        Self { member, leaf, epoch, step, counter, proof, packet: packet.as_bytes().to_vec() }
    }
}
