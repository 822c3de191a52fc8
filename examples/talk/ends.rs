//! Where sound comes from and goes to: a device, or a WAV file that stands in for one.

use std::{
    error::Error,
    io,
    path::Path,
    time::{Duration, Instant},
};

use sottovoce::voice::Receiver;
#[cfg(feature = "devices")]
use sottovoce::voice::{
    ReceiverOptions,
    devices::{Loudspeaker, Microphone},
};

use crate::{after, resample, wav};

/// A microphone, or a file that is said again and again at the pace of a microphone.
pub enum Mouth {
    #[cfg(feature = "devices")]
    Device(Microphone),
    File {
        samples: Vec<f32>,
        began: Option<Instant>,
        taken: u64,
    },
}

/// A loudspeaker, or a file.
pub enum Ear {
    #[cfg(feature = "devices")]
    Device(Loudspeaker),
    File {
        recording: Option<wav::Writer>,
        began: Option<Instant>,
        made: u64,
    },
}

impl Mouth {
    pub fn open(play: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        if let Some(path) = play {
            let recording = wav::read(path, LONGEST)?;
            let samples = resample::to_48k(&recording.samples, recording.rate);
            return Ok(Self::File { samples, began: None, taken: 0 });
        }
        #[cfg(feature = "devices")]
        return Ok(Self::Device(Microphone::open()?));
        #[cfg(not(feature = "devices"))]
        Err("built without devices: --play FILE stands in for the microphone".into())
    }

    pub fn format(&self) -> (u32, u16) {
        match self {
            #[cfg(feature = "devices")]
            Self::Device(microphone) => (microphone.rate(), microphone.channels()),
            Self::File { .. } => (RATE, 1),
        }
    }

    /// If the device is gone, goes on with the one that is the system's default now, and says so:
    /// it may have another format.
    #[cfg(feature = "devices")]
    pub fn check(&mut self) -> Result<bool, Box<dyn Error>> {
        if let Self::Device(microphone) = self
            && let Some(why) = microphone.poll_error()
        {
            eprintln!("talk: microphone: {why}");
            microphone.reopen()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// What was recorded until now.
    pub fn read(&mut self, pcm: &mut [f32], now: Instant) -> usize {
        match self {
            #[cfg(feature = "devices")]
            Self::Device(microphone) => {
                let whole =
                    pcm.len() / usize::from(microphone.channels()) * usize::from(microphone.channels());
                microphone.captured.read(pcm.get_mut(..whole).unwrap_or_default())
            }
            Self::File { samples, began, taken } => {
                let began = *began.get_or_insert(now);
                let mut read = 0;
                while after(began, *taken + BLOCK, RATE) <= now && read + BLOCK as usize <= pcm.len() {
                    for sample in pcm.iter_mut().skip(read).take(BLOCK as usize) {
                        *sample = samples.get(*taken as usize % samples.len().max(1)).copied().unwrap_or(0.0);
                        *taken += 1;
                    }
                    read += BLOCK as usize;
                }
                read
            }
        }
    }
}

impl Ear {
    pub fn open(record: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        #[cfg(feature = "devices")]
        if record.is_none() {
            return Ok(Self::Device(Loudspeaker::open()?));
        }
        Ok(Self::File { recording: record.map(wav::Writer::create).transpose()?, began: None, made: 0 })
    }

    pub fn format(&self) -> (u32, u16) {
        match self {
            #[cfg(feature = "devices")]
            Self::Device(loudspeaker) => (loudspeaker.rate(), loudspeaker.channels()),
            Self::File { .. } => (RATE, 1),
        }
    }

    /// Makes as much sound as is due.
    pub fn feed(&mut self, listener: &mut Receiver, now: Instant) -> io::Result<()> {
        match self {
            #[cfg(feature = "devices")]
            Self::Device(loudspeaker) => {
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
                    if loudspeaker.played.write(&pcm) < block {
                        break;
                    }
                }
            }
            Self::File { recording, began, made } => {
                let began = *began.get_or_insert(now);
                while after(began, *made, RATE) <= now {
                    let mut pcm = [0.0; BLOCK as usize];
                    listener.render(after(began, *made, RATE), &mut pcm);
                    *made += BLOCK;
                    if let Some(recording) = recording {
                        recording.append(&pcm.map(|sample| (sample * 32_767.0) as i16))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the device is still there; if it is not, goes on with the one that is the system's
    /// default now.
    #[cfg(feature = "devices")]
    pub fn check(&mut self, listener: &mut Receiver, now: Instant) -> Result<(), Box<dyn Error>> {
        if let Self::Device(loudspeaker) = self
            && let Some(why) = loudspeaker.poll_error()
        {
            eprintln!("talk: loudspeaker: {why}");
            loudspeaker.reopen()?;
            let mut options = ReceiverOptions::default();
            (options.rate, options.channels) = (loudspeaker.rate(), loudspeaker.channels());
            *listener = Receiver::new(options, now)?;
        }
        Ok(())
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
