//! ICMP echo through the kernel's ping sockets, which need no privilege: only that the group is within
//! `net.ipv4.ping_group_range`.

use core::net::{IpAddr, SocketAddr};
use std::io;
use std::net::UdpSocket as StdSocket;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use tokio::net::UdpSocket;

use super::{Failure, addresses, of_io};
use crate::watch::target::{FaultKind, Target};

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;
const HEADER: usize = 8;
/// Sent along, and to come back.
const NONCE: usize = 16;
/// Said in the status, with what to do.
const FORBIDDEN: &str =
    "this machine does not allow echo requests to the agent's group: set net.ipv4.ping_group_range";

/// One request, one reply.
pub(super) async fn ask(target: &Target) -> Result<(), Failure> {
    let address = addresses(target).await?.first().map(SocketAddr::ip);
    let Some(address) = address else {
        return Err(Failure::down(FaultKind::NoName, "it has no address"));
    };
    let socket = open(address).map_err(|cause| {
        let is_forbidden = cause.kind() == io::ErrorKind::PermissionDenied;
        let other = || format!("no socket for echo requests: {cause}");
        Failure::Unable(if is_forbidden { FORBIDDEN.to_owned() } else { other() })
    })?;
    exchange(&socket, address).await
}

async fn exchange(socket: &UdpSocket, address: IpAddr) -> Result<(), Failure> {
    socket.connect(SocketAddr::new(address, 0)).await.map_err(|cause| of_io(&cause))?;
    let mut nonce = [0; NONCE];
    let _random = aws_lc_rs::rand::fill(&mut nonce);
    let (request, reply) = match address {
        IpAddr::V4(_) => (REQUEST_V4, REPLY_V4),
        IpAddr::V6(_) => (REQUEST_V6, REPLY_V6),
    };
    // The kernel puts in its own identifier and the checksum.
    let mut packet = vec![request, 0, 0, 0, 0, 0, 0, 1];
    packet.extend_from_slice(&nonce);
    socket.send(&packet).await.map_err(|cause| of_io(&cause))?;
    let mut answer = [0; HEADER + NONCE + 1];
    loop {
        let len = socket.recv(&mut answer).await.map_err(|cause| of_io(&cause))?;
        // What is not the answer to this request is not waited for in vain: the caller ends it in time.
        if answer.first() == Some(&reply) && answer.get(HEADER..len) == Some(&nonce) {
            return Ok(());
        }
    }
}

fn open(address: IpAddr) -> io::Result<UdpSocket> {
    let (family, protocol) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd: OwnedFd = socket(family, SockType::Datagram, flags, protocol)
        .map_err(|errno: Errno| io::Error::from_raw_os_error(errno as i32))?;
    UdpSocket::from_std(StdSocket::from(fd))
}
