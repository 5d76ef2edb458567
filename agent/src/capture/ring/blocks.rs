//! The shared memory of a ring: blocks of frames that belong to the kernel or to us.
//!
//! A block belongs to one side, as its status word says; the word is read with acquire and written with release, so that
//! neither side sees half of what the other did. Everything in a block is checked against its bounds before it is used. See
//! Linux `Documentation/networking/packet_mmap.rst`.

use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};
use std::io;
use std::os::fd::OwnedFd;

use nix::libc;
use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_wire::time::Timestamp;

/// A full segment of segmentation offload (64 KiB) fits; what is longer the kernel cuts.
pub(super) const BLOCK_BYTES: usize = 128 * 1024;

/// The shared memory.
#[derive(Debug)]
pub(super) struct Blocks {
    start: NonNull<libc::c_void>,
    count: usize,
}

// SAFETY: the mapping belongs to this value alone and is not bound to the thread that made it.
unsafe impl Send for Blocks {}

impl Blocks {
    /// Maps the ring of so many blocks that the socket has.
    pub(super) fn map(socket: &OwnedFd, count: usize) -> io::Result<Self> {
        let length = core::num::NonZeroUsize::new(count * BLOCK_BYTES)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let protection = nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours; the length is that
        // of the ring just made.
        let start = unsafe {
            nix::sys::mman::mmap(None, length, protection, nix::sys::mman::MapFlags::MAP_SHARED, socket, 0)
        }?;
        Ok(Self { start, count })
    }

    /// Start of a block; `number` is reduced to a block that exists.
    fn block(&self, number: usize) -> NonNull<u8> {
        // SAFETY: the offset is below `count * BLOCK_BYTES`, the length of the mapping.
        unsafe { self.start.cast::<u8>().add(number % self.count * BLOCK_BYTES) }
    }

    fn status(&self, number: usize) -> &AtomicU32 {
        let at = offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);
        // SAFETY: a block is far longer than its descriptor.
        let word = unsafe { self.block(number).add(at) };
        // SAFETY: the word is aligned (a block begins at a page, `at` is 8), lives as long as the mapping, and both
        // sides access it atomically.
        unsafe { AtomicU32::from_ptr(word.cast().as_ptr()) }
    }

    /// The kernel has handed it over.
    pub(super) fn is_ours(&self, number: usize) -> bool {
        self.status(number).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    /// The bytes of a block that the kernel has handed over.
    pub(super) fn ready(&self, number: usize) -> Option<&[u8]> {
        if !self.is_ours(number) {
            return None;
        }
        // SAFETY: the block lies within the mapping. The kernel does not write to it until `release`, which takes
        // `&mut self` and so cannot run while this slice is alive.
        Some(unsafe { core::slice::from_raw_parts(self.block(number).as_ptr(), BLOCK_BYTES) })
    }

    /// Gives it back to the kernel.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "exclusive: no slice of the block may be alive")]
    pub(super) fn release(&mut self, number: usize) {
        self.status(number).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `map` mapped, and nothing borrows from it any more.
        let unmapped = unsafe { nix::sys::mman::munmap(self.start, self.count * BLOCK_BYTES) };
        debug_assert!(unmapped.is_ok(), "the range was mapped");
    }
}

/// How much of a block the kernel says it used.
pub(super) fn used(block: &[u8]) -> usize {
    const AT: usize = offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, blk_len);
    u32_at(block, AT).and_then(size).unwrap_or_default().min(block.len())
}

/// Hands over the frames of one block; `false` if the block contradicts itself.
pub(super) fn walk(block: &[u8], link: LinkType, mut on_frame: impl FnMut(&Frame<'_>)) -> bool {
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

#[cfg(test)]
mod tests;
