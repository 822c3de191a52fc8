//! A host's table while it is written (`spec/law.md`, L32, L34 and L36).
//!
//! ```text
//! entries of the table in force > words that count > the act > what does not fit left out > signed
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::id::IdentityKey;

use super::{
    acts::{ActError, Seen, Signer},
    answers::{Law, WINDOW},
    rules::{self, Rule},
    standing::{Register, Role, RoleWord, Standing, Word},
    statement::{Genuine, GenuineStatement, Statement, StatementId},
    table::{Entry, Moderator, Rest, Table, Term},
    terms::Tag,
};

/// Whose words a table does not take in, but for those that the host's user keeps.
pub(super) struct Demoted {
    pub(super) key: Option<IdentityKey>,
    pub(super) keep: BTreeSet<StatementId>,
}

impl Demoted {
    pub(super) fn nobody() -> Self {
        Self { key: None, keep: BTreeSet::new() }
    }

    /// Somebody who becomes host: all of its words are kept.
    pub(super) fn heir(law: &Law, key: &IdentityKey) -> Self {
        let tags = law.tags();
        let words = tags.iter().flat_map(|tag| law.words(tag));
        Self {
            key: None,
            keep: words.filter(|word| word.content().issuer == *key).map(|word| word.id()).collect(),
        }
    }
}

/// A table that is being written: what is known, then the act.
pub(super) struct Draft<'a> {
    law: &'a Law,
    floor: u32,
    pub(super) moderators: Vec<Moderator>,
    entries: BTreeMap<Tag, Entry>,
    /// What words say that the table does not take in, and that go on counting beside it.
    beside: BTreeMap<Tag, Entry>,
    touched: BTreeSet<Tag>,
}

impl<'a> Draft<'a> {
    /// L32: all entries, and the words that count, but for those of the demoted that nobody keeps
    /// and those of others about tags of which the host knows nothing else.
    pub(super) fn new(signer: &Signer<'a>, demoted: &Demoted, touched: &[Tag], seen: Seen<'_>) -> Self {
        let law = signer.law;
        let listed = law.rest().entries().iter().map(|entry| (entry.tag, *entry));
        let mut draft = Self {
            law,
            floor: law.rest().floor(),
            moderators: law.rest().moderators().to_vec(),
            entries: listed.collect(),
            beside: BTreeMap::new(),
            touched: touched.iter().copied().collect(),
        };
        for tag in law.tags() {
            let words = law.words(&tag);
            let own = words.iter().any(|word| word.content().issuer == signer.key);
            let ends = |word: &Genuine<Standing>| demoted.key == Some(word.content().issuer);
            // The tag of an invite: that it was used or revoked stays so, whoever said it.
            let used_up =
                |word: &Genuine<Standing>| word.content().word == Word::Role(RoleWord::OUT) && !seen(&tag);
            // Somebody else's invite would live again if the word that ended it fell.
            let wakes = words.iter().any(|word| ends(word) && used_up(word))
                && words.iter().any(|word| !ends(word) && word.content().word.register() == Register::Role);
            let known = own
                || wakes
                || draft.entries.contains_key(&tag)
                || draft.touched.contains(&tag)
                || seen(&tag);
            let taken = |word: &&Genuine<Standing>| {
                demoted.keep.contains(&word.id()) || known && (!ends(word) || used_up(word))
            };
            let beside: Vec<_> = words.iter().filter(|word| !known && !ends(word)).cloned().collect();
            if !beside.is_empty() {
                let (entry, numbers) = (law.combine(&tag, &beside), law.numbers(&tag));
                draft.beside.insert(tag, Entry { n: numbers.n, bn: numbers.bn, ..entry });
            }
            let taken: Vec<_> = words.iter().filter(taken).cloned().collect();
            if !taken.is_empty() || known && !words.is_empty() || draft.touched.contains(&tag) {
                let (entry, numbers) = (law.combine(&tag, &taken), law.numbers(&tag));
                draft.entries.insert(tag, Entry { n: numbers.n, bn: numbers.bn, ..entry });
            }
        }
        for tag in touched {
            draft.entries.entry(*tag).or_insert_with(|| law.base(tag));
        }
        draft
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(super) fn set(&mut self, tag: Tag, role: RoleWord, banned: bool) {
        if let Some(entry) = self.entries.get_mut(&tag) {
            (entry.role, entry.banned) = (role, banned);
        }
    }

    pub(super) fn say(&mut self, tag: Tag, word: Word, n: u32) {
        if let Some(entry) = self.entries.get_mut(&tag) {
            match word {
                Word::Role(role) => (entry.role, entry.n) = (role, n),
                Word::Ban => (entry.banned, entry.bn) = (true, n),
                Word::Unban => (entry.banned, entry.bn) = (false, n),
            }
        }
    }

    /// L32: nothing that was signed about this tag before a change of office counts after it.
    pub(super) fn raise(&mut self, tag: Tag) {
        let base = self.law.base(&tag);
        if let Some(entry) = self.entries.get_mut(&tag)
            && rules::holds(Rule::RaiseOffice)
        {
            (entry.n, entry.bn) = (base.n.saturating_add(WINDOW + 1), base.bn.saturating_add(WINDOW + 1));
        }
    }

    pub(super) fn promote(
        &mut self,
        key: IdentityKey,
        random: &mut dyn FnMut() -> [u8; 16],
    ) -> Result<(), ActError> {
        if self.moderators.len() >= Rest::MAX_MODERATORS {
            return Err(ActError::Full);
        }
        let term = Term(random());
        if term == Term::NONE {
            return Err(ActError::Full);
        }
        self.moderators.push(Moderator { key, term, muted: false });
        Ok(())
    }

    /// L34: leaves out entries until the others fit, and raises the floor above what they had.
    /// Words that counted beside the table would not count above that floor: they are taken in
    /// first.
    fn shorten(&mut self, seen: Seen<'_>) {
        if self.entries.len() <= Rest::MAX_ENTRIES {
            return;
        }
        for (tag, entry) in std::mem::take(&mut self.beside) {
            self.entries.entry(tag).or_insert(entry);
        }
        let moderators = &self.moderators;
        let ranks: BTreeSet<Tag> = moderators
            .iter()
            .map(|moderator| self.law.tag(&moderator.key))
            .chain([self.law.tag(self.law.host())])
            .collect();
        let worth = |entry: &Entry| match (entry.role.role(), entry.banned, seen(&entry.tag)) {
            (Role::Out, false, _) => Some(0),
            (_, false, false) => Some(1),
            (_, true, false) => Some(2),
            _ => None,
        };
        let mut spare: Vec<_> = self
            .entries
            .values()
            .filter(|entry| {
                !self.touched.contains(&entry.tag) && !ranks.contains(&entry.tag) && entry.tag != Tag::LOCK
            })
            .filter_map(|entry| Some((worth(entry)?, entry.tag)))
            .collect();
        spare.sort_unstable();
        for (_, tag) in spare {
            if self.entries.len() <= Rest::MAX_ENTRIES {
                break;
            }
            if let Some(entry) = self.entries.remove(&tag)
                && rules::holds(Rule::Floor)
            {
                self.floor = self.floor.max(entry.n.max(entry.bn).saturating_add(WINDOW + 1));
            }
        }
    }

    pub(super) fn sign(
        mut self,
        signer: &Signer<'_>,
        host: IdentityKey,
        now_ms: u64,
        seen: Seen<'_>,
    ) -> Result<Vec<Statement>, ActError> {
        self.shorten(seen);
        let no = match self.law.table_no() {
            Some(no) => now_ms.max(no.checked_add(1).ok_or(ActError::Exhausted)?),
            None => now_ms,
        };
        let rest = Rest::new(self.floor, self.moderators, self.entries.into_values().collect());
        let table = rest.and_then(|rest| Table::new(signer.key, self.law.office(), no, host, rest));
        let table = table.ok_or(ActError::Full)?;
        let genuine = Genuine::sign(table, signer.identity, signer.store.known().group_id());
        Ok(vec![GenuineStatement::Table(genuine).statement()])
    }
}
