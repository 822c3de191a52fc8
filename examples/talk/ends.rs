//! Where sound comes from and goes to: a device, or a WAV file that stands in for one.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sottovoce::voice::Receiver;
#[cfg(feature = "devices")]
use sottovoce::voice::devices::{Loudspeaker, Microphone};

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
        path: Option<PathBuf>,
        heard: Vec<i16>,
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
        Ok(Self::File { path: record.map(Path::to_owned), heard: Vec::new(), began: None, made: 0 })
    }

    pub fn format(&self) -> (u32, u16) {
        match self {
            #[cfg(feature = "devices")]
            Self::Device(loudspeaker) => (loudspeaker.rate(), loudspeaker.channels()),
            Self::File { .. } => (RATE, 1),
        }
    }

    /// Makes as much sound as is due.
    pub fn feed(&mut self, listener: &mut Receiver, now: Instant) {
        match self {
            #[cfg(feature = "devices")]
            Self::Device(loudspeaker) => {
                let (rate, channels) = (loudspeaker.rate(), usize::from(loudspeaker.channels()));
                let block = rate as usize / 200 * channels;
                let mut pcm = vec![0.0; block];
                // 15 ms wait for the device: enough for a loop that comes round every five.
                while loudspeaker.played.waiting() < 3 * block {
                    let ahead = loudspeaker.played.waiting() / channels;
                    listener.render(after(now, ahead as u64, rate), &mut pcm);
                    loudspeaker.played.write(&pcm);
                }
            }
            Self::File { heard, began, made, .. } => {
                let began = *began.get_or_insert(now);
                while after(began, *made, RATE) <= now {
                    let mut pcm = [0.0; BLOCK as usize];
                    listener.render(after(began, *made, RATE), &mut pcm);
                    heard.extend(pcm.map(|sample| (sample * 32_767.0) as i16));
                    *made += BLOCK;
                }
            }
        }
    }

    /// Writes the file, if it is one.
    pub fn finish(&self) -> Result<(), Box<dyn Error>> {
        match self {
            #[cfg(feature = "devices")]
            Self::Device(_) => Ok(()),
            Self::File { path: Some(path), heard, .. } => Ok(wav::write(path, heard)?),
            Self::File { path: None, .. } => Ok(()),
        }
    }
}

/// What files are played and recorded at.
const RATE: u32 = 48_000;
/// 5 ms of that.
const BLOCK: u64 = 240;
/// How much of a file is read.
const LONGEST: Duration = Duration::from_secs(600);
