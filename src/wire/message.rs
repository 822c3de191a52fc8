//! What is inside an envelope (SPEC section 14.2).

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
