//! Sealed files in one directory. After a crash each file is either the old one or the new one
//! (SPEC sections 11.2 and 11.3).
//!
//! ```text
//! put: new > flushed > renamed over the record > directory flushed; the same for the index
//! open: index, all records > what a crash left half done is completed > what is old or foreign is told
//! ```

use std::{fmt, io, path::Path};

use zeroize::Zeroize;

use super::{
    MAX_CONTENT, MAX_RECORDS, Record, RecordName, Store, StoreError,
    disk::{Directory, Disk, NEW},
    record::{FileName, Index, Keys, MAX_COUNTER, MAX_FILE, Opened},
};
use crate::keys::secret::Secret;

/// Keeps records in files of a directory, each sealed with AES-256-GCM under a key that the
/// application brings.
///
/// Its methods block for as long as the disk takes to flush: do not call them in the loop that
/// drives a room's audio. A crash at any point leaves each record either as it was or as it was to
/// be. The store notices truncated, altered, exchanged and outdated files. A reader of the
/// directory learns how many records there are, of which size classes, and when they change. SPEC
/// section 11.
pub struct FileStore(Files<Directory>);

impl FileStore {
    /// Opens the store in a directory, which is made if there is none, and locks it.
    ///
    /// # Errors
    /// See [`OpenStoreError`]. An error changes nothing but the lock file.
    pub fn open(directory: impl AsRef<Path>, key: &StoreKey) -> Result<Self, OpenStoreError> {
        Self::open_since(directory, key, 0)
    }

    /// Opens the store, unless it is older than a counter that [`FileStore::counter`] once gave.
    ///
    /// Keep the counter where nobody can turn it back, in the platform's key store: nothing else
    /// tells an outdated copy of the whole directory from the newest one.
    ///
    /// # Errors
    /// As for [`FileStore::open`], and [`OpenStoreError::RolledBack`] for an older store.
    pub fn open_since(
        directory: impl AsRef<Path>,
        key: &StoreKey,
        counter: u64,
    ) -> Result<Self, OpenStoreError> {
        let disk = Directory::open(directory.as_ref())?.ok_or(OpenStoreError::InUse)?;
        Files::open(disk, key, counter).map(Self)
    }

    /// How often the store was written to; each change increases it by one.
    ///
    /// # Errors
    /// [`StoreError::Io`] if an earlier failure of the disk persists.
    pub fn counter(&mut self) -> Result<u64, StoreError> {
        self.0.index().map(|index| index.counter)
    }
}

impl Store for FileStore {
    fn put(&mut self, name: &RecordName, content: &[u8]) -> Result<(), StoreError> {
        self.0.put(name, content)
    }

    fn get(&mut self, name: &RecordName) -> Result<Option<Record>, StoreError> {
        self.0.get(name)
    }

    fn delete(&mut self, name: &RecordName) -> Result<(), StoreError> {
        self.0.delete(name)
    }

    fn list(&mut self) -> Result<Vec<RecordName>, StoreError> {
        self.0.list()
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileStore(..)")
    }
}

/// The key of a store: 32 random bytes that the application keeps in the platform's key store.
/// Wiped on drop.
pub struct StoreKey(Secret);

impl StoreKey {
    /// Takes the bytes of the key. They must be random, and of this store alone.
    pub fn new(mut bytes: [u8; 32]) -> Self {
        let key = Secret::filled(bytes.len(), |out| out.copy_from_slice(&bytes));
        bytes.zeroize();
        Self(key)
    }

    #[cfg(test)]
    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(..)")
    }
}

/// Why a store could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenStoreError {
    /// Another process, or another [`FileStore`] of this process, has the store open.
    InUse,
    /// The directory holds a store with another key, or its index is gone.
    Foreign,
    /// The index is truncated or altered.
    Damaged,
    /// Somebody put old files back.
    RolledBack,
    /// The file system failed, or there are more than 4,096 files.
    Io(io::ErrorKind),
}

impl fmt::Display for OpenStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "the store is in use",
            Self::Foreign => "the store has another key, or its index is gone",
            Self::Damaged => "the index of the store is damaged",
            Self::RolledBack => "the store is an outdated copy",
            Self::Io(kind) => return write!(f, "the storage failed: {kind}"),
        })
    }
}

impl std::error::Error for OpenStoreError {}

impl From<io::Error> for OpenStoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// A store over any disk.
pub(super) struct Files<D> {
    disk: D,
    keys: Keys,
    /// What the disk holds; `None` after a failure that leaves this uncertain.
    index: Option<Index>,
}

impl<D: Disk> Files<D> {
    pub(super) fn open(disk: D, key: &StoreKey, counter: u64) -> Result<Self, OpenStoreError> {
        let mut files = Self { disk, keys: Keys::new(&key.0), index: None };
        let index = files.load(counter)?;
        files.index = Some(index);
        Ok(files)
    }

    pub(super) fn put(&mut self, name: &RecordName, content: &[u8]) -> Result<(), StoreError> {
        if content.len() > MAX_CONTENT {
            return Err(StoreError::TooLong);
        }
        let mut next = self.next()?;
        if next.records.len() >= MAX_RECORDS && !next.records.contains_key(name) {
            return Err(StoreError::Full);
        }
        next.records.insert(name.clone(), next.counter);
        // From here to the end the content of the disk is uncertain: after a failure the next call
        // reads it again.
        self.index = None;
        self.replace(Some(name), next.counter, content)?;
        self.replace_index(&next)?;
        self.index = Some(next);
        Ok(())
    }

    pub(super) fn get(&mut self, name: &RecordName) -> Result<Option<Record>, StoreError> {
        let Some(number) = self.index()?.records.get(name).copied() else { return Ok(None) };
        let opened = self.read(self.keys.file(Some(name)))?.ok_or(StoreError::Damaged)?;
        if opened.number == number {
            Ok(Some(Record(opened.into_content())))
        } else {
            Err(StoreError::RolledBack)
        }
    }

    pub(super) fn delete(&mut self, name: &RecordName) -> Result<(), StoreError> {
        let mut next = self.next()?;
        if next.records.remove(name).is_none() {
            return Ok(());
        }
        self.index = None;
        self.replace_index(&next)?;
        self.disk.remove(&self.keys.file(Some(name)).text())?;
        self.disk.flush()?;
        self.index = Some(next);
        Ok(())
    }

    pub(super) fn list(&mut self) -> Result<Vec<RecordName>, StoreError> {
        Ok(self.index()?.records.keys().cloned().collect())
    }

    /// What the disk holds, read again after a failure.
    fn index(&mut self) -> Result<&Index, StoreError> {
        let index = match self.index.take() {
            Some(index) => index,
            None => self.load(0).map_err(|error| match error {
                OpenStoreError::Io(kind) => StoreError::Io(kind),
                OpenStoreError::RolledBack => StoreError::RolledBack,
                OpenStoreError::InUse | OpenStoreError::Foreign | OpenStoreError::Damaged => {
                    StoreError::Damaged
                }
            })?,
        };
        Ok(self.index.insert(index))
    }

    /// The index with the counter of the next write.
    fn next(&mut self) -> Result<Index, StoreError> {
        let mut next = self.index()?.clone();
        if next.counter >= MAX_COUNTER {
            return Err(StoreError::WornOut);
        }
        next.counter += 1;
        Ok(next)
    }

    /// Reads the directory, and completes what a crash left half done.
    fn load(&mut self, since: u64) -> Result<Index, OpenStoreError> {
        let index_file = self.keys.file(None);
        let names = self.disk.names(MAX_ENTRIES)?;
        let found: Vec<_> = names.iter().filter_map(|name| FileName::parse(name)).collect();
        if found.is_empty() && since == 0 {
            let index = Index::default();
            self.replace_index(&index)?;
            return Ok(index);
        }
        if found.is_empty() {
            return Err(OpenStoreError::RolledBack);
        }
        if !found.contains(&index_file) {
            return Err(OpenStoreError::Foreign);
        }
        let opened = self.read(index_file)?.ok_or(OpenStoreError::Damaged)?;
        let mut index = Index::decode(&opened).map_err(|_| OpenStoreError::Damaged)?;

        let (mut ahead, mut over) = (Vec::new(), Vec::new());
        for file in found.into_iter().filter(|file| *file != index_file) {
            let Some(Opened { name: Some(name), number, .. }) = self.read(file)? else { continue };
            if number > index.counter {
                ahead.push((name, number));
            } else if !index.records.contains_key(&name) {
                over.push(file);
            }
        }
        let completed = match ahead.as_slice() {
            [] => false,
            [(name, number)] if *number == index.counter + 1 => {
                index.counter = *number;
                index.records.insert(name.clone(), *number);
                true
            }
            _ => return Err(OpenStoreError::RolledBack),
        };
        if index.counter < since {
            return Err(OpenStoreError::RolledBack);
        }
        // The record may have been renamed without having been flushed: it goes before the index
        // that lists it.
        self.disk.flush()?;
        if completed {
            self.replace_index(&index)?;
        }
        for file in over {
            self.disk.remove(&file.text())?;
        }
        self.disk.remove(NEW)?;
        self.disk.flush()?;
        Ok(index)
    }

    /// `None` if there is no such file or it does not open.
    fn read(&mut self, file: FileName) -> io::Result<Option<Opened>> {
        let sealed = self.disk.read(&file.text(), MAX_FILE + 1)?;
        Ok(sealed.and_then(|sealed| self.keys.open(file, sealed).ok()))
    }

    fn replace_index(&mut self, index: &Index) -> io::Result<()> {
        self.replace(None, index.counter, &index.encode())
    }

    fn replace(&mut self, name: Option<&RecordName>, number: u64, content: &[u8]) -> io::Result<()> {
        let sealed = self.keys.seal(self.disk.nonce()?, name, number, content);
        self.disk.write_new(&sealed)?;
        self.disk.rename_new(&self.keys.file(name).text())?;
        self.disk.flush()
    }
}

/// How many files a directory may have: far more than records, and few enough to be read quickly.
const MAX_ENTRIES: usize = 4096;
