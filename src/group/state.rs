//! What a room has agreed on besides its tree: roles, bans and media parameters, in a group context
//! extension, so that members of one epoch cannot disagree (SPEC section 7.2).

use super::{
    codec::{Malformed, Reader, Writer},
    identity::{MAX_NAME, Name},
};
use crate::{
    id::MemberId,
    keys::Suite,
    media::{Authenticity, PacketSize},
};

/// What a member of a room may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Made the room: admits, removes, gives roles, closes. There is one.
    Host,
    /// Removes and bans speakers and listeners, and gives those roles.
    Moderator,
    /// Is heard.
    Speaker,
    /// Hears. Sealed audio of a listener is refused by everybody.
    Listener,
    /// Hears like a listener, and is shown to everybody as a recorder or bot.
    Recorder,
}

impl Role {
    /// Whether packets of this role are opened by the others.
    pub fn may_speak(self) -> bool {
        matches!(self, Self::Host | Self::Moderator | Self::Speaker)
    }

    /// Whether this role may bring new members in.
    pub fn may_admit(self) -> bool {
        matches!(self, Self::Host | Self::Moderator)
    }

    /// Whether this role may remove, ban or give another role to a member that has role `other`.
    pub fn outranks(self, other: Role) -> bool {
        match self {
            Self::Host => other != Self::Host,
            Self::Moderator => matches!(other, Self::Speaker | Self::Listener | Self::Recorder),
            Self::Speaker | Self::Listener | Self::Recorder => false,
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Host => 0,
            Self::Moderator => 1,
            Self::Speaker => 2,
            Self::Listener => 3,
            Self::Recorder => 4,
        }
    }

    pub(crate) fn from_code(code: u8) -> Result<Self, Malformed> {
        match code {
            0 => Ok(Self::Host),
            1 => Ok(Self::Moderator),
            2 => Ok(Self::Speaker),
            3 => Ok(Self::Listener),
            4 => Ok(Self::Recorder),
            _ => Err(Malformed),
        }
    }
}

/// The room's extension of the MLS group context. One value has one encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomState {
    pub(crate) terms: Terms,
    /// Ascending, without the host, without entries that say the default.
    roles: Vec<(MemberId, Role)>,
    /// Ascending, without the host.
    bans: Vec<MemberId>,
}

/// The part of a room's state that no commit may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) name: Name,
    pub(crate) host: MemberId,
    pub(crate) default_role: Role,
    pub(crate) suite: Suite,
    pub(crate) authenticity: Authenticity,
    pub(crate) packet_size: PacketSize,
}

impl RoomState {
    pub(crate) fn new(terms: Terms) -> Self {
        Self { terms, roles: Vec::new(), bans: Vec::new() }
    }

    /// The role of a member, or the role that somebody would have on joining.
    pub(crate) fn role(&self, member: MemberId) -> Role {
        if member == self.terms.host {
            return Role::Host;
        }
        self.listed(member).unwrap_or(self.terms.default_role)
    }

    pub(crate) fn is_banned(&self, member: MemberId) -> bool {
        self.bans.binary_search(&member).is_ok()
    }

    pub(crate) fn bans(&self) -> &[MemberId] {
        &self.bans
    }

    /// Everybody whose role is not the default one.
    pub(crate) fn roles(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.roles.iter().map(|(member, _)| *member)
    }

    /// The same state with another role for `member`, who is not the host.
    pub(crate) fn with_role(&self, member: MemberId, role: Role) -> Result<Self, Full> {
        let mut next = self.without_role(member);
        if role == self.terms.default_role {
            return Ok(next);
        }
        if next.roles.len() >= MAX_ROLES {
            return Err(Full);
        }
        let at = next.roles.partition_point(|(other, _)| *other < member);
        next.roles.insert(at, (member, role));
        Ok(next)
    }

    /// The same state with the default role for `member`.
    pub(crate) fn without_role(&self, member: MemberId) -> Self {
        let mut next = self.clone();
        next.roles.retain(|(other, _)| *other != member);
        next
    }

    /// The same state with `member`, who is not the host, banned and without a role of its own.
    pub(crate) fn with_ban(&self, member: MemberId) -> Result<Self, Full> {
        let mut next = self.without_role(member);
        if let Err(at) = next.bans.binary_search(&member) {
            if next.bans.len() >= MAX_BANS {
                return Err(Full);
            }
            next.bans.insert(at, member);
        }
        Ok(next)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let terms = &self.terms;
        let mut out = Writer::new()
            .u8(VERSION)
            .vec8(terms.name.as_str().as_bytes())
            .bytes(terms.host.as_bytes())
            .u8(terms.default_role.code())
            .u16(terms.suite.id())
            .u8(match terms.authenticity {
                Authenticity::Signed => 0,
                Authenticity::Group => 1,
            })
            .u16(terms.packet_size.bytes());
        out = out.u16(self.roles.len() as u16);
        for (member, role) in &self.roles {
            out = out.bytes(member.as_bytes()).u8(role.code());
        }
        out = out.u16(self.bans.len() as u16);
        for member in &self.bans {
            out = out.bytes(member.as_bytes());
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let terms = Terms {
            name: Name::decode(reader.vec8(MAX_NAME)?)?,
            host: MemberId::from_bytes(reader.array()?),
            default_role: Role::from_code(reader.u8()?)?,
            suite: Suite::from_id(reader.u16()?).ok_or(Malformed)?,
            authenticity: match reader.u8()? {
                0 => Authenticity::Signed,
                1 => Authenticity::Group,
                _ => return Err(Malformed),
            },
            packet_size: PacketSize::new(reader.u16()?).map_err(|_| Malformed)?,
        };
        if !Role::Moderator.outranks(terms.default_role) {
            return Err(Malformed);
        }
        let mut state = Self::new(terms);
        let roles = usize::from(reader.u16()?);
        if roles > MAX_ROLES {
            return Err(Malformed);
        }
        for _ in 0..roles {
            let member = MemberId::from_bytes(reader.array()?);
            let role = Role::from_code(reader.u8()?)?;
            let ascending = state.roles.last().is_none_or(|(last, _)| *last < member);
            if !ascending
                || member == state.terms.host
                || role == Role::Host
                || role == state.terms.default_role
            {
                return Err(Malformed);
            }
            state.roles.push((member, role));
        }
        let bans = usize::from(reader.u16()?);
        if bans > MAX_BANS {
            return Err(Malformed);
        }
        for _ in 0..bans {
            let member = MemberId::from_bytes(reader.array()?);
            let ascending = state.bans.last().is_none_or(|last| *last < member);
            if !ascending || member == state.terms.host {
                return Err(Malformed);
            }
            state.bans.push(member);
        }
        reader.finish()?;
        Ok(state)
    }

    fn listed(&self, member: MemberId) -> Option<Role> {
        let at = self.roles.binary_search_by_key(&member, |(other, _)| *other).ok()?;
        self.roles.get(at).map(|(_, role)| *role)
    }
}

/// The list has no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

const VERSION: u8 = 1;
/// Roles other than the default one, in a room.
pub(crate) const MAX_ROLES: usize = 1024;
/// Identities that a room keeps out.
pub(crate) const MAX_BANS: usize = 1024;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn id(n: u8) -> MemberId {
        MemberId::from_bytes([n; 32])
    }

    pub(crate) fn state() -> RoomState {
        RoomState::new(Terms {
            name: Name::new("tea").unwrap(),
            host: id(1),
            default_role: Role::Listener,
            suite: Suite::Aes128Gcm,
            authenticity: Authenticity::Signed,
            packet_size: PacketSize::default(),
        })
    }

    #[test]
    fn roles_and_bans_are_looked_up() {
        let state =
            state().with_role(id(3), Role::Speaker).unwrap().with_role(id(2), Role::Moderator).unwrap();
        assert_eq!(state.role(id(1)), Role::Host);
        assert_eq!(state.role(id(2)), Role::Moderator);
        assert_eq!(state.role(id(3)), Role::Speaker);
        assert_eq!(state.role(id(4)), Role::Listener);
        let state = state.with_ban(id(3)).unwrap();
        assert!(state.is_banned(id(3)) && !state.is_banned(id(2)));
        assert_eq!(state.role(id(3)), Role::Listener);
    }

    #[test]
    fn one_state_has_one_encoding() {
        let bytes = state()
            .with_role(id(3), Role::Speaker)
            .unwrap()
            .with_role(id(2), Role::Moderator)
            .unwrap()
            .encode();
        let entry = bytes.len() - 2 - 66;
        let mut swapped = bytes.clone();
        swapped[entry..entry + 66].rotate_left(33);
        assert_eq!(RoomState::decode(&swapped), Err(Malformed));
        let mut default = bytes.clone();
        default[entry + 32] = Role::Listener.code();
        assert_eq!(RoomState::decode(&default), Err(Malformed));
        let mut second_host = bytes;
        second_host[entry + 32] = Role::Host.code();
        assert_eq!(RoomState::decode(&second_host), Err(Malformed));
    }

    proptest! {
        #[test]
        fn states_round_trip_and_every_truncation_is_refused(
            roles in prop::collection::btree_map(2u8.., 1u8..=2, 0..20),
            bans in prop::collection::btree_set(2u8.., 0..20),
        ) {
            let mut state = state();
            for (member, role) in roles {
                state = state.with_role(id(member), Role::from_code(role).unwrap()).unwrap();
            }
            for member in bans {
                state = state.with_ban(id(member)).unwrap();
            }
            let bytes = state.encode();
            prop_assert_eq!(RoomState::decode(&bytes), Ok(state));
            for len in 0..bytes.len() {
                prop_assert_eq!(RoomState::decode(&bytes[..len]), Err(Malformed));
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = RoomState::decode(&bytes);
        }
    }
}
