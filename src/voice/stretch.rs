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
    /// In samples of each channel.
    lag: usize,
    channels: usize,
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

/// Looks for the period of a sound of so many interleaved channels, which have one; `None` if it is
/// too short.
pub(super) fn period(pcm: &[i16], channels: usize) -> Option<Period> {
    period_up_to(pcm, channels, LONGEST)
}

/// Looks for a period of at most so many samples; `None` if the sound or `most` is too short.
pub(super) fn period_up_to(pcm: &[i16], channels: usize, most: usize) -> Option<Period> {
    if most < SHORTEST || channels == 0 {
        return None;
    }
    let pattern = pcm.get(..FADE * channels)?;
    pcm.get(..SHORTEST_SOUND * channels)?;
    let energy = |samples| fourth(samples, channels).map(|s| s.powi(2)).sum::<f32>();
    let own = energy(pattern);
    let mut best = Period { lag: SHORTEST, channels, likeness: -1.0 };
    for lag in (SHORTEST..=LONGEST.min(most)).step_by(4) {
        let Some(other) = pcm.get(lag * channels..(lag + FADE) * channels) else { break };
        let product: f32 = fourth(pattern, channels).zip(fourth(other, channels)).map(|(a, b)| a * b).sum();
        let both = (own * energy(other)).sqrt();
        // Silence is like any other silence.
        let likeness = if both < QUIET { 1.0 } else { product / both };
        if likeness > best.likeness {
            best = Period { lag, channels, likeness };
        }
    }
    Some(best)
}

/// Of each fourth moment all channels.
fn fourth(pcm: &[i16], channels: usize) -> impl Iterator<Item = f32> + '_ {
    pcm.chunks_exact(channels).step_by(4).flatten().copied().map(f32::from)
}

/// Below this, sound is too soft for anybody to hear a splice: 60 samples of about 16.
const QUIET: f32 = 60.0 * 256.0;

impl Period {
    /// Shortens the first `len` samples of each channel by one period in place, and returns how
    /// many are left.
    pub(super) fn shorten(self, pcm: &mut [i16], len: usize) -> usize {
        let Self { lag, channels, .. } = self;
        let fits = len * channels <= pcm.len() && len >= lag + FADE;
        let Some(shorter) = len.checked_sub(lag).filter(|_| fits) else { return len };
        for at in 0..FADE * channels {
            if let (Some(a), Some(b)) = (pcm.get(at).copied(), pcm.get(at + lag * channels).copied())
                && let Some(out) = pcm.get_mut(at)
            {
                *out = fade(a, b, at / channels);
            }
        }
        pcm.copy_within((lag + FADE) * channels..len * channels, FADE * channels);
        shorter
    }

    /// Lengthens the first `len` samples of each channel by one period in place, and returns how
    /// many there are then; as many as before if there is no room.
    pub(super) fn lengthen(self, pcm: &mut [i16], len: usize) -> usize {
        let Self { lag, channels, .. } = self;
        let longer = len + lag;
        if longer * channels > pcm.len() || len < lag + FADE {
            return len;
        }
        // From the back: x[W..] goes to its new place, then the splice is made of what still stands
        // in front.
        pcm.copy_within(FADE * channels..len * channels, (FADE + lag) * channels);
        // pcm[W..W+L] now holds a mixture of old samples: x[W..] where the move did not reach,
        // which is all of it up to W + L.
        for at in (0..FADE * channels).rev() {
            // x[L + at] stands at its old place if that is in front of W + L, which it is.
            if let (Some(a), Some(b)) = (pcm.get(lag * channels + at).copied(), pcm.get(at).copied())
                && let Some(out) = pcm.get_mut(lag * channels + at)
            {
                *out = fade(a, b, at / channels);
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
            let found = period(&sound, 1).unwrap();
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
        assert_eq!(period(&[5; SHORTEST_SOUND - 1], 1), None);
        let found = period(&[0; 1_920], 1).unwrap();
        let mut short = [7; 100];
        assert_eq!((found.shorten(&mut short, 100), found.lengthen(&mut short, 100)), (100, 100));
        assert_eq!(found.lengthen(&mut [0; 1_920], 1_920), 1_920);
    }

    #[test]
    fn two_channels_are_stretched_as_one() {
        for hertz in [150.0, 400.0] {
            let one = tone(hertz, 1_920);
            let two: Vec<i16> = one.iter().flat_map(|sample| [*sample, -*sample]).collect();
            let (of_one, of_two) = (period(&one, 1).unwrap(), period(&two, 2).unwrap());
            assert_eq!(of_one.samples(), of_two.samples());
            for longer in [false, true] {
                let stretch = |period: Period, pcm: &[i16]| {
                    let mut pcm = pcm.to_vec();
                    pcm.resize(2 * pcm.len(), 0);
                    let len = if longer {
                        period.lengthen(&mut pcm, 1_920)
                    } else {
                        period.shorten(&mut pcm, 1_920)
                    };
                    pcm.truncate(len * period.channels);
                    pcm
                };
                let (one, two) = (stretch(of_one, &one), stretch(of_two, &two));
                let expected: Vec<i16> = one.iter().flat_map(|sample| [*sample, -*sample]).collect();
                assert_eq!(two, expected);
            }
        }
        assert_eq!(period(&[5; 2 * SHORTEST_SOUND - 1], 2), None);
        assert_eq!(period(&[5; 2_000], 0), None);
    }

    proptest! {
        #[test]
        fn the_splice_is_what_the_picture_says(seed in any::<u64>(), len in SHORTEST_SOUND..2_000) {
            let mut state = seed | 1;
            let sound: Vec<i16> = (0..len).map(|_| { state ^= state << 13; state ^= state >> 7; state ^= state << 17; state as i16 }).collect();
            let found = period(&sound, 1).unwrap();
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
