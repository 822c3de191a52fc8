//! One speaker as it is played: what is there is decoded, what is missing recovered or concealed
//! (SPEC section 13.4).
//!
//! ```text
//! packets > Buffer > decode, or recover from the next one, or conceal
//!         > a little shorter or longer > blocks of 5 ms
//! ```

mod produce;

use std::time::Duration;

use super::{
    BLOCK, StreamStats, Talker, VoiceError,
    jitter::{Anchor, Buffer, NotKept},
    level::Meter,
    tuning::{Gains, Tuning},
};
use crate::{
    codec::{Decoder, MAX_SAMPLES},
    id::{Counter, Epoch, MemberId, Step},
    media::{Level, Notes, OpusPacket},
};

/// A place for one speaker. All memory is taken when it is made.
pub(super) struct Stream {
    pub(super) member: Option<MemberId>,
    /// What the last packet said, or what was measured; for a while only, see
    /// [`level`](Self::level).
    level: Level,
    notes: Notes,
    /// For packets that do not say how loud they are.
    meter: Meter,
    /// When `level` was measured last.
    measured: Option<i64>,
    /// Whether packets say how loud they are.
    says_level: bool,
    /// When the last packet came.
    pub(super) last_packet: i64,
    pub(super) stats: StreamStats,
    /// The share of this speaker in the mix, 0 or 1 but for the block in which it changes.
    pub(super) gain: f32,
    /// How the listener wants to hear this speaker,
    pub(super) tuning: Tuning,
    /// and what samples are multiplied by on each side, on the way there.
    sides: Gains,
    /// What packets are decoded to: 1 or 2. Every number of samples is that of one channel.
    channels: usize,
    buffer: Buffer,
    decoder: Decoder,
    /// Capture time of the next sample to be made; `None` while nothing is played.
    next: Option<i64>,
    /// Sound that was made and not mixed yet stands in `pcm[taken..len]`, channels interleaved.
    pcm: Box<[i16]>,
    taken: usize,
    len: usize,
    /// The last sample of each channel that was made.
    last: [i16; 2],
    /// Samples made up in place of what is captured at `next`.
    made_up: i64,
    /// Samples made up since the last packet that was played.
    starved: i64,
    /// Frames made up of which nobody knows yet whether they were lost, or whether the sender had
    /// stopped.
    unexplained: u64,
    /// Epoch, step and counter of the newest packet that came.
    newest: Option<(Epoch, Step, Counter)>,
    /// How many packets were sent between the last one before a rest and the first one after it, if
    /// both are of one key.
    between: Option<u64>,
    /// Whether what comes next does not continue what was there.
    splice: bool,
    /// The length of this speaker's packets.
    frame: i64,
    /// Whether they are of a kind that can hold a copy of the one before.
    copies: bool,
    /// The share of packets that were not there in time, lately.
    loss: f32,
    /// Sound is made so many samples before it is heard, so packets have to be there so much
    /// earlier.
    pub(super) lead: i64,
}

/// One packet for [`Stream::insert`].
pub(super) struct Arrival<'a> {
    /// Capture time, and length in samples.
    pub(super) at: i64,
    pub(super) samples: i64,
    pub(super) place: (Epoch, Step, Counter),
    /// Level and notes, if the packet says them.
    pub(super) says: Option<(Level, Notes)>,
    pub(super) packet: OpusPacket<'a>,
}

impl Stream {
    /// A place whose packets are decoded to so many channels, 1 or 2.
    pub(super) fn new(channels: usize) -> Result<Self, VoiceError> {
        Ok(Self {
            member: None,
            level: Level::default(),
            notes: Notes::default(),
            meter: Meter::new(),
            measured: None,
            says_level: true,
            last_packet: 0,
            stats: StreamStats::default(),
            gain: 0.0,
            tuning: Tuning::default(),
            sides: Tuning::default().gains(true, channels),
            channels,
            buffer: Buffer::new(PACKETS),
            decoder: if channels == 2 { Decoder::stereo()? } else { Decoder::new()? },
            next: None,
            pcm: vec![0; PCM * channels].into(),
            taken: 0,
            len: 0,
            last: [0; 2],
            made_up: 0,
            starved: 0,
            unexplained: 0,
            newest: None,
            between: None,
            splice: true,
            frame: 1_920,
            copies: true,
            loss: 0.0,
            lead: BLOCK as i64,
        })
    }

    /// Gives the place to somebody, or to nobody.
    pub(super) fn assign(&mut self, member: Option<MemberId>) {
        self.buffer.reset();
        self.rest();
        (self.level, self.notes) = (Level::default(), Notes::default());
        (self.meter, self.measured) = (Meter::new(), None);
        (self.unexplained, self.newest, self.between) = (0, None, None);
        (self.stats, self.gain, self.loss) = (StreamStats::default(), 0.0, 0.0);
        self.pcm.fill(0);
        (self.taken, self.len, self.last) = (0, 0, [0; 2]);
        (self.member, self.tuning) = (member, Tuning::default());
    }

    /// Takes a packet that comes now.
    pub(super) fn insert(&mut self, arrival: Arrival<'_>, now: i64) {
        let Arrival { at, samples, place, says, packet } = arrival;
        self.says_level = says.is_some();
        match says {
            Some(says) => (self.level, self.notes) = says,
            // Whoever was too soft to be decoded any more is tried again from time to time.
            None if self.measured.is_none_or(|measured| now - measured > MEASURE_AGAIN) => {
                self.level = Level::from_byte(UNKNOWN_LEVEL);
            }
            None => {}
        }
        self.last_packet = now;
        let resting = self.next.is_none() && self.buffer.first_from(i64::MIN).is_none();
        if resting {
            let before = self.newest.filter(|newest| (newest.0, newest.1) == (place.0, place.1));
            self.between = before.and_then(|newest| place.2.0.checked_sub(newest.2.0 + 1));
        }
        self.newest = self.newest.max(Some(place));
        if self.buffer.note_transit(at, now, resting) == Anchor::New {
            self.buffer.clear();
            self.rest();
        }
        self.frame = samples;
        self.copies = packet.can_hold_copy();
        if self.next.is_some_and(|next| at < next) {
            self.stats.late += 1;
            return;
        }
        match self.buffer.insert(at, samples, packet.as_bytes()) {
            Ok(gone) => self.stats.dropped += gone as u64,
            Err(NotKept::Twice) => {}
            Err(NotKept::Old | NotKept::Large) => self.stats.dropped += 1,
        }
    }

    /// How loud it is: silence where the last packet is too old to say so, or says that the
    /// microphone is off.
    pub(super) fn level(&self, now: i64) -> Level {
        if self.notes.muted || now - self.last_packet > LEVEL_HOLDS { Level::default() } else { self.level }
    }

    /// How loud an interface shows it: silence sooner than the ranking has it, and where nobody
    /// knows.
    fn shown(&self, now: i64) -> Level {
        let of = if self.says_level { Some(self.last_packet) } else { self.measured };
        if of.is_some_and(|of| now - of <= SHOWN_FOR) { self.level(now) } else { Level::default() }
    }

    /// What its packets say besides, unless the last one is too old.
    pub(super) fn notes(&self, now: i64) -> Option<Notes> {
        (self.member.is_some() && now - self.last_packet <= NOTES_HOLD).then_some(self.notes)
    }

    /// What its last packet said of its microphone.
    pub(super) fn is_muted(&self) -> bool {
        self.notes.muted
    }

    /// How many channels a block has.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Makes the next block of sound, of all channels interleaved, heard at `now`. `false` if it is
    /// silence.
    pub(super) fn render(&mut self, now: i64, block: &mut [i16]) -> bool {
        while self.len - self.taken < BLOCK && self.produce(now + (self.len - self.taken) as i64) {}
        let len = self.len.min(self.taken + BLOCK) - self.taken;
        let (front, back) = block.split_at_mut((len * self.channels).min(block.len()));
        let from = self.taken * self.channels;
        front.copy_from_slice(self.pcm.get(from..from + front.len()).unwrap_or_default());
        back.fill(0);
        self.taken += len;
        len > 0
    }

    /// The gains of both sides at the beginning and the end of the next block, in which the share
    /// of this speaker goes from `before` to `after`.
    pub(super) fn fade(&mut self, sides: bool, before: f32, after: f32) -> (Gains, Gains) {
        // Whoever turns itself silent fades out from where it was, and begins where it is to be.
        let wanted = if after == 0.0 { self.sides } else { self.tuning.gains(sides, self.channels) };
        let from = if before == 0.0 { wanted } else { self.sides };
        let step = |from: f32, to: f32| from + (to - from).clamp(-STEP, STEP);
        for ((side, from), wanted) in self.sides.iter_mut().zip(from).zip(wanted) {
            let steps = from.into_iter().zip(wanted).map(|(from, wanted)| step(from, wanted));
            side.iter_mut().zip(steps).for_each(|(gain, next)| *gain = next);
        }
        let times = |gains: Gains, share: f32| gains.map(|side| side.map(|gain| gain * share));
        (times(from, before), times(self.sides, after))
    }

    /// Lets time pass without decoding, for somebody who is not heard.
    pub(super) fn skip(&mut self, now: i64) {
        if self.gain > 0.0 || self.len > self.taken {
            (self.taken, self.len, self.last) = (0, 0, [0; 2]);
            self.splice = true;
            self.gain = 0.0;
        }
        while let Some(waiting) = self.buffer.first_from(i64::MIN) {
            let end = waiting.at + waiting.samples;
            if self.buffer.due(end, self.patience()) > now {
                break;
            }
            self.next = Some(end);
            self.buffer.forget_before(end);
        }
        if now - self.last_packet > PAUSE && self.buffer.first_from(i64::MIN).is_none() {
            self.rest();
        }
    }

    /// Comes back from [`skip`](Self::skip): what was decoded before is forgotten.
    pub(super) fn wake(&mut self) {
        // A decoder that could not be reset still decodes.
        let _ = self.decoder.reset();
        (self.made_up, self.starved, self.splice) = (0, 0, true);
    }

    pub(super) fn talker(&self, now: i64) -> Option<Talker> {
        let waits = u64::try_from(self.buffer.target() + self.patience()).unwrap_or(0);
        Some(Talker {
            member: self.member?,
            level: self.shown(now),
            notes: self.notes,
            mixed: self.gain > 0.0 && now - self.last_packet <= LEVEL_HOLDS,
            waits: Duration::from_micros(waits * 1_000 / 48),
            stats: self.stats,
        })
    }

    /// Packets that were to be played, and those that were not there.
    pub(super) fn expected_and_lost(&self) -> (u64, u64) {
        let lost = self.stats.recovered + self.stats.concealed;
        (self.stats.played + lost, lost)
    }

    /// Notes whether a packet was there when it was due.
    fn note(&mut self, lost: bool) {
        self.loss += ((f32::from(u8::from(lost))) - self.loss) / 64.0;
    }

    /// How much longer packets wait than the network asks for. Where many get lost that is until
    /// the one after them is there, to recover them from, if it can hold a copy.
    fn patience(&self) -> i64 {
        self.lead + if self.loss > LOSSY && self.copies { self.frame } else { 0 }
    }
}

/// Packets that wait, of one speaker: as much sound as may wait, in packets of 20 ms.
const PACKETS: usize = 64;
/// A block that is not taken yet, the longest packet, and what lengthening adds.
const PCM: usize = BLOCK + MAX_SAMPLES + 1_024;
/// 400 ms: somebody was not live.
const PAUSE: i64 = 19_200;
/// 500 ms: a level that is older says nothing, for what came before may have waited as long.
const LEVEL_HOLDS: i64 = 24_000;
/// 200 ms: whoever stopped is shown as silent from then on. Three packets of 60 ms may be missing.
const SHOWN_FOR: i64 = 9_600;
/// 5 s: what somebody reports of its losses is taken for so long.
const NOTES_HOLD: i64 = 240_000;
/// 2 s after which a level that was measured is measured again.
const MEASURE_AGAIN: i64 = 96_000;
/// Where nobody says how loud it is, everybody is equal, and speaks, until it is heard.
pub(super) const UNKNOWN_LEVEL: u8 = 0x80 | 40;
/// By how much a gain changes in a block at most: by 1 in 20 ms.
const STEP: f32 = 0.25;
/// 3 % of packets.
const LOSSY: f32 = 0.03;
