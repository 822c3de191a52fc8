//! The file operations of a store, as few as possible, so that tests can make each of them fail.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use rand::{TryRng, rngs::SysRng};

/// One directory for one store.
pub(super) trait Disk {
    /// The names of all files; more than `limit` are an error.
    fn names(&mut self, limit: usize) -> io::Result<Vec<String>>;

    /// The first `limit` bytes of a file; `None` if it is not there.
    fn read(&mut self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// Writes the file `new`, in place of one of that name, and flushes it.
    fn write_new(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Renames `new`, and replaces a file of this name.
    fn rename_new(&mut self, name: &str) -> io::Result<()>;

    /// Removes a file, if it is there.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Flushes the directory, so that renames and removals survive a crash.
    fn flush(&mut self) -> io::Result<()>;

    /// A random nonce.
    fn nonce(&mut self) -> io::Result<[u8; 12]>;
}

/// A directory of the file system, locked for one user. Only its owner can read the files that it
/// makes.
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory if there is none, and locks it; `None` if somebody else has.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let mut make = DirBuilder::new();
        private_directory(&mut make);
        make.recursive(true).create(path)?;
        let mut options = OpenOptions::new();
        let lock = private(&mut options).write(true).create(true).truncate(false).open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn new_file(&self) -> PathBuf {
        self.path.join(NEW)
    }
}

impl Disk for Directory {
    fn names(&mut self, limit: usize) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            if names.len() == limit {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn read(&mut self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(limit);
        let mut bytes = Vec::with_capacity(length);
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn write_new(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A link that somebody put there is removed, not followed.
        self.remove(NEW)?;
        let mut options = OpenOptions::new();
        let mut file = private(&mut options).write(true).create_new(true).open(self.new_file())?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename_new(&mut self, name: &str) -> io::Result<()> {
        fs::rename(self.new_file(), self.path.join(name))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Elsewhere a directory cannot be opened as a file, and a rename is flushed by the file
        // system.
        if cfg!(unix) { File::open(&self.path)?.sync_all() } else { Ok(()) }
    }

    fn nonce(&mut self) -> io::Result<[u8; 12]> {
        // Not a generator in memory, whose state a fork of the process would use twice.
        let mut nonce = [0; 12];
        SysRng.try_fill_bytes(&mut nonce).map_err(io::Error::other)?;
        Ok(nonce)
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn private_directory(make: &mut DirBuilder) {
    std::os::unix::fs::DirBuilderExt::mode(make, 0o700);
}

#[cfg(not(unix))]
fn private_directory(_: &mut DirBuilder) {}

/// The file that is being written.
pub(super) const NEW: &str = "new";
