//! The fuzzing corpus of the voice endpoint, replayed without a fuzzer.

use sottovoce_testkit::voiced;
use std::fs;

#[test]
fn every_input_of_the_corpus_is_played_without_noise() {
    let corpus = sottovoce_testkit::checkout("fuzz/corpus/voice");
    let mut inputs: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 5);
    for input in inputs {
        println!("{}", input.display());
        voiced::voice(&fs::read(&input).unwrap());
    }
}
