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
    stamped_ms: u64,
    /// The times that our own KeyPackages said, so that nobody else's device is thought to be
    /// behind one.
    pub(super) petitions: super::bounded::Recent<u64, 1_024>,
    /// The newest of these times.
    newest_made_ms: u64,
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
            petitions: Default::default(),
            newest_made_ms: 0,
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
    /// later.
    pub(super) fn stamp_ms(&mut self, now: Instant) -> u64 {
        self.stamped_ms = self.clock.unix_ms(now).max(self.stamped_ms + 1);
        self.stamped_ms
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

const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_SPREAD_MS: u32 = 1_000;

/// The message is longer than all fragments of one message hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsent;
