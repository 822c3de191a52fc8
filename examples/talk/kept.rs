//! What is kept until the next start: who we are, and which room we are in.

use std::{
    error::Error,
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::Path,
};

use sottovoce::{
    group::{Identity, Name},
    room::{Membership, Room},
    store::{FileStore, Store, StoreKey},
};
use zeroize::Zeroizing;

/// A store in a directory, or none.
pub struct Kept(Option<FileStore>);

impl Kept {
    /// Opens the store, and makes it at the first time.
    pub fn open(directory: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let Some(directory) = directory else { return Ok(Self(None)) };
        // An application has this key in the platform's key store. Here it lies beside the
        // directory, readable for us alone.
        let path = directory.with_extension("key");
        if !path.exists() {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let key = Zeroizing::new(rand::random::<[u8; 32]>());
            options.open(&path)?.write_all(key.as_ref())?;
        }
        let mut key = Zeroizing::new([0; 32]);
        File::open(&path)?.read_exact(key.as_mut())?;
        Ok(Self(Some(FileStore::open(directory, &StoreKey::new(*key))?)))
    }

    /// Who we were the last time, or somebody new of this name.
    pub fn identity(&mut self, name: &str) -> Result<Identity, Box<dyn Error>> {
        if let Some(identity) = self.0.as_mut().map_or(Ok(None), Store::identity)? {
            return Ok(identity);
        }
        let identity = Identity::from_seed(rand::random(), Name::new(name)?);
        if let Some(store) = &mut self.0 {
            store.put_identity(&identity)?;
        }
        Ok(identity)
    }

    /// The room that we were in when we ended.
    pub fn membership(&mut self) -> Result<Option<Membership>, Box<dyn Error>> {
        let Some(store) = &mut self.0 else { return Ok(None) };
        for room in store.rooms()? {
            if let Some(membership) = store.membership(room)? {
                return Ok(Some(membership));
            }
        }
        Ok(None)
    }

    /// Called on every event.
    pub fn keep(&mut self, room: &Room) -> Result<(), Box<dyn Error>> {
        Ok(self.0.as_mut().map_or(Ok(()), |store| store.keep(room))?)
    }

    /// Whether there is a next time.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }
}
