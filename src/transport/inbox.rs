//! What has arrived and was not yet received: one queue in order of arrival, with a bound for each
//! lane.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;

use super::{Inbound, TransportError};

/// Filled by reader threads, emptied by `receive`.
///
/// A full control lane makes its reader wait, so the relay feels it; a full media lane drops. One
/// queue for both, so that neither lane can starve the other.
#[derive(Default)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Inbound>,
    control: usize,
    media: usize,
    closed: bool,
}

impl Inbox {
    /// Adds a control message, waiting for room. False once the inbox is closed.
    pub(super) fn push_control(&self, message: Bytes) -> bool {
        let full = |queue: &mut Queue| !queue.closed && queue.control >= CONTROL_WAITING;
        let mut queue = self.changed.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if queue.closed {
            return false;
        }
        queue.control += 1;
        queue.waiting.push_back(Inbound::Control(message));
        self.changed.notify_all();
        true
    }

    /// Adds a control message if there is room, and gives it back if not. A closed inbox takes it
    /// for nothing.
    #[cfg(feature = "quic")]
    pub(super) fn try_push_control(&self, message: Bytes) -> Result<(), Bytes> {
        let mut queue = self.lock();
        if queue.closed {
            return Ok(());
        }
        if queue.control >= CONTROL_WAITING {
            return Err(message);
        }
        queue.control += 1;
        queue.waiting.push_back(Inbound::Control(message));
        self.changed.notify_all();
        Ok(())
    }

    /// Adds a packet, or drops it if too many wait. False once the inbox is closed.
    pub(super) fn push_media(&self, packet: Bytes) -> bool {
        let mut queue = self.lock();
        if !queue.closed && queue.media < MEDIA_WAITING {
            queue.media += 1;
            queue.waiting.push_back(Inbound::Media(packet));
            self.changed.notify_all();
        }
        !queue.closed
    }

    /// Takes the oldest, waiting at most until `until`.
    pub(super) fn take(&self, until: Instant) -> Result<Inbound, TransportError> {
        let mut queue = self.lock();
        loop {
            if let Some(next) = queue.waiting.pop_front() {
                match &next {
                    Inbound::Control(_) => queue.control = queue.control.saturating_sub(1),
                    Inbound::Media(_) => queue.media = queue.media.saturating_sub(1),
                    Inbound::Idle => {}
                }
                self.changed.notify_all();
                return Ok(next);
            }
            if queue.closed {
                return Err(TransportError::Closed);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Inbound::Idle);
            }
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nothing more comes in; what waits can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    // Nothing panics while it holds the lock, and a queue is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Control messages that wait before the lane's reader does: at most 4 MiB.
const CONTROL_WAITING: usize = 256;
/// Packets that wait before new ones are dropped: a second of 20 speakers at 50 packets a second.
const MEDIA_WAITING: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::*;

    fn poll(inbox: &Inbox) -> Result<Inbound, TransportError> {
        inbox.take(Instant::now())
    }

    #[test]
    fn lanes_come_out_in_order_of_arrival_and_closing_keeps_what_waits() {
        let inbox = Inbox::default();
        assert!(inbox.push_control(Bytes::from_static(b"1")));
        assert!(inbox.push_media(Bytes::from_static(b"2")));
        assert!(inbox.push_control(Bytes::from_static(b"3")));
        inbox.close();
        assert!(!inbox.push_control(Bytes::new()) && !inbox.push_media(Bytes::new()));
        assert_eq!(poll(&inbox), Ok(Inbound::Control(Bytes::from_static(b"1"))));
        assert_eq!(poll(&inbox), Ok(Inbound::Media(Bytes::from_static(b"2"))));
        assert_eq!(poll(&inbox), Ok(Inbound::Control(Bytes::from_static(b"3"))));
        assert_eq!(poll(&inbox), Err(TransportError::Closed));
    }

    #[test]
    fn a_full_media_lane_drops_and_a_full_control_lane_waits() {
        let inbox = Arc::new(Inbox::default());
        for _ in 0..MEDIA_WAITING + 10 {
            assert!(inbox.push_media(Bytes::new()));
        }
        let writer = Arc::clone(&inbox);
        let thread =
            thread::spawn(move || (0..CONTROL_WAITING + 1).all(|_| writer.push_control(Bytes::new())));
        thread::sleep(Duration::from_millis(50));
        assert!(!thread.is_finished());
        let mut taken = (0, 0);
        while let Ok(inbound) = inbox.take(Instant::now() + Duration::from_millis(200)) {
            match inbound {
                Inbound::Media(_) => taken.0 += 1,
                Inbound::Control(_) => taken.1 += 1,
                Inbound::Idle => break,
            }
        }
        assert!(thread.join().unwrap());
        assert_eq!(taken, (MEDIA_WAITING, CONTROL_WAITING + 1));
    }

    #[test]
    fn closing_frees_a_writer_that_waits() {
        let inbox = Arc::new(Inbox::default());
        let writer = Arc::clone(&inbox);
        let thread = thread::spawn(move || while writer.push_control(Bytes::new()) {});
        thread::sleep(Duration::from_millis(20));
        inbox.close();
        thread.join().unwrap();
    }
}
