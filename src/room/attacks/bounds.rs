//! For how long a member who keeps, or a relay, can hold up a room (SECURITY.md, and SPEC section
//! 7.19).

use super::*;

/// How long until `holds`, looked at twenty times a second.
fn until(party: &mut Party, most: Duration, mut holds: impl FnMut(&mut Party) -> bool) -> Duration {
    let began = party.now;
    while !holds(party) {
        assert!(party.now - began < most, "not within {most:?}");
        party.pass(SECOND / 20);
    }
    party.now - began
}

#[test]
fn a_silent_keeper_is_replaced_within_eight_seconds_and_a_turn() {
    let mut party = Party::new(4);
    party.beat_with(0, |_| {});
    party.rebel(0);
    let first = party.order()[0];
    let took = until(&mut party, 20 * SECOND, |party| party.seat(first).keeps());
    assert!(took >= 3 * SECOND, "a heartbeat may be late: {took:?}");
    assert!(took <= 8 * SECOND + 3 * SECOND / 2 + SECOND / 10, "{took:?}");
}

#[test]
fn a_ban_that_the_keeper_does_not_commit_silences_members_after_a_second_and_the_next_keeper_commits_it() {
    // Whether the keeper says that it knows of the ban, and how long it may then leave it.
    for (knows, idle) in [(true, 2 * SECOND), (false, 8 * SECOND)] {
        let mut party = Party::new(4);
        let (moderator, outlaw, other) = (1, 2, 3);
        let (id, now) = (party.id(moderator), party.now);
        party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
        party.deliver();
        party.pass(10 * SECOND);
        party.rebel(0);
        let (epoch, branch) = (party.epoch(0).unwrap(), party.seat(0).group.branch());
        let old = party.memory(0).store.known().hash();
        let (id, now) = (party.id(outlaw), party.now);
        party.rooms[moderator].ban(id, now).unwrap();
        party.deliver();
        let new = party.memory(other).store.known().hash();
        assert_ne!(old, new, "everybody was shown the ban");
        let banned_at = party.now;
        let (mut silent_after, mut next_beat) = (None, party.now);
        let took = until(&mut party, 30 * SECOND, |party| {
            if party.now >= next_beat && party.rooms[0].present().is_ok() {
                // It goes on saying that it is there.
                next_beat = party.now + SECOND;
                party.beat_with(0, |beat| {
                    (beat.epoch, beat.branch, beat.epoch_law) = (epoch, branch, old);
                    beat.known_law = if knows { new } else { old };
                });
            }
            let since = party.now - banned_at;
            match party.silence(other) {
                Some(silence) => {
                    silent_after.get_or_insert((since, silence));
                }
                None => assert!(since <= SECOND || silent_after.is_some(), "it seals to the banned"),
            }
            party.rooms[other].roster().iter().all(|member| member.id != id)
        });
        let (after, silence) = silent_after.expect("it stopped");
        assert_eq!(silence, SilenceReason::AwaitingRemoval);
        assert!(after <= SECOND + SECOND / 20, "{after:?}");
        assert!(took >= idle - SECOND / 2, "{took:?}: an honest keeper has its time");
        assert!(took <= idle + 4 * SECOND, "{took:?} with a keeper that knows: {knows}");
    }
}

#[test]
fn a_member_that_hears_nobody_of_rank_is_told_after_half_a_minute_and_stops_after_unattended() {
    let mut party = Party::new(3);
    party.beat_with(0, |_| {});
    party.rebel(0);
    let other = party.order()[1];
    party.events(other);
    party.pass(29 * SECOND);
    assert!(!party.events(other).contains(&Event::Unattended));
    party.pass(7 * SECOND);
    assert!(party.events(other).contains(&Event::Unattended));
    party.pass(555 * SECOND);
    assert_eq!(party.silence(other), None, "ten minutes are the default");
    party.pass(10 * SECOND);
    assert_eq!(party.silence(other), Some(SilenceReason::Unattended));
    // The user may go on, for as long again and no longer.
    let now = party.now;
    party.rooms[other].stay_unattended(now).unwrap();
    party.pass(590 * SECOND);
    assert_eq!(party.silence(other), None);
    party.pass(15 * SECOND);
    assert_eq!(party.silence(other), Some(SilenceReason::Unattended));
}
