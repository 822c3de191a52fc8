//! A session over a [`Link`], and the states that the application sees of both.

use std::{
    borrow::Borrow,
    fmt,
    time::{Instant, SystemTime},
};

use super::{CallNext, Connector, Link, Reason, State, Why};
use crate::{
    Seed,
    driver::{
        self, Apart, Media, MediaHandle, Session, SessionError, SpeakError, clocks::Clocks, media::Plane,
    },
    group::Identity,
    media::Stamp,
    random::Generator,
    room::{
        CommandError, Event, Invite, InviteOptions, KnockId, Membership, Room, RoomOptions, Status, UnixTime,
    },
    transport::RelayName,
};

/// A member's session that reconnects by itself: call [`next`](Self::next) in a loop.
///
/// ```
/// use sottovoce::{
///     driver::policy::{Call, CallNext, State},
///     group::{Identity, Name},
///     room::RoomOptions,
///     transport::{RelayName, block_on, loopback::Hub},
/// };
/// let hub = Hub::new("loopback".parse()?);
/// let options = RoomOptions::new(Name::new("tea")?, ["loopback".parse()?]);
/// let ada = Identity::generate(Name::new("Ada")?)?;
/// let mut call = Call::create(move |_: &RelayName| Some(hub.client()), ada, options)?;
/// assert_eq!(call.state(), &State::Connecting);
/// let until = call.now() + std::time::Duration::from_secs(10);
/// while block_on(call.next(until)) != CallNext::State(State::In) {}
/// assert_eq!(call.state(), &State::In);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `M` says where the media plane is, as in [`Session`].
pub struct Call<C: Connector, M = Media> {
    session: Session<Link<C>, M>,
    state: State,
    /// What the room was told about its connection: the connection's number, or that it is lost.
    told: Option<u64>,
    was_in: bool,
    /// Since when we have been connected without a place in the group.
    out_of_place: Option<Instant>,
    over: Option<Reason>,
}

impl<C: Connector> Call<C> {
    /// Creates a room. Nobody is contacted before [`next`](Self::next) is called.
    ///
    /// # Errors
    /// [`SessionError::Create`], [`SessionError::NoTransport`], [`SessionError::RelayNotAllowed`],
    /// [`SessionError::Randomness`].
    pub fn create(
        connector: C,
        identity: impl Borrow<Identity>,
        options: RoomOptions,
    ) -> Result<Self, SessionError> {
        Self::create_with(connector, identity, options, Seed::generate()?, time_of_day())
    }

    /// Knocks at a room once there is a connection.
    ///
    /// # Errors
    /// As [`create`](Self::create), with [`SessionError::Join`] for [`SessionError::Create`].
    pub fn join(connector: C, identity: impl Borrow<Identity>, invite: Invite) -> Result<Self, SessionError> {
        Self::join_with(connector, identity, invite, Seed::generate()?, time_of_day())
    }

    /// Returns, once there is a connection, to a room that this member was in before a restart.
    ///
    /// # Errors
    /// As [`create`](Self::create), with [`SessionError::Resume`] for [`SessionError::Create`].
    pub fn resume(
        connector: C,
        identity: impl Borrow<Identity>,
        membership: &Membership,
    ) -> Result<Self, SessionError> {
        Self::resume_with(connector, identity, membership, Seed::generate()?, time_of_day())
    }

    /// [`create`](Self::create) with randomness and time from the caller, as
    /// [`Session::create_with`].
    ///
    /// # Errors
    /// As [`create`](Self::create), without [`SessionError::Randomness`].
    pub fn create_with(
        connector: C,
        identity: impl Borrow<Identity>,
        options: RoomOptions,
        seed: Seed,
        unix: UnixTime,
    ) -> Result<Self, SessionError> {
        let (link, seed) = link(connector, options.relays.clone(), seed, unix)?;
        let clocks = Clocks::of(&link, unix);
        let room = Room::create(identity, options, seed, clocks.now, unix)?;
        Ok(Self::new(link, room, clocks))
    }

    /// [`join`](Self::join) with randomness and time from the caller.
    ///
    /// # Errors
    /// As [`join`](Self::join), without [`SessionError::Randomness`].
    pub fn join_with(
        connector: C,
        identity: impl Borrow<Identity>,
        invite: Invite,
        seed: Seed,
        unix: UnixTime,
    ) -> Result<Self, SessionError> {
        let (link, seed) = link(connector, invite.relays().to_vec(), seed, unix)?;
        let clocks = Clocks::of(&link, unix);
        let room = Room::join(identity, invite, seed, clocks.now, unix)?;
        Ok(Self::new(link, room, clocks))
    }

    /// [`resume`](Self::resume) with randomness and time from the caller.
    ///
    /// # Errors
    /// As [`resume`](Self::resume), without [`SessionError::Randomness`].
    pub fn resume_with(
        connector: C,
        identity: impl Borrow<Identity>,
        membership: &Membership,
        seed: Seed,
        unix: UnixTime,
    ) -> Result<Self, SessionError> {
        let (link, seed) = link(connector, membership.relays().to_vec(), seed, unix)?;
        let clocks = Clocks::of(&link, unix);
        let room = Room::resume(identity, membership, seed, clocks.now, unix)?;
        Ok(Self::new(link, room, clocks))
    }

    fn new(link: Link<C>, room: Room, clocks: Clocks) -> Self {
        let mut session = Session::new(link, room, clocks);
        let (handle, now) = (session.room.handle(), session.now());
        session.room.handle_disconnected(now);
        session.transport.begin(handle);
        Self { session, state: State::Connecting, told: None, was_in: false, out_of_place: None, over: None }
    }

    /// Makes the room a stage room, as [`Session::with_hall`] does. The hall follows the room from
    /// relay to relay.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "stage")]
    pub fn with_hall(self, connector: impl Connector + 'static) -> Result<Self, SessionError> {
        Ok(Self { session: self.session.with_hall(connector)?, ..self })
    }

    /// Does what is due, and waits for the next state, event or packet, at most until `until`.
    ///
    /// Cancelling the future loses nothing. There is no error: everything that happens to a
    /// connection is a change of state.
    pub async fn next(&mut self, until: Instant) -> CallNext {
        loop {
            if let Some(state) = self.changed() {
                return CallNext::State(state);
            }
            match self.session.next(until).await {
                Ok(driver::Next::Event(event)) => return self.hand_on(event),
                Ok(driver::Next::Packet(packet)) => return CallNext::Packet(packet),
                Ok(driver::Next::Idle) => return self.changed().map_or(CallNext::Idle, CallNext::State),
                // The link has something to be looked at.
                Err(_) => {}
            }
        }
    }

    /// As [`Session::speak`]. Without a connection the packet is lost, as on any network.
    ///
    /// # Errors
    /// [`SpeakError::Seal`] says why we are silent.
    pub fn speak(&mut self, opus: &[u8], stamp: Stamp) -> Result<(), SpeakError> {
        self.session.speak(opus, stamp)
    }

    /// Takes the media plane out, for an audio thread, as [`Session::split`] does.
    pub fn split(self) -> (Call<C, Apart>, MediaHandle) {
        let Self { session, state, told, was_in, out_of_place, over } = self;
        let (session, media) = session.split();
        (Call { session, state, told, was_in, out_of_place, over }, media)
    }
}

impl<C: Connector> Call<C, Apart> {
    /// As [`next`](Call::next) of a call that is not split, but without packets.
    pub async fn next(&mut self, until: Instant) -> CallNext {
        loop {
            if let Some(state) = self.changed() {
                return CallNext::State(state);
            }
            match self.session.next(until).await {
                Ok(Some(event)) => return self.hand_on(event),
                Ok(None) => return self.changed().map_or(CallNext::Idle, CallNext::State),
                // The link has something to be looked at.
                Err(_) => {}
            }
        }
    }
}

impl<C: Connector, M: Plane> Call<C, M> {
    /// The state of the call.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The relay that carries the room, or the last one that did.
    pub fn relay(&self) -> Option<&RelayName> {
        self.session.transport.relay()
    }

    /// Ends the attempts to connect. This does not leave the room: the application can resume it.
    pub fn give_up(&mut self) {
        self.over.get_or_insert(Reason::GaveUp);
        self.session.transport.stop();
    }

    /// Sends the control messages that are left, if there is a connection, and closes it.
    ///
    /// This neither leaves nor closes the room: call [`Room::leave`] or [`Room::close`] before, if
    /// you want that.
    pub async fn close(self) {
        // Messages that cannot be sent any more are lost with the connection, which is over anyway.
        let _ = self.session.close().await;
    }

    /// The time on the transport's clock, which commands of the room take as `now`.
    pub fn now(&self) -> Instant {
        self.session.now()
    }

    /// The room as it is.
    pub fn room(&self) -> &Room {
        self.session.room()
    }

    /// The room, for commands.
    pub fn room_mut(&mut self) -> &mut Room {
        self.session.room_mut()
    }

    /// As [`Session::invite`].
    ///
    /// # Errors
    /// As there.
    pub fn invite(&mut self, options: InviteOptions) -> Result<Invite, CommandError> {
        self.session.invite(options)
    }

    /// As [`Session::admit`].
    ///
    /// # Errors
    /// As there.
    pub fn admit(&mut self, knock: KnockId) -> Result<(), CommandError> {
        self.session.admit(knock)
    }

    /// The session, to read its counts.
    pub fn session(&self) -> &Session<Link<C>, M> {
        &self.session
    }

    /// The session, to make reports and set what is kept for them. Do not call its `next`:
    /// [`next`](Call::next) of the call does.
    pub fn session_mut(&mut self) -> &mut Session<Link<C>, M> {
        &mut self.session
    }

    fn hand_on(&mut self, event: Event) -> CallNext {
        if let Event::Over(ending) = &event {
            self.over.get_or_insert_with(|| Reason::Room(ending.clone()));
            self.session.transport.stop();
        }
        CallNext::Event(event)
    }

    /// Tells the room about its connection, and returns the state if it changed.
    fn changed(&mut self) -> Option<State> {
        let now = self.session.now();
        let Session { transport, room, hall, .. } = &mut self.session;
        let connection = transport.lost().is_none().then(|| transport.connections());
        if std::mem::replace(&mut self.told, connection) != connection {
            match connection {
                Some(_) => {
                    room.handle_connected(now);
                    if let Some((hall, relay)) = hall.as_mut().zip(transport.relay()) {
                        hall.move_to(relay, now);
                    }
                }
                None => room.handle_disconnected(now),
            }
        }
        transport.expect_others(room.status() != Status::Present || room.roster().len() > 1);
        let state = self.look(now);
        if state == self.state {
            return None;
        }
        self.was_in |= state == State::In;
        self.state = state.clone();
        trace_event!(INFO, %state, "call");
        Some(state)
    }

    fn look(&mut self, now: Instant) -> State {
        if let Some(reason) = self.over.clone() {
            return State::Out { reason };
        }
        let (lost, status) = (self.session.transport.lost(), self.session.room.status());
        if lost.is_some() || status == Status::Present {
            self.out_of_place = None;
        }
        match lost {
            Some(lost) if self.was_in => {
                State::Reconnecting { since: lost.since, attempt: lost.attempt, why: lost.why }
            }
            None if status == Status::Present => State::In,
            // Its event has not been handed out yet.
            None if status == Status::Over => self.state.clone(),
            None if self.was_in => {
                let since = *self.out_of_place.get_or_insert(now);
                State::Reconnecting { since, attempt: 0, why: Why::Place }
            }
            _ => State::Connecting,
        }
    }
}

impl<C: Connector, M> fmt::Debug for Call<C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("state", &self.state).finish_non_exhaustive()
    }
}

fn time_of_day() -> UnixTime {
    UnixTime::from(SystemTime::now())
}

/// A link over these relays, and the seed of the room, drawn from the same.
fn link<C: Connector>(
    connector: C,
    relays: Vec<RelayName>,
    seed: Seed,
    unix: UnixTime,
) -> Result<(Link<C>, Seed), SessionError> {
    let mut rng = Generator::new(seed);
    let seed = rng.seed();
    Ok((Link::new(connector, relays, rng, unix)?, seed))
}
