//! Acts and the store, rule by rule (`spec/law.md`).

use crate::id::IdentityKey;

use super::{
    Act, ActError, Entry, GenuineStatement, Office, Rank, Register, Rest, Role, RoleWord, Statement, Tag,
    Term, Word,
    acts::{self, Recent},
    places::InviteState,
    world::{FOUNDER, World, entry, made_up},
};

const M: usize = 1;
const N: usize = 2;
const MEMBER: usize = 3;
const OTHER: usize = 4;

fn claimed(statement: &Statement) -> super::Standing {
    match statement {
        Statement::Standing(standing) => *standing.claimed(),
        Statement::Table(_) => panic!("a table"),
    }
}

fn is_table(statements: &[Statement]) -> bool {
    matches!(statements, [Statement::Table(_)])
}

#[test]
fn l12_l22_a_new_room_has_a_founder_and_nobody_else() {
    let world = World::new(2);
    let law = world.law(M);
    assert_eq!(law.host(), &world.people[FOUNDER].key);
    assert_eq!(law.office(), Office::from(world.terms.group_id()));
    assert!(law.admits(&world.people[FOUNDER].key) && !law.admits(&world.people[M].key));
    assert_eq!(
        (law.table_no(), law.moderators().len(), law.is_over(), law.is_locked()),
        (None, 0, false, false)
    );
}

#[test]
fn l5_l8_l10_every_bit_and_every_cut_of_a_statement_is_refused() {
    let mut world = World::with_moderators(4);
    let standing = world.sign(M, Act::Ban { who: world.people[OTHER].tag }).unwrap();
    let table = world.sign(FOUNDER, Act::TakeIn).unwrap();
    let room = world.terms.group_id();
    for statement in standing.into_iter().chain(table) {
        let bytes = statement.encode();
        assert_eq!(Statement::decode(&bytes), Ok(statement.clone()));
        assert!(statement.clone().verify(&super::GroupId([1; 32])).is_err(), "of another room");
        for at in 0..bytes.len() {
            assert!(Statement::decode(&bytes[..at]).is_err(), "cut at {at}");
            let mut other = bytes.clone();
            other[at] ^= 1;
            let refused = Statement::decode(&other).map_or(true, |other| other.verify(&room).is_err());
            assert!(refused, "byte {at}");
        }
        assert!(Statement::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
    assert!(Statement::decode(&[3; 300]).is_err());
}

#[test]
fn l6_an_id_covers_all_but_the_signature() {
    let world = World::with_moderators(4);
    let word = Word::Role(RoleWord::LISTENER);
    let statement = world.standing(M, world.term(M), world.people[OTHER].tag, word, 5);
    let mut bytes = statement.encode();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let room = world.terms.group_id();
    assert_eq!(Statement::decode(&bytes).unwrap().id(&room), statement.id(&room));
    let other = world.standing(M, world.term(M), world.people[OTHER].tag, word, 6);
    assert_ne!(other.id(&room), statement.id(&room));
}

#[test]
fn l7_a_rest_out_of_order_with_twins_or_beyond_its_bounds_is_refused() {
    let world = World::with_moderators(4);
    let law = world.law(FOUNDER);
    let (office, key) = (law.office(), world.people[FOUNDER].key);
    let moderator =
        |n: usize| super::Moderator { key: world.people[n].key, term: Term([1; 16]), muted: false };
    let tags: Vec<_> = made_up(4_097).collect();
    let of = |tags: &[Tag]| tags.iter().map(|tag| entry(*tag, RoleWord::OUT, 1)).collect::<Vec<_>>();
    assert!(Rest::new(0, vec![moderator(1), moderator(1)], vec![]).is_none());
    assert!(Rest::new(0, vec![super::Moderator { term: Term::NONE, ..moderator(1) }], vec![]).is_none());
    assert!(Rest::new(0, vec![], of(&[tags[0], tags[0]])).is_none());
    assert!(Rest::new(0, vec![], of(&tags)).is_none());
    assert!(Rest::new(0, vec![], of(&tags[..4_096])).is_some());
    let with_host = Rest::new(0, vec![moderator(FOUNDER)], vec![]).unwrap();
    assert!(super::Table::new(key, office, 1, key, with_host).is_none());
    let rest = Rest::new(0, vec![], of(&tags[..2])).unwrap();
    let bytes = world.table(FOUNDER, office, 1, key, rest).encode();
    let mut swapped = bytes.clone();
    let (first, second) = (201 + 7, 201 + 7 + 26);
    swapped.copy_within(second..second + 26, first);
    swapped[second..second + 26].copy_from_slice(&bytes[first..first + 26]);
    assert!(Statement::decode(&bytes).is_ok() && Statement::decode(&swapped).is_err());
    assert_eq!(bytes.len(), 1 + 200 + 7 + 2 * 26);
}

#[test]
fn l31_an_act_is_a_standing_with_the_next_number() {
    let mut world = World::with_moderators(5);
    let who = world.people[OTHER].tag;
    let first = claimed(&world.act(M, Act::Ban { who }).unwrap()[0]);
    let base = world.law(M).numbers(&who).base_bn;
    assert_eq!((first.n, first.word, first.term), (base + 1, Word::Ban, world.term(M)));
    let second = claimed(&world.act(M, Act::Unban { who }).unwrap()[0]);
    assert_eq!(second.n, first.n + 1);
    assert_eq!(world.people[M].store.own(world.term(M), who, Register::Ban), second.n);
    assert_eq!(world.sign(M, Act::Unban { who }), Err(ActError::AlreadySo));
    assert_eq!(world.sign(M, Act::Promote { who: world.people[OTHER].key }), Err(ActError::HostOnly));
    assert_eq!(world.sign(M, Act::Ban { who: world.people[FOUNDER].tag }), Err(ActError::AboutHost));
    assert_eq!(world.sign(M, Act::Ban { who: world.people[N].tag }), Err(ActError::AboutModerator));
    assert_eq!(world.sign(MEMBER, Act::Lock), Err(ActError::NoRank));
    assert_eq!(world.sign(M, Act::Mute { who: Tag([9; 16]) }), Err(ActError::NotAdmitted));
}

#[test]
fn l21_a_ban_is_lifted_by_its_moderator_or_by_the_host() {
    let mut world = World::with_moderators(5);
    let who = world.people[OTHER].tag;
    world.act(M, Act::Ban { who }).unwrap();
    world.show_all();
    assert_eq!(world.sign(N, Act::Unban { who }), Err(ActError::NotYours));
    assert_eq!(world.law(N).bans(&who)[0].content().issuer, world.people[M].key);
    world.act(N, Act::Ban { who }).unwrap();
    world.show_all();
    world.act(M, Act::Unban { who }).unwrap();
    assert!(world.position(M, OTHER).banned, "the other ban stands");
    world.show_all();
    world.act(FOUNDER, Act::Unban { who }).unwrap();
    assert!(!world.position(FOUNDER, OTHER).banned);
    assert_eq!(world.sign(M, world.admit(OTHER)), Err(ActError::Banned), "a stale view");
}

#[test]
fn l32_a_table_takes_in_roles_and_bans_but_not_what_a_moderator_says_about_nobody() {
    let mut world = World::with_moderators(5);
    let who = world.people[OTHER].tag;
    world.act(M, Act::Mute { who }).unwrap();
    world.act(M, Act::Ban { who: world.people[5].tag }).unwrap();
    world.act(M, Act::Ban { who: Tag([0xdd; 16]) }).unwrap();
    world.show_all();
    world.act(FOUNDER, Act::TakeIn).unwrap();
    let law = world.law(FOUNDER);
    assert!(law.rest().entry(&who).unwrap().role.is_muted());
    assert!(law.rest().entry(&world.people[5].tag).unwrap().banned);
    assert!(law.rest().entry(&Tag([0xdd; 16])).is_none());
    assert!(law.said_about(&Tag([0xdd; 16])).banned, "it counts as a standing still");
    assert_eq!(law.standings(), 1);
}

#[test]
fn l32_l35_of_the_words_of_who_is_demoted_those_stay_that_the_host_keeps() {
    let mut world = World::with_moderators(5);
    let (kept, dropped) = (world.people[OTHER].tag, world.people[5].tag);
    world.act(M, Act::Ban { who: kept }).unwrap();
    world.act(M, Act::Ban { who: dropped }).unwrap();
    world.show_all();
    let keep = world.law(FOUNDER).bans(&kept).iter().map(super::Genuine::id).collect();
    world.act(FOUNDER, Act::Demote { who: world.people[M].key, keep, banned: false }).unwrap();
    let law = world.law(FOUNDER);
    assert!(law.standing_of(&kept).banned && !law.standing_of(&dropped).banned);
    assert_eq!(law.rank_of(&world.people[M].key), Rank::None);
    assert_eq!(world.position(FOUNDER, M).role, Role::Listener);
    // L35: members that had the ban in force learn that it fell; the host lifted the other
    // knowingly.
    let merged = world.show_known(FOUNDER, MEMBER);
    let fallen: Vec<_> = merged.fallen.iter().map(|fallen| fallen.ban().content().about).collect();
    assert_eq!(fallen, [dropped]);
    assert_eq!(world.people[MEMBER].store.fallen().len(), 1);
    world.act(FOUNDER, Act::Ban { who: dropped }).unwrap();
    let merged = world.show_known(FOUNDER, MEMBER);
    assert_eq!(merged.newly_out, [dropped]);
    assert!(world.people[MEMBER].store.fallen().is_empty(), "the host has spoken");
}

#[test]
fn l32_hand_over_and_close() {
    let mut world = World::with_moderators(5);
    world.act(FOUNDER, Act::HandOver { to: world.people[M].key }).unwrap();
    let law = world.law(FOUNDER);
    assert_eq!(
        (law.rank_of(&world.people[M].key), law.rank_of(&world.people[FOUNDER].key)),
        (Rank::Host, Rank::None)
    );
    assert_eq!(world.position(FOUNDER, FOUNDER).role, Role::Listener);
    assert_eq!(law.rank_of(&world.people[N].key), Rank::Moderator, "the others stay");
    assert_eq!(world.sign(FOUNDER, Act::Close), Err(ActError::HostOnly));
    world.show_all();
    world.act(M, Act::Close).unwrap();
    world.show_all();
    let law = world.law(MEMBER);
    assert!(law.is_over() && !law.admits(&world.people[M].key) && !law.admits(&world.people[MEMBER].key));
    assert_eq!(law.chain().len(), 2);
    assert_eq!(world.sign(M, Act::Lock), Err(ActError::Over));
}

#[test]
fn l23_a_muted_moderator_is_muted_by_the_table_alone() {
    let mut world = World::with_moderators(5);
    let who = world.people[M].tag;
    let muted = world.standing(N, world.term(N), who, Word::Role(RoleWord::new(Role::Speaker, true)), 9_000);
    let _ = world.show(FOUNDER, vec![muted]);
    assert!(!world.position(FOUNDER, M).muted);
    assert!(is_table(&world.act(FOUNDER, Act::Mute { who }).unwrap()));
    assert!(world.position(FOUNDER, M).muted);
    assert_eq!(world.law(FOUNDER).rank_of_tag(&who), Rank::Moderator);
    world.act(FOUNDER, Act::Unmute { who }).unwrap();
    assert!(!world.position(FOUNDER, M).muted);
}

#[test]
fn l25_invites_and_the_lock_are_subjects_of_the_law() {
    let mut world = World::with_moderators(5);
    let invite = world.terms.invite_tag(&[3; 16], 99, 1);
    assert_eq!(world.law(M).invite(&invite), None);
    world.act(M, Act::MakeInvite { invite, role: Role::Listener }).unwrap();
    assert_eq!(world.law(M).invite(&invite), Some(InviteState::Live(Role::Listener)));
    world.act(FOUNDER, Act::Remove { who: world.people[OTHER].tag }).unwrap();
    world.show_all();
    let used = Act::Admit { who: world.people[OTHER].tag, role: Role::Listener, used_up: Some(invite) };
    assert_eq!(world.act(M, used).unwrap().len(), 2);
    assert_eq!(world.law(M).invite(&invite), Some(InviteState::Revoked));
    assert!(world.law(M).admits_tag(&world.people[OTHER].tag));
    world.act(M, Act::Lock).unwrap();
    world.show_all();
    assert!(world.law(MEMBER).is_locked());
    assert_eq!(world.sign(N, Act::Unlock), Err(ActError::NotYours));
    world.act(FOUNDER, Act::Unlock).unwrap();
    assert!(!world.law(FOUNDER).is_locked());
}

#[test]
fn l33_a_ban_that_a_table_could_not_know_is_signed_again_above_it() {
    let mut world = World::with_moderators(5);
    let who = world.people[OTHER].tag;
    let statement = world.act(M, Act::Ban { who }).unwrap().remove(0);
    let Ok(GenuineStatement::Standing(standing)) = statement.verify(&world.terms.group_id()) else {
        panic!("no standing")
    };
    let recent = [Recent { standing, made_ms: world.now_ms }];
    // The host promotes the person, and demotes it, without having seen the ban.
    world.now_ms -= 2_000;
    let who_key = world.people[OTHER].key;
    world.act(FOUNDER, Act::Promote { who: who_key }).unwrap();
    world.act(FOUNDER, Act::Demote { who: who_key, keep: vec![], banned: false }).unwrap();
    let merged = world.show_known(FOUNDER, M);
    assert!(merged.changed && world.law(M).admits_tag(&who));
    let renewed = acts::renewals(&world.people[M].identity, &world.people[M].store, &recent, world.now_ms);
    assert_eq!(renewed.len(), 1);
    assert!(claimed(&renewed[0]).n > world.law(M).numbers(&who).base_bn);
    let _ = world.show(M, renewed);
    assert!(!world.law(M).admits_tag(&who));
    let late =
        acts::renewals(&world.people[M].identity, &world.people[M].store, &recent, world.now_ms + 70_000);
    assert!(late.is_empty());
}

#[test]
fn l34_a_full_table_leaves_out_who_is_out_before_anybody_else() {
    let mut world = World::with_moderators(5);
    let law = world.law(FOUNDER);
    let rest = law.rest();
    let room = 4_096 - rest.entries().len();
    let mut entries: Vec<Entry> = rest.entries().to_vec();
    entries.extend(
        made_up(4_096).take(room - 1).map(|tag| Entry { banned: true, ..entry(tag, RoleWord::OUT, 7) }),
    );
    let gone = Tag([0xaa; 16]);
    entries.push(entry(gone, RoleWord::OUT, 50));
    let full = Rest::new(3, rest.moderators().to_vec(), entries).unwrap();
    let table =
        world.table(FOUNDER, law.office(), law.table_no().unwrap() + 1, world.people[FOUNDER].key, full);
    let _ = world.show(FOUNDER, vec![table]);
    let who = Tag([0xcc; 16]);
    world.act(FOUNDER, Act::Admit { who, role: Role::Listener, used_up: None }).unwrap();
    world.act(FOUNDER, Act::TakeIn).unwrap();
    let rest = world.law(FOUNDER).rest();
    assert_eq!((rest.entries().len(), rest.floor()), (4_096, 50 + 4_097));
    assert!(rest.entry(&gone).is_none() && rest.entry(&who).is_some());
}

#[test]
fn l13_a_room_changes_hands_1024_times_and_can_still_be_closed() {
    let mut world = World::new(1);
    let keys = [world.people[0].key, world.people[1].key];
    let mut office = Office::from(world.terms.group_id());
    let mut shown = Vec::new();
    for no in 0..1_025 {
        let (by, to) = (no % 2, (no + 1) % 2);
        let hand_over = world.table(by, office, 1, keys[to], Rest::default());
        if no == 1_024 {
            shown.push(world.table(by, office, 1, IdentityKey::from_bytes([0; 32]), Rest::default()));
        }
        office = hand_over.id(&world.terms.group_id()).into();
        shown.push(hand_over);
    }
    let closing = shown.remove(1_024);
    while !shown.is_empty() {
        shown = world.show(1, shown).unlooked;
    }
    assert_eq!((world.law(1).chain().len(), world.law(1).host()), (1_024, &keys[0]));
    let _ = world.show(1, vec![closing]);
    assert!(world.law(1).is_over());
}

#[test]
fn l20_the_later_role_counts_whoever_of_rank_gave_it_and_of_equal_numbers_the_stricter() {
    let mut world = World::with_moderators(5);
    let who = world.people[OTHER].tag;
    world.act(M, Act::Remove { who }).unwrap();
    world.show_all();
    world.act(N, Act::Admit { who, role: Role::Listener, used_up: None }).unwrap();
    world.show_all();
    assert_eq!(world.position(M, OTHER).role, Role::Listener);
    world.act(M, Act::SetRole { who, role: Role::Recorder }).unwrap();
    world.act(N, Act::SetRole { who, role: Role::Speaker }).unwrap();
    world.show_all();
    assert_eq!(world.position(FOUNDER, OTHER).role, Role::Recorder);
}

#[test]
fn l36_a_table_number_is_a_clock_and_never_repeats() {
    let mut world = World::with_moderators(3);
    let no = world.law(FOUNDER).table_no().unwrap();
    assert!(no <= world.now_ms);
    world.now_ms = 0;
    world.act(FOUNDER, Act::TakeIn).unwrap();
    assert_eq!(world.law(FOUNDER).table_no(), Some(no + 1), "the clock went back");
    world.now_ms = 1 << 40;
    world.act(FOUNDER, Act::TakeIn).unwrap();
    assert_eq!(world.law(FOUNDER).table_no(), Some(world.now_ms));
}

#[test]
fn l31_a_moderator_who_uses_up_the_numbers_about_somebody_keeps_no_other_from_banning_it() {
    let mut world = World::with_moderators(4);
    let tag = world.people[OTHER].tag;
    let last = world.law(M).numbers(&tag).base_bn + super::answers::WINDOW;
    let unban = world.standing(M, world.term(M), tag, Word::Unban, last);
    let _ = world.show(N, vec![unban]);
    let _ = world.act(N, Act::Ban { who: tag }).unwrap();
    assert!(world.position(N, OTHER).banned);
}
