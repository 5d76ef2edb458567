//! DNS as an office sees it: answers with aliases and TTLs, names that do not exist, and who remembers what for how long.

use std::net::{IpAddr, Ipv4Addr};

use super::tape::Tape;
use super::world::World;
use crate::pcaps::app;
use crate::pcaps::capture::{MILLI, SECOND};
use crate::pcaps::craft::{end, v4};

/// CNAME.
const ALIAS: u16 = 5;
/// SOA.
const AUTHORITY: u16 = 6;
/// SRV.
pub(super) const SERVICE: u16 = 33;
/// HTTPS (RFC 9460).
pub(super) const HTTPS: u16 = 65;
/// The resolver of the provider, to which the office's forwards.
const PROVIDER: IpAddr = v4([203, 0, 113, 53]);

/// A record of an answer: type, TTL, data.
pub(super) type Record = (u16, u32, Vec<u8>);

fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap_or_default());
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

/// A response. Each alias is followed by the records of what it stands for; without records the name does not exist, or has
/// none of this type.
pub(super) fn response(id: u16, (name, kind): (&str, u16), records: &[Record], rcode: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let authorities = u16::from(records.is_empty());
    let count = u16::try_from(records.len()).unwrap_or_default();
    for word in [id, 0x8180 | u16::from(rcode), 1, count, authorities, 0] {
        out.extend(word.to_be_bytes());
    }
    out.extend(labels(name));
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    let mut owner = vec![0xc0, 0x0c];
    for (kind, ttl, data) in records {
        out.extend(&owner);
        push(&mut out, *kind, *ttl, data);
        if *kind == ALIAS {
            owner.clone_from(data);
        }
    }
    if records.is_empty() {
        let zone = name.split_once('.').map_or(name, |(_, zone)| zone);
        let mut soa = [labels(&format!("ns1.{zone}")), labels(&format!("hostmaster.{zone}"))].concat();
        soa.extend(
            [2_026_110_201_u32, 7_200, 900, 1_209_600, 300].iter().flat_map(|word| word.to_be_bytes()),
        );
        out.extend(labels(zone));
        push(&mut out, AUTHORITY, 300, &soa);
    }
    out
}

fn push(out: &mut Vec<u8>, kind: u16, ttl: u32, data: &[u8]) {
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out.extend(ttl.to_be_bytes());
    out.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(data);
}

/// Where a name leads: always the same, through an alias if it is one of a delivery network.
pub(super) fn address_of(name: &str) -> Ipv4Addr {
    let mut hash = crate::pcaps::capture::Rng::named(name);
    let (a, b) = (hash.byte(), hash.byte());
    Ipv4Addr::new(198, 18 + (a & 1), a, b)
}

fn records_of(name: &str) -> Vec<Record> {
    let ip = address_of(name).octets();
    if name.contains(".cdn-") || name.starts_with("static.") || name.starts_with("img.") {
        let edge = format!("e{}.dscx.edge-net.example", u16::from(ip[2]) * 7 % 211);
        return vec![(ALIAS, 300, labels(&edge)), (app::A, 20, ip.to_vec())];
    }
    vec![(app::A, 300, ip.to_vec())]
}

/// A host looks a name up, and gives its address and when it is known. What it knows already it does not ask for again.
pub(super) fn look_up(world: &mut World, at: u64, client: IpAddr, name: &str) -> (IpAddr, u64) {
    let ip = IpAddr::V4(address_of(name));
    if world.knows(client, name, at) {
        return (ip, at);
    }
    let records = records_of(name);
    let ttl = records.iter().map(|(_, ttl, _)| u64::from(*ttl)).min().unwrap_or(60);
    world.learn(client, name, at + ttl * SECOND);
    let known = forwarded(world, at, client, (name, app::A), (&records, 0));
    if world.tape.rng.between(0, 3) == 0 {
        let kind = if world.tape.rng.between(0, 2) == 0 { app::AAAA } else { HTTPS };
        forwarded(world, at + 150, client, (name, kind), (&[], 0));
    }
    (ip, known)
}

/// A look-up that fails: there is no such name.
pub(super) fn nothing(world: &mut World, at: u64, client: IpAddr, name: &str) -> u64 {
    forwarded(world, at, client, (name, app::A), (&[], 3))
}

/// A question to the office's own resolver, which asks the provider's for what it does not know; gives when it is answered.
pub(super) fn forwarded(
    world: &mut World,
    at: u64,
    client: IpAddr,
    question: (&str, u16),
    (records, rcode): (&[Record], u8),
) -> u64 {
    let resolver = world.servers.dc1;
    let (name, kind) = question;
    let is_ours = name.ends_with("city.example") || !name.contains('.');
    let ask = |tape: &mut Tape, at: u64, delay: u64, from: IpAddr, to: IpAddr| {
        let (id, ends) = (tape.rng.word(), (tape.source(from), end(to, 53)));
        let answer = response(id, question, records, rcode);
        tape.exchange(at, delay, ends, (&app::dns_query(id, name, kind), &answer));
    };
    let cached = is_ours || world.knows(resolver, name, at) && rcode == 0;
    let far = if cached { 0 } else { world.tape.rng.between(4 * MILLI, 45 * MILLI) };
    let near = world.tape.rng.between(250, 900);
    ask(&mut world.tape, at, near + far, client, resolver);
    if !cached {
        ask(&mut world.tape, at + near / 2, far, resolver, PROVIDER);
        let ttl = records.iter().map(|(_, ttl, _)| u64::from(*ttl)).min().unwrap_or(60);
        world.learn(resolver, name, at + ttl * SECOND);
    }
    at + near + far + 200
}

/// A service record of Active Directory.
pub(super) fn find_service(world: &mut World, at: u64, client: IpAddr, name: &str, port: u16) -> u64 {
    let data = [&[0, 0, 0, 100][..], &port.to_be_bytes(), &labels("dc1.city.example")].concat();
    forwarded(world, at, client, (name, SERVICE), (&[(SERVICE, 600, data)], 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_counts_its_records() {
        let records = records_of("img.cdn-com.example");
        assert_eq!(records.len(), 2);
        let message = response(7, ("img.cdn-com.example", app::A), &records, 0);
        assert_eq!(message[6..10], [0, 2, 0, 0]);
        let none = response(7, ("nobody.example", app::A), &[], 3);
        assert_eq!((none[3] & 15, none[9]), (3, 1));
    }
}
