//! One speaker key that two members announce.

use super::*;
use crate::{
    group::announce::SpeakerKey,
    id::{Leaf, UnixTime},
};

impl Party {
    /// Begins an epoch in which a rebel has announced nothing yet.
    fn begin_epoch(&mut self, role: Role) {
        let (id, now) = (self.id(1), self.now);
        self.rooms[0].set_role(id, role, now).unwrap();
        self.deliver();
        self.pass(5 * SECOND);
    }

    /// A rebel announces a speaker key as its own.
    fn announce(&mut self, rebel: usize, public: [u8; 32]) -> Leaf {
        let announced = UnixTime(self.rooms[0].out.clock.unix_ms(self.now) / 1_000);
        let name = self.memory(rebel).store.known().terms().name.clone();
        let group = &self.seat(rebel).group;
        let leaf = group.own_leaf();
        let place = group.place_of(leaf, &name);
        let key = SpeakerKey::new(public, announced, 1_800, &place, |text| group.sign_as_leaf(text));
        self.say(rebel, &Saying::SpeakerKey(key));
        leaf
    }
}

#[test]
fn nobody_is_heard_under_a_key_whose_publication_another_can_bring_about() {
    let mut party = Party::new(3);
    let (speaker, rebel) = (3, 2);
    party.begin_epoch(Role::Listener);
    let leaf = party.seat(speaker).group.own_leaf();
    let public = party.rooms[0].out.reports.vouched.key_of(leaf).expect("the speaker has announced its key");
    party.begin_epoch(Role::Speaker);
    // Just before the accomplice's promise is over the rebel speaks under its key.
    party.pass(Duration::from_secs(1_700));
    party.rebel(rebel);
    party.begin_epoch(Role::Listener);
    let leaf = party.announce(rebel, public);
    assert_eq!(party.epoch(rebel), party.epoch(0), "the rebel is there");
    let heard = party.rooms[0].out.reports.vouched.key_of(leaf) == Some(public);
    party.pass(Duration::from_secs(150));
    let published = party.rooms[0].published_keys().any(|key| key.public() == public);
    assert!(published, "the accomplice keeps its promise");
    assert!(!heard, "what was heard cannot be reported");
}
