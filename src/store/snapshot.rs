//! A copy of the data that a store has to hold for a room (SPEC section 11).

use std::fmt;

use super::{RecordName, StoreError};
use crate::{
    room::{Membership, Room, Status},
    transport::RoomHandle,
};

/// The data that a store has to hold for a room, at one moment.
///
/// It borrows nothing and can be sent to a thread or task that writes. Snapshots of one room have
/// to be written in the order in which they were taken: send them through one queue.
///
/// ```
/// use std::{sync::mpsc, thread};
/// use sottovoce::store::{MemoryStore, Snapshot, Store};
///
/// let (snapshots, queue) = mpsc::channel::<Snapshot>();
/// let writer = thread::spawn(move || {
///     let mut store = MemoryStore::default();
///     for snapshot in queue {
///         store.write(&snapshot)?;
///     }
///     Ok::<_, sottovoce::store::StoreError>(store)
/// });
/// // On every event: `snapshots.send(Snapshot::of(session.room()))`, which never waits.
/// drop(snapshots);
/// assert!(writer.join().is_ok());
/// ```
pub struct Snapshot {
    room: RoomHandle,
    content: Content,
}

enum Content {
    Membership(Membership),
    Over,
    Nothing,
}

impl Snapshot {
    /// Takes a snapshot of `room` as it is now.
    pub fn of(room: &Room) -> Self {
        let content = match room.membership() {
            Some(membership) => Content::Membership(membership),
            None if room.status() == Status::Over => Content::Over,
            None => Content::Nothing,
        };
        Self { room: room.handle(), content }
    }

    /// The room.
    pub fn room(&self) -> RoomHandle {
        self.room
    }

    /// Makes `store` agree with the snapshot: stores the membership if it differs or its stamp is
    /// ten minutes old, and deletes it if the room was over.
    pub(super) fn write_to<S: super::Store + ?Sized>(&self, store: &mut S) -> Result<(), StoreError> {
        let name = RecordName::room(self.room);
        match &self.content {
            Content::Membership(membership) => {
                let stored = match store.get(&name) {
                    Err(StoreError::Damaged | StoreError::RolledBack) => None,
                    stored => stored?,
                };
                if stored.is_some_and(|stored| membership.is_kept_by(stored.bytes())) {
                    return Ok(());
                }
                store.put(&name, membership.as_bytes())
            }
            Content::Over => store.delete(&name),
            Content::Nothing => Ok(()),
        }
    }
}

/// Shows neither the room nor the stored data.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.content {
            Content::Membership(_) => "Snapshot(in the room)",
            Content::Over => "Snapshot(over)",
            Content::Nothing => "Snapshot(nothing yet)",
        })
    }
}
