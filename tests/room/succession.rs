//! A room whose keeper is gone, cut off, or somebody else: it goes on, and comes together again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sottovoce::{
    Seed, SilenceReason,
    group::{Identity, Name, Role},
    room::{
        Admission, CommandError, Ending, Event, Membership, MembershipError, RefuseReason, ResumeError, Room,
        Status,
    },
};
use sottovoce_testkit::net::{Net, Peer, options, room_of};

const SECOND: Duration = Duration::from_secs(1);

/// Everybody in `peers` is in one epoch, and sees exactly `peers`.
fn together(net: &mut Net, peers: &[Peer]) -> bool {
    let first = (net.room(peers[0]).epoch(), net.room(peers[0]).code());
    let mut ids: Vec<_> = peers.iter().map(|peer| net.id(*peer)).collect();
    ids.sort_unstable();
    peers.iter().all(|peer| {
        let room = net.room(*peer);
        let mut there: Vec<_> = room.roster().iter().map(|member| member.id).collect();
        there.sort_unstable();
        (room.epoch(), room.code()) == first && there == ids
    })
}

fn come_together(net: &mut Net, peers: &[Peer], within: Duration) {
    let began = net.now;
    net.run_until("all are together", |net| together(net, peers));
    let took = net.now - began;
    assert!(took <= within, "together after {took:?}");
}

fn moderated(net: &mut Net, names: &[&str]) -> Vec<Peer> {
    let peers = room_of(net, names);
    let id = net.id(peers[1]);
    net.with(peers[0], |room, now| room.set_role(id, Role::Moderator, now)).unwrap();
    net.run_for(2 * SECOND);
    peers
}

fn hears(net: &mut Net, to: Peer, from: Peer) -> bool {
    let since = net.now;
    net.run_for(SECOND);
    net.heard_since(to, from, since) > 10
}

/// Somebody who knocks chooses one door of those of equal number; whoever is at that door lets it
/// in.
fn let_in_by_anybody(net: &mut Net, ranked: &[Peer]) {
    let mut admitted = 0;
    net.run_until("somebody waits at a door", |net| {
        admitted += ranked.iter().map(|peer| net.admit_all(*peer, None)).sum::<usize>();
        admitted > 0
    });
    assert_eq!(admitted, 1);
}

fn count(net: &mut Net, peer: Peer, what: impl Fn(&Event) -> bool) -> usize {
    net.device(peer).events.iter().filter(|event| what(event)).count()
}

#[test]
fn a_moderator_keeps_the_room_when_the_host_is_gone() {
    let mut net = Net::new(40);
    let peers = moderated(&mut net, &["host", "moderator", "speaker", "listener"]);
    let [host, moderator, speaker, listener] = peers[..] else { panic!("four") };
    let invite = net.invite(host);
    net.run_for(SECOND);
    net.speak(moderator, true);
    net.switch_off(host);
    net.run_for(11 * SECOND);
    let keeper = net.id(moderator);
    for peer in [moderator, speaker, listener] {
        assert_eq!(net.room(peer).keeper(), Some(keeper));
        assert_eq!(
            count(&mut net, peer, |event| matches!(event, Event::Silent { .. })),
            0,
            "nobody fell silent"
        );
    }
    // It removes, admits by the host's invites, makes its own, and bans.
    let guest = net.knock("guest", &invite);
    net.run_for(2 * SECOND);
    assert_eq!(net.admit_all(moderator, None), 1, "it has the host's door");
    let mut there = vec![moderator, speaker, listener, guest];
    net.run_until("the guest is in", |net| net.is_present(guest));
    let own_invite = net.invite(moderator);
    let second = net.knock("second", &own_invite);
    net.run_for(2 * SECOND);
    net.admit_all(moderator, None);
    net.run_until("the second is in", |net| net.is_present(second));
    there.push(second);
    let id = net.id(listener);
    net.with(moderator, |room, now| room.ban(id, now)).unwrap();
    net.run_for(SECOND);
    there.retain(|peer| *peer != listener);
    assert_eq!(net.room(listener).status(), Status::Over);
    let host_id = net.id(host);
    assert!(there.iter().all(|peer| net.room(*peer).roster().len() == there.len() + 1));
    assert!(net.room(guest).hears().any(|member| member == host_id), "the host is still a member");
    assert!(hears(&mut net, second, moderator));
}

#[test]
fn the_host_comes_back_from_a_restart_and_takes_the_keeping_back() {
    let mut net = Net::new(41);
    let mut peers = moderated(&mut net, &["host", "moderator", "listener", "outlaw"]);
    let outlaw = peers.pop().unwrap();
    let [host, moderator, listener] = peers[..] else { panic!("three") };
    let identity = net.identity_of(host);
    let stored = net.room(host).membership().unwrap();
    let stored = Membership::from_bytes(stored.as_bytes()).unwrap();
    net.switch_off(host);
    net.run_for(12 * SECOND);
    let banned = net.id(outlaw);
    net.with(moderator, |room, now| room.ban(banned, now)).unwrap();
    net.run_for(SECOND);
    let (seed, now, unix) = (net.bytes(), net.now, net.unix_now());
    let room = Room::resume(identity, &stored, Seed::from_bytes(&mut { seed }), now, unix).unwrap();
    assert_eq!(room.status(), Status::Returning);
    net.forks = true;
    net.switch_on(host, room);
    come_together(&mut net, &peers, 9 * SECOND);
    net.run_for(3 * SECOND);
    let id = net.id(host);
    for peer in [host, moderator, listener] {
        assert_eq!(net.room(peer).keeper(), Some(id));
        assert_eq!(net.room(peer).host(), Some(id));
    }
    assert!(net.room(host).is_banned(banned), "it learned what happened meanwhile");
    assert_eq!(count(&mut net, host, |event| matches!(event, Event::Returned { .. })), 1);
    net.speak(host, true);
    assert!(hears(&mut net, listener, host));
    // Its door is open as before.
    let invite = net.invite(host);
    let guest = net.knock("guest", &invite);
    let_in_by_anybody(&mut net, &[host, moderator]);
    net.run_until("the guest is in", |net| net.is_present(guest));
}

#[test]
fn a_member_comes_back_to_a_host_that_came_in_meanwhile_when_the_chain_shows_it() {
    for after in [0, 1, 7] {
        let mut net = Net::new(60 + after);
        let peers = room_of(&mut net, &["host", "witness", "sleeper"]);
        let [host, witness, sleeper] = peers[..] else { panic!("three") };
        let identity = net.identity_of(sleeper);
        let stored = net.room(sleeper).membership().unwrap();
        net.switch_off(sleeper);
        let invite = net.invite(host);
        let newcomer = net.knock("newcomer", &invite);
        net.run_for(2 * SECOND);
        net.admit_all(host, None);
        net.run_until("the newcomer is in", |net| net.is_present(newcomer));
        let id = net.id(newcomer);
        net.with(host, |room, now| room.hand_over(id, now)).unwrap();
        net.run_for(2 * SECOND);
        net.with(host, |room, _| room.leave()).unwrap();
        net.run_for(2 * SECOND);
        assert_eq!(net.room(witness).keeper(), Some(id));
        // Somebody with a link may have had the chain shown a moment before.
        net.run_for(Duration::from_secs(after));
        let (seed, now, unix) = (net.bytes(), net.now, net.unix_now());
        let room = Room::resume(identity, &stored, Seed::from_bytes(&mut { seed }), now, unix).unwrap();
        net.switch_on(sleeper, room);
        // It calls, and the keeper shows the hand-overs before its next heartbeat.
        come_together(&mut net, &[witness, sleeper, newcomer], 3 * SECOND);
        assert_eq!(net.room(sleeper).host(), Some(id));
    }
}

#[test]
fn a_member_does_not_come_back_to_strangers_before_it_was_shown_who_admitted_them() {
    let mut net = Net::new(63);
    let peers = room_of(&mut net, &["host", "sleeper"]);
    let [host, sleeper] = peers[..] else { panic!("two") };
    let identity = net.identity_of(sleeper);
    let stored = net.room(sleeper).membership().unwrap();
    net.switch_off(sleeper);
    let invite = net.invite(host);
    let newcomer = net.knock("newcomer", &invite);
    net.run_for(2 * SECOND);
    net.admit_all(host, None);
    net.run_until("the newcomer is in", |net| net.is_present(newcomer));
    net.switch_off(host);
    net.run_for(15 * SECOND);
    let id = net.id(newcomer);
    assert_eq!(net.room(newcomer).keeper(), Some(id));
    let (seed, now, unix) = (net.bytes(), net.now, net.unix_now());
    let room = Room::resume(identity, &stored, Seed::from_bytes(&mut { seed }), now, unix).unwrap();
    net.forks = true;
    net.switch_on(sleeper, room);
    // Anybody could have made such a room up: a stranger's heartbeat counts for nothing.
    net.run_for(29 * SECOND);
    assert_eq!(net.room(sleeper).status(), Status::Returning);
    // It founds a branch; the stranger hears of that, and shows by whom it was admitted.
    let both = |net: &mut Net| {
        let (ours, theirs) = (net.room(sleeper).code(), net.room(newcomer).code());
        ours.is_some() && ours == theirs
    };
    let began = net.now;
    net.run_until("the two are together", both);
    assert!(net.now - began < 60 * SECOND);
    assert!(net.room(sleeper).roster().iter().any(|member| member.id == id));
}

#[test]
fn a_keeper_that_is_banned_elsewhere_does_not_keep_those_who_did_not_hear_of_it() {
    // Whichever of the two has the lesser fingerprint.
    for seed in 62..66 {
        let mut net = Net::new(seed);
        let peers = room_of(&mut net, &["host", "one", "other", "witness"]);
        let [host, one, other, witness] = peers[..] else { panic!("four") };
        for speaker in [one, other, witness] {
            let id = net.id(speaker);
            net.with(host, |room, now| room.set_role(id, Role::Speaker, now)).unwrap();
        }
        net.run_for(SECOND);
        net.forks = true;
        net.divide(&[host, witness], &[one, other]);
        net.run_for(15 * SECOND);
        let id = net.room(one).keeper().unwrap();
        let (outlaw, follower) = if id == net.id(one) { (one, other) } else { (other, one) };
        assert_eq!((net.id(outlaw), net.room(follower).keeper()), (id, Some(id)));
        net.with(host, |room, now| room.ban(id, now)).unwrap();
        net.run_for(2 * SECOND);
        assert!(net.room(witness).is_banned(id));
        net.switch_off(host);
        net.heal();
        let both = |net: &mut Net| {
            let hears = |net: &mut Net, peer: Peer| net.room(peer).hears().collect::<Vec<_>>();
            let (one, other) = (hears(net, follower), hears(net, witness));
            !one.contains(&id) && one == other && net.room(follower).code() == net.room(witness).code()
        };
        net.run_until("the two are together without the outlaw", both);
        assert!(net.room(follower).is_banned(id));
        net.speak(witness, true);
        assert!(hears(&mut net, follower, witness));
        assert!(!hears(&mut net, outlaw, witness));
    }
}

#[test]
fn a_speaker_key_that_a_relay_dropped_is_asked_for() {
    let mut net = Net::new(61);
    let peers = room_of(&mut net, &["host", "speaker", "listener"]);
    let [host, speaker, listener] = peers[..] else { panic!("three") };
    let id = net.id(speaker);
    net.speak(speaker, true);
    net.divide(&[speaker], &[listener]);
    net.with(host, |room, now| room.set_role(id, Role::Moderator, now)).unwrap();
    net.run_for(SECOND);
    net.heal();
    assert!(hears(&mut net, host, speaker));
    assert!(!hears(&mut net, listener, speaker), "its key was lost");
    net.run_for(2 * SECOND);
    assert!(hears(&mut net, listener, speaker));
}

#[test]
fn a_room_goes_on_with_one_listener_and_lets_the_others_back() {
    let mut net = Net::new(42);
    let peers = room_of(&mut net, &["host", "speaker", "listener"]);
    let [host, speaker, listener] = peers[..] else { panic!("three") };
    let stored: Vec<_> = [host, speaker]
        .map(|peer| (peer, net.identity_of(peer), net.room(peer).membership().unwrap()))
        .into();
    net.switch_off(host);
    net.switch_off(speaker);
    net.run_for(60 * SECOND);
    let id = net.id(listener);
    assert_eq!(net.room(listener).keeper(), Some(id));
    net.forks = true;
    for (peer, identity, membership) in stored {
        let (seed, now, unix) = (net.bytes(), net.now, net.unix_now());
        let room = Room::resume(identity, &membership, Seed::from_bytes(&mut { seed }), now, unix).unwrap();
        net.switch_on(peer, room);
    }
    come_together(&mut net, &peers, 10 * SECOND);
    net.run_for(3 * SECOND);
    let id = net.id(host);
    assert_eq!(net.room(listener).keeper(), Some(id), "the host keeps it again");
    net.speak(host, true);
    assert!(hears(&mut net, speaker, host) && hears(&mut net, listener, host));
}

#[test]
fn a_divided_room_comes_together_and_keeps_the_bans_of_both_sides() {
    for seed in 43..47 {
        let mut net = Net::new(seed);
        let names = ["host", "moderator", "a", "b", "banned by host", "banned by moderator"];
        let peers = moderated(&mut net, &names);
        let [host, moderator, a, b, by_host, by_moderator] = peers[..] else { panic!("six") };
        net.forks = true;
        net.divide(&[host, a, by_moderator], &[moderator, b, by_host]);
        net.run_for(20 * SECOND);
        let (first, second) = (net.id(by_host), net.id(by_moderator));
        net.with(host, |room, now| room.ban(first, now)).unwrap();
        net.with(moderator, |room, now| room.ban(second, now)).unwrap();
        net.run_for(20 * SECOND);
        assert_eq!(net.room(b).keeper(), Some(net.id(moderator)));
        assert_eq!(net.room(a).keeper(), Some(net.id(host)));
        assert!(net.room(b).is_banned(second) && !net.room(b).is_banned(first));
        net.heal();
        come_together(&mut net, &[host, moderator, a, b], 12 * SECOND);
        for peer in [host, moderator, a, b] {
            assert!(net.room(peer).is_banned(first) && net.room(peer).is_banned(second));
            assert_eq!(net.room(peer).keeper(), Some(net.id(host)), "the host's branch wins");
        }
        net.speak(host, true);
        net.speak(moderator, true);
        assert!(hears(&mut net, b, host) && hears(&mut net, a, moderator), "they hear each other");
        assert_eq!(net.room(by_host).status(), Status::Over);
        assert_eq!(net.room(by_moderator).status(), Status::Over);
    }
}

#[test]
fn a_member_that_lacks_a_commit_comes_back_by_itself_and_does_not_send_meanwhile() {
    let mut net = Net::new(48);
    let mut peers = room_of(&mut net, &["host", "speaker", "listener", "outlaw"]);
    let outlaw = peers.pop().unwrap();
    let [host, speaker, listener] = peers[..] else { panic!("three") };
    let id = net.id(speaker);
    net.with(host, |room, now| room.set_role(id, Role::Speaker, now)).unwrap();
    net.run_for(SECOND);
    net.speak(speaker, true);
    net.divide(&[host], &[speaker]);
    let outlaw = net.id(outlaw);
    net.with(host, |room, now| room.ban(outlaw, now)).unwrap();
    net.run_for(SECOND / 2);
    net.heal();
    let healed = net.now;
    net.forks = true;
    net.run_until("a heartbeat told of it three seconds ago", |net| {
        net.device(speaker).events.contains(&Event::Silent { reason: SilenceReason::CommitWithheld })
    });
    assert!(net.now - healed >= 3 * SECOND, "what is slow may still come");
    assert!(net.now - healed <= 9 * SECOND, "it sent for too long without the commit");
    let (since, sent) = (net.now, net.device(speaker).sent);
    let returned = |net: &mut Net| count(net, speaker, |event| matches!(event, Event::Returned { .. })) > 0;
    while !returned(&mut net) {
        let silent_for = net.now - since;
        assert!(silent_for < 9 * SECOND, "it does not come back");
        assert_eq!(net.device(speaker).sent, sent, "it sent after {silent_for:?}, still away");
        net.run_for(SECOND / 1_000);
    }
    come_together(&mut net, &peers, SECOND);
    assert!(net.room(speaker).is_banned(outlaw));
    assert_eq!(net.room(speaker).role(), Some(Role::Speaker), "its role stays");
    assert!(hears(&mut net, listener, speaker));
    assert_eq!(count(&mut net, speaker, |event| matches!(event, Event::Returned { .. })), 1);
}

#[test]
fn a_keeper_that_is_cut_off_stops_sending_and_follows_when_it_hears_again() {
    let mut net = Net::new(49);
    let peers = moderated(&mut net, &["host", "moderator", "listener"]);
    let [host, moderator, listener] = peers[..] else { panic!("three") };
    net.speak(host, true);
    net.run_for(20 * SECOND);
    net.withhold(moderator, host, true);
    net.withhold(listener, host, true);
    // Nobody is gone, and nobody else takes over: they hear the host.
    net.run_for(25 * SECOND);
    assert!(net.device(host).events.contains(&Event::Silent { reason: SilenceReason::NobodyHears }));
    assert!(net.device(host).events.contains(&Event::Alone));
    let id = net.id(host);
    assert_eq!(net.room(listener).keeper(), Some(id));
    net.withhold(moderator, host, false);
    net.withhold(listener, host, false);
    net.run_for(6 * SECOND);
    assert!(hears(&mut net, listener, host));
}

#[test]
fn nobody_follows_a_takeover_from_a_live_keeper_and_it_is_given_up() {
    let mut net = Net::new(50);
    let peers = moderated(&mut net, &["host", "moderator", "listener"]);
    let [host, moderator, listener] = peers[..] else { panic!("three") };
    let before = count(&mut net, listener, |event| matches!(event, Event::Keeper { .. }));
    // The moderator does not hear the host, the host hears the moderator.
    net.withhold(host, moderator, true);
    net.forks = true;
    net.run_for(13 * SECOND);
    let id = net.id(host);
    assert_eq!(net.room(host).keeper(), Some(id));
    assert_eq!(net.room(listener).keeper(), Some(id));
    let taken = count(&mut net, listener, |event| matches!(event, Event::Keeper { .. }));
    assert_eq!(taken, before, "it hears the host, and stays with it");
    assert_eq!(net.room(moderator).keeper(), Some(net.id(moderator)));
    net.withhold(host, moderator, false);
    come_together(&mut net, &peers, 10 * SECOND);
    assert_eq!(net.room(moderator).keeper(), Some(id));
    let lost = count(&mut net, listener, |event| matches!(event, Event::Returned { .. }));
    assert_eq!(lost, 0, "who heard both did not have to come back");
}

#[test]
fn a_host_hands_the_room_over_and_a_host_that_leaves_does_so_by_itself() {
    let mut net = Net::new(51);
    let peers = moderated(&mut net, &["first", "second", "third", "listener"]);
    let [first, second, third, listener] = peers[..] else { panic!("four") };
    let invite = net.invite(first);
    let id = net.id(third);
    assert_eq!(net.with(second, |room, now| room.hand_over(id, now)), Err(CommandError::HostOnly));
    net.with(first, |room, now| room.hand_over(id, now)).unwrap();
    net.run_for(5 * SECOND);
    for peer in [first, second, third, listener] {
        assert_eq!((net.room(peer).host(), net.room(peer).keeper()), (Some(id), Some(id)));
    }
    assert_eq!(net.room(first).role(), Some(Role::Listener));
    // The old invite leads to the new host, once the chain of hand-overs was shown: once a minute.
    let guest = net.knock("guest", &invite);
    let_in_by_anybody(&mut net, &[second, third]);
    net.run_until("the guest is in", |net| net.is_present(guest));
    assert_eq!(net.room(guest).host(), Some(id));
    // A host that leaves makes the first moderator the host, which takes over what the leaver kept.
    net.with(third, |room, _| room.leave()).unwrap();
    come_together(&mut net, &[first, second, listener, guest], 3 * SECOND);
    let next = net.id(second);
    assert_eq!((net.room(guest).host(), net.room(guest).keeper()), (Some(next), Some(next)));
    net.with(first, |room, _| room.leave()).unwrap();
    come_together(&mut net, &[second, listener, guest], 3 * SECOND);
    let last = net.with(second, |room, _| room.leave());
    assert_eq!(last, Err(CommandError::HostStays), "nobody is left to be host");
    net.with(second, |room, _| room.close()).unwrap();
    net.run_for(SECOND);
    assert_eq!(net.device(guest).events.last(), Some(&Event::Over(Ending::Closed)));
}

#[test]
fn a_host_that_leaves_is_followed_by_one_commit() {
    for seed in 300..312 {
        let mut net = Net::new(seed);
        let peers = moderated(&mut net, &["host", "moderator", "other", "a", "b", "c"]);
        if seed % 2 == 0 {
            let other = net.id(peers[2]);
            net.with(peers[0], |room, now| room.set_role(other, Role::Moderator, now)).unwrap();
        }
        net.run_for(Duration::from_secs(seed % 7));
        net.with(peers[0], |room, _| room.leave()).unwrap();
        let began = net.now;
        let mut codes: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        while net.now < began + 6 * SECOND {
            net.run_for(SECOND / 200);
            for peer in &peers[1..] {
                let room = net.room(*peer);
                let code = room.code().map(|code| code.to_string());
                codes.entry(room.epoch()).or_default().extend(code);
            }
        }
        let branches: Vec<_> = codes.values().map(BTreeSet::len).collect();
        assert!(branches.iter().all(|codes| *codes == 1), "seed {seed}: epochs with {branches:?} codes");
        assert!(together(&mut net, &peers[1..]));
        let (host, keeper) = (net.room(peers[5]).host(), net.room(peers[5]).keeper());
        assert!(host == keeper && peers[1..3].iter().any(|peer| Some(net.id(*peer)) == host));
    }
}

#[test]
fn members_are_muted_renamed_and_let_in_again() {
    let mut net = Net::new(52);
    let peers = moderated(&mut net, &["host", "moderator", "speaker", "listener"]);
    let [host, moderator, speaker, listener] = peers[..] else { panic!("four") };
    let id = net.id(speaker);
    net.with(host, |room, now| room.set_role(id, Role::Speaker, now)).unwrap();
    net.speak(speaker, true);
    net.run_for(SECOND);
    assert!(hears(&mut net, listener, speaker));
    net.with(moderator, |room, now| room.set_muted(id, true, now)).unwrap();
    net.run_for(SECOND);
    let since = net.now;
    net.run_for(2 * SECOND);
    assert_eq!(net.heard_since(listener, speaker, since), 0);
    let sealer = net.device(speaker).silent;
    assert!(sealer > 40, "an honest sealer is told");
    let seen = |net: &mut Net, peer: Peer| {
        net.room(peer)
            .roster()
            .iter()
            .find(|member| member.id == id)
            .map(|member| (member.muted, member.role))
    };
    assert_eq!(seen(&mut net, speaker), Some((true, Role::Speaker)), "it sees it");
    net.with(moderator, |room, now| room.set_muted(id, false, now)).unwrap();
    net.run_for(SECOND);
    assert!(hears(&mut net, listener, speaker));
    let by_listener = net.with(listener, |room, now| room.set_muted(id, true, now));
    assert_eq!(by_listener, Err(CommandError::NoRank));

    let pair = net.room(host).pair_code(id);
    net.with(speaker, |room, now| room.rename(Name::new("somebody else").unwrap(), now)).unwrap();
    net.run_for(2 * SECOND);
    for peer in [host, moderator, speaker, listener] {
        let roster = net.room(peer).roster();
        let renamed = roster.iter().find(|member| member.id == id).unwrap();
        assert_eq!((renamed.name.as_str(), renamed.role), ("somebody else", Role::Speaker));
    }
    assert_eq!(net.room(host).pair_code(id), pair, "a name is not an identity");
    assert!(hears(&mut net, listener, speaker));

    net.with(moderator, |room, now| room.ban(id, now)).unwrap();
    net.run_for(SECOND);
    assert!(matches!(
        net.device(speaker).events.last(),
        Some(Event::Over(Ending::Removed { banned: true, .. }))
    ));
    let invite = net.invite(host);
    let identity = net.identity_of(speaker);
    let again = net.knock_as(identity, &invite);
    net.run_for(16 * SECOND);
    assert_eq!(net.device(again).events.last(), Some(&Event::Over(Ending::Refused(RefuseReason::Banned))));
    net.with(moderator, |room, now| room.unban(id, now)).unwrap();
    net.run_for(SECOND);
    let identity = net.identity_of(speaker);
    let again = net.knock_as(identity, &invite);
    net.run_for(SECOND);
    net.admit_all(host, None);
    net.run_until("it is in again", |net| net.is_present(again));
}

#[test]
fn in_a_larger_room_the_keeper_commits_a_ban_at_once_whoever_is_absent() {
    let mut net = Net::new(53);
    let names: Vec<String> = (0..26).map(|n| format!("member {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let peers = room_of(&mut net, &names);
    let (host, target) = (peers[0], peers[5]);
    let (id, by) = (net.id(target), net.id(host));
    net.with(host, |room, now| room.ban(id, now)).unwrap();
    net.run_for(SECOND);
    let rest: Vec<Peer> = peers.iter().copied().filter(|peer| *peer != target).collect();
    assert!(together(&mut net, &rest));
    let committed =
        |event: &Event| matches!(event, Event::Changed { by: who, left, .. } if *who == by && left == &[id]);
    assert!(rest.iter().all(|peer| net.device(*peer).events.iter().any(committed)));
    assert!(matches!(
        net.device(target).events.last(),
        Some(Event::Over(Ending::Removed { banned: true, .. }))
    ));

    // Ten are switched off, among them those next to it in the tree.
    let target = peers[8];
    let id = net.id(target);
    let (off, on): (Vec<Peer>, Vec<Peer>) =
        rest.iter().copied().filter(|peer| *peer != target).partition(|peer| (3..15).contains(&peer.0));
    off.iter().for_each(|peer| net.switch_off(*peer));
    net.with(host, |room, now| room.ban(id, now)).unwrap();
    let began = net.now;
    net.run_until("the ban counts, and its leaf is gone", |net| {
        let is_gone = |room: &Room| room.is_banned(id) && room.roster().iter().all(|member| member.id != id);
        on.iter().all(|peer| is_gone(&net.devices[peer.0].room))
    });
    assert!(net.now - began < SECOND, "{:?}", net.now - began);
}

#[test]
fn every_leaf_is_renewed_within_a_quarter_of_an_hour_and_a_half() {
    let mut net = Net::new(54);
    let peers = room_of(&mut net, &["host", "a", "b", "c"]);
    net.run_for(16 * 60 * SECOND);
    for peer in &peers {
        let id = net.id(*peer);
        let renewed = |event: &Event| matches!(event, Event::Changed { by, .. } if *by == id);
        assert!(net.device(peers[1]).events.iter().any(renewed), "{peer:?} has its first leaf still");
    }
    assert!(together(&mut net, &peers));
}

#[test]
fn a_membership_holds_no_secret_of_the_group_and_is_for_one_identity() {
    let mut net = Net::new(55);
    let peers = room_of(&mut net, &["host", "member", "outlaw"]);
    let stored = net.room(peers[1]).membership().unwrap();
    assert_eq!(format!("{stored:?}"), "Membership(..)");
    let (seed, now, unix) = (net.bytes(), net.now, net.unix_now());
    let other = net.identity("somebody else");
    let refused = Room::resume(other, &stored, Seed::from_bytes(&mut { seed }), now, unix).map(|_| ());
    assert_eq!(refused, Err(ResumeError::OtherIdentity));
    let bytes = stored.as_bytes();
    for len in 0..bytes.len() {
        assert_eq!(Membership::from_bytes(&bytes[..len]).map(|_| ()), Err(MembershipError));
    }
    let longer = [bytes, &[0]].concat();
    assert_eq!(Membership::from_bytes(&longer).map(|_| ()), Err(MembershipError));
    // The same room has the same bytes whatever its epoch's keys are: nothing of them is in it. The
    // last stamp and the clock come after version, identity, lane key and admission.
    let but_stamp = |bytes: &[u8]| [&bytes[..66], &bytes[82..]].concat();
    let outlaw = net.id(peers[2]);
    net.with(peers[0], |room, now| room.ban(outlaw, now)).unwrap();
    net.run_for(SECOND);
    let banned = but_stamp(net.room(peers[1]).membership().unwrap().as_bytes());
    net.run_for(16 * 60 * SECOND);
    assert_eq!(but_stamp(net.room(peers[1]).membership().unwrap().as_bytes()), banned);
}

#[test]
fn a_member_that_starts_again_with_its_invite_takes_its_place_again() {
    let mut net = Net::new(56);
    let mut options = options("again");
    options.admission = Admission::Open;
    let host = net.create("host", options);
    let invite = net.invite(host);
    let member = net.knock("member", &invite);
    net.run_until("it is in", |net| net.is_present(member));
    net.switch_off(member);
    net.run_for(SECOND);
    let identity: Identity = net.identity_of(member);
    let again = net.knock_as(identity, &invite);
    net.run_until("it is in again", |net| net.is_present(again));
    net.run_for(SECOND);
    assert_eq!(net.room(host).roster().len(), 2);
    assert!(together(&mut net, &[host, again]));
}

#[test]
fn a_welcome_into_an_epoch_that_is_over_leads_back_into_the_room() {
    let mut net = Net::new(57);
    let peers = room_of(&mut net, &["host", "speaker", "outlaw"]);
    let [host, speaker, outlaw] = peers[..] else { panic!("three") };
    let invite = net.invite(host);
    let guest = net.knock("guest", &invite);
    net.run_for(SECOND);
    // The relay keeps all from the guest, and gives it the welcome much later.
    net.divide(&[host, speaker], &[guest]);
    let from = net.relay_log.len();
    assert_eq!(net.admit_all(host, Some(Role::Speaker)), 1);
    net.run_for(SECOND);
    let old: Vec<_> = net.relay_log[from..].to_vec();
    let banned = net.id(outlaw);
    net.with(host, |room, now| room.ban(banned, now)).unwrap();
    net.run_for(8 * SECOND);
    net.forks = true;
    for message in &old {
        let _ = net.inject(guest, message);
    }
    assert!(net.is_present(guest), "it cannot know better yet");
    assert!(!net.room(guest).is_banned(banned));
    net.speak(guest, true);
    net.heal();
    let everybody = [host, speaker, guest];
    come_together(&mut net, &everybody, 12 * SECOND);
    assert!(net.room(guest).is_banned(banned));
    assert!(hears(&mut net, speaker, guest));
}

#[test]
fn bans_and_roles_that_are_said_together_are_all_kept_though_nobody_answers() {
    let mut net = Net::new(58);
    let names: Vec<String> = (0..26).map(|n| format!("member {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let peers = room_of(&mut net, &names);
    let (host, target) = (peers[0], peers[5]);
    peers[1..].iter().filter(|peer| **peer != target).for_each(|peer| net.withhold(*peer, host, true));
    let id = net.id(target);
    net.with(host, |room, now| room.ban(id, now)).unwrap();
    let role = net.id(peers[3]);
    net.with(host, |room, now| room.set_role(role, Role::Moderator, now)).unwrap();
    let other = net.id(peers[7]);
    net.with(host, |room, now| room.ban(other, now)).unwrap();
    net.run_for(SECOND);
    let room = net.room(host);
    assert!(room.is_banned(id) && room.is_banned(other));
    assert_eq!(room.roster().len(), 24);
    assert_eq!(room.roster().iter().find(|member| member.id == role).unwrap().role, Role::Moderator);
}
