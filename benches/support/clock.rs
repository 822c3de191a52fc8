//! What a call cost this thread, whoever else is on the machine.

use std::time::Duration;

/// The time that this thread has had on a processor.
#[cfg(target_os = "linux")]
pub fn spent() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// The time since the first call, where there is no such clock: run it on a quiet machine.
#[cfg(not(target_os = "linux"))]
pub fn spent() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}
