//! A generator: the frames of a capture on a packet socket at a steady rate, many with each system call.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, MultiHeaders, SockFlag, SockType, SockaddrLike as _, bind, sendmmsg,
    socket,
};
use nix::time::{ClockId, clock_gettime};

use crate::bench::frames;

/// Frames handed to the kernel at once.
const BATCH: usize = 32;
/// Frames held in memory; after them the first come again.
const FRAMES_MAX: u64 = 4_000_000;

/// Frames in memory, one after the other.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// Where each one ends.
    ends: Vec<usize>,
}

/// What was sent, and in what time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) packets: u64,
    pub(super) took: Duration,
    /// CPU time that it took.
    pub(super) cpu: Duration,
}

impl Frames {
    /// The first frames of a capture file.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut out = Self::default();
        frames::each(path, FRAMES_MAX, |frame| {
            out.bytes.extend_from_slice(frame);
            out.ends.push(out.bytes.len());
            Ok(())
        })?;
        ensure!(!out.ends.is_empty(), "{} has no frame", path.display());
        Ok(out)
    }

    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins.zip(&self.ends).filter_map(|(begin, end)| self.bytes.get(*begin..*end))
    }
}

/// Enters a namespace with this thread and sends at a rate for some time.
pub(super) fn send(
    namespace: &Path,
    interface: &str,
    frames: &Frames,
    rate: u64,
    hold: Duration,
) -> anyhow::Result<Sent> {
    let file = File::open(namespace).with_context(|| format!("cannot open {}", namespace.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter the namespace")?;
    let socket = open(interface)?;
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    let total = u128::from(rate) * hold.as_millis() / 1_000;
    let total = u64::try_from(total)?;
    let mut packets = 0;
    let mut next = frames.iter().cycle();
    let (begun, used) = (Instant::now(), cpu()?);
    while packets < total {
        let batch: Vec<[IoSlice<'_>; 1]> =
            next.by_ref().take(BATCH).map(|frame| [IoSlice::new(frame)]).collect();
        wait_until(begun + Duration::from_nanos(packets.saturating_mul(1_000_000_000) / rate.max(1)));
        packets += send_all(&socket, &mut headers, &batch)?;
    }
    Ok(Sent { packets, took: begun.elapsed(), cpu: cpu()?.saturating_sub(used) })
}

/// A packet socket on an interface that receives nothing.
fn open(interface: &str) -> anyhow::Result<OwnedFd> {
    let all = getifaddrs().context("cannot list the interfaces")?;
    let link = |one: nix::ifaddrs::InterfaceAddress| {
        let address: LinkAddr = *one.address?.as_link_addr()?;
        (one.interface_name == interface && address.family() == Some(AddressFamily::Packet))
            .then_some(address)
    };
    let address = all.filter_map(link).next().with_context(|| format!("there is no {interface}"))?;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
        .context("cannot open a packet socket")?;
    bind(socket.as_raw_fd(), &address).with_context(|| format!("cannot bind to {interface}"))?;
    Ok(socket)
}

/// Sleeps, and never spins: the agent has the same cores. What a sleep is too long is made up for by the batches after it.
fn wait_until(when: Instant) {
    let left = when.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

/// CPU time of this thread so far.
fn cpu() -> anyhow::Result<Duration> {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("no clock of this thread")?;
    Ok(now.into())
}

/// Sends every frame of a batch; what the other end's queue had no room for is tried again.
fn send_all(
    socket: &OwnedFd,
    headers: &mut MultiHeaders<()>,
    batch: &[[IoSlice<'_>; 1]],
) -> anyhow::Result<u64> {
    let mut left = batch;
    while !left.is_empty() {
        let addresses = vec![None::<()>; left.len()];
        let sent = sendmmsg(socket.as_raw_fd(), headers, left, &addresses, [], MsgFlags::empty());
        match sent.map(Iterator::count) {
            Ok(count) => left = left.get(count..).unwrap_or_default(),
            Err(Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR) => std::thread::yield_now(),
            Err(error) => return Err(error).context("cannot send"),
        }
    }
    Ok(u64::try_from(batch.len())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::frames::Writer;

    #[test]
    fn frames_come_in_their_order() {
        let path = std::env::temp_dir().join(format!("xtask-send-{}.pcap", std::process::id()));
        let mut writer = Writer::create(&path).unwrap();
        for number in 1..=3_u8 {
            writer.frame(1, 60, &vec![number; 60 + usize::from(number)]).unwrap();
        }
        writer.finish().unwrap();
        let frames = Frames::read(&path).unwrap();
        let lengths: Vec<usize> = frames.iter().cycle().take(4).map(<[u8]>::len).collect();
        assert_eq!(lengths, [61, 62, 63, 61]);
        std::fs::remove_file(path).unwrap();
    }
}
