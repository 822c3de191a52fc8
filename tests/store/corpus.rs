//! The corpus of the fuzz target `store`, replayed without a fuzzer.

use sottovoce_testkit::stored;
use std::fs;

#[test]
fn every_store_of_the_corpus_keeps_the_rules() {
    let corpus = sottovoce_testkit::checkout("fuzz/corpus/store");
    let mut inputs: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 10, "the corpus has {} inputs", inputs.len());
    for input in inputs {
        println!("{}", input.display());
        stored::store(&fs::read(&input).unwrap());
    }
}
