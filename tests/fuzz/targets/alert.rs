//! The reading of one line of an endpoint product, with every mapping that comes with the agent.
#![no_main]

use std::sync::LazyLock;

use sekimori_sensor::alert::{BUILT_IN, Line, Mappings, Zone, normalise};
use sekimori_wire::alert::Intake;
use sekimori_wire::time::Timestamp;

static MAPPINGS: LazyLock<Mappings> = LazyLock::new(|| {
    let read = |(_, text): &(&str, &str)| toml::from_str(text).expect("a mapping");
    Mappings::new(BUILT_IN.iter().map(read)).expect("they fit together")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let line = Line {
        raw: data,
        text: &text,
        received_at: Timestamp::from_secs(1_775_012_400),
        intake: Intake::Listener,
        from: None,
        place: None,
        zone: Zone::default(),
        user_key: &[1; 32],
    };
    let _read = normalise(&line, &MAPPINGS);
});
