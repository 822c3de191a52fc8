//! Heartbeats that say what is not so, too often, or again.

use super::*;
use crate::wire::answer::Answer;

#[test]
fn a_time_at_the_end_of_numbers_harms_nobody_who_returns() {
    let mut party = Party::new(2);
    party.restart(1);
    party.rebel(0);
    party.rebel(2);
    party.beat_with(2, |beat| beat.time_ms = u64::MAX);
    party.pass(10 * SECOND);
    assert_ne!(party.rooms[1].status(), Status::Over);
}

#[test]
fn a_keeper_does_not_make_everybody_speak_by_many_heartbeats() {
    let mut party = Party::new(10);
    party.rebel(0);
    let before = party.log.len();
    for n in 0..200_u64 {
        // The time in a heartbeat says whose turn it is.
        party.beat_with(0, |beat| beat.time_ms += n * 5_000);
        party.pass(SECOND / 100);
    }
    let words = (1..=10).map(|who| party.count(who, before, |kind| matches!(kind, Message::Mls(_))));
    let words: usize = words.sum();
    assert!(words <= 40, "{words} words in two seconds");
}

#[test]
fn a_listener_does_not_make_the_keeper_show_its_law_with_each_heartbeat_of_a_made_up_branch() {
    let mut party = Party::new(4);
    party.rebel(4);
    let before = party.log.len();
    for n in 0..50_u8 {
        party.beat_with(4, |beat| (beat.epoch, beat.branch, beat.known_law) = (Epoch(2), [7; 32], [n; 32]));
        party.pass(SECOND / 10);
    }
    let shows = party.count(0, before, |kind| matches!(kind, Message::Show(_)));
    assert!(shows <= 2, "{shows} Shows in five seconds");
}

#[test]
fn members_do_not_go_on_showing_their_law_to_a_keeper_that_never_takes_it() {
    let mut party = Party::new(4);
    party.rebel(4);
    let before = party.log.len();
    for n in 0..120_u8 {
        party.beat_with(4, |beat| (beat.epoch, beat.branch, beat.known_law) = (Epoch(2), [7; 32], [n; 32]));
        party.pass(2 * SECOND);
    }
    let shows: usize =
        (1..4).map(|who| party.count(who, before, |kind| matches!(kind, Message::Show(_)))).sum();
    assert!(shows <= 15, "{shows} Shows of three members in four minutes");
}

#[test]
fn an_answer_of_a_stranger_does_not_take_the_place_of_the_keepers() {
    let mut party = Party::new(3);
    party.rebel(3);
    let before = party.log.len();
    party.beat_with(3, |beat| (beat.epoch, beat.branch, beat.known_law) = (Epoch(2), [7; 32], [1; 32]));
    party.pass(SECOND / 10);
    assert_eq!(party.count(0, before, |kind| matches!(kind, Message::Show(_))), 1);
    let (reference, _) = party.seat(0).showing.open[0];
    // The reference of a Show is open to whoever holds the lane key.
    party.send(2, &Message::Answer(Answer { reference, kem: vec![9; 32], sealed: vec![1; 64] }));
    assert_eq!(party.seat(0).showing.open.len(), 1, "the true answer can still be read");
}

#[test]
fn a_keeper_does_not_run_the_step_clock_ahead_of_everybody() {
    let mut party = Party::new(3);
    party.rebel(0);
    let start = party.now;
    let before = party.seat(1).schedule.elapsed(start);
    for _ in 0..200 {
        party.beat_with(0, |beat| beat.step_ms = u64::MAX);
        party.pass(SECOND / 100);
    }
    let now = party.now;
    let ahead = party.seat(1).schedule.elapsed(now) - before;
    assert!(ahead <= 70 * SECOND, "{ahead:?} in two seconds");
}

#[test]
fn several_who_pretend_to_keep_branches_do_not_silence_a_room_in_turn() {
    let mut party = Party::new(7);
    let order = party.order();
    let (liars, other) = (&order[..4], order[6]);
    party.rebel(0);
    for liar in liars {
        party.rebel(*liar);
    }
    party.pass(40 * SECOND);
    assert_eq!(party.silence(other), None, "the fifth keeps");
    let silent = party.silent_seconds(other, 200, |party, second| {
        if second % 4 == 0 {
            for liar in liars {
                party.beat(*liar, 3, [*liar as u8; 32], vec![9; 32]);
            }
        }
    });
    assert!(silent <= 30, "{silent} of 200 seconds");
}

#[test]
fn a_heartbeat_of_an_older_branch_does_not_silence_a_newcomer() {
    let mut party = Party::new(1);
    // The first branch of the room has many epochs.
    for n in 0..3 {
        let (id, now) = (party.id(1), party.now);
        party.rooms[0].set_muted(id, n % 2 == 0, now).unwrap();
        party.pass(8 * SECOND);
    }
    let (old, epoch) = (party.log.len(), party.epoch(0).unwrap());
    party.pass(6 * SECOND);
    let mut beats = party.log.iter().skip(old).filter(|(from, _)| *from == 0).map(|(_, bytes)| bytes.clone());
    let beat = beats.find(|bytes| matches!(party.read(bytes), Some(Message::Heartbeat(_)))).unwrap();
    // All devices start again, and the host founds another branch.
    party.restart(0);
    party.rooms.pop();
    party.pass(40 * SECOND);
    assert!(party.rooms[0].status() == Status::Present && party.epoch(0).unwrap() < epoch);
    // Somebody plays the old heartbeat to the newcomer all the time, also right behind its Welcome.
    party.played = Some(beat);
    let newcomer = party.knock(1);
    party.pass(30 * SECOND);
    assert_eq!(party.rooms[newcomer].status(), Status::Present);
    assert_eq!(party.silence(newcomer), None);
}
