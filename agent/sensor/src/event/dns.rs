//! What is read of DNS, mDNS, LLMNR and NBNS.

use core::net::IpAddr;

use super::Application;

/// A DNS message, names lower case without the final dot, labels escaped as in RFC 4343.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// DNS, multicast DNS, LLMNR or `NetBIOS` names.
    pub application: Application,
    /// The sender is the flow's originator.
    pub from_originator: bool,
    /// QR bit: this is a response.
    pub is_response: bool,
    /// RCODE of a response.
    pub rcode: u8,
    /// QTYPE of the first question.
    pub qtype: u16,
    /// QNAME of the first question.
    pub qname: Box<str>,
    /// Answer records.
    pub answers: u16,
    /// Sum of the RDATA lengths of the answer records.
    pub answer_bytes: u32,
    /// Length of the whole message.
    pub message_bytes: u32,
    /// Identifier that a response has in common with its query.
    pub id: u16,
    /// QR, OPCODE, AA, TC, RD, RA, Z, AD, CD, RCODE as sent.
    pub flags: u16,
    /// Messages of this flow before this one.
    pub number: u64,
    /// Questions, answer, authority and additional records that the header announces.
    pub announced: [u16; 4],
    /// What is asked.
    pub questions: Box<[Question]>,
    /// The answer section.
    pub answer_records: Box<[Resource]>,
    /// The authority section.
    pub authorities: Box<[Resource]>,
    /// The additional section.
    pub additionals: Box<[Resource]>,
    /// Records that were read and not kept: there were more than are kept of a message.
    pub left_out: u16,
    /// Ethernet addresses of its frame: sender, receiver; of datagrams only, and not in a tunnel.
    pub frame: Option<[[u8; 6]; 2]>,
    /// TTL or hop limit of its packet; of datagrams only.
    pub hops_left: u8,
}

impl Dns {
    /// OPCODE.
    pub const fn opcode(&self) -> u8 {
        (self.flags >> 11 & 0xf).to_le_bytes()[0]
    }
}

/// A question, its name in the sender's letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// QNAME, labels escaped as in RFC 4343; see [`unescape`].
    pub name: Box<str>,
    /// QTYPE.
    pub qtype: u16,
    /// QCLASS.
    pub qclass: u16,
}

/// A resource record, its names in the sender's letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Owner, labels escaped as in RFC 4343; see [`unescape`].
    pub name: Box<str>,
    /// TYPE.
    pub rtype: u16,
    /// CLASS.
    pub class: u16,
    /// Time to live in seconds.
    pub ttl: u32,
    /// RDATA.
    pub data: Rdata,
}

/// The data of a resource record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rdata {
    /// A, AAAA.
    Address(IpAddr),
    /// CNAME, NS, PTR, DNAME and others that are one name.
    Name(Box<str>),
    /// TXT, SPF.
    Text(Box<[Box<[u8]>]>),
    /// MX.
    Exchange {
        /// The lower, the sooner it is tried.
        preference: u16,
        /// Host.
        host: Box<str>,
    },
    /// SRV (RFC 2782).
    Server {
        /// The lower, the sooner it is tried.
        priority: u16,
        /// Share among those of the same priority.
        weight: u16,
        /// Transport port.
        port: u16,
        /// Host.
        target: Box<str>,
    },
    /// SOA.
    Authority(Box<Soa>),
    /// SSHFP (RFC 4255).
    Fingerprint {
        /// Of the key.
        algorithm: u8,
        /// Of the fingerprint.
        kind: u8,
        /// The fingerprint.
        fingerprint: Box<[u8]>,
    },
    /// CAA (RFC 8659).
    Issuer {
        /// Bit 7: critical.
        flags: u8,
        /// Property.
        tag: Box<str>,
        /// Its value.
        value: Box<[u8]>,
    },
    /// SVCB, HTTPS (RFC 9460).
    Service {
        /// 0: an alias.
        priority: u16,
        /// Host.
        target: Box<str>,
        /// Keys and values.
        parameters: Box<[(u16, Box<[u8]>)]>,
    },
    /// Any other type, and data that break the rules of their type.
    Other(Box<[u8]>),
}

/// Start of a zone of authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Soa {
    /// Primary server.
    pub mname: Box<str>,
    /// Mailbox of who is responsible.
    pub rname: Box<str>,
    /// Version.
    pub serial: u32,
    /// Seconds.
    pub refresh: u32,
    /// Seconds.
    pub retry: u32,
    /// Seconds.
    pub expire: u32,
    /// Seconds.
    pub minimum: u32,
}

/// The bytes of a name escaped as in RFC 4343, labels separated by dots.
pub fn unescape(name: &str) -> Vec<u8> {
    let mut bytes = name.bytes();
    let mut out = Vec::with_capacity(name.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(first) if first.is_ascii_digit() => {
                let rest = [bytes.next(), bytes.next()];
                let digits = [Some(first), rest[0], rest[1]]
                    .map(|digit| digit.map_or(0, |digit| digit.wrapping_sub(b'0')));
                out.push(digits.iter().fold(0_u8, |sum, digit| sum.wrapping_mul(10).wrapping_add(*digit)));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_their_bytes() {
        assert_eq!(unescape("a\\.b.\\032\\233\\\\c"), b"a.b. \xe9\\c");
        assert_eq!(unescape("a\\"), b"a");
        assert_eq!(unescape("\\1"), [100]);
    }
}
