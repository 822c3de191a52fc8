//! The announcement of a speaker key, signed so that an outsider can check whose it is (SPEC section 12.2).
//!
//! ```text
//! identity key > credential > leaf key > announcement > speaker key > packets
//!               group, name              room, epoch, time
//! ```

use super::signed::{Content, Genuine, Signed};
use crate::{
    group::{
        Name,
        codec::{Malformed, Reader, Writer},
        invite::UnixTime,
        signing::BadSignature,
    },
    id::{Epoch, Leaf},
    keys::speaker::speaker_context_of,
};

/// A speaker key as its leaf vouches for it, at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpeakerKey {
    /// The public Ed25519 key of the leaf's packets in this epoch.
    pub(crate) public: [u8; 32],
    /// When it was announced, by the speaker's clock.
    pub(crate) announced: UnixTime,
    /// Seconds from `announced` in which the private half is not published; 0 if it never is.
    pub(crate) holds: u32,
}

/// Where a speaker key is announced.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) group_id: &'a [u8; 32],
    pub(crate) room: &'a Name,
    pub(crate) epoch: Epoch,
    pub(crate) epoch_context: [u8; 32],
    pub(crate) leaf: Leaf,
}

impl Content for SpeakerKey {
    const LABEL: &'static [u8] = b"sottovoce 2 speaker key";

    fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.public).u64(self.announced.0).u32(self.holds)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { public: reader.array()?, announced: UnixTime(reader.u64()?), holds: reader.u32()? })
    }
}

impl SpeakerKey {
    /// The value that the signatures of this key's packets are bound to.
    pub(crate) fn context(&self, place: &Place<'_>) -> [u8; 32] {
        speaker_context_of(&place.epoch_context, place.leaf.0, &self.public)
    }

    /// Whether a member whose clock shows `now` may believe the time, and go by it for a while.
    pub(crate) fn is_timely(&self, now: UnixTime) -> bool {
        self.announced.0.abs_diff(now.0) <= TOLERANCE && (self.holds == 0 || self.holds >= MIN_HOLDS)
    }

    /// When listeners want a newer announcement.
    pub(crate) fn stale_at(&self) -> UnixTime {
        UnixTime(self.announced.0.saturating_add(FRESH))
    }

    /// The last moment at which a report under this key proves something; `None` if it always does.
    pub(crate) fn proves_until(&self) -> Option<UnixTime> {
        let holds = u64::from(self.holds).saturating_sub(TOLERANCE);
        (self.holds != 0).then(|| UnixTime(self.announced.0.saturating_add(holds)))
    }

    fn bound(&self, place: &Place<'_>) -> Vec<u8> {
        Writer::new()
            .vec8(place.room.as_str().as_bytes())
            .u64(place.epoch.0)
            .bytes(&self.context(place))
            .finish()
    }
}

impl Signed<SpeakerKey> {
    /// Announces a key; `sign` signs with the leaf key.
    pub(crate) fn announce(key: SpeakerKey, place: &Place<'_>, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Self {
        Self::new(key, place.group_id, &key.bound(place), sign)
    }

    /// Checks that the leaf with this key announced the speaker key in this place.
    ///
    /// # Errors
    /// [`BadSignature`] if it did not.
    pub(crate) fn verify(
        self,
        leaf_key: &[u8; 32],
        place: &Place<'_>,
    ) -> Result<Genuine<SpeakerKey>, BadSignature> {
        let bound = self.claimed().bound(place);
        self.check(leaf_key, place.group_id, &bound)
    }
}

/// Seconds that the clocks of a speaker, its listeners and a moderator may differ.
pub(crate) const TOLERANCE: u64 = 300;
/// Seconds after which a speaker announces its key again.
pub(crate) const RENEWAL: u64 = 300;
/// Seconds for which an announcement lets packets be opened.
pub(crate) const FRESH: u64 = 900;
/// The least that a key may hold: half an hour.
pub(crate) const MIN_HOLDS: u32 = 1_800;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        group::signing::SigningKey,
        wire::signed::tests::{ROOM, covers_every_bit},
    };

    fn place(room: &Name) -> Place<'_> {
        Place { group_id: &ROOM, room, epoch: Epoch(3), epoch_context: [4; 32], leaf: Leaf(5) }
    }

    #[test]
    fn an_announcement_is_believed_for_its_own_place_only() {
        let (leaf, other) = (SigningKey::from_seed([1; 32]), SigningKey::from_seed([2; 32]));
        let (room, other_room) = (Name::new("tea").unwrap(), Name::new("coffee").unwrap());
        let here = place(&room);
        let key = SpeakerKey { public: *other.public(), announced: UnixTime(1_000), holds: 1_800 };
        let key = Signed::announce(key, &here, |text| leaf.sign(text));
        covers_every_bit(&key, |key| key.verify(leaf.public(), &here));
        assert!(key.clone().verify(other.public(), &here).is_err());
        let elsewhere = [
            Place { group_id: &[0; 32], ..here },
            Place { room: &other_room, ..here },
            Place { epoch: Epoch(4), ..here },
            Place { epoch_context: [5; 32], ..here },
            Place { leaf: Leaf(6), ..here },
        ];
        for place in elsewhere {
            assert!(key.clone().verify(leaf.public(), &place).is_err());
        }
    }

    #[test]
    fn times_are_believed_within_five_minutes_and_short_promises_never() {
        let key = |announced, holds| SpeakerKey { public: [9; 32], announced: UnixTime(announced), holds };
        for (announced, timely) in [(9_699, false), (9_700, true), (10_300, true), (10_301, false)] {
            assert_eq!(key(announced, 1_800).is_timely(UnixTime(10_000)), timely, "{announced}");
        }
        for (holds, timely) in [(0, true), (1, false), (1_799, false), (1_800, true), (u32::MAX, true)] {
            assert_eq!(key(10_000, holds).is_timely(UnixTime(10_000)), timely, "{holds}");
        }
        assert_eq!(key(10_000, 1_800).proves_until(), Some(UnixTime(11_500)));
        assert_eq!(key(10_000, 0).proves_until(), None);
        assert_eq!(key(u64::MAX, u32::MAX).proves_until(), Some(UnixTime(u64::MAX)));
        assert_eq!(key(10_000, 0).stale_at(), UnixTime(10_900));
    }
}
