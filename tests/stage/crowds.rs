//! Many at once: half of a cell that goes, a crowd that comes, a stage that is divided in a turn.

use std::{collections::BTreeMap, time::Duration};

use sottovoce::{Opener, stage::HallLane};
use sottovoce_stage_sim::{Node, Setup, World, percentile};

use super::{SECOND, all_hear, hall, missed_at_most};

/// The cell with the most of these, and who is in it.
fn fullest(world: &World, ears: &[usize]) -> Vec<usize> {
    let mut cells: BTreeMap<HallLane, Vec<usize>> = BTreeMap::new();
    for index in ears {
        let lanes = &world.ears[*index].as_ref().unwrap().lanes;
        let cell = lanes.iter().find(|lane| matches!(lane, HallLane::Cell { .. })).unwrap();
        cells.entry(*cell).or_default().push(*index);
    }
    cells.into_values().max_by_key(Vec::len).unwrap()
}

#[test]
fn half_of_a_cell_goes_at_once_and_is_deaf_after_the_turn_and_the_other_half_hears_on() {
    let (mut world, ears) = hall(31, 40);
    let cell = fullest(&world, &ears);
    assert_eq!(cell.len(), 16, "a small audience has cells of 16");
    world.packets = Some(Vec::new());
    let at = world.now();
    // They say that they go, and keep their keys.
    let mut kept: Vec<Opener> = Vec::new();
    for index in &cell[..8] {
        kept.push(std::mem::take(&mut world.ears[*index].as_mut().unwrap().opener));
        world.leave(*index);
    }
    world.run_for(30 * SECOND);
    let packets = world.packets.take().unwrap();
    for opener in &mut kept {
        let heard = packets.iter().filter(|(_, packet)| opener.open(&mut packet.to_vec()).is_ok());
        let last = heard.map(|(sent, _)| *sent).max().unwrap_or(at);
        assert!(last < at + 22 * SECOND, "heard on for {:?}", last - at);
    }
    let others: Vec<_> = ears.iter().copied().filter(|index| !cell[..8].contains(index)).collect();
    missed_at_most(&world, &others, 200);
    all_hear(&mut world, &others);
    world.check();
    assert_eq!(world.violations, [""; 0]);
    // Their slots are free again: others come into the cell.
    let kept = cell[8];
    let lane = |world: &World, index: usize| {
        let lanes = &world.ears[index].as_ref().unwrap().lanes;
        *lanes.iter().find(|lane| matches!(lane, HallLane::Cell { .. })).unwrap()
    };
    let new: Vec<usize> = (0..16).map(|_| world.join()).collect();
    world.run_for(3 * SECOND);
    for index in &new {
        super::watch(&mut world, *index);
    }
    all_hear(&mut world, &new);
    assert!(new.iter().any(|index| lane(&world, *index) == lane(&world, kept)));
}

#[test]
fn a_thousand_who_come_within_a_second_are_all_in_soon_and_disturb_nobody() {
    let mut world = World::new(Setup { seed: 32, porters: 3, speakers: 1, ..Setup::default() });
    let early: Vec<usize> = (0..12).map(|_| world.join()).collect();
    world.run_for(4 * SECOND);
    for index in &early {
        super::watch(&mut world, *index);
    }
    world.joins.clear();
    for _ in 0..100 {
        for _ in 0..10 {
            world.join();
        }
        world.run_for(Duration::from_millis(10));
    }
    world.run_for(9 * SECOND);
    assert_eq!(world.joins.len(), 1_000, "all hear");
    let mut joins = world.joins.clone();
    // A knock that no porter had time for comes again after two seconds.
    assert!(percentile(&mut joins, 50) < 1_500.0, "{}", percentile(&mut joins, 50));
    assert!(percentile(&mut joins, 99) < 6_000.0, "{}", percentile(&mut joins, 99));
    missed_at_most(&world, &early, 200);
    world.check();
    assert_eq!(world.violations, [""; 0]);
    world.run_for(6 * SECOND);
    assert_eq!(world.members[0].stage.as_ref().unwrap().audience(), 1_012);
}

#[test]
fn when_the_head_dies_and_only_one_porter_has_its_turn_the_banned_is_deaf_and_all_others_hear_again() {
    let setup = Setup { seed: 33, porters: 3, speakers: 1, ..Setup::default() };
    let mut world = World::new(setup);
    let ears: Vec<usize> = (0..30).map(|_| world.join()).collect();
    world.run_for(4 * SECOND);
    let head = (0..3).find(|member| world.members[*member].stage.as_ref().unwrap().leads()).unwrap();
    assert_eq!(head, 0);
    let banned = ears[4];
    super::watch(&mut world, banned);
    world.run_for(SECOND);
    let ear = world.ears[banned].as_mut().unwrap();
    ear.stubborn = true;
    let id = ear.id;
    // The head's turn comes to one porter, and to nobody else: neither stage nor audience.
    world.withholds = Some(Box::new(|from, to, _| from == Node::Stage(0) && to != Node::Stage(1)));
    let at = world.now();
    let epoch = world.members[1].stage.as_ref().unwrap().epoch();
    world.member(2, |member, now| member.room.ban(id, now).unwrap());
    world.run_for(Duration::from_millis(80));
    world.members[0].dead = true;
    world.withholds = None;
    world.run_for(3 * SECOND);
    assert!(world.members[1].stage.as_ref().unwrap().epoch() > epoch, "it has the turn");
    assert_eq!(world.members[2].stage.as_ref().unwrap().epoch(), epoch, "it has not");
    let last = world.ears[banned].as_ref().unwrap().watch.last.unwrap();
    assert!(last < at + 3 * SECOND / 2, "heard on for {:?}", last - at);
    world.run_for(25 * SECOND);
    let others: Vec<_> = ears.iter().copied().filter(|index| *index != banned).collect();
    for speaker in [1, 2] {
        world.speaker = Some(speaker);
        for index in &others {
            super::watch(&mut world, *index);
        }
        all_hear(&mut world, &others);
    }
    assert_eq!(world.ears[banned].as_ref().unwrap().watch.last, Some(last), "the banned heard nothing more");
    world.check();
    assert_eq!(world.violations, [""; 0]);
}
