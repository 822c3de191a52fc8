//! What a store has to hold of a room, apart from the room (SPEC section 11).

use std::fmt;

use super::{RecordName, StoreError};
use crate::{
    room::{Membership, Room, Status},
    transport::RoomHandle,
};

/// What a store has to hold of a room at one moment.
///
/// It borrows nothing and can be sent to a thread or task that writes. Of two snapshots of a room
/// the one that was taken later has to be written later: send them through one queue.
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
    /// What a store has to hold of `room` now.
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

    /// Makes `store` agree with it: the membership is stored if it is another
    /// or its stamp is ten minutes old, and forgotten if the room was over.
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

/// Names neither the room nor what is stored of it.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.content {
            Content::Membership(_) => "Snapshot(in the room)",
            Content::Over => "Snapshot(over)",
            Content::Nothing => "Snapshot(nothing yet)",
        })
    }
}
