//! A line between an agent and its collector that a test can stretch, cut and measure: a user-space proxy for TCP.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Pieces on the line in one direction at once: with 16 KiB each, more than any sender keeps under way.
const PIECES: usize = 1024;

/// A listener whose connections end at `target`, later.
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What passed towards the target and back, and when.
    passed: Mutex<[Vec<(Instant, usize)>; 2]>,
    /// Both ends of every connection.
    open: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
}

/// Towards the collector, and back.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Up = 0,
    Down = 1,
}

impl Line {
    /// With so much delay in each direction.
    pub(crate) fn to(target: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        // Ends with the process: it only waits for connections that nobody makes any more.
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                own.connections.fetch_add(1, Ordering::Relaxed);
                let Ok(far) = TcpStream::connect(target) else { continue };
                for stream in [&near, &far] {
                    stream.set_nodelay(true).expect("a socket");
                    own.open.lock().expect("no panic").push(stream.try_clone().expect("a socket"));
                }
                let ends = [(&near, &far, Way::Up), (&far, &near, Way::Down)];
                for (from, to, way) in ends {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let (pieces, arriving) = sync_channel(PIECES);
                    let shared = Arc::clone(&own);
                    std::thread::spawn(move || read(from, &pieces, &shared, way));
                    std::thread::spawn(move || write(to, &arriving, delay));
                }
            }
        });
        Self { address, shared }
    }

    /// As the agent's configuration names it.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Breaks all connections at once.
    pub(crate) fn cut(&self) {
        for stream in self.shared.open.lock().expect("no panic").drain(..) {
            // One that is closed already cannot be closed again.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Bytes of all connections together.
    pub(crate) fn bytes(&self, way: Way) -> usize {
        self.passed(way).iter().map(|(_, bytes)| bytes).sum()
    }

    fn passed(&self, way: Way) -> Vec<(Instant, usize)> {
        self.shared.passed.lock().expect("no panic")[way as usize].clone()
    }

    /// The most bytes in any window of this length.
    pub(crate) fn most_within(&self, way: Way, window: Duration) -> usize {
        let passed = self.passed(way);
        let (mut first, mut sum, mut most) = (0, 0, 0);
        for (at, bytes) in &passed {
            sum += bytes;
            while passed[first].0 + window < *at {
                sum -= passed[first].1;
                first += 1;
            }
            most = most.max(sum);
        }
        most
    }

    /// How long the middle of everything that passed took, from its first tenth to its last: starting up does not count.
    pub(crate) fn middle(&self, way: Way) -> (usize, Duration) {
        let (passed, all) = (self.passed(way), self.bytes(way));
        let at = |share: usize| {
            let mut sum = 0;
            let found = passed.iter().find(|(_, bytes)| {
                sum += bytes;
                sum >= share
            });
            found.expect("something passed").0
        };
        (all * 8 / 10, at(all * 9 / 10) - at(all / 10))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
    }
}

fn read(mut from: TcpStream, pieces: &SyncSender<(Instant, Vec<u8>)>, shared: &Shared, way: Way) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let now = Instant::now();
        shared.passed.lock().expect("no panic")[way as usize].push((now, read));
        if pieces.send((now, buffer[..read].to_vec())).is_err() {
            return;
        }
    }
}

fn write(mut to: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>, delay: Duration) {
    for (at, bytes) in pieces {
        std::thread::sleep((at + delay).saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Write));
}
