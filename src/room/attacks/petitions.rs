//! KeyPackages that a member asked with and that nobody used, and the time that they say.

use super::*;
use crate::{
    mls::{Aad, Candidate, Context, Draft, Sealed, SealingSecret, forge::Forgery},
    room::{
        making::Work,
        petition::Petition,
        welcome::{check_sender, check_tree, read_law},
    },
};

/// A host and three others, whose host and whose first in the order are rebels. Returns the first,
/// the keeper that took over, and a victim.
fn a_room_without_rank() -> (Party, usize, usize, usize) {
    let mut party = Party::new(3);
    let order = party.order();
    party.rebel(order[0]);
    party.rebel(0);
    party.pass(25 * SECOND);
    assert!(party.seat(order[1]).keeps(), "the second took over");
    (party, order[0], order[1], order[2])
}

impl Party {
    /// A rebel beats to one member for a branch that is not there, until the member asks it for its
    /// place and has given up that KeyPackage again, which is returned. The rebel's clock is
    /// `ahead_ms` ahead.
    fn lure(&mut self, rebel: usize, victim: usize, ahead_ms: u64) -> Vec<u8> {
        let key_exchange = self.seat(0).group.key_exchange();
        let group_id = self.memory(0).store.known().group_id().0;
        let door = SealingSecret::derive(key_exchange, &Seed::from_bytes(&mut [5; 32])).unwrap();
        let door_key = door.public().as_bytes().to_vec();
        for _ in 0..40 {
            let (key, seen) = (door_key.clone(), self.log.len());
            let beat = self.heartbeat_with(rebel, Vec::new(), |beat| {
                (beat.epoch, beat.branch, beat.door_key) = (Epoch(3), [7; 32], key);
                beat.time_ms += ahead_ms;
            });
            let (now, out) = (self.now, &mut self.rooms[rebel].out);
            for envelope in out.lane.seal(&beat.encode(), &mut out.rng).unwrap() {
                let _ = self.rooms[victim].handle_control(&envelope, now);
            }
            self.deliver();
            self.pass(SECOND);
            for (_, envelope) in self.log[seen..].iter().filter(|(from, _)| *from == victim) {
                let Some(Message::Show(show)) = self.read(envelope) else { continue };
                let aad = Show::aad(&group_id, &door_key, &show.reference);
                let sealed = Sealed { kem_output: show.kem.clone(), sealed: show.sealed.clone() };
                let Some(plain) = door.open(Purpose::Show, &sealed, &aad) else { continue };
                let content = Signed::<ShowContent>::decode(&plain).unwrap();
                if let Wish::Return { key_package, .. } = &content.claimed().wish {
                    let key_package = key_package.clone();
                    self.pass(14 * SECOND);
                    return key_package;
                }
            }
        }
        panic!("nobody asks the rebel");
    }

    /// A keeper puts a KeyPackage in the place of its identity's leaf.
    fn replace(&mut self, keeper: usize, victim: usize, key_package: &[u8]) {
        assert!(self.seat(keeper).keeps() && self.seat(victim).keeper.is_none());
        let (id, now) = (self.id(victim), self.now);
        let (out, memory, seat) = self.rooms[keeper].present().unwrap();
        let group_id = memory.store.known().group_id().0;
        let candidate = Candidate::vet(key_package, &group_id, seat.group.key_exchange()).unwrap();
        let leaf = seat.group.occupant(id).unwrap().leaf;
        let work = Work { removes: vec![leaf], adds: vec![candidate], renews: false };
        seat.commit(out, memory, work, now).unwrap();
        self.deliver();
    }

    /// Seconds until a member is in the tree of the keeper and sends, 120 at most.
    fn seconds_until_back(&mut self, keeper: usize, who: usize) -> usize {
        let is_back = |party: &mut Self| {
            let branch = party.seat(keeper).group.branch();
            party.rooms[who].present().is_ok_and(|(.., seat)| seat.group.branch() == branch)
                && party.silence(who).is_none()
        };
        (0..120)
            .find(|_| {
                is_back(self) || {
                    self.pass(SECOND);
                    false
                }
            })
            .unwrap_or(120)
    }
}

#[test]
fn a_key_package_from_the_future_that_was_not_used_locks_nobody_out() {
    let (mut party, rebel, keeper, victim) = a_room_without_rank();
    let old = party.lure(rebel, victim, 850_000);
    party.replace(keeper, victim, &old);
    let seconds = party.seconds_until_back(keeper, victim);
    assert!(seconds <= 30, "out for {seconds} s");
}

#[test]
fn a_key_package_that_was_not_used_does_not_take_the_place_of_the_leaf_later() {
    let (mut party, rebel, keeper, victim) = a_room_without_rank();
    let old = party.lure(rebel, victim, 0);
    party.pass(60 * SECOND);
    assert_eq!(party.silence(victim), None, "it stays where it is");
    party.replace(keeper, victim, &old);
    let own = party.seat(victim).group.roster().iter().any(|member| member.is_self);
    assert!(own && party.rooms[victim].status() == Status::Present, "{:?}", party.events(victim));
}

#[test]
fn an_older_petition_in_the_place_of_the_leaf_is_no_other_device() {
    let (mut party, rebel, keeper, victim) = a_room_without_rank();
    let old = party.lure(rebel, victim, 0);
    // Nobody answered, so the victim has another KeyPackage out.
    assert!(party.seat(victim).returning.as_mut().is_some_and(|returning| returning.petition().is_some()));
    party.replace(keeper, victim, &old);
    assert_ne!(party.rooms[victim].status(), Status::Over, "{:?}", party.events(victim));
    let seconds = party.seconds_until_back(keeper, victim);
    assert!(seconds <= 30, "out for {seconds} s");
}

#[test]
fn who_returned_to_a_keeper_with_a_fast_clock_returns_to_the_next() {
    let mut party = Party::new(3);
    let order = party.order();
    party.rooms[0].out.clock.unix.0 += 850;
    for keeper in [0, order[0]] {
        let (victim, now) = (order[2], party.now);
        // A removal that no law asks for: the victim refuses it, and asks for its place.
        let id = party.id(victim);
        let (out, memory, seat) = party.rooms[keeper].present().unwrap();
        let leaf = seat.group.occupant(id).unwrap().leaf;
        seat.commit(out, memory, Work { removes: vec![leaf], ..Work::default() }, now).unwrap();
        party.deliver();
        let seconds = party.seconds_until_back(keeper, victim);
        assert!(seconds <= 30, "out for {seconds} s with keeper {keeper}");
        party.rebel(0);
        party.pass(25 * SECOND);
    }
}

#[test]
fn no_commit_gives_a_leaf_a_time_that_its_identity_could_never_go_beyond() {
    // A listener's renewal, which the host keeps; and a commit of the host that is for itself.
    for by in [3, 0] {
        let mut party = Party::new(3);
        party.rebel(by);
        let others: Vec<usize> = (0..4).filter(|who| *who != by).collect();
        let now_ms = party.rooms[0].out.clock.unix_ms(party.now);
        let minute = 60_000;
        let cases = [(u64::MAX, false), (now_ms + 16 * minute, false), (now_ms + 9 * minute, true)];
        for (made_ms, counts) in cases {
            let (epoch, by_id) = (party.epoch(others[0]).unwrap().0, party.id(by));
            let seat = party.seat(by);
            let leaf = seat.group.leaf_by(&identity(by), made_ms);
            let forged = seat.group.forge(vec![Forgery::Update(leaf)]);
            party.send(by, &Message::Mls(forged.commit));
            for who in &others {
                let group = &party.seat(*who).group;
                let said = group.occupant(by_id).unwrap().made_ms;
                assert_eq!(said == made_ms, counts, "of {by}, {made_ms}, in room {who}");
                assert_eq!(group.epoch().0, epoch + u64::from(counts));
            }
        }
    }
}

#[test]
fn a_welcome_brings_the_live_set_in_order_and_names_a_keeper_that_is_there() {
    let mut party = Party::new(3);
    let (own, id) = (IdentityKey::from_bytes(*party.rooms[1].out.identity.public()), party.id(1));
    let encoded = |party: &mut Party| -> Vec<Vec<u8>> {
        let known = party.memory(0).store.known();
        known.statements().map(|statement| statement.statement().encode()).collect()
    };
    let before = encoded(&mut party);
    let now = party.now;
    party.rooms[0].set_role(id, Role::Listener, now).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    let live = encoded(&mut party);
    let passed = before.into_iter().find(|statement| !live.contains(statement)).expect("one was passed");
    let reversed: Vec<_> = live.iter().rev().cloned().collect();
    let twice = [&live[..], &live[live.len() - 1..]].concat();
    let more = [&live[..], &[passed][..]].concat();
    let keeper = party.seat(0).group.context().keeper;
    let cases = [
        ("as it is", live.clone(), keeper, true),
        ("in another order", reversed, keeper, false),
        ("one twice", twice, keeper, false),
        ("one that counts no more", more, keeper, false),
        ("a keeper that is not there", live, [7; 16], false),
    ];
    for (what, statements, keeper, enters) in cases {
        let (group_id, key_exchange) =
            (party.memory(0).store.known().group_id().0, party.seat(0).group.key_exchange());
        party.now += SECOND;
        let (now, out) = (party.now, &mut party.rooms[1].out);
        let made_ms = out.clock.unix_ms(now);
        let petition = Petition::new(out, &group_id, key_exchange, made_ms, now).unwrap();
        let candidate = Candidate::vet(petition.applicant.key_package(), &group_id, key_exchange).unwrap();
        let (_, memory, seat) = party.rooms[0].present().unwrap();
        let known = memory.store.known().clone();
        let count = u32::try_from(statements.len()).unwrap();
        let law =
            Writer::new().vec16(&known.terms().encode()).u32(count).bytes(&statements.concat()).finish();
        let context = Context { keeper, law: known.hash() };
        let leaf = seat.group.occupant(id).unwrap().leaf;
        let draft = Draft {
            adds: &[&candidate],
            removes: &[leaf],
            context: (context != *seat.group.context()).then_some(context),
            law_for_newcomers: &law,
            ..Draft::new(Aad::new(made_ms, Vec::new()).unwrap(), 1 << 20)
        };
        let welcome = seat.group.commit(&draft).unwrap().welcome.unwrap();
        let entry = petition.applicant.open(&welcome).unwrap();
        let entered = read_law(&entry, &group_id, own).and_then(|(_, epoch_law)| {
            check_sender(&entry, epoch_law.law())?;
            check_tree(&entry, epoch_law.law())
        });
        assert_eq!(entered.is_ok(), enters, "{what}: {entered:?}");
    }
}

#[test]
fn r3_the_next_keeper_is_asked_as_soon_as_one_was_asked_in_vain_for_ten_seconds() {
    let mut party = Party::new(3);
    (0..4).for_each(|rebel| party.rebel(rebel));
    party.restart(1);
    party.rebels.retain(|rebel| *rebel != 1);
    let mut asked: Vec<([u8; 32], Instant)> = Vec::new();
    for step in 0..580 {
        if step % 80 == 0 {
            for liar in [2, 3] {
                party.beat(liar, 77, [liar as u8; 32], vec![liar as u8; 32]);
            }
        }
        let since = party.log.len();
        party.pass(SECOND / 20);
        let shows = party.log[since..].iter().filter_map(|(from, envelope)| match party.read(envelope) {
            Some(Message::Show(show)) if *from == 1 => Some(show),
            _ => None,
        });
        for show in shows {
            if let Some(liar) = [2, 3].into_iter().find(|liar| show.is_at(&[*liar; 32]))
                && asked.last().is_none_or(|(last, _)| *last != [liar; 32])
            {
                asked.push(([liar; 32], party.now));
            }
        }
    }
    assert_eq!(asked.len(), 3, "each has its turn");
    for pair in asked.windows(2) {
        let time = pair[1].1 - pair[0].1;
        assert!(time <= 10 * SECOND + SECOND / 10, "{time:?} with one keeper");
    }
}
