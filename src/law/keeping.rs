//! What one member keeps of the law, rule by rule (`spec/law.md`, L24 to L30).

use super::{
    Act, Anchor, GenuineStatement, LiveSet, Office, Pins, Register, RoleWord, Statement, Store, Tag, Term,
    Word, set,
    world::{FOUNDER, World, made_up},
};

const M: usize = 1;
const N: usize = 2;
const MEMBER: usize = 3;
const OTHER: usize = 4;

#[test]
fn l29_a_merge_checks_only_signatures_that_can_count_and_hands_back_the_rest() {
    let mut world = World::with_moderators(5);
    let (term, who) = (world.term(M), world.people[OTHER].tag);
    let useless = vec![
        world.standing(MEMBER, term, who, Word::Ban, 5_000),
        world.standing(M, Term([1; 16]), who, Word::Ban, 5_000),
        world.standing(M, term, who, Word::Ban, 0),
        world.standing(M, term, who, Word::Ban, u32::MAX),
    ];
    assert_eq!(world.show(MEMBER, useless).checked, 0);
    let base = world.law(MEMBER).numbers(&who).base_bn;
    let genuine = world.standing(M, term, who, Word::Ban, base + 7);
    let twins = vec![genuine.clone(), genuine.clone(), world.standing(M, term, who, Word::Unban, base + 6)];
    let merged = world.show(MEMBER, twins.clone());
    assert_eq!((merged.checked, merged.newly_out.as_slice()), (1, &[who][..]));
    assert_eq!(world.show(MEMBER, twins).checked, 0, "it is known");
    let word = Word::Role(RoleWord::LISTENER);
    let bytes = world.standing(N, world.term(N), made_up(1).next().unwrap(), word, 1).encode();
    let flood = (1..=1_500u16).map(|n| {
        let mut bytes = bytes.clone();
        bytes[50..52].copy_from_slice(&n.to_be_bytes());
        Statement::decode(&bytes).unwrap()
    });
    let merged = world.show(MEMBER, flood.collect());
    assert_eq!((merged.checked, merged.unlooked.len()), (Store::MAX_CHECKS, 1_500 - Store::MAX_CHECKS));
    assert!(!merged.changed);
}

#[test]
fn l29_a_forged_greatest_word_does_not_hide_a_genuine_lesser_one() {
    let mut world = World::with_moderators(5);
    let who = world.people[OTHER].tag;
    let base = world.law(MEMBER).numbers(&who).base_bn;
    let genuine = world.standing(M, world.term(M), who, Word::Ban, base + 1);
    let mut bytes = world.standing(M, world.term(M), who, Word::Unban, base + 2).encode();
    *bytes.last_mut().unwrap() ^= 1;
    let merged = world.show(MEMBER, vec![Statement::decode(&bytes).unwrap(), genuine]);
    assert_eq!((merged.checked, merged.newly_out.len()), (2, 1));
}

#[test]
fn l30_what_a_commit_needs_is_kept_until_the_epoch_ends() {
    let mut world = World::with_moderators(5);
    let who = world.people[OTHER].tag;
    let epoch = world.people[MEMBER].store.known().clone();
    let ban = world.act(M, Act::Ban { who }).unwrap();
    let id = ban[0].id(&world.terms.group_id());
    // Known law has a newer table, under which that ban does not count any more.
    world.act(FOUNDER, Act::Demote { who: world.people[M].key, keep: vec![], banned: false }).unwrap();
    let _ = world.show_known(FOUNDER, MEMBER);
    assert_eq!(world.people[MEMBER].store.epoch_law(&epoch, &[id]), Err(id));
    let merged = world.people[MEMBER].store.merge(ban, &epoch);
    assert!(!merged.changed);
    let next = world.people[MEMBER].store.epoch_law(&epoch, &[id]).unwrap();
    assert!(next.law().standing_of(&who).banned && next.get(&id).is_some());
    world.people[MEMBER].store.epoch_ended();
    assert_eq!(world.people[MEMBER].store.epoch_law(&epoch, &[id]), Err(id));
}

#[test]
fn l24_the_law_hash_is_of_the_ids_in_order_and_a_set_is_read_as_it_was_written() {
    let mut world = World::with_moderators(5);
    world.act(M, Act::Lock).unwrap();
    world.show_all();
    let known = world.people[MEMBER].store.known().clone();
    let room = world.terms.group_id();
    let mut shown = set::decode(&known.encode()).unwrap();
    shown.reverse();
    let genuine = shown.into_iter().map(|statement| statement.verify(&room).unwrap());
    let read = world.nothing().union(genuine, &Pins::default());
    assert_eq!((read.hash(), read.ids().len()), (known.hash(), 2));
    assert_eq!(set::decode(&[0xff; 4]), Err(crate::group::codec::Malformed));
}

#[test]
fn l27_a_store_is_read_as_it_was_written_and_no_altered_one_is() {
    let mut world = World::with_moderators(5);
    let who = world.people[OTHER].tag;
    world.act(M, Act::Ban { who }).unwrap();
    world.show_all();
    world.act(FOUNDER, Act::Demote { who: world.people[M].key, keep: vec![], banned: false }).unwrap();
    world.act(FOUNDER, Act::HandOver { to: world.people[N].key }).unwrap();
    world.show_all();
    world.act(N, Act::Lock).unwrap();
    for of in [N, MEMBER] {
        let store = &world.people[of].store;
        let bytes = store.encode();
        let read = Store::decode(&bytes, world.terms.clone()).unwrap();
        assert_eq!((read.known(), read.pins(), read.fallen()), (store.known(), store.pins(), store.fallen()));
        assert_eq!(read.encode(), bytes);
        for at in 0..bytes.len() {
            assert!(Store::decode(&bytes[..at], world.terms.clone()).is_err(), "cut at {at}");
        }
    }
    assert_eq!(world.people[MEMBER].store.fallen().len(), 1);
    let store = world.people[N].store.clone();
    assert_eq!(store.own(world.term(N), Tag::LOCK, Register::Ban), 1);
}

#[test]
fn l26_l28_a_newcomer_starts_at_the_office_of_its_invite() {
    let mut world = World::with_moderators(5);
    world.act(FOUNDER, Act::HandOver { to: world.people[M].key }).unwrap();
    world.show_all();
    let invited = Anchor::Invite { host: world.people[M].key, office: world.law(M).office() };
    world.act(M, Act::HandOver { to: world.people[N].key }).unwrap();
    world.show_all();
    let mut newcomer = Store::new(world.terms.clone(), invited, world.people[5].key);
    let known = world.people[N].store.known();
    let nothing = LiveSet::new(world.terms.clone(), invited);
    let shown: Vec<_> = known.statements().map(GenuineStatement::statement).collect();
    let merged = newcomer.merge(shown, &nothing);
    assert_eq!(merged.checked, 1, "the first hand-over is before the invite");
    assert_eq!(newcomer.law().host(), &world.people[N].key);
    let pins = Pins::of_office(world.law(FOUNDER).office(), &world.terms.group_id());
    assert!(pins.is_contained_in(known.law()) && !pins.is_contained_in(world.nothing().law()));
    assert!(Pins::of_office(Office::from(world.terms.group_id()), &world.terms.group_id()).ids().is_empty());
}
