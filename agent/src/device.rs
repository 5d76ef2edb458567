//! What the kernel says of a network device: its MTU, and what it merges or cuts before frames are seen.
#![expect(unsafe_code, reason = "these requests have no safe interface; each is wrapped here")]

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::ptr;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType};

/// `ETHTOOL_GTSO`, `ETHTOOL_GFLAGS`, `ETHTOOL_GGRO` and a bit of the flags, from linux/ethtool.h.
const GET_TSO: u32 = 0x1e;
const GET_FLAGS: u32 = 0x25;
const GET_GRO: u32 = 0x2b;
const FLAG_LRO: u32 = 1 << 15;

/// A socket to ask through; it needs no privilege.
#[derive(Debug)]
pub(crate) struct Asker(OwnedFd);

/// What merges or cuts frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the device")]
pub(crate) struct Offloads {
    /// Received segments are merged by the kernel.
    pub(crate) gro: bool,
    /// Received segments are merged by the card.
    pub(crate) lro: bool,
    /// Sent segments are cut by the card, after they are seen.
    pub(crate) tso: bool,
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

impl Asker {
    /// Opens the socket.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = nix::sys::socket::socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        Ok(Self(socket))
    }

    /// In bytes, without the link header.
    pub(crate) fn mtu(&self, interface: &str) -> io::Result<u32> {
        let mut request = request(interface)?;
        // SAFETY: `request` is a whole `ifreq` that lives during the call; SIOCGIFMTU writes an int into its union.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just written this member, and any bytes are a valid int.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        u32::try_from(mtu).map_err(io::Error::other)
    }

    /// Which are on; a device that does not know one has it off.
    pub(crate) fn offloads(&self, interface: &str) -> io::Result<Offloads> {
        let value = |command| match self.ethtool(interface, command) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(0),
            answer => answer,
        };
        Ok(Offloads {
            gro: value(GET_GRO)? != 0,
            lro: value(GET_FLAGS)? & FLAG_LRO != 0,
            tso: value(GET_TSO)? != 0,
        })
    }

    fn ethtool(&self, interface: &str, command: u32) -> io::Result<u32> {
        let mut value = Value { command, data: 0 };
        let mut request = request(interface)?;
        request.ifr_ifru.ifru_data = ptr::from_mut(&mut value).cast();
        // SAFETY: `request` is a whole `ifreq` that points to `value`; both live during the call, and these commands read
        // and write one `ethtool_value`.
        let done = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        if done == 0 { Ok(value.data) } else { Err(io::Error::last_os_error()) }
    }
}

/// An `ifreq` with nothing but the name.
fn request(interface: &str) -> io::Result<libc::ifreq> {
    let mut name = [0; libc::IFNAMSIZ];
    // The last byte stays zero.
    if interface.len() >= name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "longer than names of interfaces are"));
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: ptr::null_mut() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_of_loopback_and_of_nothing() {
        let asker = Asker::new().unwrap();
        let text = std::fs::read_to_string("/sys/class/net/lo/mtu").unwrap();
        assert_eq!(asker.mtu("lo").unwrap().to_string(), text.trim());
        // A card cannot merge what never reaches one.
        assert!(!asker.offloads("lo").unwrap().lro);
        for absent in ["no-such-device", "a-name-that-is-too-long"] {
            asker.mtu(absent).unwrap_err();
            asker.offloads(absent).unwrap_err();
        }
    }
}
