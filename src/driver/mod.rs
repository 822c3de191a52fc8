//! The loop that ties a room, a sealer, an opener and a transport together (SPEC section 8.1).
//!
//! ```text
//! transport.receive > control > Room > rekeys > Sealer, Opener
//!                   > media   > Opener > ReceivedPacket > app
//! app > speak       > Sealer  > transport.send_media
//! ```
//!
//! It names no async runtime, spawns nothing, and reads no clock but the transport's. An
//! application whose audio has a thread of its own takes the media plane out of its session
//! ([`Session::split`], `examples/tokio.rs`); one that has an event loop of its own writes this
//! loop itself, with [`Room`] on one side and [`Sealer`] and [`Opener`] on the other
//! (`examples/sans_io.rs`).

mod apart;
mod clocks;
mod error;
#[cfg(feature = "stage")]
pub mod hall;
mod handle;
mod media;
#[cfg(not(feature = "stage"))]
mod no_hall;
pub mod policy;
mod start;
mod traffic;
mod why;

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;

pub use apart::Apart;
use clocks::Clocks;
pub use error::{SessionError, SpeakError};
#[cfg(feature = "stage")]
use hall::Hall;
pub use handle::MediaHandle;
use media::Plane;
pub use media::{Media, ReceivedPacket};
#[cfg(not(feature = "stage"))]
use no_hall::Hall;

use crate::{
    Seed,
    id::{Epoch, MemberId},
    media::{Opener, Sealer, Stamp},
    report::{Excerpt, ModerationKey, Retention},
    room::{CommandError, ControlError, Ending, Event, Invite, InviteOptions, KnockId, ReportError, Room},
    transport::{Inbound, LocalTransport, TransportError},
};

/// One member's connection to a room: call [`next`](Self::next) in a loop.
///
/// ```
/// use std::time::Duration;
///
/// use sottovoce::{
///     driver::{Next, Session},
///     group::{Identity, Name},
///     room::{Event, InviteOptions, RoomOptions},
///     transport::{block_on, loopback::Hub},
/// };
///
/// let hub = Hub::new("loopback".parse()?);
/// let options = RoomOptions::new(Name::new("tea")?, ["loopback".parse()?]);
/// let hedy = Identity::generate(Name::new("Hedy")?)?;
/// let mut host = block_on(Session::create(hub.client(), hedy, options))?;
/// let link = host.invite(InviteOptions::default())?.to_string();
///
/// let ada = Identity::generate(Name::new("Ada")?)?;
/// let mut guest = block_on(Session::join(hub.client(), ada, link.parse()?))?;
/// loop {
///     let soon = host.now() + Duration::from_millis(10);
///     if let Next::Event(Event::Knocked { knock, .. }) = block_on(host.next(soon))? {
///         host.admit(knock)?;
///     }
///     if let Next::Event(Event::Joined { .. }) = block_on(guest.next(guest.now()))? {
///         break;
///     }
/// }
/// assert_eq!(guest.room().roster().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `M` says where the media plane is: here ([`Media`]), or on an audio thread ([`Apart`]).
pub struct Session<T, M = Media> {
    transport: T,
    room: Room,
    media: M,
    keep: Retention,
    /// The media plane has a recorder.
    recording: bool,
    /// A control message that is being sent: it survives a cancelled send and a lost connection.
    unsent: Option<Bytes>,
    control_dropped: u64,
    last_dropped: Option<ControlError>,
    /// When fresh entropy was last mixed into the room, and in which epoch.
    stirred: Option<(Instant, Option<Epoch>)>,
    clocks: Clocks,
    /// The audience, in a stage room.
    hall: Option<Box<Hall>>,
}

/// The result of [`Session::next`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// An event to show to the user or to answer.
    Event(Event),
    /// A packet of another member's audio.
    Packet(ReceivedPacket),
    /// The time is up.
    Idle,
}

impl<T: LocalTransport> Session<T> {
    /// Does what is due, and waits for the next event or packet, at most until `until`.
    ///
    /// Cancelling the future loses nothing. After [`Event::Over`] the session still receives, but
    /// opens nothing.
    ///
    /// # Errors
    /// [`TransportError`] when the connection is lost: call [`reconnect`](Self::reconnect) and go
    /// on.
    pub async fn next(&mut self, until: Instant) -> Result<Next, TransportError> {
        loop {
            self.flush().await?;
            if let Some(event) = self.poll_event() {
                return Ok(Next::Event(event));
            }
            if let Some(heard) = self.media.heard.pop_front() {
                return Ok(Next::Packet(heard));
            }
            let wake = self.due(until);
            match self.wait(wake).await? {
                Inbound::Control(message) => self.handle_control(&message),
                Inbound::Media(packet) => self.media.arrived(&packet, self.transport.now()),
                Inbound::Idle if self.transport.now() >= until => return Ok(Next::Idle),
                Inbound::Idle => {}
            }
        }
    }

    /// Seals one Opus packet and sends it. Never waits.
    ///
    /// # Errors
    /// [`SpeakError::Seal`] says why this member is silent, [`SpeakError::Transport`] that the
    /// connection is lost.
    pub fn speak(&mut self, opus: &[u8], stamp: Stamp) -> Result<(), SpeakError> {
        self.tick();
        let now = self.transport.now();
        let mut buffer = media::EMPTY;
        let packet = self.media.parts.seal(&mut buffer, opus, stamp, Some(now))?;
        match self.hall.as_ref().filter(|hall| hall.carries()) {
            Some(hall) => hall.send_media(packet),
            None => self.transport.send_media(packet).map_err(SpeakError::Transport)?,
        }
        Ok(())
    }

    /// Waits for the room's transport, or for the hall. Everything from the hall but packets is
    /// handled at once, and the next tick does the rest.
    async fn wait(&mut self, until: Instant) -> Result<Inbound, TransportError> {
        let Self { transport, hall: Some(hall), .. } = self else {
            return self.transport.receive(until).await;
        };
        let now = transport.now();
        let mut receive = pin!(transport.receive(until));
        poll_fn(|context| match hall.poll(now, context) {
            Poll::Ready(packet) => Poll::Ready(Ok(packet.map_or(Inbound::Idle, Inbound::Media))),
            Poll::Pending => receive.as_mut().poll(context),
        })
        .await
    }

    /// Makes a report of what a member said in the `last` time, which is at least five seconds,
    /// sealed to a moderation key.
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
        let recorder = self.media.parts.recorder.as_mut().ok_or(ReportError::Empty)?;
        recorder.handle_timeout(now);
        let mut excerpt = Excerpt::new(recorder);
        let since = now.checked_sub(last).unwrap_or(now);
        recorder.excerpt(member, since..now, &mut excerpt)?;
        self.room.report(&excerpt, to)
    }

    /// How many packets were opened but not handed out, because the recorder could not keep them
    /// for a report.
    pub fn not_kept(&self) -> u64 {
        self.media.parts.not_kept
    }

    /// The opener, for its counts.
    pub fn opener(&self) -> &Opener {
        &self.media.parts.opener
    }

    /// The sealer, for its position.
    pub fn sealer(&self) -> &Sealer {
        &self.media.parts.sealer
    }

    fn new(transport: T, room: Room, clocks: Clocks) -> Self {
        Self {
            transport,
            room,
            media: Media::new(),
            keep: Retention::default(),
            recording: false,
            unsent: None,
            control_dropped: 0,
            last_dropped: None,
            stirred: None,
            clocks,
            hall: None,
        }
    }
}

impl<T: LocalTransport, M: Plane> Session<T, M> {
    /// Connects again after the connection was lost. Control messages that waited are sent then.
    ///
    /// # Errors
    /// As [`LocalTransport::connect`].
    pub async fn reconnect(&mut self) -> Result<(), TransportError> {
        trace_event!(INFO, "the session connects again");
        self.transport.connect(self.room.handle()).await
    }

    /// Sends the control messages that are left and closes the connection.
    ///
    /// This neither leaves nor closes the room: call [`Room::leave`] or [`Room::close`] before, if
    /// you want that.
    ///
    /// # Errors
    /// [`TransportError`] if some messages could not be sent any more.
    pub async fn close(mut self) -> Result<(), TransportError> {
        let flushed = self.flush().await;
        if let Some(hall) = &mut self.hall {
            let now = self.transport.now();
            hall.end();
            poll_fn(|context| hall.poll_end(now + HALL_CLOSES, now, context)).await;
        }
        self.transport.close().await;
        flushed
    }

    /// The time on the transport's clock, which commands of the room take as `now`.
    pub fn now(&self) -> Instant {
        self.transport.now()
    }

    /// The transport, to read its counts and settings.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// The transport, to change its settings. Do not receive from it: [`next`](Self::next) does.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The room as it is.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// The room, for commands. The following [`next`](Self::next) carries them out, and also polls
    /// the room.
    pub fn room_mut(&mut self) -> &mut Room {
        &mut self.room
    }

    /// [`Room::invite`] at the present time: a link for others.
    ///
    /// # Errors
    /// As there.
    pub fn invite(&mut self, options: InviteOptions) -> Result<Invite, CommandError> {
        self.room.invite(options, self.transport.now())
    }

    /// [`Room::admit`] at the present time: lets a newcomer in.
    ///
    /// # Errors
    /// As there.
    pub fn admit(&mut self, knock: KnockId) -> Result<(), CommandError> {
        self.room.admit(knock, self.transport.now())
    }

    /// Sets how much of the audio that is heard from now on is kept for reports; the default is the
    /// last minute. Audio that was kept before is wiped.
    pub fn keep(&mut self, keep: Retention) {
        self.keep = keep;
        self.recording = false;
        self.media.record(None);
    }

    /// How many control messages had no effect, and why the last of them had none.
    pub fn control_dropped(&self) -> (u64, Option<ControlError>) {
        (self.control_dropped, self.last_dropped)
    }

    /// The next event for the user. A listener that we let up to the stage is admitted without
    /// asking.
    fn poll_event(&mut self) -> Option<Event> {
        loop {
            let event = self.room.poll_event().or_else(|| self.hall.as_mut()?.poll_event())?;
            let expected = self.hall.as_mut().and_then(|hall| hall.expected(&event));
            if expected.is_some_and(|knock| self.room.admit(knock, self.transport.now()).is_ok()) {
                continue;
            }
            self.forget_after(&event);
            if let Some(hall) = &mut self.hall {
                hall.note(&event, self.transport.now());
            }
            return Some(event);
        }
    }

    /// When there is something to do, at most `until`.
    fn due(&self, until: Instant) -> Instant {
        let hall = self.hall.as_ref().and_then(|hall| hall.poll_timeout());
        [self.room.poll_timeout(), hall].into_iter().flatten().fold(until, Instant::min)
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

    /// Tells the room when the two clocks of the device disagree: the device slept, or a clock was
    /// set.
    fn compare_clocks(&mut self) {
        let (now, wall) = (self.transport.now(), self.transport.wall());
        if let Some(unix) = self.clocks.compare(now, wall) {
            self.room.set_clock(unix, now);
        }
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
        let Self { room, media, hall, .. } = self;
        let mut install = |rekey| {
            media.install(rekey);
            changed = true;
        };
        if let Some(hall) = hall {
            hall.tick(room, now, &mut install);
        }
        while let Some(rekey) = room.poll_rekey() {
            install(rekey);
        }
        if !self.recording
            && self.hall.is_none()
            && !self.keep.window.is_zero()
            && let Some(recorder) = self.room.recorder(self.keep, now)
        {
            self.recording = true;
            self.media.record(Some(recorder));
        }
        if changed {
            self.media.retry_early(now);
        }
    }

    /// Wipes the recording when the room ends, unless somebody else put us out: then the recording
    /// expires as usual, and can still be reported.
    fn forget_after(&mut self, event: &Event) {
        if let Event::Over(ending) = event
            && !matches!(ending, Ending::Removed { .. })
        {
            self.media.wipe();
        }
    }

    fn handle_control(&mut self, message: &[u8]) {
        // A message that waited while the device slept is not new.
        self.compare_clocks();
        if let Err(error) = self.room.handle_control(message, self.transport.now()) {
            self.control_dropped += 1;
            self.last_dropped = Some(error);
        }
    }
}

impl<T, M> fmt::Debug for Session<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?})", self.room.status())
    }
}

/// How long the lanes of a hall may take to send their last messages.
const HALL_CLOSES: Duration = Duration::from_secs(2);
/// How long the room draws randomness from the same entropy.
const STIR_EVERY: Duration = Duration::from_secs(60);

#[cfg(all(test, feature = "net"))]
mod tests;
