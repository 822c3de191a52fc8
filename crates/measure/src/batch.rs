//! How one batch is timed: the same for everybody, in this process and in a peer's.
//!
//! ```text
//! prepare all items, untimed > WARM items, untimed > clock > the other items > clock
//! ```

use std::time::{Duration, Instant};

use crate::alloc::allocations;

/// Items at the front of every batch that are worked off before the clock starts: they bring code
/// and keys into the caches, and teach the branch predictor.
pub const WARM: usize = 16;

/// What one batch cost.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The time of all timed operations together.
    pub elapsed: Duration,
    /// How many they were.
    pub count: u64,
    /// What they allocated, together.
    pub allocations: u64,
}

/// Times `op` over all `items` but the first [`WARM`].
///
/// # Panics
/// If an operation returns `false`: a benchmark of something that fails measures nothing.
#[inline(always)]
pub fn time<T>(mut items: impl Iterator<Item = T>, mut op: impl FnMut(T) -> bool) -> Sample {
    let warm = items.by_ref().take(WARM).map(&mut op).filter(|done| *done).count();
    assert_eq!(warm, WARM, "an operation failed before the clock started");

    let before = allocations();
    let start = Instant::now();
    let (mut count, mut done) = (0u64, 0u64);
    for item in items {
        done += u64::from(op(item));
        count += 1;
    }
    let elapsed = start.elapsed();
    let allocations = allocations() - before;

    assert!(count > 0 && done == count, "{} of {count} operations failed", count - done);
    Sample { elapsed, count, allocations }
}
