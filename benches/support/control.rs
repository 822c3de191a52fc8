//! The control thread: processes commits, starts key schedules, and hands keys over as values.
//!
//! ```text
//! control  [commit > merge > export > Schedule::start, once a member] > keys  > channel > media thread
//!          drop                                                       < Retired < channel <
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use sottovoce::{
    Authenticity, Epoch, EpochStart, Leaf, MemberId, PacketSize, Rekey, Schedule, Speaker, Suite,
    media::{OpenRekey, Retired, Reused, SealRekey},
};

use super::commits::{Commits, EpochKeys, Failed};

/// A key on its way to the media thread.
pub enum Key {
    /// For the sealer of the sender with this number.
    Seal(usize, SealRekey),
    /// For the opener.
    Open(OpenRekey),
}

/// What the media thread has no more use for.
#[expect(dead_code, reason = "sent only to be dropped by the control thread")]
pub enum Old {
    Retired(Retired),
    Reused(Reused),
    Unused(Key),
}

/// What the control thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nothing but what time asks for.
    Quiet,
    /// Take one commit after another, [`PERIOD`] from start to start.
    Commits,
    /// Finish what was begun, make commits for later, and go on to [`Phase::Quiet`].
    Stock,
    Stop,
}

/// From the start of one commit to the start of the next.
pub const PERIOD: Duration = Duration::from_millis(100);

/// The control thread as the media thread sees it.
pub struct Control {
    phase: Arc<AtomicU8>,
    pub keys: Receiver<Key>,
    pub old: SyncSender<Old>,
    thread: JoinHandle<Result<(Commits, Log), Failed>>,
}

/// What the control thread did, commit by commit.
#[derive(Default)]
pub struct Log {
    /// Bytes of the commits.
    pub size: usize,
    /// From a commit's bytes to the epoch's secret, in nanoseconds.
    pub commits: Vec<u64>,
    /// From the epoch's secret to the last key sent, for all members that the benchmark plays.
    pub schedules: Vec<u64>,
}

impl Control {
    /// Starts the thread, with the first epoch on its way to the media thread.
    pub fn start(
        mut commits: Commits,
        senders: usize,
        authenticity: Authenticity,
        packet: PacketSize,
    ) -> Self {
        let phase = Arc::new(AtomicU8::new(Phase::Quiet as u8));
        let (keys_in, keys) = sync_channel(CAPACITY);
        let (old, old_out) = sync_channel(CAPACITY);
        let shared = phase.clone();
        let thread = thread::spawn(move || {
            let mut log = Log::default();
            let mut members = Members { senders, authenticity, packet, keys: keys_in, schedules: vec![] };
            commits.stock(1)?;
            members.enter(&commits.process()?.ok_or("there is a commit")?)?;
            run(&shared, &mut commits, &mut members, &old_out, &mut log)?;
            Ok((commits, log))
        });
        Self { phase, keys, old, thread }
    }

    /// Tells the thread what to do from now on.
    pub fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Has commits made for the next stretch of [`Phase::Commits`], and waits for that.
    pub fn stock(&self) {
        self.set(Phase::Stock);
        while self.phase.load(Ordering::Acquire) == Phase::Stock as u8 && !self.thread.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the thread; the group comes back for another run.
    ///
    /// # Errors
    /// Whatever stopped the thread before.
    pub fn stop(self) -> Result<(Commits, Log), Failed> {
        self.set(Phase::Stop);
        drop(self.keys);
        self.thread.join().map_err(|_| "the control thread panicked")?
    }
}

fn run(
    phase: &AtomicU8,
    commits: &mut Commits,
    members: &mut Members,
    old: &Receiver<Old>,
    log: &mut Log,
) -> Result<(), Failed> {
    let mut due = Instant::now();
    loop {
        let now = Instant::now();
        match phase.load(Ordering::Acquire) {
            stop if stop == Phase::Stop as u8 => return Ok(()),
            stock if stock == Phase::Stock as u8 => {
                commits.stock(STOCK)?;
                phase.store(Phase::Quiet as u8, Ordering::Release);
            }
            take if take == Phase::Commits as u8 && now >= due => {
                due = now + PERIOD;
                log.size = commits.next_size().unwrap_or(log.size);
                if let Some(keys) = commits.process()? {
                    let merged = Instant::now();
                    members.enter(&keys)?;
                    log.commits.push((merged - now).as_nanos() as u64);
                    log.schedules.push(merged.elapsed().as_nanos() as u64);
                }
            }
            _ => thread::sleep(Duration::from_millis(1)),
        }
        members.handle_timeout()?;
        while old.try_recv().is_ok() {}
    }
}

/// The members that the benchmark plays: the listener, last, and all senders, each with its key
/// schedule.
struct Members {
    senders: usize,
    authenticity: Authenticity,
    packet: PacketSize,
    keys: SyncSender<Key>,
    schedules: Vec<Schedule>,
}

impl Members {
    /// Starts everybody's schedule of an epoch, and sends the keys: the listener's first.
    fn enter(&mut self, keys: &EpochKeys) -> Result<(), Failed> {
        let now = Instant::now();
        let speakers: Vec<Speaker> = (0..self.senders).map(speaker).collect();
        let start = |own_leaf: Leaf| {
            let mut seed = [0x5e; 32];
            seed[..4].copy_from_slice(&own_leaf.0.to_be_bytes());
            let start = EpochStart {
                secret: keys.secret(),
                group_id: &keys.group_id,
                epoch: Epoch(keys.epoch),
                authenticator: &keys.authenticator,
                suite: Suite::Aes128Gcm,
                authenticity: self.authenticity,
                packet_size: self.packet,
                own_leaf,
                speakers: &speakers,
                removed: &[],
                seed: &seed,
            };
            Schedule::start(start, now)
        };
        let mut listener = start(keys.own_leaf)?;
        let mut schedules = vec![];
        for speaker in &speakers {
            let schedule = start(speaker.leaf)?;
            if let Some(key) = schedule.speaker_key() {
                listener.handle_speaker(speaker.leaf, key)?;
            }
            schedules.push(schedule);
        }
        schedules.push(listener);
        self.schedules = schedules;
        self.send()
    }

    /// What is due in all schedules: new steps every ten seconds, the end of the epoch before after
    /// two.
    fn handle_timeout(&mut self) -> Result<(), Failed> {
        let now = Instant::now();
        self.schedules.iter_mut().for_each(|schedule| schedule.handle_timeout(now));
        self.send()
    }

    /// The listener's keys go first, so that nobody is heard under a key that it does not have.
    fn send(&mut self) -> Result<(), Failed> {
        for (number, schedule) in self.schedules.iter_mut().enumerate().rev() {
            while let Some(rekey) = schedule.poll_rekey() {
                let key = match rekey {
                    Rekey::Open(rekey) if number == self.senders => Key::Open(rekey),
                    Rekey::Seal(rekey) if number < self.senders => Key::Seal(number, rekey),
                    // What a sender would open with, and a listener seal with, nobody here needs.
                    _ => continue,
                };
                // The media thread is gone at the end of a run.
                if self.keys.send(key).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// The sender with this number, at the leaves behind the committer's and ours.
fn speaker(number: usize) -> Speaker {
    let leaf = u32::try_from(number + 2).expect("a leaf index has 32 bits");
    let mut member = [0x1d; 32];
    member[..4].copy_from_slice(&leaf.to_be_bytes());
    Speaker { leaf: Leaf(leaf), member: MemberId::from_bytes(member) }
}

/// Commits made in advance for one stretch.
const STOCK: usize = 8;

/// Keys on their way: an epoch has three for every sender.
const CAPACITY: usize = 4_096;
