//! Listeners for the alerts of endpoint products: syslog over UDP (RFC 5426) and TCP (RFC 6587, both framings).
//!
//! They only receive: a line goes to the sensor, which reads it, through a bounded channel. What does not fit there, is
//! too long, or comes over too many connections is counted and travels in the health record.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use sekimori_wire::time::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;

use crate::clock;

/// Lines waiting for the sensor: a second of a busy console.
const LINES_MAX: usize = 1024;
/// The largest UDP datagram, and the longest line over TCP.
const LINE_BYTES_MAX: usize = 65_535;
const CONNECTIONS_MAX: usize = 64;
/// A sender that says nothing for so long is disconnected.
const IDLE: Duration = Duration::from_secs(600);

/// One line as it came.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) received_at: Timestamp,
    pub(crate) from: IpAddr,
    pub(crate) bytes: Vec<u8>,
}

/// What the listeners have seen.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    lines: AtomicU64,
    dropped: AtomicU64,
    too_long: AtomicU64,
    refused: AtomicU64,
}

impl Intake {
    /// Names and values for the health record.
    pub(crate) fn counters(&self) -> [(&'static str, u64); 4] {
        [
            ("endpoint.lines", self.lines.load(Ordering::Relaxed)),
            ("endpoint.dropped", self.dropped.load(Ordering::Relaxed)),
            ("endpoint.too_long", self.too_long.load(Ordering::Relaxed)),
            ("endpoint.refused", self.refused.load(Ordering::Relaxed)),
        ]
    }
}

/// Bound sockets that nobody reads yet, so that privileges for low ports can be given up in between.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    udp: Option<std::net::UdpSocket>,
    tcp: Option<std::net::TcpListener>,
}

/// A listener's address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("endpoint.{transport} = \"{address}\": cannot listen there")]
pub(crate) struct ListenError {
    pub(crate) transport: &'static str,
    pub(crate) address: SocketAddr,
    #[source]
    pub(crate) cause: io::Error,
}

impl Bound {
    /// Binds what is configured.
    pub(crate) fn bind(udp: Option<SocketAddr>, tcp: Option<SocketAddr>) -> Result<Self, ListenError> {
        let failed = |transport, address| move |cause| ListenError { transport, address, cause };
        let mut bound = Self::default();
        if let Some(address) = udp {
            let socket = std::net::UdpSocket::bind(address).map_err(failed("udp", address))?;
            socket.set_nonblocking(true).map_err(failed("udp", address))?;
            bound.udp = Some(socket);
        }
        if let Some(address) = tcp {
            let socket = std::net::TcpListener::bind(address).map_err(failed("tcp", address))?;
            socket.set_nonblocking(true).map_err(failed("tcp", address))?;
            bound.tcp = Some(socket);
        }
        Ok(bound)
    }

    /// Begins to receive, on the runtime that this is called on.
    pub(crate) fn start(self) -> io::Result<(Receiver<Line>, Arc<Intake>)> {
        let (to_sensor, lines) = bounded(LINES_MAX);
        let intake = Arc::new(Intake::default());
        let sink = Sink { to_sensor, intake: Arc::clone(&intake) };
        if let Some(socket) = self.udp {
            tokio::spawn(receive(UdpSocket::from_std(socket)?, sink.clone()));
        }
        if let Some(socket) = self.tcp {
            tokio::spawn(accept(TcpListener::from_std(socket)?, sink));
        }
        Ok((lines, intake))
    }
}

#[derive(Clone)]
struct Sink {
    to_sensor: Sender<Line>,
    intake: Arc<Intake>,
}

impl Sink {
    fn line(&self, from: IpAddr, bytes: &[u8]) {
        let bytes = bytes.trim_ascii_end();
        if bytes.is_empty() {
            return;
        }
        let line = Line { received_at: clock::now(), from: from.to_canonical(), bytes: bytes.to_vec() };
        self.intake.lines.fetch_add(1, Ordering::Relaxed);
        if self.to_sensor.try_send(line).is_err() {
            self.intake.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn too_long(&self) {
        self.intake.too_long.fetch_add(1, Ordering::Relaxed);
    }
}

async fn receive(socket: UdpSocket, sink: Sink) {
    let mut buffer = vec![0; LINE_BYTES_MAX];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((len, from)) => sink.line(from.ip(), buffer.get(..len).unwrap_or_default()),
            // An ICMP error of something sent earlier, or no memory: neither is worth a busy loop.
            Err(error) => {
                tracing::debug!(%error, "cannot receive syslog over UDP");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn accept(listener: TcpListener, sink: Sink) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let (mut stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot accept syslog over TCP");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
            sink.intake.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let sink = sink.clone();
        tokio::spawn(async move {
            read_lines(&mut stream, from.ip(), &sink).await;
            drop(permit);
        });
    }
}

/// Reads one connection to its end.
async fn read_lines(stream: &mut (impl AsyncRead + Unpin), from: IpAddr, sink: &Sink) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let Ok(Ok(len @ 1..)) = tokio::time::timeout(IDLE, stream.read(&mut buffer)).await else { break };
        lines.push(buffer.get(..len).unwrap_or_default(), from, sink);
    }
    // The last line may come without an end.
    sink.line(from, &lines.line);
}

/// Splits a stream into lines, by newline or by octet counting (RFC 6587, 3.4): a frame that begins with a digit tells
/// its length, as a syslog line itself begins with `<`.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
    /// Bytes still missing of a counted frame; of a line that ends with a newline: `None`.
    counted: Option<usize>,
    /// The line is too long already: the rest of it is passed over.
    skipping: bool,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8], from: IpAddr, sink: &Sink) {
        while let Some((&first, rest)) = bytes.split_first() {
            let ends = match &mut self.counted {
                Some(missing) => {
                    *missing -= 1;
                    *missing == 0
                }
                None => first == b'\n',
            };
            let counts = self.counted.is_none()
                && first == b' '
                && !self.line.is_empty()
                && self.line.iter().all(u8::is_ascii_digit);
            if counts {
                let text = core::str::from_utf8(&self.line).unwrap_or_default();
                // A count beyond any sense only makes a line too long.
                self.counted = Some(text.parse().unwrap_or(usize::MAX)).filter(|count| *count > 0);
                self.line.clear();
            } else if self.skipping {
                self.skipping = !ends;
            } else if self.line.len() == LINE_BYTES_MAX && !ends {
                sink.too_long();
                self.line.clear();
                self.skipping = true;
            } else {
                self.line.push(first);
                if ends {
                    sink.line(from, &self.line);
                    self.line.clear();
                }
            }
            if ends {
                self.counted = None;
            }
            bytes = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines found in these chunks of a stream, and how many were too long.
    fn split(chunks: &[&[u8]]) -> (Vec<String>, u64) {
        let (to_sensor, lines) = bounded(LINES_MAX);
        let sink = Sink { to_sensor, intake: Arc::new(Intake::default()) };
        let mut splitter = Lines::default();
        for chunk in chunks {
            splitter.push(chunk, IpAddr::from([192, 0, 2, 1]), &sink);
        }
        let too_long = sink.intake.too_long.load(Ordering::Relaxed);
        drop(sink);
        (lines.iter().map(|line| String::from_utf8(line.bytes).unwrap()).collect(), too_long)
    }

    #[test]
    fn both_framings_of_syslog_over_tcp() {
        let expect = |lines: &[&str]| (lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), 0);
        assert_eq!(split(&[b"<1>a\n<2>b\r\n\n<3"]), expect(&["<1>a", "<2>b"]));
        assert_eq!(
            split(&[b"4 <1>a", b"7 <2>b\nc", b"d<3>line\n"]),
            expect(&["<1>a", "<2>b\ncd", "<3>line"])
        );
        assert_eq!(split(&[b"1", b"0 <1>", b"4567890", b"<9>z\n"]), expect(&["<1>4567890", "<9>z"]));
        assert_eq!(split(&[b"0 <1>a\n"]), expect(&["<1>a"]));
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let long = vec![b'x'; LINE_BYTES_MAX + 10];
        assert_eq!(split(&[&long, &long, b"\n<1>good\n"]), (vec!["<1>good".to_owned()], 1));
        assert_eq!(split(&[b"99999999999999999999 ", &long]), (vec![], 1));
    }

    #[tokio::test]
    async fn receives_over_udp_and_tcp() {
        use tokio::io::AsyncWriteExt as _;
        let any = Some("127.0.0.1:0".parse().unwrap());
        let bound = Bound::bind(any, any).unwrap();
        let udp = bound.udp.as_ref().unwrap().local_addr().unwrap();
        let tcp = bound.tcp.as_ref().unwrap().local_addr().unwrap();
        let taken = Bound::bind(None, Some(tcp)).unwrap_err();
        assert!(taken.to_string().starts_with("endpoint.tcp = \"127.0.0.1:"), "{taken}");
        let (lines, intake) = bound.start().unwrap();

        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        sender.send_to(b"<1>over udp\n", udp).await.unwrap();
        let mut stream = tokio::net::TcpStream::connect(tcp).await.unwrap();
        stream.write_all(b"<1>over tcp").await.unwrap();
        drop(stream);
        let next = move || lines.recv_timeout(Duration::from_secs(10)).map(|line| line.bytes);
        let mut got =
            tokio::task::spawn_blocking(move || vec![next().unwrap(), next().unwrap()]).await.unwrap();
        got.sort();
        assert_eq!(got, [b"<1>over tcp".to_vec(), b"<1>over udp".to_vec()]);
        assert_eq!(intake.counters()[0], ("endpoint.lines", 2));
    }
}
