//! The bytes of a report, inside its seal (SPEC section 12.3).
//!
//! ```text
//! file    "sottovoce 1 sealed report" | enc 32 | ciphertext
//! report  group id | room | packet size | parts | parts ...      one part for each epoch, ascending
//! part    epoch, its context | leaf, its key, its credential | announcement | frames ...
//! frame   step | KID | CTR | salt | packet
//! ```

use super::recorder::MAX_DEPTH;
use crate::{
    group::{
        Name,
        announce::{self, SpeakerKey},
        codec::{Malformed, Reader, Writer},
        identity::MAX_NAME,
    },
    id::{Counter, Epoch, KeyId, Step},
    media::{PacketSize, stamp::SALT},
};

/// A report that is being written, or that was read and is not checked yet.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) group_id: Vec<u8>,
    pub(crate) room: Name,
    pub(crate) packet_size: PacketSize,
    /// Strictly ascending by epoch, then by epoch context, 1 to 255. Two branches of a room can
    /// share the number of an epoch.
    pub(crate) parts: Vec<Part>,
}

/// The part of a report about one epoch.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) epoch: Epoch,
    pub(crate) epoch_context: [u8; 32],
    pub(crate) leaf: u32,
    pub(crate) leaf_key: [u8; 32],
    pub(crate) credential: Vec<u8>,
    pub(crate) key: SpeakerKey,
    /// Ascending by step and counter, one at least.
    pub(crate) frames: Vec<Taken>,
}

/// One packet, and the other values that its signature covers.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) step: Step,
    pub(crate) kid: KeyId,
    pub(crate) counter: Counter,
    pub(crate) salt: [u8; SALT],
    pub(crate) packet: Vec<u8>,
}

impl Draft {
    /// Puts frames into the order of the file, and removes duplicates: jitter may have reordered
    /// them.
    pub(crate) fn sort(&mut self) {
        self.parts.sort_by_key(Part::order);
        for part in &mut self.parts {
            part.frames.sort_by_key(Taken::place);
            part.frames.dedup_by_key(|frame| frame.place());
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, TooLarge> {
        let count = u8::try_from(self.parts.len()).map_err(|_| TooLarge)?;
        let mut out = Writer::new()
            .bytes(LABEL)
            .vec8(&self.group_id)
            .vec8(self.room.as_str().as_bytes())
            .u16(self.packet_size.bytes())
            .u8(count);
        for part in &self.parts {
            out = out
                .u64(part.epoch.0)
                .bytes(&part.epoch_context)
                .bytes(&part.leaf.to_be_bytes())
                .bytes(&part.leaf_key)
                .vec16(&part.credential);
            out = part
                .key
                .write(out)
                .bytes(&u32::try_from(part.frames.len()).map_err(|_| TooLarge)?.to_be_bytes());
            for frame in &part.frames {
                let kid = u32::try_from(frame.kid.0).map_err(|_| TooLarge)?;
                let counter = u16::try_from(frame.counter.0).map_err(|_| TooLarge)?;
                out = out
                    .bytes(&frame.step.0.to_be_bytes())
                    .bytes(&kid.to_be_bytes())
                    .u16(counter)
                    .bytes(&frame.salt)
                    .bytes(&frame.packet);
            }
        }
        let bytes = out.finish();
        let frames: usize = self.parts.iter().map(|part| part.frames.len()).sum();
        if count == 0 || usize::from(count) > MAX_PARTS || frames > MAX_FRAMES {
            Err(TooLarge)
        } else {
            Ok(bytes)
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.bytes(LABEL.len())? != LABEL {
            return Err(Malformed);
        }
        let group_id = reader.vec8(255)?.to_vec();
        let room = Name::decode(reader.vec8(MAX_NAME)?)?;
        let packet_size = PacketSize::new(reader.u16()?).map_err(|_| Malformed)?;
        let count = usize::from(reader.u8()?);
        if group_id.is_empty() || !(1..=MAX_PARTS).contains(&count) {
            return Err(Malformed);
        }
        let (mut parts, mut frames): (Vec<Part>, usize) = (Vec::new(), 0);
        for _ in 0..count {
            let part = Part::decode(&mut reader, packet_size)?;
            frames += part.frames.len();
            if frames > MAX_FRAMES || parts.last().is_some_and(|last| last.order() >= part.order()) {
                return Err(Malformed);
            }
            parts.push(part);
        }
        reader.finish()?;
        Ok(Self { group_id, room, packet_size, parts })
    }
}

impl Part {
    fn decode(reader: &mut Reader<'_>, size: PacketSize) -> Result<Self, Malformed> {
        let mut part = Self {
            epoch: Epoch(reader.u64()?),
            epoch_context: reader.array()?,
            leaf: reader.u32()?,
            leaf_key: reader.array()?,
            credential: reader.vec16(MAX_CREDENTIAL)?.to_vec(),
            key: SpeakerKey::read(reader)?,
            frames: Vec::new(),
        };
        // The count alone reserves no memory: each frame has to be present.
        let count = reader.u32()?;
        for _ in 0..count {
            let frame = Taken {
                step: Step(reader.u32()?),
                kid: KeyId(reader.u32()?.into()),
                counter: Counter(reader.u16()?.into()),
                salt: reader.array()?,
                packet: reader.bytes(size.bytes().into())?.to_vec(),
            };
            if part.frames.last().is_some_and(|last| last.place() >= frame.place()) {
                return Err(Malformed);
            }
            part.frames.push(frame);
        }
        if part.frames.is_empty() { Err(Malformed) } else { Ok(part) }
    }

    /// The key by which parts are ordered.
    fn order(&self) -> (Epoch, [u8; 32]) {
        (self.epoch, self.epoch_context)
    }

    /// Where its speaker key was announced.
    pub(crate) fn place<'a>(&self, group_id: &'a [u8], room: &'a Name) -> announce::Place<'a> {
        let Self { epoch, epoch_context, leaf, .. } = *self;
        announce::Place { group_id, room, epoch, epoch_context, leaf }
    }
}

impl Taken {
    pub(crate) fn place(&self) -> (Step, Counter) {
        (self.step, self.counter)
    }
}

/// The report would hold more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// The bytes with which a sealed report begins.
pub(crate) const SEALED_LABEL: &[u8] = b"sottovoce 1 sealed report";
/// The bytes with which the report inside the seal begins.
const LABEL: &[u8] = b"sottovoce 1 report";
/// Bytes of the largest file: the label, the encapsulated key and the tag around the largest
/// report. The size follows from what one recorder can keep of one speaker, so that everything that
/// is kept fits.
pub const MAX_FILE: usize = SEALED_LABEL.len() + 48 + MAX_REPORT;
/// Bytes of the largest report.
const MAX_REPORT: usize = LABEL.len() + 256 + 1 + MAX_NAME + 2 + 1 + MAX_PARTS * PART + MAX_FRAMES * FRAME;
/// Bytes of a part before its frames: epoch, context, leaf, leaf key, credential, announcement,
/// count.
const PART: usize = 8 + 32 + 4 + 32 + 2 + MAX_CREDENTIAL + 32 + 8 + 4 + 64 + 4;
/// Bytes of a frame: step, KID, CTR, salt, and a packet of the largest size.
const FRAME: usize = 4 + 4 + 2 + SALT + PacketSize::MAX as usize;
/// Packets of one report.
pub(crate) const MAX_FRAMES: usize = MAX_DEPTH;
/// Epochs of one report.
pub(crate) const MAX_PARTS: usize = 255;
/// Version, key, name and signature.
const MAX_CREDENTIAL: usize = 1 + 32 + 1 + MAX_NAME + 8 + 64;
