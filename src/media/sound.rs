//! What the packets of a room hold, which is agreed when the room is made (SPEC section 13.7).

use super::profile::PacketSize;

/// What the packets of a room hold. Chosen when a room is made, signed in its terms, named by its
/// invites, and never changed.
///
/// Each sound fixes how many channels a packet has, how long it lasts, how large it is and what the
/// encoder is set up for, so that no two members can differ about one of these. All are Opus at
/// 48 kHz with a constant bitrate.
///
/// ```
/// use sottovoce::media::Sound;
///
/// assert_eq!((Sound::Speech.channels(), Sound::Music.channels()), (1, 2));
/// assert_eq!(Sound::Music.packet_size().map(|size| size.bytes()), Some(400));
/// assert_eq!(Sound::Speech.packet_size(), None); // whatever the room's maker chose
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Sound {
    /// One channel of speech, in packets of 20, 40 or 60 ms and of the size that the room's maker
    /// chose: 33 kbit/s with signatures, at the default size and 40 ms.
    #[default]
    Speech,
    /// Two channels of speech, in packets of 40 ms and 400 bytes: 65 kbit/s with signatures.
    StereoSpeech,
    /// Two channels of anything, in packets of 20 ms and 400 bytes: 130 kbit/s with signatures. A
    /// packet that is lost is made up, never recovered from the next one.
    Music,
}

impl Sound {
    /// How many channels a packet has, 1 or 2.
    pub const fn channels(self) -> u16 {
        match self {
            Self::Speech => 1,
            Self::StereoSpeech | Self::Music => 2,
        }
    }

    /// The size of its packets before they are sealed; `None` for [`Speech`](Self::Speech), where
    /// the room's terms say it.
    pub const fn packet_size(self) -> Option<PacketSize> {
        match self {
            Self::Speech => None,
            Self::StereoSpeech | Self::Music => Some(PacketSize::LARGE),
        }
    }

    /// Its number in terms and invites of version 3; `None` where those have version 2.
    pub(crate) const fn id(self) -> Option<u8> {
        match self {
            Self::Speech => None,
            Self::StereoSpeech => Some(1),
            Self::Music => Some(2),
        }
    }

    /// The sound of this number. Speech has none, so that a room has one form only.
    pub(crate) const fn from_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(Self::StereoSpeech),
            2 => Some(Self::Music),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_of_one_sound_and_speech_has_none() {
        for id in 0..=u8::MAX {
            assert_eq!(Sound::from_id(id).and_then(Sound::id), (1..=2).contains(&id).then_some(id));
        }
        assert_eq!(Sound::default().id(), None);
    }
}
