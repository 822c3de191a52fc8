//! Who keeps the room, and when somebody else may (SPEC section 7, rules K1 to K9).
//!
//! The order of keepers is a function of the law alone: rank first, then who is admitted by the host's
//! table, then a draw that only the host moves. A keeper grants nothing; it puts commits in order.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use super::{bounded::Rate, view::View};
use crate::{
    defence::{Defence, holds},
    id::{IdentityKey, MemberId},
    keys::derive::sha256,
    law::{Law, Rank, RoleWord},
    mls::Occupant,
};

/// A member's place in the order of keepers: the least comes first (K1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    rank: Reverse<Rank>,
    /// Admitted by standings alone: such keys can be ground after the table is known.
    by_standing: bool,
    draw: Reverse<[u8; 32]>,
}

impl Place {
    pub(super) fn of(law: &Law, key: &IdentityKey) -> Self {
        let tag = law.tag(key);
        let table = law.table_id().map_or([0; 32], |id| id.0);
        Self {
            rank: Reverse(law.rank_of(key)),
            by_standing: !law
                .rest()
                .entry(&tag)
                .is_some_and(|entry| entry.role != RoleWord::OUT && !entry.banned),
            draw: Reverse(sha256(&[b"sottovoce 2 turn", &table, &tag.0])),
        }
    }
}

/// What a member knows of the keeper of its epoch, and of takeovers.
pub(super) struct Turns {
    /// Since when the present keeper has been our keeper.
    since: Instant,
    /// The newest word of the keeper, by the time at which it was made.
    word: Instant,
    /// Since when the keeper's own words have shown that it knows who is out and leaves the leaf in.
    idle_since: Option<Instant>,
    /// The keeper said that it leaves, or asked to come in again.
    gone: bool,
    /// Until when the keeper counts as silent because we asked it in vain for our place.
    in_vain_until: Option<Instant>,
    /// Commits that were merged, by committer.
    commits: Rate<MemberId>,
    takeovers: Rate<MemberId>,
}

impl Turns {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            word: now,
            idle_since: None,
            gone: false,
            in_vain_until: None,
            commits: Rate::new(MAX_COMMITS, COMMITS_WITHIN),
            takeovers: Rate::new(MAX_TAKEOVERS, TAKEOVERS_WITHIN),
        }
    }

    /// The epoch has begun that `by` committed; `changed` says whether another member keeps it.
    pub(super) fn enter(&mut self, by: MemberId, changed: bool, now: Instant) {
        self.commits.note(by, now);
        if changed {
            self.takeovers.note(by, now);
            (self.since, self.word, self.idle_since, self.gone) = (now, now, None, false);
            self.in_vain_until = None;
        }
    }

    /// The keeper said something in our epoch, made at `made` by our clock.
    pub(super) fn hear(&mut self, made: Instant) {
        self.word = self.word.max(made);
    }

    /// The keeper said that it leaves, or a newer KeyPackage of its identity asks to come in.
    pub(super) fn note_gone(&mut self) {
        self.gone = true;
    }

    /// We asked the keeper for our place for ten seconds, and it did not let us in.
    pub(super) fn note_in_vain(&mut self, until: Instant) {
        self.in_vain_until = Some(until);
    }

    /// The keeper's own word shows the law that we know: what that law asks for is its to commit now.
    pub(super) fn note_knows(&mut self, leaf_is_out: bool, now: Instant) {
        if leaf_is_out {
            self.idle_since.get_or_insert(now);
        } else {
            self.idle_since = None;
        }
    }

    /// Since when the keeper counts as silent; `None` while it does not (K2).
    pub(super) fn silent_since(&self, view: &View<'_>) -> Option<Instant> {
        if view.keeps() {
            return None;
        }
        let keeper = view.keeper();
        let mut since = vec![self.word + SILENT_AFTER];
        if holds(Defence::IdleKeeper) {
            since.extend(self.idle_since.map(|at| at + IDLE_AFTER));
            since.extend(view.out_since().map(|out| out.max(self.since) + OUT_AFTER));
        }
        let admitted = keeper.is_some_and(|keeper| view.known().admits(&keeper.key));
        if self.gone || !admitted {
            since.push(self.since);
        }
        if self.in_vain_until.is_some_and(|until| view.now < until) {
            since.push(self.since);
        }
        if let Some(keeper) = keeper
            && self.commits.is_full(&keeper.id, view.now)
        {
            since.push(view.now);
        }
        since.into_iter().min().filter(|at| *at <= view.now)
    }

    /// When [`silent_since`](Self::silent_since) may become true.
    pub(super) fn silent_at(&self, view: &View<'_>) -> Instant {
        let idle = self.idle_since.map(|at| at + IDLE_AFTER);
        let out = view.out_since().map(|out| out.max(self.since) + OUT_AFTER);
        [idle, out].into_iter().flatten().fold(self.word + SILENT_AFTER, Instant::min)
    }

    /// When we take the keeping over, if we may (K3, K4).
    pub(super) fn takeover_at(&self, view: &View<'_>) -> Option<Instant> {
        let own = view.own()?;
        let known = view.known();
        if view.keeps() || !known.admits(&own.key) {
            return None;
        }
        let place = Place::of(known, &own.key);
        let before = |other: &&Occupant| {
            !other.is_self
                && Some(other.id) != view.keeper().map(|keeper| keeper.id)
                && known.admits(&other.key)
                && !view.is_absent(other)
                && Place::of(known, &other.key) < place
        };
        let before = view.group.roster().iter().filter(before).count() as u32;
        let stagger = STAGGER * before.min(FIRST) + LATE_STAGGER * before.saturating_sub(FIRST);
        let outranks =
            view.keeper().is_none_or(|keeper| known.rank_of(&own.key) > known.rank_of(&keeper.key));
        let due = if outranks {
            self.since + RANK_STAGGER * before
        } else {
            self.silent_at_or_since(view) + stagger
        };
        Some(due.max(self.takeovers.free_at(&own.id, view.now)))
    }

    fn silent_at_or_since(&self, view: &View<'_>) -> Instant {
        self.silent_since(view).unwrap_or_else(|| self.silent_at(view))
    }

    /// Whether a takeover by this member counts at the moment (K3).
    pub(super) fn permits_takeover(&self, by: &Occupant, view: &View<'_>) -> bool {
        let known = view.known();
        let too_many =
            self.takeovers.is_full(&by.id, view.now) || self.takeovers.total(view.now) >= MAX_ALL_TAKEOVERS;
        if !known.admits(&by.key) || too_many && holds(Defence::TakeoverPace) {
            return false;
        }
        let outranks = view.keeper().is_none_or(|keeper| known.rank_of(&by.key) > known.rank_of(&keeper.key));
        let silent = self.silent_since(&view.at(view.now + TOLERANCE)).is_some();
        outranks || silent || !holds(Defence::TakeoverSilence)
    }

    /// Whether the member committed as often as members accept (C6).
    pub(super) fn is_too_fast(&self, by: MemberId, now: Instant) -> bool {
        self.commits.is_full(&by, now)
    }
}

/// Without a word for so long, the keeper counts as silent.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(8);
/// A keeper that shows that it knows who is out has so long to commit the removal.
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// A keeper that was shown who is out has so long.
const OUT_AFTER: Duration = Duration::from_secs(8);
const STAGGER: Duration = Duration::from_millis(1_500);
const FIRST: u32 = 12;
const LATE_STAGGER: Duration = Duration::from_millis(100);
/// Between two members of higher rank who take over from one of lower rank.
const RANK_STAGGER: Duration = Duration::from_millis(500);
/// Clocks of members differ by so much in what they call silent.
const TOLERANCE: Duration = Duration::from_secs(1);
/// Members accept so many commits of one committer in [`COMMITS_WITHIN`]; the keeper makes two thirds of them at most.
const MAX_COMMITS: usize = 18;
const COMMITS_WITHIN: Duration = Duration::from_secs(30);
const MAX_TAKEOVERS: usize = 2;
const MAX_ALL_TAKEOVERS: usize = 6;
const TAKEOVERS_WITHIN: Duration = Duration::from_secs(60);
