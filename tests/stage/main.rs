//! Stage rooms: an audience that hears, people who are put out, and those who lie
//! (`spec/stage.md`).

mod crowds;
mod failures;
mod gone;
mod hearing;
mod live;
mod seized;

use std::time::Duration;

use sottovoce_stage_sim::{Setup, World};

const SECOND: Duration = Duration::from_secs(1);

/// A stage with two porters and a speaker, and so many who hear it.
fn hall(seed: u64, listeners: usize) -> (World, Vec<usize>) {
    let mut world = World::new(Setup { seed, porters: 2, speakers: 1, ..Setup::default() });
    let ears: Vec<usize> = (0..listeners).map(|_| world.join()).collect();
    world.run_for(3 * SECOND);
    for index in &ears {
        watch(&mut world, *index);
    }
    world.run_for(SECOND);
    for index in &ears {
        let ear = world.ears[*index].as_ref().unwrap();
        assert!(ear.heard.is_some(), "seed {seed}, {index}: {:?} {:?}", ear.errors, ear.events);
    }
    (world, ears)
}

fn watch(world: &mut World, index: usize) {
    world.watched.insert(index);
    let ear = world.ears[index].as_mut().unwrap();
    ear.watch = sottovoce_stage_sim::Watch { every: true, ..ear.watch };
}

/// Nobody of these missed more than so many milliseconds in a row.
fn missed_at_most(world: &World, ears: &[usize], millis: u32) {
    for index in ears {
        let ear = world.ears[*index].as_ref().unwrap();
        let missed = ear.watch.longest * 20;
        assert!(missed <= millis, "{index} missed {missed} ms");
    }
    assert!(world.missed.0 <= Duration::from_millis(millis.into()), "{:?}", world.missed);
}

/// Everybody of these opens what is said now.
fn all_hear(world: &mut World, ears: &[usize]) {
    let before: Vec<u64> =
        ears.iter().map(|index| world.ears[*index].as_ref().unwrap().watch.opened).collect();
    world.run_for(SECOND);
    for (index, before) in ears.iter().zip(before) {
        let ear = world.ears[*index].as_ref().unwrap();
        assert!(ear.watch.opened > before + 20, "{index} is deaf: {:?} {:?}", ear.errors, ear.events);
    }
}
