//! Opus packets as bytes: checked, and padded to one size (RFC 6716 section 3, SPEC section 5.1).
//!
//! ```text
//! before   [TOC | frames ....]
//! after    [TOC'| count | padding length | frames .... | padding ....... ]     code 3, the padding bit set
//!           ^ the front grows into the headroom: no frame byte moves            ^ may end in stamp, signature
//! ```
//!
//! What a decoder plays is the same before and after, and so is its `final_range`.

use std::fmt;
use std::time::Duration;

/// An Opus packet that obeys RFC 6716 section 3.4, as a borrowed slice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OpusPacket<'a> {
    bytes: &'a [u8],
}

impl<'a> OpusPacket<'a> {
    /// Checks the packet's framing; the compressed frames themselves are the decoder's affair.
    ///
    /// # Errors
    /// [`MalformedOpus`] when a rule of RFC 6716 section 3.4 is broken.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MalformedOpus> {
        Shape::parse(bytes).map(|_| Self { bytes })
    }

    /// The same, for a packet whose last `tail` bytes must lie in its padding.
    ///
    /// # Errors
    /// [`Untailed`] says which of the two does not hold.
    #[inline]
    pub(crate) fn parse_with_tail(bytes: &'a [u8], tail: usize) -> Result<Self, Untailed> {
        let shape = Shape::parse(bytes).map_err(|_| Untailed::NotOpus)?;
        if shape.padding < tail { Err(Untailed::OutsidePadding) } else { Ok(Self { bytes }) }
    }

    /// The packet, as a decoder takes it.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether it holds two channels (the bit `s` of RFC 6716 section 3.1). A decoder of one
    /// channel plays it all the same.
    pub fn is_stereo(&self) -> bool {
        self.toc() & 0x04 != 0
    }

    /// Whether it is of a mode that can hold a copy of the packet before: all but CELT alone (RFC
    /// 6716, sections 2.1.7 and 3.1).
    #[cfg(feature = "voice")]
    pub(crate) fn can_hold_copy(&self) -> bool {
        self.toc() >> 3 < 16
    }

    fn toc(&self) -> u8 {
        self.bytes.first().copied().unwrap_or(0)
    }
}

/// Only its size: what was said does not belong in a log.
impl fmt::Debug for OpusPacket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpusPacket({} bytes)", self.bytes.len())
    }
}

/// Why a packet has no tail in its padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untailed {
    /// It is not an Opus packet.
    NotOpus,
    /// The tail would lie in the frames, so a decoder would play it.
    OutsidePadding,
}

/// The bytes are not an Opus packet (RFC 6716 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedOpus;

impl fmt::Display for MalformedOpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are not an Opus packet")
    }
}

impl std::error::Error for MalformedOpus {}

/// What padding has to know of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The count byte of a code 3 packet, or the one that would say the same: frames, and the VBR
    /// bit.
    count: u8,
    code: u8,
    /// Bytes of the padding length, 0 without padding.
    length_bytes: usize,
    /// Bytes of padding.
    padding: usize,
}

const VBR: u8 = 0x80;
const PADDED: u8 = 0x40;
const MAX_FRAME: usize = 1_275;
/// 120 ms, in units of 2.5 ms.
const MAX_DURATION: u32 = 48;

impl Shape {
    #[inline]
    pub(crate) fn parse(packet: &[u8]) -> Result<Self, MalformedOpus> {
        let (toc, rest) = packet.split_first().ok_or(MalformedOpus)?;
        let shape = |count| Self { count, code: toc & 3, length_bytes: 0, padding: 0 };
        match toc & 3 {
            0 if rest.len() <= MAX_FRAME => Ok(shape(1)),
            1 if rest.len().is_multiple_of(2) && rest.len() / 2 <= MAX_FRAME => Ok(shape(2)),
            2 => {
                let (first, rest) = frame_length(rest)?;
                let second = rest.len().checked_sub(first).ok_or(MalformedOpus)?;
                if second > MAX_FRAME { Err(MalformedOpus) } else { Ok(shape(2 | VBR)) }
            }
            3 => Self::parse_code_3(*toc, rest),
            _ => Err(MalformedOpus),
        }
    }

    fn parse_code_3(toc: u8, rest: &[u8]) -> Result<Self, MalformedOpus> {
        let (count, mut rest) = rest.split_first().ok_or(MalformedOpus)?;
        let frames = usize::from(count & 0x3f);
        if frames == 0 || u32::from(count & 0x3f) * duration(toc) > MAX_DURATION {
            return Err(MalformedOpus);
        }
        let (mut length_bytes, mut padding) = (0, 0);
        if count & PADDED != 0 {
            loop {
                let (byte, after) = rest.split_first().ok_or(MalformedOpus)?;
                rest = after;
                length_bytes += 1;
                padding += usize::from(*byte).min(254);
                if *byte != 255 {
                    break;
                }
            }
        }
        let mut frame_bytes = rest.len().checked_sub(padding).ok_or(MalformedOpus)?;
        if count & VBR != 0 {
            let mut lengths = rest.get(..frame_bytes).ok_or(MalformedOpus)?;
            let mut total = 0;
            for _ in 1..frames {
                let (length, after) = frame_length(lengths)?;
                lengths = after;
                total += length;
            }
            frame_bytes = lengths.len().checked_sub(total).ok_or(MalformedOpus)?;
            if frame_bytes > MAX_FRAME {
                return Err(MalformedOpus);
            }
        } else if !frame_bytes.is_multiple_of(frames) || frame_bytes / frames > MAX_FRAME {
            return Err(MalformedOpus);
        }
        Ok(Self { count: *count, code: 3, length_bytes, padding })
    }

    /// How the packet would grow by `extra` bytes.
    #[inline]
    pub(crate) fn growth(&self, extra: usize) -> Growth {
        let has_count = self.code == 3;
        if extra == 0 {
            return Growth { front: 0, back: 0, length_bytes: self.length_bytes, padding: self.padding };
        }
        // Bytes that the padding and its length take together, once the count byte is there.
        let total = self.length_bytes + self.padding + extra - usize::from(!has_count);
        let length_bytes = total.saturating_sub(1) / 255 + usize::from(total > 0);
        let padding = total - length_bytes;
        Growth {
            front: length_bytes - self.length_bytes + usize::from(!has_count),
            back: padding - self.padding,
            length_bytes,
            padding,
        }
    }

    /// Grows the packet at `buffer[start..end]` as `growth` says, and fills its new padding with
    /// `fill`.
    ///
    /// Returns where it stands then. `None` if the buffer has no room for that.
    #[inline]
    pub(crate) fn grow(
        &self,
        buffer: &mut [u8],
        start: usize,
        end: usize,
        growth: Growth,
        fill: u8,
    ) -> Option<usize> {
        if growth.front == 0 && growth.back == 0 {
            return Some(start);
        }
        buffer.get_mut(end..end.checked_add(growth.back)?)?.fill(fill);
        let toc = *buffer.get(start)?;
        let start = start.checked_sub(growth.front)?;
        let padded = if growth.length_bytes > 0 { PADDED } else { 0 };
        let (head, rest) = buffer.get_mut(start..)?.split_at_mut_checked(2)?;
        head.copy_from_slice(&[toc | 3, self.count & !PADDED | padded]);
        let (last, full) = rest
            .get_mut(..growth.length_bytes)?
            .split_last_mut()
            .map_or((None, &mut [][..]), |(last, full)| (Some(last), full));
        full.fill(255);
        if let Some(last) = last {
            *last = u8::try_from(growth.padding - 254 * full.len()).ok()?;
        }
        Some(start)
    }
}

/// How many bytes a packet grows by, in front and behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    pub(crate) front: usize,
    pub(crate) back: usize,
    length_bytes: usize,
    padding: usize,
}

/// The length of a frame in one or two bytes (RFC 6716 section 3.2.1).
fn frame_length(bytes: &[u8]) -> Result<(usize, &[u8]), MalformedOpus> {
    match bytes {
        [first @ 0..=251, rest @ ..] => Ok((usize::from(*first), rest)),
        [first, second, rest @ ..] => Ok((usize::from(*second) * 4 + usize::from(*first), rest)),
        _ => Err(MalformedOpus),
    }
}

/// How much audio a packet has.
pub(crate) fn duration_of(packet: OpusPacket<'_>) -> Duration {
    let (toc, frames) = match (packet.bytes, Shape::parse(packet.bytes)) {
        ([toc, ..], Ok(shape)) => (*toc, u32::from(shape.count & 0x3f)),
        _ => return Duration::ZERO,
    };
    Duration::from_micros(2_500) * duration(toc) * frames
}

/// How long a frame of this TOC byte lasts, in units of 2.5 ms (RFC 6716 section 3.1).
fn duration(toc: u8) -> u32 {
    let config = toc >> 3;
    match config {
        0..=11 => match config & 3 {
            0 => 4,
            n => 8 * u32::from(n),
        },
        12..=15 => 4 << (config & 1),
        _ => 1 << (config & 3),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pads in place and returns the packet, as the sealer does.
    fn padded(packet: &[u8], size: usize, fill: u8) -> Vec<u8> {
        let shape = Shape::parse(packet).unwrap();
        let growth = shape.growth(size - packet.len());
        assert_eq!(growth.front + growth.back, size - packet.len());
        let mut buffer = vec![0xee; 16];
        buffer.extend(packet);
        let end = buffer.len();
        buffer.resize(end + size, 0xee);
        let start = shape.grow(&mut buffer, 16, end, growth, fill).unwrap();
        buffer[start..start + size].to_vec()
    }

    /// The frames of a packet, read by rules written a second time: code by code, into owned
    /// frames.
    fn frames(packet: &[u8]) -> Vec<Vec<u8>> {
        let rest = &packet[1..];
        match packet[0] & 3 {
            0 => vec![rest.to_vec()],
            1 => [&rest[..rest.len() / 2], &rest[rest.len() / 2..]].map(<[u8]>::to_vec).into(),
            2 => {
                let (first, rest) = frame_length(rest).unwrap();
                vec![rest[..first].to_vec(), rest[first..].to_vec()]
            }
            _ => {
                let (count, mut at) = (rest[0], 1);
                let mut padding = 0;
                if count & 0x40 != 0 {
                    while rest[at] == 255 {
                        padding += 254;
                        at += 1;
                    }
                    padding += usize::from(rest[at]);
                    at += 1;
                }
                let mut body = &rest[at..rest.len() - padding];
                let number = usize::from(count & 0x3f);
                if count & 0x80 == 0 {
                    return if body.is_empty() {
                        vec![vec![]; number]
                    } else {
                        body.chunks(body.len() / number).map(<[u8]>::to_vec).collect()
                    };
                }
                let mut lengths = vec![];
                for _ in 1..number {
                    let (length, after) = frame_length(body).unwrap();
                    lengths.push(length);
                    body = after;
                }
                lengths.push(body.len() - lengths.iter().sum::<usize>());
                lengths.iter().map(|length| body.split_off(..*length).unwrap().to_vec()).collect()
            }
        }
    }

    fn length_of(frame: &[u8]) -> Vec<u8> {
        match frame.len() {
            short @ 0..=251 => vec![short as u8],
            long => vec![252 + (long as u8 & 3), ((long - 252 - (long & 3)) / 4) as u8],
        }
    }

    prop_compose! {
        /// Well-formed packets of all four codes, padded already or not.
        fn packets()(
            code in 0u8..4, vbr: bool, pad in prop::option::of(0usize..600), short in 0usize..300, other in 0usize..300, number in 1u8..6,
        ) -> Vec<u8> {
            let toc = 16 << 3 | code;
            let mut packet = vec![toc];
            match code {
                0 => packet.extend(vec![1; short]),
                1 => packet.extend(vec![2; short * 2]),
                2 => { packet.extend(length_of(&vec![0; short])); packet.extend(vec![3; short + other]); }
                _ => {
                    packet.push(number | if vbr { 0x80 } else { 0 } | if pad.is_some() { 0x40 } else { 0 });
                    if let Some(mut pad) = pad {
                        while pad > 254 { packet.push(255); pad -= 254; }
                        packet.push(pad as u8);
                    }
                    if vbr {
                        for i in 1..number { packet.extend(length_of(&vec![0; short / usize::from(i)])); }
                        for i in 1..number { packet.extend(vec![i; short / usize::from(i)]); }
                        packet.extend(vec![9; other]);
                    } else {
                        packet.extend(vec![4; usize::from(number) * short]);
                    }
                    packet.extend(vec![0; pad.unwrap_or(0)]);
                }
            }
            packet
        }
    }

    proptest! {
        #[test]
        fn padding_keeps_every_frame_and_reaches_any_size(packet in packets(), extra in 0usize..900, fill in 0u8..2) {
            let grown = padded(&packet, packet.len() + extra, fill);
            prop_assert_eq!(grown.len(), packet.len() + extra);
            Shape::parse(&grown).unwrap();
            prop_assert_eq!(frames(&grown), frames(&packet));
            prop_assert_eq!(grown[0] & !3, packet[0] & !3);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Shape::parse(&bytes);
        }
    }

    #[test]
    fn every_size_up_to_a_thousand_is_reached_from_one_byte() {
        for size in 1..=1_000 {
            let grown = padded(&[0x80], size, 0);
            assert_eq!((grown.len(), frames(&grown)), (size, vec![vec![]]));
        }
    }

    #[test]
    fn what_rfc_6716_forbids_is_refused() {
        let forbidden: [&[u8]; 12] = [
            &[],                 // R1: no TOC
            &[0x81, 1, 2, 3],    // R3: odd halves
            &[0x82],             // R4: no length
            &[0x82, 252],        // R4: half a length
            &[0x82, 5, 1],       // R4: shorter than its first frame
            &[0x83],             // R5: no count
            &[0x83, 0],          // R5: no frames
            &[0x83, 49],         // R5: 49 x 2.5 ms
            &[0x1b, 3, 0, 0, 0], // R5: 3 x 60 ms
            &[0x83, 2, 1],       // R6: 1 byte for 2 frames
            &[0x83, 0x41, 9, 0], // R6: more padding than packet
            &[0x83, 0x82, 9, 0], // R7: longer than the packet
        ];
        for packet in forbidden {
            assert_eq!(OpusPacket::parse(packet), Err(MalformedOpus), "{packet:02x?}");
        }
        assert!(OpusPacket::parse(&[[0x80].as_slice(), &[0; 1_275]].concat()).is_ok());
        assert!(OpusPacket::parse(&[[0x80].as_slice(), &[0; 1_276]].concat()).is_err());
    }
}
