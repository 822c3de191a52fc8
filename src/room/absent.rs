//! A member that has no place in the room and asks for one (SPEC section 7, rules R1 to R7 and F2).

use std::time::{Duration, Instant};

use super::{
    bounded::{OPENED, Rate},
    chain::follow,
    connection::Connection,
    error::ControlError,
    heartbeats::open_beat,
    held::Held,
    judge::OLD,
    memory::Memory,
    outbox::Outbox,
    returning::Returning,
    target::Target,
};
use crate::{
    id::IdentityKey,
    law::Rank,
    wire::{heartbeat::Heartbeat, statements::Statements},
};

/// A member without a place, on the way back.
pub(super) struct Absent {
    pub(super) memory: Memory,
    pub(super) returning: Returning,
    pub(super) held: Held,
    /// Chains that were taken: whoever has a link can send some.
    pub(super) chains: Rate<()>,
    /// Those of them that say that the room is closed, and were merged.
    pub(super) closings: Rate<()>,
    /// The host that the last of them led to, who may keep though we never saw it.
    reached: Option<IdentityKey>,
    /// When a heartbeat of an admitted keeper was heard last.
    heard_at: Option<Instant>,
    /// How much later than others this member founds a branch, once it is drawn.
    spread: Option<Duration>,
    /// When somebody of rank was heard last.
    pub(super) rank_heard: Instant,
    began: Instant,
    is_connected: bool,
}

impl Absent {
    pub(super) fn new(memory: Memory, now: Instant) -> Self {
        let returning = Returning::new(memory.store.known().terms().key_exchange, now, now);
        // The user is there: it started the application.
        Self::with(memory, returning, Held::default(), now, now)
    }

    pub(super) fn with(
        memory: Memory,
        returning: Returning,
        held: Held,
        rank_heard: Instant,
        now: Instant,
    ) -> Self {
        let (chains, closings) = (Rate::of(OPENED), Rate::new(CLOSINGS, Duration::from_secs(1)));
        Self {
            memory,
            returning,
            held,
            chains,
            closings,
            reached: None,
            heard_at: None,
            spread: None,
            rank_heard,
            began: now,
            is_connected: true,
        }
    }

    /// Follows a Chain from the host that we know (R7).
    pub(super) fn hear_chain(&mut self, statements: &Statements) {
        let (known, mut chain) = (self.memory.store.known(), Vec::new());
        let anchor = (*known.law().host(), known.law().office());
        follow(&mut chain, anchor, statements, known.group_id());
        self.reached = chain.last().map(|(host, _)| *host);
    }

    pub(super) fn hear_heartbeat(
        &mut self,
        out: &mut Outbox,
        heartbeat: &Heartbeat,
        now: Instant,
    ) -> Result<(), ControlError> {
        let beat = open_beat(&mut self.memory, heartbeat, self.reached.as_ref())?;
        let made = out.skew.hear(beat.content().key.id(), beat.content().time_ms, Duration::ZERO, now);
        if made + OLD <= now {
            return Err(ControlError::Stale);
        }
        self.heard_at = Some(now);
        let mut target = Target::of(&beat, now);
        target.is_host = self.reached == Some(target.key);
        self.returning.hear(target);
        Ok(())
    }

    /// Founding is counted from when there was a connection.
    pub(super) fn note_connection(&mut self, connection: Connection, now: Instant) {
        self.is_connected = connection != Connection::Lost;
        if self.is_connected {
            self.began = now;
            self.returning.ask_now(now);
        }
    }

    /// When this member founds a branch, if it has a connection: somebody of rank after ten seconds
    /// in which no keeper was heard, anybody else 30 to 60 s after the last chance.
    pub(super) fn found_at(&mut self, out: &mut Outbox) -> Option<Instant> {
        let spread = *self
            .spread
            .get_or_insert_with(|| Duration::from_millis((u32::from_be_bytes(out.random()) % 30_000).into()));
        let own = IdentityKey::from_bytes(*out.identity.public());
        let ranks = self.memory.store.law().rank_of(&own) > Rank::None;
        let wait = match (ranks, self.heard_at) {
            (true, None) => RANK_FOUNDS,
            (true, Some(_)) => FOUNDS,
            (false, _) => FOUNDS + spread,
        };
        self.is_connected.then(|| self.began + wait)
    }
}

/// Somebody of rank that hears no keeper founds a branch after this time.
const RANK_FOUNDS: Duration = Duration::from_secs(10);
/// Anybody that nobody lets in does after this time, and up to half a minute more.
const FOUNDS: Duration = Duration::from_secs(30);
/// Chains that close the room and are merged in a second.
const CLOSINGS: usize = 8;
