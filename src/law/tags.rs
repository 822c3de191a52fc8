//! Tags of identities and draws for the order of keepers: hashes that a member asks for again and
//! again, worked out once each (`spec/law.md`, L3, and `spec/room.md`, K1).

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    id::{IdentityKey, MemberId},
    keys::derive::Mac,
};

use super::{
    statement::StatementId,
    terms::{Tag, Terms},
};

/// Makes the tags of identities in one room: its salt, as a key that is worked out once.
///
/// What was worked out is kept for [`MOST`] identities. It is never wrong, only forgotten: a tag
/// depends on nothing but salt and key, and a draw is kept with all that it hashes.
pub(super) struct Tags {
    salt: Mac,
    tags: Mutex<HashMap<IdentityKey, Tag>>,
    draws: Mutex<HashMap<Tag, (DrawnFrom, [u8; 32])>>,
}

/// What a draw hashes besides label and tag: the table in force, and the signature of the word that
/// gives the tag its role.
pub(crate) type DrawnFrom = (Option<StatementId>, Option<[u8; 64]>);

impl Tags {
    /// The tags of the room with these terms.
    pub(super) fn new(terms: &Terms) -> Self {
        let (tags, draws) = (Mutex::default(), Mutex::default());
        Self { salt: Mac::new(&terms.salt), tags, draws }
    }

    /// The tag under which tables and standings speak about an identity, known by its fingerprint
    /// alone (L3).
    pub(super) fn of(&self, member: MemberId) -> Tag {
        Tag(self.salt.tag_of(&[b"sottovoce 2 tag", member.as_bytes()]))
    }

    /// The tag of the holder of a key.
    pub(super) fn of_key(&self, key: &IdentityKey) -> Tag {
        if let Some(tag) = kept(&self.tags).get(key) {
            return *tag;
        }
        let tag = self.of(key.id());
        keep(&self.tags, *key, tag);
        tag
    }

    /// The draw of a tag from the same as before, or the one that `draw` works out.
    pub(super) fn draw(&self, tag: &Tag, from: DrawnFrom, draw: impl FnOnce() -> [u8; 32]) -> [u8; 32] {
        if let Some((before, drawn)) = kept(&self.draws).get(tag)
            && *before == from
        {
            return *drawn;
        }
        let drawn = draw();
        keep(&self.draws, *tag, (from, drawn));
        drawn
    }
}

fn kept<K, V>(map: &Mutex<HashMap<K, V>>) -> MutexGuard<'_, HashMap<K, V>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever knocks under ever new identities has others worked out again, and fills no memory.
fn keep<K: Eq + Hash, V>(map: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut map = kept(map);
    if map.len() >= MOST {
        map.clear();
    }
    map.insert(key, value);
}

/// Nothing of the salt.
impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tags")
    }
}

/// More than a room has members.
const MOST: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::world::World;

    fn key(n: u32) -> IdentityKey {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        IdentityKey::from_bytes(bytes)
    }

    #[test]
    fn l3_a_tag_that_was_kept_is_the_one_that_the_key_has() {
        let tags = Tags::new(&World::new(0).terms);
        for n in (0..=MOST as u32).chain(0..8) {
            assert_eq!(tags.of_key(&key(n)), tags.of(key(n).id()));
            assert_eq!(tags.of_key(&key(n)), tags.of(key(n).id()), "from memory");
            assert!(kept(&tags.tags).len() <= MOST);
        }
    }

    #[test]
    fn k1_a_draw_is_worked_out_again_when_anything_that_it_hashes_is_another() {
        let tags = Tags::new(&World::new(0).terms);
        let table = |n| Some(StatementId([n; 32]));
        let froms = [(None, None), (table(1), None), (table(2), None), (table(2), Some([3; 64]))];
        for (n, from) in (0..).zip(froms) {
            assert_eq!(tags.draw(&Tag([1; 16]), from, || [n; 32]), [n; 32]);
            assert_eq!(tags.draw(&Tag([1; 16]), from, || unreachable!("it is kept")), [n; 32]);
            assert_eq!(tags.draw(&Tag([2; 16]), from, || [n + 9; 32]), [n + 9; 32]);
        }
    }
}
