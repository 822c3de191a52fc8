//! The part of a split session that belongs to the audio thread.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError},
    },
    time::Instant,
};

use atomic_waker::AtomicWaker;

use super::{
    SpeakError,
    media::{self, Parts},
};
use crate::{
    id::MemberId,
    media::{Opened, Opener, Rekey, Retired, Reused, Sealer, Stamp},
    report::{Buffer, Excerpt, ExcerptError},
    transport::{MAX_MEDIA, TransportError},
};

/// Sealer, opener, early packets and the recorder of a [`Session`](super::Session), for its audio
/// thread.
///
/// Dropping it ends neither the session nor the room, but the member can then neither hear nor
/// speak.
pub struct MediaHandle {
    pub(super) parts: Parts,
    pub(super) orders: Receiver<Order>,
    pub(super) arrived: Receiver<Packet>,
    pub(super) sealed: SyncSender<Packet>,
    pub(super) done: SyncSender<Done>,
    pub(super) waker: Arc<AtomicWaker>,
    /// Keys have changed since early packets were tried.
    pub(super) rekeyed: bool,
    /// The time of the last [`hear`](Self::hear), at which our own packets are counted.
    pub(super) now: Option<Instant>,
    /// How many orders were obeyed.
    pub(super) obeyed: u64,
}

/// An order of the session to the audio thread.
pub(super) enum Order {
    Install(Rekey),
    Record(Option<Buffer>),
    Wipe,
    Excerpt(Wanted, Excerpt),
}

/// The excerpt that the session asks for, and its number.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) number: u64,
    pub(super) of: MemberId,
    pub(super) window: Range<Instant>,
}

/// Values that the audio thread gives back, so that the session frees and wipes them.
pub(super) enum Done {
    Sealer(#[expect(dead_code, reason = "kept only to be dropped elsewhere")] Result<Retired, Reused>),
    Opener(#[expect(dead_code, reason = "kept only to be dropped elsewhere")] Retired),
    Recorder(#[expect(dead_code, reason = "kept only to be dropped elsewhere")] Buffer),
    Excerpt(u64, Excerpt, Result<(), ExcerptError>),
}

/// A sealed packet as a value.
pub(super) struct Packet {
    /// For a packet of our own: how many orders the audio thread had obeyed when it sealed the
    /// packet.
    pub(super) obeyed: u64,
    pub(super) len: usize,
    pub(super) bytes: [u8; MAX_MEDIA],
}

impl Packet {
    pub(super) fn of(sealed: &[u8], obeyed: u64) -> Option<Self> {
        let mut bytes = [0; MAX_MEDIA];
        bytes.get_mut(..sealed.len())?.copy_from_slice(sealed);
        Some(Self { obeyed, len: sealed.len(), bytes })
    }
}

impl MediaHandle {
    /// Seals one Opus packet and gives it to the session to send. Never waits: if too many packets
    /// are waiting already, this one is dropped.
    ///
    /// # Errors
    /// [`SpeakError::Seal`] says why this member is silent. [`SpeakError::Transport`] says that the
    /// session is gone, or has given this thread up because the thread took no keys for very long:
    /// resume the room in a new session.
    pub fn speak(&mut self, opus: &[u8], stamp: Stamp) -> Result<(), SpeakError> {
        self.obey();
        let mut buffer = media::EMPTY;
        let packet = Packet::of(self.parts.seal(&mut buffer, opus, stamp, self.now)?, self.obeyed);
        if let Some(packet) = packet
            && let Err(TrySendError::Disconnected(_)) = self.sealed.try_send(packet)
        {
            return Err(SpeakError::Transport(TransportError::Closed));
        }
        self.waker.wake();
        Ok(())
    }

    /// Takes new keys, then hands over each packet of others that arrived since the last call.
    /// `now` is the time on the session's transport's clock. Call this at every tick, even with
    /// nothing to play.
    pub fn hear(&mut self, now: Instant, mut each: impl FnMut(&Opened<'_>)) {
        self.obey();
        self.now = Some(now);
        if std::mem::take(&mut self.rekeyed) {
            self.parts.retry_early(now, &mut each);
        }
        // Packets that arrive meanwhile are for the next call.
        for _ in 0..ARRIVED {
            let Ok(mut packet) = self.arrived.try_recv() else { return };
            let frame = packet.bytes.get_mut(..packet.len).unwrap_or_default();
            self.parts.open(frame, now, &mut each);
        }
    }

    /// How many packets were opened but not handed out, because the recorder could not keep them
    /// for a report.
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
            self.obeyed += 1;
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
            // If the session has not taken values for so long, this thread frees this one.
            if let Some(done) = done {
                let _ = self.done.try_send(done);
                self.waker.wake();
            }
        }
    }
}

impl fmt::Debug for MediaHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaHandle").field("not_kept", &self.parts.not_kept).finish_non_exhaustive()
    }
}

/// How many orders wait in the queue to the audio thread before further ones wait in the session.
pub(super) const ORDERS: usize = 128;
/// How many packets wait for the audio thread before new ones are dropped: a second of five
/// speakers.
pub(super) const ARRIVED: usize = 256;
