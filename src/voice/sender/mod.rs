//! Samples of a microphone in, a packet on every tick out (SPEC section 13.2).
//!
//! ```text
//! capture(pcm) > one channel > 48 kHz > frames > level, Opus > ready        whenever samples come
//! next_packet(now)                       ready > sealer > network           on the tick, whatever was said
//! ```

mod frames;

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

#[cfg(feature = "processing")]
use super::Processing;
use super::{
    SenderOptions, VoiceError, channels::Channels, check_format, converter::Converter, level::Meter,
};
use crate::{
    codec::{Encoder, FrameLength, MAX_SAMPLES},
    id::CaptureTime,
    media::{HEADROOM, Level, Loss, Notes, PacketSize, SealError, Sealer, Stamp, TAILROOM},
};

/// Turns a microphone's samples into packets that leave on a fixed tick, all of one size.
///
/// Owned by the media thread. No lock, no clock, and no allocation once it is made. While it is
/// live a packet leaves on every tick, in pauses and muted too; when it is not, none does, and
/// everybody sees that.
pub struct Sender {
    encoder: Encoder,
    frame: FrameLength,
    channels: usize,
    rate: usize,
    /// Channels of a packet.
    sides: usize,
    voice: Channels,
    converter: Converter,
    #[cfg(feature = "processing")]
    processing: Option<Box<Processing>>,
    meter: Meter,
    /// Samples at 48 kHz that are not a frame yet, channels interleaved.
    pending: VecDeque<i16>,
    /// Encoded frames that wait for their tick.
    ready: VecDeque<Encoded>,
    spare: Vec<Encoded>,
    pcm: Vec<i16>,
    live: Option<Live>,
    /// The least capture time that the next packet may have.
    earliest: u64,
    muted: bool,
    /// The share of the microphone, so that muting does not click.
    gain: f32,
    report: Loss,
    expected: Loss,
    /// What the encoder was told.
    protected: Loss,
    /// When `expected` may fall.
    expires: Option<Instant>,
    /// The least that waited in the last ticks, and how many those were.
    backlog: (usize, u32),
    /// The most samples that came at a time of late, and before that.
    blocks: [usize; 2],
    owed: Owed,
    /// How loud the newest frame is.
    level: Level,
    stats: SenderStats,
    sealed: Box<[u8; SEALED]>,
}

/// By what frames are to be stretched, because the microphone's clock is not ours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// Too much waits: frames of more samples than they have, by so many in all.
    Shorten(usize),
    /// Too little waits: one frame of fewer.
    Lengthen,
}

struct Live {
    /// When the first packet left or leaves.
    since: Instant,
    /// Milliseconds since 1970 at `since`.
    unix_ms: u64,
    ticks: u64,
}

struct Encoded {
    bytes: [u8; PacketSize::MAX as usize],
    len: usize,
    level: Level,
    muted: bool,
}

/// One packet before it is sealed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet<'a> {
    /// The Opus packet.
    pub opus: &'a [u8],
    /// What belongs inside the seal with it.
    pub stamp: Stamp,
}

/// What was said does not belong in a log.
impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({} bytes)", self.opus.len())
    }
}

/// What became of the microphone's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SenderStats {
    /// Packets that left.
    pub packets: u64,
    /// Of those, packets of silence because the microphone's samples had not come in time.
    pub filled: u64,
    /// Ticks that passed without a packet, because the media thread was late by several.
    pub skipped: u64,
    /// Frames that were dropped because too many waited.
    pub dropped: u64,
    /// Samples that were no numbers, and were taken for silence.
    pub not_numbers: u64,
    /// Samples by which frames were shortened, because the microphone's clock is faster than ours.
    pub shortened: u64,
    /// Samples by which frames were lengthened, because the microphone's clock is slower than ours.
    pub lengthened: u64,
}

impl Sender {
    /// A speaker that is not live and not muted.
    ///
    /// # Errors
    /// [`VoiceError::Rate`], [`VoiceError::Channels`], [`VoiceError::Codec`] if packets of that
    /// size are too small.
    pub fn new(options: SenderOptions) -> Result<Self, VoiceError> {
        check_format(options.rate, options.channels)?;
        let SenderOptions { sound, rate, channels, .. } = options;
        let encoder = Encoder::of_sound(sound, options.frame, options.size, options.authenticity)?;
        let (frame, sides) = (encoder.frame(), usize::from(sound.channels()));
        let vacant = || Encoded {
            bytes: [0; PacketSize::MAX as usize],
            len: 0,
            level: Level::default(),
            muted: false,
        };
        Ok(Self {
            encoder,
            frame,
            channels: channels.into(),
            rate: rate as usize,
            sides,
            voice: if sides == 2 { Channels::pairs(channels, rate) } else { Channels::new(channels, rate) },
            converter: Converter::new(rate, 48_000, sides)?,
            #[cfg(feature = "processing")]
            processing: None,
            meter: Meter::new(),
            pending: VecDeque::with_capacity(PENDING * sides),
            ready: VecDeque::with_capacity(READY / frame.samples()),
            spare: (0..READY / frame.samples()).map(|_| vacant()).collect(),
            pcm: Vec::with_capacity(MAX_SAMPLES * sides),
            live: None,
            earliest: 0,
            muted: false,
            gain: 1.0,
            report: Loss::Unknown,
            expected: Loss::Below7,
            protected: Loss::Below7,
            expires: None,
            backlog: (usize::MAX, 0),
            blocks: [0; 2],
            owed: Owed::Nothing,
            level: Level::default(),
            stats: SenderStats::default(),
            sealed: Box::new([0; SEALED]),
        })
    }

    /// Goes live, or stops. The first packet leaves one frame after `now`; `unix_ms` is the same
    /// moment in milliseconds since 1970, or later if that would be before a packet that has left.
    /// Going live while live changes nothing.
    pub fn set_live(&mut self, live: bool, now: Instant, unix_ms: u64) {
        if live == self.live.is_some() {
            return;
        }
        self.pending.clear();
        self.spare.extend(self.ready.drain(..));
        self.backlog = (usize::MAX, 0);
        self.owed = Owed::Nothing;
        self.level = Level::default();
        // Capture times never go back: a wall clock that was set back in the pause is behind its
        // own packets.
        let unix_ms = unix_ms.max(self.earliest);
        self.live = live.then(|| Live { since: now + self.length(), unix_ms, ticks: 0 });
    }

    /// Whether packets leave.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Switches the microphone off or on. Packets go on as before; whoever hears them is told.
    pub fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// How loud we are and whether we speak, as everybody is told: of the newest frame, so that it
    /// follows the microphone by a frame. Silence while we are muted or not live.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Says how much we lose of what we hear, which travels in our packets: what
    /// [`Receiver::loss`](super::Receiver::loss) says.
    pub fn report(&mut self, loss: Loss) {
        self.report = loss;
    }

    /// Cleans what the microphone hears from now on, or takes it as it is.
    #[cfg(feature = "processing")]
    pub fn process(&mut self, processing: Option<Processing>) {
        self.processing = processing.map(|processing| Box::new(processing.for_sides(self.sides)));
    }

    /// Takes what the loudspeaker plays, in the format that [`Processing`] was made for, so that
    /// the microphone's echo of it can be taken out. Give it when it is handed to the device, so
    /// before its echo is captured. Without a processing, or while it is not live, it does nothing.
    ///
    /// # Errors
    /// [`VoiceError::Ragged`]; no sample was taken then.
    #[cfg(feature = "processing")]
    pub fn handle_played(&mut self, pcm: &[f32]) -> Result<(), VoiceError> {
        match &mut self.processing {
            Some(processing) if self.live.is_some() => processing.handle_played(pcm),
            _ => Ok(()),
        }
    }

    /// Takes what receivers report of their loss, and protects what is sent accordingly: at once
    /// against more, against less after ten seconds.
    pub fn handle_report(&mut self, loss: Loss, now: Instant) {
        if loss == Loss::Unknown {
            return;
        }
        if loss >= self.expected || self.expires.is_none_or(|at| at <= now) {
            self.expected = loss;
            self.expires = Some(now + REPORT_HOLDS);
        }
    }

    /// Takes samples of the microphone, channels interleaved, full scale from -1 to 1. As many as
    /// there are, whenever they come.
    ///
    /// What is not a number is taken for silence and counted. While it is not live, all is dropped.
    ///
    /// # Errors
    /// [`VoiceError::Ragged`]; no sample was taken then. [`VoiceError::Codec`] if libopus fails.
    pub fn capture(&mut self, pcm: &[f32]) -> Result<(), VoiceError> {
        if !pcm.len().is_multiple_of(self.channels) {
            return Err(VoiceError::Ragged);
        }
        if self.live.is_none() {
            return Ok(());
        }
        let [most, _] = &mut self.blocks;
        *most = (pcm.len() / self.channels).max(*most);
        for frame in pcm.chunks_exact(self.channels) {
            let not_numbers = &mut self.stats.not_numbers;
            let voice = self.voice.pair(frame.iter().map(|sample| {
                if sample.is_finite() {
                    sample.clamp(-1.0, 1.0)
                } else {
                    *not_numbers += 1;
                    0.0
                }
            }));
            voice.into_iter().take(self.sides).for_each(|sample| self.take(sample));
            if self.pending.len() >= (self.frame.samples() + self.wanted()) * self.sides {
                self.encode()?;
            }
        }
        Ok(())
    }

    /// Puts one sample of one side behind those that wait, at 48 kHz.
    fn take(&mut self, voice: f32) {
        let wanted = if self.muted { 0.0 } else { 1.0 };
        let (most, fade) = (PENDING * self.sides, FADE / self.sides as f32);
        let Self { converter, pending, gain, .. } = self;
        #[cfg(feature = "processing")]
        let processing = &mut self.processing;
        let mut wait = |sample: f32| {
            *gain += (wanted - *gain).clamp(-fade, fade);
            // Where there is no room there is none for both sides.
            if pending.len() < most {
                pending.push_back((sample * *gain * 32_767.0).clamp(-32_768.0, 32_767.0) as i16);
            }
        };
        converter.push(voice, |converted| {
            #[cfg(feature = "processing")]
            if let Some(processing) = processing {
                processing.clean(converted, &mut wait);
                return;
            }
            converted.iter().for_each(|sample| wait(*sample));
        });
    }

    /// When the next packet leaves, while it is live.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let live = self.live.as_ref()?;
        Some(live.since + self.length() * u32::try_from(live.ticks).ok()?)
    }

    /// The packet whose tick has come, for a sealer or
    /// [`Session::speak`](crate::driver::Session::speak). Call it until there is none.
    ///
    /// If the microphone is late it holds what there is, stretched, or silence. After more than
    /// three ticks without a call the missed ones are skipped.
    pub fn next_packet(&mut self, now: Instant) -> Option<Packet<'_>> {
        let stamp = self.take_due(now)?;
        let sent = self.spare.last()?;
        Some(Packet { opus: sent.bytes.get(..sent.len)?, stamp })
    }

    /// Seals the packet whose tick has come, and returns it. Call it until there is none.
    ///
    /// # Errors
    /// As [`Sealer::seal`]. The packet is dropped then, and the next tick comes as always.
    pub fn seal_next(&mut self, now: Instant, sealer: &mut Sealer) -> Option<Result<&[u8], SealError>> {
        let stamp = self.take_due(now)?;
        let sent = self.spare.last()?;
        let opus = sent.bytes.get(..sent.len)?;
        self.sealed.get_mut(HEADROOM..HEADROOM + opus.len())?.copy_from_slice(opus);
        Some(sealer.seal(&mut self.sealed[..], sent.len, stamp).map(|packet| &*packet))
    }

    /// Puts the packet whose tick has come at the end of `spare`, and returns its stamp.
    fn take_due(&mut self, now: Instant) -> Option<Stamp> {
        let due = self.poll_timeout()?;
        let late = now.checked_duration_since(due)?;
        let missed = late.as_millis() / u128::from(self.frame.millis());
        if missed > 3 {
            let missed = u64::try_from(missed).unwrap_or(u64::MAX);
            self.stats.skipped += missed;
            if let Some(live) = &mut self.live {
                live.ticks += missed;
            }
            // What was recorded for them is over too, as far as more waits than the present tick
            // takes.
            let over = usize::try_from(missed).unwrap_or(usize::MAX).min(self.ready.len().saturating_sub(1));
            self.spare.extend(self.ready.drain(..over));
        }
        if self.ready.is_empty() {
            self.fill();
        }
        self.watch_backlog();
        let encoded = self.ready.pop_front()?;
        let live = self.live.as_mut()?;
        let captured = CaptureTime(live.unix_ms + live.ticks * u64::from(self.frame.millis()));
        live.ticks += 1;
        self.earliest = captured.0 + u64::from(self.frame.millis());
        self.stats.packets += 1;
        let notes = Notes { muted: encoded.muted, loss: self.report };
        let stamp = Stamp { captured, level: encoded.level, notes };
        self.spare.push(encoded);
        Some(stamp)
    }

    /// What became of the microphone's samples.
    pub fn stats(&self) -> SenderStats {
        self.stats
    }

    fn length(&self) -> Duration {
        Duration::from_millis(self.frame.millis().into())
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("live", &self.is_live())
            .field("muted", &self.muted)
            .finish_non_exhaustive()
    }
}

/// Sound that waits for its tick at most: 640 ms, for devices that give so much at a time.
const READY: usize = 30_720;
/// Samples of each channel that are not a frame yet.
const PENDING: usize = 2 * MAX_SAMPLES;
/// A sealed packet and what the sealer needs around it.
const SEALED: usize = HEADROOM + PacketSize::MAX as usize + TAILROOM;
/// How long a report of loss holds against lower ones.
const REPORT_HOLDS: Duration = Duration::from_secs(10);
/// 5 ms at 48 kHz from full to off.
const FADE: f32 = 1.0 / 240.0;
