//! The media plane of a session: sealer, opener, early packets and the recorder.

use std::{collections::VecDeque, fmt, time::Instant};

use bytes::Bytes;

use super::{SpeakError, traffic::Lately};
use crate::{
    id::{Counter, Epoch, Leaf, MemberId, Step},
    media::{Early, HEADROOM, Opened, Opener, PacketSize, Proof, Rekey, SealError, Sealer, Stamp, TAILROOM},
    report::Buffer,
};

/// One opened packet of another member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedPacket {
    /// The member that sent it.
    pub member: MemberId,
    /// The member's leaf in `epoch`.
    pub leaf: Leaf,
    /// The epoch in which it was sealed.
    pub epoch: Epoch,
    /// The step (ten seconds of the epoch) in which it was sealed.
    pub step: Step,
    /// The packet's counter. Epoch, step and counter order a sender's packets.
    pub counter: Counter,
    /// The proof that `member` sealed it.
    pub proof: Proof,
    /// The Opus packet, padding included.
    pub packet: Bytes,
}

impl From<&Opened<'_>> for ReceivedPacket {
    fn from(opened: &Opened<'_>) -> Self {
        Self {
            member: opened.member,
            leaf: opened.leaf,
            epoch: opened.epoch,
            step: opened.step,
            counter: opened.counter,
            proof: opened.proof,
            packet: Bytes::copy_from_slice(opened.packet.as_bytes()),
        }
    }
}

/// Where the media plane of a session is: inside the session ([`Media`]), or on an audio thread
/// ([`Apart`](super::Apart)).
pub trait Plane {
    /// Takes a change of keys.
    fn install(&mut self, rekey: Rekey);
    /// Opens packets that arrived before their key, after keys have changed.
    fn retry_early(&mut self, now: Instant);
    /// Takes one sealed packet that arrived.
    fn arrived(&mut self, packet: &[u8], now: Instant);
    /// Records into `recorder` from now on, or not at all. Packets kept before are wiped.
    fn record(&mut self, recorder: Option<Buffer>);
    /// Wipes the packets that were kept.
    fn wipe(&mut self);
}

/// The media plane of a [`Session`](super::Session) that is not split.
pub struct Media {
    pub(super) parts: Parts,
    /// Packets that were opened and not handed out yet.
    pub(super) heard: VecDeque<ReceivedPacket>,
}

impl Media {
    pub(super) fn new() -> Self {
        Self { parts: Parts::new(), heard: VecDeque::new() }
    }
}

impl Plane for Media {
    fn install(&mut self, rekey: Rekey) {
        match rekey {
            // A key that was used before is refused by the sealer, which goes on with the one it
            // has.
            Rekey::Seal(rekey) => drop(self.parts.sealer.install(rekey)),
            Rekey::Open(rekey) => drop(self.parts.opener.install(rekey)),
        }
    }

    fn retry_early(&mut self, now: Instant) {
        let Self { parts, heard } = self;
        parts.retry_early(now, |opened| heard.push_back(opened.into()));
    }

    fn arrived(&mut self, packet: &[u8], now: Instant) {
        let Self { parts, heard } = self;
        parts.open(&mut packet.to_vec(), now, |opened| heard.push_back(opened.into()));
    }

    fn record(&mut self, recorder: Option<Buffer>) {
        self.parts.recorder = recorder;
    }

    fn wipe(&mut self) {
        self.parts.wipe();
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Media").field("heard", &self.heard.len()).finish_non_exhaustive()
    }
}

/// Sealer, opener, early packets and recorder, on whichever thread they are.
pub(super) struct Parts {
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
    early: Early,
    /// `None` until we are in the room, and in rooms whose packets have no signatures.
    pub(super) recorder: Option<Buffer>,
    pub(super) not_kept: u64,
    /// Counts of packets in the last seconds.
    pub(super) lately: Lately,
}

impl Parts {
    pub(super) fn new() -> Self {
        Self {
            sealer: Sealer::new(),
            opener: Opener::new(),
            early: Early::new(EARLY),
            recorder: None,
            not_kept: 0,
            lately: Lately::default(),
        }
    }

    /// Seals one Opus packet into `buffer`. Without a time the outcome is not counted.
    pub(super) fn seal<'b>(
        &mut self,
        buffer: &'b mut SealBuffer,
        opus: &[u8],
        stamp: Stamp,
        now: Option<Instant>,
    ) -> Result<&'b mut [u8], SpeakError> {
        let place = buffer.get_mut(HEADROOM..).and_then(|rest| rest.get_mut(..opus.len()));
        place.ok_or(SpeakError::Seal(SealError::TooLarge))?.copy_from_slice(opus);
        let sealed = self.sealer.seal(buffer, opus.len(), stamp);
        if let Some(now) = now {
            self.lately.note_sealed(sealed.as_ref().map(drop).map_err(|error| *error), now);
        }
        sealed.map_err(SpeakError::Seal)
    }

    /// Opens one sealed packet in place. Hands it out if the recorder kept it, or if there is no
    /// recorder.
    pub(super) fn open(&mut self, frame: &mut [u8], now: Instant, hear: impl FnOnce(&Opened<'_>)) {
        let Self { opener, early, recorder, not_kept, lately, .. } = self;
        let opened = opener.open(frame);
        lately.note_arrived(opened.as_ref().map(drop).map_err(|error| *error), now);
        match opened {
            Ok(opened) => match record(recorder, &opened, now) {
                true => hear(&opened),
                false => *not_kept += 1,
            },
            Err(refusal) if refusal.is_early() => early.hold(frame),
            Err(_) => {}
        }
    }

    pub(super) fn retry_early(&mut self, now: Instant, mut hear: impl FnMut(&Opened<'_>)) {
        let Self { opener, early, recorder, not_kept, .. } = self;
        while let Some(frame) = early.next_known(opener) {
            match opener.open(frame) {
                Ok(opened) if record(recorder, &opened, now) => hear(&opened),
                Ok(_) => *not_kept += 1,
                Err(_) => {}
            }
        }
    }

    pub(super) fn wipe(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.wipe();
        }
    }
}

/// Whether a packet may be handed out: the recorder kept it, or there is no recorder.
fn record(recorder: &mut Option<Buffer>, opened: &Opened<'_>, now: Instant) -> bool {
    recorder.as_mut().is_none_or(|recorder| recorder.record(opened, now).is_ok())
}

/// A buffer in which a packet of any room can be sealed.
pub(super) type SealBuffer = [u8; HEADROOM + PacketSize::MAX as usize + TAILROOM];

pub(super) const EMPTY: SealBuffer = [0; HEADROOM + PacketSize::MAX as usize + TAILROOM];

/// How many packets are held until their keys arrive.
const EARLY: usize = 32;
