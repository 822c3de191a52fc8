//! How a new hall secret, and a new chain, come to a cell (`spec/stage.md`, 6.5).

use super::knock::key;
use crate::{
    group::codec::{Malformed, Reader, Writer},
    keys::{aead::EnvelopeKey, derive::hkdf_sha256, secret::Secret},
};
use rand::Rng;
use zeroize::Zeroize;

/// The hall turns to another epoch: sealed under the chain of a cell.
pub(in crate::stage) struct Turn {
    pub(in crate::stage) n: u64,
    pub(in crate::stage) first: u32,
    /// In how many milliseconds speakers go over to it.
    pub(in crate::stage) switch_ms: u16,
    pub(in crate::stage) secret: Secret,
}

impl Turn {
    pub(in crate::stage) fn encode(&self) -> Secret {
        let out = Writer::new().u64(self.n).u32(self.first).u16(self.switch_ms);
        Secret::wrap(out.bytes(self.secret.bytes()).finish())
    }

    pub(in crate::stage) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let turn = Self {
            n: reader.u64()?,
            first: reader.u32()?,
            switch_ms: reader.u16()?,
            secret: key(&mut reader)?,
        };
        reader.finish()?;
        Ok(turn)
    }
}

/// A fresh chain for a cell that somebody has left: sealed to each slot that stays, one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stage) struct Bundle {
    /// The hall step that the chain begins with, and that the slots' chains are at.
    pub(in crate::stage) step: u32,
    salt: [u8; 32],
    slots: Vec<Slot>,
    /// A Turn, sealed under the fresh chain; empty if there is none.
    pub(in crate::stage) turn: Vec<u8>,
}

/// The fresh chain for one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stage) struct Slot {
    slot: u8,
    sealed: [u8; 48],
}

impl Bundle {
    /// Seals `fresh` to the chains of slots, ascending.
    pub(in crate::stage) fn seal<'a>(
        step: u32,
        fresh: &Secret,
        pairs: impl Iterator<Item = (u8, &'a Secret)>,
        turn: Vec<u8>,
        rng: &mut impl Rng,
    ) -> Self {
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let slots = pairs.map(|(slot, pair)| {
            let mut sealed = [0; 48];
            let (text, tag) = sealed.split_at_mut(32);
            text.copy_from_slice(fresh.bytes());
            tag.copy_from_slice(&slot_key(&salt, pair, step, slot).seal_in_place(text));
            Slot { slot, sealed }
        });
        Self { step, salt, slots: slots.collect(), turn }
    }

    /// Never the same twice.
    pub(in crate::stage) fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    /// The fresh chain, if there is one for `slot` and it opens under its chain.
    pub(in crate::stage) fn open(&self, slot: u8, pair: &Secret) -> Option<Secret> {
        let mine = self.slots.iter().find(|other| other.slot == slot)?;
        let mut sealed = mine.sealed;
        let opened = slot_key(&self.salt, pair, self.step, slot).open_in_place(&mut sealed).ok();
        let fresh = opened.map(|text| Secret::filled(text.len(), |out| out.copy_from_slice(text)));
        sealed.zeroize();
        fresh
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        let count = u8::try_from(self.slots.len()).unwrap_or(u8::MAX);
        let out = out.u32(self.step).bytes(&self.salt).u8(count);
        let out = self.slots.iter().fold(out, |out, slot| out.u8(slot.slot).bytes(&slot.sealed));
        out.vec16(&self.turn)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (step, salt, count) = (reader.u32()?, reader.array()?, usize::from(reader.u8()?));
        if count == 0 || count > MAX_SLOTS {
            return Err(Malformed);
        }
        let slot = |_| Ok(Slot { slot: reader.u8()?, sealed: reader.array()? });
        let slots = (0..count).map(slot).collect::<Result<Vec<_>, Malformed>>()?;
        if !slots.is_sorted_by(|a, b| a.slot < b.slot) {
            return Err(Malformed);
        }
        Ok(Self { step, salt, slots, turn: reader.vec16(MAX_TURN)?.to_vec() })
    }
}

/// A key for one slot of one bundle: the salt is fresh, so the fixed nonce is used once under it.
fn slot_key(salt: &[u8; 32], pair: &Secret, step: u32, slot: u8) -> EnvelopeKey {
    let mut bytes = [0; 32];
    let info: [&[u8]; 3] = [b"sottovoce 2 hall slot", &step.to_be_bytes(), &[slot]];
    hkdf_sha256(salt, pair.bytes(), &info, &mut bytes);
    let key = EnvelopeKey::new(&bytes);
    bytes.zeroize();
    key
}

/// Listeners of a cell.
pub(in crate::stage) const MAX_SLOTS: usize = 32;
const MAX_TURN: usize = 128;

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::{super::Message, super::tests::is_strict, *};

    #[test]
    fn a_bundle_opens_for_the_slots_that_stay_only() {
        let pairs: Vec<Secret> = (0..4).map(|seed| Secret::wrap(vec![seed; 32])).collect();
        let fresh = Secret::wrap(vec![9; 32]);
        let stays = [(0u8, &pairs[0]), (2, &pairs[2])];
        let mut rng = StdRng::from_seed([1; 32]);
        let bundle = Bundle::seal(7, &fresh, stays.into_iter(), vec![1, 2], &mut rng);
        assert!(bundle.open(0, &pairs[0]).is_some_and(|key| key.bytes() == fresh.bytes()));
        assert!(bundle.open(2, &pairs[2]).is_some());
        assert!(bundle.open(1, &pairs[1]).is_none(), "who left has no slot");
        assert!(bundle.open(0, &pairs[1]).is_none(), "nor another key");
        let moved = Bundle { step: 8, ..bundle.clone() };
        assert!(moved.open(0, &pairs[0]).is_none());
        let message = Message::Bundle(bundle);
        is_strict(&message, &message.encode(), Message::decode);
    }

    #[test]
    fn a_whole_cell_fits_an_envelope_of_two_kibibytes() {
        let pair = Secret::wrap(vec![1; 32]);
        let slots = (0..MAX_SLOTS as u8).map(|slot| (slot, &pair));
        let mut rng = StdRng::from_seed([1; 32]);
        let message = Message::Bundle(Bundle::seal(1, &pair, slots, vec![0; 100], &mut rng));
        assert!(crate::stage::envelope::OVERHEAD + message.encode().len() <= 2_048);
    }

    #[test]
    fn turns_are_read_strictly() {
        let turn = Turn { n: 512, first: 3, switch_ms: 1_000, secret: Secret::wrap(vec![5; 32]) };
        let bytes = turn.encode();
        let again = Turn::decode(bytes.bytes()).ok().unwrap();
        assert_eq!(again.encode().bytes(), bytes.bytes());
        assert!((0..bytes.bytes().len()).all(|cut| Turn::decode(&bytes.bytes()[..cut]).is_err()));
    }
}
