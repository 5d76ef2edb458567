//! Syslog: RFC 5424, or CEF within it, over UDP or TCP (frames by octet counting, RFC 6587).
//!
//! UDP tells nobody whether it arrived: what counts there is that it was sent.

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket};

use super::template::{DRILL_MARK, NoticeKind};
use super::{Failure, Letter, clean};

/// Facility 13, log audit.
const FACILITY: u8 = 13;
/// Longest message over UDP: what every receiver takes (RFC 5424, 6.1).
const UDP_BYTES_MAX: usize = 2048;

/// How a message looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// With structured data.
    #[default]
    Rfc5424,
    /// Common Event Format.
    Cef,
}

/// How it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// As one packet.
    Udp,
    /// As one connection.
    Tcp,
}

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name, for contacts.
    pub name: String,
    /// Host and port.
    pub address: String,
    /// How it goes.
    pub transport: Transport,
    /// How it looks.
    pub format: Format,
}

/// Sends one letter.
///
/// # Errors
/// It could not be sent.
pub async fn send(target: &Target, letter: &Letter) -> Result<(), Failure> {
    let text = message(target.format, letter);
    let failed = |cause: std::io::Error| Failure::passing(cause);
    match target.transport {
        Transport::Udp => {
            let peer = tokio::net::lookup_host(&target.address).await.map_err(failed)?.next();
            let peer = peer.ok_or_else(|| Failure::passing("no such host"))?;
            let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).await.map_err(failed)?;
            let packet = sekimori_wire::text::prefix(&text, UDP_BYTES_MAX);
            socket.send_to(packet.as_bytes(), peer).await.map_err(failed).map(drop)
        }
        Transport::Tcp => {
            let mut stream = TcpStream::connect(&target.address).await.map_err(failed)?;
            stream.write_all(format!("{} {text}", text.len()).as_bytes()).await.map_err(failed)?;
            stream.shutdown().await.map_err(failed)
        }
    }
}

/// One message, without a frame.
pub fn message(format: Format, letter: &Letter) -> String {
    let priority = u32::from(FACILITY) * 8 + severity(letter.level);
    let at = jiff::Timestamp::from_nanosecond(i128::from(letter.at.nanos())).unwrap_or_default();
    let head = format!("<{priority}>1 {at:.6} - sekimori-collector - {} ", letter.kind);
    match format {
        Format::Rfc5424 => {
            // 32473 is the number that RFC 5612 keeps for examples: nobody else's.
            let mut data =
                format!(r#"[sekimori@32473 delivery="{}" level="{}""#, param(&letter.key), letter.level);
            if let Some(incident) = &letter.incident {
                data.push_str(&format!(r#" incident="{}""#, param(incident)));
            }
            format!("{head}{data}] \u{feff}{}", clean::line(&letter.message.subject, 1024))
        }
        Format::Cef => format!("{head}- {}", cef(letter)),
    }
}

fn cef(letter: &Letter) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let name = header(&letter.message.subject);
    let level = u32::from(letter.level.min(4)) * 10 / 4;
    let mut out = format!("CEF:0|Sekimori|collector|{version}|{}|{name}|{level}|", letter.kind);
    let millis = letter.at.nanos() / 1_000_000;
    let drill = if letter.message.subject.starts_with(DRILL_MARK) { "1" } else { "0" };
    out.push_str(&format!("rt={millis} externalId={}", extension(letter.incident.as_deref().unwrap_or("-"))));
    out.push_str(&format!(" cs1Label=delivery cs1={} cn1Label=drill cn1={drill}", extension(&letter.key)));
    if letter.kind != NoticeKind::Test {
        out.push_str(&format!(" msg={}", extension(&clean::line(&letter.message.body, 1000))));
    }
    out
}

/// Of RFC 5424, from a level of incidents.
const fn severity(level: u8) -> u32 {
    match level {
        0 => 6,
        1 => 5,
        2 => 4,
        3 => 3,
        _ => 2,
    }
}

fn escaped(text: &str, marks: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for character in clean::line(text, 1024).chars() {
        if marks.contains(&character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// RFC 5424, 6.3.3.
fn param(text: &str) -> String {
    escaped(text, &['"', '\\', ']'])
}

fn header(text: &str) -> String {
    escaped(text, &['|', '\\'])
}

fn extension(text: &str) -> String {
    escaped(text, &['=', '\\'])
}

#[cfg(test)]
mod tests;
