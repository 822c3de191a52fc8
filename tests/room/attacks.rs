//! What a relay, an outsider with a leaked link, and a banned member try, and that it fails.
//!
//! Attacks that need a member's MLS keys are unit tests of the room, in `src/room/attacks.rs`.

use std::{num::NonZeroU16, time::Duration};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use sottovoce::{
    Seed,
    group::{Identity, Name, Role},
    room::{Admission, ControlError, Ending, Event, InviteOptions, RefuseReason, Room, Status},
};
use sottovoce_testkit::net::{Net, Peer, options, room_of};

const SECOND: Duration = Duration::from_secs(1);
/// Until a newcomer believes that every door has refused it (SPEC section 7, E4), and a second
/// more.
const REFUSED: Duration = Duration::from_secs(16);

fn over(reason: RefuseReason) -> Option<Event> {
    Some(Event::Over(Ending::Refused(reason)))
}

#[test]
fn a_relay_sees_five_sizes_and_no_names() {
    let mut net = Net::new(20);
    let secrets = ["Rosalind Canary", "Barbara Canary", "Canary Room"];
    let host = net.create(secrets[0], options(secrets[2]));
    let invite = net.invite(host);
    let guest = net.knock(secrets[1], &invite);
    net.run_for(SECOND);
    net.admit_all(host, Some(Role::Speaker));
    net.run_for(30 * SECOND);
    assert!(net.is_present(guest));

    let mut needles: Vec<Vec<u8>> = secrets.iter().map(|name| name.as_bytes().to_vec()).collect();
    for peer in [host, guest] {
        needles.push(net.id(peer).as_bytes().to_vec());
        needles.push(net.id(peer).as_bytes()[..8].to_vec());
    }
    let finds = |haystack: &[u8]| {
        needles.iter().filter(|needle| haystack.windows(needle.len()).any(|window| window == *needle)).count()
    };
    // The search finds what it looks for when it is there.
    assert_eq!(finds(&[b"..", secrets[1].as_bytes(), b".."].concat()), 1);
    assert!(net.relay_log.len() > 8);
    for message in &net.relay_log {
        assert!([1024, 2048, 4096, 8192, 16384].contains(&message.len()));
        assert_eq!(finds(message), 0);
    }
    // No two begin alike, and all bytes are about equally frequent.
    let mut heads: Vec<_> = net.relay_log.iter().map(|message| message[..8].to_vec()).collect();
    heads.sort();
    assert!(heads.is_sorted_by(|a, b| a < b), "two envelopes begin alike");
    let all: Vec<u8> = net.relay_log.iter().flat_map(|message| message.iter().copied()).collect();
    let mut counts = [0f64; 256];
    all.iter().for_each(|byte| counts[usize::from(*byte)] += 1.0);
    let expected = all.len() as f64 / 256.0;
    let chi: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
    assert!(chi < 400.0, "chi square of 255 degrees of freedom is {chi}");
}

#[test]
fn garbage_cuts_and_flips_change_nothing() {
    let mut net = Net::new(21);
    let peers = room_of(&mut net, &["host", "a", "b"]);
    net.run_for(6 * SECOND);
    for device in &mut net.devices {
        device.events.clear();
    }
    let mut rng = StdRng::seed_from_u64(21);
    let log = net.relay_log.clone();
    let before: Vec<_> =
        net.devices.iter().map(|device| (device.room.epoch(), device.room.roster().to_vec())).collect();
    for message in &log {
        for peer in &peers {
            for _ in 0..4 {
                let mut altered = message.to_vec();
                let at = rng.random_range(0..altered.len());
                altered[at] ^= 1 << rng.random_range(0..8);
                assert_eq!(net.inject(*peer, &altered), Err(ControlError::Envelope));
            }
            let cut = rng.random_range(0..message.len());
            assert_eq!(net.inject(*peer, &message[..cut]), Err(ControlError::Envelope));
        }
    }
    for len in [0, 1, 52, 1023, 1024, 4096, 16_384, 20_000] {
        let mut noise = vec![0; len];
        rng.fill_bytes(&mut noise);
        for peer in &peers {
            assert_eq!(net.inject(*peer, &noise), Err(ControlError::Envelope));
        }
    }
    for (device, before) in net.devices.iter().zip(before) {
        assert_eq!((device.room.epoch(), device.room.roster().to_vec()), before);
        assert_eq!(device.events, []);
    }
}

#[test]
fn old_traffic_played_again_changes_nothing() {
    let mut net = Net::new(22);
    let peers = room_of(&mut net, &["host", "a", "b"]);
    net.run_for(11 * SECOND);
    for device in &mut net.devices {
        device.events.clear();
    }
    let log = net.relay_log.clone();
    let epoch = net.room(peers[0]).epoch();
    let sent = net.relay_log.len();
    for _ in 0..30 {
        for message in &log {
            for peer in &peers {
                let _ = net.inject(*peer, message);
            }
        }
        net.run_for(SECOND);
    }
    for peer in &peers {
        assert_eq!(net.room(*peer).epoch(), epoch);
        assert_eq!(net.device(*peer).events, []);
    }
    // A Call asks for a heartbeat whoever sends it: six by the clock, twelve by Calls, and two
    // Words for each.
    let sent = net.relay_log.len() - sent;
    assert!(sent <= (6 + 12) * 3, "{sent} messages answer a replay");
}

#[test]
fn a_replayed_knock_does_not_bring_back_who_left() {
    let mut net = Net::new(23);
    let mut open = options("open");
    open.admission = Admission::Open;
    let host = net.create("host", open);
    let invite = net.invite(host);
    let guest = net.knock("guest", &invite);
    net.run_for(SECOND);
    assert!(net.is_present(guest));
    let said = net.sent_by(guest);
    net.with(guest, |room, _| room.leave()).unwrap();
    net.run_for(SECOND);
    assert_eq!(net.room(host).roster().len(), 1);
    let outcomes: Vec<_> = said.iter().map(|message| net.inject(host, message)).collect();
    assert!(outcomes.contains(&Err(ControlError::Repeated)), "{outcomes:?}");
    net.run_for(3 * SECOND);
    assert_eq!(net.room(host).roster().len(), 1);
}

#[test]
fn invites_of_other_rooms_expired_and_used_up_ones_let_nobody_in() {
    let mut net = Net::new(24);
    let mut open = options("open");
    open.admission = Admission::Open;
    let host = net.create("host", open.clone());
    let other = net.create("other", open);

    // Another room's knock is not even an envelope here.
    let wrong = net.invite(other);
    net.knock("lost", &wrong);
    let knock = net.relay_log.last().unwrap().clone();
    assert_eq!(net.inject(host, &knock), Err(ControlError::Envelope));

    let once = InviteOptions::default().for_at_most(NonZeroU16::MIN);
    let once = net.invite_with(host, once);
    let first = net.knock("first", &once);
    net.run_for(SECOND);
    let second = net.knock("second", &once);
    net.run_for(REFUSED);
    assert!(net.is_present(first));
    assert_eq!(net.device(second).events.last(), over(RefuseReason::UsedUp).as_ref());

    let short = net.invite_with(host, InviteOptions::lasting(5 * SECOND));
    let late = Peer(net.devices.len());
    // It hears the door, and nothing that it says reaches anybody.
    net.withhold(late, host, true);
    assert_eq!(net.knock("late", &short), late);
    net.run_for(7 * SECOND);
    // It ends by its own clock, and the knock that comes too late lets nobody in either.
    assert_eq!(net.device(late).events.last(), Some(&Event::Over(Ending::Expired)));
    assert!(net.sent_by(late).len() > 1, "it has knocked");
    net.withhold(late, host, false);
    net.run_for(SECOND);
    let (identity, seed, unix) = (net.identity("later"), net.bytes(), net.unix_now());
    let expired =
        Room::join(identity, short.parse().unwrap(), Seed::from_bytes(&mut { seed }), net.now, unix);
    assert_eq!(expired.unwrap_err(), sottovoce::room::JoinError::Expired);
    assert_eq!(net.room(host).roster().len(), 2);
}

#[test]
fn a_banned_identity_stays_out_with_a_new_key_package_and_a_new_invite() {
    let mut net = Net::new(25);
    let mut open = options("open");
    open.admission = Admission::Open;
    let host = net.create("host", open);
    let identity = |name: &str| Identity::from_seed([77; 32], Name::new(name).unwrap());
    let invite = net.invite(host);
    let mallory = net.knock_as(identity("Mallory"), &invite);
    net.run_for(SECOND);
    assert!(net.is_present(mallory));
    let id = net.id(mallory);
    net.with(host, |room, now| room.ban(id, now)).unwrap();
    net.run_for(SECOND);
    for (name, invite) in [("Mallory", invite), ("Somebody else", net.invite(host))] {
        let again = net.knock_as(identity(name), &invite);
        net.run_for(REFUSED);
        assert_eq!(net.device(again).events, [over(RefuseReason::Banned).unwrap()]);
    }
    assert_eq!(net.room(host).roster().len(), 1);
}

#[test]
fn a_newcomer_that_is_banned_while_waiting_is_turned_away() {
    let mut net = Net::new(26);
    let host = net.create("host", options("ask"));
    let invite = net.invite(host);
    let mallory = net.knock("Mallory", &invite);
    net.run_for(SECOND);
    let id = net.id(mallory);
    net.with(host, |room, now| room.ban(id, now)).unwrap();
    net.run_for(REFUSED);
    assert_eq!(net.device(mallory).events, [Event::Waiting, over(RefuseReason::Banned).unwrap()]);
    assert!(net.device(host).events.iter().any(|event| matches!(event, Event::KnockGone { .. })));
}

#[test]
fn a_flood_of_knocks_is_bounded_and_keeps_nobody_out_for_good() {
    let mut net = Net::new(27);
    let host = net.create("host", options("flood"));
    let invite = net.invite(host);
    let peers: Vec<Peer> = (0..66).map(|n| net.knock(&format!("knocker {n}"), &invite)).collect();
    net.run_for(SECOND);
    let knocked =
        |net: &Net| net.devices[host.0].events.iter().filter(|e| matches!(e, Event::Knocked { .. })).count();
    assert!((1..=64).contains(&knocked(&net)), "64 in a second at most");
    net.run_for(4 * SECOND);
    assert_eq!(net.room(host).waiting().count(), 32, "32 of one invite wait at most");
    assert!(net.device(host).control_errors.contains(&ControlError::Flood));
    let other_invite = net.invite(host);
    let other = net.knock("by another invite", &other_invite);
    net.run_for(4 * SECOND);
    assert!(net.device(other).events.contains(&Event::Waiting), "another invite has places of its own");
    for _ in 0..12 {
        net.admit_all(host, None);
        net.run_for(SECOND);
        // A newcomer that is in is not given the rest.
        let here: Vec<Peer> = peers.iter().copied().filter(|peer| net.is_present(*peer)).collect();
        here.into_iter().for_each(|peer| net.switch_off(peer));
    }
    assert!(net.is_present(other));
    assert!(peers.iter().all(|peer| net.is_present(*peer)), "whoever repeats its knock comes in");
    assert_eq!(net.room(host).roster().len(), 68);
}

#[test]
fn a_refusal_is_for_one_knock() {
    let mut net = Net::new(28);
    let host = net.create("host", options("a"));
    let invite = net.invite(host);
    let first = net.knock("first", &invite);
    let second = net.knock("second", &invite);
    net.run_for(SECOND);
    let id = net.id(first);
    let knock = net.device(host).events.iter().find_map(|event| match event {
        Event::Knocked { knock, member, .. } if *member == id => Some(*knock),
        _ => None,
    });
    let knock = knock.expect("the first has knocked");
    net.with(host, |room, _| room.refuse(knock)).unwrap();
    net.run_for(REFUSED);
    // The answer to one reached both, and is about one.
    assert_eq!(net.room(first).status(), Status::Over);
    assert_eq!(net.room(second).status(), Status::Waiting);
}
