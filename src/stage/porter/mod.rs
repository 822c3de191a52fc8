//! Somebody of rank lets listeners in, gives them keys, and takes them away (`spec/stage.md`,
//! section 3).
//!
//! ```text
//! doors lane: Call ──> foyer: door, beat, programme      Knock ──> Answer: chains, present base key
//!             Up   ──> own lane: keys, page, invite      turn  ──> each cell: R, or a fresh chain
//! ```

mod cells;
mod doors;
#[cfg(feature = "testkit")]
mod insider;
mod serving;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::CryptoRng;

use self::{
    cells::{Cells, Place},
    doors::Doors,
};
use super::{
    StageEvent,
    card::Programme,
    chain::{Clock, GRACE},
    envelope::{self, Use},
    epoch::Base,
    error::AudienceError,
    lane::{HallKey, HallLane},
    wire::{Beat, Down, Hall, Message, Shown, Turn},
};
use crate::{
    group::{Identity, signing::SigningKey},
    id::MemberId,
    keys::{Suite, secret::Secret},
    law::{Law, LiveSet, Tag},
    mls::SealingSecret,
    random::Generator,
    wire::{
        answer::RefuseReason,
        door::{Door, door_name},
        signed::Signed,
        statements::Statements,
    },
};

pub(super) use cells::drawn;
pub(super) use doors::{answer_aad, knock_aad, order, put_out};

/// What a porter goes by: who it is, and what it knows of the law.
pub(super) struct Desk {
    pub(super) identity: Identity,
    pub(super) known: LiveSet,
    pub(super) unix_ms: u64,
    pub(super) unix_at: Instant,
    /// Who is on the stage.
    pub(super) on_stage: Vec<MemberId>,
}

impl Desk {
    pub(super) fn law(&self) -> &Law {
        self.known.law()
    }

    pub(super) fn unix_ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.unix_at).as_millis();
        self.unix_ms.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

/// The part of somebody of rank that serves listeners.
pub(super) struct Porter {
    name: [u8; 16],
    answer: SigningKey,
    sealing: SealingSecret,
    door: Signed<Door>,
    chain: Option<Statements>,
    group_id: [u8; 32],
    suite: Suite,
    cells: Cells,
    doors: Doors,
    /// The epoch in use and one that is announced, with the moment of its switch.
    bases: Vec<(Base, Instant)>,
    programme: Arc<Programme>,
    stamp_ms: u64,
    beat_at: Instant,
    door_at: Instant,
    foyer_at: Option<Instant>,
    foyer_from: Instant,
    /// Somebody wants the programme, which only the head shows there unasked.
    wanted: bool,
    retire_at: Option<Instant>,
    step: u32,
    /// Whether this porter shows the programme to who comes in.
    pub(super) leads: bool,
    /// Long answers of this second.
    long: (Option<Instant>, u32),
}

/// A hall epoch that is announced, with its secret.
pub(super) struct Announced<'a> {
    pub(super) base: Base,
    pub(super) secret: &'a Secret,
    pub(super) programme: &'a Arc<Programme>,
    pub(super) switch_at: Instant,
}

/// What leaves a porter.
#[derive(Default)]
pub(super) struct Out {
    pub(super) transmits: VecDeque<(HallLane, Bytes)>,
    pub(super) events: VecDeque<StageEvent>,
}

impl Porter {
    pub(super) fn new(
        (answer, sealing): (SigningKey, SealingSecret),
        door: Signed<Door>,
        desk: &Desk,
        clock: &Clock,
        now: Instant,
    ) -> Self {
        Self {
            name: door_name(answer.public()),
            answer,
            sealing,
            door,
            chain: None,
            group_id: desk.known.group_id().0,
            suite: desk.known.terms().suite,
            cells: Cells::default(),
            doors: Doors::default(),
            bases: Vec::new(),
            programme: Arc::default(),
            stamp_ms: 0,
            beat_at: now,
            door_at: now,
            foyer_at: None,
            foyer_from: now,
            wanted: false,
            retire_at: None,
            step: clock.step(now),
            leads: false,
            long: (None, 0),
        }
    }

    pub(super) fn name(&self) -> [u8; 16] {
        self.name
    }

    pub(super) fn listeners(&self) -> u32 {
        self.cells.len()
    }

    /// Says how late it is no later than this.
    pub(super) fn beat_at(&mut self, at: Instant) {
        self.beat_at = self.beat_at.min(at);
    }

    /// Whether a turn would take the hall from somebody who has gone.
    pub(super) fn wants_turn(&self) -> bool {
        self.cells.has_gone()
    }

    /// Takes a newer badge, and the hand-overs that lead to it.
    pub(super) fn show(&mut self, door: Signed<Door>, chain: Option<Statements>, now: Instant) {
        if self.door != door || self.chain != chain {
            (self.door, self.chain, self.door_at) = (door, chain, now);
        }
    }

    /// The law has changed: whoever it has out goes.
    pub(super) fn act_on_law(&mut self, desk: &Desk, key: &HallKey, out: &mut Out, rng: &mut Generator) {
        let law = desk.law();
        let gone: Vec<_> = self
            .cells
            .seats()
            .filter_map(|(_, seat)| Some((seat.tag, doors::put_out(law, &seat.tag)?)))
            .collect();
        for (tag, reason) in gone {
            self.put_out(&tag, reason, key, out, rng);
        }
    }

    /// Everybody goes: the room is closed.
    pub(super) fn close(&mut self, key: &HallKey, out: &mut Out, rng: &mut Generator) {
        for tag in self.cells.seats().map(|(_, seat)| seat.tag).collect::<Vec<_>>() {
            self.put_out(&tag, RefuseReason::Declined, key, out, rng);
        }
    }

    fn put_out(
        &mut self,
        tag: &Tag,
        reason: RefuseReason,
        key: &HallKey,
        out: &mut Out,
        rng: &mut Generator,
    ) {
        if let Some(place) = self.cells.place_of(tag) {
            self.say(place, &Down::Out(reason), key, out, rng);
        }
        if let Some(seat) = self.cells.remove(tag) {
            out.events.push_back(StageEvent::Went { member: seat.member(), put_out: Some(reason) });
        }
    }

    /// The hall turns: every cell learns it.
    pub(super) fn turn(
        &mut self,
        Announced { base, secret, programme, switch_at }: Announced<'_>,
        (key, clock): (&HallKey, &Clock),
        out: &mut Out,
        rng: &mut Generator,
        now: Instant,
    ) {
        let switch_ms = left_ms(switch_at, now);
        let turn = Turn { n: base.name.n, first: base.name.first, switch_ms, secret: doors::copy(secret) };
        // One that is announced gives way to a newer one.
        self.bases.retain(|(_, at)| *at <= now);
        let kept = self.bases.len().saturating_sub(1);
        self.bases.drain(..kept);
        self.bases.push((base, switch_at));
        self.advance(clock, now);
        if self.programme != *programme {
            self.programme = Arc::clone(programme);
            if self.leads {
                self.send(HallLane::Hall, &Message::Programme((**programme).clone()), key, out, rng);
            }
        }
        if self.leads {
            self.beat(HallLane::Hall, key, clock, out, rng, now);
        }
        for (cell, bytes) in self.cells.turn(&turn, &key.0, now, rng) {
            out.transmits.push_back((HallLane::Cell { porter: self.name, cell }, bytes));
        }
        // Who has just come in may not receive the lane of its cell yet.
        let late = self.cells.seats().filter(|(_, seat)| now < seat.came_at + COMING);
        for place in late.map(|(place, _)| place).collect::<Vec<_>>() {
            if let Some(keys) = self.keys(place, now) {
                self.say(place, &keys, key, out, rng);
            }
        }
    }

    /// The number of the newest hall epoch that our cells were given.
    fn newest(&self) -> u64 {
        self.bases.last().map_or(0, |(base, _)| base.name.n)
    }

    /// What who lags is given.
    fn keys(&self, place: Place, now: Instant) -> Option<Down> {
        let cell_key = doors::copy(self.cells.chain(place.cell)?.key());
        Some(Down::Keys { step: self.step, cell_key, shown: self.shown(now) })
    }

    /// Lets somebody come up: `invite` is a link to the stage, for it alone.
    ///
    /// # Errors
    /// [`AudienceError::NotSeated`] if it does not listen by this porter.
    pub(super) fn let_up(
        &mut self,
        tag: &Tag,
        invite: &str,
        key: &HallKey,
        out: &mut Out,
        rng: &mut Generator,
    ) -> Result<(), AudienceError> {
        let place = self.cells.place_of(tag).ok_or(AudienceError::NotSeated)?;
        if let Some(seat) = self.cells.seat_mut(place) {
            seat.hand = None;
        }
        let link = Secret::filled(invite.len(), |out| out.copy_from_slice(invite.as_bytes()));
        self.say(place, &Down::Up(link), key, out, rng);
        Ok(())
    }

    /// Everybody whose hand is up, in the order of asking.
    pub(super) fn hands(&self) -> Vec<MemberId> {
        let mut hands: Vec<_> =
            self.cells.seats().filter_map(|(place, seat)| Some((seat.hand?, place, seat.member()))).collect();
        hands.sort_unstable_by_key(|(at, place, _)| (*at, *place));
        hands.into_iter().map(|(_, _, member)| member).collect()
    }

    pub(super) fn page(&mut self, number: u32) -> Option<Vec<(MemberId, crate::group::Name)>> {
        let page = self.cells.page(number)?;
        Some(page.people.into_iter().map(|(_, key, name)| (key.id(), name)).collect())
    }

    pub(super) fn pages(&self) -> u32 {
        self.cells.count()
    }

    pub(super) fn handle_timeout(
        &mut self,
        (key, clock): (&HallKey, &Clock),
        out: &mut Out,
        rng: &mut Generator,
        now: Instant,
    ) {
        self.advance(clock, now);
        if self.retire_at.take_if(|at| *at <= now).is_some() {
            self.cells.retire();
        }
        if self.beat_at <= now && !self.bases.is_empty() {
            self.beat(HallLane::Hall, key, clock, out, rng, now);
            self.drop_silent(out, now);
        }
        if self.door_at <= now {
            self.door_at = now + DOOR_EVERY;
            self.show_door(HallLane::Hall, key, out, rng);
        }
        if self.foyer_at.take_if(|at| *at <= now).is_some() {
            self.foyer_from = now + FOYER_EVERY;
            self.show_door(HallLane::Foyer, key, out, rng);
            if !self.bases.is_empty() {
                let beat_at = self.beat_at;
                self.beat(HallLane::Foyer, key, clock, out, rng, now);
                self.beat_at = beat_at;
                if std::mem::take(&mut self.wanted) || self.leads {
                    let programme = Message::Programme((*self.programme).clone());
                    self.send(HallLane::Foyer, &programme, key, out, rng);
                }
            }
        }
    }

    pub(super) fn poll_timeout(&self, clock: &Clock) -> Instant {
        let step = clock.boundary(self.step.saturating_add(1));
        let others = [self.retire_at, self.foyer_at].into_iter().flatten();
        others.fold(step.min(self.beat_at).min(self.door_at), Instant::min)
    }

    fn advance(&mut self, clock: &Clock, now: Instant) {
        let step = clock.step(now);
        if step > self.step {
            self.step = step;
            self.cells.advance(step);
            self.retire_at = Some(clock.boundary(step) + GRACE);
        }
        for (base, _) in &mut self.bases {
            base.advance(self.suite, step);
        }
        // Of the one before, who comes in has nothing any more once its packets are over.
        if let [.., (_, switch_at)] = self.bases.as_slice()
            && self.bases.len() > 1
            && *switch_at + GRACE <= now
        {
            self.bases.remove(0);
        }
    }

    /// Who has said nothing for so long that it is gone.
    fn drop_silent(&mut self, out: &mut Out, now: Instant) {
        let silent: Vec<_> = self
            .cells
            .seats()
            .filter(|(_, seat)| seat.heard_at + SILENT <= now)
            .map(|(_, seat)| seat.tag)
            .collect();
        for tag in silent {
            if let Some(seat) = self.cells.remove(&tag) {
                out.events.push_back(StageEvent::Went { member: seat.member(), put_out: None });
            }
        }
    }

    /// What who comes in, or lags, is given of the hall's epochs: never their secrets.
    fn shown(&self, now: Instant) -> Shown {
        Shown(self.bases.iter().map(|(base, at)| (base.copy(), left_ms(*at, now))).collect())
    }

    fn beat(
        &mut self,
        lane: HallLane,
        key: &HallKey,
        clock: &Clock,
        out: &mut Out,
        rng: &mut Generator,
        now: Instant,
    ) {
        self.beat_at = now + if self.leads { HEAD_BEATS } else { BEATS };
        let Some((base, switch_at)) = self.bases.last() else { return };
        let hall = Hall {
            hall_ms: clock.elapsed_ms(now),
            n: base.name.n,
            first: base.name.first,
            programme: base.name.programme,
            mark: base.name.mark(),
            switch_ms: left_ms(*switch_at, now),
        };
        self.stamp_ms = hall.hall_ms.max(self.stamp_ms + 1);
        let audience = (self.cells.len(), self.cells.roster());
        let beat = Beat::sign((self.name, &self.answer), &self.group_id, self.stamp_ms, &hall, audience);
        self.send(lane, &Message::Beat(beat), key, out, rng);
    }

    fn show_door(&self, lane: HallLane, key: &HallKey, out: &mut Out, rng: &mut Generator) {
        if let Some(chain) = &self.chain {
            self.send(lane, &Message::Chain(chain.clone()), key, out, rng);
        }
        self.send(lane, &Message::Door(self.door.clone()), key, out, rng);
    }

    fn say(&mut self, place: Place, down: &Down, _: &HallKey, out: &mut Out, rng: &mut Generator) {
        let Some(seat) = self.cells.seat(place) else { return };
        if let Ok(bytes) = seat.pair.seal(Use::Down, down.encode().bytes(), rng) {
            out.transmits.push_back((HallLane::Own(seat.reply_to), bytes));
        }
    }

    fn send(
        &self,
        lane: HallLane,
        message: &Message,
        key: &HallKey,
        out: &mut Out,
        rng: &mut impl CryptoRng,
    ) {
        if let Ok(bytes) = envelope::seal(&key.0, Use::Lane, &message.encode(), rng) {
            out.transmits.push_back((lane, bytes));
        }
    }
}

/// Milliseconds from `now` to `at`, which is no later than turns are announced.
fn left_ms(at: Instant, now: Instant) -> u16 {
    let left = at.saturating_duration_since(now).as_millis();
    u16::try_from(left).unwrap_or(u16::MAX)
}

/// How often the head beats, and other porters.
const HEAD_BEATS: Duration = Duration::from_secs(5);
const BEATS: Duration = Duration::from_secs(10);
/// For how long after its answer somebody is told a turn on its own lane too.
const COMING: Duration = Duration::from_secs(1);
const DOOR_EVERY: Duration = Duration::from_secs(60);
const FOYER_EVERY: Duration = Duration::from_millis(500);
/// A listener that renews its chain every ten minutes, and has not, is gone.
const SILENT: Duration = Duration::from_secs(1_200);
