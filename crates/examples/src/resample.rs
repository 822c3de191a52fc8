//! From any sampling rate to the 48 kHz at which Opus works.

use std::num::NonZeroU32;

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

/// The rate of everything past this module, in Hz.
pub const RATE: u32 = 48_000;

/// Converts samples of one channel or of two interleaved ones, as [`to_48k`] does.
pub fn sides_to_48k(samples: &[f32], rate: NonZeroU32, sides: usize) -> Vec<f32> {
    if sides == 1 {
        return to_48k(samples, rate);
    }
    let side = |at: usize| -> Vec<f32> {
        to_48k(&samples.iter().skip(at).step_by(2).copied().collect::<Vec<_>>(), rate)
    };
    side(0).into_iter().zip(side(1)).flat_map(|(left, right)| [left, right]).collect()
}

/// Converts mono samples from `rate` to 48 kHz, band-limited and without delay.
///
/// The length is that of the input in seconds, rounded up to a whole sample.
pub fn to_48k(samples: &[f32], rate: NonZeroU32) -> Vec<f32> {
    if rate.get() == RATE || samples.is_empty() {
        return samples.to_vec();
    }
    let rate = rate.get() as usize;
    // A block of a tenth of a second keeps the cut-off within a few hundred hertz of the lower
    // Nyquist frequency.
    let block = rate.div_ceil(10);
    let mut converter = Fft::<f32>::new_custom(
        rate,
        RATE as usize,
        block,
        1,
        1,
        WindowFunction::BlackmanHarris2,
        FixedSync::Both,
    )
    .expect("both rates and the block are above 0");
    let input = SequentialSlice::new(samples, 1, samples.len()).expect("one channel of exactly this length");
    let output =
        converter.process_all(&input, samples.len(), None).expect("the input has the length that it states");
    output.take_data()
}

/// Rounds samples to 16 bits; what is beyond full scale is clipped.
///
/// Samples that came from 16 bits and were not resampled return to exactly those 16 bits.
pub fn pcm16(samples: &[f32]) -> Vec<i16> {
    samples.iter().map(|sample| (sample * 32_768.0).round() as i16).collect()
}
