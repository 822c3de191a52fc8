//! The media plane on an audio thread, the rest of the session wherever it is polled.
//!
//! ```text
//!                    keys, recorder, sealed packets of others ->
//! Session::next <                                                 > MediaHandle on the audio thread
//!                    <- our sealed packets, keys that are done with, excerpts for reports
//! ```
//!
//! Both ways are queues of a fixed size that hold packets as values: the audio thread takes no
//! lock, allocates nothing and frees nothing. It wakes the session when it has sealed a packet.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    ops::Range,
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
    Session, SpeakError,
    media::{self, Media, Parts, Plane},
};
use crate::{
    id::MemberId,
    media::{Opened, Opener, Rekey, Retired, Reused, Sealer, Stamp},
    report::{Buffer, Excerpt, ExcerptError, ModerationKey},
    room::{Event, ReportError},
    transport::{Inbound, LocalTransport, MAX_MEDIA, TransportError},
};

/// The media plane of a [`Session`] is on an audio thread, with a [`MediaHandle`].
pub struct Apart {
    to_media: SyncSender<Order>,
    arrived: SyncSender<Packet>,
    /// Orders for which there was no room. Keys are never lost, and no more come in than the room
    /// makes.
    waiting: VecDeque<Order>,
    sealed: Receiver<Packet>,
    done: Receiver<Done>,
    waker: Arc<AtomicWaker>,
    /// For a report, with room for all that the recorder keeps of a member.
    excerpt: Option<Excerpt>,
    /// How many excerpts were asked for.
    asked: u64,
    /// Packets that arrived while the audio thread did not take any.
    overrun: u64,
}

/// Sealer, opener, early packets and the recorder of a [`Session`], for its audio thread.
///
/// Dropping it ends neither the session nor the room: the member is deaf and dumb then.
pub struct MediaHandle {
    pub(super) parts: Parts,
    orders: Receiver<Order>,
    arrived: Receiver<Packet>,
    sealed: SyncSender<Packet>,
    done: SyncSender<Done>,
    waker: Arc<AtomicWaker>,
    /// Keys have changed since early packets were tried.
    rekeyed: bool,
    /// The time of the last [`hear`](Self::hear), which packets of ours are counted at.
    now: Option<Instant>,
}

/// What the session has the audio thread do.
enum Order {
    Install(Rekey),
    Record(Option<Buffer>),
    Wipe,
    Excerpt(Wanted, Excerpt),
}

/// Which excerpt is asked for, and its number.
#[derive(Clone)]
struct Wanted {
    number: u64,
    of: MemberId,
    window: Range<Instant>,
}

/// What the audio thread gives back, so that it is freed and wiped elsewhere.
enum Done {
    Sealer(#[expect(dead_code, reason = "kept only to be dropped elsewhere")] Result<Retired, Reused>),
    Opener(#[expect(dead_code, reason = "kept only to be dropped elsewhere")] Retired),
    Recorder(#[expect(dead_code, reason = "kept only to be dropped elsewhere")] Buffer),
    Excerpt(u64, Excerpt, Result<(), ExcerptError>),
}

/// A sealed packet as a value.
struct Packet {
    len: usize,
    bytes: [u8; MAX_MEDIA],
}

impl Packet {
    fn of(sealed: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_MEDIA];
        bytes.get_mut(..sealed.len())?.copy_from_slice(sealed);
        Some(Self { len: sealed.len(), bytes })
    }
}

impl<T: LocalTransport> Session<T> {
    /// Takes the media plane out, for an audio thread. From then on [`Session::next`] moves sealed
    /// packets between it and the relay, so it has to be called all the time: packets of ours leave
    /// while it is awaited.
    ///
    /// What was opened and not handed out is lost.
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
            sealed,
            done,
            waker: ours,
            excerpt,
            asked: 0,
            overrun: 0,
        };
        let Self { transport, room, media, keep, recording, unsent, .. } = self;
        let Self { control_dropped, last_dropped, stirred, clocks, .. } = self;
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
        };
        (session, handle)
    }
}

impl<T: LocalTransport> Session<T, Apart> {
    /// Does what is due, and waits for the next event, at most until `until`; `None` if there was
    /// none. Meanwhile packets go between relay and audio thread.
    ///
    /// Cancelling the future loses nothing.
    ///
    /// # Errors
    /// [`TransportError`] when the connection is lost; [`reconnect`](Session::reconnect) and go on.
    pub async fn next(&mut self, until: Instant) -> Result<Option<Event>, TransportError> {
        loop {
            self.flush().await?;
            self.media.settle();
            if let Some(event) = self.room.poll_event() {
                self.forget_after(&event);
                return Ok(Some(event));
            }
            let wake = self.room.poll_timeout().map_or(until, |at| at.min(until));
            let Self { transport, media, .. } = self;
            let came = {
                let mut receive = pin!(transport.receive(wake));
                poll_fn(|context| {
                    media.waker.register(context.waker());
                    match media.sealed.try_recv() {
                        Ok(packet) => Poll::Ready(Err(packet)),
                        Err(_) => receive.as_mut().poll(context).map(Ok),
                    }
                })
                .await
            };
            match came {
                Err(packet) => {
                    let packet = packet.bytes.get(..packet.len).unwrap_or_default();
                    // A connection that is lost is told by the next receive, after what had come.
                    let _ = self.transport.send_media(packet);
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

    /// Makes a report of what a member said in the `last` time, five seconds at least, for a
    /// moderator. Waits until the audio thread calls [`MediaHandle::hear`].
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
                    media.waiting.push_back(Order::Excerpt(wanted.clone(), into));
                }
                media.push();
                match media.done.try_recv() {
                    Ok(Done::Excerpt(number, excerpt, result)) if number == wanted.number => {
                        return Poll::Ready(Some((excerpt, result)));
                    }
                    // Of a report that nobody waits for any more.
                    Ok(Done::Excerpt(_, excerpt, _)) => media.give_back(excerpt),
                    Ok(_) => {}
                    Err(TryRecvError::Empty) => return Poll::Pending,
                    // The audio thread is gone, and the recorder with it.
                    Err(TryRecvError::Disconnected) => return Poll::Ready(None),
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

    /// Packets that arrived and were dropped, because the audio thread had not taken those before.
    pub fn overrun(&self) -> u64 {
        self.media.overrun
    }
}

impl Apart {
    fn order(&mut self, order: Order) {
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
                // Nobody is there for whom to keep them.
                Err(TrySendError::Disconnected(_)) => self.waiting.clear(),
            }
        }
    }

    /// Drops what the audio thread is done with.
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
        let taken = Packet::of(packet).is_some_and(|packet| self.arrived.try_send(packet).is_ok());
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

impl MediaHandle {
    /// Seals one Opus packet and has the session send it. Never waits; a packet that finds too many
    /// before it is dropped.
    ///
    /// # Errors
    /// [`SpeakError::Seal`] says why we are silent, [`SpeakError::Transport`] that the session is
    /// gone.
    pub fn speak(&mut self, opus: &[u8], stamp: Stamp) -> Result<(), SpeakError> {
        self.obey();
        let mut buffer = media::EMPTY;
        let packet = Packet::of(self.parts.seal(&mut buffer, opus, stamp, self.now)?);
        match packet.map(|packet| self.sealed.try_send(packet)) {
            Some(Err(TrySendError::Disconnected(_))) => Err(SpeakError::Transport(TransportError::Closed)),
            _ => {
                self.waker.wake();
                Ok(())
            }
        }
    }

    /// Takes new keys, then hands over each packet of others that came since the last call. `now`
    /// is the time by the session's transport. Call it at every tick, also with nothing to play.
    pub fn hear(&mut self, now: Instant, mut each: impl FnMut(&Opened<'_>)) {
        self.obey();
        self.now = Some(now);
        if std::mem::take(&mut self.rekeyed) {
            self.parts.retry_early(now, &mut each);
        }
        // What comes meanwhile is for the next call.
        for _ in 0..ARRIVED {
            let Ok(mut packet) = self.arrived.try_recv() else { return };
            let frame = packet.bytes.get_mut(..packet.len).unwrap_or_default();
            self.parts.open(frame, now, &mut each);
        }
    }

    /// Packets that were opened and not handed out, because they could not have been reported.
    pub fn not_kept(&self) -> u64 {
        self.parts.not_kept
    }

    /// The opener, for its counts.
    pub fn opener(&self) -> &Opener {
        &self.parts.opener
    }

    /// The sealer, for its position.
    pub fn sealer(&self) -> &Sealer {
        &self.parts.sealer
    }

    fn obey(&mut self) {
        for _ in 0..ORDERS {
            let Ok(order) = self.orders.try_recv() else { return };
            let done = match order {
                Order::Install(Rekey::Seal(rekey)) => {
                    self.rekeyed = true;
                    Some(Done::Sealer(self.parts.sealer.install(rekey)))
                }
                Order::Install(Rekey::Open(rekey)) => {
                    self.rekeyed = true;
                    Some(Done::Opener(self.parts.opener.install(rekey)))
                }
                Order::Record(recorder) => {
                    std::mem::replace(&mut self.parts.recorder, recorder).map(Done::Recorder)
                }
                Order::Wipe => {
                    self.parts.wipe();
                    None
                }
                Order::Excerpt(Wanted { number, of, window }, mut into) => {
                    let result = match &mut self.parts.recorder {
                        Some(recorder) => {
                            recorder.handle_timeout(window.end);
                            recorder.excerpt(of, window, &mut into)
                        }
                        None => Err(ExcerptError::NothingHeard),
                    };
                    Some(Done::Excerpt(number, into, result))
                }
            };
            // If the session does not look for so long, it is freed here.
            if let Some(done) = done {
                let _ = self.done.try_send(done);
                self.waker.wake();
            }
        }
    }
}

impl fmt::Debug for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apart").field("overrun", &self.overrun).finish_non_exhaustive()
    }
}

impl fmt::Debug for MediaHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaHandle").field("not_kept", &self.parts.not_kept).finish_non_exhaustive()
    }
}

/// Orders that wait for the audio thread before they wait on the other side.
const ORDERS: usize = 128;
/// Packets that wait for it before new ones are dropped: a second of five speakers.
const ARRIVED: usize = 256;
/// Packets of ours that wait for the session before new ones are dropped.
const SEALED: usize = 64;
/// What waits to be freed.
const DONE: usize = 256;
