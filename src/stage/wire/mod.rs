//! The messages of a hall, byte by byte (`spec/stage.md`, section 6).
//!
//! ```text
//! lane envelope { Message }            everybody with an invite opens it
//!   Knock, Answer { kem, sealed }      HPKE: to the door of a porter, to a one-use key of a listener
//!   Up { sealed }                      under the chain of a listener
//! cell envelope { Turn }               under the chain of a cell
//! down envelope { Down }               under the chain of a listener
//! stage's MLS   { Say }                everybody on the stage
//! ```

mod beat;
mod knock;
mod pair;
mod say;
mod turn;

pub(super) use {
    beat::{Beat, Hall},
    knock::{Admitted, AnswerContent, KnockContent, Shown, Ticket},
    pair::{Asked, Down, MAX_PAGES, Page, UpContent},
    say::{Here, MAX_BECAUSE, Say, Secrets},
    turn::{Bundle, MAX_SLOTS, Turn},
};

use super::card::Programme;
use crate::{
    group::codec::{Malformed, Reader, Writer},
    wire::{door::Door, signed::Signed, statements::Statements},
};

/// What is inside an envelope of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Somebody who comes in waits for a door.
    Call,
    /// Where somebody of rank answers.
    Door(Signed<Door>),
    /// A porter is there, and what the hall is like.
    Beat(Beat),
    /// Who may be heard.
    Programme(Programme),
    /// Somebody wants to hear.
    Knock(Sealed),
    /// What a porter says to who knocked.
    Answer(Sealed),
    /// Something of a listener to its porter.
    Up(Up),
    /// A fresh chain for a cell.
    Bundle(Bundle),
    /// Hand-overs for holders of an older invite, without their rest.
    Chain(Statements),
}

/// HPKE, to the door or one-use key with this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    /// A door name; of an answer the lane of the listener.
    pub(super) to: [u8; 16],
    pub(super) kem: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

/// What a listener says, sealed under its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Up {
    pub(super) porter: [u8; 16],
    pub(super) cell: u32,
    pub(super) slot: u8,
    pub(super) sealed: Vec<u8>,
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let out = Writer::new();
        match self {
            Self::Call => out.u8(1),
            Self::Door(door) => out.u8(2).vec16(&door.encode()),
            Self::Beat(beat) => beat.write(out.u8(3)),
            Self::Programme(programme) => programme.write(out.u8(4)),
            Self::Knock(sealed) => sealed.write(out.u8(5)),
            Self::Answer(sealed) => sealed.write(out.u8(6)),
            Self::Up(up) => out.u8(7).bytes(&up.porter).u32(up.cell).u8(up.slot).vec16(&up.sealed),
            Self::Bundle(bundle) => bundle.write(out.u8(8)),
            Self::Chain(tables) => {
                let count = u8::try_from(tables.len()).unwrap_or(u8::MAX);
                tables.iter().fold(out.u8(9).u8(count), |out, table| out.vec16(table))
            }
        }
        .finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8()? {
            1 => Self::Call,
            2 => Self::Door(Signed::decode(reader.vec16(MAX_SEALED)?)?),
            3 => Self::Beat(Beat::read(&mut reader)?),
            4 => Self::Programme(Programme::read(&mut reader)?),
            5 => Self::Knock(Sealed::read(&mut reader)?),
            6 => Self::Answer(Sealed::read(&mut reader)?),
            7 => Self::Up(Up {
                porter: reader.array()?,
                cell: reader.u32()?,
                slot: reader.u8()?,
                sealed: reader.vec16(MAX_UP)?.to_vec(),
            }),
            8 => Self::Bundle(Bundle::read(&mut reader)?),
            9 => {
                let count = usize::from(reader.u8()?);
                if count == 0 || count > MAX_TABLES {
                    return Err(Malformed);
                }
                let tables = (0..count).map(|_| Ok(reader.vec16(MAX_TABLE)?.to_vec()));
                Self::Chain(Statements::new(tables.collect::<Result<_, _>>()?)?)
            }
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(message)
    }
}

impl Sealed {
    fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.to).vec16(&self.kem).vec16(&self.sealed)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            to: reader.array()?,
            kem: reader.vec16(MAX_KEM)?.to_vec(),
            sealed: reader.vec16(MAX_SEALED)?.to_vec(),
        })
    }
}

/// `label | group_id | content`: what is signed.
fn signed_bytes(label: &[u8], group_id: &[u8; 32], content: impl FnOnce(Writer) -> Writer) -> Vec<u8> {
    content(Writer::new().bytes(label).bytes(group_id)).finish()
}

/// An encapsulation, and a public HPKE key.
const MAX_KEM: usize = 2_048;
const MAX_SEALED: usize = 8_192;
const MAX_UP: usize = 2_560;
/// Hand-overs of one message, and the bytes of each as they are shown.
const MAX_TABLES: usize = 8;
const MAX_TABLE: usize = 256;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks that a form comes back the same, that every truncation and a byte too many are
    /// refused.
    pub(in crate::stage) fn is_strict<T: std::fmt::Debug + PartialEq>(
        value: &T,
        bytes: &[u8],
        decode: impl Fn(&[u8]) -> Result<T, Malformed>,
    ) {
        assert_eq!(decode(bytes).as_ref(), Ok(value));
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        assert!(decode(&[bytes, &[0]].concat()).is_err(), "one byte too many");
    }

    #[test]
    fn messages_come_back_the_same_and_every_truncation_is_refused() {
        let sealed = Sealed { to: [1; 16], kem: vec![2; 32], sealed: vec![3; 40] };
        let up = Up { porter: [1; 16], cell: 7, slot: 3, sealed: vec![5; 60] };
        let messages = [
            Message::Call,
            Message::Programme(Programme::default()),
            Message::Knock(sealed.clone()),
            Message::Answer(sealed),
            Message::Up(up),
            Message::Chain(Statements::new(vec![vec![1; 201]; 2]).unwrap()),
        ];
        for message in messages {
            is_strict(&message, &message.encode(), Message::decode);
        }
    }

    #[test]
    fn lengths_that_promise_too_much_and_unknown_kinds_are_refused() {
        for bytes in [&[5, 0, 0][..], &[9, 0], &[9, 9], &[4, 65], &[8, 0], &[0], &[10], &[]] {
            assert!(Message::decode(bytes).is_err());
        }
        let long = Sealed { to: [0; 16], kem: vec![0; MAX_KEM + 1], sealed: vec![] };
        assert!(Message::decode(&Message::Knock(long).encode()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..12) {
            let bytes = [&[kind][..], &bytes].concat();
            let _ = Message::decode(&bytes);
            let _ = Say::decode(&bytes);
            let _ = Down::decode(&bytes);
            let _ = UpContent::decode(&bytes);
            let _ = Turn::decode(&bytes);
            let _ = AnswerContent::decode(&bytes);
            let _ = KnockContent::decode(&bytes);
        }
    }
}
