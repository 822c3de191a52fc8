//! What a member says inside MLS, so that everybody in the epoch knows from which leaf it is
//! (`spec/control.md`, section 14.9).

use super::{
    MAX_KEY_PACKAGE,
    app::{Again, App},
    door::{Badge, Door},
    leave::Leave,
    signed::Signed,
    statements::{MAX_STATEMENTS, Statements},
};
use crate::{
    group::{
        announce::SpeakerKey,
        codec::{Malformed, Reader, Writer},
    },
    id::Leaf,
};

/// The application data of an MLS PrivateMessage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Saying {
    /// The key of the sender's packet signatures in this epoch.
    SpeakerKey(SpeakerKey),
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
    /// The sender lacks these statements, at most 256.
    AskStatements { ids: Vec<[u8; 32]> },
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
    /// Somebody of rank says where newcomers may knock.
    Door(Signed<Door>),
    /// The sender writes to others.
    App(App),
    /// The sender says again what it wrote in an earlier epoch.
    Again(Again),
    /// Something about the hall of a stage room (`spec/stage.md`, 6.2).
    #[cfg(feature = "stage")]
    Hall(Hidden),
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
            Self::AskStatements { ids } => write_ids(ids, out.u8(4)),
            Self::Admit { key_package } => out.u8(5).vec32(key_package),
            Self::Leave(leave) => leave.write(out.u8(6)),
            Self::Missing(leaves) => {
                let out = out.u8(7).u16(leaves.len() as u16);
                leaves.iter().fold(out, |out, leaf| out.u32(leaf.0))
            }
            Self::AnswerKey { answer_key } => out.u8(8).bytes(answer_key),
            Self::Badge(badge) => badge.write(out.u8(9)),
            Self::Door(door) => door.write(out.u8(10)),
            Self::App(app) => app.write(out.u8(11)),
            Self::Again(again) => again.write(out.u8(12)),
            #[cfg(feature = "stage")]
            Self::Hall(said) => out.u8(13).vec16(said.0.bytes()),
        }
        .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let saying = match reader.u8()? {
            1 => Self::SpeakerKey(SpeakerKey::read(&mut reader)?),
            2 => Self::Word { heard_ms: reader.u64()?, at_ms: reader.u64()?, known_law: reader.array()? },
            3 => Self::Statements(Statements::read(&mut reader, MAX_STATEMENTS)?),
            4 => Self::AskStatements { ids: read_ids(&mut reader, MAX_ASKED)? },
            5 => Self::Admit { key_package: reader.vec32(MAX_KEY_PACKAGE)?.to_vec() },
            6 => Self::Leave(Signed::read(&mut reader)?),
            7 => Self::Missing(read_leaves(&mut reader)?),
            8 => Self::AnswerKey { answer_key: reader.array()? },
            9 => Self::Badge(Signed::read(&mut reader)?),
            10 => Self::Door(Signed::read(&mut reader)?),
            11 => Self::App(App::read(&mut reader)?),
            12 => Self::Again(Again::read(&mut reader)?),
            #[cfg(feature = "stage")]
            13 => {
                let said = reader.vec16(MAX_HALL)?;
                let copy = |out: &mut [u8]| out.copy_from_slice(said);
                Self::Hall(Hidden(crate::keys::secret::Secret::filled(said.len(), copy).into()))
            }
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(saying)
    }
}

/// Bytes that are secret: shared and never copied, and not printed.
#[cfg(feature = "stage")]
#[derive(Clone)]
pub(crate) struct Hidden(pub(crate) std::sync::Arc<crate::keys::secret::Secret>);

#[cfg(feature = "stage")]
impl PartialEq for Hidden {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes() == other.0.bytes()
    }
}

#[cfg(feature = "stage")]
impl Eq for Hidden {}

#[cfg(feature = "stage")]
impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(..)")
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
/// Bytes of a saying about the hall: a programme of 64 cards and a turn.
#[cfg(feature = "stage")]
const MAX_HALL: usize = 32_768;
/// Leaves whose speaker keys one saying asks for: as many as a room has members.
pub(crate) const MAX_MISSING: usize = 1_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        id::UnixTime,
        wire::{
            signed::tests::{ROOM, identity, is_strict},
            statements::tests::statements,
        },
    };

    fn speaker_key(public: [u8; 32], announced: u64, holds: u32) -> SpeakerKey {
        SpeakerKey { public, announced: UnixTime(announced), holds, signature: [7; 64] }
    }

    fn badge(answer_key: [u8; 32], office: [u8; 32], no: u64) -> Signed<Badge> {
        Signed::badge(Badge { answer_key, office, no }, &identity(1), &ROOM)
    }

    fn saying() -> impl Strategy<Value = Saying> {
        let leaf = || any::<u32>().prop_map(Leaf);
        let ids = || prop::collection::vec(any::<[u8; 32]>(), 0..9);
        prop_oneof![
            (any::<[u8; 32]>(), any::<u64>(), any::<u32>())
                .prop_map(|(public, at, holds)| Saying::SpeakerKey(speaker_key(public, at, holds))),
            (any::<u64>(), any::<u64>(), any::<[u8; 32]>())
                .prop_map(|(heard_ms, at_ms, known_law)| Saying::Word { heard_ms, at_ms, known_law }),
            (0u8..9).prop_map(|count| Saying::Statements(statements(count))),
            ids().prop_map(|ids| Saying::AskStatements { ids }),
            prop::collection::vec(any::<u8>(), 0..600).prop_map(|key_package| Saying::Admit { key_package }),
            any::<u64>().prop_map(|at| Saying::Leave(Signed::leave(&identity(2), &ROOM, at))),
            prop::collection::vec(leaf(), 0..9).prop_map(Saying::Missing),
            any::<[u8; 32]>().prop_map(|answer_key| Saying::AnswerKey { answer_key }),
            (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u64>())
                .prop_map(|(key, office, no)| Saying::Badge(badge(key, office, no))),
        ]
    }

    proptest! {
        #[test]
        fn sayings_round_trip_and_every_truncation_is_refused(saying in saying()) {
            is_strict(&saying, &saying.encode(), Saying::decode);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..14) {
            let _ = Saying::decode(&[&[kind][..], &bytes].concat());
        }
    }

    #[test]
    fn unknown_kinds_and_lists_above_their_bounds_are_refused() {
        for kind in [0, 13, 255] {
            assert_eq!(Saying::decode(&[&[kind][..], &[0; 100]].concat()), Err(Malformed), "{kind}");
        }
        let of = Leaf(0);
        for (saying, fits) in [
            (Saying::AskStatements { ids: vec![[0; 32]; MAX_ASKED] }, true),
            (Saying::AskStatements { ids: vec![[0; 32]; MAX_ASKED + 1] }, false),
            (Saying::Missing(vec![of; MAX_MISSING]), true),
            (Saying::Missing(vec![of; MAX_MISSING + 1]), false),
            (Saying::Admit { key_package: vec![0; MAX_KEY_PACKAGE] }, true),
            (Saying::Admit { key_package: vec![0; MAX_KEY_PACKAGE + 1] }, false),
        ] {
            assert_eq!(Saying::decode(&saying.encode()).is_ok(), fits);
        }
    }
}
