//! What is said on the stage about the hall, inside the stage's MLS group (`spec/stage.md`, 6.2).

use super::knock::key;
use crate::{
    group::codec::{Malformed, Reader, Writer},
    keys::secret::Secret,
    stage::card::{Card, Programme},
};

/// A saying about the hall. MLS says from which leaf it is.
pub(in crate::stage) enum Say {
    /// A speaker's card.
    Card(Card),
    /// A porter is there.
    Here(Here),
    /// A new hall epoch, made by somebody of rank.
    Secrets(Box<Secrets>),
    /// The sender lacks the present hall epoch.
    Lacks,
}

/// A porter is there, and what it wants of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::stage) struct Here {
    pub(in crate::stage) hall_ms: u64,
    /// The newest hall epoch that it knows.
    pub(in crate::stage) n: u64,
    /// How many listen by it.
    pub(in crate::stage) listeners: u32,
    /// Somebody has left one of its cells.
    pub(in crate::stage) wants_turn: bool,
}

/// A hall epoch, with its secret.
pub(in crate::stage) struct Secrets {
    pub(in crate::stage) n: u64,
    pub(in crate::stage) first: u32,
    pub(in crate::stage) hall_ms: u64,
    pub(in crate::stage) switch_ms: u16,
    pub(in crate::stage) secret: Secret,
    pub(in crate::stage) programme: Programme,
    /// The law that the maker knew: of who passes it on, nobody knows less.
    pub(in crate::stage) law: [u8; 32],
    /// Statements that made somebody deaf, in a law that is not the maker's.
    pub(in crate::stage) because: Vec<[u8; 32]>,
}

impl Say {
    pub(in crate::stage) fn encode(&self) -> Secret {
        let out = Writer::new();
        let out = match self {
            Self::Card(card) => card.write(out.u8(1)),
            Self::Here(here) => {
                out.u8(2).u64(here.hall_ms).u64(here.n).u32(here.listeners).u8(here.wants_turn.into())
            }
            Self::Secrets(said) => {
                let out = out.u8(3).u64(said.n).u32(said.first).u64(said.hall_ms).u16(said.switch_ms);
                let out = said.programme.write(out.bytes(said.secret.bytes())).bytes(&said.law);
                let count = u16::try_from(said.because.len()).unwrap_or(u16::MAX);
                said.because.iter().fold(out.u16(count), |out, id| out.bytes(id))
            }
            Self::Lacks => out.u8(4),
        };
        Secret::wrap(out.finish())
    }

    pub(in crate::stage) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let say = match reader.u8()? {
            1 => Self::Card(Card::read(&mut reader)?),
            2 => Self::Here(Here {
                hall_ms: reader.u64()?,
                n: reader.u64()?,
                listeners: reader.u32()?,
                wants_turn: reader.flag()?,
            }),
            3 => {
                let (n, first) = (reader.u64()?, reader.u32()?);
                let (hall_ms, switch_ms) = (reader.u64()?, reader.u16()?);
                let (secret, programme) = (key(&mut reader)?, Programme::read(&mut reader)?);
                let (law, count) = (reader.array()?, usize::from(reader.u16()?));
                if count > MAX_BECAUSE {
                    return Err(Malformed);
                }
                let because = (0..count).map(|_| reader.array()).collect::<Result<_, _>>()?;
                Self::Secrets(Box::new(Secrets {
                    n,
                    first,
                    hall_ms,
                    switch_ms,
                    secret,
                    programme,
                    law,
                    because,
                }))
            }
            4 => Self::Lacks,
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(say)
    }
}

/// Statements that one turn names.
pub(in crate::stage) const MAX_BECAUSE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sayings_are_read_strictly() {
        let secrets = Secrets {
            n: 512,
            first: 3,
            hall_ms: 31_000,
            switch_ms: 300,
            secret: Secret::wrap(vec![5; 32]),
            programme: Programme::default(),
            law: [6; 32],
            because: vec![[7; 32]; 2],
        };
        let all = [
            Say::Here(Here { hall_ms: 1, n: 5, listeners: 2, wants_turn: true }),
            Say::Secrets(Box::new(secrets)),
            Say::Lacks,
        ];
        for say in all {
            let bytes = say.encode();
            let again = Say::decode(bytes.bytes()).ok().unwrap();
            assert_eq!(again.encode().bytes(), bytes.bytes());
            assert!((0..bytes.bytes().len()).all(|cut| Say::decode(&bytes.bytes()[..cut]).is_err()));
            assert!(Say::decode(&[bytes.bytes(), &[0]].concat()).is_err());
        }
    }
}
