//! A place in the hall: the chains of a listener, and the epochs that it hears (`spec/stage.md`,
//! H4 to H7).

mod named;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use self::named::Named;
use crate::{
    defence::{Defence, holds},
    group::Name,
    id::MemberId,
    keys::{Suite, secret::Secret},
    mls::SealingSecret,
    stage::{
        card::Programme,
        chain::{Chain, Clock, GRACE},
        envelope::{Use, open_bare},
        epoch::Base,
        error::AudienceError,
        tuner::Tuner,
        wire::{Admitted, Asked, Bundle, Shown, Turn},
    },
};

/// Programmes with their hashes.
type Programmes = Vec<([u8; 32], Arc<Programme>)>;

/// Where somebody listens.
pub(super) struct Place {
    group_id: [u8; 32],
    suite: Suite,
    pub(super) porter: [u8; 16],
    pub(super) cell: u32,
    pub(super) slot: u8,
    pub(super) pair: Chain,
    chain: Chain,
    pub(super) clock: Clock,
    pub(super) tuner: Tuner,
    /// The two programmes that were shown last, with their hashes.
    programmes: Programmes,
    /// The epoch that each porter named last: so nobody's word takes the place of another's.
    named: Vec<Named>,
    /// What opened under our own chain, by its salt: a relay may say it again.
    taken: VecDeque<[u8; 32]>,
    came_at: Instant,
    /// When we have lost the hall: nobody names what we have, nor what is newer.
    pub(super) lost_at: Option<Instant>,
    /// A secret that no beat has named yet: dropped with the step.
    secret: Option<Turn>,
    /// Epochs whose programme is not known yet.
    waits: Vec<(Base, Instant)>,
    pub(super) lacks: Lacks,
    retire_at: Option<Instant>,
    pub(super) count: u32,
    pub(super) renew_at: Instant,
    /// The key to which a fresh one for our chain will be sealed.
    pub(super) one_use: Option<(SealingSecret, Instant)>,
    pub(super) page: Option<u32>,
    /// What did not agree with what somebody of rank signed.
    pub(super) violations: u32,
}

/// What is missing, and since when.
#[derive(Default)]
pub(super) struct Lacks {
    pub(super) epoch: Option<Instant>,
    pub(super) programme: Option<Instant>,
    /// A secret came, and no beat that names it: asked for once in a while, because anybody in the
    /// cell can make one up.
    pub(super) name: Option<Instant>,
    name_asked_at: Option<Instant>,
    pub(super) asked_at: Option<Instant>,
    pub(super) asked: u32,
}

impl Lacks {
    /// Our porter has been asked.
    pub(super) fn note(&mut self, now: Instant) {
        self.asked_at = Some(now);
        if self.epoch.is_some() || self.programme.is_some() {
            self.asked += 1;
        }
        if self.name.take().is_some() {
            self.name_asked_at = Some(now);
        }
    }
}

impl Place {
    pub(super) fn new(
        admitted: Admitted,
        porter: [u8; 16],
        (tuner, programmes): (Tuner, Programmes),
        suite: Suite,
        clock: Clock,
        group_id: [u8; 32],
        (renew_at, now): (Instant, Instant),
    ) -> Self {
        let mut place = Self {
            group_id,
            suite,
            porter,
            cell: admitted.cell,
            slot: admitted.slot,
            pair: Chain::new(admitted.step, admitted.pair),
            chain: Chain::new(admitted.step, admitted.cell_key),
            clock,
            tuner,
            programmes,
            named: Vec::new(),
            taken: VecDeque::new(),
            came_at: now,
            lost_at: None,
            secret: None,
            waits: Vec::new(),
            lacks: Lacks::default(),
            retire_at: None,
            count: 0,
            renew_at,
            one_use: None,
            page: None,
            violations: 0,
        };
        place.step(now);
        place.take_shown(admitted.shown, now);
        place
    }

    /// The chain of the cell, for whoever plays a listener that lies.
    #[cfg(any(test, fuzzing, feature = "testkit"))]
    pub(super) fn copy_chain(&self) -> Chain {
        Chain::new(self.chain.step(), Secret::filled(32, |out| out.copy_from_slice(self.chain.key().bytes())))
    }

    /// Our own chain, for whoever plays a porter that lies.
    #[cfg(any(test, fuzzing, feature = "testkit"))]
    pub(super) fn copy_pair(&self) -> Chain {
        Chain::new(self.pair.step(), Secret::filled(32, |out| out.copy_from_slice(self.pair.key().bytes())))
    }

    /// Goes to another porter, and hears on.
    pub(super) fn into_tuner(self) -> (Tuner, Programmes, Clock) {
        (self.tuner, self.programmes, self.clock)
    }

    /// Who may be heard in the epoch that is opened.
    pub(super) fn speakers(&self) -> impl Iterator<Item = (MemberId, &Name, crate::id::Leaf)> {
        let hash = self.tuner.present().map(|name| name.programme);
        let programme = self.programmes.iter().find(|(known, _)| Some(*known) == hash);
        let cards = programme.map_or(&[][..], |(_, programme)| programme.cards());
        cards.iter().map(|card| (card.member(), &card.name, card.leaf))
    }

    /// Whether this opens for the first time. A relay that says again what gave us a chain would
    /// take the newer one from us.
    pub(super) fn is_new(&mut self, salt: &[u8; 32]) -> bool {
        if self.taken.contains(salt) && holds(Defence::HallReplay) {
            return false;
        }
        if self.taken.len() >= MAX_TAKEN {
            self.taken.pop_front();
        }
        self.taken.push_back(*salt);
        true
    }

    /// A message of the cell, under its chain.
    pub(super) fn hear_cell(&mut self, bytes: &[u8], now: Instant) -> Option<Result<(), AudienceError>> {
        let content = self.chain.open(Use::Cell, bytes)?;
        let turn = Turn::decode(content.bytes()).map_err(|_| AudienceError::Malformed);
        Some(turn.map(|turn| self.hear_turn(turn, now)))
    }

    /// A fresh chain for the cell.
    pub(super) fn hear_bundle(&mut self, bundle: &Bundle, now: Instant) -> Result<(), AudienceError> {
        let opened = self.pair.try_at(bundle.step, |key| bundle.open(self.slot, key));
        let fresh = opened.ok_or(AudienceError::Undecryptable)?;
        if !self.clock.is_near(bundle.step, now) {
            return Err(AudienceError::Malformed);
        }
        if !self.is_new(bundle.salt()) {
            return Err(AudienceError::Repeated);
        }
        let turn = open_bare(&fresh, Use::Cell, &bundle.turn);
        self.chain = Chain::new(bundle.step, fresh);
        self.step(now);
        if let Some(content) = turn {
            let turn = Turn::decode(content.bytes()).map_err(|_| AudienceError::Malformed)?;
            self.hear_turn(turn, now);
        }
        Ok(())
    }

    fn hear_turn(&mut self, turn: Turn, now: Instant) {
        let near = self.clock.is_near(turn.first, now);
        if near && turn.n > self.tuner.newest() && self.secret.as_ref().is_none_or(|held| held.n <= turn.n) {
            self.secret = Some(turn);
            self.try_turn(now);
            let asked = self.lacks.name_asked_at.is_some_and(|at| now < at + BETWEEN_NAMES);
            if self.secret.is_some() && !asked {
                self.lacks.name.get_or_insert(now);
            }
        }
    }

    pub(super) fn take_keys(
        &mut self,
        step: u32,
        cell_key: Secret,
        shown: Shown,
        now: Instant,
    ) -> Result<(), AudienceError> {
        if !self.clock.is_near(step, now) {
            return Err(AudienceError::Malformed);
        }
        self.chain = Chain::new(step, cell_key);
        self.step(now);
        self.take_shown(shown, now);
        Ok(())
    }

    fn take_base(&mut self, base: Base, switch_at: Instant, now: Instant) {
        if self.waits.iter().any(|(waits, _)| waits.name.n >= base.name.n) {
            return;
        }
        if self.waits.len() >= MAX_WAITING {
            self.waits.remove(0);
        }
        self.secret.take_if(|turn| turn.n <= base.name.n);
        self.waits.push((base, switch_at));
        self.try_bases(now);
    }

    fn try_bases(&mut self, now: Instant) {
        let step = self.clock.step(now);
        for (mut base, switch_at) in std::mem::take(&mut self.waits) {
            let programme = self.programmes.iter().find(|(hash, _)| *hash == base.name.programme);
            match programme {
                Some((_, programme)) => {
                    let programme = Arc::clone(programme);
                    self.tuner.announce(base, programme, None, switch_at);
                }
                None => {
                    base.advance(self.suite, step);
                    self.waits.push((base, switch_at));
                }
            }
        }
        self.note_lacks(now);
        if self.secret.is_none() {
            self.lacks.name = None;
        }
        let waits = !self.waits.is_empty();
        self.lacks.programme = waits.then(|| self.lacks.programme.unwrap_or(now));
    }

    /// Who may be heard: every card that is new is checked.
    pub(super) fn hear_programme(&mut self, programme: Programme, now: Instant) -> Result<(), AudienceError> {
        let hash = programme.hash();
        if self.programmes.iter().any(|(known, _)| *known == hash) {
            return Ok(());
        }
        // Nothing is checked that nobody of rank has named.
        let named = self.named.iter().any(|named| named.programme == hash)
            || self.waits.iter().any(|(base, _)| base.name.programme == hash);
        if !named {
            return Err(AudienceError::Repeated);
        }
        let none = Arc::default();
        let known = self.programmes.last().map_or(&none, |(_, programme)| programme);
        programme.verify(known, &self.group_id).map_err(|_| AudienceError::Signature)?;
        if self.programmes.len() >= 2 {
            self.programmes.remove(0);
        }
        self.programmes.push((hash, Arc::new(programme)));
        self.try_turn(now);
        self.try_bases(now);
        Ok(())
    }

    /// Whether the programme of what was announced is not known.
    pub(super) fn lacks_programme(&self) -> bool {
        !self.waits.is_empty()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.step(now);
        if self.retire_at.take_if(|at| *at <= now).is_some() {
            self.pair.retire();
            self.chain.retire();
            // A secret that nobody named in its step names nothing any more.
            if self.secret.as_ref().is_some_and(|turn| turn.first < self.clock.step(now)) {
                self.secret = None;
            }
        }
        if self.one_use.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.one_use = None;
        }
        self.tuner.handle_timeout(&self.clock, now);
    }

    fn step(&mut self, now: Instant) {
        let step = self.clock.step(now);
        if step > self.pair.step() {
            self.pair.advance(step);
            self.retire_at = Some(self.clock.boundary(step) + GRACE);
            for (base, _) in &mut self.waits {
                base.advance(self.suite, step);
            }
        }
        self.chain.advance(step);
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        let step = self.clock.boundary(self.pair.step().saturating_add(1));
        let one_use = self.one_use.as_ref().map(|(_, until)| *until);
        let others = [self.retire_at, self.tuner.poll_timeout(), one_use];
        others.into_iter().flatten().fold(step.min(self.renew_at), Instant::min)
    }

    /// What we say to our porter, numbered.
    pub(super) fn numbered(&mut self, asked: Asked) -> crate::stage::wire::UpContent {
        self.count += 1;
        crate::stage::wire::UpContent { count: self.count, asked }
    }
}

/// What a porter says to one listener while the chains live that it is sealed under is less.
const MAX_TAKEN: usize = 64;
const MAX_WAITING: usize = 2;
/// How far apart a listener asks because of secrets that no beat has named.
const BETWEEN_NAMES: Duration = Duration::from_secs(5);
