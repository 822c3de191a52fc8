//! The values of `tests/vectors/store.txt`, which a second implementation derived from SPEC.md
//! section 11.

use super::{
    RecordName, StoreKey, read_identity,
    record::{FileName, Index, Keys},
    write_identity,
};
use crate::{
    group::{Identity, Name},
    keys::vectors::cases,
    lane::RoomHandle,
};

fn record_name(text: &str) -> Option<RecordName> {
    (!text.is_empty()).then(|| RecordName::new(text).unwrap())
}

#[test]
fn records_are_sealed_byte_for_byte() {
    for case in cases("store.txt", "record", 4) {
        let keys = Keys::new(StoreKey::new(case.array("store_key")).secret());
        let name = record_name(case.text("name"));
        assert_eq!(keys.file(name.as_ref()).text(), case.text("file"));
        let (number, content) = (case.number("number"), case.bytes("content"));
        let sealed = keys.seal(case.array("nonce"), name.as_ref(), number, &content);
        assert_eq!(sealed, case.bytes("sealed"));
        let file = FileName::parse(case.text("file")).unwrap();
        let opened = keys.open(file, sealed).unwrap();
        assert_eq!((opened.name.as_ref(), opened.number), (name.as_ref(), number));
        assert_eq!(opened.content(), content);
    }
}

#[test]
fn what_is_against_the_rules_does_not_open() {
    for case in cases("store.txt", "refused", 9) {
        let keys = Keys::new(StoreKey::new(case.array("store_key")).secret());
        let file = FileName::parse(case.text("file")).unwrap();
        let why = case.text("why");
        match keys.open(file, case.bytes("sealed")) {
            Err(_) => assert_ne!(why, "index", "{why}"),
            Ok(opened) => assert!(why == "index" && Index::decode(&opened).is_err(), "{why}"),
        }
    }
}

#[test]
fn the_index_is_encoded_byte_for_byte() {
    for case in cases("store.txt", "index", 1) {
        let mut index = Index { counter: case.number("counter"), ..Index::default() };
        for (name, number) in [("name0", "number0"), ("name1", "number1")] {
            index.records.insert(record_name(case.text(name)).unwrap(), case.number(number));
        }
        assert_eq!(index.encode(), case.bytes("content"));
        let keys = Keys::new(StoreKey::new([1; 32]).secret());
        let sealed = keys.seal([0; 12], None, index.counter, &index.encode());
        let opened = keys.open(keys.file(None), sealed).unwrap();
        assert_eq!(Index::decode(&opened), Ok(index));
    }
}

#[test]
fn identities_and_names_are_encoded_byte_for_byte() {
    for case in cases("store.txt", "identity", 1) {
        let name = Name::new(std::str::from_utf8(&case.bytes("name")).unwrap()).unwrap();
        let identity = Identity::from_seed(case.array("seed"), name);
        assert_eq!(write_identity(&identity).bytes(), case.bytes("content"));
        let back = read_identity(&case.bytes("content")).unwrap();
        assert_eq!((back.id(), back.name()), (identity.id(), identity.name()));
        for cut in 0..case.bytes("content").len() {
            assert!(read_identity(&case.bytes("content")[..cut]).is_err());
        }
    }
    for case in cases("store.txt", "room", 1) {
        let handle = RoomHandle::from_bytes(case.array("handle"));
        assert_eq!(RecordName::room(handle).as_str(), case.text("name"));
        assert_eq!(RecordName::new(case.text("name")).unwrap().handle(), Some(handle));
    }
}
