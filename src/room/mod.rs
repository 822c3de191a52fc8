//! A room: one member's view of it, as a state machine (SPEC section 7).
//!
//! ```text
//!            handle_control(bytes, now)              poll_transmit  > control lane
//! relay >    handle_timeout(now)            > Room > poll_rekey     > Sealer, Opener
//! app   >    admit, ban, leave ...                   poll_event     > app
//!                                                    poll_timeout   > when to come back
//! ```
//!
//! No clock, no socket, no task: time and randomness are arguments, and everything that is to happen
//! outside is polled. After every call, poll until there is nothing more.
//!
//! Rights come from the law (`spec/law.md`): statements signed by people of rank. The MLS tree
//! follows the law; whoever puts commits in order, the *keeper*, grants nothing.
//!
//! | file | what |
//! | --- | --- |
//! | `phase` | how a member comes in, loses its place, returns, and when a room is over |
//! | `seat`, `entering`, `making`, `hearing`, `across`, `acting` | a member that is present; the only place where effects happen |
//! | `commits`, `order`, `judge`, `liveness`, `presence` | rules: pure functions of a view |
//! | `keeper`, `doors`, `joining`, `returning`, `showing` | agents with state of their own |
//! | `memory`, `membership`, `freshness` | what outlives a place in the tree |

mod across;
mod acting;
#[cfg(test)]
mod attacks;
mod bounded;
mod commands;
mod commits;
mod doors;
mod entering;
mod error;
mod event;
mod freshness;
mod hearing;
mod held;
#[cfg(feature = "testkit")]
pub(crate) mod insider;
mod joining;
mod judge;
mod keeper;
mod liveness;
mod making;
mod membership;
mod memory;
mod options;
mod order;
mod outbox;
mod people;
mod petition;
mod phase;
mod presence;
mod returning;
mod seat;
mod showing;
mod shown;
mod skew;
mod speakers;
mod view;
mod violation;

use std::{fmt, sync::Arc, time::Instant};

use bytes::Bytes;

use self::{
    joining::Joining,
    judge::{Newest, Past},
    memory::Memory,
    outbox::{Clock, Outbox},
    phase::{Absent, Phase},
};
use crate::{
    group::{Identity, KeyExchange, Member, Name, PairCode, Role, RoomCode},
    id::{Epoch, IdentityKey, MemberId},
    keys::Rekey,
    law::{Anchor, DefaultRole, Store, Terms},
    media::{Authenticity, PacketSize},
    random::{Generator, Seed},
    transport::{RelayName, RoomHandle},
    wire::{
        envelope::LaneKey,
        inbox::Inbox,
        invite::{Invite, MAX_RELAYS},
        message::Message,
    },
};

pub use self::{
    commands::InviteState,
    error::{CommandError, ControlError, CreateError, KnockError, ResumeError},
    event::{Ending, Event, KnockId},
    membership::{Membership, MembershipError},
    options::{Admission, InviteOptions, RoomOptions},
    speakers::ReportError,
    violation::Violation,
};
pub use crate::{
    law::Unattended,
    wire::{answer::RefuseReason, invite::UnixTime},
};

/// One member's view of a room.
///
/// Made by [`Room::create`], [`Room::knock`] or [`Room::resume`]. Sans-IO: see the [module](self) for the
/// loop around it, and [`driver`](crate::driver) for one that is written already. Dropping it wipes its
/// keys; the sealer and the opener keep theirs until they are dropped or told to stop.
pub struct Room {
    out: Outbox,
    inbox: Inbox,
    phase: Phase,
    now: Instant,
}

/// Where we stand with a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// We knocked, and are not in yet.
    Waiting,
    /// We are in.
    Present,
    /// We were in, and are on the way back: nobody has to be asked.
    Returning,
    /// The room is over for us.
    Over,
}

impl Room {
    /// Makes a room, with its maker as host and only member.
    ///
    /// `seed` is fresh ([`Seed::generate`]); `now` and `unix` are one moment by two clocks.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub fn create(
        identity: Identity,
        options: RoomOptions,
        seed: Seed,
        now: Instant,
        unix: UnixTime,
    ) -> Result<Self, CreateError> {
        if options.relays.is_empty() || options.relays.len() > MAX_RELAYS {
            return Err(CreateError::Relays);
        }
        let default_role = match options.default_role {
            Role::Listener => DefaultRole::Listener,
            Role::Speaker => DefaultRole::Speaker,
            _ => return Err(CreateError::DefaultRole),
        };
        let mut rng = Generator::new(seed);
        let (salt, lane) = (rng.array(), rng.array());
        let own = IdentityKey::from_bytes(*identity.public());
        let terms = Arc::new(Terms {
            salt,
            founder: own,
            name: options.name,
            key_exchange: options.key_exchange,
            suite: options.suite,
            authenticity: options.authenticity,
            packet_size: options.packet_size,
            unattended: options.unattended,
            default_role,
        });
        let store = Store::new(terms, Anchor::Founder, own);
        let mut out =
            Outbox::new(identity, LaneKey::new(&lane), options.relays, rng, Clock { began: now, unix });
        out.admission = options.admission;
        let mut memory = Memory::new(store);
        let seat = phase::found(&mut out, &mut memory, Past::default(), Newest::default(), now, now)?;
        let phase = Phase::Present(Box::new(memory), Box::new(seat));
        Ok(Self { out, inbox: Inbox::default(), phase, now })
    }

    /// Knocks at a room, until somebody of rank answers.
    ///
    /// `seed`, `now` and `unix` are as for [`Room::create`].
    ///
    /// # Errors
    /// See [`KnockError`].
    pub fn knock(
        identity: Identity,
        invite: Invite,
        seed: Seed,
        now: Instant,
        unix: UnixTime,
    ) -> Result<Self, KnockError> {
        if unix >= invite.expires {
            return Err(KnockError::Expired);
        }
        if *identity.public() == *invite.host.as_bytes() {
            return Err(KnockError::OwnRoom);
        }
        let (lane, relays) = (invite.lane.copy(), invite.relays.clone());
        let mut out = Outbox::new(identity, lane, relays, Generator::new(seed), Clock { began: now, unix });
        let joining = Joining::new(&mut out, invite, now)?;
        Ok(Self { out, inbox: Inbox::default(), phase: Phase::Joining(Box::new(joining)), now })
    }

    /// Goes on in a room that we were in before a restart.
    ///
    /// Nobody has to be asked: the room lets its members back in. `seed`, `now` and `unix` are as for
    /// [`Room::create`]; `identity` is the one that was in the room.
    ///
    /// # Errors
    /// See [`ResumeError`].
    pub fn resume(
        identity: Identity,
        membership: &Membership,
        seed: Seed,
        now: Instant,
        unix: UnixTime,
    ) -> Result<Self, ResumeError> {
        let record = membership.read(&identity).map_err(|_| ResumeError::OtherIdentity)?;
        let mut out = Outbox::new(
            identity,
            record.lane,
            record.relays,
            Generator::new(seed),
            Clock { began: now, unix },
        );
        out.admission = record.admission;
        let absent = Absent::new(record.memory, Past::default(), Newest::default(), now);
        Ok(Self { out, inbox: Inbox::default(), phase: Phase::Returning(Box::new(absent)), now })
    }

    /// What to store, so that a restart does not cost us our place; `None` unless we are or were in.
    ///
    /// It changes with the roster, the roles and the bans: store it anew on every [`Event::Changed`].
    pub fn membership(&self) -> Option<Membership> {
        self.memory().map(|memory| Membership::new(&self.out, memory))
    }

    /// Mixes a fresh seed into everything that the room draws from now on.
    ///
    /// Call it about once a minute and after each change of epoch, as the [driver](crate::driver) does. Somebody
    /// who read the memory of the device once then cannot compute the room's later secrets, and what was drawn
    /// before was never computable from it.
    pub fn stir(&mut self, seed: Seed) {
        self.out.rng.stir(seed.bytes());
        if let Phase::Present(_, seat) = &self.phase {
            let own = self.out.rng.seed();
            seat.group.stir(own.bytes());
        }
    }

    /// Takes one control message of another member, as the transport delivered it.
    ///
    /// # Errors
    /// [`ControlError`] says why the message did nothing. The room goes on; most callers count it.
    pub fn handle_control(&mut self, message: &[u8], now: Instant) -> Result<(), ControlError> {
        self.now = self.now.max(now);
        if matches!(self.phase, Phase::Over) {
            return Err(ControlError::Over);
        }
        let whole = self.inbox.receive(&self.out.lane, message, now)?;
        let Some(whole) = whole else { return Ok(()) };
        let message = Message::decode(&whole).map_err(|_| ControlError::Malformed)?;
        let outcome = self.take(message, now);
        self.end_if_faulty();
        outcome
    }

    /// Does what is due at `now`. Calling it early does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.tend(now);
        self.tend_reports(now);
        self.end_if_faulty();
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let phase = self.phase_timeout(self.now);
        [phase, self.out.reports_timeout()].into_iter().flatten().min()
    }

    /// The next control message to send to everybody, in order: at most 16 KiB of what looks random.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.out.poll_transmit()
    }

    /// The next change of keys, for the sealer or the opener, in order.
    pub fn poll_rekey(&mut self) -> Option<Rekey> {
        let next = self.out.poll_rekey();
        next.or_else(|| match &mut self.phase {
            Phase::Present(_, seat) => seat.poll_rekey(),
            _ => None,
        })
    }

    /// The next thing to tell the user.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// Where we stand.
    pub fn status(&self) -> Status {
        match self.phase {
            Phase::Joining(_) => Status::Waiting,
            Phase::Present(..) => Status::Present,
            Phase::Returning(_) => Status::Returning,
            Phase::Over => Status::Over,
        }
    }

    /// Our own fingerprint.
    pub fn id(&self) -> MemberId {
        self.out.id()
    }

    /// What the relay calls the room.
    pub fn handle(&self) -> RoomHandle {
        RoomHandle::from_bytes(self.out.lane.handle())
    }

    /// The relays that may be contacted for this room.
    pub fn relays(&self) -> &[RelayName] {
        &self.out.relays
    }

    /// What the room is called, once we are in.
    pub fn name(&self) -> Option<&Name> {
        Some(&self.terms()?.name)
    }

    /// How the room agrees on its keys, once we are in.
    pub fn key_exchange(&self) -> Option<KeyExchange> {
        Some(self.terms()?.key_exchange)
    }

    /// The one size of packets before they are sealed, once we are in.
    pub fn packet_size(&self) -> Option<PacketSize> {
        Some(self.terms()?.packet_size)
    }

    /// Whether packets carry their speaker's signature, once we are in.
    pub fn authenticity(&self) -> Option<Authenticity> {
        Some(self.terms()?.authenticity)
    }

    /// The role of whoever comes in without one of its own, once we are in.
    pub fn default_role(&self) -> Option<Role> {
        Some(match self.terms()?.default_role {
            DefaultRole::Listener => Role::Listener,
            DefaultRole::Speaker => Role::Speaker,
        })
    }

    /// How our own door answers knocks, if we have rank.
    pub fn admission(&self) -> Option<Admission> {
        Some(self.memory()?.doors.as_ref()?.admission)
    }

    /// The present epoch, once we are in.
    pub fn epoch(&self) -> Option<Epoch> {
        self.seat().map(|seat| seat.group.epoch())
    }

    /// Who made the room or was handed it, once we are in.
    pub fn host(&self) -> Option<MemberId> {
        self.seat().map(|seat| seat.epoch_law.law().host().id())
    }

    /// Who puts commits in order, once we are in.
    pub fn keeper(&self) -> Option<MemberId> {
        self.seat().and_then(|seat| seat.keeper_id)
    }

    /// Our own role, once we are in.
    pub fn role(&self) -> Option<Role> {
        self.roster().iter().find(|member| member.is_self).map(|member| member.role)
    }

    /// Everybody in the room, ourselves included, by leaf; empty until we are in.
    ///
    /// This is the MLS tree itself, with the roles that the law of the epoch gives: nobody who is not
    /// here has the epoch's keys.
    pub fn roster(&self) -> &[Member] {
        self.seat().map_or(&[], |seat| &seat.members)
    }

    /// Everybody who can open what is sealed now: all of the roster, whatever their role.
    pub fn hears(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.roster().iter().map(|member| member.id)
    }

    /// Whether a member has said nothing for a while.
    pub fn is_absent(&self, member: MemberId) -> bool {
        self.seat().is_some_and(|seat| seat.presence.is_shown_absent(member))
    }

    /// Whether an identity is kept out, if this member has ever seen it.
    pub fn is_banned(&self, member: MemberId) -> bool {
        self.memory().is_some_and(|memory| {
            memory.key_of(member).is_some_and(|key| entering::is_banned(memory.store.law(), &key))
        })
    }

    /// Whether doors admit nobody new.
    pub fn is_locked(&self) -> bool {
        self.memory().is_some_and(|memory| memory.store.law().is_locked())
    }

    /// Everybody who waits at our door, in the order of coming.
    pub fn waiting(&self) -> impl Iterator<Item = (KnockId, MemberId, &Name)> {
        self.memory().and_then(|memory| memory.doors.as_ref()).into_iter().flat_map(|doors| doors.waiting())
    }

    /// The digits that are the same for everybody in this epoch of the room.
    pub fn code(&self) -> Option<RoomCode> {
        let group = &self.seat()?.group;
        let keys = group.roster().iter().map(|member| *member.key.as_bytes());
        Some(RoomCode::new(group.group_id(), group.authenticator(), keys))
    }

    /// The digits that this member and we share, in every room.
    pub fn pair_code(&self, member: MemberId) -> Option<PairCode> {
        let member = self.seat()?.group.occupant(member)?;
        Some(PairCode::new(self.out.identity.public(), member.key.as_bytes()))
    }

    fn terms(&self) -> Option<&Terms> {
        self.seat()?;
        Some(self.memory()?.store.known().terms())
    }
}

/// Names neither the room nor its members.
impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({:?})", self.status())
    }
}
