//! Where sound comes from and goes to: a device, or a WAV file that stands in for one.

use std::{
    error::Error,
    io,
    path::Path,
    time::{Duration, Instant},
};

use sottovoce::voice::Receiver;
#[cfg(feature = "devices")]
use sottovoce::voice::devices::{DeviceError, Loudspeaker, Microphone};

use crate::{after, resample, wav};

/// A microphone, or a file that is said again and again at the pace of a microphone.
pub enum Mouth {
    #[cfg(feature = "devices")]
    Device(Opened<Microphone>),
    File {
        /// Of all sides interleaved, as many as there are.
        samples: Vec<f32>,
        sides: u16,
        began: Option<Instant>,
        taken: u64,
    },
}

/// A loudspeaker, or a file.
pub enum Ear {
    #[cfg(feature = "devices")]
    Device(Opened<Loudspeaker>),
    File {
        recording: Option<wav::Writer>,
        sides: u16,
        began: Option<Instant>,
        made: u64,
    },
}

/// A device, and when to look for another one in its place.
#[cfg(feature = "devices")]
pub struct Opened<D> {
    device: D,
    again: Option<Instant>,
}

#[cfg(feature = "devices")]
impl<D> Opened<D> {
    fn new(device: D) -> Self {
        Self { device, again: None }
    }

    /// If the device is gone, looks for the one that is the system's default, each second until
    /// there is one, and says so. Returns whether there is another one now: it may have another
    /// format.
    fn check(
        &mut self,
        what: &str,
        now: Instant,
        say: &mut dyn FnMut(&str),
        gone: fn(&mut D) -> Option<DeviceError>,
        reopen: fn(&mut D) -> Result<(), DeviceError>,
    ) -> bool {
        if let Some(why) = gone(&mut self.device) {
            say(&format!("{what}: {why}"));
            self.again = Some(now);
        }
        if self.again.is_none_or(|at| at > now) {
            return false;
        }
        let there = reopen(&mut self.device).is_ok();
        self.again = (!there).then(|| now + Duration::from_secs(1));
        if there {
            say(&format!("{what}: there is one again"));
        }
        there
    }
}

impl Mouth {
    /// The microphone, or a file of so many sides.
    pub fn open(play: Option<&Path>, sides: u16) -> Result<Self, Box<dyn Error>> {
        if let Some(path) = play {
            let recording = wav::read_as(path, LONGEST, sides)?;
            let samples = resample::sides_to_48k(&recording.samples, recording.rate, sides.into());
            return Ok(Self::File { samples, sides, began: None, taken: 0 });
        }
        #[cfg(feature = "devices")]
        return Ok(Self::Device(Opened::new(Microphone::open()?)));
        #[cfg(not(feature = "devices"))]
        Err("built without devices: --play FILE stands in for the microphone".into())
    }

    pub fn format(&self) -> (u32, u16) {
        match self {
            #[cfg(feature = "devices")]
            Self::Device(microphone) => (microphone.device.rate(), microphone.device.channels()),
            Self::File { sides, .. } => (RATE, *sides),
        }
    }

    /// Whether there is another microphone in place of one that is gone.
    #[cfg(feature = "devices")]
    pub fn check(&mut self, now: Instant, say: &mut dyn FnMut(&str)) -> bool {
        match self {
            Self::Device(opened) => {
                opened.check("microphone", now, say, Microphone::poll_error, Microphone::reopen)
            }
            Self::File { .. } => false,
        }
    }

    /// What was recorded until now.
    pub fn read(&mut self, pcm: &mut [f32], now: Instant) -> usize {
        match self {
            #[cfg(feature = "devices")]
            Self::Device(Opened { device: microphone, .. }) => {
                let whole =
                    pcm.len() / usize::from(microphone.channels()) * usize::from(microphone.channels());
                microphone.captured.read(pcm.get_mut(..whole).unwrap_or_default())
            }
            Self::File { samples, sides, began, taken } => {
                let (began, sides) = (*began.get_or_insert(now), usize::from(*sides));
                let (block, mut read) = (BLOCK as usize * sides, 0);
                while after(began, *taken + BLOCK, RATE) <= now && read + block <= pcm.len() {
                    let from = *taken as usize * sides;
                    for (n, sample) in pcm.iter_mut().skip(read).take(block).enumerate() {
                        *sample = samples.get((from + n) % samples.len().max(1)).copied().unwrap_or(0.0);
                    }
                    *taken += BLOCK;
                    read += block;
                }
                read
            }
        }
    }
}

impl Ear {
    /// The loudspeaker, or a file of so many sides.
    pub fn open(record: Option<&Path>, sides: u16) -> Result<Self, Box<dyn Error>> {
        #[cfg(feature = "devices")]
        if record.is_none() {
            return Ok(Self::Device(Opened::new(Loudspeaker::open()?)));
        }
        let recording = record.map(|path| wav::Writer::create(path, sides)).transpose()?;
        Ok(Self::File { recording, sides, began: None, made: 0 })
    }

    pub fn format(&self) -> (u32, u16) {
        match self {
            #[cfg(feature = "devices")]
            Self::Device(loudspeaker) => (loudspeaker.device.rate(), loudspeaker.device.channels()),
            Self::File { sides, .. } => (RATE, *sides),
        }
    }

    /// Makes as much sound as is due, and shows it to `played`.
    pub fn feed(
        &mut self,
        listener: &mut Receiver,
        now: Instant,
        played: &mut dyn FnMut(&[f32]),
    ) -> io::Result<()> {
        match self {
            #[cfg(feature = "devices")]
            Self::Device(Opened { device: loudspeaker, .. }) => {
                let (rate, channels) = (loudspeaker.rate(), usize::from(loudspeaker.channels()));
                let block = rate as usize / 200 * channels;
                let mut pcm = vec![0.0; block];
                // What the device takes at a time, and 10 ms: enough for a loop that comes round
                // every five.
                let enough = (loudspeaker.played.block() + 2 * block).max(3 * block).min(loudspeaker.room());
                listener.set_lead(length(enough / channels, rate));
                while loudspeaker.played.waiting() < enough {
                    let ahead = loudspeaker.played.waiting() / channels;
                    listener.render(after(now, ahead as u64, rate), &mut pcm);
                    played(&pcm);
                    if loudspeaker.played.write(&pcm) < block {
                        break;
                    }
                }
            }
            Self::File { recording, sides, began, made } => {
                let began = *began.get_or_insert(now);
                let mut pcm = [0.0; 2 * BLOCK as usize];
                let pcm = pcm.get_mut(..BLOCK as usize * usize::from(*sides)).unwrap_or_default();
                while after(began, *made, RATE) <= now {
                    listener.render(after(began, *made, RATE), pcm);
                    played(pcm);
                    *made += BLOCK;
                    if let Some(recording) = recording {
                        let samples: Vec<i16> = pcm.iter().map(|sample| (sample * 32_767.0) as i16).collect();
                        recording.append(&samples)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether there is another loudspeaker in place of one that is gone.
    #[cfg(feature = "devices")]
    pub fn check(&mut self, now: Instant, say: &mut dyn FnMut(&str)) -> bool {
        match self {
            Self::Device(opened) => {
                opened.check("loudspeaker", now, say, Loudspeaker::poll_error, Loudspeaker::reopen)
            }
            Self::File { .. } => false,
        }
    }

    /// Ends the recording, if there is one.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::File { recording: Some(recording), .. } => recording.finish(),
            _ => Ok(()),
        }
    }
}

/// How long so many samples of a channel last.
#[cfg(feature = "devices")]
fn length(samples: usize, rate: u32) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(rate))
}

/// What files are played and recorded at.
const RATE: u32 = 48_000;
/// 5 ms of that.
const BLOCK: u64 = 240;
/// How much of a file is read.
const LONGEST: Duration = Duration::from_secs(600);
