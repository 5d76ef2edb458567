//! The observer on real captures. They are not part of the repository: `SEKIMORI_CORPORA` names their folder; without it
//! these tests say so and check nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "the crate does no IO; its test reads captures and expected values"
)]

#[cfg(test)]
#[path = "corpora/captures.rs"]
mod captures;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};

    use sekimori_sensor::counters::Counter;
    use sekimori_sensor::event::{Event, FlowEvent};
    use sekimori_sensor::frame::Frame;
    use sekimori_sensor::limits::Limits;
    use sekimori_sensor::observe::{Observer, Options};

    use crate::captures::Capture;

    /// The folder of captures, or a message that there is none.
    fn corpora() -> Option<PathBuf> {
        let folder = std::env::var_os("SEKIMORI_CORPORA").map(PathBuf::from);
        if folder.is_none() {
            println!("SKIPPED: SEKIMORI_CORPORA does not name the folder of captures");
        }
        folder
    }

    fn lines(path: &Path) -> Vec<Vec<String>> {
        let text = fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    fn observe(capture: &Capture<'_>, seed: u64, timeouts: bool) -> (Vec<Event>, Observer) {
        let mut observer =
            Observer::new(&Limits { flows: 20_000, ..Limits::gateway() }, Options::default(), seed);
        let mut events = Vec::new();
        let mut latest = Default::default();
        capture.frames(|frame: &Frame<'_>| {
            latest = frame.at.max(latest);
            if timeouts {
                observer.handle_timeout(latest, &mut events);
            }
            observer.handle_frame(frame, &mut events);
        });
        observer.finish(&mut events);
        (events, observer)
    }

    const fn at(event: &Event) -> sekimori_wire::time::Timestamp {
        match event {
            Event::Flow { at, .. } | Event::Arp { at, .. } | Event::Anomaly { at, .. } => *at,
        }
    }

    #[test]
    fn every_capture_keeps_the_invariants() {
        let Some(corpora) = corpora() else { return };
        let (mut captures, mut frames) = (0, 0);
        for folder in ["attack", "benign", "malformed", "formats", "protocol"] {
            for path in crate::captures::below(&corpora.join(folder)) {
                let bytes = fs::read(&path).unwrap();
                let Some(capture) = Capture::of(&bytes) else { continue };
                let (events, observer) = observe(&capture, 1, false);
                let name = path.display();
                assert!(events.windows(2).all(|pair| at(&pair[0]) <= at(&pair[1])), "{name}: out of order");
                let counters = observer.counters();
                assert_eq!(
                    counters.value(Counter::FlowsStarted),
                    counters.value(Counter::FlowsEnded),
                    "{name}"
                );
                let skipped: u64 = counters
                    .iter()
                    .filter(|(counter, _)| {
                        counter.starts_with("decode.skip") || counter.starts_with("decode.mal")
                    })
                    .map(|(_, value)| value)
                    .sum();
                let accounted = counters.value(Counter::Decoded) + skipped;
                assert_eq!(accounted, counters.value(Counter::Frames), "{name}: {counters:?}");
                assert_eq!(observe(&capture, 2, true).0, events, "{name}: the seed or a timeout shows");
                captures += 1;
                frames += counters.value(Counter::Frames);
            }
        }
        println!("{captures} captures, {frames} frames");
        assert!(captures > 500, "only {captures} captures could be read");
    }

    #[test]
    fn fingerprints_are_foxios() {
        let Some(corpora) = corpora() else { return };
        let mut expected = BTreeMap::<String, BTreeSet<_>>::new();
        for row in lines(&corpora.join("expected/ja4.tsv")) {
            let [path, reference, _stream, transport, ends @ .., key, value] = &*row else { continue };
            let tcp = transport == "tcp" && key == "ja4";
            if tcp || (reference == "python-testdata" && (key == "JA4.1" || key == "JA4.2")) {
                expected.entry(path.clone()).or_default().insert((ends.join(" "), value.clone()));
            }
        }
        let mut found = 0;
        for (path, expected) in expected {
            let bytes = fs::read(corpora.join(&path)).unwrap();
            let (events, _) = observe(&Capture::of(&bytes).unwrap(), 1, false);
            let seen: BTreeSet<_> = events
                .iter()
                .filter_map(|event| {
                    let Event::Flow { flow, what: FlowEvent::Tls(hello), .. } = event else { return None };
                    let (from, to) = (flow.originator, flow.responder);
                    let ends = format!("{} {} {} {}", from.address, from.port, to.address, to.port);
                    Some((ends, hello.ja4.to_string()))
                })
                .collect();
            let missing: Vec<_> = expected.difference(&seen).collect();
            assert!(missing.is_empty(), "{path}: {missing:?} not in {seen:?}");
            found += expected.len();
        }
        println!("{found} fingerprints");
        assert!(found > 100, "only {found} fingerprints");
    }

    /// The Community IDs of a capture's flows.
    fn community_ids(path: &Path) -> BTreeSet<String> {
        let bytes = fs::read(path).unwrap();
        let events = Capture::of(&bytes).map_or_else(Vec::new, |capture| observe(&capture, 1, false).0);
        let flow = |event: &Event| match event {
            Event::Flow { flow, .. } => Some(flow.community_id()),
            Event::Arp { .. } | Event::Anomaly { .. } => None,
        };
        events.iter().filter_map(flow).collect()
    }

    #[test]
    fn community_ids_are_those_of_others() {
        let Some(corpora) = corpora() else { return };
        let baseline = lines(&corpora.join("expected/community_id.tsv"));
        let expected: BTreeSet<_> =
            baseline.iter().filter(|row| row[0] == "deflt").map(|row| row[8].clone()).collect();
        let captures = crate::captures::below(&corpora.join("protocol/community_id"));
        let seen: BTreeSet<_> = captures.iter().flat_map(|path| community_ids(path)).collect();
        assert_eq!(seen, expected);

        let mut sessions = BTreeMap::<_, BTreeSet<_>>::new();
        for row in lines(&corpora.join("expected/arkime_sessions.tsv")) {
            if ["6", "17"].contains(&row[1].as_str()) && row[14].starts_with("1:") {
                sessions.entry(row[0].clone()).or_default().insert(row[14].clone());
            }
        }
        let (mut found, mut missing) = (0, BTreeMap::new());
        for (path, expected) in sessions {
            let seen = community_ids(&corpora.join(&path));
            found += expected.intersection(&seen).count();
            missing.insert(path, expected.difference(&seen).count());
        }
        missing.retain(|_, missing| *missing > 0);
        println!("{found} sessions found, missing: {missing:?}");
        // The insides of GTP are not decoded.
        assert!(missing.keys().all(|path| path.ends_with("gtp-iphone.pcap")), "{missing:?}");
        assert!(found > 200, "only {found} sessions");
    }

    #[test]
    fn connection_states_are_zeeks() {
        let Some(corpora) = corpora() else { return };
        let (mut agree, mut differ) = (0, Vec::new());
        for row in lines(&corpora.join("expected/zeek_index.tsv")) {
            let [path, test, log, ..] = &*row else { continue };
            if log != "conn.log" {
                continue;
            }
            let Ok(bytes) = fs::read(corpora.join(path)) else { continue };
            let Some(capture) = Capture::of(&bytes) else { continue };
            let mut seen = BTreeMap::<_, BTreeSet<_>>::new();
            for event in observe(&capture, 1, false).0 {
                if let Event::Flow { flow, what: FlowEvent::Ended(record), .. } = event {
                    let (from, to) = (flow.originator, flow.responder);
                    let ends = format!("{} {} {} {}", from.address, from.port, to.address, to.port);
                    seen.entry(ends).or_default().insert(record.state.as_str());
                }
            }
            let mut fields = Vec::new();
            for line in lines(&corpora.join("expected/zeek").join(test).join(log)) {
                if line[0] == "#fields" {
                    fields = line[1..].to_vec();
                }
                let field =
                    |name: &str| fields.iter().position(|field| field == name).and_then(|at| line.get(at));
                let ends =
                    ["id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"].map(|name| field(name).cloned());
                let ends = ends.into_iter().collect::<Option<Vec<_>>>().map(|ends| ends.join(" "));
                let (Some(ends), Some(state)) = (ends, field("conn_state")) else { continue };
                // Only flows that both saw.
                let Some(ours) = seen.get(&ends) else { continue };
                if ours.contains(state.as_str()) {
                    agree += 1;
                } else if field("proto").is_some_and(|proto| proto == "tcp") {
                    differ.push(format!("{path} {ends}: Zeek {state}, we {ours:?}"));
                }
            }
        }
        println!("{agree} agree, {} differ:\n{}", differ.len(), differ.join("\n"));
        assert!(agree > 100 && differ.len() * 20 < agree, "{agree} agree");
    }
}
