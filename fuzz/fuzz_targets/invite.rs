//! See `invite` in `tests/support/invited.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sottovoce_fuzz::invited::invite(data));
