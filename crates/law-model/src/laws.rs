//! The law alone: P1 to P8 of `spec/law.md` for every small set of statements.
//!
//! A room of a founder, two moderators and a member; every statement about that member by anybody,
//! with numbers at the edges of a window of 4, in present and past terms, and every kind of table.
//! Sets of up to three of them are looked at, in every order of merging.

use std::collections::BTreeMap;

use crate::{
    acts::{Act, Signer, sign},
    law::{
        BAN, Book, Bounds, Content, Entry, FOUNDERS, LISTENER, Law, NOBODY, OUT, PEOPLE, SPEAKER, Set,
        Statement, TAGS, UNBAN, each, host_term, law,
    },
    rules::{Rule, Rules},
};

const H: u8 = 0;
const M: u8 = 1;
const N: u8 = 2;
const V: u8 = 4;
/// Has no rank.
const X: u8 = 5;
/// M's present and past terms, and N's.
const TERMS: [u16; 3] = [11, 12, 13];

/// What a look at every small set found.
#[derive(Debug, Default)]
pub struct Found {
    /// Sets.
    pub sets: u64,
    /// Laws that were compared.
    pub laws: u64,
    /// Each property that broke, and how often.
    pub broken: BTreeMap<&'static str, u64>,
}

impl Found {
    fn note(&mut self, broken: bool, property: &'static str) {
        if broken {
            *self.broken.entry(property).or_default() += 1;
        }
    }
}

/// Looks at every set of up to `most` statements beside the first table.
pub fn look(rules: Rules, most: usize) -> Found {
    let mut found = Found::default();
    let mut book = vec![statement(0, H, first_table(&[(M, TERMS[0]), (N, TERMS[2])], 1, H))];
    let words = alphabet();
    for (at, (by, content)) in words.iter().enumerate() {
        // Ids in no order that means anything.
        let id = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 8;
        book.push(statement(id, *by, content.clone()));
    }
    let mut chosen = Vec::new();
    choose(rules, &book, most, 1, &mut chosen, &mut found);
    found
}

fn choose(rules: Rules, all: &Book, left: usize, from: usize, chosen: &mut Vec<usize>, found: &mut Found) {
    let book: Book = std::iter::once(0).chain(chosen.iter().copied()).map(|at| all[at].clone()).collect();
    check(rules, book, found);
    if left == 0 {
        return;
    }
    for at in from..all.len() {
        chosen.push(at);
        choose(rules, all, left - 1, at + 1, chosen, found);
        chosen.pop();
    }
}

/// Every statement that a set is made of.
fn alphabet() -> Vec<(u8, Content)> {
    let mut all = Vec::new();
    let issuers = [(H, host_term(FOUNDERS)), (M, TERMS[0]), (M, TERMS[1]), (N, TERMS[2]), (X, TERMS[0])];
    for (by, term) in issuers {
        for word in [BAN, UNBAN, OUT, SPEAKER] {
            for n in [2, 3, 6, 7] {
                all.push((by, Content::Standing { term, about: V, word, n }));
            }
        }
    }
    all.push((H, first_table(&[(N, TERMS[2])], 2, H)));
    all.push((H, first_table(&[(M, TERMS[1]), (N, TERMS[2])], 3, H)));
    all.push((H, first_table(&[(M, TERMS[0])], 4, N)));
    all.push((H, first_table(&[(M, TERMS[0]), (N, TERMS[2])], 5, X)));
    all.push((M, first_table(&[(X, TERMS[0])], u64::MAX, M)));
    all.push((H, first_table(&[], 9, NOBODY)));
    all
}

fn first_table(moderators: &[(u8, u16)], no: u64, host: u8) -> Content {
    let mut terms = [0; PEOPLE];
    moderators.iter().for_each(|(who, term)| terms[usize::from(*who)] = *term);
    let mut entries = [None; TAGS];
    let n = 2;
    for who in [M, N, V, X] {
        entries[usize::from(who)] = Some(Entry { role: LISTENER, n, banned: false, bn: n });
    }
    Content::Table { office: FOUNDERS, no, host, floor: 0, terms, muted: 0, entries }
}

const fn statement(id: u64, by: u8, content: Content) -> Statement {
    Statement { by, id, content }
}

fn check(rules: Rules, mut book: Book, found: &mut Found) {
    let bounds = Bounds::SMALL;
    let all: Set = (1 << book.len()) - 1;
    let said = |set: Set, pins: Set, book: &Book| law(rules, &bounds, book, set, pins);
    let whole = said(all, 0, &book);
    found.sets += 1;
    // P1: stores that show each other their sets end with one law, whoever shows first; unless a
    // host signed two hand-overs of one office, or a table that gives back a term which an earlier
    // one of its tables ended.
    let over = |statement: &&Statement| matches!(statement.content, Content::Table { host, .. } if host != statement.by);
    let twice = book.iter().filter(over).filter(|statement| statement.by == H).count() > 1;
    for parts in 0..if twice || revives(&book) { 0 } else { 3u32.pow(book.len() as u32) } {
        let of = |store: u32| {
            (0..book.len())
                .filter(|at| parts / 3u32.pow(*at as u32) % 3 == store)
                .fold(0, |set, at| set | 1 << at)
        };
        let [a, b, c] = [0, 1, 2].map(|store| said(of(store), 0, &book).live);
        let [ab, bc] = [a | b, b | c].map(|set| said(set, 0, &book).live);
        let [one, other] = [ab | c, a | bc].map(|set| said(set, 0, &book));
        found.laws += 7;
        found.note(one.live != other.live || one.sense() != other.sense(), "P1");
    }
    let again = said(whole.live, 0, &book);
    found.note(again.live != whole.live || again.sense() != whole.sense(), "P1");
    // P2 and P3: words of nobody of rank, and of ended terms.
    let empty = |at: &usize| match book[*at].content {
        Content::Standing { term, .. } => {
            let by = usize::from(book[*at].by);
            whole.rank[by] == 0 || whole.term[by] != term
        }
        Content::Table { .. } => false,
    };
    let without = each(all).filter(|at| !empty(at)).fold(0, |set, at| set | 1 << at);
    found.note(said(without, 0, &book).sense() != whole.sense(), "P2 P3");
    if whole.host == NOBODY {
        return;
    }
    // P7: a former host's other hand-over.
    let pinned = whole.chain;
    if pinned != 0 {
        let before = book.len();
        book.push(statement(0, H, first_table(&[], 0, X)));
        let later = said(all | 1 << before, pinned, &book);
        found.note(later.sense() != whole.sense(), "P7");
        book.pop();
    }
    // P8.
    let base = whole.base[usize::from(V)];
    let words = whole.said[usize::from(V)];
    found.note(
        words.n > base.n.saturating_add(bounds.window) || words.bn > base.bn.saturating_add(bounds.window),
        "P8",
    );
    check_host(rules, &book, all, &whole, found);
    check_office(rules, &book, all, &whole, found);
}

/// P4 and P5: what the host does has its effect, and nobody else undoes it.
fn check_host(rules: Rules, book: &Book, all: Set, whole: &Law, found: &mut Found) {
    let bounds = Bounds::SMALL;
    for act in [Act::Ban, Act::Unban, Act::Admit, Act::Remove] {
        let Some(content) = by_host(rules, book, whole, act, V) else { continue };
        let mut book = book.clone();
        book.push(statement(u64::MAX, whole.host, content));
        let at = book.len() - 1;
        let after = law(rules, &bounds, &book, all | 1 << at, 0);
        let v = usize::from(V);
        let works = match act {
            Act::Ban | Act::Remove => !after.admits(v),
            Act::Unban => !after.said[v].banned,
            _ => after.said[v].role != OUT,
        };
        found.note(!works, "P5");
        if act == Act::Ban && works {
            for (by, rank) in
                [M, N].map(|by| (by, after.rank[usize::from(by)])).into_iter().filter(|(_, rank)| *rank == 1)
            {
                for n in [after.base[v].bn + 4, after.base[v].bn + u32::from(rank)] {
                    let term = after.term[usize::from(by)];
                    let mut book = book.clone();
                    book.push(statement(1, by, Content::Standing { term, about: V, word: UNBAN, n }));
                    let lifted = law(rules, &bounds, &book, all | 3 << at, 0);
                    found.note(lifted.admits(v), "P4");
                }
            }
        }
    }
}

/// P6: what was signed about somebody before a change of its office says nothing after it.
fn check_office(rules: Rules, book: &Book, all: Set, whole: &Law, found: &mut Found) {
    let bounds = Bounds::SMALL;
    let act = if whole.rank[usize::from(V)] == 1 { Act::Demote } else { Act::Promote };
    let Some(content) = by_host(rules, book, whole, act, V) else { return };
    let mut book = book.clone();
    book.push(statement(u64::MAX, whole.host, content));
    let set = all | 1 << (book.len() - 1);
    let promoted = law(rules, &bounds, &book, set, 0);
    // And back, so that words about it count again.
    let Some(content) = by_host(rules, &book, &promoted, Act::Demote, V) else { return };
    book.push(statement(u64::MAX, whole.host, content));
    let set = set | 1 << (book.len() - 1);
    let demoted = law(rules, &bounds, &book, set, 0);
    for by in [M, N].into_iter().filter(|by| whole.rank[usize::from(*by)] == 1) {
        let mut book = book.clone();
        let term = whole.term[usize::from(by)];
        let n = whole.base[usize::from(V)].bn + bounds.window;
        book.push(statement(1, by, Content::Standing { term, about: V, word: BAN, n }));
        let woken = law(rules, &bounds, &book, set | 1 << (book.len() - 1), 0);
        found.note(woken.sense() != demoted.sense(), "P6");
    }
}

/// Whether a table of the host gives back a term that an earlier one ended: no honest host does so,
/// but one that restored a backup may.
fn revives(book: &Book) -> bool {
    let mut tables: Vec<(u64, [u16; PEOPLE])> = Vec::new();
    for said in book.iter().filter(|said| said.by == H) {
        if let Content::Table { no, terms, host, .. } = said.content
            && host != NOBODY
        {
            tables.push((no, terms));
        }
    }
    tables.sort_unstable();
    let has = |terms: &[u16; PEOPLE], term: u16| term != 0 && terms.contains(&term);
    TERMS.iter().any(|term| {
        let first = tables.iter().position(|(_, terms)| has(terms, *term));
        let ended = first.and_then(|first| {
            tables.iter().skip(first).position(|(_, terms)| !has(terms, *term)).map(|at| first + at)
        });
        ended.is_some_and(|ended| tables.iter().skip(ended).any(|(_, terms)| has(terms, *term)))
    })
}

fn by_host(rules: Rules, book: &Book, known: &Law, act: Act, who: u8) -> Option<Content> {
    let own = |_, _, _| 0;
    let signer = Signer { me: known.host, law: known, term: 77, clock: 100, own: &own, seen: u16::MAX };
    sign(rules, &Bounds::SMALL, book, &signer, act, who)
}

/// The rules of the function, and the property that each holds.
pub const RULES: &[(Rule, &str)] = &[
    (Rule::Pin, "P7"),
    (Rule::Term, "P2 P3"),
    (Rule::Base, "P5"),
    (Rule::Clamp, "P8"),
    (Rule::OwnUnban, "P4"),
    (Rule::Raise, "P6"),
];
