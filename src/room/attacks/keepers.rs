//! Members without rank that keep the room, or say that they do.

use super::*;
use crate::{
    OpenError, Opener, Rekey, Sealer, Stamp,
    media::{HEADROOM, TAILROOM},
    mls::forge::{Forgery, Spoil},
};

/// The host's device dies, and the second of the others comes to keep the room, because the first,
/// a rebel, does not take over. Returns the rebel, the keeper and somebody else.
fn a_room_without_rank() -> (Party, usize, usize, usize) {
    let mut party = Party::new(4);
    let order = party.order();
    let (rebel, keeper, other) = (order[0], order[1], order[2]);
    party.rebel(rebel);
    party.rebel(0);
    party.pass(25 * SECOND);
    assert!(party.seat(keeper).keeps(), "the second took over");
    assert_eq!(party.silence(other), None);
    (party, rebel, keeper, other)
}

#[test]
fn a_listener_that_pretends_to_keep_a_branch_does_not_silence_the_room() {
    let (mut party, rebel, _, other) = a_room_without_rank();
    let silent = party.silent_seconds(other, 200, |party, second| {
        if second % 4 == 0 {
            party.beat(rebel, 3, [7; 32], vec![9; 32]);
        }
    });
    assert!(silent <= 20, "{silent} of 200 seconds");
}

#[test]
fn a_keeper_that_speaks_of_an_epoch_nobody_has_does_not_silence_the_room() {
    let mut party = Party::new(4);
    let order = party.order();
    let (rebel, other) = (order[0], order[2]);
    party.rebel(0);
    party.pass(25 * SECOND);
    assert!(party.seat(rebel).keeps());
    party.rebel(rebel);
    let silent = party.silent_seconds(other, 200, |party, second| {
        if second % 4 == 0 && party.rooms[rebel].present().is_ok() {
            let epoch = party.epoch(rebel).unwrap().0;
            party.beat(rebel, epoch + 1, [7; 32], vec![9; 32]);
            let known_law = party.memory(rebel).store.known().hash();
            let now = party.now;
            let at_ms = party.rooms[rebel].out.stamp_ms(now);
            party.say(rebel, &Saying::Word { heard_ms: 0, at_ms, known_law });
        }
    });
    assert!(silent <= 40, "{silent} of 200 seconds");
}

#[test]
fn a_listener_commits_nothing_in_the_keepers_place() {
    let mut party = Party::new(3);
    party.rebel(3);
    let epoch = party.epoch(0);
    let victim = party.seat(3).group.roster()[1].leaf;
    let context = *party.seat(3).group.context();
    assert_eq!(context.keeper, party.seat(0).group.context().keeper);
    let forged = party.seat(3).group.forge(vec![Forgery::Remove(victim)]);
    party.send(3, &Message::Mls(forged.commit));
    party.pass(5 * SECOND);
    assert!((0..3).all(|who| party.epoch(who) == epoch), "nobody merges it");
    assert!(party.rooms[0].roster().len() == 4);
}

#[test]
fn commits_of_a_listener_do_not_crowd_out_those_of_the_keeper() {
    let mut party = Party::new(3);
    party.rebel(3);
    for _ in 0..12 {
        let forged = party.seat(3).group.forge(vec![Forgery::Update(Default::default())]);
        // The host does not get them: otherwise it would merge one.
        let out = &mut party.rooms[3].out;
        let envelopes = out.lane.seal(&Message::Mls(forged.commit).encode(), &mut out.rng).unwrap();
        for envelope in envelopes {
            for who in 1..3 {
                let now = party.now;
                let _ = party.rooms[who].handle_control(&envelope, now);
            }
        }
        party.deliver();
    }
    let banned = party.id(3);
    let now = party.now;
    party.rooms[0].ban(banned, now).unwrap();
    party.deliver();
    party.pass(SECOND / 2);
    for who in 0..3 {
        assert_eq!(party.rooms[who].roster().len(), 3, "room {who} follows the keeper");
    }
}

#[test]
fn a_keeper_does_not_end_the_room_for_a_member_by_a_key_package_that_the_member_once_sent() {
    let mut party = Party::new(2);
    let now = party.now + SECOND;
    let (group_id, id) = (party.memory(0).store.known().group_id().0, party.id(1));
    let key_exchange = party.seat(0).group.key_exchange();
    let out = &mut party.rooms[1].out;
    let made_ms = out.clock.unix_ms(now);
    // The member asked for its place and gave up asking: it has the keys no more.
    let petition = crate::room::petition::Petition::new(out, &group_id, key_exchange, made_ms, now).unwrap();
    let bytes = petition.applicant.key_package().to_vec();
    let candidate = crate::mls::Candidate::vet(&bytes, &group_id, key_exchange).unwrap();
    let (out, memory, seat) = party.rooms[0].present().unwrap();
    let leaf = seat.group.occupant(id).unwrap().leaf;
    let work = crate::room::making::Work { removes: vec![leaf], adds: vec![candidate], renews: false };
    seat.commit(out, memory, work, now).unwrap();
    party.deliver();
    assert_eq!(party.rooms[1].status(), Status::Returning, "{:?}", party.events(1));
}

#[test]
fn a_renewal_that_a_commit_follows_at_once_loses_nobody() {
    let mut party = Party::new(3);
    party.rebel(3);
    let forged = party.seat(3).group.forge(vec![Forgery::Update(Default::default())]);
    party.send(3, &Message::Mls(forged.commit));
    // The host's user bans somebody in the same moment.
    let (banned, now) = (party.id(3), party.now);
    party.rooms[0].ban(banned, now).unwrap();
    party.deliver();
    party.pass(SECOND);
    for who in 0..3 {
        assert_eq!(party.rooms[who].roster().len(), 3, "room {who} follows");
        assert_eq!(party.silence(who), None, "room {who} sends");
    }
}

#[test]
fn several_listeners_that_pretend_to_keep_branches_do_not_silence_the_room_for_long() {
    let mut party = Party::new(7);
    let order = party.order();
    let (rebels, keeper, other) = (&order[..5], order[5], order[6]);
    rebels.iter().for_each(|rebel| party.rebel(*rebel));
    party.rebel(0);
    party.pass(40 * SECOND);
    assert!(party.seat(keeper).keeps(), "the sixth took over");
    let mut beat = |party: &mut Party, second: usize| {
        let rebel = rebels[second % 5];
        party.beat(rebel, 3, [rebel as u8; 32], vec![9; 32]);
    };
    // Each is asked once for ten seconds; after that they are not believed any more.
    let silent = party.silent_seconds(other, 80, &mut beat);
    assert!(silent <= 60, "{silent} of the first 80 seconds");
    let silent = party.silent_seconds(other, 200, &mut beat);
    assert!(silent <= 5, "{silent} of the next 200 seconds");
}

#[test]
fn who_founds_a_branch_takes_nobody_from_a_keeper_that_lives_in_a_hurry() {
    let (mut party, rebel, keeper, other) = a_room_without_rank();
    let seen = party.log.len();
    for second in 0..9 {
        party.beat(rebel, 3 + second, [7; 32], vec![9; 32]);
        party.pass(SECOND);
    }
    let asked = party.log[seen..].iter().filter(|(from, _)| [keeper, other].contains(from));
    let shows = asked.filter(|(_, envelope)| matches!(party.read(envelope), Some(Message::Show(_)))).count();
    assert_eq!(shows, 0, "nobody asks for a place elsewhere");
}

#[test]
fn nobody_chooses_a_place_in_the_order_with_its_identity() {
    let mut party = Party::new(1);
    // What every member knows, and can look for an identity with.
    let draw = |party: &mut Party, n: usize| {
        let tag = party.memory(0).store.law().tag(&IdentityKey::from_bytes(*identity(n).public()));
        crate::keys::derive::sha256(&[b"sottovoce 2 turn", &[0; 32], &tag.0])
    };
    let mut ground: Vec<usize> = (10..150).collect();
    ground.sort_by_key(|n| std::cmp::Reverse(draw(&mut party, *n)));
    ground.truncate(8);
    let places: Vec<usize> = ground.iter().map(|n| party.knock(*n)).collect();
    party.pass(60 * SECOND);
    assert_eq!(party.rooms[0].roster().len(), 10, "all are in");
    let order: Vec<usize> = party.order().into_iter().filter(|who| places.contains(who)).collect();
    assert_ne!(order, places, "the order is what they looked for");
}

#[test]
fn a_keeper_moves_nobodys_step_clock_by_more_than_a_minute_at_a_time() {
    let mut party = Party::new(4);
    let order = party.order();
    let (rebel, other) = (order[0], order[2]);
    party.rebel(0);
    party.pass(25 * SECOND);
    assert!(party.seat(rebel).keeps());
    party.rebel(rebel);
    let now = party.now;
    let before = party.seat(other).schedule.elapsed(now);
    for _ in 0..20 {
        party.beat_with(rebel, |beat| beat.step_ms = u64::MAX);
    }
    let moved = party.seat(other).schedule.elapsed(now) - before;
    assert!(moved <= 60 * SECOND, "{moved:?} in no time");
}

#[test]
fn three_members_do_not_keep_another_out_by_renewals_that_it_cannot_process() {
    let mut party = Party::new(5);
    let (rebels, victim) = ([1, 2, 3], 5);
    let id = party.id(victim);
    let silent = party.silent_seconds(victim, 180, |party, second| {
        if second % 10 > 0 {
            return;
        }
        let now = party.now;
        let Ok((out, memory, seat)) = party.rooms[rebels[second / 10 % 3]].present() else { return };
        let Some(leaf) = seat.group.occupant(id).map(|victim| victim.leaf) else { return };
        seat.group.spoil_paths_to(&[leaf], false, Spoil::Garbage);
        seat.renew_at = now;
        seat.tend_renewal(out, memory, now);
        party.deliver();
    });
    assert!(silent <= 30, "{silent} of 180 seconds");
}

#[test]
fn whom_the_known_law_mutes_is_not_heard_though_the_keeper_commits_nothing() {
    let mut party = Party::new(3);
    let (moderator, muted, other) = (1, 2, 3);
    let (id, now) = (party.id(moderator), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    let mut sealer = Sealer::new();
    while let Some(rekey) = party.rooms[muted].poll_rekey() {
        if let Rekey::Seal(rekey) = rekey {
            drop(sealer.install(rekey).unwrap());
        }
    }
    let mut opener = Opener::new();
    let mut hear = |party: &mut Party| {
        while let Some(rekey) = party.rooms[other].poll_rekey() {
            if let Rekey::Open(rekey) = rekey {
                drop(opener.install(rekey));
            }
        }
        let mut buffer = [0; HEADROOM + 1000 + TAILROOM];
        buffer[HEADROOM] = 0xfc;
        let mut packet = sealer.seal(&mut buffer, 100, Stamp::default()).unwrap().to_vec();
        opener.open(&mut packet).map(|opened| opened.member)
    };
    assert_eq!(hear(&mut party), Ok(party.id(muted)));
    party.rebel(0);
    let epoch = party.epoch(other);
    let (id, now) = (party.id(muted), party.now);
    party.rooms[moderator].set_muted(id, true, now).unwrap();
    party.deliver();
    assert_eq!(party.epoch(other), epoch, "the keeper says nothing");
    assert_eq!(hear(&mut party), Err(OpenError::Muted));
}

#[test]
fn k9_a_keeper_that_is_heard_lets_others_back_while_it_asks_who_comes_before_it_in_vain() {
    let (mut party, rebel, keeper, victim) = a_room_without_rank();
    let mut back = None;
    for half in 0..60 {
        if half == 8 {
            party.restart(victim);
        }
        if half % 3 == 2 {
            party.beat(rebel, 3, [7; 32], vec![9; 32]);
        }
        party.pass(SECOND / 2);
        if half == 24 {
            assert!(party.seat(keeper).returning.is_some(), "the other branch has lasted");
        }
        let branch = party.seat(keeper).group.branch();
        if half > 8 && party.rooms[victim].present().is_ok_and(|(.., seat)| seat.group.branch() == branch) {
            back.get_or_insert((half - 8) / 2);
        }
    }
    // It asks the first in the order for ten seconds, and then the keeper.
    assert!(back.is_some_and(|seconds| (10..13).contains(&seconds)), "back after {back:?} s");
}
