//! What the targets run: the functions that `tests/media_corpus.rs` replays the corpus through; those of
//! `reported` are replayed by `tests/report_corpus.rs`, those of `voiced` by `tests/voice_corpus.rs`, those of `stored`
//! by `tests/store_corpus.rs`, those of `invited` by `tests/invite_corpus.rs`.

pub use sottovoce_testkit::{invited, reported, stage, stored, voiced};
