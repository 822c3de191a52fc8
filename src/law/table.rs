//! What a host says about everybody, and how an office changes hands (`spec/law.md`, L7).

use std::{fmt, sync::Arc};

use crate::{
    group::codec::{Malformed, Reader, Writer},
    hex,
    id::IdentityKey,
    keys::derive::sha256,
};

use super::{
    standing::RoleWord,
    statement::{Content, StatementId},
    terms::{GroupId, NOBODY, Tag},
};

/// What a host says about everybody: the content of a statement. The rest is under the signature by
/// its hash, and may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    signer: IdentityKey,
    office: Office,
    no: u64,
    host: IdentityKey,
    rest_hash: [u8; 32],
    rest: Option<Arc<Rest>>,
}

impl Table {
    /// A table with its rest. None if `host` is a moderator in it: the host has no second rank.
    pub(crate) fn new(
        signer: IdentityKey,
        office: Office,
        no: u64,
        host: IdentityKey,
        rest: Rest,
    ) -> Option<Self> {
        if rest.moderator(&host).is_some() {
            return None;
        }
        let rest_hash = rest.hash();
        Some(Self { signer, office, no, host, rest_hash, rest: Some(Arc::new(rest)) })
    }

    /// Under which hand-over its signer is host.
    pub(crate) fn office(&self) -> Office {
        self.office
    }

    /// Of the tables of one office the greatest number counts.
    pub(crate) fn no(&self) -> u64 {
        self.no
    }

    /// Who is host from this table on.
    pub(crate) fn host(&self) -> &IdentityKey {
        &self.host
    }

    /// Whether it gives the office to somebody else, or to nobody.
    pub(crate) fn is_hand_over(&self) -> bool {
        self.host != self.signer
    }

    /// Whether it ends the room.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_hand_over() && self.host == NOBODY
    }

    /// Moderators and entries, if they came with it.
    pub(crate) fn rest(&self) -> Option<&Arc<Rest>> {
        self.rest.as_ref()
    }

    pub(super) fn without_rest(&self) -> Self {
        Self { rest: None, ..self.clone() }
    }

    /// Reads the rest that follows the table and belongs to it.
    pub(super) fn read_rest(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let rest = Rest::read(reader)?;
        if rest.hash() != self.rest_hash || rest.moderator(&self.host).is_some() {
            return Err(Malformed);
        }
        self.rest = Some(Arc::new(rest));
        Ok(())
    }
}

impl Content for Table {
    const SIGNED_AS: &'static [u8] = b"sottovoce 2 table";
    const NAMED_AS: &'static [u8] = b"sottovoce 2 table id";

    fn signer(&self) -> &IdentityKey {
        &self.signer
    }

    fn write(&self, to: Writer) -> Writer {
        to.bytes(self.signer.as_bytes())
            .bytes(&self.office.0)
            .u64(self.no)
            .bytes(self.host.as_bytes())
            .bytes(&self.rest_hash)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            signer: IdentityKey::from_bytes(reader.array()?),
            office: Office(reader.array()?),
            no: reader.u64()?,
            host: IdentityKey::from_bytes(reader.array()?),
            rest_hash: reader.array()?,
            rest: None,
        })
    }
}

/// Moderators and entries of a table, within their bounds, in their one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    floor: u32,
    moderators: Vec<Moderator>,
    entries: Vec<Entry>,
}

impl Rest {
    /// Most moderators of a room.
    pub(crate) const MAX_MODERATORS: usize = 16;
    /// Most entries of a table.
    pub(crate) const MAX_ENTRIES: usize = 4_096;

    /// A rest of these parts, in any order. None if a bound is exceeded, somebody stands in it
    /// twice, or a moderator has the zero key or the zero term.
    pub(crate) fn new(floor: u32, mut moderators: Vec<Moderator>, mut entries: Vec<Entry>) -> Option<Self> {
        moderators.sort_by_key(|moderator| moderator.key);
        entries.sort_by_key(|entry| entry.tag);
        let rest = Self { floor, moderators, entries };
        rest.is_well_formed().then_some(rest)
    }

    /// The number, in both registers, of everybody who has no entry.
    pub(crate) fn floor(&self) -> u32 {
        self.floor
    }

    /// The moderators, ascending by key.
    pub(crate) fn moderators(&self) -> &[Moderator] {
        &self.moderators
    }

    /// The entries, ascending by tag.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The moderator with this key.
    pub(crate) fn moderator(&self, key: &IdentityKey) -> Option<&Moderator> {
        let at = self.moderators.binary_search_by_key(key, |moderator| moderator.key).ok()?;
        self.moderators.get(at)
    }

    /// The entry that is listed for this tag.
    pub(crate) fn entry(&self, tag: &Tag) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(tag, |entry| entry.tag).ok()?;
        self.entries.get(at)
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        sha256(&[&self.write(Writer::new()).finish()])
    }

    pub(super) fn write(&self, to: Writer) -> Writer {
        let moderators = u8::try_from(self.moderators.len()).expect("16 at most");
        let to = self.moderators.iter().fold(to.u32(self.floor).u8(moderators), |to, moderator| {
            to.bytes(moderator.key.as_bytes()).bytes(&moderator.term.0).u8(moderator.muted.into())
        });
        let entries = u16::try_from(self.entries.len()).expect("4,096 at most");
        self.entries.iter().fold(to.u16(entries), |to, entry| {
            to.bytes(&entry.tag.0).u8(entry.role.id()).u32(entry.n).u8(entry.banned.into()).u32(entry.bn)
        })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let floor = reader.u32()?;
        let count = usize::from(reader.u8()?);
        if count > Self::MAX_MODERATORS {
            return Err(Malformed);
        }
        let moderators = (0..count).map(|_| Moderator::read(reader)).collect::<Result<_, _>>()?;
        let count = usize::from(reader.u16()?);
        if count > Self::MAX_ENTRIES {
            return Err(Malformed);
        }
        let entries = (0..count).map(|_| Entry::read(reader)).collect::<Result<_, _>>()?;
        let rest = Self { floor, moderators, entries };
        if rest.is_well_formed() { Ok(rest) } else { Err(Malformed) }
    }

    fn is_well_formed(&self) -> bool {
        self.moderators.len() <= Self::MAX_MODERATORS
            && self.entries.len() <= Self::MAX_ENTRIES
            && self.moderators.iter().all(|moderator| moderator.key != NOBODY && moderator.term != Term::NONE)
            && self.moderators.is_sorted_by(|one, next| one.key < next.key)
            && self.entries.is_sorted_by(|one, next| one.tag < next.tag)
    }
}

/// Somebody to whom the host gives rank, for one term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moderator {
    /// The moderator's identity.
    pub(crate) key: IdentityKey,
    /// What its standings name: drawn anew at each promotion.
    pub(crate) term: Term,
    /// Whether nobody hears it.
    pub(crate) muted: bool,
}

impl Moderator {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let key = IdentityKey::from_bytes(reader.array()?);
        Ok(Self { key, term: Term(reader.array()?), muted: reader.flag()? })
    }
}

/// Where one tag stands at a table, and the numbers above which words about it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// About whom or what.
    pub(crate) tag: Tag,
    /// The role.
    pub(crate) role: RoleWord,
    /// The number of the role register.
    pub(crate) n: u32,
    /// Whether it is banned.
    pub(crate) banned: bool,
    /// The number of the ban register.
    pub(crate) bn: u32,
}

impl Entry {
    /// What holds about a tag that no table lists.
    pub(crate) const fn unlisted(tag: Tag, floor: u32) -> Self {
        Self { tag, role: RoleWord::OUT, n: floor, banned: false, bn: floor }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            tag: Tag(reader.array()?),
            role: RoleWord::from_id(reader.u8()?).ok_or(Malformed)?,
            n: reader.u32()?,
            banned: reader.flag()?,
            bn: reader.u32()?,
        })
    }
}

/// By which hand-over somebody is host: the hand-over's id, or the group id for the founder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Office(pub(crate) [u8; 32]);

impl Office {
    /// The term that the host's own standings name.
    pub(crate) fn term(&self) -> Term {
        let [front @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = self.0;
        Term(front)
    }
}

impl From<GroupId> for Office {
    fn from(group_id: GroupId) -> Self {
        Self(group_id.0)
    }
}

impl From<StatementId> for Office {
    fn from(hand_over: StatementId) -> Self {
        Self(hand_over.0)
    }
}

/// One time of holding rank. Standings name it, so that they end with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Term(pub(crate) [u8; 16]);

impl Term {
    /// The term that no moderator has.
    pub(crate) const NONE: Self = Self([0; 16]);
}

impl fmt::Debug for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::short(f, "Office", &self.0)
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::short(f, "Term", &self.0)
    }
}
