//! The meaning of a heartbeat, in every phase of the room (SPEC section 7, rules B1 to B6).

use std::time::{Duration, Instant};

use super::{place::Place, turns::Turns, view::View};
use crate::{
    id::MemberId,
    wire::{heartbeat::Beat, signed::Genuine},
};

/// The consequence of a heartbeat that is genuine and newer than the last one under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is of the epoch and branch that we are in, by our keeper.
    Ours,
    /// It is of our keeper, in a later epoch: we lack a commit, and return to the keeper once that
    /// takes too long.
    Behind { lost: bool },
    /// It is of a branch that wins over ours: return to its keeper.
    Wins,
    /// It is of a branch that wins by the order alone, since it has lasted: the same, but a keeper
    /// goes on meanwhile (K9).
    Lasts,
    /// It is of a branch that gives way to ours: its keeper is shown what we know.
    Loses,
    /// It says nothing that matters.
    Nothing,
}

/// Judges a heartbeat that was made at `made` by our clock, seen from an epoch that we are in.
#[allow(clippy::too_many_arguments, reason = "what a member knows of its place and of others")]
pub(super) fn judge(
    beat: &Genuine<Beat>,
    made: Instant,
    view: &View<'_>,
    turns: &Turns,
    rivals: &Rivals,
    entered_at: Instant,
    lacking_since: Option<Instant>,
    is_unheard: bool,
) -> Verdict {
    let (known, beat) = (view.known(), beat.content());
    let (ours, branch) = (view.group.epoch().0, view.group.branch());
    let by = beat.key.id();
    let is_keeper = view.keeper_id() == Some(by);
    if (beat.epoch.0, beat.branch) == (ours, branch) {
        return if is_keeper { Verdict::Ours } else { Verdict::Nothing };
    }
    if !known.admits(&beat.key) || made + OLD <= view.now {
        return Verdict::Nothing;
    }
    // A heartbeat from before we left that epoch says nothing new.
    if made <= entered_at && view.past.contains(&(beat.epoch.0, beat.branch)) {
        return Verdict::Nothing;
    }
    if is_keeper {
        if beat.epoch.0 > ours {
            let lost = lacking_since.is_some_and(|since| since + super::liveness::LACKING <= view.now);
            return Verdict::Behind { lost };
        }
        return if beat.epoch.0 == ours && beat.branch < branch { Verdict::Wins } else { Verdict::Nothing };
    }
    let place = |id: &crate::id::IdentityKey| Place::of(known, id);
    let Some(own) = view.own() else { return Verdict::Nothing };
    if known.rank_of(&own.key) > known.rank_of(&beat.key) {
        return Verdict::Loses;
    }
    let Some(keeper) = view.keeper() else { return Verdict::Wins };
    let outranks = known.rank_of(&beat.key) > known.rank_of(&keeper.key);
    let first = place(&beat.key) < place(&keeper.key);
    if outranks || turns.silent_since(view).is_some() || first && is_unheard {
        return Verdict::Wins;
    }
    // A member of no higher rank than a keeper that lives takes nobody from it in a hurry: it has
    // to be there for a while.
    if first && rivals.has_lasted(by, view.now) { Verdict::Lasts } else { Verdict::Loses }
}

/// Keepers of other branches without more rank than ours, and since when they have been heard
/// without a pause.
#[derive(Default)]
pub(super) struct Rivals(std::collections::BTreeMap<MemberId, (Instant, Instant)>);

impl Rivals {
    /// A beat of another branch, made at `made` by our clock. One that was held back says nothing.
    pub(super) fn hear(&mut self, by: MemberId, made: Instant, now: Instant) {
        self.0.retain(|_, (_, last)| *last + OLD > now);
        if made + OLD > now && (self.0.len() < MAX_RIVALS || self.0.contains_key(&by)) {
            self.0.entry(by).or_insert((now, now)).1 = now;
        }
    }

    fn has_lasted(&self, by: MemberId, now: Instant) -> bool {
        self.0.get(&by).is_some_and(|(first, _)| *first + LASTS <= now)
    }
}

const MAX_RIVALS: usize = 64;
/// So long a branch has to last before it wins by the order alone.
const LASTS: Duration = Duration::from_secs(10);

/// A heartbeat that is older says nothing.
pub(super) const OLD: Duration = Duration::from_secs(15);
