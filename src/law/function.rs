//! The function: from a set of genuine statements to host, moderators, roles and bans
//! (`spec/law.md`, L12 to L25).
//!
//! ```text
//! hand-overs > chain > host, office
//! tables of the office > the greatest no > moderators with terms, entries, floor
//! standings > those that count > roles, bans, invites, lock
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::id::IdentityKey;

use super::{
    answers::{Law, Link, MAX_HAND_OVERS, MAX_TAGS, Subject, precedence},
    offices::Offices,
    places::Anchor,
    rules::{self, Rule},
    set::Pins,
    standing::{Register, Standing, Word},
    statement::{Genuine, GenuineStatement, StatementId},
    table::{Entry, Office, Table},
    tags::Tags,
    terms::{GroupId, Tag, Terms},
};

/// What one issuer says in one register: about each tag at most one word.
type Words<'a> = BTreeMap<Tag, &'a Genuine<Standing>>;

/// The law of a set, and the part of the set that it needs: the live set.
pub(super) fn law(
    terms: &Terms,
    tags: &Arc<Tags>,
    group_id: GroupId,
    anchor: Anchor,
    statements: &BTreeMap<StatementId, GenuineStatement>,
    pins: &Pins,
) -> (Law, BTreeMap<StatementId, GenuineStatement>) {
    let offices = Offices::new(statements);
    let (host, office) = match anchor {
        Anchor::Founder => (terms.founder, Office::from(group_id)),
        Anchor::Invite { host, office } => (host, office),
    };
    let mut law = Law {
        host,
        office,
        over: false,
        chain: Vec::new(),
        table: None,
        rest: Arc::default(),
        ranks: BTreeMap::new(),
        subjects: BTreeMap::new(),
        standings: 0,
        reach: BTreeMap::new(),
        tags: tags.clone(),
    };
    let mut live = BTreeMap::new();
    let last = law.walk(&offices, &pins.with_ancestors(statements), &mut live);
    let table = if law.over { last } else { offices.newest(&law.host, law.office).or(last) };
    if let Some(table) = table {
        law.table = Some((table.id(), table.content().no()));
        law.rest = table.content().rest().cloned().unwrap_or_default();
        live.insert(table.id(), GenuineStatement::Table(table.clone()));
    }
    if law.over {
        return (law, live);
    }
    let moderators = law.rest.moderators().iter().map(|moderator| moderator.key);
    law.ranks = moderators.chain([law.host]).map(|key| (tags.of_key(&key), key)).collect();
    let words = statements.values().filter_map(|statement| match statement {
        GenuineStatement::Standing(standing) => Some(standing),
        GenuineStatement::Table(_) => None,
    });
    law.hear(words, &mut live);
    (law, live)
}

impl Law {
    /// L13 and L14: follows the hand-overs, and returns the last one.
    fn walk<'a>(
        &mut self,
        offices: &Offices<'a>,
        pinned: &BTreeSet<StatementId>,
        live: &mut BTreeMap<StatementId, GenuineStatement>,
    ) -> Option<&'a Genuine<Table>> {
        let mut last = None;
        loop {
            let candidates = offices.hand_overs(&self.host, self.office);
            let full = self.chain.len() >= MAX_HAND_OVERS;
            let candidates = candidates.filter(|table| !full || table.content().is_closing());
            let rank = |table: &&Genuine<Table>| {
                let pinned = rules::holds(Rule::Pin) && pinned.contains(&table.id());
                (!pinned, table.id())
            };
            let Some(table) = candidates.min_by_key(rank) else { return last };
            let link = Link { signer: self.host, office: self.office, hand_over: table.id() };
            self.chain.push(link);
            live.insert(table.id(), GenuineStatement::Table(table.without_rest()));
            (self.host, self.office, last) = (*table.content().host(), table.id().into(), Some(table));
            if table.content().is_closing() {
                self.over = true;
                return last;
            }
        }
    }

    /// L17 to L23: the words that count, and what they say.
    fn hear<'a>(
        &mut self,
        words: impl Iterator<Item = &'a Genuine<Standing>>,
        live: &mut BTreeMap<StatementId, GenuineStatement>,
    ) {
        let mut greatest: BTreeMap<(IdentityKey, Register), Words<'_>> = BTreeMap::new();
        for word in words.filter(|word| self.hears(word.content())) {
            let said = word.content();
            let words = greatest.entry((said.issuer, said.word.register())).or_default();
            let place = words.entry(said.about).or_insert(word);
            if precedence(place) < precedence(word) {
                *place = word;
            }
        }
        let bound = if rules::holds(Rule::Tags) { MAX_TAGS } else { usize::MAX };
        for (issuer, words) in &greatest {
            if let Some(last) = words.keys().take(bound).next_back() {
                self.reach.insert(*issuer, (words.len().min(bound), *last));
            }
        }
        let counting = greatest.into_values().flat_map(|words| words.into_iter().take(bound));
        let mut about: BTreeMap<Tag, Vec<Genuine<Standing>>> = BTreeMap::new();
        for (tag, word) in counting {
            live.insert(word.id(), GenuineStatement::Standing(word.clone()));
            about.entry(tag).or_default().push(word.clone());
            self.standings += 1;
        }
        self.subjects = about
            .into_iter()
            .map(|(tag, words)| {
                let entry = self.combine(&tag, &words);
                let in_force = |word: &&Genuine<Standing>| entry.banned && word.content().word == Word::Ban;
                let bans = words.iter().filter(in_force).cloned().collect();
                (tag, Subject { entry, words, bans })
            })
            .collect();
    }

    /// L20 to L22: base and counting words about one tag, as one entry.
    pub(super) fn combine(&self, tag: &Tag, words: &[Genuine<Standing>]) -> Entry {
        let mut entry = self.base(tag);
        let roles = words.iter().filter_map(|word| match word.content().word {
            Word::Role(role) => Some((precedence(word), role)),
            Word::Ban | Word::Unban => None,
        });
        if let Some((precedence, role)) = roles.max_by_key(|(precedence, _)| *precedence) {
            (entry.role, entry.n) = (role, precedence.0);
        }
        let of_ban = |word: &&Genuine<Standing>| word.content().word.register() == Register::Ban;
        let (mut settled, mut top) = (entry.bn, entry.bn);
        for word in words.iter().filter(of_ban).map(Genuine::content) {
            top = top.max(word.n);
            if word.issuer == self.host {
                (entry.banned, settled) = (word.word == Word::Ban, word.n);
            }
        }
        let mut by_moderators =
            words.iter().filter(of_ban).map(Genuine::content).filter(|word| word.issuer != self.host);
        if rules::holds(Rule::OwnUnban) {
            entry.banned |= by_moderators.any(|word| word.word == Word::Ban && word.n > settled);
        } else if let Some(last) = by_moderators.max_by_key(|word| (word.n, word.word.strictness()))
            && last.n > settled
        {
            entry.banned = last.word == Word::Ban;
        }
        entry.bn = top;
        entry
    }
}
