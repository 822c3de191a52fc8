//! Records in memory, which end with the process: for an application that has no place to store
//! them.

use std::{collections::BTreeMap, fmt};

use super::{MAX_CONTENT, MAX_RECORDS, Record, RecordName, Store, StoreError};
use crate::keys::secret::Secret;

/// Keeps records in memory, and wipes them when it is dropped.
#[derive(Default)]
pub struct MemoryStore {
    records: BTreeMap<RecordName, Secret>,
}

impl Store for MemoryStore {
    fn put(&mut self, name: &RecordName, content: &[u8]) -> Result<(), StoreError> {
        if content.len() > MAX_CONTENT {
            return Err(StoreError::TooLong);
        }
        if self.records.len() >= MAX_RECORDS && !self.records.contains_key(name) {
            return Err(StoreError::Full);
        }
        let content = Secret::filled(content.len(), |out| out.copy_from_slice(content));
        self.records.insert(name.clone(), content);
        Ok(())
    }

    fn get(&mut self, name: &RecordName) -> Result<Option<Record>, StoreError> {
        let copy = |content: &Secret| {
            Secret::filled(content.bytes().len(), |out| out.copy_from_slice(content.bytes()))
        };
        Ok(self.records.get(name).map(|content| Record(copy(content))))
    }

    fn delete(&mut self, name: &RecordName) -> Result<(), StoreError> {
        self.records.remove(name);
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<RecordName>, StoreError> {
        Ok(self.records.keys().cloned().collect())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore(..)")
    }
}
