//! Frames of every link type.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sekimori_sensor::decode::fuzz(data));
