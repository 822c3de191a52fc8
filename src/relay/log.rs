//! What the relay saw, as a file that an outsider can search (SPEC section 8.2.6).
//!
//! ```text
//! "sottovoce relay log 1\n"
//! record: microseconds u64 | lane u8 | connection u16 | length u32 | bytes      little-endian
//! ```
//!
//! ```
//! use std::fs::File;
//!
//! use sottovoce::{
//!     relay::{Relay, RelayOptions, log},
//!     transport::{RoomHandle, Transport, block_on, tcp_udp::TcpUdpClient},
//! };
//!
//! let path = std::env::temp_dir().join(format!("relay-{}.log", std::process::id()));
//! let options = RelayOptions { log: Some(log::Writer::new(File::create(&path)?)?), ..RelayOptions::default() };
//! let relay = Relay::start(([127, 0, 0, 1], 0).into(), options)?;
//! let mut member = TcpUdpClient::new(relay.name());
//! block_on(member.connect(RoomHandle::from_bytes([1; 16])))?;
//! relay.stop()?;
//!
//! let first = log::Reader::new(File::open(&path)?)?.next().ok_or("an empty log")??;
//! assert_eq!(first.lane, log::Lane::Hello);
//! # std::fs::remove_file(path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    error::Error,
    fmt,
    io::{self, BufWriter, Read, Write},
    time::{Duration, Instant},
};

use crate::lane::MAX_CONTROL;

/// Where the relay writes everything that its members send it.
///
/// Only what comes in is written: what goes out are copies of it. The file grows with the traffic;
/// it is meant for audits, as a capture would be.
pub struct Writer {
    out: BufWriter<Box<dyn Write + Send>>,
    start: Instant,
    failed: Option<io::Error>,
    lost: u64,
}

impl Writer {
    /// Starts a log. Times in it count from here.
    ///
    /// # Errors
    /// Whatever `out` says about the first line.
    pub fn new(out: impl Write + Send + 'static) -> io::Result<Self> {
        let mut out = BufWriter::new(Box::new(out) as Box<dyn Write + Send>);
        out.write_all(MAGIC)?;
        out.flush()?;
        Ok(Self { out, start: Instant::now(), failed: None, lost: 0 })
    }

    /// Adds a record. After the first error nothing more is written, so a log has no holes.
    pub(super) fn record(&mut self, lane: Lane, Connection(connection): Connection, bytes: &[u8]) {
        let Ok(length) = u32::try_from(bytes.len()) else { return };
        let time = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.attempt(|out| {
            out.write_all(&time.to_le_bytes())?;
            out.write_all(&[lane.number()])?;
            out.write_all(&connection.to_le_bytes())?;
            out.write_all(&length.to_le_bytes())?;
            out.write_all(bytes)
        });
        self.lost += u64::from(self.failed.is_some());
    }

    /// Why nothing more is written, and how many records are missing that came since.
    pub(super) fn failure(&self) -> Option<(io::ErrorKind, u64)> {
        self.failed.as_ref().map(|error| (error.kind(), self.lost))
    }

    /// Hands what is buffered to the operating system.
    pub(super) fn flush(&mut self) {
        self.attempt(BufWriter::flush);
    }

    /// Ends the log and tells whether it is whole.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush();
        self.failed.map_or(Ok(()), Err)
    }

    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<Box<dyn Write + Send>>) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = write(&mut self.out).err();
            if let Some(_why) = &self.failed {
                trace_event!(WARN, why = ?_why.kind(), "the relay's log cannot be written any more");
            }
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("failed", &self.failed).finish_non_exhaustive()
    }
}

/// Reads a log from the start, one [`LogRecord`] after the other.
///
/// A relay that was killed leaves a log whose last record is cut: all records before it are read,
/// then comes [`ReadError::Truncated`], then nothing.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Checks that the input is a log.
    ///
    /// # Errors
    /// [`ReadError::NotALog`] if it begins with anything else, [`ReadError::Io`].
    pub fn new(mut input: R) -> Result<Self, ReadError> {
        let mut magic = [0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(ReadError::Io(error)),
            Ok(()) if magic == *MAGIC => Ok(Self { input, ended: false }),
            _ => Err(ReadError::NotALog),
        }
    }

    fn read(&mut self) -> Result<Option<LogRecord>, ReadError> {
        let Some(time) = self.first_field()? else { return Ok(None) };
        let at = Duration::from_micros(u64::from_le_bytes(time));
        let [lane] = self.field()?;
        let lane = Lane::from_number(lane).ok_or(ReadError::Lane(lane))?;
        let connection = Connection(u16::from_le_bytes(self.field()?));
        let length = u32::from_le_bytes(self.field()?);
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_CONTROL);
        let mut bytes = vec![0; length.ok_or(ReadError::Length)?];
        self.input.read_exact(&mut bytes).map_err(ReadError::in_record)?;
        Ok(Some(LogRecord { at, lane, connection, bytes }))
    }

    /// The first field of a record, or `None` at the end of the input.
    fn first_field<const N: usize>(&mut self) -> Result<Option<[u8; N]>, ReadError> {
        let mut bytes = Vec::with_capacity(N);
        let mut input = (&mut self.input).take(N as u64);
        input.read_to_end(&mut bytes).map_err(ReadError::Io)?;
        match (bytes.is_empty(), bytes.try_into()) {
            (true, _) => Ok(None),
            (false, Ok(field)) => Ok(Some(field)),
            (false, Err(_)) => Err(ReadError::Truncated),
        }
    }

    fn field<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(ReadError::in_record)?;
        Ok(bytes)
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<LogRecord, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Something that came in at the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// When, since the log was started.
    pub at: Duration,
    /// What it was.
    pub lane: Lane,
    /// From whom.
    pub connection: Connection,
    /// The bytes as they came, without the length that goes before a control message.
    pub bytes: Vec<u8>,
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// A control message.
    Control,
    /// A datagram that was forwarded as a sealed packet.
    Media,
    /// The first bytes of a connection, with the handle of its room.
    Hello,
    /// A datagram that binds an address to a connection.
    Bind,
}

impl Lane {
    const ALL: [Self; 4] = [Self::Control, Self::Media, Self::Hello, Self::Bind];

    fn number(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Media => 1,
            Self::Hello => 2,
            Self::Bind => 3,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.number() == number)
    }
}

/// A member's connection: counted from 0, and given again only after all 65,536 were used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection(pub u16);

/// Why a log cannot be read, or not any further.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The input does not begin like a log.
    NotALog,
    /// The input ends within a record. Everything before it was read.
    Truncated,
    /// A record is of a kind that this edition does not know.
    Lane(u8),
    /// A record claims more bytes than a relay accepts.
    Length,
    /// The input could not be read.
    Io(io::Error),
}

impl ReadError {
    fn in_record(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotALog => f.write_str("this is not a relay log"),
            Self::Truncated => f.write_str("the relay log ends within a record"),
            Self::Lane(lane) => write!(f, "the relay log has a record of unknown kind {lane}"),
            Self::Length => f.write_str("the relay log has a record longer than a relay accepts"),
            Self::Io(error) => write!(f, "the relay log cannot be read: {error}"),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

const MAGIC: &[u8; 22] = b"sottovoce relay log 1\n";

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn three_records() -> Vec<u8> {
        let out = Shared::default();
        let mut log = Writer::new(out.clone()).unwrap();
        log.record(Lane::Hello, Connection(0), b"hello");
        log.record(Lane::Control, Connection(258), &[7; MAX_CONTROL]);
        log.record(Lane::Media, Connection(1), b"");
        log.finish().unwrap();
        out.0.lock().unwrap().clone()
    }

    #[test]
    fn a_log_has_the_bytes_of_the_specification() {
        let log = three_records();
        assert_eq!(&log[..22], b"sottovoce relay log 1\n");
        assert_eq!(log[30..42], [2, 0, 0, 5, 0, 0, 0, b'h', b'e', b'l', b'l', b'o']);
        assert_eq!(log[50..57], [0, 2, 1, 0, 0x40, 0, 0]);
    }

    #[test]
    fn records_come_back_in_order_with_rising_times() {
        let log = three_records();
        let records: Vec<_> = Reader::new(&log[..]).unwrap().map(Result::unwrap).collect();
        let kinds: Vec<_> = records.iter().map(|r| (r.lane, r.connection.0, r.bytes.len())).collect();
        assert_eq!(kinds, [(Lane::Hello, 0, 5), (Lane::Control, 258, MAX_CONTROL), (Lane::Media, 1, 0)]);
        assert!(records.is_sorted_by_key(|record| record.at));
    }

    #[test]
    fn a_log_cut_anywhere_keeps_its_whole_records_and_says_that_it_is_cut() {
        let log = three_records();
        let ends = [22, 22 + 15 + 5, 22 + 15 + 5 + 15 + MAX_CONTROL, log.len()];
        for length in (22..60).chain(log.len() - 40..=log.len()) {
            let whole = ends.iter().filter(|end| **end <= length).count() - 1;
            let mut reader = Reader::new(&log[..length]).unwrap();
            assert_eq!(reader.by_ref().take(whole).filter(Result::is_ok).count(), whole);
            match reader.next() {
                None => assert!(ends.contains(&length)),
                Some(result) => assert!(matches!(result, Err(ReadError::Truncated)), "{length}"),
            }
            assert!(reader.next().is_none());
        }
        assert!((0..22).all(|length| matches!(Reader::new(&log[..length]), Err(ReadError::NotALog))));
    }

    #[test]
    fn a_log_that_could_not_be_written_says_so_at_once_and_at_the_end() {
        struct FullOnce(Vec<usize>);
        impl Write for FullOnce {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.len());
                if self.0.len() == 2 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut log = Writer::new(FullOnce(Vec::new())).unwrap();
        log.record(Lane::Control, Connection(0), b"lost");
        assert_eq!(log.failure(), None, "nobody has tried");
        log.flush();
        assert_eq!(log.failure(), Some((io::ErrorKind::StorageFull, 0)));
        log.record(Lane::Control, Connection(0), b"not tried");
        log.flush();
        assert_eq!(log.failure(), Some((io::ErrorKind::StorageFull, 1)));
        assert_eq!(log.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_record_of_unknown_kind_or_impossible_length_ends_the_reading() {
        let record = |lane: u8, length: u32| {
            let record = [&[0; 8][..], &[lane, 0, 0], &length.to_le_bytes(), &[0; 4]].concat();
            let log = [&MAGIC[..], &record].concat();
            let mut reader = Reader::new(&log[..]).unwrap();
            (reader.next().unwrap(), reader.next().is_none())
        };
        assert!(matches!(record(0, 4), (Ok(_), true)));
        assert!(matches!(record(4, 4), (Err(ReadError::Lane(4)), true)));
        assert!(matches!(record(1, u32::MAX), (Err(ReadError::Length), true)));
    }

    proptest! {
        #[test]
        fn random_records_end_in_a_typed_error_or_the_end(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [&MAGIC[..], &tail].concat();
            let records = Reader::new(&bytes[..]).unwrap().count();
            prop_assert!(records <= 1 + tail.len() / 15);
        }
    }
}
