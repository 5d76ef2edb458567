//! Live capture through libpcap: the portable fallback for kernels, drivers or filters that the ring does not suit.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pcap::{Active, Capture, Direction, Error, Precision};
use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_wire::time::Timestamp;

use super::{CaptureError, Options, Stats, denied};

/// Longer than any frame, segmentation offload included.
const SNAP_LENGTH: i32 = 262_144;
const BUFFER_BYTES: i32 = 16 * 1024 * 1024;
const TIMEOUT_MS: i32 = 50;
/// Frames handed over before the caller gets a turn.
const BURST: usize = 4096;

/// An interface opened by libpcap.
pub(crate) struct LibPcap {
    interface: String,
    capture: Capture<Active>,
    link: u32,
    /// Handed over: libpcap's own count has both directions of the loopback interface.
    received: u64,
    damaged_times: u64,
}

impl core::fmt::Debug for LibPcap {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LibPcap").field("interface", &self.interface).finish_non_exhaustive()
    }
}

impl LibPcap {
    pub(crate) fn open(interface: &str, options: &Options) -> Result<Self, CaptureError> {
        let failed = |doing: &'static str| {
            let interface = interface.to_owned();
            move |cause: Error| denied(interface, doing, io_error(cause))
        };
        let mut capture = Capture::from_device(interface)
            .map_err(failed("name the interface to libpcap"))?
            .promisc(options.promiscuous)
            .snaplen(SNAP_LENGTH)
            .buffer_size(BUFFER_BYTES)
            .timeout(TIMEOUT_MS)
            .precision(Precision::Nano)
            .open()
            .map_err(failed("open the interface with libpcap"))?
            .setnonblock()
            .map_err(failed("open the interface with libpcap"))?;
        if options.ignore_outgoing {
            capture.direction(Direction::In).map_err(failed("leave out what this machine sends"))?;
        }
        let link = u32::try_from(capture.get_datalink().0).unwrap_or(u32::MAX);
        if !options.filter.is_empty() {
            capture.filter(&options.filter, true).map_err(|cause| CaptureError::Filter {
                interface: interface.to_owned(),
                cause: super::FilterError::Compile {
                    filter: options.filter.clone(),
                    reason: cause.to_string(),
                },
            })?;
        }
        Ok(Self { interface: interface.to_owned(), capture, link, received: 0, damaged_times: 0 })
    }

    pub(crate) fn deliver(
        &mut self,
        wait: Duration,
        mut on_frame: impl FnMut(&Frame<'_>),
    ) -> Result<(), CaptureError> {
        let link = LinkType::from_number(self.link);
        let mut waited = false;
        for _ in 0..BURST {
            match self.capture.next_packet() {
                Ok(packet) => {
                    // With nanosecond precision, libpcap keeps nanoseconds in the field of the microseconds.
                    let time = &packet.header.ts;
                    let nanos = u64::try_from(time.tv_sec)
                        .ok()
                        .zip(u64::try_from(time.tv_usec).ok())
                        .map(|(seconds, nanos)| seconds * 1_000_000_000 + nanos);
                    self.damaged_times += u64::from(nanos.is_none());
                    on_frame(&Frame {
                        at: Timestamp::from_nanos(nanos.unwrap_or_default()),
                        link,
                        bytes: packet.data,
                        wire_len: packet.header.len,
                        vlan: None,
                    });
                    self.received += 1;
                    waited = true;
                }
                Err(Error::TimeoutExpired | Error::NoMorePackets) if waited => break,
                Err(Error::TimeoutExpired | Error::NoMorePackets) => {
                    waited = true;
                    let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
                    let mut watched = [PollFd::new(self.capture.as_fd(), PollFlags::POLLIN)];
                    match poll(&mut watched, timeout) {
                        Ok(0) | Err(nix::Error::EINTR) => break,
                        Ok(_) => {}
                        Err(cause) => {
                            return Err(denied(self.interface.clone(), "wait for packets", cause.into()));
                        }
                    }
                }
                // libpcap reports a link that went down once, then goes on when it is up again.
                Err(Error::PcapError(reason)) if reason.contains("went down") => {
                    if nix::net::if_::if_nametoindex(self.interface.as_str()).is_err() {
                        return Err(CaptureError::Gone { interface: self.interface.clone() });
                    }
                    break;
                }
                Err(cause) => {
                    return Err(denied(self.interface.clone(), "read with libpcap", io_error(cause)));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn stats(&mut self) -> Stats {
        self.capture.stats().map_or_else(
            |_unknown| Stats { received: self.received, ..Stats::default() },
            |stat| Stats {
                received: self.received,
                dropped: u64::from(stat.dropped) + u64::from(stat.if_dropped),
                damaged_blocks: self.damaged_times,
            },
        )
    }

    pub(crate) const fn link(&self) -> u32 {
        self.link
    }
}

/// libpcap's reasons are texts; a missing permission is recognised by its words.
fn io_error(cause: Error) -> io::Error {
    let denied = matches!(&cause, Error::PcapError(reason) if reason.to_lowercase().contains("permi"));
    io::Error::new(if denied { io::ErrorKind::PermissionDenied } else { io::ErrorKind::Other }, cause)
}
