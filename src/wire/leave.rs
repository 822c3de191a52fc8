//! A member says that it is gone (`spec/control.md`, section 14.8).

use super::signed::{Content, Genuine, Signed};
use crate::keys::ed25519::BadSignature;
use crate::{
    group::{
        Identity,
        codec::{Malformed, Reader, Writer},
    },
    id::IdentityKey,
};

/// Ends all leaves and KeyPackages of an identity that were made not after it, in every branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leave {
    /// The identity that leaves, and signs.
    pub(crate) key: IdentityKey,
    /// The newest time that a leaf or a KeyPackage of the leaver says, in milliseconds since
    /// 1970-01-01 UTC.
    pub(crate) time_ms: u64,
}

impl Content for Leave {
    const LABEL: &'static [u8] = b"sottovoce 2 leave";

    fn write(&self, out: Writer) -> Writer {
        out.bytes(self.key.as_bytes()).u64(self.time_ms)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { key: IdentityKey::from_bytes(reader.array()?), time_ms: reader.u64()? })
    }
}

impl Signed<Leave> {
    /// Says for `identity` that all leaves are over which say `time_ms` or less.
    pub(crate) fn leave(identity: &Identity, group_id: &[u8; 32], time_ms: u64) -> Self {
        let leave = Leave { key: IdentityKey::from_bytes(*identity.public()), time_ms };
        Self::new(leave, group_id, &[], |text| identity.sign(text))
    }

    /// Checks that the identity that leaves signed it in this room.
    ///
    /// # Errors
    /// [`BadSignature`] if it did not.
    pub(crate) fn verify(self, group_id: &[u8; 32]) -> Result<Genuine<Leave>, BadSignature> {
        let key = self.claimed().key;
        self.check(key.as_bytes(), group_id, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::signed::tests::{ROOM, covers_every_bit, identity};

    #[test]
    fn a_leave_is_its_signers_word_in_one_room() {
        let leave = Signed::leave(&identity(1), &ROOM, 1_800_000_000_000);
        covers_every_bit(&leave, |leave| leave.verify(&ROOM));
        assert!(leave.verify(&[0; 32]).is_err(), "a leave counted in another room");
    }

    #[test]
    fn nobody_leaves_for_somebody_else() {
        let (leaver, other) = (identity(1), identity(2));
        let leave = Leave { key: IdentityKey::from_bytes(*leaver.public()), time_ms: 7 };
        let forged = Signed::new(leave, &ROOM, &[], |text| other.sign(text));
        assert_eq!(forged.verify(&ROOM), Err(BadSignature));
    }
}
