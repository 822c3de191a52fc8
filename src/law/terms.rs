//! What a room is and stays: the terms, whose hash is the room's group id (`spec/law.md`, L1 to
//! L4).

use std::fmt;

use crate::{
    Authenticity, PacketSize, Suite,
    group::{
        KeyExchange, Name,
        codec::{Malformed, Reader, Writer},
        identity::MAX_NAME,
    },
    hex,
    id::IdentityKey,
    keys::derive::{Mac, sha256},
    media::Sound,
};

use super::standing::Role;
#[cfg(test)]
use super::tags::Tags;

/// What is agreed before a room begins and never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Keys the tags, so that a table names nobody to those who do not hold the terms.
    pub(crate) salt: [u8; 32],
    /// The first host. Not all zeros.
    pub(crate) founder: IdentityKey,
    /// The room's name.
    pub(crate) name: Name,
    /// The MLS cipher suite.
    pub(crate) key_exchange: KeyExchange,
    /// The SFrame cipher suite.
    pub(crate) suite: Suite,
    /// What a packet proves about its sender.
    pub(crate) authenticity: Authenticity,
    /// The size of packets before they are sealed: that of the sound, if it has one.
    pub(crate) packet_size: PacketSize,
    /// How long members go on sealing without a word of anybody of rank.
    pub(crate) unattended: Unattended,
    /// The role that a door gives where neither invite nor user names one.
    pub(crate) default_role: DefaultRole,
    /// What packets hold.
    pub(crate) sound: Sound,
}

impl Terms {
    /// The bytes that [`GroupId`] hashes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let authenticity = match self.authenticity {
            Authenticity::Signed => SIGNED,
            Authenticity::Group => GROUP,
        };
        let sound = self.sound.id();
        let out = Writer::new()
            .u8(if sound.is_some() { VERSION_WITH_SOUND } else { VERSION })
            .bytes(&self.salt)
            .bytes(self.founder.as_bytes())
            .vec8(self.name.as_str().as_bytes())
            .u16(self.key_exchange.id())
            .u16(self.suite.id())
            .u8(authenticity)
            .u16(self.packet_size.bytes())
            .u16(self.unattended.0)
            .u8(Role::from(self.default_role).id());
        sound.into_iter().fold(out, Writer::u8).finish()
    }

    /// Reads terms, strictly.
    ///
    /// # Errors
    /// [`Malformed`] for any byte that is not in the form of L1.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if ![VERSION, VERSION_WITH_SOUND].contains(&version) {
            return Err(Malformed);
        }
        let terms = Self {
            salt: reader.array()?,
            founder: IdentityKey::from_bytes(reader.array()?),
            name: Name::decode(reader.vec8(MAX_NAME)?)?,
            key_exchange: KeyExchange::from_id(reader.u16()?).ok_or(Malformed)?,
            suite: Suite::from_id(reader.u16()?).ok_or(Malformed)?,
            authenticity: match reader.u8()? {
                SIGNED => Authenticity::Signed,
                GROUP => Authenticity::Group,
                _ => return Err(Malformed),
            },
            packet_size: PacketSize::new(reader.u16()?).map_err(|_| Malformed)?,
            unattended: Unattended::new(reader.u16()?).ok_or(Malformed)?,
            default_role: match Role::from_id(reader.u8()?) {
                Some(Role::Listener) => DefaultRole::Listener,
                Some(Role::Speaker) => DefaultRole::Speaker,
                _ => return Err(Malformed),
            },
            sound: match version {
                VERSION => Sound::Speech,
                _ => Sound::from_id(reader.u8()?).ok_or(Malformed)?,
            },
        };
        reader.finish()?;
        let fits = terms.sound.packet_size().is_none_or(|size| size == terms.packet_size);
        if terms.founder == NOBODY || !fits { Err(Malformed) } else { Ok(terms) }
    }

    /// The room's group id: the hash of the terms.
    pub(crate) fn group_id(&self) -> GroupId {
        GroupId(sha256(&[b"sottovoce 2 terms", &self.encode()]))
    }

    /// The tag under which tables and standings speak about the holder of a key.
    #[cfg(test)]
    pub(crate) fn tag(&self, key: &IdentityKey) -> Tag {
        Tags::new(self).of(key.id())
    }

    /// The tag under which standings speak about an invite: its id, expiry in Unix seconds and
    /// uses.
    pub(crate) fn invite_tag(&self, id: &[u8; 16], expiry: u64, uses: u16) -> Tag {
        let (expiry, uses) = (expiry.to_be_bytes(), uses.to_be_bytes());
        Tag(Mac::new(&self.salt).tag_of(&[b"sottovoce 2 invite", id, &expiry, &uses]))
    }
}

/// Which room: 32 bytes that only its terms hash to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupId(pub(crate) [u8; 32]);

/// Who or what a table or standing is about, within one room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag(pub(crate) [u8; 16]);

impl Tag {
    /// What a Ban locks the doors with, and an Unban opens them with (L25).
    pub(crate) const LOCK: Self = Self([0; 16]);
}

/// Seconds without a word of anybody of rank, 60 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unattended(u16);

impl Unattended {
    /// Takes a number of seconds; none below 60.
    pub const fn new(seconds: u16) -> Option<Self> {
        if seconds < 60 { None } else { Some(Self(seconds)) }
    }

    /// The number of seconds.
    pub const fn seconds(self) -> u16 {
        self.0
    }
}

/// Ten minutes.
impl Default for Unattended {
    fn default() -> Self {
        Self(600)
    }
}

/// What a newcomer may do where neither invite nor user says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DefaultRole {
    /// Hears.
    Listener,
    /// Hears and speaks.
    #[default]
    Speaker,
}

impl From<DefaultRole> for Role {
    fn from(role: DefaultRole) -> Self {
        match role {
            DefaultRole::Listener => Self::Listener,
            DefaultRole::Speaker => Self::Speaker,
        }
    }
}

/// The key that stands for nobody: a hand-over to it closes the room.
pub(super) const NOBODY: IdentityKey = IdentityKey::from_bytes([0; 32]);

const VERSION: u8 = 2;
const VERSION_WITH_SOUND: u8 = 3;
const SIGNED: u8 = 0;
const GROUP: u8 = 1;

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::short(f, "GroupId", &self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::short(f, "Tag", &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms {
            salt: [1; 32],
            founder: IdentityKey::from_bytes([2; 32]),
            name: Name::new("Room").unwrap(),
            key_exchange: KeyExchange::X25519,
            suite: Suite::Aes128Gcm,
            authenticity: Authenticity::Signed,
            packet_size: PacketSize::default(),
            unattended: Unattended::default(),
            default_role: DefaultRole::Speaker,
            sound: Sound::Speech,
        }
    }

    #[test]
    fn l1_terms_are_read_as_they_were_written_and_no_other_bytes_are() {
        let bytes = terms().encode();
        assert_eq!(Terms::decode(&bytes), Ok(terms()));
        for at in 0..bytes.len() {
            assert_eq!(Terms::decode(&bytes[..at]), Err(Malformed), "cut at {at}");
        }
        assert_eq!(Terms::decode(&[&bytes[..], &[0]].concat()), Err(Malformed));
        let with = |at: usize, value: &[u8]| {
            let mut bytes = bytes.clone();
            bytes[at..at + value.len()].copy_from_slice(value);
            Terms::decode(&bytes)
        };
        let end = bytes.len();
        for (at, value) in [
            (0, &[1][..]),
            (33, &[0; 32]),
            (65, &[0]),
            (66, b"\n"),
            (end - 10, &[0, 2]),
            (end - 8, &[0, 3]),
            (end - 6, &[2]),
            (end - 6, &[3]),
            (end - 5, &[0, 15]),
            (end - 3, &[0, 59]),
            (end - 1, &[0]),
            (end - 1, &[1]),
            (end - 1, &[0x13]),
        ] {
            assert_eq!(with(at, value), Err(Malformed), "{value:?} at {at}");
        }
        assert!(with(end - 3, &[0, 60]).is_ok());
    }

    #[test]
    fn l1_a_sound_has_one_form_and_one_packet_size() {
        for sound in [Sound::StereoSpeech, Sound::Music] {
            let packet_size = sound.packet_size().unwrap();
            let terms = Terms { sound, packet_size, ..terms() };
            let bytes = terms.encode();
            assert_eq!(Terms::decode(&bytes), Ok(terms));
            let end = bytes.len();
            for at in 0..end {
                assert_eq!(Terms::decode(&bytes[..at]), Err(Malformed), "cut at {at}");
            }
            assert_eq!(Terms::decode(&[&bytes[..], &[0]].concat()), Err(Malformed));
            let with = |at: usize, value: u8| {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                Terms::decode(&bytes)
            };
            for unknown in (0..=u8::MAX).filter(|id| ![1, 2].contains(id)) {
                assert_eq!(with(end - 1, unknown), Err(Malformed), "{unknown}");
            }
            for version in (0..=u8::MAX).filter(|version| *version != 3) {
                assert_eq!(with(0, version), Err(Malformed), "{version}");
            }
            assert_eq!(with(end - 5, bytes[end - 5] ^ 1), Err(Malformed), "another packet size");
        }
        // And speech has no second form.
        let speech = terms().encode();
        for id in 0..=u8::MAX {
            let mut longer = [&speech[..], &[id]].concat();
            longer[0] = 3;
            assert_eq!(Terms::decode(&longer), Err(Malformed), "{id}: 240 bytes");
        }
    }

    #[test]
    fn l2_every_byte_of_the_terms_is_in_the_group_id() {
        let other = Terms { default_role: DefaultRole::Listener, ..terms() };
        assert_ne!(other.group_id(), terms().group_id());
    }

    #[test]
    fn l3_l4_a_tag_is_of_one_key_or_invite_in_one_room() {
        let (a, b) = (IdentityKey::from_bytes([3; 32]), IdentityKey::from_bytes([4; 32]));
        let elsewhere = Terms { salt: [9; 32], ..terms() };
        assert_ne!(terms().tag(&a), terms().tag(&b));
        assert_ne!(terms().tag(&a), elsewhere.tag(&a));
        let invite = terms().invite_tag(&[5; 16], 7, 1);
        assert_ne!(invite, terms().invite_tag(&[5; 16], 8, 1));
        assert_ne!(invite, terms().invite_tag(&[5; 16], 7, 2));
        assert_ne!(invite, terms().invite_tag(&[6; 16], 7, 1));
    }
}
