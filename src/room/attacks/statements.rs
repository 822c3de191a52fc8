//! Statements with false signatures, shown too early or too often.

use super::*;
use crate::{
    group::codec::Writer,
    law::{Genuine, GenuineStatement, Standing, Statement, Tag, Word, statement::Content as _},
    wire::statements::Statements,
};

#[test]
fn a_ban_is_shown_at_once_though_it_was_shown_before_with_a_false_signature() {
    let mut party = Party::new(3);
    // Member 1 keeps nothing and has rank; the host keeps. The ban is the moderator's.
    let (moderator, rebel) = (1, 3);
    let (id, now) = (party.id(moderator), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    party.rebel(rebel);
    // What the moderator will say, as anybody can tell who knows the law, under a signature of
    // nobody.
    let key = IdentityKey::from_bytes(*party.rooms[moderator].out.identity.public());
    let about = {
        let own = IdentityKey::from_bytes(*party.rooms[rebel].out.identity.public());
        party.memory(rebel).store.law().tag(&own)
    };
    let law = party.memory(rebel).store.law();
    let term = law.moderators().iter().find(|moderator| moderator.key == key).unwrap().term;
    let n = law.numbers(&about).bn + 1;
    let standing = Standing { issuer: key, term, about, word: Word::Ban, n };
    let written = standing.write(Writer::new().u8(STANDING)).bytes(&[7; 64]).finish();
    assert!(Statement::decode(&written).is_ok(), "the form is right");
    let statements = Statements::new(vec![written]).unwrap();
    party.say(rebel, &Saying::Statements(statements));
    let (id, now) = (party.id(rebel), party.now);
    party.rooms[moderator].ban(id, now).unwrap();
    party.deliver();
    let key = IdentityKey::from_bytes(*party.rooms[rebel].out.identity.public());
    assert!(!party.memory(2).store.law().admits(&key), "everybody knows the ban at once");
}

#[test]
fn a_moderators_words_about_nobody_do_not_make_the_host_sign_table_after_table() {
    let mut party = Party::new(2);
    let (id, now) = (party.id(1), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    party.rebel(1);
    let key = IdentityKey::from_bytes(*party.rooms[1].out.identity.public());
    let law = party.memory(1).store.law();
    let (term, floor) = (law.moderators()[0].term, law.rest().floor());
    let group_id = *party.memory(1).store.known().group_id();
    let said = (0..300_u16).map(|n| {
        let [high, low] = n.to_be_bytes();
        let about = Tag([0xee, high, low, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        let standing = Standing { issuer: key, term, about, word: Word::Ban, n: floor + 1 };
        GenuineStatement::Standing(Genuine::sign(standing, &identity(1), &group_id)).statement().encode()
    });
    let statements = Statements::new(said.collect()).unwrap();
    party.say(1, &Saying::Statements(statements));
    let (mut tables, mut last) = (0, None);
    for _ in 0..30 {
        party.pass(SECOND);
        let id = party.memory(2).store.law().table_id();
        tables += usize::from(last != id);
        last = id;
    }
    assert!(tables <= 3, "{tables} tables in 30 seconds");
}

#[test]
fn a_chain_shows_no_more_of_a_table_than_who_is_host() {
    let mut party = Party::new(2);
    let (id, now) = (party.id(1), party.now);
    party.rooms[0].set_role(id, Role::Moderator, now).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    party.rooms[1].set_admission(Admission::Open).unwrap();
    let now = party.now;
    party.rooms[0].hand_over(id, now).unwrap();
    party.deliver();
    party.pass(10 * SECOND);
    let newcomer = party.knock(3);
    party.pass(20 * SECOND);
    assert_eq!(party.rooms[newcomer].status(), Status::Present, "the chain leads from an old invite");
    let chains = party.log.iter().filter_map(|(_, envelope)| match party.read(envelope)? {
        Message::Chain(chain) => Some(chain),
        _ => None,
    });
    let tables: Vec<Vec<u8>> =
        chains.flat_map(|chain| chain.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()).collect();
    assert!(!tables.is_empty(), "the keeper shows the chain");
    assert!(tables.iter().all(|table| table[0] == TABLE), "without the rest");
}

/// The kind of a table without its rest in the encoding of statements.
const TABLE: u8 = 1;
/// The kind of a standing in the encoding of statements.
const STANDING: u8 = 0;
