//! What is inside an envelope (`spec/control.md`, section 14.2).

use super::{
    answer::Answer, envelope::MAX_MESSAGE, heartbeat::Heartbeat, knock::Knock, show::Show,
    statements::Statements,
};
use crate::group::codec::{Malformed, Reader, Writer};

/// A message on the control lane, to everybody who holds the lane key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A keeper is alive, and passes doors on.
    Heartbeat(Heartbeat),
    /// An MLS PrivateMessage (RFC 9420 section 6.3), in the form of an MLSMessage.
    Mls(Vec<u8>),
    /// An MLS Welcome (RFC 9420 section 12.4.3.1), in the form of an MLSMessage.
    Welcome(Vec<u8>),
    /// A newcomer wants to come in.
    Knock(Knock),
    /// The answer to a knock or a show.
    Answer(Answer),
    /// Somebody shows statements to a keeper, or wants its place back.
    Show(Show),
    /// The last hand-overs, for holders of an older invite: 1 to 8 tables without their rest.
    Chain(Statements),
    /// Private halves of speaker keys whose time is over (SPEC section 12.6): 1 to 16 seeds.
    Spent(Vec<[u8; 32]>),
    /// Somebody without a place waits for a heartbeat: the keeper sends one soon.
    Call,
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let out = Writer::new();
        match self {
            Self::Heartbeat(heartbeat) => heartbeat.write(out.u8(1)),
            Self::Mls(message) => out.u8(2).vec32(message),
            Self::Welcome(welcome) => out.u8(3).vec32(welcome),
            Self::Knock(knock) => knock.write(out.u8(4)),
            Self::Answer(answer) => answer.write(out.u8(5)),
            Self::Show(show) => show.write(out.u8(6)),
            Self::Chain(tables) => tables.write(out.u8(7)),
            Self::Call => out.u8(8),
            Self::Spent(seeds) => {
                seeds.iter().fold(out.u8(16).u8(seeds.len() as u8), |out, seed| out.bytes(seed))
            }
        }
        .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8()? {
            1 => Self::Heartbeat(Heartbeat::read(&mut reader)?),
            2 => Self::Mls(reader.vec32(MAX_MESSAGE)?.to_vec()),
            3 => Self::Welcome(reader.vec32(MAX_MESSAGE)?.to_vec()),
            4 => Self::Knock(Knock::read(&mut reader)?),
            5 => Self::Answer(Answer::read(&mut reader)?),
            6 => Self::Show(Show::read(&mut reader)?),
            7 => match Statements::read(&mut reader, MAX_CHAIN)? {
                tables if tables.len() > 0 => Self::Chain(tables),
                _ => return Err(Malformed),
            },
            8 => Self::Call,
            16 => match usize::from(reader.u8()?) {
                count @ 1..=MAX_SPENT => {
                    Self::Spent((0..count).map(|_| reader.array()).collect::<Result<_, _>>()?)
                }
                _ => return Err(Malformed),
            },
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(message)
    }
}

/// Hand-overs in one message.
pub(crate) const MAX_CHAIN: usize = 8;
/// Private halves in one message.
pub(crate) const MAX_SPENT: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{heartbeat::tests::heartbeat, signed::tests::is_strict, statements::tests::statements};

    fn message() -> impl Strategy<Value = Message> {
        let bytes = |max: usize| prop::collection::vec(any::<u8>(), 0..max);
        prop_oneof![
            (0u8..=3, 0usize..1300).prop_map(|(doors, key)| Message::Heartbeat(heartbeat(doors, key))),
            bytes(2000).prop_map(Message::Mls),
            bytes(2000).prop_map(Message::Welcome),
            (any::<[u8; 16]>(), any::<[u8; 32]>(), bytes(1200), bytes(600)).prop_map(
                |(door, reference, kem, sealed)| Message::Knock(Knock { door, reference, kem, sealed })
            ),
            (any::<[u8; 32]>(), bytes(1200), bytes(600))
                .prop_map(|(reference, kem, sealed)| Message::Answer(Answer { reference, kem, sealed })),
            (any::<[u8; 16]>(), any::<[u8; 32]>(), bytes(1200), bytes(600)).prop_map(
                |(door, reference, kem, sealed)| Message::Show(Show { door, reference, kem, sealed })
            ),
            (1u8..=8).prop_map(|count| Message::Chain(statements(count))),
            prop::collection::vec(any::<[u8; 32]>(), 1..=MAX_SPENT).prop_map(Message::Spent),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn messages_round_trip_and_every_truncation_is_refused(message in message()) {
            is_strict(&message, &message.encode(), Message::decode);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..20) {
            let _ = Message::decode(&[&[kind][..], &bytes].concat());
        }
    }

    #[test]
    fn unknown_kinds_empty_lists_and_too_many_are_refused() {
        for kind in [0, 8, 9, 15, 17, 255] {
            assert_eq!(Message::decode(&[&[kind][..], &[0; 100]].concat()), Err(Malformed), "{kind}");
        }
        for message in [
            Message::Chain(statements(0)),
            Message::Chain(statements(9)),
            Message::Spent(vec![]),
            Message::Spent(vec![[0; 32]; MAX_SPENT + 1]),
        ] {
            assert_eq!(Message::decode(&message.encode()), Err(Malformed));
        }
    }

    #[test]
    fn lengths_that_promise_too_much_are_refused() {
        for kind in [2, 3] {
            assert_eq!(Message::decode(&[kind, 0xff, 0xff, 0xff, 0xff]), Err(Malformed));
            let longest = Writer::new().u8(kind).vec32(&vec![0; MAX_MESSAGE + 1]).finish();
            assert_eq!(Message::decode(&longest), Err(Malformed));
        }
        let kem = vec![0; super::super::MAX_HPKE + 1];
        let reference = [0; 32];
        for message in [
            Message::Knock(Knock { door: [0; 16], reference, kem: kem.clone(), sealed: vec![] }),
            Message::Knock(Knock { door: [0; 16], reference, kem: vec![], sealed: vec![0; 16_384] }),
            Message::Answer(Answer { reference, kem: kem.clone(), sealed: vec![] }),
            Message::Show(Show { door: [0; 16], reference, kem, sealed: vec![] }),
        ] {
            assert_eq!(Message::decode(&message.encode()), Err(Malformed));
        }
    }
}
