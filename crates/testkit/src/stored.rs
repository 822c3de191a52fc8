//! What the fuzzer drives for the store, and what replays its corpus: files of SPEC section 11.1,
//! sealed on `ring`.
//!
//! The first byte says what the rest is: a record's file or the index's, or what is sealed in one
//! of them, or the content of a record of the library's own.

use std::{env, fs, path::PathBuf, process, sync::OnceLock};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
    hmac,
};
use sottovoce::{
    store::{
        FileStore, MAX_CONTENT, MAX_RECORDS, MemoryStore, OpenStoreError, RecordName, Store, StoreError,
        StoreKey,
    },
    transport::RoomHandle,
};

const KEY: [u8; 32] = [42; 32];

/// Any bytes in a store's directory: a typed error, or records within their bounds, which can be
/// read, replaced and deleted and are the same for whoever opens the store next.
pub fn store(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    let directory = directory();
    let _ = fs::remove_dir_all(&directory);
    let whole = |name: &str| fs::write(directory.join(file_of(name)), data).unwrap();
    let inside = |name: &str| fs::write(directory.join(file_of(name)), sealed(name, data)).unwrap();
    match mode % 5 {
        0 => prepared(&directory, || whole("a")),
        1 => prepared(&directory, || whole("")),
        2 => prepared(&directory, || inside("a")),
        3 => prepared(&directory, || inside("")),
        _ => contents(data),
    }
    let _ = fs::remove_dir_all(&directory);
}

fn prepared(directory: &PathBuf, spoil: impl FnOnce()) {
    let open = || FileStore::open(directory, &StoreKey::new(KEY));
    let mut store = open().unwrap();
    store.put(&name("a"), b"a record").unwrap();
    store.put(&name("b"), b"another").unwrap();
    drop(store);
    spoil();
    let mut store = match open() {
        Ok(store) => store,
        Err(error) => {
            assert!(matches!(error, OpenStoreError::Damaged | OpenStoreError::RolledBack), "{error:?}");
            return;
        }
    };
    let names = store.list().unwrap();
    assert!(names.len() <= MAX_RECORDS);
    let states: Vec<_> = names.iter().map(|name| content(&mut store, name)).collect();
    drop(store);
    let mut store = open().unwrap();
    assert_eq!(store.list().unwrap(), names);
    for (name, state) in names.iter().zip(states) {
        assert_eq!(content(&mut store, name), state);
    }
    match store.put(&name("a"), b"mended") {
        Ok(()) => {
            assert_eq!(content(&mut store, &name("a")), Ok(Some(b"mended".to_vec())));
            store.delete(&name("a")).or_else(worn_out).unwrap();
        }
        Err(error) => assert!(matches!(error, StoreError::WornOut | StoreError::Full), "{error:?}"),
    }
}

/// The last number that a key may use can be one that the fuzzer wrote.
fn worn_out(error: StoreError) -> Result<(), StoreError> {
    if error == StoreError::WornOut { Ok(()) } else { Err(error) }
}

fn content(store: &mut FileStore, name: &RecordName) -> Result<Option<Vec<u8>>, StoreError> {
    let record = store.get(name)?;
    let bytes = record.map(|record| record.bytes().to_vec());
    assert!(bytes.as_ref().is_none_or(|bytes| bytes.len() <= MAX_CONTENT));
    Ok(bytes)
}

/// The bytes as an identity and as a membership.
fn contents(data: &[u8]) {
    let mut store = MemoryStore::default();
    store.put(&RecordName::identity(), data).unwrap();
    if let Ok(Some(identity)) = store.identity() {
        store.put_identity(&identity).unwrap();
        assert_eq!(store.get(&RecordName::identity()).unwrap().unwrap().bytes(), data);
    }
    let room = RoomHandle::from_bytes([7; 16]);
    store.put(&RecordName::room(room), data).unwrap();
    if let Ok(Some(membership)) = store.membership(room) {
        assert_eq!(membership.as_bytes(), data);
    }
}

fn name(text: &str) -> RecordName {
    RecordName::new(text).unwrap()
}

/// In memory where there is such a place: the store flushes often.
fn directory() -> PathBuf {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        let memory = PathBuf::from("/dev/shm");
        if memory.is_dir() { memory } else { env::temp_dir() }
    });
    base.join(format!("sottovoce-stored-{}-{:?}", process::id(), std::thread::current().id()))
}

fn derive(label: &[u8]) -> [u8; 32] {
    let info = [b"sottovoce 1 store ", label];
    let prk = Salt::new(HKDF_SHA256, &[]).extract(&KEY);
    let mut key = [0; 32];
    prk.expand(&info, HKDF_SHA256).unwrap().fill(&mut key).unwrap();
    key
}

fn tag(name: &str) -> [u8; 16] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &derive(b"name")), name.as_bytes());
    tag.as_ref()[..16].try_into().unwrap()
}

fn file_of(name: &str) -> String {
    tag(name).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file whose text the fuzzer chose, with zeros up to a size that there is.
fn sealed(name: &str, text: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &derive(b"seal")).unwrap());
    let mut sealed = text.to_vec();
    sealed.resize((text.len() + 29).next_power_of_two().max(1024) - 29, 0);
    let aad = [b"sottovoce 1 record\x01".as_slice(), &tag(name)].concat();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed).unwrap();
    [&[1; 1][..], &[0; 12], &sealed].concat()
}
