//! Who may be heard, and under which key: what listeners know of speakers (`spec/stage.md`, H13).
//!
//! ```text
//! identity key signs Card { leaf, name, speaker key, time }       programme = the cards of all who are heard
//! ```
//!
//! A porter says which cards are in the programme. It cannot make one: rank lets somebody speak,
//! and lends nobody's voice.

use crate::{
    defence::{Defence, holds},
    group::{
        Identity, Name,
        codec::{Malformed, Reader, Writer},
    },
    id::{IdentityKey, Leaf, MemberId},
    keys::{
        derive::sha256,
        ed25519::{self, BadSignature, is_strong},
        speaker::speaker_context_of,
    },
    media::{Speaker, hall::Voice},
};

/// What a speaker says of itself to the hall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) leaf: Leaf,
    pub(super) key: IdentityKey,
    pub(super) name: Name,
    /// The public half of what signs its packets.
    pub(super) voice: [u8; 32],
    /// Milliseconds since 1970-01-01 UTC by the speaker's clock: of two cards of a leaf the later
    /// counts.
    pub(super) made_ms: u64,
    signature: [u8; 64],
}

impl Card {
    pub(super) fn sign(
        identity: &Identity,
        leaf: Leaf,
        voice: [u8; 32],
        made_ms: u64,
        group_id: &[u8; 32],
    ) -> Self {
        let key = IdentityKey::from_bytes(*identity.public());
        let mut card = Self { leaf, key, name: identity.name().clone(), voice, made_ms, signature: [0; 64] };
        card.signature = identity.sign(&card.signed(group_id));
        card
    }

    /// Checks that the identity in it signed it, in this room.
    ///
    /// # Errors
    /// [`BadSignature`] if it did not, or if anybody could sign under its speaker key.
    pub(super) fn verify(&self, group_id: &[u8; 32]) -> Result<(), BadSignature> {
        if !is_strong(&self.voice) {
            return Err(BadSignature);
        }
        if !holds(Defence::HallCard) {
            return Ok(());
        }
        ed25519::verify(self.key.as_bytes(), &self.signed(group_id), &self.signature)
    }

    /// Whose card it is.
    pub(super) fn member(&self) -> MemberId {
        self.key.id()
    }

    /// What an opener needs of it.
    pub(super) fn voice(&self, group_id: &[u8; 32]) -> Voice {
        let context = speaker_context_of(&voice_context(group_id, self.made_ms), self.leaf.0, &self.voice);
        Voice { speaker: Speaker { leaf: self.leaf, member: self.member() }, key: self.voice, context }
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        self.content(out).bytes(&self.signature)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            leaf: Leaf(reader.u32()?),
            key: IdentityKey::from_bytes(reader.array()?),
            name: Name::decode(reader.vec8(64)?)?,
            voice: reader.array()?,
            made_ms: reader.u64()?,
            signature: reader.array()?,
        })
    }

    fn content(&self, out: Writer) -> Writer {
        out.u32(self.leaf.0)
            .bytes(self.key.as_bytes())
            .vec8(self.name.as_str().as_bytes())
            .bytes(&self.voice)
            .u64(self.made_ms)
    }

    fn signed(&self, group_id: &[u8; 32]) -> Vec<u8> {
        self.content(Writer::new().bytes(b"sottovoce 2 hall card").bytes(group_id)).finish()
    }
}

/// What the signatures of packets are bound to: this room and this card.
pub(super) fn voice_context(group_id: &[u8; 32], made_ms: u64) -> [u8; 32] {
    sha256(&[b"sottovoce 2 hall voice", group_id, &made_ms.to_be_bytes()])
}

/// The cards of all who are heard, strictly ascending by leaf, at most [`MAX_VOICES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Programme(Vec<Card>);

impl Programme {
    /// Puts cards in order; of several of one leaf the latest stays.
    pub(super) fn new(mut cards: Vec<Card>) -> Self {
        cards.sort_by_key(|card| (card.leaf, std::cmp::Reverse(card.made_ms)));
        cards.dedup_by_key(|card| card.leaf);
        cards.truncate(MAX_VOICES);
        Self(cards)
    }

    pub(super) fn cards(&self) -> &[Card] {
        &self.0
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        sha256(&[b"sottovoce 2 hall programme", &self.write(Writer::new()).finish()])
    }

    /// Checks every card that is not in `known`, whose cards were checked.
    ///
    /// # Errors
    /// [`BadSignature`] if one does not hold: the whole programme is refused.
    pub(super) fn verify(&self, known: &Self, group_id: &[u8; 32]) -> Result<(), BadSignature> {
        self.0.iter().filter(|card| !known.0.contains(card)).try_for_each(|card| card.verify(group_id))
    }

    pub(super) fn voices(&self, group_id: &[u8; 32]) -> Vec<Voice> {
        self.0.iter().map(|card| card.voice(group_id)).collect()
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        let count = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        self.0.iter().fold(out.u8(count), |out, card| card.write(out))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = usize::from(reader.u8()?);
        if count > MAX_VOICES {
            return Err(Malformed);
        }
        let cards = (0..count).map(|_| Card::read(reader)).collect::<Result<Vec<_>, _>>()?;
        if cards.is_sorted_by(|a, b| a.leaf < b.leaf) { Ok(Self(cards)) } else { Err(Malformed) }
    }
}

/// People on a stage, and so in a programme.
pub(super) const MAX_VOICES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: [u8; 32] = [0x47; 32];

    fn card(seed: u8, leaf: u32, made_ms: u64) -> Card {
        let identity = Identity::from_seed([seed; 32], Name::new("Ada").unwrap());
        Card::sign(&identity, Leaf(leaf), [9; 32], made_ms, &ROOM)
    }

    #[test]
    fn h13_a_card_is_believed_for_its_identity_and_room_only() {
        let card = card(1, 3, 7);
        assert!(card.verify(&ROOM).is_ok());
        assert!(card.verify(&[0; 32]).is_err());
        let other = Identity::from_seed([2; 32], Name::new("Bob").unwrap());
        let key = IdentityKey::from_bytes(*other.public());
        let lies = [
            Card { key, ..card.clone() },
            Card { leaf: Leaf(4), ..card.clone() },
            Card { voice: [8; 32], ..card.clone() },
            Card { made_ms: 8, ..card.clone() },
            Card { name: Name::new("Eve").unwrap(), ..card.clone() },
        ];
        assert!(lies.iter().all(|lie| lie.verify(&ROOM).is_err()));
    }

    #[test]
    fn h13_a_weak_speaker_key_is_nobodys_voice() {
        let identity = Identity::from_seed([1; 32], Name::new("Ada").unwrap());
        let mut weak = [0; 32];
        weak[0] = 1;
        assert!(Card::sign(&identity, Leaf(0), weak, 1, &ROOM).verify(&ROOM).is_err());
    }

    #[test]
    fn programmes_are_in_order_and_read_strictly() {
        let programme = Programme::new(vec![card(1, 5, 1), card(2, 3, 1), card(1, 5, 2)]);
        let leaves: Vec<_> = programme.cards().iter().map(|card| (card.leaf.0, card.made_ms)).collect();
        assert_eq!(leaves, [(3, 1), (5, 2)]);
        let bytes = programme.write(Writer::new()).finish();
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let programme = Programme::read(&mut reader)?;
            reader.finish().map(|()| programme)
        };
        assert_eq!(read(&bytes), Ok(programme.clone()));
        assert!((0..bytes.len()).all(|cut| read(&bytes[..cut]).is_err()));
        let twice = Programme(vec![card(1, 5, 1), card(2, 5, 1)]);
        assert!(read(&twice.write(Writer::new()).finish()).is_err());
        assert!(read(&[65]).is_err());
    }
}
