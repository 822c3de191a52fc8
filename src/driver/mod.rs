//! The loop that ties a room, a sealer, an opener and a transport together (SPEC section 8.1).
//!
//! ```text
//! transport.receive > control > Room > rekeys > Sealer, Opener
//!                   > media   > Opener > Heard > app
//! app > speak       > Sealer  > transport.send_media
//! ```
//!
//! It names no async runtime, spawns nothing, and reads no clock but the transport's. An
//! application whose audio has a thread of its own writes this loop itself, with [`Room`] on one
//! side and [`Sealer`] and [`Opener`] on the other: that is what `examples/sans_io.rs` does.

mod traffic;
mod why;

use std::{
    borrow::Borrow,
    collections::VecDeque,
    error::Error,
    fmt,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;

use self::traffic::Lately;
use crate::{
    Seed,
    group::Identity,
    id::{Counter, Epoch, Leaf, MemberId, Step},
    media::{Early, HEADROOM, Opened, Opener, PacketSize, Proof, Rekey, SealError, Sealer, Stamp, TAILROOM},
    report::{Buffer, Excerpt, ModerationKey, Retention},
    room::{
        ControlError, CreateError, Ending, Event, Invite, JoinError, Membership, ReportError, ResumeError,
        Room, RoomOptions, UnixTime,
    },
    transport::{Inbound, RelayName, Transport, TransportError},
};

/// One member's connection to a room: call [`next`](Self::next) in a loop.
///
/// ```
/// use sottovoce::{
///     Seed,
///     driver::{Call, Next},
///     group::{Identity, Name},
///     room::{Event, InviteOptions, RoomOptions, UnixTime},
///     transport::{block_on, loopback::Hub},
/// };
/// # fn seed(n: u8) -> [u8; 32] { [n; 32] }
/// # let unix = UnixTime::from(std::time::SystemTime::now());
/// let hub = Hub::new("loopback".parse()?);
/// let options = RoomOptions::new(Name::new("tea")?, ["loopback".parse()?]);
/// let hedy = Identity::from_seed(seed(1), Name::new("Hedy")?);
/// let mut host = block_on(Session::create(hub.client(), hedy, options, Seed::from_bytes(&mut seed(2)), unix))?;
/// let now = host.now();
/// let link = host.room_mut().invite(InviteOptions::default(), now)?.to_string();
///
/// let ada = Identity::from_seed(seed(3), Name::new("Ada")?);
/// let mut guest = block_on(Session::join(hub.client(), ada, link.parse()?, Seed::from_bytes(&mut seed(4)), unix))?;
/// loop {
///     let soon = host.now() + std::time::Duration::from_millis(10);
///     if let Next::Event(Event::Knocked { knock, .. }) = block_on(host.next(soon))? {
///         let now = host.now();
///         host.room_mut().admit(knock, now)?;
///     }
///     if let Next::Event(Event::Joined { .. }) = block_on(guest.next(guest.now()))? {
///         break;
///     }
/// }
/// assert_eq!(guest.room().roster().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Session<T> {
    transport: T,
    room: Room,
    sealer: Sealer,
    opener: Opener,
    early: Early,
    keep: Retention,
    /// `None` until we are in, and in rooms whose packets prove nothing.
    recorder: Option<Buffer>,
    not_kept: u64,
    /// What was opened and not handed out yet.
    heard: VecDeque<ReceivedPacket>,
    /// A control message that is being sent: it survives a cancelled send and a lost connection.
    unsent: Option<Bytes>,
    control_dropped: u64,
    last_dropped: Option<ControlError>,
    /// When fresh entropy was last mixed into the room, and in which epoch.
    stirred: Option<(Instant, Option<Epoch>)>,
    clocks: Clocks,
    lately: Lately,
}

/// One moment by both clocks of the device, and the time that the application said it was.
struct Clocks {
    now: Instant,
    wall: Option<SystemTime>,
    unix: UnixTime,
}

/// What [`Session::next`] came back with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Something to tell the user, or to answer.
    Event(Event),
    /// Somebody's audio.
    Packet(ReceivedPacket),
    /// The time is up.
    Idle,
}

/// One opened packet of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedPacket {
    /// Whose it is.
    pub member: MemberId,
    /// The member's leaf in `epoch`.
    pub leaf: Leaf,
    /// The epoch it was sealed in.
    pub epoch: Epoch,
    /// The step it was sealed in.
    pub step: Step,
    /// Its counter. Epoch, step and counter order a sender's packets.
    pub counter: Counter,
    /// What shows that `member` sealed it.
    pub proof: Proof,
    /// The Opus packet, padding included.
    pub packet: Bytes,
}

impl<T: Transport> Session<T> {
    /// Makes a room and connects to it.
    ///
    /// `seed` is fresh ([`Seed::generate`]); `unix` is the time now. An identity that is lent can
    /// be used for another attempt when this one fails.
    ///
    /// # Errors
    /// [`SessionError::RelayNotAllowed`] before anything is contacted; see [`SessionError`] for the
    /// rest.
    pub async fn create(
        mut transport: T,
        identity: impl Borrow<Identity>,
        options: RoomOptions,
        seed: Seed,
        unix: UnixTime,
    ) -> Result<Self, SessionError> {
        check_relays(&transport, &options.relays)?;
        let clocks = Clocks::of(&transport, unix);
        let room = Room::create(identity, options, seed, clocks.now, unix)?;
        transport.connect(room.handle()).await?;
        Ok(Self::new(transport, room, clocks))
    }

    /// Connects to a room and knocks. [`next`](Self::next) says when there is an answer.
    ///
    /// `seed` and `unix` are as for [`create`](Self::create).
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn join(
        mut transport: T,
        identity: impl Borrow<Identity>,
        invite: Invite,
        seed: Seed,
        unix: UnixTime,
    ) -> Result<Self, SessionError> {
        // All that can be checked here is checked before anybody is contacted.
        check_relays(&transport, invite.relays())?;
        let clocks = Clocks::of(&transport, unix);
        let room = Room::join(identity, invite, seed, clocks.now, unix)?;
        transport.connect(room.handle()).await?;
        Ok(Self::new(transport, room, clocks))
    }

    /// Connects to a room that we were in before a restart, and comes in again: [`Event::Returned`]
    /// says when.
    ///
    /// `seed` and `unix` are as for [`create`](Self::create).
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn resume(
        mut transport: T,
        identity: impl Borrow<Identity>,
        membership: &Membership,
        seed: Seed,
        unix: UnixTime,
    ) -> Result<Self, SessionError> {
        let clocks = Clocks::of(&transport, unix);
        let room = Room::resume(identity, membership, seed, clocks.now, unix)?;
        check_relays(&transport, room.relays())?;
        transport.connect(room.handle()).await?;
        Ok(Self::new(transport, room, clocks))
    }

    /// Does what is due, and waits for what comes next, at most until `until`.
    ///
    /// Cancelling the future loses nothing. After [`Event::Over`] it goes on receiving, and opens
    /// nothing.
    ///
    /// # Errors
    /// [`TransportError`] when the connection is lost; [`reconnect`](Self::reconnect) and go on.
    pub async fn next(&mut self, until: Instant) -> Result<Next, TransportError> {
        loop {
            self.flush().await?;
            if let Some(event) = self.room.poll_event() {
                self.forget_after(&event);
                return Ok(Next::Event(event));
            }
            if let Some(heard) = self.heard.pop_front() {
                return Ok(Next::Packet(heard));
            }
            let wake = self.room.poll_timeout().map_or(until, |at| at.min(until));
            match self.transport.receive(wake).await? {
                Inbound::Control(message) => self.handle_control(&message),
                Inbound::Media(packet) => self.handle_media(&packet),
                Inbound::Idle if self.transport.now() >= until => return Ok(Next::Idle),
                Inbound::Idle => {}
            }
        }
    }

    /// Seals one Opus packet and sends it. Never waits.
    ///
    /// # Errors
    /// [`SpeakError::Seal`] says why we are silent, [`SpeakError::Transport`] that the relay is
    /// gone.
    pub fn speak(&mut self, opus: &[u8], stamp: Stamp) -> Result<(), SpeakError> {
        self.tick();
        let mut buffer = [0; HEADROOM + PacketSize::MAX as usize + TAILROOM];
        let place = buffer.get_mut(HEADROOM..).and_then(|rest| rest.get_mut(..opus.len()));
        place.ok_or(SpeakError::Seal(SealError::TooLarge))?.copy_from_slice(opus);
        let now = self.transport.now();
        let sealed = self.sealer.seal(&mut buffer, opus.len(), stamp);
        self.lately.note_sealed(sealed.as_ref().map(drop).map_err(|error| *error), now);
        let packet = sealed.map_err(SpeakError::Seal)?;
        self.transport.send_media(packet).map_err(SpeakError::Transport)
    }

    /// Connects again after the connection was lost. What was to be sent still is.
    ///
    /// # Errors
    /// As [`Transport::connect`].
    pub async fn reconnect(&mut self) -> Result<(), TransportError> {
        self.transport.connect(self.room.handle()).await
    }

    /// Sends what is left to be sent and closes the connection.
    ///
    /// [`Room::leave`] or [`Room::close`] first, if that is meant.
    ///
    /// # Errors
    /// [`TransportError`] if something could not be sent any more.
    pub async fn close(mut self) -> Result<(), TransportError> {
        let flushed = self.flush().await;
        self.transport.close().await;
        flushed
    }

    /// The time by the transport, which commands of the room take.
    pub fn now(&self) -> Instant {
        self.transport.now()
    }

    /// The transport, for its counts and its settings.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// The transport, to change its settings. What it receives belongs to [`next`](Self::next).
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The room as it is.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// The room, for commands. They are carried out by the following [`next`](Self::next), which
    /// also does the polling.
    pub fn room_mut(&mut self) -> &mut Room {
        &mut self.room
    }

    /// How much of what is heard from now on is kept for a report; the last minute until this is
    /// called. What was kept is gone.
    pub fn keep(&mut self, keep: Retention) {
        self.keep = keep;
        self.recorder = None;
    }

    /// Makes a report of what a member said in the `last` time, five seconds at least, for a
    /// moderator.
    ///
    /// # Errors
    /// See [`ReportError`].
    pub fn report(
        &mut self,
        member: MemberId,
        last: Duration,
        to: &ModerationKey,
    ) -> Result<Vec<u8>, ReportError> {
        let now = self.transport.now();
        let recorder = self.recorder.as_mut().ok_or(ReportError::Empty)?;
        recorder.handle_timeout(now);
        let mut excerpt = Excerpt::new(recorder);
        let since = now.checked_sub(last).unwrap_or(now);
        recorder.excerpt(member, since..now, &mut excerpt)?;
        self.room.report(&excerpt, to)
    }

    /// Packets that were opened and not handed out, because they could not have been reported.
    pub fn not_kept(&self) -> u64 {
        self.not_kept
    }

    /// The opener, for its counts.
    pub fn opener(&self) -> &Opener {
        &self.opener
    }

    /// The sealer, for its position.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// How many control messages did nothing, and why the last of them did not.
    pub fn control_dropped(&self) -> (u64, Option<ControlError>) {
        (self.control_dropped, self.last_dropped)
    }

    fn new(transport: T, room: Room, clocks: Clocks) -> Self {
        Self {
            transport,
            room,
            sealer: Sealer::new(),
            opener: Opener::new(),
            early: Early::new(EARLY),
            keep: Retention::default(),
            recorder: None,
            not_kept: 0,
            heard: VecDeque::new(),
            unsent: None,
            control_dropped: 0,
            last_dropped: None,
            stirred: None,
            clocks,
            lately: Lately::default(),
        }
    }

    async fn flush(&mut self) -> Result<(), TransportError> {
        self.tick();
        loop {
            self.unsent = self.unsent.take().or_else(|| self.room.poll_transmit());
            let Some(message) = self.unsent.clone() else { return Ok(()) };
            self.transport.send_control(message).await?;
            self.unsent = None;
        }
    }

    /// Tells the room when the clocks of the device do not go together any more: it slept, or its
    /// clock was set.
    fn compare_clocks(&mut self) {
        let Clocks { now: then, wall: Some(before), unix } = self.clocks else { return };
        let (now, Some(wall)) = (self.transport.now(), self.transport.wall()) else { return };
        let counted = now.saturating_duration_since(then);
        let (shown, back) = match wall.duration_since(before) {
            Ok(since) => (since, Duration::ZERO),
            Err(error) => (Duration::ZERO, error.duration()),
        };
        if shown.abs_diff(counted) + back < CLOCKS_DIFFER {
            return;
        }
        let unix = UnixTime(unix.0.saturating_add(shown.as_secs()).saturating_sub(back.as_secs()));
        self.clocks = Clocks { now, wall: Some(wall), unix };
        self.room.set_clock(unix, now);
    }

    /// Mixes fresh entropy into the room each minute and after each change of epoch.
    fn stir(&mut self, now: Instant) {
        let epoch = self.room.epoch();
        let fresh = |(at, then): (Instant, Option<Epoch>)| then == epoch && now < at + STIR_EVERY;
        if self.stirred.is_some_and(fresh) {
            return;
        }
        // A system without randomness gave none for the first seed either; the next tick tries
        // again.
        if let Ok(seed) = Seed::generate() {
            self.room.stir(seed);
            self.stirred = Some((now, epoch));
        }
    }

    /// Does what is due, and gives new keys to sealer and opener.
    fn tick(&mut self) {
        self.compare_clocks();
        let now = self.transport.now();
        self.stir(now);
        if self.room.poll_timeout().is_some_and(|at| at <= now) {
            self.room.handle_timeout(now);
        }
        let mut changed = false;
        while let Some(rekey) = self.room.poll_rekey() {
            match rekey {
                // A key that was used before is refused by the sealer, which goes on with the one
                // it has.
                Rekey::Seal(rekey) => drop(self.sealer.install(rekey)),
                Rekey::Open(rekey) => drop(self.opener.install(rekey)),
            }
            changed = true;
        }
        if self.recorder.is_none() && !self.keep.window.is_zero() {
            self.recorder = self.room.recorder(self.keep, now);
        }
        while changed && let Some(frame) = self.early.next_known(&mut self.opener) {
            if let Ok(opened) = self.opener.open(frame) {
                hear(&mut self.recorder, &mut self.heard, &mut self.not_kept, opened, now);
            }
        }
    }

    /// What was recorded goes with the room, unless somebody else put us out: then it grows too
    /// old, as always.
    fn forget_after(&mut self, event: &Event) {
        if let (Event::Over(ending), Some(recorder)) = (event, &mut self.recorder)
            && !matches!(ending, Ending::Removed { .. })
        {
            recorder.wipe();
        }
    }

    fn handle_control(&mut self, message: &[u8]) {
        // What waited while the device slept is as old as it is.
        self.compare_clocks();
        if let Err(error) = self.room.handle_control(message, self.transport.now()) {
            self.control_dropped += 1;
            self.last_dropped = Some(error);
        }
    }

    fn handle_media(&mut self, packet: &[u8]) {
        let mut frame = packet.to_vec();
        let now = self.transport.now();
        let opened = self.opener.open(&mut frame);
        self.lately.note_arrived(opened.as_ref().map(drop).map_err(|error| *error), now);
        match opened {
            Ok(opened) => {
                hear(&mut self.recorder, &mut self.heard, &mut self.not_kept, opened, now);
            }
            Err(refusal) if refusal.is_early() => self.early.hold(packet),
            Err(_) => {}
        }
    }
}

impl Clocks {
    fn of(transport: &impl Transport, unix: UnixTime) -> Self {
        Self { now: transport.now(), wall: transport.wall(), unix }
    }
}

/// Hands out an opened packet, if it can be reported or nothing is kept.
fn hear(
    recorder: &mut Option<Buffer>,
    heard: &mut VecDeque<ReceivedPacket>,
    not_kept: &mut u64,
    opened: Opened<'_>,
    now: Instant,
) {
    match recorder.as_mut().map_or(Ok(()), |recorder| recorder.record(&opened, now)) {
        Ok(()) => heard.push_back(ReceivedPacket::from(opened)),
        Err(_) => *not_kept += 1,
    }
}

impl From<Opened<'_>> for ReceivedPacket {
    fn from(opened: Opened<'_>) -> Self {
        Self {
            member: opened.member,
            leaf: opened.leaf,
            epoch: opened.epoch,
            step: opened.step,
            counter: opened.counter,
            proof: opened.proof,
            packet: Bytes::copy_from_slice(opened.packet.as_bytes()),
        }
    }
}

impl<T> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({:?})", self.room.status())
    }
}

/// Why there is no call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// A relay of the transport is not on the room's list. Nothing was contacted.
    RelayNotAllowed(RelayName),
    /// There is no room.
    Create(CreateError),
    /// There is no knock.
    Join(JoinError),
    /// There is no room to go on with.
    Resume(ResumeError),
    /// The relay could not be used; another of the list may.
    Transport(TransportError),
}

/// Why a packet was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpeakError {
    /// It was not sealed.
    Seal(SealError),
    /// It was sealed and could not be sent.
    Transport(TransportError),
}

impl From<CreateError> for SessionError {
    fn from(error: CreateError) -> Self {
        Self::Create(error)
    }
}

impl From<JoinError> for SessionError {
    fn from(error: JoinError) -> Self {
        Self::Join(error)
    }
}

impl From<ResumeError> for SessionError {
    fn from(error: ResumeError) -> Self {
        Self::Resume(error)
    }
}

impl From<TransportError> for SessionError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RelayNotAllowed(relay) => write!(f, "the room does not allow the relay {relay}"),
            Self::Create(error) => error.fmt(f),
            Self::Join(error) => error.fmt(f),
            Self::Resume(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for SpeakError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seal(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
        }
    }
}

impl Error for SessionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::RelayNotAllowed(_) => None,
            Self::Create(error) => Some(error),
            Self::Join(error) => Some(error),
            Self::Resume(error) => Some(error),
            Self::Transport(error) => Some(error),
        }
    }
}

impl Error for SpeakError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Seal(error) => Some(error),
            Self::Transport(error) => Some(error),
        }
    }
}

fn check_relays(transport: &impl Transport, allowed: &[RelayName]) -> Result<(), SessionError> {
    match transport.relays().into_iter().find(|relay| !allowed.contains(relay)) {
        Some(relay) => Err(SessionError::RelayNotAllowed(relay.clone())),
        None => Ok(()),
    }
}

/// From here on the two clocks of the device do not go together: it slept, or one of them was set.
const CLOCKS_DIFFER: Duration = Duration::from_secs(2);
/// How long the room draws from the same entropy.
const STIR_EVERY: Duration = Duration::from_secs(60);

/// Packets that are held for keys to come.
const EARLY: usize = 32;

#[cfg(all(test, feature = "net"))]
mod tests;
