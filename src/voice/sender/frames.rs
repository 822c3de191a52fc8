//! From samples that wait to encoded frames: stretched where the microphone's clock is not ours, or
//! where it is late (SPEC section 13.2).

use super::{Owed, Sender};
use crate::{
    media::Level,
    voice::{VoiceError, stretch},
};

impl Sender {
    /// Samples besides a frame that are wanted to shorten it.
    pub(super) fn wanted(&self) -> usize {
        if matches!(self.owed, Owed::Shorten(_)) { SHORTEN_FROM } else { 0 }
    }

    /// Encodes the next frame.
    pub(super) fn encode(&mut self) -> Result<(), VoiceError> {
        let samples = self.frame.samples();
        self.pcm.clear();
        self.pcm.extend(self.pending.iter().take((samples + self.wanted()) * self.sides).copied());
        let taken = match self.owed {
            Owed::Nothing => samples,
            Owed::Shorten(by) => self.shorten(samples, by),
            Owed::Lengthen => self.lengthen(samples),
        };
        self.pending.drain(..(taken * self.sides).min(self.pending.len()));
        self.keep()
    }

    /// Makes one frame of more samples than it has, by `by` at most, and returns of how many.
    fn shorten(&mut self, samples: usize, by: usize) -> usize {
        let sides = self.sides;
        let most = by.min((self.pcm.len() / sides).saturating_sub(samples));
        let found = stretch::period_up_to(&self.pcm, sides, most);
        let Some(period) = found.filter(|period| period.likeness > 0.5) else {
            self.pcm.truncate(samples * sides);
            return samples;
        };
        let taken = samples + period.samples();
        self.pcm.truncate(taken * sides);
        let len = period.shorten(&mut self.pcm, taken);
        self.pcm.truncate(len * sides);
        let left = by - period.samples();
        self.owed = if left < SHORTEN_BY { Owed::Nothing } else { Owed::Shorten(left) };
        self.stats.shortened += period.samples() as u64;
        taken
    }

    /// Makes one frame of fewer samples than it has, and returns of how many.
    fn lengthen(&mut self, samples: usize) -> usize {
        // What is repeated must not reach into what is left away.
        let most = samples.saturating_sub(stretch::FADE) / 2;
        let found = stretch::period_up_to(&self.pcm, self.sides, most);
        let Some(period) = found.filter(|period| period.likeness > 0.5) else { return samples };
        let fewer = samples.saturating_sub(period.samples());
        if period.lengthen(&mut self.pcm, fewer) != samples {
            return samples;
        }
        self.owed = Owed::Nothing;
        self.stats.lengthened += period.samples() as u64;
        fewer
    }

    /// Makes a frame of what there is, if that is half of one at least: the rest of it is late.
    fn encode_early(&mut self) -> Result<bool, VoiceError> {
        let (samples, sides) = (self.frame.samples(), self.sides);
        let there = (self.pending.len() / sides).min(samples);
        if there < least_stretched(samples) {
            return Ok(false);
        }
        self.pcm.clear();
        self.pcm.extend(self.pending.iter().take(there * sides).copied());
        self.pcm.resize(2 * samples * sides, 0);
        let mut len = there;
        while len < samples {
            let Some(period) = self.pcm.get(..len * sides).and_then(|pcm| stretch::period(pcm, sides)) else {
                return Ok(false);
            };
            let longer = period.lengthen(&mut self.pcm, len);
            if longer == len {
                return Ok(false);
            }
            len = longer;
        }
        // What became too much is still there for the next frame.
        let surplus = (len - samples).min(there);
        self.pcm.truncate(samples * sides);
        self.pending.drain(..(there - surplus) * sides);
        self.stats.lengthened += (samples - (there - surplus)) as u64;
        self.keep()?;
        Ok(true)
    }

    /// Encodes `pcm` and puts it behind what waits for its tick.
    fn keep(&mut self) -> Result<(), VoiceError> {
        if self.expected != self.protected {
            self.encoder.expect_loss(self.expected.percent())?;
            self.protected = self.expected;
        }
        let measured = self.meter.measure(&self.pcm, self.sides);
        let level = if self.muted { Level::default() } else { measured };
        if self.spare.is_empty() {
            // The media thread does not come to fetch them: what is oldest is worth least.
            self.spare.extend(self.ready.pop_front());
            self.stats.dropped += 1;
        }
        let Some(mut place) = self.spare.pop() else { return Ok(()) };
        place.level = level;
        self.level = level;
        place.muted = self.muted;
        match self.encoder.encode(&self.pcm, &mut place.bytes) {
            Ok(len) => {
                place.len = len;
                self.ready.push_back(place);
                Ok(())
            }
            Err(error) => {
                self.spare.push(place);
                Err(error.into())
            }
        }
    }

    /// Makes a frame although the microphone has not given a whole one: of what there is, else of
    /// silence.
    pub(super) fn fill(&mut self) {
        if matches!(self.encode_early(), Ok(true)) {
            return;
        }
        self.pcm.clear();
        self.pcm.resize(self.frame.samples() * self.sides, 0);
        self.stats.filled += 1;
        // Without a packet this tick is lost, and counted by whoever listens.
        let _ = self.keep();
    }

    /// If for a while more waited than was ever needed, frames become shorter until it does not; if
    /// it was hardly enough, one becomes longer.
    pub(super) fn watch_backlog(&mut self) {
        let waits =
            self.pending.len() / self.sides + self.ready.len().saturating_sub(1) * self.frame.samples();
        let (least, ticks) = self.backlog;
        self.backlog = (least.min(waits), ticks + 1);
        if self.backlog.1 < WATCHED {
            return;
        }
        let [most, before] = self.blocks;
        // A block that comes after a tick instead of before it is missing there: what is left must
        // still be enough to stretch.
        let frame = self.frame.samples();
        let block = (most.max(before) * 48_000).div_ceil(self.rate).min(frame);
        let enough = ENOUGH + (least_stretched(frame) + block).saturating_sub(frame);
        let least = self.backlog.0;
        self.owed = match least.checked_sub(enough + ENOUGH) {
            _ if least < enough => Owed::Lengthen,
            Some(by) if by >= SHORTEN_BY => Owed::Shorten(by),
            _ => Owed::Nothing,
        };
        self.blocks = [0, most];
        self.backlog = (usize::MAX, 0);
    }
}

/// The least that a frame is stretched from: half of it, and enough to find its period.
fn least_stretched(frame: usize) -> usize {
    (frame / 2).max(stretch::SHORTEST_SOUND)
}

/// Ticks after which the backlog is judged: 4 s of 40 ms.
const WATCHED: u32 = 100;
/// 5 ms may always wait, and up to twice as much.
const ENOUGH: usize = 240;
/// What a frame may be shortened by: 2.5 to 12.5 ms.
const SHORTEN_BY: usize = 120;
const SHORTEN_FROM: usize = 600;
