//! The parser of http2.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sekimori_sensor::proto::fuzz::http2(data));
