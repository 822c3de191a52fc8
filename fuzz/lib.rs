//! What the targets run: the functions that `tests/media_corpus.rs` replays the corpus through.

#[path = "../tests/stage/mod.rs"]
pub mod stage;
