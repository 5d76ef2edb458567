//! One question to a DNS server: over UDP, and over TCP if the answer does not fit.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::BTreeSet;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::ntp::udp;
use super::{Failure, connect, of_io};
use crate::watch::target::{Dns, FaultKind, RecordType, Target};

/// What passes through every line in one piece (DNS flag day 2020).
const UDP_BYTES: u16 = 1_232;
const HEADER: usize = 12;
const IN: u16 = 1;
const OPT: u16 = 41;
const RRSIG: u16 = 46;
/// "DNSSEC OK": signatures are wanted.
const DO: u32 = 0x8000;
const TRUNCATED: u8 = 0x02;
const AUTHENTIC: u8 = 0x20;
/// Of one answer.
const RECORDS_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 255;
const POINTERS_MAX: usize = 16;

/// Asks, and judges the answer.
pub(super) async fn ask(target: &Target, dns: &Dns) -> Result<(), Failure> {
    let mut id = [0; 2];
    let _random = aws_lc_rs::rand::fill(&mut id);
    let question = question(id, dns);
    let answer = over_udp(target, &question).await?;
    if answer.get(2).is_some_and(|flags| flags & TRUNCATED != 0) {
        return judge(&over_tcp(target, &question).await?, &question, dns);
    }
    judge(&answer, &question, dns)
}

async fn over_udp(target: &Target, question: &[u8]) -> Result<Vec<u8>, Failure> {
    let socket = udp(target).await?;
    socket.send(question).await.map_err(|cause| of_io(&cause))?;
    let mut answer = vec![0; usize::from(UDP_BYTES)];
    loop {
        let len = socket.recv(&mut answer).await.map_err(|cause| of_io(&cause))?;
        // What answers another question is passed over: the caller ends it in time.
        if len >= HEADER && answer.get(..2) == question.get(..2) {
            answer.truncate(len);
            return Ok(answer);
        }
    }
}

async fn over_tcp(target: &Target, question: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut stream = connect(target).await?;
    let length = u16::try_from(question.len()).unwrap_or_default();
    let whole = [&length.to_be_bytes()[..], question].concat();
    stream.write_all(&whole).await.map_err(|cause| of_io(&cause))?;
    let length = stream.read_u16().await.map_err(|cause| of_io(&cause))?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.map_err(|cause| of_io(&cause))?;
    Ok(answer)
}

/// Recursion and the AD flag wanted; with EDNS, so that there may be signatures.
fn question(id: [u8; 2], dns: &Dns) -> Vec<u8> {
    let mut out = id.to_vec();
    out.extend([0x01, AUTHENTIC, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in dns.query.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap_or(63));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend(dns.record.number().to_be_bytes());
    out.extend(IN.to_be_bytes());
    out.push(0);
    out.extend(OPT.to_be_bytes());
    out.extend(UDP_BYTES.to_be_bytes());
    let flags = if dns.signed || dns.authenticated { DO } else { 0 };
    out.extend(flags.to_be_bytes());
    out.extend([0, 0]);
    out
}

fn judge(answer: &[u8], question: &[u8], dns: &Dns) -> Result<(), Failure> {
    let read = Read(answer);
    let broken = || Failure::down(FaultKind::Broken, "it is not a whole answer to the question");
    let flags = read.byte(3).ok_or_else(broken)?;
    let is_answer =
        read.byte(2).is_some_and(|flags| flags & 0x80 != 0) && answer.get(..2) == question.get(..2);
    if !is_answer {
        return Err(broken());
    }
    match flags & 0x0f {
        0 => {}
        3 => return Err(Failure::down(FaultKind::Content, "there is no such name (NXDOMAIN)")),
        code => return Err(Failure::down(FaultKind::Status, format_args!("response code {code}"))),
    }
    let (found, is_signed) = read.records(dns.record).ok_or_else(broken)?;
    if found.is_empty() {
        return Err(Failure::down(FaultKind::Content, format_args!("no {} record", dns.record.key())));
    }
    if !dns.answer.is_empty() && found != dns.answer {
        let found: Vec<String> = found.into_iter().collect();
        return Err(Failure::down(FaultKind::Content, format_args!("it says {}", found.join(", "))));
    }
    if dns.authenticated && flags & AUTHENTIC == 0 {
        return Err(Failure::down(FaultKind::Unsigned, "the AD flag is missing"));
    }
    if dns.signed && !is_signed {
        return Err(Failure::down(FaultKind::Unsigned, "there is no RRSIG"));
    }
    Ok(())
}

/// An answer that is read, whatever is in it.
struct Read<'a>(&'a [u8]);

impl Read<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte(at)?, self.byte(at + 1)?]))
    }

    /// What the records of this type in the answer say, and whether one of them is signed.
    fn records(&self, wanted: RecordType) -> Option<(BTreeSet<String>, bool)> {
        let (questions, answers) = (self.word(4)?, usize::from(self.word(6)?));
        let mut at = HEADER;
        for _question in 0..questions.min(2) {
            at = self.name(at)?.1 + 4;
        }
        let (mut found, mut is_signed) = (BTreeSet::new(), false);
        for _record in 0..answers.min(RECORDS_MAX) {
            let body = self.name(at)?.1;
            let (kind, length) = (self.word(body)?, usize::from(self.word(body + 8)?));
            let data = body + 10;
            self.0.get(data..data + length)?;
            if kind == wanted.number() {
                found.insert(self.text(wanted, data, length)?);
            } else if kind == RRSIG && self.word(data) == Some(wanted.number()) {
                is_signed = true;
            }
            at = data + length;
        }
        Some((found, is_signed))
    }

    fn text(&self, record: RecordType, data: usize, length: usize) -> Option<String> {
        let bytes = self.0.get(data..data + length)?;
        Some(match record {
            RecordType::A => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string(),
            RecordType::Aaaa => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string(),
            RecordType::Ns | RecordType::Cname | RecordType::Ptr => self.name(data)?.0,
            RecordType::Mx => format!("{} {}", self.word(data)?, self.name(data + 2)?.0),
            RecordType::Soa => self.name(data)?.0,
            RecordType::Txt => {
                let mut text = String::new();
                let mut rest = bytes;
                while let [length, more @ ..] = rest {
                    text.push_str(&String::from_utf8_lossy(more.get(..usize::from(*length))?));
                    rest = more.get(usize::from(*length)..)?;
                }
                text
            }
        })
    }

    /// The name that begins here, in small letters, and where it ends here.
    fn name(&self, mut at: usize) -> Option<(String, usize)> {
        let (mut name, mut end, mut pointers) = (String::new(), None, 0);
        loop {
            let length = usize::from(self.byte(at)?);
            if length & 0xc0 == 0xc0 {
                end.get_or_insert(at + 2);
                pointers += 1;
                if pointers > POINTERS_MAX {
                    return None;
                }
                at = usize::from(self.word(at)?) & 0x3fff;
                continue;
            }
            if length > 63 || name.len() > NAME_BYTES_MAX {
                return None;
            }
            at += 1;
            if length == 0 {
                return Some((name, end.unwrap_or(at)));
            }
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&String::from_utf8_lossy(self.0.get(at..at + length)?).to_lowercase());
            at += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(answer: &[&str], (authenticated, signed): (bool, bool)) -> Dns {
        Dns {
            query: "www.city.example.jp".to_owned(),
            record: RecordType::A,
            answer: answer.iter().map(|one| (*one).to_owned()).collect(),
            authenticated,
            signed,
        }
    }

    /// An answer with this code, flags, and records of a type with their data.
    fn answer(asked: &[u8], flags: u8, records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = asked[..asked.len() - 11].to_vec();
        (out[2], out[3]) = (0x84, flags);
        out[7] = u8::try_from(records.len()).unwrap();
        out[11] = 0;
        for (kind, data) in records {
            out.extend([0xc0, 12]);
            out.extend(kind.to_be_bytes());
            out.extend([0, 1, 0, 0, 0, 60]);
            out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            out.extend_from_slice(data);
        }
        out
    }

    fn judged(dns: &Dns, flags: u8, records: &[(u16, &[u8])]) -> String {
        let asked = question([1, 2], dns);
        match judge(&answer(&asked, flags, records), &asked, dns) {
            Ok(()) => "up".to_owned(),
            Err(Failure::Down(fault)) => format!("{} {}", fault.kind.key(), fault.detail),
            Err(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn the_answer_has_to_be_the_expected_one() {
        let own: (u16, &[u8]) = (1, &[192, 0, 2, 4]);
        let other: (u16, &[u8]) = (1, &[203, 0, 113, 66]);
        let signature: (u16, &[u8]) = (RRSIG, &[0, 1, 8, 3]);
        let of_other: (u16, &[u8]) = (RRSIG, &[0, 16, 8, 3]);
        let expected = &["192.0.2.4"];
        for (dns, flags, records, expect) in [
            (dns(expected, (false, false)), 0, &[own][..], "up"),
            (dns(&[], (false, false)), 0, &[other], "up"),
            (dns(expected, (false, false)), 0, &[other], "content it says 203.0.113.66"),
            (dns(expected, (false, false)), 0, &[own, other], "content it says 192.0.2.4, 203.0.113.66"),
            (dns(expected, (false, false)), 0, &[], "content no A record"),
            (dns(expected, (false, false)), 3, &[], "content there is no such name (NXDOMAIN)"),
            (dns(expected, (false, false)), 2, &[], "status response code 2"),
            (dns(expected, (true, true)), AUTHENTIC, &[own, signature], "up"),
            (dns(expected, (true, true)), 0, &[own, signature], "unsigned the AD flag is missing"),
            (dns(expected, (false, true)), 0, &[own, of_other], "unsigned there is no RRSIG"),
            (
                dns(expected, (false, false)),
                0,
                &[(1, &[1, 2, 3])],
                "broken it is not a whole answer to the question",
            ),
        ] {
            assert_eq!(judged(&dns, flags, records), expect);
        }
    }

    #[test]
    fn what_is_cut_or_loops_is_refused() {
        let dns = dns(&["192.0.2.4"], (false, false));
        let asked = question([1, 2], &dns);
        let whole = answer(&asked, 0, &[(1, &[192, 0, 2, 4])]);
        for cut in 0..whole.len() {
            assert!(judge(&whole[..cut], &asked, &dns).is_err(), "{cut}");
        }
        for at in 0..whole.len() {
            for bits in [0xff, 0xc0, 0x01] {
                let mut broken = whole.clone();
                broken[at] ^= bits;
                let _no_panic = judge(&broken, &asked, &dns);
            }
        }
        let mut looped = whole;
        let name = asked.len() - 11;
        (looped[name], looped[name + 1]) = (0xc0, u8::try_from(name).unwrap());
        assert!(judge(&looped, &asked, &dns).is_err());
        let mut foreign = answer(&asked, 0, &[(1, &[192, 0, 2, 4])]);
        foreign[0] = 9;
        assert!(judge(&foreign, &asked, &dns).is_err(), "another question");
    }
}
