//! A disk that stops at any byte of any operation, and afterwards holds whatever a real one might:
//! the store that is opened over it has each record as it was or as it was to be (SPEC section
//! 11.3).
//!
//! What was not flushed may be there, be cut, be zeros of the right length or be missing, and each
//! entry of the directory that was changed since its last flush may have changed or not, whatever
//! the others did.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    rc::Rc,
};

use super::{
    MAX_RECORDS, OpenStoreError, RecordName, StoreError, StoreKey,
    disk::{Disk, NEW},
    file::Files,
    record::{Index, Keys, MAX_COUNTER},
};

type Content = Vec<u8>;

#[derive(Clone, Default)]
struct File {
    written: Content,
    flushed: Option<Content>,
}

/// A change of the directory that was not flushed.
#[derive(Clone)]
enum Change {
    Link(String, usize),
    Unlink(String),
}

#[derive(Clone, Default)]
struct Model {
    files: Vec<File>,
    entries: BTreeMap<String, usize>,
    /// The directory as of its last flush, and the changes since, each of which may come alone.
    durable: BTreeMap<String, usize>,
    changes: Vec<Vec<Change>>,
    /// Steps until it stops: one for each byte written, one for each other operation.
    left: u64,
    /// How many bytes of a file were still to be written when it stopped.
    unwritten: u64,
    nonces: BTreeSet<[u8; 12]>,
    next_nonce: u64,
    /// A disk that says that it has flushed and has not.
    lies: bool,
}

impl Model {
    fn step(&mut self) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(())
    }

    fn link(&mut self, name: &str, file: usize) -> Change {
        self.entries.insert(name.to_owned(), file);
        Change::Link(name.to_owned(), file)
    }

    fn unlink(&mut self, name: &str) -> Change {
        self.entries.remove(name);
        Change::Unlink(name.to_owned())
    }

    /// To the next step to try: each, but of the bytes of a file only some.
    fn stride(&self) -> u64 {
        self.unwritten.clamp(1, 37)
    }

    /// Every disk that may be found after the power has gone.
    fn outcomes(&self) -> Vec<Model> {
        let mut found = Vec::new();
        for kept in 0..1_usize << self.changes.len() {
            let mut entries = self.durable.clone();
            let kept = self.changes.iter().enumerate().filter(|(bit, _)| kept >> bit & 1 == 1);
            for change in kept.flat_map(|(_, changes)| changes) {
                match change {
                    Change::Link(name, file) => drop(entries.insert(name.clone(), *file)),
                    Change::Unlink(name) => drop(entries.remove(name)),
                }
            }
            for variant in 0..4 {
                let content = |file: &File| match (&file.flushed, variant) {
                    (Some(flushed), _) if *flushed == file.written => flushed.clone(),
                    (flushed, 0) => flushed.clone().unwrap_or_default(),
                    (_, 1) => file.written[..file.written.len() / 2].to_vec(),
                    (_, 2) => vec![0; file.written.len()],
                    _ => file.written.clone(),
                };
                let files = self.files.iter().map(|file| {
                    let content = content(file);
                    File { flushed: Some(content.clone()), written: content }
                });
                found.push(Model {
                    files: files.collect(),
                    durable: entries.clone(),
                    entries: entries.clone(),
                    changes: Vec::new(),
                    left: u64::MAX,
                    unwritten: 0,
                    nonces: self.nonces.clone(),
                    next_nonce: self.next_nonce,
                    lies: false,
                });
            }
        }
        found
    }
}

/// The disk as a store has it; the test keeps the model.
#[derive(Clone)]
struct Faulty(Rc<RefCell<Model>>);

impl Disk for Faulty {
    fn names(&mut self, limit: usize) -> io::Result<Vec<String>> {
        let model = self.0.borrow();
        assert!(model.entries.len() <= limit);
        Ok(model.entries.keys().cloned().collect())
    }

    fn read(&mut self, name: &str, limit: usize) -> io::Result<Option<Content>> {
        let model = self.0.borrow();
        let file = model.entries.get(name).map(|file| &model.files[*file].written);
        Ok(file.map(|content| content[..content.len().min(limit)].to_vec()))
    }

    fn write_new(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut model = self.0.borrow_mut();
        model.step()?;
        let removed = model.unlink(NEW);
        model.changes.push(vec![removed]);
        model.step()?;
        let file = model.files.len();
        model.files.push(File::default());
        let made = model.link(NEW, file);
        model.changes.push(vec![made]);
        for (byte, unwritten) in bytes.iter().zip((1..=bytes.len() as u64).rev()) {
            model.unwritten = unwritten;
            model.step()?;
            model.files[file].written.push(*byte);
        }
        model.unwritten = 0;
        model.step()?;
        if !model.lies {
            model.files[file].flushed = Some(bytes.to_vec());
        }
        model.step()
    }

    fn rename_new(&mut self, name: &str) -> io::Result<()> {
        let mut model = self.0.borrow_mut();
        model.step()?;
        let file = *model.entries.get(NEW).ok_or(io::ErrorKind::NotFound)?;
        let renamed = vec![model.unlink(NEW), model.link(name, file)];
        model.changes.push(renamed);
        model.step()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut model = self.0.borrow_mut();
        model.step()?;
        let removed = model.unlink(name);
        model.changes.push(vec![removed]);
        model.step()
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut model = self.0.borrow_mut();
        model.step()?;
        if !model.lies {
            model.durable = model.entries.clone();
            model.changes.clear();
        }
        model.step()
    }

    fn nonce(&mut self) -> io::Result<[u8; 12]> {
        let mut model = self.0.borrow_mut();
        model.next_nonce += 1;
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&model.next_nonce.to_be_bytes());
        assert!(model.nonces.insert(nonce), "a nonce twice");
        Ok(nonce)
    }
}

fn disk(model: &Model) -> Faulty {
    Faulty(Rc::new(RefCell::new(model.clone())))
}

fn open(disk: &Faulty) -> Result<Files<Faulty>, OpenStoreError> {
    Files::open(disk.clone(), &StoreKey::new([7; 32]), 0)
}

fn name(text: &str) -> RecordName {
    RecordName::new(text).unwrap()
}

/// What a store holds, by name.
type Records = BTreeMap<String, Content>;

fn records(files: &mut Files<Faulty>) -> Result<Records, StoreError> {
    let names = files.list()?;
    let one = |name: RecordName| {
        let record = files.get(&name)?.ok_or(StoreError::Damaged)?;
        Ok((name.as_str().to_owned(), record.bytes().to_vec()))
    };
    names.into_iter().map(one).collect()
}

#[derive(Clone, Copy, Debug)]
enum Write {
    Put(&'static str, u8, usize),
    Delete(&'static str),
}

impl Write {
    fn run(self, files: &mut Files<Faulty>) -> Result<(), StoreError> {
        match self {
            Self::Put(to, byte, length) => files.put(&name(to), &vec![byte; length]),
            Self::Delete(which) => files.delete(&name(which)),
        }
    }

    fn apply(self, records: &mut Records) {
        match self {
            Self::Put(to, byte, length) => drop(records.insert(to.to_owned(), vec![byte; length])),
            Self::Delete(which) => drop(records.remove(which)),
        }
    }
}

/// A disk with these writings behind it, and what a store over it holds.
fn prepared(writes: &[Write]) -> (Model, Records) {
    let model = disk(&Model { left: u64::MAX, ..Model::default() });
    let (mut files, mut expected) = (open(&model).unwrap(), Records::new());
    for write in writes {
        write.run(&mut files).unwrap();
        write.apply(&mut expected);
    }
    let model = model.0.borrow().clone();
    (model, expected)
}

/// Stops a store at each step of `write`, and hands what may then be on the disk to `check`.
fn at_each_step(before: &Model, write: Option<Write>, mut check: impl FnMut(&Model, u64)) -> u64 {
    let mut step = 0;
    loop {
        let disk = disk(&Model { left: step, ..before.clone() });
        let done = match (open(&disk), write) {
            (Ok(mut files), Some(write)) => write.run(&mut files).is_ok(),
            (opened, _) => opened.is_ok() && write.is_none(),
        };
        let model = disk.0.borrow();
        model.outcomes().iter().for_each(|outcome| check(outcome, step));
        if done {
            return step;
        }
        step += model.stride();
    }
}

const IDENTITY: Write = Write::Put("identity", 1, 100);
const ROOM: Write = Write::Put("room/0", 2, 1500);

#[test]
fn a_crash_at_any_step_leaves_the_old_record_or_the_new_one() {
    let cases: [(&[Write], Write); 6] = [
        (&[], IDENTITY),
        (&[IDENTITY], ROOM),
        (&[IDENTITY, ROOM], Write::Put("room/0", 3, 10)),
        (&[IDENTITY, ROOM], Write::Put("room/0", 3, 4000)),
        (&[IDENTITY, ROOM], Write::Delete("room/0")),
        (&[IDENTITY, ROOM, Write::Delete("room/0")], Write::Put("room/0", 4, 20)),
    ];
    let mut found = BTreeSet::new();
    for (case, (writes, last)) in cases.into_iter().enumerate() {
        let (before, old) = prepared(writes);
        let mut new = old.clone();
        last.apply(&mut new);
        let steps = at_each_step(&before, Some(last), |outcome, step| {
            let after = disk(outcome);
            let mut files =
                open(&after).unwrap_or_else(|error| panic!("{last:?} stopped at step {step}: {error}"));
            let held = records(&mut files).unwrap();
            assert!(held == old || held == new, "{last:?} stopped at step {step}");
            found.insert((case, held == new));
            // It goes on as if nothing had been, and is the same for whoever opens it next.
            Write::Put("next", 9, 5).run(&mut files).unwrap();
            drop(files);
            let mut expected = held;
            Write::Put("next", 9, 5).apply(&mut expected);
            // One file for each record and one for the index: what was deleted is gone.
            assert_eq!(after.0.borrow().entries.len(), expected.len() + 1);
            assert_eq!(records(&mut open(&after).unwrap()), Ok(expected));
        });
        assert!(steps > 1000 || matches!(last, Write::Delete(_)), "{steps} steps");
    }
    assert_eq!(found.len(), 12, "each writing was seen undone and done");
}

#[test]
fn a_crash_while_a_crash_is_mended_costs_nothing_more() {
    let (before, old) = prepared(&[IDENTITY, ROOM]);
    for last in [Write::Put("room/0", 3, 10), Write::Delete("room/0")] {
        let mut new = old.clone();
        last.apply(&mut new);
        let mut disks = Vec::new();
        at_each_step(&before, Some(last), |outcome, _| disks.push(outcome.clone()));
        // One of each kind: what half of a file is in `new` makes no difference.
        let differ = |model: &Model| -> Vec<_> {
            let one = |(name, file): (&String, &usize)| {
                (name.clone(), (name != NEW).then(|| model.files[*file].written.clone()))
            };
            model.entries.iter().map(one).collect()
        };
        let disks: BTreeMap<_, _> = disks.iter().map(|model| (differ(model), model)).collect();
        for model in disks.into_values() {
            at_each_step(model, None, |outcome, step| {
                let held = records(&mut open(&disk(outcome)).unwrap()).unwrap();
                assert!(held == old || held == new, "mending {last:?} stopped at step {step}");
            });
        }
    }
}

#[test]
fn a_crash_after_a_failure_of_the_disk_leaves_old_or_new_as_well() {
    let (before, old) = prepared(&[IDENTITY, ROOM]);
    for last in [Write::Put("room/0", 3, 10), Write::Delete("room/0")] {
        let mut new = old.clone();
        last.apply(&mut new);
        let mut failed_at = 0;
        loop {
            let (mut done, mut stride) = (false, 1);
            for stopped_at in (0..6).chain([600]).chain(1025..1045) {
                let disk = disk(&before);
                let mut files = open(&disk).unwrap();
                disk.0.borrow_mut().left = failed_at;
                done = last.run(&mut files).is_ok();
                stride = disk.0.borrow().unwritten.clamp(1, 500);
                disk.0.borrow_mut().left = stopped_at;
                let _ = files.list();
                for outcome in disk.0.borrow().outcomes() {
                    let held = records(&mut open(&self::disk(&outcome)).unwrap());
                    let fine = held.as_ref().is_ok_and(|held| *held == old || *held == new);
                    assert!(fine, "{last:?} failed at {failed_at}, stopped at {stopped_at}: {held:?}");
                }
            }
            if done {
                break;
            }
            failed_at += stride;
        }
    }
}

#[test]
fn a_failure_of_the_disk_while_the_store_is_open_leaves_old_or_new_as_well() {
    let (before, old) = prepared(&[IDENTITY, ROOM]);
    for last in [Write::Put("room/0", 3, 10), Write::Delete("room/0"), Write::Put("room/1", 3, 10)] {
        let mut new = old.clone();
        last.apply(&mut new);
        for step in 0..3000 {
            let disk = disk(&before);
            let mut files = open(&disk).unwrap();
            disk.0.borrow_mut().left = step;
            let failed = last.run(&mut files);
            disk.0.borrow_mut().left = u64::MAX;
            let held = records(&mut files).unwrap();
            let expected = if failed.is_ok() { held == new } else { held == old || held == new };
            assert!(expected, "{last:?} failed at step {step}");
            Write::Put("room/0", 8, 30).run(&mut files).unwrap();
            if failed.is_ok() {
                break;
            }
            assert_eq!(failed, Err(StoreError::Io(io::ErrorKind::BrokenPipe)));
        }
    }
}

/// The crashes above would be noticed: a disk that lies about flushing does lose records, and that
/// is a typed error.
#[test]
fn a_disk_that_lies_about_flushing_damages_records_and_never_invents_one() {
    let (before, old) = prepared(&[IDENTITY, ROOM]);
    let last = Write::Put("room/0", 3, 10);
    let mut new = old.clone();
    last.apply(&mut new);
    let mut errors = BTreeSet::new();
    at_each_step(&Model { lies: true, ..before }, Some(last), |outcome, _| {
        let mut files = match open(&disk(outcome)) {
            Ok(files) => files,
            Err(error) => {
                errors.insert(format!("{error:?}"));
                return;
            }
        };
        for (record, content) in &old {
            match files.get(&name(record)) {
                Ok(found) => {
                    let found = found.unwrap().bytes().to_vec();
                    assert!(found == *content || Some(&found) == new.get(record));
                }
                Err(error) => errors.extend([format!("{error:?}")]),
            }
        }
    });
    assert!(errors.contains("Damaged") && errors.contains("RolledBack"), "{errors:?}");
}

#[test]
fn a_store_that_is_full_or_worn_out_says_so_and_changes_nothing() {
    let disk = disk(&Model { left: u64::MAX, ..Model::default() });
    let mut files = open(&disk).unwrap();
    for number in 0..MAX_RECORDS {
        files.put(&name(&format!("r{number}")), b"").unwrap();
    }
    assert_eq!(files.put(&name("more"), b""), Err(StoreError::Full));
    assert_eq!(files.put(&name("r7"), b"again"), Ok(()));
    drop(files);
    let mut files = open(&disk).unwrap();
    assert_eq!(files.list().unwrap().len(), MAX_RECORDS);
    files.delete(&name("r7")).unwrap();
    assert_eq!(files.put(&name("more"), b""), Ok(()));

    let keys = Keys::new(StoreKey::new([7; 32]).secret());
    let (mut disk, index) = (self::disk(&Model { left: u64::MAX, ..Model::default() }), Index::default());
    let last = Index { counter: MAX_COUNTER - 1, ..index };
    disk.write_new(&keys.seal([0; 12], None, last.counter, &last.encode())).unwrap();
    disk.rename_new(&keys.file(None).text()).unwrap();
    let mut files = open(&disk).unwrap();
    assert_eq!(files.put(&name("last"), b"last"), Ok(()));
    assert_eq!(files.put(&name("more"), b""), Err(StoreError::WornOut));
    assert_eq!(files.delete(&name("last")), Err(StoreError::WornOut));
    assert_eq!(records(&mut open(&disk).unwrap()).unwrap().len(), 1);
}
