//! Replay as a command: order, formats, damage, filters, rebasing.

use std::path::Path;

use super::*;
use crate::cli::ReplayArgs;
use clap::Parser;

/// Ethernet, IPv4, TCP SYN from 192.0.2.66 to port `port` of 192.168.0.1.
fn syn(port: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 66, 192, 168, 0, 1]);
    frame.extend([0x9c, 0x40]);
    frame.extend(port.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0]);
    frame
}

/// A pcap of SYNs to these ports, ten a second from `second` on.
fn capture(path: &Path, second: u32, ports: std::ops::Range<u16>) {
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    for (number, port) in (0_u32..).zip(ports) {
        let frame = syn(port);
        let len = u32::try_from(frame.len()).unwrap();
        for word in [second + number / 10, number % 10 * 100_000, len, len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    std::fs::write(path, bytes).unwrap();
}

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    args: ReplayArgs,
}

fn args(words: &[&str]) -> ReplayArgs {
    Words::try_parse_from(["replay"].iter().chain(words)).unwrap().args
}

/// What a replay of these captures writes.
fn replayed(dir: &Path, words: &[&str]) -> String {
    let out = dir.join("out");
    replay(&args(&[&["--output", out.to_str().unwrap()], words].concat())).unwrap();
    std::fs::read_to_string(out).unwrap()
}

#[test]
fn the_same_captures_give_the_same_bytes_in_any_order_of_naming() {
    let dir = tempfile::tempdir().unwrap();
    let (early, late) = (dir.path().join("early.pcap"), dir.path().join("late.pcap"));
    capture(&early, 1_700_000_000, 1..120);
    capture(&late, 1_700_000_100, 200..320);
    let (early, late) = (early.to_str().unwrap(), late.to_str().unwrap());
    for format in ["findings", "flows", "summary", "table"] {
        let first = replayed(dir.path(), &["--format", format, early, late]);
        assert!(!first.is_empty(), "{format}");
        assert_eq!(first, replayed(dir.path(), &["--format", format, early, late]), "{format}");
        if matches!(format, "findings" | "flows") {
            assert_eq!(first, replayed(dir.path(), &["--format", format, late, early]), "{format}");
        }
    }
    let flows = replayed(dir.path(), &["--format", "flows", early, late]);
    assert_eq!(flows.lines().count(), 239);
    let flow: serde_json::Value = serde_json::from_str(flows.lines().next().unwrap()).unwrap();
    assert!(flow["community_id"].as_str().unwrap().starts_with("1:"));
    let last = replayed(dir.path(), &["--format", "summary", early]);
    let health: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!((&health["record"], &health["interfaces"][0]["packets"]), (&"health".into(), &119.into()));
}

#[test]
fn a_filter_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    capture(&path, 1_700_000_000, 1..101);
    let path = path.to_str().unwrap();
    let few = replayed(dir.path(), &["--format", "flows", "--filter", "dst port 7 or dst port 8", path]);
    assert_eq!(few.lines().count(), 2);
    let error = replay(&args(&["--filter", "dst prot 7", path])).unwrap_err();
    assert!(error.is_usage());
}

#[test]
fn rebased_time_ends_now() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    capture(&path, 1_000, 1..21);
    let path = path.to_str().unwrap();
    let before = clock::now();
    let flows = replayed(dir.path(), &["--format", "flows", "--rebase-time", path]);
    let times: Vec<Timestamp> = flows
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["start"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    let last = times.iter().max().unwrap();
    assert!(*last >= before && *last <= clock::now(), "{last}");
    assert_eq!(last.since(*times.iter().min().unwrap()), Duration::from_millis(1900));
    assert!(replay(&args(&["--rebase-time", "-"])).unwrap_err().is_usage());
}

#[test]
fn a_cut_capture_gives_what_could_be_read_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    capture(&path, 1_700_000_000, 1..31);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let out = dir.path().join("out");
    let error =
        replay(&args(&["--format", "flows", "--output", out.to_str().unwrap(), path.to_str().unwrap()]))
            .unwrap_err();
    assert!(matches!(error, ReplayError::Damaged { problems: 1, files: 1 }), "{error}");
    assert_eq!(std::fs::read_to_string(out).unwrap().lines().count(), 29);
}

/// Every capture of the corpora, where they are: ends, with each frame accounted for.
#[test]
fn every_capture_of_the_corpora_is_read_to_its_end() {
    let Some(corpora) = std::env::var_os("SEKIMORI_CORPORA") else {
        println!("SKIPPED: SEKIMORI_CORPORA does not name the folder of captures");
        return;
    };
    let mut folders = vec![PathBuf::from(corpora)];
    let mut captures = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut files = Files::open(&[path], None);
            let mut sensor = Sensor::new(sensor_config(None, &args(&["x"]), Format::Findings, [0; 32]));
            let mut frames = 0;
            while let Some(frame) = files.next_frame() {
                frames += 1;
                sensor.handle_frame(&frame);
                while sensor.poll_record().is_some() {}
            }
            sensor.finish();
            assert_eq!(sensor.counters().value(sekimori_sensor::counters::Counter::Frames), frames);
            captures += 1;
        }
    }
    assert!(captures > 100, "{captures} captures");
}
