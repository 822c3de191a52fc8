//! Microphone and loudspeaker of this machine, through `cpal` (feature `devices`).
//!
//! The only file that names the crate. Its callbacks touch only their end of a ring.

use std::fmt;

use cpal::{
    SampleFormat, StreamConfig, SupportedStreamConfig,
    traits::{DeviceTrait, HostTrait, StreamTrait},
};

use super::{Captured, Playback, Played, capture, playback};

/// The machine's microphone. Records until it is dropped.
pub struct Microphone {
    /// Its samples, channels interleaved.
    pub captured: Captured,
    rate: u32,
    channels: u16,
    _stream: cpal::Stream,
}

/// The machine's loudspeaker. Plays until it is dropped.
pub struct Loudspeaker {
    /// Where its samples go, channels interleaved.
    pub played: Played,
    rate: u32,
    channels: u16,
    _stream: cpal::Stream,
}

impl Microphone {
    /// Opens the default input.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub fn open() -> Result<Self, DeviceError> {
        let device = cpal::default_host().default_input_device().ok_or(DeviceError::Missing)?;
        let supported = device.default_input_config().map_err(DeviceError::refused)?;
        let (config, rate, channels) = format(&supported);
        let (mut write, captured) = capture(rate as usize * usize::from(channels) / 2);
        let stream = match supported.sample_format() {
            SampleFormat::F32 => {
                device.build_input_stream(config, move |pcm: &[f32], _| write.write(pcm), ignore, None)
            }
            SampleFormat::I16 => device.build_input_stream(
                config,
                move |pcm: &[i16], _| {
                    for chunk in pcm.chunks(CHUNK) {
                        let mut converted = [0.0; CHUNK];
                        converted
                            .iter_mut()
                            .zip(chunk)
                            .for_each(|(to, from)| *to = f32::from(*from) / 32_768.0);
                        write.write(converted.get(..chunk.len()).unwrap_or_default());
                    }
                },
                ignore,
                None,
            ),
            _ => return Err(DeviceError::Format),
        };
        let stream = stream.map_err(DeviceError::refused)?;
        stream.play().map_err(DeviceError::refused)?;
        Ok(Self { captured, rate, channels, _stream: stream })
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// How many channels.
    pub fn channels(&self) -> u16 {
        self.channels
    }
}

impl Loudspeaker {
    /// Opens the default output.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub fn open() -> Result<Self, DeviceError> {
        let device = cpal::default_host().default_output_device().ok_or(DeviceError::Missing)?;
        let supported = device.default_output_config().map_err(DeviceError::refused)?;
        let (config, rate, channels) = format(&supported);
        let (played, mut fill) = playback(rate as usize * usize::from(channels) / 2);
        let stream = match supported.sample_format() {
            SampleFormat::F32 => {
                device.build_output_stream(config, move |pcm: &mut [f32], _| fill.fill(pcm), ignore, None)
            }
            SampleFormat::I16 => device.build_output_stream(
                config,
                move |pcm: &mut [i16], _| fill_i16(&mut fill, pcm),
                ignore,
                None,
            ),
            _ => return Err(DeviceError::Format),
        };
        let stream = stream.map_err(DeviceError::refused)?;
        stream.play().map_err(DeviceError::refused)?;
        Ok(Self { played, rate, channels, _stream: stream })
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// How many channels.
    pub fn channels(&self) -> u16 {
        self.channels
    }
}

/// Why a device could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is none.
    Missing,
    /// Its samples are neither 32-bit floats nor 16-bit integers.
    Format,
    /// The system refused. The text is the system's.
    Refused(String),
}

impl DeviceError {
    fn refused(error: impl fmt::Display) -> Self {
        Self::Refused(error.to_string())
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such device"),
            Self::Format => f.write_str("the device has samples of an unknown kind"),
            Self::Refused(why) => write!(f, "the device could not be opened: {why}"),
        }
    }
}

impl std::error::Error for DeviceError {}

fn format(supported: &SupportedStreamConfig) -> (StreamConfig, u32, u16) {
    (supported.config(), supported.sample_rate(), supported.channels())
}

fn fill_i16(fill: &mut Playback, pcm: &mut [i16]) {
    for chunk in pcm.chunks_mut(CHUNK) {
        let mut samples = [0.0; CHUNK];
        let Some(samples) = samples.get_mut(..chunk.len()) else { return };
        fill.fill(samples);
        chunk.iter_mut().zip(samples).for_each(|(to, from)| *to = (*from * 32_767.0) as i16);
    }
}

/// What an unplugged device says is seen by its silence.
fn ignore(_: cpal::Error) {}

/// Samples that are converted at a time, on the callback's stack.
const CHUNK: usize = 256;
