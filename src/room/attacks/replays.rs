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

#[test]
fn a_guest_whose_clock_is_wrong_leaves_at_once() {
    // Seconds by which the guest's clock is ahead of the others'.
    for ahead in [-60_i64, 0, 30, 59] {
        let mut party = Party::new(2);
        party.unix.0 = party.unix.0.wrapping_add_signed(ahead);
        let guest = party.knock(3);
        party.pass(6 * SECOND);
        assert_eq!(party.rooms[guest].status(), Status::Present);
        party.rooms[guest].leave().unwrap();
        party.deliver();
        let silent = (1..3).map(|who| party.silent_seconds(who, 10, |_, _| ())).max();
        assert_eq!(silent, Some(0), "a guest {ahead} s ahead");
        assert!((0..3).all(|who| party.rooms[who].roster().len() == 3), "a guest {ahead} s ahead");
    }
}

#[test]
fn a_leave_does_not_part_members_by_their_clocks() {
    let mut party = Party::new(3);
    party.rebel(3);
    party.rooms[2].out.clock.unix.0 += 5;
    // Says the future, and a moment later the keeper takes its Return, made 2.5 s ahead.
    let said = leave(&mut party, 3, 950_400_000);
    party.say(3, &said);
    party.pass(SECOND / 2);
    let (group_id, key_exchange) =
        (party.memory(0).store.known().group_id().0, party.seat(0).group.key_exchange());
    let now = party.now;
    let out = &mut party.rooms[3].out;
    let made_ms = out.clock.unix_ms(now) + 2_500;
    let petition = crate::room::petition::Petition::new(out, &group_id, key_exchange, made_ms, now).unwrap();
    let wish = Wish::Return { key_package: petition.applicant.key_package().to_vec(), broken: None };
    let show = party.wish_of_host(&identity(3), *petition.reference(), wish);
    party.send(3, &show);
    party.pass(2 * SECOND);
    let epoch = party.epoch(0);
    assert!((1..3).all(|who| party.epoch(who) == epoch && party.rooms[who].status() == Status::Present));
}
