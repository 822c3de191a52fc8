//! What lies between the application and the thread of its connection: three bounded queues.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Inbound, TransportError, alarm,
    inbox::Inbox,
    stats::{ConnectionStats, Count, Gauge},
};

/// Shared by the two of them.
pub(super) struct Line {
    thread: Arc<mio::Waker>,
    /// What has come and is to be received.
    pub(super) inbox: Inbox,
    /// The thread holds a message for which the inbox has no room.
    stalled: AtomicBool,
    outgoing: Mutex<Outgoing>,
    /// Packets that left, and their bytes.
    media_sent: [AtomicU64; 2],
    /// The last sign of life of the relay, in milliseconds since the connection began.
    began: Instant,
    heard_ms: AtomicU64,
}

/// What is to leave.
#[derive(Default)]
struct Outgoing {
    control: VecDeque<Bytes>,
    bytes: usize,
    #[cfg(any(feature = "quic", feature = "janus"))]
    media: VecDeque<Bytes>,
    end: End,
    /// Who waits for room for a message, and since when there is none.
    sender: Option<Waker>,
    full: Option<Instant>,
    control_sent: Count,
    /// The way to the relay, of each lane that it measures.
    control_path: Gauge,
    media_path: Gauge,
}

/// How the application wants the connection to end, if it does.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    #[default]
    NotYet,
    /// When everything has left.
    Finish,
    /// Now.
    GiveUp,
}

impl Line {
    pub(super) fn new(thread: Arc<mio::Waker>) -> Self {
        let (inbox, stalled) = (Inbox::default(), AtomicBool::new(false));
        Self {
            thread,
            inbox,
            stalled,
            outgoing: Mutex::default(),
            media_sent: Default::default(),
            began: Instant::now(),
            heard_ms: AtomicU64::default(),
        }
    }

    // ---- the application's side

    /// Queues a frame, waiting for room.
    pub(super) async fn send_control(&self, frame: Bytes) -> Result<(), TransportError> {
        let full = self.lock().full.unwrap_or_else(Instant::now);
        let queued = alarm::within(full + CONTROL_PATIENCE, |context| {
            let mut outgoing = self.lock();
            if self.inbox.is_closed() || outgoing.end != End::NotYet {
                return Poll::Ready(Err(TransportError::Closed));
            }
            if outgoing.bytes >= CONTROL_WAITING {
                outgoing.full.get_or_insert(full);
                outgoing.sender = Some(context.waker().clone());
                return Poll::Pending;
            }
            outgoing.bytes += frame.len();
            outgoing.control.push_back(frame.clone());
            Poll::Ready(Ok(()))
        });
        match queued.await {
            Some(queued) => {
                self.wake();
                queued
            }
            None => {
                // The relay takes nothing more, so nothing more can be said in its place.
                self.give_up();
                Err(TransportError::Closed)
            }
        }
    }

    #[cfg(any(feature = "quic", feature = "janus"))]
    /// Queues a packet in the place of the oldest, if too many wait.
    pub(super) fn send_media(&self, packet: &[u8]) -> Result<(), TransportError> {
        if self.inbox.is_closed() {
            return Err(TransportError::Closed);
        }
        self.note_media_sent(packet.len());
        let packet = Bytes::copy_from_slice(packet);
        let mut outgoing = self.lock();
        if outgoing.media.len() >= MEDIA_WAITING {
            outgoing.media.pop_front();
        }
        // The thread takes all of them at once.
        let first = outgoing.media.is_empty();
        outgoing.media.push_back(packet);
        drop(outgoing);
        if first {
            self.wake();
        }
        Ok(())
    }

    pub(super) async fn receive(&self, until: Instant) -> Result<Inbound, TransportError> {
        let inbound = self.inbox.take(until).await;
        if matches!(inbound, Ok(Inbound::Control(_))) && self.stalled.swap(false, Ordering::AcqRel) {
            self.wake();
        }
        inbound
    }

    /// Counts a packet that leaves.
    pub(super) fn note_media_sent(&self, bytes: usize) {
        for (count, more) in self.media_sent.iter().zip([1, bytes as u64]) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(super) fn stats(&self) -> ConnectionStats {
        let mut stats = self.inbox.stats();
        let outgoing = self.lock();
        stats.control.sent = outgoing.control_sent;
        (stats.control.path, stats.media.path) = (outgoing.control_path.stats(), outgoing.media_path.stats());
        let [units, bytes] = self.media_sent.each_ref().map(|count| count.load(Ordering::Relaxed));
        stats.media.sent = Count { units, bytes };
        stats
    }

    /// When the relay gave its last sign of life.
    pub(super) fn heard(&self) -> Instant {
        self.began + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }

    pub(super) fn finish(&self) {
        self.end(End::Finish);
    }

    pub(super) fn give_up(&self) {
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
        let _ = self.thread.wake();
    }

    // ---- the thread's side

    /// The next frame to write.
    pub(super) fn next_control(&self) -> Option<Bytes> {
        let mut outgoing = self.lock();
        let frame = outgoing.control.pop_front()?;
        outgoing.bytes = outgoing.bytes.saturating_sub(frame.len());
        outgoing.full = None;
        outgoing.control_sent.note(frame.len());
        let sender = outgoing.sender.take();
        drop(outgoing);
        sender.into_iter().for_each(Waker::wake);
        Some(frame)
    }

    #[cfg(any(feature = "quic", feature = "janus"))]
    /// The packets to send.
    pub(super) fn take_media(&self, packets: &mut VecDeque<Bytes>) {
        std::mem::swap(&mut self.lock().media, packets);
    }

    pub(super) fn how_to_end(&self) -> End {
        self.lock().end
    }

    /// Hands a message to the application; gives it back if there is no room, and then there will
    /// be a wake.
    pub(super) fn deliver(&self, message: Bytes) -> Result<(), Bytes> {
        let message = match self.inbox.push_control(message) {
            Ok(()) => return Ok(()),
            Err(message) => message,
        };
        self.stalled.store(true, Ordering::Release);
        // Whatever was taken before that flag was seen has made room.
        self.inbox.push_control(message)
    }

    /// Notes what is known of the ways of the two lanes.
    pub(super) fn measured(&self, control: Gauge, media: Gauge) {
        let mut outgoing = self.lock();
        (outgoing.control_path, outgoing.media_path) = (control, media);
    }

    /// Something came from the relay.
    pub(super) fn note_heard(&self, now: Instant) {
        let since = now.saturating_duration_since(self.began).as_millis();
        self.heard_ms.fetch_max(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Nothing more comes or goes.
    pub(super) fn hang_up(&self) {
        if !self.inbox.is_closed() {
            trace_event!(INFO, "a connection to a relay has ended");
        }
        // Under the lock, so that whoever waits for room either sees it or is told.
        let mut outgoing = self.lock();
        let sender = outgoing.sender.take();
        self.inbox.close();
        drop(outgoing);
        sender.into_iter().for_each(Waker::wake);
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
#[cfg(any(feature = "quic", feature = "janus"))]
/// Packets that wait for the thread.
const MEDIA_WAITING: usize = 64;

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Context, thread};

    use super::*;
    use crate::transport::block_on;

    /// A line, and what its thread would wait with.
    fn line() -> (Arc<Line>, mio::Poll) {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        (Arc::new(Line::new(Arc::new(waker))), poll)
    }

    const FRAME: Bytes = Bytes::from_static(&[7; 16 * 1024]);

    /// Sends until there is no more room.
    fn fill(line: &Line) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let full = |_: &usize| pin!(line.send_control(FRAME)).as_mut().poll(&mut context).is_ready();
        (0..1_000).take_while(full).count()
    }

    #[test]
    fn a_sender_waits_for_room_and_one_that_gives_up_has_sent_nothing() {
        let (line, _poll) = line();
        assert_eq!(fill(&line), CONTROL_WAITING / FRAME.len());
        let theirs = Arc::clone(&line);
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            theirs.next_control()
        });
        let start = Instant::now();
        assert_eq!(block_on(line.send_control(Bytes::from_static(b"last"))), Ok(()));
        assert!((Duration::from_millis(30)..CONTROL_PATIENCE).contains(&start.elapsed()));
        assert_eq!(thread.join().unwrap(), Some(FRAME));
        let rest: Vec<_> = std::iter::from_fn(|| line.next_control()).collect();
        assert_eq!(rest.len(), CONTROL_WAITING / FRAME.len());
        assert_eq!(rest.last().map(|frame| &frame[..]), Some(&b"last"[..]));
    }

    #[test]
    fn a_relay_that_takes_nothing_for_ten_seconds_is_lost_however_often_a_sender_gives_up() {
        let (line, _poll) = line();
        fill(&line);
        let since = line.lock().full.unwrap();
        fill(&line);
        assert_eq!(line.lock().full, Some(since), "another attempt does not begin the wait anew");
        line.lock().full = since.checked_sub(CONTROL_PATIENCE);
        assert_eq!(block_on(line.send_control(FRAME)), Err(TransportError::Closed));
        assert!(line.inbox.is_closed() && line.how_to_end() == End::GiveUp);
    }

    #[test]
    fn a_sender_that_waits_is_told_when_the_connection_ends() {
        let (line, _poll) = line();
        fill(&line);
        let theirs = Arc::clone(&line);
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            theirs.hang_up();
        });
        assert_eq!(block_on(line.send_control(FRAME)), Err(TransportError::Closed));
        thread.join().unwrap();
    }
}
