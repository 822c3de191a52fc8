//! Who has been heard lately, and who is absent (SPEC section 7, rules P1 to P3).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{id::MemberId, mls::Occupant};

/// When each member of the tree was heard last.
#[derive(Default)]
pub(super) struct Presence {
    heard: BTreeMap<MemberId, Instant>,
    /// Nobody was heard last before this, if somebody has been noted at all.
    oldest: Option<Instant>,
    shown_absent: Vec<MemberId>,
}

impl Presence {
    /// Looks at the tree again: somebody new counts as heard at `now`.
    pub(super) fn enter(&mut self, roster: &[Occupant], added: &[MemberId], now: Instant) {
        let stay: BTreeSet<MemberId> = roster.iter().map(|member| member.id).collect();
        self.heard.retain(|id, _| stay.contains(id) && !added.contains(id));
        for member in roster {
            self.heard.entry(member.id).or_insert(now);
        }
        self.oldest = self.heard.values().min().copied();
    }

    /// Whether nobody at all is absent (P2), as far as that is known without asking for each.
    pub(super) fn is_nobody_absent(&self, members: usize, beat: Instant) -> bool {
        self.oldest.is_some_and(|heard| beat.saturating_duration_since(heard) <= absent_after(members))
    }

    /// A word of a member in our epoch that was made at `made`.
    pub(super) fn hear(&mut self, member: MemberId, made: Instant) {
        if let Some(heard) = self.heard.get_mut(&member) {
            *heard = made.max(*heard);
        }
    }

    pub(super) fn heard(&self, member: MemberId) -> Option<Instant> {
        self.heard.get(&member).copied()
    }

    /// Whether a member has said nothing in three of its turns, up to the newest heartbeat `beat`
    /// of the epoch (P2).
    pub(super) fn is_absent(&self, member: MemberId, members: usize, beat: Instant) -> bool {
        self.heard(member).is_some_and(|heard| beat.saturating_duration_since(heard) > absent_after(members))
    }

    /// Whether a member has been absent (P2) for `longer`.
    pub(super) fn is_absent_for(
        &self,
        member: MemberId,
        members: usize,
        beat: Instant,
        longer: Duration,
    ) -> bool {
        let heard = self.heard(member);
        heard.is_some_and(|heard| beat.saturating_duration_since(heard) > absent_after(members) + longer)
    }

    /// Whether a member has been silent for so long that any keeper may remove it (P3).
    pub(super) fn is_long_gone(&self, member: MemberId, members: usize, now: Instant) -> bool {
        let limit = GONE_AFTER.max(absent_after(members));
        self.heard(member).is_some_and(|heard| now.saturating_duration_since(heard) > limit)
    }

    /// Whether this member has a word that is recent enough to refuse the other's removal.
    pub(super) fn vouches_for(&self, member: MemberId, members: usize, now: Instant) -> bool {
        let lately = LATELY.min(absent_after(members));
        self.heard(member).is_some_and(|heard| now.saturating_duration_since(heard) < lately)
    }

    /// Whether the application was told that a member is absent.
    pub(super) fn is_shown_absent(&self, member: MemberId) -> bool {
        self.shown_absent.contains(&member)
    }

    /// The members that became absent or came back since the last call: (member, is absent).
    pub(super) fn changes(&mut self, roster: &[Occupant], beat: Instant) -> Vec<(MemberId, bool)> {
        let mut changes = Vec::new();
        self.shown_absent.retain(|id| roster.iter().any(|member| member.id == *id));
        for member in roster.iter().filter(|member| !member.is_self) {
            let absent = self.is_absent(member.id, roster.len(), beat);
            let shown = self.shown_absent.iter().position(|id| *id == member.id);
            match (absent, shown) {
                (true, None) => self.shown_absent.push(member.id),
                (false, Some(at)) => drop(self.shown_absent.swap_remove(at)),
                _ => continue,
            }
            changes.push((member.id, absent));
        }
        changes
    }
}

/// How long a member may say nothing.
fn absent_after(members: usize) -> Duration {
    let turns = u32::try_from(members.div_ceil(WORDS_A_TURN)).unwrap_or(u32::MAX).max(1);
    HEARTBEAT * (3 * turns + 1)
}

/// How often the keeper proves that it is there.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
pub(super) const WORDS_A_TURN: usize = 8;
const GONE_AFTER: Duration = Duration::from_secs(600);
const LATELY: Duration = Duration::from_secs(300);
