//! When the hall turns, who makes it turn, and what that does (`spec/stage.md`, H4, H7 and H12).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{BETWEEN_LACKS, Newest, Other, Stage, hearing::MAX_CARDS};
use crate::{
    defence::{Defence, holds},
    id::{IdentityKey, MemberId},
    keys::secret::Secret,
    law::{Rank, StatementId},
    media::STEP,
    stage::{
        card::{Card, Programme},
        chain::{Clock, GRACE},
        epoch::{Base, EpochName},
        porter::{self, Announced, Porter},
        tuner::{AHEAD, switch_at},
        wire::{MAX_BECAUSE, Say, Secrets},
    },
};

impl Stage {
    pub(super) fn alive(&self, now: Instant) -> impl Iterator<Item = (&MemberId, &Other)> {
        let law = self.desk.law();
        self.porters
            .iter()
            .filter(move |(_, other)| other.at + ALIVE > now && law.rank_of(&other.key) != Rank::None)
    }

    pub(super) fn is_head(&self, now: Instant) -> bool {
        let law = self.desk.law();
        let own = IdentityKey::from_bytes(*self.desk.identity.public());
        let before = |other: &Other| porter::order(law, &other.key) < porter::order(law, &own);
        self.porter.is_some()
            && self.porter_since + SETTLED <= now
            && !self.alive(now).any(|(_, other)| before(other))
    }

    /// The cards of all who may be heard.
    pub(super) fn programme(&self) -> Programme {
        let cards = self.heard.iter().filter_map(|(leaf, key)| {
            let card = self.cards.get(leaf)?;
            (card.key.as_bytes() == key).then(|| card.clone())
        });
        Programme::new(cards.collect())
    }

    /// When the head makes the next turn, and whether somebody has to be made deaf by it.
    pub(super) fn turn_due(&self, now: Instant) -> Option<(Instant, bool)> {
        if !self.is_head(now) {
            return None;
        }
        let Some(made) = self.newest.made else { return Some((now, false)) };
        if self.unheeded_since.is_some() {
            return Some((made + BETWEEN_BANS, true));
        }
        let own = self.porter.as_ref().is_some_and(Porter::wants_turn);
        let wanted = own || self.alive(now).any(|(_, other)| other.here.wants_turn && other.at > made);
        // One that is announced is gone over to first, unless a card goes: who makes a new card
        // each moment would put off the switch for ever.
        let gone = self.programme_since.is_some() && self.card_goes(&self.programme());
        let settled = self.newest.switch_at.filter(|_| !gone).unwrap_or(made);
        let programme = self.programme_since.map(|since| (since + SETTLING).max(settled));
        let lacks = self.somebody_lacks.then(|| made + BETWEEN_LACKS);
        let leaves = wanted.then(|| made + BETWEEN_TURNS);
        [programme, lacks, leaves].into_iter().flatten().min().map(|at| (at, false))
    }

    pub(super) fn make_turn(&mut self, urgent: bool, now: Instant) {
        let Some(clock) = self.clock else { return };
        let programme = self.programme();
        let gone = self.card_goes(&programme);
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
            n: (self.newest_count(now) + 1) << 8 | self.place_in_order(),
            first: clock.step(now),
            hall_ms: clock.elapsed_ms(now),
            switch_ms,
            secret: porter::drawn(&mut self.rng),
            programme,
            law: self.desk.known.hash(),
            because: self.because(),
        };
        self.says.push_back(Say::Secrets(Box::new(copy(&secrets))).encode());
        let own = IdentityKey::from_bytes(*self.desk.identity.public());
        self.take_turn(Box::new(secrets), own, now);
    }

    /// A turn knows all that we know.
    pub(super) fn heed_all(&mut self) {
        self.heeded.extend(std::mem::take(&mut self.unheeded));
        self.heeded.drain(..self.heeded.len().saturating_sub(MAX_HEEDED));
    }

    /// The greatest count that we or another porter know, as far as others take a turn above it: so
    /// members of the stage that have a turn which we never got go over to our next one.
    fn newest_count(&self, now: Instant) -> u64 {
        let own = self.newest.n >> 8;
        let others = self.alive(now).map(|(_, other)| other.here.n >> 8);
        others.filter(|count| *count < (own + FAR).min(MAX_COUNT)).max().unwrap_or(own).max(own)
    }

    /// The newest statements that put somebody out, those first that no turn has named yet. Turns
    /// name them again, since a porter may have got neither the statement nor the turn that named
    /// it.
    fn because(&self) -> Vec<[u8; 32]> {
        let named = |id: &&StatementId| !self.unheeded.contains(*id) && self.desk.known.get(id).is_some();
        let again = self.heeded.iter().rev().filter(named);
        self.unheeded.iter().chain(again).map(|id| id.0).take(MAX_BECAUSE).collect()
    }

    /// Whether somebody who may be heard in the newest epoch may not be by this programme.
    fn card_goes(&self, programme: &Programme) -> bool {
        self.newest.programme.cards().iter().any(|card| {
            !programme.cards().iter().any(|other| other.leaf == card.leaf && other.key == card.key)
        })
    }

    /// Two porters that think that they lead never make the same number.
    pub(super) fn place_in_order(&self) -> u64 {
        let law = self.desk.law();
        let own = IdentityKey::from_bytes(*self.desk.identity.public());
        let at = law.moderators().iter().position(|moderator| moderator.key == own);
        at.map_or(0, |at| at as u64 + 1)
    }

    /// Whether a turn of somebody is to take the place of all that we know of the hall, because
    /// what we know is the word of somebody who leads after it, or has no rank any more.
    fn starts_over(&self, secrets: &Secrets, by: &IdentityKey, now: Instant) -> bool {
        let Some(before) = self.newest.by.filter(|before| before != by) else { return false };
        let law = self.desk.law();
        let far = |from: u64, to: u64| from >> 8 > (to >> 8).saturating_add(FAR);
        let other = far(self.newest.n, secrets.n) || far(secrets.n, self.newest.n);
        let early = self.clock.is_some_and(|clock| clock.step(now) > secrets.first.saturating_add(LONG_AGO));
        let outranks =
            law.rank_of(&before) == Rank::None || porter::order(law, by) < porter::order(law, &before);
        (other || early) && outranks
    }

    pub(super) fn take_turn(&mut self, secrets: Box<Secrets>, by: IdentityKey, now: Instant) {
        let counts = secrets.n >> 8 <= MAX_COUNT || !holds(Defence::HallCount);
        if !counts || secrets.programme.verify(&self.newest.programme, &self.group_id).is_err() {
            return;
        }
        if self.starts_over(&secrets, &by, now) {
            (self.newest, self.clock) = (Newest::default(), None);
            self.tuner.clear();
        }
        let far = secrets.n >> 8 > (self.newest.n >> 8).saturating_add(FAR) && self.newest.n > 0;
        let far = far && holds(Defence::HallCount);
        if secrets.n <= self.newest.n || far {
            return;
        }
        let told = Duration::from_millis(secrets.hall_ms);
        self.clock.get_or_insert(Clock::told(told, now));
        self.catch_up(told, now);
        // Nobody makes us work through the steps of years.
        let step = self.clock.map_or(0, |clock| clock.step(now));
        if secrets.first > step || secrets.first.saturating_add(LONG_AGO) < step {
            return;
        }
        let switch_at = switch_at(secrets.switch_ms, now);
        let programme = Arc::new(secrets.programme.clone());
        let base = self.base_of(&secrets);
        let is_own = |card: &Card| self.cards.get(&card.leaf) == Some(card);
        let own = self
            .own
            .as_ref()
            .filter(|(leaf, _)| programme.cards().iter().any(|card| card.leaf == *leaf && is_own(card)));
        let own = own.map(|(leaf, signer)| (*leaf, Arc::clone(signer)));
        self.tuner.announce(base, Arc::clone(&programme), own, switch_at);
        self.newest =
            Newest { n: secrets.n, programme, made: Some(now), switch_at: Some(switch_at), by: Some(by) };
        for card in secrets.programme.cards() {
            if self.cards.len() < MAX_CARDS {
                self.cards.entry(card.leaf).or_insert_with(|| card.clone());
            }
        }
        if secrets.law == self.desk.known.hash() {
            self.heed_all();
        }
        self.unheeded.retain(|id| !secrets.because.contains(&id.0));
        self.heeded_law = Some(secrets.law);
        // Named again, they are as new as before.
        let because = secrets.because.iter().rev().map(|id| StatementId(*id));
        let new: Vec<_> = because.filter(|id| !self.heeded.contains(id)).collect();
        self.heeded.extend(new);
        self.heeded.drain(..self.heeded.len().saturating_sub(MAX_HEEDED));
        self.unheeded_since = self.unheeded_since.filter(|_| !self.unheeded.is_empty());
        self.somebody_lacks = false;
        self.waiting = self.porter.is_some().then_some((secrets, switch_at, now));
        self.pass_on_waiting(now);
        self.note_programme(now);
    }

    /// Gives a turn to our cells, once we know whom its maker knew to be out.
    pub(super) fn pass_on_waiting(&mut self, now: Instant) {
        let Some((secrets, ..)) = &self.waiting else { return };
        let known = &self.desk.known;
        let knows = secrets.law == known.hash()
            || secrets.because.iter().all(|id| known.get(&StatementId(*id)).is_some());
        if !knows && holds(Defence::HallLaw) {
            return;
        }
        let Some((secrets, switch_at, _)) = self.waiting.take() else { return };
        let base = self.base_of(&secrets);
        let programme = Arc::new(secrets.programme);
        if let (Some(porter), Some(clock)) = (&mut self.porter, &self.clock) {
            let secret = &secrets.secret;
            let announced = Announced { base, secret, programme: &programme, switch_at };
            porter.turn(announced, (&self.key, clock), &mut self.out, &mut self.rng, now);
        }
    }

    /// A hall secret waits no longer than a chain lives. Then we want another turn.
    pub(super) fn drop_waiting(&mut self, now: Instant) {
        if self.waiting.take_if(|(_, _, since)| *since + STEP + GRACE <= now).is_some() {
            self.somebody_lacks = true;
            self.says.push_back(Say::Lacks.encode());
        }
    }

    pub(super) fn base_of(&self, secrets: &Secrets) -> Base {
        let hash = secrets.programme.hash();
        let name = EpochName::of(&secrets.secret, &self.group_id, secrets.n, secrets.first, hash);
        Base::first(self.desk.known.terms().suite, &secrets.secret, &self.group_id, name)
    }

    /// Notes since when the programme has not been what the law and the cards say.
    pub(super) fn note_programme(&mut self, now: Instant) {
        let differs = self.programme() != *self.newest.programme;
        self.programme_since = differs.then(|| self.programme_since.unwrap_or(now));
    }
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

/// How long before its switch a turn is announced that makes somebody deaf.
const AHEAD_OF_BAN: Duration = Duration::from_millis(330);
/// A turn whose switch is nearer than this is not overtaken.
const NEAR: Duration = Duration::from_millis(500);
const APART: Duration = Duration::from_millis(200);
/// How far apart turns are that only those who left make necessary.
const BETWEEN_TURNS: Duration = Duration::from_secs(10);
const BETWEEN_BANS: Duration = Duration::from_millis(250);
/// How long the programme waits for more cards.
const SETTLING: Duration = Duration::from_millis(250);
pub(super) const ALIVE: Duration = Duration::from_secs(12);
/// A new porter leads no sooner.
pub(super) const SETTLED: Duration = Duration::from_secs(6);
/// Statements of the last turns that are remembered: as many as one turn names.
const MAX_HEEDED: usize = MAX_BECAUSE;
/// How far one turn moves the count of turns.
const FAR: u64 = 1_024;
/// Counts that a hall never comes to.
const MAX_COUNT: u64 = 1 << 48;
/// Hall steps of an hour: an epoch that began earlier is made anew.
const LONG_AGO: u32 = 360;
