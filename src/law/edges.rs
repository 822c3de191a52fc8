//! Numbers and tags at the edges of what the law bounds, by honest and hostile signers
//! (`spec/law.md`, P5).

use super::{
    Act, ActError, Pins, Rank, Rest, Role, RoleWord, Statement, Tag, Word,
    answers::{MAX_TAGS, WINDOW},
    properties::handed_over,
    rules::{Rule, without},
    world::{FOUNDER, World, made_up},
};

/// Who is what in [`World::with_moderators`].
const M: usize = 1;
const N: usize = 2;
const MEMBER: usize = 3;
const OTHER: usize = 4;

#[test]
fn p5_l19_a_moderator_that_speaks_about_4097_tags_leaves_the_host_able_to_act() {
    let mut world = World::with_moderators(5);
    let term = world.term(M);
    let word = Word::Role(RoleWord::new(Role::Speaker, false));
    let mut shown: Vec<_> = made_up(4_096).map(|tag| world.standing(M, term, tag, word, WINDOW)).collect();
    shown.push(world.standing(M, term, world.people[OTHER].tag, Word::Ban, WINDOW));
    let mut calls = 0;
    while !shown.is_empty() {
        shown = world.show(FOUNDER, shown).unlooked;
        calls += 1;
    }
    assert!(calls <= 5, "{calls} merges of 1,024 checks");
    let (tags, _) = world.law(FOUNDER).spoken_about(
        &world.people[M].key,
        super::Register::Role,
        &world.people[OTHER].tag,
    );
    assert_eq!(tags, MAX_TAGS);
    for act in [
        Act::Mute { who: world.people[MEMBER].tag },
        Act::TakeIn,
        Act::Ban { who: world.people[MEMBER].tag },
        Act::Demote { who: world.people[M].key, keep: vec![], banned: true },
    ] {
        world.act(FOUNDER, act).unwrap();
    }
    assert!(world.position(FOUNDER, MEMBER).banned && !world.law(FOUNDER).admits(&world.people[M].key));
    assert!(world.law(FOUNDER).rest().entries().len() < 10, "the table took in tags of nobody");
    assert_eq!(world.law(FOUNDER).standings(), 0, "the words ended with the term");
}

/// About how many tags a moderator is heard who speaks about 1,030.
fn heard_about() -> usize {
    let world = World::with_moderators(5);
    let word = |tag| world.standing(M, world.term(M), tag, Word::Ban, 1);
    let words = made_up(1_030).map(word).map(|word| word.verify(&world.terms.group_id()).unwrap());
    let store = &world.people[MEMBER].store;
    store.known().union(words, store.pins()).law().standings()
}

#[test]
fn without_l19_a_moderator_makes_everybody_keep_what_it_likes() {
    assert_eq!(heard_about(), MAX_TAGS);
    assert_eq!(without(Rule::Tags, heard_about), 1_030);
}

#[test]
fn p5_a_moderator_at_the_edge_of_its_window_leaves_the_host_able_to_act_and_others_full() {
    let mut world = World::with_moderators(5);
    let who = world.people[OTHER].tag;
    let base = world.law(M).numbers(&who).base_n;
    let edge = world.standing(M, world.term(M), who, Word::Role(RoleWord::OUT), base + WINDOW);
    for of in [FOUNDER, N] {
        let _ = world.show(of, vec![edge.clone()]);
    }
    assert_eq!(world.sign(N, world.admit(OTHER)), Err(ActError::Full));
    world.act(FOUNDER, world.admit(OTHER)).unwrap();
    assert!(world.law(FOUNDER).admits_tag(&who));
    let _ = world.show_known(FOUNDER, N);
    world.act(N, Act::Mute { who }).unwrap();
    assert!(world.position(N, OTHER).muted);
}

#[test]
fn p5_an_honest_host_acts_after_a_host_that_used_up_every_number() {
    let mut world = World::with_moderators(5);
    let office = world.law(FOUNDER).office();
    let entries: Vec<_> = made_up(4_091)
        .chain(world.people.iter().skip(1).map(|person| person.tag))
        .map(|tag| super::world::entry(tag, RoleWord::new(Role::Speaker, false), u32::MAX))
        .collect();
    assert_eq!(entries.len(), Rest::MAX_ENTRIES);
    let rest = Rest::new(u32::MAX, vec![], entries).unwrap();
    let hand_over = world.table(FOUNDER, office, u64::MAX, world.people[M].key, rest);
    let _ = world.show(M, vec![hand_over]);
    assert_eq!(world.law(M).rank_of(&world.people[M].key), Rank::Host);
    let tags: Vec<_> = world.people.iter().map(|person| person.tag).collect();
    world.act(M, Act::Remove { who: tags[OTHER] }).unwrap();
    assert!(!world.law(M).admits_tag(&tags[OTHER]));
    world.act(M, world.admit(OTHER)).unwrap();
    assert!(world.law(M).admits_tag(&tags[OTHER]));
    world.act(M, Act::Ban { who: tags[MEMBER] }).unwrap();
    assert!(!world.law(M).admits_tag(&tags[MEMBER]));
    world.act(M, Act::Promote { who: world.people[N].key }).unwrap();
    assert_eq!(world.law(M).rank_of(&world.people[N].key), Rank::Moderator);
    let stranger = Tag([0xcc; 16]);
    world.act(M, Act::Admit { who: stranger, role: Role::Listener, used_up: None }).unwrap();
    assert!(world.law(M).admits_tag(&stranger));
    world.act(M, Act::HandOver { to: world.people[N].key }).unwrap();
    assert_eq!(world.law(M).host(), &world.people[N].key);
}

#[test]
fn l16_the_greatest_table_number_ends_its_office_but_not_the_room() {
    let mut world = World::with_moderators(5);
    let law = world.law(FOUNDER);
    let rest = Rest::clone(law.rest());
    let last = world.table(FOUNDER, law.office(), u64::MAX, world.people[FOUNDER].key, rest);
    let _ = world.show(FOUNDER, vec![last]);
    assert_eq!(world.sign(FOUNDER, Act::TakeIn), Err(ActError::Exhausted));
    world.act(FOUNDER, Act::Ban { who: world.people[OTHER].tag }).unwrap();
    assert!(world.position(FOUNDER, OTHER).banned);
}

#[test]
fn l15_a_hand_over_without_its_rest_counts_once_something_follows_it() {
    let world = handed_over();
    let all: Vec<_> = world.people[MEMBER].store.known().statements().cloned().collect();
    assert_eq!(all.len(), 1);
    let Statement::Table(hand_over) = all[0].statement() else { panic!("no table") };
    let bytes = Statement::Table(hand_over).encode();
    let mut bare = bytes[..201].to_vec();
    bare[0] = 1;
    let bare = Statement::decode(&bare).unwrap().verify(&world.terms.group_id()).unwrap();
    assert_eq!(bare.id(), all[0].id(), "the rest is not in the id but by its hash");
    let alone = world.nothing().union([bare.clone()], &Pins::default());
    assert_eq!(alone.law().chain().len(), 0);
    let mut world = world;
    world.act(M, Act::TakeIn).unwrap();
    let table = world.people[M].store.known().statements().find(|other| other.id() != bare.id()).cloned();
    let both = world.nothing().union([bare].into_iter().chain(table), &Pins::default());
    assert_eq!(both.law().host(), &world.people[M].key);
    assert_eq!(&both, world.people[M].store.known());
    assert!(matches!(both.statements().count(), 2) && all.iter().all(|old| both.get(&old.id()).is_some()));
}
