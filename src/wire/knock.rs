//! A newcomer asks somebody of rank to be let in (`spec/control.md`, section 14.6).

use super::{MAX_HPKE, MAX_KEY_PACKAGE, door::door_name, invite::InviteId};
use crate::{
    group::codec::{Malformed, Reader, Writer},
    id::UnixTime,
};

/// A knock as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Knock {
    /// The name of the door: [`door_name`] of its answer key.
    pub(crate) door: [u8; 16],
    /// The KeyPackageRef of what is sealed, so that repeats are known before anything is decrypted.
    pub(crate) reference: [u8; 32],
    /// The encapsulated key of HPKE.
    pub(crate) kem: Vec<u8>,
    /// A [`KnockContent`], sealed to the HPKE key of the door with [`Knock::aad`].
    pub(crate) sealed: Vec<u8>,
}

impl Knock {
    /// What binds the sealed content to one door of one room and to its KeyPackage.
    pub(crate) fn aad(group_id: &[u8; 32], answer_key: &[u8; 32], reference: &[u8; 32]) -> Vec<u8> {
        Writer::new().bytes(b"sottovoce 2 knock").bytes(group_id).bytes(answer_key).bytes(reference).finish()
    }

    /// Whether the knock is at the door with this answer key.
    pub(crate) fn is_at(&self, answer_key: &[u8; 32]) -> bool {
        self.door == door_name(answer_key)
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.door).bytes(&self.reference).vec16(&self.kem).vec32(&self.sealed)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            door: reader.array()?,
            reference: reader.array()?,
            kem: reader.vec16(MAX_HPKE)?.to_vec(),
            sealed: reader.vec32(MAX_SEALED)?.to_vec(),
        })
    }
}

/// What only the door reads of a knock. Nobody has authenticated it: the KeyPackage in it is vetted
/// by `mls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnockContent {
    /// The invite that the newcomer came by.
    pub(crate) invite: InviteId,
    /// When the invite says that it expires.
    pub(crate) expires: UnixTime,
    /// How many people the invite says that it lets in; 0 is any number.
    pub(crate) uses: u16,
    /// The public HPKE key that the answer is sealed to, and nothing else ever is.
    pub(crate) one_use: Vec<u8>,
    /// The newcomer's KeyPackage, in the form of an MLSMessage.
    pub(crate) key_package: Vec<u8>,
}

impl KnockContent {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new()
            .bytes(&self.invite.0)
            .u64(self.expires.0)
            .u16(self.uses)
            .vec16(&self.one_use)
            .vec32(&self.key_package)
            .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let content = Self {
            invite: InviteId(reader.array()?),
            expires: UnixTime(reader.u64()?),
            uses: reader.u16()?,
            one_use: reader.vec16(MAX_HPKE)?.to_vec(),
            key_package: reader.vec32(MAX_KEY_PACKAGE)?.to_vec(),
        };
        reader.finish()?;
        Ok(content)
    }
}

/// The longest content and the tag.
const MAX_SEALED: usize = 16 + 8 + 2 + 2 + MAX_HPKE + 4 + MAX_KEY_PACKAGE + 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::signed::tests::is_strict;

    fn content(one_use: usize, key_package: usize) -> KnockContent {
        KnockContent {
            invite: InviteId([1; 16]),
            expires: UnixTime(2),
            uses: 3,
            one_use: vec![4; one_use],
            key_package: vec![5; key_package],
        }
    }

    #[test]
    fn the_content_of_a_knock_comes_back_the_same_up_to_its_bounds() {
        for (one_use, key_package) in [(32, 400), (0, 0)] {
            let content = content(one_use, key_package);
            is_strict(&content, &content.encode(), KnockContent::decode);
        }
        let largest = content(MAX_HPKE, MAX_KEY_PACKAGE).encode();
        assert_eq!(largest.len() + 16, MAX_SEALED);
        assert!(KnockContent::decode(&largest).is_ok());
        for (one_use, key_package) in [(MAX_HPKE + 1, 0), (0, MAX_KEY_PACKAGE + 1)] {
            let content = content(one_use, key_package);
            assert_eq!(KnockContent::decode(&content.encode()), Err(Malformed));
        }
    }

    #[test]
    fn a_knock_is_bound_to_room_door_and_key_package() {
        let here = Knock::aad(&[1; 32], &[2; 32], &[3; 32]);
        for other in [([0; 32], [2; 32], [3; 32]), ([1; 32], [0; 32], [3; 32]), ([1; 32], [2; 32], [0; 32])] {
            assert_ne!(here, Knock::aad(&other.0, &other.1, &other.2));
        }
        let knock = Knock { door: door_name(&[2; 32]), reference: [0; 32], kem: vec![], sealed: vec![] };
        assert!(knock.is_at(&[2; 32]) && !knock.is_at(&[3; 32]));
    }
}
