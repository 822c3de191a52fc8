//! People of one room for the tests: each signs for real and knows what it was shown.

use std::sync::Arc;

use crate::{
    Authenticity, PacketSize, Suite,
    group::{Identity, KeyExchange, Name},
    id::IdentityKey,
    media::Sound,
};

use super::{
    Act, ActError, Anchor, DefaultRole, Entry, Genuine, GenuineStatement, Law, LiveSet, Merged, Office,
    Position, Rest, Role, Standing, Statement, Store, Table, Tag, Term, Terms, Unattended, Word, acts,
};

pub(super) const FOUNDER: usize = 0;
pub(super) const MINUTE: u64 = 60_000;

/// A room and its people; the first is the founder.
pub(super) struct World {
    pub(super) terms: Arc<Terms>,
    pub(super) people: Vec<Person>,
    pub(super) now_ms: u64,
    draws: u8,
}

pub(super) struct Person {
    pub(super) identity: Identity,
    pub(super) key: IdentityKey,
    pub(super) tag: Tag,
    pub(super) store: Store,
}

pub(super) fn identity(n: u8) -> Identity {
    Identity::from_seed([n.wrapping_add(1); 32], Name::new("somebody").unwrap())
}

pub(super) fn terms() -> Arc<Terms> {
    Arc::new(Terms {
        salt: [7; 32],
        founder: IdentityKey::from_bytes(*identity(0).public()),
        name: Name::new("Room").unwrap(),
        key_exchange: KeyExchange::X25519,
        suite: Suite::Aes128Gcm,
        authenticity: Authenticity::Signed,
        packet_size: PacketSize::default(),
        unattended: Unattended::default(),
        default_role: DefaultRole::Speaker,
        sound: Sound::Speech,
    })
}

impl World {
    /// A founder and `others` whom nobody has admitted.
    pub(super) fn new(others: u8) -> Self {
        let terms = terms();
        let person = |n| {
            let identity = identity(n);
            let key = IdentityKey::from_bytes(*identity.public());
            let store = Store::new(terms.clone(), Anchor::Founder, key);
            Person { identity, key, tag: terms.tag(&key), store }
        };
        let people = (0..=others).map(person).collect();
        Self { people, now_ms: MINUTE, draws: 0, terms }
    }

    /// A founder, moderators 1 and 2, speakers 3 and up, all of whom know it.
    pub(super) fn with_moderators(others: u8) -> Self {
        let mut world = Self::new(others);
        for n in 1..=usize::from(others) {
            world.act(FOUNDER, world.admit(n)).unwrap();
        }
        for n in 1..=2 {
            world.act(FOUNDER, Act::Promote { who: world.people[n].key }).unwrap();
        }
        world.show_all();
        world
    }

    pub(super) fn admit(&self, who: usize) -> Act {
        Act::Admit { who: self.people[who].tag, role: Role::Speaker, used_up: None }
    }

    /// What somebody would sign, who has seen everybody's leaf.
    pub(super) fn sign(&mut self, by: usize, act: Act) -> Result<Vec<Statement>, ActError> {
        self.now_ms += 1_000;
        let draws = &mut self.draws;
        let mut random = || {
            *draws += 1;
            [*draws; 16]
        };
        let tags: Vec<_> = self.people.iter().map(|person| person.tag).collect();
        let person = &self.people[by];
        acts::sign(act, &person.identity, &person.store, self.now_ms, &mut random, &|tag| tags.contains(tag))
    }

    /// Signs and merges: the signer alone knows it.
    pub(super) fn act(&mut self, by: usize, act: Act) -> Result<Vec<Statement>, ActError> {
        let statements = self.sign(by, act)?;
        let merged = self.show(by, statements.clone());
        assert!(merged.unlooked.is_empty());
        Ok(statements)
    }

    pub(super) fn nothing(&self) -> LiveSet {
        LiveSet::new(self.terms.clone(), Anchor::Founder)
    }

    pub(super) fn show(&mut self, to: usize, statements: Vec<Statement>) -> Merged {
        let nothing = self.nothing();
        self.people[to].store.merge(statements, &nothing)
    }

    /// `from` shows `to` all that it knows.
    pub(super) fn show_known(&mut self, from: usize, to: usize) -> Merged {
        let known = self.people[from].store.known();
        let statements = known.statements().map(GenuineStatement::statement).collect();
        self.show(to, statements)
    }

    /// Everybody shows everybody.
    pub(super) fn show_all(&mut self) {
        for _ in 0..2 {
            for n in 1..self.people.len() {
                let _ = self.show_known(n - 1, n);
            }
            for n in (1..self.people.len()).rev() {
                let _ = self.show_known(n, n - 1);
            }
        }
    }

    pub(super) fn law(&self, of: usize) -> &Law {
        self.people[of].store.law()
    }

    pub(super) fn position(&self, of: usize, who: usize) -> Position {
        self.law(of).standing_of(&self.people[who].tag)
    }

    pub(super) fn term(&self, of: usize) -> Term {
        self.law(of).term_of(&self.people[of].key).unwrap()
    }

    /// A standing signed by somebody, honest or not.
    pub(super) fn standing(&self, by: usize, term: Term, about: Tag, word: Word, n: u32) -> Statement {
        let issuer = self.people[by].key;
        self.genuine(by, Standing { issuer, term, about, word, n })
    }

    fn genuine(&self, by: usize, standing: Standing) -> Statement {
        let genuine = Genuine::sign(standing, &self.people[by].identity, &self.terms.group_id());
        GenuineStatement::Standing(genuine).statement()
    }

    /// A table signed by somebody, honest or not.
    pub(super) fn table(
        &self,
        by: usize,
        office: Office,
        no: u64,
        host: IdentityKey,
        rest: Rest,
    ) -> Statement {
        let table = Table::new(self.people[by].key, office, no, host, rest).unwrap();
        let genuine = Genuine::sign(table, &self.people[by].identity, &self.terms.group_id());
        GenuineStatement::Table(genuine).statement()
    }

    /// What a law means to the people, without numbers.
    pub(super) fn sense(&self, of: usize) -> impl PartialEq + std::fmt::Debug + use<> {
        let law = self.law(of);
        let positions: Vec<_> = self.people.iter().map(|person| law.standing_of(&person.tag)).collect();
        let ranks: Vec<_> = self.people.iter().map(|person| law.rank_of(&person.key)).collect();
        (*law.host(), law.is_over(), law.is_locked(), positions, ranks)
    }
}

/// Tags of nobody, ascending.
pub(super) fn made_up(count: u16) -> impl Iterator<Item = Tag> {
    (0..count).map(|n| {
        let [high, low] = n.to_be_bytes();
        Tag([0xee, high, low, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    })
}

pub(super) fn entry(tag: Tag, word: super::RoleWord, n: u32) -> Entry {
    Entry { tag, role: word, n, banned: false, bn: n }
}
