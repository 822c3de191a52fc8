//! Groups of a room among honest members and hostile ones.

use std::cell::Cell;

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::group::signing;

mod changes;
mod refusals;
mod welcomes;

/// When the tests happen: MLS compares lifetimes with the system's clock.
fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

const GROUP: [u8; 32] = [7; 32];

fn identity(n: u8) -> Identity {
    Identity::from_seed([n; 32], Name::new(&format!("member {n}")).unwrap())
}

fn generator(n: u8) -> StdRng {
    StdRng::from_seed([n; 32])
}

fn context(n: u8) -> Context {
    Context { keeper: [n; 16], law: [n; 32] }
}

fn vet(applicant: &Applicant) -> Candidate {
    Candidate::vet(applicant.key_package(), &GROUP, applicant.key_exchange()).unwrap()
}

pub(super) fn draft() -> Draft<'static> {
    Draft::new(Aad::new(1, Vec::new()).unwrap(), usize::MAX)
}

/// Members 0, 1, 2 ... of one group, all in the same epoch. Member 0 founded it.
pub(super) struct Party {
    key_exchange: KeyExchange,
    /// How many applicants there were: each has keys of its own.
    applicants: Cell<u8>,
    pub(super) groups: Vec<Group>,
}

impl Party {
    fn new(members: u8) -> Self {
        Self::with(KeyExchange::X25519, members)
    }

    pub(super) fn with(key_exchange: KeyExchange, members: u8) -> Self {
        let founder =
            Group::found(&identity(0), &GROUP, key_exchange, context(0), now_ms(), &mut generator(0));
        let mut party = Self { key_exchange, applicants: Cell::new(0), groups: vec![founder.unwrap()] };
        if members > 1 {
            let applicants: Vec<_> = (1..members).map(|n| party.applicant(n)).collect();
            let candidates: Vec<_> = applicants.iter().map(vet).collect();
            let adds: Vec<_> = candidates.iter().collect();
            let committed = party.groups[0].commit(&Draft { adds: &adds, ..draft() }).unwrap();
            let welcome = committed.welcome.unwrap();
            for applicant in applicants {
                let entry = applicant.open(&welcome).unwrap();
                party.groups.push(applicant.enter(entry).unwrap());
            }
        }
        party
    }

    fn applicant(&self, n: u8) -> Applicant {
        self.applicants.update(|count| count + 1);
        let mut generator = generator(self.applicants.get());
        Applicant::new(&identity(n), &GROUP, self.key_exchange, now_ms(), &mut generator).unwrap()
    }

    /// A KeyPackage of member `n`, vetted.
    fn candidate(&self, n: u8) -> Candidate {
        vet(&self.applicant(n))
    }

    /// The commit as member `to` sees it before it is merged.
    fn stage(&mut self, to: usize, commit: &[u8]) -> Staged {
        match self.groups[to].process(commit).unwrap() {
            Incoming::Commit { staged } => *staged,
            Incoming::Application { .. } => panic!("the message is no commit"),
        }
    }

    /// Member `by` commits, and all others merge.
    pub(super) fn commit(&mut self, by: usize, draft: &Draft<'_>) -> Committed {
        let committed = self.groups[by].commit(draft).unwrap();
        for to in (0..self.groups.len()).filter(|to| *to != by) {
            let staged = self.stage(to, &committed.commit);
            if !staged.removes_us() {
                assert_eq!(staged.branch(), Some(self.groups[by].branch()));
            }
            self.groups[to].merge(staged).unwrap();
        }
        committed
    }

    /// The reason for which member `to` refuses a message, and the leaf that it blames.
    fn refusal(&mut self, to: usize, message: &[u8]) -> ProcessError {
        match self.groups[to].process(message) {
            Err(error) => error,
            Ok(_) => panic!("the message was taken"),
        }
    }
}

#[test]
fn a_key_exchange_and_its_cipher_suite_have_one_number() {
    for key_exchange in [KeyExchange::X25519, KeyExchange::MlKem768X25519] {
        assert_eq!(u16::from(ciphersuite(key_exchange)), key_exchange.id());
    }
}

#[test]
fn whoever_founds_a_branch_is_alone_in_a_group_of_the_room() {
    let made_ms = now_ms();
    let found = |seed| {
        let mut generator = generator(seed);
        Group::found(&identity(1), &GROUP, KeyExchange::X25519, context(3), made_ms, &mut generator).unwrap()
    };
    let group = found(5);
    assert_eq!(group.mls_id().len(), 48);
    assert!(group.mls_id().starts_with(&GROUP));
    assert_ne!(group.mls_id(), found(6).mls_id(), "two branches have two group ids");
    assert_eq!((group.epoch(), group.own_leaf()), (Epoch(0), Leaf(0)));
    assert_eq!(*group.context(), context(3));
    let [only] = group.roster() else { panic!("a founder is alone") };
    let expected = Occupant {
        leaf: Leaf(0),
        key: IdentityKey::from_bytes(*identity(1).public()),
        id: identity(1).id(),
        name: Name::new("member 1").unwrap(),
        made_ms,
        is_self: true,
        leaf_key: *group.leaf_key.public(),
    };
    assert_eq!(*only, expected);
    assert_eq!(group.occupant(identity(1).id()), Some(only));
    assert_eq!(group.occupant_at(Leaf(0)), Some(only));
    assert_eq!(group.occupant_at(Leaf(1)), None);
    assert_eq!(group.branch(), sha256(&[b"sottovoce 2 branch", group.authenticator()]));
}

#[test]
fn the_secret_of_an_epoch_is_taken_once() {
    let mut party = Party::new(2);
    let first = party.groups[0].take_epoch_secret().unwrap();
    assert_eq!(first.0.bytes(), party.groups[1].take_epoch_secret().unwrap().0.bytes());
    assert!(party.groups[0].take_epoch_secret().is_err(), "a seized device could derive the keys again");
    party.commit(0, &Draft { context: Some(context(1)), ..draft() });
    let second = party.groups[0].take_epoch_secret().unwrap();
    assert_ne!(first.0.bytes(), second.0.bytes());
    assert_eq!(party.groups[0].epoch(), Epoch(2));
}

#[test]
fn a_leaf_signs_for_reports_with_the_key_in_the_tree() {
    let party = Party::new(2);
    let leaf = party.groups[1].own_leaf();
    let key = party.groups[0].leaf_key_of(leaf).unwrap();
    let signature = party.groups[1].sign_as_leaf(b"sottovoce 2 something");
    assert!(signing::verify(&key.key, b"sottovoce 2 something", &signature).is_ok());
    assert_eq!(Credential::verify(&key.credential, &GROUP, &key.key).unwrap().id(), identity(1).id());
    assert!(party.groups[0].leaf_key_of(Leaf(9)).is_none());
    let name = Name::new("room").unwrap();
    let (place, same) = (party.groups[0].place_of(leaf, &name), party.groups[1].place_of(leaf, &name));
    assert_eq!(place.epoch_context, same.epoch_context);
    assert_eq!((place.leaf, place.group_id), (leaf.0, &GROUP[..]));
}
