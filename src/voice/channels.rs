//! One voice of a microphone's channels, or two that belong together, whichever they are on (SPEC
//! sections 13.2 and 13.7).
//!
//! A sum or a mean would be silence where two channels have opposite phase, and soft where most of
//! them hear nothing. So one channel is taken: the loudest, until another one is louder by 6 dB.
//! The change fades over 5 ms. The same holds for pairs of channels.

/// Chooses among the channels of a device, or among its pairs. All memory is taken when it is made.
pub struct Channels {
    /// What each channel had in this window, and how loud it was lately.
    each: Box<[Channel]>,
    /// How many belong together: 1 or 2.
    width: usize,
    chosen: usize,
    /// The one before, and its share.
    before: usize,
    share: f32,
    /// Frames of all channels in this window, and in a whole one.
    frames: u32,
    window: u32,
    /// How much the share falls with each frame.
    fade: f32,
}

#[derive(Clone, Copy, Default)]
struct Channel {
    sum: f32,
    squares: f32,
    power: f32,
}

impl Channels {
    /// For one voice of a device of so many channels, 1 at least, and so many samples a second.
    pub fn new(channels: u16, rate: u32) -> Self {
        Self::of_width(1, channels, rate)
    }

    /// For the left and the right side of such a device: its first and second channel, or its third
    /// and fourth, and so on. A channel that has no other one is both sides.
    pub fn pairs(channels: u16, rate: u32) -> Self {
        Self::of_width(2, channels, rate)
    }

    fn of_width(width: usize, channels: u16, rate: u32) -> Self {
        Self {
            each: vec![Channel::default(); usize::from(channels.max(1))].into(),
            width,
            chosen: 0,
            before: 0,
            share: 0.0,
            frames: 0,
            window: (rate / 100).max(1),
            fade: 200.0 / rate.max(200) as f32,
        }
    }

    /// The voice in one sample of each channel, all of them numbers; of a pair its left side.
    pub fn voice(&mut self, frame: impl Iterator<Item = f32>) -> f32 {
        let [left, _] = self.pair(frame);
        left
    }

    /// Both sides of the pair in one sample of each channel, all of them numbers; twice the same of
    /// one voice.
    pub fn pair(&mut self, frame: impl Iterator<Item = f32>) -> [f32; 2] {
        let (mut chosen, mut before) = ([0.0; 2], [0.0; 2]);
        for (n, (channel, sample)) in self.each.iter_mut().zip(frame).enumerate() {
            channel.sum += sample;
            channel.squares += sample * sample;
            let (group, side) = (n / self.width, n % self.width);
            if group == self.chosen {
                chosen.iter_mut().skip(side).for_each(|out| *out = sample);
            }
            if group == self.before {
                before.iter_mut().skip(side).for_each(|out| *out = sample);
            }
        }
        let share = self.share;
        self.share = (share - self.fade).max(0.0);
        self.frames += 1;
        if self.frames == self.window {
            self.choose();
        }
        let ([left, right], [old_left, old_right]) = (chosen, before);
        [left + (old_left - left) * share, right + (old_right - right) * share]
    }

    /// At the end of a window of 10 ms.
    fn choose(&mut self) {
        let frames = self.frames as f32;
        for channel in &mut self.each {
            // A channel that stands still at some voltage is as silent as one that stands at none.
            let now = (channel.squares / frames - (channel.sum / frames).powi(2)).max(0.0);
            *channel =
                Channel { power: channel.power + (now - channel.power) * FOLLOW, ..Channel::default() };
        }
        self.frames = 0;
        let mean = |group: &[Channel]| {
            group.iter().map(|channel| channel.power).sum::<f32>() / group.len().max(1) as f32
        };
        let groups = || self.each.chunks(self.width).map(mean).enumerate();
        let power = groups().find(|(n, _)| *n == self.chosen).map_or(0.0, |(_, power)| power);
        let loudest = groups().max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((loudest, louder)) = loudest
            && self.share == 0.0
            && louder > power * LOUDER
        {
            (self.before, self.chosen, self.share) = (self.chosen, loudest, 1.0);
        }
    }
}

/// By half with each window: another voice is taken after 30 ms.
const FOLLOW: f32 = 0.5;
/// 6 dB, in power.
const LOUDER: f32 = 4.0;

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    const RATE: u32 = 48_000;

    /// The power of a second of a tone that each channel hears in its own way, from the second
    /// tenth of it on.
    fn heard(channels: u16, hears: impl Fn(usize, usize) -> f32) -> f32 {
        let mut all = Channels::new(channels, RATE);
        let voice: Vec<f32> =
            (0..48_000).map(|n| all.voice((0..channels.into()).map(|channel| hears(channel, n)))).collect();
        voice[4_800..].iter().map(|sample| sample * sample).sum::<f32>() / (48_000.0 - 4_800.0)
    }

    fn tone(n: usize, phase: f32) -> f32 {
        0.5 * (TAU * (220.0 * n as f32 / RATE as f32 + phase)).sin()
    }

    #[test]
    fn a_voice_is_as_loud_as_on_one_channel_whatever_the_number_of_channels_and_their_phases() {
        for channels in 1..=32_u16 {
            let opposite = heard(channels, |channel, n| tone(n, 0.5 * (channel % 2) as f32));
            let around = heard(channels, |channel, n| tone(n, channel as f32 / f32::from(channels)));
            let last = heard(channels, |channel, n| {
                if channel + 1 == usize::from(channels) { tone(n, 0.0) } else { 0.001 * tone(3 * n, 0.3) }
            });
            for power in [opposite, around, last] {
                assert!((power / 0.125 - 1.0).abs() < 0.05, "{channels}: {opposite} {around} {last}");
            }
        }
    }

    #[test]
    fn a_channel_that_stands_at_a_voltage_is_silent() {
        let power = heard(4, |channel, n| if channel == 2 { 0.9 } else { tone(n, 0.0) });
        assert!((power / 0.125 - 1.0).abs() < 0.05, "{power}");
    }

    #[test]
    fn whoever_speaks_next_is_heard_on_another_channel_and_the_change_does_not_click() {
        let mut all = Channels::new(2, RATE);
        let said = |channel: usize, n: usize| {
            if (n >= 24_000) == (channel == 1) { tone(n, 0.25 * channel as f32) } else { 0.0 }
        };
        let voice: Vec<f32> = (0..48_000).map(|n| all.voice([said(0, n), said(1, n)].into_iter())).collect();
        let power = |range: std::ops::Range<usize>| {
            voice[range.clone()].iter().map(|sample| sample * sample).sum::<f32>() / range.len() as f32
        };
        assert!(power(4_800..24_000) > 0.12);
        assert!(power(25_920..48_000) > 0.12, "40 ms later");
        let roughest = voice.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(roughest < 0.03, "{roughest}");
    }

    #[test]
    fn two_sides_stay_two_of_whichever_pair_they_are_on() {
        for (channels, pair) in [(2, 0), (4, 1), (8, 2), (18, 8), (32, 15)] {
            let mut all = Channels::pairs(channels, RATE);
            let said = |n: usize| {
                (0..channels).map(move |channel| match usize::from(channel) {
                    left if left == 2 * pair => tone(n, 0.0),
                    right if right == 2 * pair + 1 => 0.1 * tone(3 * n, 0.0),
                    _ => 0.001 * tone(7 * n, 0.1),
                })
            };
            for n in 0..48_000 {
                let [left, right] = all.pair(said(n));
                if n >= 4_800 {
                    assert_eq!((left, right), (tone(n, 0.0), 0.1 * tone(3 * n, 0.0)), "{channels} {n}");
                }
            }
        }
    }

    #[test]
    fn a_channel_without_another_is_both_sides() {
        for (channels, odd) in [(1, 0), (3, 2), (5, 4)] {
            let mut all = Channels::pairs(channels, RATE);
            for n in 0..9_600 {
                let said = (0..channels).map(|channel| if channel == odd { tone(n, 0.0) } else { 0.0 });
                let sides = all.pair(said);
                assert!(n < 4_800 || sides == [tone(n, 0.0); 2], "{channels} {n}: {sides:?}");
            }
        }
    }
}
