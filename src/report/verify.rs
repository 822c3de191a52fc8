//! Checks a report: either it proves who spoke, or there is a reason why it proves nothing (SPEC
//! section 12.4).
//!
//! ```text
//! credentials > announcements > one speaker > packets, one by one > the time of arrival > Report
//! ```

use std::{fmt, ops::ControlFlow, time::Duration};

use super::{
    file::{Draft, Part, Taken},
    gaps::{self, Gap},
    moderation::PublishedKey,
};
use crate::{
    group::{Name, announce::TOLERANCE, identity::CredentialError},
    id::{CaptureTime, Counter, Epoch, MemberId, Step, UnixTime},
    media::{
        OpusPacket, Stamp,
        header::Header,
        opus::duration_of,
        stamp::{self, Signatory, Unfit},
    },
    mls::Credential,
};

/// A checked report: the device of [`member`](Self::member) signed every packet in it.
///
/// Only [`ModerationSecret::open`](super::ModerationSecret::open) makes one.
pub struct Report {
    member: MemberId,
    name: Name,
    group_id: Vec<u8>,
    room: Name,
    pub(super) parts: Vec<Part>,
    stamps: Vec<Stamp>,
}

/// One packet of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedPacket<'a> {
    /// Which of the speaker's packets it is.
    pub place: Place,
    /// When it was captured and how loud it is, by the speaker's device.
    pub stamp: Stamp,
    /// How much audio it holds.
    pub duration: Duration,
    /// The Opus packet, as every listener got it.
    pub packet: OpusPacket<'a>,
    /// Which part of the report it is in: one epoch of one branch.
    pub(super) part: usize,
}

/// The place of a packet among those of its speaker. Places order the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The epoch in which it was sealed.
    pub epoch: Epoch,
    /// The step: which ten seconds of the epoch.
    pub step: Step,
    /// The packet's number within the step, from 256.
    pub counter: Counter,
}

impl Report {
    /// Checks everything that does not depend on the time.
    #[cfg(test)]
    pub(super) fn verify(draft: Draft) -> Result<Self, Rejected> {
        Self::verify_with(draft, &mut |_| ControlFlow::Continue(()))
    }

    /// Checks the same, and tells how far the check is.
    pub(super) fn verify_with(
        draft: Draft,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self, Rejected> {
        let mut who: Option<Credential> = None;
        for part in &draft.parts {
            let credential = vouched(part, &draft)?;
            if who.as_ref().is_some_and(|who| who.key != credential.key) {
                return Err(Rejected::Speakers);
            }
            who = Some(credential);
        }
        let who = who.ok_or(Rejected::Malformed)?;
        let total = draft.parts.iter().map(|part| part.frames.len()).sum();
        let mut stamps = Vec::new();
        for part in &draft.parts {
            let context = part.key.context(&part.place(&draft.group_id, &draft.room));
            let mut before: Option<&Taken> = None;
            for frame in &part.frames {
                let done = stamps.len();
                if done % TOLD_EACH == 0 && progress(Progress { done, total }).is_break() {
                    return Err(Rejected::Stopped);
                }
                let place = place(part, frame);
                if before.is_some_and(|last| last.step == frame.step && last.kid != frame.kid) {
                    return Err(Rejected::Numbers(place));
                }
                let header = Header { kid: frame.kid, counter: frame.counter };
                let signatory = Signatory { key: &part.key.public, context: &context };
                let (size, step, salt) = (draft.packet_size, frame.step, &frame.salt);
                let accepted = stamp::accept(&frame.packet, size, header, step, salt, signatory);
                let (_, stamp) = accepted.map_err(|unfit| match unfit {
                    Unfit::Counter => Rejected::Numbers(place),
                    Unfit::Unsigned => Rejected::Forged(place),
                    Unfit::NotOpus => Rejected::NotOpus(place),
                    // The file gives every packet as many bytes as it says.
                    Unfit::Size => Rejected::Malformed,
                })?;
                stamps.push(stamp);
                before = Some(frame);
            }
        }
        if progress(Progress { done: total, total }).is_break() {
            return Err(Rejected::Stopped);
        }
        let member = who.id();
        let Draft { group_id, room, parts, .. } = draft;
        Ok(Self { member, name: who.name, group_id, room, parts, stamps })
    }

    /// Whether nobody but the speaker can have known the keys when the report arrived.
    pub(super) fn check_time(&self, received: UnixTime) -> Result<(), Rejected> {
        for part in &self.parts {
            if part.key.announced.0 > received.0.saturating_add(APART) {
                return Err(Rejected::Early { announced: part.key.announced });
            }
            if let Some(until) = part.key.proves_until().filter(|until| received > *until) {
                return Err(Rejected::Expired { until });
            }
        }
        Ok(())
    }

    pub(super) fn check_published(&self, published: &[PublishedKey]) -> Result<(), Rejected> {
        let out = |key: [u8; 32]| self.parts.iter().find(|part| part.key.public == key);
        match published.iter().find_map(|key| out(key.public())) {
            Some(part) => Err(Rejected::Published { epoch: part.epoch }),
            None => Ok(()),
        }
    }

    /// The speaker: the fingerprint of the identity that vouched for the leaf.
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// The name that the member gave itself. Anybody can take any name; the fingerprint is the
    /// proof.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The MLS group id of the room: the same for all reports from it.
    pub fn room_id(&self) -> &[u8] {
        &self.group_id
    }

    /// The name of the room, as the speaker's device signed it.
    pub fn room(&self) -> &Name {
        &self.room
    }

    /// Every packet, in the order in which they were sealed.
    pub fn packets(&self) -> impl Iterator<Item = ReportedPacket<'_>> {
        let parts = self.parts.iter().enumerate();
        let frames = parts.flat_map(|(at, part)| part.frames.iter().map(move |frame| (at, part, frame)));
        frames.zip(&self.stamps).filter_map(|((at, part, frame), stamp)| {
            // Parsed when the report was checked, so none is left out.
            let packet = OpusPacket::parse(&frame.packet).ok()?;
            Some(ReportedPacket {
                place: place(part, frame),
                stamp: *stamp,
                duration: duration_of(packet),
                packet,
                part: at,
            })
        })
    }

    /// When the first packet was captured, by the speaker's device.
    pub fn captured(&self) -> CaptureTime {
        self.stamps.first().map_or(CaptureTime::default(), |stamp| stamp.captured)
    }

    /// How much audio there is, gaps not counted.
    pub fn duration(&self) -> Duration {
        self.packets().map(|packet| packet.duration).sum()
    }

    /// Where packets are missing, or may be missing. An empty list means that every packet between
    /// the first and the last is here, and that the speaker's clock confirms that.
    pub fn gaps(&self) -> Vec<Gap> {
        gaps::between(self.packets())
    }

    /// The last moment at which the report could arrive and still prove something; `None` if its
    /// keys are never published.
    pub fn proves_until(&self) -> Option<UnixTime> {
        self.parts.iter().filter_map(|part| part.key.proves_until()).min()
    }
}

/// Shows how much is in it, but not whose packets.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Report({} packets)", self.stamps.len())
    }
}

/// The credential of a part, if it vouches for the leaf and the leaf for the speaker key.
fn vouched(part: &Part, draft: &Draft) -> Result<Credential, Rejected> {
    let epoch = part.epoch;
    let malformed = Rejected::Credential { epoch, why: CredentialError::Malformed };
    let group_id = draft.group_id.as_slice().try_into().map_err(|_| malformed)?;
    let credential = Credential::verify(&part.credential, group_id, &part.leaf_key)
        .map_err(|why| Rejected::Credential { epoch, why })?;
    if part.key.is_from(&part.leaf_key, &part.place(&draft.group_id, &draft.room)) {
        Ok(credential)
    } else {
        Err(Rejected::Announcement { epoch })
    }
}

/// Seconds that the clocks of a speaker and a verifier may differ: a listener's clock lies between
/// the two, and differs from each by the tolerance at most.
const APART: u64 = 2 * TOLERANCE;

fn place(part: &Part, frame: &Taken) -> Place {
    Place { epoch: part.epoch, step: frame.step, counter: frame.counter }
}

/// How far the check of a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Packets that were checked.
    pub done: usize,
    /// Packets in the report.
    pub total: usize,
}

/// Packets after which progress is told: about 2 ms of work.
const TOLD_EACH: usize = 64;

/// Why a file proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejected {
    /// There is no such moderation key.
    NoKey,
    /// The file is larger than any report.
    TooLarge,
    /// The file does not begin like a sealed report.
    NotAReport,
    /// The file was sealed to another moderation key, or was altered or truncated afterwards.
    Sealed,
    /// The file was sealed to this key, but its content is not a report: something is too short,
    /// too long, out of order or out of bounds.
    Malformed,
    /// No identity vouches for the leaf.
    Credential {
        /// In which epoch.
        epoch: Epoch,
        /// Why its credential is not accepted.
        why: CredentialError,
    },
    /// The leaf does not vouch for the speaker key, in this room, epoch and time.
    Announcement {
        /// In which epoch.
        epoch: Epoch,
    },
    /// The report mixes the packets of several speakers.
    Speakers,
    /// A packet has numbers that no packet of this speaker can have.
    Numbers(Place),
    /// The speaker did not sign this packet in this place: it was invented, altered or moved.
    Forged(Place),
    /// The speaker signed something that no decoder plays.
    NotOpus(Place),
    /// The speaker key was announced after the report arrived: one of two clocks is wrong.
    Early {
        /// When the speaker announced it, by its clock.
        announced: UnixTime,
    },
    /// The report arrived too late: by then the speaker key may have been published, and anybody
    /// could have made the report.
    Expired {
        /// Until when it could have proved something.
        until: UnixTime,
    },
    /// The speaker key of this epoch is known to be published: anybody could have made the report.
    Published {
        /// The epoch.
        epoch: Epoch,
    },
    /// The caller of [`open_with`](super::ModerationSecret::open_with) stopped the check.
    Stopped,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}, step {}, packet {}", self.epoch.0, self.step.0, self.counter.0)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("there is no such moderation key"),
            Self::TooLarge => f.write_str("it is larger than any report"),
            Self::NotAReport => f.write_str("it is not a sealed report"),
            Self::Sealed => f.write_str("it was sealed to another key, altered, or cut off"),
            Self::Malformed => f.write_str("what was sealed is not a report"),
            Self::Credential { epoch, why } => {
                let why = match why {
                    CredentialError::Malformed => "the credential is malformed",
                    CredentialError::Forged => "the identity did not sign it for this leaf and room",
                    CredentialError::IdentityAsLeaf => "the identity key is used as the leaf key",
                };
                write!(f, "no identity vouches for the leaf of epoch {}: {why}", epoch.0)
            }
            Self::Announcement { epoch } => {
                write!(f, "the leaf did not announce this speaker key in epoch {} of this room", epoch.0)
            }
            Self::Stopped => f.write_str("the check of the report was stopped"),
            Self::Speakers => f.write_str("it mixes the packets of several speakers"),
            Self::Numbers(place) => write!(f, "{place}: no packet of this speaker has such numbers"),
            Self::Forged(place) => write!(f, "{place}: the speaker did not sign this"),
            Self::NotOpus(place) => write!(f, "{place}: not an Opus packet"),
            Self::Early { announced } => {
                write!(f, "its speaker key was announced at {}, after it arrived", announced.0)
            }
            Self::Expired { until } => {
                write!(f, "expired: it proves nothing to whoever got it after {}", until.0)
            }
            Self::Published { epoch } => {
                write!(f, "the speaker key of epoch {} is published: anybody can have made this", epoch.0)
            }
        }
    }
}

impl std::error::Error for Rejected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Credential { why, .. } => Some(why),
            _ => None,
        }
    }
}
