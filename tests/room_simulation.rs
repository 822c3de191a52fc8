//! A short run of `examples/simulate.rs`, for what holds in every storm; the example itself runs longer, and looks at more.
//!
//! That nobody sends for long after the last word, and that everybody is together soon, is not held to here: SECURITY.md says
//! what storms still show of that.
#![cfg(feature = "room")]

#[path = "../examples/simulate/deaf.rs"]
mod deaf;
#[path = "support/net.rs"]
mod net;
#[path = "../examples/simulate/storm.rs"]
mod storm;

use std::time::Duration;

use storm::{storm, storm_of_lies};

#[test]
fn in_no_storm_does_anybody_off_the_roster_open_a_packet_or_a_key_seal_a_counter_twice() {
    for seed in 1..=3 {
        let outcome = storm(seed, 6, 2);
        assert!(outcome.opened > 1_000 && outcome.blows > 10, "seed {seed}: nothing happened");
        let unheard_of =
            ["did not have it on its roster", "sealed twice", "different rosters", "different codes"];
        for violation in &outcome.violations {
            assert!(!unheard_of.iter().any(|what| violation.contains(what)), "seed {seed}: {violation}");
        }
    }
}

#[test]
fn the_check_notices_a_packet_that_nobody_may_open() {
    let outcome = storm_of_lies(4);
    assert!(outcome.violations.iter().any(|what| what.contains("did not have it on its roster")));
}

#[test]
fn a_banned_member_is_deaf_within_a_second_where_nothing_is_lost() {
    let (times, violations) = deaf::times(5, 0, 8);
    assert_eq!((times.len(), violations), (8, vec![]));
    assert!(deaf::percentile(&times, 99) < Duration::from_secs(1), "{times:?}");
}
