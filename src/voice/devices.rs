//! Microphone and loudspeaker of this machine, through `cpal` (feature `devices`, SPEC section
//! 13.6).
//!
//! The only file that names the crate. Its callbacks touch only their end of a ring, and a cell for
//! the first error. A device that is gone says so to `poll_error`; `reopen` goes on with the device
//! that is the system's default then.
//!
//! ```no_run
//! use sottovoce::voice::{Sender, SenderOptions, devices::Microphone};
//!
//! let mut microphone = Microphone::open()?;
//! let mut options = SenderOptions::default();
//! (options.rate, options.channels) = (microphone.rate(), microphone.channels());
//! let mut sender = Sender::new(options)?;
//! let mut pcm = [0.0; 960];
//! // On every turn of the media thread's loop:
//! let samples = microphone.captured.read(&mut pcm);
//! sender.capture(&pcm[..samples])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use cpal::{
    ErrorKind, FromSample, I24, Sample, SampleFormat, SizedSample, StreamConfig, SupportedStreamConfig,
    SupportedStreamConfigRange, U24,
    traits::{DeviceTrait, HostTrait, StreamTrait},
};

use super::{Capture, Captured, Playback, Played, capture, check_format, playback};

/// The machine's microphone. Records until it is dropped.
pub struct Microphone {
    /// Its samples, channels interleaved.
    pub captured: Captured,
    rate: u32,
    channels: u16,
    failed: Failed,
    _stream: cpal::Stream,
}

/// The machine's loudspeaker. Plays until it is dropped.
pub struct Loudspeaker {
    /// Where its samples go, channels interleaved.
    pub played: Played,
    rate: u32,
    channels: u16,
    failed: Failed,
    _stream: cpal::Stream,
}

impl Microphone {
    /// Opens the default input.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub fn open() -> Result<Self, DeviceError> {
        let device = cpal::default_host().default_input_device().ok_or(DeviceError::Missing)?;
        let all = device.supported_input_configs();
        let supported = choose(device.default_input_config().ok(), all.into_iter().flatten())?;
        let (config, rate, channels) = (supported.config(), supported.sample_rate(), supported.channels());
        let (write, captured) = capture(ring(rate, channels));
        let failed = Failed::default();
        let stream = record(&device, config, supported.sample_format(), write, &failed)?;
        stream.play().map_err(DeviceError::refused)?;
        Ok(Self { captured, rate, channels, failed, _stream: stream })
    }

    /// Lets the device go and opens the one that is the default input now. Rate and channels may
    /// differ from what they were, and what waits in [`captured`](Self::captured) is lost.
    ///
    /// # Errors
    /// See [`DeviceError`]. The old device stays as it is then.
    pub fn reopen(&mut self) -> Result<(), DeviceError> {
        *self = Self::open()?;
        Ok(())
    }

    /// Why nothing is recorded any more, once; `None` while the device works.
    pub fn poll_error(&mut self) -> Option<DeviceError> {
        self.failed.take()
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
        let all = device.supported_output_configs();
        let supported = choose(device.default_output_config().ok(), all.into_iter().flatten())?;
        let (config, rate, channels) = (supported.config(), supported.sample_rate(), supported.channels());
        let (played, fill) = playback(ring(rate, channels));
        let failed = Failed::default();
        let stream = play(&device, config, supported.sample_format(), fill, &failed)?;
        stream.play().map_err(DeviceError::refused)?;
        Ok(Self { played, rate, channels, failed, _stream: stream })
    }

    /// Lets the device go and opens the one that is the default output now. Rate and channels may
    /// differ from what they were, and what waits in [`played`](Self::played) is lost.
    ///
    /// # Errors
    /// See [`DeviceError`]. The old device stays as it is then.
    pub fn reopen(&mut self) -> Result<(), DeviceError> {
        *self = Self::open()?;
        Ok(())
    }

    /// Why nothing is played any more, once; `None` while the device works.
    pub fn poll_error(&mut self) -> Option<DeviceError> {
        self.failed.take()
    }

    /// Samples of all channels that can wait for the device.
    pub fn room(&self) -> usize {
        ring(self.rate, self.channels)
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

/// Why a device could not be opened, or does not work any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is none.
    Missing,
    /// It has no format of numbers for samples, at a rate and with channels that a voice endpoint
    /// takes.
    Format,
    /// It was there and is gone, or the system took it away: open it again, or another one.
    Vanished,
    /// It stopped, and the system does not say more.
    Failed,
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
            Self::Format => f.write_str("the device offers no format of samples that can be converted"),
            Self::Vanished => f.write_str("the device is not there any more"),
            Self::Failed => f.write_str("the device stopped"),
            Self::Refused(why) => write!(f, "the device could not be opened: {why}"),
        }
    }
}

impl std::error::Error for DeviceError {}

/// The first error of a stream that ends it, from its callback to whoever polls.
#[derive(Clone, Default)]
struct Failed(Arc<AtomicU8>);

impl Failed {
    /// For the error callback: no lock, no allocation.
    fn note(&self, kind: ErrorKind) {
        let code = match kind {
            // The stream goes on.
            ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => return,
            ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable => {
                VANISHED
            }
            _ => FAILED,
        };
        let _ = self.0.compare_exchange(WORKS, code, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn take(&self) -> Option<DeviceError> {
        match self.0.swap(WORKS, Ordering::Relaxed) {
            WORKS => None,
            VANISHED => Some(DeviceError::Vanished),
            _ => Some(DeviceError::Failed),
        }
    }
}

const WORKS: u8 = 0;
const VANISHED: u8 = 1;
const FAILED: u8 = 2;

/// Half a second of samples.
fn ring(rate: u32, channels: u16) -> usize {
    rate as usize * usize::from(channels) / 2
}

/// The default format of a device if we can use it, else the best of the others.
fn choose(
    default: Option<SupportedStreamConfig>,
    all: impl Iterator<Item = SupportedStreamConfigRange>,
) -> Result<SupportedStreamConfig, DeviceError> {
    let usable = |format, rate, channels| rank(format).is_some() && check_format(rate, channels).is_ok();
    if let Some(default) = default
        && usable(default.sample_format(), default.sample_rate(), default.channels())
    {
        return Ok(default);
    }
    let others = all.filter_map(|range| {
        let rate = 48_000.clamp(range.min_sample_rate(), range.max_sample_rate());
        let chosen = range.try_with_sample_rate(rate)?;
        let rank = rank(chosen.sample_format())?;
        check_format(rate, chosen.channels()).ok()?;
        Some(((rate.abs_diff(48_000), rank, chosen.channels()), chosen))
    });
    others.min_by_key(|(rank, _)| *rank).map(|(_, chosen)| chosen).ok_or(DeviceError::Format)
}

/// How willingly we take a sample format, 0 first; `None` for what is no number, as DSD.
fn rank(format: SampleFormat) -> Option<u8> {
    Some(match format {
        SampleFormat::F32 => 0,
        SampleFormat::I32 | SampleFormat::I24 | SampleFormat::F64 => 1,
        SampleFormat::I16 | SampleFormat::I64 => 2,
        SampleFormat::U16 | SampleFormat::U24 | SampleFormat::U32 | SampleFormat::U64 => 3,
        SampleFormat::I8 | SampleFormat::U8 => 4,
        _ => return None,
    })
}

/// Builds a stream for samples of whatever format.
macro_rules! by_format {
    ($format:expr, $build:ident($($argument:expr),*)) => {
        match $format {
            SampleFormat::F32 => $build::<f32>($($argument),*),
            SampleFormat::F64 => $build::<f64>($($argument),*),
            SampleFormat::I8 => $build::<i8>($($argument),*),
            SampleFormat::I16 => $build::<i16>($($argument),*),
            SampleFormat::I24 => $build::<I24>($($argument),*),
            SampleFormat::I32 => $build::<i32>($($argument),*),
            SampleFormat::I64 => $build::<i64>($($argument),*),
            SampleFormat::U8 => $build::<u8>($($argument),*),
            SampleFormat::U16 => $build::<u16>($($argument),*),
            SampleFormat::U24 => $build::<U24>($($argument),*),
            SampleFormat::U32 => $build::<u32>($($argument),*),
            SampleFormat::U64 => $build::<u64>($($argument),*),
            _ => return Err(DeviceError::Format),
        }
    };
}

fn record(
    device: &cpal::Device,
    config: StreamConfig,
    format: SampleFormat,
    write: Capture,
    failed: &Failed,
) -> Result<cpal::Stream, DeviceError> {
    by_format!(format, record_as(device, config, write, failed)).map_err(DeviceError::refused)
}

fn record_as<T>(
    device: &cpal::Device,
    config: StreamConfig,
    mut write: Capture,
    failed: &Failed,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let failed = failed.clone();
    device.build_input_stream(
        config,
        move |pcm: &[T], _| write_from(&mut write, pcm),
        move |error| failed.note(error.kind()),
        None,
    )
}

fn play(
    device: &cpal::Device,
    config: StreamConfig,
    format: SampleFormat,
    fill: Playback,
    failed: &Failed,
) -> Result<cpal::Stream, DeviceError> {
    by_format!(format, play_as(device, config, fill, failed)).map_err(DeviceError::refused)
}

fn play_as<T>(
    device: &cpal::Device,
    config: StreamConfig,
    mut fill: Playback,
    failed: &Failed,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
{
    let failed = failed.clone();
    device.build_output_stream(
        config,
        move |pcm: &mut [T], _| fill_into(&mut fill, pcm),
        move |error| failed.note(error.kind()),
        None,
    )
}

fn write_from<T: Sample>(write: &mut Capture, pcm: &[T])
where
    f32: FromSample<T>,
{
    for chunk in pcm.chunks(CHUNK) {
        let mut converted = [0.0; CHUNK];
        converted.iter_mut().zip(chunk).for_each(|(to, from)| *to = from.to_sample());
        write.write(converted.get(..chunk.len()).unwrap_or_default());
    }
}

fn fill_into<T: FromSample<f32>>(fill: &mut Playback, pcm: &mut [T]) {
    fill.begin(pcm.len());
    for chunk in pcm.chunks_mut(CHUNK) {
        let mut samples = [0.0; CHUNK];
        let Some(samples) = samples.get_mut(..chunk.len()) else { return };
        fill.fill(samples);
        chunk.iter_mut().zip(samples).for_each(|(to, from)| *to = T::from_sample_(*from));
    }
}

/// Samples that are converted at a time, on the callback's stack.
const CHUNK: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a device of that format plays of a sound, and what is heard through a device that
    /// records that.
    fn through<T: Sample + FromSample<f32>>(sound: &[f32]) -> Vec<f32>
    where
        f32: FromSample<T>,
    {
        let (mut media, mut callback) = playback(1_000);
        media.write(sound);
        let mut pcm = vec![T::EQUILIBRIUM; sound.len() + 100];
        fill_into(&mut callback, &mut pcm);
        assert_eq!((media.block(), media.missing()), (sound.len() + 100, 100));
        let (mut callback, mut media) = capture(1_000);
        write_from(&mut callback, &pcm);
        let mut heard = vec![9.0; pcm.len()];
        assert_eq!(media.read(&mut heard), pcm.len());
        heard
    }

    #[test]
    fn samples_of_every_format_are_what_they_were() {
        let sound: Vec<f32> = (0..600).map(|n| (n as f32 * 0.05).sin() * 0.9).collect();
        let all: [(Vec<f32>, f32); 12] = [
            (through::<f32>(&sound), 1e-6),
            (through::<f64>(&sound), 1e-6),
            (through::<i8>(&sound), 0.01),
            (through::<i16>(&sound), 1e-4),
            (through::<I24>(&sound), 1e-6),
            (through::<i32>(&sound), 1e-6),
            (through::<i64>(&sound), 1e-6),
            (through::<u8>(&sound), 0.01),
            (through::<u16>(&sound), 1e-4),
            (through::<U24>(&sound), 1e-6),
            (through::<u32>(&sound), 1e-6),
            (through::<u64>(&sound), 1e-6),
        ];
        for (which, (heard, exact)) in all.iter().enumerate() {
            for (at, heard) in heard.iter().enumerate() {
                let said = sound.get(at).copied().unwrap_or(0.0);
                assert!((heard - said).abs() <= *exact, "format {which}: {heard} for {said}");
            }
        }
    }

    #[test]
    fn a_device_that_vanished_says_so_once_and_one_that_goes_on_says_nothing() {
        let failed = Failed::default();
        for kind in [ErrorKind::Xrun, ErrorKind::DeviceChanged] {
            failed.note(kind);
            assert_eq!(failed.take(), None);
        }
        failed.note(ErrorKind::DeviceNotAvailable);
        failed.note(ErrorKind::BackendError);
        assert_eq!(failed.take(), Some(DeviceError::Vanished));
        assert_eq!(failed.take(), None);
        failed.note(ErrorKind::BackendError);
        assert_eq!(failed.take(), Some(DeviceError::Failed));
    }
}
