//! Makes a stretch of speech a little shorter or longer without changing its pitch (SPEC section
//! 13.4).
//!
//! ```text
//! shorter   x[0..W] fades into x[L..L+W], then x[L+W..]          L is where the sound is most like itself
//! longer    x[0..L], x[L..L+W] fades into x[0..W], then x[W..]
//! ```
//!
//! Both begin with the first sample and end with the last one, so that neighbours fit without a
//! click.

/// By how many samples a sound may be shortened or lengthened at once, and how alike it is to
/// itself there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Period {
    lag: usize,
    /// 1 for a sound that repeats itself exactly; 1 for silence too.
    pub(super) likeness: f32,
}

/// Samples over which one copy fades into the other: 5 ms.
pub(super) const FADE: usize = 240;
/// 2.5 to 12.5 ms, the periods of voices from 80 to 400 Hz.
const SHORTEST: usize = 120;
const LONGEST: usize = 600;
/// What a sound must have to be stretched.
pub(super) const SHORTEST_SOUND: usize = LONGEST + FADE;

/// Looks for the period of a sound; `None` if it is too short.
pub(super) fn period(pcm: &[i16]) -> Option<Period> {
    period_up_to(pcm, LONGEST)
}

/// Looks for a period of at most so many samples; `None` if the sound or `most` is too short.
pub(super) fn period_up_to(pcm: &[i16], most: usize) -> Option<Period> {
    if most < SHORTEST {
        return None;
    }
    let pattern = pcm.get(..FADE)?;
    pcm.get(..SHORTEST_SOUND)?;
    let energy = |samples: &[i16]| samples.iter().step_by(4).map(|s| f32::from(*s).powi(2)).sum::<f32>();
    let own = energy(pattern);
    let mut best = Period { lag: SHORTEST, likeness: -1.0 };
    for lag in (SHORTEST..=LONGEST.min(most)).step_by(4) {
        let Some(other) = pcm.get(lag..lag + FADE) else { break };
        let product: f32 =
            pattern.iter().zip(other).step_by(4).map(|(a, b)| f32::from(*a) * f32::from(*b)).sum();
        let both = (own * energy(other)).sqrt();
        // Silence is like any other silence.
        let likeness = if both < QUIET { 1.0 } else { product / both };
        if likeness > best.likeness {
            best = Period { lag, likeness };
        }
    }
    Some(best)
}

/// Below this, sound is too soft for anybody to hear a splice: 60 samples of about 16.
const QUIET: f32 = 60.0 * 256.0;

impl Period {
    /// Shortens `pcm[..len]` by one period in place, and returns its new length.
    pub(super) fn shorten(self, pcm: &mut [i16], len: usize) -> usize {
        let Some(shorter) = len.checked_sub(self.lag).filter(|_| len <= pcm.len() && len >= self.lag + FADE)
        else {
            return len;
        };
        for at in 0..FADE {
            if let (Some(a), Some(b)) = (pcm.get(at).copied(), pcm.get(at + self.lag).copied())
                && let Some(out) = pcm.get_mut(at)
            {
                *out = fade(a, b, at);
            }
        }
        pcm.copy_within(self.lag + FADE..len, FADE);
        shorter
    }

    /// Lengthens `pcm[..len]` by one period in place, and returns its new length; the same one if
    /// there is no room.
    pub(super) fn lengthen(self, pcm: &mut [i16], len: usize) -> usize {
        let longer = len + self.lag;
        if longer > pcm.len() || len < self.lag + FADE {
            return len;
        }
        // From the back: x[W..] goes to its new place, then the splice is made of what still stands
        // in front.
        pcm.copy_within(FADE..len, FADE + self.lag);
        // pcm[W..W+L] now holds a mixture of old samples: x[W..] where the move did not reach,
        // which is all of it up to W + L.
        for at in (0..FADE).rev() {
            // x[L + at] stands at its old place if that is in front of W + L, which it is.
            if let (Some(a), Some(b)) = (pcm.get(self.lag + at).copied(), pcm.get(at).copied())
                && let Some(out) = pcm.get_mut(self.lag + at)
            {
                *out = fade(a, b, at);
            }
        }
        longer
    }

    /// By how many samples the length changes.
    pub(super) fn samples(self) -> usize {
        self.lag
    }
}

fn fade(from: i16, to: i16, at: usize) -> i16 {
    let (at, fade) = (at as i32, FADE as i32);
    ((i32::from(from) * (fade - at) + i32::from(to) * at) / fade) as i16
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use proptest::prelude::*;

    use super::*;

    fn tone(hertz: f32, len: usize) -> Vec<i16> {
        (0..len).map(|n| (8_000.0 * (TAU * hertz * n as f32 / 48_000.0).sin()) as i16).collect()
    }

    /// The largest step from one sample to the next.
    fn roughest(pcm: &[i16]) -> i32 {
        pcm.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap()
    }

    #[test]
    fn a_tone_loses_or_gains_whole_periods_and_no_sample_jumps() {
        for hertz in [100.0, 150.0, 220.0, 400.0] {
            let sound = tone(hertz, 1_920);
            let found = period(&sound).unwrap();
            assert!(found.likeness > 0.99, "{hertz}: {found:?}");
            let mut buffer = sound.clone();
            buffer.resize(4_000, 0);
            let shorter = found.shorten(&mut buffer, 1_920);
            assert_eq!(shorter, 1_920 - found.samples());
            assert!(roughest(&buffer[..shorter]) <= roughest(&sound) + 60, "{hertz}");
            assert_eq!((buffer[0], buffer[shorter - 1]), (sound[0], sound[1_919]));

            let mut buffer = sound.clone();
            buffer.resize(4_000, 0);
            let longer = found.lengthen(&mut buffer, 1_920);
            assert_eq!(longer, 1_920 + found.samples());
            assert!(roughest(&buffer[..longer]) <= roughest(&sound) + 60, "{hertz}");
            assert_eq!((buffer[0], buffer[longer - 1]), (sound[0], sound[1_919]));
        }
    }

    #[test]
    fn what_is_too_short_stays_as_it_is() {
        assert_eq!(period(&[5; SHORTEST_SOUND - 1]), None);
        let found = period(&[0; 1_920]).unwrap();
        let mut short = [7; 100];
        assert_eq!((found.shorten(&mut short, 100), found.lengthen(&mut short, 100)), (100, 100));
        assert_eq!(found.lengthen(&mut [0; 1_920], 1_920), 1_920);
    }

    proptest! {
        #[test]
        fn the_splice_is_what_the_picture_says(seed in any::<u64>(), len in SHORTEST_SOUND..2_000) {
            let mut state = seed | 1;
            let sound: Vec<i16> = (0..len).map(|_| { state ^= state << 13; state ^= state >> 7; state ^= state << 17; state as i16 }).collect();
            let found = period(&sound).unwrap();
            let lag = found.samples();
            let mut buffer = sound.clone();
            buffer.resize(len + LONGEST, 0);
            let mut expected: Vec<i16> = sound[..lag].to_vec();
            expected.extend((0..FADE).map(|at| fade(sound[lag + at], sound[at], at)));
            expected.extend(&sound[FADE..]);
            let longer = found.lengthen(&mut buffer, len);
            prop_assert_eq!(&buffer[..longer], &expected[..]);
            let mut buffer = sound.clone();
            let mut expected: Vec<i16> = (0..FADE).map(|at| fade(sound[at], sound[at + lag], at)).collect();
            expected.extend(&sound[lag + FADE..]);
            let shorter = found.shorten(&mut buffer, len);
            prop_assert_eq!(&buffer[..shorter], &expected[..]);
        }
    }
}
