//! Coming in, hearing, leaving, being put out, coming up.

use std::time::Duration;

use sottovoce::{
    group::Role,
    room::{InviteOptions, RefuseReason},
    stage::{ListenerEvent, Over, StageEvent},
};

use super::{SECOND, all_hear, hall, missed_at_most, watch};

#[test]
fn those_who_come_in_hear_who_speaks_within_a_second_and_a_half() {
    let (mut world, ears) = hall(1, 40);
    world.check();
    assert_eq!(world.violations, [""; 0]);
    let slowest = world.joins.iter().max().unwrap();
    assert!(*slowest < SECOND * 3 / 2, "{slowest:?}");
    let stage = world.members[0].stage.as_ref().unwrap();
    let code = stage.code().unwrap();
    assert!(stage.audience() <= 40);
    for index in &ears {
        let ear = world.ears[*index].as_ref().unwrap();
        assert_eq!(ear.listener.code(), Some(code));
        assert_eq!(ear.listener.speakers().len(), 3, "host, moderator, speaker");
    }
    world.run_for(12 * SECOND);
    assert_eq!(world.members[0].stage.as_ref().unwrap().audience(), 40);
    assert_eq!(world.ears[ears[0]].as_ref().unwrap().listener.audience(), 40);
}

#[test]
fn a_ban_makes_deaf_within_a_second_and_nobody_else_misses_anything() {
    let (mut world, ears) = hall(2, 40);
    // Whoever leaves just before makes a turn that a ban overtakes, or not.
    world.leave(ears[39]);
    world.run_for(9 * SECOND);
    for (by, banned) in [(0, ears[0]), (1, ears[1]), (0, ears[2])] {
        let at = world.now();
        let ear = world.ears[banned].as_mut().unwrap();
        ear.stubborn = true;
        let id = ear.id;
        world.member(by, |member, now| member.room.ban(id, now).unwrap());
        world.run_for(4 * SECOND);
        let last = world.ears[banned].as_ref().unwrap().watch.last.unwrap();
        let deaf = last.saturating_sub(at);
        assert!(deaf < SECOND, "heard on for {deaf:?}");
        assert!(deaf > Duration::from_millis(100), "it heard until then");
        assert!(world.ears[banned].as_ref().unwrap().watch.row > 100, "packets came, and none opened");
    }
    let others = &ears[3..39];
    missed_at_most(&world, others, 200);
    all_hear(&mut world, others);
    world.check();
    assert_eq!(world.violations, [""; 0]);
}

#[test]
fn a_banned_listener_that_does_not_lie_is_told_and_is_refused_by_every_door() {
    let (mut world, ears) = hall(3, 6);
    let banned = ears[0];
    let id = world.ears[banned].as_ref().unwrap().id;
    world.member(1, |member, now| member.room.ban(id, now).unwrap());
    world.run_for(2 * SECOND);
    let ear = world.ears[banned].as_ref().unwrap();
    let told = ear
        .events
        .iter()
        .any(|event| matches!(event, ListenerEvent::Over(Over::PutOut(RefuseReason::Banned))));
    assert!(told, "{:?}", ear.events);
    // It comes again, under the invite of the host and under one of the other porter.
    let mut options = InviteOptions::default();
    options.role = Some(Role::Listener);
    for by in [0, 1] {
        let mut invite = None;
        world.member(by, |member, now| invite = member.room.invite(options, now).ok());
        world.run_for(SECOND);
        let again = world.join_again(banned, invite.unwrap());
        // Badges follow the table of the newer invite within a minute.
        world.run_for(70 * SECOND);
        let ear = world.ears[again].as_ref().unwrap();
        let refused =
            |event: &ListenerEvent| matches!(event, ListenerEvent::Over(Over::Refused(RefuseReason::Banned)));
        assert!(ear.events.iter().any(refused), "{:?} {:?}", ear.events, ear.errors);
        assert!(ear.heard.is_none());
    }
}

#[test]
fn who_leaves_is_deaf_after_the_next_turn_and_the_others_hear_on() {
    let (mut world, ears) = hall(4, 40);
    let leaver = ears[7];
    // A leaver that keeps its keys: it says that it goes, and its opener stays as it is.
    let ear = world.ears[leaver].as_mut().unwrap();
    let mut opener = std::mem::take(&mut ear.opener);
    let at = world.now();
    world.packets = Some(Vec::new());
    world.leave(leaver);
    world.run_for(30 * SECOND);
    let packets = world.packets.take().unwrap();
    let heard = packets.iter().filter(|(_, packet)| opener.open(&mut packet.to_vec()).is_ok());
    let last = heard.map(|(sent, _)| *sent).max().unwrap_or(at);
    assert!(last < at + 22 * SECOND, "no chain went on: {:?}", last - at);
    let others: Vec<_> = ears.iter().copied().filter(|index| *index != leaver).collect();
    missed_at_most(&world, &others, 200);
    all_hear(&mut world, &others);
}

#[test]
fn hands_are_shown_in_the_order_of_asking_and_who_is_let_up_is_heard() {
    let (mut world, ears) = hall(5, 8);
    for index in [ears[3], ears[1], ears[2]] {
        world.ear(index, |listener, now| listener.set_hand(true, now));
        world.run_for(SECOND);
    }
    world.ear(ears[1], |listener, now| listener.set_hand(false, now));
    world.run_for(SECOND);
    let mut hands = Vec::new();
    for member in 0..2 {
        hands.extend(
            world.members[member].stage.as_ref().unwrap().hands().into_iter().map(|hand| (member, hand)),
        );
    }
    assert_eq!(hands.len(), 2, "{hands:?}");
    let up = world.ears[ears[3]].as_ref().unwrap().id;
    let porter = hands.iter().find(|(_, hand)| *hand == up).unwrap().0;
    let raised = |event: &StageEvent| matches!(event, StageEvent::Hand { member, up: true } if *member == up);
    assert!(world.members[porter].events.iter().any(raised));
    // The host makes an invite to the stage, for one.
    let mut link = None;
    world.member(0, |host, now| {
        let mut options = InviteOptions::default().for_at_most(std::num::NonZeroU16::MIN);
        options.role = Some(Role::Speaker);
        link = host.room.invite(options, now).ok();
    });
    world.run_for(SECOND);
    let link = link.unwrap();
    world.member(porter, |member, _| member.stage.as_mut().unwrap().let_up(up, &link).unwrap());
    world.run_for(SECOND);
    let events = &mut world.ears[ears[3]].as_mut().unwrap().events;
    let at = events.iter().position(|event| matches!(event, ListenerEvent::Up(_))).unwrap();
    let ListenerEvent::Up(invite) = events.remove(at) else { unreachable!() };
    let on_stage = world.come_up(ears[3], *invite);
    world.run_for(3 * SECOND);
    world.speaker = Some(on_stage);
    world.run_for(SECOND);
    let others: Vec<_> = ears.iter().copied().filter(|index| *index != ears[3]).collect();
    all_hear(&mut world, &others);
    let ear = world.ears[others[0]].as_ref().unwrap();
    assert!(ear.listener.speakers().iter().any(|speaker| speaker.id == up));
    // Down again: it leaves the stage, nobody hears it, and it listens.
    world.member(on_stage, |member, _| member.room.leave().unwrap());
    world.run_for(4 * SECOND);
    world.speaker = Some(2);
    all_hear(&mut world, &others);
    let ear = world.ears[others[0]].as_ref().unwrap();
    assert!(!ear.listener.speakers().iter().any(|speaker| speaker.id == up), "{:?}", ear.listener.speakers());
}

#[test]
fn a_page_of_the_audience_agrees_with_what_the_porter_signs() {
    let (mut world, ears) = hall(6, 40);
    world.run_for(12 * SECOND);
    world.ear(ears[0], |listener, now| listener.ask_page(0, now));
    world.run_for(SECOND);
    let ear = world.ears[ears[0]].as_ref().unwrap();
    let people = ear.events.iter().find_map(|event| match event {
        ListenerEvent::Page { number: 0, people } => Some(people.len()),
        _ => None,
    });
    assert!(people.is_some_and(|people| people > 10), "{:?} {:?}", ear.events, ear.errors);
}

#[test]
fn who_is_muted_on_the_stage_is_heard_by_nobody() {
    let (mut world, ears) = hall(7, 4);
    let speaker = world.members[2].id;
    world.member(0, |host, now| host.room.set_muted(speaker, true, now).unwrap());
    world.run_for(3 * SECOND);
    let before: Vec<u64> =
        ears.iter().map(|index| world.ears[*index].as_ref().unwrap().watch.opened).collect();
    world.run_for(2 * SECOND);
    for (index, before) in ears.iter().zip(before) {
        assert_eq!(world.ears[*index].as_ref().unwrap().watch.opened, before);
    }
    world.member(0, |host, now| host.room.set_muted(speaker, false, now).unwrap());
    world.run_for(4 * SECOND);
    all_hear(&mut world, &ears);
    let late = world.join();
    world.run_for(2 * SECOND);
    watch(&mut world, late);
    all_hear(&mut world, &[late]);
}
