//! Small messages that would make others do much.

use super::*;
use crate::wire::answer::Answer;
use crate::{
    mls::{Aad, forge::Forgery},
    wire::statements::Statements,
};

#[test]
fn throwaway_identities_are_not_all_told_why_they_are_out() {
    let mut party = Party::new(1);
    for n in 0..200_u8 {
        let stranger = Identity::from_seed([n; 32], Name::new("stranger").unwrap());
        let stranger = if n < 2 { identity(200) } else { stranger };
        let show = party.show_to_host(&stranger, [n; 32]);
        party.send(1, &show);
        party.pass(SECOND / 20);
    }
    let answers = party
        .log
        .iter()
        .filter(|(from, envelope)| *from == 0 && matches!(party.read(envelope), Some(Message::Answer(_))));
    assert!(answers.count() <= 80);
}

#[test]
fn a_listeners_commit_of_statements_that_nobody_has_makes_nobody_ask() {
    let mut party = Party::new(4);
    party.rebel(4);
    let aad = Aad::new(0, vec![[5; 32]]).unwrap().encode();
    let before = party.log.len();
    let forged = party.seat(4).group.forge(vec![Forgery::Update(Default::default()), Forgery::Aad(aad)]);
    party.send(4, &Message::Mls(forged.commit));
    assert_eq!(party.log.len(), before + 1, "nobody answers");
}

#[test]
fn a_listener_that_pretends_to_keep_a_branch_does_not_make_the_others_show_all_they_know_again_and_again() {
    let mut party = Party::new(4);
    party.rebel(4);
    let before = party.bytes_of_others(4);
    for second in 0..300_u32 {
        if second % 5 == 0 {
            let known = [second as u8; 32];
            party.beat_with(4, |beat| {
                (beat.epoch, beat.branch, beat.known_law) = (Epoch(3), [7; 32], known);
                beat.door_key = vec![9; 32];
            });
        }
        party.pass(SECOND);
    }
    let shows = party
        .log
        .iter()
        .filter(|(from, envelope)| *from != 4 && matches!(party.read(envelope), Some(Message::Show(_))));
    let shows = shows.count();
    assert!(shows <= 4 * 8, "{shows} Shows, {} bytes", party.bytes_of_others(4) - before);
}

#[test]
fn words_about_nobody_do_not_make_the_host_sign_tables_without_end() {
    let mut party = Party::new(3);
    let moderator = 3;
    let (id, now) = (party.id(moderator), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    party.rebel(moderator);
    let words = party.words_about_nobody(moderator, 300);
    let no = party.memory(0).store.law().table_no();
    for part in words.chunks(100) {
        party.say(moderator, &Saying::Statements(Statements::new(part.to_vec()).unwrap()));
    }
    let (bytes, epoch) = (party.bytes_of_others(moderator), party.epoch(0).unwrap().0);
    let mut tables = std::collections::BTreeSet::from([no]);
    for _ in 0..60 {
        party.pass(SECOND);
        tables.insert(party.memory(0).store.law().table_no());
    }
    let (bytes, epochs) = (party.bytes_of_others(moderator) - bytes, party.epoch(0).unwrap().0 - epoch);
    assert!(tables.len() <= 3 && epochs <= 4, "{} tables, {epochs} epochs, {bytes} bytes", tables.len());
}

#[test]
fn words_about_nobody_do_not_keep_everybody_from_coming_in() {
    let mut party = Party::new(3);
    let moderators = [2, 3];
    for moderator in moderators {
        let (id, now) = (party.id(moderator), party.now);
        party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
        party.deliver();
        party.pass(10 * SECOND);
    }
    for moderator in moderators {
        party.rebel(moderator);
        let words = party.words_about_nobody(moderator, 1_024);
        for part in words.chunks(1_024) {
            party.say(moderator, &Saying::Statements(Statements::new(part.to_vec()).unwrap()));
        }
        party.pass(5 * SECOND);
    }
    let newcomer = party.knock(4);
    party.pass(30 * SECOND);
    assert_eq!(party.rooms[newcomer].status(), Status::Present, "{:?}", party.events(0));
}

#[test]
fn throwaway_identities_at_a_moderators_open_door_leave_it_able_to_ban() {
    let mut party = Party::new(2);
    let moderator = 1;
    let (id, now) = (party.id(moderator), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.rooms[moderator].set_admission(Admission::Open).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    // The host is away, and what a flood of some minutes made the door say is said.
    party.rebel(0);
    for n in 0..300_u16 {
        let [high, low] = n.to_be_bytes();
        let who = Tag([0, high, low, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        let act = law::Act::Admit { who, role: law::Role::Speaker, used_up: None };
        let now = party.now;
        let (out, memory, seat) = party.rooms[moderator].present().unwrap();
        if super::super::doors::badges::has_spare_words(memory.store.law(), out) {
            seat.act(out, memory, act, now).unwrap();
        }
    }
    party.deliver();
    let law = party.memory(moderator).store.law();
    let key = IdentityKey::from_bytes(*identity(moderator).public());
    assert_eq!(law.spoken(&key, law::Register::Role), 192, "the door asks its user from then on");
    let (id, now) = (party.id(2), party.now);
    party.rooms[moderator].set_muted(id, true, now).unwrap();
    // As many roles as the law takes: a Ban has places of its own.
    for n in 300..400_u16 {
        let [high, low] = n.to_be_bytes();
        let who = Tag([0, high, low, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        let act = law::Act::Admit { who, role: law::Role::Speaker, used_up: None };
        let (out, memory, seat) = party.rooms[moderator].present().unwrap();
        let _ = seat.act(out, memory, act, now);
    }
    party.deliver();
    party.rooms[moderator].ban(id, now).unwrap();
    let key = IdentityKey::from_bytes(*identity(2).public());
    assert!(!party.memory(moderator).store.law().admits(&key));
}

#[test]
fn throwaway_identities_push_nobody_out_of_what_a_host_has_seen() {
    let mut party = Party::new(2);
    let member = IdentityKey::from_bytes(*identity(1).public());
    let (id, now) = (party.id(2), party.now);
    party.rooms[0].ban(id, now).unwrap();
    let memory = party.memory(0);
    for n in 0..5_000_u16 {
        let [high, low] = n.to_be_bytes();
        let mut key = [0xee; 32];
        (key[0], key[1]) = (high, low);
        memory.note_person(IdentityKey::from_bytes(key));
    }
    let banned = IdentityKey::from_bytes(*identity(2).public());
    assert!(memory.people().contains(&member), "a table would put it out");
    assert!(memory.people().contains(&banned), "a table would lift its ban");
    assert!(memory.people().len() + 1_000 < law::Rest::MAX_ENTRIES, "a table can leave somebody out");
}

#[test]
fn answers_of_strangers_cost_a_newcomer_512_openings_a_second_and_not_its_place() {
    let mut party = Party::with(0, Admission::Ask);
    party.pass(SECOND);
    let newcomer = party.knock(1);
    party.pass(3 * SECOND);
    let knocks = party.log.iter().filter_map(|(_, envelope)| party.read(envelope));
    let reference = knocks.filter_map(|message| match message {
        Message::Knock(knock) => Some(knock.reference),
        _ => None,
    });
    let reference = reference.last().expect("it has knocked");
    let mut refused = 0;
    for n in 0..700 {
        let answer = Message::Answer(Answer { reference, kem: vec![9; 32], sealed: vec![n as u8; 64] });
        let out = &mut party.rooms[0].out;
        for envelope in out.lane.seal(&answer.encode(), &mut out.rng).unwrap() {
            let now = party.now;
            let outcome = party.rooms[newcomer].handle_control(&envelope, now);
            refused += usize::from(outcome == Err(ControlError::Flood));
        }
    }
    // The answer to its own knock may be one of the 512.
    assert!((188..=189).contains(&refused), "{refused}");
    party.pass(SECOND);
    let knock = party.events(0).into_iter().find_map(|event| match event {
        Event::Knocked { knock, .. } => Some(knock),
        _ => None,
    });
    let now = party.now;
    party.rooms[0].admit(knock.expect("it waits"), now).unwrap();
    party.deliver();
    party.pass(5 * SECOND);
    assert_eq!(party.rooms[newcomer].status(), Status::Present);
}
