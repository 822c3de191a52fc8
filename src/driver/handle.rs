//! What the audio thread has of a session that is split.

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
/// Dropping it ends neither the session nor the room: the member is deaf and dumb then.
pub struct MediaHandle {
    pub(super) parts: Parts,
    pub(super) orders: Receiver<Order>,
    pub(super) arrived: Receiver<Packet>,
    pub(super) sealed: SyncSender<Packet>,
    pub(super) done: SyncSender<Done>,
    pub(super) waker: Arc<AtomicWaker>,
    /// Keys have changed since early packets were tried.
    pub(super) rekeyed: bool,
    /// The time of the last [`hear`](Self::hear), which packets of ours are counted at.
    pub(super) now: Option<Instant>,
    /// How many orders were obeyed.
    pub(super) obeyed: u64,
}

/// What the session has the audio thread do.
pub(super) enum Order {
    Install(Rekey),
    Record(Option<Buffer>),
    Wipe,
    Excerpt(Wanted, Excerpt),
}

/// Which excerpt is asked for, and its number.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) number: u64,
    pub(super) of: MemberId,
    pub(super) window: Range<Instant>,
}

/// What the audio thread gives back, so that it is freed and wiped elsewhere.
pub(super) enum Done {
    Sealer(#[expect(dead_code, reason = "kept only to be dropped elsewhere")] Result<Retired, Reused>),
    Opener(#[expect(dead_code, reason = "kept only to be dropped elsewhere")] Retired),
    Recorder(#[expect(dead_code, reason = "kept only to be dropped elsewhere")] Buffer),
    Excerpt(u64, Excerpt, Result<(), ExcerptError>),
}

/// A sealed packet as a value.
pub(super) struct Packet {
    /// Of ours: how many orders were obeyed when it was sealed.
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
    /// Seals one Opus packet and has the session send it. Never waits; a packet that finds too many
    /// before it is dropped.
    ///
    /// # Errors
    /// [`SpeakError::Seal`] says why we are silent, [`SpeakError::Transport`] that the session is
    /// gone, or gave this thread up because it took no keys for very long: resume the room in a new
    /// session.
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
            // If the session does not look for so long, it is freed here.
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

/// Orders that wait for the audio thread before they wait on the other side.
pub(super) const ORDERS: usize = 128;
/// Packets that wait for it before new ones are dropped: a second of five speakers.
pub(super) const ARRIVED: usize = 256;
