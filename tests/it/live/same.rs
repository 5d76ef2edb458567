//! Live = replay: while captures of many attacks run over the cable, the agent records; what it told of them is what the
//! replay of its record tells, every field and time of it.
//!
//! All run at the same time, each at its own speed or so much faster that it takes [`LONGEST`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::{Link, SOON, by_id, send_timed};
use crate::support::pcap::Pcap;
use crate::support::{pcap, wait_for};

const LONGEST: Duration = Duration::from_secs(12);
/// Timers are part of what must be the same: what is not answered, for one, is told five seconds later.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// Captures, and what must be found of each even at this speed; of those without, time is part of the sign.
const CAPTURES: &[(&str, Option<&str>)] = &[
    ("ad.abuse/positive-zerologon", Some("ad.abuse")),
    ("bruteforce.login/positive-form", Some("bruteforce.login")),
    ("bruteforce.login/positive-recorded-hydra", Some("bruteforce.login")),
    ("c2.beacon/positive-recorded-curl", None),
    ("c2.tunnel/positive-echo", None),
    ("cleartext.credentials/positive-outside", Some("cleartext.credentials")),
    ("dns.tunnel/positive-recorded-iodine", Some("dns.tunnel")),
    ("dns.tunnel/positive-txt", Some("dns.tunnel")),
    ("exploit.attempt/positive-log4shell", Some("exploit.attempt")),
    ("exploit.attempt/positive-web", Some("exploit.attempt")),
    ("flood.amplification/positive-memcached", None),
    ("flood.syn/positive-recorded-hping3", Some("flood.syn")),
    ("inject.tcp/positive-redirect", Some("inject.tcp")),
    ("lateral.exec/positive-service", Some("lateral.exec")),
    ("policy.use/positive-mining", Some("policy.use")),
    ("protocol.mismatch/positive-ssh-on-443", Some("protocol.mismatch")),
    ("spoof.arp/positive-both-ways", Some("spoof.arp")),
    ("spoof.dns/positive-race", Some("spoof.dns")),
    ("tls.anomaly/positive-ssl3", Some("tls.anomaly")),
    ("worm.spread/positive-datagram", Some("worm.spread")),
];

/// The frames of all captures in order of time.
fn traffic() -> Vec<(Duration, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, _) in CAPTURES {
        let frames: Vec<_> = Pcap::read(&pcap(&format!("{name}.pcap"))).paced().collect();
        let lasts = frames.last().expect("frames").0;
        let factor = lasts.as_secs_f64() / LONGEST.as_secs_f64();
        all.extend(frames.into_iter().map(|(at, frame)| (at.div_f64(factor.max(1.0)), frame)));
    }
    all.sort_by_key(|(at, _)| *at);
    all
}

/// What must be the same: findings that open or join an incident whatever else there is, those of severity 0 being told
/// within others only; of user names how many there are, as each agent hashes them with a key of its own.
fn told(mut findings: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    findings.retain(|_, finding| finding["severity"].as_u64() > Some(0));
    for users in findings.values_mut().filter_map(|one| one.pointer_mut("/evidence/inputs/users")) {
        *users = users.as_array().expect("a list").len().into();
    }
    findings
}

fn recorded_while_attacked(engine: &str) {
    let link = Link::new(engine, "");
    let running = link.run();
    let frames = traffic();
    let (count, bytes) = (frames.len(), frames.iter().map(|(_, frame)| frame.len()).sum::<usize>());
    send_timed(&link.outside.name, "sk0", frames);
    std::thread::sleep(AFTERWARDS);
    assert!(running.stop().success(), "a clean stop");
    let recorded = link.recorded();
    let size = std::fs::metadata(&recorded).expect("the record").len();
    assert!(size > (bytes + 16 * count) as u64, "{size} bytes recorded of {count} frames of {bytes} bytes");

    // What the stop sealed is delivered by the next start.
    let running = link.run();
    wait_for("the spool is empty", SOON, || (link.agent.waiting() == 0).then_some(()));
    let live = told(link.delivered());
    assert!(running.stop().success(), "a clean stop");
    let log = std::fs::read_to_string(link.agent.state.join("agent.log")).expect("the agent's log");
    assert!(log.contains("baselines read"), "what the first run learned outlives the restart: {log}");

    let replayed = told(by_id(link.replay("findings", &recorded).into_iter()));
    let has = |category: &str| replayed.values().any(|one| one["category"] == category);
    let missed: Vec<&str> =
        CAPTURES.iter().filter_map(|(_, category)| *category).filter(|one| !has(one)).collect();
    assert!(missed.is_empty(), "not found at this speed: {missed:?}");
    let differ: Vec<String> = live
        .keys()
        .chain(replayed.keys())
        .filter(|id| live.get(*id) != replayed.get(*id))
        .map(|id| format!("live {:#?}\nreplayed {:#?}", live.get(id), replayed.get(id)))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn what_is_found_live_is_found_in_the_record_over_our_ring() {
    recorded_while_attacked("ring");
}

#[test]
fn what_is_found_live_is_found_in_the_record_over_libpcap() {
    recorded_while_attacked("pcap");
}
