//! What one member keeps of the law: the live set, its pins, its own numbers, and proofs against
//! those who had rank (`spec/law.md`, L27 to L30 and L35 to L37).
//!
//! ```text
//! shown statements > whose issuer has rank > signature checked > live(known + epoch law + shown)
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use crate::{
    group::codec::{Malformed, Reader, Writer},
    id::IdentityKey,
};

use super::{
    answers::Law,
    checks::{Work, split},
    places::Anchor,
    set::{self, LiveSet, Pins},
    standing::{Register, Standing, Word},
    statement::{Content, Genuine, GenuineStatement, Signed, Statement, StatementId},
    table::{Office, Table, Term},
    terms::{Tag, Terms},
};

/// What a member knows of the law, whatever epoch it is in.
#[derive(Clone)]
pub(crate) struct Store {
    me: IdentityKey,
    known: LiveSet,
    pins: Pins,
    own: BTreeMap<(Term, Tag, Register), u32>,
    proofs: Vec<SecondHandOver>,
    fallen: Vec<FallenBan>,
    /// Genuine statements shown in this epoch, which a commit may still need though known law does
    /// not.
    shown: BTreeMap<StatementId, GenuineStatement>,
}

impl Store {
    /// Most signatures that one [`Store::merge`] checks, about 0.1 s of work.
    pub(crate) const MAX_CHECKS: usize = 1_024;
    /// Most fallen bans that are kept.
    pub(crate) const MAX_FALLEN: usize = 64;
    /// Most second hand-overs that are kept.
    pub(crate) const MAX_PROOFS: usize = 2;
    /// Most statements of one epoch that are kept though known law does not need them.
    pub(crate) const MAX_SHOWN: usize = 4_096;

    /// The store of the holder of `me`, who knows nothing but the terms.
    pub(crate) fn new(terms: Arc<Terms>, anchor: Anchor, me: IdentityKey) -> Self {
        let known = LiveSet::new(terms, anchor);
        Self {
            me,
            known,
            pins: Pins::default(),
            own: BTreeMap::new(),
            proofs: Vec::new(),
            fallen: Vec::new(),
            shown: BTreeMap::new(),
        }
    }

    /// The known law's set.
    pub(crate) fn known(&self) -> &LiveSet {
        &self.known
    }

    /// The known law.
    pub(crate) fn law(&self) -> &Law {
        self.known.law()
    }

    /// The hand-overs taken.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Bans that stopped counting without anybody taking them back, until the host speaks.
    #[cfg(test)]
    pub(crate) fn fallen(&self) -> &[FallenBan] {
        &self.fallen
    }

    /// The greatest number that this identity has used about a tag under a term.
    pub(crate) fn own(&self, term: Term, about: Tag, register: Register) -> u32 {
        self.own.get(&(term, about, register)).copied().unwrap_or_default()
    }

    /// A statement that is known, or was shown in this epoch.
    pub(crate) fn get(&self, id: &StatementId) -> Option<&GenuineStatement> {
        self.known.get(id).or_else(|| self.shown.get(id))
    }

    /// The epoch law after a commit that adds the statements with these ids: `live(old + added)`.
    ///
    /// # Errors
    /// The first id that was never shown: ask for it, and hold the commit back.
    #[cfg(test)]
    pub(crate) fn epoch_law(&self, old: &LiveSet, added: &[StatementId]) -> Result<LiveSet, StatementId> {
        let find = |id: &StatementId| old.get(id).or_else(|| self.get(id)).cloned().ok_or(*id);
        let added = added.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        Ok(old.union(added, &self.pins))
    }

    /// Forgets what only the last epoch could need.
    pub(crate) fn epoch_ended(&mut self) {
        self.shown.clear();
    }

    /// Takes what was shown: known law becomes the law of what is known, the epoch's and this.
    ///
    /// Only statements whose issuer has rank, in the term and office that they name, cost a
    /// signature check, at most [`Store::MAX_CHECKS`] of them, tables first. What was not looked at
    /// is handed back; the caller may merge it in its next turn.
    pub(crate) fn merge(&mut self, statements: Vec<Statement>, epoch_law: &LiveSet) -> Merged {
        let before = self.known.clone();
        let mut work = Work { left: Self::MAX_CHECKS, seconds: Vec::new(), unlooked: Vec::new() };
        let (tables, standings) = split(statements, before.group_id());
        let base = self.known.union_with(epoch_law, &self.pins);
        let tables = work.tables(&base, tables, self.proofs.len());
        let with_tables = base.union(tables.iter().cloned().map(GenuineStatement::Table), &self.pins);
        let laws = [with_tables.law(), epoch_law.law()];
        let standings =
            work.standings(laws, standings, |id| self.get(id).or_else(|| base.get(id)), base.group_id());
        let own = standings.iter().map(Genuine::content).filter(|said| said.issuer == self.me);
        for said in own {
            let n = self.own.entry((said.term, said.about, said.word.register())).or_default();
            *n = said.n.max(*n);
        }
        let genuine = tables.into_iter().map(GenuineStatement::Table);
        let genuine: Vec<_> = genuine.chain(standings.into_iter().map(GenuineStatement::Standing)).collect();
        self.known = with_tables.union(genuine.iter().cloned(), &self.pins);
        self.pins = Pins::of(self.known.law());
        let law = self.known.law();
        let kept = |statement: &&GenuineStatement| self.known.get(&statement.id()).is_none();
        for statement in genuine.iter().filter(kept) {
            if self.shown.len() < Self::MAX_SHOWN {
                self.shown.insert(statement.id(), statement.clone());
            }
        }
        self.own.retain(|(term, about, register), n| {
            let numbers = law.numbers(about);
            let base = if *register == Register::Role { numbers.base_n } else { numbers.base_bn };
            law.term_of(&self.me) == Some(*term) && *n > base
        });
        let epoch_tables = epoch_law.statements().filter_map(table);
        let second_hand_over = self.keep_proofs(work.seconds.iter().chain(epoch_tables));
        let fallen = self.keep_fallen(&before);
        Merged {
            changed: self.known != before,
            #[cfg(test)]
            newly_out: newly_out(before.law(), self.known.law()),
            fallen,
            second_hand_over,
            checked: Self::MAX_CHECKS - work.left,
            unlooked: work.unlooked,
        }
    }

    /// L37: a hand-over that is not the one taken in its office.
    fn keep_proofs<'a>(&mut self, tables: impl Iterator<Item = &'a Genuine<Table>>) -> Vec<SecondHandOver> {
        let mut new = Vec::new();
        for table in tables.filter(|table| table.content().is_hand_over()) {
            let said = table.content();
            let taken = self.known.law().handed_over(said.signer(), said.office());
            let known = self.proofs.iter().any(|proof| proof.office() == said.office());
            if taken.is_some_and(|taken| taken != table.id())
                && !known
                && self.proofs.len() < Self::MAX_PROOFS
            {
                let proof = SecondHandOver(table.without_rest());
                self.proofs.push(proof.clone());
                new.push(proof);
            }
        }
        new
    }

    /// L35: Bans that were in force, are not, and that nobody who could took back.
    fn keep_fallen(&mut self, before: &LiveSet) -> Vec<FallenBan> {
        let law = self.known.law();
        self.fallen.retain(|fallen| !fallen.is_answered(law));
        let mut new = Vec::new();
        let tags: BTreeSet<Tag> =
            before.statements().filter_map(ban).map(|ban| ban.content().about).collect();
        for tag in tags.into_iter().filter(|tag| law.admits_tag(tag)) {
            let words = law.words(&tag);
            let fell = |ban: &&Genuine<Standing>| {
                let issuer = ban.content().issuer;
                let takes_back = |word: &Genuine<Standing>| {
                    let said = word.content();
                    said.word == Word::Unban && (said.issuer == issuer || said.issuer == *law.host())
                };
                !words.iter().any(takes_back)
            };
            let Some(ban) = before.law().bans(&tag).iter().find(fell) else { continue };
            let fallen = FallenBan { ban: ban.clone(), bn: law.numbers(&tag).base_bn };
            if !self.fallen.iter().any(|kept| kept.ban == fallen.ban) {
                if self.fallen.len() < Self::MAX_FALLEN {
                    self.fallen.push(fallen.clone());
                }
                new.push(fallen);
            }
        }
        new
    }

    /// Everything but what ends with the epoch.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let count = |len: usize| u16::try_from(len).expect("bounded where they were kept");
        let mut to = Writer::new().u8(VERSION).bytes(self.me.as_bytes());
        to = match self.known.anchor() {
            Anchor::Founder => to.u8(0),
            Anchor::Invite { host, office } => to.u8(1).bytes(host.as_bytes()).bytes(&office.0),
        };
        to = to.vec32(&self.known.encode()).u16(count(self.pins.ids().len()));
        to = self.pins.ids().iter().fold(to, |to, pin| to.bytes(&pin.0));
        to = to.u32(u32::try_from(self.own.len()).expect("at most two registers of 1,024 tags"));
        to = self.own.iter().fold(to, |to, ((term, about, register), n)| {
            to.bytes(&term.0).bytes(&about.0).u8(u8::from(*register == Register::Ban)).u32(*n)
        });
        to = to.u16(count(self.proofs.len()));
        to = self.proofs.iter().fold(to, |to, proof| proof.0.signed().write(to));
        to = to.u16(count(self.fallen.len()));
        let fallen = self.fallen.iter();
        fallen.fold(to, |to, fallen| fallen.ban.signed().write(to).u32(fallen.bn)).finish()
    }

    /// Reads a store of this room, and checks every signature again.
    ///
    /// # Errors
    /// [`Malformed`] if a byte, a bound or a signature does not hold, or the set is not live.
    pub(crate) fn decode(bytes: &[u8], terms: Arc<Terms>) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let me = IdentityKey::from_bytes(reader.array()?);
        let anchor = match reader.flag()? {
            false => Anchor::Founder,
            true => Anchor::Invite {
                host: IdentityKey::from_bytes(reader.array()?),
                office: Office(reader.array()?),
            },
        };
        let mut store = Self::new(terms, anchor, me);
        let group_id = *store.known.group_id();
        let known = set::decode(reader.vec32(usize::MAX)?)?;
        let count = reader.u16()?;
        let pins = (0..count).map(|_| reader.array().map(StatementId)).collect::<Result<_, _>>()?;
        store.pins = Pins::from_ids(pins);
        let shown = known.len();
        let known = known.into_iter().map(|statement| statement.verify(&group_id).map_err(|_| Malformed));
        store.known = store.known.union(known.collect::<Result<Vec<_>, _>>()?, &store.pins);
        if store.known.ids().len() != shown || Pins::of(store.law()) != store.pins {
            return Err(Malformed);
        }
        for _ in 0..reader.u32()? {
            let (term, about) = (Term(reader.array()?), Tag(reader.array()?));
            let register = if reader.flag()? { Register::Ban } else { Register::Role };
            store.own.insert((term, about, register), reader.u32()?);
        }
        let count = usize::from(reader.u16()?);
        for _ in 0..count.min(Self::MAX_PROOFS) {
            let table = Signed::<Table>::read(&mut reader)?.verify(&group_id).map_err(|_| Malformed)?;
            store.proofs.push(SecondHandOver(table));
        }
        let count = usize::from(reader.u16()?);
        for _ in 0..count.min(Self::MAX_FALLEN) {
            let ban = Signed::<Standing>::read(&mut reader)?.verify(&group_id).map_err(|_| Malformed)?;
            store.fallen.push(FallenBan { ban, bn: reader.u32()? });
        }
        reader.finish()?;
        Ok(store)
    }
}

/// How much is known, not about whom.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({:?}, {} fallen bans)", self.known, self.fallen.len())
    }
}

/// What merging did.
#[derive(Debug)]
#[must_use]
pub(crate) struct Merged {
    /// Whether the known law's set is another one.
    pub(crate) changed: bool,
    /// Whom the law admitted and does not admit any more.
    #[cfg(test)]
    pub(crate) newly_out: Vec<Tag>,
    /// Bans that stopped counting without being taken back, so that somebody is admitted again.
    pub(crate) fallen: Vec<FallenBan>,
    /// Hand-overs that prove their signer false.
    pub(crate) second_hand_over: Vec<SecondHandOver>,
    /// How many signatures were checked.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at it"))]
    pub(crate) checked: usize,
    /// What the bound left out.
    pub(crate) unlooked: Vec<Statement>,
}

/// A second hand-over of one office by one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecondHandOver(Genuine<Table>);

impl SecondHandOver {
    /// Who signed two.
    pub(crate) fn signer(&self) -> &IdentityKey {
        self.0.content().signer()
    }

    /// The office that was given away twice.
    pub(crate) fn office(&self) -> Office {
        self.0.content().office()
    }
}

/// A Ban that stopped counting though neither its issuer nor the host took it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FallenBan {
    ban: Genuine<Standing>,
    /// The table's number about the person when the Ban fell.
    bn: u32,
}

impl FallenBan {
    /// The Ban, to show to the host.
    pub(crate) fn ban(&self) -> &Genuine<Standing> {
        &self.ban
    }

    /// Whether the host has spoken about the person since, or it is out anyway.
    fn is_answered(&self, law: &Law) -> bool {
        let about = &self.ban.content().about;
        let by_host = |word: &Genuine<Standing>| {
            word.content().issuer == *law.host() && word.content().word.register() == Register::Ban
        };
        law.is_over()
            || law.said_about(about).banned
            || law.numbers(about).base_bn > self.bn
            || law.words(about).iter().any(by_host)
    }
}

fn table(statement: &GenuineStatement) -> Option<&Genuine<Table>> {
    match statement {
        GenuineStatement::Table(table) => Some(table),
        GenuineStatement::Standing(_) => None,
    }
}

fn ban(statement: &GenuineStatement) -> Option<&Genuine<Standing>> {
    match statement {
        GenuineStatement::Standing(standing) if standing.content().word == Word::Ban => Some(standing),
        _ => None,
    }
}

#[cfg(test)]
fn newly_out(before: &Law, after: &Law) -> Vec<Tag> {
    let tags = before.tags().into_iter();
    tags.filter(|tag| before.admits_tag(tag) && !after.admits_tag(tag)).collect()
}

const VERSION: u8 = 2;
