//! The tables of a set by the office that they were signed in (`spec/law.md`, L15 and L16).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::id::IdentityKey;

use super::{
    statement::{Content, Genuine, GenuineStatement, StatementId},
    table::{Office, Table},
};

/// The tables of a set, by the office that they were signed in.
pub(super) struct Offices<'a> {
    tables: HashMap<(IdentityKey, Office), Vec<&'a Genuine<Table>>>,
    /// L15: hand-overs that count.
    usable: BTreeSet<StatementId>,
}

impl<'a> Offices<'a> {
    pub(super) fn new(statements: &'a BTreeMap<StatementId, GenuineStatement>) -> Self {
        let mut tables: HashMap<_, Vec<_>> = HashMap::new();
        let mut by_id = BTreeMap::new();
        let mut usable = BTreeSet::new();
        for statement in statements.values() {
            if let GenuineStatement::Table(table) = statement {
                let said = table.content();
                tables.entry((*said.signer(), said.office())).or_default().push(table);
                by_id.insert(Office::from(table.id()), table);
            }
        }
        // What counts by itself makes the hand-overs that it follows count, back to the first.
        for table in by_id.values() {
            let said = table.content();
            if said.rest().is_none() && !said.is_closing() {
                continue;
            }
            let mut next = Some(*table);
            while let Some(table) = next
                && usable.insert(table.id())
            {
                let said = table.content();
                next = by_id
                    .get(&said.office())
                    .filter(|before| before.content().host() == said.signer())
                    .copied();
            }
        }
        Self { tables, usable }
    }

    fn of(&self, host: &IdentityKey, office: Office) -> impl Iterator<Item = &'a Genuine<Table>> {
        self.tables.get(&(*host, office)).into_iter().flatten().copied()
    }

    pub(super) fn hand_overs(
        &self,
        host: &IdentityKey,
        office: Office,
    ) -> impl Iterator<Item = &'a Genuine<Table>> {
        self.of(host, office)
            .filter(|table| table.content().is_hand_over() && self.usable.contains(&table.id()))
    }

    /// L16: the greatest number, of equal ones the least id.
    pub(super) fn newest(&self, host: &IdentityKey, office: Office) -> Option<&'a Genuine<Table>> {
        self.of(host, office)
            .filter(|table| !table.content().is_hand_over() && table.content().rest().is_some())
            .max_by_key(|table| (table.content().no(), std::cmp::Reverse(table.id())))
    }
}
