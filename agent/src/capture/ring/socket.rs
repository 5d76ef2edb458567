//! The options of packet sockets, as safe functions.

use core::mem::size_of;
use core::ptr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;

use super::super::filter::Instruction;

/// Takes over an open file of this process by its number, if it is a packet socket. Nobody else may use that number.
pub(super) fn adopt(number: RawFd) -> Option<OwnedFd> {
    let (mut domain, mut len): (libc::c_int, _) = (0, size_u32(size_of::<libc::c_int>()));
    let place = ptr::from_mut(&mut domain).cast();
    // SAFETY: both pointers are to live values, and the kernel writes at most `len` bytes, the size of `domain`. It fails for
    // numbers that are not open.
    let asked = unsafe { libc::getsockopt(number, libc::SOL_SOCKET, libc::SO_DOMAIN, place, &raw mut len) };
    if asked != 0 || domain != libc::AF_PACKET {
        return None;
    }
    // SAFETY: it is open, as just seen, and the caller knows of no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    Some(socket)
}

/// `setsockopt`.
pub(super) fn set_option<T>(
    socket: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = size_u32(size_of::<T>());
    // SAFETY: `value` is alive during the call and `len` is its size; the kernel only reads it.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(value).cast(), len) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Binds to the interface for one protocol (0: none yet) and tells its hardware type.
pub(super) fn bind(socket: &OwnedFd, index: libc::c_int, protocol_be: u16) -> io::Result<u16> {
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

/// What the kernel is to run over a socket's frames.
#[derive(Clone, Copy, Debug)]
pub(super) enum Programs {
    /// Which frames the socket gets.
    Filter,
    /// Which socket of its group gets a frame.
    Fanout,
}

/// Gives the kernel a program. It copies it during the call, and checks it.
pub(super) fn attach(socket: &OwnedFd, kind: Programs, program: &[Instruction]) -> io::Result<()> {
    let mut program: Vec<libc::sock_filter> = program
        .iter()
        .map(|i| libc::sock_filter { code: i.code, jt: i.jump_true, jf: i.jump_false, k: i.constant })
        .collect();
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    match kind {
        Programs::Filter => set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program),
        Programs::Fanout => set_option(socket, libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, &program),
    }
}

/// Makes the sockets share what comes by a program, which numbers them in this order. No privilege is needed.
pub(super) fn share(sockets: &[&OwnedFd], program: &[Instruction]) -> io::Result<()> {
    let Some((first, others)) = sockets.split_first() else { return Ok(()) };
    let kind = libc::PACKET_FANOUT_CBPF << 16;
    // The kernel chooses a number for the group that nobody else has.
    set_option(
        first,
        libc::SOL_PACKET,
        libc::PACKET_FANOUT,
        &(kind | libc::PACKET_FANOUT_FLAG_UNIQUEID << 16),
    )?;
    let group = get_option(first, libc::SOL_PACKET, libc::PACKET_FANOUT, 0_u32)? & 0xffff;
    for other in others {
        set_option(other, libc::SOL_PACKET, libc::PACKET_FANOUT, &(kind | group))?;
    }
    attach(first, Programs::Fanout, program)
}

/// `getsockopt` for values of which any bytes are valid: numbers, and structures of numbers.
pub(super) fn get_option<T: Copy + Numbers>(
    socket: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    mut value: T,
) -> io::Result<T> {
    let mut len = size_u32(size_of::<T>());
    // SAFETY: the pointers are to live values of this frame, and `len` is the size of `value`, which the kernel does not
    // exceed; any bytes are a valid `T`.
    let done = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, ptr::from_mut(&mut value).cast(), &raw mut len)
    };
    if done == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Types of which any bytes are a value.
pub(super) trait Numbers {}
impl Numbers for u32 {}
impl Numbers for libc::tpacket_stats_v3 {}

/// The capture files' number for a kind of hardware (`ARPHRD_*`).
pub(super) const fn link_of(hardware: u16) -> u32 {
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

/// Of sizes that are constants far below 4 GiB.
pub(super) const fn size_u32(size: usize) -> u32 {
    assert!(size <= 0xffff_ffff, "a constant below 4 GiB");
    #[expect(clippy::cast_possible_truncation, reason = "checked in the line above")]
    {
        size as u32
    }
}
