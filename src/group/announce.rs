//! The announcement of a speaker key, signed so that an outsider can check whose key it is (SPEC
//! section 12.2).
//!
//! ```text
//! identity key > credential > leaf key > announcement > speaker key > packets
//!               group, name              room, epoch, time
//! ```

use super::{
    codec::{Malformed, Reader, Writer},
    identity::Name,
    signing,
};
use crate::{
    id::{Epoch, UnixTime},
    keys::{ed25519::is_strong, speaker::speaker_context_of},
};

/// A speaker key for which a leaf vouches, from one moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpeakerKey {
    pub(crate) public: [u8; 32],
    /// When it was announced, by the speaker's clock.
    pub(crate) announced: UnixTime,
    /// Seconds from `announced` in which the private half is not published; 0 if it never is.
    pub(crate) holds: u32,
    pub(crate) signature: [u8; 64],
}

/// Where a speaker key is announced.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) group_id: &'a [u8],
    pub(crate) room: &'a Name,
    pub(crate) epoch: Epoch,
    pub(crate) epoch_context: [u8; 32],
    pub(crate) leaf: u32,
}

impl SpeakerKey {
    /// Makes an announcement; `sign` signs with the leaf key.
    pub(crate) fn new(
        public: [u8; 32],
        announced: UnixTime,
        holds: u32,
        place: &Place<'_>,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Self {
        let mut key = Self { public, announced, holds, signature: [0; 64] };
        key.signature = sign(&key.content(place));
        key
    }

    /// Whether the leaf with this key signed the announcement, in this place. Signatures under a
    /// key with which anybody can sign do not count.
    pub(crate) fn is_from(&self, leaf_key: &[u8; 32], place: &Place<'_>) -> bool {
        is_strong(&self.public) && signing::verify(leaf_key, &self.content(place), &self.signature).is_ok()
    }

    /// The context to which signatures of this key's packets are bound.
    pub(crate) fn context(&self, place: &Place<'_>) -> [u8; 32] {
        speaker_context_of(&place.epoch_context, place.leaf, &self.public)
    }

    /// Whether a member whose clock shows `now` may accept the announced time.
    pub(crate) fn is_timely(&self, now: UnixTime) -> bool {
        self.announced.0.abs_diff(now.0) <= TOLERANCE && (self.holds == 0 || self.holds >= MIN_HOLDS)
    }

    /// When listeners of the speaker need a newer announcement.
    pub(crate) fn stale_at(&self) -> UnixTime {
        UnixTime(self.announced.0.saturating_add(FRESH))
    }

    /// Until when the private half is certain not to be published. A key that is never published
    /// counts as one with the shortest such time.
    pub(crate) fn promised_until(&self) -> UnixTime {
        let holds = if self.holds == 0 { MIN_HOLDS } else { self.holds };
        UnixTime(self.announced.0.saturating_add(holds.into()))
    }

    /// The last moment at which a report under this key proves something; `None` if it always does.
    pub(crate) fn proves_until(&self) -> Option<UnixTime> {
        let holds = u64::from(self.holds).saturating_sub(TOLERANCE);
        (self.holds != 0).then(|| UnixTime(self.announced.0.saturating_add(holds)))
    }

    pub(crate) fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.public).u64(self.announced.0).bytes(&self.holds.to_be_bytes()).bytes(&self.signature)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            public: reader.array()?,
            announced: UnixTime(reader.u64()?),
            holds: reader.u32()?,
            signature: reader.array()?,
        })
    }

    /// MLS signs structures that begin with the length of a label of RFC 9420, below 64; this
    /// begins with an `s`.
    fn content(&self, place: &Place<'_>) -> Vec<u8> {
        Writer::new()
            .bytes(b"sottovoce 1 announcement")
            .vec8(place.group_id)
            .vec8(place.room.as_str().as_bytes())
            .u64(place.epoch.0)
            .bytes(&self.context(place))
            .u64(self.announced.0)
            .bytes(&self.holds.to_be_bytes())
            .finish()
    }
}

/// Seconds that the clocks of a speaker, its listeners and a moderator may differ.
pub(crate) const TOLERANCE: u64 = 300;
/// Seconds after which a speaker announces its key again.
pub(crate) const RENEWAL: u64 = 300;
/// Seconds for which an announcement lets packets be opened.
pub(crate) const FRESH: u64 = 900;
/// The shortest time for which a speaker may promise not to publish a key: half an hour.
pub(crate) const MIN_HOLDS: u32 = 1_800;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Seed, group::signing::SigningKey};

    fn room() -> Name {
        Name::new("tea").unwrap()
    }

    fn place(room: &Name) -> Place<'_> {
        Place { group_id: b"group", room, epoch: Epoch(3), epoch_context: [4; 32], leaf: 5 }
    }

    #[test]
    fn an_announcement_is_believed_for_its_own_place_only() {
        let (leaf, speaker) = (
            SigningKey::from_seed(Seed::from_bytes(&mut [1; 32])),
            SigningKey::from_seed(Seed::from_bytes(&mut [2; 32])),
        );
        let (room, other_room) = (room(), Name::new("coffee").unwrap());
        let here = place(&room);
        let key = SpeakerKey::new(*speaker.public(), UnixTime(1_000), 1_800, &here, |text| leaf.sign(text));
        assert!(key.is_from(leaf.public(), &here));
        assert!(!key.is_from(speaker.public(), &here));
        let elsewhere = [
            Place { group_id: b"other", ..here },
            Place { room: &other_room, ..here },
            Place { epoch: Epoch(4), ..here },
            Place { epoch_context: [5; 32], ..here },
            Place { leaf: 6, ..here },
        ];
        for place in elsewhere {
            assert!(!key.is_from(leaf.public(), &place));
        }
        let altered = [
            SpeakerKey { public: *leaf.public(), ..key },
            SpeakerKey { announced: UnixTime(1_001), ..key },
            SpeakerKey { holds: 1_801, ..key },
        ];
        for key in altered {
            assert!(!key.is_from(leaf.public(), &here));
        }
    }

    #[test]
    fn keys_under_which_anybody_can_sign_announce_nothing() {
        let (leaf, room) = (SigningKey::from_seed(Seed::from_bytes(&mut [1; 32])), room());
        let here = place(&room);
        let mut identity = [0; 32];
        identity[0] = 1;
        // Under the neutral point, R = S * B is a signature of any text; S = 0 is the simplest.
        let mut anybody = [0; 64];
        anybody[0] = 1;
        let weak = SpeakerKey::new([9; 32], UnixTime(0), 0, &here, |_| anybody);
        assert!(!weak.is_from(&identity, &here));
        let weak = SpeakerKey::new(identity, UnixTime(0), 0, &here, |text| leaf.sign(text));
        assert!(!weak.is_from(leaf.public(), &here));
    }

    #[test]
    fn times_are_believed_within_five_minutes_and_short_promises_never() {
        let (leaf, room) = (SigningKey::from_seed(Seed::from_bytes(&mut [1; 32])), room());
        let key = |announced, holds| {
            SpeakerKey::new([9; 32], UnixTime(announced), holds, &place(&room), |text| leaf.sign(text))
        };
        for (announced, timely) in [(9_699, false), (9_700, true), (10_300, true), (10_301, false)] {
            assert_eq!(key(announced, 1_800).is_timely(UnixTime(10_000)), timely, "{announced}");
        }
        for (holds, timely) in [(0, true), (1, false), (1_799, false), (1_800, true), (u32::MAX, true)] {
            assert_eq!(key(10_000, holds).is_timely(UnixTime(10_000)), timely, "{holds}");
        }
        assert_eq!(key(10_000, 1_800).proves_until(), Some(UnixTime(11_500)));
        assert_eq!(key(10_000, 0).proves_until(), None);
        assert_eq!(key(u64::MAX, u32::MAX).proves_until(), Some(UnixTime(u64::MAX)));
    }
}
