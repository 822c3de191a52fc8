//! The room's second edition as a model with insiders who lie: `crates/law-model`. Its long form
//! and figures are in the README there.

use law_model::{
    Rule, Rules,
    exhaustive::{Reach, look},
    found::{FOUND, NOT_BY_RUNS},
    laws, run,
    search::search,
};

#[test]
fn rooms_with_insiders_keep_what_they_promise() {
    let seen = search(Rules::ALL, false, 1..1_501, 1);
    println!("{seen:?}");
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    assert!(seen.seals > 1_000_000 && seen.entered > 50_000 && seen.pauses > 50_000, "nothing was looked at");
}

#[test]
fn every_rule_is_missed_when_it_is_taken_out() {
    for (rule, seed) in FOUND {
        let with = run(Rules::ALL, *seed, false);
        assert!(with.violations.is_empty(), "{rule:?}: seed {seed} breaks {:?} anyway", with.violations);
        let without = run(Rules::without(*rule), *seed, false);
        assert!(!without.violations.is_empty(), "{rule:?} is not missed with seed {seed}");
    }
    for rule in Rule::EVERY {
        let found = FOUND.iter().filter(|(other, _)| other == rule).count();
        let excused = NOT_BY_RUNS.iter().filter(|(other, _)| other == rule).count();
        assert_eq!(found + excused, 1, "{rule:?} has to be found by a seed, or a reason has to say why not");
    }
}

#[test]
fn no_short_sequence_of_a_relay_honest_acts_and_an_insider_breaks_anything() {
    let reach = Reach { depth: 1, relays: 4, acts: 5, starts: 4 };
    let found = look(Rules::ALL, reach);
    println!("{found:?}");
    assert!(found.violations.is_empty() && found.sequences == 1_200, "{found:?}");
    for rule in [Rule::Removal, Rule::OutSecond, Rule::Tree] {
        let found = look(Rules::without(rule), Reach { starts: 2, ..reach });
        assert!(!found.violations.is_empty(), "{rule:?} is not missed");
    }
}

#[test]
fn the_law_has_its_properties_for_every_small_set_of_statements() {
    let found = laws::look(Rules::ALL, 2);
    println!("{found:?}");
    assert!(found.broken.is_empty() && found.sets > 3_000, "{found:?}");
    for (rule, property) in laws::RULES {
        let found = laws::look(Rules::without(*rule), 2);
        assert!(found.broken.contains_key(property), "{rule:?} is not missed: {found:?}");
    }
}
