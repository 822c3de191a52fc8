//! Which commits of others a member merges (SPEC section 7, rules C1 to C8). A commit makes the
//! tree agree with the law and grants nothing.

use std::time::Instant;

use super::{
    freshness::{is_timely, is_timely_path},
    place::Place,
    turns::Turns,
    view::View,
    violation::Violation,
};
use crate::{
    defence::{Defence, holds},
    id::MemberId,
    law::{LiveSet, StatementId},
    mls::Staged,
};

/// What becomes of a commit that MLS authenticated.
#[derive(Debug)]
pub(super) enum Ruling {
    /// It may be merged now, into this law.
    Merge(LiveSet),
    /// It may be merged once the keeper's heartbeat states the branch it leads to (C7), into this
    /// law.
    Renewal(LiveSet),
    /// Statements that its law adds are lacking (C1).
    Lacks(Vec<StatementId>),
    /// It is a takeover, and the keeper does not count as silent (C6).
    Early,
    /// It breaks a rule, whatever comes.
    Refuse(Violation),
}

/// Applies C1 to C8 to a commit by another member.
pub(super) fn rule(staged: &Staged, view: &View<'_>, turns: &Turns, now_ms: u64) -> Ruling {
    let Some(by) = view.group.occupant_at(staged.by) else { return Ruling::Refuse(Violation::UnknownLeaf) };
    let law = match law_of(staged, view) {
        Ok(law) => law,
        Err(ruling) => return ruling,
    };
    if let Err(violation) = check_tree(staged, view, &law, by.id, now_ms) {
        return Ruling::Refuse(violation);
    }
    // C6, C7: whose turn it is.
    let before = view.group.context().keeper;
    let own_tag = view.known().tag(&by.key).0;
    let keeps = view.keeper_id() == Some(by.id);
    if keeps {
        if staged.context.keeper != before {
            return Ruling::Refuse(Violation::Keeping);
        }
        if view.pace.too_fast_since(by.id, view.now).is_some() && holds(Defence::CommitPace) {
            return Ruling::Refuse(Violation::TooFast);
        }
        return Ruling::Merge(law);
    }
    if staged.context.keeper == own_tag {
        return if turns.permits_takeover(by, view) { Ruling::Merge(law) } else { Ruling::Early };
    }
    let is_renewal = staged.path.is_some()
        && staged.adds.is_empty()
        && staged.removes.is_empty()
        && staged.context == *view.group.context();
    if is_renewal {
        Ruling::Renewal(law)
    } else if holds(Defence::CommitTurn) {
        Ruling::Refuse(Violation::NotTheKeeper)
    } else {
        Ruling::Merge(law)
    }
}

/// C1 to C3: the law that the commit leads to holds what is known and nothing else, and loses
/// nothing.
fn law_of(staged: &Staged, view: &View<'_>) -> Result<LiveSet, Ruling> {
    let mut added = Vec::new();
    let mut lacks = Vec::new();
    for id in staged.aad.adds() {
        let id = StatementId(*id);
        match view.store.get(&id) {
            Some(statement) => added.push(statement.clone()),
            None => lacks.push(id),
        }
    }
    if !lacks.is_empty() {
        return Err(Ruling::Lacks(lacks));
    }
    let law = view.epoch_law.union(added, view.store.pins());
    if law.hash() != staged.context.law && holds(Defence::CommitLaw) {
        return Err(Ruling::Refuse(Violation::Law));
    }
    if view.store.pins().part_from(law.law()) {
        return Err(Ruling::Refuse(Violation::HandOver));
    }
    Ok(law)
}

/// C3 to C5: who is in the tree afterwards, who comes, who goes.
fn check_tree(
    staged: &Staged,
    view: &View<'_>,
    law: &LiveSet,
    by: MemberId,
    now_ms: u64,
) -> Result<(), Violation> {
    let roster = view.group.roster();
    let stays = |leaf| !staged.removes.contains(&leaf);
    for member in roster.iter().filter(|member| stays(member.leaf)) {
        if !law.law().admits(&member.key) && holds(Defence::CommitTree) {
            return Err(Violation::NotAdmitted);
        }
        if staged.adds.iter().any(|added| added.id == member.id) {
            return Err(Violation::Duplicate);
        }
    }
    for (place, added) in staged.adds.iter().enumerate() {
        if !law.law().admits(&added.key) && holds(Defence::CommitTree) {
            return Err(Violation::NotAdmitted);
        }
        if staged.adds.iter().take(place).any(|other| other.id == added.id) {
            return Err(Violation::Duplicate);
        }
        let fresh = view.freshness.was_new(added.id, added.made_ms) && is_timely(added.made_ms, now_ms);
        if !fresh && holds(Defence::CommitFresh) {
            return Err(Violation::Stale);
        }
    }
    if let (Some(path), Some(before)) = (&staged.path, view.group.occupant_at(staged.by))
        && !before.is_self
        && !is_timely_path(path.made_ms, before.made_ms, view.keeps(), now_ms)
        && holds(Defence::CommitFresh)
    {
        return Err(Violation::Stale);
    }
    if roster.len() + staged.adds.len() > view.terms().key_exchange.max_members() + staged.removes.len() {
        return Err(Violation::TooMany);
    }
    for leaf in &staged.removes {
        let Some(member) = view.group.occupant_at(*leaf) else { return Err(Violation::UnknownLeaf) };
        let replaced =
            staged.adds.iter().any(|added| added.id == member.id && added.made_ms > member.made_ms);
        let out = !law.law().admits(&member.key);
        let left = view.freshness.has_left(member.id, member.made_ms);
        let gone = replaced || out || left || may_be_absent(member.id, by, view);
        if !gone && holds(Defence::CommitRemoves) {
            return Err(Violation::Ejected);
        }
    }
    Ok(())
}

/// Whether `by` may remove a member that has said nothing for so long (C5, P2, P3).
fn may_be_absent(member: MemberId, by: MemberId, view: &View<'_>) -> bool {
    let members = view.group.roster().len();
    let Some(committer) = view.group.occupant(by) else { return false };
    let Some(absent) = view.group.occupant(member) else { return false };
    if absent.is_self || view.presence.vouches_for(member, members, view.now) {
        return false;
    }
    let ranks = view.known().rank_of(&committer.key) > crate::law::Rank::None;
    ranks && view.is_absent(absent.id) || view.presence.is_long_gone(member, members, view.now)
}

/// Of two commits that end one epoch, whether the first comes before the second (C8).
pub(super) fn comes_before(one: &Staged, other: &Staged, view: &View<'_>) -> bool {
    let place =
        |staged: &Staged| view.group.occupant_at(staged.by).map(|by| Place::of(view.known(), &by.key));
    match (place(one), place(other)) {
        (Some(one), Some(other)) => one < other,
        (one, other) => one.is_some() && other.is_none(),
    }
}

/// A commit that waits, and since when.
pub(super) struct Pending {
    pub(super) staged: Box<Staged>,
    pub(super) since: Instant,
    pub(super) asked: bool,
}
