//! SSH (RFC 4253): banners, offers of both ends and what they come down to, the host key; then only the sizes of what the
//! server sends, until they tell how the login went.

mod offer;

use aws_lc_rs::digest;

use super::lines::{self, Line, Lines};
use super::reader::Reader;
use super::{Guess, Hint, Recogniser, Side, Sink, Take};
use crate::counters::Counter;
use crate::event::{Application, SshConnection};
use offer::Offer;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Ssh, probe, begin: |_hint| Parser::default().into() }];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// Longest banner (RFC 4253, 4.2), and room for those who break the rule.
const BANNER_MAX: usize = 512;
/// Lines that a server may send before its banner.
const LINES_BEFORE_MAX: u8 = 16;
/// Longest packet that is read in the clear; longer ones are passed over. Offers of real programs have 2 KiB.
const PACKET_MAX: u32 = 12 * 1024;
/// Longest packet that is believed (RFC 4253, 6.1 asks for 35000).
const PACKET_BELIEVED_MAX: u32 = 256 * 1024;
/// Packets of one end before its key exchange must be over.
const PACKETS_MAX: u8 = 32;
/// Pieces of the server's encrypted stream that are measured for the login's outcome.
const MEASURED_MAX: u16 = 512;
/// A success message is smaller than the answer to the request for the login service by this much, whatever the cipher.
const SUCCESS_SMALLER_BY: usize = 16;

const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;
const KEXDH_REPLY: u8 = 31;
const KEX_GEX_REPLY: u8 = 33;

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// Originator (client), responder (server).
    ends: [End; 2],
    connection: SshConnection,
    login: Login,
    done: bool,
}

/// Where one end stands.
#[derive(Debug, Default)]
struct End {
    stage: Stage,
    lines: Lines,
    lines_before: u8,
    packets: u8,
    offer: Option<Offer>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Banner,
    Packets,
    Encrypted,
}

/// What the sizes of the server's messages tell.
#[derive(Debug, Default)]
struct Login {
    /// The client has sent something encrypted: its request for the login service.
    asked: bool,
    measured: u16,
    service_bytes: Option<usize>,
    failure_bytes: Option<usize>,
}

impl super::Parser for Parser {
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        match side.of(&self.ends).stage {
            Stage::Banner => self.read_banner(side, bytes, sink),
            Stage::Packets => self.read_packet(side, bytes, sink),
            Stage::Encrypted => {
                // What the server says before is its list of extensions (RFC 8308, 2.4), not an answer.
                match side {
                    Side::Originator => self.login.asked = true,
                    Side::Responder if self.login.asked => self.measure(bytes.len()),
                    Side::Responder => {}
                }
                Take::All
            }
        }
    }

    fn lose(&mut self, side: Side, _bytes: &[u8], missing: Option<u32>, _sink: &mut Sink<'_>) {
        let encrypted = side.of(&self.ends).stage == Stage::Encrypted;
        self.done |= !encrypted && missing != Some(0);
    }

    fn needs_order(&self, side: Side) -> bool {
        side.of(&self.ends).stage != Stage::Encrypted
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        let connection = core::mem::take(&mut self.connection);
        if connection.client.banner.is_some() || connection.server.banner.is_some() {
            sink.transaction(connection);
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl Parser {
    fn read_banner(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let end = side.of_mut(&mut self.ends);
        let (text, taken) = match end.lines.next(bytes, BANNER_MAX) {
            Line::More => return Take::More,
            Line::Skip(taken) => {
                // The rest of a banner that was too long.
                if !end.lines.is_cut() && self.has_banner(side) {
                    side.of_mut(&mut self.ends).stage = Stage::Packets;
                }
                return Take::bytes(taken);
            }
            Line::Whole { text, taken } => (text, taken),
            Line::Cut { text, taken } => {
                sink.anomaly(Application::Ssh, side, "LONG_BANNER");
                (text, taken)
            }
        };
        if !text.starts_with(b"SSH-") {
            end.lines_before += 1;
            if side == Side::Originator || end.lines_before >= LINES_BEFORE_MAX {
                sink.counters.count(Counter::ProtoMalformed);
                sink.anomaly(Application::Ssh, side, "INVALID_BANNER");
                self.done = true;
            }
            return Take::bytes(taken);
        }
        // SSH 1 goes on in packets of another kind.
        self.done |=
            text.starts_with(b"SSH-1.") && !text.starts_with(b"SSH-1.99-") && self.has_banner(side.other());
        self.end_mut(side).banner = Some(lines::text(text, BANNER_MAX));
        let end = side.of_mut(&mut self.ends);
        if !end.lines.is_cut() {
            end.stage = Stage::Packets;
        }
        Take::bytes(taken)
    }

    fn has_banner(&self, side: Side) -> bool {
        match side {
            Side::Originator => self.connection.client.banner.is_some(),
            Side::Responder => self.connection.server.banner.is_some(),
        }
    }

    const fn end_mut(&mut self, side: Side) -> &mut crate::event::SshEnd {
        match side {
            Side::Originator => &mut self.connection.client,
            Side::Responder => &mut self.connection.server,
        }
    }

    fn read_packet(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let mut reader = Reader(bytes);
        let Some(length) = reader.u32() else { return Take::More };
        let end = side.of_mut(&mut self.ends);
        end.packets += 1;
        if !(2..=PACKET_BELIEVED_MAX).contains(&length) || end.packets > PACKETS_MAX {
            sink.counters.count(Counter::ProtoMalformed);
            sink.anomaly(Application::Ssh, side, "INVALID_RECORD");
            self.done = true;
            return Take::All;
        }
        if length > PACKET_MAX {
            sink.anomaly(Application::Ssh, side, "LONG_KEX_RECORD");
            return Take::Bytes(length.saturating_add(4));
        }
        let packet = usize::try_from(length).ok().and_then(|length| reader.take(length));
        let Some(packet) = packet else {
            end.packets -= 1;
            return Take::More;
        };
        let payload = packet.split_first().and_then(|(padding, rest)| {
            rest.get(..rest.len().checked_sub(usize::from(*padding))?)?.split_first()
        });
        if let Some((kind, content)) = payload {
            self.on_message(side, *kind, content, sink);
        } else {
            sink.counters.count(Counter::ProtoMalformed);
            sink.anomaly(Application::Ssh, side, "INVALID_RECORD");
        }
        Take::bytes(packet.len().saturating_add(4))
    }

    fn on_message(&mut self, side: Side, kind: u8, content: &[u8], sink: &mut Sink<'_>) {
        match kind {
            KEXINIT => match Offer::parse(content) {
                Some(offer) => self.on_offer(side, offer),
                None => {
                    sink.counters.count(Counter::ProtoMalformed);
                    sink.anomaly(Application::Ssh, side, "INVALID_RECORD");
                }
            },
            NEWKEYS => side.of_mut(&mut self.ends).stage = Stage::Encrypted,
            KEXDH_REPLY | KEX_GEX_REPLY if side == Side::Responder && self.has_host_key(kind) => {
                let mut reader = Reader(content);
                let length = reader.u32().and_then(|length| usize::try_from(length).ok());
                if let Some(key) = length.and_then(|length| reader.take(length)) {
                    let digest = digest::digest(&digest::SHA256, key);
                    self.connection.host_key_sha256 = digest.as_ref().try_into().ok();
                }
            }
            _ => {}
        }
    }

    /// With a group of the server's choice (RFC 4419), 31 carries the group and 33 the key.
    fn has_host_key(&self, kind: u8) -> bool {
        let exchange = self.connection.agreed.as_ref().and_then(|agreed| agreed.key_exchange.as_deref());
        let group = exchange.is_some_and(|name| name.starts_with("diffie-hellman-group-exchange"));
        group == (kind == KEX_GEX_REPLY)
    }

    fn on_offer(&mut self, side: Side, offer: Offer) {
        if side.of(&self.ends).offer.is_some() {
            return;
        }
        self.end_mut(side).hassh = Some(offer.hassh(side));
        side.of_mut(&mut self.ends).offer = Some(offer);
        if let [End { offer: Some(client), .. }, End { offer: Some(server), .. }] = &self.ends {
            self.connection.agreed = Some(client.agreement(server));
        }
    }

    /// One more piece of the server's encrypted stream: the first is the answer to the request for the login service, the
    /// second a failure (or, with the method `none`, the success); each further one of a failure's size is another failure.
    fn measure(&mut self, bytes: usize) {
        let login = &mut self.login;
        login.measured += 1;
        self.done |= login.measured >= MEASURED_MAX;
        let Some(service) = login.service_bytes else {
            login.service_bytes = Some(bytes);
            return;
        };
        let success = bytes.checked_add(SUCCESS_SMALLER_BY) == Some(service);
        let failed_before = login.failure_bytes.is_some();
        if !success && !failed_before {
            login.failure_bytes = Some(bytes);
        } else if success || login.failure_bytes == Some(bytes) {
            self.done |= success;
            if !self.is_compressed() {
                self.connection.login = Some(success);
                self.connection.login_attempts += 1;
            }
        }
    }

    /// The sizes of a compressed stream tell nothing.
    fn is_compressed(&self) -> bool {
        let compression = self.connection.agreed.as_ref().and_then(|agreed| agreed.compression[0].as_deref());
        matches!(compression, Some("zlib" | "zlib@openssh.com"))
    }
}

/// SSH's identification (RFC 4253, 4.2).
fn probe(_hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    const BANNER: &[u8] = b"SSH-";
    if BANNER.starts_with(bytes) && bytes.len() < BANNER.len() {
        return Guess::More;
    }
    bytes.starts_with(BANNER).into()
}

#[cfg(test)]
mod tests;
