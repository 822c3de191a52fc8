//! See `voice` in `tests/support/voiced.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sottovoce_fuzz::voiced::voice(data));
