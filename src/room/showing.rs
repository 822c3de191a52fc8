//! When to show others what we know of the law (SPEC section 7, rules G1 to G4).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    bounded::{OPENED, Rate},
    target::Target,
};
use crate::{
    defence::{Defence, holds},
    id::MemberId,
    law::StatementId,
    mls::SealingSecret,
};

/// Statements that were shown, and those that are to be shown.
pub(super) struct Showing {
    /// Shown in this epoch already.
    shown: BTreeSet<StatementId>,
    /// Since when words of others have stated another known law than ours, and when we show ours.
    show_at: Option<Instant>,
    shown_at: Option<Instant>,
    /// Questions of each member that were answered.
    answers: Rate<MemberId>,
    /// Statements in answers, which everybody in the epoch heard.
    answered: Rate<StatementId>,
    /// Keepers of other branches that are to be shown what we know.
    across: Vec<Across>,
    /// Keepers of other branches that were shown what we know, the newest last.
    told: Vec<Told>,
    /// Answers to Shows of ours that were opened.
    pub(super) opened: Rate<()>,
    /// The one-use keys of Shows that have no answer yet, the newest last.
    pub(super) open: Vec<([u8; 32], SealingSecret)>,
}

/// A Show to the keeper of another branch.
pub(super) struct Across {
    pub(super) target: Target,
    pub(super) at: Instant,
}

/// Statements that were shown to a keeper of another branch.
struct Told {
    keeper: MemberId,
    /// The hash of our known law then.
    known: [u8; 32],
    /// When it is shown the same again, if it still says that it knows something else.
    again_at: Instant,
    wait: Duration,
}

impl Default for Showing {
    fn default() -> Self {
        Self {
            shown: BTreeSet::new(),
            show_at: None,
            shown_at: None,
            answers: Rate::new(MAX_ANSWERS, ANSWERS_WITHIN),
            answered: Rate::new(1, ANSWER_APART),
            across: Vec::new(),
            told: Vec::new(),
            opened: Rate::of(OPENED),
            open: Vec::new(),
        }
    }
}

impl Showing {
    /// An epoch begins: what was shown before has to be shown again if it is still lacking.
    pub(super) fn enter(&mut self) {
        self.shown.clear();
        self.show_at = None;
    }

    /// Notes that a statement is shown. Returns `false` if it was already, in this epoch.
    pub(super) fn note_shown(&mut self, id: StatementId) -> bool {
        self.shown.len() >= MAX_SHOWN || self.shown.insert(id)
    }

    pub(super) fn note_showing(&mut self, now: Instant) {
        (self.shown_at, self.show_at) = (Some(now), None);
    }

    /// Somebody in our epoch stated another known law than ours. `spread` is between 0 and 3 s for
    /// who is not the keeper.
    pub(super) fn note_difference(&mut self, spread: Duration, now: Instant) {
        let least = self.shown_at.map_or(now, |at| at + SHOW_APART);
        self.show_at.get_or_insert((now + DIFFERS_FOR + spread).max(least));
    }

    /// Whether a question of this member may be answered: nobody uses up what others may ask (G3).
    pub(super) fn may_answer(&mut self, member: MemberId, now: Instant) -> bool {
        self.answers.take(member, now) || !holds(Defence::AnswerPace)
    }

    /// Whether a statement may be said in an answer: it was not a moment ago.
    pub(super) fn may_repeat(&mut self, id: StatementId, now: Instant) -> bool {
        self.answered.take(id, now)
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

    /// A keeper of another branch knows another law than ours, whose hash is `known`. It is shown
    /// the same again ever more rarely, or its heartbeats could make us say all that we know
    /// without end.
    pub(super) fn show_across(&mut self, target: Target, known: [u8; 32], at: Instant) {
        let told = self.told.iter().find(|told| told.keeper == target.key.id() && told.known == known);
        let at = told.map_or(at, |told| told.again_at.max(at));
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

    /// Shows across branches that are due, of a known law with this hash.
    pub(super) fn take_across(&mut self, known: [u8; 32], now: Instant) -> Vec<Across> {
        let due: Vec<Across> = self.across.extract_if(.., |across| across.at <= now).collect();
        for across in &due {
            let keeper = across.target.key.id();
            let before = self.told.iter().position(|told| told.keeper == keeper);
            let before = before.map(|place| self.told.remove(place)).filter(|told| told.known == known);
            let wait = before.map_or(TOLD_AGAIN, |told| (told.wait * 2).min(TOLD_RARELY));
            if self.told.len() >= MAX_TOLD {
                self.told.remove(0);
            }
            self.told.push(Told { keeper, known, again_at: now + wait, wait });
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
const MAX_TOLD: usize = 64;
/// How long after a Show the same is shown again to the same keeper at first, and at last.
const TOLD_AGAIN: Duration = Duration::from_secs(10);
const TOLD_RARELY: Duration = Duration::from_secs(640);
/// Questions of one member that are answered in [`ANSWERS_WITHIN`].
const MAX_ANSWERS: usize = 4;
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// One statement is said in answers no more often.
const ANSWER_APART: Duration = Duration::from_secs(1);
const MAX_OPEN: usize = 8;
