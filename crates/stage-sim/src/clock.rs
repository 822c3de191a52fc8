//! CPU time, as the thread has used it: what other processes do counts for nobody.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU that one party has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu(Duration);

impl Cpu {
    /// Runs `work` at the cost of this party.
    pub fn charge<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = used();
        let result = work();
        self.0 += used().saturating_sub(before);
        result
    }

    /// What was used so far.
    pub fn used(self) -> Duration {
        self.0
    }
}

fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
