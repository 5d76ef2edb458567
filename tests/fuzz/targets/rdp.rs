//! The parser of rdp.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sekimori_sensor::proto::fuzz::rdp(data));
