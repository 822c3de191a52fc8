//! The bytes between a member and the reference relay (SPEC section 8.2). Parsing only, no sockets.
//!
//! ```text
//! TCP  member > relay   "svrelay" 1 | handle 16
//!      member > relay   "svrelay" 2 | handle 16 | token 89
//!      member > relay   "svrelay" 4 | handle 16 | part u8
//!      issuer > relay   "svrelay" 3 | revocation 88
//!      relay > member   "svrelay" version | status | ticket 16, if the status is 0
//!      both ways        length u16 | message, and so on
//! QUIC the same on one stream, without a ticket; sealed packets as datagrams
//! UDP  member > relay   ff 00 "sv" version 01 | ticket 16 | cookie 16
//!      relay > member   ff 00 "sv" version 02 | ticket 16 | cookie 16
//!      relay > member   ff 00 "sv" version 03 | ticket 16
//!      both ways        a sealed packet as it is
//! ```

use bytes::{Buf, Bytes, BytesMut};

use super::token::{ORDER_LEN, Revocation, TOKEN_LEN, Token};
use crate::lane::{MAX_CONTROL, Part, RoomHandle};

/// Names a member to the relay's UDP socket. Made by the relay, known to the two of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(pub(crate) [u8; 16]);

/// Proves that whoever asks to be bound to an address receives what is sent there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cookie(pub(crate) [u8; 16]);

/// Why a relay has no place for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    Version,
    Connections,
    Rooms,
    Members,
    Token,
}

impl Rejection {
    const ALL: [Self; 5] = [Self::Version, Self::Connections, Self::Rooms, Self::Members, Self::Token];

    fn status(self) -> u8 {
        match self {
            Self::Version => 1,
            Self::Connections => 2,
            Self::Rooms => 3,
            Self::Members => 4,
            Self::Token => 5,
        }
    }
}

/// The first bytes of a member, with its token if it has one. The part of who has a token is that
/// of the token.
pub(crate) fn hello(handle: RoomHandle, token: Option<&Token>, part: Part) -> Bytes {
    let handle = handle.as_bytes();
    match (token, part) {
        (Some(token), _) => [MAGIC.as_slice(), &[WITH_TOKEN], handle, &token.to_bytes()].concat().into(),
        (None, Part::Both) => [&GREETING, &handle[..]].concat().into(),
        (None, part) => [MAGIC.as_slice(), &[WITH_PART], handle, &[part.byte()]].concat().into(),
    }
}

/// All that an issuer says to take a token back.
pub(crate) fn revoke(revocation: &Revocation) -> Bytes {
    [MAGIC.as_slice(), &[REVOKE], &revocation.to_bytes()].concat().into()
}

/// What the first bytes of a connection, as many as have come, turn out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// More bytes are needed, so that there are this many.
    Partial(usize),
    /// A member that asks for this room, with or without a token, for this part.
    Room(RoomHandle, Option<Token>, Part),
    /// An issuer that takes a token back.
    Revoke(Revocation),
    /// Our protocol in another version.
    OtherVersion,
    /// Something else altogether.
    Garbage,
}

/// Reads a [`hello`], deciding as early as it can.
pub(crate) fn parse_hello(bytes: &[u8]) -> Hello {
    let (magic, rest) = bytes.split_at(bytes.len().min(MAGIC.len()));
    if magic.iter().zip(&MAGIC).any(|(given, expected)| given != expected) {
        return Hello::Garbage;
    }
    let whole = match rest.split_first() {
        None => return Hello::Partial(HELLO_LEN),
        Some((&VERSION, handle)) => {
            let room = handle.first_chunk().map(|handle| RoomHandle::from_bytes(*handle));
            (room.map(|room| Hello::Room(room, None, Part::Both)), HELLO_LEN)
        }
        Some((&WITH_TOKEN, rest)) => {
            let parts =
                rest.split_first_chunk().and_then(|(handle, token)| Some((handle, token.first_chunk()?)));
            let room = parts.map(|(handle, token)| {
                Hello::Room(RoomHandle::from_bytes(*handle), Some(Token::from_bytes(*token)), Part::Both)
            });
            (room, OPENING_LEN)
        }
        Some((&WITH_PART, rest)) => {
            let parts = rest.split_first_chunk().and_then(|(handle, part)| Some((handle, part.first()?)));
            let room = parts.map(|(handle, part)| {
                match Part::from_byte(*part) {
                    // Without a part it would be a hello of the first kind.
                    None | Some(Part::Both) => Hello::OtherVersion,
                    Some(part) => Hello::Room(RoomHandle::from_bytes(*handle), None, part),
                }
            });
            (room, HELLO_LEN + 1)
        }
        Some((&REVOKE, order)) => {
            let order = order.first_chunk().map(|order| Hello::Revoke(Revocation::from_bytes(*order)));
            (order, GREETING.len() + ORDER_LEN)
        }
        Some(_) => return Hello::OtherVersion,
    };
    let (known, length) = whole;
    known.unwrap_or(Hello::Partial(length))
}

/// The relay's answer to a [`revoke`] that it has carried out.
pub(crate) fn revoked() -> Bytes {
    [GREETING.as_slice(), &[REVOKED]].concat().into()
}

/// Reads the answer to a [`revoke`], all 9 bytes of it.
pub(crate) fn parse_revoked(bytes: &[u8]) -> Result<(), Rejection> {
    if bytes == revoked() {
        return Ok(());
    }
    match parse_answer(bytes) {
        Some(Err(refusal)) => Err(refusal),
        _ => Err(Rejection::Version),
    }
}

/// The relay's answer to a [`hello`].
pub(crate) fn answer(answer: Result<Ticket, Rejection>) -> Bytes {
    match answer {
        Ok(Ticket(ticket)) => [&GREETING, &[WELCOME][..], &ticket].concat().into(),
        Err(refusal) => [GREETING.as_slice(), &[refusal.status()]].concat().into(),
    }
}

/// The answer to a member who came by QUIC, where there is nothing to bind and so no ticket.
pub(crate) fn admitted() -> Bytes {
    [GREETING.as_slice(), &[WELCOME]].concat().into()
}

/// Reads the answer on a QUIC stream, all [`SHORT_ANSWER_LEN`] bytes of it.
///
/// # Errors
/// As [`parse_answer`].
#[cfg(feature = "quic")]
pub(crate) fn parse_admitted(bytes: &[u8]) -> Result<(), Rejection> {
    if bytes == admitted() {
        return Ok(());
    }
    match parse_answer(bytes) {
        Some(Err(refusal)) => Err(refusal),
        _ => Err(Rejection::Version),
    }
}

/// Reads an [`answer`], as many bytes as have come. `None` as long as more are needed.
///
/// # Errors
/// The relay's reason. What is not an answer at all counts as another version.
pub(crate) fn parse_answer(bytes: &[u8]) -> Option<Result<Ticket, Rejection>> {
    let (greeting, rest) = bytes.split_at(bytes.len().min(GREETING.len()));
    if greeting.iter().zip(&GREETING).any(|(given, expected)| given != expected) {
        return Some(Err(Rejection::Version));
    }
    match rest.split_first()? {
        (&WELCOME, ticket) => ticket.first_chunk().map(|ticket| Ok(Ticket(*ticket))),
        (status, _) => {
            let refusal = Rejection::ALL.into_iter().find(|refusal| refusal.status() == *status);
            Some(Err(refusal.unwrap_or(Rejection::Version)))
        }
    }
}

/// A control message with its length before it; `None` if it is longer than [`MAX_CONTROL`].
pub(crate) fn frame(message: &[u8]) -> Option<Bytes> {
    let length = u16::try_from(message.len()).ok().filter(|_| message.len() <= MAX_CONTROL)?;
    Some([&length.to_be_bytes(), message].concat().into())
}

/// Cuts a stream of bytes back into control messages. Holds at most one message and one read.
#[derive(Default)]
pub(crate) struct Frames {
    buffer: BytesMut,
}

/// A length above [`MAX_CONTROL`]: the stream cannot be followed any further.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FrameTooLong;

impl Frames {
    /// Takes what was read. Call [`Frames::next`] until it has no more before the next read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it has come.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, FrameTooLong> {
        let Some((length, rest)) = self.buffer.split_first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > MAX_CONTROL {
            return Err(FrameTooLong);
        }
        // A copy, so that a short message does not keep the whole read buffer alive.
        let message = rest.get(..length).map(Bytes::copy_from_slice);
        if message.is_some() {
            self.buffer.advance(2 + length);
        }
        Ok(message)
    }
}

/// What a datagram is.
///
/// `ff 00` at the start sets the relay's own datagrams apart from sealed packets: those of ours
/// begin with `b9`, and no SFrame header begins so, since it would announce a KID of eight bytes
/// with a leading zero byte, which is not its shortest encoding. A datagram with that start which
/// is none of the three is never forwarded, so no member can speak to another in the relay's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datagram {
    /// A member asks that its sealed packets go to, and may come from, the source address.
    Bind(Ticket, Cookie),
    /// The relay asks for the proof that the address is really the member's.
    Challenge(Ticket, Cookie),
    /// The address is bound.
    Bound(Ticket),
    /// A sealed packet.
    Sealed,
    /// Begins like one of the relay's own and is none.
    Malformed,
}

impl Datagram {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        if !bytes.starts_with(&RESERVED) {
            return Self::Sealed;
        }
        let parts = bytes.strip_prefix(&PREFIX).and_then(<[u8]>::split_first);
        let Some((kind, body)) = parts else { return Self::Malformed };
        let Some((ticket, proof)) = body.split_first_chunk() else { return Self::Malformed };
        let (ticket, cookie) = (Ticket(*ticket), proof.try_into().map(Cookie));
        match (kind, cookie, proof) {
            (&BIND, Ok(cookie), _) => Self::Bind(ticket, cookie),
            (&CHALLENGE, Ok(cookie), _) => Self::Challenge(ticket, cookie),
            (&BOUND, _, []) => Self::Bound(ticket),
            _ => Self::Malformed,
        }
    }
}

/// Asks the relay to bind the source address.
pub(crate) fn bind(ticket: Ticket, cookie: Cookie) -> Bytes {
    datagram(BIND, ticket, &cookie.0)
}

/// Asks the member for proof that it receives what is sent to its source address.
pub(crate) fn challenge(ticket: Ticket, cookie: Cookie) -> Bytes {
    datagram(CHALLENGE, ticket, &cookie.0)
}

/// Tells the member that its address is bound.
pub(crate) fn bound(ticket: Ticket) -> Bytes {
    datagram(BOUND, ticket, &[])
}

fn datagram(kind: u8, Ticket(ticket): Ticket, cookie: &[u8]) -> Bytes {
    [&PREFIX, &[kind][..], &ticket, cookie].concat().into()
}

impl Cookie {
    /// What a member sends that was given no cookie yet.
    pub(crate) const NONE: Self = Self([0; 16]);
}

const MAGIC: [u8; 7] = *b"svrelay";
const VERSION: u8 = 1;
const WITH_TOKEN: u8 = 2;
const REVOKE: u8 = 3;
const WITH_PART: u8 = 4;
const GREETING: [u8; 8] = [b's', b'v', b'r', b'e', b'l', b'a', b'y', VERSION];
const HELLO_LEN: usize = 24;
/// The longest that a connection may begin with before it is answered.
pub(crate) const OPENING_LEN: usize = HELLO_LEN + TOKEN_LEN;
/// Bytes of an answer without a ticket.
pub(crate) const SHORT_ANSWER_LEN: usize = GREETING.len() + 1;
const WELCOME: u8 = 0;
const REVOKED: u8 = 6;

/// No sealed packet begins with these, and whatever does is never forwarded.
pub(crate) const RESERVED: [u8; 2] = [0xff, 0x00];
const PREFIX: [u8; 5] = [0xff, 0x00, b's', b'v', VERSION];
const BIND: u8 = 1;
const CHALLENGE: u8 = 2;
const BOUND: u8 = 3;

#[cfg(test)]
mod tests;
