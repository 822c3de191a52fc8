//! One voice of a microphone's channels, whichever of them it is on (SPEC section 13.2).
//!
//! A sum or a mean would be silence where two channels have opposite phase, and soft where most of
//! them hear nothing. So one channel is taken: the loudest, until another one is louder by 6 dB.
//! The change fades over 5 ms.

/// Chooses among the channels of a device. All memory is taken when it is made.
pub struct Channels {
    /// What each channel had in this window, and how loud it was lately.
    each: Box<[Channel]>,
    chosen: usize,
    /// The channel before, and its share.
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
    /// For a device of so many channels, 1 at least, and so many samples a second.
    pub fn new(channels: u16, rate: u32) -> Self {
        Self {
            each: vec![Channel::default(); usize::from(channels.max(1))].into(),
            chosen: 0,
            before: 0,
            share: 0.0,
            frames: 0,
            window: (rate / 100).max(1),
            fade: 200.0 / rate.max(200) as f32,
        }
    }

    /// The voice in one sample of each channel, all of them numbers.
    pub fn voice(&mut self, frame: impl Iterator<Item = f32>) -> f32 {
        let (mut chosen, mut before) = (0.0, 0.0);
        for (n, (channel, sample)) in self.each.iter_mut().zip(frame).enumerate() {
            channel.sum += sample;
            channel.squares += sample * sample;
            if n == self.chosen {
                chosen = sample;
            }
            if n == self.before {
                before = sample;
            }
        }
        let out = chosen + (before - chosen) * self.share;
        self.share = (self.share - self.fade).max(0.0);
        self.frames += 1;
        if self.frames == self.window {
            self.choose();
        }
        out
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
        let loudest = self.each.iter().enumerate().max_by(|a, b| a.1.power.total_cmp(&b.1.power));
        let power = self.each.get(self.chosen).map_or(0.0, |channel| channel.power);
        if let Some((loudest, channel)) = loudest
            && self.share == 0.0
            && channel.power > power * LOUDER
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
}
