//! WAV files: any usual recording in, 48 kHz PCM of one channel or two out.
//!
//! The reader walks the RIFF chunks itself, because it has to tell a truncated recording from a
//! whole one and has to accept the pad byte that RIFF puts after a chunk of odd length. Layout:
//! RIFF as in "Multimedia Programming Interface and Data Specifications 1.0" (1991), `fmt ` as in
//! `WAVEFORMATEX` and `WAVEFORMATEXTENSIBLE`.
//!
//! ```text
//! "RIFF" len "WAVE"  |  "fmt " len tag channels rate bytes/s block bits ..  |  other chunks  |  "data" len frames
//! ```

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sottovoce::voice::Channels;

mod writer;

pub use writer::{WRITTEN_RATE, Writer, write};

/// A recording as it was in its file, of which one channel or one pair is taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Samples, full scale at -1.0 and 1.0, of the channel that is the loudest at the time, or of
    /// the loudest pair, left and right interleaved.
    pub samples: Vec<f32>,
    /// Samples in a second.
    pub rate: NonZeroU32,
    /// Channels in the file.
    pub channels: u16,
    /// How many samples were not a number or infinite and count as silence.
    pub silenced: usize,
}

/// Reads the first `at_most` of the WAV file at `path`.
///
/// PCM of up to 32 bits, float of 32 and 64 bits, A-law and u-law are read, in RIFF, RF64 and BW64,
/// at 1 kHz to 768 kHz and any channel count. The whole file is checked to be there even where only
/// its beginning is read; where a recorder wrote into a pipe or was killed, and the header does not
/// know the size, sound goes to the end of the file.
///
/// # Errors
/// One [`Fault`] for each way in which a file can be no use; it prints as one line that begins with
/// the path.
pub fn read(path: &Path, at_most: Duration) -> Result<Recording, Error> {
    read_as(path, at_most, 1)
}

/// The same, of one side or two: with two, left and right stay apart.
///
/// # Errors
/// As [`read`].
pub fn read_as(path: &Path, at_most: Duration, sides: u16) -> Result<Recording, Error> {
    open(path)
        .and_then(|mut file| parse(&mut file, at_most, sides))
        .map_err(|fault| Error { path: path.to_owned(), fault })
}

/// A file that is no use as a recording, and why.
#[derive(Debug)]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a WAV file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// There is no file of that name.
    Missing,
    /// It is a directory.
    Directory,
    /// It is a device, a pipe or a socket, whose end nobody can know.
    NotAFile,
    /// It does not begin like a WAV file.
    NotWav,
    /// It holds no samples.
    Empty,
    /// It ends before its own header says.
    Truncated {
        /// Bytes in the file, according to its header.
        promised: u64,
        /// Bytes in the file.
        found: u64,
    },
    /// Its header states a rate outside 1 kHz to 768 kHz.
    Rate(u32),
    /// Its header states 0 channels.
    NoChannels,
    /// Its samples are of a kind that is not read here.
    Encoding {
        /// The format tag, 1 for PCM and 3 for float.
        tag: u16,
        /// Bits in a sample.
        bits: u16,
    },
    /// Its header contradicts itself.
    Malformed(&'static str),
    /// The file system refused.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.fault)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Missing => write!(f, "no such file"),
            Fault::Directory => write!(f, "is a directory, not a WAV file"),
            Fault::NotAFile => write!(f, "is not a regular file"),
            Fault::NotWav => write!(f, "is not a WAV file: it does not begin with RIFF and WAVE"),
            Fault::Empty => write!(f, "holds no samples"),
            Fault::Truncated { promised, found } => {
                write!(f, "is truncated: its header promises {promised} bytes, the file has {found}")
            }
            Fault::Rate(rate) => write!(f, "states a rate of {rate} Hz; 1000 to 768000 Hz are read"),
            Fault::NoChannels => write!(f, "states 0 channels"),
            Fault::Encoding { tag, bits } => write!(
                f,
                "holds samples of format {tag} with {bits} bits; PCM of 1 to 32 bits, float of 32 or 64, A-law and u-law are read"
            ),
            Fault::Malformed(what) => write!(f, "is not a sound WAV file: {what}"),
            Fault::Io(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Fault::Missing,
            _ => Fault::Io(error),
        }
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Fault> {
    let kind = fs::metadata(path)?.file_type();
    match () {
        () if kind.is_dir() => Err(Fault::Directory),
        () if !kind.is_file() => Err(Fault::NotAFile),
        () => Ok(BufReader::new(File::open(path)?)),
    }
}

fn parse(file: &mut (impl Read + Seek), at_most: Duration, sides: u16) -> Result<Recording, Fault> {
    let found = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    if found == 0 {
        return Err(Fault::Empty);
    }
    let mut head = [0; 12];
    if found < 12 {
        return Err(Fault::NotWav);
    }
    file.read_exact(&mut head)?;
    let [r, i, f, g, a, b, c, d, w, v, x, y] = head;
    let large = matches!(&[r, i, f, g], b"RF64" | b"BW64");
    if !(large || [r, i, f, g] == *b"RIFF") || [w, v, x, y] != *b"WAVE" {
        return Err(Fault::NotWav);
    }
    let promised = 8 + u64::from(u32::from_le_bytes([a, b, c, d]));

    let mut format = None;
    let mut large_sound = None;
    let mut at = 12;
    loop {
        let body = at + 8;
        if body > found {
            // No sound anywhere: either the rest was cut off, or there never was any.
            return Err(if promised > found { Fault::Truncated { promised, found } } else { Fault::Empty });
        }
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        file.read_exact(&mut head)?;
        let [i, d, e, n, a, b, c, l] = head;
        let length = u64::from(u32::from_le_bytes([a, b, c, l]));
        let end = body + length;
        match &[i, d, e, n] {
            b"data" => {
                let format: Format = format.ok_or(Fault::Malformed("its sound comes before its format"))?;
                let length = match large_sound.filter(|_| length == UNKNOWN) {
                    Some(length) => Some(length),
                    // A recorder that was killed never came to write the size, or wrote into a
                    // pipe.
                    None if length == UNKNOWN || (length >= ENDLESS && end > found) => None,
                    None if length == 0 && promised != found => None,
                    None => Some(length),
                };
                let length = length.unwrap_or((found - body) / format.block() * format.block());
                let end = body.saturating_add(length);
                if end > found {
                    return Err(Fault::Truncated { promised: end, found });
                }
                return format.decode(file, length, at_most, sides);
            }
            b"ds64" if large => {
                let mut sizes = [0; 16];
                file.take(length).read_exact(&mut sizes)?;
                let [.., a, b, c, d, e, f, g, h] = sizes;
                let size = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                large_sound = Some(size).filter(|size| *size != 0 && *size != u64::MAX);
            }
            b"fmt " if end > found => return Err(Fault::Truncated { promised: end, found }),
            b"fmt " => format = Some(Format::parse(file, length)?),
            _ => {}
        }
        // RIFF pads a chunk of odd length with one byte that the length does not count.
        at = end + length % 2;
    }
}

/// A `fmt ` chunk that can be decoded.
#[derive(Clone, Copy)]
struct Format {
    encoding: Encoding,
    channels: u16,
    rate: NonZeroU32,
}

#[derive(Clone, Copy)]
enum Encoding {
    Unsigned8,
    Signed16,
    Signed24,
    Signed32,
    Float32,
    Float64,
    ALaw,
    MuLaw,
}

impl Format {
    fn parse(file: &mut impl Read, length: u64) -> Result<Self, Fault> {
        let mut chunk = Vec::new();
        file.take(length.min(EXTENSIBLE_LENGTH)).read_to_end(&mut chunk)?;
        let [t, g, c, h, r0, r1, r2, r3, _, _, _, _, a, l, b, i, ..] = chunk[..] else {
            return Err(Fault::Malformed("its format chunk is too short"));
        };
        let mut tag = u16::from_le_bytes([t, g]);
        let channels = u16::from_le_bytes([c, h]);
        let rate = u32::from_le_bytes([r0, r1, r2, r3]);
        let block = u16::from_le_bytes([a, l]);
        let bits = u16::from_le_bytes([b, i]);
        if tag == EXTENSIBLE {
            // The tag proper opens the sub-format; samples are left-justified, so the valid bits do
            // not matter.
            if let Some(&[t, g]) = chunk.get(24..26) {
                tag = u16::from_le_bytes([t, g]);
            }
        }
        if channels == 0 {
            return Err(Fault::NoChannels);
        }
        let rate =
            NonZeroU32::new(rate).filter(|rate| RATES.contains(&rate.get())).ok_or(Fault::Rate(rate))?;
        // Samples of fewer bits stand at the top of whole bytes.
        let encoding = match (tag, bits) {
            (PCM, 1..=8) => Encoding::Unsigned8,
            (PCM, 9..=16) => Encoding::Signed16,
            (PCM, 17..=24) => Encoding::Signed24,
            (PCM, 25..=32) => Encoding::Signed32,
            (FLOAT, 32) => Encoding::Float32,
            (FLOAT, 64) => Encoding::Float64,
            (A_LAW, 8) => Encoding::ALaw,
            (MU_LAW, 8) => Encoding::MuLaw,
            _ => return Err(Fault::Encoding { tag, bits }),
        };
        if u32::from(block) != u32::from(channels) * u32::from(bits.div_ceil(8)) {
            return Err(Fault::Malformed("its block size does not fit its channels and bits"));
        }
        Ok(Format { encoding, channels, rate })
    }

    /// Bytes of one sample of each channel.
    fn block(self) -> u64 {
        self.encoding.width() as u64 * u64::from(self.channels)
    }

    fn decode(
        self,
        file: &mut impl Read,
        length: u64,
        at_most: Duration,
        sides: u16,
    ) -> Result<Recording, Fault> {
        let width = self.encoding.width();
        let block = width * usize::from(self.channels);
        let frames = length / block as u64;
        if length == 0 {
            return Err(Fault::Empty);
        }
        if frames * block as u64 != length {
            return Err(Fault::Malformed("its sound is not a whole number of frames"));
        }
        let wanted = (at_most.as_secs_f64() * f64::from(self.rate.get())).ceil() as u64;
        let mut recording =
            Recording { samples: Vec::new(), rate: self.rate, channels: self.channels, silenced: 0 };
        let mut frame = vec![0; block];
        let channels = if sides == 2 { Channels::pairs } else { Channels::new };
        let mut voice = channels(self.channels, self.rate.get());
        for _ in 0..frames.min(wanted) {
            file.read_exact(&mut frame)?;
            let silenced = &mut recording.silenced;
            let samples = frame.chunks_exact(width).map(|bytes| {
                let sample = self.encoding.sample(bytes);
                *silenced += usize::from(!sample.is_finite());
                if sample.is_finite() { sample.clamp(-1.0, 1.0) as f32 } else { 0.0 }
            });
            recording.samples.extend(voice.pair(samples).into_iter().take(sides.into()));
        }
        Ok(recording)
    }
}

impl Encoding {
    /// Bytes in a sample.
    fn width(self) -> usize {
        match self {
            Encoding::Unsigned8 | Encoding::ALaw | Encoding::MuLaw => 1,
            Encoding::Signed16 => 2,
            Encoding::Signed24 => 3,
            Encoding::Signed32 | Encoding::Float32 => 4,
            Encoding::Float64 => 8,
        }
    }

    /// One sample from exactly [`width`](Self::width) bytes.
    fn sample(self, bytes: &[u8]) -> f64 {
        match (self, bytes) {
            (Encoding::Unsigned8, &[a]) => (f64::from(a) - 128.0) / 128.0,
            (Encoding::Signed16, &[a, b]) => f64::from(i16::from_le_bytes([a, b])) / 32_768.0,
            (Encoding::Signed24, &[a, b, c]) => f64::from(i32::from_le_bytes([0, a, b, c])) / FULL_SCALE,
            (Encoding::Signed32, &[a, b, c, d]) => f64::from(i32::from_le_bytes([a, b, c, d])) / FULL_SCALE,
            (Encoding::Float32, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
            (Encoding::Float64, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            (Encoding::ALaw, &[a]) => f64::from(a_law(a)) / 32_768.0,
            (Encoding::MuLaw, &[a]) => f64::from(mu_law(a)) / 32_768.0,
            _ => f64::NAN,
        }
    }
}

/// ITU-T G.711, A-law: sign, three bits of exponent, four of mantissa, every other bit inverted.
fn a_law(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = (byte >> 4 & 7, i16::from(byte & 15));
    let size = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if byte & 0x80 != 0 { size } else { -size }
}

/// ITU-T G.711, u-law: the same, all bits inverted, and the smallest step in the middle.
fn mu_law(byte: u8) -> i16 {
    let byte = !byte;
    let (exponent, mantissa) = (byte >> 4 & 7, i16::from(byte & 15));
    let size = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if byte & 0x80 != 0 { -size } else { size }
}

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const EXTENSIBLE: u16 = 0xfffe;
/// Bytes of a `WAVEFORMATEXTENSIBLE`; nothing after them matters.
const EXTENSIBLE_LENGTH: u64 = 40;
/// A size that is not known, or stands in a `ds64` chunk.
const UNKNOWN: u64 = 0xffff_ffff;
/// Sizes from here on, if the file is smaller, are what recorders write into pipes: the largest
/// that they know.
const ENDLESS: u64 = 0x7fff_0000;
/// Rates at which somebody records speech, with much room on both sides.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;
/// Full scale of 32-bit PCM, and of 24-bit PCM moved up by 8 bits.
const FULL_SCALE: f64 = 2_147_483_648.0;
