//! What a member says of the speaker keys of others.

use super::*;
use crate::{group::announce::SpeakerKey, id::UnixTime, report::PublishedKey};

#[test]
fn a_long_promise_about_the_key_of_another_does_not_keep_its_publication_from_counting() {
    let mut party = Party::new(3);
    let (speaker, rebel) = (1, 3);
    party.rebel(rebel);
    let now = party.now;
    let id = party.id(2);
    // An epoch in which the rebel has announced nothing yet.
    party.rooms[0].set_role(id, Role::Listener, now).unwrap();
    party.deliver();
    party.pass(5 * SECOND);
    let leaf = party.seat(speaker).group.own_leaf();
    let public = party.rooms[0].out.reports.vouched.key_of(leaf).expect("the speaker has announced its key");
    let announced = UnixTime(party.rooms[0].out.clock.unix_ms(party.now) / 1_000);
    let name = party.memory(rebel).store.known().terms().name.clone();
    let group = &party.seat(rebel).group;
    let place = group.place_of(group.own_leaf(), &name);
    let key = SpeakerKey::new(public, announced, u32::MAX, &place, |text| group.sign_as_leaf(text));
    party.say(rebel, &Saying::SpeakerKey(key));
    // The epoch ends, and half an hour later the speaker publishes its key.
    let now = party.now;
    party.rooms[0].set_role(id, Role::Speaker, now).unwrap();
    party.deliver();
    party.pass(Duration::from_secs(1_900));
    let published = party.rooms[0].published_keys().any(|key| key.public() == public);
    assert!(published, "what was said can be denied");
}

impl Party {
    /// A rebel announces a speaker key in an epoch in which it has announced nothing yet. Returns
    /// whether the host lets it be heard under it.
    fn announces(&mut self, rebel: usize, seed: [u8; 32]) -> bool {
        let public = PublishedKey::from_bytes(seed).public();
        let announced = UnixTime(self.rooms[0].out.clock.unix_ms(self.now) / 1_000);
        let name = self.memory(rebel).store.known().terms().name.clone();
        let group = &self.seat(rebel).group;
        let (leaf, place) = (group.own_leaf(), group.place_of(group.own_leaf(), &name));
        let key = SpeakerKey::new(public, announced, 1_800, &place, |text| group.sign_as_leaf(text));
        self.say(rebel, &Saying::SpeakerKey(key));
        let heard = self.rooms[0].out.reports.vouched.key_of(leaf);
        assert!(heard.is_none_or(|heard| heard == public));
        heard.is_some()
    }

    /// Four people, and an epoch in which one of them, a rebel, has announced nothing yet.
    fn with_a_silent_rebel() -> (Self, usize) {
        let mut party = Self::new(3);
        party.rebel(3);
        let (now, id) = (party.now, party.id(2));
        party.rooms[0].set_role(id, Role::Listener, now).unwrap();
        party.deliver();
        party.pass(5 * SECOND);
        (party, 3)
    }
}

#[test]
fn a_key_whose_private_half_came_before_it_was_announced_is_not_heard() {
    for early in [true, false] {
        let (mut party, rebel) = Party::with_a_silent_rebel();
        let seed = [77; 32];
        if early {
            party.send(rebel, &Message::Spent(vec![seed]));
        }
        assert_eq!(party.announces(rebel, seed), !early, "published early: {early}");
    }
}

#[test]
fn a_flood_of_seeds_does_not_make_a_key_heard_whose_private_half_came_before_it() {
    let (mut party, rebel) = Party::with_a_silent_rebel();
    let seed = [77; 32];
    party.send(rebel, &Message::Spent(vec![seed]));
    // 128 a second are looked at.
    for second in 0..12_u8 {
        party.pass(SECOND);
        for part in 0..8 {
            let seeds = (0..16).map(|n| {
                let mut seed = [1; 32];
                seed[..3].copy_from_slice(&[second, part, n]);
                seed
            });
            party.send(rebel, &Message::Spent(seeds.collect()));
        }
    }
    assert!(!party.announces(rebel, seed), "its private half is known");
    assert!(party.announces(rebel, [78; 32]), "and that of this one is not");
}

#[test]
fn seeds_of_nobody_are_looked_at_128_times_a_second() {
    let mut party = Party::new(1);
    let spent = |first: u8| Message::Spent((0..16).map(|n| [first.wrapping_mul(16) + n; 32]).collect());
    let mut looked_at = 0;
    for first in 0..12 {
        let out = &mut party.rooms[1].out;
        let envelopes = out.lane.seal(&spent(first).encode(), &mut out.rng).unwrap();
        let now = party.now;
        for envelope in envelopes {
            let heard = party.rooms[0].handle_control(&envelope, now);
            assert!(matches!(heard, Err(ControlError::Repeated | ControlError::Flood)), "{heard:?}");
            looked_at += usize::from(matches!(heard, Err(ControlError::Repeated)));
        }
    }
    assert_eq!(looked_at, 128 / 16);
    party.pass(2 * SECOND);
    let out = &mut party.rooms[1].out;
    let envelope = out.lane.seal(&spent(13).encode(), &mut out.rng).unwrap().remove(0);
    let now = party.now;
    assert_eq!(party.rooms[0].handle_control(&envelope, now), Err(ControlError::Repeated));
}
