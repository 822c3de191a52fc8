//! A short run of `examples/simulate`; the example itself runs longer.

use std::time::Duration;

use sottovoce_testkit::{
    deaf,
    storm::{storm, storm_of_lies},
};

#[test]
fn storms_break_no_rule_and_everybody_comes_together_and_hears_everybody() {
    for seed in 1..=6 {
        let outcome = storm(seed, 6, 2);
        assert!(outcome.opened > 1_000 && outcome.blows > 10, "seed {seed}: nothing happened");
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
        assert!(outcome.gone || outcome.healed.is_some(), "seed {seed}");
    }
}

#[test]
fn the_check_notices_a_packet_that_nobody_may_open() {
    let outcome = storm_of_lies(4);
    assert!(outcome.violations.iter().any(|what| what.contains("did not have it on its roster")));
}

#[test]
fn a_banned_member_is_deaf_within_a_second_however_much_is_lost() {
    for loss in [0, 2, 10] {
        let (times, violations) = deaf::times(5, loss, 8);
        assert_eq!((times.len(), violations), (8, vec![]), "{loss} %");
        assert!(deaf::percentile(&times, 99) < Duration::from_secs(1), "{loss} %: {times:?}");
    }
}
