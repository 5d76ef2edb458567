//! Where frames come from: rings or libpcap on a live interface ([`Live`]), or capture files ([`file::Files`]).

pub(crate) mod fanout;
pub(crate) mod file;
pub(crate) mod filter;
#[cfg(feature = "pcap")]
mod pcap;
pub(crate) mod record;
mod ring;

use std::io;
use std::time::Duration;

use sekimori_sensor::frame::Frame;

use crate::config::file::Engine;
pub(crate) use fanout::Fanout;
use filter::FilterError;
pub(crate) use ring::handed::{self, Sockets};

/// How to capture.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) engine: Engine,
    /// tcpdump's language; empty for everything.
    pub(crate) filter: String,
    pub(crate) promiscuous: bool,
    /// Leave out what this machine sends.
    pub(crate) ignore_outgoing: bool,
}

/// Totals since the capture was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Frames that came.
    pub(crate) received: u64,
    /// Frames that the kernel dropped because we were slow.
    pub(crate) dropped: u64,
    /// Blocks of the ring that contradicted themselves.
    pub(crate) damaged_blocks: u64,
}

/// A live interface.
#[derive(Debug)]
pub(crate) enum Live {
    Ring(ring::Ring),
    #[cfg(feature = "pcap")]
    Pcap(pcap::LibPcap),
}

impl Live {
    /// Opens the interface, once for each worker that `fanout` chooses among. The privileges that this needs can be given up
    /// afterwards.
    pub(crate) fn open(
        interface: &str,
        options: &Options,
        fanout: &Fanout,
        sockets: &mut Sockets,
    ) -> Result<Vec<Self>, CaptureError> {
        let there = pnet::datalink::interfaces();
        if !there.iter().any(|one| one.name == interface) {
            let there: Vec<String> = there.into_iter().map(|one| one.name).collect();
            return Err(CaptureError::NoInterface {
                interface: interface.to_owned(),
                there: there.join(", "),
            });
        }
        match options.engine {
            Engine::Ring => {
                let rings = ring::Ring::open(interface, options, fanout, sockets)?;
                Ok(rings.into_iter().map(Self::Ring).collect())
            }
            // One worker: the configuration knows that libpcap does not share.
            #[cfg(feature = "pcap")]
            Engine::Pcap => pcap::LibPcap::open(interface, options).map(|one| vec![Self::Pcap(one)]),
            #[cfg(not(feature = "pcap"))]
            Engine::Pcap => Err(CaptureError::NoLibPcap { interface: interface.to_owned() }),
        }
    }

    /// Hands over what is there, or waits for it at most `wait`. Comes back often even under full load.
    pub(crate) fn deliver(
        &mut self,
        wait: Duration,
        on_frame: impl FnMut(&Frame<'_>),
    ) -> Result<(), CaptureError> {
        match self {
            Self::Ring(ring) => ring.deliver(wait, on_frame),
            #[cfg(feature = "pcap")]
            Self::Pcap(live) => live.deliver(wait, on_frame),
        }
    }

    /// How much of the buffer waits for us, in thousandths; libpcap does not tell.
    pub(crate) fn backlog(&self) -> u32 {
        match self {
            Self::Ring(ring) => ring.backlog(),
            #[cfg(feature = "pcap")]
            Self::Pcap(_) => 0,
        }
    }

    pub(crate) fn stats(&mut self) -> Stats {
        match self {
            Self::Ring(ring) => ring.stats(),
            #[cfg(feature = "pcap")]
            Self::Pcap(live) => live.stats(),
        }
    }

    /// Number of the link type, as in capture files.
    pub(crate) const fn link(&self) -> u32 {
        match self {
            Self::Ring(ring) => ring.link(),
            #[cfg(feature = "pcap")]
            Self::Pcap(live) => live.link(),
        }
    }
}

/// Why an interface cannot be captured from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaptureError {
    #[error("there is no interface `{interface}`; there are: {there}")]
    NoInterface { interface: String, there: String },
    #[error(
        "{interface}: no permission to {doing}: this needs the capability CAP_NET_RAW. Give it in the systemd unit with \
         `AmbientCapabilities=CAP_NET_RAW`, or to the program with `setcap cap_net_raw+ep {program}`"
    )]
    Permission { interface: String, doing: &'static str, program: String },
    #[error("{interface}: cannot {doing}")]
    System {
        interface: String,
        doing: &'static str,
        #[source]
        cause: io::Error,
    },
    #[error("{interface}: the interface was removed")]
    Gone { interface: String },
    #[error("{interface}: cannot use the filter")]
    Filter {
        interface: String,
        #[source]
        cause: FilterError,
    },
    #[cfg(not(feature = "pcap"))]
    #[error("{interface}: this build is without libpcap (feature `pcap`); use engine = \"ring\"")]
    NoLibPcap { interface: String },
}

/// The error for a system call that failed: a missing permission is told with its remedy.
fn denied(interface: String, doing: &'static str, cause: io::Error) -> CaptureError {
    if cause.kind() != io::ErrorKind::PermissionDenied {
        return CaptureError::System { interface, doing, cause };
    }
    let program = std::env::current_exe()
        .map_or_else(|_| "sekimori-agent".to_owned(), |path| path.display().to_string());
    CaptureError::Permission { interface, doing, program }
}
