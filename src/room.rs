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
mod naming;
mod options;
mod pending;
mod reports;
mod returning;
mod seat;
mod sharing;
mod succession;
mod vouched;
mod waiting;

use std::{fmt, time::Instant};

use bytes::Bytes;

use self::{
    core::{Clock, Core, random, seeded},
    door::Door,
    held::Held,
    membership::{Memory, Record},
    returning::Absent,
    seat::{Outcome, Seat},
    waiting::Waiting,
};
use crate::{
    group::{
        Identity, Invite, KeyExchange, Member, Name, PairCode, Role, RoomCode,
        envelope::{EnvelopeError, Inbox, LaneKey},
        invite::MAX_RELAYS,
        message::{Message, RefuseReason as Reason, Refused},
        mls::{Applicant, Failure, Group, JoinError, JoinSecret},
        state::{RoomState, Terms},
    },
    id::{Epoch, MemberId},
    keys::{Rekey, secret::Secret},
    media::Silence,
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
    /// `seed` is 32 fresh random bytes, never used twice; `now` and `unix` are one moment by two clocks.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub fn create(
        identity: Identity,
        options: RoomOptions,
        seed: [u8; 32],
        now: Instant,
        unix: UnixTime,
    ) -> Result<Self, CreateError> {
        if options.relays.is_empty() || options.relays.len() > MAX_RELAYS {
            return Err(CreateError::Relays);
        }
        if !Role::Moderator.outranks(options.default_role) {
            return Err(CreateError::DefaultRole);
        }
        let mut rng = seeded(seed);
        let group_id: [u8; 16] = random(&mut rng);
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
            random(&mut rng),
            random(&mut rng),
            unix,
        )?;
        let ikm = Secret::wrap(random::<32>(&mut rng).to_vec());
        let door = Door::new(JoinSecret::derive(&ikm)?, options.admission, now, unix);
        let lane = LaneKey::new(&random(&mut rng));
        let mut core = Core::new(identity, lane, options.relays, rng, Clock { began: now, unix });
        let seat = Seat::new(&mut core, group, Held::default(), Some(Box::new(door)), now)?;
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
        seed: [u8; 32],
        now: Instant,
        unix: UnixTime,
    ) -> Result<Self, KnockError> {
        if unix >= invite.expires {
            return Err(KnockError::Expired);
        }
        if identity.id() == invite.host {
            return Err(KnockError::OwnRoom);
        }
        let mut rng = seeded(seed);
        let applicant = Applicant::new(
            &identity,
            &invite.group_id,
            invite.key_exchange,
            random(&mut rng),
            random(&mut rng),
            unix,
        )?;
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
        seed: [u8; 32],
        now: Instant,
        unix: UnixTime,
    ) -> Result<Self, ResumeError> {
        let record = membership.read().map_err(|_| ResumeError::OtherIdentity)?;
        let Record { own, lane, relays, memory, keys } = record;
        if own != identity.id() {
            return Err(ResumeError::OtherIdentity);
        }
        let core = Core::new(identity, lane, relays, seeded(seed), Clock { began: now, unix });
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

    fn handle_waiting(&mut self, message: Message, now: Instant) -> Result<(), ControlError> {
        let Phase::Waiting(waiting) = &mut self.phase else { return Ok(()) };
        match message {
            Message::Welcome(welcome) => self.enter(&welcome, now),
            Message::Mls(message) => waiting.hold(message),
            Message::Refused(refused) => {
                if waiting.is_refused_by(&refused)? {
                    self.end(Ending::Refused(refused.reason));
                }
                Ok(())
            }
            Message::Knock(_) | Message::Petition(_) | Message::Heartbeat(_) | Message::Spent(_) => Ok(()),
        }
    }

    fn handle_present(&mut self, message: Message, now: Instant) -> Result<(), ControlError> {
        let Phase::Present(seat) = &mut self.phase else { return Ok(()) };
        let outcome = match message {
            Message::Knock(knock) => return seat.handle_knock(&mut self.core, &knock, now),
            Message::Petition(petition) => return seat.handle_petition(&mut self.core, &petition, now),
            Message::Spent(seeds) => return self.core.handle_spent(&seeds),
            Message::Welcome(welcome) => return self.come_back(&welcome, now),
            Message::Refused(refused) => return self.handle_refused(&refused, now),
            Message::Heartbeat(heartbeat) => seat.handle_heartbeat(&mut self.core, &heartbeat, now)?,
            Message::Mls(message) => seat.handle_mls(&mut self.core, message, now)?,
        };
        self.settle(outcome);
        Ok(())
    }

    fn handle_returning(&mut self, message: Message, now: Instant) -> Result<(), ControlError> {
        let Phase::Returning(absent) = &mut self.phase else { return Ok(()) };
        match message {
            Message::Heartbeat(heartbeat) => absent.handle_heartbeat(&mut self.core, &heartbeat, now),
            Message::Mls(message) => absent.hold(message),
            Message::Welcome(welcome) => self.come_back(&welcome, now),
            Message::Refused(refused) => self.handle_refused(&refused, now),
            Message::Spent(seeds) => self.core.handle_spent(&seeds),
            Message::Knock(_) | Message::Petition(_) => Ok(()),
        }
    }

    fn enter(&mut self, welcome: &[u8], now: Instant) -> Result<(), ControlError> {
        let own = self.core.identity.id();
        let waiting = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Waiting(waiting) => waiting,
            other => {
                self.phase = other;
                return Ok(());
            }
        };
        let entered = match waiting.enter(own, welcome) {
            Ok(entered) => entered,
            Err((waiting, error)) => {
                self.phase = Phase::Waiting(waiting);
                return match error {
                    JoinError::NotForUs => Ok(()),
                    error => Err(error.into()),
                };
            }
        };
        self.core.invite = Some(entered.invite);
        let seat = entered.group.and_then(|group| {
            self.core.events.push_back(Event::Joined { epoch: group.epoch() });
            Seat::new(&mut self.core, group, entered.held, None, now)
        });
        self.sit_down(seat, now);
        Ok(())
    }

    /// Takes a welcome into a room that we were in before.
    fn come_back(&mut self, welcome: &[u8], now: Instant) -> Result<(), ControlError> {
        let own = self.core.identity.id();
        let (returning, id, state, keeper) = match &self.phase {
            Phase::Present(seat) => {
                let (Some(returning), Some(rival)) = (&seat.returning, &seat.rival) else { return Ok(()) };
                (returning, seat.group.id(), seat.group.state(), rival.keeper)
            }
            Phase::Returning(absent) => {
                let (Some(returning), Some(rival)) = (&absent.returning, &absent.rival) else {
                    return Ok(());
                };
                (returning, absent.memory.group_id.as_slice(), &absent.memory.state, rival.keeper)
            }
            Phase::Waiting(_) | Phase::Over => return Ok(()),
        };
        let entry = match returning.check(welcome, own, id, state, keeper) {
            Ok(entry) => entry,
            Err(JoinError::NotForUs) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let core = &mut self.core;
        let seat = match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Present(mut before) => before.returning.take().map(|returning| {
                let (group, held) = returning.enter(entry)?;
                core.events.push_back(Event::Returned { epoch: group.epoch() });
                let mut seat = Seat::new(core, group, held, before.door.take(), now)?;
                seat.follows(core, *before, now)?;
                core.resume();
                Ok(seat)
            }),
            Phase::Returning(absent) => {
                let Absent { memory, door, returning, .. } = *absent;
                returning.map(|returning| {
                    let (group, held) = returning.enter(entry)?;
                    core.events.push_back(Event::Returned { epoch: group.epoch() });
                    let mut seat = Seat::new(core, group, held, door, now)?;
                    seat.highest_term = seat.highest_term.max(memory.highest_term);
                    core.resume();
                    Ok(seat)
                })
            }
            Phase::Waiting(_) | Phase::Over => None,
        };
        if let Some(seat) = seat {
            self.sit_down(seat, now);
        }
        Ok(())
    }

    fn sit_down(&mut self, seat: Result<Seat, Failure>, now: Instant) {
        match seat {
            Ok(mut seat) => {
                let outcome = seat.retry_held(&mut self.core, now);
                self.phase = Phase::Present(Box::new(seat));
                self.settle(outcome);
            }
            Err(Failure(what)) => self.end(Ending::Broken(what)),
        }
    }

    /// A keeper that we asked to let us back says no.
    fn handle_refused(&mut self, refused: &Refused, now: Instant) -> Result<(), ControlError> {
        let (returning, rival, id) = match &self.phase {
            Phase::Present(seat) => (&seat.returning, &seat.rival, seat.group.id()),
            Phase::Returning(absent) => (&absent.returning, &absent.rival, absent.memory.group_id.as_slice()),
            Phase::Waiting(_) | Phase::Over => return Ok(()),
        };
        let (Some(returning), Some(rival)) = (returning, rival) else { return Ok(()) };
        if !returning.is_refused_by(refused, rival.keeper, id)? {
            return Ok(());
        }
        let (by, banned) = (rival.keeper, refused.reason == Reason::Banned);
        let invite = self.core.invite.take();
        match invite {
            // Only the branch that gave way had let us in.
            Some(invite) if refused.reason == Reason::Unknown && !self.was_removed() => {
                self.knock_again(invite, now);
            }
            _ => self.end(Ending::Removed { by, banned }),
        }
        Ok(())
    }

    /// Whether the keeper named somebody to remove us: then we do not knock again by ourselves.
    fn was_removed(&self) -> bool {
        match &self.phase {
            Phase::Present(seat) => {
                let own = seat.group.own_leaf();
                seat.task.as_ref().is_some_and(|task| task.removes.contains(&own))
            }
            Phase::Waiting(_) | Phase::Returning(_) | Phase::Over => false,
        }
    }

    fn knock_again(&mut self, invite: Invite, now: Instant) {
        let core = &mut self.core;
        let unix = core.clock.unix(now);
        if unix >= invite.expires {
            return self.end(Ending::Refused(Reason::Expired));
        }
        let applicant = core.apply(&invite.group_id, invite.key_exchange, now);
        let waiting = applicant.and_then(|applicant| {
            let mut waiting = Waiting::new(applicant, invite, now);
            waiting.handle_timeout(core, now)?;
            Ok(waiting)
        });
        match waiting {
            Ok(waiting) => {
                self.core.stop(Silence::Returning);
                self.phase = Phase::Waiting(Box::new(waiting));
            }
            Err(Failure(what)) => self.end(Ending::Broken(what)),
        }
    }

    /// Goes by what a message or the time came to.
    fn settle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Stays => {}
            Outcome::Ends(ending) => self.end(ending),
            Outcome::Lost => {
                let phase = std::mem::replace(&mut self.phase, Phase::Over);
                if let Phase::Present(seat) = phase {
                    let memory = Memory::of(&seat.group, seat.highest_term);
                    let mut absent = Absent::new(memory, seat.door);
                    // The welcome to what we asked for comes next.
                    absent.rival = seat.rival;
                    absent.returning = seat.returning;
                    self.core.stop(Silence::Returning);
                    self.phase = Phase::Returning(Box::new(absent));
                }
            }
        }
    }

    fn end_if_broken(&mut self) {
        if let Phase::Present(seat) = &mut self.phase
            && let Some(Failure(what)) = seat.broken()
        {
            self.end(Ending::Broken(what));
        }
    }

    /// Drops the group and every key, and says how it ended.
    fn end(&mut self, ending: Ending) {
        self.phase = Phase::Over;
        self.core.end_reports(&ending);
        self.core.stop(match ending {
            Ending::Removed { .. } => Silence::Removed,
            _ => Silence::Closed,
        });
        self.core.events.push_back(Event::Over(ending));
    }
}

/// Names neither the room nor its members.
impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({:?})", self.status())
    }
}
