//! The model in `crates/law-model` has a law of its own words. This compares it with the real one,
//! on random statements with real signatures, so that the two do not drift apart.

use law_model::{
    Rules,
    acts::{self, Act as Model},
    law::{
        BAN, Bounds, Content, Entry as Said, FOUNDERS, INVITE, LISTENER, NOBODY as CLOSED, OUT, PEOPLE,
        SPEAKER, Set, Statement as Told, TAGS, UNBAN, Word as Byte, host_term, law,
    },
    random::Random,
};

use crate::id::IdentityKey;

use super::{
    Act, GenuineStatement, Law, LiveSet, Pins, Rank, Register, Rest, Role, RoleWord, Statement, Tag, Term,
    Word,
    answers::WINDOW,
    statement::Content as _,
    world::{World, entry},
};

const MEMBERS: usize = 6;

/// A room in both languages.
struct Both {
    world: World,
    random: Random,
    book: Vec<Told>,
    real: Vec<GenuineStatement>,
    known: Vec<Set>,
    pins: Vec<Set>,
    invite: Tag,
    bounds: Bounds,
}

impl Both {
    fn new(seed: u64) -> Self {
        let world = World::new(MEMBERS as u8 - 1);
        let invite = world.terms.invite_tag(&[5; 16], 7, 1);
        let mut least: Vec<u8> = (0..TAGS as u8).collect();
        least.sort_by_key(|tag| match usize::from(*tag) {
            who if who < MEMBERS => world.people[who].tag,
            who if who == usize::from(INVITE) => invite,
            _ => Tag([0xff; 16]),
        });
        let bounds = Bounds { least: least.try_into().unwrap(), ..Bounds::REAL };
        let (known, pins) = (vec![0; MEMBERS], vec![0; MEMBERS]);
        Self {
            world,
            random: Random::new(seed),
            book: Vec::new(),
            real: Vec::new(),
            known,
            pins,
            invite,
            bounds,
        }
    }

    fn tag(&self, about: u8) -> Tag {
        if about == INVITE { self.invite } else { self.world.people[usize::from(about)].tag }
    }

    fn about(&self, tag: &Tag) -> u8 {
        if *tag == self.invite {
            return INVITE;
        }
        let at = self.world.people.iter().position(|person| person.tag == *tag);
        u8::try_from(at.expect("nobody else is spoken about")).unwrap()
    }

    fn who(&self, key: &IdentityKey) -> u8 {
        let at = self.world.people.iter().position(|person| person.key == *key);
        at.map_or(CLOSED, |at| at as u8)
    }

    fn office(&self, office: &[u8; 32]) -> i16 {
        let at = self.real.iter().position(|statement| statement.id().0 == *office);
        at.map_or(FOUNDERS, |at| at as i16)
    }

    /// The real term of a host's office, or of a promotion, whose bytes are all one number.
    fn term(&self, term: &Term) -> u16 {
        let founders = super::Office::from(self.world.terms.group_id());
        let of_office =
            self.real.iter().position(|statement| super::Office::from(statement.id()).term() == *term);
        match of_office {
            Some(at) => host_term(at as i16),
            None if founders.term() == *term => host_term(FOUNDERS),
            None => u16::from(term.0[0]),
        }
    }

    fn content(&self, statement: &GenuineStatement) -> Content {
        match statement {
            GenuineStatement::Standing(standing) => {
                let said = standing.content();
                let (term, about) = (self.term(&said.term), self.about(&said.about));
                Content::Standing { term, about, word: said.word.id(), n: said.n }
            }
            GenuineStatement::Table(table) => {
                let said = table.content();
                let rest = said.rest().expect("a table that was signed has its rest");
                let (mut terms, mut muted, mut entries) = ([0; PEOPLE], 0, [None; TAGS]);
                for moderator in rest.moderators() {
                    let who = self.who(&moderator.key);
                    terms[usize::from(who)] = self.term(&moderator.term);
                    muted |= u16::from(moderator.muted) << who;
                }
                for listed in rest.entries() {
                    let said =
                        Said { role: listed.role.id(), n: listed.n, banned: listed.banned, bn: listed.bn };
                    entries[usize::from(self.about(&listed.tag))] = Some(said);
                }
                let (office, host) = (self.office(&said.office().0), self.who(said.host()));
                Content::Table { office, no: said.no(), host, floor: rest.floor(), terms, muted, entries }
            }
        }
    }

    /// Notes a genuine statement in both languages.
    fn note(&mut self, statement: Statement) -> usize {
        let genuine = statement.verify(&self.world.terms.group_id()).unwrap();
        if let Some(at) = self.real.iter().position(|other| other.id() == genuine.id()) {
            return at;
        }
        let content = self.content(&genuine);
        let signer = match &genuine {
            GenuineStatement::Standing(standing) => *standing.content().signer(),
            GenuineStatement::Table(table) => *table.content().signer(),
        };
        let (by, id) = (self.who(&signer), u64::from_be_bytes(genuine.id().0[..8].try_into().unwrap()));
        self.book.push(Told { by, id, content });
        self.real.push(genuine);
        self.book.len() - 1
    }

    fn shown(&self, set: Set) -> Vec<Statement> {
        law_model::law::each(set).map(|at| self.real[at].statement()).collect()
    }

    /// Shows a set to a member, in both languages.
    fn show(&mut self, to: usize, set: Set) {
        let statements = self.shown(set);
        let merged = self.world.show(to, statements);
        assert!(merged.unlooked.is_empty());
        let said = law(Rules::ALL, &self.bounds, &self.book, self.known[to] | set, self.pins[to]);
        (self.known[to], self.pins[to]) = (said.live, self.pins[to] | said.chain);
    }

    /// Somebody acts, by what it knows; both languages have to sign the same.
    fn act(&mut self, by: usize, act: Model, who: usize) {
        let (key, tag) = (self.world.people[who].key, self.world.people[who].tag);
        let real = match act {
            Model::Admit => Act::Admit { who: tag, role: Role::Speaker, used_up: None },
            Model::Remove => Act::Remove { who: tag },
            Model::Ban => Act::Ban { who: tag },
            Model::Unban => Act::Unban { who: tag },
            Model::Promote => Act::Promote { who: key },
            Model::Demote => Act::Demote { who: key, keep: Vec::new(), banned: false },
            Model::HandOver => Act::HandOver { to: key },
            Model::TakeIn => Act::TakeIn,
            Model::Close => Act::Close,
            Model::Invite => Act::MakeInvite { invite: self.invite, role: Role::Speaker },
        };
        let signed = self.world.sign(by, real.clone()).ok();
        let signed = signed.map(|mut statements| statements.pop().unwrap());
        let genuine = signed.clone().map(|statement| statement.verify(&self.world.terms.group_id()).unwrap());
        let content = genuine.as_ref().map(|statement| self.content(statement));
        let known = law(Rules::ALL, &self.bounds, &self.book, self.known[by], self.pins[by]);
        let new_term = match &content {
            Some(Content::Table { terms, .. }) => {
                terms.iter().copied().find(|term| *term != 0 && !known.term.contains(term))
            }
            _ => None,
        };
        let store = &self.world.people[by].store;
        let own = |_: u16, about: u8, register: law_model::law::Register| {
            let register = match register {
                law_model::law::Register::Role => Register::Role,
                law_model::law::Register::Ban => Register::Ban,
            };
            store
                .law()
                .term_of(&self.world.people[by].key)
                .map_or(0, |term| store.own(term, self.tag(about), register))
        };
        let signer = acts::Signer {
            me: by as u8,
            law: &known,
            term: new_term.unwrap_or(1),
            clock: self.world.now_ms,
            own: &own,
            seen: (1 << MEMBERS) - 1,
        };
        let about = if act == Model::Invite { INVITE } else { who as u8 };
        let told = acts::sign(Rules::ALL, &self.bounds, &self.book, &signer, act, about);
        assert_eq!(content, told, "{by} {real:?}");
        if let Some(statement) = signed {
            let at = self.note(statement);
            self.show(by, 1 << at);
        }
    }

    /// A statement at the edges, by anybody.
    fn forge(&mut self, by: usize) -> usize {
        let about = if self.random.one_in(8) { INVITE } else { self.random.below(MEMBERS) as u8 };
        let known = self.world.law(by).clone();
        let offices: Vec<_> = self.real.iter().map(|statement| super::Office::from(statement.id())).collect();
        let any_office = match self.random.below(offices.len() + 2) {
            at if at < offices.len() => offices[at],
            _ => known.office(),
        };
        let statement = if self.random.below(4) > 0 {
            let term = match self.random.below(4) {
                0 => any_office.term(),
                1 => Term([1 + self.random.below(4) as u8; 16]),
                _ => known.term_of(&self.world.people[by].key).unwrap_or(any_office.term()),
            };
            let word = self.random.one_of(&[BAN, UNBAN, OUT, LISTENER, SPEAKER, 0x12, 0x13, 1]);
            let word = if about == INVITE { self.random.one_of(&[SPEAKER, OUT]) } else { word };
            let numbers = known.numbers(&self.tag(about));
            let base = if word & 0x80 == 0 { numbers.base_n } else { numbers.base_bn };
            let n = self.edge(base);
            self.world.standing(by, term, self.tag(about), Word::from_id(word).unwrap(), n)
        } else {
            let rest = self.any_rest(by, about);
            let no = self.random.one_of(&[0, self.world.now_ms, u64::MAX, 7]);
            let other = self.world.people[self.random.below(MEMBERS)].key;
            let host = if self.random.one_in(2) { self.world.people[by].key } else { other };
            if rest.moderator(&host).is_some() {
                return self.forge(by);
            }
            self.world.table(by, any_office, no, host, rest)
        };
        self.note(statement)
    }

    fn any_rest(&mut self, by: usize, about: u8) -> Rest {
        let known = self.world.law(by).rest().clone();
        let (n, bn, floor) = (self.edge(0), self.edge(0), self.random.one_of(&[0, 0, 3, u32::MAX]));
        let (tag, banned) = (self.tag(about), self.random.one_in(3));
        let mut entries = known.entries().to_vec();
        entries.retain(|listed| listed.tag != tag);
        entries.push(super::Entry { bn, banned, ..entry(tag, RoleWord::LISTENER, n) });
        let mut moderators = known.moderators().to_vec();
        let key = self.world.people[self.random.below(MEMBERS)].key;
        moderators.retain(|moderator| moderator.key != key);
        if self.random.one_in(2) {
            let term = Term([100 + self.random.below(3) as u8; 16]);
            moderators.push(super::Moderator { key, term, muted: self.random.one_in(2) });
        }
        Rest::new(floor, moderators, entries).unwrap()
    }

    fn edge(&mut self, base: u32) -> u32 {
        match self.random.below(8) {
            0 => 0,
            1 => u32::MAX,
            2 => base.saturating_add(WINDOW),
            3 => base.saturating_add(WINDOW + 1),
            more => base.saturating_add(more as u32 - 4),
        }
    }

    /// Both languages say the same about a set.
    fn compare(&self, set: &LiveSet, told: &law_model::law::Law) {
        let said: &Law = set.law();
        assert_eq!((self.who(said.host()), said.is_over()), (told.host, told.host == CLOSED));
        let ids = |set: Set| law_model::law::each(set).map(|at| self.real[at].id());
        let mut live: Vec<_> = ids(told.live).collect();
        live.sort_unstable();
        assert_eq!(set.ids().collect::<Vec<_>>(), live, "live set");
        assert_eq!(said.chain().fold(0, |all, id| all | 1 << self.office(&id.0)), told.chain, "chain");
        if said.is_over() {
            return;
        }
        assert_eq!((self.office(&said.office().0), said.table_no()), (told.office, told.no));
        for (who, person) in self.world.people.iter().enumerate() {
            let rank = match said.rank_of(&person.key) {
                Rank::None => 0,
                Rank::Moderator => 1,
                Rank::Host => 2,
            };
            assert_eq!((rank, said.admits(&person.key)), (told.rank[who], told.admits(who)), "{who}");
            let term = said.term_of(&person.key).map_or(0, |term| self.term(&term));
            assert_eq!(term, told.term[who], "term of {who}");
        }
        for about in (0..MEMBERS as u8).chain([INVITE]) {
            let (tag, at) = (self.tag(about), usize::from(about));
            let (real, numbers) = (said.said_about(&tag), said.numbers(&tag));
            let expected: (Byte, u32, bool, u32) =
                (told.said[at].role, told.said[at].n, told.said[at].banned, told.said[at].bn);
            assert_eq!((real.role.id(), real.n, real.banned, real.bn), expected, "about {about}");
            assert_eq!(
                (numbers.base_n, numbers.base_bn),
                (told.base[at].n, told.base[at].bn),
                "base of {about}"
            );
        }
        assert_eq!(
            matches!(said.invite(&self.invite), Some(super::InviteState::Live(_))),
            told.invite_lives()
        );
    }

    fn compare_all(&mut self) {
        for who in 0..MEMBERS {
            let told = law(Rules::ALL, &self.bounds, &self.book, self.known[who], self.pins[who]);
            self.compare(self.world.people[who].store.known(), &told);
        }
        let all = if self.book.is_empty() { 0 } else { (1u64 << self.book.len()) - 1 };
        for _ in 0..3 {
            let (set, who) = (self.random.draw() & all, self.random.below(MEMBERS));
            let pins: Pins = self.world.people[who].store.pins().clone();
            let statements = law_model::law::each(set).map(|at| self.real[at].clone());
            let real = self.world.nothing().union(statements, &pins);
            let told = law(Rules::ALL, &self.bounds, &self.book, set, self.pins[who]);
            self.compare(&real, &told);
        }
    }
}

#[test]
fn the_models_law_is_this_law() {
    for seed in 1..=40 {
        let mut both = Both::new(seed);
        for who in 1..MEMBERS {
            both.act(0, Model::Admit, who);
        }
        both.act(0, Model::Invite, 0);
        both.act(0, Model::Promote, 1);
        both.act(0, Model::Promote, 2);
        (0..MEMBERS).for_each(|to| both.show(to, both.known[0]));
        for _ in 0..14 {
            let (by, who) = (both.random.below(MEMBERS), both.random.below(MEMBERS));
            match both.random.below(10) {
                0..=4 => {
                    use Model::{
                        Admit, Ban, Close, Demote, HandOver, Invite, Promote, Remove, TakeIn, Unban,
                    };
                    let acts = [Admit, Remove, Ban, Ban, Unban, Promote, Demote, HandOver, TakeIn, Invite];
                    let act = both.random.one_of(&acts);
                    let act = if both.random.one_in(60) { Close } else { act };
                    both.act(by, act, who);
                }
                5 | 6 => {
                    let at = both.forge(by);
                    let to = both.random.below(MEMBERS);
                    both.show(to, 1 << at);
                }
                _ => {
                    let (all, to) = ((1u64 << both.book.len()) - 1, who);
                    let set = if both.random.one_in(2) { both.known[by] } else { both.random.draw() & all };
                    both.show(to, set);
                }
            }
            both.compare_all();
        }
    }
}
