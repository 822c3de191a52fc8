//! The properties of the law (`spec/law.md`, P1 to P8), by honest and hostile signers with real
//! signatures. For each rule that defends one, a test takes the rule out and sees the property
//! break.

use proptest::prelude::*;

use super::{
    Act, Office, Pins, Rank, Rest, Role, RoleWord, Statement, Tag, Term, Word,
    answers::WINDOW,
    rules::{Rule, without},
    world::{FOUNDER, World, made_up},
};

/// Who is what in [`World::with_moderators`].
const M: usize = 1;
const N: usize = 2;
const MEMBER: usize = 3;
const OTHER: usize = 4;

/// One thing that happens: kind, by whom, about whom, which, and a number.
type Step = (u8, usize, usize, u8, u8);

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0u8..10, 0usize..6, 0usize..6, any::<u8>(), any::<u8>()), 1..most)
}

fn act(world: &World, about: usize, which: u8) -> Act {
    let (who, key) = (world.people[about].tag, world.people[about].key);
    let words = world.people[FOUNDER].store.law().words(&who).iter().map(super::Genuine::id).collect();
    match which % 13 {
        0 | 1 => Act::Admit { who, role: Role::Speaker, used_up: None },
        2 => Act::SetRole { who, role: Role::Listener },
        3 => Act::Mute { who },
        4 => Act::Unmute { who },
        5 => Act::Remove { who },
        6 | 7 => Act::Ban { who },
        8 => Act::Unban { who },
        9 => Act::Promote { who: key },
        10 => Act::Demote { who: key, keep: words, banned: which > 200 },
        11 if which > 128 => Act::HandOver { to: key },
        11 => Act::TakeIn,
        _ => Act::Lock,
    }
}

/// A number around every edge of the window above `base`.
fn edge(base: u32, which: u8) -> u32 {
    match which % 9 {
        0 => 0,
        1 => base,
        2 => base.saturating_add(WINDOW),
        3 => base.saturating_add(WINDOW + 1),
        4 => u32::MAX,
        more => base.saturating_add(u32::from(more) - 4),
    }
}

/// A word by anybody, under its present term, the host's, or none.
fn forged(world: &World, by: usize, about: usize, which: u8, n: u8) -> Statement {
    let law = world.law(by);
    let term = match which % 4 {
        0 => law.office().term(),
        1 => Term([9; 16]),
        _ => law.term_of(&world.people[by].key).unwrap_or(law.office().term()),
    };
    let about = world.people[about].tag;
    let numbers = law.numbers(&about);
    let word = match which / 4 % 6 {
        0 => Word::Ban,
        1 => Word::Unban,
        2 => Word::Role(RoleWord::OUT),
        3 => Word::Role(RoleWord::new(Role::Listener, true)),
        _ => Word::Role(RoleWord::new(Role::Speaker, false)),
    };
    let base = if which / 4 % 6 < 2 { numbers.base_bn } else { numbers.base_n };
    world.standing(by, term, about, word, edge(base, n))
}

/// A table by somebody who is not host.
fn forged_table(world: &World, by: usize, about: usize, which: u8) -> Statement {
    let law = world.law(by);
    let office = if which.is_multiple_of(2) { law.office() } else { Office([which; 32]) };
    let host = if which.is_multiple_of(3) { world.people[by].key } else { world.people[about].key };
    world.table(by, office, u64::MAX - u64::from(which), host, Rest::default())
}

/// Honest acts of who has rank in its own view, showing in part, and forgeries of all but hosts.
fn history(steps: &[Step]) -> World {
    let mut world = World::with_moderators(5);
    let mut hosts = vec![FOUNDER];
    for (kind, by, about, which, n) in steps.iter().copied() {
        match kind {
            0..=4 => {
                let act = act(&world, about, which);
                let handed = matches!(act, Act::HandOver { .. });
                if world.act(by, act).is_ok() && handed {
                    hosts.push(about);
                }
            }
            5..=6 if !hosts.contains(&by) => {
                let forged = forged(&world, by, about, which, n);
                let _ = world.show(usize::from(n) % 6, vec![forged]);
            }
            7 if !hosts.contains(&by) => {
                let forged = forged_table(&world, by, about, which);
                let _ = world.show(usize::from(n) % 6, vec![forged]);
            }
            _ => {
                let _ = world.show_known(by, about);
            }
        }
    }
    world
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn p1_stores_that_show_each_other_their_sets_end_with_one_law(steps in steps(40), order in prop::collection::vec((0usize..6, 0usize..6), 0..12)) {
        let mut world = history(&steps);
        let all: Vec<_> = world.people.iter().flat_map(|person| person.store.known().statements().cloned()).collect();
        let at_once = world.nothing().union(all, &Pins::default());
        for (from, to) in order {
            let _ = world.show_known(from, to);
        }
        world.show_all();
        for person in &world.people {
            prop_assert_eq!(person.store.known(), world.people[0].store.known());
        }
        prop_assert_eq!(&at_once, world.people[0].store.known());
        let again = world.nothing().union(at_once.statements().cloned(), &Pins::default());
        prop_assert_eq!(again, at_once, "forgetting what is not live changes nothing");
    }

    #[test]
    fn p2_keys_without_rank_change_nothing_and_cost_no_signature_check(steps in steps(25), forgeries in steps(12)) {
        let mut world = history(&steps);
        let shown: Vec<_> = forgeries
            .into_iter()
            .filter(|(_, by, ..)| {
                let former = world.law(OTHER).chain().len() > 0;
                world.law(OTHER).rank_of(&world.people[*by].key) == Rank::None && !(former && *by == FOUNDER)
            })
            .map(|(kind, by, about, which, n)| match kind % 2 {
                0 => forged(&world, by, about, which, n),
                _ => forged_table(&world, by, about, which),
            })
            .collect();
        let (hash, former) = (world.people[OTHER].store.known().hash(), world.law(OTHER).chain().len() > 0);
        let merged = world.show(OTHER, shown);
        prop_assert_eq!(world.people[OTHER].store.known().hash(), hash);
        prop_assert!(former || merged.checked == 0);
    }

    #[test]
    fn p3_a_term_that_ended_changes_nothing(words in steps(8), again: bool) {
        prop_assert!(ended_term_is_dead(&words, again));
    }

    #[test]
    fn p4_the_ban_of_the_host_is_lifted_by_the_host_alone(before in steps(6), words in steps(12), take_in: bool) {
        prop_assert!(host_ban_holds(&before, &words, take_in));
    }

    #[test]
    fn p5_an_act_of_the_host_has_its_effect(words in steps(12), which: u8) {
        prop_assert!(host_act_has_effect(&words, which));
    }

    #[test]
    fn p6_nothing_signed_before_a_change_of_office_wakes(words in steps(8), back: bool) {
        prop_assert!(nothing_wakes(&words, back));
    }

    #[test]
    fn p8_numbers_stay_in_their_windows(words in steps(12)) {
        prop_assert!(numbers_stay(&words));
    }
}

/// Words of moderator `by` about everybody, under `term`.
fn words_of(world: &World, by: usize, term: Term, steps: &[Step]) -> Vec<Statement> {
    let word = |(kind, _, about, which, n): &Step| {
        let about = world.people[*about].tag;
        let word = [Word::Ban, Word::Unban, Word::Role(RoleWord::OUT), Word::Role(RoleWord::LISTENER)];
        let word = word[usize::from(*which) % 4];
        let numbers = world.law(FOUNDER).numbers(&about);
        let base = if *kind < 5 { numbers.n.max(numbers.bn) } else { numbers.base_n.max(numbers.base_bn) };
        world.standing(by, term, about, word, edge(base, *n))
    };
    steps.iter().map(word).collect()
}

fn ended_term_is_dead(words: &[Step], again: bool) -> bool {
    let mut world = World::with_moderators(5);
    let (old, key) = (world.term(M), world.people[M].key);
    world.act(FOUNDER, Act::Demote { who: key, keep: vec![], banned: false }).unwrap();
    if again {
        world.act(FOUNDER, Act::Promote { who: key }).unwrap();
    }
    let sense = world.sense(FOUNDER);
    let shown = words_of(&world, M, old, words);
    let _ = world.show(FOUNDER, shown);
    sense == world.sense(FOUNDER)
}

fn host_ban_holds(before: &[Step], words: &[Step], take_in: bool) -> bool {
    let mut world = World::with_moderators(5);
    let shown = words_of(&world, M, world.term(M), before);
    let _ = world.show(FOUNDER, shown);
    let who = world.people[OTHER].tag;
    if world.act(FOUNDER, Act::Ban { who }).is_err() {
        return true;
    }
    if take_in {
        world.act(FOUNDER, Act::TakeIn).unwrap();
    }
    for by in [M, N, MEMBER] {
        let term =
            world.law(FOUNDER).term_of(&world.people[by].key).unwrap_or(world.law(FOUNDER).office().term());
        let shown = words_of(&world, by, term, words);
        let _ = world.show(FOUNDER, shown);
    }
    !world.law(FOUNDER).admits_tag(&who)
}

fn host_act_has_effect(words: &[Step], which: u8) -> bool {
    let mut world = World::with_moderators(5);
    for by in [M, N] {
        let shown = words_of(&world, by, world.term(by), words);
        let _ = world.show(FOUNDER, shown);
    }
    let (who, key) = (world.people[OTHER].tag, world.people[OTHER].key);
    let act = match which % 6 {
        0 => Act::Admit { who, role: Role::Speaker, used_up: None },
        1 => Act::Remove { who },
        2 => Act::Ban { who },
        3 => Act::Unban { who },
        4 => Act::Promote { who: key },
        _ => Act::Mute { who },
    };
    if world.act(FOUNDER, act).is_err() {
        return true;
    }
    let position = world.position(FOUNDER, OTHER);
    match which % 6 {
        0 => position.role == Role::Speaker,
        1 => position.role == Role::Out,
        2 => position.banned,
        3 => !position.banned,
        4 => world.law(FOUNDER).rank_of(&key) == Rank::Moderator,
        _ => position.muted,
    }
}

/// Moderator 2 speaks about moderator 1, hidden from the host until after the demotion.
fn nothing_wakes(words: &[Step], back: bool) -> bool {
    let mut world = World::with_moderators(5);
    let tag = world.people[M].tag;
    let hidden: Vec<_> = words_of(&world, N, world.term(N), words)
        .into_iter()
        .filter(|word| matches!(word, Statement::Standing(word) if word.claimed().about == tag))
        .chain([world.standing(
            N,
            world.term(N),
            tag,
            Word::Role(RoleWord::OUT),
            world.law(N).numbers(&tag).n + 1,
        )])
        .filter(|word| matches!(word, Statement::Standing(word) if world.law(N).hears(word.claimed())))
        .collect();
    let key = world.people[M].key;
    if back {
        world.act(FOUNDER, Act::HandOver { to: key }).unwrap();
        let _ = world.show_known(FOUNDER, M);
        world.act(M, Act::HandOver { to: world.people[FOUNDER].key }).unwrap();
        let _ = world.show_known(M, FOUNDER);
    } else {
        world.act(FOUNDER, Act::Demote { who: key, keep: vec![], banned: false }).unwrap();
    }
    let sense = world.sense(FOUNDER);
    let _ = world.show(FOUNDER, hidden);
    sense == world.sense(FOUNDER)
}

fn numbers_stay(words: &[Step]) -> bool {
    let mut world = World::with_moderators(5);
    for by in [M, N] {
        let shown = words_of(&world, by, world.term(by), words);
        let _ = world.show(FOUNDER, shown);
    }
    let law = world.law(FOUNDER);
    world.people.iter().all(|person| {
        let numbers = law.numbers(&person.tag);
        numbers.n - numbers.base_n <= WINDOW && numbers.bn - numbers.base_bn <= WINDOW
    })
}

/// A second hand-over of the founder, with a lesser id than the one that everybody has taken.
fn second_hand_over(world: &World) -> Statement {
    let taken = world.law(MEMBER).chain().next().unwrap();
    let office = Office::from(world.terms.group_id());
    let second = |no| world.table(FOUNDER, office, no, world.people[OTHER].key, Rest::default());
    (0..).map(second).find(|table| table.id(&world.terms.group_id()) < taken).unwrap()
}

pub(super) fn handed_over() -> World {
    let mut world = World::with_moderators(5);
    world.act(FOUNDER, Act::HandOver { to: world.people[M].key }).unwrap();
    world.show_all();
    world
}

#[test]
fn p7_l14_l37_a_pin_never_moves_and_the_second_hand_over_is_kept_as_proof() {
    let mut world = handed_over();
    let second = second_hand_over(&world);
    let (hash, pins) = (world.people[MEMBER].store.known().hash(), world.people[MEMBER].store.pins().clone());
    let merged = world.show(MEMBER, vec![second.clone()]);
    assert_eq!(merged.second_hand_over.len(), 1);
    assert_eq!(merged.second_hand_over[0].signer(), &world.people[FOUNDER].key);
    assert!(!merged.changed && world.people[MEMBER].store.known().hash() == hash);
    assert_eq!(world.people[MEMBER].store.pins(), &pins);
    let again = world.show(MEMBER, vec![second.clone()]);
    assert!(again.second_hand_over.is_empty(), "one proof an office");
    // Whoever knew neither takes the lesser id, and its law parts from those pins.
    let statements = [second.verify(&world.terms.group_id()).unwrap()];
    let both = world.people[MEMBER].store.known().statements().cloned().chain(statements);
    let newcomer = world.nothing().union(both, &Pins::default());
    assert_eq!(newcomer.law().host(), &world.people[OTHER].key);
    assert!(pins.part_from(newcomer.law()) && !pins.is_contained_in(newcomer.law()));
    assert!(!pins.part_from(world.nothing().law()), "a law that is behind does not part");
}

#[test]
fn without_l14_a_former_host_takes_the_room_back() {
    let world = handed_over();
    let second = second_hand_over(&world).verify(&world.terms.group_id()).unwrap();
    let store = &world.people[MEMBER].store;
    let host = || *store.known().union([second.clone()], store.pins()).law().host();
    assert_eq!(host(), world.people[M].key);
    assert_eq!(without(Rule::Pin, host), world.people[OTHER].key);
}

/// Whether a property fails for some steps when `rule` is taken out, and for none of the same with
/// it.
fn breaks(rule: Rule, property: impl Fn(&[Step]) -> bool) {
    let all = (0..6).flat_map(|about| (0..4).flat_map(move |which| (0..9).map(move |n| (about, which, n))));
    let broken = all.filter(|(about, which, n)| {
        let steps = [(0, 0, *about, *which, *n)];
        assert!(property(&steps), "{steps:?} with every rule");
        without(rule, || !property(&steps))
    });
    assert!(broken.count() > 0, "{rule:?} defends nothing");
}

#[test]
fn without_l17_an_ended_term_speaks_on() {
    breaks(Rule::Term, |words| ended_term_is_dead(words, true));
}

#[test]
fn without_l18_a_moderators_number_runs_away() {
    breaks(Rule::Clamp, numbers_stay);
}

#[test]
fn without_l21_a_moderator_lifts_the_ban_of_the_host() {
    breaks(Rule::OwnUnban, |words| host_ban_holds(&[], words, false));
}

#[test]
fn without_l32_what_was_signed_before_a_demotion_wakes() {
    breaks(Rule::RaiseOffice, |words| nothing_wakes(words, false));
}

/// The host overrules a moderator by a table; the moderator's word is shown again afterwards.
fn table_overrules() -> bool {
    let mut world = World::with_moderators(5);
    let who = world.people[OTHER].tag;
    let edge = world.law(M).numbers(&who).base_n + WINDOW;
    let removed = vec![world.standing(M, world.term(M), who, Word::Role(RoleWord::OUT), edge)];
    let _ = world.show(FOUNDER, removed.clone());
    let signed = world.act(FOUNDER, world.admit(OTHER)).unwrap();
    assert!(matches!(&signed[..], [Statement::Table(_)]), "no standing fits above the edge");
    let _ = world.show(FOUNDER, removed);
    world.law(FOUNDER).admits_tag(&who)
}

#[test]
fn without_l18_a_word_below_the_table_undoes_it() {
    assert!(table_overrules());
    assert!(!without(Rule::Base, table_overrules));
}

/// The host's table is full, and leaves out somebody whom a moderator once admitted.
fn left_out_stays_out() -> bool {
    let mut world = World::with_moderators(5);
    let stranger = Tag([0xdd; 16]);
    let number = world.law(M).numbers(&stranger).n;
    let admitted = world.standing(M, world.term(M), stranger, Word::Role(RoleWord::LISTENER), number + 5);
    let _ = world.show(FOUNDER, vec![admitted.clone()]);
    world.act(FOUNDER, Act::Remove { who: stranger }).unwrap();
    world.act(FOUNDER, Act::TakeIn).unwrap();
    assert!(world.law(FOUNDER).rest().entry(&stranger).is_some());
    let rest = world.law(FOUNDER).rest();
    let banned =
        made_up(4_096).map(|tag| super::Entry { banned: true, ..super::world::entry(tag, RoleWord::OUT, 1) });
    let room = 4_096 - rest.entries().len();
    let entries = rest.entries().iter().copied().chain(banned.take(room)).collect();
    let rest = Rest::new(rest.floor(), rest.moderators().to_vec(), entries).unwrap();
    let no = world.law(FOUNDER).table_no().unwrap() + 1;
    let table = world.table(FOUNDER, world.law(FOUNDER).office(), no, world.people[FOUNDER].key, rest);
    let _ = world.show(FOUNDER, vec![table]);
    world.act(FOUNDER, Act::Admit { who: Tag([0xcc; 16]), role: Role::Listener, used_up: None }).unwrap();
    world.act(FOUNDER, Act::TakeIn).unwrap();
    assert!(world.law(FOUNDER).rest().entry(&stranger).is_none(), "it was left out");
    let _ = world.show(FOUNDER, vec![admitted]);
    !world.law(FOUNDER).admits_tag(&stranger)
}

#[test]
fn without_l34_somebody_whom_a_table_leaves_out_comes_back_by_an_old_word() {
    assert!(left_out_stays_out());
    assert!(!without(Rule::Floor, left_out_stays_out));
}
