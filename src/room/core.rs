//! What every phase of a room needs: who we are, the time, the lane, and what is to go out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{event::Event, reports::Reports, times::Times};
use crate::{
    group::{
        Identity, Invite, KeyExchange,
        envelope::LaneKey,
        invite::UnixTime,
        message::Message,
        mls::{Applicant, Failure},
    },
    keys::{OpenRekey, Rekey, SealRekey},
    media::Silence,
    random::Generator,
    transport::RelayName,
};

/// Our side of the room, whatever phase it is in.
pub(super) struct Core {
    pub(super) identity: Identity,
    pub(super) lane: LaneKey,
    pub(super) relays: Vec<RelayName>,
    pub(super) rng: Generator,
    pub(super) clock: Clock,
    pub(super) times: Times,
    pub(super) outgoing: VecDeque<Bytes>,
    pub(super) events: VecDeque<Event>,
    pub(super) rekeys: VecDeque<Rekey>,
    pub(super) reports: Reports,
    /// How we came in, to knock again where nobody remembers us.
    pub(super) invite: Option<Invite>,
    /// How old the keys of our leaf get.
    pub(super) renew_every: Duration,
    /// When we last proved that we live, as we said.
    stamped_ms: u64,
}

impl Core {
    pub(super) fn new(
        identity: Identity,
        lane: LaneKey,
        relays: Vec<RelayName>,
        rng: Generator,
        clock: Clock,
    ) -> Self {
        Self {
            identity,
            lane,
            relays,
            rng,
            clock,
            times: Times::new(clock.began),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
            rekeys: VecDeque::new(),
            reports: Reports::default(),
            invite: None,
            renew_every: RENEW_EVERY,
            stamped_ms: 0,
        }
    }

    /// Queues a message. One that no number of fragments holds is dropped: no message of ours is.
    pub(super) fn send(&mut self, message: &Message) {
        if let Ok(envelopes) = self.lane.seal(&message.encode(), &mut self.rng) {
            self.outgoing.extend(envelopes);
        }
    }

    /// A new KeyPackage of ours, with the keys behind it.
    pub(super) fn apply(
        &mut self,
        group_id: &[u8],
        key_exchange: KeyExchange,
        now: Instant,
    ) -> Result<Applicant, Failure> {
        let (leaf_seed, seed, unix) = (self.random(), self.random(), self.clock.unix(now));
        Applicant::new(&self.identity, group_id, key_exchange, leaf_seed, seed, unix)
    }

    /// The time in milliseconds, never the same twice: what is said later is known to be later.
    pub(super) fn stamp_ms(&mut self, now: Instant) -> u64 {
        self.stamped_ms = self.clock.unix_ms(now).max(self.stamped_ms + 1);
        self.stamped_ms
    }

    pub(super) fn random<const N: usize>(&mut self) -> [u8; N] {
        self.rng.array()
    }

    /// Stops sending, keeps the keys.
    pub(super) fn pause(&mut self, reason: Silence) {
        self.rekeys.push_back(Rekey::Seal(SealRekey::pause(reason)));
        self.events.push_back(Event::Silent { reason });
    }

    /// Ends a pause.
    pub(super) fn resume(&mut self) {
        self.rekeys.push_back(Rekey::Seal(SealRekey::resume()));
        self.events.push_back(Event::Audible);
    }

    /// Takes every key away.
    pub(super) fn stop(&mut self, reason: Silence) {
        self.rekeys.clear();
        self.rekeys.push_back(Rekey::Seal(SealRekey::stop(reason)));
        // Whoever comes in again has no doubts of the room it was in.
        self.rekeys.push_back(Rekey::Seal(SealRekey::resume()));
        self.rekeys.push_back(Rekey::Open(OpenRekey::close()));
    }
}

/// Two ways to say one moment, as the room was told when it began.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub(super) began: Instant,
    pub(super) unix: UnixTime,
}

impl Clock {
    pub(super) fn unix(&self, now: Instant) -> UnixTime {
        self.unix.after(now.saturating_duration_since(self.began))
    }

    fn unix_ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began).as_millis();
        self.unix.0.saturating_mul(1000).saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

/// Long enough that a commit of everybody in it is no load, short enough that stolen keys are soon old.
const RENEW_EVERY: Duration = Duration::from_secs(600);
