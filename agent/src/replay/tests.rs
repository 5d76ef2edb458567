//! Replay as a command: order, formats, damage, filters, rebasing.

use std::path::Path;

use super::*;
use crate::cli::ReplayArgs;
use clap::Parser;
use sekimori_sensor::counters::Counter;

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

/// Every capture of the corpora, where they are: ends soon, with each frame decoded or left out for a reason.
#[test]
fn every_capture_of_the_corpora_is_read_to_its_end() {
    /// However hostile it is.
    const TIME_MAX: Duration = Duration::from_secs(5);
    let Some(corpora) = std::env::var_os("SEKIMORI_CORPORA") else {
        println!("SKIPPED: SEKIMORI_CORPORA does not name the folder of captures");
        return;
    };
    let mut folders = vec![PathBuf::from(corpora)];
    let mut captures = 0;
    let mut wrong = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let began = Instant::now();
            let (frames, counters) = read_to_the_end(&path);
            let accounted: u64 =
                counters.iter().filter(|(name, _count)| is_fate(name)).map(|(_name, count)| count).sum();
            let took = began.elapsed();
            // What is not hostile may be long.
            let is_bounded =
                ["malformed", "formats"].iter().any(|kind| path.iter().any(|part| part == *kind));
            if counters.value(Counter::Frames) != frames || accounted != frames {
                wrong.push(format!("{}: {accounted} of {frames} frames accounted for", path.display()));
            }
            if is_bounded && took > TIME_MAX {
                wrong.push(format!("{}: {took:?}", path.display()));
            }
            captures += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(captures > 100, "{captures} captures");
}

/// Counters of which each frame has exactly one.
fn is_fate(name: &str) -> bool {
    name == "decode.decoded" || name.starts_with("decode.skip.") || name.starts_with("decode.malformed.")
}

fn read_to_the_end(path: &Path) -> (u64, Counters) {
    let mut files = Files::open(&[path.to_owned()], None);
    let mut sensor =
        sekimori_sensor::sensor::Sensor::new(sensor_config(None, &args(&["x"]), Format::Findings, [0; 32]));
    let mut frames = 0;
    while let Some(frame) = files.next_frame() {
        frames += 1;
        sensor.handle_frame(&frame);
        while sensor.poll_record().is_some() {}
    }
    sensor.finish();
    (frames, sensor.counters())
}

/// Each format of flows holds the same flows.
#[test]
fn csv_is_a_table_of_the_flows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    capture(&path, 1_700_000_000, 1..51);
    let path = path.to_str().unwrap();
    let text = replayed(dir.path(), &["--format", "csv", path]);
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<::csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!((rows.len(), header.len()), (50, columns::COLUMNS.len()));
    let cell = |row: usize, name: &str| {
        rows[row].get(header.iter().position(|column| column == name).unwrap()).unwrap().to_owned()
    };
    let flows = replayed(dir.path(), &["--format", "flows", path]);
    for (row, line) in flows.lines().enumerate() {
        let flow: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(flow["community_id"], cell(row, "community_id"));
        assert_eq!(flow["start"], cell(row, "start"));
        let responder = format!("{}:{}", cell(row, "responder_address"), cell(row, "responder_port"));
        assert_eq!(flow["responder"], responder);
    }
    assert_eq!((cell(0, "server_name"), cell(0, "originator_packets")), (String::new(), "1".to_owned()));
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_what_csv_holds() {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    use ::parquet::record::Field;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    capture(&path, 1_700_000_000, 1..51);
    let (path, out) = (path.to_str().unwrap(), dir.path().join("flows.parquet"));
    replay(&args(&["--format", "parquet", "--output", out.to_str().unwrap(), path])).unwrap();
    let reader = SerializedFileReader::new(File::open(&out).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| {
        let cells = row.unwrap().into_columns().into_iter().map(|(name, field)| {
            let text = if let Field::Str(text) = &field {
                text.clone()
            } else if let Field::Long(nanos) = &field {
                Timestamp::from_nanos(nanos.cast_unsigned()).to_string()
            } else if field == Field::Null {
                String::new()
            } else {
                assert!(
                    matches!(field, Field::ULong(_) | Field::UShort(_) | Field::Bool(_)),
                    "{name}: {field:?}"
                );
                field.to_string()
            };
            (name, text)
        });
        cells.unzip()
    });
    let rows: Vec<(Vec<String>, Vec<String>)> = rows.collect();
    let text = replayed(dir.path(), &["--format", "csv", path]);
    let mut csv = ::csv::Reader::from_reader(text.as_bytes());
    let header: Vec<String> = csv.headers().unwrap().iter().map(ToOwned::to_owned).collect();
    let lines: Vec<Vec<String>> =
        csv.records().map(|line| line.unwrap().iter().map(ToOwned::to_owned).collect()).collect();
    assert_eq!(rows.len(), 50);
    for ((names, cells), line) in rows.iter().zip(&lines) {
        assert_eq!((names, cells), (&header, line));
    }
    assert!(replay(&args(&["--format", "parquet", path])).unwrap_err().is_usage());
}

/// A capture compressed in each way, and in several parts, is the capture.
#[test]
fn compressed_captures_are_read_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("a.pcap");
    capture(&plain, 1_700_000_000, 1..41);
    let flows = replayed(dir.path(), &["--format", "flows", plain.to_str().unwrap()]);
    let bytes = std::fs::read(&plain).unwrap();
    let gzip = |bytes: &[u8]| {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    };
    let members = [gzip(&bytes[..100]), gzip(&bytes[100..])].concat();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(&bytes).unwrap();
    let packed = [gzip(&bytes), members, zstd::bulk::compress(&bytes, 3).unwrap(), xz.finish().unwrap()];
    // Names tell nothing.
    let path = dir.path().join("a.pcap.txt");
    for (number, packed) in packed.into_iter().enumerate() {
        std::fs::write(&path, &packed).unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(replayed(dir.path(), &["--format", "flows", path]), flows, "{number}");
        std::fs::write(path, &packed[..packed.len() - 5]).unwrap();
        let out = dir.path().join("cut");
        let cut = replay(&args(&["--format", "flows", "--output", out.to_str().unwrap(), path]));
        assert!(matches!(cut, Err(ReplayError::Damaged { .. })), "{number}");
        assert!(flows.starts_with(&std::fs::read_to_string(out).unwrap()));
    }
}

#[test]
fn the_report_tells_totals_times_talkers_and_protocols() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("関守.pcap");
    capture(&path, 1_700_000_000, 1..120);
    let report = replayed(dir.path(), &["--format", "table", path.to_str().unwrap()]);
    for expected in [
        "         119 packets  ",
        "関守.pcap\n",
        "from 2023-11-14T22:13:20.000000000Z to 2023-11-14T22:13:31.800000000Z (11.8 s)",
        "119 frames, 6426 bytes on the wire (6.4 kB), 119 flows",
        "Over time (one column: 200 ms)",
        "  192.0.2.66      4.7 kB  100.0 %        119 packets      119 flows  ████████████████████████\n",
        "  tcp -     4.7 kB  100.0 %",
        "scan.port",
        "  nothing: every frame was",
    ] {
        assert!(report.contains(expected), "{expected} is not in\n{report}");
    }
}

/// Datagrams between many hosts; most of the flows are left when the capture ends.
fn many_flows(path: &Path) {
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    for number in 0..12_000_u32 {
        let [_, high, middle, low] = number.to_be_bytes();
        let (inside, outside) = ([10, high, middle, low], [198, 51, 100, low % 7]);
        let (from, to) = if number % 3 == 2 { (outside, inside) } else { (inside, outside) };
        let mut frame =
            vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0];
        frame.extend(from.into_iter().chain(to));
        frame.extend([0x9c, 0x40, 0x9c, 0x41, 0, 10, 0, 0, 1, 2]);
        let len = u32::try_from(frame.len()).unwrap();
        // Then a long silence, after which many end at once.
        let second = 1_700_000_000 + number / 1_000 + if number >= 3_000 { 3_500 } else { 0 };
        for word in [second, number % 1_000 * 1_000, len, len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn several_observers_give_the_bytes_that_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    many_flows(&path);
    let path = path.to_str().unwrap();
    for format in ["findings", "flows", "summary", "eve"] {
        let one = replayed(dir.path(), &["--format", format, path]);
        for workers in ["2", "5"] {
            let many = replayed(dir.path(), &["--format", format, "--workers", workers, path]);
            assert!(one == many, "{format} with {workers} workers");
        }
    }
    let flows = replayed(dir.path(), &["--format", "flows", "--workers", "2", path]);
    assert_eq!(flows.lines().count(), 12_000, "none is lost where parts end");
}

#[test]
fn several_observers_end_with_whoever_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    many_flows(&path);
    let mut files = Files::open(&[path], None);
    let words = args(&["--format", "flows", "x.pcap"]);
    let mut crew = Crew::new(sensor_config(None, &words, Format::Flows, [0; 32]), 3);
    for _ in 0..10_000 {
        crew.handle_frame(&files.next_frame().unwrap());
    }
    // What nobody took is no reason to wait.
    drop(crew);
}
