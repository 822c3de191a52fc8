//! The Opus codec, set up so that packets say nothing by their size (RFC 6716, SPEC section 5.1).
//!
//! Hard constant bitrate, no DTX: speech, silence and noise give packets of one length. The only
//! file that names the codec's crate; behind the feature `codec`, so that the sealing core builds
//! without it.
//!
//! ```
//! use sottovoce::{Authenticity, PacketSize, codec::{Decoder, Encoder, FrameLength}, media::OpusPacket};
//!
//! let frame = FrameLength::Ms40;
//! let mut encoder = Encoder::new(frame, PacketSize::default(), Authenticity::default())?;
//! let mut packet = [0; 1_275];
//! let len = encoder.encode(&vec![0; frame.samples()], &mut packet)?;
//! assert_eq!(len, encoder.packet_len()); // as long as speech would be
//!
//! let mut pcm = vec![0; frame.samples()];
//! let samples = Decoder::new()?.decode(OpusPacket::parse(&packet[..len])?, &mut pcm)?;
//! assert_eq!(samples, frame.samples());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use crate::media::{Authenticity, OpusPacket, PacketSize, Sound, capacity};

/// What Opus takes at least, and what more would not be heard of, in bits a second.
const LEAST_BITS: u32 = 6_000;
const MOST_BITS: u32 = 64_000;
/// What Opus takes at most for two channels.
const MOST_STEREO_BITS: u32 = 510_000;
/// Of less loss than that, in percent, libopus makes no copies at the bitrate of a usual room, even
/// if it is told to.
const LEAST_COPIED: u8 = 7;

/// Samples a second, per channel: what encoder and decoder take and give.
pub const SAMPLE_RATE: u32 = 48_000;

/// How much audio one packet holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameLength {
    /// 20 ms: less delay, and twice the overhead.
    Ms20,
    /// 40 ms: a signed packet then costs what an unsigned one of 20 ms does.
    #[default]
    Ms40,
    /// 60 ms: the least overhead.
    Ms60,
}

impl FrameLength {
    /// The frame for a room: that of its sound, or for speech 40 ms, or 20 ms where that fills no
    /// packet at 6 kbit/s. `None` if neither does.
    pub fn of_room(sound: Sound, size: PacketSize, authenticity: Authenticity) -> Option<Self> {
        let fits = |frame: &Self| capacity(size, authenticity) >= frame.bytes_at(LEAST_BITS);
        Self::of_sound(sound).or_else(|| [Self::default(), Self::Ms20].into_iter().find(fits))
    }

    /// The frame that a sound fixes; `None` for [`Sound::Speech`], whose frame is the sender's to
    /// choose.
    pub const fn of_sound(sound: Sound) -> Option<Self> {
        match sound {
            Sound::Speech => None,
            Sound::StereoSpeech => Some(Self::Ms40),
            Sound::Music => Some(Self::Ms20),
        }
    }

    /// The bytes of one frame at so many bits a second.
    const fn bytes_at(self, bits_per_second: u32) -> usize {
        (bits_per_second * self.millis() / 8_000) as usize
    }

    /// Its length in milliseconds.
    pub const fn millis(self) -> u32 {
        match self {
            Self::Ms20 => 20,
            Self::Ms40 => 40,
            Self::Ms60 => 60,
        }
    }

    /// Its length in samples at [`SAMPLE_RATE`].
    pub const fn samples(self) -> usize {
        (self.millis() * SAMPLE_RATE / 1_000) as usize
    }
}

/// Encodes sound at 48 kHz into Opus packets of one length.
pub struct Encoder {
    inner: opus::Encoder,
    sound: Sound,
    frame: FrameLength,
    len: usize,
}

impl Encoder {
    /// An encoder of mono speech whose packets fill a room's packets as well as they can, at 64
    /// kbit/s at most.
    ///
    /// # Errors
    /// [`CodecError::Size`] if the room's packets are too small for Opus (6 kbit/s) at this frame
    /// length.
    pub fn new(frame: FrameLength, size: PacketSize, authenticity: Authenticity) -> Result<Self, CodecError> {
        Self::of_sound(Sound::Speech, frame, size, authenticity)
    }

    /// An encoder for a room's sound. What the sound fixes, frame and size, it takes from there,
    /// and only for [`Sound::Speech`] from `frame` and `size`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_sound(
        sound: Sound,
        frame: FrameLength,
        size: PacketSize,
        authenticity: Authenticity,
    ) -> Result<Self, CodecError> {
        let frame = FrameLength::of_sound(sound).unwrap_or(frame);
        let size = sound.packet_size().unwrap_or(size);
        let most = if sound == Sound::Speech { MOST_BITS } else { MOST_STEREO_BITS };
        let len = capacity(size, authenticity).min(frame.bytes_at(most));
        if len < frame.bytes_at(LEAST_BITS) {
            return Err(CodecError::Size);
        }
        let bitrate = i32::try_from(len * 8_000 / frame.millis() as usize).map_err(|_| CodecError::Size)?;
        let inner = encoder(sound, bitrate).map_err(refused)?;
        Ok(Self { inner, sound, frame, len })
    }

    /// How much audio a packet holds.
    pub fn frame(&self) -> FrameLength {
        self.frame
    }

    /// The length of every packet, in bytes.
    pub fn packet_len(&self) -> usize {
        self.len
    }

    /// Encodes exactly one frame of samples, channels interleaved, into the front of `out` and
    /// returns the packet's length.
    ///
    /// # Errors
    /// [`CodecError::Frame`] if `pcm` is not one frame long; [`CodecError::Size`] if `out` is too
    /// small.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        if pcm.len() != self.frame.samples() * usize::from(self.sound.channels()) {
            return Err(CodecError::Frame);
        }
        // libopus writes a packet of the bitrate's length into whatever room it is given.
        let out = out.get_mut(..self.len).ok_or(CodecError::Size)?;
        self.inner.encode(pcm, out).map_err(refused)
    }

    /// Says how many packets of 100 get lost on the way to receivers. From 2 on each packet also
    /// holds a coarse copy of the one before it, for [`Decoder::recover`], made of bits that its
    /// own sound has otherwise: more of them the more is lost. The length of packets stays what it
    /// is. Packets of [`Sound::Music`] never hold a copy; there it makes packets depend less on the
    /// ones before.
    ///
    /// # Errors
    /// [`CodecError::Codec`] if libopus fails.
    pub fn expect_loss(&mut self, percent: u8) -> Result<(), CodecError> {
        self.inner.set_inband_fec(percent >= 2 && self.sound != Sound::Music).map_err(refused)?;
        let percent = if percent >= 2 { percent.clamp(LEAST_COPIED, 100) } else { percent };
        self.inner.set_packet_loss_perc(percent.into()).map_err(refused)
    }

    /// A checksum of the coder's state, which a decoder of the same packet must reach.
    ///
    /// # Errors
    /// [`CodecError::Codec`] if libopus fails.
    pub fn final_range(&mut self) -> Result<u32, CodecError> {
        self.inner.get_final_range().map_err(refused)
    }
}

/// Decodes the Opus packets of one sender at 48 kHz, to one channel or two, whatever the packets
/// have. Of two channels samples are interleaved, and every number of samples is that of one.
pub struct Decoder {
    inner: opus::Decoder,
}

/// The longest packet, 120 ms, in samples of one channel.
pub const MAX_SAMPLES: usize = 5_760;

impl Decoder {
    /// A decoder for one sender, to one channel.
    ///
    /// # Errors
    /// [`CodecError::Codec`] if libopus fails.
    pub fn new() -> Result<Self, CodecError> {
        Self::to(opus::Channels::Mono)
    }

    /// A decoder for one sender, to left and right.
    ///
    /// # Errors
    /// [`CodecError::Codec`] if libopus fails.
    pub fn stereo() -> Result<Self, CodecError> {
        Self::to(opus::Channels::Stereo)
    }

    fn to(channels: opus::Channels) -> Result<Self, CodecError> {
        Ok(Self { inner: opus::Decoder::new(SAMPLE_RATE, channels).map_err(refused)? })
    }

    /// Decodes a packet into the front of `pcm`, at most [`MAX_SAMPLES`] of each channel, and
    /// returns how many samples of each it gave.
    ///
    /// # Errors
    /// [`CodecError::Codec`] if the frames inside are broken: a member sealed nonsense.
    pub fn decode(&mut self, packet: OpusPacket<'_>, pcm: &mut [i16]) -> Result<usize, CodecError> {
        self.inner.decode(packet.as_bytes(), pcm, false).map_err(refused)
    }

    /// Recovers the packet before `next`, which was lost, from the copy in `next` by filling all of
    /// `pcm`, whose length is that of the lost packet. Where there is no copy, it conceals.
    ///
    /// # Errors
    /// [`CodecError::Codec`] if `next` is broken, or the length not a multiple of 2.5 ms.
    pub fn recover(&mut self, next: OpusPacket<'_>, pcm: &mut [i16]) -> Result<usize, CodecError> {
        self.inner.decode(next.as_bytes(), pcm, true).map_err(refused)
    }

    /// Forgets what was decoded, as if it were new.
    ///
    /// # Errors
    /// [`CodecError::Codec`] if libopus fails.
    pub fn reset(&mut self) -> Result<(), CodecError> {
        self.inner.reset_state().map_err(refused)
    }

    /// Conceals a lost packet by filling all of `pcm`, whose length is that of the packet.
    ///
    /// # Errors
    /// [`CodecError::Codec`] if the length is not a multiple of 2.5 ms.
    pub fn conceal(&mut self, pcm: &mut [i16]) -> Result<usize, CodecError> {
        self.inner.decode(&[], pcm, false).map_err(refused)
    }

    /// A checksum of the decoder's state after the last packet.
    ///
    /// # Errors
    /// [`CodecError::Codec`] if libopus fails.
    pub fn final_range(&mut self) -> Result<u32, CodecError> {
        self.inner.get_final_range().map_err(refused)
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoder({:?}, {} ms, {} bytes)", self.sound, self.frame.millis(), self.len)
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}

/// Why audio was not encoded or decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The buffer, or the room's packet size, is too small.
    Size,
    /// The samples are not exactly one frame.
    Frame,
    /// libopus refused: a broken packet, or an argument that it does not take.
    Codec,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "the buffer or the room's packets are too small for this audio",
            Self::Frame => "the samples are not exactly one frame",
            Self::Codec => "libopus refused the packet or the setting",
        })
    }
}

impl std::error::Error for CodecError {}

/// Constant bitrate without gaps; for speech FEC for the loss that a mobile network has on a good
/// day. Music has none: libopus would encode it as speech.
fn encoder(sound: Sound, bitrate: i32) -> opus::Result<opus::Encoder> {
    let (application, is_speech) = match sound {
        Sound::Speech | Sound::StereoSpeech => (opus::Application::Voip, true),
        Sound::Music => (opus::Application::Audio, false),
    };
    let channels = if sound.channels() == 2 { opus::Channels::Stereo } else { opus::Channels::Mono };
    let mut encoder = opus::Encoder::new(SAMPLE_RATE, channels, application)?;
    encoder.set_bitrate(opus::Bitrate::Bits(bitrate))?;
    encoder.set_vbr(false)?;
    encoder.set_dtx(false)?;
    encoder.set_inband_fec(is_speech)?;
    encoder.set_packet_loss_perc(LEAST_COPIED.into())?;
    if !is_speech {
        encoder.set_signal(opus::Signal::Music)?;
    }
    Ok(encoder)
}

fn refused(_: opus::Error) -> CodecError {
    CodecError::Codec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_silence_and_noise_give_packets_of_one_length_that_decode_to_the_same_state() {
        for (frame, size) in [(FrameLength::Ms20, 160), (FrameLength::Ms40, 240), (FrameLength::Ms60, 300)] {
            let size = PacketSize::new(size).unwrap();
            let mut encoder = Encoder::new(frame, size, Authenticity::Signed).unwrap();
            let mut decoder = Decoder::new().unwrap();
            let mut noise = 1u32;
            for block in 0..60 {
                let pcm: Vec<i16> = (0..frame.samples())
                    .map(|i| {
                        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        match block / 20 {
                            0 => ((i as f32 * 0.03).sin() * 9_000.0) as i16,
                            1 => 0,
                            _ => (noise >> 16) as i16,
                        }
                    })
                    .collect();
                let mut packet = [0; 1_000];
                let len = encoder.encode(&pcm, &mut packet).unwrap();
                assert_eq!(len, encoder.packet_len());
                let mut out = [0; MAX_SAMPLES];
                let decoded = decoder.decode(OpusPacket::parse(&packet[..len]).unwrap(), &mut out).unwrap();
                assert_eq!(decoded, frame.samples());
                assert_eq!(decoder.final_range(), encoder.final_range());
            }
        }
    }

    #[test]
    fn protection_against_loss_changes_no_length_and_brings_a_lost_packet_back() {
        let size = PacketSize::default();
        let mut encoder = Encoder::new(FrameLength::Ms40, size, Authenticity::Signed).unwrap();
        let mut packets = Vec::new();
        let mut sounds = Vec::new();
        for block in 0..60_usize {
            encoder.expect_loss([0, 2, 10, 40][block / 15]).unwrap();
            // A voice-like sound: a pulse train through a slow change of loudness.
            let pcm: Vec<i16> = (block * 1_920..(block + 1) * 1_920)
                .map(|n| {
                    let buzz = (1..12).map(|h| (n as f32 * 0.0157 * h as f32).sin() / h as f32).sum::<f32>();
                    (buzz * 6_000.0 * (1.0 + (n as f32 * 0.0004).sin())) as i16
                })
                .collect();
            let mut packet = [0; 1_000];
            let len = encoder.encode(&pcm, &mut packet).unwrap();
            assert_eq!(len, encoder.packet_len());
            packets.push(packet[..len].to_vec());
            sounds.push(pcm);
        }
        let parse = |n: usize| OpusPacket::parse(&packets[n]).unwrap();
        let error = |recover: bool| -> f64 {
            let mut decoder = Decoder::new().unwrap();
            let (mut out, mut whole) = ([0; MAX_SAMPLES], Vec::new());
            for n in 0..packets.len() {
                let lost = n % 7 == 5;
                let len = match (lost, recover) {
                    (false, _) => decoder.decode(parse(n), &mut out).unwrap(),
                    (true, true) => decoder.recover(parse(n + 1), &mut out[..1_920]).unwrap(),
                    (true, false) => decoder.conceal(&mut out[..1_920]).unwrap(),
                };
                assert_eq!(len, 1_920);
                if n > 30 && lost {
                    whole.push((n, out[..len].to_vec()));
                }
            }
            // Opus delays by 312 samples; the encoder's look-ahead is in what it gives back.
            let differ = |(n, got): &(usize, Vec<i16>)| -> f64 {
                let sent: Vec<i16> = [&sounds[n - 1][..], &sounds[*n]].concat();
                (0..600)
                    .map(|delay| {
                        let sent = &sent[1_920 - delay..];
                        got.iter()
                            .zip(sent)
                            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                            .sum::<f64>()
                    })
                    .fold(f64::INFINITY, f64::min)
            };
            whole.iter().map(differ).sum()
        };
        let (recovered, concealed) = (error(true), error(false));
        assert!(recovered < concealed, "{recovered} {concealed}");
    }

    #[test]
    fn bad_input_is_a_typed_error() {
        let size = PacketSize::default();
        let mut encoder = Encoder::new(FrameLength::Ms40, size, Authenticity::Signed).unwrap();
        assert_eq!(encoder.encode(&[0; 5], &mut [0; 400]), Err(CodecError::Frame));
        assert_eq!(encoder.encode(&[0; 1_920], &mut [0; 4]), Err(CodecError::Size));
        let small = PacketSize::new(80).unwrap();
        assert_eq!(
            Encoder::new(FrameLength::Ms40, small, Authenticity::Signed).err(),
            Some(CodecError::Size)
        );
        let broken = OpusPacket::parse(&[0x83, 0x02, 1, 2, 3, 4]).unwrap();
        let mut pcm = [0; 10];
        assert_eq!(Decoder::new().unwrap().decode(broken, &mut pcm), Err(CodecError::Codec));
    }

    #[test]
    fn every_room_that_can_be_made_has_packets_that_hold_speech() {
        use std::time::{Instant, SystemTime};

        use crate::{
            Seed,
            group::{Identity, Name},
            room::{CreateError, Room, RoomOptions, UnixTime},
        };

        for authenticity in [Authenticity::Signed, Authenticity::Group] {
            for bytes in PacketSize::MIN..=PacketSize::MAX {
                let size = PacketSize::new(bytes).unwrap();
                let frame = FrameLength::of_room(Sound::Speech, size, authenticity);
                if let Some(frame) = frame {
                    let encoder = Encoder::new(frame, size, authenticity).unwrap();
                    assert!(encoder.packet_len() <= capacity(size, authenticity), "{size:?}");
                }
                if ![16, 89, 90, 100, 240].contains(&bytes) {
                    continue;
                }
                let relay = "relay.test:1".parse().unwrap();
                let mut options = RoomOptions::new(Name::new("room").unwrap(), [relay]);
                (options.packet_size, options.authenticity) = (size, authenticity);
                let identity = Identity::from_seed([1; 32], Name::new("host").unwrap());
                let (seed, unix) = (Seed::from_bytes(&mut [2; 32]), UnixTime::from(SystemTime::now()));
                let made = Room::create(identity, options, seed, Instant::now(), unix);
                assert_eq!(made.as_ref().err(), frame.is_none().then_some(&CreateError::PacketSize));
            }
        }
    }
}
