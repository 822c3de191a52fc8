//! The generator forgets what it drew: known answers, captured states, wiping.

use rand::Rng;

use super::*;
use crate::keys::vectors::cases;

fn generator() -> Generator {
    Generator::new(Seed::from_bytes(&mut std::array::from_fn(|i| i as u8)))
}

fn state(generator: &Generator) -> Vec<u8> {
    generator.key.bytes().to_vec()
}

/// Starts from a state that somebody read out of memory.
fn captured(state: &[u8]) -> Generator {
    Generator::new(Seed::from_bytes(&mut state.try_into().unwrap()))
}

#[test]
fn draws_and_stirs_have_the_values_of_the_second_implementation() {
    for case in cases("generator.txt", "generator", 4) {
        let mut generator = captured(&case.bytes("seed"));
        for (at, length) in case.numbers("draws").into_iter().enumerate() {
            if case.numbers("stir_before").contains(&(at as u64)) {
                generator.stir(&case.bytes("entropy"));
            }
            let mut out = vec![0; length as usize];
            generator.draw(&mut out);
            assert_eq!(out, case.list("outputs")[at], "draw {at}");
            assert_eq!(state(&generator), case.list("keys")[at], "key after draw {at}");
        }
    }
}

#[test]
fn a_captured_state_leads_to_later_output_and_not_to_earlier_output() {
    let mut generator = generator();
    let earlier: Vec<[u8; 32]> = (0..50).map(|_| generator.array()).collect();
    let mut replayed = captured(&state(&generator));
    let later: Vec<[u8; 32]> = (0..50).map(|_| generator.array()).collect();
    let again: Vec<[u8; 32]> = (0..50).map(|_| replayed.array()).collect();
    assert_eq!(again, later, "the captured state is the whole of the generator");
    let mut on: Vec<[u8; 32]> = (0..1_000).map(|_| replayed.array()).collect();
    on.extend(later);
    assert!(earlier.iter().all(|one| !on.contains(one)));
}

#[test]
fn a_captured_state_leads_nowhere_after_entropy_was_stirred_in() {
    let mut generator = generator();
    let mut replayed = captured(&state(&generator));
    generator.stir(&[9; 32]);
    let fresh: [u8; 32] = generator.array();
    assert!((0..1_000).all(|_| replayed.array::<32>() != fresh));
    let mut other = captured(&state(&replayed));
    other.stir(&[8; 32]);
    replayed.stir(&[7; 32]);
    assert_ne!(other.array::<32>(), replayed.array::<32>(), "the entropy decides");
}

#[test]
fn the_remainder_of_a_block_is_not_handed_out_later() {
    let (mut short, mut long) = (generator(), generator());
    let (a, b) = (short.next_u32(), short.next_u32());
    let whole: [u8; 32] = long.array();
    assert_eq!(whole[..4], a.to_be_bytes());
    assert_ne!(whole[4..8], b.to_be_bytes(), "each call has a key of its own");
}

#[test]
fn from_bytes_wipes_its_source_and_nothing_is_printed() {
    let mut bytes = [0xab; 32];
    let seed = Seed::from_bytes(&mut bytes);
    assert_eq!(bytes, [0; 32]);
    assert_eq!(format!("{seed:?}"), "Seed(..)");
    assert_eq!(format!("{:?}", Generator::new(seed)), "Generator(..)");
    assert_ne!(Seed::generate().unwrap().bytes(), Seed::generate().unwrap().bytes());
}
