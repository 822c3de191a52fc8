//! What waits to be written to one member: bounded in bytes, shared fairly by those who sent it.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{fair, log::Connection};

/// Filled by the senders of the room, emptied by the member's writer thread, or by the one thread
/// of all members who come by QUIC, which is rung for and never waits here.
///
/// Nothing of it is ever passed over. A sender is [held up](Outbox::holds_up) as long as more of
/// what it sent waits here than is free, so a member that takes little holds up those who send
/// much, and a sender that fills its share holds up nobody else.
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
    /// The relay's own answer, before all else.
    answer: Option<Bytes>,
    frames: fair::Queue<Connection, Bytes>,
    finishing: bool,
    closed: bool,
    /// The cost of all that was taken so far.
    taken: u64,
    /// Since when it has held up senders, if it does.
    behind: Option<Behind>,
}

struct Behind {
    since: Instant,
    /// What was taken by then.
    taken: u64,
    /// When it last held up any.
    last: Instant,
}

impl Outbox {
    /// An outbox with the relay's answer in it.
    pub(super) fn new(limit: usize, answer: Bytes, bell: Option<Bell>) -> Self {
        let queue = Queue { answer: Some(answer), ..Queue::default() };
        let outbox = Self { limit, queue: Mutex::new(queue), changed: Condvar::new(), bell };
        outbox.tell();
        outbox
    }

    /// Adds a frame. False if the outbox is closed.
    pub(super) fn push(&self, sender: Connection, frame: Bytes) -> bool {
        let mut queue = self.lock();
        if queue.closed || queue.finishing {
            return false;
        }
        let idle = queue.frames.is_empty();
        let cost = cost(&frame);
        queue.frames.push(sender, frame, cost);
        drop(queue);
        // Else there has been a call that was not answered yet.
        if idle {
            self.tell();
        }
        true
    }

    /// Whether what waits of this sender is more than its share: more than is free.
    pub(super) fn holds_up(&self, sender: Connection) -> bool {
        let queue = self.lock();
        !queue.closed && !queue.finishing && queue.frames.cost_of(sender) > queue.free(self.limit)
    }

    /// Whether it has held up senders for [`BEHIND`], and in that time so little was taken that its
    /// reader is to blame.
    ///
    /// To be called now and then.
    pub(super) fn is_too_slow(&self, rate: u32, now: Instant) -> bool {
        let mut queue = self.lock();
        let held = queue.frames.cost_of_fattest() > queue.free(self.limit);
        let taken = queue.taken;
        let fresh = |behind: &Behind| now.saturating_duration_since(behind.last) < BREAK;
        // Senders come and go as fast as they are served, so a short break is none.
        let behind = queue.behind.take().filter(|behind| held || fresh(behind));
        let Some(mut behind) = behind.or_else(|| held.then_some(Behind { since: now, taken, last: now }))
        else {
            return false;
        };
        if held {
            behind.last = now;
        }
        let elapsed = now.saturating_duration_since(behind.since);
        let due = elapsed >= BEHIND;
        let slow = u128::from(taken - behind.taken) * 1_000 < u128::from(rate) * elapsed.as_millis();
        queue.behind = Some(if due { Behind { since: now, taken, last: now } } else { behind });
        due && slow
    }

    /// Waits for the next frames, and adds them to `bytes` until there are [`RUN`] or more. False
    /// once the outbox is closed, or finishing and empty.
    pub(super) fn take(&self, bytes: &mut Vec<u8>) -> bool {
        let idle = |queue: &mut Queue| !queue.closed && !queue.finishing && queue.is_empty();
        let mut queue = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let before = bytes.len();
        while bytes.len() < RUN
            && let Some(frame) = queue.pop()
        {
            bytes.extend_from_slice(&frame);
        }
        bytes.len() > before
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

    /// Sleeps for `pause`, or until the outbox is closed or finishing. Whether it is still open.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let open = |queue: &mut Queue| !queue.closed && !queue.finishing;
        let (mut queue, _) =
            self.changed.wait_timeout_while(self.lock(), pause, open).unwrap_or_else(PoisonError::into_inner);
        open(&mut queue)
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
        if let Some(answer) = self.answer.take() {
            return Some(answer);
        }
        let (_, frame) = self.frames.pop()?;
        self.taken += cost(&frame) as u64;
        Some(frame)
    }

    fn free(&self, limit: usize) -> usize {
        limit.saturating_sub(self.frames.cost())
    }

    fn is_empty(&self) -> bool {
        self.answer.is_none() && self.frames.is_empty()
    }
}

/// What a frame counts for: short messages cost memory and work too.
pub(super) fn cost(frame: &Bytes) -> usize {
    frame.len() + OVERHEAD
}

/// What a message counts for above its own bytes and the two of its length.
pub(super) const OVERHEAD: usize = 256;
/// Bytes that are written in one call: many short messages cost little more than one long one.
const RUN: usize = 16 * 1024;
/// How long senders are held up before it is judged who is to blame.
const BEHIND: Duration = Duration::from_secs(5);
/// How long nobody is held up until that has an end.
const BREAK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    const ADA: Connection = Connection(1);
    const BEN: Connection = Connection(2);

    fn outbox(limit: usize) -> Outbox {
        let outbox = Outbox::new(limit, Bytes::from_static(b"answer"), None);
        assert_eq!(outbox.poll().as_deref(), Some(&b"answer"[..]));
        outbox
    }

    fn frame(length: usize) -> Bytes {
        vec![7; length - OVERHEAD].into()
    }

    #[test]
    fn a_sender_is_held_up_by_its_own_messages_and_by_nobody_elses() {
        let outbox = outbox(10_000);
        for _ in 0..5 {
            assert!(!outbox.holds_up(ADA));
            assert!(outbox.push(ADA, frame(1_000)));
        }
        assert!(!outbox.holds_up(ADA), "half for one alone");
        outbox.push(ADA, frame(1_000));
        assert!(outbox.holds_up(ADA));
        assert!(!outbox.holds_up(BEN), "what is free is for the others");
        outbox.push(BEN, frame(1_000));
        assert!(!outbox.holds_up(BEN) && outbox.holds_up(ADA));
        for _ in 0..3 {
            outbox.poll();
        }
        assert!(!outbox.holds_up(ADA));
    }

    #[test]
    fn who_takes_less_than_the_least_while_it_holds_up_others_is_too_slow() {
        for (each_second, too_slow) in [(0, true), (1, true), (3, false)] {
            let (outbox, start) = (outbox(10_000), Instant::now());
            let mut judged = false;
            for tenths in 0..80 {
                while !outbox.holds_up(ADA) {
                    outbox.push(ADA, frame(1_000));
                }
                if tenths % 10 < each_second {
                    // Nobody is held up for a moment, at just the time at which it is judged.
                    outbox.poll();
                }
                judged |= outbox.is_too_slow(2_000, start + Duration::from_millis(100) * tenths);
            }
            assert_eq!(judged, too_slow, "{each_second} a second");
        }
        // Nobody is held up, so it may be as slow as it likes.
        let (outbox, now) = (outbox(10_000), Instant::now());
        outbox.push(ADA, frame(1_000));
        assert!(!outbox.is_too_slow(2_000, now) && !outbox.is_too_slow(2_000, now + BEHIND));
    }

    #[test]
    fn short_messages_are_written_together() {
        let outbox = outbox(1 << 20);
        for number in 0..200u8 {
            outbox.push(ADA, Bytes::copy_from_slice(&[number]));
        }
        let mut bytes = Vec::new();
        assert!(outbox.take(&mut bytes));
        assert_eq!(bytes, (0..200).collect::<Vec<u8>>());
    }

    #[test]
    fn a_closed_outbox_gives_and_takes_nothing() {
        let outbox = outbox(1_000);
        assert!(outbox.push(ADA, Bytes::from_static(b"1")));
        outbox.close();
        assert!(outbox.is_closed());
        assert!(!outbox.take(&mut Vec::new()) && outbox.poll().is_none());
        assert!(!outbox.push(ADA, Bytes::new()) && !outbox.holds_up(ADA));
        assert!(!outbox.pause(Duration::from_secs(3_600)));
    }

    #[test]
    fn who_does_not_wait_is_rung_for_when_an_empty_outbox_fills_and_when_it_ends() {
        let rung = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&rung);
        let bell: Bell = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let outbox = Outbox::new(1_000, Bytes::from_static(b"0"), Some(bell));
        assert_eq!(rung.load(Ordering::Relaxed), 1);
        assert!(outbox.push(ADA, Bytes::from_static(b"1")) && outbox.push(ADA, Bytes::from_static(b"2")));
        assert_eq!(rung.load(Ordering::Relaxed), 2);
        assert_eq!(
            [(); 4].map(|()| outbox.poll().map(|frame| frame[0])),
            [Some(b'0'), Some(b'1'), Some(b'2'), None]
        );
        assert!(outbox.push(BEN, Bytes::from_static(b"3")));
        assert_eq!(rung.load(Ordering::Relaxed), 3);
        outbox.finish();
        outbox.close();
        assert_eq!(rung.load(Ordering::Relaxed), 5);
    }
}
