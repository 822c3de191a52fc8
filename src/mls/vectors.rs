//! `tests/vectors/mls.txt`, derived a second time by `tests/vectors/mls.py` from `spec/mls.md` and
//! RFC 9420.
//!
//! The host of the story was written in Python. Here Bob enters by its Welcome, hears it, and
//! merges its commit, so the two implementations agree about every byte from the KeyPackage to the
//! first media key.

use openmls::prelude::{KeyPackageVerifyError, MlsMessageBodyIn, MlsMessageIn, ProtocolVersion};
use tls_codec::{DeserializeBytes, Serialize};

use super::{
    Aad, Applicant, Credential, EntryError, Group, Incoming, ProcessError, Violation, ciphersuite, inspect,
    provider::Crypto,
};
use crate::{
    Seed, Suite,
    group::{Identity, KeyExchange, Name, codec::Writer, signing::SigningKey},
    id::{Epoch, IdentityKey, Leaf},
    keys::derive::sha256,
    keys::{
        frame::first_base_key,
        speaker::epoch_context,
        vectors::{Case, cases},
    },
};

const FILE: &str = "mls.txt";

fn key_exchange(case: &Case) -> KeyExchange {
    KeyExchange::from_id(case.number("suite").try_into().unwrap()).unwrap()
}

fn of_suite(topic: &str, count: usize, suite: u64) -> Vec<Case> {
    cases(FILE, topic, count).into_iter().filter(|case| case.number("suite") == suite).collect()
}

/// Gives the seeds of a leaf key and of a provider, which an applicant draws in this order.
struct Seeds(Vec<[u8; 32]>);

impl rand::TryRng for Seeds {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("seeds are drawn as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("seeds are drawn as bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(&self.0.remove(0));
        Ok(())
    }
}

impl rand::TryCryptoRng for Seeds {}

/// Bob, with the KeyPackage of the file.
pub(crate) fn bob(suite: u64) -> (Applicant, Case) {
    let case = of_suite("key_package", 2, suite).remove(0);
    let identity = Identity::from_seed(case.array("seed"), Name::new(case.text("name")).unwrap());
    let mut seeds = Seeds(vec![case.array("leaf_seed"), case.array("drawn_from")]);
    let (group_id, made_ms) = (case.array("group_id"), case.number("made"));
    let applicant = Applicant::new(&identity, &group_id, key_exchange(&case), made_ms, &mut seeds);
    (applicant.unwrap(), case)
}

/// The next epoch of the file is the one that the group is in.
fn check_epoch(group: &mut Group, case: &Case) {
    assert_eq!(group.mls_id(), case.bytes("mls_group_id"));
    assert_eq!(group.epoch(), Epoch(case.number("epoch")));
    assert_eq!(group.context().encode(), case.bytes("context"));
    assert_eq!(group.mls.extensions().tls_serialize_detached().unwrap(), case.bytes("extensions"));
    let leaves = group.mls.treesync().full_leaves();
    let leaves: Vec<_> = leaves.map(|(_, leaf)| leaf.tls_serialize_detached().unwrap()).collect();
    assert_eq!(leaves, case.list("leaves"));
    assert_eq!(group.authenticator(), case.bytes("authenticator"));
    assert_eq!(group.branch(), case.array("branch"));
    let secret = group.take_epoch_secret().unwrap();
    assert_eq!(secret.0.bytes(), case.bytes("exported"));
    let placed = epoch_context(&case.bytes("group_id"), group.epoch(), group.authenticator());
    assert_eq!(placed, case.array("epoch_context"));
    for (suite, name) in [(Suite::Aes128Gcm, "base_key"), (Suite::Aes256Gcm, "base_key_of_suite_5")] {
        assert_eq!(first_base_key(suite, &secret.0, &placed).bytes(), case.bytes(name));
    }
}

fn hear(group: &mut Group, case: &Case) {
    match group.process(&case.bytes("message")) {
        Ok(Incoming::Application { from: Leaf(0), bytes }) => assert_eq!(bytes, case.bytes("saying")),
        _ => panic!("the host said something else"),
    }
}

/// Bob comes in, and is where the host is.
fn entered(suite: u64) -> Group {
    let (bob, case) = bob(suite);
    assert_eq!(bob.key_package(), case.bytes("message"));
    assert_eq!(*bob.reference(), case.array("reference"));
    let welcome = of_suite("welcome", 2, suite).remove(0);
    let entry = bob.open(&welcome.bytes("message")).unwrap();
    assert_eq!(entry.sender, IdentityKey::from_bytes(welcome.array("host")));
    assert_eq!(entry.law, welcome.bytes("newcomers"));
    let statements = welcome.list("statements");
    let law = Writer::new().vec16(&welcome.bytes("terms")).u32(statements.len() as u32);
    assert_eq!(statements.iter().fold(law, |out, one| out.bytes(one)).finish(), entry.law);
    let names: Vec<_> = entry.roster.iter().map(|occupant| occupant.name.as_str()).collect();
    assert_eq!(names, ["Host", "Bob"]);
    bob.enter(entry).unwrap()
}

#[test]
fn a_room_that_python_made() {
    for suite in [0x0001, 0x004F] {
        let mut group = entered(suite);
        let [_, first, second] = &of_suite("epoch", 6, suite)[..] else { panic!() };
        check_epoch(&mut group, first);
        let [before, after] = &of_suite("said", 4, suite)[..] else { panic!() };
        hear(&mut group, before);
        let commit = of_suite("commit", 2, suite).remove(0);
        let Ok(Incoming::Commit { staged }) = group.process(&commit.bytes("message")) else { panic!() };
        assert_eq!((staged.by, staged.branch()), (Leaf(0), Some(second.array("branch"))));
        assert_eq!(staged.context.encode(), second.bytes("context"));
        assert_eq!(staged.aad.encode(), commit.bytes("aad"));
        assert_eq!(staged.aad.said_ms(), commit.number("said_ms"));
        assert_eq!(staged.aad.adds().as_flattened(), commit.list("ids").concat());
        group.merge(*staged).unwrap();
        check_epoch(&mut group, second);
        hear(&mut group, after);
    }
}

#[test]
fn capabilities_lifetimes_and_credentials() {
    for case in cases(FILE, "capabilities", 2) {
        let made = inspect::capabilities(ciphersuite(key_exchange(&case)));
        assert_eq!(made.tls_serialize_detached().unwrap(), case.bytes("bytes"));
    }
    for case in cases(FILE, "lifetime", 3) {
        let lifetime = inspect::lifetime(case.number("made"));
        assert_eq!(lifetime.not_before().to_be_bytes(), case.array("not_before"));
        assert_eq!(lifetime.not_after().to_be_bytes(), case.array("not_after"));
    }
    for case in cases(FILE, "credential", 3) {
        let identity = Identity::from_seed(case.array("seed"), Name::new(case.text("name")).unwrap());
        let leaf_key = *SigningKey::from_seed(Seed::from_bytes(&mut case.array("leaf_seed"))).public();
        let (group_id, made_ms) = (case.array("group_id"), case.number("made"));
        let issued = Credential::issue(&identity, &group_id, &leaf_key, made_ms);
        assert_eq!(issued.encode(), case.bytes("credential"));
        assert_eq!(Credential::verify(&case.bytes("credential"), &group_id, &leaf_key), Ok(issued));
    }
}

#[test]
fn authenticated_data() {
    for case in cases(FILE, "aad", 2) {
        let ids = case.list("ids").into_iter().filter(|id| !id.is_empty());
        let aad = Aad::new(case.number("said_ms"), ids.map(|id| id.try_into().unwrap()).collect()).unwrap();
        assert_eq!(aad.encode(), case.bytes("bytes"));
        assert_eq!(Aad::decode(&case.bytes("bytes")), Ok(aad));
    }
}

/// 10,240 statements fit, one more does not (`spec/control.md`, 14.11).
#[test]
fn the_bound_of_authenticated_data() {
    for case in cases(FILE, "aad_bound", 2) {
        let count = u16::try_from(case.number("count")).unwrap();
        let ids = (1..=count).map(|number| {
            let mut id = [0; 32];
            id[30..].copy_from_slice(&number.to_be_bytes());
            id
        });
        let ids: Vec<[u8; 32]> = ids.collect();
        let head = Writer::new().u8(2).u64(case.number("said_ms")).u16(count);
        let bytes = head.bytes(ids.as_flattened()).finish();
        assert_eq!(sha256(&[&bytes]), case.array("hash"));
        let takes = case.number("takes") == 1;
        assert_eq!((Aad::decode(&bytes).is_ok(), Aad::new(0, ids).is_some()), (takes, takes), "{count}");
    }
}

fn refused(what: &str) -> Vec<Case> {
    let all = cases(FILE, "refused", REFUSED).into_iter();
    all.filter(|case| case.text("what") == what).collect()
}

/// MLS looks at the lifetime last. That of the file is over or not, as the clock says.
fn is_sound(message: &[u8]) -> bool {
    let Ok(message) = MlsMessageIn::tls_deserialize_exact_bytes(message) else { return false };
    let MlsMessageBodyIn::KeyPackage(key_package) = message.extract() else { return false };
    let validated = key_package.validate(&Crypto::default(), ProtocolVersion::Mls10);
    matches!(validated, Ok(_) | Err(KeyPackageVerifyError::LifetimeError(_)))
}

#[test]
fn key_packages_that_mls_refuses() {
    for suite in [0x0001, 0x004F] {
        assert!(is_sound(bob(suite).0.key_package()));
    }
    let damaged = refused("key_package");
    assert_eq!(damaged.len(), 8);
    for case in damaged {
        assert_eq!(case.text("error"), "KeyPackage");
        assert!(!is_sound(&case.bytes("message")), "{}", case.text("why"));
    }
}

#[test]
fn welcomes_that_are_not_entered() {
    let (bob, _) = bob(1);
    let damaged = refused("welcome");
    assert_eq!(damaged.len(), 43);
    for case in damaged {
        let error = match bob.open(&case.bytes("message")).err().expect("the Welcome is refused") {
            EntryError::Malformed => "Malformed",
            EntryError::NotForUs => "NotForUs",
            EntryError::OtherGroup => "OtherGroup",
            EntryError::Law => "Law",
            EntryError::OtherLeaf => "OtherLeaf",
            EntryError::Mls(_) => "Mls",
            EntryError::Form(violation) => name_of(violation),
        };
        assert_eq!(error, case.text("error"), "{}", case.text("why"));
    }
    // None of them used the KeyPackage up.
    assert!(bob.open(&of_suite("welcome", 2, 1)[0].bytes("message")).is_ok());
}

#[test]
fn commits_that_are_not_staged() {
    let damaged = refused("commit");
    assert_eq!(damaged.len(), 24);
    for case in damaged {
        let mut bob = entered(1);
        let error = match bob.process(&case.bytes("message")).err() {
            Some(ProcessError::Malformed) => "Malformed",
            Some(ProcessError::OtherGroup) => "OtherGroup",
            Some(ProcessError::Stale) => "Stale",
            Some(ProcessError::Future(_)) => "Future",
            Some(ProcessError::Own) => "Own",
            Some(ProcessError::Undecryptable) => "Undecryptable",
            Some(ProcessError::Violation(by, violation)) => {
                let blamed = violation != Violation::BrokenCommit;
                assert_eq!(by, blamed.then_some(Leaf(0)), "a false tag is nobody's: {}", case.text("why"));
                name_of(violation)
            }
            None => "taken",
        };
        assert_eq!(error, case.text("error"), "{}", case.text("why"));
        // The next good commit has the generation of the refused one. Every member knows every
        // ratchet of its epoch, so a message that is not authentic must not use the key up
        // (`spec/mls.md`, M23).
        let next = of_suite("commit", 2, 1).remove(0);
        let unauthentic = ["Malformed", "OtherGroup", "Stale", "Future", "Undecryptable"].contains(&error);
        match bob.process(&next.bytes("message")) {
            Ok(Incoming::Commit { staged }) => assert!(bob.merge(*staged).is_ok()),
            Err(ProcessError::Undecryptable) if !unauthentic => {}
            _ => panic!("the key is gone after {}", case.text("why")),
        }
    }
}

fn name_of(violation: Violation) -> &'static str {
    match violation {
        Violation::External => "External",
        Violation::ForeignProposal => "ForeignProposal",
        Violation::ForeignExtension => "ForeignExtension",
        Violation::MalformedContext => "MalformedContext",
        Violation::MalformedAad => "MalformedAad",
        Violation::KeyPackage => "KeyPackage",
        Violation::Credential(_) => "Credential",
        Violation::Lifetime => "Lifetime",
        Violation::OtherIdentity => "OtherIdentity",
        Violation::OtherLeafKey => "OtherLeafKey",
        Violation::Backdated => "Backdated",
        Violation::BrokenCommit => "BrokenCommit",
        Violation::UnknownLeaf => "UnknownLeaf",
        Violation::Duplicate => "Duplicate",
        Violation::TooMany => "TooMany",
    }
}

const REFUSED: usize = 75;
