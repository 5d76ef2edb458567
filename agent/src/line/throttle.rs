//! A stream that uses no more of the line than it may: what goes out and what comes in, TLS and all, each from a bucket of its
//! own. Every piece counts with the headers of the packets that carry it, so that the figure holds for the line itself.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Payload of a packet, and what Ethernet, IP (v6) and TCP (with timestamps) add to it.
const PACKET_BYTES: u64 = 1_400;
const HEADER_BYTES: u64 = 14 + 40 + 32;
/// May be saved up: a twentieth of a second, and no less than a few packets.
const BURST: u64 = 20;
const BURST_MIN: u64 = 3 * (PACKET_BYTES + HEADER_BYTES);
/// Handed on at once at most.
const PIECE: u64 = 16 * 1024;

/// A token bucket of bytes. Pure: it is told the time.
#[derive(Debug)]
pub(super) struct Bucket {
    bytes_per_second: u64,
    /// Bytes that may go now (owed if below zero), in billionths, and as of when.
    state: Mutex<(i128, Option<Instant>)>,
}

const GIGA: i128 = 1_000_000_000;

impl Bucket {
    /// Full.
    pub(super) const fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, state: Mutex::new((0, None)) }
    }

    fn full(&self) -> i128 {
        i128::from((self.bytes_per_second / BURST).max(BURST_MIN)) * GIGA
    }

    /// So many bytes may go now, or none for so long.
    fn grant(&self, now: Instant) -> Result<u64, Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (held, at) = *state;
        let held = match at {
            None => self.full(),
            Some(at) => {
                let passed = now.saturating_duration_since(at).as_nanos().min(u128::from(u64::MAX));
                let gained = i128::try_from(passed).unwrap_or(0) * i128::from(self.bytes_per_second);
                held.saturating_add(gained).min(self.full())
            }
        };
        *state = (held, Some(now));
        // A whole packet, or nothing: crumbs would cost more in headers.
        let missing = i128::from(PACKET_BYTES + HEADER_BYTES) * GIGA - held;
        if missing > 0 {
            let wait = missing / i128::from(self.bytes_per_second.max(1)) + 1;
            return Err(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)));
        }
        let bytes = u64::try_from(held / GIGA).unwrap_or(u64::MAX);
        let packets = bytes / (PACKET_BYTES + HEADER_BYTES);
        Ok((packets * PACKET_BYTES).clamp(PACKET_BYTES, PIECE))
    }

    /// So many went.
    fn charge(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let cost = bytes.saturating_add(bytes.div_ceil(PACKET_BYTES) * HEADER_BYTES);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.saturating_sub(i128::from(cost) * GIGA);
    }
}

/// One direction of a stream.
#[derive(Debug)]
struct Direction {
    bucket: Arc<Bucket>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Direction {
    fn poll_grant(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.bucket.grant(Instant::now()) {
                Ok(bytes) => return Poll::Ready(usize::try_from(bytes).unwrap_or(usize::MAX)),
                Err(wait) => self.sleep = Some(Box::pin(tokio::time::sleep(wait))),
            }
        }
    }
}

/// A stream and its buckets.
#[derive(Debug)]
pub(crate) struct Throttled<S> {
    stream: S,
    up: Option<Direction>,
    down: Option<Direction>,
}

impl<S> Throttled<S> {
    /// With buckets for what goes out and what comes in, or without bounds.
    pub(super) fn new(stream: S, buckets: Option<(Arc<Bucket>, Arc<Bucket>)>) -> Self {
        let direction = |bucket| Direction { bucket, sleep: None };
        let (up, down) = buckets.unzip();
        Self { stream, up: up.map(direction), down: down.map(direction) }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Throttled<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(up) = &mut this.up else { return Pin::new(&mut this.stream).poll_write(cx, bytes) };
        let granted = ready!(up.poll_grant(cx)).min(bytes.len());
        let written =
            ready!(Pin::new(&mut this.stream).poll_write(cx, bytes.get(..granted).unwrap_or(bytes)))?;
        up.bucket.charge(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Throttled<S> {
    /// What is not read fills the window of the sender, and he waits.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(down) = &mut this.down else { return Pin::new(&mut this.stream).poll_read(cx, buffer) };
        let granted = ready!(down.poll_grant(cx)).min(buffer.remaining());
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(granted));
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
        let read = piece.filled().len();
        buffer.advance(read);
        down.bucket.charge(read);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Bytes that pass in so many seconds when everything that may go goes at once.
    fn passed(bytes_per_second: u64, seconds: u64) -> u64 {
        let bucket = Bucket::new(bytes_per_second);
        let start = Instant::now();
        let (mut at, mut sum) = (Duration::ZERO, 0);
        while at < Duration::from_secs(seconds) {
            match bucket.grant(start + at) {
                Ok(bytes) => {
                    bucket.charge(usize::try_from(bytes).unwrap());
                    sum += bytes + bytes.div_ceil(PACKET_BYTES) * HEADER_BYTES;
                }
                Err(wait) => at += wait,
            }
        }
        sum
    }

    #[test]
    fn no_more_than_the_rate_and_what_was_saved_up_and_hardly_less() {
        for rate in [8_000, 125_000, 500_000, 1_250_000, 125_000_000] {
            let (sum, most) = (passed(rate, 10), rate * 10 + (rate / BURST).max(BURST_MIN));
            assert!(sum <= most && sum > rate * 10 * 95 / 100, "{rate}: {sum} of {most}");
        }
    }

    #[test]
    fn small_pieces_cost_their_headers() {
        let bucket = Bucket::new(8_000);
        let start = Instant::now();
        let pieces = (0..).take_while(|_| bucket.grant(start).inspect(|_| bucket.charge(1)).is_ok()).count();
        assert!(pieces < 60, "{pieces} packets of one byte at once");
    }

    #[tokio::test]
    async fn streams_share_a_bucket_and_change_nothing() {
        let bucket = || Arc::new(Bucket::new(200_000));
        let (up, down) = (bucket(), bucket());
        let begun = Instant::now();
        let mut tasks = Vec::new();
        for _ in 0..2 {
            let (near, mut far) = tokio::io::duplex(1 << 20);
            let mut near = Throttled::new(near, Some((Arc::clone(&up), Arc::clone(&down))));
            let sent: Vec<u8> = (0..40_000_u32).map(|number| number.to_le_bytes()[0] ^ 0x5a).collect();
            tasks.push(tokio::spawn(async move {
                near.write_all(&sent).await.unwrap();
                let mut echo = vec![0; sent.len()];
                far.read_exact(&mut echo).await.unwrap();
                assert_eq!(echo, sent);
                far.write_all(&sent).await.unwrap();
                near.read_exact(&mut echo).await.unwrap();
                assert_eq!(echo, sent);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        // 80,000 bytes out and as many in, less what may be saved up.
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(350), "{took:?}");
    }
}
