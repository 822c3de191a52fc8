//! When to show others what we know of the law (SPEC section 7, rules G1 to G4).

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::returning::Target;
use crate::{id::MemberId, law::StatementId, mls::SealingSecret};

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
    /// To which keepers we showed last, the hash of what we knew then, and when.
    shown_to: VecDeque<(MemberId, [u8; 32], Instant)>,
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
        self.answers <= MAX_ANSWERS
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

    /// A keeper of another branch knows another law than ours, whose hash is `known`. `spread` is between 0 and 10 s;
    /// `None` for a keeper, which shows at once.
    ///
    /// A keeper takes one Show of an identity in ten seconds, and who shows the same again does so in vain for the most
    /// part: whoever keeps a branch that never learns does not make others show for ever.
    pub(super) fn show_across(
        &mut self,
        target: Target,
        known: [u8; 32],
        spread: Option<Duration>,
        now: Instant,
    ) {
        let last = self.shown_to.iter().find(|(keeper, ..)| *keeper == target.key.id());
        let wait = last.map(|(_, hash, at)| match spread {
            Some(_) if *hash == known => *at + SAME_AGAIN,
            _ => *at + SHOWS_APART,
        });
        let at = now + spread.map_or(Duration::ZERO, |spread| OTHERS_SHOW + spread);
        let at = wait.map_or(at, |wait| wait.max(at));
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

    /// Shows across branches that are due, of the law whose hash is `known`.
    pub(super) fn take_across(&mut self, known: [u8; 32], now: Instant) -> Vec<Across> {
        let due: Vec<_> = self.across.extract_if(.., |across| across.at <= now).collect();
        for across in &due {
            let keeper = across.target.key.id();
            self.shown_to.retain(|(other, ..)| *other != keeper);
            if self.shown_to.len() >= MAX_SHOWN_TO {
                self.shown_to.pop_front();
            }
            self.shown_to.push_back((keeper, known, now));
        }
        due
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
/// Members other than the keeper show later than it.
const OTHERS_SHOW: Duration = Duration::from_secs(10);
/// To one keeper nobody shows more often.
const SHOWS_APART: Duration = Duration::from_secs(10);
/// Who does not keep shows the same to the same keeper again after this time.
const SAME_AGAIN: Duration = Duration::from_secs(120);
const MAX_SHOWN_TO: usize = 64;
const MAX_ANSWERS: usize = 16;
const MAX_OPEN: usize = 8;
