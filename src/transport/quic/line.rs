//! What lies between the application and the thread of its connection: three bounded queues.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use mio::Waker;

use crate::transport::{Inbound, TransportError, inbox::Inbox};

/// Shared by the two of them.
pub(in crate::transport) struct Line {
    waker: Arc<Waker>,
    /// What has come and is to be received.
    pub(in crate::transport) inbox: Inbox,
    /// The thread holds a message for which the inbox has no room.
    stalled: AtomicBool,
    outgoing: Mutex<Outgoing>,
    changed: Condvar,
}

/// What is to leave.
#[derive(Default)]
struct Outgoing {
    control: VecDeque<Bytes>,
    bytes: usize,
    media: VecDeque<Bytes>,
    end: End,
}

/// How the application wants the connection to end, if it does.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::transport) enum End {
    #[default]
    NotYet,
    /// When everything has left.
    Finish,
    /// Now.
    GiveUp,
}

impl Line {
    pub(in crate::transport) fn new(waker: Arc<Waker>) -> Self {
        Self {
            waker,
            inbox: Inbox::default(),
            stalled: AtomicBool::new(false),
            outgoing: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    // ---- the application's side
    // ------------------------------------------------------------------------

    /// Queues a frame, waiting for room.
    pub(in crate::transport) fn send_control(&self, frame: Bytes) -> Result<(), TransportError> {
        let full = |outgoing: &mut Outgoing| !self.inbox.is_closed() && outgoing.bytes >= CONTROL_WAITING;
        let waited = self.changed.wait_timeout_while(self.lock(), CONTROL_PATIENCE, full);
        let (mut outgoing, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if self.inbox.is_closed() || outgoing.end != End::NotYet {
            return Err(TransportError::Closed);
        }
        if timeout.timed_out() {
            drop(outgoing);
            // The relay takes nothing more, so nothing more can be said in its place.
            self.inbox.close();
            self.give_up();
            return Err(TransportError::Closed);
        }
        outgoing.bytes += frame.len();
        outgoing.control.push_back(frame);
        drop(outgoing);
        self.wake();
        Ok(())
    }

    /// Queues a packet in the place of the oldest, if too many wait.
    pub(in crate::transport) fn send_media(&self, packet: &[u8]) -> Result<(), TransportError> {
        if self.inbox.is_closed() {
            return Err(TransportError::Closed);
        }
        let mut outgoing = self.lock();
        if outgoing.media.len() >= MEDIA_WAITING {
            outgoing.media.pop_front();
        }
        outgoing.media.push_back(Bytes::copy_from_slice(packet));
        drop(outgoing);
        self.wake();
        Ok(())
    }

    pub(in crate::transport) fn receive(&self, until: Instant) -> Result<Inbound, TransportError> {
        let inbound = self.inbox.take(until);
        if matches!(inbound, Ok(Inbound::Control(_))) && self.stalled.swap(false, Ordering::AcqRel) {
            self.wake();
        }
        inbound
    }

    pub(in crate::transport) fn finish(&self) {
        self.end(End::Finish);
    }

    pub(in crate::transport) fn give_up(&self) {
        self.end(End::GiveUp);
    }

    fn end(&self, how: End) {
        let mut outgoing = self.lock();
        outgoing.end = outgoing.end.max(how);
        drop(outgoing);
        self.inbox.close();
        self.wake();
    }

    fn wake(&self) {
        // A thread that cannot be woken looks by itself before long.
        let _ = self.waker.wake();
    }

    // ---- the thread's side
    // -----------------------------------------------------------------------------

    /// The next frame to write.
    pub(in crate::transport) fn next_control(&self) -> Option<Bytes> {
        let mut outgoing = self.lock();
        let frame = outgoing.control.pop_front()?;
        outgoing.bytes = outgoing.bytes.saturating_sub(frame.len());
        self.changed.notify_all();
        Some(frame)
    }

    /// The packets to send.
    pub(in crate::transport) fn take_media(&self, packets: &mut VecDeque<Bytes>) {
        std::mem::swap(&mut self.lock().media, packets);
    }

    pub(in crate::transport) fn how_to_end(&self) -> End {
        self.lock().end
    }

    /// Hands a message to the application; gives it back if there is no room, and then there will
    /// be a wake.
    pub(in crate::transport) fn deliver(&self, message: Bytes) -> Result<(), Bytes> {
        let message = match self.inbox.try_push_control(message) {
            Ok(()) => return Ok(()),
            Err(message) => message,
        };
        self.stalled.store(true, Ordering::Release);
        // Whatever was taken before that flag was seen has made room.
        self.inbox.try_push_control(message)
    }

    /// Nothing more comes or goes.
    pub(in crate::transport) fn hang_up(&self) {
        // Under the lock, so that whoever waits for room either sees it or is told.
        let outgoing = self.lock();
        self.inbox.close();
        drop(outgoing);
        self.changed.notify_all();
    }

    // Nothing panics while it holds the lock, and what it guards is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("closed", &self.inbox.is_closed()).finish_non_exhaustive()
    }
}

/// Bytes of messages that wait for the stream before their sender does.
const CONTROL_WAITING: usize = 128 * 1024;
/// How long the stream may take nothing before the connection counts as lost.
const CONTROL_PATIENCE: Duration = Duration::from_secs(10);
/// Packets that wait for the thread.
const MEDIA_WAITING: usize = 64;
