//! Our own `TPACKET_V3` rings: the kernel writes frames into blocks of shared memory, we read them in place.
//!
//! Several workers have a ring each, and the kernel shares the frames of an interface among them by a program over the
//! addresses, see [`fanout`](super::fanout).
#![expect(
    unsafe_code,
    reason = "packet sockets and shared memory have no safe interface; each use is wrapped here"
)]

mod blocks;
pub(crate) mod handed;
mod socket;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use sekimori_sensor::frame::{Frame, LinkType};

use super::fanout::{ACCEPT, REFUSE, without_outgoing};
use super::filter::ring_program;
use super::{CaptureError, Fanout, Options, Stats, denied};
use blocks::{BLOCK_BYTES, Blocks, used, walk};
use handed::Sockets;
use socket::{Programs, attach, bind, get_option, link_of, set_option, share, size_u32};

/// Of an interface, shared by its rings: 16 MiB hold 130 ms of a full gigabit. Many small blocks, because on a quiet link each
/// [`RETIRE_MS`] takes one up: they last for more than a second, longer than any pause of a reading thread.
const BLOCKS: usize = 128;
/// However many workers there are.
const BLOCKS_MIN: usize = 32;
/// Blocks handed over before the caller gets a turn: what they bring about is still in the cache for whoever takes it next.
const BLOCKS_PER_TURN: usize = 2;
/// In thousandths.
const NEARLY_ALL: u32 = 900;
/// A block that is not full is handed over after this long, or twice that at most.
const RETIRE_MS: u32 = 20;
const ETH_P_ALL_BE: u16 = 3_u16.to_be();

/// An open ring on one interface.
#[derive(Debug)]
pub(crate) struct Ring {
    interface: String,
    index: libc::c_int,
    link: u32,
    blocks: Blocks,
    count: usize,
    next: usize,
    socket: OwnedFd,
    stats: Stats,
}

impl Ring {
    /// Opens as many rings as `fanout` chooses among. Needs `CAP_NET_RAW` for what `sockets` lacks; none is needed afterwards.
    pub(crate) fn open(
        interface: &str,
        options: &Options,
        fanout: &Fanout,
        sockets: &mut Sockets,
    ) -> Result<Vec<Self>, CaptureError> {
        let failed = |doing: &'static str| {
            let interface = interface.to_owned();
            move |cause: io::Error| denied(interface, doing, cause)
        };
        let count = (BLOCKS / fanout.workers()).max(BLOCKS_MIN);
        let rings: Vec<Self> = (0..fanout.workers())
            .map(|_| Self::closed(interface, options, count, sockets))
            .collect::<Result<_, _>>()?;
        let Some(link) = rings.first().map(|ring| ring.link) else { return Ok(rings) };
        if rings.len() > 1 {
            let sockets: Vec<&OwnedFd> = rings.iter().map(|ring| &ring.socket).collect();
            share(&sockets, &fanout.program(link)).map_err(failed("share the frames among workers"))?;
        }
        let mut program = if options.filter.is_empty() {
            vec![ACCEPT]
        } else {
            ring_program(&options.filter, link)
                .map_err(|cause| CaptureError::Filter { interface: interface.to_owned(), cause })?
        };
        // On loopback the same packet comes back in; counting it once is enough.
        if options.ignore_outgoing || interface_is_loopback(interface) {
            program = without_outgoing(program);
        }
        for ring in &rings {
            attach(&ring.socket, Programs::Filter, &program).map_err(failed("attach the filter"))?;
        }
        Ok(rings)
    }

    /// A ring that is bound and lets nothing in yet: what comes before the rings share would come to the wrong one.
    fn closed(
        interface: &str,
        options: &Options,
        count: usize,
        sockets: &mut Sockets,
    ) -> Result<Self, CaptureError> {
        let failed = |doing: &'static str| {
            let interface = interface.to_owned();
            move |cause: io::Error| denied(interface, doing, cause)
        };
        let index = nix::net::if_::if_nametoindex(interface)
            .map_err(|cause| failed("find the interface")(cause.into()))?;
        let index = libc::c_int::try_from(index)
            .map_err(|cause| failed("find the interface")(io::Error::other(cause)))?;
        let socket = sockets.take().map_err(failed("open a packet socket"))?;
        attach(&socket, Programs::Filter, &[REFUSE]).map_err(failed("attach a filter"))?;
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)
            .map_err(failed("choose TPACKET_V3"))?;
        let (bytes, blocks) = (size_u32(BLOCK_BYTES), u32::try_from(count).unwrap_or(u32::MAX));
        let request = libc::tpacket_req3 {
            tp_block_size: bytes,
            tp_block_nr: blocks,
            tp_frame_size: 2048,
            tp_frame_nr: (bytes / 2048).saturating_mul(blocks),
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
            .map_err(failed("make the ring"))?;
        let blocks = Blocks::map(&socket, count).map_err(failed("map the ring"))?;
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
        let hardware = bind(&socket, index, ETH_P_ALL_BE).map_err(failed("bind to the interface"))?;
        let (interface, link) = (interface.to_owned(), link_of(hardware));
        Ok(Self { interface, index, link, blocks, count, next: 0, socket, stats: Stats::default() })
    }

    /// Number of the link type, as in capture files.
    pub(crate) const fn link(&self) -> u32 {
        self.link
    }

    /// How much of the ring waits for us, in thousandths of its bytes; of its blocks, if hardly any is left.
    pub(crate) fn backlog(&self) -> u32 {
        let waiting = (0..self.count).map_while(|ahead| self.blocks.ready(self.next + ahead));
        let (blocks, bytes) =
            waiting.fold((0, 0), |(blocks, bytes), block| (blocks + 1, bytes + used(block)));
        let share = |part: usize, whole: usize| u32::try_from(part * 1000 / whole).unwrap_or(1000);
        let (blocks, bytes) = (share(blocks, self.count), share(bytes, self.count * BLOCK_BYTES));
        if blocks >= NEARLY_ALL { blocks } else { bytes }
    }

    /// Hands over the frames of blocks that are ready, or waits for the first of them at most `wait`.
    pub(crate) fn deliver(
        &mut self,
        wait: Duration,
        mut on_frame: impl FnMut(&Frame<'_>),
    ) -> Result<(), CaptureError> {
        if !self.blocks.is_ours(self.next) {
            self.wait(wait)?;
        }
        let link = LinkType::from_number(self.link);
        for _ in 0..BLOCKS_PER_TURN {
            let Some(block) = self.blocks.ready(self.next) else { break };
            if !walk(block, link, &mut on_frame) {
                self.stats.damaged_blocks += 1;
            }
            self.blocks.release(self.next);
            self.next = (self.next + 1) % self.count;
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
        let zero = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        if let Ok(now) = get_option(&self.socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, zero) {
            // The kernel starts again from zero at each reading; `tp_packets` includes the dropped ones.
            self.stats.received += u64::from(now.tp_packets.saturating_sub(now.tp_drops));
            self.stats.dropped += u64::from(now.tp_drops);
        }
        self.stats
    }
}

fn interface_is_loopback(name: &str) -> bool {
    pnet::datalink::interfaces().iter().any(|one| one.name == name && one.is_loopback())
}
