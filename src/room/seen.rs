//! The application's view of a room: its status, its terms and its members.

use std::time::Instant;

use super::{Admission, KnockId, Knocking, Room, Status, authors, phase::Phase};
use crate::{
    group::{KeyExchange, Member, Name, PairCode, Role, RoomCode},
    id::{Epoch, MemberId},
    keys::Suite,
    lane::{RelayName, RoomHandle},
    law::{DefaultRole, Terms, Unattended},
    media::{Authenticity, PacketSize, Sound},
};

impl Room {
    /// Whether we are in the room.
    pub fn status(&self) -> Status {
        match self.phase {
            Phase::Joining(_) => Status::Waiting,
            Phase::Present(..) => Status::Present,
            Phase::Returning(_) => Status::Returning,
            Phase::Over => Status::Over,
        }
    }

    /// Whether anybody answers our knocks; `None` unless we are still outside as a newcomer.
    pub fn knocking(&self, now: Instant) -> Option<Knocking> {
        match &self.phase {
            Phase::Joining(joining) => Some(joining.knocking(now + self.slept)),
            _ => None,
        }
    }

    /// Our own fingerprint.
    pub fn id(&self) -> MemberId {
        self.out.id()
    }

    /// The name of the room at its relays.
    pub fn handle(&self) -> RoomHandle {
        RoomHandle::from_bytes(self.out.lane.handle())
    }

    /// The relays that may be contacted for this room.
    pub fn relays(&self) -> &[RelayName] {
        &self.out.relays
    }

    /// The name of the room, once we are in.
    pub fn name(&self) -> Option<&Name> {
        Some(&self.terms()?.name)
    }

    /// How the room agrees on its keys, once we are in.
    pub fn key_exchange(&self) -> Option<KeyExchange> {
        Some(self.terms()?.key_exchange)
    }

    /// The size of all packets before they are sealed, once we are in.
    pub fn packet_size(&self) -> Option<PacketSize> {
        Some(self.terms()?.packet_size)
    }

    /// The kind of sound that packets hold, for which the encoder and the decoders are made. It
    /// comes from the room's terms or, until we are in, from our invite. `None` once the room is
    /// over.
    ///
    /// It never changes: nobody is let in with an invite that differs from the terms.
    pub fn sound(&self) -> Option<Sound> {
        match &self.phase {
            Phase::Joining(joining) => Some(joining.sound()),
            _ => Some(self.memory()?.store.known().terms().sound),
        }
    }

    /// The cipher suite that seals packets, once we are in.
    pub fn suite(&self) -> Option<Suite> {
        Some(self.terms()?.suite)
    }

    /// How long members go on sending without hearing the host or a moderator, once we are in.
    pub fn unattended(&self) -> Option<Unattended> {
        Some(self.terms()?.unattended)
    }

    /// Whether packets carry their speaker's signature, once we are in.
    pub fn authenticity(&self) -> Option<Authenticity> {
        Some(self.terms()?.authenticity)
    }

    /// The role of a member that is admitted without a role of its own, once we are in.
    pub fn default_role(&self) -> Option<Role> {
        Some(match self.terms()?.default_role {
            DefaultRole::Listener => Role::Listener,
            DefaultRole::Speaker => Role::Speaker,
        })
    }

    /// How this member answers knocks, if it has rank.
    pub fn admission(&self) -> Option<Admission> {
        Some(self.memory()?.doors.as_ref()?.admission)
    }

    /// The present epoch, once we are in.
    pub fn epoch(&self) -> Option<Epoch> {
        self.seat().map(|seat| seat.group.epoch())
    }

    /// The host, once we are in.
    pub fn host(&self) -> Option<MemberId> {
        self.seat().map(|seat| seat.epoch_law.law().host().id())
    }

    /// The keeper, which makes the room's commits, once we are in.
    pub fn keeper(&self) -> Option<MemberId> {
        self.seat().and_then(|seat| seat.keeper_id)
    }

    /// Our own role, once we are in.
    pub fn role(&self) -> Option<Role> {
        self.roster().iter().find(|member| member.is_self).map(|member| member.role)
    }

    /// Everybody in the room, ourselves included, by leaf; empty until we are in.
    ///
    /// This is the MLS tree itself, with the roles that the law of the epoch gives. Nobody outside
    /// this list has the epoch's keys.
    pub fn roster(&self) -> &[Member] {
        self.seat().map_or(&[], |seat| &seat.members)
    }

    /// Everybody who can open packets that are sealed now: the whole roster, whatever their role.
    pub fn hears(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.roster().iter().map(|member| member.id)
    }

    /// Whether no message of a member has come for a while.
    pub fn is_absent(&self, member: MemberId) -> bool {
        self.seat().is_some_and(|seat| seat.presence.is_shown_absent(member))
    }

    /// Whether an identity is banned, if this member has ever seen it.
    pub fn is_banned(&self, member: MemberId) -> bool {
        self.memory().is_some_and(|memory| {
            memory.key_of(member).is_some_and(|key| authors::is_banned(memory.store.law(), &key))
        })
    }

    /// Whether the room is locked, so that nobody new is admitted.
    pub fn is_locked(&self) -> bool {
        self.memory().is_some_and(|memory| memory.store.law().is_locked())
    }

    /// Everybody who waits for us to answer a knock, in the order of arrival.
    pub fn waiting(&self) -> impl Iterator<Item = (KnockId, MemberId, &Name)> {
        self.memory().and_then(|memory| memory.doors.as_ref()).into_iter().flat_map(|doors| doors.waiting())
    }

    /// The digits that are the same for everybody in this epoch of the room.
    pub fn code(&self) -> Option<RoomCode> {
        let group = &self.seat()?.group;
        let keys = group.roster().iter().map(|member| *member.key.as_bytes());
        Some(RoomCode::new(group.group_id(), group.authenticator(), keys))
    }

    /// The digits that a member and this member share in every room, to compare aloud.
    pub fn pair_code(&self, member: MemberId) -> Option<PairCode> {
        let member = self.seat()?.group.occupant(member)?;
        Some(PairCode::new(self.out.identity.public(), member.key.as_bytes()))
    }

    fn terms(&self) -> Option<&Terms> {
        self.seat()?;
        Some(self.memory()?.store.known().terms())
    }
}
