//! The room's entry in the group context, and the authenticated data of a commit (SPEC section
//! 14.2).
//!
//! ```text
//! Context   version 2 u8 | keeper [16] | law [32]
//! Aad       version 2 u8 | said ms u64 | count u16 | statement ids [32] each, strictly ascending
//! ```

use std::fmt;

use crate::{
    group::codec::{Malformed, Reader, Writer},
    hex::Hex,
};

/// What all members of an epoch agree on beside the tree: the keeper, and the hash of the law.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context {
    /// The tag of the member that puts commits in order.
    pub(crate) keeper: [u8; 16],
    /// The hash of the set of statements that is the law of the epoch.
    pub(crate) law: [u8; 32],
}

impl Context {
    pub(super) fn encode(&self) -> Vec<u8> {
        Writer::new().u8(VERSION).bytes(&self.keeper).bytes(&self.law).finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let context = Self { keeper: reader.array()?, law: reader.array()? };
        reader.finish()?;
        Ok(context)
    }
}

/// The first bytes of the law: a log line must not name the keeper.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.law;
        write!(f, "Context(law {}..)", Hex(&[a, b, c, d]))
    }
}

/// What the committer says in the authenticated data of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aad {
    said_ms: u64,
    adds: Vec<[u8; 32]>,
}

impl Aad {
    /// Takes the time of the commit, in milliseconds since 1970, and the ids of the statements that
    /// the commit adds to the law. Sorts the ids, and drops repeated ones; `None` if more than
    /// [`MAX_STATEMENTS`] are left.
    pub(crate) fn new(said_ms: u64, mut adds: Vec<[u8; 32]>) -> Option<Self> {
        adds.sort_unstable();
        adds.dedup();
        (adds.len() <= MAX_STATEMENTS).then_some(Self { said_ms, adds })
    }

    /// When the committer says that it made the commit, in milliseconds since 1970.
    pub(crate) fn said_ms(&self) -> u64 {
        self.said_ms
    }

    /// The ids of the statements that the commit adds to the law, strictly ascending.
    pub(crate) fn adds(&self) -> &[[u8; 32]] {
        &self.adds
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let count = u16::try_from(self.adds.len()).expect("new and decode bound the number of statements");
        Writer::new().u8(VERSION).u64(self.said_ms).u16(count).bytes(self.adds.as_flattened()).finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let said_ms = reader.u64()?;
        let count = usize::from(reader.u16()?);
        if count > MAX_STATEMENTS {
            return Err(Malformed);
        }
        let (adds, rest) = reader.bytes(count * 32)?.as_chunks::<32>();
        reader.finish()?;
        if !rest.is_empty() || !adds.is_sorted_by(|a, b| a < b) {
            return Err(Malformed);
        }
        Ok(Self { said_ms, adds: adds.to_vec() })
    }
}

/// How many statements one commit adds at most.
pub(crate) const MAX_STATEMENTS: usize = 10_240;
const VERSION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_has_one_encoding() {
        let context = Context { keeper: [1; 16], law: [2; 32] };
        let bytes = context.encode();
        assert_eq!(bytes.len(), 49);
        assert_eq!(Context::decode(&bytes), Ok(context));
        for len in 0..bytes.len() {
            assert_eq!(Context::decode(&bytes[..len]), Err(Malformed), "{len} bytes");
        }
        assert_eq!(Context::decode(&[&bytes[..], &[0]].concat()), Err(Malformed));
        assert_eq!(Context::decode(&[&[1], &bytes[1..]].concat()), Err(Malformed));
    }

    #[test]
    fn authenticated_data_has_one_encoding() {
        let aad = Aad::new(7, vec![[9; 32], [1; 32], [9; 32]]).unwrap();
        assert_eq!(aad.adds(), [[1; 32], [9; 32]]);
        let bytes = aad.encode();
        assert_eq!(bytes.len(), 11 + 64);
        assert_eq!(Aad::decode(&bytes), Ok(aad));
        for len in 0..bytes.len() {
            assert_eq!(Aad::decode(&bytes[..len]), Err(Malformed), "{len} bytes");
        }
        assert_eq!(Aad::decode(&[&bytes[..], &[0]].concat()), Err(Malformed));
        let swapped = [&bytes[..11], &[9; 32], &[1; 32]].concat();
        assert_eq!(Aad::decode(&swapped), Err(Malformed));
        let twice = [&bytes[..11], &[9; 32], &[9; 32]].concat();
        assert_eq!(Aad::decode(&twice), Err(Malformed));
    }

    #[test]
    fn authenticated_data_is_bounded() {
        let ids = |count: u32| (0..count).map(|n| crate::keys::derive::sha256(&[&n.to_be_bytes()])).collect();
        let largest = Aad::new(0, ids(MAX_STATEMENTS as u32)).unwrap();
        assert_eq!(Aad::decode(&largest.encode()), Ok(largest));
        assert_eq!(Aad::new(0, ids(MAX_STATEMENTS as u32 + 1)), None);
        let larger = Aad { said_ms: 0, adds: Aad::new(0, ids(MAX_STATEMENTS as u32)).unwrap().adds };
        let mut ids = larger.adds.clone();
        ids.push([0xFF; 32]);
        assert_eq!(Aad::decode(&Aad { said_ms: 0, adds: ids }.encode()), Err(Malformed));
    }

    #[test]
    fn debug_does_not_name_the_keeper() {
        let context = Context { keeper: [0xAB; 16], law: [2; 32] };
        assert_eq!(format!("{context:?}"), "Context(law 02020202..)");
    }
}
