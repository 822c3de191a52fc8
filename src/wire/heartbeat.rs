//! A keeper's proof of life, readable by whoever holds the terms, in any branch (`spec/control.md`,
//! section 14.5).
//!
//! ```text
//! count u8, Doors | sealed <16> { salt [32] | AES-256-GCM { Beat | signature } | tag }
//! ```
//!
//! The doors are open to holders of an invite, who knock at one of them. The keeper is not.

use rand::Rng;
use zeroize::Zeroize;

use super::{
    MAX_HPKE,
    door::Door,
    signed::{Content, Genuine, Signed},
};
use crate::keys::ed25519::BadSignature;
use crate::{
    group::{
        Identity,
        codec::{Malformed, Reader, Writer},
    },
    id::{Epoch, IdentityKey},
    keys::{
        aead::EnvelopeKey,
        derive::{hkdf_sha256, sha256},
        secret::{DEEP, scrub_stack},
    },
};

/// What a keeper says of its branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    /// The identity that keeps, and signs.
    pub(crate) key: IdentityKey,
    /// The epoch that it keeps.
    pub(crate) epoch: Epoch,
    /// The hash of the epoch authenticator: equal in one branch, different in two.
    pub(crate) branch: [u8; 32],
    /// The keeper's step clock in milliseconds.
    pub(crate) step_ms: u64,
    /// When it was made, by the keeper's clock, in milliseconds since 1970-01-01 UTC.
    pub(crate) time_ms: u64,
    /// The law hash in the context of the epoch.
    pub(crate) epoch_law: [u8; 32],
    /// The law hash of all that the keeper knows.
    pub(crate) known_law: [u8; 32],
    /// The public HPKE key that shows to this keeper are sealed to.
    pub(crate) door_key: Vec<u8>,
}

impl Content for Beat {
    const LABEL: &'static [u8] = b"sottovoce 2 heartbeat";

    fn write(&self, out: Writer) -> Writer {
        out.bytes(self.key.as_bytes())
            .u64(self.epoch.0)
            .bytes(&self.branch)
            .u64(self.step_ms)
            .u64(self.time_ms)
            .bytes(&self.epoch_law)
            .bytes(&self.known_law)
            .vec16(&self.door_key)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            key: IdentityKey::from_bytes(reader.array()?),
            epoch: Epoch(reader.u64()?),
            branch: reader.array()?,
            step_ms: reader.u64()?,
            time_ms: reader.u64()?,
            epoch_law: reader.array()?,
            known_law: reader.array()?,
            door_key: reader.vec16(MAX_HPKE)?.to_vec(),
        })
    }
}

/// A heartbeat as it is sent: up to three doors, and a sealed beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    doors: Vec<Signed<Door>>,
    sealed: Vec<u8>,
}

impl Heartbeat {
    /// Signs `beat`, which names `keeper`, and seals it for holders of the terms. `terms_salt` is
    /// the salt in the terms of the room. Of the doors the first three are passed on.
    pub(crate) fn new(
        beat: Beat,
        mut doors: Vec<Signed<Door>>,
        keeper: &Identity,
        group_id: &[u8; 32],
        terms_salt: &[u8; 32],
        rng: &mut impl Rng,
    ) -> Self {
        let honest = beat.key.as_bytes() == keeper.public() || cfg!(feature = "testkit");
        debug_assert!(honest, "a keeper speaks for itself");
        doors.truncate(MAX_DOORS);
        let signed = Signed::new(beat, group_id, &hash(&doors), |text| keeper.sign(text));
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let mut text = signed.encode();
        let tag = seal_key(terms_salt, &salt).seal_in_place(&mut text);
        Self { doors, sealed: [&salt[..], &text, &tag].concat() }
    }

    /// The doors that the keeper passes on. Each of them has to be verified for itself.
    pub(crate) fn doors(&self) -> &[Signed<Door>] {
        &self.doors
    }

    /// Opens the beat with the salt in the terms of the room.
    ///
    /// # Errors
    /// [`Malformed`] if it was sealed by somebody who does not hold the terms, or is not a beat.
    pub(crate) fn open(&self, terms_salt: &[u8; 32]) -> Result<Opened, Malformed> {
        let (salt, text) = self.sealed.split_first_chunk::<32>().ok_or(Malformed)?;
        let mut text = text.to_vec();
        let text = seal_key(terms_salt, salt).open_in_place(&mut text).map_err(|_| Malformed)?;
        Ok(Opened { beat: Signed::decode(text)?, doors: hash(&self.doors) })
    }

    pub(super) fn write(&self, out: Writer) -> Writer {
        write_doors(&self.doors, out).vec16(&self.sealed)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = usize::from(reader.u8()?);
        if count > MAX_DOORS {
            return Err(Malformed);
        }
        let doors = (0..count).map(|_| Signed::read(reader)).collect::<Result<_, _>>()?;
        Ok(Self { doors, sealed: reader.vec16(MAX_SEALED)?.to_vec() })
    }
}

/// A beat that was unsealed and whose signature nobody has checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    beat: Signed<Beat>,
    doors: [u8; 32],
}

impl Opened {
    /// What the beat claims, so that repeats and beats of strangers are dropped before any
    /// signature is checked.
    pub(crate) fn claimed(&self) -> &Beat {
        self.beat.claimed()
    }

    /// Checks that the identity that it names signed the beat, in this room and with these doors.
    ///
    /// # Errors
    /// [`BadSignature`] if it did not.
    pub(crate) fn verify(self, group_id: &[u8; 32]) -> Result<Genuine<Beat>, BadSignature> {
        let key = self.claimed().key;
        self.beat.check(key.as_bytes(), group_id, &self.doors)
    }
}

fn write_doors(doors: &[Signed<Door>], out: Writer) -> Writer {
    doors.iter().fold(out.u8(doors.len() as u8), |out, door| door.write(out))
}

fn hash(doors: &[Signed<Door>]) -> [u8; 32] {
    sha256(&[&write_doors(doors, Writer::new()).finish()])
}

/// A key for one heartbeat: the salt is fresh, so the fixed nonce is used once under it.
fn seal_key(terms_salt: &[u8; 32], salt: &[u8; 32]) -> EnvelopeKey {
    let mut bytes = [0; 32];
    hkdf_sha256(salt, terms_salt, &[Beat::LABEL], &mut bytes);
    let key = EnvelopeKey::new(&bytes);
    bytes.zeroize();
    scrub_stack::<DEEP>();
    key
}

/// Doors that one heartbeat passes on.
pub(crate) const MAX_DOORS: usize = 3;
/// Salt, the fixed fields, the door key with its length, signature, tag.
const MAX_SEALED: usize = 32 + (4 * 32 + 3 * 8) + 2 + MAX_HPKE + 64 + 16;

#[cfg(test)]
pub(super) mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{
        Seed,
        group::signing::SigningKey,
        wire::{
            door::tests::door,
            signed::tests::{ROOM, covers_every_bit, identity, is_strict},
        },
    };

    const SALT: [u8; 32] = [0x53; 32];

    fn beat(keeper: &Identity, door_key: usize) -> Beat {
        Beat {
            key: IdentityKey::from_bytes(*keeper.public()),
            epoch: Epoch(3),
            branch: [1; 32],
            step_ms: 2,
            time_ms: 3,
            epoch_law: [4; 32],
            known_law: [5; 32],
            door_key: vec![6; door_key],
        }
    }

    pub(in crate::wire) fn heartbeat(doors: u8, door_key: usize) -> Heartbeat {
        let keeper = identity(1);
        let doors = (0..doors)
            .map(|n| door(&identity(9), &SigningKey::from_seed(Seed::from_bytes(&mut [n; 32]))))
            .collect();
        let mut rng = StdRng::from_seed([2; 32]);
        Heartbeat::new(beat(&keeper, door_key), doors, &keeper, &ROOM, &SALT, &mut rng)
    }

    fn decode(bytes: &[u8]) -> Result<Heartbeat, Malformed> {
        let mut reader = Reader::new(bytes);
        let heartbeat = Heartbeat::read(&mut reader)?;
        reader.finish()?;
        Ok(heartbeat)
    }

    #[test]
    fn a_heartbeat_comes_back_the_same_with_any_number_of_doors() {
        for (doors, key) in [(0, 32), (1, 32), (3, 32), (0, MAX_HPKE)] {
            let heartbeat = heartbeat(doors, key);
            is_strict(&heartbeat, &heartbeat.write(Writer::new()).finish(), decode);
            let opened = heartbeat.open(&SALT).unwrap();
            assert_eq!(opened.verify(&ROOM).unwrap().into_content(), beat(&identity(1), key));
        }
        assert_eq!(heartbeat(4, 32).doors().len(), MAX_DOORS);
    }

    #[test]
    fn four_doors_and_a_longer_door_key_are_refused() {
        let mut four = heartbeat(3, 32);
        four.doors.push(four.doors[0].clone());
        assert_eq!(decode(&four.write(Writer::new()).finish()), Err(Malformed));
        let longer = heartbeat(0, MAX_HPKE + 1);
        assert_eq!(decode(&longer.write(Writer::new()).finish()), Err(Malformed));
        assert_eq!(longer.open(&SALT), Err(Malformed));
    }

    #[test]
    fn a_beat_is_its_keepers_word_in_one_room_with_its_own_doors() {
        let heartbeat = heartbeat(2, 32);
        let opened = heartbeat.open(&SALT).unwrap();
        let doors = opened.doors;
        covers_every_bit(&opened.beat, |beat| Opened { beat, doors }.verify(&ROOM));
        assert!(opened.verify(&[0; 32]).is_err(), "a beat counted in another room");
        for doors in [vec![], heartbeat.doors[..1].to_vec(), heartbeat.doors.iter().rev().cloned().collect()]
        {
            let altered = Heartbeat { doors, ..heartbeat.clone() };
            assert!(altered.open(&SALT).unwrap().verify(&ROOM).is_err(), "the doors can be exchanged");
        }
    }

    #[test]
    fn without_the_terms_nobody_reads_who_keeps() {
        let heartbeat = heartbeat(1, 32);
        assert_eq!(heartbeat.open(&[0; 32]), Err(Malformed));
        let bytes = heartbeat.write(Writer::new()).finish();
        assert!(!bytes.windows(32).any(|part| part == identity(1).public()));
        for at in 0..heartbeat.sealed.len() {
            let mut altered = heartbeat.clone();
            altered.sealed[at] ^= 1;
            assert_eq!(altered.open(&SALT), Err(Malformed), "byte {at}");
            altered.sealed.truncate(at);
            assert_eq!(altered.open(&SALT), Err(Malformed), "cut to {at}");
        }
    }
}
