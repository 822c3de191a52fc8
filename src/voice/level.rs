//! How loud a frame is, and whether somebody speaks in it (RFC 6464 section 3).

use crate::media::Level;

/// Watches the background, to tell voice from it.
pub(super) struct Meter {
    /// Decibels below overload of the background.
    floor: f32,
    /// Samples for which voice goes on being reported, so that a syllable's end does not flicker.
    hang: usize,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { floor: -60.0, hang: 0 }
    }

    /// The level of a frame of so many interleaved channels, one at least, for the interface of
    /// whoever hears it: that of their mean power.
    pub(super) fn measure(&mut self, pcm: &[i16], channels: usize) -> Level {
        let samples = pcm.len() / channels;
        let power =
            pcm.iter().map(|sample| f32::from(*sample).powi(2)).sum::<f32>() / pcm.len().max(1) as f32;
        let level = 10.0 * (power / 32_768_f32.powi(2)).max(1e-13).log10();
        // The floor falls at once and rises slowly, by 5 dB a second: speech has pauses, noise has
        // none.
        let frames = samples as f32 / 1_920.0;
        self.floor = if level < self.floor {
            level.max(-90.0)
        } else {
            self.floor + frames.min(1.0) * 0.05 * (level - self.floor).min(4.0)
        };
        if level > self.floor + 9.0 && level > -55.0 {
            self.hang = HANG;
        } else {
            self.hang = self.hang.saturating_sub(samples);
        }
        let below = (-level).round().clamp(0.0, 127.0) as u8;
        Level::new(below, self.hang > 0)
    }
}

/// 120 ms. With a frame and the way to the listener the end of speech is shown within 300 ms.
const HANG: usize = 5_760;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_over_a_quiet_background_is_voice_and_the_background_is_not() {
        let mut meter = Meter::new();
        let noise = |n: usize, amplitude: i32| -> Vec<i16> {
            (0..1_920)
                .map(|i| ((((i * 7_919 + n * 104_729) % 2_001) as i32 - 1_000) * amplitude / 1_000) as i16)
                .collect()
        };
        let levels: Vec<Level> = (0..50).map(|n| meter.measure(&noise(n, 60), 1)).collect();
        assert!(levels[20..].iter().all(|level| !level.is_voice()), "{levels:?}");
        assert!(meter.measure(&noise(1, 9_000), 1).is_voice());
        assert_eq!(meter.measure(&[0; 960], 1).below_overload(), 127);
        assert_eq!(meter.measure(&[i16::MIN; 960], 1).below_overload(), 0);
        assert_eq!(meter.measure(&[], 1).below_overload(), 127);
    }

    #[test]
    fn voice_ends_120_ms_after_it_whatever_the_frame() {
        for frame in [960, 1_920, 2_880] {
            let mut meter = Meter::new();
            let buzz: Vec<i16> = (0..frame).map(|n| if n % 200 < 100 { 6_000 } else { -6_000 }).collect();
            assert!(meter.measure(&buzz, 1).is_voice());
            let on = (0..20).take_while(|_| meter.measure(&vec![0; frame], 1).is_voice()).count();
            assert!((60..120).contains(&(on * frame / 48)), "{frame}: {on}");
        }
    }
}
