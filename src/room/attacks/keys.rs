//! Leaves and KeyPackages whose keys are not what they look like.

use super::*;
use crate::mls::forge;

/// A point of small order: X25519 with it gives no secret, so nothing can be sealed to it.
const NO_KEY: [u8; 32] = [0; 32];

/// Member `who` asks the host for its place with a KeyPackage that shows these keys instead of its
/// own: the init key, the key of the leaf.
fn come_back_with(party: &mut Party, who: usize, seed: u8, keys: [Option<Vec<u8>>; 2]) {
    let now = party.now;
    let made_ms = party.rooms[0].out.clock.unix_ms(now);
    let group_id = party.memory(0).store.known().group_id().0;
    let key_exchange = party.seat(0).group.key_exchange();
    let identity = identity(who);
    let key_package = forge::key_package_with_keys(&identity, &group_id, key_exchange, made_ms, seed, keys);
    let wish = Wish::Return { key_package, broken: None };
    let show = party.wish_of_host(&identity, [seed; 32], wish);
    party.send(who, &show);
}

/// Whether the host can still put out member `who`, and all others follow.
fn can_ban(party: &mut Party, who: usize) -> bool {
    let (id, now) = (party.id(who), party.now);
    party.rooms[0].ban(id, now).unwrap();
    party.deliver();
    party.pass(3 * SECOND);
    let others = (0..party.rooms.len()).filter(|other| *other != who && !party.rebels.contains(other));
    let others: Vec<_> = others.collect();
    others.into_iter().all(|other| party.rooms[other].roster().iter().all(|member| member.id != id))
}

#[test]
fn a_leaf_that_nothing_can_be_sealed_to_does_not_keep_anybody_from_being_put_out() {
    for key in [NO_KEY.to_vec(), vec![9; 31], Vec::new()] {
        let mut party = Party::new(3);
        party.rebel(3);
        come_back_with(&mut party, 3, 77, [None, Some(key)]);
        party.pass(5 * SECOND);
        assert!(can_ban(&mut party, 2), "the host can put somebody out");
        assert!(can_ban(&mut party, 3), "the host can put the rebel out");
    }
}

#[test]
fn a_renewed_path_that_nothing_can_be_sealed_to_does_not_keep_anybody_from_being_put_out() {
    // The lowest node of the path, whose other leaf is a rebel too, or the leaf itself.
    for place in [0, 2] {
        let mut party = Party::new(3);
        party.rebel(2);
        party.rebel(3);
        let mut keys = vec![None; 3];
        keys[place] = Some(NO_KEY.to_vec());
        let seat = party.seat(3);
        seat.group.show_keys(keys);
        let forged = seat.group.forge(vec![forge::Forgery::Update(Default::default())]);
        let before = party.epoch(0);
        party.send(3, &Message::Mls(forged.commit));
        let events = party.events(0);
        assert_ne!(party.epoch(0), before, "the renewal counts: {events:?}");
        party.pass(SECOND);
        let who = if place == 0 { 1 } else { 2 };
        assert!(can_ban(&mut party, who), "key {place} of the path: the host can put somebody out");
        assert!(can_ban(&mut party, 3), "key {place} of the path: the host can put the rebel out");
    }
}

#[test]
fn a_key_package_that_cannot_be_added_keeps_nobody_else_out() {
    let copied = |party: &mut Party| {
        let seat = party.seat(0);
        let own = seat.group.own_leaf();
        seat.group.encryption_key_of(own)
    };
    for case in 0..3 {
        let mut party = Party::new(2);
        party.rebel(2);
        let keys = match case {
            0 => [Some(NO_KEY.to_vec()), None],
            1 => [None, Some(copied(&mut party))],
            _ => [Some(copied(&mut party)), None],
        };
        let newcomer = party.knock(3);
        for n in 0..20 {
            come_back_with(&mut party, 2, 100 + n, keys.clone());
            party.pass(SECOND);
        }
        assert_eq!(party.rooms[newcomer].status(), Status::Present, "case {case}: the newcomer is in");
    }
}

#[test]
fn a_key_package_that_cannot_be_added_does_not_keep_anybody_from_being_put_out() {
    let mut party = Party::new(3);
    party.rebel(3);
    let own = party.seat(0).group.own_leaf();
    let copied = party.seat(0).group.encryption_key_of(own);
    let banned = party.id(2);
    come_back_with(&mut party, 3, 77, [None, Some(copied)]);
    let now = party.now;
    party.rooms[0].ban(banned, now).unwrap();
    party.deliver();
    party.pass(SECOND);
    assert_eq!(party.rooms[1].roster().len(), 3, "the ban does not wait for what cannot be done");
}
