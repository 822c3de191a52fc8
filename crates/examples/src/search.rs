//! The leak search: does what the relay saw contain anything it must not know?
//!
//! A needle is something secret: a stretch of the speech, an account id, a name. The search looks
//! for every needle as it is, backwards, in hex, in base64 at all three alignments, and for text
//! also in UTF-16. A search that finds nothing proves little by itself, so the same search has to
//! find the same needles in a run without sealing.
//!
//! False positives: a pattern of n bytes stands at a given place in random bytes with probability
//! 256^-n. The shortest pattern comes from a text of 6 bytes taken as it is, 2^-48. With 100 such
//! texts and 100 MB of sealed packets that makes 4e-5 hits expected by chance; needles of binary
//! data (16 bytes and more) add nothing to it. [`Search::chance_hits`] states the exact figure for
//! one search.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use aho_corasick::AhoCorasick;

use crate::base64;

/// What a needle is a piece of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// PCM samples of the speech.
    Speech,
    /// A plain Opus packet.
    OpusPacket,
    /// The account id of a member.
    AccountId,
    /// The name that a member shows.
    DisplayName,
    /// The name of the room.
    RoomName,
    /// Whatever somebody who audits a relay has planted.
    Canary,
}

/// How a needle is written where it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// The bytes themselves.
    Raw,
    /// The bytes, last first.
    Reversed,
    /// Hex with the digits a to f.
    HexLower,
    /// Hex with the digits A to F.
    HexUpper,
    /// RFC 4648 section 4, at any alignment.
    Base64,
    /// RFC 4648 section 5, at any alignment.
    Base64Url,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
}

/// Something that must not be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    kind: Kind,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    Binary(Vec<u8>),
}

impl Needle {
    /// A name or an id, of at least [`SHORTEST_TEXT`] bytes.
    ///
    /// # Errors
    /// [`Error::TooShort`], because a short text turns up by chance.
    pub fn text(kind: Kind, text: &str) -> Result<Self, Error> {
        long_enough(kind, text.len(), SHORTEST_TEXT)?;
        Ok(Needle { kind, value: Value::Text(text.to_owned()) })
    }

    /// Audio or any other bytes, at least [`SHORTEST_BINARY`] of them.
    ///
    /// # Errors
    /// [`Error::TooShort`], and [`Error::TooUniform`] for bytes like those of silence, which are
    /// nobody's secret and turn up as padding.
    pub fn binary(kind: Kind, bytes: &[u8]) -> Result<Self, Error> {
        long_enough(kind, bytes.len(), SHORTEST_BINARY)?;
        let distinct = bytes.iter().collect::<HashSet<_>>().len();
        if distinct < DISTINCT_BYTES {
            return Err(Error::TooUniform { kind, distinct });
        }
        Ok(Needle { kind, value: Value::Binary(bytes.to_vec()) })
    }

    /// Up to `count` canaries of `width` bytes, evenly spread over `bytes`, without those that
    /// [`binary`](Self::binary) refuses as too uniform.
    ///
    /// # Errors
    /// [`Error::TooShort`] for a width under [`SHORTEST_BINARY`].
    pub fn canaries(kind: Kind, bytes: &[u8], width: usize, count: usize) -> Result<Vec<Self>, Error> {
        long_enough(kind, width, SHORTEST_BINARY)?;
        // A step of a whole number of samples keeps each canary at the start of one.
        let step = (bytes.len() / count.max(1)).max(width) & !1;
        let windows = bytes.chunks(step).filter_map(|chunk| chunk.get(..width));
        Ok(windows.filter_map(|window| Needle::binary(kind, window).ok()).take(count).collect())
    }

    fn bytes(&self) -> &[u8] {
        match &self.value {
            Value::Text(text) => text.as_bytes(),
            Value::Binary(bytes) => bytes,
        }
    }

    fn patterns(&self) -> Vec<(Encoding, Vec<u8>)> {
        let bytes = self.bytes();
        let hex = |digits: &[u8; 16]| {
            bytes
                .iter()
                .flat_map(|b| [b >> 4, b & 15])
                .map(|nibble| digits[usize::from(nibble)])
                .collect::<Vec<u8>>()
        };
        let mut patterns = vec![
            (Encoding::Raw, bytes.to_vec()),
            (Encoding::Reversed, bytes.iter().rev().copied().collect()),
            (Encoding::HexLower, hex(b"0123456789abcdef")),
            (Encoding::HexUpper, hex(b"0123456789ABCDEF")),
        ];
        for before in 0..3 {
            patterns.push((Encoding::Base64, base64::decided(bytes, before, base64::STANDARD)));
            patterns.push((Encoding::Base64Url, base64::decided(bytes, before, base64::URL_SAFE)));
        }
        if let Value::Text(text) = &self.value {
            patterns.push((Encoding::Utf16Le, text.encode_utf16().flat_map(u16::to_le_bytes).collect()));
            patterns.push((Encoding::Utf16Be, text.encode_utf16().flat_map(u16::to_be_bytes).collect()));
        }
        patterns
    }
}

/// All needles in all encodings, ready to look for in one pass.
#[derive(Debug)]
pub struct Search {
    automaton: AhoCorasick,
    patterns: Vec<Pattern>,
    needles: usize,
}

/// What a pattern of the automaton stands for.
#[derive(Debug)]
struct Pattern {
    kind: Kind,
    needle: usize,
    encoding: Encoding,
    length: usize,
}

impl Search {
    /// Prepares to look for `needles`. A pattern that several of them share counts for the first.
    ///
    /// # Errors
    /// [`Error::NoNeedles`], since looking for nothing finds nothing, and [`Error::TooMany`].
    pub fn new(needles: &[Needle]) -> Result<Self, Error> {
        if needles.is_empty() {
            return Err(Error::NoNeedles);
        }
        let mut known = HashSet::new();
        let mut patterns = Vec::new();
        let mut texts = Vec::new();
        for (index, needle) in needles.iter().enumerate() {
            for (encoding, text) in needle.patterns() {
                if known.insert(text.clone()) {
                    patterns.push(Pattern { kind: needle.kind, needle: index, encoding, length: text.len() });
                    texts.push(text);
                }
            }
        }
        let automaton = AhoCorasick::new(&texts).map_err(|_| Error::TooMany { needles: needles.len() })?;
        Ok(Search { automaton, patterns, needles: needles.len() })
    }

    /// How many needles are looked for.
    pub fn needles(&self) -> usize {
        self.needles
    }

    /// Every place in `capture` where a needle stands, overlapping ones included.
    pub fn run(&self, capture: &[u8]) -> Found {
        let hits = self.automaton.find_overlapping_iter(capture).filter_map(|place| {
            let pattern = self.patterns.get(place.pattern().as_usize())?;
            let &Pattern { kind, needle, encoding, .. } = pattern;
            Some(Hit { kind, needle, encoding, offset: place.start() })
        });
        Found { hits: hits.collect(), searched: capture.len() }
    }

    /// The same for a capture in a file.
    ///
    /// # Errors
    /// What reading the file says.
    pub fn run_on_file(&self, capture: &Path) -> io::Result<Found> {
        fs::read(capture).map(|bytes| self.run(&bytes))
    }

    /// How many hits `bytes` random bytes would give by chance.
    pub fn chance_hits(&self, bytes: usize) -> f64 {
        let places = |length: usize| bytes.saturating_sub(length - 1) as f64;
        self.patterns
            .iter()
            .map(|pattern| places(pattern.length) * 256f64.powf(-(pattern.length as f64)))
            .sum()
    }
}

/// A needle at a place in a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// What was found.
    pub kind: Kind,
    /// Which of the needles, by its place in the list given to [`Search::new`].
    pub needle: usize,
    /// How it was written.
    pub encoding: Encoding,
    /// Where it begins, in bytes from the start of the capture.
    pub offset: usize,
}

/// The result of one search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// All hits, by the place where they end.
    pub hits: Vec<Hit>,
    /// Bytes that were searched.
    pub searched: usize,
}

impl Found {
    /// How many hits there are.
    pub fn count(&self) -> usize {
        self.hits.len()
    }
}

/// Why a search cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A needle is so short that it would be found by chance.
    TooShort {
        /// What the needle is a piece of.
        kind: Kind,
        /// Its length in bytes.
        length: usize,
        /// The length that it needs.
        least: usize,
    },
    /// A needle has too few different bytes to mean anything.
    TooUniform {
        /// What the needle is a piece of.
        kind: Kind,
        /// How many different byte values it has.
        distinct: usize,
    },
    /// There is nothing to look for.
    NoNeedles,
    /// There is more to look for than one automaton can hold.
    TooMany {
        /// How many needles there are.
        needles: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooShort { kind, length, least } => {
                write!(f, "{kind} of {length} bytes would be found by chance; {least} bytes are needed")
            }
            Error::TooUniform { kind, distinct } => {
                write!(f, "{kind} with only {distinct} different byte values is found in any padding")
            }
            Error::NoNeedles => write!(f, "there is nothing to look for"),
            Error::TooMany { needles } => write!(f, "{needles} needles are more than one search can hold"),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Speech => "speech",
            Kind::OpusPacket => "Opus packet",
            Kind::AccountId => "account id",
            Kind::DisplayName => "display name",
            Kind::RoomName => "room name",
            Kind::Canary => "canary",
        })
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Raw => "raw",
            Encoding::Reversed => "reversed",
            Encoding::HexLower => "hex",
            Encoding::HexUpper => "upper-case hex",
            Encoding::Base64 => "base64",
            Encoding::Base64Url => "URL-safe base64",
            Encoding::Utf16Le => "UTF-16LE",
            Encoding::Utf16Be => "UTF-16BE",
        })
    }
}

fn long_enough(kind: Kind, length: usize, least: usize) -> Result<(), Error> {
    if length < least { Err(Error::TooShort { kind, length, least }) } else { Ok(()) }
}

/// Bytes that a text needs to be looked for.
pub const SHORTEST_TEXT: usize = 6;
/// Bytes that a binary needle needs to be looked for.
pub const SHORTEST_BINARY: usize = 16;
/// Different byte values that a binary needle needs.
const DISTINCT_BYTES: usize = 8;
