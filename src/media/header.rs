//! The SFrame header (RFC 9605 section 4.3), strict: one encoding for each pair of numbers.
//!
//! ```text
//!  0 1 2 3 4 5 6 7
//! +-+-+-+-+-+-+-+-+------------+------------+
//! |X|  K  |Y|  C  | KID, if X  | CTR, if Y  |    X: KID has K+1 bytes, else it is K; Y, C: the same of CTR
//! +-+-+-+-+-+-+-+-+------------+------------+
//! ```

use crate::id::{Counter, KeyId};

/// A parsed header and how many bytes it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kid: KeyId,
    pub(crate) counter: Counter,
}

/// Bytes of every header that this library writes: a KID of four bytes, a counter of two.
pub(crate) const HEADER: usize = 7;

/// `1 011 1 001`: KID of four bytes, counter of two.
const OURS: u8 = 0xb9;

/// The counters whose shortest encoding has two bytes: a key's packets use these and no others.
pub(crate) const FIRST_COUNTER: u64 = 0x100;
pub(crate) const LAST_COUNTER: u64 = 0xffff;

/// Whether a packet can have this counter: neither an opener nor a verifier takes another.
#[inline]
pub(crate) fn is_usable(counter: Counter) -> bool {
    (FIRST_COUNTER..=LAST_COUNTER).contains(&counter.0)
}

/// Not a header, or not the shortest encoding of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Header {
    /// Reads a header from the front of a frame.
    #[inline]
    pub(crate) fn parse(frame: &[u8]) -> Result<(Self, usize), Malformed> {
        if let [OURS, k0, k1, k2, k3, c0, c1, ..] = *frame
            && k0 != 0
            && c0 != 0
        {
            let kid = KeyId(u32::from_be_bytes([k0, k1, k2, k3]).into());
            return Ok((Self { kid, counter: Counter(u16::from_be_bytes([c0, c1]).into()) }, HEADER));
        }
        Self::parse_any(frame)
    }

    /// Reads the header of a packet: what [`parse`](Self::parse) reads, with a counter that a key
    /// may use.
    #[inline]
    pub(crate) fn of_packet(frame: &[u8]) -> Result<(Self, usize), Malformed> {
        let (header, len) = Self::parse(frame)?;
        if is_usable(header.counter) { Ok((header, len)) } else { Err(Malformed) }
    }

    #[cold]
    fn parse_any(frame: &[u8]) -> Result<(Self, usize), Malformed> {
        let (config, rest) = frame.split_first().ok_or(Malformed)?;
        let (kid, rest) = field(config >> 4, rest)?;
        let (counter, rest) = field(config & 0xf, rest)?;
        Ok((Self { kid: KeyId(kid), counter: Counter(counter) }, frame.len() - rest.len()))
    }

    /// Writes a header of [`HEADER`] bytes. Needs a four-byte KID and a two-byte counter.
    #[inline]
    pub(crate) fn write_ours(&self, out: &mut [u8; HEADER]) {
        let [.., k0, k1, k2, k3] = self.kid.0.to_be_bytes();
        let [.., c0, c1] = self.counter.0.to_be_bytes();
        *out = [OURS, k0, k1, k2, k3, c0, c1];
    }

    /// Writes any header: what [`Header::parse`] reads.
    #[cfg(test)]
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut out = vec![0];
        let mut nibble = |value: u64| {
            if value < 8 {
                return value as u8;
            }
            let bytes: Vec<u8> = value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            out.extend(&bytes);
            8 | (bytes.len() as u8 - 1)
        };
        let config = nibble(self.kid.0) << 4 | nibble(self.counter.0);
        out[0] = config;
        out
    }
}

/// A number below 8 in the nibble itself, or one in as many bytes as it needs and the nibble says.
fn field(nibble: u8, rest: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    if nibble & 8 == 0 {
        return Ok((u64::from(nibble & 7), rest));
    }
    let (bytes, rest) = rest.split_at_checked(usize::from(nibble & 7) + 1).ok_or(Malformed)?;
    let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    let shortest = match bytes {
        [byte] => *byte > 7,
        [first, ..] => *first != 0,
        [] => false,
    };
    if shortest { Ok((value, rest)) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 9605 section 4.3 once more: both fields as text in base 256, and the shortest form by
    /// its length.
    fn naive(frame: &[u8]) -> Option<(u64, u64, usize)> {
        let mut rest = frame.iter();
        let config = *rest.next()?;
        let (mut values, mut taken) = ([0u64; 2], 1);
        for (value, nibble) in values.iter_mut().zip([config / 16, config % 16]) {
            if nibble < 8 {
                *value = nibble.into();
                continue;
            }
            let size = nibble - 7;
            for _ in 0..size {
                *value = *value * 256 + u64::from(*rest.next()?);
            }
            let needed = (1..=8).find(|bytes| u128::from(*value) < 1 << (8 * bytes)).unwrap();
            if *value < 8 || size != needed {
                return None;
            }
            taken += usize::from(size);
        }
        Some((values[0], values[1], taken))
    }

    fn parse(frame: &[u8]) -> Option<(u64, u64, usize)> {
        Header::parse(frame).ok().map(|(header, taken)| (header.kid.0, header.counter.0, taken))
    }

    #[test]
    fn every_two_byte_prefix_is_read_as_a_second_decoder_reads_it() {
        let mut seed = 0x9605_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        };
        let mut accepted = 0;
        for prefix in 0..=u16::MAX {
            // Random tails hardly ever begin with a zero byte, the mark of a form that is too long.
            for thinned in [false, true] {
                let mut frame = prefix.to_be_bytes().to_vec();
                frame.extend((0..16).map(|_| if thinned && random() < 128 { 0 } else { random() }));
                for length in [2, 3, 7, 12, 18] {
                    let frame = &frame[..length];
                    assert_eq!(parse(frame), naive(frame), "{frame:02x?}");
                    if let Some((kid, counter, taken)) = parse(frame) {
                        let header = Header { kid: KeyId(kid), counter: Counter(counter) };
                        assert_eq!(header.to_vec(), frame[..taken], "the one encoding there is");
                        accepted += 1;
                    }
                }
            }
        }
        assert!((100_000..600_000).contains(&accepted), "{accepted} of 655,360");
    }

    proptest! {
        #[test]
        fn every_pair_of_numbers_comes_back(kid: u64, kid_size in 0u32..64, counter: u64, ctr_size in 0u32..64) {
            let header = Header { kid: KeyId(kid >> kid_size), counter: Counter(counter >> ctr_size) };
            let bytes = header.to_vec();
            prop_assert_eq!(Header::parse(&bytes), Ok((header, bytes.len())));
        }
    }
}
