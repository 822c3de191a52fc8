//! See `insider` in `crates/testkit/src/stage/targets.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sottovoce_fuzz::stage::targets::insider(data));
