//! Storms of halls in a short form (`docs/STORMS.md`, section 8); `examples/halls` has the long
//! one.

use sottovoce::testkit::{Defence, without};
use sottovoce_hall_storms::{Plan, Scene, storm};

fn plan(seed: u64, only: Option<Scene>) -> Plan {
    Plan { seed, listeners: 24, insiders: 3, minutes: 0.4, only }
}

#[test]
fn nobody_breaks_a_rule_in_a_storm() {
    for seed in 1..3 {
        let report = storm(plan(seed, None));
        assert_eq!(report.violations, [""; 0], "seed {seed}, {:?}", report.scenes);
        assert!(report.healed.is_some() && report.tally.tricks > 0 && report.tally.bans > 0);
    }
}

/// Shows that the storms notice a world without a defence.
fn is_noticed(defence: Defence, seeds: std::ops::Range<u64>) {
    let scene = Scene::against(defence);
    let noticed = |seed| without(Some(defence), || !storm(plan(seed, scene)).violations.is_empty());
    assert!(seeds.into_iter().any(noticed), "{} was taken out, and nobody noticed", defence.name());
}

#[test]
fn a_secret_that_no_beat_has_named_is_noticed_if_it_counts() {
    is_noticed(Defence::HallNamed, 1..3);
}

#[test]
fn a_message_that_counts_twice_is_noticed() {
    is_noticed(Defence::HallReplay, 1..3);
}
