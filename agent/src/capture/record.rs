//! Writes what is captured to a pcap file with the kernel's nanoseconds, so that a replay of it gives the same findings.
//!
//! A thread of its own owns the file: a slow disk costs recorded frames, which are counted, and never captured ones.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, TrySendError, bounded};
use sekimori_sensor::frame::Frame;

/// Handed to the writer when it holds this much.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that may wait for the disk: 8 MiB.
const CHUNKS: usize = 32;
const SNAP_LENGTH: u32 = 262_144;

/// A recording in progress.
#[derive(Debug)]
pub(crate) struct Recorder {
    chunk: Vec<u8>,
    frames_in_chunk: u64,
    dropped: u64,
    /// `None` after the writer gave up.
    to_writer: Option<Sender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
}

/// Why a recording cannot begin.
#[derive(Debug, thiserror::Error)]
#[error("cannot record to {path}")]
pub(crate) struct RecordError {
    pub(crate) path: PathBuf,
    #[source]
    pub(crate) cause: io::Error,
}

impl Recorder {
    /// Makes the file, or empties it.
    pub(crate) fn create(path: &Path, link: u32) -> Result<Self, RecordError> {
        let failed = |cause| RecordError { path: path.to_owned(), cause };
        let mut file = File::create(path).map_err(failed)?;
        file.write_all(&header(link)).map_err(failed)?;
        let (to_writer, chunks) = bounded::<Vec<u8>>(CHUNKS);
        let name = path.to_owned();
        let writer = std::thread::Builder::new()
            .name("record".to_owned())
            .spawn(move || {
                for chunk in chunks {
                    if let Err(error) = file.write_all(&chunk) {
                        tracing::error!(path = %name.display(), %error, "recording ends: cannot write");
                        return;
                    }
                }
            })
            .map_err(failed)?;
        Ok(Self {
            chunk: Vec::with_capacity(CHUNK_BYTES),
            frames_in_chunk: 0,
            dropped: 0,
            to_writer: Some(to_writer),
            writer: Some(writer),
        })
    }

    /// Adds a frame as [`encode`] gave it.
    pub(crate) fn record(&mut self, encoded: &[u8]) {
        self.chunk.extend_from_slice(encoded);
        self.frames_in_chunk += 1;
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush();
        }
    }

    /// Hands what is there to the writer.
    pub(crate) fn flush(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let chunk = core::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        let frames = core::mem::take(&mut self.frames_in_chunk);
        let sent = self.to_writer.as_ref().map(|to_writer| to_writer.try_send(chunk));
        if let Some(Err(TrySendError::Disconnected(_))) = sent {
            self.to_writer = None;
        }
        if !matches!(sent, Some(Ok(()))) {
            self.dropped += frames;
        }
    }

    /// Frames that are missing from the recording.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Drop for Recorder {
    /// Waits until all is written.
    fn drop(&mut self) {
        self.flush();
        self.to_writer = None;
        if let Some(writer) = self.writer.take() {
            // The writer does not panic, and there is nobody to tell.
            drop(writer.join());
        }
    }
}

/// A pcap file header with nanoseconds, little-endian.
fn header(link: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(24);
    header.extend_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
    header.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.extend_from_slice(&SNAP_LENGTH.to_le_bytes());
    header.extend_from_slice(&link.to_le_bytes());
    header
}

/// A frame as the file has it; a VLAN tag that the kernel took out of it is put back where it was.
pub(crate) fn encode(frame: &Frame<'_>) -> Box<[u8]> {
    let whole = (frame.bytes, &[][..]);
    let (addresses, rest) = match frame.vlan {
        Some(_) => frame.bytes.split_at_checked(12).unwrap_or(whole),
        None => whole,
    };
    let mut tag = [0x81, 0x00, 0, 0];
    let tag: &[u8] = match frame.vlan {
        Some(vlan) => {
            let [.., high, low] = &mut tag;
            [*high, *low] = vlan.to_be_bytes();
            &tag
        }
        None => &[],
    };
    let nanos = frame.at.nanos();
    let captured = addresses.len() + tag.len() + rest.len();
    let on_wire = u64::from(frame.wire_len) + if tag.is_empty() { 0 } else { 4 };
    let mut out = Vec::with_capacity(16 + captured);
    let word = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&word(nanos / 1_000_000_000));
    out.extend_from_slice(&word(nanos % 1_000_000_000));
    out.extend_from_slice(&word(u64::try_from(captured).unwrap_or(u64::MAX)));
    out.extend_from_slice(&word(on_wire));
    out.extend_from_slice(addresses);
    out.extend_from_slice(tag);
    out.extend_from_slice(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::super::file::Files;
    use super::*;
    use sekimori_sensor::frame::LinkType;
    use sekimori_wire::time::Timestamp;

    #[test]
    fn a_recording_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recorded.pcap");
        let mut recorder = Recorder::create(&path, 1).unwrap();
        let bytes: Vec<u8> = (0..60).collect();
        let at = Timestamp::from_nanos(1_700_000_000_123_456_789);
        let frame = Frame { at, link: LinkType::Ethernet, bytes: &bytes, wire_len: 1500, vlan: None };
        recorder.record(&encode(&frame));
        recorder.record(&encode(&Frame { vlan: Some(0x123), ..frame }));
        assert_eq!(recorder.dropped(), 0);
        drop(recorder);

        let mut files = Files::open(&[path], None);
        let first = files.next_frame().unwrap();
        assert_eq!((first.at, first.bytes, first.wire_len), (at, &bytes[..], 1500));
        let tagged = files.next_frame().unwrap();
        assert_eq!((&tagged.bytes[..12], &tagged.bytes[12..16]), (&bytes[..12], &[0x81, 0, 1, 0x23][..]));
        assert_eq!((&tagged.bytes[16..], tagged.wire_len), (&bytes[12..], 1504));
        assert!(files.next_frame().is_none());
        assert!(files.problems().is_empty());
    }
}
