//! The library's own sealing and opening, whole: look-up, replay window, statistics and all.

use std::{
    hint::black_box,
    ops::Range,
    time::{Duration, Instant},
};

use sottovoce::{
    Authenticity, OpenError, Opener, PacketSize, Sealer, Stamp, Suite,
    media::{HEADROOM, Proof},
    report::{Buffer, Retention},
};

use super::{
    arena::{Arena, TAIL},
    batch::{Sample, WARM, time},
    contest::{Batch, Contestant, Lane},
    raw::{AesGcm, Ed25519, SLOW, Sha256},
    room::{Plan, Room},
};

/// A room's packets, from one sender or several to one listener.
pub struct Ours {
    name: &'static str,
    against: &'static [&'static str],
    lane: Lane,
    room: Room,
    /// Bytes of an Opus packet.
    opus: usize,
    /// Where a sealed packet stands in its buffer.
    sealed: Range<usize>,
    outcome: Outcome,
    order: Order,
    /// Who seals which packet of a batch.
    turns: Vec<usize>,
    /// What keeps the last minute, and the time that it is told, a packet of 20 ms at a time.
    recorder: Option<(Buffer, Instant)>,
}

/// What becomes of the packets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Opened,
    /// Their last bit is flipped on the way.
    Forged,
}

/// Whose packet comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Everybody's in turn, as in a call, and jitter swaps one in eight with the next.
    Turns,
    /// Anybody's, so that no branch and no load can be predicted.
    Random,
}

impl Ours {
    pub const GROUP: &'static str = "sottovoce group";
    pub const SIGNED: &'static str = "sottovoce signed";
    pub const RECORDED: &'static str = "signed, recorded";
    pub const SUITE_5: &'static str = "suite 0x0005";
    pub const MANY: &'static str = "10 of 5000 senders";
    pub const MANY_SHUFFLED: &'static str = "10 of 5000, any order";
    pub const FORGED: &'static str = "forged";

    /// Packets of the room's size already, so that no padding is added: what the AEAD sees is
    /// `size` bytes.
    pub fn group(size: usize) -> Self {
        Self::new(Self::GROUP, &[AesGcm::BASE], Plan::new(size), size)
    }

    /// Opus packets of `opus` bytes, in a room whose packets have room for stamp and signature too.
    pub fn signed(opus: usize) -> Self {
        let plan = Plan { authenticity: Authenticity::Signed, ..Plan::new(opus + TAIL) };
        let ours = Self::new(Self::SIGNED, &[AesGcm::BASE, Ed25519::NAME, Sha256::NAME], plan, opus);
        Self { lane: Lane::Slow, ..ours }
    }

    /// The same, and every opened packet is kept for a minute. Compared with opening alone.
    pub fn recorded(opus: usize) -> Self {
        let ours = Self::signed(opus);
        let size = PacketSize::new((opus + TAIL) as u16).expect("a size that a room can have");
        let now = Instant::now();
        let recorder = Some((Buffer::new(Retention::default(), size, now), now));
        Self { name: Self::RECORDED, against: &[Self::SIGNED], recorder, ..ours }
    }

    /// AES-256-GCM and HKDF-SHA-512.
    pub fn suite_5(size: usize) -> Self {
        Self::new(
            Self::SUITE_5,
            &[AesGcm::BASE_256],
            Plan { suite: Suite::Aes256Gcm, ..Plan::new(size) },
            size,
        )
    }

    /// Ten senders that speak in turn, in a room of 5,000 that may speak. Only opening is measured.
    pub fn many(size: usize) -> Self {
        Self::new(Self::MANY, &[Self::GROUP], Plan { loaded: 5_000, active: 10, ..Plan::new(size) }, size)
    }

    /// The same ten, but any of them may be next.
    pub fn many_shuffled(size: usize) -> Self {
        Self { name: Self::MANY_SHUFFLED, order: Order::Random, ..Self::many(size) }
    }

    /// Packets with a good KID and a wrong tag. Only opening is measured.
    pub fn forged(size: usize) -> Self {
        Self { outcome: Outcome::Forged, ..Self::new(Self::FORGED, &[Self::GROUP], Plan::new(size), size) }
    }

    fn new(name: &'static str, against: &'static [&'static str], plan: Plan, opus: usize) -> Self {
        let mut room = Room::new(plan);
        let sealed = there_and_back(&mut room, plan, opus);
        Self {
            name,
            against,
            lane: Lane::Fast,
            room,
            opus,
            sealed,
            outcome: Outcome::Opened,
            order: Order::Turns,
            turns: vec![],
            recorder: None,
        }
    }

    fn seal(&mut self, arena: &mut Arena, count: usize) -> Option<Sample> {
        let opus = self.opus;
        let speakers = &mut self.room.speakers;
        if let [voice] = speakers.as_mut_slice() {
            let sealer = &mut voice.sealer;
            return Some(time(arena.batch(count), |buffer| seal(sealer, buffer, opus)));
        }
        self.turns.clear();
        match self.order {
            Order::Random => self.turns.extend((0..WARM + count).map(|_| arena.below(speakers.len()))),
            Order::Turns => {
                self.turns.extend((0..WARM + count).map(|packet| packet % speakers.len()));
                for packet in 1..self.turns.len() {
                    if arena.below(8) == 0 {
                        self.turns.swap(packet - 1, packet);
                    }
                }
            }
        }
        for (buffer, turn) in arena.batch(count).zip(&self.turns) {
            assert!(seal(&mut speakers[*turn].sealer, buffer, opus), "a packet was not sealed");
        }
        None
    }
}

impl Contestant for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    fn against(&self) -> &'static [&'static str] {
        self.against
    }

    fn lane(&self) -> Lane {
        self.lane
    }

    fn run(&mut self, arena: &mut Arena, count: usize) -> Batch {
        let count = if self.lane == Lane::Slow { count.min(SLOW) } else { count };
        self.room.keep(WARM + count);
        arena.fill(self.opus, count);
        let seal = self.seal(arena, count);

        let (opener, sealed) = (&mut self.room.opener, self.sealed.clone());
        match (self.outcome, &mut self.recorder) {
            (Outcome::Opened, Some((recorder, now))) => {
                let open = time(arena.batch(count), |buffer| {
                    *now += Duration::from_millis(20);
                    let opened = opener.open(&mut buffer[sealed.clone()]);
                    black_box(opened).is_ok_and(|opened| recorder.record(&opened, *now).is_ok())
                });
                Batch { seal: None, open: Some(open) }
            }
            (Outcome::Opened, None) => {
                let open = time(arena.batch(count), |buffer| {
                    black_box(opener.open(&mut buffer[sealed.clone()])).is_ok()
                });
                Batch { seal, open: Some(open) }
            }
            (Outcome::Forged, _) => {
                arena.batch(count).for_each(|buffer| buffer[sealed.end - 1] ^= 1);
                Batch { seal: None, open: Some(refused(arena, count, opener, sealed, OpenError::Forged)) }
            }
        }
    }
}

/// Times refusals, all for the one reason.
pub fn refused(
    arena: &mut Arena,
    count: usize,
    opener: &mut Opener,
    frame: Range<usize>,
    reason: OpenError,
) -> Sample {
    time(arena.batch(count), |buffer| black_box(opener.open(&mut buffer[frame.clone()])) == Err(reason))
}

/// Seals the Opus packet of `len` bytes that stands behind the headroom.
#[inline(always)]
pub fn seal(sealer: &mut Sealer, buffer: &mut [u8], len: usize) -> bool {
    black_box(sealer.seal(buffer, len, Stamp::default())).is_ok()
}

/// Sends a packet, checks that it arrives as it was, and says where it stood when it was sealed.
fn there_and_back(room: &mut Room, plan: Plan, opus: usize) -> Range<usize> {
    let mut arena = Arena::new(opus, 1);
    arena.fill(opus, 1);
    let buffer = arena.batch(1).next().expect("there is a buffer");
    let original = buffer[HEADROOM..HEADROOM + opus].to_vec();
    let front = buffer.as_ptr().addr();
    let sealed = room.speakers[0].sealer.seal(buffer, opus, Stamp::default()).expect("the packet fits");
    let place = sealed.as_ptr().addr() - front;
    let range = place..place + sealed.len();

    let opened = room.opener.open(&mut buffer[range.clone()]).expect("what was just sealed opens");
    let packet = opened.packet.as_bytes();
    match plan.authenticity {
        Authenticity::Group => assert!(opened.proof == Proof::Group && packet == original),
        Authenticity::Signed => {
            assert!(matches!(opened.proof, Proof::Signed(_)) && packet.len() == plan.packet);
            // TOC, count and padding length stand before the frame.
            assert_eq!(packet[3..][..opus - 1], original[1..]);
        }
    }
    range
}
