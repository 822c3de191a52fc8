//! When a keeper counts as silent, and when somebody else may take over (SPEC section 7, rules K2
//! to K4). A keeper grants nothing; it puts commits in order.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use super::{place::Place, view::View};
use crate::{
    defence::{Defence, holds},
    id::{Epoch, MemberId},
    law::StatementId,
    mls::Occupant,
};

/// The members that are admitted and come before us in the order, by one law in one tree.
///
/// Each wait asks for it, and each place costs a handful of hashes: it is worked out when the law
/// or the tree is another.
#[derive(Clone)]
pub(super) struct Ahead {
    law: [u8; 32],
    epoch: Epoch,
    before: Vec<MemberId>,
}

impl Ahead {
    /// `None` if we are not admitted ourselves.
    pub(super) fn of(view: &View<'_>) -> Option<Self> {
        let (own, known) = (view.own()?, view.known());
        if !known.admits(&own.key) {
            return None;
        }
        let place = Place::of(known, &own.key);
        let others = view.group.roster().iter().filter(|other| !other.is_self);
        let before = others.filter(|other| known.admits(&other.key) && Place::of(known, &other.key) < place);
        let before = before.map(|other| other.id).collect();
        Some(Self { law: view.store.known().hash(), epoch: view.group.epoch(), before })
    }

    fn is_of(&self, view: &View<'_>) -> bool {
        self.law == view.store.known().hash() && self.epoch == view.group.epoch()
    }
}

/// A member's knowledge about the keeper of its epoch, and about takeovers.
pub(super) struct Turns {
    /// Since when the present keeper has been our keeper.
    since: Instant,
    /// The newest word of the keeper, by the time at which it was made.
    word: Instant,
    /// Since when the keeper's own words have shown that it knows who is out and leaves the leaf
    /// in.
    idle_since: Option<Instant>,
    /// The table in the epoch's law since the law that we know has had another one, and since when.
    table: Option<(Option<StatementId>, Instant)>,
    /// Since when our rank has been above the keeper's by the law that we know.
    above_since: Option<Instant>,
    /// When the keeper said that it leaves, or asked to come in again.
    gone_since: Option<Instant>,
    /// From when until when the keeper counts as silent because we asked it in vain for our place.
    in_vain: Option<(Instant, Instant)>,
    ahead: Option<Ahead>,
    /// When a takeover of ours was last tried.
    tried: Option<Instant>,
}

impl Turns {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            word: now,
            idle_since: None,
            table: None,
            above_since: None,
            gone_since: None,
            in_vain: None,
            ahead: None,
            tried: None,
        }
    }

    /// The keeper said something in our epoch, made at `made` by our clock.
    pub(super) fn hear(&mut self, made: Instant) {
        self.word = self.word.max(made);
    }

    /// We are connected again: the keeper could not have been heard before.
    pub(super) fn note_connected(&mut self, now: Instant) {
        self.word = self.word.max(now);
    }

    /// Notes whether our rank is above the keeper's by the law that we know.
    pub(super) fn note_above(&mut self, above: bool, now: Instant) {
        self.above_since = above.then(|| self.above_since.unwrap_or(now));
    }

    /// Works out the order again if the law or the tree is another. It is right without, and costs
    /// more.
    pub(super) fn note_order(&mut self, ahead: Option<Ahead>) {
        self.ahead = ahead;
    }

    /// A takeover of ours is tried.
    pub(super) fn note_tried(&mut self, now: Instant) {
        self.tried = Some(now);
    }

    /// When a takeover that is due at `at` is to be tried: at once, whatever is heard meanwhile. If
    /// it fails, it is tried again a moment later.
    pub(super) fn try_at(&self, at: Instant) -> Instant {
        self.tried.map_or(at, |tried| at.max(tried + TRY_AGAIN))
    }

    /// The keeper said that it leaves, or a newer KeyPackage of its identity asks to come in.
    pub(super) fn note_gone(&mut self, now: Instant) {
        self.gone_since.get_or_insert(now);
    }

    /// We asked the keeper for our place for ten seconds, and it did not let us in.
    pub(super) fn note_in_vain(&mut self, until: Instant, now: Instant) {
        if self.in_vain.is_none_or(|(_, before)| before != until) {
            self.in_vain = Some((now, until));
        }
    }

    /// The keeper's own word shows the law that we know: what that law asks for is its to commit
    /// now.
    pub(super) fn note_knows(&mut self, leaf_is_out: bool, now: Instant) {
        if leaf_is_out {
            self.idle_since.get_or_insert(now);
        } else {
            self.idle_since = None;
        }
    }

    /// Notes the table of the epoch's law and that of the law that we know: a keeper that leaves a
    /// newer one out keeps the rank of who has lost it alive.
    pub(super) fn note_table(
        &mut self,
        epoch: Option<StatementId>,
        known: Option<StatementId>,
        now: Instant,
    ) {
        self.table = match self.table {
            _ if epoch == known => None,
            Some((before, since)) if before == epoch => Some((before, since)),
            _ => Some((epoch, now)),
        };
    }

    /// Since when the keeper counts as silent; `None` while it does not (K2).
    ///
    /// Whatever the cause, it is the moment at which this member learned of it: turns are counted
    /// from then (K4), and would all be over at once if they were counted from a time long before.
    pub(super) fn silent_since(&self, view: &View<'_>) -> Option<Instant> {
        if view.keeps() {
            return None;
        }
        let keeper = view.keeper();
        let mut since = vec![self.word + SILENT_AFTER];
        if holds(Defence::IdleKeeper) {
            since.extend(self.idle_since.map(|at| at + IDLE_AFTER));
            since.extend(view.out_since().map(|out| out.max(self.since) + OUT_AFTER));
            since.extend(self.table.map(|(_, lacks)| lacks.max(self.since) + TABLE_AFTER));
        }
        since.extend(self.gone_since);
        since.extend(self.in_vain.filter(|(_, until)| view.now < *until).map(|(since, _)| since));
        match keeper {
            Some(keeper) => {
                since.extend(view.keeper_out_since().map(|out| out.max(self.since)));
                since.extend(view.pace.too_fast_since(keeper.id, view.now));
            }
            None => since.push(self.since),
        }
        since.into_iter().min().filter(|at| *at <= view.now)
    }

    /// Whether the keeper counts as silent because it was asked in vain.
    #[cfg(feature = "testkit")]
    pub(super) fn asked_in_vain(&self, now: Instant) -> bool {
        self.in_vain.is_some_and(|(_, until)| now < until)
    }

    /// From when the keeper counts as silent, by each cause, in a few words.
    #[cfg(feature = "testkit")]
    pub(super) fn story(&self, view: &View<'_>) -> String {
        let ago = |at: Instant| format!("{:.2?} ago", view.now.saturating_duration_since(at));
        format!(
            "keeps since {}, word {}, idle {:?}, out {:?}, table {:?}, gone {:?}, in vain {:?}, out itself {:?}",
            ago(self.since),
            ago(self.word),
            self.idle_since.map(ago),
            view.out_since().map(ago),
            self.table.map(|(_, lacks)| ago(lacks)),
            self.gone_since.map(ago),
            self.in_vain.map(|(since, _)| ago(since)),
            view.keeper_out_since().map(ago),
        )
    }

    /// When [`silent_since`](Self::silent_since) may become true.
    pub(super) fn silent_at(&self, view: &View<'_>) -> Instant {
        let idle = self.idle_since.map(|at| at + IDLE_AFTER);
        let out = view.out_since().map(|out| out.max(self.since) + OUT_AFTER);
        let table = self.table.map(|(_, lacks)| lacks.max(self.since) + TABLE_AFTER);
        let idle = [idle, out, table].into_iter().flatten().filter(|_| holds(Defence::IdleKeeper));
        idle.fold(self.word + SILENT_AFTER, Instant::min)
    }

    /// When we take the keeping over, if we may (K3, K4).
    pub(super) fn takeover_at(&self, view: &View<'_>) -> Option<Instant> {
        if view.keeps() {
            return None;
        }
        let ahead = match self.ahead.as_ref().filter(|ahead| ahead.is_of(view)) {
            Some(ahead) => Cow::Borrowed(ahead),
            None => Cow::Owned(Ahead::of(view)?),
        };
        let keeper = view.keeper().map(|keeper| keeper.id);
        let others = ahead.before.iter().filter(|other| Some(**other) != keeper);
        let before = if view.is_nobody_absent() {
            others.count()
        } else {
            others.filter(|other| !view.is_absent(**other)).count()
        } as u32;
        let stagger = STAGGER * before.min(FIRST) + LATE_STAGGER * before.saturating_sub(FIRST);
        let due = match self.above_since {
            Some(above) => above + RANK_WAIT + RANK_STAGGER * before,
            None => self.silent_at_or_since(view) + stagger,
        };
        Some(due.max(view.pace.takeover_free_at(view.own()?.id, view.now)))
    }

    fn silent_at_or_since(&self, view: &View<'_>) -> Instant {
        self.silent_since(view).unwrap_or_else(|| self.silent_at(view))
    }

    /// Whether a takeover by this member counts at the moment (K3).
    pub(super) fn permits_takeover(&self, by: &Occupant, view: &View<'_>) -> bool {
        let known = view.known();
        let pace = holds(Defence::TakeoverPace);
        if !known.admits(&by.key) || pace && !view.pace.lets_take_over(by.id, view.now) {
            return false;
        }
        // Others use up what all have together, and not what somebody of rank has.
        let silent = self.silent_since(&view.at(view.now + TOLERANCE)).is_some();
        outranks_keeper(by, view)
            || (!pace || view.pace.lets_anybody_take_over(view.now))
                && (silent || !holds(Defence::TakeoverSilence))
    }
}

/// Whether a member has a higher rank than the keeper by the law that we know.
pub(super) fn outranks_keeper(member: &Occupant, view: &View<'_>) -> bool {
    let known = view.known();
    view.keeper().is_none_or(|keeper| known.rank_of(&member.key) > known.rank_of(&keeper.key))
}

/// Without a word for so long, the keeper counts as silent.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(8);
/// A keeper that shows that it knows who is out has so long to commit the removal.
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// A keeper that was shown who is out has so long.
const OUT_AFTER: Duration = Duration::from_secs(8);
/// A keeper that was shown a table has so long to commit it: an honest one that did not hear it is
/// shown it again meanwhile (G2).
const TABLE_AFTER: Duration = Duration::from_secs(20);
const STAGGER: Duration = Duration::from_millis(1_500);
const FIRST: u32 = 12;
const LATE_STAGGER: Duration = Duration::from_millis(100);
/// Between two members of higher rank who take over from one of lower rank.
const TRY_AGAIN: Duration = Duration::from_millis(250);
/// What is said right after the statement that gives us the rank comes first, a Leave above all:
/// nobody could read it in the next epoch.
const RANK_WAIT: Duration = Duration::from_millis(100);
const RANK_STAGGER: Duration = Duration::from_millis(500);
/// Clocks of members differ by so much in what they call silent.
const TOLERANCE: Duration = Duration::from_secs(1);
