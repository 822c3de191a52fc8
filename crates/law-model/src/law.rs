//! The law as a function of a set of statements (`spec/law.md`, section 4), without bytes and
//! signatures.
//!
//! ```text
//! Set: bits, one for each statement of a Book
//! law(rules, bounds, book, set, pins) > Law: host, ranks, terms, roles, bans, numbers, live set
//! ```
//!
//! It is the library's function in other words: `src/law/drift.rs` there compares the two on random
//! statements.

use crate::rules::{Rule, Rules};

/// People that a model has at most.
pub const PEOPLE: usize = 11;
/// Tags that statements are about: the people, and one invite.
pub const TAGS: usize = PEOPLE + 1;
/// The tag of the invite.
pub const INVITE: u8 = PEOPLE as u8;
/// The host key that closes a room.
pub const NOBODY: u8 = u8::MAX;
/// The office of the founder.
pub const FOUNDERS: i16 = -1;

/// A set of statements: one bit for each, by its place in the [`Book`].
pub type Set = u64;

/// The members of a set, ascending.
pub fn each(set: Set) -> impl Iterator<Item = usize> {
    let mut left = set;
    std::iter::from_fn(move || {
        let next = (left != 0).then(|| left.trailing_zeros() as usize)?;
        left &= left - 1;
        Some(next)
    })
}

/// The register that a word stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// Out, recorder, listener, speaker; muted or not.
    Role,
    /// Unban, Ban.
    Ban,
}

/// A role word, by its byte (L9).
pub type Word = u8;
/// Out.
pub const OUT: Word = 0;
/// Listener.
pub const LISTENER: Word = 2;
/// Speaker.
pub const SPEAKER: Word = 3;
/// Takes a Ban back.
pub const UNBAN: Word = 0x80;
/// Puts somebody out.
pub const BAN: Word = 0x81;

/// The register of a word.
pub const fn register(word: Word) -> Register {
    if word & 0x80 != 0 { Register::Ban } else { Register::Role }
}

/// L11: how strict a word is within its register.
pub const fn strictness(word: Word) -> u8 {
    match register(word) {
        Register::Ban => word & 1,
        Register::Role => 2 * (3 - (word & 3)) + (word >> 4 & 1),
    }
}

/// What a table says about a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The role word.
    pub role: Word,
    /// The number of the role register.
    pub n: u32,
    /// Whether the tag is banned.
    pub banned: bool,
    /// The number of the ban register.
    pub bn: u32,
}

impl Entry {
    /// Of a tag that a table with this floor does not list.
    pub const fn unlisted(floor: u32) -> Self {
        Self { role: OUT, n: floor, banned: false, bn: floor }
    }
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// L7. The office is the place of the hand-over that opened it, or [`FOUNDERS`].
    Table {
        office: i16,
        no: u64,
        host: u8,
        floor: u32,
        terms: [u16; PEOPLE],
        muted: u16,
        entries: [Option<Entry>; TAGS],
    },
    /// L8.
    Standing { term: u16, about: u8, word: Word, n: u32 },
}

/// A genuine statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its signer.
    pub by: u8,
    /// What its id is worth among others: the least takes precedence.
    pub id: u64,
    /// What it says.
    pub content: Content,
}

/// Every statement that anybody has signed.
pub type Book = Vec<Statement>;

/// The sizes of L13, L18 and L19.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How far above the base a number counts.
    pub window: u32,
    /// About how many tags the words of one issuer count in one register.
    pub tags: usize,
    /// How many hand-overs a chain has.
    pub hand_overs: usize,
    /// The tags, by their bytes: the first are the least.
    pub least: [u8; TAGS],
}

impl Bounds {
    /// Small ones, so that edges are near.
    pub const SMALL: Self =
        Self { window: 4, tags: 64, hand_overs: 8, least: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] };
    /// Those of the page.
    pub const REAL: Self = Self { window: 4_096, tags: 256, hand_overs: 1_024, ..Self::SMALL };
}

/// The term of whoever is host in an office.
pub const fn host_term(office: i16) -> u16 {
    (30_000 + office as i32) as u16
}

/// What a set of statements says.
#[derive(Clone, Debug, PartialEq)]
pub struct Law {
    /// The host, or [`NOBODY`].
    pub host: u8,
    /// The host's office.
    pub office: i16,
    /// The table in force, or -1.
    pub table: i16,
    /// Its number if it is of this office and no hand-over.
    pub no: Option<u64>,
    /// 2 host, 1 moderator, 0 none.
    pub rank: [u8; PEOPLE],
    /// The terms of those of rank.
    pub term: [u16; PEOPLE],
    /// Moderators that the table mutes.
    pub muted: u16,
    /// The floor of the table.
    pub floor: u32,
    /// Table and words: what is said about each tag, before rank is looked at.
    pub said: [Entry; TAGS],
    /// The table alone.
    pub base: [Entry; TAGS],
    /// Tags that the table lists.
    pub listed: u16,
    /// Tags that a word which counts is about.
    pub spoken: u16,
    /// The hand-overs taken.
    pub chain: Set,
    /// How many.
    pub hand_overs: usize,
    /// The statements that the law needs.
    pub live: Set,
}

impl Law {
    /// Whether somebody may be in the tree (L22).
    pub const fn admits(&self, who: usize) -> bool {
        let said = self.said[who];
        self.host != NOBODY && (self.rank[who] > 0 || said.role != OUT && !said.banned)
    }

    /// Whether the invite lets anybody in (L25).
    pub const fn invite_lives(&self) -> bool {
        let (said, bit) = (self.said[INVITE as usize], 1 << INVITE);
        self.host != NOBODY && (self.listed | self.spoken) & bit != 0 && said.role != OUT && !said.banned
    }

    /// What a law means to anybody: all but the numbers.
    pub fn sense(&self) -> (u8, [u8; PEOPLE], [(Word, bool); TAGS]) {
        let said = std::array::from_fn(|tag| match self.rank.get(tag) {
            Some(rank) if *rank > 0 => (SPEAKER, false),
            _ => (self.said[tag].role, self.said[tag].banned),
        });
        (self.host, self.rank, said)
    }

    /// The base number of a register.
    pub const fn base_of(&self, about: u8, register: Register) -> u32 {
        match register {
            Register::Role => self.base[about as usize].n,
            Register::Ban => self.base[about as usize].bn,
        }
    }

    /// The greatest number that counts in a register.
    pub const fn number_of(&self, about: u8, register: Register) -> u32 {
        match register {
            Register::Role => self.said[about as usize].n,
            Register::Ban => self.said[about as usize].bn,
        }
    }

    /// L17 and L18: whether a word of `by` is in its term and window.
    #[allow(clippy::too_many_arguments, reason = "the parts of one standing")]
    pub fn hears(
        &self,
        rules: Rules,
        bounds: &Bounds,
        by: u8,
        term: u16,
        about: u8,
        word: Word,
        n: u32,
    ) -> bool {
        let rank = self.rank[usize::from(by)];
        if self.host == NOBODY || rank == 0 || rules.has(Rule::Term) && term != self.term[usize::from(by)] {
            return false;
        }
        let base = self.base_of(about, register(word));
        let above = !rules.has(Rule::Base) || n > base;
        let clamped = rank == 2 || rules.has(Rule::Clamp);
        above && (!clamped || n.saturating_sub(base) <= bounds.window)
    }
}

/// The law of a set, for a member that has taken the hand-overs in `pins`.
pub fn law(rules: Rules, bounds: &Bounds, book: &[Statement], set: Set, pins: Set) -> Law {
    let none = Entry::unlisted(0);
    let mut law = Law {
        host: 0,
        office: FOUNDERS,
        table: -1,
        no: None,
        rank: [0; PEOPLE],
        term: [0; PEOPLE],
        muted: 0,
        floor: 0,
        said: [none; TAGS],
        base: [none; TAGS],
        listed: 0,
        spoken: 0,
        chain: 0,
        hand_overs: 0,
        live: 0,
    };
    let tables = |law: &Law, over: bool| {
        let (by, of) = (law.host, law.office);
        each(set).filter(move |at| {
            let said = &book[*at];
            matches!(said.content, Content::Table { office, host, .. } if said.by == by && office == of && (host != by) == over)
        })
    };
    let pinned = with_ancestors(book, pins);
    // L13 and L14: the chain of hand-overs.
    loop {
        let full = law.hand_overs >= bounds.hand_overs;
        let may = |at: &usize| !full || matches!(book[*at].content, Content::Table { host: NOBODY, .. });
        let rank = |at: &usize| (!(rules.has(Rule::Pin) && pinned >> at & 1 == 1), book[*at].id);
        let Some(next) = tables(&law, true).filter(may).min_by_key(rank) else { break };
        law.chain |= 1 << next;
        law.hand_overs += 1;
        let Content::Table { host, .. } = book[next].content else { unreachable!("a table") };
        (law.host, law.office, law.table) = (host, next as i16, next as i16);
        if host == NOBODY {
            law.live = law.chain;
            return law;
        }
    }
    // L16: the newest table of this office.
    let number = |at: &usize| match book[*at].content {
        Content::Table { no, .. } => (no, std::cmp::Reverse(book[*at].id)),
        Content::Standing { .. } => unreachable!("a table"),
    };
    if let Some(newest) = tables(&law, false).max_by_key(number) {
        (law.table, law.no) = (newest as i16, Some(number(&newest).0));
    }
    law.live = law.chain;
    if let Ok(at) = usize::try_from(law.table) {
        law.live |= 1 << at;
        if let Content::Table { floor, terms, muted, entries, .. } = &book[at].content {
            law.floor = *floor;
            for (who, term) in
                terms.iter().enumerate().filter(|(who, term)| **term != 0 && *who != usize::from(law.host))
            {
                (law.rank[who], law.term[who]) = (1, *term);
            }
            law.muted = *muted;
            for (tag, entry) in entries.iter().enumerate() {
                law.base[tag] = entry.unwrap_or(Entry::unlisted(*floor));
                law.listed |= u16::from(entry.is_some()) << tag;
            }
        }
    }
    law.rank[usize::from(law.host)] = 2;
    law.term[usize::from(law.host)] = host_term(law.office);
    law.said = law.base;
    hear(rules, bounds, book, set, &mut law);
    law
}

/// L17 to L21: the words that count, and what they say.
fn hear(rules: Rules, bounds: &Bounds, book: &[Statement], set: Set, law: &mut Law) {
    let precedence = |at: usize| match book[at].content {
        Content::Standing { word, n, .. } => (n, strictness(word), std::cmp::Reverse(book[at].id)),
        Content::Table { .. } => unreachable!("a standing"),
    };
    let mut greatest = [[[usize::MAX; 2]; TAGS]; PEOPLE];
    for at in each(set) {
        let Content::Standing { term, about, word, n } = book[at].content else { continue };
        let by = book[at].by;
        if !law.hears(rules, bounds, by, term, about, word, n) {
            continue;
        }
        let place = &mut greatest[usize::from(by)][usize::from(about)][register(word) as usize];
        if *place == usize::MAX || precedence(*place) < precedence(at) {
            *place = at;
        }
    }
    // L19: of one issuer the least tags of each register.
    for words in &mut greatest {
        let mut left = [bounds.tags; 2];
        for tag in bounds.least {
            let said = &mut words[usize::from(tag)];
            for (place, left) in said.iter_mut().zip(&mut left) {
                if *place != usize::MAX {
                    match left.checked_sub(1) {
                        Some(less) => *left = less,
                        None => *place = usize::MAX,
                    }
                }
            }
        }
    }
    for tag in 0..TAGS {
        let words = |register: Register| {
            (0..PEOPLE).map(move |by| (by, register)).filter_map(|(by, register)| {
                let at = greatest[by][tag][register as usize];
                (at != usize::MAX).then_some((by, at))
            })
        };
        for (_, at) in words(Register::Role).chain(words(Register::Ban)) {
            law.live |= 1 << at;
            law.spoken |= 1 << tag;
        }
        law.said[tag] = combine(rules, book, law, tag, words(Register::Role).chain(words(Register::Ban)));
    }
}

/// L20 and L21: base and words about one tag, as one entry.
pub fn combine(
    rules: Rules,
    book: &[Statement],
    law: &Law,
    tag: usize,
    words: impl Iterator<Item = (usize, usize)>,
) -> Entry {
    let mut entry = law.base[tag];
    let (mut role, mut settled, mut top) = (None, entry.bn, entry.bn);
    let mut by_moderators = Vec::new();
    for (by, at) in words {
        let Content::Standing { word, n, .. } = book[at].content else { continue };
        if register(word) == Register::Role {
            let precedence = (n, strictness(word), std::cmp::Reverse(book[at].id));
            if role.is_none_or(|(before, _)| before < precedence) {
                role = Some((precedence, word));
            }
        } else {
            top = top.max(n);
            if by == usize::from(law.host) {
                (entry.banned, settled) = (word == BAN, n);
            } else {
                by_moderators.push((n, word));
            }
        }
    }
    if let Some(((n, ..), word)) = role {
        (entry.role, entry.n) = (word, n);
    }
    if rules.has(Rule::OwnUnban) {
        entry.banned |= by_moderators.iter().any(|(n, word)| *word == BAN && *n > settled);
    } else if let Some((n, word)) = by_moderators.iter().max_by_key(|(n, word)| (*n, strictness(*word)))
        && *n > settled
    {
        entry.banned = *word == BAN;
    }
    entry.bn = top;
    entry
}

/// L14: a hand-over that is pinned pins those that it follows.
fn with_ancestors(book: &[Statement], pins: Set) -> Set {
    let mut pinned = pins;
    for at in each(pins) {
        let mut next = at as i16;
        while let Ok(at) = usize::try_from(next) {
            pinned |= 1 << at;
            next = match book[at].content {
                Content::Table { office, .. } => office,
                Content::Standing { .. } => FOUNDERS,
            };
        }
    }
    pinned
}
