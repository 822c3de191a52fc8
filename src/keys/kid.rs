//! Pseudonymous key ids: which sender has which KID in a step, and the look-up of the sender by KID
//! (SPEC section 4.4).

use super::derive::Mac;
use crate::id::{KeyId, Leaf, Step};

/// The KIDs of one step: from a KID on the wire to the index of its sender, in one look-up.
///
/// KIDs are pseudorandom, so they are their own hash. At most two thirds of the entries are used.
pub(crate) struct Table {
    entries: Box<[Entry]>,
}

/// The entry of a KID.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    kid: u32,
    /// Index into the epoch's senders.
    pub(crate) sender: u16,
    /// Index of the slot that held this KID's key when it was last used, or [`NO_SLOT`].
    pub(crate) slot: u16,
}

/// No slot was ever given to this KID.
pub(crate) const NO_SLOT: u16 = u16::MAX;

/// More speakers than this cannot be told apart by a 16-bit index.
pub(crate) const MAX_SENDERS: usize = 65_000;

impl Table {
    /// Gives every leaf, in ascending order, its KID of this step.
    ///
    /// All members pass the same leaves, so all compute the same KIDs, collisions included.
    pub(crate) fn build(mac: &Mac, step: Step, leaves: impl ExactSizeIterator<Item = Leaf>) -> Option<Self> {
        Self::assign(leaves, |leaf, attempt| candidate(mac, step, leaf, attempt))
    }

    /// The collision rule: the first candidate that no lower leaf has taken.
    fn assign(
        leaves: impl ExactSizeIterator<Item = Leaf>,
        candidate: impl Fn(Leaf, u8) -> u32,
    ) -> Option<Self> {
        let capacity = (leaves.len() * 3 / 2 + 1).next_power_of_two();
        let vacant = Entry { kid: VACANT, sender: 0, slot: NO_SLOT };
        let mut table = Self { entries: vec![vacant; capacity].into_boxed_slice() };
        for (leaf, sender) in leaves.zip(0u16..) {
            let place = (0..=u8::MAX).map(|attempt| candidate(leaf, attempt)).find_map(|kid| {
                let place = table.place(kid)?;
                (table.entries.get(place)?.kid == VACANT).then_some((place, kid))
            });
            let (place, kid) = place?;
            *table.entries.get_mut(place)? = Entry { kid, sender, slot: NO_SLOT };
        }
        Some(table)
    }

    /// The entry of `kid`, if a sender has it.
    #[inline]
    pub(crate) fn find(&mut self, kid: KeyId) -> Option<&mut Entry> {
        let kid = u32::try_from(kid.0).ok().filter(|kid| *kid != VACANT)?;
        let place = self.place(kid)?;
        self.entries.get_mut(place).filter(|entry| entry.kid == kid)
    }

    /// The KID of the sender with this index.
    pub(crate) fn kid_of(&self, sender: u16) -> Option<KeyId> {
        self.entries
            .iter()
            .find(|entry| entry.kid != VACANT && entry.sender == sender)
            .map(|entry| KeyId(entry.kid.into()))
    }

    /// All KIDs of the step, in an order that reveals nothing.
    pub(crate) fn kids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.entries.iter().filter(|entry| entry.kid != VACANT).map(|entry| KeyId(entry.kid.into()))
    }

    /// The place of `kid` in the table, or the vacant place where it would be.
    #[inline]
    fn place(&self, kid: u32) -> Option<usize> {
        let mask = self.entries.len().wrapping_sub(1);
        let start = (kid >> 2) as usize & mask;
        (0..self.entries.len()).map(|offset| (start + offset) & mask).find(|place| {
            self.entries.get(*place).is_none_or(|entry| entry.kid == kid || entry.kid == VACANT)
        })
    }
}

/// Never a KID: those have their highest bit set.
const VACANT: u32 = 0;

/// `0x80000000 | (HMAC & 0x7ffffffc) | step mod 4`: always four bytes, and steps never collide with
/// their neighbours.
fn candidate(mac: &Mac, step: Step, leaf: Leaf, attempt: u8) -> u32 {
    let [a, b, c, d] = leaf.0.to_be_bytes();
    let tag = u32::from_be_bytes(mac.tag(&[a, b, c, d, attempt]));
    0x8000_0000 | (tag & 0x7fff_fffc) | (step.0 & 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u32) -> impl ExactSizeIterator<Item = Leaf> {
        (0..count).map(|leaf| Leaf(leaf * 3))
    }

    #[test]
    fn every_leaf_has_a_kid_that_leads_back_to_it() {
        let mac = Mac::new(&[7; 32]);
        for count in [0, 1, 2, 5, 250, 5000] {
            let mut table = Table::build(&mac, Step(6), leaves(count)).unwrap();
            for sender in (0..count as u16).step_by(1 + count as usize / 50) {
                let kid = table.kid_of(sender).unwrap();
                assert_eq!(kid.0 & 3, 2);
                assert_eq!(kid.0 >> 31, 1);
                assert_eq!(table.find(kid).unwrap().sender, sender);
            }
            assert!(table.find(KeyId(0)).is_none());
            assert!(table.find(KeyId(u64::MAX)).is_none());
        }
    }

    #[test]
    fn colliding_leaves_take_their_next_candidate_in_leaf_order() {
        // The first two candidates of every leaf are the same, the third is its own.
        let candidate = |leaf: Leaf, attempt: u8| match attempt {
            0 | 1 => 0x8000_0004 + 4 * u32::from(attempt),
            n => 0x8000_0000 | (leaf.0 << 10) | (u32::from(n) << 2),
        };
        let table = Table::assign(leaves(4), candidate).unwrap();
        let kids: Vec<_> = (0..4).map(|sender| table.kid_of(sender).unwrap().0 as u32).collect();
        assert_eq!(kids, [0x8000_0004, 0x8000_0008, 0x8000_0000 | 6 << 10 | 8, 0x8000_0000 | 9 << 10 | 8]);
    }

    #[test]
    fn leaves_that_can_never_be_told_apart_are_refused() {
        assert!(Table::assign(leaves(2), |_, _| 0x8000_0000).is_none());
    }

    #[test]
    fn the_kids_of_neighbouring_steps_share_nothing() {
        let mac = Mac::new(&[9; 32]);
        let here = Table::build(&mac, Step(1), leaves(300)).unwrap();
        let mut next = Table::build(&mac, Step(2), leaves(300)).unwrap();
        assert!((0..300).all(|sender| next.find(here.kid_of(sender).unwrap()).is_none()));
    }
}
