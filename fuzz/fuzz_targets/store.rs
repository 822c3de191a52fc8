//! See `store` in `crates/testkit/src/stored.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sottovoce_fuzz::stored::store(data));
