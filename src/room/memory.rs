//! The state that a member keeps of a room, whether it has a place in the tree or not.

use super::{
    bounded::Lately,
    doors::Doors,
    freshness::Freshness,
    past::{Newest, Pace, Past},
};
use crate::{
    id::{IdentityKey, MemberId, UnixTime},
    law::{GenuineStatement, Rank, Recent, StatementId, Store, Tag},
    wire::{
        invite::InviteId,
        leave::Leave,
        signed::{Genuine, Signed},
    },
};

/// The part of a member that survives the loss of its place, and a restart.
pub(super) struct Memory {
    pub(super) store: Store,
    pub(super) freshness: Freshness,
    pub(super) past: Past,
    pub(super) newest: Newest,
    pub(super) pace: Pace,
    /// The door of somebody of rank.
    pub(super) doors: Option<Doors>,
    /// Invites that we made.
    pub(super) invites: Vec<Made>,
    /// Our own standings of the last minute, to be signed again above a table that could not know
    /// them.
    pub(super) recent: Vec<Recent>,
    /// Identity keys that were seen in trees, so that acts can name people who are gone.
    people: Vec<IdentityKey>,
    /// The newest Leave of each identity, to be shown on.
    leaves: Lately<MemberId, Signed<Leave>, Rank, 1_024>,
    /// The law hashes that this member has held, the newest last.
    held: Vec<[u8; 32]>,
    /// It was stored, and the member has not been in the room since.
    pub(super) was_stored: bool,
}

/// An invite that we made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) id: InviteId,
    pub(super) expires: UnixTime,
    pub(super) uses: u16,
    pub(super) tag: Tag,
}

impl Memory {
    pub(super) fn new(store: Store) -> Self {
        let mut memory = Self {
            store,
            freshness: Freshness::default(),
            past: Past::default(),
            newest: Newest::default(),
            pace: Pace::default(),
            doors: None,
            invites: Vec::new(),
            recent: Vec::new(),
            people: Vec::new(),
            leaves: Lately::default(),
            held: Vec::new(),
            was_stored: false,
        };
        memory.note_law();
        memory
    }

    /// Notes an identity key that was seen.
    ///
    /// Beyond the bound somebody goes who is out and not banned, else the one that was seen last:
    /// throwaway identities push out nobody who was there before them, nor any ban.
    pub(super) fn note_person(&mut self, key: IdentityKey) {
        if self.people.contains(&key) {
            return;
        }
        if self.people.len() >= MAX_PEOPLE {
            let law = self.store.law();
            let is_out = |key: &IdentityKey| {
                let standing = law.standing_of(&law.tag(key));
                !standing.is_admitted() && !standing.banned
            };
            let gone = self.people.iter().position(is_out).unwrap_or(MAX_PEOPLE - 1);
            self.people.remove(gone);
        }
        self.people.push(key);
    }

    /// The identity key of a person who was seen in a tree, has rank, or waits at our door.
    pub(super) fn key_of(&self, member: MemberId) -> Option<IdentityKey> {
        let law = self.store.law();
        let ranked = law.moderators().iter().map(|moderator| moderator.key).chain([*law.host()]);
        let seen = self.people.iter().copied().chain(ranked).find(|key| key.id() == member);
        seen.or_else(|| self.doors.as_ref()?.key_of_person(member))
    }

    pub(super) fn people(&self) -> &[IdentityKey] {
        &self.people
    }

    /// Notes a genuine Leave.
    pub(super) fn note_leave(&mut self, leave: Genuine<Leave>) {
        let Leave { key, time_ms } = *leave.content();
        let (member, leave) = (key.id(), leave.into_signed());
        self.freshness.note_leave(member, time_ms);
        let rank = self.store.law().rank_of(&key);
        self.leaves.note(member, leave, rank);
    }

    /// Whether a Leave of this identity that says this time, or a later one, was noted before.
    pub(super) fn has_leave(&self, member: MemberId, time_ms: u64) -> bool {
        self.leaves.get(&member).is_some_and(|leave| leave.claimed().time_ms >= time_ms)
    }

    /// The newest Leave of an identity.
    pub(super) fn leave_of(&self, member: MemberId) -> Option<Signed<Leave>> {
        self.leaves.get(&member).cloned()
    }

    /// Notes statements that we have signed.
    pub(super) fn note_signed(&mut self, ids: &[StatementId], now_ms: u64) {
        self.recent.retain(|recent| now_ms.saturating_sub(recent.made_ms) <= RECENT_MS);
        for id in ids {
            if let Some(GenuineStatement::Standing(standing)) = self.store.get(id)
                && self.recent.len() < MAX_RECENT
            {
                self.recent.push(Recent { standing: standing.clone(), made_ms: now_ms });
            }
        }
    }

    /// Notes the hash of the law that is known now.
    pub(super) fn note_law(&mut self) {
        let hash = self.store.known().hash();
        if self.held.last() == Some(&hash) {
            return;
        }
        if self.held.len() >= MAX_HELD {
            self.held.remove(0);
        }
        self.held.push(hash);
    }

    /// Whether this member has itself held the law with this hash.
    pub(super) fn has_held(&self, hash: &[u8; 32]) -> bool {
        self.held.contains(hash)
    }
}

/// With the 1,000 of a tree, the moderators and the host fewer than a table lists: it always fits
/// (L34).
const MAX_PEOPLE: usize = 3_072;
const MAX_HELD: usize = 64;
const MAX_RECENT: usize = 256;
const RECENT_MS: u64 = 60_000;
