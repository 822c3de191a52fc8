//! What the fuzz target `hall` drives: every message of a hall (`spec/stage.md`, section 6), read
//! by itself, and what a listener and the stage make of it.
//!
//! The first byte says what the rest is: one message or content, which comes back the same if it is
//! taken; or the content of envelopes that somebody with an invite, somebody in the cell, or a
//! listener at its porter sends.

use std::time::{Duration, Instant};

use super::{
    HallLane,
    envelope::{self, Use},
    little::{Hall, seed},
    wire::{AnswerContent, Down, KnockContent, Message, Say, Turn, Up, UpContent},
};
use crate::{group::codec::Malformed, random::Generator, room::UnixTime};

/// Any bytes: refused with a typed error, or read and written the same; nobody is deaf for it.
///
/// # Panics
/// If a rule does not hold.
pub fn hall(data: &[u8], now: Instant) {
    let Some((mode, data)) = data.split_first() else { return };
    match mode % 11 {
        0 => same(data, Message::decode, Message::encode),
        1 => same(data, KnockContent::decode, KnockContent::encode),
        2 => same(data, AnswerContent::decode, |answer| answer.encode().bytes().to_vec()),
        3 => same(data, UpContent::decode, UpContent::encode),
        4 => same(data, Down::decode, |down| down.encode().bytes().to_vec()),
        5 => same(data, Say::decode, |say| say.encode().bytes().to_vec()),
        6 => same(data, Turn::decode, |turn| turn.encode().bytes().to_vec()),
        mode => heard(mode, data, now),
    }
}

fn same<T>(data: &[u8], decode: impl Fn(&[u8]) -> Result<T, Malformed>, encode: impl Fn(&T) -> Vec<u8>) {
    if let Ok(content) = decode(data) {
        assert_eq!(encode(&content), data, "there is one form");
    }
}

/// What people with keys send to a listener and to the stage.
fn heard(mode: u8, data: &[u8], now: Instant) {
    let hall = Hall::new(2, now, UnixTime::from_secs(1_800_000_000));
    assert!(hall.is_some(), "there is a hall");
    let Some(mut hall) = hall else { return };
    let mut rng = Generator::new(seed(77));
    let (key, cell) = (hall.key(), hall.cell(0));
    let porter = hall.stage.porter();
    assert!(porter.is_some() && cell.is_some(), "the host is a porter, and somebody listens");
    let (Some(porter), Some(cell)) = (porter, cell) else { return };
    let code = hall.stage.code();
    assert!(code.is_some() && hall.listeners.iter().all(|listener| listener.code() == code));
    let lanes: Vec<HallLane> = hall.listeners.iter().flat_map(|listener| listener.lanes()).collect();
    let sealed = match mode {
        // As it is, with no key at all.
        7 => Some(data.to_vec()),
        // Somebody with an invite.
        8 => envelope::seal(&key.0, Use::Lane, data, &mut rng).ok().map(Into::into),
        // Somebody in the cell.
        9 => hall.listeners.first().and_then(|liar| {
            let chain = liar.cell_chain()?;
            chain.seal(Use::Cell, data, &mut rng).ok().map(Into::into)
        }),
        // A listener to its porter, in its own place and in that of another.
        _ => {
            let (slot, sealed) = data.split_first().map_or((0, data), |(slot, rest)| (slot % 3, rest));
            let up = Message::Up(Up { porter, cell: 0, slot, sealed: sealed.to_vec() });
            envelope::seal(&key.0, Use::Lane, &up.encode(), &mut rng).ok().map(Into::into)
        }
    };
    let Some(sealed): Option<Vec<u8>> = sealed else { return };
    for lane in lanes.into_iter().chain([cell, HallLane::Foyer, HallLane::Doors, HallLane::Own([3; 16])]) {
        for listener in &mut hall.listeners {
            let _ = listener.handle_control(lane, &sealed, hall.now);
        }
    }
    let _ = hall.stage.handle_control(&sealed, hall.now);
    hall.pass(Duration::from_secs(3));
    assert_eq!(hall.stage.audience(), 2, "nobody is put out");
    for listener in &hall.listeners {
        assert_eq!(listener.code(), hall.stage.code(), "nobody is deaf");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_input_of_the_corpus_keeps_the_rules() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/hall");
        let mut inputs: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 20, "the corpus has {} inputs", inputs.len());
        for input in inputs {
            println!("{}", input.display());
            hall(&fs::read(&input).unwrap(), Instant::now());
        }
    }

    proptest! {
        #[test]
        fn random_bytes_keep_the_rules(mode in 0u8..7, bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            hall(&[&[mode][..], &bytes].concat(), Instant::now());
        }
    }
}
