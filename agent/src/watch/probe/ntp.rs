//! One question to a time server: whether it is synchronised, and how far its time is from ours.

use std::time::Duration;

use sekimori_wire::time::Timestamp;
use tokio::net::UdpSocket;

use super::{Failure, addresses, of_io};
use crate::watch::target::{Fault, FaultKind, Target};

const PACKET: usize = 48;
/// Version 4, client.
const ASK: u8 = 0x23;
const SERVER: u8 = 4;
/// Nobody that it could have its time from.
const UNSYNCHRONISED: u8 = 16;
/// From 1900 to 1970.
const ERA: u64 = 2_208_988_800;

/// Asks once.
pub(super) async fn ask(target: &Target, max_offset: Duration) -> Result<(), Failure> {
    let socket = udp(target).await?;
    let mut nonce = [0; 8];
    let _random = aws_lc_rs::rand::fill(&mut nonce);
    let mut packet = vec![ASK];
    packet.resize(PACKET - nonce.len(), 0);
    // Not our time, which is nobody's business: something to know the answer by.
    packet.extend(nonce);
    let sent = crate::clock::now();
    socket.send(&packet).await.map_err(|cause| of_io(&cause))?;
    let mut answer = [0; PACKET + 1];
    loop {
        let len = socket.recv(&mut answer).await.map_err(|cause| of_io(&cause))?;
        // What is not the answer to this is passed over: the caller ends it in time.
        if len >= PACKET && answer.get(24..32) == Some(&nonce) {
            return judge(&answer, sent, crate::clock::now(), max_offset);
        }
    }
}

/// A socket to the first address of a target.
pub(super) async fn udp(target: &Target) -> Result<UdpSocket, Failure> {
    let Some(address) = addresses(target).await?.first().copied() else {
        return Err(Failure::down(FaultKind::NoName, "it has no address"));
    };
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket =
        UdpSocket::bind(any).await.map_err(|cause| Failure::Unable(format!("no socket: {cause}")))?;
    socket.connect(address).await.map_err(|cause| of_io(&cause))?;
    Ok(socket)
}

fn judge(answer: &[u8], sent: Timestamp, now: Timestamp, max_offset: Duration) -> Result<(), Failure> {
    let byte = |at: usize| answer.get(at).copied().unwrap_or_default();
    if byte(0) & 7 != SERVER {
        return Err(Failure::down(FaultKind::Broken, "it does not answer as a server"));
    }
    if byte(0) >> 6 == 3 || byte(1) == 0 || byte(1) >= UNSYNCHRONISED {
        return Err(Failure::down(FaultKind::Status, format_args!("not synchronised (stratum {})", byte(1))));
    }
    let word = |at: usize| (at..at + 4).fold(0_u64, |all, at| all << 8 | u64::from(byte(at)));
    // The eras of NTP: what is before 1970 is after 2036.
    let seconds = word(40);
    let unix = if seconds >= ERA { seconds - ERA } else { seconds + (1 << 32) - ERA };
    let nanos = (word(44) * 1_000_000_000) >> 32;
    let theirs = Timestamp::from_secs(unix).plus(Duration::from_nanos(nanos));
    // Somewhere between the two it was said.
    let offset = theirs.since(now).max(sent.since(theirs));
    if offset > max_offset {
        let millis = offset.as_millis();
        return Err(Failure::Degraded(Fault::new(
            FaultKind::Offset,
            format_args!("{millis} ms from this machine's clock"),
        )));
    }
    Ok(())
}
