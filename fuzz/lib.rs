//! What the targets run: the functions that `tests/media/corpus.rs` replays the corpus through;
//! those of `reported` are replayed by `tests/report/corpus.rs`, those of `voiced` by
//! `tests/voice/corpus.rs`, those of `stored` by `tests/store/corpus.rs`, those of `invited` by
//! `tests/room/invite_corpus.rs`.

pub use sottovoce_testkit::{invited, reported, stage, stored, voiced};
