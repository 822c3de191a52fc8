//! Members without rank that use up turns, or choose whose turn it is.

use super::{super::making::Work, *};
use crate::wire::leave::Leave;

/// A member commits, whosever turn it is, and so keeps the room if the others merge it.
fn commit(party: &mut Party, who: usize, work: Work) {
    let now = party.now;
    let (out, memory, seat) = party.rooms[who].present().unwrap();
    seat.commit(out, memory, work, now).unwrap();
    while let Some(message) = party.rooms[who].poll_transmit() {
        party.relay(who, &message);
    }
    party.deliver();
}

/// Another rebel merges the takeover of one at once, as no honest member does.
fn give_way(party: &mut Party, who: usize) {
    let now = party.now;
    let (out, memory, seat) = party.rooms[who].present().unwrap();
    if let Some(pending) = seat.pending.pop() {
        let law = seat.epoch_law.clone();
        seat.merge(out, memory, *pending.staged, law, now);
    }
}

/// Whether a member lets others take over from its keeper.
fn counts_as_silent(party: &mut Party, who: usize) -> bool {
    let now = party.now + SECOND / 2;
    let (_, memory, seat) = party.rooms[who].present().unwrap();
    seat.turns.silent_since(&seat.view(memory, now)).is_some()
}

#[test]
fn three_members_that_say_that_they_leave_and_take_over_in_turn_silence_the_room_for_no_minute() {
    let mut party = Party::new(6);
    let order = party.order();
    let (rebels, other) = (&order[..3], order[5]);
    rebels.iter().for_each(|rebel| party.rebel(*rebel));
    party.rebel(0);
    party.pass(6 * SECOND);
    while !counts_as_silent(&mut party, other) {
        party.pass(SECOND / 10);
    }
    for (turn, rebel) in rebels.iter().chain(rebels).enumerate() {
        commit(&mut party, *rebel, Work::default());
        rebels.iter().for_each(|other| give_way(&mut party, *other));
        // Each time a newer one: what was said before says nothing.
        let time_ms = u64::MAX - 6 + turn as u64;
        let leave = Signed::<Leave>::leave(&identity(*rebel), &party.group_id().0, time_ms);
        party.say(*rebel, &Saying::Leave(leave));
        assert_eq!(party.rooms[other].keeper(), Some(party.id(*rebel)), "takeover {turn} was merged");
    }
    let silent = party.silent_seconds(other, 90, |_, _| ());
    assert!(silent <= 15, "{silent} of 90 seconds");
}

#[test]
fn a_keeper_without_rank_does_not_choose_beats_so_that_a_members_turn_never_comes() {
    let mut party = Party::new(10);
    // Speakers announce their keys as well; listeners say nothing but Words.
    for who in 1..11 {
        let (id, now) = (party.id(who), party.now);
        party.rooms[0].set_role(id, Role::Listener, now).unwrap();
    }
    party.deliver();
    party.pass(10 * SECOND);
    let order = party.order();
    let keeper = order[0];
    party.rebel(0);
    party.pass(25 * SECOND);
    assert!(party.seat(keeper).keeps());
    party.rebel(keeper);
    // Two beats in each even turn, none in an odd one: at most 5.2 s lie between two of them.
    let mut victim = None;
    for _ in 0..350 {
        let now = party.now;
        let at = party.rooms[keeper].out.clock.unix_ms(now) % 10_000;
        let wait = match at {
            0..50 => 50 - at,
            50..4_900 => 4_900 - at,
            _ => 10_050 - at,
        };
        party.pass(Duration::from_millis(wait));
        party.beat_with(keeper, |_| {});
        let members = party.seat(keeper).group.roster().len();
        let now = party.now;
        victim = (order[1..].iter().copied()).find(|who| {
            let id = party.id(*who);
            party.seat(keeper).presence.is_long_gone(id, members, now)
        });
        if victim.is_some() {
            break;
        }
    }
    let Some(victim) = victim else { return };
    let id = party.id(victim);
    let before = party.rooms[victim].status();
    let leaf = party.seat(keeper).group.occupant(id).unwrap().leaf;
    commit(&mut party, keeper, Work { removes: vec![leaf], ..Work::default() });
    let other = order[1..].iter().copied().find(|who| *who != victim).unwrap();
    let stays = party.rooms[other].roster().iter().any(|member| member.id == id);
    assert_eq!(before, Status::Present);
    assert!(stays, "who hears every beat was taken out as absent");
}

#[test]
fn p1_members_that_are_absent_leave_no_heartbeat_without_an_answer() {
    let mut party = Party::new(16);
    let order = party.order();
    // All but the last in the order came, and went without a word.
    order[..15].iter().for_each(|who| party.rebel(*who));
    party.pass(65 * SECOND);
    assert!(party.seat(0).keeps() && party.rooms[0].roster().len() == 17, "they have their leaves still");
    for second in 0..50 {
        party.pass(SECOND);
        let age = party.now - party.seat(0).liveness.proof();
        assert!(age < 6 * SECOND, "no word for {age:?}, {second} s after the others were absent");
    }
}
