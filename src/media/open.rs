//! The opener: sealed packets of everybody in, attributed Opus packets out (RFC 9605 section 4.4.4,
//! SPEC section 5.4).
//!
//! ```text
//! header > KID > sender's standing > replay screen > tag > signature > Opus > record the counter
//! ```
//!
//! A packet that fails at any step is counted and changes nothing else.

use std::fmt;

use super::{
    error::OpenError,
    header::Header,
    keyring::{EpochRing, Sender, Standing, StepRing},
    opus::OpusPacket,
    profile::{Authenticity, PacketSize},
    rekey::{Contents, OpenChange, OpenRekey, Retired},
    replay::Stale,
    stamp::{self, Evidence, Signatory, Stamp},
    stats::{OpenStats, SpeakerStats},
};
use crate::id::{Counter, Epoch, KeyId, Leaf, MemberId, Step};

/// Opens the sealed packets of all other members. Owned by the audio thread.
///
/// It uses no lock, allocation or clock. It holds the keys of the present epoch, and for two
/// seconds those of the one before.
pub struct Opener {
    current: Option<Box<EpochRing>>,
    previous: Option<Box<EpochRing>>,
    stats: OpenStats,
    /// Contexts of the epochs that were here, so that none comes back with its replay windows
    /// empty.
    seen: [[u8; 32]; REMEMBERED],
    remembered: usize,
}

const REMEMBERED: usize = 64;

impl Opener {
    /// An opener without keys: it refuses everything.
    pub fn new() -> Self {
        Self {
            current: None,
            previous: None,
            stats: OpenStats::default(),
            seen: [[0; 32]; REMEMBERED],
            remembered: 0,
        }
    }

    /// Takes a change of keys, and returns the replaced keys, to be dropped outside the audio
    /// thread.
    ///
    /// A step or epoch that is or was here already changes nothing, so that no replay window starts
    /// anew.
    pub fn install(&mut self, rekey: OpenRekey) -> Retired {
        let contents = match rekey.0 {
            OpenChange::Epoch(ring) => self.enter(ring),
            OpenChange::Step { context, ring } => match self.epoch_mut(&context) {
                Some(epoch) => Contents::Steps([epoch.install(ring), None, None, None]),
                None => Contents::Steps([Some(ring), None, None, None]),
            },
            OpenChange::Speaker { context, leaf, key, speaker_context } => {
                if let Some(sender) = self.epoch_mut(&context).and_then(|epoch| epoch.sender_mut(leaf))
                    && sender.standing == Standing::Unannounced
                    && [UNKNOWN, key].contains(&sender.key)
                {
                    sender.key = key;
                    sender.context = speaker_context;
                    sender.standing = Standing::Ready;
                }
                Contents::Nothing
            }
            OpenChange::Withdraw { context, leaf } => {
                if let Some(sender) = self.epoch_mut(&context).and_then(|epoch| epoch.sender_mut(leaf))
                    && sender.standing == Standing::Ready
                {
                    sender.standing = Standing::Unannounced;
                }
                Contents::Nothing
            }
            OpenChange::Mute { context, leaf } => {
                if let Some(sender) = self.epoch_mut(&context).and_then(|epoch| epoch.sender_mut(leaf)) {
                    sender.standing = Standing::Muted;
                }
                Contents::Nothing
            }
            OpenChange::RetireSteps { context, first } => self
                .epoch_mut(&context)
                .map_or(Contents::Nothing, |epoch| Contents::Steps(epoch.retire(first))),
            OpenChange::RetireEpoch { context }
                if self.current.as_ref().is_some_and(|ring| ring.context == context) =>
            {
                Contents::Epochs([self.previous.take(), None])
            }
            OpenChange::RetireEpoch { .. } => Contents::Nothing,
            OpenChange::Close => Contents::Epochs([self.current.take(), self.previous.take()]),
        };
        Retired::new(contents)
    }

    /// Opens a sealed packet in place.
    ///
    /// On success the Opus packet is in `frame`, behind the header, and [`Opened`] borrows it. A
    /// refusal before the tag is checked leaves `frame` as it was, so that it can be tried again
    /// ([`OpenError::is_early`]); one after it leaves bytes without meaning.
    ///
    /// # Errors
    /// [`OpenError`], by reason. Only the counts in [`stats`](Self::stats) change then.
    pub fn open<'b>(&mut self, frame: &'b mut [u8]) -> Result<Opened<'b>, OpenError> {
        let opened = self.try_open(frame);
        match &opened {
            Ok(_) => self.stats.note_opened(),
            Err(reason) => self.stats.note_refused(*reason),
        }
        opened
    }

    /// Whether `frame` would get past the look-up of its key and speaker now. Counts and changes
    /// nothing.
    pub fn knows(&mut self, frame: &[u8]) -> bool {
        let Ok((header, _)) = Header::of_packet(frame) else { return false };
        self.find(header.kid)
            .is_some_and(|place| place.gone || place.sender.standing != Standing::Unannounced)
    }

    /// Counts since this opener was made.
    pub fn stats(&self) -> &OpenStats {
        &self.stats
    }

    /// Counts of one sender since the present epoch began.
    pub fn sender_stats(&self, leaf: Leaf) -> Option<SpeakerStats> {
        self.current.as_ref()?.sender(leaf).map(|sender| sender.stats)
    }

    #[inline]
    fn try_open<'b>(&mut self, frame: &'b mut [u8]) -> Result<Opened<'b>, OpenError> {
        if frame.len() > MAX_FRAME {
            return Err(OpenError::TooLarge);
        }
        let (header, header_len) = Header::of_packet(frame).map_err(|_| OpenError::Malformed)?;
        let mut place = self.find(header.kid).ok_or(OpenError::UnknownKey)?;
        let opened = place.open(frame, header, header_len);
        match &opened {
            Ok(_) => place.sender.stats.note_opened(),
            Err(reason) => place.sender.stats.note_refused(*reason),
        }
        opened
    }

    /// The epoch, step and sender of a KID. The present epoch comes first, so a KID is never two
    /// keys.
    #[inline]
    fn find(&mut self, kid: KeyId) -> Option<Place<'_>> {
        if self.previous.is_some() {
            return self.find_in_grace(kid);
        }
        Place::find(self.current.as_deref_mut()?, kid)
    }

    /// The same in the two seconds after a commit.
    #[cold]
    fn find_in_grace(&mut self, kid: KeyId) -> Option<Place<'_>> {
        let current = self.current.as_deref_mut()?;
        if current.knows(kid) {
            return Place::find(current, kid);
        }
        let mut place = Place::find(self.previous.as_deref_mut()?, kid)?;
        place.gone = !current.keeps(place.sender.leaf, place.sender.member);
        Some(place)
    }

    fn enter(&mut self, ring: Box<EpochRing>) -> Contents {
        let known = self.seen.iter().take(self.remembered).any(|context| *context == ring.context);
        if known {
            return Contents::Epochs([Some(ring), None]);
        }
        if let Some(oldest) = self.seen.get_mut(self.remembered % REMEMBERED) {
            *oldest = ring.context;
        }
        self.remembered += 1;
        let older = self.previous.take();
        self.previous = self.current.replace(ring);
        Contents::Epochs([older, None])
    }

    fn epoch_mut(&mut self, context: &[u8; 32]) -> Option<&mut EpochRing> {
        let rings = [&mut self.current, &mut self.previous];
        rings.into_iter().flatten().map(Box::as_mut).find(|ring| ring.context == *context)
    }
}

/// Where a KID led.
struct Place<'a> {
    epoch: Epoch,
    authenticity: Authenticity,
    packet_size: PacketSize,
    ring: &'a mut StepRing,
    /// The slot that held the key when it was last used.
    slot: u16,
    sender: &'a mut Sender,
    /// The epoch is the previous one, and the present one does not have this sender.
    gone: bool,
}

impl<'a> Place<'a> {
    #[inline]
    fn find(ring: &'a mut EpochRing, kid: KeyId) -> Option<Self> {
        let (epoch, authenticity, packet_size) = (ring.epoch, ring.authenticity, ring.packet_size);
        let (ring, slot, sender) = ring.find(kid)?;
        Some(Self { epoch, authenticity, packet_size, ring, slot, sender, gone: false })
    }

    /// The checks of one packet whose sender is known, in their order.
    #[inline]
    fn open<'b>(
        &mut self,
        frame: &'b mut [u8],
        header: Header,
        header_len: usize,
    ) -> Result<Opened<'b>, OpenError> {
        let sender = &*self.sender;
        match sender.standing {
            _ if self.gone => return Err(OpenError::Removed),
            Standing::Ready => {}
            Standing::Unannounced => return Err(OpenError::UnknownSpeaker),
            Standing::Own => return Err(OpenError::Own),
            Standing::Muted => return Err(OpenError::Muted),
        }
        let (head, rest) = frame.split_at_mut_checked(header_len).ok_or(OpenError::Malformed)?;
        let (packet, tag) = rest.split_last_chunk_mut().ok_or(OpenError::Malformed)?;
        let step = self.ring.step;
        let (key, window, failures) = self.ring.slot(header.kid, self.slot).ok_or(OpenError::Busy)?;
        window.screen(header.counter).map_err(|stale| match stale {
            Stale::Replayed => OpenError::Replayed,
            Stale::TooOld => OpenError::TooOld,
        })?;
        if *failures >= MAX_FAILURES {
            return Err(OpenError::Exhausted);
        }
        if key.open(header.counter, head, packet, *tag).is_err() {
            *failures += 1;
            return Err(OpenError::Forged);
        }
        let (packet, proof, evidence) = match self.authenticity {
            Authenticity::Group => {
                let packet = OpusPacket::parse(packet).map_err(|_| OpenError::NotOpus)?;
                (packet, Proof::Group, None)
            }
            Authenticity::Signed => {
                let salt = key.content_salt(header.counter);
                let signatory = Signatory { key: &sender.key, context: &sender.context };
                let (packet, stamp) =
                    stamp::accept(packet, self.packet_size, header, step, &salt, signatory)?;
                let evidence = Evidence {
                    speaker_context: sender.context,
                    kid: header.kid,
                    salt,
                    is_first: sender.is_first,
                };
                (packet, Proof::Signed(stamp), Some(evidence))
            }
        };
        window.record(header.counter);
        Ok(Opened {
            member: sender.member,
            leaf: sender.leaf,
            epoch: self.epoch,
            step,
            counter: header.counter,
            proof,
            packet,
            evidence,
        })
    }
}

impl Default for Opener {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.current {
            None => f.write_str("Opener(no keys)"),
            Some(ring) => write!(f, "Opener(epoch {}, {} senders)", ring.epoch.0, ring.senders.len()),
        }
    }
}

/// An opened packet: its sender, its number and its audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The member that sealed it: the identity that MLS vouches for.
    pub member: MemberId,
    /// The member's leaf in `epoch`.
    pub leaf: Leaf,
    /// The epoch in which it was sealed.
    pub epoch: Epoch,
    /// The step in which it was sealed. With `counter` it orders a sender's packets.
    pub step: Step,
    /// Its counter, unique under the key of (epoch, step, leaf).
    pub counter: Counter,
    /// The evidence that `member` sealed it.
    pub proof: Proof,
    /// The Opus packet, padding included: any decoder plays it as it is.
    pub packet: OpusPacket<'a>,
    /// Further data that a [`Buffer`](crate::report::Buffer) keeps, if the packet is signed.
    pub(crate) evidence: Option<Evidence>,
}

/// The evidence of who sealed a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The speaker's signature, which nobody else in the room can make, over content and stamp.
    Signed(Stamp),
    /// Only that some member of the room sealed it and claims to be this one.
    Group,
}

/// In place of the key of a sender that has announced none: it has a small order, so nobody can.
const UNKNOWN: [u8; 32] = [0; 32];

/// The longest packet that an opener tries.
pub(crate) const MAX_FRAME: usize = 1_100;

/// Failed openings after which a key is given up (SPEC section 5.5).
const MAX_FAILURES: u32 = 1 << 20;
