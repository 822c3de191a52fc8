//! `tests/vectors/envelope.txt` and `invite.txt`: what a relay and a newcomer see.

use std::time::Instant;

use crate::{
    group::key_exchange::KeyExchange,
    id::{IdentityKey, UnixTime},
    keys::{
        derive::sha256,
        vectors::{Case, cases},
    },
    lane::RelayName,
    media::Sound,
    wire::{
        envelope::LaneKey,
        inbox::Inbox,
        invite::{Invite, InviteError, InviteId},
        message::Message,
    },
};

use super::Salt;

/// Byte `i` of the message of a length.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i + (i >> 8)) as u8).collect()
}

fn lane(case: &Case) -> LaneKey {
    LaneKey::new(&case.array("lane_key"))
}

#[test]
fn the_handle_of_a_room() {
    for case in cases("envelope.txt", "handle", 1) {
        assert_eq!(lane(&case).handle(), case.array("handle"));
    }
}

#[test]
fn whole_messages() {
    for case in cases("envelope.txt", "whole", 10) {
        let length = usize::try_from(case.number("length")).unwrap();
        let envelopes = lane(&case).seal(&pattern(length), &mut Salt(case.array("salt"))).unwrap();
        assert_eq!(envelopes.len(), 1);
        check_envelope(&case, &envelopes[0]);
        let opened = Inbox::default().receive(&lane(&case), &envelopes[0], Instant::now());
        assert_eq!(opened, Ok(Some(pattern(length))));
    }
}

fn check_envelope(case: &Case, envelope: &[u8]) {
    assert_eq!(envelope.len() as u64, case.number("size"));
    assert_eq!(sha256(&[envelope]), case.array("sha256"));
}

/// Every fragment of the file, sealed again, and put together with the others of its message.
#[test]
fn fragments() {
    let fragments = cases("envelope.txt", "fragment", 10);
    for message in cases("envelope.txt", "message", 4) {
        let length = usize::try_from(message.number("length")).unwrap();
        let nonce: [u8; 16] = message.array("nonce");
        let of_it: Vec<_> = fragments.iter().filter(|case| case.number("length") == length as u64).collect();
        assert!(of_it.len() > 1);
        let lane = lane(of_it[0]);
        let sealed = lane.seal(&pattern(length), &mut Nonce(Some(nonce))).unwrap();
        assert_eq!(sealed.len() as u64, message.number("count"));
        for case in of_it {
            let index = usize::try_from(case.number("index")).unwrap();
            let content = lane.open(&sealed[index]).unwrap();
            assert_eq!(sha256(&[&content]), case.array("content"));
            check_envelope(case, &lane.seal_one(&content, &mut Salt(case.array("salt"))));
        }
        let mut inbox = Inbox::default();
        let mut opened = sealed.iter().map(|one| inbox.receive(&lane, one, Instant::now()).unwrap());
        assert_eq!(opened.next_back(), Some(None), "the last part comes first and is kept");
        assert_eq!(opened.find_map(|one| one), Some(pattern(length)));
    }
}

/// Gives the nonce of a message first, then salts that differ.
struct Nonce(Option<[u8; 16]>);

impl rand::TryRng for Nonce {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("nonces are drawn as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("nonces are drawn as bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        match self.0.take() {
            Some(nonce) => out.copy_from_slice(&nonce),
            None => out.fill(7),
        }
        Ok(())
    }
}

#[test]
fn damaged_envelopes_are_refused() {
    for case in cases("envelope.txt", "refused", 21) {
        let received = Inbox::default().receive(&lane(&case), &case.bytes("envelope"), Instant::now());
        match (case.text("error"), received) {
            ("Envelope", Err(_)) => {}
            ("Malformed", Ok(Some(message))) => assert!(Message::decode(&message).is_err()),
            (error, received) => panic!("{}: {error}, {received:?}", case.text("why")),
        }
    }
}

#[test]
fn invites() {
    for case in cases("invite.txt", "invite", 5) {
        let relays = case.text("relays").split(',').map(|name| RelayName::new(name).unwrap());
        let invite = Invite {
            lane: lane(&case),
            group_id: case.array("group_id"),
            host: IdentityKey::from_bytes(case.array("host")),
            office: case.array("office"),
            no: case.number("office_no"),
            id: InviteId(case.array("invite")),
            key_exchange: KeyExchange::from_id(case.number("cipher_suite").try_into().unwrap()).unwrap(),
            sound: match case.number("sound") {
                0 => Sound::Speech,
                id => Sound::from_id(id.try_into().unwrap()).unwrap(),
            },
            expires: UnixTime(case.number("expiry")),
            uses: case.number("uses").try_into().unwrap(),
            relays: relays.collect(),
        };
        assert_eq!(invite.encode().bytes(), case.bytes("bytes"));
        assert_eq!((invite.to_string(), invite.to_qr()), (case.text("link").into(), case.text("qr").into()));
        for form in ["link", "qr", "page"] {
            let read: Invite = case.text(form).parse().unwrap();
            assert_eq!(read.encode().bytes(), case.bytes("bytes"), "{form}");
        }
    }
}

#[test]
fn damaged_invites_are_refused() {
    for case in cases("invite.txt", "refused", 33) {
        let expected = match case.text("error") {
            "TooLong" => InviteError::TooLong,
            "Scheme" => InviteError::Scheme,
            "Mistyped" => InviteError::Mistyped,
            "Version" => InviteError::Version,
            "KeyExchange" => InviteError::KeyExchange,
            "Sound" => InviteError::Sound,
            "Relays" => InviteError::Relays,
            "Malformed" => InviteError::Malformed,
            other => panic!("{other}"),
        };
        assert_eq!(case.text("link").parse::<Invite>().err(), Some(expected), "{}", case.text("why"));
    }
}
