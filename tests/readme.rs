//! README is what newcomers do first, so what it says is held here.

use std::fs;

fn read(path: &str) -> String {
    let path = sottovoce_testkit::checkout(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks of a language, in order.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    text.split(opening.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_two_commands_are_the_main_job_and_the_tests_and_ci_calls_the_second() {
    let readme = read("README.md");
    assert_eq!(blocks(&readme, "sh"), ["cargo run --release --example room\n", "cargo test\n"]);
    assert!(read(".ci/run").contains("    cargo test 2>&1"));
}

#[test]
fn the_tour_is_the_hello_example_word_for_word() {
    let readme = read("README.md");
    let hello = read("examples/hello.rs");
    let code = hello.split_once("\n\n").expect("a heading, then code").1;
    assert_eq!(blocks(&readme, "rust,no_run"), [code]);
    assert!((30..=40).contains(&hello.lines().count()), "{} lines", hello.lines().count());
}

#[test]
fn every_file_that_it_links_is_there() {
    let readme = read("README.md");
    let links: Vec<_> = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(!links.is_empty());
    for link in links.iter().filter(|link| !link.contains("://")) {
        let file = link.split('#').next().unwrap_or(link);
        assert!(sottovoce_testkit::checkout(file).exists(), "{link}");
    }
}
