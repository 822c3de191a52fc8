//! What every phase of a room needs: the identity, the clock, randomness, and the queues of what is
//! to leave the room: envelopes, key changes, events.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    clock::{Clock, Wrong},
    event::Event,
    freshness::Freshness,
    messages::lane::Messages,
    options::Admission,
    skew::Skew,
    speakers::kept::Reports,
};
use crate::{
    group::Identity,
    id::{IdentityKey, MemberId},
    lane::RelayName,
    media::{OpenRekey, Rekey, SealRekey, SilenceReason},
    random::Generator,
    wire::{envelope::LaneKey, message::Message},
};

/// One member's side of the room, whatever phase the room is in.
pub(super) struct Outbox {
    pub(super) identity: Identity,
    pub(super) lane: LaneKey,
    pub(super) relays: Vec<RelayName>,
    pub(super) rng: Generator,
    pub(super) clock: Clock,
    /// When messages of others were made, by our clock.
    pub(super) skew: Skew,
    pub(super) wrong: Wrong,
    outgoing: VecDeque<Bytes>,
    events: VecDeque<Event>,
    pub(super) reports: Reports,
    /// App messages, ours and others'.
    pub(super) messages: Messages,
    /// How a door of ours answers knocks.
    pub(super) admission: Admission,
    rekeys: VecDeque<Rekey>,
    /// Why the sealer is paused at the moment.
    silence: Option<SilenceReason>,
    /// The same, as the application was told.
    told_silence: Option<SilenceReason>,
    is_heard: bool,
    /// What was stamped last, when, by the clock that timers go by, and what the time of day was
    /// then.
    stamped_ms: u64,
    stamped_at: Option<Instant>,
    clock_ms: u64,
    /// The times that our own KeyPackages said, so that nobody else's device is thought to be
    /// behind one.
    pub(super) petitions: super::bounded::Recent<u64, 1_024>,
    /// The newest of these times.
    newest_made_ms: u64,
    /// Messages of others about the hall, by sender.
    #[cfg(feature = "stage")]
    pub(super) hall: super::said::Heard,
    /// The KeyPackages that doors passed on lately, for whoever plays a hostile member.
    #[cfg(feature = "testkit")]
    pub(super) overheard: Vec<Vec<u8>>,
    /// A hostile keeper: it says that it keeps, and commits nothing of its own accord.
    #[cfg(feature = "testkit")]
    pub(super) idles: bool,
}

impl Outbox {
    pub(super) fn new(
        identity: Identity,
        lane: LaneKey,
        relays: Vec<RelayName>,
        mut rng: Generator,
        clock: Clock,
    ) -> Self {
        let messages = Messages::new(rng.array());
        Self {
            identity,
            lane,
            relays,
            rng,
            clock,
            skew: Skew::new(clock.began),
            wrong: Wrong::default(),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
            reports: Reports::default(),
            messages,
            admission: Admission::default(),
            rekeys: VecDeque::new(),
            silence: None,
            told_silence: None,
            is_heard: false,
            stamped_ms: 0,
            stamped_at: None,
            clock_ms: 0,
            petitions: Default::default(),
            newest_made_ms: 0,
            #[cfg(feature = "stage")]
            hall: Default::default(),
            #[cfg(feature = "testkit")]
            overheard: Vec::new(),
            #[cfg(feature = "testkit")]
            idles: false,
        }
    }

    pub(super) fn id(&self) -> MemberId {
        self.identity.id()
    }

    /// Queues a message for everybody.
    ///
    /// # Errors
    /// [`Unsent`] if no number of fragments holds the message. Nothing was queued.
    pub(super) fn send(&mut self, message: &Message) -> Result<(), Unsent> {
        let envelopes = self.lane.seal(&message.encode(), &mut self.rng).map_err(|_| Unsent)?;
        self.outgoing.extend(envelopes);
        Ok(())
    }

    pub(super) fn tell(&mut self, event: Event) {
        trace_event!(INFO, kind = event.kind(), "room event");
        self.events.push_back(event);
    }

    /// The time in milliseconds, never the same twice, so that what is said later is known to be
    /// later. Where the clock was set back it goes on from what was said last as time passes, or
    /// others would take what is said for held back (T2).
    pub(super) fn stamp_ms(&mut self, now: Instant) -> u64 {
        let unix_ms = self.clock.unix_ms(now);
        let passed = match self.stamped_at {
            Some(at) => u64::try_from(now.saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX),
            None => self.off_ms(unix_ms),
        };
        self.stamped_ms = unix_ms.max(self.stamped_ms.saturating_add(passed.max(1)));
        (self.stamped_at, self.clock_ms) = (Some(now), unix_ms);
        self.stamped_ms
    }

    /// How much time has passed since the stamp before a restart, by what the clock has gained: to
    /// others nothing else tells this member from one whose words are held back (T2). After a long
    /// time they have forgotten by how much it was ahead.
    const fn off_ms(&self, unix_ms: u64) -> u64 {
        let passed = unix_ms.saturating_sub(self.clock_ms);
        if passed >= LEAD_IS_FORGOTTEN_MS && unix_ms > self.stamped_ms { 0 } else { passed }
    }

    /// What was stamped last, and what the clock said then, to be stored.
    pub(super) const fn stamped(&self) -> (u64, u64) {
        (self.stamped_ms, self.clock_ms)
    }

    /// Goes on from what was stamped before a restart, and from what the clock said then.
    pub(super) const fn restore_stamp(&mut self, (stamped_ms, clock_ms): (u64, u64)) {
        (self.stamped_ms, self.clock_ms) = (stamped_ms, clock_ms);
    }

    /// Notes the time that a KeyPackage of ours says.
    pub(super) fn note_petition(&mut self, made_ms: u64) {
        self.petitions.note(made_ms);
        self.newest_made_ms = self.newest_made_ms.max(made_ms);
    }

    /// The newest time, in Unix milliseconds, that a leaf, a KeyPackage or a Leave of ours has
    /// said.
    pub(super) fn newest_made_ms(&self, seen: &Freshness) -> u64 {
        self.newest_made_ms.max(seen.newest(self.id()))
    }

    /// Whether this is a keeper that commits nothing: only whoever plays a hostile member has one.
    #[cfg(feature = "testkit")]
    pub(super) const fn idles(&self) -> bool {
        self.idles
    }

    #[cfg(not(feature = "testkit"))]
    pub(super) const fn idles(&self) -> bool {
        false
    }

    /// Keeps a KeyPackage for whoever plays a hostile member.
    #[cfg(feature = "testkit")]
    pub(super) fn overhear(&mut self, key_package: &[u8]) {
        self.overheard.truncate(7);
        self.overheard.insert(0, key_package.to_vec());
    }

    pub(super) fn random<const N: usize>(&mut self) -> [u8; N] {
        self.rng.array()
    }

    /// When a message is to be repeated that may have come at a bad moment: never again after a
    /// whole number of seconds, or it comes at the same moment of another window each time (E1,
    /// R2).
    pub(super) fn again(&mut self, now: Instant) -> Instant {
        let spread = u32::from_be_bytes(self.random()) % AGAIN_SPREAD_MS;
        now + AGAIN + Duration::from_millis(spread.into())
    }

    /// Pauses or resumes the sealer, if that is a change. Keys stay where they are.
    pub(super) fn set_silence(&mut self, silence: Option<SilenceReason>) {
        if self.silence == silence {
            return;
        }
        self.silence = silence;
        match silence {
            Some(reason) => self.rekeys.push_back(Rekey::Seal(SealRekey::pause(reason))),
            None => self.rekeys.push_back(Rekey::Seal(SealRekey::resume())),
        }
        self.tell_silence();
    }

    /// Whether our role is heard and we are not muted: whoever is not is told of its role, and not
    /// that it may send again.
    pub(super) fn set_heard(&mut self, heard: bool) {
        self.is_heard = heard;
        self.tell_silence();
    }

    fn tell_silence(&mut self) {
        let silence = self.silence.filter(|_| self.is_heard);
        if std::mem::replace(&mut self.told_silence, silence) == silence || !self.is_heard {
            return;
        }
        self.tell(match silence {
            Some(reason) => Event::Silent { reason },
            None => Event::Audible,
        });
    }

    /// Takes every key away from the sealer and the opener.
    pub(super) fn stop(&mut self, reason: SilenceReason) {
        (self.silence, self.told_silence) = (None, None);
        self.rekeys.clear();
        self.rekeys.push_back(Rekey::Seal(SealRekey::stop(reason)));
        self.rekeys.push_back(Rekey::Seal(SealRekey::resume()));
        self.rekeys.push_back(Rekey::Open(OpenRekey::close()));
    }

    pub(super) fn rekey(&mut self, rekeys: impl IntoIterator<Item = Rekey>) {
        self.rekeys.extend(rekeys);
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outgoing.pop_front()
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(super) fn poll_rekey(&mut self) -> Option<Rekey> {
        self.rekeys.pop_front()
    }
}

/// Our identity key.
pub(super) fn own_key(out: &Outbox) -> IdentityKey {
    IdentityKey::from_bytes(*out.identity.public())
}

/// Nobody has a leaf for so long without a word (P3), and with it goes what others know of its
/// clock.
const LEAD_IS_FORGOTTEN_MS: u64 = 900_000;
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_SPREAD_MS: u32 = 1_000;

/// The message is longer than all fragments of one message hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsent;
