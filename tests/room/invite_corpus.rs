//! The corpus of the fuzz target `invite`, replayed without a fuzzer.

use sottovoce_testkit::invited;
use std::fs;

#[test]
fn every_invite_of_the_corpus_keeps_the_rules() {
    let corpus = sottovoce_testkit::checkout("fuzz/corpus/invite");
    let mut inputs: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 8, "the corpus has {} inputs", inputs.len());
    for input in inputs {
        println!("{}", input.display());
        invited::invite(&fs::read(&input).unwrap());
    }
}
