//! A member without a connection, and one that is back (spec/room.md, R9).

use std::time::Duration;

use sottovoce::{
    group::Role,
    room::{Event, Status},
};
use sottovoce_testkit::net::{Net, Peer, room_of};

const SECOND: Duration = Duration::from_secs(1);

/// A room of two of whom one is cut off for so long, and told so if it is to be.
fn outage(lasts: Duration, told: bool) -> (Net, Peer, Peer) {
    let mut net = Net::new(1);
    let [host, member] = room_of(&mut net, &["host", "member"])[..] else { panic!("two") };
    let id = net.id(member);
    net.with(host, |room, now| room.set_role(id, Role::Speaker, now)).unwrap();
    net.run_for(10 * SECOND);
    net.device(member).events.clear();
    net.divide(&[host], &[member]);
    if told {
        net.with(member, |room, now| room.handle_disconnected(now));
    }
    net.run_for(lasts);
    net.heal();
    (net, host, member)
}

fn told(net: &mut Net, peer: Peer, is: impl Fn(&Event) -> bool) -> bool {
    net.device(peer).events.iter().any(is)
}

#[test]
fn r9_a_member_without_a_connection_takes_nothing_over_and_keeps_its_place() {
    let (mut net, host, member) = outage(40 * SECOND, true);
    let epoch = net.room(member).epoch();
    assert_eq!(net.room(host).epoch(), epoch);
    net.with(member, |room, now| room.handle_connected(now));
    net.run_for(20 * SECOND);
    assert_eq!(net.room(member).epoch(), epoch);
    assert!(!told(&mut net, member, |event| matches!(event, Event::Keeper { .. } | Event::Returned { .. })));
    // A member that does not know of the outage takes over, and has to come back.
    let (mut net, _, member) = outage(40 * SECOND, false);
    net.run_for(20 * SECOND);
    assert!(told(&mut net, member, |event| matches!(event, Event::Returned { .. })));
}

#[test]
fn r9_a_member_that_is_connected_again_sends_within_a_second() {
    for silent in [14, 40] {
        let (mut net, host, member) = outage(silent * SECOND, true);
        net.speak(member, true);
        net.speak(host, true);
        net.with(member, |room, now| room.handle_connected(now));
        net.run_for(SECOND);
        let since = net.device(member).news - SECOND;
        for (to, from) in [(host, member), (member, host)] {
            assert!(net.heard_since(to, from, since) > 0, "{silent} s");
        }
    }
}

#[test]
fn r9_a_member_that_missed_an_epoch_asks_for_its_place_at_once() {
    let mut waits = [0; 2];
    for (wait, told) in waits.iter_mut().zip([true, false]) {
        let mut net = Net::new(1);
        let [host, member] = room_of(&mut net, &["host", "member"])[..] else { panic!("two") };
        net.run_for(10 * SECOND);
        let invite = net.invite(host);
        let third = net.knock("third", &invite);
        net.run_until("the third knocks", |net| {
            net.device(host).events.iter().any(|event| matches!(event, Event::Knocked { .. }))
        });
        net.divide(&[host], &[member]);
        if told {
            net.with(member, |room, now| room.handle_disconnected(now));
        }
        net.run_until("the third is in", |net| {
            net.admit_all(host, None);
            net.is_present(third)
        });
        net.heal();
        if told {
            net.with(member, |room, now| room.handle_connected(now));
        }
        let start = net.since_begin();
        net.run_until("the member is back", |net| {
            net.room(member).epoch() == net.room(host).epoch() && net.room(member).roster().len() == 3
        });
        *wait = (net.since_begin() - start).as_millis();
        assert_eq!(net.room(member).status(), Status::Present);
    }
    assert!(waits[0] < 1_500 && waits[1] > 3_000, "{waits:?} ms");
}

#[test]
fn r9_a_returner_without_a_connection_founds_no_branch() {
    let mut net = Net::new(2);
    let [host, _] = room_of(&mut net, &["host", "member"])[..] else { panic!("two") };
    net.run_for(SECOND);
    let (membership, identity) = (net.room(host).membership().unwrap(), net.identity_of(host));
    net.switch_off(host);
    let (mut seed, unix) = (net.bytes(), net.unix_now());
    let seed = sottovoce::Seed::from_bytes(&mut seed);
    let now = net.device(host).news;
    let mut room = sottovoce::room::Room::resume(&identity, &membership, seed, now, unix).unwrap();
    room.handle_disconnected(now);
    for second in 0..60 {
        room.handle_timeout(now + second * SECOND);
    }
    assert_eq!(room.status(), Status::Returning);
    room.handle_connected(now + 60 * SECOND);
    for second in 60..69 {
        room.handle_timeout(now + second * SECOND);
        assert_eq!(room.status(), Status::Returning, "it listens for ten seconds first");
    }
    for second in 69..75 {
        room.handle_timeout(now + second * SECOND);
    }
    assert_eq!(room.status(), Status::Present);
}
