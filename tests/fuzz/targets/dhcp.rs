//! The parser of dhcp.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sekimori_sensor::proto::fuzz::dhcp(data));
