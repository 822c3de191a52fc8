//! The bytes between a member and the reference relay (SPEC section 8.2). Parsing only, no sockets.
//!
//! ```text
//! TCP  member > relay   "svrelay" 1 | handle 16
//!      member > relay   "svrelay" 2 | handle 16 | token 88
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

use super::token::{ORDER_LEN, Revocation, Token};
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
        (None, Part::Hears) => [MAGIC.as_slice(), &[WITH_PART], handle, &[HEARS]].concat().into(),
        (None, Part::Says) => [MAGIC.as_slice(), &[WITH_PART], handle, &[SAYS]].concat().into(),
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
                let part = match *part {
                    HEARS => Part::Hears,
                    SAYS => Part::Says,
                    _ => return Hello::OtherVersion,
                };
                Hello::Room(RoomHandle::from_bytes(*handle), None, part)
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
const HEARS: u8 = 1;
const SAYS: u8 = 2;
const GREETING: [u8; 8] = [b's', b'v', b'r', b'e', b'l', b'a', b'y', VERSION];
const HELLO_LEN: usize = 24;
/// The longest that a connection may begin with before it is answered.
pub(crate) const OPENING_LEN: usize = HELLO_LEN + ORDER_LEN;
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HANDLE: RoomHandle = RoomHandle::from_bytes([0x11; 16]);
    const TICKET: Ticket = Ticket([0x22; 16]);
    const COOKIE: Cookie = Cookie([0x33; 16]);

    fn hex(bytes: &[u8]) -> String {
        crate::hex::Hex(bytes).to_string()
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let tens = |digit: &str| digit.repeat(32);
        assert_eq!(hex(&hello(HANDLE, None, Part::Both)), format!("737672656c617901{}", tens("1")));
        let token = Token::from_bytes([0x44; ORDER_LEN]);
        let revocation = Revocation::from_bytes([0x44; ORDER_LEN]);
        let order = "44".repeat(ORDER_LEN);
        assert_eq!(
            hex(&hello(HANDLE, Some(&token), Part::Both)),
            format!("737672656c617902{}{order}", tens("1"))
        );
        assert_eq!(hex(&revoke(&revocation)), format!("737672656c617903{order}"));
        assert_eq!(hex(&hello(HANDLE, None, Part::Hears)), format!("737672656c617904{}01", tens("1")));
        assert_eq!(hex(&hello(HANDLE, None, Part::Says)), format!("737672656c617904{}02", tens("1")));
        assert_eq!(hex(&revoked()), "737672656c61790106");
        assert_eq!(hex(&answer(Ok(TICKET))), format!("737672656c61790100{}", tens("2")));
        assert_eq!(hex(&answer(Err(Rejection::Members))), "737672656c61790104");
        assert_eq!(hex(&admitted()), "737672656c61790100");
        assert_eq!((admitted().len(), revoked().len()), (SHORT_ANSWER_LEN, SHORT_ANSWER_LEN));
        assert_eq!(hex(&frame(b"abc").unwrap()), "0003616263");
        assert_eq!(hex(&bind(TICKET, COOKIE)), format!("ff0073760101{}{}", tens("2"), tens("3")));
        assert_eq!(hex(&challenge(TICKET, COOKIE)), format!("ff0073760102{}{}", tens("2"), tens("3")));
        assert_eq!(hex(&bound(TICKET)), format!("ff0073760103{}", tens("2")));
    }

    #[test]
    fn a_hello_is_judged_at_its_first_wrong_byte() {
        let token = Token::from_bytes([0x44; ORDER_LEN]);
        let revocation = Revocation::from_bytes([0x55; ORDER_LEN]);
        for (bytes, meaning) in [
            (hello(HANDLE, None, Part::Both), Hello::Room(HANDLE, None, Part::Both)),
            (hello(HANDLE, Some(&token), Part::Both), Hello::Room(HANDLE, Some(token), Part::Both)),
            (hello(HANDLE, None, Part::Hears), Hello::Room(HANDLE, None, Part::Hears)),
            (hello(HANDLE, None, Part::Says), Hello::Room(HANDLE, None, Part::Says)),
            (revoke(&revocation), Hello::Revoke(revocation)),
        ] {
            assert!(bytes.len() <= OPENING_LEN);
            assert!(parse_hello(&bytes) == meaning);
            // No more is asked for than there is, so that what follows is not read.
            for length in 0..bytes.len() {
                let Hello::Partial(wanted) = parse_hello(&bytes[..length]) else { panic!("{length}") };
                assert!((length + 1..=bytes.len()).contains(&wanted));
                assert!(length < 8 || wanted == bytes.len());
            }
        }
        assert!(parse_hello(b"G") == Hello::Garbage);
        assert!(parse_hello(b"svrelax\x01") == Hello::Garbage);
        assert!(parse_hello(b"svrelay\x05") == Hello::OtherVersion);
        assert!(parse_hello(b"svrelay\x040123456789abcdef\x03") == Hello::OtherVersion);
    }

    #[test]
    fn answers_come_back_and_anything_else_is_another_version() {
        for given in Rejection::ALL.map(Err).into_iter().chain([Ok(TICKET)]) {
            let bytes = answer(given);
            assert!(parse_answer(&bytes) == Some(given));
            assert!((0..bytes.len()).all(|length| parse_answer(&bytes[..length]).is_none()));
        }
        assert!(parse_answer(b"HTTP/1.1") == Some(Err(Rejection::Version)));
    }

    #[test]
    fn a_datagram_with_the_reserved_start_is_exactly_right_or_malformed() {
        for (bytes, meaning) in [
            (bind(TICKET, COOKIE), Datagram::Bind(TICKET, COOKIE)),
            (challenge(TICKET, COOKIE), Datagram::Challenge(TICKET, COOKIE)),
            (bound(TICKET), Datagram::Bound(TICKET)),
        ] {
            assert!(Datagram::parse(&bytes) == meaning);
            assert!((2..bytes.len()).all(|length| Datagram::parse(&bytes[..length]) == Datagram::Malformed));
            assert!(Datagram::parse(&[&bytes[..], &[0]].concat()) == Datagram::Malformed);
            let mut other_version = bytes.to_vec();
            other_version[4] = 2;
            assert!(Datagram::parse(&other_version) == Datagram::Malformed);
        }
        assert!(Datagram::parse(&[]) == Datagram::Sealed);
        assert!(Datagram::parse(&[0xff]) == Datagram::Sealed);
        assert!(Datagram::parse(&[0xff, 0x01]) == Datagram::Sealed);
    }

    proptest! {
        #[test]
        fn messages_survive_any_cutting_of_the_stream(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..12),
            cut in 1usize..700,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| frame(message).unwrap()).collect();
            let mut frames = Frames::default();
            let mut read = Vec::new();
            for chunk in stream.chunks(cut) {
                frames.push(chunk);
                while let Some(message) = frames.next().unwrap() {
                    read.push(message.to_vec());
                }
            }
            prop_assert_eq!(read, messages);
        }

        #[test]
        fn random_bytes_never_panic_and_never_pile_up(
            reads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2_000), 0..14),
        ) {
            let mut frames = Frames::default();
            'stream: for read in &reads {
                parse_hello(read);
                parse_answer(read);
                Datagram::parse(read);
                frames.push(read);
                loop {
                    match frames.next() {
                        Ok(Some(message)) => prop_assert!(message.len() <= MAX_CONTROL),
                        Ok(None) => break,
                        Err(FrameTooLong) => break 'stream,
                    }
                }
                prop_assert!(frames.buffer.len() < 2 + MAX_CONTROL);
            }
        }

        #[test]
        fn random_datagrams_with_the_reserved_start_are_never_sealed(
            tail in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let datagram = Datagram::parse(&[&RESERVED[..], &tail].concat());
            prop_assert!(datagram != Datagram::Sealed);
        }
    }

    #[test]
    fn a_length_above_the_limit_ends_the_stream() {
        let mut frames = Frames::default();
        frames.push(&[0x40, 0x01]);
        assert_eq!(frames.next(), Err(FrameTooLong));
        assert!(frame(&[0; MAX_CONTROL]).is_some());
        assert!(frame(&[0; MAX_CONTROL + 1]).is_none());
    }
}
