//! The answer to a knock or a show, sealed to the one-use key in it (`spec/control.md`, section
//! 14.7).

use std::fmt;

use super::{
    MAX_HPKE,
    envelope::MAX_MESSAGE,
    signed::{Content, Genuine, Signed},
    statements::{MAX_STATEMENTS, Statements},
};
use crate::keys::ed25519::BadSignature;
use crate::{
    group::{
        Identity,
        codec::{Malformed, Reader, Writer},
        signing::SigningKey,
    },
    id::IdentityKey,
};

/// An answer as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The reference of the knock or show that is answered.
    pub(crate) reference: [u8; 32],
    /// The encapsulated key of HPKE.
    pub(crate) kem: Vec<u8>,
    /// An [`AnswerContent`], sealed to the one-use key with [`Answer::aad`].
    pub(crate) sealed: Vec<u8>,
}

impl Answer {
    /// What binds the sealed content to one room and to what it answers.
    pub(crate) fn aad(group_id: &[u8; 32], reference: &[u8; 32]) -> Vec<u8> {
        Writer::new().bytes(b"sottovoce 2 answer").bytes(group_id).bytes(reference).finish()
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.reference).vec16(&self.kem).vec32(&self.sealed)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            reference: reader.array()?,
            kem: reader.vec16(MAX_HPKE)?.to_vec(),
            sealed: reader.vec32(MAX_MESSAGE)?.to_vec(),
        })
    }
}

/// What only the holder of the one-use key reads of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnswerContent {
    /// Somebody of rank let the newcomer in.
    Receipt(Signed<Receipt>),
    /// The door does not let the newcomer in.
    Refused(Signed<Refused>),
    /// Somebody has to be asked first.
    Waiting(Signed<Waiting>),
    /// Statements that the asker may lack.
    Shown(Statements),
}

impl AnswerContent {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Receipt(receipt) => receipt.write(Writer::new().u8(1)),
            Self::Refused(refused) => refused.write(Writer::new().u8(2)),
            Self::Waiting(waiting) => waiting.write(Writer::new().u8(3)),
            Self::Shown(statements) => statements.write(Writer::new().u8(4)),
        }
        .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let content = match reader.u8()? {
            1 => Self::Receipt(Signed::read(&mut reader)?),
            2 => Self::Refused(Signed::read(&mut reader)?),
            3 => Self::Waiting(Signed::read(&mut reader)?),
            4 => Self::Shown(Statements::read(&mut reader, MAX_STATEMENTS)?),
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(content)
    }
}

/// Somebody of rank says that it let the holder of a KeyPackage in, and whom it knows to be out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The identity that let the newcomer in, and signs.
    pub(crate) key: IdentityKey,
    /// The KeyPackageRef of the newcomer.
    pub(crate) reference: [u8; 32],
    /// The office that the signer knows.
    pub(crate) office: [u8; 32],
    /// The number of the newest table of that office that the signer knows.
    pub(crate) no: u64,
    /// The live standings that put somebody out.
    pub(crate) standings: Statements,
}

impl Content for Receipt {
    const LABEL: &'static [u8] = b"sottovoce 2 receipt";

    fn write(&self, out: Writer) -> Writer {
        let out = out.bytes(self.key.as_bytes()).bytes(&self.reference).bytes(&self.office).u64(self.no);
        self.standings.write(out)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            key: IdentityKey::from_bytes(reader.array()?),
            reference: reader.array()?,
            office: reader.array()?,
            no: reader.u64()?,
            standings: Statements::read(reader, MAX_STATEMENTS)?,
        })
    }
}

impl Signed<Receipt> {
    /// Signs a receipt that names `identity`.
    pub(crate) fn receipt(receipt: Receipt, identity: &Identity, group_id: &[u8; 32]) -> Self {
        debug_assert_eq!(receipt.key.as_bytes(), identity.public(), "nobody signs for others");
        Self::new(receipt, group_id, &[], |text| identity.sign(text))
    }

    /// Checks that the identity in the receipt signed it in this room.
    ///
    /// # Errors
    /// [`BadSignature`] if it did not.
    pub(crate) fn verify(self, group_id: &[u8; 32]) -> Result<Genuine<Receipt>, BadSignature> {
        let key = self.claimed().key;
        self.check(key.as_bytes(), group_id, &[])
    }
}

/// A door says that it does not let somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The reference of the knock.
    pub(crate) reference: [u8; 32],
    /// Why the door does not open.
    pub(crate) reason: RefuseReason,
}

impl Content for Refused {
    const LABEL: &'static [u8] = b"sottovoce 2 refused";

    fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.reference).u8(self.reason.code())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { reference: reader.array()?, reason: RefuseReason::from_code(reader.u8()?)? })
    }
}

impl Signed<Refused> {
    /// Refuses a knock in the name of the door with this answer key.
    pub(crate) fn refused(refused: Refused, answer: &SigningKey, group_id: &[u8; 32]) -> Self {
        Self::new(refused, group_id, &[], |text| answer.sign(text))
    }

    /// Checks that the door with this answer key signed it in this room.
    ///
    /// # Errors
    /// [`BadSignature`] if it did not.
    pub(crate) fn verify(
        self,
        group_id: &[u8; 32],
        answer_key: &[u8; 32],
    ) -> Result<Genuine<Refused>, BadSignature> {
        self.check(answer_key, group_id, &[])
    }
}

/// A door says that somebody has to be asked, so the newcomer stays at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The reference of the knock.
    pub(crate) reference: [u8; 32],
}

impl Content for Waiting {
    const LABEL: &'static [u8] = b"sottovoce 2 waiting";

    fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.reference)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { reference: reader.array()? })
    }
}

impl Signed<Waiting> {
    /// Tells a newcomer to wait, in the name of the door with this answer key.
    pub(crate) fn waiting(reference: [u8; 32], answer: &SigningKey, group_id: &[u8; 32]) -> Self {
        Self::new(Waiting { reference }, group_id, &[], |text| answer.sign(text))
    }

    /// Checks that the door with this answer key signed it in this room.
    ///
    /// # Errors
    /// [`BadSignature`] if it did not.
    pub(crate) fn verify(
        self,
        group_id: &[u8; 32],
        answer_key: &[u8; 32],
    ) -> Result<Genuine<Waiting>, BadSignature> {
        self.check(answer_key, group_id, &[])
    }
}

/// Why somebody of rank did not let a newcomer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RefuseReason {
    /// The person who was asked said no.
    Declined,
    /// The invite has expired.
    Expired,
    /// The invite has let in as many as it may.
    UsedUp,
    /// The identity is banned from the room.
    Banned,
    /// The identity is in the room already.
    Present,
    /// The room is full.
    Full,
    /// The invite was taken back, or its maker has no rank any more.
    Revoked,
    /// The room is locked: nobody new is let in.
    Locked,
    /// The time in the KeyPackage is more than a minute ahead of the door's clock, or ten minutes
    /// behind it.
    Clock,
}

impl RefuseReason {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Declined => 0,
            Self::Expired => 1,
            Self::UsedUp => 2,
            Self::Banned => 3,
            Self::Present => 4,
            Self::Full => 5,
            Self::Revoked => 6,
            Self::Locked => 7,
            Self::Clock => 8,
        }
    }

    pub(crate) fn from_code(code: u8) -> Result<Self, Malformed> {
        Ok(match code {
            0 => Self::Declined,
            1 => Self::Expired,
            2 => Self::UsedUp,
            3 => Self::Banned,
            4 => Self::Present,
            5 => Self::Full,
            6 => Self::Revoked,
            7 => Self::Locked,
            8 => Self::Clock,
            _ => return Err(Malformed),
        })
    }
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Declined => "the request to come in was declined",
            Self::Expired => "the invite has expired",
            Self::UsedUp => "the invite is used up",
            Self::Banned => "the identity is banned from this room",
            Self::Present => "the identity is in the room already",
            Self::Full => "the room is full",
            Self::Revoked => "the invite was taken back",
            Self::Locked => "the room is locked",
            Self::Clock => "our clock and the door's differ by too much",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Seed,
        wire::{
            signed::tests::{ROOM, covers_every_bit, identity, is_strict},
            statements::tests::statements,
        },
    };

    fn receipt(signer: &Identity) -> Signed<Receipt> {
        let receipt = Receipt {
            key: IdentityKey::from_bytes(*signer.public()),
            reference: [1; 32],
            office: [2; 32],
            no: 3,
            standings: statements(2),
        };
        Signed::receipt(receipt, signer, &ROOM)
    }

    fn refused(answer: &SigningKey) -> Signed<Refused> {
        let refused = Refused { reference: [1; 32], reason: RefuseReason::Full };
        Signed::refused(refused, answer, &ROOM)
    }

    #[test]
    fn answers_come_back_the_same_and_every_truncation_is_refused() {
        let answer = SigningKey::from_seed(Seed::from_bytes(&mut [2; 32]));
        for content in [
            AnswerContent::Receipt(receipt(&identity(1))),
            AnswerContent::Refused(refused(&answer)),
            AnswerContent::Waiting(Signed::waiting([1; 32], &answer, &ROOM)),
            AnswerContent::Shown(statements(0)),
            AnswerContent::Shown(statements(3)),
        ] {
            is_strict(&content, &content.encode(), AnswerContent::decode);
        }
        for kind in [0, 5, 255] {
            assert_eq!(AnswerContent::decode(&[kind, 0, 0]), Err(Malformed));
        }
    }

    #[test]
    fn a_receipt_is_its_signers_word_in_one_room() {
        let receipt = receipt(&identity(1));
        covers_every_bit(&receipt, |receipt| receipt.verify(&ROOM));
        assert!(receipt.verify(&[0; 32]).is_err());
    }

    #[test]
    fn refusal_and_waiting_are_the_word_of_the_door_that_was_knocked_at() {
        let (answer, other) = (
            SigningKey::from_seed(Seed::from_bytes(&mut [2; 32])),
            SigningKey::from_seed(Seed::from_bytes(&mut [3; 32])),
        );
        let refused = refused(&answer);
        covers_every_bit(&refused, |refused| refused.verify(&ROOM, answer.public()));
        assert!(refused.clone().verify(&[0; 32], answer.public()).is_err());
        assert!(refused.verify(&ROOM, other.public()).is_err());
        let waiting = Signed::waiting([1; 32], &answer, &ROOM);
        covers_every_bit(&waiting, |waiting| waiting.verify(&ROOM, answer.public()));
        assert!(waiting.clone().verify(&[0; 32], answer.public()).is_err());
        assert!(waiting.verify(&ROOM, other.public()).is_err());
    }

    #[test]
    fn every_reason_has_a_code_of_its_own_and_others_are_refused() {
        for code in 0..9 {
            assert_eq!(RefuseReason::from_code(code).unwrap().code(), code);
        }
        for code in 9..=255 {
            assert_eq!(RefuseReason::from_code(code), Err(Malformed));
        }
    }

    #[test]
    fn an_answer_is_bound_to_room_and_reference() {
        let here = Answer::aad(&[1; 32], &[2; 32]);
        assert_ne!(here, Answer::aad(&[0; 32], &[2; 32]));
        assert_ne!(here, Answer::aad(&[1; 32], &[0; 32]));
    }
}
