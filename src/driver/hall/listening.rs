//! A listener's connection to a stage room.

use std::{
    borrow::Borrow,
    collections::VecDeque,
    fmt,
    future::poll_fn,
    time::{Duration, Instant, SystemTime},
};

use super::{
    lanes::{Came, Lanes, Wanted},
    silence::Silence,
};
use crate::{
    Seed,
    driver::{ReceivedPacket, SessionError, media::Parts, policy::Connector},
    group::{Identity, RoomCode},
    id::MemberId,
    media::Opener,
    room::{Invite, Traffic, UnixTime},
    stage::{AudienceError, HallLane, HallSpeaker, Listener, ListenerEvent, Over},
    transport::{Inbound, LocalTransport, Part, RelayName, TransportError},
};

/// Somebody in the audience of a stage room: call [`next`](Self::next) in a loop.
///
/// It keeps itself connected: lanes that are lost come back, and a relay of the list that does not
/// answer, gives no sign of life, or at which nobody of rank is heard, is followed by the next one.
///
/// ```
/// use std::time::Duration;
///
/// use sottovoce::{
///     driver::{Session, hall::{Listening, ListeningNext}},
///     group::{Identity, Name, Role},
///     room::{InviteOptions, RoomOptions},
///     stage::ListenerEvent,
///     transport::{RelayName, block_on, loopback::Hub},
/// };
///
/// let hub = Hub::new("loopback".parse()?);
/// let connector = |hub: &Hub| {
///     let hub = hub.clone();
///     move |_: &RelayName| Some(hub.client())
/// };
/// let options = RoomOptions::new(Name::new("Evening hall")?, ["loopback".parse()?]);
/// let ada = Identity::generate(Name::new("Ada")?)?;
/// let host = block_on(Session::create(hub.client(), ada, options))?;
/// let mut host = host.with_hall(connector(&hub))?;
/// let mut audience = InviteOptions::default();
/// audience.role = Some(Role::Listener);
/// let link = host.invite(audience)?.to_string();
///
/// let bob = Identity::generate(Name::new("Bob")?)?;
/// let mut bob = Listening::join(connector(&hub), bob, link.parse()?)?;
/// loop {
///     let soon = host.now() + Duration::from_millis(10);
///     block_on(host.next(soon))?;
///     let soon = bob.now() + Duration::from_millis(10);
///     if let ListeningNext::Event(ListenerEvent::Entered) = block_on(bob.next(soon)) {
///         break;
///     }
/// }
/// assert_eq!(bob.speakers().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Listening<C: Connector> {
    /// It tells the time, and is never connected.
    clock: C::Transport,
    lanes: Lanes,
    listener: Listener,
    parts: Parts,
    heard: VecDeque<ReceivedPacket>,
    began: Instant,
    /// Own, hall and foyer were connected: from then on the listener speaks.
    started: bool,
    entered: bool,
    /// Why the last lane was lost, or did not come about.
    lost: Option<TransportError>,
    /// Since when nobody of rank is heard.
    unattended: Option<Instant>,
    /// When the next relay is tried.
    move_at: Option<Instant>,
    over: Option<Over>,
    refused: u64,
}

/// The result of [`Listening::next`].
#[derive(Debug)]
pub enum ListeningNext {
    /// Something to tell the user.
    Event(ListenerEvent),
    /// Somebody's audio.
    Packet(ReceivedPacket),
    /// The time is up.
    Idle,
}

impl<C: Connector + 'static> Listening<C> {
    /// Asks to hear a stage room. Nobody is contacted before [`next`](Self::next) is called.
    ///
    /// # Errors
    /// [`SessionError::Hall`] for an invite that has expired, [`SessionError::NoTransport`],
    /// [`SessionError::RelayNotAllowed`], [`SessionError::Randomness`].
    pub fn join(connector: C, identity: impl Borrow<Identity>, invite: Invite) -> Result<Self, SessionError> {
        Self::join_with(connector, identity, invite, Seed::generate()?, SystemTime::now().into())
    }

    /// [`join`](Self::join) with randomness and time of the caller's: `seed` is fresh, `unix` is
    /// the time now.
    ///
    /// # Errors
    /// As [`join`](Self::join), without [`SessionError::Randomness`].
    pub fn join_with(
        mut connector: C,
        identity: impl Borrow<Identity>,
        invite: Invite,
        seed: Seed,
        unix: UnixTime,
    ) -> Result<Self, SessionError> {
        let relays = invite.relays().to_vec();
        let clock = relays.iter().find_map(|relay| connector.client(relay));
        let clock = clock.ok_or(SessionError::NoTransport)?;
        if let Some(other) = LocalTransport::relays(&clock).into_iter().find(|relay| !relays.contains(relay))
        {
            return Err(SessionError::RelayNotAllowed(other.clone()));
        }
        let now = LocalTransport::now(&clock);
        let listener = Listener::join(identity, invite, seed, now, unix)?;
        Ok(Self {
            clock,
            lanes: Lanes::new(connector, relays),
            listener,
            parts: Parts::new(),
            heard: VecDeque::new(),
            began: now,
            started: false,
            entered: false,
            lost: None,
            unattended: None,
            move_at: Some(now + PATIENCE),
            over: None,
            refused: 0,
        })
    }

    /// Does what is due, and waits for what comes next, at most until `until`.
    ///
    /// Cancelling the future loses nothing. It has no error: what happens to connections is told by
    /// [`silence`](Self::silence).
    pub async fn next(&mut self, until: Instant) -> ListeningNext {
        loop {
            let now = self.now();
            self.tick(now);
            if let Some(event) = self.listener.poll_event() {
                self.note(&event, now);
                return ListeningNext::Event(event);
            }
            if let Some(packet) = self.heard.pop_front() {
                return ListeningNext::Packet(packet);
            }
            let wake = self.due().map_or(until, |at| at.min(until));
            let lanes = &mut self.lanes;
            match poll_fn(|context| lanes.poll(wake, now, context)).await {
                Some(came) => self.take(came),
                None if self.now() >= until => return ListeningNext::Idle,
                None => {}
            }
        }
    }

    /// Raises our hand, or takes it down. Host and moderators see hands in the order of asking.
    ///
    /// # Errors
    /// [`AudienceError::NotSeated`] until we are in.
    pub fn set_hand(&mut self, up: bool) -> Result<(), AudienceError> {
        self.listener.set_hand(up, self.now())
    }

    /// Asks for a page of who listens by our porter: [`ListenerEvent::Page`] has it.
    ///
    /// # Errors
    /// [`AudienceError::NotSeated`] until we are in.
    pub fn ask_page(&mut self, number: u32) -> Result<(), AudienceError> {
        self.listener.ask_page(number, self.now())
    }

    /// Goes, and closes all connections, within three seconds.
    pub async fn leave(mut self) {
        let now = self.now();
        self.listener.leave(now);
        self.send(now);
        self.lanes.end();
        let until = now + CLOSE_TIMEOUT;
        while !self.lanes.is_over() {
            let lanes = &mut self.lanes;
            if poll_fn(|context| lanes.poll(until, now, context)).await.is_none() {
                return;
            }
        }
    }
}

impl<C: Connector> Listening<C> {
    /// The time by the transports.
    pub fn now(&self) -> Instant {
        LocalTransport::now(&self.clock)
    }

    /// The state machine, for what is asked of it.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// How many listen, as far as porters said.
    pub fn audience(&self) -> u32 {
        self.listener.audience()
    }

    /// Who may be heard.
    pub fn speakers(&self) -> Vec<HallSpeaker> {
        self.listener.speakers()
    }

    /// The digits that are the same for everybody who hears this hall epoch.
    pub fn code(&self) -> Option<RoomCode> {
        self.listener.code()
    }

    /// Goes to this relay of the invite's list, and connects anew if it is at another one: for an
    /// application that knows which one is near. Of a name that is not in the list nothing happens.
    pub fn go_to(&mut self, relay: &RelayName) {
        let now = self.now();
        self.lanes.move_to(Some(relay), now);
    }

    /// The relay that the lanes are at.
    pub fn relay(&self) -> Option<&RelayName> {
        self.lanes.relay()
    }

    /// Counts of packets in the last two to four seconds.
    pub fn traffic(&self) -> Traffic {
        self.parts.lately.told(self.now())
    }

    /// The opener, for its counts.
    pub fn opener(&self) -> &Opener {
        &self.parts.opener
    }

    /// Control messages that did nothing, and messages that found no way out.
    pub fn dropped(&self) -> (u64, u64) {
        (self.refused, self.lanes.dropped())
    }

    /// How many lanes are connected or being connected.
    pub fn connections(&self) -> usize {
        self.lanes.len()
    }

    /// Why we hear nothing; `None` while packets open.
    pub fn silence(&self) -> Option<Silence> {
        if let Some(over) = self.over {
            return Some(Silence::Over(over));
        }
        let traffic = self.traffic();
        if traffic.opened > 0 {
            return None;
        }
        if !self.lanes.is_open(HallLane::Hall) {
            return Some(Silence::NoRelay { why: self.lost });
        }
        Some(match (self.entered, self.unattended) {
            (false, _) => Silence::NotIn { since: self.began },
            (_, Some(since)) => Silence::Unattended { since },
            _ if traffic.arrived > 0 => Silence::Sealed { why: traffic.refused },
            _ => Silence::NobodySpeaks,
        })
    }

    /// Does what is due.
    fn tick(&mut self, now: Instant) {
        let part = |lane| Wanted { lane, handle: self.listener.handle(lane), part: Part::Hears };
        let wanted: Vec<_> = self.listener.lanes().map(part).collect();
        if !self.started {
            self.started = wanted.iter().all(|wanted| self.lanes.is_open(wanted.lane));
        }
        self.lanes.set_watch(self.entered && self.over.is_none());
        self.lanes.want(wanted, now);
        if self.started && self.listener.poll_timeout().is_some_and(|at| at <= now) {
            self.listener.handle_timeout(now);
        }
        self.send(now);
        // At another relay somebody of rank may be there.
        if self.move_at.is_some_and(|at| at <= now) {
            self.lanes.move_to(None, now);
            self.move_at = Some(now + PATIENCE);
        }
    }

    /// Has what the listener says sent, and gives its keys to the opener.
    fn send(&mut self, now: Instant) {
        while self.started
            && let Some((lane, message)) = self.listener.poll_transmit()
        {
            self.lanes.send(lane, self.listener.handle(lane), message, now);
        }
        let mut changed = false;
        while let Some(rekey) = self.listener.poll_rekey() {
            drop(self.parts.opener.install(rekey));
            changed = true;
        }
        if changed {
            let Self { parts, heard, .. } = self;
            parts.retry_early(now, |opened| heard.push_back(opened.into()));
        }
    }

    fn take(&mut self, came: Came) {
        let now = self.now();
        match came {
            Came::Inbound(lane, Inbound::Control(message)) => {
                if self.listener.handle_control(lane, &message, now).is_err() {
                    self.refused = self.refused.saturating_add(1);
                }
            }
            Came::Inbound(HallLane::Hall, Inbound::Media(packet)) => {
                self.open(&packet, now);
            }
            Came::Inbound(..) | Came::Open => {}
            // Only what counts decides, not that the relay says something.
            Came::Tried(what) => {
                let counts = match what {
                    Inbound::Control(message) => {
                        self.listener.handle_control(HallLane::Hall, &message, now).is_ok()
                    }
                    Inbound::Media(packet) => self.open(&packet, now),
                    Inbound::Idle => false,
                };
                if counts {
                    self.lanes.go_over(now);
                }
            }
            Came::Lost(lane, why) => {
                self.lost = Some(why);
                if lane == HallLane::Hall && !self.entered {
                    self.lanes.move_to(None, now);
                }
            }
        }
    }

    /// Opens a packet, and says whether it did.
    fn open(&mut self, packet: &[u8], now: Instant) -> bool {
        let Self { parts, heard, .. } = self;
        let before = heard.len();
        parts.open(&mut packet.to_vec(), now, |opened| heard.push_back(opened.into()));
        heard.len() > before
    }

    fn note(&mut self, event: &ListenerEvent, now: Instant) {
        match event {
            ListenerEvent::Entered => (self.entered, self.move_at) = (true, None),
            ListenerEvent::Unattended => {
                (self.unattended, self.move_at) = (Some(now), Some(now + PATIENCE));
            }
            ListenerEvent::Attended => (self.unattended, self.move_at) = (None, None),
            ListenerEvent::Over(over) => (self.over, self.move_at) = (Some(*over), None),
            _ => {}
        }
    }

    fn due(&self) -> Option<Instant> {
        let listener = self.listener.poll_timeout().filter(|_| self.started);
        [listener, self.lanes.poll_timeout(), self.move_at].into_iter().flatten().min()
    }

    /// Our fingerprint.
    pub fn id(&self) -> MemberId {
        self.listener.id()
    }
}

impl<C: Connector> fmt::Debug for Listening<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// How long nobody of rank may be unheard at a relay before the next one is tried: as long as a
/// listener takes to notice.
const PATIENCE: Duration = Duration::from_secs(15);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
