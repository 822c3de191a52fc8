//! Opened packets of everybody in, one stream of sound out (SPEC sections 13.3 to 13.5).

use std::time::{Duration, Instant};

use super::{
    BLOCK, ReceiverOptions, Talker, VoiceError, check_format,
    mix::Mix,
    ranking::{Bar, handicap},
    stream::{Arrival, Stream, UNKNOWN_LEVEL},
    tuning::{Tuning, TuningError, Tunings},
};
#[cfg(feature = "room")]
use crate::{driver, media::MalformedOpus};
use crate::{
    id::{Counter, Epoch, MemberId, Step},
    media::{Level, Loss, Notes, Opened, OpusPacket, Proof, opus::duration_of},
};

/// Plays what an [`Opener`](crate::Opener) opened: in order, at an even pace, mixed.
///
/// Owned by the media thread. No lock, no clock, and no allocation once it is made. Each speaker
/// has a jitter buffer and a decoder, which stay through changes of epoch, so that nobody hears
/// one.
///
/// How each member is heard is for the listener alone to say, with [`tune`](Self::tune), and nobody
/// learns of it. It holds for the member, through silence, reconnections and other leaves.
///
/// ```
/// use std::time::Instant;
///
/// use sottovoce::{MemberId, voice::{Receiver, ReceiverOptions, Tuning}};
///
/// let mut options = ReceiverOptions::default();
/// options.channels = 2;
/// let mut receiver = Receiver::new(options, Instant::now())?;
/// let (ada, ben) = (MemberId::from_bytes([1; 32]), MemberId::from_bytes([2; 32]));
/// receiver.tune(ada, Tuning::default().with_volume(2.0)?.with_pan(-0.5)?)?; // louder, on the left
/// receiver.tune(ben, receiver.tuning(ben).with_mute(true))?; // not at all
/// receiver.set_deafened(true); // nobody at all
///
/// // A device of another format needs another receiver, which takes over what was set.
/// let mut next = Receiver::new(ReceiverOptions::default(), Instant::now())?;
/// for (member, tuning) in receiver.tunings() {
///     next.tune(member, tuning)?;
/// }
/// next.set_deafened(receiver.is_deafened());
/// assert_eq!(next.tuning(ada).volume(), 2.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Receiver {
    streams: Vec<Stream>,
    timelines: Vec<Timeline>,
    handicaps: Vec<u32>,
    loudest: usize,
    origin: Instant,
    mix: Mix,
    tunings: Tunings,
    deafened: bool,
    channels: usize,
    rate: u32,
    /// The latest moment that we were told of.
    clock: i64,
    /// Samples at 48 kHz that were asked for at a time: the most of late, and the most before that.
    blocks: [i64; 2],
    /// How long before it is heard sound is made, as we were told.
    lead: i64,
    /// Packets expected and lost of those whose place was given to somebody else.
    past: (u64, u64),
    /// The same of everybody, now and up to five seconds ago.
    marks: [(i64, u64, u64); 2],
}

/// One opened packet for [`Receiver::hear`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// Whose it is.
    pub member: MemberId,
    /// Epoch, step and counter order a sender's packets where there are no capture times.
    pub place: (Epoch, Step, Counter),
    /// What it proves; a signed one brings its capture time.
    pub proof: Proof,
    /// The sound.
    pub packet: OpusPacket<'a>,
}

impl<'a> From<&Opened<'a>> for Frame<'a> {
    fn from(opened: &Opened<'a>) -> Self {
        let place = (opened.epoch, opened.step, opened.counter);
        Self { member: opened.member, place, proof: opened.proof, packet: opened.packet }
    }
}

#[cfg(feature = "room")]
impl<'a> TryFrom<&'a driver::ReceivedPacket> for Frame<'a> {
    type Error = MalformedOpus;

    fn try_from(heard: &'a driver::ReceivedPacket) -> Result<Self, MalformedOpus> {
        let place = (heard.epoch, heard.step, heard.counter);
        let packet = OpusPacket::parse(&heard.packet)?;
        Ok(Self { member: heard.member, place, proof: heard.proof, packet })
    }
}

/// Why a packet is not played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotHeard {
    /// As many speak as can be kept, and nobody has stopped.
    Crowded,
    /// It holds no sound at all.
    Empty,
}

/// What became of everybody's packets since the listener was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Packets that were to be played.
    pub expected: u64,
    /// Packets that were not there when they were due.
    pub lost: u64,
}

impl Receiver {
    /// A listener that has heard nobody.
    ///
    /// # Errors
    /// [`VoiceError::Rate`], [`VoiceError::Channels`], [`VoiceError::Codec`] if a decoder cannot be
    /// made.
    pub fn new(options: ReceiverOptions, now: Instant) -> Result<Self, VoiceError> {
        check_format(options.rate, options.channels)?;
        let speakers = options.speakers.clamp(1, MAX_SPEAKERS);
        // A device of one channel has no use for two.
        let sides = options.sound.channels().min(options.channels).into();
        let streams: Vec<_> = (0..speakers).map(|_| Stream::new(sides)).collect::<Result<_, _>>()?;
        Ok(Self {
            timelines: vec![Timeline::default(); streams.len()],
            handicaps: Vec::with_capacity(streams.len()),
            loudest: options.loudest.min(speakers),
            streams,
            origin: now,
            mix: Mix::new(options.rate, options.channels)?,
            tunings: Tunings::new(),
            deafened: false,
            channels: options.channels.into(),
            rate: options.rate,
            clock: 0,
            blocks: [BLOCK as i64; 2],
            lead: 0,
            past: (0, 0),
            marks: [(0, 0, 0); 2],
        })
    }

    /// Takes a packet that was just opened, and recorded if it is to be reportable.
    ///
    /// # Errors
    /// [`NotHeard`]; the packet is dropped then.
    pub fn hear(&mut self, heard: Frame<'_>, now: Instant) -> Result<(), NotHeard> {
        let now = self.since(now);
        let samples = i64::try_from(duration_of(heard.packet).as_micros()).unwrap_or(0) * 48 / 1_000;
        if samples == 0 {
            return Err(NotHeard::Empty);
        }
        self.clock = self.clock.max(now);
        let says = match heard.proof {
            Proof::Signed(stamp) => Some((stamp.level, stamp.notes)),
            Proof::Group => None,
        };
        let index = self.place_of(heard.member, says, now).ok_or(NotHeard::Crowded)?;
        let (Some(stream), Some(timeline)) = (self.streams.get_mut(index), self.timelines.get_mut(index))
        else {
            return Err(NotHeard::Crowded);
        };
        let at = match heard.proof {
            Proof::Signed(stamp) => i64::try_from(stamp.captured.0).unwrap_or(0).saturating_mul(48),
            Proof::Group => timeline.at(heard.place, samples),
        };
        stream.insert(Arrival { at, samples, place: heard.place, says, packet: heard.packet }, now);
        Ok(())
    }

    /// Says how long sound waits for the device at most: it is made so long before it is heard, and
    /// packets have to be there by then. One second at most. Where [`render`](Self::render) is
    /// called by the device itself there is nothing to say.
    pub fn set_lead(&mut self, lead: Duration) {
        self.lead = i64::try_from(lead.as_micros()).unwrap_or(MAX_LEAD).saturating_mul(48) / 1_000;
    }

    /// Makes the sound that is heard from `now` on: as many samples as fill `out`, channels
    /// interleaved.
    ///
    /// `now` is when the first of them leaves the loudspeaker, as well as it is known. The more
    /// samples are asked for at a time, the earlier packets have to be there, and the more delay
    /// they get, up to one second: 5 ms or 10 ms at a time keep the delay small. A device that asks
    /// for less than before costs less after five seconds.
    pub fn render(&mut self, now: Instant, out: &mut [f32]) {
        let mut now = self.since(now);
        let block = self.at_48k(out.len());
        let [most, before] = self.blocks;
        self.blocks = [most.max(block), before];
        let lead = self.lead.max(most).max(before).max(block).min(MAX_LEAD);
        self.streams.iter_mut().for_each(|stream| stream.lead = lead);
        let mut rest = out;
        while !rest.is_empty() {
            let taken = self.mix.take(rest);
            rest = rest.get_mut(taken..).unwrap_or_default();
            now += self.at_48k(taken);
            if !rest.is_empty() {
                self.mix(now);
            }
        }
        self.mark(now);
    }

    /// Everybody who was heard lately.
    pub fn talkers(&self) -> impl Iterator<Item = Talker> + '_ {
        self.streams.iter().filter_map(|stream| stream.talker(self.clock))
    }

    /// How much of what was sent to us in the last five seconds was lost: for
    /// [`Sender::report`](super::Sender::report).
    pub fn loss(&self) -> Loss {
        let Totals { expected, lost } = self.totals();
        let [(_, before, lost_before), _] = self.marks;
        Loss::of(lost.saturating_sub(lost_before), expected.saturating_sub(before))
    }

    /// The highest loss that anybody reported in the last five seconds.
    pub fn reported_loss(&self) -> Loss {
        let notes = self.streams.iter().filter_map(|stream| stream.notes(self.clock));
        notes.map(|notes| notes.loss).max().unwrap_or_default()
    }

    /// What became of everybody's packets.
    pub fn totals(&self) -> Totals {
        let each = self.streams.iter().map(Stream::expected_and_lost);
        let (expected, lost) = each.fold(self.past, |sum, one| (sum.0 + one.0, sum.1 + one.1));
        Totals { expected, lost }
    }

    /// Says how a member is heard from now on, whether it was ever heard or not, until it is said
    /// again. [`Tuning::default`] forgets what was said.
    ///
    /// Volume and pan change within 20 ms for each step of 1, without a click. Who is muted, or has
    /// a volume of 0, fades out within 5 ms, is not decoded, and takes no place among the loudest;
    /// its packets are still put in order, so that it is heard again from the next of them that is
    /// due.
    ///
    /// # Errors
    /// [`TuningError::Full`]; the member is heard as before then.
    pub fn tune(&mut self, member: MemberId, tuning: Tuning) -> Result<(), TuningError> {
        self.tunings.set(member, tuning)?;
        let streams = self.streams.iter_mut().filter(|stream| stream.member == Some(member));
        streams.for_each(|stream| stream.tuning = tuning);
        Ok(())
    }

    /// How a member is heard.
    pub fn tuning(&self, member: MemberId) -> Tuning {
        self.tunings.of(member)
    }

    /// Everybody who is not heard as it comes, in no order: to store, or for another listener.
    pub fn tunings(&self) -> impl Iterator<Item = (MemberId, Tuning)> + '_ {
        self.tunings.iter()
    }

    /// Hears nobody, or everybody as before. As for one who is muted, nothing is decoded meanwhile,
    /// and packets go on being put in order. They count neither as heard nor as lost, so
    /// [`loss`](Self::loss) is unknown after five seconds.
    pub fn set_deafened(&mut self, deafened: bool) {
        self.deafened = deafened;
    }

    /// Whether nobody is heard.
    pub fn is_deafened(&self) -> bool {
        self.deafened
    }

    /// Forgets a member at once, for example when it was removed; not its tuning, for it may come
    /// back.
    pub fn forget(&mut self, member: MemberId) {
        for stream in self.streams.iter_mut().filter(|stream| stream.member == Some(member)) {
            let (expected, lost) = stream.expected_and_lost();
            self.past = (self.past.0 + expected, self.past.1 + lost);
            stream.assign(None);
        }
    }

    /// Makes one block of the mix.
    fn mix(&mut self, now: i64) {
        self.clock = self.clock.max(now);
        let clock = self.clock;
        let mut bar = self.rank();
        let mut own = [0; 2 * BLOCK];
        for stream in self.streams.iter_mut().filter(|stream| stream.member.is_some()) {
            let wanted = !self.deafened && !stream.tuning.is_silent();
            let heard = wanted && bar.passes(standing(stream, clock));
            let before = stream.gain;
            if !heard && before == 0.0 {
                stream.skip(now);
                continue;
            }
            if heard && before == 0.0 {
                stream.wake();
            }
            let after = if heard { 1.0 } else { 0.0 };
            let gains = stream.fade(self.mix.has_sides(), before, after);
            let own = own.get_mut(..BLOCK * stream.channels()).unwrap_or_default();
            if stream.render(now, own) {
                self.mix.add(own, gains.0, gains.1);
            }
            stream.gain = after;
        }
        self.mix.finish();
    }

    /// Who is loud enough to be heard. Whoever is not wanted takes no place.
    fn rank(&mut self) -> Bar {
        self.handicaps.clear();
        let there =
            self.streams.iter().filter(|stream| stream.member.is_some() && !stream.tuning.is_silent());
        self.handicaps.extend(there.map(|stream| standing(stream, self.clock)));
        Bar::of(&mut self.handicaps, self.loudest)
    }

    /// The place of a member: its own, a free one, or that of whoever deserves it least.
    fn place_of(&mut self, member: MemberId, says: Option<(Level, Notes)>, now: i64) -> Option<usize> {
        if let Some(own) = self.streams.iter().position(|stream| stream.member == Some(member)) {
            return Some(own);
        }
        let free = self.streams.iter().position(|stream| stream.member.is_none());
        let index = free.or_else(|| self.least_deserving(member, says, now))?;
        let stream = self.streams.get_mut(index)?;
        let (expected, lost) = stream.expected_and_lost();
        self.past = (self.past.0 + expected, self.past.1 + lost);
        stream.assign(Some(member));
        stream.tuning = self.tunings.of(member);
        *self.timelines.get_mut(index)? = Timeline::default();
        Some(index)
    }

    /// The place of somebody who stopped, else of the softest, if whoever comes is louder by
    /// enough. Rather of somebody who is not heard just now.
    fn least_deserving(&self, member: MemberId, says: Option<(Level, Notes)>, now: i64) -> Option<usize> {
        let stopped = |stream: &Stream| now - stream.last_packet > SILENT;
        let against = |stream: &Stream| (stopped(stream), stream.gain == 0.0, standing(stream, now));
        let (index, least) = self.streams.iter().enumerate().max_by_key(|(_, stream)| against(stream))?;
        let (level, notes) = says.unwrap_or((Level::from_byte(UNKNOWN_LEVEL), Notes::default()));
        let silent = notes.muted || self.tunings.of(member).is_silent();
        let new = handicap(level.below_overload(), level.is_voice(), silent, false);
        (stopped(least) || new + MARGIN < standing(least, now)).then_some(index)
    }

    /// Samples of the device's rate and channels, as samples of 48 kHz.
    fn at_48k(&self, samples: usize) -> i64 {
        let frames = samples as u64 / self.channels as u64;
        i64::try_from((frames * 48_000).div_ceil(u64::from(self.rate))).unwrap_or(MAX_LEAD)
    }

    fn mark(&mut self, now: i64) {
        let [_, newer] = self.marks;
        if now - newer.0 >= MARK {
            let Totals { expected, lost } = self.totals();
            self.marks = [newer, (now, expected, lost)];
            let [most, _] = self.blocks;
            self.blocks = [BLOCK as i64, most];
        }
    }

    /// A moment in samples since the listener was made.
    fn since(&self, now: Instant) -> i64 {
        let micros = now.saturating_duration_since(self.origin).as_micros();
        i64::try_from(micros).unwrap_or(i64::MAX / 64) * 48 / 1_000
    }
}

/// What speaks against hearing a stream.
fn standing(stream: &Stream, now: i64) -> u32 {
    let level = stream.level(now);
    let silent = stream.is_muted() || stream.tuning.is_silent();
    handicap(level.below_overload(), level.is_voice(), silent, stream.gain > 0.0)
}

/// Capture times made from the order of packets, for rooms whose packets carry none.
#[derive(Clone, Copy, Default)]
struct Timeline {
    last: Option<(Epoch, Step, Counter)>,
    at: i64,
}

impl Timeline {
    /// When a packet of `samples` was captured, if each one of a key follows the one before, and
    /// each key too.
    fn at(&mut self, place: (Epoch, Step, Counter), samples: i64) -> i64 {
        let Some(last) = self.last else {
            self.last = Some(place);
            return self.at;
        };
        let same_key = (last.0, last.1) == (place.0, place.1);
        let steps = if same_key {
            i64::try_from(place.2.0).unwrap_or(0) - i64::try_from(last.2.0).unwrap_or(0)
        } else if place > last {
            1
        } else {
            // A packet of the key before, overtaken by the first of the new one.
            return self.at - samples;
        };
        let at = self.at + steps.saturating_mul(samples);
        if steps > 0 {
            (self.last, self.at) = (Some(place), at);
        }
        at
    }
}

/// 1 s: devices that take more at a time get what is there.
const MAX_LEAD: i64 = 48_000;
/// 6 dB, in the units of the ranking: who comes must be louder by more than that to take a place.
const MARGIN: u32 = 12;
/// Speakers of one listener.
const MAX_SPEAKERS: usize = 256;
/// 2 s without a packet: the place can be given to somebody else.
const SILENT: i64 = 96_000;
/// 2.5 s: loss is that of the last one to two of these.
const MARK: i64 = 120_000;
