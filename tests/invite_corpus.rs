//! The corpus of the fuzz target `invite`, replayed without a fuzzer.
#![cfg(feature = "room")]

#[path = "support/invited.rs"]
mod invited;

use std::{fs, path::Path};

#[test]
fn every_invite_of_the_corpus_keeps_the_rules() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/invite");
    let mut inputs: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 8, "the corpus has {} inputs", inputs.len());
    for input in inputs {
        println!("{}", input.display());
        invited::invite(&fs::read(&input).unwrap());
    }
}
