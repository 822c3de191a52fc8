//! How a listener comes in: its knock, the answer, and the ticket that it keeps (`spec/stage.md`,
//! 6.4).

use super::signed_bytes;
use crate::{
    group::{
        Identity, Name,
        codec::{Malformed, Reader, Writer},
    },
    id::{IdentityKey, UnixTime},
    keys::{
        ed25519::{self, BadSignature},
        secret::Secret,
    },
    law::Tag,
    stage::epoch::{Base, EpochName},
    wire::{answer::RefuseReason, invite::InviteId},
};

/// What is sealed to a porter's door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stage) struct KnockContent {
    pub(in crate::stage) key: IdentityKey,
    pub(in crate::stage) name: Name,
    /// By the listener's clock, in Unix milliseconds.
    pub(in crate::stage) made_ms: u64,
    pub(in crate::stage) invite: InviteId,
    pub(in crate::stage) expires: UnixTime,
    pub(in crate::stage) uses: u16,
    /// Answers are sealed to it.
    pub(in crate::stage) one_use: Vec<u8>,
    /// Where answers are sent to.
    pub(in crate::stage) reply_to: [u8; 16],
    /// Who was let in before shows this.
    pub(in crate::stage) ticket: Option<Ticket>,
    signature: [u8; 64],
}

/// Somebody of rank let somebody in to hear. It is no statement of the law: it fills no register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stage) struct Ticket {
    pub(in crate::stage) issuer: IdentityKey,
    pub(in crate::stage) term: [u8; 16],
    pub(in crate::stage) about: Tag,
    pub(in crate::stage) made_ms: u64,
    signature: [u8; 64],
}

/// What is sealed to the one-use key of a knock, or of a renewal.
pub(in crate::stage) enum AnswerContent {
    Admitted(Box<Admitted>),
    Refused(RefuseReason),
    /// Somebody is asked.
    Waiting,
    /// A fresh key for the chain of a listener, at this hall step.
    Fresh {
        step: u32,
        key: Secret,
    },
}

/// A place in the hall, with the keys that belong to it.
pub(in crate::stage) struct Admitted {
    /// The terms of the room, as they are hashed.
    pub(in crate::stage) terms: Vec<u8>,
    pub(in crate::stage) ticket: Ticket,
    pub(in crate::stage) cell: u32,
    pub(in crate::stage) slot: u8,
    pub(in crate::stage) hall_ms: u64,
    /// The hall step that the keys are of.
    pub(in crate::stage) step: u32,
    pub(in crate::stage) pair: Secret,
    pub(in crate::stage) cell_key: Secret,
    pub(in crate::stage) shown: Shown,
}

/// The hall epochs that are in use, as who comes in is given them: the newest last.
#[derive(Default)]
pub(in crate::stage) struct Shown(pub(in crate::stage) Vec<(Base, u16)>);

impl KnockContent {
    #[allow(clippy::too_many_arguments, reason = "the parts of one knock")]
    pub(in crate::stage) fn sign(
        identity: &Identity,
        made_ms: u64,
        (invite, expires, uses): (InviteId, UnixTime, u16),
        one_use: Vec<u8>,
        reply_to: [u8; 16],
        ticket: Option<Ticket>,
        porter: &[u8; 16],
        group_id: &[u8; 32],
    ) -> Self {
        let key = IdentityKey::from_bytes(*identity.public());
        let name = identity.name().clone();
        let signature = [0; 64];
        let mut knock =
            Self { key, name, made_ms, invite, expires, uses, one_use, reply_to, ticket, signature };
        knock.signature = identity.sign(&knock.signed(porter, group_id));
        knock
    }

    /// Checks that the identity in it signed it, for this porter.
    pub(in crate::stage) fn verify(
        &self,
        porter: &[u8; 16],
        group_id: &[u8; 32],
    ) -> Result<(), BadSignature> {
        ed25519::verify(self.key.as_bytes(), &self.signed(porter, group_id), &self.signature)
    }

    pub(in crate::stage) fn encode(&self) -> Vec<u8> {
        self.content(Writer::new()).bytes(&self.signature).finish()
    }

    pub(in crate::stage) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let knock = Self {
            key: IdentityKey::from_bytes(reader.array()?),
            name: Name::decode(reader.vec8(64)?)?,
            made_ms: reader.u64()?,
            invite: InviteId(reader.array()?),
            expires: UnixTime(reader.u64()?),
            uses: reader.u16()?,
            one_use: reader.vec16(super::MAX_KEM)?.to_vec(),
            reply_to: reader.array()?,
            ticket: if reader.flag()? { Some(Ticket::read(&mut reader)?) } else { None },
            signature: reader.array()?,
        };
        reader.finish()?;
        Ok(knock)
    }

    fn content(&self, out: Writer) -> Writer {
        out.bytes(self.key.as_bytes())
            .vec8(self.name.as_str().as_bytes())
            .u64(self.made_ms)
            .bytes(&self.invite.0)
            .u64(self.expires.0)
            .u16(self.uses)
            .vec16(&self.one_use)
            .bytes(&self.reply_to)
            .u8(self.ticket.is_some().into())
            .optional(self.ticket.as_ref(), |out, ticket| ticket.write(out))
    }

    fn signed(&self, porter: &[u8; 16], group_id: &[u8; 32]) -> Vec<u8> {
        signed_bytes(b"sottovoce 2 hall knocks", group_id, |out| self.content(out.bytes(porter)))
    }
}

impl Ticket {
    pub(in crate::stage) fn sign(
        issuer: &Identity,
        term: [u8; 16],
        about: Tag,
        made_ms: u64,
        group_id: &[u8; 32],
    ) -> Self {
        let key = IdentityKey::from_bytes(*issuer.public());
        let mut ticket = Self { issuer: key, term, about, made_ms, signature: [0; 64] };
        ticket.signature = issuer.sign(&ticket.signed(group_id));
        ticket
    }

    /// Checks that its issuer signed it. Whether that one has rank in this term, the law says.
    pub(in crate::stage) fn verify(&self, group_id: &[u8; 32]) -> Result<(), BadSignature> {
        ed25519::verify(self.issuer.as_bytes(), &self.signed(group_id), &self.signature)
    }

    pub(in crate::stage) fn write(&self, out: Writer) -> Writer {
        self.content(out).bytes(&self.signature)
    }

    pub(in crate::stage) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            issuer: IdentityKey::from_bytes(reader.array()?),
            term: reader.array()?,
            about: Tag(reader.array()?),
            made_ms: reader.u64()?,
            signature: reader.array()?,
        })
    }

    fn content(&self, out: Writer) -> Writer {
        out.bytes(self.issuer.as_bytes()).bytes(&self.term).bytes(&self.about.0).u64(self.made_ms)
    }

    fn signed(&self, group_id: &[u8; 32]) -> Vec<u8> {
        signed_bytes(b"sottovoce 2 hall ticket", group_id, |out| self.content(out))
    }
}

impl AnswerContent {
    pub(in crate::stage) fn encode(&self) -> Secret {
        let out = Writer::new();
        let out = match self {
            Self::Admitted(admitted) => admitted.write(out.u8(1)),
            Self::Refused(reason) => out.u8(2).u8(reason.code()),
            Self::Waiting => out.u8(3),
            Self::Fresh { step, key } => out.u8(4).u32(*step).bytes(key.bytes()),
        };
        Secret::wrap(out.finish())
    }

    pub(in crate::stage) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let answer = match reader.u8()? {
            1 => Self::Admitted(Box::new(Admitted::read(&mut reader)?)),
            2 => Self::Refused(RefuseReason::from_code(reader.u8()?)?),
            3 => Self::Waiting,
            4 => Self::Fresh { step: reader.u32()?, key: key(&mut reader)? },
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(answer)
    }
}

impl Admitted {
    fn write(&self, out: Writer) -> Writer {
        let out = self.ticket.write(out.vec16(&self.terms)).u32(self.cell).u8(self.slot);
        let out = out.u64(self.hall_ms).u32(self.step).bytes(self.pair.bytes()).bytes(self.cell_key.bytes());
        self.shown.write(out)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            terms: reader.vec16(512)?.to_vec(),
            ticket: Ticket::read(reader)?,
            cell: reader.u32()?,
            slot: reader.u8()?,
            hall_ms: reader.u64()?,
            step: reader.u32()?,
            pair: key(reader)?,
            cell_key: key(reader)?,
            shown: Shown::read(reader)?,
        })
    }
}

impl Shown {
    pub(super) fn write(&self, out: Writer) -> Writer {
        let count = u8::try_from(self.0.len()).unwrap_or(u8::MAX);
        self.0.iter().fold(out.u8(count), |out, (base, switch_ms)| {
            out.u64(base.name.n)
                .u32(base.name.first)
                .bytes(&base.name.programme)
                .bytes(&base.name.authenticator)
                .u32(base.step)
                .vec8(base.key.bytes())
                .u16(*switch_ms)
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = usize::from(reader.u8()?);
        if count > MAX_SHOWN {
            return Err(Malformed);
        }
        let shown = (0..count).map(|_| {
            let name = EpochName {
                n: reader.u64()?,
                first: reader.u32()?,
                programme: reader.array()?,
                authenticator: reader.array()?,
            };
            let (step, bytes) = (reader.u32()?, reader.vec8(64)?);
            if ![32, 64].contains(&bytes.len()) {
                return Err(Malformed);
            }
            let key = Secret::filled(bytes.len(), |out| out.copy_from_slice(bytes));
            Ok((Base { name, step, key }, reader.u16()?))
        });
        Ok(Self(shown.collect::<Result<_, _>>()?))
    }
}

/// A secret of 32 bytes, copied into what wipes it.
pub(super) fn key(reader: &mut Reader<'_>) -> Result<Secret, Malformed> {
    let bytes = reader.chunk::<32>()?;
    Ok(Secret::filled(32, |out| out.copy_from_slice(bytes)))
}

/// The epoch in use, and one that is announced.
const MAX_SHOWN: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::wire::tests::is_strict;

    fn identity(seed: u8) -> Identity {
        Identity::from_seed([seed; 32], Name::new("Ada").unwrap())
    }

    #[test]
    fn a_knock_is_of_its_identity_for_one_porter_and_room() {
        let ticket = Ticket::sign(&identity(2), [1; 16], Tag([2; 16]), 3, &[9; 32]);
        let knock = KnockContent::sign(
            &identity(1),
            5,
            (InviteId([4; 16]), UnixTime(6), 7),
            vec![8; 32],
            [3; 16],
            Some(ticket),
            &[5; 16],
            &[9; 32],
        );
        assert!(knock.verify(&[5; 16], &[9; 32]).is_ok());
        assert!(knock.verify(&[6; 16], &[9; 32]).is_err());
        assert!(knock.verify(&[5; 16], &[8; 32]).is_err());
        is_strict(&knock, &knock.encode(), KnockContent::decode);
        let other = KnockContent { key: IdentityKey::from_bytes(*identity(2).public()), ..knock };
        assert!(other.verify(&[5; 16], &[9; 32]).is_err());
    }

    #[test]
    fn a_ticket_is_about_one_tag_in_one_term() {
        let ticket = Ticket::sign(&identity(2), [1; 16], Tag([2; 16]), 3, &[9; 32]);
        assert!(ticket.verify(&[9; 32]).is_ok());
        assert!(Ticket { about: Tag([3; 16]), ..ticket.clone() }.verify(&[9; 32]).is_err());
        assert!(Ticket { term: [3; 16], ..ticket.clone() }.verify(&[9; 32]).is_err());
        assert!(ticket.verify(&[8; 32]).is_err());
    }

    #[test]
    fn answers_are_read_strictly() {
        let secret = || Secret::wrap(vec![7; 32]);
        let name = EpochName { n: 256, first: 1, programme: [2; 32], authenticator: [3; 32] };
        let shown = || Shown(vec![(Base { name, step: 4, key: secret() }, 300)]);
        let admitted = Admitted {
            terms: vec![1; 90],
            ticket: Ticket::sign(&identity(2), [1; 16], Tag([2; 16]), 3, &[9; 32]),
            cell: 5,
            slot: 31,
            hall_ms: 44_000,
            step: 4,
            pair: secret(),
            cell_key: secret(),
            shown: shown(),
        };
        let answers = [
            AnswerContent::Admitted(Box::new(admitted)),
            AnswerContent::Refused(RefuseReason::Banned),
            AnswerContent::Waiting,
            AnswerContent::Fresh { step: 3, key: secret() },
        ];
        for answer in answers {
            let bytes = answer.encode();
            let again = AnswerContent::decode(bytes.bytes()).ok().unwrap();
            assert_eq!(again.encode().bytes(), bytes.bytes());
            for cut in 0..bytes.bytes().len() {
                assert!(AnswerContent::decode(&bytes.bytes()[..cut]).is_err());
            }
            assert!(AnswerContent::decode(&[bytes.bytes(), &[0]].concat()).is_err());
        }
        assert!(AnswerContent::decode(&[5]).is_err());
    }
}
