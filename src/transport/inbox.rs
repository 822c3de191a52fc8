//! What has arrived and was not yet received: one queue in order of arrival, with a bound for each
//! lane.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Instant,
};

use bytes::Bytes;

use super::{Inbound, TransportError, alarm, stats::ConnectionStats};

/// Filled by the thread of a connection, emptied by `receive`, which it wakes.
///
/// A full control lane gives messages back, so that they are left with the relay; a full media lane
/// drops. One queue for both, so that neither lane can starve the other.
#[derive(Default)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Inbound>,
    control: usize,
    media: usize,
    closed: bool,
    /// Of what came.
    stats: ConnectionStats,
    /// Who waits for something to come.
    receiver: Option<Waker>,
}

impl Inbox {
    /// Adds a control message if there is room, and gives it back if not. A closed inbox takes it
    /// for nothing.
    pub(super) fn push_control(&self, message: Bytes) -> Result<(), Bytes> {
        let mut queue = self.lock();
        if queue.closed {
            return Ok(());
        }
        if queue.control >= CONTROL_WAITING {
            return Err(message);
        }
        queue.control += 1;
        queue.stats.control.received.note(message.len());
        queue.waiting.push_back(Inbound::Control(message));
        wake(queue);
        Ok(())
    }

    /// Adds a packet, or drops it if too many wait.
    pub(super) fn push_media(&self, packet: Bytes) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        queue.stats.media.received.note(packet.len());
        if queue.media >= MEDIA_WAITING {
            queue.stats.media.overrun += 1;
            return;
        }
        queue.media += 1;
        queue.waiting.push_back(Inbound::Media(packet));
        wake(queue);
    }

    /// Takes the oldest, waiting at most until `until`.
    pub(super) async fn take(&self, until: Instant) -> Result<Inbound, TransportError> {
        let taken = alarm::within(until, |context| {
            let mut queue = self.lock();
            if let Some(next) = queue.waiting.pop_front() {
                match &next {
                    Inbound::Control(_) => queue.control = queue.control.saturating_sub(1),
                    Inbound::Media(_) => queue.media = queue.media.saturating_sub(1),
                    Inbound::Idle => {}
                }
                return Poll::Ready(Ok(next));
            }
            if queue.closed {
                return Poll::Ready(Err(TransportError::Closed));
            }
            match &mut queue.receiver {
                Some(known) => known.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        });
        taken.await.unwrap_or(Ok(Inbound::Idle))
    }

    /// Nothing more comes in; what waits can still be taken.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        wake(queue);
    }

    /// What came, by lane.
    pub(super) fn stats(&self) -> ConnectionStats {
        self.lock().stats
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    // Nothing panics while it holds the lock, and a queue is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the receiver, after the lock is gone.
fn wake(mut queue: MutexGuard<'_, Queue>) {
    let receiver = queue.receiver.take();
    drop(queue);
    receiver.into_iter().for_each(Waker::wake);
}

/// Control messages that wait before the relay has to keep them: at most 4 MiB.
const CONTROL_WAITING: usize = 256;
/// Packets that wait before new ones are dropped: a second of 20 speakers at 50 packets a second.
const MEDIA_WAITING: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::*;
    use crate::transport::block_on;

    fn poll(inbox: &Inbox) -> Result<Inbound, TransportError> {
        block_on(inbox.take(Instant::now()))
    }

    #[test]
    fn lanes_come_out_in_order_of_arrival_and_closing_keeps_what_waits() {
        let inbox = Inbox::default();
        assert!(inbox.push_control(Bytes::from_static(b"1")).is_ok());
        inbox.push_media(Bytes::from_static(b"2"));
        assert!(inbox.push_control(Bytes::from_static(b"3")).is_ok());
        inbox.close();
        assert!(inbox.push_control(Bytes::new()).is_ok());
        inbox.push_media(Bytes::new());
        assert_eq!(poll(&inbox), Ok(Inbound::Control(Bytes::from_static(b"1"))));
        assert_eq!(poll(&inbox), Ok(Inbound::Media(Bytes::from_static(b"2"))));
        assert_eq!(poll(&inbox), Ok(Inbound::Control(Bytes::from_static(b"3"))));
        assert_eq!(poll(&inbox), Err(TransportError::Closed));
    }

    #[test]
    fn a_full_media_lane_drops_and_a_full_control_lane_gives_back() {
        let inbox = Inbox::default();
        for _ in 0..MEDIA_WAITING + 10 {
            inbox.push_media(Bytes::new());
        }
        let taken = (0..CONTROL_WAITING + 1).filter(|_| inbox.push_control(Bytes::new()).is_ok());
        assert_eq!(taken.count(), CONTROL_WAITING);
        for _ in 0..MEDIA_WAITING {
            assert_eq!(poll(&inbox), Ok(Inbound::Media(Bytes::new())));
        }
        assert_eq!(inbox.push_control(Bytes::from_static(b"x")), Err(Bytes::from_static(b"x")));
        for _ in 0..CONTROL_WAITING {
            assert_eq!(poll(&inbox), Ok(Inbound::Control(Bytes::new())));
        }
        assert_eq!(poll(&inbox), Ok(Inbound::Idle));
    }

    #[test]
    fn a_receiver_sleeps_until_something_comes_or_the_inbox_is_closed() {
        let inbox = Arc::new(Inbox::default());
        let writer = Arc::clone(&inbox);
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            writer.push_media(Bytes::from_static(b"late"));
            thread::sleep(Duration::from_millis(20));
            writer.close();
        });
        let until = Instant::now() + Duration::from_secs(10);
        let receive = || block_on(inbox.take(until));
        assert_eq!(receive(), Ok(Inbound::Media(Bytes::from_static(b"late"))));
        assert_eq!(receive(), Err(TransportError::Closed));
        thread.join().unwrap();
    }
}
