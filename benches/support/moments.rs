//! What happens less often than a packet: first packets, unknown keys, new steps, and memory at
//! rest.

use std::{collections::VecDeque, hint::black_box, ops::Range, time::Instant};

use sottovoce::{
    Leaf, OpenError, Opener, Rekey, Schedule, Sealer,
    media::{HEADROOM, OpenRekey, Retired, Reused, STEP, SealRekey},
};

use super::{
    alloc::live_bytes,
    arena::Arena,
    batch::{Sample, WARM, time},
    contest::{Batch, Contestant, Lane},
    ours::{refused, seal},
    room::{FIRST_SPEAKER, LISTENER, Plan, Voice, take_keys},
};

/// The first packet of each of many senders in a new step, less a later packet of the same senders.
///
/// Their packets of several steps are sealed ahead, so that in a round only the listener works: the
/// keys it is about to expand are as warm as they would be on a device that is nobody but itself.
pub struct NewSender {
    name: &'static str,
    plan: Plan,
    /// The speakers, where they are in the steps.
    speakers: Vec<Voice>,
    ahead: Instant,
    /// The listener, where it is.
    schedule: Schedule,
    opener: Opener,
    now: Instant,
    /// Sealed packets, step by step: of every speaker the first, then of every speaker another.
    sealed: VecDeque<Vec<u8>>,
}

impl NewSender {
    /// In a room whose speakers all have their keys made ahead.
    pub const NAME: &'static str = "new sender";
    /// In a room with more speakers than slots, where the audio thread makes the key.
    pub const CROWDED: &'static str = "new sender of 256";
    /// At most as many as an opener has slots for in a step: 128.
    const SENDERS: usize = 112;
    const STEPS_AHEAD: usize = 16;

    pub fn new(size: usize) -> Self {
        Self::of(Self::NAME, 120, size)
    }

    pub fn crowded(size: usize) -> Self {
        Self::of(Self::CROWDED, 256, size)
    }

    fn of(name: &'static str, loaded: u32, size: usize) -> Self {
        let senders = Self::SENDERS as u32;
        let (plan, now) = (Plan { loaded, ..Plan::new(size) }, Instant::now());
        let voice = |index| Voice::new(plan, Leaf(FIRST_SPEAKER + index), now);
        let mut schedule = plan.schedule(1, LISTENER, now);
        let mut opener = Opener::new();
        take_keys(&mut schedule, &mut opener);
        let speakers = (0..senders).map(voice).collect();
        Self { name, plan, speakers, ahead: now, schedule, opener, now, sealed: VecDeque::new() }
    }

    fn seal_ahead(&mut self, arena: &mut Arena) {
        let opus = self.plan.packet;
        for _ in 0..Self::STEPS_AHEAD {
            self.ahead += STEP;
            self.speakers.iter_mut().for_each(|voice| voice.advance_to(self.ahead));
            for _ in 0..2 {
                arena.fill(opus, Self::SENDERS - WARM);
                for (buffer, voice) in arena.batch(Self::SENDERS - WARM).zip(&mut self.speakers) {
                    assert!(seal(&mut voice.sealer, buffer, opus), "a packet was not sealed");
                    self.sealed.push_back(buffer[unpadded(opus)].to_vec());
                }
            }
        }
    }

    /// Opens one packet of every sender.
    fn turn(&mut self, arena: &mut Arena) -> Sample {
        let (count, place) = (Self::SENDERS - WARM, unpadded(self.plan.packet));
        for (buffer, sealed) in arena.batch(count).zip(self.sealed.drain(..Self::SENDERS)) {
            buffer[place.clone()].copy_from_slice(&sealed);
        }
        let opener = &mut self.opener;
        time(arena.batch(count), |buffer| black_box(opener.open(&mut buffer[place.clone()])).is_ok())
    }
}

impl Contestant for NewSender {
    fn name(&self) -> &'static str {
        self.name
    }

    fn against(&self) -> &'static [&'static str] {
        &[]
    }

    fn lane(&self) -> Lane {
        Lane::Slow
    }

    fn run(&mut self, arena: &mut Arena, count: usize) -> Batch {
        assert!(WARM + count >= Self::SENDERS, "the arena has a buffer for every sender");
        if self.sealed.is_empty() {
            self.seal_ahead(arena);
        }
        self.now += STEP;
        self.schedule.handle_timeout(self.now);
        take_keys(&mut self.schedule, &mut self.opener);
        let first = self.turn(arena);
        let later = self.turn(arena);
        let extra = Sample { elapsed: first.elapsed.saturating_sub(later.elapsed), ..first };
        Batch { seal: None, open: Some(extra) }
    }
}

/// Packets whose KID nobody has, at an opener with 5,000 senders in two epochs: the grace time of a
/// rekey.
pub struct UnknownKid {
    opener: Opener,
    _schedules: [Schedule; 2],
    opus: usize,
}

impl UnknownKid {
    pub const NAME: &'static str = "unknown KID";

    pub fn new(size: usize) -> Self {
        let plan = Plan { loaded: 5_000, ..Plan::new(size) };
        let mut opener = Opener::new();
        let schedules = [1, 2].map(|epoch| {
            let mut schedule = plan.schedule(epoch, LISTENER, Instant::now());
            take_keys(&mut schedule, &mut opener);
            schedule
        });
        Self { opener, _schedules: schedules, opus: size }
    }
}

impl Contestant for UnknownKid {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn against(&self) -> &'static [&'static str] {
        &[]
    }

    fn run(&mut self, arena: &mut Arena, count: usize) -> Batch {
        let frame = unpadded(self.opus);
        arena.fill(self.opus, count);
        for buffer in arena.batch(count) {
            // A header of this library's form, a KID of one of the live steps, a counter in range.
            let [config, kid @ .., high, _low] = &mut buffer[frame.start..HEADROOM] else { continue };
            (*config, *high) = (0xb9, *high | 1);
            kid[0] |= 0x80;
            kid[3] &= 0xfd;
            while self.opener.knows(&buffer[frame.clone()]) {
                buffer[frame.start + 2] ^= 0xff;
                buffer[frame.start + 3] = buffer[frame.start + 3].wrapping_add(1);
            }
        }
        let open = refused(arena, count, &mut self.opener, frame, OpenError::UnknownKey);
        Batch { seal: None, open: Some(open) }
    }
}

/// Good packets of a sender whose step clock is thousands of steps ahead, or lies.
pub struct FarAhead {
    speaker: Voice,
    opener: Opener,
    schedule: Schedule,
    now: Instant,
    opus: usize,
}

impl FarAhead {
    pub const NAME: &'static str = "far-ahead step";

    pub fn new(size: usize) -> Self {
        let (plan, now) = (Plan { loaded: 5_000, ..Plan::new(size) }, Instant::now());
        let mut schedule = plan.schedule(1, LISTENER, now);
        let mut opener = Opener::new();
        take_keys(&mut schedule, &mut opener);
        let mut ahead =
            Self { speaker: Voice::new(plan, Leaf(FIRST_SPEAKER), now), opener, schedule, now, opus: size };
        ahead.speaker.advance_to(now + STEP * 4_000);
        ahead
    }
}

impl Contestant for FarAhead {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn against(&self) -> &'static [&'static str] {
        &[]
    }

    fn run(&mut self, arena: &mut Arena, count: usize) -> Batch {
        if self.speaker.sealer.remaining() < (WARM + count) as u64 {
            // Both clocks move on by a step; 4,000 steps stay between them.
            self.now += STEP;
            self.schedule.handle_timeout(self.now);
            take_keys(&mut self.schedule, &mut self.opener);
            self.speaker.advance_to(self.now + STEP * 4_000);
        }
        arena.fill(self.opus, count);
        for buffer in arena.batch(count) {
            assert!(seal(&mut self.speaker.sealer, buffer, self.opus), "a packet was not sealed");
        }
        let open = refused(arena, count, &mut self.opener, unpadded(self.opus), OpenError::UnknownKey);
        Batch { seal: None, open: Some(open) }
    }
}

/// Taking the keys of a new step, in a room of 100 speakers: what the audio thread does of a rekey.
pub struct Install {
    schedule: Schedule,
    sealer: Sealer,
    opener: Opener,
    now: Instant,
    seals: Vec<SealRekey>,
    opens: Vec<OpenRekey>,
    old_seals: Vec<Result<Retired, Reused>>,
    old_opens: Vec<Retired>,
}

impl Install {
    pub const NAME: &'static str = "rekey install";
    const STEPS: usize = 32;

    pub fn new(size: usize) -> Self {
        let (plan, now) = (Plan { loaded: 100, ..Plan::new(size) }, Instant::now());
        let steps = WARM + Self::STEPS;
        let mut install = Self {
            schedule: plan.schedule(1, Leaf(FIRST_SPEAKER), now),
            sealer: Sealer::new(),
            opener: Opener::new(),
            now,
            seals: Vec::with_capacity(steps),
            opens: Vec::with_capacity(steps),
            old_seals: Vec::with_capacity(steps),
            old_opens: Vec::with_capacity(steps),
        };
        // The epoch itself goes in first, and the end of its grace time: from here on a step is all
        // there is.
        install.schedule.handle_timeout(now + STEP / 2);
        install.collect();
        install.opens.drain(..).for_each(|rekey| drop(install.opener.install(rekey)));
        install.seals.clear();
        install
    }

    fn collect(&mut self) {
        while let Some(rekey) = self.schedule.poll_rekey() {
            match rekey {
                Rekey::Seal(rekey) => self.seals.push(rekey),
                Rekey::Open(rekey) => self.opens.push(rekey),
            }
        }
    }
}

impl Contestant for Install {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn against(&self) -> &'static [&'static str] {
        &[]
    }

    fn lane(&self) -> Lane {
        Lane::Slow
    }

    fn run(&mut self, _arena: &mut Arena, _count: usize) -> Batch {
        for _ in 0..WARM + Self::STEPS {
            self.now += STEP;
            self.schedule.handle_timeout(self.now);
        }
        self.collect();
        assert_eq!((self.seals.len(), self.opens.len()), (WARM + Self::STEPS, WARM + Self::STEPS));

        let (sealer, old) = (&mut self.sealer, &mut self.old_seals);
        let seal = time(self.seals.drain(..), |rekey| {
            old.push(sealer.install(rekey));
            true
        });
        let (opener, old) = (&mut self.opener, &mut self.old_opens);
        let open = time(self.opens.drain(..), |rekey| {
            old.push(opener.install(rekey));
            true
        });
        assert!(self.old_seals.drain(..).all(|old| old.is_ok()), "a schedule never yields a key twice");
        self.old_opens.clear();
        Batch { seal: Some(seal), open: Some(open) }
    }
}

/// Bytes that an opener holds for one more sender that is silent, with three live steps.
///
/// The difference between 5,000 and 1,000 senders, by a counting allocator, shared evenly.
pub fn bytes_per_idle_sender() -> f64 {
    let held = |loaded| {
        let before = live_bytes();
        let (plan, now) = (Plan { loaded, ..Plan::new(160) }, Instant::now());
        let mut schedule = plan.schedule(1, LISTENER, now);
        let mut opener = Opener::new();
        take_keys(&mut schedule, &mut opener);
        // At the boundary there are the step before, this one, and the next.
        schedule.handle_timeout(now + STEP);
        take_keys(&mut schedule, &mut opener);
        drop(schedule);
        let held = live_bytes() - before;
        drop(opener);
        held as f64
    };
    (held(5_000) - held(1_000)) / 4_000.0
}

/// Where a packet stands that had the room's size before it was sealed: nothing is added but header
/// and tag.
fn unpadded(opus: usize) -> Range<usize> {
    HEADROOM - 7..HEADROOM + opus + 16
}
