//! The fuzzing corpus, replayed without a fuzzer: every input in `fuzz/corpus` through its target.

use sottovoce_testkit::stage;
use std::fs;

#[test]
fn every_input_of_the_corpus_keeps_the_rules() {
    let corpus = sottovoce_testkit::checkout("fuzz/corpus");
    let mut total = 0;
    for (name, target) in stage::targets::ALL {
        let mut inputs: Vec<_> =
            fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 5, "the corpus of {name} has {} inputs", inputs.len());
        for input in inputs {
            let data = fs::read(&input).unwrap();
            total += data.len();
            println!("{name}: {}", input.display());
            target(&data);
        }
    }
    assert!(total < 200_000, "the corpus has {total} bytes");
}
