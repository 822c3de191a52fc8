//! Samples of one duration, and their percentiles.

use std::time::Duration;

/// Durations in nanoseconds, in memory that is taken beforehand.
pub struct Samples {
    ns: Vec<u64>,
}

/// Percentiles of a distribution, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub count: usize,
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

impl Samples {
    /// Room for `capacity` samples.
    pub fn new(capacity: usize) -> Self {
        Self { ns: Vec::with_capacity(capacity) }
    }

    /// Keeps a sample, if there is room: it never allocates.
    pub fn push(&mut self, duration: Duration) {
        if self.ns.len() < self.ns.capacity() {
            self.ns.push(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// All samples, ascending.
    pub fn sorted(&self) -> Vec<u64> {
        let mut sorted = self.ns.clone();
        sorted.sort_unstable();
        sorted
    }

    /// The percentiles, `None` without samples.
    pub fn summary(&self) -> Option<Summary> {
        let sorted = self.sorted();
        let at = |quantile: f64| sorted.get(rank(quantile, sorted.len())).copied();
        Some(Summary {
            count: sorted.len(),
            p50: at(0.5)?,
            p99: at(0.99)?,
            p999: at(0.999)?,
            max: *sorted.last()?,
        })
    }
}

impl Summary {
    /// Of a list of nanoseconds.
    pub fn of(ns: &[u64]) -> Option<Self> {
        Samples { ns: ns.to_vec() }.summary()
    }
}

/// The nearest rank: the smallest sample that at least this share of all does not exceed.
fn rank(quantile: f64, count: usize) -> usize {
    ((quantile * count as f64).ceil() as usize).saturating_sub(1)
}
