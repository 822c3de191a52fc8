//! What the two ends of a call are made for: the sound of the room, and the device.

#[cfg(feature = "room")]
use crate::room::Room;
use crate::{
    codec::FrameLength,
    media::{Authenticity, PacketSize, Sound},
};

/// What a [`Sender`](super::Sender) is made for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SenderOptions {
    /// What the room's packets hold.
    pub sound: Sound,
    /// How much audio a packet holds in a room for [`Sound::Speech`], 40 ms by default. Every other
    /// sound has its own length, and this one is not looked at.
    pub frame: FrameLength,
    /// The room's packet size, which is not looked at either where the sound has its own.
    pub size: PacketSize,
    /// Whether the room's packets are signed.
    pub authenticity: Authenticity,
    /// Samples a second of the microphone, 48,000 by default.
    pub rate: u32,
    /// Channels of the microphone, 1 by default. The loudest is sent, or in a room for stereo the
    /// loudest pair: the first and the second channel, the third and the fourth, and so on.
    pub channels: u16,
}

#[cfg(feature = "room")]
impl SenderOptions {
    /// What the terms of a room ask for; `None` until we are in.
    ///
    /// ```
    /// # fn speak(room: &sottovoce::room::Room) -> Result<(), Box<dyn std::error::Error>> {
    /// use sottovoce::voice::{Sender, SenderOptions};
    ///
    /// if let Some(mut options) = SenderOptions::of_room(room) {
    ///     (options.rate, options.channels) = (44_100, 2); // of the microphone
    ///     let sender = Sender::new(options)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn of_room(room: &Room) -> Option<Self> {
        let (sound, size, authenticity) = (room.sound()?, room.packet_size()?, room.authenticity()?);
        // A room for no speech at all has no frame either: the sender says so.
        let frame = FrameLength::of_room(sound, size, authenticity).unwrap_or_default();
        Some(Self { sound, frame, size, authenticity, ..Self::default() })
    }
}

impl Default for SenderOptions {
    fn default() -> Self {
        Self {
            sound: Sound::default(),
            frame: FrameLength::default(),
            size: PacketSize::default(),
            authenticity: Authenticity::default(),
            rate: 48_000,
            channels: 1,
        }
    }
}

/// What a [`Receiver`](super::Receiver) is made for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReceiverOptions {
    /// What the room's packets hold. Two channels stay two where the device has two.
    pub sound: Sound,
    /// Samples a second of the device that plays, 48,000 by default.
    pub rate: u32,
    /// Channels of that device; 1 by default. Of two or more the first is the left one and the
    /// second the right one, see [`Tuning::with_pan`](super::Tuning::with_pan); any others have
    /// what is between the two.
    pub channels: u16,
    /// Speakers whose packets are kept, 32 by default and 256 at most. Each takes about 100 kB.
    pub speakers: usize,
    /// How many of them are heard at a time, the loudest; 8 by default.
    pub loudest: usize,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self { sound: Sound::default(), rate: 48_000, channels: 1, speakers: 32, loudest: 8 }
    }
}

#[cfg(feature = "room")]
impl ReceiverOptions {
    /// What the terms of a room, or until we are in our invite, ask for; `None` once it is over.
    pub fn of_room(room: &Room) -> Option<Self> {
        Some(Self { sound: room.sound()?, ..Self::default() })
    }
}
