//! A room: one member's view of it, as a state machine (SPEC section 7).
//!
//! ```text
//!            handle_control(bytes, now)              poll_transmit  > control lane
//! relay >    handle_timeout(now)            > Room > poll_rekey     > Sealer, Opener
//! app   >    admit, ban, leave ...                   poll_event     > app
//!                                                    poll_timeout   > when to come back
//! ```
//!
//! A room has no clock, socket or task: time and randomness are arguments, and the caller polls for
//! everything that has to happen outside. After every call, poll until there is nothing more.
//!
//! ```
//! use std::time::{Duration, Instant, SystemTime};
//!
//! use sottovoce::{
//!     Seed,
//!     group::{Identity, Name},
//!     room::{Admission, InviteOptions, Room, RoomOptions},
//! };
//!
//! let (mut now, unix) = (Instant::now(), SystemTime::now().into());
//! let mut options = RoomOptions::new(Name::new("Evening room")?, ["relay.example:4433".parse()?]);
//! options.admission = Admission::Open;
//! let ada = Identity::generate(Name::new("Ada")?)?;
//! let mut ada = Room::create(ada, options, Seed::generate()?, now, unix)?;
//! let invite = ada.invite(InviteOptions::default(), now)?;
//! let ben = Identity::generate(Name::new("Ben")?)?;
//! let mut ben = Room::join(ben, invite, Seed::generate()?, now, unix)?;
//!
//! // Here a relay would carry the bytes: each room takes what the other sends.
//! while ben.roster().len() < 2 {
//!     now += Duration::from_millis(50);
//!     while let Some(message) = ada.poll_transmit() {
//!         ben.handle_control(&message, now)?;
//!     }
//!     while let Some(message) = ben.poll_transmit() {
//!         ada.handle_control(&message, now)?;
//!     }
//!     ada.handle_timeout(now);
//!     ben.handle_timeout(now);
//! }
//! assert_eq!(ada.code(), ben.code()); // both read it to each other
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Rights come from the law (`spec/law.md`), which members compute from statements that the host
//! and moderators signed. The MLS tree follows the law. The *keeper*, the member that makes the
//! commits, grants nothing.
//!
//! | file | contents |
//! | --- | --- |
//! | `phase`, `absent` | how a member comes in, loses its place, returns, and when a room is over |
//! | `seat`, `entering`, `making`, `incoming`, `hearing`, `heartbeats`, `across`, `acting`, `people` | a member that is present |
//! | `executor` | the one place that does what agents want, in a fixed order |
//! | `commits`, `place`, `judge`, `words`, `welcome`, `chain`, `authors` | rules: pure functions of a view |
//! | `keeper`, `doors`, `joining`, `returning`, `showing`, `turns`, `liveness` | agents with state of their own |
//! | `commands`, `seen`, `event`, `error` | the application's commands, its view of the room, events and errors |
//! | `messages` | what members write to each other, and raised hands |
//! | `diagnose` | why nobody hears us, and why we hear nothing |
//! | `clock`, `skew`, `sleep` | the time here and elsewhere |
//! | `connected` | what a member does not do without a connection, and does when it is back |
//! | `memory`, `membership`, `freshness`, `past` | state that outlives a member's place in the tree |
//!
//! # The path of one control message
//!
//! The steps for a Ban that a moderator issued, at the keeper:
//!
//! 1. [`Room::handle_control`], in this file: `Inbox` opens the envelope and joins fragments, and
//!    `Message` is decoded.
//! 2. `Room::take` in `phase` looks at the phase, then at the kind of the message. Here the member
//!    is present, and the kind is an MLS message.
//! 3. `Seat::handle_mls` in `incoming`: the group opens it, and it is a `Saying`. A commit would
//!    wait in `pending` here until `commits` lets it be merged, and `entering` says what the new
//!    epoch does.
//! 4. `Seat::hear_saying` in `hearing` notes that the sender was heard (`presence`, `liveness`,
//!    `turns`), and gives the statements to `Seat::learn`, which merges them into the law's store.
//! 5. `Seat::act_on_law` in `hearing` stops opening packets of the banned member; if we are banned
//!    ourselves, the room ends for us.
//! 6. The `Outcome` goes back to `Room::settle` in `phase`, the only place that changes the phase.
//! 7. `Seat::carry_out` in `executor` drops a knock of the banned identity; `keeper` makes a plan,
//!    and `making` commits the plan, sends the commit and enters the new epoch.
//!
//! Everything that leaves the room (envelopes, keys and events) waits in `outbox` until it is
//! polled. The files here have no circular imports; `scripts/layout` checks that.

mod absent;
mod across;
mod acting;
#[cfg(test)]
mod attacks;
#[cfg(feature = "stage")]
pub(crate) mod audience;
mod authors;
mod bounded;
mod chain;
mod clock;
mod commands;
mod commits;
mod connected;
mod connection;
mod counts;
mod diagnose;
mod doors;
mod entering;
mod error;
mod event;
mod executor;
mod freshness;
#[cfg(feature = "stage")]
pub(crate) mod hall;
mod hearing;
mod heartbeats;
mod held;
mod incoming;
#[cfg(feature = "testkit")]
pub(crate) mod insider;
mod joining;
mod judge;
mod keeper;
mod knocking;
mod liveness;
mod making;
mod membership;
mod memory;
mod messages;
mod options;
mod outbox;
mod past;
mod people;
mod petition;
mod phase;
mod place;
mod presence;
mod returning;
#[cfg(feature = "stage")]
mod said;
mod sealing;
mod seat;
mod seen;
mod showing;
mod shown;
mod skew;
mod sleep;
mod speakers;
mod target;
#[cfg(feature = "tracing")]
mod told;
mod turns;
#[cfg(test)]
mod vectors;
mod view;
mod violation;
mod welcome;
mod words;

use std::{
    borrow::Borrow,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::{
    absent::Absent, clock::Clock, counts::Refused, joining::Joining, memory::Memory, outbox::Outbox,
    phase::Phase,
};
use crate::{
    group::{Identity, Role},
    id::IdentityKey,
    law::{Anchor, DefaultRole, Store, Terms},
    media::{Rekey, capacity},
    random::{Generator, Seed},
    wire::{envelope::LaneKey, inbox::Inbox, invite::MAX_RELAYS, message::Message},
};

pub use self::{
    commands::InviteState,
    diagnose::{Deaf, Traffic, Unheard},
    error::{CommandError, ControlError, CreateError, JoinError, ResumeError},
    event::{Ending, Event, KnockId},
    knocking::Knocking,
    membership::{Membership, MembershipError},
    messages::{AppMessage, Audience, MessageKind, SendError},
    options::{Admission, InviteOptions, RoomOptions},
    speakers::ReportError,
    violation::Violation,
};
pub use crate::{
    id::UnixTime,
    law::Unattended,
    wire::{
        answer::RefuseReason,
        invite::{Invite, InviteError, InviteId, InviteIdError},
    },
};

/// One member's view of a room.
///
/// [`Room::create`], [`Room::join`] and [`Room::resume`] make one. A room does no input or output
/// itself: the [module](self) shows the loop around it, and [`driver`](crate::driver) has that loop
/// ready made. Dropping a room wipes its keys; the sealer and the opener keep theirs until they are
/// dropped or told to stop.
pub struct Room {
    out: Outbox,
    inbox: Inbox,
    refused: Refused,
    phase: Phase,
    /// The newest time that the caller gave, on the room's own scale.
    now: Instant,
    /// How long the device slept in all: `Instant` leaves that out, and the room's scale includes
    /// it.
    slept: Duration,
}

/// Whether we are in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Status {
    /// We knocked, and are not in yet.
    Waiting,
    /// We are in.
    Present,
    /// We were in, and are returning. The room lets us back in without asking anybody.
    Returning,
    /// The room is over for us.
    Over,
}

impl Room {
    /// Creates a room. Its creator is the host and the only member.
    ///
    /// `seed` has to be fresh ([`Seed::generate`]); `now` and `unix` are the present moment by two
    /// clocks. `identity` may be borrowed, so that it is still there for another attempt when this
    /// one fails.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub fn create(
        identity: impl Borrow<Identity>,
        options: RoomOptions,
        seed: Seed,
        now: Instant,
        unix: UnixTime,
    ) -> Result<Self, CreateError> {
        let identity = identity.borrow().copy();
        if options.relays.is_empty() || options.relays.len() > MAX_RELAYS {
            return Err(CreateError::Relays);
        }
        let packet_size = options.sound.packet_size().unwrap_or(options.packet_size);
        if capacity(packet_size, options.authenticity) < LEAST_OPUS {
            return Err(CreateError::PacketSize);
        }
        let default_role = match options.default_role {
            Role::Listener => DefaultRole::Listener,
            Role::Speaker => DefaultRole::Speaker,
            _ => return Err(CreateError::DefaultRole),
        };
        let mut rng = Generator::new(seed);
        let (salt, lane) = (rng.array(), LaneKey::new(rng.seed().bytes()));
        let own = IdentityKey::from_bytes(*identity.public());
        let terms = Arc::new(Terms {
            salt,
            founder: own,
            name: options.name,
            key_exchange: options.key_exchange,
            suite: options.suite,
            authenticity: options.authenticity,
            packet_size,
            unattended: options.unattended,
            default_role,
            sound: options.sound,
        });
        let store = Store::new(terms, Anchor::Founder, own);
        let mut out = Outbox::new(identity, lane, options.relays, rng, Clock { began: now, unix });
        out.admission = options.admission;
        let mut memory = Memory::new(store);
        let seat = phase::found(&mut out, &mut memory, now, now)?;
        let phase = Phase::Present(Box::new(memory), Box::new(seat));
        Ok(Self::new(out, phase, now))
    }

    /// Knocks at a room until the host or a moderator answers.
    ///
    /// `seed`, `now` and `unix` are as for [`Room::create`].
    ///
    /// # Errors
    /// See [`JoinError`].
    pub fn join(
        identity: impl Borrow<Identity>,
        invite: Invite,
        seed: Seed,
        now: Instant,
        unix: UnixTime,
    ) -> Result<Self, JoinError> {
        let identity = identity.borrow().copy();
        if unix >= invite.expires {
            return Err(JoinError::Expired);
        }
        if *identity.public() == *invite.host.as_bytes() {
            return Err(JoinError::OwnRoom);
        }
        let (lane, relays) = (invite.lane.copy(), invite.relays.clone());
        let mut out = Outbox::new(identity, lane, relays, Generator::new(seed), Clock { began: now, unix });
        let joining = Joining::new(&mut out, invite, now)?;
        Ok(Self::new(out, Phase::Joining(Box::new(joining)), now))
    }

    /// Goes on in a room that we were in before a restart.
    ///
    /// The room lets its members back in without asking anybody. `seed`, `now` and `unix` are as
    /// for [`Room::create`]; `identity` is the one that was in the room.
    ///
    /// # Errors
    /// See [`ResumeError`].
    pub fn resume(
        identity: impl Borrow<Identity>,
        membership: &Membership,
        seed: Seed,
        now: Instant,
        unix: UnixTime,
    ) -> Result<Self, ResumeError> {
        let identity = identity.borrow().copy();
        let record = membership.read(&identity).map_err(|_| ResumeError::OtherIdentity)?;
        let mut out = Outbox::new(
            identity,
            record.lane,
            record.relays,
            Generator::new(seed),
            Clock { began: now, unix },
        );
        out.admission = record.admission;
        out.restore_stamp(record.stamped);
        let mut memory = record.memory;
        memory.was_stored = true;
        let absent = Absent::new(memory, now);
        Ok(Self::new(out, Phase::Returning(Box::new(absent)), now))
    }

    fn new(out: Outbox, phase: Phase, now: Instant) -> Self {
        Self { out, inbox: Inbox::default(), refused: Refused::default(), phase, now, slept: Duration::ZERO }
    }

    /// The data to store, so that a restart does not cost us our membership; `None` unless we are
    /// or were in the room.
    ///
    /// The data changes with the roster, the roles and the bans: store it again after every
    /// [`Event::Changed`].
    pub fn membership(&self) -> Option<Membership> {
        self.memory().map(|memory| Membership::new(&self.out, memory))
    }

    /// Mixes a fresh seed into everything that the room draws from now on.
    ///
    /// Call it about once a minute and after each change of epoch, as the [driver](crate::driver)
    /// does. An attacker that has read the device's memory once then cannot compute the room's
    /// later secrets. Randomness that was drawn before cannot be computed from the memory at all.
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
    /// [`ControlError`] says why the message had no effect. The room goes on; most callers only
    /// count the error.
    pub fn handle_control(&mut self, message: &[u8], now: Instant) -> Result<(), ControlError> {
        let outcome = self.try_control(message, now);
        if let Err(error) = outcome {
            trace_event!(DEBUG, why = %error, "a control message did nothing");
            self.refused.note(error);
        }
        outcome
    }

    /// How many control messages had no effect, by reason, in the order in which each reason first
    /// occurred. `by` is `None` in all of them.
    pub fn refusals(&self) -> impl Iterator<Item = (ControlError, u64)> + '_ {
        self.refused.iter()
    }

    fn try_control(&mut self, message: &[u8], now: Instant) -> Result<(), ControlError> {
        let now = self.at(now);
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
        let now = self.at(now);
        self.tend(now);
        self.publish(now);
        self.end_if_faulty();
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let phase = self.phase_timeout(self.now);
        let at = [phase, self.out.reports_timeout()].into_iter().flatten().min()?;
        Some(at.checked_sub(self.slept).unwrap_or(at))
    }

    /// The next control message to send to everybody, in order. It has at most 16 KiB, and looks
    /// random.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.out.poll_transmit()
    }

    /// The next change of keys, for the sealer or the opener, in order.
    pub fn poll_rekey(&mut self) -> Option<Rekey> {
        self.out.poll_rekey()
    }

    /// The next thing to tell the user.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.poll_event()
    }
}

/// Names neither the room nor its members.
impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({:?})", self.status())
    }
}

/// The bytes of 20 ms of Opus at its lowest bitrate, 6 kbit/s, which every room's packets have to
/// hold.
const LEAST_OPUS: usize = 15;
