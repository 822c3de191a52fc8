//! The corpus of the fuzz target `report`, replayed without a fuzzer.

use sottovoce_testkit::reported;
use std::fs;

#[test]
fn every_report_of_the_corpus_keeps_the_rules() {
    let corpus = sottovoce_testkit::checkout("fuzz/corpus/report");
    let mut inputs: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 10, "the corpus has {} inputs", inputs.len());
    for input in inputs {
        println!("{}", input.display());
        reported::report(&fs::read(&input).unwrap());
    }
}
