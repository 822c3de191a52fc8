//! What a porter says of itself and of the hall, to everybody in it (`spec/stage.md`, 6.3).

use super::signed_bytes;
use crate::{
    group::{
        codec::{Malformed, Reader, Writer},
        signing::SigningKey,
    },
    keys::ed25519::{self, BadSignature},
};

/// A porter is there. With the rest of a message it fits an envelope of 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stage) struct Beat {
    /// The name of its door.
    pub(in crate::stage) porter: [u8; 16],
    /// By the porter's hall clock, in milliseconds; it never says the same time twice.
    pub(in crate::stage) time_ms: u64,
    /// For how long there has been a hall.
    pub(in crate::stage) hall_ms: u64,
    /// The newest hall epoch: its number, first hall step, programme, part of its authenticator.
    pub(in crate::stage) n: u64,
    pub(in crate::stage) first: u32,
    pub(in crate::stage) programme: [u8; 32],
    pub(in crate::stage) mark: [u8; 16],
    /// In how many milliseconds speakers go over to it; 0 if they have.
    pub(in crate::stage) switch_ms: u16,
    /// How many listen by this porter.
    pub(in crate::stage) listeners: u32,
    /// Hash of its pages.
    pub(in crate::stage) roster: [u8; 32],
    signature: [u8; 64],
}

/// All that a porter chooses in a beat.
pub(in crate::stage) struct Hall {
    pub(in crate::stage) hall_ms: u64,
    pub(in crate::stage) n: u64,
    pub(in crate::stage) first: u32,
    pub(in crate::stage) programme: [u8; 32],
    pub(in crate::stage) mark: [u8; 16],
    pub(in crate::stage) switch_ms: u16,
}

impl Beat {
    pub(in crate::stage) fn sign(
        (porter, answer): ([u8; 16], &SigningKey),
        group_id: &[u8; 32],
        time_ms: u64,
        hall: &Hall,
        (listeners, roster): (u32, [u8; 32]),
    ) -> Self {
        let mut beat = Self {
            porter,
            time_ms,
            hall_ms: hall.hall_ms,
            n: hall.n,
            first: hall.first,
            programme: hall.programme,
            mark: hall.mark,
            switch_ms: hall.switch_ms,
            listeners,
            roster,
            signature: [0; 64],
        };
        beat.signature = answer.sign(&beat.signed(group_id));
        beat
    }

    /// Checks that the holder of this answer key signed it.
    pub(in crate::stage) fn verify(
        &self,
        answer_key: &[u8; 32],
        group_id: &[u8; 32],
    ) -> Result<(), BadSignature> {
        ed25519::verify(answer_key, &self.signed(group_id), &self.signature)
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        self.content(out).bytes(&self.signature)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            porter: reader.array()?,
            time_ms: reader.u64()?,
            hall_ms: reader.u64()?,
            n: reader.u64()?,
            first: reader.u32()?,
            programme: reader.array()?,
            mark: reader.array()?,
            switch_ms: reader.u16()?,
            listeners: reader.u32()?,
            roster: reader.array()?,
            signature: reader.array()?,
        })
    }

    fn content(&self, out: Writer) -> Writer {
        out.bytes(&self.porter)
            .u64(self.time_ms)
            .u64(self.hall_ms)
            .u64(self.n)
            .u32(self.first)
            .bytes(&self.programme)
            .bytes(&self.mark)
            .u16(self.switch_ms)
            .u32(self.listeners)
            .bytes(&self.roster)
    }

    fn signed(&self, group_id: &[u8; 32]) -> Vec<u8> {
        signed_bytes(b"sottovoce 2 hall beat", group_id, |out| self.content(out))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Message, super::tests::is_strict, *};
    use crate::{Seed, stage::envelope::OVERHEAD};

    #[test]
    fn a_beat_is_of_its_porter_and_room_and_fits_the_smallest_envelope() {
        let (answer, other) = (
            SigningKey::from_seed(Seed::from_bytes(&mut [1; 32])),
            SigningKey::from_seed(Seed::from_bytes(&mut [2; 32])),
        );
        let hall = Hall { hall_ms: 5, n: 256, first: 0, programme: [6; 32], mark: [7; 16], switch_ms: 300 };
        let beat = Beat::sign(([3; 16], &answer), &[4; 32], 1, &hall, (9, [8; 32]));
        assert!(beat.verify(answer.public(), &[4; 32]).is_ok());
        assert!(beat.verify(other.public(), &[4; 32]).is_err());
        assert!(beat.verify(answer.public(), &[5; 32]).is_err());
        assert!(Beat { n: 257, ..beat.clone() }.verify(answer.public(), &[4; 32]).is_err());
        let message = Message::Beat(beat);
        assert!(OVERHEAD + message.encode().len() <= 256, "{}", message.encode().len());
        is_strict(&message, &message.encode(), Message::decode);
    }
}
