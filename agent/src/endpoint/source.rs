//! A source of the configuration, and what is counted of it.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sekimori_sensor::alert::{Mappings, NotAnAlert, Zone};
use serde::Deserialize;

/// How lines come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// RFC 5426: one datagram, one message.
    SyslogUdp,
    /// RFC 6587, both framings.
    SyslogTcp,
    /// RFC 5425, and newlines as many senders do.
    SyslogTls,
    /// One object on each line.
    JsonTcp,
    /// The same over TLS.
    JsonTls,
    /// A file that grows.
    File,
}

impl Kind {
    /// Whether a connection is encrypted.
    pub(crate) const fn is_tls(self) -> bool {
        match self {
            Self::SyslogTls | Self::JsonTls => true,
            Self::SyslogUdp | Self::SyslogTcp | Self::JsonTcp | Self::File => false,
        }
    }

    /// Whether frames may tell their length before them.
    pub(super) const fn counts_octets(self) -> bool {
        match self {
            Self::SyslogTcp | Self::SyslogTls => true,
            Self::SyslogUdp | Self::JsonTcp | Self::JsonTls | Self::File => false,
        }
    }
}

/// How text is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Charset {
    /// UTF-8 where it is valid, otherwise the Japanese encoding that fits.
    #[default]
    Auto,
    #[serde(rename = "utf-8")]
    Utf8,
    ShiftJis,
    #[serde(rename = "euc-jp")]
    EucJp,
}

/// Certificate, key, and whose clients are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: Option<PathBuf>,
}

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Address(SocketAddr),
    File(PathBuf),
}

/// One source.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// The key of the configuration, for errors.
    pub(crate) key: String,
    pub(crate) kind: Kind,
    pub(crate) place: Where,
    pub(crate) tls: Option<TlsFiles>,
    /// Who may send; empty: anybody.
    pub(crate) allow: Vec<Network>,
    pub(crate) mappings: Arc<Mappings>,
    pub(crate) charset: Charset,
    pub(crate) zone: Zone,
    /// What is beyond is counted, not sent on.
    pub(crate) alerts_per_minute: u32,
    /// A source that says nothing for so long is reported.
    pub(crate) quiet_after: Option<Duration>,
}

impl Source {
    /// Whether this sender is let in.
    pub(super) fn allows(&self, from: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|network| network.contains(from))
    }
}

/// An address prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Network {
    address: IpAddr,
    bits: u32,
}

impl TryFrom<String> for Network {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an address or a prefix such as \"10.1.0.0/16\"");
        let (address, bits) = text.split_once('/').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_cause| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
            None => most,
        };
        Ok(Self { address, bits })
    }
}

impl Network {
    fn contains(self, other: IpAddr) -> bool {
        let same = |one: u128, other: u128, width: u32| {
            (one ^ other).checked_shr(width - self.bits).unwrap_or(0) == 0
        };
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

macro_rules! tally {
    ($($field:ident $name:literal,)*) => {
        /// What is counted of one source.
        #[derive(Debug, Default)]
        pub(crate) struct Tally {
            name: String,
            quiet_after: Option<Duration>,
            /// Of its socket, if it takes datagrams; 0 otherwise.
            pub(super) datagrams: AtomicU64,
            /// Lines when it was last looked, and when they last became more.
            heard: Mutex<Option<(u64, Instant)>>,
            /// Lines that were no alert, by reason.
            reasons: [AtomicU64; NotAnAlert::ALL.len()],
            $(pub(super) $field: AtomicU64,)*
        }

        impl Tally {
            fn named(&self) -> impl Iterator<Item = (&'static str, &AtomicU64)> {
                [$(($name, &self.$field),)*].into_iter()
            }
        }
    };
}

tally! {
    lines "lines",
    alerts "alerts",
    repeated "repeated",
    limited "limited",
    dropped "dropped",
    too_long "too_long",
    refused "refused",
    handshakes_failed "tls_failed",
    garbled "garbled",
    idle "idle",
    rotations "rotations",
    lost_files "lost_files",
    unreadable "unreadable",
}

impl Tally {
    pub(crate) fn new(name: &str, quiet_after: Option<Duration>) -> Self {
        Self { name: name.to_owned(), quiet_after, ..Self::default() }
    }

    /// For how long it has said nothing, as far as that was looked at.
    fn quiet_for(&self, now: Instant) -> Duration {
        let lines = self.lines.load(Ordering::Relaxed);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match &*heard {
            Some((before, since)) if *before == lines => now.duration_since(*since),
            Some(_) | None => {
                *heard = Some((lines, now));
                Duration::ZERO
            }
        }
    }

    /// A line was no alert.
    pub(super) fn reject(&self, reason: NotAnAlert) {
        let at = NotAnAlert::ALL.iter().position(|one| *one == reason);
        if let Some(count) = at.and_then(|at| self.reasons.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Names and values: of each source what happened at all, and the sum of all sources.
    pub(super) fn count(&self, out: &mut Vec<(String, u64)>) {
        if let Some(most) = self.quiet_after {
            let quiet = self.quiet_for(Instant::now());
            out.push(("endpoint.quiet".to_owned(), u64::from(quiet >= most)));
            out.push((format!("endpoint.{}.quiet_seconds", self.name), quiet.as_secs()));
        }
        let inode = self.datagrams.load(Ordering::Relaxed);
        if let Some(dropped) = (inode != 0).then(|| kernel_drops(inode)).flatten() {
            out.push(("endpoint.kernel_dropped".to_owned(), dropped));
            out.push((format!("endpoint.{}.kernel_dropped", self.name), dropped));
        }
        let mut add = |name: &str, count: &AtomicU64| {
            let count = count.load(Ordering::Relaxed);
            out.push((format!("endpoint.{name}"), count));
            if count > 0 || name == "lines" {
                out.push((format!("endpoint.{}.{name}", self.name), count));
            }
        };
        self.named().for_each(|(name, count)| add(name, count));
        for (reason, count) in NotAnAlert::ALL.iter().zip(&self.reasons) {
            let name = reason.counter().as_str();
            add(name.strip_prefix("alert.").unwrap_or(name), count);
        }
    }
}

/// Datagrams that the kernel had no room for: the last column of /proc/net/udp (and udp6), in the line with this inode.
fn kernel_drops(inode: u64) -> Option<u64> {
    let inode = inode.to_string();
    ["/proc/net/udp", "/proc/net/udp6"].iter().find_map(|file| {
        let table = std::fs::read_to_string(file).ok()?;
        let line = table.lines().find(|line| line.split_whitespace().nth(9) == Some(inode.as_str()))?;
        line.split_whitespace().last()?.parse().ok()
    })
}

/// One more.
pub(super) fn bump(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_contain_what_they_should() {
        let network = |text: &str| Network::try_from(text.to_owned());
        let holds = |prefix: &str, address: &str| network(prefix).unwrap().contains(address.parse().unwrap());
        assert!(
            holds("10.1.0.0/16", "10.1.255.1") && holds("0.0.0.0/0", "192.0.2.1") && holds("::/0", "fe80::1")
        );
        assert!(holds("10.1.0.0/16", "::ffff:10.1.2.3") && holds("192.0.2.1", "192.0.2.1"));
        assert!(
            !holds("10.1.0.0/16", "10.2.0.1")
                && !holds("192.0.2.1", "192.0.2.2")
                && !holds("::/0", "192.0.2.1")
        );
        for wrong in ["10.0.0.0/33", "x", "10.0.0.0/-1", ""] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_kernel_tells_what_it_dropped() {
        use std::os::fd::AsFd as _;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let _set = nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &4096);
        for _ in 0..100 {
            socket.send_to(&[0; 1000], socket.local_addr().unwrap()).unwrap();
        }
        let inode = nix::sys::stat::fstat(socket.as_fd()).unwrap().st_ino;
        let dropped = kernel_drops(inode).unwrap();
        assert!((50..100).contains(&dropped), "{dropped}");
        assert_eq!(kernel_drops(u64::MAX), None);
    }

    #[test]
    fn counts_have_the_name_of_their_source() {
        let tally = Tally::new("fw1", Some(Duration::from_secs(60)));
        bump(&tally.lines);
        tally.reject(NotAnAlert::NoPhrase);
        let mut out = Vec::new();
        tally.count(&mut out);
        for name in ["endpoint.lines", "endpoint.fw1.lines", "endpoint.fw1.skip.no_phrase"] {
            assert!(out.contains(&(name.to_owned(), 1)), "{name}: {out:?}");
        }
        assert!(!out.iter().any(|(name, _)| name == "endpoint.fw1.dropped"));
        assert!(out.contains(&("endpoint.quiet".to_owned(), 0)), "{out:?}");
        let later = Instant::now() + Duration::from_secs(90);
        assert!(tally.quiet_for(later) >= Duration::from_secs(89));
        bump(&tally.lines);
        assert_eq!(tally.quiet_for(later), Duration::ZERO);
    }
}
