//! A room from its making to its end, on virtual time and a seeded network.

use std::time::{Duration, Instant};

use sottovoce::{
    OpenError, SilenceReason,
    group::Role,
    room::{Admission, CommandError, Ending, Event, RefuseReason, Status},
};
use sottovoce_testkit::net::{Net, Peer, options, room_of};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_evening_in_a_room() {
    let mut net = Net::new(1);
    net.media.loss = 2;
    net.media.doubled = 1;
    let host = net.create("Hedy", options("tea"));
    let invite = net.invite(host);
    let [ada, grace, mallory] = ["Ada", "Grace", "Mallory"].map(|name| net.knock(name, &invite));
    net.run_for(SECOND);
    assert_eq!(net.admit_all(host, Some(Role::Speaker)), 3, "three wait for an answer");
    net.run_for(SECOND);
    for peer in [host, ada, grace, mallory] {
        assert!(net.is_present(peer));
        assert_eq!(net.devices[peer.0].room.roster().len(), 4);
        assert_eq!(net.devices[peer.0].room.name().unwrap().as_str(), "tea");
    }

    // Everybody hears both speakers.
    let began = net.now;
    net.speak(host, true);
    net.speak(ada, true);
    net.run_for(10 * SECOND);
    for listener in [grace, mallory] {
        for speaker in [host, ada] {
            let heard = net.heard_since(listener, speaker, began);
            assert!((230..=250).contains(&heard), "{listener:?} heard {heard} of 250 packets of {speaker:?}");
        }
    }

    // Half way one is banned, keeps its keys, and goes on receiving every packet.
    net.device(mallory).keeps_keys = true;
    let mallory_id = net.id(mallory);
    net.with(host, |room, now| room.ban(mallory_id, now)).unwrap();
    net.run_until("the others have merged the ban", |net| {
        [ada, grace].iter().all(|peer| net.devices[peer.0].room.roster().len() == 3)
    });
    let switched = net.now;
    let received = net.device(mallory).received;
    net.run_for(10 * SECOND);
    let id = net.id(host);
    assert_eq!(
        net.device(mallory).events.last(),
        Some(&Event::Over(Ending::Removed { by: Some(id), banned: true }))
    );
    assert!(net.device(mallory).received > received + 400, "the banned still receives");
    for speaker in [host, ada] {
        assert_eq!(net.heard_since(mallory, speaker, switched), 0, "the banned opens nothing any more");
        assert!(net.heard_since(grace, speaker, switched) > 230, "the others hear on");
    }

    // One comes late, with a new epoch, and hears from there on.
    let late = net.knock("Late", &invite);
    net.run_until("the late one is in", |net| {
        net.admit_all(host, None);
        net.is_present(late)
    });
    let arrived = net.now;
    net.run_for(5 * SECOND);
    for speaker in [host, ada] {
        assert!(net.heard_since(late, speaker, arrived) > 100);
        assert_eq!(
            net.heard_since(late, speaker, began) - net.heard_since(late, speaker, arrived - SECOND),
            0
        );
    }

    // One leaves, and the room closes.
    net.speak(ada, false);
    net.with(ada, |room, _| room.leave()).unwrap();
    net.run_for(SECOND);
    assert_eq!(net.device(ada).events.last(), Some(&Event::Over(Ending::Left)));
    assert_eq!(net.room(host).roster().len(), 3);
    net.with(host, |room, _| room.close()).unwrap();
    net.run_for(SECOND);
    for peer in [host, grace, late] {
        assert_eq!(net.device(peer).events.last(), Some(&Event::Over(Ending::Closed)));
    }
    let before = net.device(grace).opened;
    net.run_for(SECOND);
    assert_eq!(net.device(grace).opened, before);
    assert_eq!(net.device(host).sealer.position(), None);

    // What is left to do is to publish what signed, half an hour later.
    net.run_for(Duration::from_secs(36 * 60));
    for peer in [host, ada, grace, late] {
        assert_eq!(net.room(peer).poll_timeout(), None);
    }
}

#[test]
fn one_epoch_means_one_roster_and_one_code_however_the_lanes_behave() {
    for seed in 0..6 {
        let mut net = Net::new(seed);
        net.control.delay = Duration::from_millis(1)..Duration::from_millis(900);
        net.control.doubled = 10;
        let host = net.create("host", options("storm"));
        let invite = net.invite(host);
        let mut peers = vec![host];
        for round in 0..8u64 {
            peers.push(net.knock(&format!("member {round}"), &invite));
            net.run_for(Duration::from_millis(100 + 130 * (seed + round) % 700));
            net.admit_all(host, (round % 2 == 0).then_some(Role::Speaker));
        }
        net.run_until("all are in", |net| {
            net.admit_all(host, None);
            peers.iter().all(|peer| net.is_present(*peer))
        });
        let someone = net.id(peers[3]);
        net.with(host, |room, now| room.remove(someone, now)).unwrap();
        net.run_for(3 * SECOND);
        // `Net` compares rosters and codes after every delivery; in the end all are together.
        let epoch = net.room(host).epoch();
        for peer in peers.iter().filter(|peer| **peer != peers[3]) {
            assert_eq!(net.devices[peer.0].room.epoch(), epoch, "seed {seed}: {peer:?} fell behind");
        }
        assert_eq!(net.room(peers[3]).status(), Status::Over);
    }
}

#[test]
fn a_host_goes_on_speaking_while_somebody_comes_in_all_the_time() {
    let mut net = Net::new(7);
    // An answer to a heartbeat is later than the next commit.
    net.control.delay = Duration::from_millis(300)..Duration::from_millis(310);
    let mut open = options("crowded");
    open.admission = Admission::Open;
    let host = net.create("host", open);
    let invite = net.invite(host);
    let listener = net.knock("listener", &invite);
    net.run_until("the listener is in", |net| net.is_present(listener));
    net.speak(host, true);
    net.run_for(SECOND);
    let (silent, epoch) = (net.device(host).silent, net.room(host).epoch());
    for round in 0..30 {
        net.knock(&format!("guest {round}"), &invite);
        net.run_for(SECOND);
        let device = net.device(host);
        assert_eq!(device.silent, silent, "round {round}: {:?}", device.why_silent);
    }
    net.run_for(3 * SECOND);
    let commits = net.room(host).epoch().unwrap().0 - epoch.unwrap().0;
    assert!((6..=18).contains(&commits), "{commits} commits in 33 s");
    let members = net.room(host).roster().len();
    // An open door lets thirty in within a minute by itself; the listener is one of them.
    assert_eq!(members, 31);
}

#[test]
fn codes_are_equal_everywhere_and_change_with_the_members() {
    let mut net = Net::new(2);
    let peers = room_of(&mut net, &["a", "b", "c"]);
    let codes = |net: &Net| -> Vec<String> {
        net.devices.iter().filter_map(|device| device.room.code()).map(|code| code.to_string()).collect()
    };
    let before = codes(&net);
    assert!(before.iter().all(|code| *code == before[0]) && before.len() == 3);
    let (a, c) = (net.id(peers[0]), net.id(peers[2]));
    let pair = net.room(peers[0]).pair_code(c);
    assert!(pair.is_some());
    assert_eq!(pair, net.room(peers[2]).pair_code(a));
    assert_ne!(pair, net.room(peers[1]).pair_code(c));

    net.with(peers[0], |room, now| room.remove(c, now)).unwrap();
    net.run_for(SECOND);
    let after = codes(&net);
    assert!(after.iter().all(|code| *code == after[0]) && after.len() == 2);
    assert_ne!(before[0], after[0]);
}

#[test]
fn a_crowd_comes_in_with_one_commit() {
    let mut net = Net::new(3);
    let mut open = options("open");
    open.admission = sottovoce::room::Admission::Open;
    let host = net.create("host", open);
    let invite = net.invite(host);
    let peers: Vec<Peer> = (0..20).map(|n| net.knock(&format!("guest {n}"), &invite)).collect();
    net.run_for(2 * SECOND);
    assert!(peers.iter().all(|peer| net.is_present(*peer)));
    assert_eq!(net.room(host).epoch().unwrap().0, 1, "20 joins in one epoch change");
}

#[test]
fn a_role_is_the_right_to_be_heard() {
    let mut net = Net::new(4);
    let peers = room_of(&mut net, &["host", "quiet", "other"]);
    let (host, quiet, other) = (peers[0], peers[1], peers[2]);
    net.speak(quiet, true);
    net.run_for(SECOND);
    assert_eq!(net.device(quiet).sent, 0);
    assert!(net.device(quiet).silent > 20);
    let id = net.id(quiet);
    net.with(host, |room, now| room.set_role(id, Role::Speaker, now)).unwrap();
    net.run_for(SECOND);
    assert!(net.heard_since(other, quiet, net.now - SECOND) > 15);
    net.with(host, |room, now| room.set_role(id, Role::Listener, now)).unwrap();
    net.run_for(SECOND);
    let muted = net.now;
    net.run_for(SECOND);
    assert_eq!(net.heard_since(other, quiet, muted), 0);
}

#[test]
fn a_moderator_acts_through_the_keeper_and_within_its_rank() {
    let mut net = Net::new(5);
    let peers = room_of(&mut net, &["host", "moderator", "guest", "second"]);
    let [host, moderator, guest, second] = peers[..] else { unreachable!() };
    let ids: Vec<_> = peers.iter().map(|peer| net.id(*peer)).collect();
    let denied = net.with(moderator, |room, now| room.ban(ids[2], now));
    assert_eq!(denied, Err(CommandError::NoRank));
    net.with(host, |room, now| room.set_role(ids[1], Role::Moderator, now)).unwrap();
    net.run_for(SECOND);
    assert_eq!(net.room(moderator).role(), Some(Role::Moderator));
    assert_eq!(net.with(moderator, |room, now| room.remove(ids[0], now)), Err(CommandError::AboutHost));
    net.with(moderator, |room, now| room.ban(ids[2], now)).unwrap();
    net.run_for(SECOND);
    assert!(matches!(
        net.device(guest).events.last(),
        Some(Event::Over(Ending::Removed { banned: true, .. }))
    ));
    assert_eq!(net.room(second).roster().len(), 3);
    assert!(net.room(second).is_banned(ids[2]));
}

#[test]
fn an_identity_that_never_came_can_be_banned_and_let_in_again() {
    let mut net = Net::new(31);
    let host = net.create("host", options("door"));
    let feared = net.identity("feared");
    let id = feared.id();
    let invite = net.invite(host);
    net.with(host, |room, now| room.ban(id, now)).unwrap();
    let refused = net.knock_as(feared, &invite);
    net.run_for(13 * SECOND);
    assert_eq!(net.device(refused).events.last(), Some(&Event::Over(Ending::Refused(RefuseReason::Banned))));
    assert!(!net.device(host).events.iter().any(|event| matches!(event, Event::Knocked { .. })));
    net.with(host, |room, now| room.unban(id, now)).unwrap();
    let again = net.identity_of(refused);
    let admitted = net.knock_as(again, &invite);
    net.run_for(SECOND);
    assert_eq!(net.admit_all(host, None), 1);
    net.run_for(SECOND);
    assert_eq!(net.room(admitted).roster().len(), 2);
}

#[test]
fn refusals_say_why_and_only_the_host_can_say_so() {
    let mut net = Net::new(6);
    let host = net.create("host", options("door"));
    let invite = net.invite(host);
    let guest = net.knock("guest", &invite);
    net.run_for(SECOND);
    let Some(Event::Knocked { knock, name, .. }) = net.device(host).events.pop() else {
        panic!("nobody knocked")
    };
    assert_eq!(name.as_str(), "guest");
    net.with(host, |room, _| room.refuse(knock)).unwrap();
    assert_eq!(net.with(host, |room, now| room.admit(knock, now)), Err(CommandError::UnknownKnock));
    net.run_for(13 * SECOND);
    assert_eq!(
        net.device(guest).events,
        [Event::Waiting, Event::Over(Ending::Refused(RefuseReason::Declined))]
    );
}

#[test]
fn a_knock_is_repeated_until_the_host_hears_it() {
    let mut net = Net::new(7);
    let host = net.create("host", options("late host"));
    let invite = net.invite(host);
    let guest = Peer(1);
    net.withhold(guest, host, true);
    assert_eq!(net.knock("guest", &invite), guest);
    net.run_for(9 * SECOND);
    assert_eq!(net.admit_all(host, None), 0);
    net.withhold(guest, host, false);
    net.run_for(SECOND);
    assert_eq!(net.admit_all(host, None), 1, "five knocks of one guest are one");
    net.run_for(SECOND);
    assert!(net.is_present(guest));
}

#[test]
fn without_proof_of_life_sending_stops_within_fifteen_seconds_and_resumes_with_it() {
    let mut net = Net::new(8);
    let peers = room_of(&mut net, &["host", "speaker", "listener"]);
    let (host, speaker, listener) = (peers[0], peers[1], peers[2]);
    let id = net.id(speaker);
    net.with(host, |room, now| room.set_role(id, Role::Speaker, now)).unwrap();
    net.speak(speaker, true);
    net.run_for(60 * SECOND);
    assert!(!net.device(speaker).events.contains(&Event::Silent { reason: SilenceReason::NoProofOfLife }));

    // A member that is cut off goes on in a branch of its own.
    net.forks = true;
    net.withhold(host, speaker, true);
    let cut = net.now;
    let mut last_sent = cut;
    let sent_at = |net: &mut Net, last: &mut Instant| {
        let before = net.device(speaker).sent;
        net.run_for(Duration::from_millis(40));
        if net.device(speaker).sent > before {
            *last = net.now;
        }
    };
    for _ in 0..25 * 25 {
        sent_at(&mut net, &mut last_sent);
    }
    assert!(last_sent - cut <= 15 * SECOND + Duration::from_millis(100), "sent for {:?}", last_sent - cut);
    assert!(last_sent - cut >= 9 * SECOND, "a missed heartbeat or two are no alarm");
    // Meanwhile the speaker has taken the keeping over, in a branch where nobody follows it.
    assert!(net.device(speaker).events.contains(&Event::Silent { reason: SilenceReason::NobodyHears }));

    net.withhold(host, speaker, false);
    net.run_for(6 * SECOND);
    let sending = |event: &&Event| matches!(event, Event::Silent { .. } | Event::Audible);
    assert_eq!(net.device(speaker).events.iter().rfind(sending), Some(&Event::Audible));
    assert!(net.heard_since(listener, speaker, net.now - SECOND) > 20);
}

#[test]
fn a_banned_member_goes_deaf_even_if_a_relay_withholds_the_ban() {
    let mut net = Net::new(9);
    let peers = room_of(&mut net, &["host", "banned", "listener"]);
    let (host, banned, listener) = (peers[0], peers[1], peers[2]);
    net.speak(host, true);
    net.run_for(2 * SECOND);
    net.withhold(host, banned, true);
    let id = net.id(banned);
    net.with(host, |room, now| room.ban(id, now)).unwrap();
    // A packet of this very instant was sealed before the ban.
    let ban = net.now + Duration::from_millis(1);
    net.run_for(20 * SECOND);
    assert_eq!(net.heard_since(banned, host, ban), 0, "the sender switched with its own commit");
    assert!(net.heard_since(listener, host, ban) > 450);
    assert!(net.device(banned).refused[&OpenError::UnknownKey] > 400);
}
