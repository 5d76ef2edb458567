//! The parser of pop3.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sekimori_sensor::proto::fuzz::pop3(data));
