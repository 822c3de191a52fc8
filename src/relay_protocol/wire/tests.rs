//! Hellos, frames and datagrams: what is written is read, and nothing else is.

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
    let token = Token::from_bytes([0x44; TOKEN_LEN]);
    let revocation = Revocation::from_bytes([0x44; ORDER_LEN]);
    let order = "44".repeat(ORDER_LEN);
    assert_eq!(
        hex(&hello(HANDLE, Some(&token), Part::Both)),
        format!("737672656c617902{}{order}44", tens("1"))
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
    let token = Token::from_bytes([0x44; TOKEN_LEN]);
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
    for part in [0, 3] {
        let hello = [&b"svrelay\x040123456789abcdef"[..], &[part]].concat();
        assert!(parse_hello(&hello) == Hello::OtherVersion, "{part}");
    }
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
