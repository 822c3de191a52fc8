//! A short run of the storms with insiders, and worlds without single defences that they have to
//! notice. `simulate --insiders` runs longer; `docs/STORMS.md` says what is checked.

use sottovoce::testkit::{Defence, without};
use sottovoce_testkit::{
    gang::{Plan, gang_storm},
    scenes::Scene,
};

fn plan(seed: u64, only: Option<Scene>) -> Plan {
    Plan { seed, members: 6, insiders: 2, minutes: 1, only }
}

#[test]
fn two_insiders_break_no_rule_and_everybody_honest_is_heard_in_the_end() {
    let (mut tricks, mut opened) = (0, 0);
    for seed in 1..=2 {
        let report = gang_storm(plan(seed, None));
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}");
        assert!(report.healed.is_some(), "seed {seed}");
        (tricks, opened) = (tricks + report.tricks, opened + report.opened);
    }
    assert!(tricks > 50 && opened > 1_000, "{tricks} tricks, {opened} packets: nothing happened");
}

/// Shows that the storms notice a world without a defence.
fn is_noticed(defence: Defence, scene: Scene, seeds: std::ops::RangeInclusive<u64>) {
    let noticed = |seed| {
        let report = without(Some(defence), || gang_storm(plan(seed, Some(scene))));
        !report.violations.is_empty()
    };
    assert!(seeds.into_iter().any(noticed), "{} was taken out, and nobody noticed", defence.name());
}

#[test]
fn a_world_without_signatures_of_statements_is_noticed() {
    is_noticed(Defence::StatementSignature, Scene::Statements, 1..=3);
}

#[test]
fn a_world_in_which_welcomes_are_believed_is_noticed() {
    is_noticed(Defence::WelcomeTree, Scene::MadeUp, 1..=6);
}

#[test]
fn a_world_in_which_what_was_held_back_is_new_is_noticed() {
    is_noticed(Defence::Made, Scene::HeldBack, 1..=3);
}
