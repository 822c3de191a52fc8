//! What a member says inside MLS, so that everybody in the epoch knows from which leaf it is
//! (SPEC section 14.9).

use super::{
    MAX_KEY_PACKAGE,
    door::Badge,
    leave::Leave,
    signed::Signed,
    speaker_key::SpeakerKey,
    statements::{MAX_STATEMENTS, Statements},
};
use crate::{
    group::codec::{Malformed, Reader, Writer},
    id::Leaf,
};

/// The application data of an MLS PrivateMessage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Saying {
    /// The key of the sender's packet signatures in this epoch.
    SpeakerKey(Signed<SpeakerKey>),
    /// The sender is alive.
    Word {
        /// The time in the newest heartbeat of the keeper that the sender heard.
        heard_ms: u64,
        /// The sender's own clock, in milliseconds since 1970-01-01 UTC.
        at_ms: u64,
        /// The law hash of all that the sender knows.
        known_law: [u8; 32],
    },
    /// The sender shows statements.
    Statements(Statements),
    /// The sender lacks these statements, at most 256, and asks the member at a leaf for them.
    AskStatements { of: Leaf, ids: Vec<[u8; 32]> },
    /// Somebody of rank let a newcomer in: the keeper adds its KeyPackage, an MLSMessage.
    Admit { key_package: Vec<u8> },
    /// Somebody left. The sender need not be who left.
    Leave(Signed<Leave>),
    /// The sender lacks the speaker keys of these leaves.
    Missing(Vec<Leaf>),
    /// Somebody of rank wants a badge of the host for its answer key.
    AnswerKey { answer_key: [u8; 32] },
    /// The host gives a badge.
    Badge(Signed<Badge>),
    /// The keeper leaves it to the member at a leaf to renew its path.
    Turn(Leaf),
    /// The sender asks the member at a leaf which statements it knows.
    AskIds { of: Leaf },
    /// The ids of the statements that the sender knows, at most 32,768.
    Ids(Vec<[u8; 32]>),
}

impl Saying {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let out = Writer::new();
        match self {
            Self::SpeakerKey(key) => key.write(out.u8(1)),
            Self::Word { heard_ms, at_ms, known_law } => {
                out.u8(2).u64(*heard_ms).u64(*at_ms).bytes(known_law)
            }
            Self::Statements(statements) => statements.write(out.u8(3)),
            Self::AskStatements { of, ids } => write_ids(ids, out.u8(4).u32(of.0)),
            Self::Admit { key_package } => out.u8(5).vec32(key_package),
            Self::Leave(leave) => leave.write(out.u8(6)),
            Self::Missing(leaves) => {
                let out = out.u8(7).u16(leaves.len() as u16);
                leaves.iter().fold(out, |out, leaf| out.u32(leaf.0))
            }
            Self::AnswerKey { answer_key } => out.u8(8).bytes(answer_key),
            Self::Badge(badge) => badge.write(out.u8(9)),
            Self::Turn(leaf) => out.u8(10).u32(leaf.0),
            Self::AskIds { of } => out.u8(11).u32(of.0),
            Self::Ids(ids) => write_ids(ids, out.u8(12)),
        }
        .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let saying = match reader.u8()? {
            1 => Self::SpeakerKey(Signed::read(&mut reader)?),
            2 => Self::Word { heard_ms: reader.u64()?, at_ms: reader.u64()?, known_law: reader.array()? },
            3 => Self::Statements(Statements::read(&mut reader, MAX_STATEMENTS)?),
            4 => {
                let of = Leaf(reader.u32()?);
                Self::AskStatements { of, ids: read_ids(&mut reader, MAX_ASKED)? }
            }
            5 => Self::Admit { key_package: reader.vec32(MAX_KEY_PACKAGE)?.to_vec() },
            6 => Self::Leave(Signed::read(&mut reader)?),
            7 => Self::Missing(read_leaves(&mut reader)?),
            8 => Self::AnswerKey { answer_key: reader.array()? },
            9 => Self::Badge(Signed::read(&mut reader)?),
            10 => Self::Turn(Leaf(reader.u32()?)),
            11 => Self::AskIds { of: Leaf(reader.u32()?) },
            12 => Self::Ids(read_ids(&mut reader, MAX_STATEMENTS)?),
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(saying)
    }
}

fn write_ids(ids: &[[u8; 32]], out: Writer) -> Writer {
    ids.iter().fold(out.u16(ids.len() as u16), |out, id| out.bytes(id))
}

fn read_ids(reader: &mut Reader<'_>, max: usize) -> Result<Vec<[u8; 32]>, Malformed> {
    let count = usize::from(reader.u16()?);
    if count > max {
        return Err(Malformed);
    }
    (0..count).map(|_| reader.array()).collect()
}

fn read_leaves(reader: &mut Reader<'_>) -> Result<Vec<Leaf>, Malformed> {
    let count = usize::from(reader.u16()?);
    if count > MAX_MISSING {
        return Err(Malformed);
    }
    (0..count).map(|_| reader.u32().map(Leaf)).collect()
}

/// Statements that one saying asks for.
pub(crate) const MAX_ASKED: usize = 256;
/// Leaves whose speaker keys one saying asks for: as many as a room has members.
pub(crate) const MAX_MISSING: usize = 1_000;
