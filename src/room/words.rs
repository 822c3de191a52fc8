//! Which heartbeats a member answers (SPEC section 7, rule P1).

use std::time::{Duration, Instant};

use super::{
    place::Place,
    presence::{HEARTBEAT, WORDS_A_TURN},
    view::View,
};
use crate::mls::Occupant;

/// How many heartbeats this member answers in [`ANSWERS_WITHIN`], the one that says `beat_ms` among
/// them (P1): of the first three in the order each answers all that an honest keeper sends, of the
/// others each one in every `ceil(n / 8)`. 0 if it is not its turn. A member that is absent has no
/// turn, or identities that came and went would leave heartbeats without any answer. Whose turn did
/// not come for twice as long as it should take answers all the same: a keeper could choose its
/// times.
pub(super) fn answers(view: &View<'_>, beat_ms: u64, answered_at: Instant) -> usize {
    let (law, roster, keeper) = (view.known(), view.group.roster(), view.keeper_id());
    let Some(own) = roster.iter().find(|member| member.is_self) else { return 0 };
    let place = Place::of(law, &own.key);
    let is_there = |member: &&Occupant| member.is_self || !view.is_absent(member.id);
    let others = roster.iter().filter(|member| Some(member.id) != keeper).filter(is_there);
    let before = others.clone().filter(|member| Place::of(law, &member.key) < place).count();
    let turns = others.count().div_ceil(WORDS_A_TURN).max(1);
    let is_turn = before % turns == (beat_ms / HEARTBEAT.as_millis() as u64) as usize % turns;
    let is_late = answered_at + HEARTBEAT * 2 * u32::try_from(turns).unwrap_or(u32::MAX) <= view.now;
    if before < 3 { MAX_ANSWERS } else { usize::from(is_turn || is_late) }
}

/// A keeper that sends heartbeats without end does not make others speak without end.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(4);
pub(super) const MAX_ANSWERS: usize = 6;
