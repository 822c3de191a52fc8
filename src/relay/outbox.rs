//! What waits to be written to one member: bounded in bytes, never waited for by anybody else.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

/// Filled by whoever sends to the room, emptied by the member's writer thread, or by the one thread of all
/// members who come by QUIC, which is rung for and never waits here.
pub(super) struct Outbox {
    limit: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
    bell: Option<Bell>,
}

/// Called whenever there is something new in an outbox.
pub(super) type Bell = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    finishing: bool,
    closed: bool,
}

impl Outbox {
    pub(super) fn new(limit: usize, bell: Option<Bell>) -> Self {
        Self { limit, queue: Mutex::default(), changed: Condvar::new(), bell }
    }

    /// Adds a frame. False if there is no room for it, or the outbox is closed.
    pub(super) fn push(&self, frame: Bytes) -> bool {
        let mut queue = self.lock();
        let bytes = queue.bytes + cost(&frame);
        if queue.closed || queue.finishing || bytes > self.limit {
            return false;
        }
        queue.bytes = bytes;
        queue.frames.push_back(frame);
        drop(queue);
        self.tell();
        true
    }

    /// Waits for the next frame. `None` once the outbox is closed, or finishing and empty.
    pub(super) fn take(&self) -> Option<Bytes> {
        let idle = |queue: &mut Queue| !queue.closed && !queue.finishing && queue.frames.is_empty();
        self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// The next frame, if there is one.
    #[cfg(any(feature = "quic", test))]
    pub(super) fn poll(&self) -> Option<Bytes> {
        self.lock().pop()
    }

    /// Drops what waits and takes nothing more.
    pub(super) fn close(&self) {
        *self.lock() = Queue { closed: true, ..Queue::default() };
        self.tell();
    }

    /// Takes nothing more, and gives what waits.
    pub(super) fn finish(&self) {
        self.lock().finishing = true;
        self.tell();
    }

    pub(super) fn is_finishing(&self) -> bool {
        self.lock().finishing
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Sleeps for `pause`, or until the outbox is closed or finishing.
    pub(super) fn pause(&self, pause: Duration) {
        let open = |queue: &mut Queue| !queue.closed && !queue.finishing;
        drop(self.changed.wait_timeout_while(self.lock(), pause, open));
    }

    fn tell(&self) {
        self.changed.notify_all();
        if let Some(ring) = &self.bell {
            ring();
        }
    }

    // Nothing panics while it holds the lock, and a queue is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Bytes> {
        let frame = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(cost(&frame));
        Some(frame)
    }
}

/// Short messages cost memory too.
pub(super) fn cost(frame: &Bytes) -> usize {
    frame.len() + 64
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[test]
    fn frames_leave_in_order_and_make_room_as_they_leave() {
        let outbox = Outbox::new(2 * 65, None);
        let frame = |byte: &'static [u8]| Bytes::from_static(byte);
        assert!(outbox.push(frame(b"1")) && outbox.push(frame(b"2")));
        assert!(!outbox.push(frame(b"3")));
        assert_eq!(outbox.take(), Some(frame(b"1")));
        assert!(outbox.push(frame(b"3")));
        assert_eq!(outbox.take(), Some(frame(b"2")));
        assert_eq!(outbox.take(), Some(frame(b"3")));
    }

    #[test]
    fn a_closed_outbox_gives_and_takes_nothing() {
        let outbox = Outbox::new(1_000, None);
        assert!(outbox.push(Bytes::from_static(b"1")));
        outbox.close();
        assert!(outbox.is_closed());
        assert_eq!(outbox.take(), None);
        assert!(!outbox.push(Bytes::new()));
        outbox.pause(Duration::from_secs(3_600));
    }

    #[test]
    fn whoever_does_not_wait_is_rung_for_at_every_change() {
        let rung = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&rung);
        let bell: Bell = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let outbox = Outbox::new(64 + 1, Some(bell));
        assert_eq!(outbox.poll(), None);
        assert!(outbox.push(Bytes::from_static(b"1")));
        assert!(!outbox.push(Bytes::from_static(b"2")), "no room is no news");
        assert_eq!((outbox.poll(), outbox.poll()), (Some(Bytes::from_static(b"1")), None));
        assert_eq!(rung.load(Ordering::Relaxed), 1);
        outbox.finish();
        outbox.close();
        assert_eq!(rung.load(Ordering::Relaxed), 3);
    }
}
