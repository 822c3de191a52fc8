//! What has arrived for one member of a hub, each at its time.

use std::{
    collections::{BTreeMap, HashMap},
    task::Waker,
    time::Instant,
};

use crate::transport::{Dice, Inbound, RoomHandle};

/// What a member has yet to receive.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// Where the member is; `None` before it connects and after it was cut off.
    pub(super) room: Option<RoomHandle>,
    queue: BTreeMap<Key, Inbound>,
    /// How many deliveries there were.
    deliveries: u64,
    /// Bytes of control messages in the queue.
    pub(super) control: usize,
    /// Packets in the queue.
    pub(super) media: usize,
    pub(super) links: HashMap<u64, Link>,
    /// Of a member in `receive`.
    pub(super) waker: Option<Waker>,
}

/// When something is due, and which delivery it was, which settles the order of those due together.
pub(super) type Key = (Instant, u64);

/// The way from one sender to a mailbox.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) dice: Dice,
    /// A packet that the next one overtakes.
    pub(super) held: Option<Key>,
}

impl Mailbox {
    pub(super) fn put(&mut self, due: Instant, inbound: Inbound) -> Key {
        self.deliveries += 1;
        match &inbound {
            Inbound::Control(message) => self.control += message.len(),
            Inbound::Media(_) => self.media += 1,
            Inbound::Idle => {}
        }
        let key = (due, self.deliveries);
        self.queue.insert(key, inbound);
        key
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Inbound> {
        let inbound = self.queue.remove(&key)?;
        match &inbound {
            Inbound::Control(message) => self.control = self.control.saturating_sub(message.len()),
            Inbound::Media(_) => self.media = self.media.saturating_sub(1),
            Inbound::Idle => {}
        }
        Some(inbound)
    }

    /// Takes what is due first, if that is by now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Inbound> {
        let key = self.queue.keys().next().copied().filter(|(due, _)| *due <= now)?;
        self.remove(key)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.keys().next().map(|(due, _)| *due)
    }
}
