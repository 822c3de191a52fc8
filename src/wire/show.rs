//! Statements from one branch to the keeper of another, and the way back into a room
//! (`spec/control.md`, section 14.8).

use super::{
    MAX_HPKE, MAX_KEY_PACKAGE,
    door::door_name,
    envelope::MAX_MESSAGE,
    leave::Leave,
    signed::{Content, Genuine, Signed},
    statements::{MAX_STATEMENTS, Statements},
};
use crate::keys::ed25519::BadSignature;
use crate::{
    group::{
        Identity,
        codec::{Malformed, Reader, Writer},
    },
    id::{Epoch, IdentityKey},
};

/// A show as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Show {
    /// The name of the door: [`door_name`] of the door key in the keeper's heartbeat.
    pub(crate) door: [u8; 16],
    /// Tells shows apart before anything is decrypted: the KeyPackageRef of what is sealed, or
    /// random.
    pub(crate) reference: [u8; 32],
    /// The encapsulated key of HPKE.
    pub(crate) kem: Vec<u8>,
    /// A signed [`ShowContent`], sealed to the door key with [`Show::aad`].
    pub(crate) sealed: Vec<u8>,
}

impl Show {
    /// What binds the sealed content to one door of one room and to its reference.
    pub(crate) fn aad(group_id: &[u8; 32], door_key: &[u8], reference: &[u8; 32]) -> Vec<u8> {
        bound(Writer::new().bytes(b"sottovoce 2 show").bytes(group_id), door_key, reference)
    }

    /// Whether the show is for the keeper with this door key.
    pub(crate) fn is_at(&self, door_key: &[u8]) -> bool {
        self.door == door_name(door_key)
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.door).bytes(&self.reference).vec16(&self.kem).vec32(&self.sealed)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            door: reader.array()?,
            reference: reader.array()?,
            kem: reader.vec16(MAX_HPKE)?.to_vec(),
            sealed: reader.vec32(MAX_MESSAGE)?.to_vec(),
        })
    }
}

/// What only the keeper reads of a show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShowContent {
    /// The identity that shows, and signs.
    pub(crate) key: IdentityKey,
    /// The public HPKE key that the answer is sealed to, and nothing else ever is.
    pub(crate) one_use: Vec<u8>,
    /// When it was made, by the sender's clock, in milliseconds since 1970-01-01 UTC.
    pub(crate) time_ms: u64,
    /// What the sender wants besides.
    pub(crate) wish: Wish,
    /// The statements that are shown.
    pub(crate) statements: Statements,
}

/// What the sender of a show wants, besides that its statements are heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing.
    Nothing,
    /// To come back under a new leaf.
    Return {
        /// The KeyPackage of the new leaf, in the form of an MLSMessage.
        key_package: Vec<u8>,
        /// The commit that the sender could not process, if that is why it lost its place.
        broken: Option<Broken>,
    },
    /// That the leaves of somebody who left are removed.
    Leave(Signed<Leave>),
}

/// A commit that was signed and could not be processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// The identity that signed the commit.
    pub(crate) by: IdentityKey,
    /// The epoch that the commit was to end.
    pub(crate) epoch: Epoch,
}

impl Wish {
    fn write(&self, out: Writer) -> Writer {
        match self {
            Self::Nothing => out.u8(0),
            Self::Return { key_package, broken } => {
                let out = out.u8(1).vec32(key_package).u8(broken.is_some().into());
                out.optional(broken.as_ref(), |out, Broken { by, epoch }| {
                    out.bytes(by.as_bytes()).u64(epoch.0)
                })
            }
            Self::Leave(leave) => leave.write(out.u8(2)),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.u8()? {
            0 => Self::Nothing,
            1 => {
                let key_package = reader.vec32(MAX_KEY_PACKAGE)?.to_vec();
                let broken = if reader.flag()? {
                    let by = IdentityKey::from_bytes(reader.array()?);
                    Some(Broken { by, epoch: Epoch(reader.u64()?) })
                } else {
                    None
                };
                Self::Return { key_package, broken }
            }
            2 => Self::Leave(Signed::read(reader)?),
            _ => return Err(Malformed),
        })
    }
}

impl Content for ShowContent {
    const LABEL: &'static [u8] = b"sottovoce 2 shown";

    fn write(&self, out: Writer) -> Writer {
        let out = out.bytes(self.key.as_bytes()).vec16(&self.one_use).u64(self.time_ms);
        self.statements.write(self.wish.write(out))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            key: IdentityKey::from_bytes(reader.array()?),
            one_use: reader.vec16(MAX_HPKE)?.to_vec(),
            time_ms: reader.u64()?,
            wish: Wish::read(reader)?,
            statements: Statements::read(reader, MAX_STATEMENTS)?,
        })
    }
}

impl Signed<ShowContent> {
    /// Signs a show that names `identity`, for the keeper with this door key.
    pub(crate) fn show(
        content: ShowContent,
        identity: &Identity,
        group_id: &[u8; 32],
        door_key: &[u8],
        reference: &[u8; 32],
    ) -> Self {
        debug_assert_eq!(content.key.as_bytes(), identity.public(), "nobody signs for others");
        let bound = bound(Writer::new(), door_key, reference);
        Self::new(content, group_id, &bound, |text| identity.sign(text))
    }

    /// Checks that the identity in the show signed it, in this room and for this door key. So the
    /// keeper that it was sealed to cannot pass it on to another in the sender's name.
    ///
    /// # Errors
    /// [`BadSignature`] if it did not.
    pub(crate) fn verify(
        self,
        group_id: &[u8; 32],
        door_key: &[u8],
        reference: &[u8; 32],
    ) -> Result<Genuine<ShowContent>, BadSignature> {
        let key = self.claimed().key;
        self.check(key.as_bytes(), group_id, &bound(Writer::new(), door_key, reference))
    }
}

fn bound(out: Writer, door_key: &[u8], reference: &[u8; 32]) -> Vec<u8> {
    out.vec16(door_key).bytes(reference).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        signed::tests::{ROOM, covers_every_bit, identity},
        statements::tests::statements,
    };

    const DOOR: [u8; 33] = [7; 33];
    const REFERENCE: [u8; 32] = [8; 32];

    fn shows() -> Vec<Signed<ShowContent>> {
        let signer = identity(1);
        let key = IdentityKey::from_bytes(*signer.public());
        let broken = Some(Broken { by: IdentityKey::from_bytes([9; 32]), epoch: Epoch(4) });
        let key_package = vec![3; 40];
        [
            Wish::Nothing,
            Wish::Return { key_package: key_package.clone(), broken: None },
            Wish::Return { key_package, broken },
            Wish::Leave(Signed::leave(&identity(2), &ROOM, 5)),
        ]
        .map(|wish| {
            let statements = statements(2);
            let content = ShowContent { key, one_use: vec![6; 32], time_ms: 7, wish, statements };
            Signed::show(content, &signer, &ROOM, &DOOR, &REFERENCE)
        })
        .into()
    }

    #[test]
    fn a_show_is_its_signers_word_to_one_keeper() {
        for show in shows() {
            covers_every_bit(&show, |show| show.verify(&ROOM, &DOOR, &REFERENCE));
            assert!(show.clone().verify(&[0; 32], &DOOR, &REFERENCE).is_err(), "another room");
            assert!(show.clone().verify(&ROOM, &[7; 32], &REFERENCE).is_err(), "another keeper");
            assert!(show.verify(&ROOM, &DOOR, &[0; 32]).is_err(), "another reference");
        }
    }

    #[test]
    fn unknown_wishes_and_long_key_packages_are_refused() {
        for bytes in [&[3][..], &[255], &[1, 0, 0, 0, 0, 2]] {
            assert_eq!(Wish::read(&mut Reader::new(bytes)), Err(Malformed), "{bytes:?}");
        }
        let long = Wish::Return { key_package: vec![0; MAX_KEY_PACKAGE + 1], broken: None };
        let bytes = long.write(Writer::new()).finish();
        assert_eq!(Wish::read(&mut Reader::new(&bytes)), Err(Malformed));
    }

    #[test]
    fn the_sealed_content_is_bound_to_room_door_and_reference() {
        let here = Show::aad(&ROOM, &DOOR, &REFERENCE);
        assert_ne!(here, Show::aad(&[0; 32], &DOOR, &REFERENCE));
        assert_ne!(here, Show::aad(&ROOM, &[7; 32], &REFERENCE));
        assert_ne!(here, Show::aad(&ROOM, &DOOR, &[0; 32]));
        let show = Show { door: door_name(&DOOR), reference: REFERENCE, kem: vec![], sealed: vec![] };
        assert!(show.is_at(&DOOR) && !show.is_at(&[7; 32]));
    }
}
