//! Porters that die, a relay that withholds and divides, and what is repeated.

use std::time::Duration;

use sottovoce::stage::{HallLane, StageEvent};
use sottovoce_stage_sim::{Node, Setup, World};

use super::{SECOND, all_hear, hall, missed_at_most};

/// The porters by which these listen.
fn served_by(world: &sottovoce_stage_sim::World, porter: usize, ears: &[usize]) -> Vec<usize> {
    let name = world.members[porter].stage.as_ref().unwrap().porter().unwrap();
    let by = |index: &usize| {
        let lanes = &world.ears[*index].as_ref().unwrap().lanes;
        lanes.iter().any(|lane| matches!(lane, HallLane::Cell { porter, .. } if *porter == name))
    };
    ears.iter().copied().filter(by).collect()
}

#[test]
fn when_a_porter_dies_steps_go_on_and_its_listeners_go_to_another() {
    let (mut world, ears) = hall(11, 30);
    let orphans = served_by(&world, 1, &ears);
    assert!(orphans.len() > 5, "{}", orphans.len());
    world.members[1].dead = true;
    // Three steps, in which nobody is deaf.
    world.run_for(30 * SECOND);
    missed_at_most(&world, &ears, 0);
    world.run_for(6 * SECOND);
    assert!(served_by(&world, 1, &ears).is_empty(), "they are elsewhere");
    // They are given what a ban turns to.
    let id = world.ears[ears[0]].as_ref().unwrap().id;
    world.ears[ears[0]].as_mut().unwrap().stubborn = true;
    world.member(0, |host, now| host.room.ban(id, now).unwrap());
    world.run_for(3 * SECOND);
    all_hear(&mut world, &ears[1..]);
    missed_at_most(&world, &ears[1..], 200);
}

#[test]
fn a_ban_right_after_a_porter_died_costs_its_listeners_two_seconds_at_most() {
    let (mut world, ears) = hall(12, 30);
    world.members[1].dead = true;
    world.run_for(SECOND);
    let banned = served_by(&world, 0, &ears)[0];
    world.ears[banned].as_mut().unwrap().stubborn = true;
    let id = world.ears[banned].as_ref().unwrap().id;
    world.member(0, |host, now| host.room.ban(id, now).unwrap());
    world.run_for(6 * SECOND);
    let others: Vec<_> = ears.iter().copied().filter(|index| *index != banned).collect();
    missed_at_most(&world, &others, 5_000);
    all_hear(&mut world, &others);
    assert!(served_by(&world, 1, &others).is_empty());
}

#[test]
fn when_the_head_dies_in_a_turn_another_leads_on() {
    let (mut world, ears) = hall(13, 30);
    assert!(world.members[0].stage.as_ref().unwrap().leads());
    // The ban is signed, and the head is gone before anybody has its turn.
    let banned = served_by(&world, 1, &ears)[0];
    world.ears[banned].as_mut().unwrap().stubborn = true;
    let id = world.ears[banned].as_ref().unwrap().id;
    world.member(1, |member, now| member.room.ban(id, now).unwrap());
    world.run_for(Duration::from_millis(40));
    world.members[0].dead = true;
    let at = world.now();
    world.run_for(2 * SECOND);
    // Speakers stop after a second: nobody hears, the banned neither.
    let last = world.ears[banned].as_ref().unwrap().watch.last.unwrap();
    assert!(last < at + 3 * SECOND / 2, "{:?}", last - at);
    world.run_for(20 * SECOND);
    assert!(world.members[1].stage.as_ref().unwrap().leads());
    let others: Vec<_> = ears.iter().copied().filter(|index| *index != banned).collect();
    all_hear(&mut world, &others);
    let heard = world.ears[banned].as_ref().unwrap().watch.last.unwrap();
    assert_eq!(heard, last, "the banned heard nothing more");
}

#[test]
fn a_relay_that_withholds_a_cell_makes_its_listeners_ask_and_nobody_deaf_for_long() {
    let (mut world, ears) = hall(14, 30);
    world.withholds = Some(Box::new(|_, _, lane| matches!(lane, Some(HallLane::Cell { .. }))));
    world.leave(ears[29]);
    world.run_for(14 * SECOND);
    missed_at_most(&world, &ears[..29], 400);
    all_hear(&mut world, &ears[..29]);
}

#[test]
fn a_relay_that_divides_stage_and_audience_is_seen() {
    let (mut world, ears) = hall(15, 12);
    world.withholds = Some(Box::new(|from, to, _| matches!((from, to), (Node::Stage(_), Node::Ear(_)))));
    world.run_for(20 * SECOND);
    for index in &ears {
        let events = &world.ears[*index].as_ref().unwrap().events;
        let told = events.iter().any(|event| matches!(event, sottovoce::stage::ListenerEvent::Unattended));
        assert!(told, "{events:?}");
    }
    world.withholds = None;
    world.run_for(12 * SECOND);
    all_hear(&mut world, &ears);
}

#[test]
fn a_stage_that_a_relay_divides_has_two_codes_and_one_when_it_heals() {
    let (mut world, ears) = hall(16, 20);
    let apart = |from: Node, to: Node, lane: Option<HallLane>| {
        lane.is_none() && matches!((from, to), (Node::Stage(a), Node::Stage(b)) if (a == 1) != (b == 1))
    };
    world.withholds = Some(Box::new(apart));
    world.run_for(14 * SECOND);
    for (by, index) in [(0, served_by(&world, 1, &ears)[0]), (1, served_by(&world, 0, &ears)[0])] {
        let id = world.ears[index].as_ref().unwrap().id;
        world.member(by, |member, now| drop(member.room.ban(id, now)));
    }
    world.run_for(5 * SECOND);
    let code = |world: &sottovoce_stage_sim::World, member: usize| {
        world.members[member].stage.as_ref().unwrap().code()
    };
    assert_ne!(code(&world, 0), code(&world, 1), "the two halls show");
    world.withholds = None;
    world.run_for(90 * SECOND);
    assert_eq!(code(&world, 0), code(&world, 1));
    let left: Vec<_> =
        ears.iter().copied().filter(|index| !world.ears[*index].as_ref().unwrap().over).collect();
    assert!(left.len() >= 17);
    world.speaker = Some(0);
    world.run_for(SECOND);
    all_hear(&mut world, &left);
}

#[test]
fn what_a_relay_repeats_changes_nothing() {
    let (mut world, ears) = hall(17, 12);
    world.tape = Some(Vec::new());
    world.run_for(12 * SECOND);
    world.leave(ears[11]);
    world.run_for(12 * SECOND);
    let tape = world.tape.take().unwrap();
    assert!(tape.len() > 8, "{}", tape.len());
    let epochs: Vec<_> = ears[..11].iter().map(|index| world.ears[*index].as_ref().unwrap().epoch).collect();
    for (_, lane, bytes) in &tape {
        for index in &ears[..11] {
            world.ear(*index, |listener, now| listener.handle_control(*lane, bytes, now));
        }
    }
    let after: Vec<_> = ears[..11].iter().map(|index| world.ears[*index].as_ref().unwrap().epoch).collect();
    assert_eq!(epochs, after);
    all_hear(&mut world, &ears[..11]);
}

#[test]
fn h12_a_speaker_that_hears_of_a_ban_after_the_turn_that_heeds_it_is_not_silent() {
    let mut world = World::new(Setup { seed: 18, porters: 2, speakers: 1, ..Setup::default() });
    let ears: Vec<usize> = (0..6).map(|_| world.join()).collect();
    world.run_for(4 * SECOND);
    let id = world.ears[ears[0]].as_ref().unwrap().id;
    // What the moderator says does not come to the speaker, and the turn of the head does.
    world.withholds = Some(Box::new(|from, to, _| (from, to) == (Node::Stage(1), Node::Stage(2))));
    let epoch = world.members[2].stage.as_ref().unwrap().epoch();
    world.member(1, |member, now| member.room.ban(id, now).unwrap());
    world.run_for(SECOND);
    assert!(world.members[2].stage.as_ref().unwrap().epoch() > epoch, "it has the turn");
    world.withholds = None;
    // It learns the law by and by.
    world.run_for(30 * SECOND);
    let silent = world.members[2].events.iter().any(|event| matches!(event, StageEvent::Silent));
    assert!(!silent, "{:?}", world.members[2].events);
    let codes: Vec<_> = world.members.iter().map(|member| member.stage.as_ref().unwrap().code()).collect();
    assert!(codes.iter().all(|code| *code == codes[0]));
}
