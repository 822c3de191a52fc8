//! See `sottovoce::stage::fuzz`, which is there for this target alone.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sottovoce::stage::fuzz::hall(data, std::time::Instant::now()));
