//! The data of resource records, by type.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::reader::Reader;
use super::name;
use crate::event::dns::{Rdata, Soa};

/// Types whose data is read (IANA, "Domain Name System Parameters").
const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const DNAME: u16 = 39;
const SSHFP: u16 = 44;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;
const SPF: u16 = 99;
const CAA: u16 = 257;
/// Other types of one name each: MD, MF, MB, MG, MR.
const OLD_NAMES: [u16; 5] = [3, 4, 7, 8, 9];
/// Strings of a TXT record, and parameters of a SVCB record, that are kept.
const PARTS_MAX: usize = 64;

/// Where a record's data lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) message: &'a [u8],
    /// Where in the message it begins.
    pub(super) at: usize,
    pub(super) data: &'a [u8],
}

impl Place<'_> {
    /// The name that begins `skip` bytes within, if it ends where the data ends.
    fn name(&self, skip: usize) -> Option<Box<str>> {
        let mut rest = Reader(self.data.get(skip..)?);
        name::skip(&mut rest)?;
        rest.0.is_empty().then(|| name::read(self.message, self.at + skip)).flatten()
    }
}

/// What `place` says as data of `rtype`; `Other` if it breaks the rules of that type. `netbios`: type 33 is no SRV there.
pub(super) fn read(rtype: u16, place: Place<'_>, netbios: bool) -> Rdata {
    let read = match rtype {
        A => place
            .data
            .first_chunk()
            .map(|octets: &[u8; 4]| Rdata::Address(IpAddr::V4(Ipv4Addr::from(*octets)))),
        AAAA => place
            .data
            .first_chunk()
            .map(|octets: &[u8; 16]| Rdata::Address(IpAddr::V6(Ipv6Addr::from(*octets)))),
        NS | CNAME | PTR | DNAME => place.name(0).map(Rdata::Name),
        old if OLD_NAMES.contains(&old) => place.name(0).map(Rdata::Name),
        SOA => authority(place),
        MX => Reader(place.data)
            .u16()
            .and_then(|preference| Some(Rdata::Exchange { preference, host: place.name(2)? })),
        TXT | SPF => text(place.data),
        SRV if !netbios => server(place),
        SSHFP => fingerprint(place.data),
        SVCB | HTTPS => service(place),
        CAA => issuer(place.data),
        _ => None,
    };
    read.unwrap_or_else(|| Rdata::Other(place.data.into()))
}

fn authority(place: Place<'_>) -> Option<Rdata> {
    let mut reader = Reader(place.data);
    let mut one = || {
        let at = place.at + place.data.len() - reader.0.len();
        name::skip(&mut reader)?;
        name::read(place.message, at)
    };
    let (mname, rname) = (one()?, one()?);
    let soa = Soa {
        mname,
        rname,
        serial: reader.u32()?,
        refresh: reader.u32()?,
        retry: reader.u32()?,
        expire: reader.u32()?,
        minimum: reader.u32()?,
    };
    Some(Rdata::Authority(Box::new(soa)))
}

fn text(data: &[u8]) -> Option<Rdata> {
    let mut reader = Reader(data);
    let mut parts: Vec<Box<[u8]>> = Vec::new();
    while !reader.0.is_empty() {
        let part = reader.vec8()?;
        if parts.len() < PARTS_MAX {
            parts.push(part.0.into());
        }
    }
    Some(Rdata::Text(parts.into()))
}

fn server(place: Place<'_>) -> Option<Rdata> {
    let mut reader = Reader(place.data);
    let (priority, weight, port) = (reader.u16()?, reader.u16()?, reader.u16()?);
    Some(Rdata::Server { priority, weight, port, target: place.name(6)? })
}

fn fingerprint(data: &[u8]) -> Option<Rdata> {
    let mut reader = Reader(data);
    let (algorithm, kind) = (reader.u8()?, reader.u8()?);
    Some(Rdata::Fingerprint { algorithm, kind, fingerprint: reader.0.into() })
}

fn issuer(data: &[u8]) -> Option<Rdata> {
    let mut reader = Reader(data);
    let flags = reader.u8()?;
    let tag = str::from_utf8(reader.vec8()?.0).ok()?.into();
    Some(Rdata::Issuer { flags, tag, value: reader.0.into() })
}

/// RFC 9460, 2.2.
fn service(place: Place<'_>) -> Option<Rdata> {
    let mut reader = Reader(place.data);
    let priority = reader.u16()?;
    let at = place.at + 2;
    name::skip(&mut reader)?;
    let target = name::read(place.message, at)?;
    let mut parameters = Vec::new();
    while !reader.0.is_empty() {
        let one = (reader.u16()?, reader.vec16()?.0.into());
        if parameters.len() < PARTS_MAX {
            parameters.push(one);
        }
    }
    Some(Rdata::Service { priority, target, parameters: parameters.into() })
}
