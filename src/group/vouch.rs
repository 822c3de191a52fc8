//! Whether somebody that a member does not know keeps its room: it asks those whom it knows, outside MLS
//! (SPEC sections 7.7 and 8.4).

use super::{
    Identity,
    codec::{Malformed, Reader, Writer},
    identity::fingerprint,
    signing,
};
use crate::id::MemberId;

/// A member that hears nobody but a keeper whom it does not know asks some whom it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    key: [u8; 32],
    pub(crate) at_ms: u64,
    /// Who is asked: at least one, at most [`MAX_ASKED`].
    pub(crate) asks: Vec<MemberId>,
    signature: [u8; 64],
}

/// A member says who keeps the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vouch {
    key: [u8; 32],
    pub(crate) keeper: MemberId,
    pub(crate) at_ms: u64,
    signature: [u8; 64],
}

impl Lost {
    pub(crate) fn new(by: &Identity, group_id: &[u8], at_ms: u64, asks: Vec<MemberId>) -> Self {
        let mut lost = Self { key: *by.public(), at_ms, asks, signature: [0; 64] };
        lost.signature = by.sign(&lost.content(group_id));
        lost
    }

    /// Who says so, if it is genuine.
    pub(crate) fn by(&self) -> MemberId {
        fingerprint(&self.key)
    }

    pub(crate) fn is_genuine(&self, group_id: &[u8]) -> bool {
        signing::verify(&self.key, &self.content(group_id), &self.signature).is_ok()
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        self.write_unsigned(out).bytes(&self.signature)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (key, at_ms) = (reader.array()?, reader.u64()?);
        let count = usize::from(reader.u8()?);
        if count == 0 || count > MAX_ASKED {
            return Err(Malformed);
        }
        let asks = (0..count).map(|_| reader.array().map(MemberId::from_bytes)).collect::<Result<_, _>>()?;
        Ok(Self { key, at_ms, asks, signature: reader.array()? })
    }

    fn content(&self, group_id: &[u8]) -> Vec<u8> {
        self.write_unsigned(Writer::new().bytes(b"sottovoce 1 lost").vec8(group_id)).finish()
    }

    fn write_unsigned(&self, out: Writer) -> Writer {
        let count = u8::try_from(self.asks.len()).unwrap_or(u8::MAX);
        let out = out.bytes(&self.key).u64(self.at_ms).u8(count);
        self.asks.iter().fold(out, |out, member| out.bytes(member.as_bytes()))
    }
}

impl Vouch {
    pub(crate) fn new(by: &Identity, group_id: &[u8], keeper: MemberId, at_ms: u64) -> Self {
        let mut vouch = Self { key: *by.public(), keeper, at_ms, signature: [0; 64] };
        vouch.signature = by.sign(&vouch.content(group_id));
        vouch
    }

    /// Who says so, if it is genuine.
    pub(crate) fn by(&self) -> MemberId {
        fingerprint(&self.key)
    }

    pub(crate) fn is_genuine(&self, group_id: &[u8]) -> bool {
        signing::verify(&self.key, &self.content(group_id), &self.signature).is_ok()
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        self.write_unsigned(out).bytes(&self.signature)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (key, keeper) = (reader.array()?, MemberId::from_bytes(reader.array()?));
        Ok(Self { key, keeper, at_ms: reader.u64()?, signature: reader.array()? })
    }

    fn content(&self, group_id: &[u8]) -> Vec<u8> {
        self.write_unsigned(Writer::new().bytes(b"sottovoce 1 vouch").vec8(group_id)).finish()
    }

    fn write_unsigned(&self, out: Writer) -> Writer {
        out.bytes(&self.key).bytes(self.keeper.as_bytes()).u64(self.at_ms)
    }
}

/// How many are asked at once.
pub(crate) const MAX_ASKED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::state::tests::{GROUP, id, identity};

    #[test]
    fn each_is_the_word_of_its_signer_about_this_room_alone() {
        let lost = Lost::new(&identity(1), GROUP, 5, vec![id(2), id(3)]);
        assert!(lost.is_genuine(GROUP) && lost.by() == id(1) && !lost.is_genuine(b"another"));
        assert!(!Lost { at_ms: 6, ..lost.clone() }.is_genuine(GROUP));
        assert!(!Lost { asks: vec![id(2), id(4)], ..lost.clone() }.is_genuine(GROUP));
        assert!(!Lost { key: *identity(2).public(), ..lost }.is_genuine(GROUP));
        let vouch = Vouch::new(&identity(1), GROUP, id(2), 5);
        assert!(vouch.is_genuine(GROUP) && vouch.by() == id(1) && !vouch.is_genuine(b"another"));
        assert!(!Vouch { at_ms: 6, ..vouch.clone() }.is_genuine(GROUP));
        assert!(!Vouch { keeper: id(3), ..vouch.clone() }.is_genuine(GROUP));
        assert!(!Vouch { key: *identity(2).public(), ..vouch }.is_genuine(GROUP));
    }

    #[test]
    fn nobody_asks_no_one_or_too_many() {
        for (count, taken) in [(0, false), (1, true), (MAX_ASKED, true), (MAX_ASKED + 1, false)] {
            let lost = Lost::new(&identity(1), GROUP, 5, vec![id(2); count]);
            let bytes = lost.write(Writer::new()).finish();
            assert_eq!(Lost::read(&mut Reader::new(&bytes)).is_ok(), taken, "{count}");
        }
    }
}
