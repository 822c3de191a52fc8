//! What is left of a room after a restart: who it is, not its keys (SPEC section 7.10).

use std::{collections::BTreeSet, fmt};

use super::{door::Door, options::Admission};
use crate::{
    group::{
        InviteId, KeyExchange,
        codec::{Malformed, Reader, Writer},
        envelope::{LaneKey, MAX_MESSAGE},
        invite::{MAX_RELAYS, UnixTime},
        mls::Group,
        policy::MAX_MEMBERS,
        state::RoomState,
    },
    id::MemberId,
    keys::secret::Secret,
    transport::RelayName,
};

/// A room that we are in, to be stored and given to [`Room::resume`](super::Room::resume) after a restart.
///
/// It holds what it takes to find the room and to be believed there: the key of the control lane, who was there and
/// what they were, which bans hold; and with a host or moderator what it takes to let people in. It holds no media
/// key, no counter, no key of MLS: whoever finds it hears nothing. Keep it as you keep an invite, and store it anew
/// when the room changes. Wiped on drop.
pub struct Membership(Secret);

/// What a member remembers of a room.
pub(super) struct Memory {
    pub(super) group_id: Vec<u8>,
    pub(super) key_exchange: KeyExchange,
    pub(super) state: RoomState,
    pub(super) highest_term: u64,
    members: BTreeSet<MemberId>,
}

/// A [`Membership`], taken apart.
pub(super) struct Record {
    pub(super) own: MemberId,
    pub(super) lane: LaneKey,
    pub(super) relays: Vec<RelayName>,
    pub(super) memory: Memory,
    pub(super) keys: Option<DoorKeys>,
}

/// What it takes to let people in.
pub(super) struct DoorKeys {
    pub(super) ikm: Secret,
    pub(super) admission: Admission,
    /// With their expiry, and how many each still lets in.
    pub(super) invites: Vec<(InviteId, UnixTime, Option<u16>)>,
}

impl Membership {
    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// Takes stored bytes back.
    ///
    /// # Errors
    /// [`MembershipError`] if they are not the bytes of a membership.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MembershipError> {
        let membership = Self(Secret::filled(bytes.len(), |out| out.copy_from_slice(bytes)));
        membership.read().map_err(|Malformed| MembershipError)?;
        Ok(membership)
    }

    /// The relays that the room allows, best first: a transport to one of them, or to two, is what
    /// [`Call::resume`](crate::driver::Call::resume) needs.
    pub fn relays(&self) -> Vec<RelayName> {
        // Its bytes were read when it was made.
        self.read().map(|record| record.relays).unwrap_or_default()
    }

    pub(super) fn new(
        own: MemberId,
        lane: &LaneKey,
        relays: &[RelayName],
        memory: &Memory,
        door: Option<&Door>,
    ) -> Self {
        let out = Writer::new().u8(VERSION).bytes(own.as_bytes()).bytes(lane.bytes()).u8(relays.len() as u8);
        let out = relays.iter().fold(out, |out, relay| out.vec8(relay.as_str().as_bytes()));
        let out = out
            .vec8(&memory.group_id)
            .u16(memory.key_exchange.id())
            .u64(memory.highest_term)
            .vec32(&memory.state.encode())
            .u16(memory.members.len() as u16);
        let out = memory.members.iter().fold(out, |out, member| out.bytes(member.as_bytes()));
        let keys = door.map(Door::keys);
        let out = out.u8(keys.is_some().into()).optional(keys.as_ref(), |out, keys| keys.write(out));
        Self(Secret::wrap(out.finish()))
    }

    pub(super) fn read(&self) -> Result<Record, Malformed> {
        let mut reader = Reader::new(self.0.bytes());
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let own = MemberId::from_bytes(reader.array()?);
        let lane = LaneKey::new(&reader.array()?);
        let count = usize::from(reader.u8()?);
        if count == 0 || count > MAX_RELAYS {
            return Err(Malformed);
        }
        let relay = |reader: &mut Reader<'_>| {
            let name = std::str::from_utf8(reader.vec8(RelayName::MAX_LEN)?).map_err(|_| Malformed)?;
            RelayName::new(name).map_err(|_| Malformed)
        };
        let relays = (0..count).map(|_| relay(&mut reader)).collect::<Result<_, _>>()?;
        let group_id = reader.vec8(16)?.to_vec();
        let key_exchange = KeyExchange::from_id(reader.u16()?).ok_or(Malformed)?;
        let highest_term = reader.u64()?;
        let state = RoomState::decode(reader.vec32(MAX_MESSAGE)?)?;
        let count = usize::from(reader.u16()?);
        if count > MAX_MEMBERS {
            return Err(Malformed);
        }
        let members =
            (0..count).map(|_| reader.array().map(MemberId::from_bytes)).collect::<Result<_, _>>()?;
        let keys = reader.flag()?.then(|| DoorKeys::read(&mut reader)).transpose()?;
        reader.finish()?;
        let memory = Memory { group_id, key_exchange, state, highest_term, members };
        Ok(Record { own, lane, relays, memory, keys })
    }
}

impl Memory {
    pub(super) fn of(group: &Group, highest_term: u64) -> Self {
        Self {
            group_id: group.id().to_vec(),
            key_exchange: group.key_exchange(),
            state: group.state().clone(),
            highest_term: highest_term.max(group.state().term),
            members: group.roster().iter().map(|member| member.id).collect(),
        }
    }

    /// Who was in the room, as far as we know.
    pub(super) fn members(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.members.iter().copied()
    }

    /// Whether somebody may keep the room, as far as we know.
    pub(super) fn knows(&self, member: MemberId) -> bool {
        self.members.contains(&member)
    }
}

impl DoorKeys {
    pub(super) fn write(&self, out: Writer) -> Writer {
        let open = self.admission == Admission::Open;
        let out = out.bytes(self.ikm.bytes()).u8(open.into()).u16(self.invites.len() as u16);
        self.invites.iter().fold(out, |out, (id, expires, uses)| {
            out.bytes(&id.0).u64(expires.0).u8(uses.is_some().into()).u16(uses.unwrap_or(0))
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let ikm = reader.bytes(32)?;
        let ikm = Secret::filled(ikm.len(), |out| out.copy_from_slice(ikm));
        let admission = if reader.flag()? { Admission::Open } else { Admission::Ask };
        let count = usize::from(reader.u16()?);
        if count > super::door::MAX_INVITES {
            return Err(Malformed);
        }
        let invite = |reader: &mut Reader<'_>| {
            let (id, expires) = (InviteId(reader.array()?), UnixTime(reader.u64()?));
            let (limited, uses) = (reader.flag()?, reader.u16()?);
            Ok((id, expires, limited.then_some(uses)))
        };
        let invites = (0..count).map(|_| invite(reader)).collect::<Result<_, _>>()?;
        Ok(Self { ikm, admission, invites })
    }
}

/// Nothing of it: it lets whoever has it find the room.
impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Membership(..)")
    }
}

/// The bytes are not those of a membership, or of one of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MembershipError;

impl fmt::Display for MembershipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the bytes of a membership")
    }
}

impl std::error::Error for MembershipError {}

const VERSION: u8 = 1;
