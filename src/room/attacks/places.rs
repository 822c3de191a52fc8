//! Knocks for which there is no place: the identity is here already, or nobody more fits.

use super::*;
use crate::wire::knock::Knock;

/// The newest knock of a room at the host's door.
fn knock_of(party: &mut Party, who: usize) -> Knock {
    let answer_key = party.memory(0).doors.as_ref().unwrap().answer_key();
    let of_room = party.log.iter().rev().filter(|(from, _)| *from == who);
    let mut knocks = of_room.filter_map(|(_, envelope)| match party.read(envelope) {
        Some(Message::Knock(knock)) if knock.is_at(&answer_key) => Some(knock),
        _ => None,
    });
    knocks.next().expect("it knocks")
}

/// The host's door, without what it remembers of knocks.
fn forgetful_door(party: &mut Party) -> super::super::doors::Doors {
    let kind = party.seat(0).group.key_exchange();
    let (answer, sealing) = party.memory(0).doors.as_ref().unwrap().seeds();
    let twin = |seed: &Seed| Seed::from_bytes(&mut { *seed.bytes() });
    super::super::doors::Doors::from_seeds(kind, twin(answer), twin(sealing), Admission::Open).unwrap()
}

/// A moderator who has spoken about as many tags as one issuer may, while the host says nothing.
fn used_up(admission: Admission) -> (Party, usize) {
    let mut party = Party::new(1);
    let moderator = 1;
    let (id, now) = (party.id(moderator), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.deliver();
    party.pass(70 * SECOND);
    party.rooms[0].set_admission(Admission::Ask).unwrap();
    party.rooms[moderator].set_admission(admission).unwrap();
    (party, moderator)
}

fn use_up(party: &mut Party, moderator: usize) {
    let key = IdentityKey::from_bytes(*party.rooms[moderator].out.identity.public());
    let (out, memory, seat) = party.rooms[moderator].present().unwrap();
    let (group_id, law) = (*memory.store.known().group_id(), memory.store.law());
    let (term, floor) = (law.term_of(&key).unwrap(), law.rest().floor());
    let word = Word::Role(RoleWord::new(law::Role::Speaker, false));
    let said = (0..law::answers::MAX_TAGS as u16).map(|n| {
        let mut about = [0xee; 16];
        about[..2].copy_from_slice(&n.to_be_bytes());
        let standing = Standing { issuer: key, term, about: Tag(about), word, n: floor + 1 };
        law::GenuineStatement::Standing(law::Genuine::sign(standing, &out.identity, &group_id)).statement()
    });
    let said = said.collect();
    assert!(memory.store.merge(said, &seat.epoch_law).changed);
}

#[test]
fn a_device_that_is_behind_another_of_its_identity_is_refused_as_present() {
    let mut party = Party::new(1);
    let unix = UnixTime(party.unix.0 + (party.now - party.rooms[0].out.clock.began).as_secs() - 300);
    let (seed, invite) = (Seed::from_bytes(&mut [140; 32]), party.invite.parse().unwrap());
    party.rooms.push(Room::join(identity(1), invite, seed, party.now, unix).unwrap());
    let epoch = party.epoch(0);
    party.pass(20 * SECOND);
    let over = Event::Over(Ending::Refused(RefuseReason::Present));
    assert_eq!(party.events(2).last(), Some(&over), "its KeyPackage would never be taken: it is told so");
    assert_eq!(party.rooms[1].status(), Status::Present, "and takes nobody's place");
    assert_eq!(party.epoch(0), epoch);
    let id = party.id(1);
    let told = |event: &Event| matches!(event, Event::KnockRefused { member: Some(member), reason: RefuseReason::Present, .. } if *member == id);
    assert!(party.events(0).iter().any(told));
}

#[test]
fn a_knock_whose_key_package_is_in_the_tree_is_not_answered_at_another_door() {
    let mut party = Party::new(1);
    let knock = knock_of(&mut party, 1);
    // The door has forgotten what it answered.
    let mut door = forgetful_door(&mut party);
    let (out, memory, seat) = party.rooms[0].present().unwrap();
    let outcome = door.handle_knock(out, &memory.store, seat.group.roster(), &knock, party.now);
    assert!(matches!(outcome, Err(ControlError::Repeated)));
    assert!(out.poll_transmit().is_none(), "a Refused could end the room for who lacks its Welcome");
    // Without the leaf the same knock is let in.
    assert!(matches!(door.handle_knock(out, &memory.store, &[], &knock, party.now), Ok(Some(_))));
}

#[test]
fn a_room_of_a_thousand_leaves_refuses_the_next_as_full_and_lets_its_own_members_back() {
    let mut party = Party::with(1, Admission::default());
    party.pass(6 * SECOND);
    let knock = knock_of(&mut party, 1);
    let key = IdentityKey::from_bytes(*party.rooms[1].out.identity.public());
    let (now, mut door) = (party.now, forgetful_door(&mut party));
    let (out, memory, seat) = party.rooms[0].present().unwrap();
    let mut tree = vec![seat.group.roster()[0].clone(); 1_000];
    for (n, leaf) in tree.iter_mut().enumerate() {
        let mut other = [3; 32];
        other[..8].copy_from_slice(&(n as u64).to_be_bytes());
        leaf.key = IdentityKey::from_bytes(other);
    }
    assert!(matches!(door.handle_knock(out, &memory.store, &tree, &knock, now), Ok(None)));
    party.deliver();
    let full = |event: &Event| matches!(event, Event::KnockRefused { reason: RefuseReason::Full, .. });
    assert!(party.events(0).iter().any(full), "the door's user is told");
    // The refused newcomer is not admitted anywhere else.
    party.rebel(0);
    party.pass(13 * SECOND);
    assert_eq!(party.events(1).last(), Some(&Event::Over(Ending::Refused(RefuseReason::Full))));

    // A leaf of one's own is no further place, nor is one that somebody else left.
    for own_leaf in [true, false] {
        let mut door = forgetful_door(&mut party);
        let (out, memory, _) = party.rooms[0].present().unwrap();
        let mut tree = tree.clone();
        if own_leaf {
            (tree[5].key, tree[5].made_ms) = (key, 0);
        } else {
            tree.pop();
        }
        assert!(matches!(door.handle_knock(out, &memory.store, &tree, &knock, now), Ok(Some(_))));
    }
}

#[test]
fn a_knock_waits_still_when_the_law_has_no_room_for_it() {
    let (mut party, moderator) = used_up(Admission::Ask);
    let guest = party.knock(2);
    party.pass(10 * SECOND);
    let knock = party.rooms[moderator].waiting().next().expect("it waits at the moderator's door").0;
    use_up(&mut party, moderator);
    let now = party.now;
    assert_eq!(party.rooms[moderator].admit(knock, now), Err(CommandError::Full));
    let waiting: Vec<KnockId> = party.rooms[moderator].waiting().map(|(knock, ..)| knock).collect();
    assert_eq!(waiting, [knock], "the person is not lost");
    party.pass(10 * SECOND);
    assert_eq!(party.rooms[guest].status(), Status::Waiting);
    // It is the host who can: its table makes room for the moderator too.
    let knock = party.rooms[0].waiting().next().expect("it waits at the host's door").0;
    let now = party.now;
    party.rooms[0].admit(knock, now).unwrap();
    party.deliver();
    party.pass(3 * SECOND);
    assert_eq!(party.rooms[guest].status(), Status::Present);
}

#[test]
fn an_open_door_asks_its_user_when_its_holder_has_few_words_left() {
    let (mut party, moderator) = used_up(Admission::Open);
    use_up(&mut party, moderator);
    let guest = party.knock(2);
    party.pass(8 * SECOND);
    let id = party.id(guest);
    let asks = |event: &Event| matches!(event, Event::Knocked { member, .. } if *member == id);
    assert!(party.events(moderator).iter().any(asks), "its user decides (D4)");
    assert!(party.events(guest).contains(&Event::Waiting), "nobody waits without a word");
    assert_eq!(party.rooms[guest].status(), Status::Waiting);
}

/// Delivers everything, but for heartbeats once a member is in.
fn deliver_without_words_to_who_is_in(party: &mut Party, member: usize) {
    for from in (0..party.rooms.len()).cycle().take(20 * party.rooms.len()) {
        while let Some(message) = party.rooms[from].poll_transmit() {
            let is_word = matches!(party.read(&message), Some(Message::Heartbeat(_)));
            if !(is_word && party.rooms[member].status() == Status::Present) {
                party.relay(from, &message);
            }
        }
    }
}

#[test]
fn after_a_restart_nothing_is_signed_before_a_word_shows_the_same_law_or_three_seconds_passed() {
    for heard in [true, false] {
        let mut party = Party::new(2);
        let (id, now) = (party.id(1), party.now);
        party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
        party.deliver();
        party.pass(70 * SECOND);
        party.restart(1);
        while party.rooms[1].status() != Status::Present {
            party.now += SECOND / 20;
            let now = party.now;
            party.rooms.iter_mut().for_each(|room| room.handle_timeout(now));
            deliver_without_words_to_who_is_in(&mut party, 1);
        }
        let (entered, id) = (party.now, party.id(2));
        let denied = party.rooms[1].set_role(id, Role::Listener, entered);
        assert_eq!(denied, Err(CommandError::JustBack));
        if heard {
            // A word of the keeper that knows another law ends nothing.
            party.beat_with(0, |beat| beat.known_law = [4; 32]);
            assert_eq!(party.rooms[1].set_role(id, Role::Listener, entered), Err(CommandError::JustBack));
            party.now += SECOND / 10;
            party.beat_with(0, |_| {});
            let now = party.now;
            assert_eq!(party.rooms[1].set_role(id, Role::Listener, now), Ok(()));
        } else {
            let before = entered + 3 * SECOND - SECOND / 1_000;
            assert_eq!(party.rooms[1].set_role(id, Role::Listener, before), Err(CommandError::JustBack));
            assert_eq!(party.rooms[1].set_role(id, Role::Listener, entered + 3 * SECOND), Ok(()));
        }
    }
}
