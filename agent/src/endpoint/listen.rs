//! Listeners: UDP, TCP and TLS. A stream that is read slower than it is sent waits; a datagram cannot.

use core::net::IpAddr;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::ListenError;
use super::framing::{Found, LINE_BYTES_MAX, Lines};
use super::queue::{Line, Queue};
use super::source::{Kind, Source, Tally, Where, bump};
use super::tls;
use crate::clock;

/// Of one source.
const CONNECTIONS_MAX: usize = 64;
/// Of these, from one address: one sender cannot keep all others out.
const CONNECTIONS_EACH: usize = 16;
/// A sender that says nothing for so long is disconnected.
const IDLE: Duration = Duration::from_secs(600);
/// The same for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Room for datagrams in the kernel: half a second of the busiest sources.
const DATAGRAMS_BYTES: usize = 4 * 1024 * 1024;

/// A bound socket.
#[derive(Debug)]
pub(super) struct Listener {
    at: usize,
    source: Arc<Source>,
    socket: Socket,
    tls: Option<Arc<ServerConfig>>,
}

#[derive(Debug)]
enum Socket {
    Udp(std::net::UdpSocket),
    Tcp(std::net::TcpListener),
}

/// What a task of a source needs.
#[derive(Clone)]
struct Desk {
    at: usize,
    source: Arc<Source>,
    queue: Queue,
    tally: Arc<Tally>,
}

impl Listener {
    /// Binds the address of a source; followed files have none.
    pub(super) fn bind(at: usize, source: &Arc<Source>) -> Result<Option<Self>, ListenError> {
        let Where::Address(address) = source.place else { return Ok(None) };
        let bound = match source.kind {
            Kind::SyslogUdp => std::net::UdpSocket::bind(address).and_then(|socket| {
                socket.set_nonblocking(true)?;
                Ok(Socket::Udp(socket))
            }),
            Kind::SyslogTcp | Kind::SyslogTls | Kind::JsonTcp | Kind::JsonTls | Kind::File => {
                std::net::TcpListener::bind(address).and_then(|socket| {
                    socket.set_nonblocking(true)?;
                    Ok(Socket::Tcp(socket))
                })
            }
        };
        let socket = bound.map_err(|cause| ListenError::Bind { key: source.key.clone(), address, cause })?;
        if let Socket::Udp(socket) = &socket {
            // The kernel may give less: then bursts lose more, and that is counted (`kernel_dropped`).
            let _set =
                nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::RcvBuf, &DATAGRAMS_BYTES);
        }
        let tls = source.tls.as_ref().map(|files| tls::server(source, files)).transpose()?;
        Ok(Some(Self { at, source: Arc::clone(source), socket, tls }))
    }

    /// Number of the source.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    #[cfg(test)]
    pub(super) fn address(&self) -> core::net::SocketAddr {
        match &self.socket {
            Socket::Udp(socket) => socket.local_addr().unwrap(),
            Socket::Tcp(socket) => socket.local_addr().unwrap(),
        }
    }

    /// Begins to receive, on the runtime that this is called on.
    pub(super) fn start(self, queue: Queue, tally: Arc<Tally>) -> io::Result<()> {
        let desk = Desk { at: self.at, source: self.source, queue, tally };
        match self.socket {
            Socket::Udp(socket) => {
                let inode = nix::sys::stat::fstat(&socket).map_or(0, |stat| stat.st_ino);
                desk.tally.datagrams.store(inode, Ordering::Relaxed);
                drop(tokio::spawn(receive(UdpSocket::from_std(socket)?, desk)));
            }
            Socket::Tcp(socket) => {
                let acceptor = self.tls.map(TlsAcceptor::from);
                drop(tokio::spawn(accept(TcpListener::from_std(socket)?, acceptor, desk)));
            }
        }
        Ok(())
    }
}

impl Desk {
    fn line(&self, from: IpAddr, mut bytes: Vec<u8>) -> Option<Line> {
        bytes.truncate(bytes.trim_ascii_end().len());
        if bytes.is_empty() {
            return None;
        }
        bump(&self.tally.lines);
        Some(Line {
            source: self.at,
            received_at: clock::now(),
            from: Some(from.to_canonical()),
            bytes,
            mark: None,
        })
    }
}

async fn receive(socket: UdpSocket, desk: Desk) {
    let mut buffer = vec![0; LINE_BYTES_MAX];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((_, from)) if !desk.source.allows(from.ip()) => bump(&desk.tally.refused),
            Ok((len, from)) => {
                let bytes = buffer.get(..len).unwrap_or_default().to_vec();
                let unsent = desk.line(from.ip(), bytes).and_then(|line| desk.queue.try_put(line).err());
                if unsent.is_some() {
                    bump(&desk.tally.dropped);
                }
            }
            // An ICMP error of something sent earlier, or no memory: neither is worth a busy loop.
            Err(error) => {
                tracing::debug!(%error, source = desk.source.name, "cannot receive datagrams");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, desk: Desk) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let open: Arc<std::sync::Mutex<Vec<IpAddr>>> = Arc::default();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, source = desk.source.name, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let from = from.ip().to_canonical();
        let guest = desk.source.allows(from).then(|| Guest::admit(&open, from)).flatten();
        let (Some(guest), Ok(permit)) = (guest, Arc::clone(&free).try_acquire_owned()) else {
            bump(&desk.tally.refused);
            continue;
        };
        let (desk, tls) = (desk.clone(), tls.clone());
        tokio::spawn(async move {
            serve(stream, tls, from, &desk).await;
            drop((guest, permit));
        });
    }
}

/// A connection that counts for its address while it is open.
struct Guest {
    open: Arc<std::sync::Mutex<Vec<IpAddr>>>,
    from: IpAddr,
}

impl Guest {
    fn admit(open: &Arc<std::sync::Mutex<Vec<IpAddr>>>, from: IpAddr) -> Option<Self> {
        let mut all = open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if all.iter().filter(|one| **one == from).count() >= CONNECTIONS_EACH {
            return None;
        }
        all.push(from);
        Some(Self { open: Arc::clone(open), from })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut all = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(at) = all.iter().position(|one| *one == self.from) {
            all.swap_remove(at);
        }
    }
}

async fn serve(mut stream: TcpStream, tls: Option<TlsAcceptor>, from: IpAddr, desk: &Desk) {
    let Some(tls) = tls else { return read_lines(&mut stream, from, desk).await };
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(mut stream)) => read_lines(&mut stream, from, desk).await,
        Ok(Err(error)) => {
            bump(&desk.tally.handshakes_failed);
            tracing::debug!(%error, %from, source = desk.source.name, "no TLS connection");
        }
        Err(_elapsed) => bump(&desk.tally.handshakes_failed),
    }
}

/// Reads one connection to its end.
async fn read_lines(stream: &mut (impl AsyncRead + Unpin), from: IpAddr, desk: &Desk) {
    let mut lines = Lines::new(desk.source.kind.counts_octets());
    let mut buffer = vec![0; 16 * 1024];
    let mut ready = Vec::new();
    loop {
        let len = match tokio::time::timeout(IDLE, stream.read(&mut buffer)).await {
            Ok(Ok(len @ 1..)) => len,
            Ok(Ok(0) | Err(_)) => break,
            Err(_elapsed) => {
                bump(&desk.tally.idle);
                break;
            }
        };
        lines.push(buffer.get(..len).unwrap_or_default(), |found| match found {
            Found::Line(bytes) => ready.extend(desk.line(from, bytes)),
            Found::TooLong => bump(&desk.tally.too_long),
        });
        for line in ready.drain(..) {
            desk.queue.put(line).await;
        }
    }
    if let Some(line) = lines.end().and_then(|bytes| desk.line(from, bytes)) {
        desk.queue.put(line).await;
    }
}
