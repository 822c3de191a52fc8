//! Somebody in the audience (`spec/stage.md`, section 3).
//!
//! ```text
//!            handle_control(lane, bytes, now)        poll_transmit  > doors, a porter
//! relay >    handle_timeout(now)        > Listener > poll_rekey     > Opener
//! app   >    set_hand, leave                         poll_event     > app
//! ```

mod doorways;
mod hearing;
#[cfg(feature = "testkit")]
pub(super) mod insider;
mod joining;
#[cfg(any(test, fuzzing))]
mod lies;
mod place;

use std::{
    borrow::Borrow,
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::{
    doorways::Doorways,
    joining::{Joining, ONE_USE, one_use, random_within},
    place::Place,
};
use super::{
    card::Programme,
    envelope::{self, Use},
    error::{AudienceError, HallError},
    event::{HallSpeaker, ListenerEvent, Over},
    lane::{HallKey, HallLane},
    wire::{Asked, Message, Ticket, Up},
};
use crate::{
    Seed,
    group::{Identity, RoomCode},
    id::{Epoch, MemberId, UnixTime},
    keys::secret::Secret,
    media::{OpenRekey, Rekey},
    random::Generator,
    transport::RoomHandle,
    wire::invite::Invite,
};

/// One listener of a stage room.
///
/// Sans-IO: give it what comes on its [`lanes`](Self::lanes), and time; poll what leaves. Dropping
/// it wipes its keys; the opener keeps its own until it is dropped.
pub struct Listener {
    identity: Identity,
    invite: Invite,
    key: HallKey,
    rng: Generator,
    unix_ms: u64,
    unix_at: Instant,
    reply_to: [u8; 16],
    doors: Doorways,
    /// Programmes that came before we knew whether they are named: the last one.
    early: Option<Programme>,
    joining: Option<Joining>,
    /// What lets us in without an invite, once somebody of rank has.
    ticket: Option<Ticket>,
    place: Option<Box<Place>>,
    over: bool,
    entered: bool,
    attended: bool,
    hand: bool,
    out: VecDeque<(HallLane, Bytes)>,
    events: VecDeque<ListenerEvent>,
    rekeys: VecDeque<OpenRekey>,
    speakers: u64,
    began: Instant,
    /// How much later than others we ask for what we lack.
    spread: Duration,
}

impl Listener {
    /// Asks to hear a stage room. `seed` is fresh; `now` and `unix` are one moment by two clocks.
    ///
    /// # Errors
    /// [`HallError::Expired`] for an invite that is.
    pub fn join(
        identity: impl Borrow<Identity>,
        invite: Invite,
        seed: Seed,
        now: Instant,
        unix: UnixTime,
    ) -> Result<Self, HallError> {
        if unix >= invite.expires {
            return Err(HallError::Expired);
        }
        let mut rng = Generator::new(seed);
        let reply_to = rng.array();
        let joining = Joining::new(None, Duration::ZERO, &mut rng, now);
        let spread = random_within(LACKING_SPREAD, &mut rng);
        Ok(Self {
            identity: identity.borrow().copy(),
            key: HallKey::of(&invite.lane),
            doors: Doorways::new(&invite),
            invite,
            rng,
            unix_ms: unix.0.saturating_mul(1_000),
            unix_at: now,
            reply_to,
            early: None,
            joining: Some(joining),
            ticket: None,
            place: None,
            over: false,
            entered: false,
            attended: true,
            hand: false,
            out: VecDeque::new(),
            events: VecDeque::new(),
            rekeys: VecDeque::new(),
            speakers: 0,
            began: now,
            spread,
        })
    }

    /// Takes a message that came on one of our lanes.
    ///
    /// # Errors
    /// [`AudienceError`] says why it did nothing.
    pub fn handle_control(
        &mut self,
        lane: HallLane,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), AudienceError> {
        if self.over {
            return Err(AudienceError::Over);
        }
        let taken = self.take(lane, bytes, now);
        self.tend(now);
        taken
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.over {
            self.tend(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let joining = self.joining.as_ref().map(Joining::poll_timeout);
        let place = self.place.as_ref().map(|place| place.poll_timeout().min(self.asks_at(place)));
        let beats = self.attended.then(|| self.beat_heard() + UNATTENDED);
        [joining, place, beats, self.doors.poll_timeout()].into_iter().flatten().min()
    }

    /// The next message to send, and its lane.
    pub fn poll_transmit(&mut self) -> Option<(HallLane, Bytes)> {
        self.out.pop_front()
    }

    /// The next change of keys for the opener, in order.
    pub fn poll_rekey(&mut self) -> Option<OpenRekey> {
        self.rekeys.pop_front()
    }

    /// The next thing to tell the user.
    pub fn poll_event(&mut self) -> Option<ListenerEvent> {
        self.events.pop_front()
    }

    /// The lanes that we receive.
    pub fn lanes(&self) -> impl Iterator<Item = HallLane> + '_ {
        let place =
            self.place.as_ref().map(|place| HallLane::Cell { porter: place.porter, cell: place.cell });
        // The head shows the programme there, perhaps after another porter has answered.
        let waits =
            self.joining.is_some() || self.place.as_ref().is_some_and(|place| place.lacks_programme());
        let foyer = waits.then_some(HallLane::Foyer);
        let all = [Some(HallLane::Own(self.reply_to)), Some(HallLane::Hall), place, foyer];
        all.into_iter().flatten().filter(|_| !self.over)
    }

    /// What the relay calls a lane of this hall.
    pub fn handle(&self, lane: HallLane) -> RoomHandle {
        self.key.handle(lane)
    }

    /// Raises our hand, or takes it down.
    ///
    /// # Errors
    /// [`AudienceError::NotSeated`] until we are in.
    pub fn set_hand(&mut self, up: bool, now: Instant) -> Result<(), AudienceError> {
        self.ask(Asked::Hand(up), now)?;
        self.hand = up;
        Ok(())
    }

    /// Asks for a page of who listens by our porter.
    ///
    /// # Errors
    /// [`AudienceError::NotSeated`] until we are in.
    pub fn ask_page(&mut self, number: u32, now: Instant) -> Result<(), AudienceError> {
        self.ask(Asked::Page(number), now)?;
        if let Some(place) = &mut self.place {
            place.page = Some(number);
        }
        Ok(())
    }

    /// Goes. What is to be sent still, [`poll_transmit`](Self::poll_transmit) has.
    pub fn leave(&mut self, now: Instant) {
        if !self.over {
            let _ = self.ask(Asked::Leave, now);
            self.end(Over::Left);
        }
    }

    /// Our fingerprint.
    pub fn id(&self) -> MemberId {
        self.identity.id()
    }

    /// How many listen, as far as porters said.
    pub fn audience(&self) -> u32 {
        let beats = self.doors.iter().filter_map(|known| known.beat.as_ref());
        beats.map(|(beat, _)| beat.listeners).fold(0, u32::saturating_add)
    }

    /// Who may be heard.
    pub fn speakers(&self) -> Vec<HallSpeaker> {
        let speakers = self.place.iter().flat_map(|place| place.speakers());
        speakers.map(|(id, name, leaf)| HallSpeaker { id, name: name.clone(), leaf }).collect()
    }

    /// The digits that are the same for everybody who hears this hall epoch.
    pub fn code(&self) -> Option<RoomCode> {
        let name = self.place.as_ref()?.tuner.present()?;
        Some(RoomCode::of_hall(&self.invite.group_id, &name.authenticator))
    }

    /// The hall epoch that is opened.
    pub fn epoch(&self) -> Option<Epoch> {
        Some(Epoch(self.place.as_ref()?.tuner.present()?.n))
    }

    /// How often a cell or a porter said what nobody of rank has signed.
    pub fn violations(&self) -> u32 {
        self.place.as_ref().map_or(0, |place| place.violations)
    }

    fn tend(&mut self, now: Instant) {
        let unix_ms = self.unix(now);
        self.doors.handle_timeout(now);
        if let Some(place) = &mut self.place {
            place.forget(|porter| self.doors.get(porter).is_some(), now);
            place.handle_timeout(now);
            while let Some(rekey) = place.tuner.poll_rekey() {
                if let Rekey::Open(rekey) = rekey {
                    self.rekeys.push_back(rekey);
                }
            }
        }
        self.tend_asking(now);
        if let Some(joining) = &mut self.joining {
            let who = (&self.identity, &self.invite, self.ticket.as_ref());
            let reply_to = self.reply_to;
            let said = joining.handle_timeout(who, &mut self.doors, reply_to, (unix_ms, now), &mut self.rng);
            match said {
                Some(Message::Knock(knock)) => self.send(HallLane::Porter(knock.to), &Message::Knock(knock)),
                Some(message) => self.send(HallLane::Doors, &message),
                None => {}
            }
        }
        self.tell(now);
    }

    /// Asks our porter for what we lack, and goes to another one if it does not answer.
    fn tend_asking(&mut self, now: Instant) {
        let Some(place) = &mut self.place else { return };
        if place.renew_at <= now {
            place.renew_at = now + RETRY;
            if let Some(secret) = one_use(&self.invite, &self.rng.seed()) {
                let public = secret.public().as_bytes().to_vec();
                place.one_use = Some((secret, now + ONE_USE));
                let _ = self.ask(Asked::Fresh(public), now);
            }
        }
        let Some(place) = &self.place else { return };
        if self.asks_at(place) > now || self.joining.is_some() {
            return;
        }
        let lost = place.lost_at.is_some_and(|at| at <= now);
        let silent = lost || self.porter_heard(place) + PORTER_SILENT <= now;
        if silent || place.lacks.asked >= ASKED_IN_VAIN {
            let within = if silent && place.lacks.epoch.is_none() { SPREAD } else { SPREAD_LACKING };
            let not = Some(place.porter).filter(|_| !lost);
            self.joining = Some(Joining::new(not, within, &mut self.rng, now));
            return;
        }
        let newest = place.tuner.newest();
        let asked = if place.lacks_programme() { Asked::Programme } else { Asked::Keys(newest) };
        let _ = self.ask(asked, now);
        if let Some(place) = &mut self.place {
            place.lacks.note(now);
        }
    }

    /// When our porter is asked for what we lack, or left because it is silent.
    fn asks_at(&self, place: &Place) -> Instant {
        let silent = self.porter_heard(place) + PORTER_SILENT;
        let silent = place.lost_at.map_or(silent, |at| at.min(silent));
        if self.joining.is_some() {
            return silent + FOREVER;
        }
        let lacks = &place.lacks;
        let since = [lacks.epoch, lacks.programme, lacks.name].into_iter().flatten().min();
        let ask = since.map(|since| {
            let again = lacks.asked_at.map(|at| at + ASK_AGAIN);
            (since + LACKING + self.spread).max(again.unwrap_or(since))
        });
        ask.map_or(silent, |ask| ask.min(silent))
    }

    fn porter_heard(&self, place: &Place) -> Instant {
        let beat = self.doors.get(&place.porter).and_then(|known| known.beat.as_ref());
        beat.map_or(self.began, |(_, at)| *at)
    }

    /// When somebody of rank was heard last.
    fn beat_heard(&self) -> Instant {
        let beats = self.doors.iter().filter_map(|known| known.beat.as_ref());
        beats.map(|(_, at)| *at).max().unwrap_or(self.began)
    }

    fn tell(&mut self, now: Instant) {
        let Some(place) = &self.place else { return };
        let present = place.tuner.present().map(|name| name.n);
        if let Some(n) = present {
            if !self.entered {
                self.entered = true;
                self.events.push_back(ListenerEvent::Entered);
            }
            let hash = place.tuner.present().map_or(0, |name| {
                let [a, b, c, d, e, f, g, h, ..] = name.programme;
                u64::from_be_bytes([a, b, c, d, e, f, g, h])
            });
            if hash != self.speakers && n > 0 {
                self.speakers = hash;
                self.events.push_back(ListenerEvent::Speakers);
            }
        }
        let attended = self.beat_heard() + UNATTENDED > now;
        if attended != self.attended {
            self.attended = attended;
            let event = if attended { ListenerEvent::Attended } else { ListenerEvent::Unattended };
            self.events.push_back(event);
        }
    }

    fn ask(&mut self, asked: Asked, _: Instant) -> Result<(), AudienceError> {
        let place = self.place.as_mut().ok_or(AudienceError::NotSeated)?;
        let content = Secret::wrap(place.numbered(asked).encode());
        let sealed = place.pair.seal_bare(Use::Up, content.bytes(), &mut self.rng);
        let up = Up { porter: place.porter, cell: place.cell, slot: place.slot, sealed };
        self.send(HallLane::Porter(up.porter), &Message::Up(up));
        Ok(())
    }

    fn send(&mut self, lane: HallLane, message: &Message) {
        if let Ok(bytes) = envelope::seal(&self.key.0, Use::Lane, &message.encode(), &mut self.rng) {
            self.out.push_back((lane, bytes));
        }
    }

    fn end(&mut self, over: Over) {
        self.over = true;
        self.place = None;
        self.joining = None;
        self.early = None;
        self.rekeys.clear();
        self.rekeys.push_back(OpenRekey::close());
        self.events.push_back(ListenerEvent::Over(over));
    }

    fn unix(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.unix_at).as_millis();
        self.unix_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

/// Names nobody.
impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (&self.place, self.over) {
            (_, true) => "over",
            (Some(_), _) => "in",
            (None, _) => "waiting",
        };
        write!(f, "Listener({state})")
    }
}

/// A chain of a listener is renewed after this, and at most as much again.
const RENEW: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(5);
/// How long an epoch that somebody of rank named, or the name of one, may be missing before we ask:
/// longer than a message takes that is lost once, and at most so much longer, so that not all ask
/// at once.
const LACKING: Duration = Duration::from_millis(200);
const LACKING_SPREAD: Duration = Duration::from_millis(60);
const ASK_AGAIN: Duration = Duration::from_secs(1);
const ASKED_IN_VAIN: u32 = 2;
/// A porter that has not been heard for so long is left for another.
const PORTER_SILENT: Duration = Duration::from_secs(25);
const SPREAD: Duration = Duration::from_secs(5);
const SPREAD_LACKING: Duration = Duration::from_millis(500);
const UNATTENDED: Duration = Duration::from_secs(15);
const FOREVER: Duration = Duration::from_secs(3_600);
