//! From one sampling rate to another, block by block (SPEC section 13.2).

use rubato::{
    Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType, WindowFunction,
    audioadapter_buffers::direct::InterleavedSlice,
};

use super::VoiceError;
use crate::codec::CodecError;

/// Converts a stream of samples, channels interleaved. All memory is taken when it is made.
pub(super) struct Converter {
    /// `None` where both rates are the same.
    inner: Option<Box<Async<f32>>>,
    channels: usize,
    /// Samples that wait until they are a block.
    input: Vec<f32>,
    block: usize,
    output: Vec<f32>,
}

impl Converter {
    /// Both rates are between 8,000 and 192,000; at least one channel.
    pub(super) fn new(from: u32, to: u32, channels: usize) -> Result<Self, VoiceError> {
        // 5 ms at a time: half of that is the delay which waiting for a block adds on average.
        let block = (from / 200) as usize;
        let input = Vec::with_capacity(block * channels);
        if from == to {
            return Ok(Self { inner: None, channels, input, block, output: Vec::new() });
        }
        let parameters = SincInterpolationParameters {
            sinc_len: 96,
            f_cutoff: Some(0.92),
            interpolation: SincInterpolationType::Linear,
            oversampling_factor: 128,
            window: WindowFunction::BlackmanHarris2,
        };
        let ratio = f64::from(to) / f64::from(from);
        let inner = Async::new_sinc(ratio, 1.0, &parameters, block, channels, FixedAsync::Input)
            .map_err(|_| VoiceError::Codec(CodecError::Codec))?;
        let output = vec![0.0; inner.output_frames_max() * channels];
        Ok(Self { inner: Some(Box::new(inner)), channels, input, block, output })
    }

    /// Takes one sample, and gives a converted block to `give` whenever one is full.
    pub(super) fn push(&mut self, sample: f32, mut give: impl FnMut(&[f32])) {
        self.input.push(sample);
        if self.input.len() < self.block * self.channels {
            return;
        }
        match &mut self.inner {
            None => give(&self.input),
            Some(inner) => {
                let frames = self.output.len() / self.channels;
                let input = InterleavedSlice::new(&self.input, self.channels, self.block);
                let output = InterleavedSlice::new_mut(&mut self.output, self.channels, frames);
                if let (Ok(input), Ok(mut output)) = (input, output)
                    && let Ok((_, written)) = inner.process_into_buffer(&input, &mut output, None)
                {
                    give(self.output.get(..written * self.channels).unwrap_or_default());
                }
            }
        }
        self.input.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn convert(from: u32, to: u32, samples: &[f32]) -> Vec<f32> {
        let mut converter = Converter::new(from, to, 1).unwrap();
        let mut out = Vec::new();
        samples.iter().for_each(|sample| converter.push(*sample, |block| out.extend_from_slice(block)));
        out
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_its_level_at_every_rate() {
        for rate in [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000] {
            let tone: Vec<f32> =
                (0..rate).map(|n| 0.5 * (TAU * 440.0 * n as f32 / rate as f32).sin()).collect();
            let out = convert(rate, 48_000, &tone);
            let expected = 48_000_usize;
            assert!(out.len().abs_diff(expected) < 600, "{rate}: {}", out.len());
            let middle = &out[4_000..44_000];
            let crossings = middle.windows(2).filter(|pair| pair[0] <= 0.0 && pair[1] > 0.0).count();
            assert!(crossings.abs_diff(440 * 40_000 / 48_000) <= 1, "{rate}: {crossings}");
            let power = middle.iter().map(|sample| sample * sample).sum::<f32>() / middle.len() as f32;
            assert!((power - 0.125).abs() < 0.004, "{rate}: {power}");
        }
    }

    #[test]
    fn what_48_khz_cannot_hold_is_filtered_and_not_folded() {
        let tone: Vec<f32> = (0..96_000).map(|n| (TAU * 40_000.0 * n as f32 / 96_000.0).sin()).collect();
        let out = convert(96_000, 48_000, &tone);
        let power =
            out[2_000..].iter().map(|sample| sample * sample).sum::<f32>() / (out.len() - 2_000) as f32;
        assert!(power < 1e-5, "less than 47 dB below it: {power}");
    }

    #[test]
    fn each_of_two_channels_is_converted_as_if_it_were_alone() {
        for (from, to) in [(44_100, 48_000), (48_000, 16_000), (48_000, 48_000)] {
            let tone = |hertz: f32| -> Vec<f32> {
                (0..from).map(|n| 0.5 * (TAU * hertz * n as f32 / from as f32).sin()).collect()
            };
            let (left, right) = (tone(440.0), tone(1_000.0));
            let mut converter = Converter::new(from, to, 2).unwrap();
            let mut out = Vec::new();
            for (left, right) in left.iter().zip(&right) {
                converter.push(*left, |_| unreachable!("half a frame"));
                converter.push(*right, |block| out.extend_from_slice(block));
            }
            let side = |side: usize| out.iter().skip(side).step_by(2).copied().collect::<Vec<f32>>();
            assert_eq!((side(0), side(1)), (convert(from, to, &left), convert(from, to, &right)));
        }
    }

    #[test]
    fn equal_rates_change_nothing() {
        let samples: Vec<f32> = (0..960).map(|n| n as f32 / 1_000.0).collect();
        assert_eq!(convert(48_000, 48_000, &samples), samples);
    }
}
