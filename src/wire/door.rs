//! Where newcomers knock: somebody of rank who answers (`spec/control.md`, section 14.4).
//!
//! ```text
//! host signs Badge { answer key, office, no }
//! answer key signs Door { badge, HPKE key }
//! ```

use super::{
    MAX_HPKE,
    signed::{Content, Genuine, Signed},
};
use crate::keys::ed25519::BadSignature;
use crate::{
    group::{
        Identity,
        codec::{Malformed, Reader, Writer},
        signing::SigningKey,
    },
    id::IdentityKey,
    keys::derive::sha256,
};

/// The host says that the holder of an answer key is of rank and may answer knocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Badge {
    /// The public Ed25519 key that signs doors, refusals and waitings.
    pub(crate) answer_key: [u8; 32],
    /// The office in which the host signed.
    pub(crate) office: [u8; 32],
    /// The number of the host's newest table when it signed.
    pub(crate) no: u64,
}

impl Content for Badge {
    const LABEL: &'static [u8] = b"sottovoce 2 badge";

    fn write(&self, out: Writer) -> Writer {
        out.bytes(&self.answer_key).bytes(&self.office).u64(self.no)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { answer_key: reader.array()?, office: reader.array()?, no: reader.u64()? })
    }
}

impl Signed<Badge> {
    /// Gives a badge in the name of the host.
    pub(crate) fn badge(badge: Badge, host: &Identity, group_id: &[u8; 32]) -> Self {
        Self::new(badge, group_id, &[], |text| host.sign(text))
    }

    /// Checks that `host` signed the badge in this room. The caller knows the host of its office.
    ///
    /// # Errors
    /// [`BadSignature`] if it did not.
    pub(crate) fn verify(
        self,
        group_id: &[u8; 32],
        host: &IdentityKey,
    ) -> Result<Genuine<Badge>, BadSignature> {
        self.check(host.as_bytes(), group_id, &[])
    }
}

/// A badge with the key that knocks are sealed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    badge: Signed<Badge>,
    /// A public HPKE key in the KEM of the room's MLS cipher suite.
    hpke: Vec<u8>,
}

impl Door {
    /// What the badge says.
    pub(crate) fn badge(&self) -> &Badge {
        self.badge.claimed()
    }

    /// The public HPKE key that knocks are sealed to.
    pub(crate) fn hpke(&self) -> &[u8] {
        &self.hpke
    }
}

impl Content for Door {
    const LABEL: &'static [u8] = b"sottovoce 2 door";

    fn write(&self, out: Writer) -> Writer {
        self.badge.write(out).vec16(&self.hpke)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { badge: Signed::read(reader)?, hpke: reader.vec16(MAX_HPKE)?.to_vec() })
    }
}

impl Signed<Door> {
    /// Opens a door: `answer` is the private half of the badge's answer key.
    pub(crate) fn door(
        badge: Genuine<Badge>,
        hpke: Vec<u8>,
        answer: &SigningKey,
        group_id: &[u8; 32],
    ) -> Self {
        debug_assert_eq!(answer.public(), &badge.content().answer_key, "the badge is of another key");
        let door = Door { badge: badge.into_signed(), hpke };
        Self::new(door, group_id, &[], |text| answer.sign(text))
    }

    /// Checks that `host` signed the badge, and that the answer key in it signed the door.
    ///
    /// # Errors
    /// [`BadSignature`] if one of them did not.
    pub(crate) fn verify(
        self,
        group_id: &[u8; 32],
        host: &IdentityKey,
    ) -> Result<Genuine<Door>, BadSignature> {
        let badge = self.claimed().badge.clone().verify(group_id, host)?;
        self.check(&badge.content().answer_key, group_id, &[])
    }
}

/// The 16 bytes by which a knock or show names the door that it is for, without showing its key.
pub(crate) fn door_name(key: &[u8]) -> [u8; 16] {
    let [name @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = sha256(&[key]);
    name
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        Seed,
        wire::signed::tests::{ROOM, covers_every_bit, identity},
    };

    pub(in crate::wire) fn door(host: &Identity, answer: &SigningKey) -> Signed<Door> {
        let badge = Badge { answer_key: *answer.public(), office: [5; 32], no: 7 };
        let host_key = IdentityKey::from_bytes(*host.public());
        let badge = Signed::badge(badge, host, &ROOM).verify(&ROOM, &host_key).unwrap();
        Signed::door(badge, vec![9; 32], answer, &ROOM)
    }

    #[test]
    fn a_door_is_believed_by_its_hosts_badge_and_its_own_answer_key() {
        let (host, answer) = (identity(1), SigningKey::from_seed(Seed::from_bytes(&mut [2; 32])));
        let key = IdentityKey::from_bytes(*host.public());
        let door = door(&host, &answer);
        covers_every_bit(&door, |door| door.verify(&ROOM, &key));
        assert!(door.clone().verify(&[0; 32], &key).is_err(), "a door counted in another room");
        let other = IdentityKey::from_bytes(*identity(3).public());
        assert!(door.verify(&ROOM, &other).is_err(), "a door counted for another host");
    }

    #[test]
    fn a_badge_is_no_door_for_somebody_who_lacks_its_answer_key() {
        let (host, answer, thief) = (
            identity(1),
            SigningKey::from_seed(Seed::from_bytes(&mut [2; 32])),
            SigningKey::from_seed(Seed::from_bytes(&mut [3; 32])),
        );
        let key = IdentityKey::from_bytes(*host.public());
        let stolen = door(&host, &answer).claimed().badge.clone();
        covers_every_bit(&stolen, |badge| badge.verify(&ROOM, &key));
        let forged = Door { badge: stolen, hpke: vec![6; 32] };
        let forged = Signed::new(forged, &ROOM, &[], |text| thief.sign(text));
        assert_eq!(forged.verify(&ROOM, &key), Err(BadSignature));
    }

    #[test]
    fn an_answer_key_without_the_hosts_badge_is_no_door() {
        let (answer, host) = (SigningKey::from_seed(Seed::from_bytes(&mut [2; 32])), identity(1));
        let badge = Badge { answer_key: *answer.public(), office: [5; 32], no: 7 };
        let own = Signed::new(badge, &ROOM, &[], |text| answer.sign(text));
        let forged = Door { badge: own, hpke: vec![6; 32] };
        let forged = Signed::new(forged, &ROOM, &[], |text| answer.sign(text));
        assert!(forged.verify(&ROOM, &IdentityKey::from_bytes(*host.public())).is_err());
    }

    #[test]
    fn a_door_name_is_the_front_of_the_hash_of_its_key() {
        assert_eq!(door_name(b"key")[..], sha256(&[b"key"])[..16]);
    }
}
