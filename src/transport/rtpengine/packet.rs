//! The RTP header around a sealed packet (RFC 3550 section 5.1). Nothing above depends on what it
//! says.

use crate::transport::MAX_MEDIA;

/// Where a stream of packets has got to.
pub(super) struct Stream {
    ssrc: u32,
    sequence: u16,
    time: u32,
}

impl Stream {
    pub(super) fn new(random: [u8; 4]) -> Self {
        Self { ssrc: u32::from_be_bytes(random), sequence: 0, time: 0 }
    }

    /// Puts the next packet into `out`, in the place of what was there.
    pub(super) fn packet(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.put(VERSION, payload, out);
    }

    /// The same with one that is nothing but padding, which says that somebody is here.
    pub(super) fn padding(&mut self, out: &mut Vec<u8>) {
        self.put(VERSION | PADDING, &[0, 0, 0, 4], out);
    }

    fn put(&mut self, first: u8, payload: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&[first, PAYLOAD_TYPE]);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.time.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.time = self.time.wrapping_add(SAMPLES);
    }
}

/// The sealed packet in an RTP packet; `None` if that is none, or nothing but padding, or longer
/// than one may be.
pub(super) fn payload(packet: &[u8]) -> Option<&[u8]> {
    let (header, mut rest) = packet.split_at_checked(HEADER)?;
    let first = header.first()?;
    if first >> 6 != VERSION >> 6 {
        return None;
    }
    rest = rest.get(4 * usize::from(first & 0x0f)..)?;
    if first & EXTENSION != 0 {
        let (extension, after) = rest.split_at_checked(4)?;
        let words = u16::from_be_bytes([*extension.get(2)?, *extension.get(3)?]);
        rest = after.get(4 * usize::from(words)..)?;
    }
    if first & PADDING != 0 {
        let padding = usize::from(*rest.last()?);
        rest = rest.get(..rest.len().checked_sub(padding.max(1))?)?;
        if rest.is_empty() {
            return None;
        }
    }
    (rest.len() <= MAX_MEDIA).then_some(rest)
}

/// Bytes of a header without anything optional.
pub(super) const HEADER: usize = 12;
const VERSION: u8 = 2 << 6;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
pub(super) const PAYLOAD_TYPE: u8 = 96;
/// 40 ms at 48 kHz. Relays and receivers make nothing of it.
const SAMPLES: u32 = 1_920;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_are_those_of_rfc_3550_and_come_back() {
        let mut stream = Stream::new([0xaa, 0xbb, 0xcc, 0xdd]);
        let mut out = Vec::new();
        stream.packet(b"one", &mut out);
        assert_eq!(out, b"\x80\x60\0\0\0\0\0\0\xaa\xbb\xcc\xddone");
        stream.packet(b"two", &mut out);
        assert_eq!(out, b"\x80\x60\0\x01\0\0\x07\x80\xaa\xbb\xcc\xddtwo");
        assert_eq!(payload(&out), Some(&b"two"[..]));
        stream.packet(b"", &mut out);
        assert_eq!(payload(&out), Some(&b""[..]));
        stream.padding(&mut out);
        assert_eq!((out.len(), payload(&out)), (16, None));
    }

    #[test]
    fn whatever_a_relay_does_to_the_header_the_payload_is_found() {
        let rest = b"\x7f\x12\x34\x00\x00\x00\x01\xff\xff\xff\xff";
        let packet = |first: u8, tail: &[u8]| [&[first][..], rest, tail].concat();
        assert_eq!(payload(&packet(0x80, b"sealed")), Some(&b"sealed"[..]));
        assert_eq!(payload(&packet(0x82, b"csrccsrcsealed")), Some(&b"sealed"[..]));
        assert_eq!(payload(&packet(0x90, b"\xbe\xde\0\x01xxxxsealed")), Some(&b"sealed"[..]));
        assert_eq!(payload(&packet(0xb1, b"csrc\xbe\xde\0\x01xxxxsealed\0\x02")), Some(&b"sealed"[..]));
        for bad in [
            packet(0x40, b"sealed"),
            packet(0x8f, b"sealed"),
            packet(0x90, b"\xbe\xde\xff\xffsealed"),
            packet(0x90, b"\xbe"),
            packet(0xa0, b"sealed\x08"),
            packet(0xa0, b"\x01"),
            packet(0xa0, b"\0\0\0\x04"),
            packet(0xa0, b""),
            packet(0x80, &[0; MAX_MEDIA + 1]),
            vec![0x80; 11],
        ] {
            assert_eq!(payload(&bad), None);
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = payload(&bytes);
        }
    }
}
