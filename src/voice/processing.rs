//! Echo cancellation, noise suppression and gain control, by the crate `sonora`, a port of WebRTC's
//! audio processing. The only file that names it; behind the feature `processing`.
//!
//! ```text
//! loudspeaker's samples > mean of the channels > 48 kHz > 10 ms at a time > far end
//! microphone > one channel > 48 kHz > 10 ms at a time > near end
//! near end > less the echo of the far end > less noise > gain > Sender
//! ```

use std::fmt;

use sonora::{
    AudioProcessing, Config, StreamConfig,
    config::{
        AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate, NoiseSuppression,
        NoiseSuppressionLevel, Pipeline,
    },
};

use super::{VoiceError, check_format, converter::Converter};

/// What a [`Processing`] does.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ProcessingOptions {
    /// Samples a second of the loudspeaker, 48,000 by default.
    pub rate: u32,
    /// Channels of the loudspeaker; 1 by default.
    pub channels: u16,
    /// Whether what the loudspeaker plays is taken out of what the microphone hears; by default it
    /// is.
    pub echo: bool,
    /// How much of a steady background is taken out; [`Noise::Moderate`] by default.
    pub noise: Noise,
    /// Whether speech that is too soft or too loud is brought to one level; by default it is.
    pub gain: bool,
}

impl Default for ProcessingOptions {
    fn default() -> Self {
        Self { rate: 48_000, channels: 1, echo: true, noise: Noise::Moderate, gain: true }
    }
}

/// How much of a steady background is taken out. The more, the more of the voice goes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Noise {
    /// Nothing.
    Keep,
    /// About 6 dB.
    Low,
    /// About 12 dB.
    #[default]
    Moderate,
    /// About 18 dB.
    High,
}

/// Cleans what a microphone hears, for [`Sender::process`](super::Sender::process).
///
/// It works on 10 ms at a time, which a device that gives 10 ms at a time does not notice. It
/// takes no lock and reads no clock; unlike the rest of the endpoint it may allocate.
///
/// ```
/// use std::time::Instant;
///
/// use sottovoce::voice::{Processing, ProcessingOptions, Sender, SenderOptions};
///
/// let mut options = ProcessingOptions::default();
/// (options.rate, options.channels) = (44_100, 2); // of the loudspeaker
/// let mut sender = Sender::new(SenderOptions::default())?;
/// sender.process(Some(Processing::new(options)?));
/// sender.set_live(true, Instant::now(), 1_800_000_000_000);
/// // Whenever samples come and go, in this order as far as it can be had:
/// sender.handle_played(&[0.0; 882])?; // what was rendered for the loudspeaker
/// sender.capture(&[0.0; 480])?; // what the microphone heard
/// # Ok::<(), sottovoce::voice::VoiceError>(())
/// ```
pub struct Processing {
    inner: AudioProcessing,
    config: Config,
    /// One for each channel of a packet.
    near: Vec<Block>,
    /// Which of them the next sample is of.
    side: usize,
    far: Block,
    converter: Converter,
    channels: usize,
}

/// Samples at 48 kHz until they are 10 ms.
struct Block {
    samples: [f32; TEN_MS],
    len: usize,
}

impl Processing {
    /// One that has heard nothing.
    ///
    /// # Errors
    /// [`VoiceError::Rate`], [`VoiceError::Channels`].
    pub fn new(options: ProcessingOptions) -> Result<Self, VoiceError> {
        check_format(options.rate, options.channels)?;
        let level = match options.noise {
            Noise::Keep => None,
            Noise::Low => Some(NoiseSuppressionLevel::Low),
            Noise::Moderate => Some(NoiseSuppressionLevel::Moderate),
            Noise::High => Some(NoiseSuppressionLevel::High),
        };
        let gain = GainController2 {
            adaptive_digital: Some(AdaptiveDigital::default()),
            ..GainController2::default()
        };
        let config = Config {
            pipeline: Pipeline {
                maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
                ..Pipeline::default()
            },
            high_pass_filter: Some(HighPassFilter::default()),
            echo_canceller: options.echo.then(EchoCanceller::default),
            noise_suppression: level.map(|level| NoiseSuppression { level, ..NoiseSuppression::default() }),
            gain_controller2: options.gain.then_some(gain),
            ..Config::default()
        };
        Ok(Self {
            inner: build(config.clone(), 1),
            config,
            near: vec![Block::default()],
            side: 0,
            far: Block::default(),
            converter: Converter::new(options.rate, 48_000, 1)?,
            channels: options.channels.into(),
        })
    }

    /// The same for packets of so many channels, before it has heard anything.
    pub(super) fn for_sides(self, sides: usize) -> Self {
        if sides == self.near.len() {
            return self;
        }
        let inner = build(self.config.clone(), sides as u16);
        Self { inner, near: (0..sides).map(|_| Block::default()).collect(), side: 0, ..self }
    }

    /// Takes what the loudspeaker plays, channels interleaved.
    pub(super) fn handle_played(&mut self, pcm: &[f32]) -> Result<(), VoiceError> {
        if !pcm.len().is_multiple_of(self.channels) {
            return Err(VoiceError::Ragged);
        }
        let Self { inner, far, converter, channels, .. } = self;
        for frame in pcm.chunks_exact(*channels) {
            // All channels meet in the air of the room.
            let sum: f32 = frame.iter().map(|sample| number(*sample)).sum();
            converter.push(sum / *channels as f32, |block| {
                for sample in block {
                    far.push(*sample, |far| {
                        let mut unchanged = [0.0; TEN_MS];
                        // Without it the echo of these 10 ms stays.
                        let _ = inner.process_render_f32(&[far], &mut [&mut unchanged]);
                    });
                }
            });
        }
        Ok(())
    }

    /// Takes samples of the microphone at 48 kHz, all of them numbers, channels interleaved, and
    /// gives them back cleaned, 10 ms at a time.
    pub(super) fn clean(&mut self, pcm: &[f32], mut give: impl FnMut(f32)) {
        for sample in pcm {
            let last = self.side + 1 == self.near.len();
            let full = self.near.get_mut(self.side).is_some_and(|block| block.add(*sample));
            self.side = if last { 0 } else { self.side + 1 };
            if !(last && full) {
                continue;
            }
            let mut cleaned = [[0.0; TEN_MS]; 2];
            match &self.near[..] {
                [one] => {
                    let [out, _] = &mut cleaned;
                    if self.inner.process_capture_f32(&[&one.samples], &mut [out]).is_err() {
                        *out = one.samples;
                    }
                    out.iter().for_each(|sample| give(number(*sample)));
                }
                [left, right] => {
                    let [out_left, out_right] = &mut cleaned;
                    let (near, mut out) =
                        ([&left.samples[..], &right.samples], [&mut out_left[..], &mut out_right[..]]);
                    if self.inner.process_capture_f32(&near, &mut out).is_err() {
                        (*out_left, *out_right) = (left.samples, right.samples);
                    }
                    for (left, right) in out_left.iter().zip(out_right.iter()) {
                        give(number(*left));
                        give(number(*right));
                    }
                }
                _ => {}
            }
            self.near.iter_mut().for_each(|block| block.len = 0);
        }
    }
}

/// Works on 48 kHz, on so many channels of the microphone and one of the loudspeaker.
fn build(config: Config, sides: u16) -> AudioProcessing {
    let (capture, render) = (StreamConfig::new(48_000, sides), StreamConfig::new(48_000, 1));
    AudioProcessing::builder().config(config).capture_config(capture).render_config(render).build()
}

impl fmt::Debug for Processing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Processing")
    }
}

impl Default for Block {
    fn default() -> Self {
        Self { samples: [0.0; TEN_MS], len: 0 }
    }
}

impl Block {
    /// Adds one sample. `true` if that made it full.
    fn add(&mut self, sample: f32) -> bool {
        if let Some(place) = self.samples.get_mut(self.len) {
            *place = sample;
            self.len += 1;
        }
        self.len == TEN_MS
    }

    fn push(&mut self, sample: f32, full: impl FnOnce(&[f32; TEN_MS])) {
        if self.add(sample) {
            self.len = 0;
            full(&self.samples);
        }
    }
}

/// Within full scale, and silence for what is no number.
fn number(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}

/// Samples of 10 ms at 48 kHz.
const TEN_MS: usize = 480;
