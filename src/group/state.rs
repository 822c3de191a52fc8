//! What a room has agreed on besides its tree: keeper, host, roles, bans and media parameters, in a group context
//! extension, so that members of one epoch cannot disagree (SPEC section 7.2).

use super::{
    chain::{self, Certificate, HandOver, MAX_HAND_OVERS},
    codec::{Malformed, Reader, Writer},
    identity::{MAX_NAME, Name},
    order::Order,
    policy::Violation,
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
    /// Made the room or was handed it: admits, removes, gives roles, closes. There is one.
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

    /// How far up a role is: whoever keeps the room, and whose branch wins, goes by this. Lower is higher.
    pub(crate) fn rank(self) -> u8 {
        self.code()
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
    /// Who puts commits in order.
    pub(crate) keeper: MemberId,
    /// Grows with each change of the keeper.
    pub(crate) term: u64,
    /// From the founder to the present host.
    chain: Vec<HandOver>,
    /// Ascending, without the host, without entries that say the default.
    roles: Vec<Listed>,
    /// Ascending.
    muted: Vec<MemberId>,
    /// Ascending by target.
    orders: Vec<Order>,
}

/// The part of a room's state that no commit may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) name: Name,
    /// Who made the room, its first host.
    pub(crate) founder: MemberId,
    pub(crate) default_role: Role,
    pub(crate) suite: Suite,
    pub(crate) authenticity: Authenticity,
    pub(crate) packet_size: PacketSize,
}

/// Somebody whose role is not the default one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    member: MemberId,
    role: Role,
    /// With moderators.
    certificate: Option<Certificate>,
}

impl RoomState {
    /// The state of a new room: its founder is host and keeper.
    pub(crate) fn new(terms: Terms) -> Self {
        let (keeper, none) = (terms.founder, Vec::new());
        Self { terms, keeper, term: 0, chain: none, roles: Vec::new(), muted: Vec::new(), orders: Vec::new() }
    }

    pub(crate) fn host(&self) -> MemberId {
        self.chain.last().map_or(self.terms.founder, |last| last.to)
    }

    /// Whether this identity is, or was, host of the room.
    pub(crate) fn was_host(&self, member: MemberId) -> bool {
        member == self.terms.founder || self.chain.iter().any(|hand_over| hand_over.to == member)
    }

    pub(crate) fn chain(&self) -> &[HandOver] {
        &self.chain
    }

    /// The role of a member, or the role that somebody would have on joining.
    pub(crate) fn role(&self, member: MemberId) -> Role {
        if member == self.host() {
            return Role::Host;
        }
        self.listed(member).map_or(self.terms.default_role, |listed| listed.role)
    }

    /// What makes a moderator believed outside the room.
    pub(crate) fn certificate(&self, moderator: MemberId) -> Option<&Certificate> {
        self.listed(moderator)?.certificate.as_ref()
    }

    pub(crate) fn is_banned(&self, member: MemberId) -> bool {
        self.order(member).is_some_and(|order| order.bans)
    }

    pub(crate) fn is_muted(&self, member: MemberId) -> bool {
        self.muted.binary_search(&member).is_ok()
    }

    /// The newest order about somebody.
    pub(crate) fn order(&self, target: MemberId) -> Option<&Order> {
        let at = self.orders.binary_search_by_key(&target, |order| order.target).ok()?;
        self.orders.get(at)
    }

    pub(crate) fn orders(&self) -> &[Order] {
        &self.orders
    }

    pub(crate) fn muted(&self) -> &[MemberId] {
        &self.muted
    }

    /// Everybody whose role is not the default one.
    pub(crate) fn roles(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.roles.iter().map(|listed| listed.member)
    }

    /// The same state with another role for `member`, who is not the host; a moderator has a certificate.
    pub(crate) fn with_role(
        &self,
        member: MemberId,
        role: Role,
        certificate: Option<Certificate>,
    ) -> Result<Self, Full> {
        let mut next = self.without_role(member);
        if role == self.terms.default_role {
            return Ok(next);
        }
        if next.roles.len() >= MAX_ROLES {
            return Err(Full);
        }
        let at = next.roles.partition_point(|other| other.member < member);
        next.roles.insert(at, Listed { member, role, certificate });
        Ok(next)
    }

    /// The same state with the default role for `member`.
    pub(crate) fn without_role(&self, member: MemberId) -> Self {
        let mut next = self.clone();
        next.roles.retain(|other| other.member != member);
        next
    }

    /// The same state without anything about somebody who is gone, but for orders.
    pub(crate) fn without(&self, member: MemberId) -> Self {
        let mut next = self.without_role(member);
        next.muted.retain(|other| *other != member);
        next
    }

    pub(crate) fn with_muted(&self, member: MemberId, muted: bool) -> Result<Self, Full> {
        let mut next = self.clone();
        match (next.muted.binary_search(&member), muted) {
            (Ok(at), false) => drop(next.muted.remove(at)),
            (Err(_), true) if next.muted.len() >= MAX_ROLES => return Err(Full),
            (Err(at), true) => next.muted.insert(at, member),
            (Ok(_), true) | (Err(_), false) => {}
        }
        Ok(next)
    }

    /// The same state with an order in place of an older one about the same identity.
    pub(crate) fn with_order(&self, order: Order) -> Result<Self, Full> {
        let mut next = if order.bans { self.without(order.target) } else { self.clone() };
        match next.orders.binary_search_by_key(&order.target, |other| other.target) {
            Ok(at) => next.orders.get_mut(at).into_iter().for_each(|place| *place = order),
            Err(_) if next.orders.len() >= MAX_ORDERS => return Err(Full),
            Err(at) => next.orders.insert(at, order),
        }
        Ok(next)
    }

    /// The same state with another keeper, in a later term than `after` as well.
    pub(crate) fn with_keeper(&self, keeper: MemberId, after: u64) -> Self {
        let term = self.term.max(after.min(self.term.saturating_add(MAX_LEAP - 1))).saturating_add(1);
        Self { keeper, term, ..self.clone() }
    }

    /// The same state with another host; the one before has `role` from now on.
    pub(crate) fn with_host(&self, hand_over: HandOver, before: Option<Certificate>) -> Result<Self, Full> {
        if self.chain.len() >= MAX_HAND_OVERS {
            return Err(Full);
        }
        let former = self.host();
        let mut next = self.without_role(hand_over.to).with_muted(hand_over.to, false)?;
        next.chain.push(hand_over);
        match before {
            Some(certificate) => next.with_role(former, Role::Moderator, Some(certificate)),
            None => Ok(next),
        }
    }

    /// Checks every signature in it that is not in `known` already.
    pub(crate) fn verify(&self, group_id: &[u8], known: Option<&RoomState>) -> Result<(), Violation> {
        self.verify_but(group_id, known, &[])
    }

    /// The same, but for orders that were verified a moment ago.
    pub(crate) fn verify_but(
        &self,
        group_id: &[u8],
        known: Option<&RoomState>,
        believed: &[Order],
    ) -> Result<(), Violation> {
        let known_chain = known.map_or(&[][..], |known| &known.chain);
        if !chain::is_genuine(&self.chain, self.terms.founder, group_id, known_chain) {
            return Err(Violation::HandOver);
        }
        for listed in &self.roles {
            let Some(certificate) = &listed.certificate else { continue };
            let is_known = known.is_some_and(|known| known.certificate(listed.member) == Some(certificate));
            let genuine = is_known || certificate.is_genuine(group_id, listed.member);
            if !genuine || !self.was_host(certificate.host()) {
                return Err(Violation::Certificate);
            }
        }
        let is_known = |order: &&Order| {
            believed.contains(order) || known.is_some_and(|known| known.order(order.target) == Some(*order))
        };
        let genuine = self.orders.iter().all(|order| is_known(&order) || order.is_genuine(group_id));
        if genuine { Ok(()) } else { Err(Violation::Order) }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let terms = &self.terms;
        let mut out = Writer::new()
            .u8(VERSION)
            .vec8(terms.name.as_str().as_bytes())
            .bytes(terms.founder.as_bytes())
            .u8(terms.default_role.code())
            .u16(terms.suite.id())
            .u8(match terms.authenticity {
                Authenticity::Signed => 0,
                Authenticity::Group => 1,
            })
            .u16(terms.packet_size.bytes())
            .bytes(self.keeper.as_bytes())
            .u64(self.term);
        out = chain::write(&self.chain, out).u16(self.roles.len() as u16);
        for Listed { member, role, certificate } in &self.roles {
            out = out.bytes(member.as_bytes()).u8(role.code());
            if let Some(certificate) = certificate {
                out = certificate.write(out);
            }
        }
        out = out.u16(self.muted.len() as u16);
        out = self.muted.iter().fold(out, |out, member| out.bytes(member.as_bytes()));
        out = out.u16(self.orders.len() as u16);
        self.orders.iter().fold(out, |out, order| order.write(out)).finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let terms = Terms {
            name: Name::decode(reader.vec8(MAX_NAME)?)?,
            founder: MemberId::from_bytes(reader.array()?),
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
        state.keeper = MemberId::from_bytes(reader.array()?);
        state.term = reader.u64()?;
        state.chain = chain::read(&mut reader)?;
        for _ in 0..at_most(MAX_ROLES, reader.u16()?)? {
            let member = MemberId::from_bytes(reader.array()?);
            let role = Role::from_code(reader.u8()?)?;
            let default = role == Role::Host || role == state.terms.default_role;
            if state.roles.last().is_some_and(|last| last.member >= member)
                || member == state.host()
                || default
            {
                return Err(Malformed);
            }
            let certificate =
                (role == Role::Moderator).then(|| Certificate::read(&mut reader)).transpose()?;
            state.roles.push(Listed { member, role, certificate });
        }
        for _ in 0..at_most(MAX_ROLES, reader.u16()?)? {
            let member = MemberId::from_bytes(reader.array()?);
            if state.muted.last().is_some_and(|last| *last >= member) || member == state.host() {
                return Err(Malformed);
            }
            state.muted.push(member);
        }
        for _ in 0..at_most(MAX_ORDERS, reader.u16()?)? {
            let order = Order::read(&mut reader)?;
            let ascending = state.orders.last().is_none_or(|last| last.target < order.target);
            if !ascending || order.bans && order.target == state.host() {
                return Err(Malformed);
            }
            state.orders.push(order);
        }
        reader.finish()?;
        Ok(state)
    }

    fn listed(&self, member: MemberId) -> Option<&Listed> {
        let at = self.roles.binary_search_by_key(&member, |listed| listed.member).ok()?;
        self.roles.get(at)
    }
}

/// The list has no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

fn at_most(max: usize, count: u16) -> Result<u16, Malformed> {
    if usize::from(count) <= max { Ok(count) } else { Err(Malformed) }
}

const VERSION: u8 = 1;
/// Roles other than the default one, in a room, and muted members.
pub(crate) const MAX_ROLES: usize = 1024;
/// Identities that a room keeps out, or has let in again. Each is 137 bytes of every commit that changes the state.
pub(crate) const MAX_ORDERS: usize = 256;
/// How far one commit moves the term: nobody can use up the numbers.
pub(crate) const MAX_LEAP: u64 = 1 << 16;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::group::Identity;
    use proptest::prelude::*;

    pub(crate) fn id(n: u8) -> MemberId {
        identity(n).id()
    }

    pub(crate) fn identity(n: u8) -> Identity {
        Identity::from_seed([n; 32], Name::new("somebody").unwrap())
    }

    pub(crate) fn state() -> RoomState {
        RoomState::new(Terms {
            name: Name::new("tea").unwrap(),
            founder: id(1),
            default_role: Role::Listener,
            suite: Suite::Aes128Gcm,
            authenticity: Authenticity::Signed,
            packet_size: PacketSize::default(),
        })
    }

    pub(crate) fn certificate(n: u8) -> Option<Certificate> {
        Some(Certificate::new(&identity(1), GROUP, id(n)))
    }

    pub(crate) fn ban(by: u8, target: u8) -> Order {
        Order::new(&identity(by), GROUP, id(target), 1, true)
    }

    pub(crate) const GROUP: &[u8] = b"group";

    #[test]
    fn roles_mutes_and_bans_are_looked_up() {
        let state = state().with_role(id(3), Role::Speaker, None).unwrap();
        let state = state.with_role(id(2), Role::Moderator, certificate(2)).unwrap();
        assert_eq!(state.role(id(1)), Role::Host);
        assert_eq!(state.role(id(2)), Role::Moderator);
        assert_eq!(state.role(id(3)), Role::Speaker);
        assert_eq!(state.role(id(4)), Role::Listener);
        let state = state.with_muted(id(3), true).unwrap();
        assert!(state.is_muted(id(3)) && !state.is_muted(id(2)));
        let state = state.with_order(ban(1, 3)).unwrap();
        assert!(state.is_banned(id(3)) && !state.is_banned(id(2)) && !state.is_muted(id(3)));
        assert_eq!(state.role(id(3)), Role::Listener);
        assert_eq!(state.verify(GROUP, None), Ok(()));
        let lifted = state.with_order(Order::new(&identity(1), GROUP, id(3), 2, false)).unwrap();
        assert!(!lifted.is_banned(id(3)) && lifted.orders().len() == 1, "a lifted ban is remembered");
    }

    #[test]
    fn what_is_signed_by_somebody_else_does_not_hold() {
        let forged = Certificate::new(&identity(5), GROUP, id(2));
        let state = state().with_role(id(2), Role::Moderator, Some(forged)).unwrap();
        assert_eq!(state.verify(GROUP, None), Err(Violation::Certificate));
        let elsewhere = Order::new(&identity(1), b"other", id(3), 1, true);
        let state = self::state().with_order(elsewhere).unwrap();
        assert_eq!(state.verify(GROUP, None), Err(Violation::Order));
        assert_eq!(state.verify(GROUP, Some(&state)), Ok(()), "what is known is not checked again");
    }

    #[test]
    fn the_host_passes_along_a_chain() {
        let first = HandOver::new(&identity(1), GROUP, id(2));
        let state = state().with_host(first, certificate(1)).unwrap();
        assert_eq!((state.host(), state.role(id(1))), (id(2), Role::Moderator));
        assert_eq!(state.verify(GROUP, None), Ok(()));
        let next = state.with_host(HandOver::new(&identity(2), GROUP, id(3)), None).unwrap();
        assert_eq!(
            (next.host(), next.role(id(2)), next.verify(GROUP, None)),
            (id(3), Role::Listener, Ok(()))
        );
        assert_eq!(RoomState::decode(&next.encode()), Ok(next));
        let stolen = state.with_host(HandOver::new(&identity(1), GROUP, id(4)), None).unwrap();
        assert_eq!(stolen.verify(GROUP, None), Err(Violation::HandOver));
    }

    #[test]
    fn one_state_has_one_encoding() {
        let bytes = state()
            .with_role(id(3), Role::Speaker, None)
            .unwrap()
            .with_role(id(4), Role::Recorder, None)
            .unwrap()
            .encode();
        let entry = bytes.len() - 4 - 66;
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
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn states_round_trip_and_every_truncation_is_refused(
            roles in prop::collection::btree_map(2u8.., 1u8..=2, 0..8),
            bans in prop::collection::btree_set(2u8.., 0..8),
            muted in prop::collection::btree_set(2u8.., 0..8),
            term: u64,
        ) {
            let mut state = RoomState { term, ..state() };
            for (member, role) in roles {
                let role = Role::from_code(role).unwrap();
                let certificate = (role == Role::Moderator).then(|| certificate(member)).flatten();
                state = state.with_role(id(member), role, certificate).unwrap();
            }
            for member in muted {
                state = state.with_muted(id(member), true).unwrap();
            }
            for member in bans {
                state = state.with_order(ban(1, member)).unwrap();
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
