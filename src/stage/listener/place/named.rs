//! Which hall epochs somebody of rank has named, and what counts because of that (`spec/stage.md`,
//! H11).

use std::time::{Duration, Instant};

use super::Place;
use crate::{
    defence::{Defence, holds},
    stage::{
        chain::MOST_STEPS,
        epoch::{Base, EpochName},
        tuner::switch_at,
        wire::{Beat, Shown},
    },
};

/// The epoch that a porter named last.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub(super) by: [u8; 16],
    /// It was asked for, and another porter did not have it either.
    vain: bool,
    pub(super) n: u64,
    first: u32,
    pub(super) programme: [u8; 32],
    mark: [u8; 16],
    switch_at: Instant,
}

impl Place {
    /// Somebody of rank says how the hall is. Our own porter says how late it is: others would move
    /// those who do not listen by them.
    pub(in crate::stage::listener) fn hear_beat(&mut self, beat: &Beat, now: Instant) {
        let is_own = beat.porter == self.porter || !holds(Defence::HallOwnClock);
        if is_own && self.clock.catch_up(Duration::from_millis(beat.hall_ms), now) {
            self.step(now);
        }
        if self.tuner.mark_of(beat.n).is_some_and(|mark| mark != beat.mark) {
            // Some porter was given, or gave, another secret than the rest of the hall has.
            self.violations += 1;
        }
        let known = self.named.iter().position(|named| named.by == beat.porter);
        if known.and_then(|at| self.named.get(at)).is_some_and(|named| named.n == beat.n) {
            self.note_lacks(now);
            return;
        }
        if let Some(at) = known {
            self.named.remove(at);
        }
        let Beat { porter: by, n, first, programme, mark, .. } = *beat;
        let switch_at = switch_at(beat.switch_ms, now);
        self.named.push(Named { by, vain: false, n, first, programme, mark, switch_at });
        self.note_lacks(now);
        self.try_turn(now);
    }

    /// The newest epoch that we have, with or without its programme.
    fn held(&self) -> u64 {
        self.waits.iter().map(|(base, _)| base.name.n).fold(self.tuner.newest(), u64::max)
    }

    /// What somebody without a door said does not count any more.
    pub(in crate::stage::listener) fn forget(&mut self, has_door: impl Fn(&[u8; 16]) -> bool, now: Instant) {
        let before = self.named.len();
        self.named.retain(|named| has_door(&named.by));
        if self.named.len() < before {
            self.note_lacks(now);
        }
    }

    /// We have come here because of an epoch that somebody named, and it is not here either.
    pub(in crate::stage::listener) fn give_up(&mut self, now: Instant) {
        let held = self.held();
        self.named.iter_mut().filter(|named| named.n > held).for_each(|named| named.vain = true);
        self.note_lacks(now);
    }

    /// Notes since when an epoch is missing that somebody of rank named. After one that is far
    /// ahead of the hall, or that we did not find here, we go once in a while: perhaps nobody has
    /// it.
    pub(super) fn note_lacks(&mut self, now: Instant) {
        let (newest, late) = (self.tuner.newest(), self.came_at + BETWEEN_VAIN <= now);
        let lost = !self.named.is_empty() && self.named.iter().all(|named| named.n < newest);
        self.lost_at = lost.then(|| self.lost_at.unwrap_or(now + LOST_AFTER));
        let lacks = |named: &Named| {
            let far = newest > 0 && named.n >> 8 > (newest >> 8).saturating_add(FAR);
            named.n > newest && (late || !named.vain && !far)
        };
        if self.named.iter().any(lacks) {
            self.lacks.epoch.get_or_insert(now);
        } else {
            (self.lacks.epoch, self.lacks.asked) = (None, 0);
        }
    }

    /// Whether somebody else than our porter named the newest epoch that we have.
    pub(in crate::stage::listener) fn is_confirmed(&self) -> bool {
        let n = self.tuner.newest();
        let mark = self.tuner.mark_of(n);
        self.named.iter().any(|named| named.by != self.porter && named.n == n && Some(named.mark) == mark)
    }

    /// A secret counts once somebody of rank has signed what it leads to.
    pub(super) fn try_turn(&mut self, now: Instant) {
        let Some(turn) = &self.secret else { return };
        if !holds(Defence::HallNamed) {
            return self.take_unnamed(now);
        }
        let mut named = self.named.iter().filter(|named| named.n == turn.n).peekable();
        if named.peek().is_none() {
            return;
        }
        let found = named.find_map(|named| {
            let name = EpochName::of(&turn.secret, &self.group_id, turn.n, turn.first, named.programme);
            let agrees = name.mark() == named.mark && turn.first == named.first;
            (agrees || !holds(Defence::HallMark)).then_some((name, named.switch_at))
        });
        let Some((name, switch_at)) = found else {
            // Somebody in the cell, its porter, or who named it lies. Perhaps others name it still.
            self.violations += 1;
            return;
        };
        let base = Base::first(self.suite, &turn.secret, &self.group_id, name);
        self.secret = None;
        self.take_base(base, switch_at, now);
    }

    /// Without the defence: a secret of the cell counts as it is.
    fn take_unnamed(&mut self, now: Instant) {
        let programme = self.tuner.present().map(|name| name.programme);
        if let (Some(turn), Some(programme)) = (self.secret.take(), programme) {
            let name = EpochName::of(&turn.secret, &self.group_id, turn.n, turn.first, programme);
            let base = Base::first(self.suite, &turn.secret, &self.group_id, name);
            self.take_base(base, switch_at(turn.switch_ms, now), now);
        }
    }

    /// What a porter gave to who comes in or lags.
    pub(in crate::stage::listener) fn take_shown(&mut self, shown: Shown, now: Instant) {
        for (base, switch_ms) in shown.0 {
            let mut named = self.named.iter().filter(|named| named.n == base.name.n).peekable();
            let agrees = named.peek().is_none() || named.any(|named| named.mark == base.name.mark());
            // It is of the present step: nobody makes us work through others.
            let due = base.name.step(self.clock.step(now));
            if !agrees || due.abs_diff(base.step) > MOST_STEPS {
                self.violations += 1;
            } else if base.name.n > self.tuner.newest() {
                self.take_base(base, switch_at(switch_ms, now), now);
            }
        }
    }
}

/// How far ahead of the hall an epoch may be whose name we go after at once, in turns.
const FAR: u64 = 8;
/// Longer than porters take to say what is newest.
const LOST_AFTER: Duration = Duration::from_secs(15);
/// How long after we came here we go after others.
const BETWEEN_VAIN: Duration = Duration::from_secs(60);
