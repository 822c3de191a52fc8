//! Writes WAV files.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use super::PCM;

/// The rate that [`write()`] gives its files, in Hz.
pub const WRITTEN_RATE: u32 = 48_000;

/// Writes samples of one channel at 48 kHz as a WAV file of 16 bits.
///
/// # Errors
/// As [`Writer::append`].
pub fn write(path: &Path, samples: &[i16]) -> io::Result<()> {
    let mut writer = Writer::create(path, 1)?;
    writer.append(samples)?;
    writer.finish()
}

/// A WAV file of samples of 16 bits at 48 kHz, channels interleaved, written as they come.
///
/// Its header is right once a second and when the writer is finished or dropped. If nothing of that
/// happens, because the process was killed, what was written is there all the same:
/// [`read`](super::read) reads it.
pub struct Writer {
    file: BufWriter<File>,
    /// Bytes of sound, and how many the header knows of.
    bytes: u32,
    known: u32,
}

impl Writer {
    /// A file of so many channels without samples, in place of one that may be there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(path: &Path, channels: u16) -> io::Result<Self> {
        let block = 2 * channels;
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(b"RIFF")?;
        file.write_all(&AROUND.to_le_bytes())?;
        file.write_all(b"WAVEfmt \x10\0\0\0")?;
        file.write_all(&PCM.to_le_bytes())?;
        file.write_all(&channels.to_le_bytes())?;
        file.write_all(&WRITTEN_RATE.to_le_bytes())?;
        file.write_all(&(WRITTEN_RATE * u32::from(block)).to_le_bytes())?;
        file.write_all(&block.to_le_bytes())?;
        file.write_all(&16u16.to_le_bytes())?;
        file.write_all(b"data")?;
        file.write_all(&0u32.to_le_bytes())?;
        file.flush()?;
        Ok(Self { file, bytes: 0, known: 0 })
    }

    /// Writes samples behind those that are there.
    ///
    /// # Errors
    /// What the file system says, and `InvalidInput` for more samples than a WAV file can hold (4
    /// GiB); none was written then.
    pub fn append(&mut self, samples: &[i16]) -> io::Result<()> {
        let more = u32::try_from(samples.len() * 2).ok().and_then(|more| self.bytes.checked_add(more));
        let bytes = more.filter(|bytes| bytes.checked_add(AROUND).is_some());
        let bytes =
            bytes.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "too long for a WAV file"))?;
        for sample in samples {
            self.file.write_all(&sample.to_le_bytes())?;
        }
        self.bytes = bytes;
        if self.bytes - self.known >= WRITTEN_RATE * 2 { self.write_sizes() } else { Ok(()) }
    }

    /// Makes the header right, and closes the file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(mut self) -> io::Result<()> {
        self.write_sizes()
    }

    fn write_sizes(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(4))?;
        self.file.write_all(&(AROUND + self.bytes).to_le_bytes())?;
        self.file.seek(SeekFrom::Start(40))?;
        self.file.write_all(&self.bytes.to_le_bytes())?;
        self.file.seek(SeekFrom::End(0))?;
        self.known = self.bytes;
        self.file.flush()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.known != self.bytes {
            // There is nobody left to tell.
            let _ = self.write_sizes();
        }
    }
}

/// Bytes that the size of a RIFF file counts besides the sound, as [`Writer`] writes it.
const AROUND: u32 = 36;
