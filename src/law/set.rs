//! The live set: what the law needs of all statements shown, as one value that hashes and compares
//! (`spec/law.md`, L24 and L26).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{
    group::codec::{Malformed, Reader, Writer},
    keys::derive::sha256,
};

use super::{
    answers::Law,
    function,
    places::Anchor,
    rules,
    statement::{GenuineStatement, Statement, StatementId},
    table::Office,
    tags::Tags,
    terms::{GroupId, Terms},
};

/// The statements that count, with their law. A clone is a pointer to the same set.
#[derive(Clone)]
pub(crate) struct LiveSet(Arc<Inner>);

struct Inner {
    terms: Arc<Terms>,
    tags: Arc<Tags>,
    group_id: GroupId,
    anchor: Anchor,
    statements: BTreeMap<StatementId, GenuineStatement>,
    law: Law,
    hash: [u8; 32],
    /// The last union of this set with others. Known law, and then the epoch law of a commit, are
    /// unions of one set with the same statements: they are worked out once.
    last: Mutex<Option<Union>>,
}

/// A union, as long as somebody else keeps it, and what it was made with besides the set.
struct Union {
    ids: Vec<StatementId>,
    pins: Pins,
    set: Weak<Inner>,
}

impl LiveSet {
    /// The set of a room about which nothing was said: the founder is host, nobody else is
    /// admitted.
    pub(crate) fn new(terms: Arc<Terms>, anchor: Anchor) -> Self {
        let group_id = terms.group_id();
        let tags = Arc::new(Tags::new(&terms));
        Self::of((terms, tags), group_id, anchor, &BTreeMap::new(), &Pins::default())
    }

    /// `live` of this set and more statements, for a member who has taken the hand-overs in `pins`.
    /// Costs nothing but the look if there is nothing new.
    pub(crate) fn union(&self, more: impl IntoIterator<Item = GenuineStatement>, pins: &Pins) -> Self {
        let new = more.into_iter().filter(|statement| self.lacks(statement));
        let mut new = new.peekable();
        // A live set has one hand-over of each office. Pins of these change nothing.
        if new.peek().is_none() && pins.is_contained_in(self.law()) {
            #[cfg(test)]
            assert_eq!(self.made_anew(&self.0.statements, pins).hash(), self.hash(), "a union with nothing");
            return self.clone();
        }
        let new: Vec<GenuineStatement> = new.collect();
        // An id says all of a standing, and of a table with its rest.
        let is_whole = |statement: &GenuineStatement| match statement {
            GenuineStatement::Standing(_) => true,
            GenuineStatement::Table(_) => has_rest(statement),
        };
        let mut ids: Vec<_> = new.iter().map(GenuineStatement::id).collect();
        ids.sort_unstable();
        let whole = rules::all_hold() && new.iter().all(is_whole);
        if whole && let Some(set) = self.made_before(&ids, pins) {
            return set;
        }
        let mut all = self.0.statements.clone();
        for statement in new {
            if has_rest(&statement) || !all.contains_key(&statement.id()) {
                all.insert(statement.id(), statement);
            }
        }
        let set = self.made_anew(&all, pins);
        if whole {
            *self.last() = Some(Union { ids, pins: pins.clone(), set: Arc::downgrade(&set.0) });
        }
        set
    }

    /// The last union of this set, if it was with these and somebody has it still.
    fn made_before(&self, ids: &[StatementId], pins: &Pins) -> Option<Self> {
        let last = self.last();
        let last = last.as_ref().filter(|last| last.ids == ids && last.pins == *pins)?;
        last.set.upgrade().map(Self)
    }

    fn last(&self) -> MutexGuard<'_, Option<Union>> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `live` of other statements, in the same room.
    fn made_anew(&self, all: &BTreeMap<StatementId, GenuineStatement>, pins: &Pins) -> Self {
        let room = (self.0.terms.clone(), self.0.tags.clone());
        Self::of(room, self.0.group_id, self.0.anchor, all, pins)
    }

    /// [`union`](Self::union) with the statements of another set.
    pub(crate) fn union_with(&self, other: &Self, pins: &Pins) -> Self {
        // Of two sets that are one neither lacks anything.
        let others = if self == other { None } else { Some(other.statements()) };
        let new = others.into_iter().flatten().filter(|statement| self.lacks(statement));
        self.union(new.cloned(), pins)
    }

    /// Whether a statement says something that the set has not got. A table without its rest takes
    /// nobody's place.
    fn lacks(&self, statement: &GenuineStatement) -> bool {
        match self.get(&statement.id()) {
            Some(held) => has_rest(statement) && !has_rest(held),
            None => true,
        }
    }

    fn of(
        (terms, tags): (Arc<Terms>, Arc<Tags>),
        group_id: GroupId,
        anchor: Anchor,
        all: &BTreeMap<StatementId, GenuineStatement>,
        pins: &Pins,
    ) -> Self {
        let (law, statements) = function::law(&terms, &tags, group_id, anchor, all, pins);
        let mut hashed = b"sottovoce 2 law".to_vec();
        statements.keys().for_each(|id| hashed.extend_from_slice(&id.0));
        let hash = sha256(&[&hashed]);
        Self(Arc::new(Inner { terms, tags, group_id, anchor, statements, law, hash, last: Mutex::default() }))
    }

    /// What the set says.
    pub(crate) fn law(&self) -> &Law {
        &self.0.law
    }

    /// The law hash: over the ids, ascending.
    pub(crate) fn hash(&self) -> [u8; 32] {
        self.0.hash
    }

    /// The terms of the room.
    pub(crate) fn terms(&self) -> &Arc<Terms> {
        &self.0.terms
    }

    /// The room.
    pub(crate) fn group_id(&self) -> &GroupId {
        &self.0.group_id
    }

    /// From where its chain starts.
    pub(crate) fn anchor(&self) -> Anchor {
        self.0.anchor
    }

    /// The ids of its statements, ascending.
    pub(crate) fn ids(&self) -> impl ExactSizeIterator<Item = StatementId> + '_ {
        self.0.statements.keys().copied()
    }

    /// A statement of the set.
    pub(crate) fn get(&self, id: &StatementId) -> Option<&GenuineStatement> {
        self.0.statements.get(id)
    }

    /// Its statements, ascending by id.
    pub(crate) fn statements(&self) -> impl ExactSizeIterator<Item = &GenuineStatement> {
        self.0.statements.values()
    }

    /// Every statement as it is shown: a u32 count, then the statements, ascending by id.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self.statements())
    }
}

/// Two sets are one if their hashes are.
impl PartialEq for LiveSet {
    fn eq(&self, other: &Self) -> bool {
        self.0.group_id == other.0.group_id && self.0.hash == other.0.hash
    }
}

impl Eq for LiveSet {}

impl fmt::Debug for LiveSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveSet({} statements)", self.0.statements.len())
    }
}

fn has_rest(statement: &GenuineStatement) -> bool {
    matches!(statement, GenuineStatement::Table(table) if table.content().rest().is_some())
}

/// Writes statements as [`decode`] reads them.
pub(crate) fn encode<'a>(statements: impl ExactSizeIterator<Item = &'a GenuineStatement>) -> Vec<u8> {
    let count = u32::try_from(statements.len()).expect("a live set has 70,000 statements at most");
    statements.fold(Writer::new().u32(count), |to, statement| statement.statement().write(to)).finish()
}

/// Reads statements whose signatures nobody has checked; at most [`MAX_SHOWN`].
///
/// # Errors
/// [`Malformed`] for any byte that is not in the form of L10.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Statement>, Malformed> {
    let mut reader = Reader::new(bytes);
    let statements = read(&mut reader)?;
    reader.finish()?;
    Ok(statements)
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Vec<Statement>, Malformed> {
    let count = reader.u32()?;
    if count > MAX_SHOWN {
        return Err(Malformed);
    }
    (0..count).map(|_| Statement::read(reader)).collect()
}

/// More statements than a live set can have: hand-overs, a table, and two words of 17 issuers about
/// 256 tags each.
pub(crate) const MAX_SHOWN: u32 = 65_536;

/// The hand-overs that a member has taken, oldest first. It never takes another one of the same
/// office.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pins(Vec<StatementId>);

impl Pins {
    /// The hand-overs that a law has taken.
    pub(crate) fn of(law: &Law) -> Self {
        Self(law.chain().collect())
    }

    /// A newcomer's: the office of its invite. None for a founder's, who was handed nothing.
    pub(crate) fn of_office(office: Office, group_id: &GroupId) -> Self {
        if office == Office::from(*group_id) { Self::default() } else { Self(vec![StatementId(office.0)]) }
    }

    /// The hand-overs, oldest first.
    pub(crate) fn ids(&self) -> &[StatementId] {
        &self.0
    }

    /// Whether the law has taken all of them: what a Welcome has to show.
    pub(crate) fn is_contained_in(&self, law: &Law) -> bool {
        let chain: BTreeSet<_> = law.chain().collect();
        self.0.iter().all(|pin| chain.contains(pin))
    }

    /// Whether the law and the pins took different hand-overs of one office: what a commit must not
    /// show. A law that is only behind, or only ahead, does not part.
    pub(crate) fn part_from(&self, law: &Law) -> bool {
        law.chain().zip(&self.0).any(|(taken, pin)| taken != *pin)
    }

    /// L14: a hand-over that is pinned pins those that it follows.
    pub(super) fn with_ancestors(
        &self,
        statements: &BTreeMap<StatementId, GenuineStatement>,
    ) -> BTreeSet<StatementId> {
        let mut pinned = BTreeSet::new();
        for pin in &self.0 {
            let mut next = Some(*pin);
            while let Some(id) = next
                && pinned.insert(id)
            {
                next = match statements.get(&id) {
                    Some(GenuineStatement::Table(table)) => Some(StatementId(table.content().office().0)),
                    _ => None,
                };
            }
        }
        pinned
    }

    pub(super) fn from_ids(ids: Vec<StatementId>) -> Self {
        Self(ids)
    }
}
