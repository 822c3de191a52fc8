//! What a run has shown.

use std::time::Duration;

/// Figures of a run, over its steady part where they are rates.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub listeners: usize,
    pub listener_kbit_s: f64,
    pub listener_cpu_ms_s: f64,
    pub listener_bytes: f64,
    pub stage_cpu_percent: f64,
    pub stage_kbit_s: f64,
    pub stage_up_kbit_s: f64,
    pub joins: usize,
    pub join_ms_p50: f64,
    pub join_ms_p99: f64,
    pub bans: usize,
    pub deaf_ms_p50: f64,
    pub deaf_ms_p99: f64,
    pub others_missed_ms_max: f64,
    /// How often somebody who had nothing to do with a turn went over to its epoch, and how often
    /// more than 200 ms after its first packet.
    pub others_turned: usize,
    pub others_late: usize,
    /// For how long whoever was to speak had no key.
    pub unsaid_ms: f64,
    pub turns: usize,
    pub violations: Vec<String>,
}

/// The value below which `percent` of all lie; 0 of none.
pub fn percentile(values: &mut [Duration], percent: usize) -> f64 {
    values.sort_unstable();
    let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(at).map_or(0.0, |value| value.as_secs_f64() * 1_000.0)
}
