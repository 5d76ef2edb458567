//! A stream that uses no more of the line than it may: what goes out and what comes in, TLS and all, each from a bucket of its
//! own. Every piece counts with the headers of the packets that carry it, so that the figure holds for the line itself.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// May be saved up.
    most: u64,
    /// Bytes that may go now (owed if below zero), in billionths, and as of when.
    state: Mutex<(i128, Option<Instant>)>,
}

const GIGA: i128 = 1_000_000_000;

impl Bucket {
    /// Full.
    pub(super) fn new(bytes_per_second: u64) -> Self {
        let most = (bytes_per_second / BURST).max(BURST_MIN);
        Self { bytes_per_second, most, state: Mutex::new((0, None)) }
    }

    /// Full; never more than so many bytes in any ten seconds: a quarter may be saved up, the rest flows in.
    pub(super) const fn in_ten_seconds(bytes: u64) -> Self {
        let most = bytes / 4;
        Self { bytes_per_second: (bytes - most) / 10, most, state: Mutex::new((0, None)) }
    }

    /// What flows in.
    pub(super) const fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    fn full(&self) -> i128 {
        i128::from(self.most) * GIGA
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
        self.pay(u64::try_from(bytes).unwrap_or(u64::MAX), bytes);
    }

    /// The packets that acknowledge what came in.
    fn acknowledge(&self, bytes: usize) {
        self.pay(0, bytes);
    }

    /// So many bytes, and the headers of the packets of so many.
    fn pay(&self, bytes: u64, of_packets: usize) {
        let packets = u64::try_from(of_packets).unwrap_or(u64::MAX).div_ceil(PACKET_BYTES);
        let cost = bytes.saturating_add(packets.saturating_mul(HEADER_BYTES));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.saturating_sub(i128::from(cost) * GIGA);
    }
}

/// What goes out in ordinary running, over all connections together; lifted while a backlog is caught up.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(super) bucket: Arc<Bucket>,
    pub(super) lifted: AtomicBool,
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
    budget: Option<(Direction, Arc<Budget>)>,
}

impl<S> Throttled<S> {
    /// With buckets for what goes out and what comes in, and the budget of what goes out, or without bounds.
    pub(super) fn new(
        stream: S,
        buckets: Option<(Arc<Bucket>, Arc<Bucket>)>,
        budget: Option<Arc<Budget>>,
    ) -> Self {
        let direction = |bucket| Direction { bucket, sleep: None };
        let (up, down) = buckets.unzip();
        let budget = budget.map(|budget| (direction(Arc::clone(&budget.bucket)), budget));
        Self { stream, up: up.map(direction), down: down.map(direction), budget }
    }

    /// The budget, while it holds.
    fn budget(&mut self) -> Option<&mut Direction> {
        let (direction, budget) = self.budget.as_mut()?;
        (!budget.lifted.load(Ordering::Relaxed)).then_some(direction)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Throttled<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut granted = bytes.len();
        if let Some(budget) = this.budget() {
            granted = granted.min(ready!(budget.poll_grant(cx)));
        }
        if let Some(up) = &mut this.up {
            granted = granted.min(ready!(up.poll_grant(cx)));
        }
        let piece = bytes.get(..granted).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, piece))?;
        if let Some(up) = &this.up {
            up.bucket.charge(written);
        }
        if let Some(budget) = this.budget() {
            budget.bucket.charge(written);
        }
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
        let mut granted = buffer.remaining();
        if let Some(down) = &mut this.down {
            granted = granted.min(ready!(down.poll_grant(cx)));
        }
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(granted));
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
        let read = piece.filled().len();
        buffer.advance(read);
        if let Some(down) = &this.down {
            down.bucket.charge(read);
        }
        if let Some(budget) = this.budget() {
            budget.bucket.acknowledge(read);
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Bytes that pass in so many seconds when everything that may go goes at once.
    fn passed(bucket: &Bucket, seconds: u64) -> u64 {
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
            let (sum, most) = (passed(&Bucket::new(rate), 10), rate * 10 + (rate / BURST).max(BURST_MIN));
            assert!(sum <= most && sum > rate * 10 * 95 / 100, "{rate}: {sum} of {most}");
        }
    }

    #[test]
    fn ten_seconds_never_take_more_than_the_budget_and_the_rest_flows_on() {
        for budget in [32 * 1024, 64 * 1024, 1 << 20] {
            let (ten, hundred) =
                (passed(&Bucket::in_ten_seconds(budget), 10), passed(&Bucket::in_ten_seconds(budget), 100));
            assert!(ten <= budget && ten > budget * 9 / 10, "{ten} of {budget}");
            assert!(hundred <= budget * 31 / 4 && hundred > budget * 7, "{hundred} of {budget}");
        }
    }

    #[tokio::test]
    async fn a_budget_holds_until_it_is_lifted() {
        let budget = Arc::new(Budget {
            bucket: Arc::new(Bucket::in_ten_seconds(32 * 1024)),
            lifted: AtomicBool::new(false),
        });
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut near = Throttled::new(near, None, Some(Arc::clone(&budget)));
        let sent = vec![7; 64 * 1024];
        let within = tokio::time::timeout(Duration::from_millis(500), near.write_all(&sent)).await;
        assert!(within.is_err(), "64 KiB at once");
        budget.lifted.store(true, Ordering::Relaxed);
        tokio::time::timeout(Duration::from_secs(5), near.write_all(&sent)).await.unwrap().unwrap();
        let mut got = vec![0; sent.len()];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(got, sent);
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
            let mut near = Throttled::new(near, Some((Arc::clone(&up), Arc::clone(&down))), None);
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
