//! A realistic mix: many captures merged in order of time, and the whole repeated with shifted times and addresses.
//!
//! ```text
//! folders ─► frames ─► segment (a sender's super-frames cut as on the wire) ─► one minute of all, by time: the template
//!        template × loops ─► times one minute on, addresses of each (loop, file) apart, checksums updated ─► FILE.pcap
//! ```
//!
//! So the flows of different files and loops stay distinct, and a wrong checksum stays wrong.

mod address;
mod segment;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::frames::{self, Frame, Writer};
use crate::pcaps::capture::Rng;
use address::Fields;

/// Changes when other bytes come out.
pub(super) const VERSION: u32 = 1;
/// Captures whose names contain this are made to be strange: no realistic mix has so much of it.
const EXCLUDED: [&str; 7] =
    ["ipv6-evasion", "security-8510", "dhcp-request-flood", "evasion", "denial", "-dos-", "defrag"];
/// A loop lasts a minute; longer captures are squeezed into it.
const WINDOW: u64 = 60_000_000;
const BEGIN: u64 = 1_700_000_000 * 1_000_000;
/// Longest frame of a link with one VLAN tag and a checksum.
const WIRE_MAX: usize = 1_522;
/// A template that exceeds this is not made by accident.
const MASKS: u64 = 1 << 16;

/// A frame of the template.
struct Piece {
    /// Microseconds from the beginning of a loop.
    at: u64,
    /// Which capture.
    file: u64,
    frame: Frame,
    fields: Fields,
}

/// Captures in the folders, in order of their names.
pub(super) fn sources(folders: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for folder in folders {
        let entries =
            std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry?.path());
        }
        paths.retain(|path| {
            path.is_file() && !EXCLUDED.iter().any(|part| path.to_string_lossy().contains(part))
        });
        paths.sort();
        out.extend(paths);
    }
    Ok(out)
}

/// Writes at least `bytes`; what it was made of, in words.
pub(super) fn write(path: &Path, paths: &[PathBuf], bytes: u64, seed: u64) -> anyhow::Result<String> {
    let (template, files) = template(paths, seed)?;
    ensure!(!template.is_empty(), "no Ethernet frame in {} captures", paths.len());
    let size = |piece: &Piece| 16 + u64::try_from(piece.frame.bytes.len()).unwrap_or_default();
    let loops = bytes.div_ceil(template.iter().map(size).sum::<u64>()).max(1);
    ensure!(
        loops * files <= MASKS,
        "{loops} loops of {files} captures: give larger captures or a smaller size"
    );
    let mut out = Writer::create(path)?;
    let mut frame = Vec::new();
    for round in 0..loops {
        for piece in &template {
            frame.clone_from(&piece.frame.bytes);
            piece.fields.translate(&mut frame, u16::try_from(round * files + piece.file)?);
            out.frame(BEGIN + round * WINDOW + piece.at, piece.frame.wire_len, &frame)?;
        }
    }
    let count = out.finish()?;
    Ok(format!("{files} captures, {} frames a loop, {loops} loops, {count} frames", template.len()))
}

fn template(paths: &[PathBuf], seed: u64) -> anyhow::Result<(Vec<Piece>, u64)> {
    let mut rng = Rng::named(&format!("mix {seed}"));
    let (mut seen, mut out, mut files) = (BTreeSet::new(), Vec::new(), 0);
    for path in paths {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        // What is no capture of Ethernet is left out: folders hold other files too.
        let Ok(frames) = frames::read(&bytes) else { continue };
        let whole = frames.into_iter().filter(|frame| frame.bytes.len() >= 14);
        let frames: Vec<Frame> = whole.flat_map(|frame| segment::as_on_the_wire(frame, WIRE_MAX)).collect();
        if frames.is_empty() || !seen.insert(super::fingerprint(&bytes)) {
            continue;
        }
        out.extend(placed(frames, files, &mut rng));
        files += 1;
    }
    // A stable sort: frames of one capture keep their order.
    out.sort_by_key(|piece| (piece.at, piece.file));
    Ok((out, files))
}

/// The frames of a capture somewhere in the window.
fn placed(frames: Vec<Frame>, file: u64, rng: &mut Rng) -> Vec<Piece> {
    let first = frames.iter().map(|frame| frame.at).min().unwrap_or_default();
    let lasts = frames.iter().map(|frame| frame.at - first).max().unwrap_or_default();
    let room = WINDOW - WINDOW / 50;
    let begin = rng.between(0, WINDOW - lasts.min(room));
    let mut last = 0;
    let place = |frame: Frame| {
        let after = frame.at - first;
        let squeezed = u128::from(after) * u128::from(room) / u128::from(lasts.max(1));
        let after = if lasts > room { u64::try_from(squeezed).unwrap_or(room) } else { after };
        last = last.max(begin + after);
        Piece { at: last, file, fields: Fields::find(&frame.bytes), frame }
    };
    frames.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcaps::capture::{Capture, SECOND};
    use crate::pcaps::craft::{end, v4};

    #[test]
    fn loops_follow_each_other_and_their_flows_differ() {
        let folder = std::env::temp_dir().join(format!("xtask-mix-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["one", "two", "evasion"] {
            let mut capture = Capture::new(name);
            for at in 0..5 {
                capture.udp(
                    at * SECOND,
                    end(v4([192, 168, 1, 2]), 5_000),
                    end(v4([192, 0, 2, 1]), 53),
                    name.as_bytes(),
                );
            }
            std::fs::write(folder.join(format!("{name}.pcap")), capture.into_pcap().unwrap()).unwrap();
        }
        std::fs::write(folder.join("README"), "no capture").unwrap();
        let paths = sources(std::slice::from_ref(&folder)).unwrap();
        assert_eq!(paths.len(), 3, "the README is not a capture, but that shows only when it is read");
        let out = folder.join("mix");
        write(&out, &paths, 2_000, 1).unwrap();
        let frames = frames::read(&std::fs::read(&out).unwrap()).unwrap();
        assert_eq!(frames.len(), 3 * 10, "three loops of two captures of five frames");
        assert!(frames.windows(2).all(|two| two[0].at <= two[1].at));
        let hosts: BTreeSet<&[u8]> = frames.iter().map(|frame| &frame.bytes[26..30]).collect();
        assert_eq!(hosts.len(), 6, "a host for each capture in each loop");
        let peers: BTreeSet<&[u8]> = frames.iter().map(|frame| &frame.bytes[30..34]).collect();
        assert_eq!(peers.len(), 1, "the server outside stays");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
