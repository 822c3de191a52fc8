//! Compares two reports of the same moment: either they agree, or the speaker signed two versions
//! (SPEC section 12.5).

use std::collections::BTreeMap;

use super::verify::{Place, Report};
use crate::{id::Epoch, keys::speaker::SIGNATURE};

/// How two reports of one speaker compare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// Packets that are the same in both.
    pub same: usize,
    /// Packets of the first that the second does not have.
    pub only_first: usize,
    /// Packets of the second that the first does not have.
    pub only_second: usize,
    /// Packets and keys that the speaker signed in two versions. Each is proof against the speaker,
    /// not against a reporter, since nobody else can sign.
    pub equivocations: Vec<Equivocation>,
}

/// Two signed versions of something that an honest speaker signs once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Equivocation {
    /// The leaf announced two speaker keys in one epoch.
    SpeakerKey(Epoch),
    /// Two packets have the same number, and different content.
    Packet(Place),
}

/// Names a packet: the epoch of a branch, the leaf, and the packet's number.
type Number = ([u8; 32], u32, Place);

impl Report {
    /// Compares two reports of one speaker; `None` if they are of different speakers or rooms.
    pub fn compare(&self, other: &Report) -> Option<Comparison> {
        if self.member() != other.member() || self.room_id() != other.room_id() {
            return None;
        }
        let mut outcome = Comparison::default();
        let (mut ours, theirs) = (self.signed(), other.signed());
        for part in &self.parts {
            let same_leaf = |other: &&super::file::Part| {
                (other.epoch, other.epoch_context, other.leaf) == (part.epoch, part.epoch_context, part.leaf)
            };
            let twin = other.parts.iter().find(same_leaf);
            if twin.is_some_and(|twin| twin.key.public != part.key.public) {
                outcome.equivocations.push(Equivocation::SpeakerKey(part.epoch));
            }
        }
        for (number, (place, packet)) in theirs {
            match ours.remove(&number) {
                None => outcome.only_second += 1,
                Some((_, ours)) if ours == packet => outcome.same += 1,
                Some(_) => outcome.equivocations.push(Equivocation::Packet(place)),
            }
        }
        outcome.only_first = ours.len();
        Some(outcome)
    }

    /// Every packet under its name: the epoch of a branch, the leaf, and the packet's number there.
    fn signed(&self) -> BTreeMap<Number, (Place, &[u8])> {
        let mut signed = BTreeMap::new();
        for part in &self.parts {
            for frame in &part.frames {
                let place = Place { epoch: part.epoch, step: frame.step, counter: frame.counter };
                // Two signatures of the same content are one version.
                let content =
                    frame.packet.split_last_chunk::<SIGNATURE>().map_or(&[][..], |(content, _)| content);
                signed.insert((part.epoch_context, part.leaf, place), (place, content));
            }
        }
        signed
    }
}
