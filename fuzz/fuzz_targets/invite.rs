//! See `invite` in `crates/testkit/src/invited.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sottovoce_fuzz::invited::invite(data));
