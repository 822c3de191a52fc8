//! Which KeyPackages are used up: of every identity the newest leaf and the newest Leave that were
//! seen (SPEC section 7, rule C4).

use std::collections::BTreeMap;

use crate::{
    group::codec::{Malformed, Reader, Writer},
    id::MemberId,
};

/// The newest times seen from identities, in Unix milliseconds of their own clocks.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    seen: BTreeMap<MemberId, Seen>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    leaf_ms: u64,
    leave_ms: u64,
}

impl Freshness {
    /// A leaf was seen in a tree that we entered.
    pub(super) fn note_leaf(&mut self, member: MemberId, made_ms: u64) {
        let seen = self.entry(member);
        seen.leaf_ms = seen.leaf_ms.max(made_ms);
    }

    /// A genuine Leave was seen.
    pub(super) fn note_leave(&mut self, member: MemberId, time_ms: u64) {
        let seen = self.entry(member);
        seen.leave_ms = seen.leave_ms.max(time_ms);
    }

    /// Whether a KeyPackage is newer than whatever was seen of its identity.
    pub(super) fn is_new(&self, member: MemberId, made_ms: u64) -> bool {
        self.seen.get(&member).is_none_or(|seen| made_ms > seen.leaf_ms && made_ms > seen.leave_ms)
    }

    /// Whether a KeyPackage that a commit adds is newer than every leaf of its identity that was
    /// seen. Leaves do not count: their maker decides who hears them, and with them who would
    /// refuse the commit.
    pub(super) fn was_new(&self, member: MemberId, made_ms: u64) -> bool {
        self.seen.get(&member).is_none_or(|seen| made_ms > seen.leaf_ms)
    }

    /// The newest time, in Unix milliseconds, that a leaf or a Leave of an identity said; 0 if none
    /// was seen.
    pub(super) fn newest(&self, member: MemberId) -> u64 {
        self.seen.get(&member).map_or(0, |seen| seen.leaf_ms.max(seen.leave_ms))
    }

    /// Whether the identity said that it leaves, after it made this leaf.
    pub(super) fn has_left(&self, member: MemberId, made_ms: u64) -> bool {
        self.seen.get(&member).is_some_and(|seen| seen.leave_ms >= made_ms)
    }

    fn entry(&mut self, member: MemberId) -> &mut Seen {
        if self.seen.len() >= MAX_SEEN && !self.seen.contains_key(&member) {
            // What is the oldest is the least likely to be played again in time: KeyPackages age in
            // half an hour.
            let oldest = self.seen.iter().min_by_key(|(_, seen)| seen.leaf_ms.max(seen.leave_ms));
            if let Some(oldest) = oldest.map(|(member, _)| *member) {
                self.seen.remove(&oldest);
            }
        }
        self.seen.entry(member).or_default()
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        let out = out.u16(self.seen.len() as u16);
        self.seen.iter().fold(out, |out, (member, seen)| {
            out.bytes(member.as_bytes()).u64(seen.leaf_ms).u64(seen.leave_ms)
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = usize::from(reader.u16()?);
        if count > MAX_SEEN {
            return Err(Malformed);
        }
        let mut seen = BTreeMap::new();
        for _ in 0..count {
            let member = MemberId::from_bytes(reader.array()?);
            seen.insert(member, Seen { leaf_ms: reader.u64()?, leave_ms: reader.u64()? });
        }
        Ok(Self { seen })
    }
}

/// Whether a KeyPackage of this age is young enough to be merged (C4).
pub(super) fn is_timely(made_ms: u64, now_ms: u64) -> bool {
    made_ms.saturating_add(MAX_AGE_MS) >= now_ms && made_ms <= now_ms.saturating_add(MAX_AHEAD_MS)
}

/// Whether a KeyPackage is young enough for a keeper to add it (K6): stricter, so that what the
/// keeper adds is merged.
pub(super) fn is_timely_for_keeper(made_ms: u64, now_ms: u64) -> bool {
    made_ms.saturating_add(KEEPER_MS) >= now_ms && made_ms <= now_ms.saturating_add(KEEPER_MS)
}

/// Whether the path leaf of a commit may say this time (C4): one of the end of time could never be
/// replaced. A keeper is stricter with renewals, so that what it merges all merge.
pub(super) fn is_timely_path(made_ms: u64, before_ms: u64, keeps: bool, now_ms: u64) -> bool {
    let ahead_ms = if keeps { KEEPER_MS } else { MAX_AHEAD_MS };
    made_ms <= before_ms || made_ms <= now_ms.saturating_add(ahead_ms)
}

/// Whether the clocks of a newcomer and of a door agree (D3): stricter still, so that the newcomer
/// is told.
pub(super) fn is_timely_for_door(made_ms: u64, now_ms: u64) -> bool {
    made_ms.saturating_add(KEEPER_MS) >= now_ms && made_ms <= now_ms.saturating_add(DOOR_AHEAD_MS)
}

const MAX_SEEN: usize = 4_096;
const MAX_AGE_MS: u64 = 1_800_000;
const MAX_AHEAD_MS: u64 = 900_000;
const KEEPER_MS: u64 = 600_000;
const DOOR_AHEAD_MS: u64 = 60_000;
