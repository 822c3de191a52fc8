//! Speakers, a network with seeded faults and one listener, on virtual time, with real seals
//! between them.
//!
//! ```text
//! track > Sender > Sealer > delay, jitter, loss > Opener > Receiver > heard        one step a millisecond
//! ```

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use sottovoce::{
    Authenticity, Opener, PacketSize,
    media::{Early, Loss, Sound},
    voice::{Frame, Receiver, ReceiverOptions, Sender, SenderOptions},
};

use crate::checkout;
use crate::stage::{Profile, Stage, seat, signed};

/// How packets reach the listener.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    /// Every packet takes this long,
    pub delay: Duration,
    /// and up to this much longer.
    pub jitter: Duration,
    /// Percent that never come.
    pub loss: f64,
}

/// Somebody who speaks.
pub struct Talking {
    pub leaf: u32,
    pub speaker: Sender,
    /// What its microphone records, at 48 kHz.
    pub track: Vec<f32>,
    pub at: usize,
    /// How many packets left, and their sizes, and when.
    pub sent: Vec<(Duration, usize)>,
    /// The Opus packets before they were sealed.
    pub opus: Vec<Vec<u8>>,
    pub lost: u64,
}

pub struct Line {
    pub stage: Stage,
    pub talking: Vec<Talking>,
    pub listener: Receiver,
    pub heard: Vec<f32>,
    pub network: Network,
    /// The listener's device takes its samples faster by this much.
    pub drift_ppm: f64,
    /// Samples at 48 kHz that the listener's device takes at a time,
    pub playing: usize,
    /// and that each speaker's device gives at a time.
    pub recording: usize,
    /// The speakers' devices give their samples faster by this much.
    pub recording_ppm: f64,
    /// Whether packets reach the opener with their seal.
    pub began: Instant,
    pub refused: u64,
    pub early: Early,
    /// What packets hold. Of two channels a track has samples of both, interleaved.
    sound: Sound,
    rng: StdRng,
    arrivals: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sent: u64,
    ms: u64,
    rendered: u64,
    recorded: u64,
}

/// The leaf that listens.
pub const LISTENER: u32 = 0;
/// The moment of `Line::began` by everybody's wall clock.
pub const UNIX_MS: u64 = 1_790_000_000_000;

impl Line {
    /// One speaker for each track, who goes live at once.
    pub fn new(seed: u64, tracks: Vec<Vec<f32>>, network: Network) -> Self {
        let profile = Profile { size: PacketSize::default().bytes(), ..signed() };
        Self::with(seed, tracks, network, profile, ReceiverOptions::default())
    }

    pub fn with(
        seed: u64,
        tracks: Vec<Vec<f32>>,
        network: Network,
        profile: Profile,
        options: ReceiverOptions,
    ) -> Self {
        let seats = (0..=tracks.len() as u32).map(|leaf| seat(leaf, leaf != LISTENER)).collect();
        let stage = Stage::in_room(b"voice", seats, profile);
        let now = stage.now;
        let sound = options.sound;
        let talking = tracks.into_iter().zip(1..).map(|(track, leaf)| {
            let mut options = SenderOptions::default();
            (options.sound, options.channels) = (sound, sound.channels());
            options.size = PacketSize::new(profile.size).unwrap();
            options.authenticity = profile.authenticity;
            let mut speaker = Sender::new(options).unwrap();
            speaker.set_live(true, now, UNIX_MS);
            Talking { leaf, speaker, track, at: 0, sent: vec![], opus: vec![], lost: 0 }
        });
        Self {
            talking: talking.collect(),
            listener: Receiver::new(options, now).unwrap(),
            heard: vec![],
            network,
            drift_ppm: 0.0,
            playing: 240,
            recording: 480,
            recording_ppm: 0.0,
            began: now,
            refused: 0,
            early: Early::new(64),
            rng: StdRng::seed_from_u64(seed),
            arrivals: BTreeMap::new(),
            sent: 0,
            ms: 0,
            rendered: 0,
            recorded: 0,
            sound,
            stage,
        }
    }

    pub fn now(&self) -> Instant {
        self.stage.now
    }

    pub fn run(&mut self, time: Duration) {
        for _ in 0..time.as_millis() {
            self.step();
        }
    }

    fn step(&mut self) {
        let now = self.stage.now;
        let due =
            |samples: u64, ppm: f64| Duration::from_secs_f64(samples as f64 / 48_000.0 / (1.0 + ppm / 1e6));
        let recording = self.recording as u64;
        while self.began + due(self.recorded + recording, self.recording_ppm) <= now {
            self.recorded += recording;
            // The device hands over what it recorded since the block before.
            for talking in &mut self.talking {
                let samples = self.recording * usize::from(self.sound.channels());
                let block: Vec<f32> = (talking.at..talking.at + samples)
                    .map(|n| talking.track.get(n).copied().unwrap_or(0.0))
                    .collect();
                talking.at += samples;
                talking.speaker.capture(&block).unwrap();
            }
        }
        self.send(now);
        self.deliver(now);
        while self.began + due(self.rendered, self.drift_ppm) <= now {
            let mut block = vec![0.0; self.playing];
            self.listener.render(self.began + due(self.rendered, self.drift_ppm), &mut block);
            self.heard.extend(block);
            self.rendered += self.playing as u64;
        }
        self.ms += 1;
        self.stage.pass(Duration::from_millis(1));
    }

    fn send(&mut self, now: Instant) {
        for (index, talking) in self.talking.iter_mut().enumerate() {
            while let Some(packet) = talking.speaker.next_packet(now) {
                talking.opus.push(packet.opus.to_vec());
                let (opus, stamp) = (packet.opus.to_vec(), packet.stamp);
                let mut buffer = vec![0; 16 + 1_000 + 16];
                buffer[16..16 + opus.len()].copy_from_slice(&opus);
                let sealer = &mut self.stage.member(talking.leaf).sealer;
                let sealed = sealer.seal(&mut buffer, opus.len(), stamp).unwrap().to_vec();
                talking.sent.push((now - self.began, sealed.len()));
                if self.rng.random_bool(self.network.loss / 100.0) {
                    talking.lost += 1;
                    continue;
                }
                let late = self.network.jitter.mul_f64(self.rng.random());
                self.sent += 1;
                self.arrivals.insert((now + self.network.delay + late, self.sent), (index, sealed));
            }
        }
    }

    fn deliver(&mut self, now: Instant) {
        while let Some(entry) = self.arrivals.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), (_, sealed)) = entry.remove_entry();
            self.arrive(&sealed, at);
        }
    }

    /// Gives a packet to the listener, or keeps it until its key is there.
    pub fn arrive(&mut self, sealed: &[u8], at: Instant) {
        let mut frame = sealed.to_vec();
        let opener = &mut self.stage.member(LISTENER).opener;
        match opener.open(&mut frame) {
            Ok(opened) => {
                let _ = self.listener.hear(Frame::from(&opened), at);
            }
            Err(refusal) if refusal.is_early() => self.early.hold(sealed),
            Err(_) => self.refused += 1,
        }
    }

    /// Tries what came before its key again.
    pub fn retry_early(&mut self) {
        let now = self.stage.now;
        let opener: &mut Opener = &mut self.stage.members.get_mut(&sottovoce::Leaf(LISTENER)).unwrap().opener;
        while let Some(frame) = self.early.next_known(opener) {
            if let Ok(opened) = opener.open(frame) {
                let _ = self.listener.hear(Frame::from(&opened), now);
            }
        }
    }

    /// Receivers' reports reach the speakers as they do in a room.
    pub fn report(&mut self, loss: Loss) {
        let now = self.stage.now;
        self.talking.iter_mut().for_each(|talking| talking.speaker.handle_report(loss, now));
    }

    /// Milliseconds of sound that were made up until now.
    pub fn made_up_ms(&self) -> u64 {
        self.listener.talkers().map(|talker| talker.stats.made_up_samples / 48).sum()
    }

    /// Somebody goes live or stops, whose wall clock is `wrong_by` milliseconds off.
    pub fn set_live(&mut self, who: usize, live: bool, wrong_by: i64) {
        let now = self.stage.now;
        let unix_ms = UNIX_MS + (now - self.began).as_millis() as u64;
        self.talking[who].speaker.set_live(live, now, unix_ms.saturating_add_signed(wrong_by));
    }

    /// Samples of sound a second that were made up, of all that was played.
    pub fn made_up_share(&self) -> f64 {
        let made_up: u64 = self.listener.talkers().map(|talker| talker.stats.made_up_samples).sum();
        made_up as f64 / self.heard.len() as f64
    }
}

/// Whether a room's packets are signed decides how the listener orders them.
pub fn unsigned() -> Profile {
    Profile { authenticity: Authenticity::Group, size: PacketSize::default().bytes(), ..signed() }
}

/// A sentence of real speech at 48 kHz, again and again for so many seconds.
pub fn speech(seconds: usize) -> Vec<f32> {
    let path = checkout("examples/data/jfk.wav");
    let mut reader = hound::WavReader::open(path).unwrap();
    let rate = reader.spec().sample_rate;
    let samples: Vec<f32> =
        reader.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32_768.0).collect();
    let times = 48_000 / rate as usize;
    assert_eq!(times * rate as usize, 48_000);
    // Linear interpolation is good enough for a test signal.
    let upsampled = samples.windows(2).flat_map(|pair| {
        let (a, b) = (pair[0], pair[1]);
        (0..times).map(move |n| a + (b - a) * n as f32 / times as f32)
    });
    upsampled.collect::<Vec<_>>().into_iter().cycle().take(seconds * 48_000).collect()
}

/// A steady tone.
pub fn tone(hertz: f32, amplitude: f32, seconds: usize) -> Vec<f32> {
    (0..seconds * 48_000)
        .map(|n| amplitude * (std::f32::consts::TAU * hertz * n as f32 / 48_000.0).sin())
        .collect()
}

/// White noise.
pub fn noise(seed: u64, amplitude: f32, seconds: usize) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..seconds * 48_000).map(|_| amplitude * (rng.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0)).collect()
}

/// By how many samples `heard` is later than `said`, by the best match of their loudness over 2 ms,
/// then of samples.
pub fn delay(said: &[f32], heard: &[f32], most: usize) -> usize {
    let envelope = |samples: &[f32]| -> Vec<f32> {
        samples.chunks(96).map(|chunk| chunk.iter().map(|s| s * s).sum::<f32>().sqrt()).collect()
    };
    let (a, b) = (envelope(said), envelope(heard));
    let match_at = |lag: usize| -> f32 { a.iter().zip(b.iter().skip(lag)).map(|(x, y)| x * y).sum() };
    let coarse = (0..most / 96).max_by(|x, y| match_at(*x).total_cmp(&match_at(*y))).unwrap_or(0) * 96;
    let fine = |lag: &usize| -> f32 {
        said.iter().zip(heard.iter().skip(*lag)).step_by(2).map(|(x, y)| x * y).sum()
    };
    (coarse.saturating_sub(192)..coarse + 192).max_by(|x, y| fine(x).total_cmp(&fine(y))).unwrap_or(coarse)
}
