//! The interleaved run: every contestant works off one batch in every round, in a new order each
//! time.
//!
//! A machine's speed changes from one moment to the next, so only what was measured in the same
//! round is compared: a ratio is taken round by round, and its median over the rounds is what
//! counts.

use super::{arena::Arena, batch::Sample, median::median};

/// Somebody whose packets are measured.
pub trait Contestant {
    /// What its rows are called.
    fn name(&self) -> &'static str;

    /// The contestants whose costs, added up, are what this one is compared with.
    fn against(&self) -> &'static [&'static str];

    /// Whether it is fast, slow, or in another process: like runs next to like.
    fn lane(&self) -> Lane {
        Lane::Fast
    }

    /// Works off one batch: prepares it, and times sealing and opening of up to `count` packets.
    fn run(&mut self, arena: &mut Arena, count: usize) -> Batch;
}

/// Contestants of one lane are measured within a millisecond of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Less than a microsecond a packet.
    Fast,
    /// More: signatures, key changes.
    Slow,
    /// A program of its own.
    Peer,
}

/// What a contestant measured in one round. `None` where it has nothing to measure.
#[derive(Clone, Copy, Default)]
pub struct Batch {
    pub seal: Option<Sample>,
    pub open: Option<Sample>,
}

/// A contestant's line of results: nanoseconds an operation, round by round.
pub struct Track {
    pub name: &'static str,
    pub seal: Column,
    pub open: Column,
    against: &'static [&'static str],
}

/// One side of a track.
#[derive(Default)]
pub struct Column {
    rounds: Vec<f64>,
    allocations: u64,
    operations: u64,
}

impl Column {
    /// The median over all rounds.
    pub fn ns(&self) -> Option<f64> {
        median(self.rounds.clone())
    }

    /// Allocations of one operation.
    pub fn allocations(&self) -> Option<f64> {
        (self.operations > 0).then(|| self.allocations as f64 / self.operations as f64)
    }

    fn take(&mut self, sample: Option<Sample>) {
        if let Some(sample) = sample {
            self.rounds.push(sample.elapsed.as_nanos() as f64 / sample.count as f64);
            self.allocations += sample.allocations;
            self.operations += sample.count;
        }
    }
}

/// One size of packets: all tracks so far, and the buffers.
pub struct Contest {
    pub tracks: Vec<Track>,
    arena: Arena,
    /// Memory that is only in the way: see [`Contest::shift`].
    spacers: Vec<Vec<u8>>,
}

impl Contest {
    /// For batches of up to `count` packets of `size` bytes.
    pub fn new(size: usize, count: usize) -> Self {
        Self { tracks: vec![], arena: Arena::new(size, count), spacers: vec![] }
    }

    /// Moves whatever is allocated next, relative to the buffers, by a random distance.
    ///
    /// Whether a key and a buffer fall into the same sets of a cache is luck, and can cost a tenth.
    /// So contestants are made anew for every sitting, each time somewhere else.
    pub fn shift(&mut self) {
        let distance = 16 * self.arena.below(1_024);
        self.spacers.push(vec![0; distance]);
    }

    /// Runs all contestants against each other over `rounds` rounds.
    pub fn sitting(&mut self, contestants: &mut [Box<dyn Contestant + '_>], count: usize, rounds: usize) {
        if self.tracks.is_empty() {
            self.tracks = contestants.iter().map(|one| Track::new(one.as_ref())).collect();
        }
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        for _ in 0..rounds {
            shuffle(&mut order, &mut self.arena);
            order.sort_by_key(|index| contestants[*index].lane());
            for index in &order {
                let batch = contestants[*index].run(&mut self.arena, count);
                self.tracks[*index].seal.take(batch.seal);
                self.tracks[*index].open.take(batch.open);
            }
        }
    }
}

impl Track {
    fn new(of: &dyn Contestant) -> Self {
        Self { name: of.name(), against: of.against(), seal: Column::default(), open: Column::default() }
    }

    /// Median over the rounds of (this one / all that it is compared with), for sealing and for
    /// opening.
    ///
    /// `None` if it is compared with nobody, or with somebody who has no figures.
    pub fn ratios(&self, all: &[Track]) -> (Option<f64>, Option<f64>) {
        (self.ratio(all, |track| &track.seal), self.ratio(all, |track| &track.open))
    }

    fn ratio<'a>(&'a self, all: &'a [Track], column: impl Fn(&'a Track) -> &'a Column) -> Option<f64> {
        let own = &column(self).rounds;
        let bases: Option<Vec<&Vec<f64>>> = self
            .against
            .iter()
            .map(|name| all.iter().find(|track| track.name == *name).map(|track| &column(track).rounds))
            .collect();
        let bases =
            bases.filter(|bases| !bases.is_empty() && bases.iter().all(|base| base.len() == own.len()))?;
        let ratios =
            own.iter().enumerate().map(|(round, ns)| ns / bases.iter().map(|base| base[round]).sum::<f64>());
        median(ratios.collect())
    }
}

fn shuffle(order: &mut [usize], arena: &mut Arena) {
    for last in (1..order.len()).rev() {
        order.swap(last, arena.below(last + 1));
    }
}
