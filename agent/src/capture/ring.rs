//! Our own `TPACKET_V3` ring: the kernel writes frames into blocks of shared memory, we read them in place.
//!
//! A block belongs to the kernel or to us, as its status word says; the word is read with acquire and written with
//! release, so that neither side sees half of what the other did. Everything in a block is checked against its bounds
//! before it is used. See Linux `Documentation/networking/packet_mmap.rst`.
#![expect(
    unsafe_code,
    reason = "packet sockets and shared memory have no safe interface; each use is wrapped here"
)]

use core::mem::{offset_of, size_of};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socket, sockopt};
use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_wire::time::Timestamp;

use super::filter::ring_program;
use super::{CaptureError, Options, Stats, denied};

/// Blocks of 1 MiB: 16 MiB hold 130 ms of a full gigabit, longer than any pause of the reading thread.
const BLOCKS: usize = 16;
const BLOCK_BYTES: usize = 1024 * 1024;
/// A block that is not full is handed over after this long.
const RETIRE_MS: u32 = 50;
const ETH_P_ALL_BE: u16 = 3_u16.to_be();

/// An open ring on one interface.
#[derive(Debug)]
pub(crate) struct Ring {
    interface: String,
    index: libc::c_int,
    link: u32,
    blocks: Blocks,
    next: usize,
    socket: OwnedFd,
    stats: Stats,
}

impl Ring {
    /// Opens a ring. Needs `CAP_NET_RAW`; none is needed afterwards.
    pub(crate) fn open(interface: &str, options: &Options) -> Result<Self, CaptureError> {
        let failed = |doing: &'static str| {
            let interface = interface.to_owned();
            move |cause: io::Error| denied(interface, doing, cause)
        };
        let index = nix::net::if_::if_nametoindex(interface)
            .map_err(|cause| failed("find the interface")(cause.into()))?;
        let index = libc::c_int::try_from(index)
            .map_err(|cause| failed("find the interface")(io::Error::other(cause)))?;
        // Protocol 0: nothing arrives before `bind` has named the one interface.
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
            .map_err(|cause| failed("open a packet socket")(cause.into()))?;
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)
            .map_err(failed("choose TPACKET_V3"))?;
        let (bytes, count) = (size_u32(BLOCK_BYTES), size_u32(BLOCKS));
        let request = libc::tpacket_req3 {
            tp_block_size: bytes,
            tp_block_nr: count,
            tp_frame_size: 2048,
            tp_frame_nr: bytes / 2048 * count,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
            .map_err(failed("make the ring"))?;
        let blocks = Blocks::map(&socket).map_err(failed("map the ring"))?;
        // A filter is compiled for the link type, which only a bound socket knows; so bind first, to no protocol.
        let hardware = bind(&socket, index, 0).map_err(failed("bind to the interface"))?;
        let link = link_of(hardware);
        if !options.filter.is_empty() {
            let program = ring_program(&options.filter, link)
                .map_err(|cause| CaptureError::Filter { interface: interface.to_owned(), cause })?;
            attach(&socket, &program).map_err(failed("attach the filter"))?;
        }
        if hardware == libc::ARPHRD_LOOPBACK {
            // The same packet comes back in; counting it once is enough.
            set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)
                .map_err(failed("ignore outgoing packets"))?;
        }
        if options.promiscuous {
            let request = libc::packet_mreq {
                mr_ifindex: index,
                mr_type: 1, // PACKET_MR_PROMISC
                mr_alen: 0,
                mr_address: [0; 8],
            };
            set_option(&socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
                .map_err(failed("make the interface promiscuous"))?;
        }
        bind(&socket, index, ETH_P_ALL_BE).map_err(failed("bind to the interface"))?;
        Ok(Self {
            interface: interface.to_owned(),
            index,
            link,
            blocks,
            next: 0,
            socket,
            stats: Stats::default(),
        })
    }

    /// Number of the link type, as in capture files.
    pub(crate) const fn link(&self) -> u32 {
        self.link
    }

    /// Hands over the frames of all blocks that are ready, or waits for the first of them at most `wait`.
    pub(crate) fn deliver(
        &mut self,
        wait: Duration,
        mut on_frame: impl FnMut(&Frame<'_>),
    ) -> Result<(), CaptureError> {
        if !self.blocks.is_ours(self.next) {
            self.wait(wait)?;
        }
        let link = LinkType::from_number(self.link);
        for _ in 0..BLOCKS {
            let Some(block) = self.blocks.ready(self.next) else { break };
            if !walk(block, link, &mut on_frame) {
                self.stats.damaged_blocks += 1;
            }
            self.blocks.release(self.next);
            self.next = (self.next + 1) % BLOCKS;
        }
        Ok(())
    }

    fn wait(&self, wait: Duration) -> Result<(), CaptureError> {
        let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        let mut watched = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN | PollFlags::POLLERR)];
        match poll(&mut watched, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(cause) => return Err(denied(self.interface.clone(), "wait for packets", cause.into())),
        }
        let [watched] = watched;
        if !watched.revents().is_some_and(|events| events.contains(PollFlags::POLLERR)) {
            return Ok(());
        }
        // Reading the error clears it. An interface that went down comes back to the same socket; one that was
        // removed does not, and a socket for its successor needs a privilege that is gone by now.
        let error = getsockopt(&self.socket, sockopt::SocketError).unwrap_or_default();
        let index = nix::net::if_::if_nametoindex(self.interface.as_str()).ok();
        if index.and_then(|index| libc::c_int::try_from(index).ok()) != Some(self.index) {
            return Err(CaptureError::Gone { interface: self.interface.clone() });
        }
        if error == libc::ENETDOWN || error == 0 {
            return Ok(());
        }
        let cause = io::Error::from_raw_os_error(error);
        Err(denied(self.interface.clone(), "wait for packets", cause))
    }

    /// Totals since the ring was opened.
    pub(crate) fn stats(&mut self) -> Stats {
        let mut now = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let mut len = size_u32(size_of::<libc::tpacket_stats_v3>());
        // SAFETY: the pointers are to live values of this frame, and `len` is the size of `now`, which the kernel
        // does not exceed; any bytes are a valid `tpacket_stats_v3`.
        let done = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                ptr::from_mut(&mut now).cast(),
                &raw mut len,
            )
        };
        if done == 0 {
            // The kernel starts again from zero at each reading; `tp_packets` includes the dropped ones.
            self.stats.received += u64::from(now.tp_packets.saturating_sub(now.tp_drops));
            self.stats.dropped += u64::from(now.tp_drops);
        }
        self.stats
    }
}

/// The shared memory.
#[derive(Debug)]
struct Blocks {
    start: NonNull<libc::c_void>,
}

// SAFETY: the mapping belongs to this value alone and is not bound to the thread that made it.
unsafe impl Send for Blocks {}

impl Blocks {
    fn map(socket: &OwnedFd) -> io::Result<Self> {
        let length = core::num::NonZeroUsize::new(BLOCKS * BLOCK_BYTES)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let protection = nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours; the length is that
        // of the ring just made.
        let start = unsafe {
            nix::sys::mman::mmap(None, length, protection, nix::sys::mman::MapFlags::MAP_SHARED, socket, 0)
        }?;
        Ok(Self { start })
    }

    /// Start of a block; `number` is reduced to a block that exists.
    fn block(&self, number: usize) -> NonNull<u8> {
        // SAFETY: the offset is below `BLOCKS * BLOCK_BYTES`, the length of the mapping.
        unsafe { self.start.cast::<u8>().add(number % BLOCKS * BLOCK_BYTES) }
    }

    fn status(&self, number: usize) -> &AtomicU32 {
        let at = offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);
        // SAFETY: a block is far longer than its descriptor.
        let word = unsafe { self.block(number).add(at) };
        // SAFETY: the word is aligned (a block begins at a page, `at` is 8), lives as long as the mapping, and both
        // sides access it atomically.
        unsafe { AtomicU32::from_ptr(word.cast().as_ptr()) }
    }

    fn is_ours(&self, number: usize) -> bool {
        self.status(number).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    /// The bytes of a block that the kernel has handed over.
    fn ready(&self, number: usize) -> Option<&[u8]> {
        if !self.is_ours(number) {
            return None;
        }
        // SAFETY: the block lies within the mapping. The kernel does not write to it until `release`, which takes
        // `&mut self` and so cannot run while this slice is alive.
        Some(unsafe { core::slice::from_raw_parts(self.block(number).as_ptr(), BLOCK_BYTES) })
    }

    #[expect(clippy::needless_pass_by_ref_mut, reason = "exclusive: no slice of the block may be alive")]
    fn release(&mut self, number: usize) {
        self.status(number).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `map` mapped, and nothing borrows from it any more.
        let unmapped = unsafe { nix::sys::mman::munmap(self.start, BLOCKS * BLOCK_BYTES) };
        debug_assert!(unmapped.is_ok(), "the range was mapped");
    }
}

/// Hands over the frames of one block; `false` if the block contradicts itself.
fn walk(block: &[u8], link: LinkType, mut on_frame: impl FnMut(&Frame<'_>)) -> bool {
    const HEADER: usize = offset_of!(libc::tpacket_block_desc, hdr);
    let count = u32_at(block, HEADER + offset_of!(libc::tpacket_hdr_v1, num_pkts));
    let first = u32_at(block, HEADER + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt));
    let Some((count, mut at)) = count.zip(first.and_then(size)) else { return false };
    for number in 1..=count {
        let Some((frame, next)) = block.get(at..).and_then(|bytes| frame_of(bytes, link)) else {
            return false;
        };
        on_frame(&frame);
        if number == count {
            break;
        }
        match at.checked_add(next) {
            Some(beyond) if next > 0 => at = beyond,
            _ => return false,
        }
    }
    true
}

/// The frame whose header `bytes` begins with, and the distance to the next header.
fn frame_of(bytes: &[u8], link: LinkType) -> Option<(Frame<'_>, usize)> {
    type Header = libc::tpacket3_hdr;
    let word = |at| u32_at(bytes, at);
    let captured = size(word(offset_of!(Header, tp_snaplen))?)?;
    let mac = bytes.get(offset_of!(Header, tp_mac)..)?.first_chunk().copied().map(u16::from_ne_bytes)?;
    let start = usize::from(mac);
    let frame = bytes.get(start..start.checked_add(captured)?)?;
    let nanos = u64::from(word(offset_of!(Header, tp_sec))?) * 1_000_000_000
        + u64::from(word(offset_of!(Header, tp_nsec))?);
    let tagged = word(offset_of!(Header, tp_status))? & libc::TP_STATUS_VLAN_VALID != 0;
    let tci = word(offset_of!(Header, hv1) + offset_of!(libc::tpacket_hdr_variant1, tp_vlan_tci))?;
    let vlan = u16::try_from(tci & 0x0fff).ok().filter(|_| tagged);
    let wire_len = word(offset_of!(Header, tp_len))?;
    let frame = Frame { at: Timestamp::from_nanos(nanos), link, bytes: frame, wire_len, vlan };
    Some((frame, size(word(offset_of!(Header, tp_next_offset))?)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn size(value: u32) -> Option<usize> {
    usize::try_from(value).ok()
}

/// Of sizes that are constants far below 4 GiB.
const fn size_u32(size: usize) -> u32 {
    assert!(size <= 0xffff_ffff, "a constant below 4 GiB");
    #[expect(clippy::cast_possible_truncation, reason = "checked in the line above")]
    {
        size as u32
    }
}

fn set_option<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let len = size_u32(size_of::<T>());
    // SAFETY: `value` is alive during the call and `len` is its size; the kernel only reads it.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(value).cast(), len) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Binds to the interface for one protocol (0: none yet) and tells its hardware type.
fn bind(socket: &OwnedFd, index: libc::c_int, protocol_be: u16) -> io::Result<u16> {
    let mut address = libc::sockaddr_ll {
        sll_family: 17, // AF_PACKET
        sll_protocol: protocol_be,
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let mut len = size_u32(size_of::<libc::sockaddr_ll>());
    // SAFETY: `address` is alive during the call and `len` is its size; the kernel only reads it.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), len) };
    if bound != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both pointers are to live values, and the kernel writes at most `len` bytes, the size of `address`;
    // any bytes are a valid `sockaddr_ll`.
    let named =
        unsafe { libc::getsockname(socket.as_raw_fd(), ptr::from_mut(&mut address).cast(), &raw mut len) };
    if named == 0 { Ok(address.sll_hatype) } else { Err(io::Error::last_os_error()) }
}

fn attach(socket: &OwnedFd, program: &[super::filter::Instruction]) -> io::Result<()> {
    let mut program: Vec<libc::sock_filter> = program
        .iter()
        .map(|i| libc::sock_filter { code: i.code, jt: i.jump_true, jf: i.jump_false, k: i.constant })
        .collect();
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    // The kernel copies the program during the call, and checks it.
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// The capture files' number for a kind of hardware (`ARPHRD_*`).
const fn link_of(hardware: u16) -> u32 {
    match hardware {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => 1,
        // Tunnels and TUN devices carry IP without a link header.
        libc::ARPHRD_NONE
        | libc::ARPHRD_PPP
        | libc::ARPHRD_TUNNEL
        | libc::ARPHRD_TUNNEL6
        | libc::ARPHRD_SIT => 101,
        // LINKTYPE_USER0 and on: counted as not decoded, frame by frame.
        _ => 147,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block as the kernel writes it, of frames (seconds, VLAN, bytes).
    fn block(frames: &[(u32, Option<u16>, &[u8])]) -> Vec<u8> {
        let mut block = vec![0; 4096];
        put(&mut block, 8, libc::TP_STATUS_USER);
        put(&mut block, 12, u32::try_from(frames.len()).unwrap());
        put(&mut block, 16, 48);
        let mut at = 48;
        for (idx, (seconds, vlan, bytes)) in frames.iter().enumerate() {
            let next = (82 + bytes.len()).next_multiple_of(16);
            put(&mut block, at, if idx + 1 == frames.len() { 0 } else { u32::try_from(next).unwrap() });
            put(&mut block, at + 4, *seconds);
            put(&mut block, at + 8, 7);
            put(&mut block, at + 12, u32::try_from(bytes.len()).unwrap());
            put(&mut block, at + 16, 1500);
            put(&mut block, at + 20, vlan.map_or(1, |_| 1 | libc::TP_STATUS_VLAN_VALID));
            block[at + 24..at + 26].copy_from_slice(&82_u16.to_ne_bytes());
            put(&mut block, at + 32, vlan.map_or(0, |id| 0xe000 | u32::from(id)));
            block[at + 82..at + 82 + bytes.len()].copy_from_slice(bytes);
            at += next;
        }
        block
    }

    fn put(block: &mut [u8], at: usize, value: u32) {
        block[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    /// Time, VLAN, bytes and length on the wire.
    type Seen = (u64, Option<u16>, Vec<u8>, u32);

    fn walked(block: &[u8]) -> (bool, Vec<Seen>) {
        let mut seen = Vec::new();
        let good = walk(block, LinkType::Ethernet, |frame| {
            seen.push((frame.at.nanos(), frame.vlan, frame.bytes.to_vec(), frame.wire_len));
        });
        (good, seen)
    }

    #[test]
    fn frames_come_with_time_vlan_and_bytes() {
        let block = block(&[(5, None, b"first"), (6, Some(0x123), b"second frame")]);
        let expected = vec![
            (5_000_000_007, None, b"first".to_vec(), 1500),
            (6_000_000_007, Some(0x123), b"second frame".to_vec(), 1500),
        ];
        assert_eq!(walked(&block), (true, expected));
    }

    #[test]
    fn a_block_that_lies_is_left_where_it_lies() {
        let good = block(&[(5, None, b"first"), (6, None, b"second")]);
        for (at, value) in [(48, 5000), (48 + 12, 5000), (16, 4095), (16, u32::MAX), (48 + 12, u32::MAX)] {
            let mut bad = good.clone();
            put(&mut bad, at, value);
            let (whole, seen) = walked(&bad);
            assert!(!whole && seen.len() < 2, "{at} {value}");
        }
        let mut many = good.clone();
        put(&mut many, 12, 10_000);
        assert_eq!((walked(&many).0, walked(&many).1.len()), (false, 2), "the last frame leads nowhere");
        assert_eq!(walked(&good[..20]), (false, vec![]));
    }
}
