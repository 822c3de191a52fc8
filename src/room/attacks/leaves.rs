//! Leaves that say a time of their maker's choice, and who hears them.

use super::*;
use crate::wire::leave::Leave;

/// A member says Leave with this time; somebody comes in afterwards, who has not heard it, and is
/// handed the room. Returns what the leaver has stored before, and the new host.
fn a_leave_that_the_keeper_has_not_heard(party: &mut Party, time_ms: u64) -> (Membership, usize) {
    let rebel = 3;
    party.rebel(rebel);
    let stored = party.rooms[rebel].membership().unwrap();
    let leave = Signed::<Leave>::leave(&identity(rebel), &party.group_id().0, time_ms);
    party.say(rebel, &Saying::Leave(leave));
    party.pass(2 * SECOND);
    assert_eq!(party.rooms[0].roster().len(), 3, "it is gone");
    let newcomer = party.knock(4);
    party.pass(10 * SECOND);
    let (id, now) = (party.id(newcomer), party.now);
    party.rooms[0].hand_over(id, now).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    assert!(party.seat(newcomer).keeps(), "the newcomer took over");
    (stored, newcomer)
}

#[test]
fn who_comes_back_after_a_leave_from_the_future_throws_nobody_out() {
    let mut party = Party::new(3);
    let (stored, keeper) = a_leave_that_the_keeper_has_not_heard(&mut party, u64::MAX);
    let (rebel, mut came_back) = (3, 0);
    party.rebels.clear();
    let silent = party.silent_seconds(1, 60, |party, second| {
        came_back += usize::from(second % 15 == 14 && party.rooms[keeper].roster().len() == 5);
        if second % 15 == 0 {
            let seed = Seed::from_bytes(&mut [170 + second as u8; 32]);
            let unix = UnixTime(party.unix.0 + (party.now - party.rooms[0].out.clock.began).as_secs());
            party.rooms[rebel] = Room::resume(identity(rebel), &stored, seed, party.now, unix).unwrap();
        }
    });
    assert!(silent <= 5, "{silent} of 60 seconds, {came_back} returns");
}
