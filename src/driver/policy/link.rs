//! The transport of a call, over the relay of the list that carries the room at the moment.

mod lanes;

use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use super::{
    Connector, Why,
    alone::Alone,
    attempts::{Attempts, Step},
    messages::Messages,
    schedule::Schedule,
};
use crate::{
    driver::{SessionError, clocks::Clocks},
    random::Generator,
    room::UnixTime,
    transport::{Inbound, RelayName, RoomHandle, Transport, TransportError},
};

/// The transport of a [`Call`](super::Call), which carries its room over one relay of the list
/// after another.
pub struct Link<C: Connector> {
    connector: C,
    relays: Vec<RelayName>,
    handle: Option<RoomHandle>,
    /// Carries the room if it is open, and tells the time if not.
    current: C::Transport,
    is_open: bool,
    /// The relay of `current`, once it was open.
    relay: Option<usize>,
    attempts: Attempts<C::Transport>,
    schedule: Schedule,
    lost: Option<Lost>,
    /// The number of the connection.
    connections: u64,
    messages: Messages,
    clocks: Clocks,
    /// The device's two clocks came to disagree at this time, and nothing has been heard since.
    woke: Option<Instant>,
    alone: Alone,
    /// Whether the call has something to look at.
    is_changed: bool,
    is_over: bool,
}

/// There is no connection, or none that works.
#[derive(Clone, Copy)]
pub(super) struct Lost {
    pub(super) since: Instant,
    pub(super) attempt: u32,
    pub(super) why: Why,
    /// When the connection that is kept meanwhile was heard last.
    heard: Option<Instant>,
}

/// The events that end a wait.
enum Came<T> {
    Step(Step<T>),
    Inbound(Result<Inbound, TransportError>),
}

impl<C: Connector> Link<C> {
    /// Contacts nobody.
    pub(super) fn new(
        mut connector: C,
        relays: Vec<RelayName>,
        rng: Generator,
        unix: UnixTime,
    ) -> Result<Self, SessionError> {
        let current = relays.iter().find_map(|relay| connector.client(relay));
        let current = current.ok_or(SessionError::NoTransport)?;
        if let Some(other) = current.relays().into_iter().find(|relay| !relays.contains(relay)) {
            return Err(SessionError::RelayNotAllowed(other.clone()));
        }
        let now = current.now();
        let mut schedule = Schedule::new(rng, relays.len(), now);
        let alone = Alone::new(&mut schedule, now);
        Ok(Self {
            clocks: Clocks::of(&current, unix),
            connector,
            relays,
            handle: None,
            current,
            is_open: false,
            relay: None,
            attempts: Attempts::new(),
            schedule,
            lost: Some(Lost {
                since: now,
                attempt: 0,
                why: Why::Transport(TransportError::Closed),
                heard: None,
            }),
            connections: 0,
            messages: Messages::default(),
            woke: None,
            alone,
            is_changed: false,
            is_over: false,
        })
    }

    /// The transport that carries the room, for its counts; of no use while there is no connection.
    pub fn transport(&self) -> &C::Transport {
        &self.current
    }

    /// The relay that carries the room; `None` before there was one.
    pub fn relay(&self) -> Option<&RelayName> {
        self.relay.and_then(|relay| self.relays.get(relay))
    }

    pub(super) fn lost(&self) -> Option<Lost> {
        self.lost
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections
    }

    /// Begins to connect.
    pub(super) fn begin(&mut self, handle: RoomHandle) {
        self.handle = Some(handle);
        self.attempts.pause_until(&self.connector, self.now());
    }

    /// Whether the room has other members that we should hear.
    pub(super) fn expect_others(&mut self, expects: bool) {
        self.alone.expect(expects, self.now());
    }

    /// Ends all attempts.
    pub(super) fn stop(&mut self) {
        self.is_over = true;
        self.attempts.clear();
    }

    /// Notices what time has done.
    fn look(&mut self) {
        let now = self.now();
        if self.clocks.compare(now, self.wall()).is_some() {
            self.woke = Some(now);
            self.schedule.begin(now);
            if self.lost.is_some() {
                self.attempts.pause_until(&self.connector, now);
            }
        }
        let heard = if self.is_open { self.current.heard() } else { None };
        if heard.zip(self.woke).is_some_and(|(heard, woke)| heard > woke) {
            self.woke = None;
        }
        match (self.lost, heard) {
            (Some(lost), Some(heard)) if lost.heard.is_none_or(|before| heard > before + ONCE) => {
                // The way is back. The next sign of the old connection counts again.
                self.lost = Some(Lost { heard: Some(heard), ..lost });
                self.attempts.pause_until(&self.connector, now);
            }
            (None, Some(heard)) if heard + SILENCE <= now => self.lose(Why::Silent),
            (None, Some(_)) if self.woke.is_some_and(|woke| woke + AFTER_SLEEP <= now) => {
                self.lose(Why::Slept);
            }
            (None, _) if self.alone_at().is_some_and(|at| at <= now) => {
                self.alone.begin();
                self.schedule.begin(now);
                self.attempts.pause_until(&self.connector, now);
            }
            _ => {}
        }
    }

    /// When [`look`](Self::look) has something to look at, at the latest.
    fn look_at(&self, until: Instant) -> Instant {
        let heard = if self.is_open { self.current.heard() } else { None };
        let mut at = until;
        match (self.lost, heard) {
            // The connection that is kept is looked at now and then.
            (Some(_), Some(_)) => at = at.min(self.now() + LOOK),
            (None, Some(heard)) => {
                at = at.min(heard + SILENCE);
                at = self.woke.map_or(at, |woke| at.min(woke + AFTER_SLEEP));
            }
            _ => {}
        }
        self.alone_at().map_or(at, |alone| alone.min(at))
    }

    /// When to look for the others elsewhere.
    fn alone_at(&self) -> Option<Instant> {
        let elsewhere = self.is_open && self.lost.is_none() && self.relays.len() > 1;
        self.alone.at().filter(|_| elsewhere)
    }

    /// There is no connection any more, or none that works.
    fn lose(&mut self, why: Why) {
        let now = self.now();
        if self.is_over || self.lost.is_some() {
            return;
        }
        let heard = self.current.heard().filter(|_| self.is_open);
        self.lost = Some(Lost { since: now, attempt: 0, why, heard });
        self.is_changed = true;
        self.alone.give_up();
        self.attempts.clear();
        self.schedule.begin(now);
        let first = now + self.schedule.first();
        self.attempts.pause_until(&self.connector, first);
    }

    fn note(&mut self, why: Why) {
        if let Some(lost) = &mut self.lost {
            lost.why = why;
            self.is_changed = true;
        }
    }

    /// Begins an attempt at the next relay that there is a transport for.
    fn attempt(&mut self) {
        let Some(handle) = self.handle.filter(|_| !self.is_over) else { return };
        if self.lost.is_none() && !self.alone.is_looking() {
            return;
        }
        let (now, mut none) = (self.now(), Why::NoTransport);
        for _ in 0..if self.attempts.has_place(now) { self.relays.len() } else { 0 } {
            if self.alone.is_looking() && self.schedule.rounds() > 0 {
                break;
            }
            let relay = self.schedule.take();
            // A device that looks for others need not look here.
            let is_here = self.lost.is_none() && self.relay == Some(relay);
            let name = self.relays.get(relay).filter(|_| !is_here);
            let Some(transport) = name.and_then(|name| self.connector.client(name)) else { continue };
            if transport.relays().into_iter().any(|name| !self.relays.contains(name)) {
                none = Why::NotAllowed;
                continue;
            }
            trace_event!(DEBUG, relay = ?self.relays.get(relay), "an attempt to connect begins");
            self.attempts.begin(relay, transport, handle, now);
            if let Some(lost) = &mut self.lost {
                lost.attempt = lost.attempt.saturating_add(1);
                self.is_changed = true;
            }
            let next = now + self.schedule.pause(now);
            return self.attempts.pause_until(&self.connector, next);
        }
        if self.attempts.is_empty() {
            if self.alone.is_looking() {
                // Nobody is heard here, and no other relay lets us in.
                return self.alone.stay(self.now());
            }
            self.note(none);
        }
        let next = now + self.schedule.pause(now).max(LOOK);
        self.attempts.pause_until(&self.connector, next);
    }

    fn take_step(&mut self, step: Step<C::Transport>) {
        match step {
            Step::Connected { relay, transport } => self.switch(relay, transport),
            Step::Due => self.attempt(),
            Step::Failed { relay, why } => {
                self.note(Why::Transport(why));
                if why == TransportError::Busy && self.is_open && self.relay == Some(relay) {
                    // Our own old connection may have the last place.
                    self.hang_up();
                }
                let is_round = self.schedule.is_round();
                if !is_round || self.alone.is_looking() && self.attempts.is_empty() {
                    self.attempts.pause_until(&self.connector, self.now());
                }
            }
        }
    }

    /// Gives the old connection up. What tells the time from now on is another.
    fn hang_up(&mut self) {
        let mut names = self.relays.iter();
        if let Some(other) = names.find_map(|name| self.connector.client(name)) {
            self.current = other;
            self.is_open = false;
        }
    }

    /// Changes to a new connection, and sends again the messages that may have been lost on the old
    /// one.
    fn switch(&mut self, relay: usize, transport: C::Transport) {
        self.current = transport;
        (self.is_open, self.relay) = (true, Some(relay));
        let lost = self.lost.take().map(|lost| lost.since);
        self.woke = None;
        self.connections += 1;
        self.is_changed = true;
        self.attempts.clear();
        let now = self.now();
        self.schedule.begin(now);
        self.alone.stay(now);
        if self.connections > 1 {
            self.messages.repeat(lost.unwrap_or(now));
        }
    }

    async fn wait(&mut self, until: Instant) -> Came<C::Transport> {
        let at = self.look_at(until);
        let Self { connector, current, is_open, attempts, .. } = self;
        let sleep = connector.sleep(at);
        let mut receive = pin!(async move {
            if *is_open {
                return current.receive(at).await;
            }
            sleep.await;
            Ok(Inbound::Idle)
        });
        poll_fn(|context| match attempts.poll(context) {
            Poll::Ready(step) => Poll::Ready(Came::Step(step)),
            Poll::Pending => receive.as_mut().poll(context).map(Came::Inbound),
        })
        .await
    }
}

impl<C: Connector> fmt::Debug for Link<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("is_open", &self.is_open).finish_non_exhaustive()
    }
}

/// A relay that has not answered a ping for this long counts as gone.
const SILENCE: Duration = Duration::from_millis(2_500);
/// The same from when the device woke.
const AFTER_SLEEP: Duration = Duration::from_millis(1_500);
/// How often the old connection is looked at while there is no new one.
const LOOK: Duration = Duration::from_millis(100);
/// Signs of life of it that are closer together count once.
const ONCE: Duration = Duration::from_secs(1);
