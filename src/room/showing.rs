//! When to show others what we know of the law (SPEC section 7, rules G1 to G4).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::returning::Target;
use crate::{
    defence::{Defence, holds},
    id::MemberId,
    law::StatementId,
    mls::SealingSecret,
};

/// What was shown, and what is to be shown.
#[derive(Default)]
pub(super) struct Showing {
    /// Shown in this epoch already.
    shown: BTreeSet<StatementId>,
    /// Since when words of others have stated another known law than ours, and when we show ours.
    show_at: Option<Instant>,
    shown_at: Option<Instant>,
    /// Questions of others that were answered in this epoch.
    answers: usize,
    /// Keepers of other branches that are to be shown what we know.
    across: Vec<Across>,
    /// The one-use keys of Shows that have no answer yet, the newest last.
    pub(super) open: Vec<([u8; 32], SealingSecret)>,
}

/// A Show to the keeper of another branch.
pub(super) struct Across {
    pub(super) target: Target,
    pub(super) at: Instant,
}

impl Showing {
    /// An epoch begins: what was shown before has to be shown again if it is still lacking.
    pub(super) fn enter(&mut self) {
        self.shown.clear();
        (self.show_at, self.answers) = (None, 0);
    }

    /// Notes that a statement is shown. Returns `false` if it was already, in this epoch.
    pub(super) fn note_shown(&mut self, id: StatementId) -> bool {
        self.shown.len() >= MAX_SHOWN || self.shown.insert(id)
    }

    pub(super) fn note_showing(&mut self, now: Instant) {
        (self.shown_at, self.show_at) = (Some(now), None);
    }

    /// Somebody in our epoch stated another known law than ours. `spread` is between 0 and 3 s for who is not the keeper.
    pub(super) fn note_difference(&mut self, spread: Duration, now: Instant) {
        let least = self.shown_at.map_or(now, |at| at + SHOW_APART);
        self.show_at.get_or_insert((now + DIFFERS_FOR + spread).max(least));
    }

    /// Whether a question of others for statements may be answered: so many in an epoch.
    pub(super) fn may_answer(&mut self) -> bool {
        self.answers += 1;
        self.answers <= MAX_ANSWERS || !holds(Defence::AnswerPace)
    }

    pub(super) fn note_agreement(&mut self) {
        self.show_at = None;
    }

    /// Whether it is time to show in our epoch; what was shown before is then shown again.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        if self.show_at.is_none_or(|at| at > now) {
            return false;
        }
        self.show_at = None;
        self.shown.clear();
        true
    }

    /// A keeper of another branch knows another law.
    pub(super) fn show_across(&mut self, target: Target, at: Instant) {
        if let Some(across) = self.across.iter_mut().find(|across| across.target.key == target.key) {
            across.target = target;
        } else if self.across.len() < MAX_ACROSS {
            self.across.push(Across { target, at });
        }
    }

    /// That keeper knows what we know.
    pub(super) fn forget_across(&mut self, keeper: MemberId) {
        self.across.retain(|across| across.target.key.id() != keeper);
    }

    /// Shows across branches that are due.
    pub(super) fn take_across(&mut self, now: Instant) -> Vec<Across> {
        self.across.extract_if(.., |across| across.at <= now).collect()
    }

    pub(super) fn note_open(&mut self, reference: [u8; 32], secret: SealingSecret) {
        if self.open.len() >= MAX_OPEN {
            self.open.remove(0);
        }
        self.open.push((reference, secret));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.across.iter().map(|across| across.at).chain(self.show_at).min()
    }
}

/// Words may differ for so long: commits take their time.
const DIFFERS_FOR: Duration = Duration::from_secs(3);
const SHOW_APART: Duration = Duration::from_secs(5);
const MAX_SHOWN: usize = 8_192;
const MAX_ACROSS: usize = 8;
const MAX_ANSWERS: usize = 16;
const MAX_OPEN: usize = 8;
