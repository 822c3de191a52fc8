//! A room: one member's view of it, as a state machine (SPEC sections 6 to 8).
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

mod asks;
#[cfg(test)]
mod attacks;
mod commands;
mod core;
mod door;
mod error;
mod event;
mod expiry;
mod fork;
mod held;
mod keeper;
mod lineage;
mod liveness;
mod membership;
mod missing;
mod naming;
mod options;
mod outlaw;
mod passage;
mod pending;
mod reports;
mod returning;
mod seat;
mod sharing;
mod strangers;
mod succession;
mod times;
mod vouched;
mod waiting;

use std::{fmt, time::Instant};

use bytes::Bytes;

use self::{
    core::{Clock, Core},
    door::Door,
    held::Held,
    membership::{Memory, Record},
    returning::Absent,
    seat::Seat,
    waiting::Waiting,
};
use crate::{
    group::{
        Identity, Invite, KeyExchange, Member, Name, PairCode, Role, RoomCode,
        envelope::{EnvelopeError, Inbox, LaneKey},
        invite::MAX_RELAYS,
        message::Message,
        mls::{Applicant, Failure, Group, JoinSecret},
        state::{RoomState, Terms},
    },
    id::{Epoch, MemberId},
    keys::{Rekey, secret::Secret},
    random::{Generator, Seed},
    transport::{RelayName, RoomHandle},
};

pub use self::{
    error::{CommandError, ControlError, CreateError, KnockError, ResumeError},
    event::{Ending, Event, KnockId},
    membership::{Membership, MembershipError},
    options::{Admission, InviteOptions, RoomOptions},
    reports::ReportError,
};
pub use crate::group::{invite::UnixTime, message::RefuseReason};

/// One member's view of a room.
///
/// Made by [`Room::create`], [`Room::knock`] or [`Room::resume`]. Sans-IO: see the [module](self) for the loop around it,
/// and [`driver`](crate::driver) for one that is written already. Dropping it wipes its keys; the sealer
/// and the opener keep theirs until they are dropped or told to stop.
pub struct Room {
    core: Core,
    inbox: Inbox,
    phase: Phase,
}

enum Phase {
    Waiting(Box<Waiting>),
    Present(Box<Seat>),
    Returning(Box<Absent>),
    Over,
}

/// Where we stand with a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// We knocked, and have no answer yet.
    Waiting,
    /// We are in.
    Present,
    /// We were in, and are on the way back: the room lets us in again by itself.
    Returning,
    /// It is over for us.
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
        if !Role::Moderator.outranks(options.default_role) {
            return Err(CreateError::DefaultRole);
        }
        let mut rng = Generator::new(seed);
        let group_id: [u8; 16] = rng.array();
        let state = RoomState::new(Terms {
            name: options.name,
            founder: identity.id(),
            default_role: options.default_role,
            suite: options.suite,
            authenticity: options.authenticity,
            packet_size: options.packet_size,
        });
        let group = Group::create(
            &identity,
            &group_id,
            &state,
            options.key_exchange,
            rng.array(),
            rng.array(),
            unix,
        )?;
        let ikm = Secret::wrap(rng.array::<32>().to_vec());
        let door = Door::new(JoinSecret::derive(&ikm)?, options.admission, now, unix);
        let lane = LaneKey::new(&rng.array());
        let mut core = Core::new(identity, lane, options.relays, rng, Clock { began: now, unix });
        let seat = Seat::new(&mut core, group, Held::default(), Some(Box::new(door)), now, now)?;
        Ok(Self { core, inbox: Inbox::default(), phase: Phase::Present(Box::new(seat)) })
    }

    /// Knocks at a room, until its host answers.
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
        if identity.id() == invite.host {
            return Err(KnockError::OwnRoom);
        }
        let mut rng = Generator::new(seed);
        let applicant =
            Applicant::new(&identity, &invite.group_id, invite.key_exchange, rng.array(), rng.array(), unix)?;
        let lane = invite.lane.copy();
        let mut core = Core::new(identity, lane, invite.relays.clone(), rng, Clock { began: now, unix });
        let mut waiting = Waiting::new(applicant, invite, now);
        waiting.handle_timeout(&mut core, now)?;
        Ok(Self { core, inbox: Inbox::default(), phase: Phase::Waiting(Box::new(waiting)) })
    }

    /// Goes on in a room that we were in before a restart.
    ///
    /// It listens for whoever keeps the room, and comes in again under a new leaf, without anybody being asked.
    /// `seed`, `now` and `unix` are as for [`Room::create`]; `identity` is the one that was in the room.
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
        let record = membership.read().map_err(|_| ResumeError::OtherIdentity)?;
        let Record { own, lane, relays, memory, keys } = record;
        if own != identity.id() {
            return Err(ResumeError::OtherIdentity);
        }
        let core = Core::new(identity, lane, relays, Generator::new(seed), Clock { began: now, unix });
        let door = keys.map(|keys| Door::from_keys(keys, now, unix)).transpose()?;
        let absent = Absent::new(memory, door.map(Box::new));
        Ok(Self { core, inbox: Inbox::default(), phase: Phase::Returning(Box::new(absent)) })
    }

    /// What to store, so that a restart does not cost us our place; `None` unless we are or were in.
    ///
    /// It changes with the roster, the roles and the bans: store it anew on every [`Event::Changed`].
    pub fn membership(&self) -> Option<Membership> {
        let core = &self.core;
        let own = core.identity.id();
        match &self.phase {
            Phase::Present(seat) => {
                let memory = Memory::of(&seat.group, seat.highest_term);
                Some(Membership::new(own, &core.lane, &core.relays, &memory, seat.door.as_deref()))
            }
            Phase::Returning(absent) => {
                Some(Membership::new(own, &core.lane, &core.relays, &absent.memory, absent.door.as_deref()))
            }
            Phase::Waiting(_) | Phase::Over => None,
        }
    }

    /// Mixes a fresh seed into everything that the room draws from now on.
    ///
    /// Call it about once a minute and after each change of epoch, as the [driver](crate::driver) does. Somebody
    /// who read the memory of the device once then cannot compute the room's later secrets, and what was drawn
    /// before was never computable from it.
    pub fn stir(&mut self, seed: Seed) {
        self.core.rng.stir(seed.bytes());
        if let Phase::Present(seat) = &self.phase {
            let own = self.core.rng.seed();
            seat.group.stir(own.bytes());
        }
    }

    /// Takes one control message of another member, as the transport delivered it.
    ///
    /// # Errors
    /// [`ControlError`] says why the message did nothing. The room goes on; most callers count it.
    pub fn handle_control(&mut self, message: &[u8], now: Instant) -> Result<(), ControlError> {
        if matches!(self.phase, Phase::Over) {
            return Err(ControlError::Over);
        }
        let whole = self.inbox.receive(&self.core.lane, message).map_err(|error| match error {
            EnvelopeError::Size | EnvelopeError::Forged => ControlError::Envelope,
            EnvelopeError::Malformed => ControlError::Malformed,
        })?;
        let Some(whole) = whole else { return Ok(()) };
        let message = Message::decode(&whole).map_err(|_| ControlError::Malformed)?;
        let outcome = match &mut self.phase {
            Phase::Waiting(_) => self.handle_waiting(message, now),
            Phase::Present(_) => self.handle_present(message, now),
            Phase::Returning(_) => self.handle_returning(message, now),
            Phase::Over => Err(ControlError::Over),
        };
        self.end_if_broken();
        outcome
    }

    /// Does what is due at `now`. Calling it early does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Waiting(waiting) => {
                if let Err(Failure(what)) = waiting.handle_timeout(&mut self.core, now) {
                    self.end(Ending::Broken(what));
                }
            }
            Phase::Present(seat) => {
                let outcome = seat.handle_timeout(&mut self.core, now);
                self.settle(outcome);
            }
            Phase::Returning(absent) => {
                if let Err(Failure(what)) = absent.handle_timeout(&mut self.core, now) {
                    self.end(Ending::Broken(what));
                }
            }
            Phase::Over => {}
        }
        self.tend_reports(now);
        self.end_if_broken();
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Waiting(waiting) => Some(waiting.poll_timeout()),
            Phase::Present(seat) => seat.poll_timeout(),
            Phase::Returning(absent) => absent.poll_timeout(),
            Phase::Over => None,
        };
        [phase, self.reports_timeout()].into_iter().flatten().min()
    }

    /// The next control message to send to everybody, in order: at most 16 KiB of what looks random.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.core.outgoing.pop_front()
    }

    /// The next change of keys, for the sealer or the opener, in order.
    pub fn poll_rekey(&mut self) -> Option<Rekey> {
        let next = self.core.rekeys.pop_front();
        next.or_else(|| match &mut self.phase {
            Phase::Present(seat) => seat.poll_rekey(),
            Phase::Waiting(_) | Phase::Returning(_) | Phase::Over => None,
        })
    }

    /// The next thing to tell the user.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// Where we stand.
    pub fn status(&self) -> Status {
        match self.phase {
            Phase::Waiting(_) => Status::Waiting,
            Phase::Present(_) => Status::Present,
            Phase::Returning(_) => Status::Returning,
            Phase::Over => Status::Over,
        }
    }

    /// Our own fingerprint.
    pub fn id(&self) -> MemberId {
        self.core.identity.id()
    }

    /// What the relay calls the room.
    pub fn handle(&self) -> RoomHandle {
        RoomHandle::from_bytes(self.core.lane.handle())
    }

    /// The relays that may be contacted for this room.
    pub fn relays(&self) -> &[RelayName] {
        &self.core.relays
    }

    /// What the room is called, once we are in.
    pub fn name(&self) -> Option<&Name> {
        Some(&self.group()?.state().terms.name)
    }

    /// How the room agrees on its keys, once we are in.
    pub fn key_exchange(&self) -> Option<KeyExchange> {
        self.group().map(Group::key_exchange)
    }

    /// The present epoch, once we are in.
    pub fn epoch(&self) -> Option<Epoch> {
        self.group().map(Group::epoch)
    }

    /// Who made the room or was handed it, once we are in.
    pub fn host(&self) -> Option<MemberId> {
        Some(self.group()?.state().host())
    }

    /// Who puts commits in order, once we are in: the host, or whoever stands in for it.
    pub fn keeper(&self) -> Option<MemberId> {
        Some(self.group()?.state().keeper)
    }

    /// Our own role, once we are in.
    pub fn role(&self) -> Option<Role> {
        self.roster().iter().find(|member| member.is_self).map(|member| member.role)
    }

    /// Everybody in the room, ourselves included, by leaf; empty until we are in.
    ///
    /// This is the MLS tree itself: nobody who is not here has the epoch's keys.
    pub fn roster(&self) -> &[Member] {
        self.group().map_or(&[], Group::roster)
    }

    /// Everybody who can open what is sealed now: all of the roster, whatever their role.
    pub fn hears(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.roster().iter().map(|member| member.id)
    }

    /// Whether an identity is kept out.
    pub fn is_banned(&self, member: MemberId) -> bool {
        self.group().is_some_and(|group| group.state().is_banned(member))
    }

    /// The digits that are the same for everybody in this epoch of the room.
    pub fn code(&self) -> Option<RoomCode> {
        let group = self.group()?;
        Some(RoomCode::new(group.id(), group.authenticator(), group.roster().iter().map(|member| member.key)))
    }

    /// The digits that this member and we share, in every room.
    pub fn pair_code(&self, member: MemberId) -> Option<PairCode> {
        let member = self.group()?.member(member)?;
        Some(PairCode::new(self.core.identity.public(), &member.key))
    }

    fn group(&self) -> Option<&Group> {
        match &self.phase {
            Phase::Present(seat) => Some(&seat.group),
            Phase::Waiting(_) | Phase::Returning(_) | Phase::Over => None,
        }
    }
}

/// Names neither the room nor its members.
impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({:?})", self.status())
    }
}
