//! What a signed packet says about itself, in the Opus padding (SPEC section 5.2).
//!
//! ```text
//! padding  [01 01 ... 01 | c2 | capture time, 6 bytes | level | notes | signature, 64 bytes]
//!           one-byte pads  ^ Opus extension 97, to the end of the packet
//! ```
//!
//! A decoder that knows Opus extensions walks over the filler and skips an extension it does not
//! know; one that does not takes it all for padding.

use std::fmt;

use crate::{
    id::{CaptureTime, KeyId, Step},
    keys::{
        derive::sha256,
        ed25519::{self, BadSignature},
        frame::FrameKey,
        speaker::{self, SIGNATURE, Signer, frame_message},
    },
    media::{
        header::{Header, is_usable},
        opus::{OpusPacket, Untailed},
        profile::{Authenticity, PacketSize},
    },
};

/// The data that travels with a packet: its capture time, its loudness and its sender's notes.
///
/// Receivers put packets in order by their capture times, so each packet has a later one:
/// [`Sealer::seal`](super::Sealer::seal) refuses others. A packet whose stamp has no capture time,
/// as in the default, counts as directly following the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// When the first sample of this packet was captured, by the sender's clock. Only the low 48
    /// bits travel.
    pub captured: CaptureTime,
    /// The loudness, for a meter or to pick the loudest speaker. Never decide about access by it.
    pub level: Level,
    /// The sender's notes.
    pub notes: Notes,
}

/// The notes of a sender in every packet, in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Notes {
    /// The sender's microphone is off. It sends silence, at the same rate and size.
    pub muted: bool,
    /// How much of the others' audio the sender lost, so that they can protect their packets
    /// better.
    pub loss: Loss,
}

/// How much of what was sent to a receiver was lost, in classes (SPEC section 5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Loss {
    /// The sender does not say, for example because it heard nobody.
    #[default]
    Unknown = 0,
    /// Less than 1 %.
    Below1 = 1,
    /// 1 % to less than 3 %.
    Below3 = 2,
    /// 3 % to less than 7 %.
    Below7 = 3,
    /// 7 % to less than 15 %.
    Below15 = 4,
    /// 15 % to less than 25 %.
    Below25 = 5,
    /// 25 % to less than 40 %.
    Below40 = 6,
    /// 40 % or more.
    Worse = 7,
}

impl Loss {
    /// The class of `lost` packets out of `expected`; [`Unknown`](Self::Unknown) if none was
    /// expected.
    pub fn of(lost: u64, expected: u64) -> Self {
        let Some(permille) = lost.saturating_mul(1_000).checked_div(expected) else { return Self::Unknown };
        match permille {
            0..10 => Self::Below1,
            10..30 => Self::Below3,
            30..70 => Self::Below7,
            70..150 => Self::Below15,
            150..250 => Self::Below25,
            250..400 => Self::Below40,
            _ => Self::Worse,
        }
    }

    /// The loss in percent, as a codec takes it.
    pub fn percent(self) -> u8 {
        match self {
            Self::Unknown | Self::Below1 => 0,
            Self::Below3 => 2,
            Self::Below7 => 5,
            Self::Below15 => 10,
            Self::Below25 => 20,
            Self::Below40 => 30,
            Self::Worse => 40,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Unknown,
            1 => Self::Below1,
            2 => Self::Below3,
            3 => Self::Below7,
            4 => Self::Below15,
            5 => Self::Below25,
            6 => Self::Below40,
            7 => Self::Worse,
            _ => return None,
        })
    }
}

impl Notes {
    fn byte(self) -> u8 {
        if self.muted { MUTED | self.loss as u8 } else { self.loss as u8 }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(Self { muted: byte & MUTED != 0, loss: Loss::from_code(byte & !MUTED)? })
    }
}

const MUTED: u8 = 0x80;

/// Loudness and voice activity of a packet, in the one byte of RFC 6464 section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Level(u8);

impl Level {
    /// A level in decibels below overload, from 0, the loudest, to 127, silence; more counts as
    /// 127.
    pub const fn new(below_overload: u8, is_voice: bool) -> Self {
        let below = if below_overload < VOICE { below_overload } else { VOICE - 1 };
        Self(if is_voice { below | VOICE } else { below })
    }

    /// Takes the byte of RFC 6464: the high bit says voice, the rest are decibels below overload.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// The byte of RFC 6464.
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// Decibels below overload: 0 loudest, 127 silence.
    pub const fn below_overload(self) -> u8 {
        self.0 & !VOICE
    }

    /// Whether the sender says that somebody speaks.
    pub const fn is_voice(self) -> bool {
        self.0 & VOICE != 0
    }
}

const VOICE: u8 = 0x80;

/// Silence without voice.
impl Default for Level {
    fn default() -> Self {
        Self(127)
    }
}

/// Bytes of the extension: its id, the stamp and the signature.
pub(crate) const TAIL: usize = 1 + STAMP + SIGNATURE;
const STAMP: usize = 8;

/// Bytes that hide what was said from whoever has only its signature.
pub(crate) const SALT: usize = 16;

/// What an outsider needs, besides an opened packet, to check who signed it (SPEC section 12.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub(crate) speaker_context: [u8; 32],
    pub(crate) kid: KeyId,
    pub(crate) salt: [u8; SALT],
    /// Whether the sender has a place of its own in what is kept.
    pub(crate) is_first: bool,
}

/// Not the salt: with the signature it would let a reader of logs test what was said.
impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Evidence(..)")
    }
}

/// Opus extension 97 without a length: it reaches to the end of the padding.
const EXTENSION: u8 = 97 << 1;

/// One byte of padding, as an Opus extension.
pub(crate) const FILLER: u8 = 0x01;

/// The longest Opus packet of code 0, 1 or 2 that fits a room's packets: what an encoder should aim
/// at.
pub const fn capacity(size: PacketSize, authenticity: Authenticity) -> usize {
    let inside = size.bytes() as usize;
    match authenticity {
        // Padding with a tail in it needs a count byte and a length byte.
        Authenticity::Signed => inside.saturating_sub(TAIL + 2),
        Authenticity::Group => inside,
    }
}

/// Writes the tail of a packet, whose other bytes are in their place already, and signs all of it.
pub(crate) fn sign(
    packet: &mut [u8],
    stamp: Stamp,
    header: Header,
    step: Step,
    key: &FrameKey,
    signer: &Signer,
) {
    let Some(at) = packet.len().checked_sub(TAIL) else { return };
    let [_, _, time @ ..] = stamp.captured.0.to_be_bytes();
    let (body, signature) = packet.split_at_mut(at + 1 + STAMP);
    if let Some([id, a, b, c, d, e, f, level, notes]) = body.last_chunk_mut() {
        *id = EXTENSION;
        [*a, *b, *c, *d, *e, *f] = time;
        *level = stamp.level.0;
        *notes = stamp.notes.byte();
    }
    let salt = key.content_salt(header.counter);
    let message = message(body, header, step, &salt, &signer.context);
    signature.copy_from_slice(&signer.sign(&message));
}

/// The speaker key that a packet is checked against, and the hash that its signatures are bound to.
#[derive(Clone, Copy)]
pub(crate) struct Signatory<'a> {
    pub(crate) key: &'a [u8; 32],
    pub(crate) context: &'a [u8; 32],
}

/// Decides whether a signed packet is played, and whether a report of it proves something (SPEC
/// section 5.4).
///
/// The opener and the verifier of reports both ask this function and no other, so that every packet
/// that is heard can be reported. The tag of the packet was checked before, or is not known.
///
/// # Errors
/// [`Unfit`] says what is wrong with the packet.
#[inline]
pub(crate) fn accept<'p>(
    packet: &'p [u8],
    size: PacketSize,
    header: Header,
    step: Step,
    salt: &[u8; SALT],
    signatory: Signatory<'_>,
) -> Result<(OpusPacket<'p>, Stamp), Unfit> {
    if !is_usable(header.counter) {
        return Err(Unfit::Counter);
    }
    let stamp = verify(packet, header, step, salt, signatory).map_err(|BadSignature| Unfit::Unsigned)?;
    let opus = OpusPacket::parse_with_tail(packet, TAIL).map_err(|why| match why {
        Untailed::NotOpus => Unfit::NotOpus,
        Untailed::OutsidePadding => Unfit::Unsigned,
    })?;
    if packet.len() == usize::from(size.bytes()) { Ok((opus, stamp)) } else { Err(Unfit::Size) }
}

/// Why a signed packet is not played and proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// No key may use its counter.
    Counter,
    /// The tail is not there, is not in the padding, or its signature does not hold.
    Unsigned,
    /// It is not an Opus packet.
    NotOpus,
    /// It has not the packet size of the room.
    Size,
}

/// Reads the tail of a packet and checks the signature.
fn verify(
    packet: &[u8],
    header: Header,
    step: Step,
    salt: &[u8; SALT],
    signatory: Signatory<'_>,
) -> Result<Stamp, BadSignature> {
    let (body, signature) = packet.split_last_chunk::<SIGNATURE>().ok_or(BadSignature)?;
    let Some([EXTENSION, a, b, c, d, e, f, level, notes]) = body.last_chunk() else {
        return Err(BadSignature);
    };
    let notes = Notes::from_byte(*notes).ok_or(BadSignature)?;
    let message = message(body, header, step, salt, signatory.context);
    ed25519::verify(signatory.key, &message, signature)?;
    let captured = CaptureTime(u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]));
    Ok(Stamp { captured, level: Level(*level), notes })
}

/// What is signed: everything before the signature, salted, and where and when it was sealed.
fn message(
    body: &[u8],
    header: Header,
    step: Step,
    salt: &[u8; SALT],
    context: &[u8; 32],
) -> [u8; speaker::FRAME_MESSAGE] {
    let content = sha256(&[salt, body]);
    frame_message(context, step, header.kid, header.counter, &content)
}
