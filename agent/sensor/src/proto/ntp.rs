//! NTP (RFC 5905) with its control messages (RFC 1305, appendix B) and the private ones of ntpd.

use super::reader::Reader;
use super::{Guess, Hint, Recogniser, Session, Side, Sink};
use crate::counters::Counter;
use crate::event::{Application, NtpMessage};

const PORT: u16 = 123;
/// Bytes of a message without extensions.
const MESSAGE: usize = 48;
/// Modes that are not about time.
const CONTROL: u8 = 6;
const PRIVATE: u8 = 7;

pub(super) const STREAM: &[Recogniser] = &[];
pub(super) const DATAGRAM: &[Recogniser] =
    &[Recogniser { application: Application::Ntp, probe, begin: |_hint| Session::from(Parser) }];

/// State of a flow: each datagram stands for itself.
#[derive(Debug, Default)]
pub(crate) struct Parser;

fn probe(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    (hint.on_port(&[PORT]) && message(bytes).is_some()).into()
}

impl super::Parser for Parser {
    fn read_datagram(&mut self, side: Side, bytes: &[u8], wire_bytes: u32, sink: &mut Sink<'_>) {
        match message(bytes) {
            Some(message) => {
                let from_originator = side == Side::Originator;
                sink.transaction(NtpMessage { from_originator, bytes: wire_bytes, ..message });
            }
            None => sink.counters.count(Counter::ProtoMalformed),
        }
    }

    fn is_light(&self) -> bool {
        true
    }
}

fn message(bytes: &[u8]) -> Option<NtpMessage> {
    let mut reader = Reader(bytes);
    let first = reader.u8()?;
    // In private messages the bit before the version says "response", the next one "more".
    let (version, mode) = (first >> 3 & 7, first & 7);
    if !(1..=4).contains(&version) {
        return None;
    }
    let mut message = NtpMessage { version, mode, ..NtpMessage::default() };
    match mode {
        1..=5 if bytes.len() >= MESSAGE => {
            message.stratum = reader.u8()?;
            let _poll_precision_delay_dispersion = reader.take(10)?;
            message.reference = reader.take(4)?.try_into().ok()?;
        }
        CONTROL if bytes.len() >= 12 => message.operation = Some(reader.u8()? & 0x1f),
        PRIVATE if bytes.len() >= 8 => {
            let (_sequence, _implementation) = (reader.u8()?, reader.u8()?);
            message.operation = Some(reader.u8()?);
        }
        _ => return None,
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_port(port: u16, bytes: &[u8]) -> Guess {
        probe(&Hint::of_port(port), bytes)
    }

    #[test]
    fn reads_a_server_s_answer() {
        let mut bytes = [0_u8; 48];
        bytes[..16].copy_from_slice(b"\x24\x02\x06\xe7\0\0\x02\x1a\0\0\x06\xac\xc0\x00\x02\x01");
        let read = message(&bytes).unwrap();
        assert_eq!((read.version, read.mode, read.stratum, read.reference), (4, 4, 2, [192, 0, 2, 1]));
        assert_eq!(read.operation, None);
    }

    #[test]
    fn reads_control_and_private_messages() {
        // A readvar request of ntpq, and the monlist request that amplifies.
        let control = message(b"\x16\x02\0\x01\0\0\0\0\0\0\0\0").unwrap();
        assert_eq!((control.version, control.mode, control.operation), (2, 6, Some(2)));
        let monlist = message(b"\x17\x00\x03\x2a\0\0\0\0").unwrap();
        assert_eq!((monlist.version, monlist.mode, monlist.operation), (2, 7, Some(42)));
    }

    #[test]
    fn is_known_by_port_and_form() {
        assert_eq!(on_port(123, &[0x23; 48]), Guess::Yes);
        assert_eq!(on_port(124, &[0x23; 48]), Guess::No);
        assert_eq!(on_port(123, &[0x23; 47]), Guess::No, "too short");
        assert_eq!(on_port(123, &[0x3b; 48]), Guess::No, "version 7");
        assert_eq!(on_port(123, &[0x20; 48]), Guess::No, "mode 0");
        assert_eq!(on_port(123, b""), Guess::No);
    }
}
