//! See `report` in `crates/testkit/src/reported.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sottovoce_fuzz::reported::report(data));
