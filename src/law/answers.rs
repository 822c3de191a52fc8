//! What a law answers: who is host, who has rank, who is admitted as what (`spec/law.md`, L19 to
//! L25). The function computes it; nothing here changes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::id::{IdentityKey, MemberId};

use super::{
    places::{InviteState, Numbers, Position, Rank},
    rules::{self, Rule},
    standing::{Register, Role, Standing},
    statement::{Genuine, StatementId},
    table::{Entry, Moderator, Office, Rest, Term},
    tags::{DrawnFrom, Tags},
    terms::Tag,
};

/// How far above the table's number a word may stand.
pub(crate) const WINDOW: u32 = 4_096;
/// About how many tags the words of one issuer count in one register.
pub(crate) const MAX_TAGS: usize = 256;
/// How often a room may change hands.
pub(crate) const MAX_HAND_OVERS: usize = 1_024;

/// What a set of statements says: who is host, who has rank, who is admitted as what.
#[derive(Clone, Debug)]
pub(crate) struct Law {
    pub(super) host: IdentityKey,
    pub(super) office: Office,
    pub(super) over: bool,
    pub(super) chain: Vec<Link>,
    pub(super) table: Option<(StatementId, u64)>,
    pub(super) rest: Arc<Rest>,
    pub(super) ranks: BTreeMap<Tag, IdentityKey>,
    pub(super) subjects: BTreeMap<Tag, Subject>,
    pub(super) standings: usize,
    /// Of each issuer whose words in a register count: about how many tags, and the greatest of
    /// them.
    pub(super) reach: BTreeMap<(IdentityKey, Register), (usize, Tag)>,
    pub(super) tags: Arc<Tags>,
}

impl Law {
    /// The host's key. After the end of the room it is all zeros.
    pub(crate) fn host(&self) -> &IdentityKey {
        &self.host
    }

    /// The hand-over by which the host is host.
    pub(crate) fn office(&self) -> Office {
        self.office
    }

    /// The greatest table number of this office, if its host has signed a table in it.
    pub(crate) fn table_no(&self) -> Option<u64> {
        let opened_by = self.chain.last().map(|link| link.hand_over);
        self.table.filter(|(id, _)| Some(*id) != opened_by).map(|(_, no)| no)
    }

    /// The table in force, if the room has one.
    pub(crate) fn table_id(&self) -> Option<StatementId> {
        self.table.map(|(id, _)| id)
    }

    /// Moderators, entries and floor of the table in force.
    pub(crate) fn rest(&self) -> &Arc<Rest> {
        &self.rest
    }

    /// The hand-overs taken, oldest first.
    pub(crate) fn chain(&self) -> impl ExactSizeIterator<Item = StatementId> + '_ {
        self.chain.iter().map(|link| link.hand_over)
    }

    /// The hand-over that `signer` gave its `office` away with.
    pub(super) fn handed_over(&self, signer: &IdentityKey, office: Office) -> Option<StatementId> {
        let link = self.chain.iter().find(|link| link.office == office && link.signer == *signer)?;
        Some(link.hand_over)
    }

    /// Whether the host has closed the room: then nobody is admitted.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// The moderators, ascending by key.
    pub(crate) fn moderators(&self) -> &[Moderator] {
        if self.over { &[] } else { self.rest.moderators() }
    }

    /// The rank of the holder of a key.
    pub(crate) fn rank_of(&self, key: &IdentityKey) -> Rank {
        if self.over {
            Rank::None
        } else if *key == self.host {
            Rank::Host
        } else if self.rest.moderator(key).is_some() {
            Rank::Moderator
        } else {
            Rank::None
        }
    }

    /// The rank of whoever has this tag.
    pub(crate) fn rank_of_tag(&self, tag: &Tag) -> Rank {
        self.key_of_rank(tag).map_or(Rank::None, |key| self.rank_of(key))
    }

    /// The key behind the tag of somebody of rank.
    pub(crate) fn key_of_rank(&self, tag: &Tag) -> Option<&IdentityKey> {
        self.ranks.get(tag)
    }

    /// The term that standings of this key have to name; none without rank.
    pub(crate) fn term_of(&self, key: &IdentityKey) -> Option<Term> {
        match self.rank_of(key) {
            Rank::Host => Some(self.office.term()),
            Rank::Moderator => self.rest.moderator(key).map(|moderator| moderator.term),
            Rank::None => None,
        }
    }

    /// The tag of a key in this room.
    pub(crate) fn tag(&self, key: &IdentityKey) -> Tag {
        self.tags.of_key(key)
    }

    /// The tag of an identity that may never have been seen.
    pub(crate) fn tag_of(&self, member: MemberId) -> Tag {
        self.tags.of(member)
    }

    /// What `draw` works out about a tag from the table in force and the signature of the word that
    /// gives the tag its role; the same is worked out once.
    pub(crate) fn drawn(&self, tag: &Tag, from: DrawnFrom, draw: impl FnOnce() -> [u8; 32]) -> [u8; 32] {
        self.tags.draw(tag, from, draw)
    }

    /// Whether the holder of a key may be in the tree.
    pub(crate) fn admits(&self, key: &IdentityKey) -> bool {
        self.admits_tag(&self.tag(key))
    }

    /// Whether whoever has this tag may be in the tree.
    pub(crate) fn admits_tag(&self, tag: &Tag) -> bool {
        self.standing_of(tag).is_admitted()
    }

    /// Role, mute and ban of whoever has this tag. Host and moderators are speakers.
    pub(crate) fn standing_of(&self, tag: &Tag) -> Position {
        if self.over {
            return Position { role: Role::Out, muted: false, banned: false };
        }
        if let Some(key) = self.ranks.get(tag) {
            let muted = self.rest.moderator(key).is_some_and(|moderator| moderator.muted);
            return Position { role: Role::Speaker, muted, banned: false };
        }
        let said = self.said_about(tag);
        Position { role: said.role.role(), muted: said.role.is_muted(), banned: said.banned }
    }

    /// What table and words say about a tag, whatever its rank, and where its numbers stand.
    pub(crate) fn numbers(&self, tag: &Tag) -> Numbers {
        let base = self.base(tag);
        let said = self.said_about(tag);
        Numbers { base_n: base.n, base_bn: base.bn, n: said.n, bn: said.bn }
    }

    /// The number that a moderator's Ban about a tag has to be above: that of the host's ban word,
    /// else the table's.
    pub(super) fn settled_bn(&self, tag: &Tag) -> u32 {
        let of_host = self
            .words(tag)
            .iter()
            .map(Genuine::content)
            .find(|word| word.issuer == self.host && word.word.register() == Register::Ban);
        of_host.map_or(self.base(tag).bn, |word| word.n)
    }

    /// Role and ban that table and words give, before rank is looked at.
    pub(crate) fn said_about(&self, tag: &Tag) -> Entry {
        match self.subjects.get(tag) {
            Some(subject) => subject.entry,
            None => self.base(tag),
        }
    }

    /// The table's entry, or what holds about who is not listed.
    pub(super) fn base(&self, tag: &Tag) -> Entry {
        self.rest.entry(tag).copied().unwrap_or(Entry::unlisted(*tag, self.rest.floor()))
    }

    /// Whether a word that counts gives a role to this tag, or the table in force took one in: the
    /// number above the floor alone says nothing, for everybody who is not listed has it.
    pub(crate) fn has_role_word(&self, tag: &Tag) -> bool {
        let is_role = |word: &Genuine<Standing>| word.content().word.register() == Register::Role;
        self.words(tag).iter().any(is_role) || self.rest.entry(tag).is_some_and(|entry| entry.n > 0)
    }

    /// An invite that somebody of rank made: the role that it gives, or that it was revoked.
    pub(crate) fn invite(&self, tag: &Tag) -> Option<InviteState> {
        let said = self.said_about(tag);
        let spoken = self.rest.entry(tag).is_some() || self.subjects.contains_key(tag);
        if self.over || !spoken {
            return None;
        }
        let revoked = said.banned || said.role.role() == Role::Out;
        Some(if revoked { InviteState::Revoked } else { InviteState::Live(said.role.role()) })
    }

    /// Whether doors admit nobody who is not admitted yet.
    pub(crate) fn is_locked(&self) -> bool {
        !self.over && self.said_about(&Tag::LOCK).banned
    }

    /// The Bans about a tag that put it out: what a door shows, and what may fall later.
    pub(crate) fn bans(&self, tag: &Tag) -> &[Genuine<Standing>] {
        self.subjects.get(tag).map_or(&[], |subject| &subject.bans)
    }

    /// The words about a tag that count, in both registers.
    pub(crate) fn words(&self, tag: &Tag) -> &[Genuine<Standing>] {
        self.subjects.get(tag).map_or(&[], |subject| &subject.words)
    }

    /// The word that gives a tag its role, if the table alone does not.
    pub(crate) fn role_word(&self, tag: &Tag) -> Option<&Genuine<Standing>> {
        let of_role = |word: &&Genuine<Standing>| word.content().word.register() == Register::Role;
        self.words(tag).iter().filter(of_role).max_by_key(|word| precedence(word))
    }

    /// How many standings count: when they are many the host signs a table.
    pub(crate) fn standings(&self) -> usize {
        self.standings
    }

    /// Every tag that the table lists or a word that counts is about, and those of rank.
    pub(crate) fn tags(&self) -> BTreeSet<Tag> {
        let listed = self.rest.entries().iter().map(|entry| &entry.tag);
        listed.chain(self.subjects.keys()).chain(self.ranks.keys()).copied().collect()
    }

    /// Whether a standing is in its issuer's term and in the window of its number. It counts if
    /// besides no later word of its issuer takes its place.
    pub(crate) fn hears(&self, standing: &Standing) -> bool {
        let rank = self.rank_of(&standing.issuer);
        if rank == Rank::None
            || rules::holds(Rule::Term) && self.term_of(&standing.issuer) != Some(standing.term)
        {
            return false;
        }
        let base = self.base(&standing.about);
        let base = match standing.word.register() {
            Register::Role => base.n,
            Register::Ban => base.bn,
        };
        let above = !rules::holds(Rule::Base) || standing.n > base;
        let clamped = rank == Rank::Host || rules::holds(Rule::Clamp);
        above && (!clamped || standing.n.saturating_sub(base) <= WINDOW)
    }

    /// About how many tags words of this issuer count in a register, and whether `tag` is one of
    /// them.
    pub(crate) fn spoken_about(&self, issuer: &IdentityKey, register: Register, tag: &Tag) -> (usize, bool) {
        let is_own = |word: &Standing| word.issuer == *issuer && word.word.register() == register;
        let spoken = self.words(tag).iter().any(|word| is_own(word.content()));
        (self.spoken(issuer, register), spoken)
    }

    /// About how many tags words of this issuer count in a register.
    pub(crate) fn spoken(&self, issuer: &IdentityKey, register: Register) -> usize {
        self.reach.get(&(*issuer, register)).map_or(0, |(count, _)| *count)
    }

    /// Whether a word of this issuer about this tag, in this register, is within the bound of L19.
    pub(crate) fn reaches(&self, issuer: &IdentityKey, register: Register, tag: &Tag) -> bool {
        self.reach
            .get(&(*issuer, register))
            .is_none_or(|(count, greatest)| *count < MAX_TAGS || tag <= greatest)
    }
}

/// One change of office.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) signer: IdentityKey,
    pub(super) office: Office,
    pub(super) hand_over: StatementId,
}

/// A tag that words are about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) entry: Entry,
    pub(super) words: Vec<Genuine<Standing>>,
    pub(super) bans: Vec<Genuine<Standing>>,
}

/// L11: of two words the one with the greater precedence counts: number, then the stricter, then
/// the least id.
pub(super) fn precedence(word: &Genuine<Standing>) -> (u32, u8, std::cmp::Reverse<StatementId>) {
    let said = word.content();
    (said.n, said.word.strictness(), std::cmp::Reverse(word.id()))
}
