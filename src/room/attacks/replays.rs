//! Genuine words of others, said again.

use super::*;
use crate::wire::leave::Leave;

fn leave(party: &mut Party, by: usize, ahead_ms: u64) -> Saying {
    let (group_id, now) = (party.memory(0).store.known().group_id().0, party.now);
    let time_ms = party.rooms[0].out.clock.unix_ms(now) + ahead_ms;
    Saying::Leave(Signed::<Leave>::leave(&identity(by), &group_id, time_ms))
}

#[test]
fn a_leave_of_somebody_who_was_never_here_is_not_remembered() {
    let mut party = Party::new(2);
    let nobody = leave(&mut party, 77, 0);
    party.say(2, &nobody);
    let id = identity(77).id();
    assert!(party.memory(0).leave_of(id).is_none());
    assert!(!party.memory(0).freshness.has_left(id, 0));
}

#[test]
fn a_leave_that_a_fast_clock_signed_ends_one_leaf_and_not_the_next() {
    let mut party = Party::new(3);
    let saying = leave(&mut party, 1, 10 * 60_000);
    party.say(2, &saying);
    party.pass(20 * SECOND);
    assert!(party.rooms[1].status() == Status::Present && party.rooms[0].roster().len() == 4, "it is back");
    let epoch = party.epoch(0);
    party.say(2, &saying);
    party.pass(5 * SECOND);
    assert_eq!(party.epoch(0), epoch, "nobody is removed for the same Leave again");
}

#[test]
fn a_show_that_is_played_again_does_not_keep_its_identity_from_being_answered() {
    let mut party = Party::new(2);
    let first = party.show_to_host(&identity(1), [1; 32]);
    party.send(1, &first);
    party.pass(11 * SECOND);
    party.send(2, &first);
    let second = party.show_to_host(&identity(1), [2; 32]);
    let before = party.sent_by(0);
    party.send(1, &second);
    assert_eq!(party.sent_by(0), before + 1, "the new Show is answered");
}
