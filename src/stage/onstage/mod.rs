//! Somebody on the stage: what it seals and opens under, and, with rank, the porter that it is
//! (`spec/stage.md`, sections 2 and 3).

#[cfg(test)]
mod attacks;
mod hearing;
#[cfg(feature = "testkit")]
pub(super) mod insider;
mod turns;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    StageEvent,
    card::{Card, Programme},
    chain::Clock,
    envelope::{self, Use},
    error::{AudienceError, HallError},
    lane::{HallKey, HallLane},
    porter::{Desk, Out, Porter},
    tuner::Tuner,
    wire::{Here, Message, Say, Secrets},
};
use crate::{
    Seed,
    defence::{Defence, holds},
    group::{Name, RoomCode},
    id::{Epoch, IdentityKey, Leaf, MemberId},
    keys::{secret::Secret, speaker::Signer},
    law::{StatementId, Tag},
    media::{Authenticity, Rekey, SealRekey, SilenceReason},
    random::Generator,
    room::Room,
    transport::RoomHandle,
};

/// The hall of a stage room, beside the [`Room`] of somebody who is on the stage.
///
/// After each use of the room call [`Stage::follow`]; take changes of keys from
/// [`Stage::poll_rekey`] and not from the room. Sans-IO: whatever leaves is polled. Dropping it
/// wipes its keys.
pub struct Stage {
    desk: Desk,
    key: HallKey,
    group_id: [u8; 32],
    rng: Generator,
    clock: Option<Clock>,
    tuner: Tuner,
    cards: BTreeMap<Leaf, Card>,
    /// Who may be heard by law: leaf and identity key.
    heard: Vec<(Leaf, [u8; 32])>,
    own: Option<(Leaf, Arc<Signer>)>,
    card_at: Option<Instant>,
    /// The newest epoch: its number, its programme, when it was made and when it is gone over to.
    newest: Newest,
    porters: BTreeMap<MemberId, Other>,
    porter: Option<Porter>,
    porter_since: Instant,
    here_at: Instant,
    /// Statements that put somebody out, and that no turn has heeded yet.
    unheeded: BTreeSet<StatementId>,
    unheeded_since: Option<Instant>,
    /// Statements that the last turns have heeded, perhaps before they came to us; and the law that
    /// the maker of the newest turn knew.
    heeded: VecDeque<StatementId>,
    heeded_law: Option<[u8; 32]>,
    out_tags: BTreeSet<Tag>,
    programme_since: Option<Instant>,
    somebody_lacks: bool,
    lacks_at: Option<Instant>,
    /// A turn that our porter may not pass on before it knows what its maker knew.
    waiting: Option<(Box<Secrets>, Instant, Instant)>,
    /// By how much others have moved our clock, and since when that is counted.
    moved: (Option<Instant>, Duration),
    says: VecDeque<Secret>,
    out: Out,
    rekeys: VecDeque<Rekey>,
    room_stopped: bool,
    /// Why the room pauses, while it does.
    room_paused: Option<SilenceReason>,
    /// The hall pauses (H12).
    silent: bool,
    now: Instant,
}

#[derive(Default)]
struct Newest {
    n: u64,
    programme: Arc<Programme>,
    made: Option<Instant>,
    switch_at: Option<Instant>,
    by: Option<IdentityKey>,
}

/// Another porter, as it was heard last.
struct Other {
    key: IdentityKey,
    at: Instant,
    here: Here,
}

impl Stage {
    /// Goes on the stage of a room that is entered. `seed` is fresh; `now` is the room's.
    ///
    /// # Errors
    /// [`HallError::NotPresent`], and [`HallError::Unsigned`] for a room without signed packets.
    pub fn new(room: &mut Room, seed: Seed, now: Instant) -> Result<Self, HallError> {
        let facts = room.hall_facts(now).ok_or(HallError::NotPresent)?;
        let terms = facts.store.known().terms();
        if terms.authenticity != Authenticity::Signed {
            return Err(HallError::Unsigned);
        }
        let group_id = terms.group_id().0;
        let desk = Desk {
            identity: facts.identity.copy(),
            known: facts.store.known().clone(),
            unix_ms: facts.unix_ms,
            unix_at: now,
            on_stage: Vec::new(),
        };
        let mut stage = Self {
            key: HallKey::of(facts.lane),
            group_id,
            rng: Generator::new(seed),
            clock: None,
            tuner: Tuner::new(terms.suite, terms.packet_size, group_id),
            cards: BTreeMap::new(),
            heard: Vec::new(),
            own: None,
            card_at: None,
            newest: Newest::default(),
            porters: BTreeMap::new(),
            porter: None,
            porter_since: now,
            here_at: now,
            unheeded: BTreeSet::new(),
            unheeded_since: None,
            heeded: VecDeque::new(),
            heeded_law: None,
            out_tags: hearing::out_tags(&desk),
            programme_since: None,
            somebody_lacks: false,
            lacks_at: None,
            waiting: None,
            moved: (None, Duration::ZERO),
            says: VecDeque::new(),
            out: Out::default(),
            rekeys: VecDeque::new(),
            room_stopped: false,
            room_paused: None,
            silent: false,
            desk,
            now,
        };
        if facts.members.len() > 1 {
            stage.says.push_back(Say::Lacks.encode());
        }
        stage.follow(room, now);
        Ok(stage)
    }

    /// Takes what the room has for the hall: sayings, the law, the roster, changes of keys.
    pub fn follow(&mut self, room: &mut Room, now: Instant) {
        self.now = now;
        while let Some(said) = room.poll_hall() {
            self.hear(said, now);
        }
        if let Some(facts) = room.hall_facts(now) {
            self.learn(&facts, now);
        }
        while let Some(rekey) = room.poll_rekey() {
            self.pass(rekey);
        }
        self.tend(now);
        while let Some(said) = self.says.pop_front() {
            room.say_in_hall(said);
        }
    }

    /// The lanes that we receive: with rank, that of the doors and our own.
    pub fn lanes(&self) -> impl Iterator<Item = HallLane> + '_ {
        let porter = self.porter.as_ref().map(|porter| [HallLane::Doors, HallLane::Porter(porter.name())]);
        porter.into_iter().flatten()
    }

    /// Takes a message of the audience: what came on one of our [`lanes`](Self::lanes).
    ///
    /// # Errors
    /// [`AudienceError`] says why it did nothing.
    pub fn handle_control(&mut self, bytes: &[u8], now: Instant) -> Result<(), AudienceError> {
        self.now = now;
        let (Some(porter), Some(clock)) = (&mut self.porter, &self.clock) else {
            return Err(AudienceError::NoRank);
        };
        let content = envelope::open(&self.key.0, Use::Lane, bytes).ok_or(AudienceError::Envelope)?;
        let message = Message::decode(content.bytes()).map_err(|_| AudienceError::Malformed)?;
        porter.handle(message, (&self.desk, clock, &self.key), &mut self.out, &mut self.rng, now)
    }

    /// Does what is due at `now`. What it wants to say on the stage leaves by the next
    /// [`follow`](Self::follow).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.tend(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout), and then [`follow`](Self::follow), want to be
    /// called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let porter =
            self.porter.as_ref().zip(self.clock.as_ref()).map(|(porter, clock)| porter.poll_timeout(clock));
        let here = self.porter.as_ref().map(|_| self.here_at);
        let turn = self.turn_due(self.now).map(|(at, _)| at);
        let silence = self.unheeded_since.filter(|_| !self.silent).map(|since| since + HEEDED);
        let audible = self.newest.switch_at.filter(|at| self.silent && *at > self.now);
        [self.tuner.poll_timeout(), porter, here, turn, silence, audible].into_iter().flatten().min()
    }

    /// The next message to send, and its lane.
    pub fn poll_transmit(&mut self) -> Option<(HallLane, Bytes)> {
        self.out.transmits.pop_front()
    }

    /// The next change of keys, for the sealer or the opener, in order.
    pub fn poll_rekey(&mut self) -> Option<Rekey> {
        self.rekeys.pop_front()
    }

    /// The next thing to tell the user.
    pub fn poll_event(&mut self) -> Option<StageEvent> {
        self.out.events.pop_front()
    }

    /// What the relay calls a lane of this hall.
    pub fn handle(&self, lane: HallLane) -> RoomHandle {
        self.key.handle(lane)
    }

    /// How many listen, by us and by other porters.
    pub fn audience(&self) -> u32 {
        let others = self.alive(self.now).map(|(_, other)| other.here.listeners);
        let own = self.porter.as_ref().map_or(0, Porter::listeners);
        others.fold(own, u32::saturating_add)
    }

    /// Who listens by us, page by page: at most 32 people each.
    pub fn page(&mut self, number: u32) -> Option<Vec<(MemberId, Name)>> {
        self.porter.as_mut()?.page(number)
    }

    /// How many pages there are.
    pub fn pages(&self) -> u32 {
        self.porter.as_ref().map_or(0, Porter::pages)
    }

    /// Whose hands are up, in the order of asking, of those who listen by us.
    pub fn hands(&self) -> Vec<MemberId> {
        self.porter.as_ref().map(Porter::hands).unwrap_or_default()
    }

    /// Lets a listener come up, by an invite to the stage that is for it alone.
    ///
    /// # Errors
    /// [`AudienceError::NoRank`], [`AudienceError::NotSeated`].
    pub fn let_up(
        &mut self,
        member: MemberId,
        invite: &crate::wire::invite::Invite,
    ) -> Result<(), AudienceError> {
        let porter = self.porter.as_mut().ok_or(AudienceError::NoRank)?;
        let tag = self.desk.law().tag_of(member);
        porter.let_up(&tag, &invite.to_string(), &self.key, &mut self.out, &mut self.rng)
    }

    /// Tells everybody who listens by us that the hall is over, once the room was closed.
    pub fn close(&mut self) {
        if let Some(porter) = &mut self.porter {
            porter.close(&self.key, &mut self.out, &mut self.rng);
        }
    }

    /// The digits that are the same for everybody who hears this hall epoch.
    pub fn code(&self) -> Option<RoomCode> {
        Some(RoomCode::of_hall(&self.group_id, &self.tuner.present()?.authenticator))
    }

    /// The hall epoch that is opened.
    pub fn epoch(&self) -> Option<Epoch> {
        self.tuner.present().map(|name| Epoch(name.n))
    }

    /// Whether this porter makes the turns.
    pub fn leads(&self) -> bool {
        self.is_head(self.now)
    }

    /// The name of our door, by which cells are addressed, if we have rank.
    pub fn porter(&self) -> Option<[u8; 16]> {
        self.porter.as_ref().map(Porter::name)
    }

    fn tend(&mut self, now: Instant) {
        self.note_programme(now);
        self.drop_waiting(now);
        if let Some((_, urgent)) = self.turn_due(now).filter(|(at, _)| *at <= now) {
            self.make_turn(urgent, now);
        }
        let leads = self.is_head(now);
        if let (Some(porter), Some(clock)) = (&mut self.porter, &self.clock) {
            porter.leads = leads;
            porter.handle_timeout((&self.key, clock), &mut self.out, &mut self.rng, now);
            if self.here_at <= now {
                self.here_at = now + HERE;
                let here = Here {
                    hall_ms: clock.elapsed_ms(now),
                    n: self.newest.n,
                    listeners: porter.listeners(),
                    wants_turn: porter.wants_turn(),
                };
                self.says.push_back(Say::Here(here).encode());
            }
        }
        if let Some(clock) = &self.clock {
            self.tuner.handle_timeout(clock, now);
        }
        while let Some(rekey) = self.tuner.poll_rekey() {
            if matches!(rekey, Rekey::Open(_)) || !self.room_stopped {
                self.rekeys.push_back(rekey);
            }
        }
        self.tend_silence(now);
    }

    /// H12: nobody who was put out hears on because the head keeps quiet.
    fn tend_silence(&mut self, now: Instant) {
        let unheeded = self.unheeded_since.is_some_and(|since| since + HEEDED <= now);
        // Until the switch the key is one that who was put out has.
        let switching = self.silent && self.newest.switch_at.is_some_and(|at| at > now);
        let silent = (unheeded || switching) && holds(Defence::HallHeeded);
        if silent != self.silent {
            self.silent = silent;
            let event = if silent { StageEvent::Silent } else { StageEvent::Audible };
            self.pause();
            self.out.events.push_back(event);
        }
    }

    /// Pauses the sealer for as long as the room or the hall wants it.
    fn pause(&mut self) {
        let reason = self.room_paused.or(self.silent.then_some(SilenceReason::AwaitingRemoval));
        let rekey = reason.map_or_else(SealRekey::resume, SealRekey::pause);
        self.rekeys.push_back(Rekey::Seal(rekey));
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stage({} listen)", self.audience())
    }
}

const BETWEEN_LACKS: Duration = Duration::from_secs(2);
/// Somebody who was put out is heeded by a turn so soon, or speakers stop.
const HEEDED: Duration = Duration::from_secs(1);
/// How often a porter says that it is there, and how long that holds.
const HERE: Duration = Duration::from_secs(5);
