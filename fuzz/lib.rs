//! What the targets run: the functions that `tests/media_corpus.rs` replays the corpus through; those of
//! `reported` are replayed by `tests/report_corpus.rs`, those of `voiced` by `tests/voice_corpus.rs`, those of `stored`
//! by `tests/store_corpus.rs`, those of `invited` by `tests/invite_corpus.rs`.

#[path = "../tests/stage/mod.rs"]
pub mod stage;
#[path = "../tests/support/reported.rs"]
pub mod reported;
#[path = "../tests/support/voiced.rs"]
pub mod voiced;
#[path = "../tests/support/stored.rs"]
pub mod stored;
#[path = "../tests/support/invited.rs"]
pub mod invited;
