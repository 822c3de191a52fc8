//! The media thread: one packet in every slot, sealed, sent through the relay, and opened, with the
//! clock read between all of them.
//!
//! ```text
//! due > wake > install keys > seal > hop > open > sleep until the next slot
//! ```

use std::{
    hint::black_box,
    thread,
    time::{Duration, Instant},
};

use sottovoce::{Opener, Sealer, Stamp, media::HEADROOM};

use super::{
    alloc::allocations,
    control::{Control, Key, Old, Phase},
    distribution::Samples,
    loopback::Loopback,
};

/// From one packet to the next: what a listener of 100 speakers has, at 40 ms a packet.
pub const SLOT: Duration = Duration::from_micros(400);

/// Packets of a stretch that is quiet, or that has commits.
pub const STRETCH: usize = 1_000;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// How much longer than it asked for the thread slept: the machine's doing.
    Wake,
    /// Taking one key.
    Install,
    Seal,
    /// From before the packet is sent until it is back.
    Hop,
    Open,
}

impl Part {
    pub const ALL: [Self; 5] = [Self::Wake, Self::Install, Self::Seal, Self::Hop, Self::Open];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Wake => "wake",
            Self::Install => "install",
            Self::Seal => "seal",
            Self::Hop => "hop",
            Self::Open => "open",
        }
    }
}

/// The samples of one kind of stretch, a distribution for each part.
pub struct Parts([Samples; Part::ALL.len()]);

impl Parts {
    fn new(packets: usize) -> Self {
        // An epoch has three keys a sender; more samples than there is room for are counted, not
        // kept.
        Self(Part::ALL.map(|part| Samples::new(if part == Part::Install { packets * 4 } else { packets })))
    }

    pub fn of(&self, part: Part) -> &Samples {
        &self.0[part as usize]
    }

    fn note(&mut self, part: Part, from: Instant, to: Instant) {
        self.0[part as usize].push(to.saturating_duration_since(from));
    }
}

/// What the thread does in the places of sealing and opening.
pub enum Work {
    /// Seals and opens, with one sealer for every sender.
    Packets { sealers: Vec<Sealer>, opener: Box<Opener>, opus: usize },
    /// Counts to a number instead, which takes about as long: what is slow then is the machine.
    Counting { seal: Count, open: Count, packet: usize },
}

/// How far to count.
#[derive(Clone, Copy)]
pub struct Count(u64);

impl Count {
    /// A count that takes about this long on this machine, by the middle one of many tries.
    pub fn lasting(duration: Duration) -> Self {
        const TRIAL: u64 = 20_000;
        let trial = || {
            let begin = Instant::now();
            Self(black_box(TRIAL)).work();
            begin.elapsed()
        };
        let mut tries: Vec<Duration> = (0..201).map(|_| trial()).collect();
        tries.sort_unstable();
        let middle = tries[tries.len() / 2].max(Duration::from_nanos(1));
        Self((duration.as_nanos() as f64 * TRIAL as f64 / middle.as_nanos() as f64) as u64)
    }

    fn work(self) {
        (0..self.0).for_each(|number| _ = black_box(number));
    }
}

/// What a run yields.
pub struct Run {
    pub quiet: Parts,
    pub commits: Parts,
    /// What the media thread allocated, all told.
    pub allocations: u64,
    /// Packets that the relay's hop lost.
    pub lost: u64,
}

/// Runs stretches of packets, quiet ones and ones with commits by turns, of each kind `packets` in
/// all.
pub fn run(work: Work, control: &Control, relay: &Loopback, packets: usize) -> Run {
    let stretches = packets.div_ceil(STRETCH);
    let mut run = Run {
        quiet: Parts::new(stretches * STRETCH),
        commits: Parts::new(stretches * STRETCH),
        allocations: 0,
        lost: 0,
    };
    let mut thread = MediaThread::new(work, control, relay);
    let mut warm = Parts::new(WARM);
    thread.wait_for_keys(&mut warm);
    (0..WARM).for_each(|slot| thread.slot(slot, &mut warm));
    for stretch in 0..stretches * 2 {
        let (phase, parts) = if stretch % 2 == 0 {
            (Phase::Quiet, &mut run.quiet)
        } else {
            (Phase::Commits, &mut run.commits)
        };
        // Whatever the control thread was doing is done then, and the last of its keys are taken.
        control.stock();
        thread.take_keys(&mut warm);
        control.set(phase);
        let (before, begin) = (allocations(), Instant::now());
        for slot in 0..STRETCH {
            let due = begin + SLOT * (slot as u32 + 1);
            let early = due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                thread::sleep(early);
                parts.note(Part::Wake, due, Instant::now());
            }
            thread.slot(stretch * STRETCH + slot, parts);
        }
        run.allocations += allocations() - before;
        control.set(Phase::Quiet);
    }
    run.lost = thread.lost;
    run
}

/// Slots at the start that are not counted.
const WARM: usize = 200;

/// The thread's own things: what it seals and opens with, and memory for a packet on its way out
/// and back.
struct MediaThread<'a> {
    work: Work,
    control: &'a Control,
    relay: &'a Loopback,
    opus: Vec<u8>,
    out: Vec<u8>,
    back: Vec<u8>,
    lost: u64,
}

impl<'a> MediaThread<'a> {
    fn new(work: Work, control: &'a Control, relay: &'a Loopback) -> Self {
        let (Work::Packets { opus: len, .. } | Work::Counting { packet: len, .. }) = &work;
        let mut opus = vec![0xa5; *len];
        opus[0] = 0x80;
        Self { work, control, relay, opus, out: vec![0; 2_048], back: vec![0; 2_048], lost: 0 }
    }

    fn wait_for_keys(&mut self, parts: &mut Parts) {
        let keyless = |work: &Work| match work {
            Work::Packets { sealers, .. } => sealers.iter().any(|sealer| sealer.position().is_none()),
            Work::Counting { .. } => false,
        };
        let begin = Instant::now();
        while keyless(&self.work) && begin.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(1));
            self.take_keys(parts);
        }
    }

    fn take_keys(&mut self, parts: &mut Parts) {
        while let Ok(key) = self.control.keys.try_recv() {
            let begin = Instant::now();
            let old = match (key, &mut self.work) {
                (Key::Open(rekey), Work::Packets { opener, .. }) => Old::Retired(opener.install(rekey)),
                (Key::Seal(sender, rekey), Work::Packets { sealers, .. }) => {
                    sealers[sender].install(rekey).map_or_else(Old::Reused, Old::Retired)
                }
                (key, Work::Counting { .. }) => Old::Unused(key),
            };
            parts.note(Part::Install, begin, Instant::now());
            let sent = self.control.old.try_send(old);
            assert!(sent.is_ok(), "the control thread takes back what was replaced");
        }
    }

    fn slot(&mut self, slot: usize, parts: &mut Parts) {
        self.take_keys(parts);
        self.out[HEADROOM..HEADROOM + self.opus.len()].copy_from_slice(&self.opus);
        match &mut self.work {
            Work::Packets { sealers, opener, opus } => {
                let sender = slot % sealers.len();
                let begin = Instant::now();
                let sealed = sealers[sender].seal(&mut self.out, *opus, Stamp::default());
                let sealed = sealed.expect("every sender has a key");
                let out = Instant::now();
                let Some(len) = self.relay.hop(sealed, &mut self.back) else {
                    self.lost += 1;
                    return;
                };
                let back = Instant::now();
                let opened = black_box(opener.open(&mut self.back[..len])).is_ok();
                let end = Instant::now();
                assert!(opened, "the listener has the key of every sender");
                parts.note(Part::Seal, begin, out);
                parts.note(Part::Hop, out, back);
                parts.note(Part::Open, back, end);
            }
            Work::Counting { seal, open, packet } => {
                let begin = Instant::now();
                seal.work();
                let out = Instant::now();
                if self.relay.hop(&self.out[..*packet], &mut self.back).is_none() {
                    self.lost += 1;
                    return;
                }
                let back = Instant::now();
                open.work();
                let end = Instant::now();
                parts.note(Part::Seal, begin, out);
                parts.note(Part::Hop, out, back);
                parts.note(Part::Open, back, end);
            }
        }
    }
}
