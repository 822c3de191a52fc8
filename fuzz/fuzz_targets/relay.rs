//! See `sottovoce::relay::fuzz`, which is there for this target alone.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sottovoce::relay::fuzz::relay(data, std::time::Instant::now()));
