//! Many seeds: with every rule, and with each removed.

use std::collections::BTreeMap;

use crate::{
    rules::{Rule, Rules},
    run::run_with,
};

/// What a search saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Runs.
    pub runs: u64,
    /// Seals that were looked at.
    pub seals: u64,
    /// Epochs that honest members entered.
    pub entered: u64,
    /// Pauses.
    pub pauses: u64,
    /// Each violation: how often, and the first seed.
    pub violations: BTreeMap<String, (u64, u64)>,
}

/// Runs seeds until `stop` of them found a violation.
pub fn search(rules: Rules, wrong_clocks: bool, seeds: std::ops::Range<u64>, stop: u64) -> Seen {
    let mut seen = Seen::default();
    let mut hits = 0;
    for seed in seeds {
        let room = run_with(rules, seed, wrong_clocks, false);
        seen.runs += 1;
        seen.seals += room.counts[0];
        seen.entered += room.counts[1];
        seen.pauses += room.counts[2];
        for violation in &room.violations {
            seen.violations.entry(violation.clone()).or_insert((0, seed)).0 += 1;
        }
        hits += u64::from(!room.violations.is_empty());
        if hits >= stop {
            break;
        }
    }
    seen
}

/// Removes a rule, and searches until it is missed, at most `seeds`.
pub fn without(rule: Rule, seeds: std::ops::Range<u64>, stop: u64) -> Seen {
    search(Rules::without(rule), false, seeds, stop)
}
