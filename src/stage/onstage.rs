//! Somebody on the stage: what it seals and opens under, and, with rank, the porter that it is
//! (`spec/stage.md`, sections 2 and 3).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    card::{Card, Programme, voice_context},
    chain::Clock,
    envelope::{self, Use},
    epoch::{Base, EpochName},
    error::{AudienceError, HallError},
    event::StageEvent,
    lane::{HallKey, Lane},
    porter::{self, Desk, Out, Porter},
    tuner::Tuner,
    wire::{Here, Message, Say, Secrets},
};
use crate::{
    Seed,
    group::{Name, RoomCode, signing::SigningKey},
    id::{Epoch, IdentityKey, Leaf, MemberId},
    keys::{Rekey, SealRekey, rekey::SealChange, secret::Secret, speaker::Signer},
    law::{Rank, StatementId, Tag},
    media::{Authenticity, SilenceReason},
    mls::SealingSecret,
    random::Generator,
    room::{
        Room,
        hall::{Facts, Said},
    },
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
    out_tags: BTreeSet<Tag>,
    programme_since: Option<Instant>,
    somebody_lacks: bool,
    lacks_at: Option<Instant>,
    /// A turn that our porter may not pass on before it knows what its maker knew.
    waiting: Option<(Box<Secrets>, Instant)>,
    says: VecDeque<Secret>,
    out: Out,
    rekeys: VecDeque<Rekey>,
    room_stopped: bool,
    silent: bool,
    now: Instant,
}

#[derive(Default)]
struct Newest {
    n: u64,
    programme: Arc<Programme>,
    made: Option<Instant>,
    switch_at: Option<Instant>,
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
            out_tags: out_tags(&desk),
            programme_since: None,
            somebody_lacks: false,
            lacks_at: None,
            waiting: None,
            says: VecDeque::new(),
            out: Out::default(),
            rekeys: VecDeque::new(),
            room_stopped: false,
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

    /// Takes a message of the audience: what came on [`Lane::Doors`].
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
    pub fn poll_transmit(&mut self) -> Option<(Lane, Bytes)> {
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
    pub fn handle(&self, lane: Lane) -> RoomHandle {
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
    pub fn let_up(&mut self, member: MemberId, invite: &crate::group::Invite) -> Result<(), AudienceError> {
        let porter = self.porter.as_mut().ok_or(AudienceError::NoRank)?;
        let tag = self.desk.law().tag_of(member);
        porter.let_up(&tag, &invite.to_string(), &self.key, &mut self.out, &mut self.rng)
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

    fn hear(&mut self, said: Said, now: Instant) {
        let Ok(say) = Say::decode(said.bytes.0.bytes()) else { return };
        let rank = self.desk.law().rank_of(&said.key);
        match say {
            Say::Card(card) => {
                let known = self.cards.get(&said.leaf);
                let newer = known.is_none_or(|known| known.key != card.key || known.made_ms < card.made_ms);
                if card.leaf == said.leaf
                    && card.key == said.key
                    && newer
                    && (self.cards.len() < MAX_CARDS || known.is_some())
                    && card.verify(&self.group_id).is_ok()
                {
                    self.cards.insert(said.leaf, card);
                }
            }
            Say::Here(here) if rank != Rank::None => {
                if let Some(clock) = &mut self.clock {
                    clock.catch_up(Duration::from_millis(here.hall_ms), now);
                }
                if here.n > self.newest.n && self.lacks_at.is_none_or(|at| at + BETWEEN_LACKS <= now) {
                    self.lacks_at = Some(now);
                    self.says.push_back(Say::Lacks.encode());
                }
                self.porters.insert(said.from, Other { key: said.key, at: now, here });
                self.porters.retain(|_, other| other.at + ALIVE > now);
            }
            Say::Secrets(secrets) if rank != Rank::None => self.take_turn(secrets, now),
            Say::Here(_) | Say::Secrets(_) => {}
            Say::Lacks => self.somebody_lacks = true,
        }
    }

    fn learn(&mut self, facts: &Facts<'_>, now: Instant) {
        (self.desk.unix_ms, self.desk.unix_at) = (facts.unix_ms, now);
        self.desk.on_stage = facts.members.iter().map(|member| member.id).collect();
        if facts.store.known().hash() != self.desk.known.hash() {
            let before = std::mem::replace(&mut self.desk.known, facts.store.known().clone());
            let out = out_tags(&self.desk);
            if !out.is_subset(&self.out_tags) {
                let new = self.desk.known.ids().filter(|id| before.get(id).is_none());
                self.unheeded.extend(new.take(super::wire::MAX_BECAUSE));
                self.unheeded_since.get_or_insert(now);
            }
            self.out_tags = out;
            if let Some(porter) = &mut self.porter {
                porter.act_on_law(&self.desk, &self.key, &mut self.out, &mut self.rng);
            }
            self.pass_on_waiting(now);
        }
        let heard = facts.members.iter().filter(|member| member.role.may_speak() && !member.muted);
        self.heard = heard.map(|member| (member.leaf, member.key)).collect();
        let own = facts.members.iter().find(|member| member.is_self).map(|member| member.leaf);
        let renewed = self.card_at.is_none_or(|at| at + CARD_LASTS <= now);
        if let Some(leaf) = own.filter(|leaf| renewed || self.own.as_ref().is_none_or(|(own, _)| own != leaf))
        {
            self.make_card(leaf, now);
        }
        match (&facts.door, &mut self.porter) {
            (Some((_, _, door)), Some(porter)) => porter.show(door.clone(), facts.chain(), now),
            (Some((answer, sealing, door)), None) => {
                let sealing = SealingSecret::derive(facts.store.known().terms().key_exchange, sealing);
                let clock = *self.clock.get_or_insert(Clock::told(Duration::ZERO, now));
                if let Ok(sealing) = sealing {
                    let answer = SigningKey::from_seed(Seed::copied(answer.bytes()));
                    let mut porter = Porter::new((answer, sealing), door.clone(), &self.desk, &clock, now);
                    porter.show(door.clone(), facts.chain(), now);
                    self.porter = Some(porter);
                    let alone = facts.members.len() == 1;
                    self.porter_since = if alone { now.checked_sub(SETTLED).unwrap_or(now) } else { now };
                    self.here_at = now;
                }
            }
            (None, _) => self.porter = None,
        }
    }

    fn make_card(&mut self, leaf: Leaf, now: Instant) {
        let made_ms = self.desk.unix_ms(now);
        let seed = self.rng.seed();
        let context = voice_context(&self.group_id, made_ms);
        let signer = Arc::new(Signer::in_context(seed.bytes(), &context, leaf));
        let card = Card::sign(&self.desk.identity, leaf, signer.public, made_ms, &self.group_id);
        self.says.push_back(Say::Card(card.clone()).encode());
        self.cards.insert(leaf, card);
        self.own = Some((leaf, signer));
        self.card_at = Some(now);
    }

    /// Takes a change of keys of the room: its keys are of no use, its silences count.
    fn pass(&mut self, rekey: Rekey) {
        match rekey {
            Rekey::Seal(SealRekey(SealChange::Key(_))) => self.room_stopped = false,
            Rekey::Seal(SealRekey(SealChange::Stop(reason))) => {
                self.room_stopped = true;
                self.rekeys.push_back(Rekey::Seal(SealRekey::stop(reason)));
            }
            Rekey::Seal(rekey) => self.rekeys.push_back(Rekey::Seal(rekey)),
            Rekey::Open(rekey) if rekey.is_close() => {
                self.tuner.clear();
                self.rekeys.push_back(Rekey::Open(rekey));
            }
            Rekey::Open(_) => {}
        }
    }

    fn tend(&mut self, now: Instant) {
        self.note_programme(now);
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
        let silent = unheeded || switching;
        if silent != self.silent {
            self.silent = silent;
            let (rekey, event) = if silent {
                (SealRekey::pause(SilenceReason::AwaitingRemoval), StageEvent::Silent)
            } else {
                (SealRekey::resume(), StageEvent::Audible)
            };
            self.rekeys.push_back(Rekey::Seal(rekey));
            self.out.events.push_back(event);
        }
    }

    fn alive(&self, now: Instant) -> impl Iterator<Item = (&MemberId, &Other)> {
        let law = self.desk.law();
        self.porters
            .iter()
            .filter(move |(_, other)| other.at + ALIVE > now && law.rank_of(&other.key) != Rank::None)
    }

    fn is_head(&self, now: Instant) -> bool {
        let law = self.desk.law();
        let own = IdentityKey::from_bytes(*self.desk.identity.public());
        let before = |other: &Other| porter::order(law, &other.key) < porter::order(law, &own);
        self.porter.is_some()
            && self.porter_since + SETTLED <= now
            && !self.alive(now).any(|(_, other)| before(other))
    }

    /// The cards of all who may be heard.
    fn programme(&self) -> Programme {
        let cards = self.heard.iter().filter_map(|(leaf, key)| {
            let card = self.cards.get(leaf)?;
            (card.key.as_bytes() == key).then(|| card.clone())
        });
        Programme::new(cards.collect())
    }

    /// When the head makes the next turn, and whether somebody has to be made deaf by it.
    fn turn_due(&self, now: Instant) -> Option<(Instant, bool)> {
        if !self.is_head(now) {
            return None;
        }
        let Some(made) = self.newest.made else { return Some((now, false)) };
        if self.unheeded_since.is_some() {
            return Some((made + BETWEEN_BANS, true));
        }
        let own = self.porter.as_ref().is_some_and(Porter::wants_turn);
        let wanted = own || self.alive(now).any(|(_, other)| other.here.wants_turn && other.at > made);
        let programme = self.programme_since.map(|since| since + SETTLING);
        let lacks = self.somebody_lacks.then(|| made + BETWEEN_LACKS);
        let leaves = wanted.then(|| made + BETWEEN_TURNS);
        [programme, lacks, leaves].into_iter().flatten().min().map(|at| (at, false))
    }

    fn make_turn(&mut self, urgent: bool, now: Instant) {
        let Some(clock) = self.clock else { return };
        let programme = self.programme();
        let gone = self.newest.programme.cards().iter().any(|card| {
            !programme.cards().iter().any(|other| other.leaf == card.leaf && other.key == card.key)
        });
        let pending = self.newest.switch_at.filter(|at| *at > now);
        let switch_at = match pending {
            _ if !urgent && !gone => now + AHEAD,
            // Who is late into the epoch that is announced must not lose the one after it.
            Some(at) if at <= now + NEAR => (now + AHEAD_OF_BAN).max(at + APART),
            _ => now + AHEAD_OF_BAN,
        };
        let switch_ms =
            u16::try_from(switch_at.saturating_duration_since(now).as_millis()).unwrap_or(u16::MAX);
        let secrets = Secrets {
            n: ((self.newest.n >> 8) + 1) << 8 | self.place_in_order(),
            first: clock.step(now),
            hall_ms: clock.elapsed_ms(now),
            switch_ms,
            secret: porter::drawn(&mut self.rng),
            programme,
            law: self.desk.known.hash(),
            because: self.unheeded.iter().map(|id| id.0).collect(),
        };
        self.says.push_back(Say::Secrets(Box::new(copy(&secrets))).encode());
        self.take_turn(Box::new(secrets), now);
    }

    /// Two porters that think that they lead never make the same number.
    fn place_in_order(&self) -> u64 {
        let law = self.desk.law();
        let own = IdentityKey::from_bytes(*self.desk.identity.public());
        let at = law.moderators().iter().position(|moderator| moderator.key == own);
        at.map_or(0, |at| at as u64 + 1)
    }

    fn take_turn(&mut self, secrets: Box<Secrets>, now: Instant) {
        let far = secrets.n >> 8 > (self.newest.n >> 8).saturating_add(FAR) && self.newest.n > 0;
        if secrets.n <= self.newest.n || far {
            return;
        }
        if secrets.programme.verify(&self.newest.programme, &self.group_id).is_err() {
            return;
        }
        let told = Duration::from_millis(secrets.hall_ms);
        let clock = self.clock.get_or_insert(Clock::told(told, now));
        clock.catch_up(told, now);
        if secrets.first > clock.step(now) {
            return;
        }
        let switch_at = now + Duration::from_millis(secrets.switch_ms.into());
        let programme = Arc::new(secrets.programme.clone());
        let base = self.base_of(&secrets);
        let is_own = |card: &Card| self.cards.get(&card.leaf) == Some(card);
        let own = self
            .own
            .as_ref()
            .filter(|(leaf, _)| programme.cards().iter().any(|card| card.leaf == *leaf && is_own(card)));
        let own = own.map(|(leaf, signer)| (*leaf, Arc::clone(signer)));
        self.tuner.announce(base, Arc::clone(&programme), own, switch_at);
        self.newest = Newest { n: secrets.n, programme, made: Some(now), switch_at: Some(switch_at) };
        for card in secrets.programme.cards() {
            self.cards.entry(card.leaf).or_insert_with(|| card.clone());
        }
        if secrets.law == self.desk.known.hash() {
            self.unheeded.clear();
        }
        self.unheeded.retain(|id| !secrets.because.contains(&id.0));
        self.unheeded_since = self.unheeded_since.filter(|_| !self.unheeded.is_empty());
        self.somebody_lacks = false;
        self.waiting = Some((secrets, switch_at));
        self.pass_on_waiting(now);
        self.note_programme(now);
    }

    /// Gives a turn to our cells, once we know whom its maker knew to be out.
    fn pass_on_waiting(&mut self, now: Instant) {
        let Some((secrets, _)) = &self.waiting else { return };
        let known = &self.desk.known;
        let knows = secrets.law == known.hash()
            || secrets.because.iter().all(|id| known.get(&StatementId(*id)).is_some());
        if !knows {
            return;
        }
        let Some((secrets, switch_at)) = self.waiting.take() else { return };
        let base = self.base_of(&secrets);
        let programme = Arc::new(secrets.programme);
        if let (Some(porter), Some(clock)) = (&mut self.porter, &self.clock) {
            let with = (&self.key, clock);
            porter.turn(
                base,
                &secrets.secret,
                &programme,
                switch_at,
                with,
                &mut self.out,
                &mut self.rng,
                now,
            );
        }
    }

    fn base_of(&self, secrets: &Secrets) -> Base {
        let hash = secrets.programme.hash();
        let name = EpochName::of(&secrets.secret, &self.group_id, secrets.n, secrets.first, hash);
        Base::first(self.desk.known.terms().suite, &secrets.secret, &self.group_id, name)
    }

    /// Notes since when the programme has not been what the law and the cards say.
    fn note_programme(&mut self, now: Instant) {
        let differs = self.programme() != *self.newest.programme;
        self.programme_since = differs.then(|| self.programme_since.unwrap_or(now));
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stage({} listen)", self.audience())
    }
}

/// Whom the law has put out.
fn out_tags(desk: &Desk) -> BTreeSet<Tag> {
    let law = desk.law();
    law.tags().into_iter().filter(|tag| porter::put_out(law, tag).is_some()).collect()
}

/// A second place for a turn: one is said, the other is acted on.
fn copy(secrets: &Secrets) -> Secrets {
    let bytes = secrets.secret.bytes();
    Secrets {
        secret: Secret::filled(bytes.len(), |out| out.copy_from_slice(bytes)),
        programme: secrets.programme.clone(),
        because: secrets.because.clone(),
        ..*secrets
    }
}

/// How long before its switch a turn is announced, and one that makes somebody deaf.
const AHEAD: Duration = Duration::from_secs(1);
const AHEAD_OF_BAN: Duration = Duration::from_millis(300);
/// A turn whose switch is nearer than this is not overtaken.
const NEAR: Duration = Duration::from_millis(500);
const APART: Duration = Duration::from_millis(200);
/// How far apart turns are that only those who left make necessary.
const BETWEEN_TURNS: Duration = Duration::from_secs(10);
const BETWEEN_BANS: Duration = Duration::from_millis(250);
const BETWEEN_LACKS: Duration = Duration::from_secs(2);
/// How long the programme waits for more cards.
const SETTLING: Duration = Duration::from_millis(250);
/// Somebody who was put out is heeded by a turn so soon, or speakers stop.
const HEEDED: Duration = Duration::from_secs(1);
/// How often a porter says that it is there, and how long that holds.
const HERE: Duration = Duration::from_secs(5);
const ALIVE: Duration = Duration::from_secs(12);
/// A new porter leads no sooner.
const SETTLED: Duration = Duration::from_secs(6);
/// How long a speaker key is used.
const CARD_LASTS: Duration = Duration::from_secs(600);
const MAX_CARDS: usize = 1_000;
/// How far one turn moves the count of turns.
const FAR: u64 = 1_024;
