//! The media plane on an audio thread, the rest of the session wherever it is polled.
//!
//! ```text
//!                    keys, recorder, sealed packets of others ->
//! Session::next <                                                 > MediaHandle on the audio thread
//!                    <- our sealed packets, keys that are done with, excerpts for reports
//! ```
//!
//! Both directions are queues of a fixed size that hold packets as values: the audio thread never
//! waits, allocates nothing and frees nothing. It wakes the session when it has sealed a packet.
//!
//! The session does not send a packet that was sealed before the last change of the sealer, so an
//! audio thread that stood still sends nothing under an outdated key. The session gives up an audio
//! thread that takes no orders for long.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError},
    },
    task::Poll,
    time::{Duration, Instant},
};

use atomic_waker::AtomicWaker;

use super::{
    Session,
    handle::{ARRIVED, Done, MediaHandle, ORDERS, Order, Packet, Wanted},
    media::{Media, Plane},
};
use crate::{
    id::MemberId,
    media::Rekey,
    report::{Buffer, Excerpt, ModerationKey},
    room::{Event, ReportError},
    transport::{Inbound, LocalTransport, TransportError},
};

/// The media plane of a [`Session`] is on an audio thread, with a [`MediaHandle`].
pub struct Apart {
    to_media: SyncSender<Order>,
    arrived: SyncSender<Packet>,
    /// Orders for which the queue had no room. At more than [`WAITING`] the audio thread is given
    /// up.
    waiting: VecDeque<Order>,
    /// How many orders were given so far, and the number of the last one that changed the sealer.
    ordered: u64,
    sealer_changed: u64,
    /// None once the audio thread is given up.
    sealed: Option<Receiver<Packet>>,
    done: Receiver<Done>,
    waker: Arc<AtomicWaker>,
    /// A place for the excerpt of a report, with room for all that the recorder keeps of a member.
    excerpt: Option<Excerpt>,
    /// How many excerpts were asked for.
    asked: u64,
    /// How many packets were dropped because the audio thread took none.
    overrun: u64,
    /// How many of our packets were not sent because the sealer had changed since.
    outdated: u64,
}

impl<T: LocalTransport> Session<T> {
    /// Takes the media plane out of the session, for an audio thread. From then on
    /// [`Session::next`] moves sealed packets between the audio thread and the relay, so it has to
    /// be awaited all the time.
    ///
    /// Packets that were opened and not handed out yet are lost.
    pub fn split(self) -> (Session<T, Apart>, MediaHandle) {
        let (to_media, orders) = mpsc::sync_channel(ORDERS);
        let (to_opener, arrived) = mpsc::sync_channel(ARRIVED);
        let (from_sealer, sealed) = mpsc::sync_channel(SEALED);
        let (give_back, done) = mpsc::sync_channel(DONE);
        let waker = Arc::new(AtomicWaker::new());
        let excerpt = self.media.parts.recorder.as_ref().map(Excerpt::new);
        let (waiting, ours) = (VecDeque::new(), Arc::clone(&waker));
        let apart = Apart {
            to_media,
            arrived: to_opener,
            waiting,
            ordered: 0,
            sealer_changed: 0,
            sealed: Some(sealed),
            done,
            waker: ours,
            excerpt,
            asked: 0,
            overrun: 0,
            outdated: 0,
        };
        let Self { transport, room, media, keep, recording, unsent, .. } = self;
        let Self { control_dropped, last_dropped, stirred, clocks, hall, .. } = self;
        let Media { parts, .. } = media;
        let handle = MediaHandle {
            parts,
            orders,
            arrived,
            sealed: from_sealer,
            done: give_back,
            waker,
            rekeyed: true,
            now: None,
            obeyed: 0,
        };
        let session = Session {
            transport,
            room,
            media: apart,
            keep,
            recording,
            unsent,
            control_dropped,
            last_dropped,
            stirred,
            clocks,
            hall,
        };
        (session, handle)
    }
}

impl<T: LocalTransport> Session<T, Apart> {
    /// Does what is due, and waits for the next event, at most until `until`; `None` if there was
    /// none. Meanwhile it passes packets between the relay and the audio thread.
    ///
    /// Cancelling the future loses nothing.
    ///
    /// # Errors
    /// [`TransportError`] when the connection is lost: call [`reconnect`](Session::reconnect) and
    /// go on.
    pub async fn next(&mut self, until: Instant) -> Result<Option<Event>, TransportError> {
        loop {
            self.flush().await?;
            self.media.settle();
            if let Some(event) = self.poll_event() {
                return Ok(Some(event));
            }
            let wake = self.due(until);
            let Self { transport, media, hall, .. } = self;
            let now = transport.now();
            let came = {
                let mut receive = pin!(transport.receive(wake));
                poll_fn(|context| {
                    media.waker.register(context.waker());
                    // A unique reference, so that the future can move to another thread.
                    if let Some(Ok(packet)) = media.sealed.as_mut().map(|sealed| sealed.try_recv()) {
                        return Poll::Ready(Err(packet));
                    }
                    match hall.as_mut().map(|hall| hall.poll(now, context)) {
                        Some(Poll::Ready(packet)) => {
                            Poll::Ready(Ok(Ok(packet.map_or(Inbound::Idle, Inbound::Media))))
                        }
                        _ => receive.as_mut().poll(context).map(Ok),
                    }
                })
                .await
            };
            match came {
                Err(packet) if packet.obeyed < self.media.sealer_changed => self.media.outdated += 1,
                Err(packet) => {
                    let packet = packet.bytes.get(..packet.len).unwrap_or_default();
                    match self.hall.as_ref().filter(|hall| hall.carries()) {
                        Some(hall) => hall.send_media(packet),
                        // A connection that is lost is told by the next receive, after what had
                        // come.
                        None => drop(self.transport.send_media(packet)),
                    }
                }
                Ok(inbound) => match inbound? {
                    Inbound::Control(message) => self.handle_control(&message),
                    Inbound::Media(packet) => self.media.arrived(&packet, self.transport.now()),
                    Inbound::Idle if self.transport.now() >= until => return Ok(None),
                    Inbound::Idle => {}
                },
            }
        }
    }

    /// Makes a report of what a member said in the `last` time, which is at least five seconds,
    /// sealed to a moderation key. Waits until the audio thread calls [`MediaHandle::hear`].
    ///
    /// # Errors
    /// See [`ReportError`].
    pub async fn report(
        &mut self,
        member: MemberId,
        last: Duration,
        to: &ModerationKey,
    ) -> Result<Vec<u8>, ReportError> {
        if !self.recording {
            return Err(ReportError::Empty);
        }
        let now = self.transport.now();
        let media = &mut self.media;
        media.asked += 1;
        let window = now.checked_sub(last).unwrap_or(now)..now;
        let wanted = Wanted { number: media.asked, of: member, window };
        let (excerpt, result) = poll_fn(|context| {
            media.waker.register(context.waker());
            loop {
                if let Some(into) = media.excerpt.take() {
                    media.order(Order::Excerpt(wanted.clone(), into));
                }
                media.push();
                match media.done.try_recv() {
                    Ok(Done::Excerpt(number, excerpt, result)) if number == wanted.number => {
                        return Poll::Ready(Some((excerpt, result)));
                    }
                    // The excerpt of a report that nobody waits for any more.
                    Ok(Done::Excerpt(_, excerpt, _)) => media.give_back(excerpt),
                    Ok(_) => {}
                    Err(TryRecvError::Empty) if media.sealed.is_some() => return Poll::Pending,
                    // The audio thread is gone or given up, and the recorder with it.
                    Err(_) => return Poll::Ready(None),
                }
            }
        })
        .await
        .ok_or(ReportError::Empty)?;
        let report = match result {
            Ok(()) => self.room.report(&excerpt, to),
            Err(error) => Err(error.into()),
        };
        self.media.give_back(excerpt);
        report
    }

    /// How many packets arrived and were dropped, because the audio thread had not taken earlier
    /// ones.
    pub fn overrun(&self) -> u64 {
        self.media.overrun
    }

    /// How many of our packets were not sent, because their key or our right to speak had ended
    /// before this session took them.
    pub fn outdated(&self) -> u64 {
        self.media.outdated
    }
}

impl Apart {
    fn order(&mut self, order: Order) {
        self.ordered += 1;
        if matches!(order, Order::Install(Rekey::Seal(_))) {
            self.sealer_changed = self.ordered;
        }
        if self.waiting.len() >= WAITING {
            // Without these keys the audio thread could neither hear nor speak, and would not know.
            self.sealed = None;
        }
        if self.sealed.is_none() {
            self.waiting.clear();
            return;
        }
        self.waiting.push_back(order);
        self.push();
    }

    /// Moves orders to the audio thread as far as there is room.
    fn push(&mut self) {
        while let Some(order) = self.waiting.pop_front() {
            match self.to_media.try_send(order) {
                Ok(()) => {}
                Err(TrySendError::Full(order)) => {
                    self.waiting.push_front(order);
                    return;
                }
                // There is no audio thread any more for which to keep them.
                Err(TrySendError::Disconnected(_)) => self.waiting.clear(),
            }
        }
    }

    /// Drops the values that the audio thread no longer needs.
    fn settle(&mut self) {
        self.push();
        while let Ok(done) = self.done.try_recv() {
            if let Done::Excerpt(_, excerpt, _) = done {
                self.give_back(excerpt);
            }
        }
    }

    /// Keeps an excerpt for the next report.
    fn give_back(&mut self, mut excerpt: Excerpt) {
        excerpt.clear();
        self.excerpt.get_or_insert(excerpt);
    }
}

impl Plane for Apart {
    fn install(&mut self, rekey: Rekey) {
        self.order(Order::Install(rekey));
    }

    fn retry_early(&mut self, _: Instant) {
        // The audio thread does so by itself.
    }

    fn arrived(&mut self, packet: &[u8], _: Instant) {
        let taken = Packet::of(packet, 0).is_some_and(|packet| self.arrived.try_send(packet).is_ok());
        self.overrun += u64::from(!taken);
    }

    fn record(&mut self, recorder: Option<Buffer>) {
        self.excerpt = recorder.as_ref().map(Excerpt::new);
        self.order(Order::Record(recorder));
    }

    fn wipe(&mut self) {
        self.order(Order::Wipe);
    }
}

impl fmt::Debug for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apart").field("overrun", &self.overrun).finish_non_exhaustive()
    }
}

/// How many orders wait in the session before the audio thread is given up: hours of a quiet room.
const WAITING: usize = 4_096;
/// How many of our packets wait for the session before new ones are dropped.
const SEALED: usize = 64;
/// How many values wait to be freed by the session.
const DONE: usize = 256;
