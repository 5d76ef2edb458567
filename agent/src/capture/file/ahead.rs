//! Reading ahead: what is compressed is unpacked in a thread of its own, while what was unpacked is analysed.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Unpacked at once, and how many of these may wait: all there is between the two threads.
const BUFFER_BYTES: usize = 256 * 1024;
const BUFFERS_WAITING: usize = 4;

/// What another thread read, in order.
pub(super) struct Ahead {
    buffers: Receiver<io::Result<Vec<u8>>>,
    /// Those that were emptied, for the next bytes.
    empty: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    /// How much of it was handed out.
    at: usize,
}

impl Ahead {
    /// Begins to read. The thread ends with its reader, at an error, and when nobody wants more.
    pub(super) fn new(mut reader: Box<dyn Read + Send>) -> io::Result<Self> {
        let (to, buffers) = sync_channel(BUFFERS_WAITING);
        let (empty, emptied) = sync_channel(BUFFERS_WAITING + 2);
        let read_on = move || {
            loop {
                let mut buffer: Vec<u8> = emptied.try_recv().unwrap_or_default();
                buffer.clear();
                let most = u64::try_from(BUFFER_BYTES).unwrap_or_default();
                let got = reader.by_ref().take(most).read_to_end(&mut buffer);
                // What was read before an error comes before it.
                let is_over = !matches!(got, Ok(1..));
                if (!buffer.is_empty() && to.send(Ok(buffer)).is_err())
                    || got.is_err_and(|cause| to.send(Err(cause)).is_err())
                    || is_over
                {
                    return;
                }
            }
        };
        thread::Builder::new().name("unpack".to_owned()).spawn(read_on)?;
        Ok(Self { buffers, empty, current: Vec::new(), at: 0 })
    }
}

impl Read for Ahead {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.current.len() {
            // The other thread is gone: that was all.
            let Ok(next) = self.buffers.recv() else { return Ok(0) };
            let emptied = core::mem::replace(&mut self.current, next?);
            // Nobody takes it any more: it is not needed.
            let _gone = self.empty.try_send(emptied);
            self.at = 0;
        }
        let mut rest = self.current.get(self.at..).unwrap_or_default();
        let got = rest.read(to)?;
        self.at += got;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what it has in odd pieces, then fails once.
    struct Breaks(Vec<u8>, usize);

    impl Read for Breaks {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            if self.1 >= self.0.len() {
                return Err(io::Error::other("broken"));
            }
            let most = to.len().min(7_919);
            let got = (&self.0[self.1..]).read(&mut to[..most])?;
            self.1 += got;
            Ok(got)
        }
    }

    #[test]
    fn all_bytes_come_in_order_and_the_error_behind_them() {
        let bytes: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut ahead = Ahead::new(Box::new(io::Cursor::new(bytes.clone()))).unwrap();
        let mut out = Vec::new();
        ahead.read_to_end(&mut out).unwrap();
        assert_eq!(out, bytes);
        assert_eq!(ahead.read(&mut [0; 8]).unwrap(), 0, "it stays over");
        let mut ahead = Ahead::new(Box::new(Breaks(bytes.clone(), 0))).unwrap();
        let mut out = Vec::new();
        assert_eq!(ahead.read_to_end(&mut out).unwrap_err().to_string(), "broken");
        assert_eq!(out, bytes);
    }

    #[test]
    fn the_thread_ends_when_nobody_reads_on() {
        struct Endless(#[expect(dead_code, reason = "held until the thread drops it")] SyncSender<()>);
        impl Read for Endless {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                to.fill(1);
                Ok(to.len())
            }
        }
        let (held, is_held) = sync_channel(1);
        let mut ahead = Ahead::new(Box::new(Endless(held))).unwrap();
        assert_eq!(ahead.read(&mut [0; 16]).unwrap(), 16);
        drop(ahead);
        assert!(is_held.recv().is_err(), "the reader is dropped with its thread");
    }
}
