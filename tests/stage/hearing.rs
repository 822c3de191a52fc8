//! Coming in, hearing, leaving, being put out.

use std::time::Duration;

use sottovoce_stage_sim::{Setup, World};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn those_who_come_in_hear_who_speaks_within_a_second_and_a_half() {
    let mut world = World::new(Setup::default());
    let ears: Vec<usize> = (0..40).map(|_| world.join()).collect();
    world.run_for(4 * SECOND);
    world.check();
    for index in ears {
        let ear = world.ears[index].as_ref().unwrap();
        assert!(ear.heard.is_some(), "{index}: {:?} {:?}", ear.errors, ear.events);
    }
    assert_eq!(world.violations, [""; 0]);
    let slowest = world.joins.iter().max().unwrap();
    assert!(*slowest < SECOND * 3 / 2, "{slowest:?}");
    assert_eq!(world.members[0].stage.as_ref().unwrap().audience(), 40);
}
