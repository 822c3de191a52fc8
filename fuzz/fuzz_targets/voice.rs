//! See `voice` in `crates/testkit/src/voiced.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sottovoce_fuzz::voiced::voice(data));
