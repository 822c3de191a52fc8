//! What others' leaves said of their speaker keys, for as long as a report may need it (SPEC
//! section 12.2).
//!
//! ```text
//! announcement > signature, time > heard for 15 minutes > announced again, or not heard any more
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    defence::{Defence, holds},
    group::{
        Name,
        announce::{SpeakerKey, TOLERANCE},
    },
    id::{Epoch, Leaf, MemberId, UnixTime},
    keys::ed25519::is_strong,
    law::Terms,
    mls::{Group, LeafKey},
    room::{Violation, bounded::Newest},
};

/// The announcements of the present epoch, and of those that the last minutes were heard in.
#[derive(Default)]
pub(in crate::room) struct Vouched {
    /// Oldest epoch first.
    entries: VecDeque<Entry>,
    /// The room that all entries are of.
    room: Option<(Vec<u8>, Name)>,
    /// The newest public keys, to know a private half by when it is published.
    known: BTreeMap<[u8; 32], Known>,
    /// The same, oldest first.
    known_since: VecDeque<[u8; 32]>,
    /// Public keys whose private halves came before anybody announced them, each by its first eight
    /// bytes: nobody finds a seed with those of another's key.
    stray: Newest<u64, LEAST_STRAY>,
}

/// Other facts about a speaker key.
#[derive(Clone, Copy)]
struct Known {
    /// The member that announced it first. Announcements by others change no promise.
    by: MemberId,
    /// Until when the speaker promised to keep its private half.
    until: UnixTime,
    /// The private half is out: nobody is heard under the key any more.
    published: bool,
}

/// The meaning of the publication of a private half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::room) enum Publication {
    /// No speaker of this room announced the key.
    Unknown,
    /// Its time was over.
    Due,
    /// The speaker had promised to keep it: it is not heard in these places any more.
    Early(Vec<([u8; 32], Leaf)>),
}

/// One speaker in one epoch.
pub(in crate::room) struct Entry {
    /// The context to which its packets' signatures are bound.
    pub(in crate::room) context: [u8; 32],
    pub(in crate::room) epoch: Epoch,
    pub(in crate::room) epoch_context: [u8; 32],
    pub(in crate::room) leaf: Leaf,
    pub(in crate::room) leaf_key: [u8; 32],
    pub(in crate::room) credential: Vec<u8>,
    /// The newest announcement.
    pub(in crate::room) key: SpeakerKey,
    member: MemberId,
    /// It was not announced again in time.
    withdrawn: bool,
    /// When the epoch ended.
    ended: Option<Instant>,
}

/// The effect of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::room) enum Heard {
    /// Packets of the leaf open from now on.
    Begins,
    /// They go on.
    Continues,
}

impl Vouched {
    /// Takes an announcement that MLS authenticated as from `leaf`, a speaker of the present epoch.
    pub(in crate::room) fn hear(
        &mut self,
        group: &Group,
        terms: &Terms,
        leaf: Leaf,
        key: SpeakerKey,
        unix: UnixTime,
    ) -> Result<Heard, Violation> {
        let member = group.occupant_at(leaf).ok_or(Violation::UnknownLeaf)?;
        let LeafKey { key: leaf_key, credential } = group.leaf_key_of(leaf).ok_or(Violation::UnknownLeaf)?;
        let id = member.id;
        let place = group.place_of(leaf, &terms.name);
        if !is_strong(member.key.as_bytes()) || !key.is_from(&leaf_key, &place) {
            return Err(Violation::SpeakerKey);
        }
        // Those of the present epoch came last.
        let mut present = self.entries.iter_mut().rev().take_while(|entry| entry.ended.is_none());
        let present = present.find(|entry| entry.leaf == leaf);
        if present.as_ref().is_some_and(|entry| entry.key.public != key.public) {
            return Err(Violation::SpeakerKey);
        }
        if !key.is_timely(unix) {
            let too_short = key.holds != 0 && !SpeakerKey { announced: unix, ..key }.is_timely(unix);
            return Err(if too_short { Violation::SpeakerKey } else { Violation::Clock });
        }
        // Under a key that another announced, the other decides when it is published.
        let known = self.known.get(&key.public);
        if known.is_some_and(|known| known.published || known.by != id)
            || known.is_none() && self.stray.contains(&beginning(&key.public)) && holds(Defence::Publication)
        {
            return Err(Violation::SpeakerKey);
        }
        if let Some(entry) = present {
            if entry.key.holds != key.holds {
                return Err(Violation::SpeakerKey);
            }
            if let Some(known) = self.known.get_mut(&key.public).filter(|known| known.by == id) {
                known.until = known.until.max(key.promised_until());
            }
            // An old one again takes nothing back.
            if key.announced >= entry.key.announced {
                entry.key = key;
            }
            return Ok(if std::mem::take(&mut entry.withdrawn) { Heard::Begins } else { Heard::Continues });
        }
        self.room.get_or_insert_with(|| (place.group_id.to_vec(), place.room.clone()));
        self.know(key.public, id, key.promised_until());
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            context: key.context(&place),
            epoch: place.epoch,
            epoch_context: place.epoch_context,
            leaf,
            leaf_key,
            credential,
            key,
            member: id,
            withdrawn: false,
            ended: None,
        });
        Ok(Heard::Begins)
    }

    /// The present epoch is over.
    pub(in crate::room) fn end_epoch(&mut self, now: Instant) {
        for entry in self.entries.iter_mut().rev().take_while(|entry| entry.ended.is_none()) {
            entry.ended = Some(now);
        }
        self.forget(now);
    }

    /// The leaves that are not to be heard any more, because their last announcement is too old.
    pub(in crate::room) fn grow_stale(&mut self, unix: UnixTime) -> Vec<Leaf> {
        let present = self.entries.iter_mut().rev().take_while(|entry| entry.ended.is_none());
        let stale = present.filter(|entry| !entry.withdrawn && entry.key.stale_at() <= unix);
        stale
            .map(|entry| {
                entry.withdrawn = true;
                entry.leaf
            })
            .collect()
    }

    /// Whether a leaf need not be asked for its key: it announced one in the present epoch not too
    /// long ago, or published it.
    pub(in crate::room) fn hears(&self, leaf: Leaf) -> bool {
        let mut present = self.entries.iter().rev().take_while(|entry| entry.ended.is_none());
        let published =
            |entry: &Entry| self.known.get(&entry.key.public).is_some_and(|known| known.published);
        present.any(|entry| entry.leaf == leaf && (!entry.withdrawn || published(entry)))
    }

    /// The public key that a leaf announced in the present epoch.
    #[cfg(test)]
    pub(in crate::room) fn key_of(&self, leaf: Leaf) -> Option<[u8; 32]> {
        let mut present = self.entries.iter().filter(|entry| entry.ended.is_none());
        present.find(|entry| entry.leaf == leaf).map(|entry| entry.key.public)
    }

    /// When [`grow_stale`](Self::grow_stale) has something to say.
    pub(in crate::room) fn stale_at(&self) -> Option<UnixTime> {
        let present = self.entries.iter().rev().take_while(|entry| entry.ended.is_none());
        present.filter(|entry| !entry.withdrawn).map(|entry| entry.key.stale_at()).min()
    }

    /// The announcement for packets whose signatures are bound to `context`.
    pub(in crate::room) fn find(&self, member: MemberId, context: &[u8; 32]) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.context == *context && entry.member == member)
    }

    /// The group id and the name of the room, once somebody was heard.
    pub(in crate::room) fn room(&self) -> Option<&(Vec<u8>, Name)> {
        self.room.as_ref()
    }

    /// Notes a speaker key of this room, to know its private half by.
    pub(in crate::room) fn know(&mut self, public: [u8; 32], by: MemberId, until: UnixTime) {
        if let Some(known) = self.known.get_mut(&public) {
            if known.by == by {
                known.until = known.until.max(until);
            }
            return;
        }
        self.known.insert(public, Known { by, until, published: false });
        self.known_since.push_back(public);
        if self.known_since.len() > MAX_ENTRIES
            && let Some(oldest) = self.known_since.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// The private half of a key is out. From now on nobody is heard under it.
    ///
    /// Before its time the publication counts for nothing else: packets that were heard can still
    /// be reported.
    pub(in crate::room) fn publish(&mut self, public: &[u8; 32], unix: UnixTime) -> Publication {
        let Some(known) = self.known.get_mut(public) else {
            self.stray.note(beginning(public));
            return Publication::Unknown;
        };
        known.published = true;
        if !holds(Defence::Publication) || unix.0.saturating_add(TOLERANCE) >= known.until.0 {
            return Publication::Due;
        }
        let heard = self.entries.iter_mut().filter(|entry| entry.key.public == *public);
        let places = heard.map(|entry| {
            entry.withdrawn = true;
            (entry.epoch_context, entry.leaf)
        });
        Publication::Early(places.collect())
    }

    /// Forgets everything but the public keys.
    pub(in crate::room) fn clear(&mut self) {
        self.entries.clear();
    }

    fn forget(&mut self, now: Instant) {
        let over =
            |entry: &Entry| entry.ended.is_some_and(|ended| now.saturating_duration_since(ended) > KEPT_FOR);
        while self.entries.front().is_some_and(over) {
            self.entries.pop_front();
        }
    }
}

/// How long announcements outlive their epoch: the longest window of a recorder, and a minute.
const KEPT_FOR: Duration = Duration::from_secs(360);
/// The first eight bytes of a public key.
fn beginning(public: &[u8; 32]) -> u64 {
    public.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// The newest seeds of nobody that are remembered at least: those of 256 s, at the 128 that are
/// looked at in a second. At most twice as many are.
const LEAST_STRAY: usize = 32_768;
/// Announcements that are kept; the oldest go first.
const MAX_ENTRIES: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_32_768_seeds_of_nobody_are_remembered_and_no_more_than_65_536() {
        let mut vouched = Vouched::default();
        let key = |n: usize| {
            let mut public = [1; 32];
            public[..8].copy_from_slice(&(n as u64).to_le_bytes());
            public
        };
        let mut publish = |n| vouched.publish(&key(n), UnixTime(0));
        for n in 0..1_000 + 2 * LEAST_STRAY {
            assert_eq!(publish(n), Publication::Unknown);
        }
        let is_stray = |n| vouched.stray.contains(&beginning(&key(n)));
        assert!((1_000 + LEAST_STRAY..1_000 + 2 * LEAST_STRAY).all(is_stray));
        let remembered = (0..1_000 + 2 * LEAST_STRAY).filter(|n| is_stray(*n)).count();
        assert!(remembered <= 2 * LEAST_STRAY, "{remembered}");
        assert!(!is_stray(0), "the oldest are forgotten");
    }
}
