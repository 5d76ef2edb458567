//! A flow that is not recognised yet.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sekimori_sensor::proto::fuzz::any(data));
