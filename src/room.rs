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

#[cfg(test)]
mod attacks;
mod core;
mod door;
mod error;
mod event;
mod expiry;
mod held;
mod liveness;
mod options;
mod reports;
mod seat;
mod vouched;
mod waiting;

use std::{fmt, time::Instant};

use bytes::Bytes;

use self::{
    core::{Clock, Core, random, seeded},
    door::Door,
    seat::{Outcome, Seat},
    waiting::Waiting,
};
use crate::{
    group::{
        Identity, Invite, KeyExchange, Member, Name, PairCode, Role, RoomCode,
        envelope::{EnvelopeError, Inbox, LaneKey},
        invite::MAX_RELAYS,
        message::{Announcement, Message},
        mls::{Applicant, Failure, Group, JoinError, JoinSecret},
        policy::Action,
        state::{RoomState, Terms},
    },
    id::{Epoch, MemberId},
    keys::{Rekey, secret::Secret},
    media::Silence,
    transport::{RelayName, RoomHandle},
};

pub use self::{
    error::{CommandError, ControlError, CreateError, KnockError},
    event::{Ending, Event, KnockId},
    options::{Admission, InviteOptions, RoomOptions},
    reports::ReportError,
};
pub use crate::group::{invite::UnixTime, message::RefuseReason};

/// One member's view of a room.
///
/// Made by [`Room::create`] or [`Room::knock`]. Sans-IO: see the [module](self) for the loop around it,
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
            host: identity.id(),
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
        let door = Door::new(JoinSecret::derive(&ikm)?, options.admission, now);
        let lane = LaneKey::new(&random(&mut rng));
        let mut core = Core::new(identity, lane, options.relays, rng, Clock { began: now, unix });
        let seat = Seat::keeper(&mut core, group, door, now)?;
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
            Phase::Present(seat) => seat.handle_timeout(&mut self.core, now),
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
            Phase::Waiting(_) | Phase::Over => None,
        })
    }

    /// The next thing to tell the user.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// Makes an invite. Its text, by `to_string`, is the link to hand over.
    ///
    /// # Errors
    /// [`CommandError::HostOnly`], [`CommandError::TooManyInvites`].
    pub fn invite(&mut self, options: InviteOptions, now: Instant) -> Result<Invite, CommandError> {
        let (core, door, group) = self.door()?;
        door.invite(core, group, options, now)
    }

    /// Lets somebody in with the room's default role, by the next commit.
    ///
    /// # Errors
    /// [`CommandError::HostOnly`], [`CommandError::UnknownKnock`].
    pub fn admit(&mut self, knock: KnockId, now: Instant) -> Result<(), CommandError> {
        let (core, door, group) = self.door()?;
        door.admit(core, group, knock, None, now)
    }

    /// Lets somebody in with a role of its own.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), and [`CommandError::Role`] for another host.
    pub fn admit_as(&mut self, knock: KnockId, role: Role, now: Instant) -> Result<(), CommandError> {
        if role == Role::Host {
            return Err(CommandError::Role);
        }
        let (core, door, group) = self.door()?;
        door.admit(core, group, knock, Some(role), now)
    }

    /// Answers a knock with no.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn refuse(&mut self, knock: KnockId) -> Result<(), CommandError> {
        let (core, door, group) = self.door()?;
        door.refuse(core, group, knock)
    }

    /// Gives a member another role. A moderator asks the host's device to do it.
    ///
    /// # Errors
    /// [`CommandError::NotPermitted`] says what our role does not permit.
    pub fn set_role(&mut self, member: MemberId, role: Role, now: Instant) -> Result<(), CommandError> {
        self.act(Action::Assign(member, role), now)
    }

    /// Removes a member, who hears nothing that is sealed from then on and may knock again.
    ///
    /// # Errors
    /// As [`set_role`](Self::set_role).
    pub fn remove(&mut self, member: MemberId, now: Instant) -> Result<(), CommandError> {
        self.act(Action::Remove(member), now)
    }

    /// Removes an identity and keeps it out, whether it is in the room or not.
    ///
    /// # Errors
    /// As [`set_role`](Self::set_role), and [`CommandError::Full`].
    pub fn ban(&mut self, member: MemberId, now: Instant) -> Result<(), CommandError> {
        self.act(Action::Ban(member), now)
    }

    /// Leaves. Keys are gone at once; the others see it when the host has committed it.
    ///
    /// # Errors
    /// [`CommandError::HostStays`] for the host, [`CommandError::NotInRoom`] when it is over.
    pub fn leave(&mut self) -> Result<(), CommandError> {
        match &mut self.phase {
            Phase::Waiting(_) => {}
            Phase::Present(seat) if seat.keeps() => return Err(CommandError::HostStays),
            Phase::Present(seat) => seat.announce(&mut self.core, Announcement::Leave)?,
            Phase::Over => return Err(CommandError::NotInRoom),
        }
        self.end(Ending::Left);
        Ok(())
    }

    /// Ends the room for everybody.
    ///
    /// # Errors
    /// [`CommandError::HostOnly`].
    pub fn close(&mut self) -> Result<(), CommandError> {
        match &mut self.phase {
            Phase::Present(seat) if seat.keeps() => {
                seat.announce(&mut self.core, Announcement::Close)?;
                self.end(Ending::Closed);
                Ok(())
            }
            Phase::Present(_) => Err(CommandError::HostOnly),
            Phase::Waiting(_) | Phase::Over => Err(CommandError::NotInRoom),
        }
    }

    /// Where we stand.
    pub fn status(&self) -> Status {
        match self.phase {
            Phase::Waiting(_) => Status::Waiting,
            Phase::Present(_) => Status::Present,
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
            Phase::Waiting(_) | Phase::Over => None,
        }
    }

    fn door(&mut self) -> Result<(&mut Core, &mut Door, &Group), CommandError> {
        let Phase::Present(seat) = &mut self.phase else { return Err(CommandError::NotInRoom) };
        let (door, group) = seat.door().ok_or(CommandError::HostOnly)?;
        Ok((&mut self.core, door, group))
    }

    fn act(&mut self, action: Action, now: Instant) -> Result<(), CommandError> {
        let Phase::Present(seat) = &mut self.phase else { return Err(CommandError::NotInRoom) };
        let outcome = seat.act(&mut self.core, action, now);
        self.end_if_broken();
        outcome
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
            Message::Knock(_) | Message::Heartbeat(_) | Message::Spent(_) => Ok(()),
        }
    }

    fn handle_present(&mut self, message: Message, now: Instant) -> Result<(), ControlError> {
        let Phase::Present(seat) = &mut self.phase else { return Ok(()) };
        match message {
            Message::Knock(knock) => match seat.door() {
                Some((door, group)) => door.handle_knock(&mut self.core, group, &knock, now),
                None => Ok(()),
            },
            Message::Heartbeat(heartbeat) => seat.handle_heartbeat(&mut self.core, &heartbeat, now),
            Message::Mls(message) => match seat.handle_mls(&mut self.core, message, now)? {
                Outcome::Stays => Ok(()),
                Outcome::Ends(ending) => {
                    self.end(ending);
                    Ok(())
                }
            },
            Message::Spent(seeds) => self.core.handle_spent(&seeds),
            Message::Welcome(_) | Message::Refused(_) => Ok(()),
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
        let seat = entered.group.and_then(|group| Seat::follower(&mut self.core, group, entered.held, now));
        match seat {
            Ok(mut seat) => match seat.retry_held(&mut self.core, now) {
                Outcome::Stays => self.phase = Phase::Present(Box::new(seat)),
                Outcome::Ends(ending) => self.end(ending),
            },
            Err(Failure(what)) => self.end(Ending::Broken(what)),
        }
        Ok(())
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
