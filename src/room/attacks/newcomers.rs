//! Members that welcome newcomers and have no right to.

use super::{super::doors::Doors, super::welcome::write_law, *};
use crate::{
    group::KeyExchange,
    law::{self, Act, Store},
    mls::{Aad, Candidate, Context, Draft, Group, Incoming},
    random::Generator,
    wire::{
        answer::{Answer, AnswerContent, Receipt},
        envelope::MAX_MESSAGE,
        statements::Statements,
    },
};

/// The first of a kind that the relay saw from a room since the log had `since` entries.
fn find<T>(party: &Party, who: usize, since: usize, kind: impl Fn(Message) -> Option<T>) -> Option<T> {
    let of_room = party.log.iter().skip(since).filter(|(from, _)| *from == who);
    of_room.filter_map(|(_, envelope)| party.read(envelope)).find_map(kind)
}

/// A group of `who` alone that says that `keeper` keeps it, and the Welcome of somebody into it.
fn welcome_into_a_made_up_group(
    who: &Identity,
    keeper: &Identity,
    store: &Store,
    newcomer: &Candidate,
    made_ms: u64,
) -> Message {
    let (law, known) = (store.law(), store.known());
    let tag = law.tag(&IdentityKey::from_bytes(*keeper.public()));
    let context = Context { keeper: tag.0, law: known.hash() };
    let mut rng = Generator::new(Seed::from_bytes(&mut [200; 32]));
    let (group_id, kind) = (known.group_id().0, KeyExchange::X25519);
    let mut group = Group::found(who, &group_id, kind, context, made_ms, &mut rng).unwrap();
    let for_newcomers = write_law(known);
    let draft = Draft {
        adds: &[newcomer],
        law_for_newcomers: &for_newcomers,
        ..Draft::new(Aad::new(made_ms, Vec::new()).unwrap(), MAX_MESSAGE)
    };
    Message::Welcome(group.commit(&draft).unwrap().welcome.unwrap())
}

/// A moderator that lost its rank, with its door and the law of the time before.
struct Former {
    who: usize,
    doors: Doors,
    store: Store,
}

impl Former {
    /// Shows its old door, and opens the knock of a newcomer there.
    fn take_knock(&mut self, party: &mut Party, newcomer: usize) -> super::super::doors::Admitted {
        let door = self.doors.door(&self.store).unwrap();
        let since = party.log.len();
        for _ in 0..6 {
            party.beat_with_doors(self.who, vec![door.clone()], |_| {});
            party.pass(SECOND);
        }
        let answer_key = self.doors.answer_key();
        let knock = find(party, newcomer, since, |message| match message {
            Message::Knock(knock) if knock.is_at(&answer_key) => Some(knock),
            _ => None,
        });
        let now = party.now;
        let out = &mut party.rooms[self.who].out;
        let admitted =
            self.doors.handle_knock(out, &self.store, &[], &knock.expect("it knocks there as well"), now);
        admitted.unwrap().expect("the old door is open")
    }
}

/// A room whose host asks its user, and a moderator of it that was demoted.
fn a_room_with_a_former_moderator() -> (Party, Former) {
    let mut party = Party::new(2);
    let (id, now) = (party.id(1), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.rooms[1].set_admission(Admission::Open).unwrap();
    party.deliver();
    party.pass(70 * SECOND);
    let memory = party.memory(1);
    memory.doors.as_mut().unwrap().admission = Admission::Open;
    let (doors, store) = (memory.doors.take().unwrap(), memory.store.clone());
    assert!(doors.door(&store).is_some(), "the host gave it a badge");
    party.rebel(1);
    let now = party.now;
    party.rooms[0].set_role(id, Role::Listener, now).unwrap();
    party.rooms[0].set_admission(Admission::Ask).unwrap();
    party.deliver();
    party.pass(70 * SECOND);
    (party, Former { who: 1, doors, store })
}

#[test]
fn a_former_moderator_welcomes_nobody_who_has_seen_a_newer_badge() {
    let (mut party, mut former) = a_room_with_a_former_moderator();
    let newcomer = party.knock(3);
    party.pass(4 * SECOND);
    let admitted = former.take_knock(&mut party, newcomer);
    let (identity_of_former, now) = (identity(1), party.now);
    let now_ms = party.rooms[0].out.clock.unix_ms(now);
    let who = former.store.law().tag(&admitted.candidate.key);
    let act = Act::Admit { who, role: law::Role::Speaker, used_up: None };
    let known = former.store.known().clone();
    let said =
        law::sign(act, &identity_of_former, &former.store, now_ms, &mut || [1; 16], &|_| true).unwrap();
    let _ = former.store.merge(said, &known);
    let out = &mut party.rooms[1].out;
    former.doors.send_receipt(out, &former.store, &admitted.one_use, admitted.reference);
    while let Some(receipt) = party.rooms[1].poll_transmit() {
        party.relay(1, &receipt);
    }
    let welcome = welcome_into_a_made_up_group(
        &identity_of_former,
        &identity_of_former,
        &former.store,
        &admitted.candidate,
        now_ms,
    );
    party.send(1, &welcome);
    assert_eq!(party.rooms[newcomer].status(), Status::Waiting);
}

#[test]
fn a_former_moderator_does_not_crowd_out_the_receipt_of_the_host() {
    let (mut party, mut former) = a_room_with_a_former_moderator();
    let newcomer = party.knock(3);
    party.pass(4 * SECOND);
    let admitted = former.take_knock(&mut party, newcomer);
    let group_id = party.memory(0).store.known().group_id().0;
    for n in 0..8 {
        let nobody = Identity::from_seed([220 + n; 32], Name::new("nobody").unwrap());
        let receipt = Receipt {
            key: IdentityKey::from_bytes(*nobody.public()),
            reference: admitted.reference,
            office: [0; 32],
            no: 0,
            standings: Statements::default(),
        };
        let content = AnswerContent::Receipt(Signed::receipt(receipt, &nobody, &group_id));
        let key = SealingKey::from_bytes(KeyExchange::X25519, &admitted.one_use).unwrap();
        let aad = Answer::aad(&group_id, &admitted.reference);
        let sealed = key.seal(Purpose::Answer, &content.encode(), &aad).unwrap();
        let (kem, sealed) = (sealed.kem_output, sealed.sealed);
        party.send(1, &Message::Answer(Answer { reference: admitted.reference, kem, sealed }));
    }
    let (knock, now) = (party.rooms[0].waiting().next().unwrap().0, party.now);
    party.rooms[0].admit(knock, now).unwrap();
    party.deliver();
    party.pass(2 * SECOND);
    assert_eq!(party.rooms[newcomer].status(), Status::Present);
}

#[test]
fn a_member_that_hears_of_a_newcomer_does_not_welcome_it_in_the_hosts_name() {
    let mut party = Party::new(2);
    // The host keeps, and a moderator lets the newcomer in: the KeyPackage goes to everybody.
    let (moderator, now) = (party.id(1), party.now);
    party.rooms[0].set_role(moderator, Role::Moderator, now).unwrap();
    party.pass(70 * SECOND);
    for room in &mut party.rooms[..2] {
        room.set_admission(Admission::Ask).unwrap();
    }
    party.rebel(2);
    let newcomer = party.knock(3);
    party.pass(10 * SECOND);
    let (knock, now) = (party.rooms[1].waiting().next().unwrap().0, party.now);
    party.rooms[1].admit(knock, now).unwrap();
    // The rebel reads what the moderator says before the host has committed anything.
    let mut key_package = None;
    while let Some(envelope) = party.rooms[1].poll_transmit() {
        if let Some(Message::Mls(message)) = party.read(&envelope)
            && let Ok(Incoming::Application { bytes, .. }) = party.seat(2).group.process(&message)
        {
            match Saying::decode(&bytes) {
                Ok(Saying::Admit { key_package: said }) => key_package = Some(said),
                Ok(Saying::Statements(said)) => {
                    let known = party.memory(2).store.known().clone();
                    let said = super::super::shown::decode(&said);
                    let _ = party.memory(2).store.merge(said, &known);
                }
                _ => {}
            }
        }
        party.relay(1, &envelope);
    }
    let group_id = party.memory(2).store.known().group_id().0;
    let candidate = Candidate::vet(&key_package.unwrap(), &group_id, KeyExchange::X25519).unwrap();
    let (store, now_ms) = (party.memory(2).store.clone(), party.rooms[2].out.clock.unix_ms(now));
    let welcome = welcome_into_a_made_up_group(&identity(2), &identity(0), &store, &candidate, now_ms);
    party.send(2, &welcome);
    assert_eq!(party.rooms[newcomer].status(), Status::Waiting, "the host did not sign it");
    party.pass(3 * SECOND);
    assert_eq!(party.epoch(newcomer), party.epoch(0));
}

#[test]
fn the_first_newcomer_waits_no_second_and_the_host_never_stops_sending() {
    let mut party = Party::new(0);
    party.pass(120 * SECOND);
    let _ = party.events(0);
    let newcomer = party.knock(1);
    party.pass(SECOND / 2);
    assert_eq!(party.rooms[newcomer].status(), Status::Present, "let in with the next commit");
    let silent = party.events(0).into_iter().any(|event| matches!(event, Event::Silent { .. }));
    assert!(!silent, "the host is not told that it is not heard");
}

#[test]
fn a_former_moderator_turns_nobody_away_while_the_doors_of_rank_are_not_heard() {
    let (mut party, mut former) = a_room_with_a_former_moderator();
    former.doors.admission = Admission::Ask;
    let newcomer = party.knock(3);
    party.pass(4 * SECOND);
    // The relay keeps back what the others say.
    party.rebel(0);
    party.rebel(2);
    let door = former.doors.door(&former.store).unwrap();
    let answer_key = former.doors.answer_key();
    let mut refused = 0;
    for _ in 0..20 {
        let since = party.log.len();
        party.beat_with_doors(former.who, vec![door.clone()], |_| {});
        party.pass(2 * SECOND);
        let knock = find(&party, newcomer, since, |message| match message {
            Message::Knock(knock) if knock.is_at(&answer_key) => Some(knock),
            _ => None,
        });
        let Some(knock) = knock else { continue };
        let (out, now) = (&mut party.rooms[former.who].out, party.now);
        let _ = former.doors.handle_knock(out, &former.store, &[], &knock, now);
        let waits = former.doors.waiting().next().map(|(id, ..)| id);
        if let Some(id) = waits {
            former.doors.refuse(out, &former.store, id).unwrap();
            refused += 1;
        }
        while let Some(answer) = party.rooms[former.who].poll_transmit() {
            party.relay(former.who, &answer);
        }
        party.deliver();
    }
    assert!(refused > 0, "it was asked");
    assert_eq!(party.rooms[newcomer].status(), Status::Waiting, "{:?}", party.events(newcomer));
}

#[test]
fn an_open_door_lets_in_whom_nobody_put_out_after_a_table_has_left_others_out() {
    let mut party = Party::new(1);
    let (key, group_id) = (IdentityKey::from_bytes(*identity(0).public()), party.group_id());
    let store = &party.memory(0).store;
    let law = store.law();
    let (no, entries) = (law.table_no().unwrap_or(0) + 1, law.rest().entries().to_vec());
    let listed = |entries: &[law::Entry], tag| entries.iter().any(|entry| entry.tag == tag);
    let words = law.tags().into_iter().filter(|tag| !listed(&entries, *tag) && *tag != law.tag(&key));
    let taken = words.map(|tag| law.said_about(&tag)).collect::<Vec<_>>();
    let rest = law::Rest::new(5_000, Vec::new(), [entries, taken].concat()).unwrap();
    let table = law::Table::new(key, law.office(), no, key, rest).unwrap();
    let table = law::GenuineStatement::Table(law::Genuine::sign(table, &identity(0), &group_id));
    let now = party.now;
    let (out, memory, seat) = party.rooms[0].present().unwrap();
    seat.learn(out, memory, vec![table.statement()], now);
    party.pass(5 * SECOND);
    assert_eq!(party.memory(1).store.law().rest().floor(), 5_000);
    let newcomer = party.knock(2);
    party.pass(10 * SECOND);
    assert_eq!(party.rooms[newcomer].status(), Status::Present);
}
