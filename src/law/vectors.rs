//! `tests/vectors/law.txt`, derived a second time by `tests/vectors/law.py` from `spec/law.md`.

use std::sync::Arc;

use crate::{
    Authenticity, PacketSize, Suite,
    group::{Identity, KeyExchange, Name},
    id::IdentityKey,
    keys::vectors::{Case, cases},
    media::Sound,
};

use super::{
    Anchor, DefaultRole, Entry, Genuine, GenuineStatement, LiveSet, Moderator, Office, Pins, Rest, RoleWord,
    Standing, Statement, StatementId, Store, Table, Tag, Term, Terms, Unattended, Word,
};
use super::{
    acts::Signer,
    draft::{Demoted, Draft},
};

fn terms(case: &Case) -> Terms {
    let number = |name| u16::try_from(case.number(name)).unwrap();
    Terms {
        salt: case.array("salt"),
        founder: IdentityKey::from_bytes(case.array("founder")),
        name: Name::new(&String::from_utf8(case.bytes("name")).unwrap()).unwrap(),
        key_exchange: KeyExchange::from_id(number("cipher_suite")).unwrap(),
        suite: Suite::from_id(number("suite")).unwrap(),
        authenticity: if case.number("authenticity") == 0 {
            Authenticity::Signed
        } else {
            Authenticity::Group
        },
        packet_size: PacketSize::new(number("packet_size")).unwrap(),
        unattended: Unattended::new(number("unattended")).unwrap(),
        default_role: if case.number("default_role") == 3 {
            DefaultRole::Speaker
        } else {
            DefaultRole::Listener
        },
        sound: match case.number("sound") {
            0 => Sound::Speech,
            id => Sound::from_id(id.try_into().unwrap()).unwrap(),
        },
    }
}

/// The room of the statements and laws: the first of the terms.
fn room() -> Arc<Terms> {
    Arc::new(terms(&cases("law.txt", "terms", 4)[0]))
}

fn identity(case: &Case) -> Identity {
    Identity::from_seed(case.array("seed"), Name::new("any").unwrap())
}

fn key(identity: &Identity) -> IdentityKey {
    IdentityKey::from_bytes(*identity.public())
}

fn list(case: &Case, name: &str) -> Vec<Vec<u8>> {
    case.list(name).into_iter().filter(|item| !item.is_empty()).collect()
}

#[test]
fn terms_and_tags() {
    for case in cases("law.txt", "terms", 4) {
        assert_eq!(terms(&case).encode(), case.bytes("terms"));
        assert_eq!(Terms::decode(&case.bytes("terms")), Ok(terms(&case)));
        assert_eq!(terms(&case).group_id().0, case.array("group_id"));
    }
    let room = room();
    for case in cases("law.txt", "tag", 2) {
        assert_eq!(room.tag(&key(&identity(&case))).0, case.array("tag"));
    }
    for case in cases("law.txt", "invite_tag", 2) {
        let uses = u16::try_from(case.number("uses")).unwrap();
        let tag = room.invite_tag(&case.array("invite"), case.number("expiry"), uses);
        assert_eq!(tag.0, case.array("tag"));
    }
}

#[test]
fn statements() {
    let group_id = room().group_id();
    for case in cases("law.txt", "standing", 13) {
        let identity = identity(&case);
        let standing = Standing {
            issuer: key(&identity),
            term: Term(case.array("term")),
            about: Tag(case.array("about")),
            word: Word::from_id(u8::try_from(case.number("word")).unwrap()).unwrap(),
            n: u32::try_from(case.number("n")).unwrap(),
        };
        let genuine = GenuineStatement::Standing(Genuine::sign(standing, &identity, &group_id));
        assert_eq!(genuine.statement().encode(), case.bytes("statement"));
        assert_eq!(genuine.id().0, case.array("id"));
    }
    for case in cases("law.txt", "table", 4) {
        let identity = identity(&case);
        let moderator = |bytes: Vec<u8>| Moderator {
            key: IdentityKey::from_bytes(bytes[..32].try_into().unwrap()),
            term: Term(bytes[32..48].try_into().unwrap()),
            muted: bytes[48] == 1,
        };
        let entry = |bytes: Vec<u8>| Entry {
            tag: Tag(bytes[..16].try_into().unwrap()),
            role: RoleWord::from_id(bytes[16]).unwrap(),
            n: u32::from_be_bytes(bytes[17..21].try_into().unwrap()),
            banned: bytes[21] == 1,
            bn: u32::from_be_bytes(bytes[22..].try_into().unwrap()),
        };
        let moderators = list(&case, "moderators").into_iter().map(moderator).collect();
        let entries = list(&case, "entries").into_iter().map(entry).collect();
        let rest = Rest::new(u32::try_from(case.number("floor")).unwrap(), moderators, entries).unwrap();
        let (office, host) = (Office(case.array("office")), IdentityKey::from_bytes(case.array("host")));
        let table = Table::new(key(&identity), office, case.number("no"), host, rest).unwrap();
        let genuine = Genuine::sign(table, &identity, &group_id);
        assert_eq!(GenuineStatement::Table(genuine.clone()).statement().encode(), case.bytes("statement"));
        let bare = GenuineStatement::Table(genuine.without_rest());
        assert_eq!(bare.statement().encode(), case.bytes("bare"));
        assert_eq!((genuine.id().0, bare.id().0), (case.array("id"), case.array("id")));
        assert!(Statement::decode(&case.bytes("statement")).unwrap().verify(&group_id).is_ok());
    }
}

#[test]
fn laws() {
    let room = room();
    for case in cases("law.txt", "law", 11) {
        let statements = list(&case, "statements")
            .into_iter()
            .map(|bytes| Statement::decode(&bytes).unwrap().verify(&room.group_id()).unwrap());
        let pins = list(&case, "pins").into_iter().map(|id| StatementId(id.try_into().unwrap())).collect();
        let set = LiveSet::new(room.clone(), Anchor::Founder).union(statements, &Pins::from_ids(pins));
        let law = set.law();
        assert_eq!(law.host(), &IdentityKey::from_bytes(case.array("host")));
        assert_eq!((law.is_over(), law.is_locked()), (case.number("over") == 1, case.number("locked") == 1));
        assert_eq!(law.chain().map(|id| id.0.to_vec()).collect::<Vec<_>>(), list(&case, "chain"));
        assert_eq!(set.ids().map(|id| id.0.to_vec()).collect::<Vec<_>>(), list(&case, "ids"));
        assert_eq!(set.hash(), case.array("law_hash"));
        for (tag, position) in case.list("tags").into_iter().zip(case.list("positions")) {
            let place = law.standing_of(&Tag(tag.try_into().unwrap()));
            let word = RoleWord::new(place.role, place.muted);
            assert_eq!([word.id(), u8::from(place.banned)], position[..]);
        }
    }
}

#[test]
fn what_a_table_takes_in() {
    let room = room();
    let host = Identity::from_seed(cases("law.txt", "table", 4)[0].array("seed"), Name::new("any").unwrap());
    for case in cases("law.txt", "taken", 5) {
        let mut store = Store::new(room.clone(), Anchor::Founder, key(&host));
        let nothing = store.known().clone();
        let statements =
            list(&case, "statements").into_iter().map(|bytes| Statement::decode(&bytes).unwrap());
        let _ = store.merge(statements.collect(), &nothing);
        let demoted = Some(case.bytes("demoted")).filter(|key| !key.is_empty());
        let demoted = Demoted {
            key: demoted.map(|key| IdentityKey::from_bytes(key.try_into().unwrap())),
            keep: list(&case, "keep").into_iter().map(|id| StatementId(id.try_into().unwrap())).collect(),
        };
        let seen = list(&case, "seen");
        let signer = Signer::new(&host, &store).unwrap();
        let draft = Draft::new(&signer, &demoted, &[], &|tag| seen.contains(&tag.0.to_vec()));
        let entries = draft.entries().map(|entry| {
            let out = [&entry.tag.0[..], &[entry.role.id()], &entry.n.to_be_bytes(), &[entry.banned.into()]];
            [&out.concat()[..], &entry.bn.to_be_bytes()].concat()
        });
        assert_eq!(entries.collect::<Vec<_>>(), list(&case, "entries"));
    }
}

#[test]
fn what_is_no_statement_is_refused() {
    let group_id = room().group_id();
    for case in cases("law.txt", "refused", 31) {
        let read = Statement::decode(&case.bytes("statement"));
        let refused = match case.text("error") {
            "Malformed" => read.is_err(),
            "Signature" => read.unwrap().verify(&group_id).is_err(),
            other => panic!("{other}"),
        };
        assert!(refused, "{}", case.text("why"));
    }
}
