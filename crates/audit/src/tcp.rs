//! One direction of a TCP connection, put together from segments that come late, twice or in any
//! order.

use std::{collections::BTreeMap, time::Duration};

/// The bytes of one direction.
#[derive(Debug, Default)]
pub struct Stream {
    /// What is in order so far.
    pub bytes: Vec<u8>,
    /// When the byte at each of these places came.
    pub times: Vec<(usize, Duration)>,
    /// The capture has the beginning.
    pub from_start: bool,
    /// Sequence number of the SYN, if there was one.
    syn: Option<u32>,
    /// Sequence number of the next byte in order.
    next: Option<u32>,
    /// What came early, by distance from the first byte.
    early: BTreeMap<u64, (Duration, Vec<u8>)>,
}

impl Stream {
    /// A stream whose first bytes are known to be these.
    pub fn from_start(at: Duration, bytes: &[u8]) -> Self {
        let mut stream = Self { from_start: true, ..Self::default() };
        stream.append(at, bytes);
        stream
    }

    /// Adds what comes next.
    pub fn append(&mut self, at: Duration, bytes: &[u8]) {
        self.times.push((self.bytes.len(), at));
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes a segment.
    pub fn segment(&mut self, at: Duration, sequence: u32, syn: bool, payload: &[u8]) {
        if syn {
            self.syn = Some(sequence);
            if self.next.is_none() {
                self.from_start = true;
                self.next = Some(sequence.wrapping_add(1));
            }
            return;
        }
        // A keep-alive repeats a byte that was seen; an empty segment says nothing.
        if payload.is_empty() {
            return;
        }
        let next = *self.next.get_or_insert(sequence);
        // Segments are at most 2^30 bytes away from where the stream is.
        let ahead = sequence.wrapping_sub(next) as i32;
        let place = self.bytes.len() as u64 + u64::try_from(ahead).unwrap_or(0);
        let known = usize::try_from(-i64::from(ahead)).unwrap_or(0);
        if let Some(fresh) = payload.get(known..).filter(|fresh| !fresh.is_empty()) {
            self.early.entry(place).or_insert((at, fresh.to_vec()));
        }
        while let Some((place, (at, bytes))) = self.early.pop_first() {
            let here = self.bytes.len() as u64;
            if place > here {
                self.early.insert(place, (at, bytes));
                break;
            }
            let known = (here - place) as usize;
            if let Some(fresh) = bytes.get(known..).filter(|fresh| !fresh.is_empty()) {
                self.append(at, fresh);
                self.next = self.next.map(|next| next.wrapping_add(fresh.len() as u32));
            }
        }
    }

    /// Whether this is the SYN that the stream began with, sent again.
    pub fn is_syn(&self, sequence: u32) -> bool {
        self.syn == Some(sequence)
    }

    /// Bytes that came after a hole, which the capture never filled.
    pub fn beyond_a_hole(&self) -> usize {
        self.early.values().map(|(_, bytes)| bytes.len()).sum()
    }

    /// All bytes, those beyond a hole included, for searching.
    pub fn everything(&self) -> Vec<u8> {
        let beyond = self.early.values().flat_map(|(_, bytes)| bytes.iter().copied());
        self.bytes.iter().copied().chain(beyond).collect()
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.early.is_empty()
    }

    /// When the byte at a place came.
    pub fn time(&self, place: usize) -> Duration {
        let after = self.times.partition_point(|(start, _)| *start <= place);
        self.times.get(after.saturating_sub(1)).map_or(Duration::ZERO, |(_, at)| *at)
    }
}
