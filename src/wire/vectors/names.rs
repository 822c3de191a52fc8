//! `tests/vectors/names.txt`: codes that people compare, names of keys, and the bytes of the
//! reference relay.

use bytes::Bytes;

use crate::{
    KeyId,
    group::{PairCode, RoomCode},
    keys::{frame::StepSecret, secret::Secret, vectors::cases},
    lane::{Part, RoomHandle},
    relay::token::{Issuer, Revocation, Token},
    relay_protocol::wire::{
        Cookie, Datagram, Hello, Rejection, Ticket, answer, bind, bound, challenge, frame, hello,
        parse_answer, parse_hello, revoke, revoked,
    },
};

const FILE: &str = "names.txt";

#[test]
fn codes() {
    let digits = |code: String| code.replace(' ', "");
    for case in cases(FILE, "room_code", 2) {
        let identities = case.list("identities").into_iter().map(|key| key.try_into().unwrap());
        let code = RoomCode::new(&case.bytes("group_id"), &case.bytes("authenticator"), identities);
        assert_eq!(digits(code.to_string()), case.text("code"));
    }
    for case in cases(FILE, "pair_code", 2) {
        let code = PairCode::new(&case.array("one"), &case.array("other"));
        assert_eq!(digits(code.to_string()), case.text("code"));
    }
}

#[test]
fn what_a_sealer_remembers_a_key_by() {
    for case in cases(FILE, "key_name", 2) {
        let secret = StepSecret::new(case.suite(), &Secret::wrap(case.bytes("base_key")));
        assert_eq!(secret.key_name(KeyId(case.number("kid"))), case.array("name"));
    }
}

#[test]
fn tokens_and_the_bytes_of_a_relay() {
    let token = cases(FILE, "token", 1).remove(0);
    let (handle, serial, expiry) =
        (RoomHandle::from_bytes(token.array("handle")), token.array("serial"), token.number("expiry"));
    let issuer = Issuer::from_seed(token.array("issuer"));
    let (minted, order) = (issuer.mint(handle, serial, expiry), issuer.revoke(serial, expiry));
    assert_eq!(minted.to_bytes(), token.array("token"));
    assert_eq!(order.to_bytes(), token.array("revocation"));
    for (part, name) in [(Part::Both, "token"), (Part::Hears, "hears"), (Part::Says, "says")] {
        let minted = issuer.mint_for(handle, part, serial, expiry);
        assert_eq!(minted.to_bytes(), token.array(name));
        assert_eq!(issuer.key().part_of(&minted, handle, expiry - 1), Some(part));
        assert_eq!(issuer.key().part_of(&minted, handle, expiry), None);
    }
    let relay = cases(FILE, "relay", 16);
    let bytes = |what: &str| relay.iter().find(|case| case.text("what") == what).unwrap().bytes("bytes");
    let ticket = Ticket(bytes("bound")[6..].try_into().unwrap());
    let cookie = Cookie(bytes("bind")[22..].try_into().unwrap());
    let made: [(&str, Bytes); 16] = [
        ("hello", hello(handle, None, Part::Both)),
        ("hello_with_a_token", hello(handle, Some(&minted), Part::Both)),
        ("hello_that_hears", hello(handle, None, Part::Hears)),
        ("hello_that_says", hello(handle, None, Part::Says)),
        ("revocation", revoke(&order)),
        ("welcome", answer(Ok(ticket))),
        ("answer_1", answer(Err(Rejection::Version))),
        ("answer_2", answer(Err(Rejection::Connections))),
        ("answer_3", answer(Err(Rejection::Rooms))),
        ("answer_4", answer(Err(Rejection::Members))),
        ("answer_5", answer(Err(Rejection::Token))),
        ("answer_6", revoked()),
        ("message", frame(b"hello").unwrap()),
        ("bind", bind(ticket, cookie)),
        ("challenge", challenge(ticket, cookie)),
        ("bound", bound(ticket)),
    ];
    for (what, made) in made {
        assert_eq!(made, bytes(what), "{what}");
    }
    assert!(matches!(parse_hello(&bytes("hello")), Hello::Room(named, None, Part::Both) if named == handle));
    for (what, part) in [("hello_that_hears", Part::Hears), ("hello_that_says", Part::Says)] {
        assert!(
            matches!(parse_hello(&bytes(what)), Hello::Room(named, None, said) if named == handle && said == part)
        );
    }
    assert!(matches!(parse_answer(&bytes("welcome")), Some(Ok(Ticket(read))) if read == ticket.0));
    for what in ["bind", "challenge", "bound"] {
        assert!(Datagram::parse(&bytes(what)) != Datagram::Malformed, "{what}");
    }
    let read = Token::from_bytes(token.array("token"));
    assert!(issuer.key().verify(&read, handle, expiry - 1) && !issuer.key().verify(&read, handle, expiry));
    assert_eq!(Revocation::from_bytes(token.array("revocation")).to_bytes(), order.to_bytes());
}
