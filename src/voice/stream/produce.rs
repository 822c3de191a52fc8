//! One step of a speaker's sound: the packet that is due is decoded, recovered from the next one or
//! concealed, and made a little shorter or longer (SPEC section 13.4).

use super::{PAUSE, Stream};
use crate::{
    codec::MAX_SAMPLES,
    media::OpusPacket,
    voice::{BLOCK, stretch},
};

impl Stream {
    /// Makes some sound, heard from `heard_at` on. `false` if there is nothing to be heard then.
    pub(super) fn produce(&mut self, heard_at: i64) -> bool {
        self.pcm.copy_within(self.taken * self.channels..self.len * self.channels, 0);
        (self.len, self.taken) = (self.len - self.taken, 0);
        let Some(next) = self.next else {
            let Some(first) = self.buffer.first_from(i64::MIN) else { return false };
            let due = self.buffer.due(first.at, self.patience());
            if heard_at + (BLOCK as i64) / 2 < due {
                return false;
            }
            let mut at = first.at;
            if heard_at - due > TOO_LATE {
                // A network that froze gives back everything at once: so much cannot be caught up
                // with.
                self.stats.dropped += self.buffer.forget_before(at + heard_at - due) as u64;
                let Some(first) = self.buffer.first_from(i64::MIN) else { return false };
                at = first.at;
                if heard_at + (BLOCK as i64) / 2 < self.buffer.due(at, self.patience()) {
                    return false;
                }
            }
            self.explain();
            self.next = Some(at);
            self.splice = true;
            self.play(heard_at);
            return true;
        };
        self.buffer.forget_before(next);
        let Some(waiting) = self.buffer.first_from(next) else { return self.starve(next) };
        let gap = waiting.at - next;
        if gap < SAME {
            self.play(heard_at);
        } else if gap > PAUSE {
            // It was silent for a while, and begins again: when that is due is for the clock to
            // say.
            self.fall_silent();
        } else if self.copies && gap <= self.frame && gap % 120 == 0 {
            self.recover(gap);
        } else {
            self.conceal_frame(next, gap);
        }
        true
    }

    /// Decodes the packet that is due, and makes it shorter or longer if it is heard too late or
    /// too early.
    fn play(&mut self, heard_at: i64) {
        let patience = self.patience();
        let Some(waiting) = self.next.and_then(|next| self.buffer.first_from(next)) else { return };
        let (at, samples) = (waiting.at, waiting.samples);
        let late = heard_at - self.buffer.due(at, patience);
        let packet = OpusPacket::parse(waiting.packet).ok();
        let room = self.pcm.get_mut(self.len * self.channels..(self.len + MAX_SAMPLES) * self.channels);
        let decoded = packet.zip(room).and_then(|(packet, room)| self.decoder.decode(packet, room).ok());
        self.buffer.forget_before(at + 1);
        match decoded {
            Some(len) => {
                self.count_lost();
                self.note(false);
                self.stats.played += 1;
                self.measure(len, heard_at);
                let before = self.drop_front(len, late.clamp(0, self.made_up));
                let len = self.stretch(before, late - (len - before) as i64);
                self.push(len);
            }
            None => {
                self.stats.broken += 1;
                let len = self.make_up(samples);
                self.push(len);
            }
        }
        (self.made_up, self.starved) = (0, 0);
        self.next = Some(at + samples);
    }

    /// Notes how loud the `len` samples are that were just decoded, if the packet does not say so.
    fn measure(&mut self, len: usize, now: i64) {
        if self.says_level {
            return;
        }
        if let Some(sound) = self.pcm.get(self.len * self.channels..(self.len + len) * self.channels) {
            self.level = self.meter.measure(sound, self.channels);
            self.measured = Some(now);
        }
    }

    /// Finds out what the frames were that were made up before a rest, now that a packet ends it:
    /// lost as far as counters are missing. Across a change of keys counters say nothing, and
    /// nothing is counted.
    fn explain(&mut self) {
        self.unexplained = self.unexplained.min(self.between.take().unwrap_or(0));
        self.count_lost();
    }

    /// Counts as lost what was made up before a packet that is there.
    fn count_lost(&mut self) {
        for _ in 0..std::mem::take(&mut self.unexplained) {
            self.note(true);
            self.stats.concealed += 1;
        }
    }

    /// Takes the lost packet from the one after it.
    fn recover(&mut self, gap: i64) {
        let Some(next) = self.next else { return };
        let Some(waiting) = self.buffer.first_from(next) else { return };
        let packet = OpusPacket::parse(waiting.packet).ok();
        let channels = self.channels;
        let lost = self.len * channels..(self.len + usize::try_from(gap).unwrap_or(0)) * channels;
        let room = self.pcm.get_mut(lost);
        let recovered = packet.zip(room).and_then(|(packet, room)| self.decoder.recover(packet, room).ok());
        self.count_lost();
        self.note(true);
        let len = match recovered {
            Some(len) => {
                self.stats.recovered += 1;
                len
            }
            None => {
                self.stats.concealed += 1;
                self.make_up(gap)
            }
        };
        // Part of its time was filled already while it could still have come.
        let len = self.drop_front(len, self.made_up);
        self.push(len);
        (self.made_up, self.starved) = (0, 0);
        self.next = Some(next + gap);
    }

    /// Makes up one packet of several that are lost.
    fn conceal_frame(&mut self, next: i64, gap: i64) {
        let whole = self.frame.min(gap);
        let rest = whole - self.made_up;
        self.count_lost();
        self.note(true);
        self.stats.concealed += 1;
        if rest >= 120 {
            let len = self.make_up(rest / 120 * 120);
            self.push(len);
        }
        self.starved += whole;
        self.made_up = 0;
        self.next = Some(next + whole);
    }

    /// Makes up a block, because nothing is there: the packet may still come.
    fn starve(&mut self, next: i64) -> bool {
        if self.starved >= GIVE_UP {
            self.fall_silent();
            return self.len > 0;
        }
        let len = self.make_up(BLOCK as i64);
        self.push(len);
        self.starved += BLOCK as i64;
        self.made_up += BLOCK as i64;
        if self.made_up >= self.frame {
            self.unexplained += 1;
            self.made_up -= self.frame;
            self.next = Some(next + self.frame);
        }
        true
    }

    /// Lets the last sample fade, and waits for the next packet.
    fn fall_silent(&mut self) {
        if let Some(tail) = self.made(DECLICK) {
            tail.fill(0);
            self.splice = true;
            self.push(DECLICK);
        }
        self.rest();
    }

    pub(super) fn rest(&mut self) {
        self.next = None;
        (self.made_up, self.starved, self.splice) = (0, 0, true);
    }

    /// The room for `len` samples of each channel behind what is there.
    fn made(&mut self, len: usize) -> Option<&mut [i16]> {
        self.pcm.get_mut(self.len * self.channels..(self.len + len) * self.channels)
    }

    /// Conceals into the room behind what is there.
    fn make_up(&mut self, samples: i64) -> usize {
        let len = usize::try_from(samples).unwrap_or(0).min(MAX_SAMPLES);
        let room = self.pcm.get_mut(self.len * self.channels..(self.len + len) * self.channels);
        let Some(room) = room else { return 0 };
        if self.decoder.conceal(room).is_err() {
            room.fill(0);
            self.splice = true;
        }
        self.stats.made_up_samples += len as u64;
        len
    }

    /// Drops the first samples of the `len` that were just made: their time is over.
    fn drop_front(&mut self, len: usize, samples: i64) -> usize {
        let drop = usize::try_from(samples).unwrap_or(0).min(len);
        if drop > 0 {
            let channels = self.channels;
            self.pcm
                .copy_within((self.len + drop) * channels..(self.len + len) * channels, self.len * channels);
            self.splice = true;
        }
        len - drop
    }

    /// Stretches the `len` samples that were just made, if they are heard `late`, or early if that
    /// is negative.
    fn stretch(&mut self, len: usize, late: i64) -> usize {
        if (-EARLY..LATE).contains(&late) {
            return len;
        }
        let channels = self.channels;
        let Some(sound) = self.pcm.get_mut(self.len * channels..) else { return len };
        let found = sound.get(..len * channels).and_then(|sound| stretch::period(sound, channels));
        let Some(period) = found else { return len };
        // What is not like itself is stretched only if there is no other way.
        if period.likeness < 0.5 && late.abs() < MUST_STRETCH {
            return len;
        }
        let stretched = match late {
            ..0 => period.lengthen(sound, len),
            // What is shortened by more than it is late is early then, and would be lengthened
            // again.
            _ if late < period.samples() as i64 => len,
            _ => period.shorten(sound, len),
        };
        self.stats.stretched_samples += stretched.abs_diff(len) as u64;
        stretched
    }

    /// Takes over the `len` samples behind what is there; a splice begins where the sound before it
    /// ended.
    fn push(&mut self, len: usize) {
        let Self { pcm, channels, last, splice, .. } = self;
        let new = pcm.get_mut(self.len * *channels..(self.len + len) * *channels).unwrap_or_default();
        if new.is_empty() {
            return;
        }
        let splice = std::mem::take(splice);
        for (channel, last) in last.iter_mut().enumerate().take(*channels) {
            let mut samples = new.iter_mut().skip(channel).step_by(*channels);
            let Some(first) = samples.next() else { continue };
            let step = if splice { f32::from(*last) - f32::from(*first) } else { 0.0 };
            if splice {
                let fades = std::iter::once(first).chain(samples).take(DECLICK).enumerate();
                for (at, sample) in fades {
                    let share = 1.0 - (at + 1) as f32 / DECLICK as f32;
                    *sample = (f32::from(*sample) + step * share) as i16;
                }
            }
            *last = new.iter().rev().nth(*channels - 1 - channel).copied().unwrap_or(*last);
        }
        self.len += len;
    }
}

/// Capture times are in milliseconds: less than two of them is the same moment.
const SAME: i64 = 96;
/// 1 s: what is caught up with by stretching takes five times as long.
const TOO_LATE: i64 = 48_000;
/// 120 ms without a packet: what is made up has faded away by then.
const GIVE_UP: i64 = 5_760;
/// 5 ms over which a step between two sounds is evened out.
const DECLICK: usize = 240;
/// 1.5 ms too early: soon the next packet will not be there in time.
const EARLY: i64 = 72;
/// 5 ms too late are not worth an effort.
const LATE: i64 = 240;
/// 60 ms are, whatever it sounds like.
const MUST_STRETCH: i64 = 2_880;
