//! Keeps a mix of many within full scale (SPEC section 13.5).

use super::BLOCK;

/// A gain that falls at once when a block would be too loud, and comes back slowly.
pub(super) struct Limiter {
    gain: f32,
}

impl Limiter {
    pub(super) fn new() -> Self {
        Self { gain: 1.0 }
    }

    /// How the gain goes in a block with such a peak. Of two sides it applies to both, or a loud
    /// one would move the others.
    pub(super) fn follow(&mut self, peak: f32) -> Slope {
        let wanted = if peak * self.gain > CEILING { CEILING / peak } else { (self.gain * RECOVER).min(1.0) };
        // A loud block must not wait for its own gain; a gain that grows may still not lift the
        // peak over the ceiling.
        let wanted = if peak * wanted > CEILING { CEILING / peak } else { wanted };
        Slope { from: std::mem::replace(&mut self.gain, wanted), to: wanted }
    }
}

/// The gain in one block.
#[derive(Clone, Copy)]
pub(super) struct Slope {
    from: f32,
    to: f32,
}

impl Slope {
    /// Limits the block in place.
    pub(super) fn apply(self, block: &mut [f32; BLOCK]) {
        for (at, sample) in block.iter_mut().enumerate() {
            let share = (at as f32 / RAMP).min(1.0);
            *sample = soft(*sample * (self.from + (self.to - self.from) * share));
        }
    }
}

/// The highest sample of a block.
pub(super) fn peak(block: &[f32; BLOCK]) -> f32 {
    block.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()))
}

/// Bends what is above the ceiling while the gain is still falling.
fn soft(sample: f32) -> f32 {
    let over = sample.abs() - CEILING;
    if over <= 0.0 {
        sample
    } else {
        (CEILING + (1.0 - CEILING) * (over / (1.0 - CEILING)).tanh()).copysign(sample)
    }
}

/// The most that comes out of a block, but for the 1 ms in which the gain falls.
const CEILING: f32 = 0.9;
/// A quarter of a second for 6 dB.
const RECOVER: f32 = 1.014;
/// 1 ms.
const RAMP: f32 = 48.0;

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn tone(block: usize, amplitude: f32) -> [f32; BLOCK] {
        std::array::from_fn(|n| amplitude * (TAU * 300.0 * (block * BLOCK + n) as f32 / 48_000.0).sin())
    }

    #[test]
    fn what_is_within_full_scale_is_not_touched() {
        let mut limiter = Limiter::new();
        for n in 0..20 {
            let mut block = tone(n, 0.89);
            limiter.follow(peak(&block)).apply(&mut block);
            assert_eq!(block, tone(n, 0.89));
        }
    }

    #[test]
    fn ten_at_full_scale_stay_within_it_without_a_jump_and_it_recovers() {
        let mut limiter = Limiter::new();
        let mut out: Vec<f32> = Vec::new();
        for n in 0..400 {
            let mut block = tone(n, if (20..60).contains(&n) { 10.0 } else { 0.5 });
            limiter.follow(peak(&block)).apply(&mut block);
            out.extend(block);
        }
        assert!(out.iter().all(|sample| sample.abs() <= 1.0));
        assert!(out[25 * BLOCK..60 * BLOCK].iter().all(|sample| sample.abs() <= CEILING + 1e-6));
        let last = &out[390 * BLOCK..];
        let peak = last.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        assert!((peak - 0.5).abs() < 0.01, "{peak}");
        // 300 Hz at full scale moves by 0.04 a sample.
        let settled = &out[21 * BLOCK..60 * BLOCK];
        assert!(settled.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.06));
    }
}
