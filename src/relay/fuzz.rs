//! What the fuzz target `relay` drives: everything that strangers can send to a relay, and what a
//! relay sends back.
//!
//! The first byte says what the rest is: a stream, cut up by the bytes in it, or datagrams from
//! several addresses.

use std::{
    collections::HashSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    Limits,
    rooms::{Copies, Rooms, Way, datagrams::Verdict},
};
use crate::{
    lane::{MAX_CONTROL, MAX_MEDIA, Part, RoomHandle},
    relay_protocol::wire::{self, Cookie, FrameTooLong, Frames, Hello, Ticket},
    transport::Percent,
};

/// Any bytes: they are refused, or kept to the rules, and never pile up.
///
/// # Panics
/// If a rule does not hold.
pub fn relay(data: &[u8], now: Instant) {
    let Some((mode, data)) = data.split_first() else { return };
    match mode % 2 {
        0 => stream(data, now),
        _ => datagrams(data, now),
    }
}

/// What comes on a connection: a hello, then frames.
fn stream(data: &[u8], now: Instant) {
    let cuts = data.iter().map(|byte| usize::from(*byte) + 1);
    let mut rooms = Rooms::new(Limits::default(), Percent::ZERO, 0, now);
    let mut frames = Frames::default();
    let (mut rest, mut opening, mut member) = (data, Vec::new(), None);
    for cut in cuts {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        rest = after;
        let mut bytes = piece.to_vec();
        if member.is_none() {
            opening.extend_from_slice(piece);
            let _ = wire::parse_answer(&opening);
            match wire::parse_hello(&opening) {
                Hello::Partial(wanted) => {
                    assert!(opening.len() < wanted && wanted <= wire::OPENING_LEN);
                    continue;
                }
                Hello::Room(room, token, part) => {
                    let length = wire::hello(room, token.as_ref(), part).len();
                    bytes = opening.split_off(length);
                    let joined = rooms.join(room, Way::Tcp(Ticket([1; 16])), part, None, now);
                    member = joined.ok().map(|(number, _)| number);
                    assert!(member.is_some(), "an empty relay has a place");
                }
                Hello::Revoke(_) | Hello::OtherVersion | Hello::Garbage => return,
            }
        }
        let Some(member) = member else { return };
        frames.push(&bytes);
        loop {
            match frames.next() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    assert!(message.len() <= MAX_CONTROL);
                    assert!(rooms.handle_control(member, &message, now).is_some());
                }
                Err(FrameTooLong) => return rooms.cut(&[member]),
            }
        }
        if rest.is_empty() {
            return;
        }
    }
}

/// What comes to the UDP port: members bind, send, and strangers do as they like. Each datagram has
/// its source and its length before it.
fn datagrams(data: &[u8], now: Instant) {
    let rooms_of: [u8; 4] = [1, 1, 1, 2];
    let mut rooms = Rooms::new(Limits::default(), Percent::ZERO, 0, now);
    for (ticket, room) in (0..).zip(rooms_of) {
        let joined = rooms.join(
            RoomHandle::from_bytes([room; 16]),
            Way::Tcp(Ticket([ticket; 16])),
            Part::Both,
            None,
            now,
        );
        assert!(joined.is_ok());
    }
    let (mut rest, mut to, mut cookies) = (data, Copies::default(), 0u8);
    let mut elapsed = Duration::ZERO;
    while let [source, length, after @ ..] = rest {
        let (bytes, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        // What a fuzzer would hardly guess: a bind with a ticket that is known, and the last
        // cookie.
        let bind = |ticket: u8| wire::bind(Ticket([ticket % 4; 16]), Cookie([cookies; 16]));
        let bytes = match bytes {
            [0xff, 0x01, ticket] => bind(*ticket).to_vec(),
            bytes => bytes.to_vec(),
        };
        let source = SocketAddr::from(([127, 0, 0, 1], 1_000 + u16::from(source % 8)));
        to.addresses.clear();
        elapsed += Duration::from_millis(10);
        let fresh = || {
            cookies = cookies.wrapping_add(1);
            Some(Cookie([cookies; 16]))
        };
        match rooms.handle_datagram(source, &bytes, now + elapsed, fresh, &mut to) {
            Verdict::Forward(_) => {
                assert!(bytes.len() <= MAX_MEDIA && !bytes.starts_with(&wire::RESERVED));
                assert!(!to.addresses.contains(&source), "a sender hears itself");
                let distinct: HashSet<_> = to.addresses.iter().collect();
                assert!(distinct.len() == to.addresses.len() && to.addresses.len() < 3, "a room is left");
            }
            Verdict::Reply(_, reply) => {
                assert!(reply.len() <= bytes.len(), "an answer is no longer than what caused it");
                assert!(to.addresses.is_empty());
            }
            Verdict::Drop => assert!(to.addresses.is_empty()),
        }
    }
    rooms.handle_timeout(now + Duration::from_secs(3_600));
    assert_eq!(rooms.sizes().1, 0, "nobody stays who is not heard of");
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_input_of_the_corpus_keeps_the_rules() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/relay");
        let mut inputs: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 8, "the corpus has {} inputs", inputs.len());
        for input in inputs {
            println!("{}", input.display());
            relay(&fs::read(&input).unwrap(), Instant::now());
        }
    }

    proptest! {
        #[test]
        fn random_bytes_keep_the_rules(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            relay(&bytes, Instant::now());
        }

        #[test]
        fn members_who_bind_and_strangers_who_do_too_keep_the_rules(
            moves in prop::collection::vec((0u8..8, prop_oneof![
                (0u8..4).prop_map(|ticket| vec![0xff, 0x01, ticket]),
                prop::collection::vec(any::<u8>(), 0..40),
            ]), 0..60),
        ) {
            let mut data = vec![1];
            for (source, bytes) in moves {
                data.extend([source, bytes.len() as u8]);
                data.extend(bytes);
            }
            relay(&data, Instant::now());
        }
    }
}
