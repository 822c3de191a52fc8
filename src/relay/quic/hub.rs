//! What other threads have for the thread of the members who come by QUIC.

use std::{
    collections::HashSet,
    mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use mio::Waker;

use crate::{
    relay::{fair, log::Connection, pending::Number},
    transport::quic::Pin,
};

/// What other threads have for the members here.
pub(in crate::relay) struct Hub {
    pub(in crate::relay) address: SocketAddr,
    pub(in crate::relay) pin: Pin,
    waiting: Mutex<Waiting>,
    waker: Arc<Waker>,
    /// Nobody need be woken: the thread will look before it sleeps.
    awake: AtomicBool,
}

#[derive(Default)]
pub(super) struct Waiting {
    /// Packets by who sent them, and who is to have a copy.
    pub(super) packets: fair::Queue<Connection, (Bytes, Vec<Connection>)>,
    /// Members with something new in their outboxes.
    pub(super) rung: HashSet<Connection>,
    /// Connections without a hello that have to give way to others.
    pub(super) hung_up: HashSet<Number>,
}

impl Hub {
    pub(super) fn new(address: SocketAddr, pin: Pin, waker: Arc<Waker>) -> Self {
        Self { address, pin, waiting: Mutex::default(), waker, awake: AtomicBool::new(false) }
    }

    /// All that there is.
    pub(super) fn take(&self) -> Waiting {
        mem::take(&mut *self.lock())
    }

    /// Tells whether the thread may sleep. Whoever has something for it from here on wakes it.
    pub(super) fn rest(&self) -> bool {
        self.awake.store(false, Ordering::SeqCst);
        let waiting = self.lock();
        waiting.packets.is_empty() && waiting.rung.is_empty() && waiting.hung_up.is_empty()
    }

    /// The thread is awake, and need not be woken.
    pub(super) fn rise(&self) {
        self.awake.store(true, Ordering::SeqCst);
    }

    /// Has a packet copied to these members. Too many at once push out the oldest of who sent most
    /// of them.
    pub(in crate::relay) fn forward(&self, from: Connection, packet: &[u8], to: &[Connection]) {
        if to.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        while waiting.packets.cost() >= PACKETS_WAITING {
            waiting.packets.pop_from_fattest();
        }
        waiting.packets.push(from, (Bytes::copy_from_slice(packet), to.to_vec()), packet.len() + OVERHEAD);
        drop(waiting);
        self.wake();
    }

    /// There is something new in that member's outbox.
    pub(super) fn ring(&self, member: Connection) {
        self.lock().rung.insert(member);
        self.wake();
    }

    /// That connection has to give way to another one.
    pub(super) fn hang_up(&self, number: Number) {
        self.lock().hung_up.insert(number);
        self.wake();
    }

    fn wake(&self) {
        if !self.awake.load(Ordering::SeqCst) {
            // A thread that cannot be woken looks by itself before long.
            let _ = self.waker.wake();
        }
    }

    // Nothing panics while it holds the lock, and what it guards is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of packets of members who came by UDP that wait for this thread.
const PACKETS_WAITING: usize = 1024 * 1024;
/// What a packet counts for above its own bytes.
const OVERHEAD: usize = 64;
