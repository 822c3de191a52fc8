//! Fragments in any order, floods of forged ones, and the bound of memory.

use bytes::Bytes;
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::*;
use crate::{
    group::codec::Writer,
    wire::envelope::{SIZES, tests::lane},
};

/// A member's inbox, and somebody who holds the lane key as well.
struct Scene {
    lane: LaneKey,
    rng: StdRng,
    inbox: Inbox,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let (lane, rng) = lane();
        Self { lane, rng, inbox: Inbox::default(), now: Instant::now() }
    }

    fn message(&mut self, len: usize) -> Vec<u8> {
        let mut message = vec![0; len];
        self.rng.fill_bytes(&mut message);
        message
    }

    fn seal(&mut self, message: &[u8]) -> Vec<Bytes> {
        self.lane.seal(message, &mut self.rng).unwrap()
    }

    fn receive(&mut self, envelope: &[u8]) -> Result<Option<Vec<u8>>, EnvelopeError> {
        self.inbox.receive(&self.lane, envelope, self.now)
    }

    fn receive_all(&mut self, envelopes: &[Bytes]) -> Vec<Vec<u8>> {
        envelopes.iter().filter_map(|envelope| self.receive(envelope).unwrap()).collect()
    }

    /// The first envelopes of a message that the attacker never finishes.
    fn begun(&mut self, len: usize, envelopes: usize) -> Vec<Bytes> {
        let message = self.message(len);
        let mut all = self.seal(&message);
        all.truncate(envelopes);
        all
    }

    /// A fragment with these fields, sealed by a holder of the lane key.
    fn fragment(&mut self, nonce: [u8; 16], length: u32, index: u16, rest: &[u8]) -> Bytes {
        let content = Writer::new().u8(FRAGMENT).bytes(&nonce).u32(length).u16(index).bytes(rest).finish();
        self.lane.seal_one(&content, &mut self.rng)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn messages_round_trip_in_any_order_and_with_every_envelope_twice(len in 0usize..200_000, seed: [u8; 32]) {
        let mut scene = Scene::new();
        let message = scene.message(len);
        let mut envelopes = scene.seal(&message);
        prop_assert!(envelopes.iter().all(|envelope| SIZES.contains(&envelope.len())));
        if envelopes.len() > 1 {
            envelopes = [&envelopes[..], &envelopes].concat();
        }
        envelopes.shuffle(&mut StdRng::from_seed(seed));
        prop_assert_eq!(scene.receive_all(&envelopes), [message]);
        prop_assert_eq!((scene.inbox.open.len(), scene.inbox.held), (0, 0));
    }

    #[test]
    fn random_bytes_and_contents_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1500), kind in 0u8..3) {
        let mut scene = Scene::new();
        prop_assert!(scene.receive(&bytes).is_err());
        let envelope = scene.lane.seal_one(&[&[kind][..], &bytes].concat(), &mut scene.rng);
        let _ = scene.receive(&envelope);
        let (length, index) = (20_000 + u32::from(kind) * 900_000, u16::from(kind));
        let envelope = scene.fragment([7; 16], length, index, &bytes);
        let _ = scene.receive(&envelope);
    }
}

#[test]
fn the_longest_message_comes_through() {
    let mut scene = Scene::new();
    let message = scene.message(MAX_MESSAGE);
    let envelopes = scene.seal(&message);
    assert!(scene.receive_all(&envelopes) == [message]);
}

#[test]
fn a_welcome_survives_replays_and_ten_thousand_forged_fragments_of_holders_of_the_lane_key() {
    let mut scene = Scene::new();
    let old: Vec<_> = (0..16).flat_map(|_| scene.begun(100_000, 4)).collect();
    let welcome = scene.message(500_000);
    let envelopes = scene.seal(&welcome);
    assert_eq!(envelopes.len(), 32);
    // Most of the forged fragments begin messages of their own; the others carry the nonce, the
    // length and the index of the Welcome, which all who hold the lane key can read, and a path
    // that they made up.
    let fields = {
        let content = scene.lane.open(&envelopes[1]).unwrap();
        let mut reader = Reader::new(&content[1..]);
        (reader.array().unwrap(), reader.u32().unwrap())
    };
    let count = envelopes.len();
    let (mut full, mut done) = (false, None);
    for (sent, envelope) in envelopes.iter().enumerate() {
        for old in &old[2 * sent..2 * sent + 2] {
            assert_eq!(scene.receive(old), Ok(None));
        }
        if sent > 0 {
            for n in 0..if sent == count / 2 { 9_000 } else { 40 } {
                let index = (n % count) as u16;
                let len = 5 * 32 + if usize::from(index) == count - 1 { 500_000 % PART } else { PART };
                let part = scene.message(len);
                let nonce = if n % 2 == 0 { fields.0 } else { [n as u8; 16] };
                let forged = scene.fragment(nonce, fields.1, index, &part);
                assert_eq!(scene.receive(&forged), Ok(None));
                assert!(scene.inbox.held <= BUDGET);
                full |= scene.inbox.held > BUDGET - SIZES[4];
            }
        }
        done = scene.receive(envelope).unwrap().or(done);
    }
    assert!(full, "the inbox had room for everything");
    assert!(done == Some(welcome), "the Welcome was lost");
}

#[test]
fn long_messages_that_crawl_do_not_keep_others_out() {
    let mut scene = Scene::new();
    // Messages of eight parts fill the inbox, and each moves on once in nine seconds: 116 kB in a
    // second.
    let long: Vec<Vec<Bytes>> = (0..64)
        .map(|_| {
            let message = scene.message(20 * PART);
            scene.seal(&message)
        })
        .collect();
    for message in &long {
        assert!(scene.receive_all(&message[..8]).is_empty());
    }
    assert!(scene.inbox.held > BUDGET - SIZES[4], "the inbox is full");
    for round in 0..10 {
        scene.now += Duration::from_secs(9);
        for message in &long {
            assert!(scene.receive_all(&message[8 + round..=8 + round]).is_empty());
        }
        let welcome = scene.message(60_000);
        let envelopes = scene.seal(&welcome);
        assert_eq!(envelopes.len(), 4);
        assert!(scene.receive_all(&envelopes) == [welcome], "round {round}");
    }
}

#[test]
fn a_flood_that_begins_before_a_message_does_not_keep_it_out() {
    let mut scene = Scene::new();
    for _ in 0..BUDGET / SIZES[4] {
        let begun = scene.begun(40_000, 2);
        assert!(scene.receive_all(&begun).is_empty());
    }
    assert!(scene.inbox.held > BUDGET - 2 * SIZES[4], "the inbox is full");
    let message = scene.message(60_000);
    let envelopes = scene.seal(&message);
    assert!(scene.receive_all(&envelopes) == [message], "the message is lost");
}

#[test]
fn messages_that_a_stranger_begins_and_keeps_moving_keep_no_message_out() {
    let mut scene = Scene::new();
    // Each has more parts than an honest one when it begins, and gets another before it stands
    // still.
    let mut begun: Vec<_> = (0..85).map(|_| scene.begun(MAX_MESSAGE, 14)).collect();
    for begun in &mut begun {
        let first: Vec<_> = begun.drain(..6).collect();
        assert!(scene.receive_all(&first).is_empty());
    }
    let mut lost = 0;
    for second in 0..60 {
        scene.now += Duration::from_secs(1);
        for begun in begun.iter_mut().skip(second % 8).step_by(8).filter(|begun| !begun.is_empty()) {
            let next = begun.remove(0);
            assert_eq!(scene.receive(&next), Ok(None));
        }
        let message = scene.message(60_000);
        let envelopes = scene.seal(&message);
        lost += usize::from(scene.receive_all(&envelopes) != [message]);
    }
    assert_eq!(lost, 0, "of 60 messages");
}

#[test]
fn the_message_of_the_fewest_parts_goes_first_and_of_equals_the_one_that_moved_on_longest_ago() {
    let mut scene = Scene::new();
    let begun = [3, 2, 2, 255].map(|parts| scene.begun(MAX_MESSAGE, parts));
    let ids = begun.clone().map(|envelopes| {
        scene.receive_all(&envelopes);
        let newest = scene.inbox.open.iter().max_by_key(|(_, partial)| partial.turn);
        *newest.unwrap().0
    });
    let kept = |scene: &Scene| ids.map(|id| scene.inbox.open.contains_key(&id));
    let filling = scene.begun(MAX_MESSAGE, 255);
    let room = (BUDGET - scene.inbox.held) / SIZES[4];
    scene.receive_all(&filling[..room]);
    assert_eq!((scene.inbox.held, kept(&scene)), (BUDGET, [true; 4]));
    scene.receive_all(&filling[room..][..1]);
    assert_eq!(kept(&scene), [true, false, true, true]);
    scene.receive_all(&filling[room + 1..][..2]);
    assert_eq!(kept(&scene), [true, false, false, true]);
    scene.receive_all(&filling[room + 3..][..2]);
    assert_eq!(kept(&scene), [false, false, false, true]);
}

#[test]
fn the_memory_of_an_inbox_is_bounded_whatever_comes() {
    let mut scene = Scene::new();
    // The smallest envelopes make the most messages, and the longest messages the longest paths.
    let mut held = 0;
    for n in 0..BUDGET / SIZES[0] + 1000 {
        let nonce = [&(n as u64).to_be_bytes()[..], &[0; 8]].concat().try_into().unwrap();
        let last = scene.fragment(nonce, PART as u32 * 2 + 1, 2, &[0; 32 + 1]);
        assert_eq!(last.len(), SIZES[0]);
        assert_eq!(scene.receive(&last), Ok(None));
        assert!(scene.inbox.held <= BUDGET);
        held = held.max(scene.inbox.open.len());
    }
    assert_eq!(held, BUDGET / SIZES[0]);
    let partial = scene.inbox.open.values().next().unwrap();
    let each = size_of::<Id>()
        + size_of::<Partial>()
        + partial.parts.capacity() * size_of::<(u16, Instant, Box<[u8]>)>();
    let slots = scene.inbox.open.capacity() * (size_of::<Id>() + size_of::<Partial>());
    assert!(each <= 300 && slots <= 300 * held, "{each} bytes for each message, {slots} in the table");
    let parts: usize =
        scene.inbox.open.values().flat_map(|partial| &partial.parts).map(|(.., part)| part.len()).sum();
    assert!(parts <= BUDGET);
}

#[test]
fn what_is_charged_is_what_the_messages_hold() {
    let mut scene = Scene::new();
    for n in 0..900 {
        let begun = scene.begun(17_000 + 1_000 * (n % 100), 1 + n % 5);
        scene.now += Duration::from_millis(100);
        scene.receive_all(&begun);
        let charged: usize = scene.inbox.open.values().map(|partial| partial.charged).sum();
        assert_eq!(scene.inbox.held, charged);
    }
}

#[test]
fn late_copies_of_a_completed_message_begin_nothing() {
    let mut scene = Scene::new();
    let message = scene.message(100_000);
    let envelopes = scene.seal(&message);
    assert_eq!(scene.receive_all(&envelopes).first(), Some(&message));
    assert!(scene.receive_all(&envelopes).is_empty());
    assert_eq!((scene.inbox.open.len(), scene.inbox.held), (0, 0));
    let again = scene.seal(&message);
    assert_eq!(scene.receive_all(&again), [message], "the same bytes, sent anew, are another message");
    for _ in 0..MAX_DONE + 10 {
        let other = scene.message(20_000);
        let envelopes = scene.seal(&other);
        scene.receive_all(&envelopes);
    }
    assert_eq!(scene.inbox.done.len(), MAX_DONE);
}

#[test]
fn lies_about_length_and_index_are_refused() {
    let mut scene = Scene::new();
    let one = [0; 32 + 1];
    for (length, index, rest, right) in [
        (PART as u32 + 1, 1, &[0; 32 + 1][..], false),
        (PART as u32 * 2 + 1, 2, &one[..], true),
        (PART as u32 * 2 + 1, 3, &one, false),
        (PART as u32 * 2 + 1, u16::MAX, &one, false),
        (PART as u32 * 2 + 1, 2, &[0; 32], false),
        (PART as u32 * 2 + 1, 2, &[0; 32 + 2], false),
        (PART as u32 * 2 + 1, 0, &one, false),
        (0, 0, &one, false),
        (MAX_WHOLE as u32, 0, &one, false),
        (MAX_MESSAGE as u32 + 1, 0, &one, false),
        (u32::MAX, 0, &one, false),
    ] {
        let envelope = scene.fragment([9; 16], length, index, rest);
        let expected = if right { Ok(None) } else { Err(EnvelopeError::Malformed) };
        assert_eq!(scene.receive(&envelope), expected, "{length} {index}");
    }
    let empty = scene.lane.seal_one(&[], &mut scene.rng);
    assert_eq!(scene.receive(&empty), Err(EnvelopeError::Malformed));
    let unknown = scene.lane.seal_one(&[2, 0], &mut scene.rng);
    assert_eq!(scene.receive(&unknown), Err(EnvelopeError::Malformed));
}
