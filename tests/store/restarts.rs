//! What outlives a restart, in sealed files: members that come back by it, and everything that
//! somebody with the disk could do to them.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use aho_corasick::AhoCorasick;
use sottovoce::{
    Seed,
    group::{Identity, Name},
    room::{Event, Room, Status},
    store::{
        FileStore, InvalidRecordName, MAX_CONTENT, MAX_RECORDS, MemoryStore, OpenStoreError, Record,
        RecordName, Store, StoreError, StoreKey,
    },
    transport::RoomHandle,
};
use sottovoce_testkit::net::{Net, Peer, room_of};

const SECOND: Duration = Duration::from_secs(1);

/// A directory for one test, gone when it is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("sottovoce-store-{}-{number}", process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self) -> Result<FileStore, OpenStoreError> {
        FileStore::open(&self.0, &key())
    }

    /// The sealed files, by name.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let paths = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let sealed = paths.filter(|path| path.file_name().unwrap().len() == 32);
        sealed.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
    }

    fn put_back(&self, files: &BTreeMap<PathBuf, Vec<u8>>) {
        self.files().keys().for_each(|path| fs::remove_file(path).unwrap());
        files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key() -> StoreKey {
    StoreKey::new([42; 32])
}

fn name(text: &str) -> RecordName {
    RecordName::new(text).unwrap()
}

fn text(store: &mut dyn Store, record: &str) -> Result<Option<String>, StoreError> {
    let record = store.get(&name(record))?;
    Ok(record.map(|record| String::from_utf8(record.bytes().to_vec()).unwrap()))
}

/// The file that a change of the store altered or made, without the index, which `index` is.
fn changed(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>, index: &Path) -> PathBuf {
    let mut changed = after.iter().filter(|(path, bytes)| *path != index && before.get(*path) != Some(bytes));
    let (path, _) = changed.next().unwrap();
    assert!(changed.next().is_none());
    path.clone()
}

/// A store with the records a and b, and the paths of index, a and b.
fn two_records(scratch: &Scratch) -> (FileStore, [PathBuf; 3]) {
    let mut store = scratch.open().unwrap();
    let empty = scratch.files();
    let index = empty.keys().next().unwrap().clone();
    store.put(&name("a"), b"first").unwrap();
    let one = scratch.files();
    store.put(&name("b"), b"second").unwrap();
    let a = changed(&empty, &one, &index);
    let b = changed(&one, &scratch.files(), &index);
    (store, [index, a, b])
}

fn resume(net: &mut Net, store: &mut dyn Store, room: RoomHandle) -> Room {
    let identity = store.identity().unwrap().unwrap();
    let membership = store.membership(room).unwrap().unwrap();
    let (seed, now, unix) = (net.bytes(), net.now, net.unix_now());
    Room::resume(identity, &membership, Seed::from_bytes(&mut { seed }), now, unix).unwrap()
}

/// Runs the room, and stores what it says as an application does.
fn run(net: &mut Net, peer: Peer, store: &mut dyn Store, seconds: u32) {
    for _ in 0..seconds * 10 {
        net.run_for(SECOND / 10);
        store.keep(net.room(peer)).unwrap();
    }
}

#[test]
fn members_come_back_after_a_restart_by_what_their_stores_hold() {
    let scratch = Scratch::new();
    let mut net = Net::new(901);
    let peers = room_of(&mut net, &["host", "speaker", "listener"]);
    let [host, speaker, listener] = peers[..] else { panic!("three") };
    let room = net.room(host).handle();
    let mut store = scratch.open().unwrap();
    store.put_identity(&net.identity_of(host)).unwrap();
    store.keep(net.room(host)).unwrap();
    let written = store.counter().unwrap();

    // What does not change is not written again, and a ban is.
    run(&mut net, host, &mut store, 60);
    assert_eq!(store.counter(), Ok(written), "a quiet minute wrote something");
    let banned = net.id(listener);
    net.with(host, |room, now| room.ban(banned, now)).unwrap();
    run(&mut net, host, &mut store, 1);
    assert_eq!(store.counter(), Ok(written + 1));

    net.switch_off(host);
    net.run_for(12 * SECOND);
    drop(store);
    let mut store = scratch.open().unwrap();
    assert_eq!(store.rooms(), Ok(vec![room]));
    let back = resume(&mut net, &mut store, room);
    assert_eq!(back.status(), Status::Returning);
    net.forks = true;
    net.switch_on(host, back);
    net.run_until("the host is back", |net| net.is_present(host));
    run(&mut net, host, &mut store, 5);
    assert!(net.room(host).is_banned(banned) && net.room(speaker).is_banned(banned));
    let id = net.id(host);
    net.run_until("it keeps the room again", |net| net.room(speaker).keeper() == Some(id));
    assert!(net.device(host).events.iter().any(|event| matches!(event, Event::Returned { .. })));

    // A room that is over is forgotten, the identity is not.
    net.with(host, |room, _| room.close()).unwrap();
    run(&mut net, host, &mut store, 2);
    assert_eq!(net.room(host).status(), Status::Over);
    assert_eq!(store.rooms(), Ok(Vec::new()));
    assert_eq!(store.identity().unwrap().unwrap().id(), id);
}

/// Everything that was ever on the disk is known: names, numbers and memberships. A membership is
/// the same whatever the keys of its epoch are (`tests/room/succession.rs`), so none of them was
/// written.
#[test]
fn nothing_is_written_but_identity_and_memberships() {
    let scratch = Scratch::new();
    let mut net = Net::new(902);
    let peers = room_of(&mut net, &["host", "speaker", "listener"]);
    let host = peers[0];
    let mut store = scratch.open().unwrap();
    let identity = net.identity_of(host);
    store.put_identity(&identity).unwrap();
    let (first, mut written) = (net.room(host).epoch(), 0);
    net.speak(host, true);
    for minute in 0..25 {
        let before = store.counter().unwrap();
        run(&mut net, host, &mut store, 1);
        net.run_for(59 * SECOND);
        let mut names = store.list().unwrap();
        names.retain(|name| name.handle().is_none());
        assert_eq!(names, [RecordName::identity()], "minute {minute}");
        let room = net.room(host).handle();
        let stored = store.membership(room).unwrap().unwrap();
        run(&mut net, host, &mut store, 1);
        let held = net.room(host).membership().unwrap();
        // But for the last stamp and the clock, behind version, identity, lane key and admission.
        let but_stamp = |bytes: &[u8]| [&bytes[..66], &bytes[82..]].concat();
        if minute > 0 {
            let is_same = but_stamp(stored.as_bytes()) == but_stamp(held.as_bytes());
            assert!(is_same, "minute {minute}: new keys changed what is stored");
            written += store.counter().unwrap() - before;
        }
        assert_eq!(scratch.files().len(), 3);
    }
    assert!((2..=3).contains(&written), "{written} stamps were stored in 24 minutes");
    assert!(net.room(host).epoch() > first, "leaves were renewed, so keys did change");
}

#[test]
fn nothing_on_the_disk_can_be_read_or_told_apart_by_its_size() {
    let scratch = Scratch::new();
    let mut net = Net::new(903);
    let peers = room_of(&mut net, &["host Ada", "speaker", "listener"]);
    let mut store = scratch.open().unwrap();
    store.put_identity(&net.identity_of(peers[0])).unwrap();
    store.keep(net.room(peers[0])).unwrap();
    store.put(&name("own.settings"), b"microphone: USB Audio").unwrap();
    let membership = net.room(peers[0]).membership().unwrap();
    let handle = net.room(peers[0]).handle();
    let mut needles: Vec<Vec<u8>> = peers.iter().map(|peer| net.id(*peer).as_bytes().to_vec()).collect();
    needles.extend(membership.as_bytes().windows(16).map(<[u8]>::to_vec));
    needles.push(handle.as_bytes()[..8].to_vec());
    needles.extend(["Ada", "identity", "room/", "own.settings", "USB Audio"].map(|text| text.into()));
    let search = AhoCorasick::new(&needles).unwrap();
    let files = scratch.files();
    assert_eq!(files.len(), 4);
    for (path, bytes) in &files {
        assert_eq!(search.find(bytes), None);
        assert_eq!(search.find(path.file_name().unwrap().as_encoded_bytes()), None);
        assert!(bytes.len() >= 1024 && bytes.len().is_power_of_two());
    }
    // The search can find: a membership is what it says.
    assert!(search.find(membership.as_bytes()).is_some());

    // The same content again is not the same file: its nonce is new.
    store.put(&name("own.settings"), b"microphone: USB Audio").unwrap();
    let again = scratch.files();
    let differ = files.iter().filter(|(path, bytes)| again[*path] != **bytes);
    assert!(
        differ.clone().count() == 2 && differ.clone().all(|(path, bytes)| again[path][1..13] != bytes[1..13])
    );
    let other = Scratch::new();
    FileStore::open(&other.0, &StoreKey::new([43; 32])).unwrap().put(&name("own.settings"), b"").unwrap();
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| -> Vec<_> {
        files.keys().map(|path| path.file_name().unwrap().to_owned()).collect()
    };
    assert!(names(&other.files()).iter().all(|name| !names(&again).contains(name)));
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let (store, _) = two_records(&scratch);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scratch.0), 0o700);
    for entry in fs::read_dir(&scratch.0).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    drop(store);
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_the_new_file_is_not_followed() {
    let scratch = Scratch::new();
    let (mut store, _) = two_records(&scratch);
    let outside = Scratch::new();
    fs::write(&outside.0, "precious").unwrap();
    std::os::unix::fs::symlink(&outside.0, scratch.0.join("new")).unwrap();
    store.put(&name("a"), b"third").unwrap();
    assert_eq!(fs::read(&outside.0).unwrap(), b"precious");
    assert_eq!(text(&mut store, "a"), Ok(Some("third".into())));
    fs::remove_file(&outside.0).unwrap();
}

#[test]
fn every_altered_byte_and_every_cut_is_damage_to_that_record_alone() {
    let scratch = Scratch::new();
    let (mut store, [_, a, _]) = two_records(&scratch);
    let good = fs::read(&a).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&a, &bad).unwrap();
        assert_eq!(text(&mut store, "a"), Err(StoreError::Damaged), "byte {at}");
    }
    for length in (0..good.len()).chain([good.len() + 1, 2 * good.len()]) {
        let cut: Vec<u8> = good.iter().copied().chain(std::iter::repeat(0)).take(length).collect();
        fs::write(&a, &cut).unwrap();
        assert_eq!(text(&mut store, "a"), Err(StoreError::Damaged), "{length} bytes");
    }
    fs::remove_file(&a).unwrap();
    assert_eq!(text(&mut store, "a"), Err(StoreError::Damaged));
    drop(store);

    let mut store = scratch.open().unwrap();
    assert_eq!(text(&mut store, "a"), Err(StoreError::Damaged));
    assert_eq!(text(&mut store, "b"), Ok(Some("second".into())));
    assert_eq!(store.list(), Ok(vec![name("a"), name("b")]));
    store.put(&name("a"), b"mended").unwrap();
    assert_eq!(text(&mut store, "a"), Ok(Some("mended".into())));
}

#[test]
fn a_damaged_index_is_told_and_nothing_is_written() {
    let scratch = Scratch::new();
    let (store, [index, ..]) = two_records(&scratch);
    drop(store);
    let good = scratch.files();
    for at in (0..1024).step_by(31) {
        let mut bad = good[&index].clone();
        bad[at] ^= 0x80;
        fs::write(&index, &bad).unwrap();
        assert_eq!(scratch.open().map(|_| ()), Err(OpenStoreError::Damaged), "byte {at}");
    }
    fs::remove_file(&index).unwrap();
    assert_eq!(scratch.open().map(|_| ()), Err(OpenStoreError::Foreign));
    fs::write(&index, &good[&index]).unwrap();
    assert_eq!(scratch.files(), good);
    assert!(scratch.open().is_ok());
}

#[test]
fn an_exchanged_file_and_an_old_one_are_noticed() {
    let scratch = Scratch::new();
    let (mut store, [index, a, b]) = two_records(&scratch);
    let early = scratch.files();
    fs::write(&a, &early[&b]).unwrap();
    assert_eq!(text(&mut store, "a"), Err(StoreError::Damaged), "b is not a");
    fs::write(&a, &early[&a]).unwrap();

    store.put(&name("a"), b"third").unwrap();
    let later = scratch.files();
    fs::write(&a, &early[&a]).unwrap();
    assert_eq!(text(&mut store, "a"), Err(StoreError::RolledBack));
    drop(store);
    let mut store = scratch.open().unwrap();
    assert_eq!(text(&mut store, "a"), Err(StoreError::RolledBack));
    store.put(&name("a"), b"fourth").unwrap();
    assert_eq!(text(&mut store, "a"), Ok(Some("fourth".into())));
    store.put(&name("b"), b"fifth").unwrap();
    drop(store);

    let last = scratch.files();
    fs::write(&index, &early[&index]).unwrap();
    assert_eq!(scratch.open().map(|_| ()), Err(OpenStoreError::RolledBack), "records are ahead of the index");
    fs::write(&index, &later[&index]).unwrap();
    assert_eq!(scratch.open().map(|_| ()), Err(OpenStoreError::RolledBack));
    scratch.put_back(&last);
    assert!(scratch.open().is_ok());
}

#[test]
fn a_deleted_record_stays_deleted_even_if_its_file_is_put_back() {
    let scratch = Scratch::new();
    let (mut store, [_, a, _]) = two_records(&scratch);
    let before = scratch.files();
    store.delete(&name("a")).unwrap();
    store.delete(&name("never-there")).unwrap();
    assert_eq!(text(&mut store, "a"), Ok(None));
    assert!(!a.exists());
    fs::write(&a, &before[&a]).unwrap();
    assert_eq!(text(&mut store, "a"), Ok(None));
    drop(store);
    let mut store = scratch.open().unwrap();
    assert_eq!(store.list(), Ok(vec![name("b")]));
    assert!(!a.exists(), "the old copy is removed");
}

#[test]
fn an_old_copy_of_the_whole_directory_is_noticed_by_whoever_kept_the_counter() {
    let scratch = Scratch::new();
    let (mut store, _) = two_records(&scratch);
    let old = scratch.files();
    store.put(&name("a"), b"third").unwrap();
    let counter = store.counter().unwrap();
    drop(store);
    assert!(FileStore::open_since(&scratch.0, &key(), counter).is_ok());
    scratch.put_back(&old);
    let since = |counter| FileStore::open_since(&scratch.0, &key(), counter).map(|_| ());
    assert_eq!(since(counter), Err(OpenStoreError::RolledBack));
    assert_eq!(scratch.files(), old, "nothing was written");
    assert_eq!(since(counter - 1), Ok(()));
    scratch.put_back(&BTreeMap::new());
    assert_eq!(since(counter), Err(OpenStoreError::RolledBack), "an emptied directory is an old one");
}

#[test]
fn one_key_and_one_user_at_a_time() {
    let scratch = Scratch::new();
    let (store, _) = two_records(&scratch);
    assert_eq!(scratch.open().map(|_| ()), Err(OpenStoreError::InUse));
    drop(store);
    let before = scratch.files();
    let other = FileStore::open(&scratch.0, &StoreKey::new([43; 32]));
    assert_eq!(other.map(|_| ()), Err(OpenStoreError::Foreign));
    assert_eq!(scratch.files(), before);
    // What is not ours is left alone, whatever it is called.
    let foreign = scratch.0.join("0123456789abcdef0123456789abcdef");
    fs::write(&foreign, [1; 1024]).unwrap();
    fs::write(scratch.0.join("README"), "notes").unwrap();
    let mut store = scratch.open().unwrap();
    assert_eq!(store.list().unwrap().len(), 2);
    assert!(foreign.exists() && scratch.0.join("README").exists());
}

#[test]
fn both_stores_keep_the_same_rules() {
    let scratch = Scratch::new();
    let stores: [&mut dyn Store; 2] = [&mut MemoryStore::default(), &mut scratch.open().unwrap()];
    for store in stores {
        assert!(store.identity().unwrap().is_none());
        let identity = Identity::from_seed([9; 32], Name::new("Ada").unwrap());
        store.put_identity(&identity).unwrap();
        let back = store.identity().unwrap().unwrap();
        assert_eq!((back.id(), back.name().as_str()), (identity.id(), "Ada"));
        store.put(&RecordName::identity(), b"\x02 another version").unwrap();
        assert_eq!(store.identity().map(|_| ()), Err(StoreError::Damaged));

        let handle = RoomHandle::from_bytes([0xab; 16]);
        assert!(store.membership(handle).unwrap().is_none());
        store.put(&RecordName::room(handle), b"no membership").unwrap();
        assert_eq!(store.membership(handle).map(|_| ()), Err(StoreError::Damaged));
        assert_eq!(store.rooms(), Ok(vec![handle]));

        for length in [0, 1, 940, 980, 1000, 5000, MAX_CONTENT] {
            let content = vec![0x5a; length];
            store.put(&name("own"), &content).unwrap();
            assert_eq!(store.get(&name("own")).unwrap().unwrap().bytes(), content);
        }
        assert_eq!(store.put(&name("own"), &vec![0; MAX_CONTENT + 1]), Err(StoreError::TooLong));
        assert_eq!(store.get(&name("own")).unwrap().unwrap().bytes().len(), MAX_CONTENT);
    }
}

#[test]
fn a_store_has_a_bound_and_says_so() {
    let mut store = MemoryStore::default();
    for number in 0..MAX_RECORDS {
        store.put(&name(&format!("r{number}")), b"").unwrap();
    }
    assert_eq!(store.put(&name("more"), b""), Err(StoreError::Full));
    assert_eq!(store.put(&name("r0"), b"again"), Ok(()));
    store.delete(&name("r1")).unwrap();
    assert_eq!(store.put(&name("more"), b""), Ok(()));
}

#[test]
fn names_are_bounded_and_debug_shows_none_of_it() {
    for bad in ["", "a b", "ü", "tab\t", &"x".repeat(65)] {
        assert_eq!(RecordName::new(bad), Err(InvalidRecordName));
    }
    assert!("x".repeat(64).parse::<RecordName>().is_ok());
    for other in ["room/", "room/AB", "room/0123456789ABCDEF0123456789abcdef", "identity"] {
        assert_eq!(name(other).handle(), None);
    }
    let scratch = Scratch::new();
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        scratch.open().unwrap(),
        MemoryStore::default(),
        key(),
        name("secret"),
        Record::new(b"secret".to_vec())
    );
    assert_eq!(shown, "FileStore(..) MemoryStore(..) StoreKey(..) RecordName(..) Record(..)");
}
