//! The sum of all who are heard, on its way to the device: limited, converted, in as many channels
//! as the device has (SPEC section 13.5).

use super::{
    BLOCK, VoiceError,
    converter::Converter,
    limiter::{Limiter, peak},
    tuning::Gains,
};

/// One block of the sum, and what of it waits for the device. All memory is taken when it is made.
pub(super) struct Mix {
    /// Left and right; where the device has one channel, the first of them alone.
    sides: Vec<Side>,
    limiter: Limiter,
    /// Channels of the device.
    channels: usize,
    /// Sound for the device that was made and not taken yet.
    ready: Vec<f32>,
    taken: usize,
}

struct Side {
    sum: [f32; BLOCK],
    converter: Converter,
    /// The block at the device's rate.
    converted: Vec<f32>,
}

impl Mix {
    /// For a device of so many samples a second, and so many channels, 1 at least.
    pub(super) fn new(rate: u32, channels: u16) -> Result<Self, VoiceError> {
        // A block at the highest rate, and as much again that waits in the converter.
        let most = 2 * 4 * BLOCK;
        let side = |_| {
            let converter = Converter::new(48_000, rate, 1)?;
            Ok(Side { sum: [0.0; BLOCK], converter, converted: Vec::with_capacity(most) })
        };
        let channels = usize::from(channels);
        Ok(Self {
            sides: (0..channels.min(2)).map(side).collect::<Result<_, VoiceError>>()?,
            limiter: Limiter::new(),
            channels,
            ready: Vec::with_capacity(most * channels),
            taken: 0,
        })
    }

    /// Whether left and right are two.
    pub(super) fn has_sides(&self) -> bool {
        self.sides.len() > 1
    }

    /// Adds a block of one speaker, of one channel or of two interleaved, with gains that change
    /// evenly.
    pub(super) fn add(&mut self, sound: &[i16], before: Gains, after: Gains) {
        let channels = sound.len() / BLOCK;
        for ((side, before), after) in self.sides.iter_mut().zip(before).zip(after) {
            for (channel, (before, after)) in before.into_iter().zip(after).enumerate().take(channels) {
                if before == 0.0 && after == 0.0 {
                    continue;
                }
                let samples = sound.iter().skip(channel).step_by(channels);
                for (at, (sum, sample)) in side.sum.iter_mut().zip(samples).enumerate() {
                    let gain = before + (after - before) * (at + 1) as f32 / BLOCK as f32;
                    *sum += f32::from(*sample) / 32_768.0 * gain;
                }
            }
        }
    }

    /// Ends the block: what was added to it waits for the device from now on.
    pub(super) fn finish(&mut self) {
        let Self { sides, limiter, channels, ready, .. } = self;
        let slope = limiter.follow(sides.iter().map(|side| peak(&side.sum)).fold(0.0, f32::max));
        for Side { sum, converter, converted } in sides.iter_mut() {
            slope.apply(sum);
            converted.clear();
            for sample in std::mem::replace(sum, [0.0; BLOCK]) {
                converter.push(sample, |block| converted.extend_from_slice(block));
            }
        }
        let Some((left, rest)) = sides.split_first() else { return };
        let Some(right) = rest.first() else {
            ready.extend_from_slice(&left.converted);
            return;
        };
        for (left, right) in left.converted.iter().zip(&right.converted) {
            ready.extend([*left, *right]);
            // Further channels are neither left nor right.
            ready.extend(std::iter::repeat_n((left + right) / 2.0, *channels - 2));
        }
    }

    /// Moves what waits into the front of `out`, and returns how many samples that is.
    pub(super) fn take(&mut self, out: &mut [f32]) -> usize {
        let there = self.ready.get(self.taken..).unwrap_or_default();
        let len = there.len().min(out.len());
        if let (Some(front), Some(there)) = (out.get_mut(..len), there.get(..len)) {
            front.copy_from_slice(there);
        }
        self.taken += len;
        if self.taken == self.ready.len() {
            self.ready.clear();
            self.taken = 0;
        }
        len
    }
}
