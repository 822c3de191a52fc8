//! The directory that a run leaves its files in.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A directory that exists and can be written to.
#[derive(Debug, Clone)]
pub struct Dir {
    path: PathBuf,
}

impl Dir {
    /// Makes the directory with its parents where it is missing, and tries that a file can be made
    /// in it.
    ///
    /// # Errors
    /// [`Error`], before any work is done that would be lost.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let trial = path.join(format!(".trial-{}", std::process::id()));
        fs::create_dir_all(path)
            .and_then(|()| fs::write(&trial, b""))
            .and_then(|()| fs::remove_file(&trial))
            .map_err(|cause| Error { path: path.to_owned(), cause })?;
        Ok(Dir { path: path.to_owned() })
    }

    /// Where a file of that name is or will be.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// [`Error`] with the path of the file.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, Error> {
        let path = self.file(name);
        match fs::write(&path, content) {
            Ok(()) => Ok(path),
            Err(cause) => Err(Error { path, cause }),
        }
    }
}

/// A path that cannot be written; prints as one line that begins with it.
#[derive(Debug)]
pub struct Error {
    /// The path.
    pub path: PathBuf,
    /// What the file system said.
    pub cause: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cannot be written: {}", self.path.display(), self.cause)
    }
}

impl std::error::Error for Error {}
