//! Packet sockets that outlive the privilege that opened them: the program opens them first of all, gives up the ambient
//! capabilities and starts itself again. The new program has the sockets, and never had a capability, so that nothing in it
//! needs `capset`, which a service can then be denied.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use caps::{CapSet, Capability};
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use nix::unistd::Uid;

use super::socket::adopt;

/// Numbers of the sockets, from the program to its successor.
const NAME: &str = "SEKIMORI_PACKET_SOCKETS";

/// Packet sockets that were opened before, and are not in use yet.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Vec<OwnedFd>);

impl Sockets {
    /// Those that this program had from itself, see [`restart`]. What is not a packet socket is left alone.
    pub(crate) fn handed() -> Self {
        let named = std::env::var(NAME).unwrap_or_default();
        let numbers: BTreeSet<i32> = named.split(',').filter_map(|number| number.parse().ok()).collect();
        let sockets: Vec<OwnedFd> = numbers.into_iter().filter_map(adopt).collect();
        if !sockets.is_empty() {
            tracing::info!(sockets = sockets.len(), "started again without privileges");
        }
        Self(sockets)
    }

    /// One that nothing arrives at yet; a new one if none is left.
    pub(crate) fn take(&mut self) -> io::Result<OwnedFd> {
        self.0.pop().map_or_else(|| open(SockFlag::SOCK_CLOEXEC), Ok)
    }
}

/// Protocol 0: nothing arrives before the socket is bound to an interface.
fn open(flags: SockFlag) -> io::Result<OwnedFd> {
    Ok(nix::sys::socket::socket(AddressFamily::Packet, SockType::Raw, flags, None)?)
}

/// Opens so many sockets and starts this program again with them and without privileges, if it has what a service has: the
/// ambient capability, and no other user's rights. Does not come back then.
///
/// # Errors
/// If it cannot be started; everything is then as it was, but for the ambient set, which is empty.
pub(crate) fn restart(sockets: usize) -> io::Result<()> {
    let is_ambient = caps::has_cap(None, CapSet::Ambient, Capability::CAP_NET_RAW).unwrap_or(false);
    if Uid::effective().is_root() || !is_ambient {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let opened: Vec<OwnedFd> = (0..sockets).map(|_| open(SockFlag::empty())).collect::<io::Result<_>>()?;
    let numbers: Vec<String> = opened.iter().map(|socket| socket.as_raw_fd().to_string()).collect();
    caps::clear(None, CapSet::Ambient).map_err(io::Error::other)?;
    let mut words = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    Err(command.args(words).env(NAME, numbers.join(",")).exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packet_sockets_are_taken_over() {
        let (file, other) =
            (std::fs::File::open("/dev/null").unwrap(), std::net::UdpSocket::bind("[::1]:0").unwrap());
        for number in [-1, 0, 1, 999_999, file.as_raw_fd(), other.as_raw_fd()] {
            assert!(adopt(number).is_none(), "{number}");
        }
        if let Ok(socket) = open(SockFlag::empty()) {
            use std::os::fd::IntoRawFd as _;
            let number = socket.into_raw_fd();
            let taken = adopt(number).unwrap();
            assert_eq!(taken.as_raw_fd(), number);
            let flags = nix::fcntl::fcntl(&taken, nix::fcntl::FcntlArg::F_GETFD).unwrap();
            assert_eq!(flags, nix::libc::FD_CLOEXEC, "no other program gets it");
        }
    }
}
