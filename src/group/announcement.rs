//! What members say to one another inside MLS, so that everybody in the epoch knows from which leaf it is
//! (SPEC section 8.4).

use super::{
    announce::SpeakerKey,
    codec::{Malformed, Reader, Writer},
    envelope::MAX_MESSAGE,
    message::MAX_KEM_OUTPUT,
    order::Order,
    policy::{Action, MAX_MEMBERS},
    state::{Role, RoomState},
};
use crate::id::{Leaf, MemberId};

/// What a member says inside MLS, to everybody in the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// The key of the sender's packet signatures in this epoch.
    SpeakerKey(SpeakerKey),
    /// The sender wants to be removed.
    Leave,
    /// The host ends the room.
    Close,
    /// The sender asks the keeper for something that its role permits.
    Ask(Action),
    /// The keeper names somebody to make a commit.
    Name(Task),
    /// A moderator asks for what it takes to let people in, sealed to this key.
    WantDoor([u8; 32]),
    /// What it takes to let people in, sealed for the member at a leaf.
    Door { to: Leaf, kem_output: Vec<u8>, sealed: Vec<u8> },
    /// The sender heard the keeper's heartbeat that said `heard_ms`, at `at_ms` by its own clock.
    Echo { heard_ms: u64, at_ms: u64 },
    /// The sender lacks the speaker keys of these leaves.
    Missing(Vec<Leaf>),
}

/// A commit that the keeper leaves to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) committer: Leaf,
    pub(crate) removes: Vec<Leaf>,
    pub(crate) state: Option<RoomState>,
}

impl Announcement {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let out = Writer::new();
        match self {
            Self::SpeakerKey(key) => key.write(out.u8(1)),
            Self::Leave => out.u8(2),
            Self::Close => out.u8(3),
            Self::Ask(Action::Assign(member, role)) => {
                out.u8(4).u8(1).bytes(member.as_bytes()).u8(role.code())
            }
            Self::Ask(Action::Remove(member)) => out.u8(4).u8(2).bytes(member.as_bytes()),
            Self::Ask(Action::Order(order)) => order.write(out.u8(4).u8(3)),
            Self::Ask(Action::Mute(member, muted)) => {
                out.u8(4).u8(4).bytes(member.as_bytes()).u8((*muted).into())
            }
            Self::Ask(Action::Renew) => out.u8(4).u8(5),
            Self::Name(Task { committer, removes, state }) => {
                let out = out.u8(5).u32(committer.0).u16(removes.len() as u16);
                let out = removes.iter().fold(out, |out, leaf| out.u32(leaf.0)).u8(state.is_some().into());
                out.optional(state.as_ref(), |out, state| out.vec32(&state.encode()))
            }
            Self::WantDoor(key) => out.u8(6).bytes(key),
            Self::Door { to, kem_output, sealed } => out.u8(7).u32(to.0).vec16(kem_output).vec32(sealed),
            Self::Echo { heard_ms, at_ms } => out.u8(8).u64(*heard_ms).u64(*at_ms),
            Self::Missing(leaves) => {
                let out = out.u8(9).u16(leaves.len() as u16);
                leaves.iter().fold(out, |out, leaf| out.u32(leaf.0))
            }
        }
        .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let announcement = match reader.u8()? {
            1 => Self::SpeakerKey(SpeakerKey::read(&mut reader)?),
            2 => Self::Leave,
            3 => Self::Close,
            4 => Self::Ask(read_action(&mut reader)?),
            5 => {
                let committer = Leaf(reader.u32()?);
                let removes = read_leaves(&mut reader)?;
                let state =
                    if reader.flag()? { Some(RoomState::decode(reader.vec32(MAX_MESSAGE)?)?) } else { None };
                Self::Name(Task { committer, removes, state })
            }
            6 => Self::WantDoor(reader.array()?),
            7 => Self::Door {
                to: Leaf(reader.u32()?),
                kem_output: reader.vec16(MAX_KEM_OUTPUT)?.to_vec(),
                sealed: reader.vec32(MAX_DOOR)?.to_vec(),
            },
            8 => Self::Echo { heard_ms: reader.u64()?, at_ms: reader.u64()? },
            9 => Self::Missing(read_leaves(&mut reader)?),
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(announcement)
    }
}

fn read_leaves(reader: &mut Reader<'_>) -> Result<Vec<Leaf>, Malformed> {
    let count = usize::from(reader.u16()?);
    if count > MAX_MEMBERS {
        return Err(Malformed);
    }
    (0..count).map(|_| reader.u32().map(Leaf)).collect()
}

fn read_action(reader: &mut Reader<'_>) -> Result<Action, Malformed> {
    Ok(match reader.u8()? {
        1 => Action::Assign(MemberId::from_bytes(reader.array()?), Role::from_code(reader.u8()?)?),
        2 => Action::Remove(MemberId::from_bytes(reader.array()?)),
        3 => Action::Order(Order::read(reader)?),
        4 => Action::Mute(MemberId::from_bytes(reader.array()?), reader.flag()?),
        5 => Action::Renew,
        _ => return Err(Malformed),
    })
}

/// Every invite of a room.
const MAX_DOOR: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{
        invite::UnixTime,
        state::tests::{ban, state},
    };
    use proptest::prelude::*;

    fn announcement() -> impl Strategy<Value = Announcement> {
        let member = || any::<[u8; 32]>().prop_map(MemberId::from_bytes);
        prop_oneof![
            (any::<[u8; 32]>(), any::<u64>(), any::<u32>(), any::<[u8; 32]>()).prop_map(
                |(public, announced, holds, half)| {
                    let mut signature = [0; 64];
                    signature[16..48].copy_from_slice(&half);
                    let announced = UnixTime(announced);
                    Announcement::SpeakerKey(SpeakerKey { public, announced, holds, signature })
                }
            ),
            Just(Announcement::Leave),
            Just(Announcement::Close),
            (any::<u64>(), any::<u64>()).prop_map(|(heard_ms, at_ms)| Announcement::Echo { heard_ms, at_ms }),
            prop::collection::vec(any::<u32>().prop_map(Leaf), 0..9).prop_map(Announcement::Missing),
            (member(), 0u8..5)
                .prop_map(|(id, role)| Announcement::Ask(Action::Assign(id, Role::from_code(role).unwrap()))),
            member().prop_map(|id| Announcement::Ask(Action::Remove(id))),
            any::<u8>().prop_map(|n| Announcement::Ask(Action::Order(ban(1, n)))),
            (member(), any::<bool>()).prop_map(|(id, muted)| Announcement::Ask(Action::Mute(id, muted))),
            Just(Announcement::Ask(Action::Renew)),
            (any::<u32>(), prop::collection::vec(any::<u32>(), 0..9), any::<bool>()).prop_map(
                |(committer, removes, with_state)| {
                    let removes = removes.into_iter().map(Leaf).collect();
                    let state = with_state.then(state);
                    Announcement::Name(Task { committer: Leaf(committer), removes, state })
                }
            ),
            any::<[u8; 32]>().prop_map(Announcement::WantDoor),
            (any::<u32>(), any::<[u8; 32]>()).prop_map(|(to, bytes)| Announcement::Door {
                to: Leaf(to),
                kem_output: bytes.to_vec(),
                sealed: bytes.repeat(9),
            }),
        ]
    }

    proptest! {
        #[test]
        fn announcements_round_trip_and_every_truncation_is_refused(announcement in announcement()) {
            let bytes = announcement.encode();
            prop_assert_eq!(Announcement::decode(&bytes), Ok(announcement));
            for len in 0..bytes.len() {
                prop_assert_eq!(Announcement::decode(&bytes[..len]), Err(Malformed));
            }
            prop_assert_eq!(Announcement::decode(&[&bytes[..], &[0]].concat()), Err(Malformed));
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..12) {
            let _ = Announcement::decode(&[&[kind][..], &bytes].concat());
        }
    }
}
