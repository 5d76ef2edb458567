//! What neighbours say: ARP, DHCP, name look-ups by multicast, time, printers, telephones.

use std::net::{IpAddr, Ipv4Addr};

use super::der::{integer, object, octets, sequence, tlv};
use super::names;
use super::session::{Session, Way};
use super::web;
use super::world::{DAY, HOUR, Host, MINUTE, World, by_timer, next_morning, slowness, while_there};
use crate::pcaps::app;
use crate::pcaps::capture::{MILLI, SECOND};
use crate::pcaps::craft::{self, End, end, mac, v4};

/// Where everybody of the link is reached.
const ALL: IpAddr = v4([255, 255, 255, 255]);
const NOBODY: IpAddr = v4([0, 0, 0, 0]);
const SUBNET: IpAddr = v4([192, 168, 10, 255]);
/// The printers; the last is switched off.
pub(super) const PRINTERS: [IpAddr; 5] = [
    v4([192, 168, 10, 200]),
    v4([192, 168, 10, 201]),
    v4([192, 168, 10, 202]),
    v4([192, 168, 10, 203]),
    v4([192, 168, 10, 204]),
];

/// The printer nearest to a desk.
fn printer_of(host: &Host) -> IpAddr {
    PRINTERS.get(usize::from(host.number % 4)).copied().unwrap_or(NOBODY)
}

/// Everything that is said within the building.
pub(super) fn begin(world: &mut World) {
    for host in world.hosts.clone() {
        world.at(next_morning(&host, 0).saturating_sub(90 * SECOND), move |world, at| {
            boot(world, &host, at);
            Some(next_morning(&host, at + HOUR).saturating_sub(90 * SECOND))
        });
        by_timer(world, host, 4 * HOUR, renew);
        by_timer(world, host, 7 * MINUTE, neighbours);
        by_timer(world, host, 17 * MINUTE, time);
        by_timer(world, host, 10 * MINUTE, printer_status);
        by_timer(world, host, 2 * MINUTE + 3 * SECOND, discover);
        by_timer(world, host, 12 * MINUTE, announce);
        while_there(world, host, 50 * MINUTE, print);
        while_there(world, host, 2 * HOUR, misspelt_share);
        if host.number % 10 == 3 {
            while_there(world, host, 6 * HOUR, |world, host, at| {
                web::printer_page(world, host, at, printer_of(host));
            });
        }
    }
    for printer in PRINTERS.into_iter().take(4) {
        world.at(30 * SECOND, move |world, at| {
            world.tape.udp(at, end(printer, 5_353), end(v4([224, 0, 0, 251]), 5_353), &mdns_answer(printer));
            Some(at + 20 * MINUTE + world.tape.rng.between(0, MINUTE))
        });
    }
}

fn as_v4(ip: IpAddr) -> Ipv4Addr {
    match ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// Somebody asks who has an address, and is answered.
fn resolve(world: &mut World, at: u64, asker: IpAddr, owner: IpAddr) {
    let (asker, owner) = (as_v4(asker), as_v4(owner));
    world.tape.push(at, craft::arp(asker, owner, None));
    world.tape.push(at + 300, craft::arp(owner, asker, Some(mac(IpAddr::V4(asker)))));
}

/// ARP: the gateway and servers now and then, colleagues who are there, and some who are not.
fn neighbours(world: &mut World, host: &Host, at: u64) {
    let (gateway, dc1, files) = (world.servers.gateway, world.servers.dc1, world.servers.files);
    resolve(world, at, host.ip, gateway);
    resolve(world, at + 700, host.ip, dc1);
    resolve(world, at + 9 * SECOND, files, host.ip);
    if world.one_in(6) {
        let gone = v4([192, 168, 10, 204]);
        for number in 0..3 {
            world.tape.push(at + number * SECOND, craft::arp(host.v4(), as_v4(gone), None));
        }
    }
}

/// A message of DHCP (RFC 2131) with its options.
fn dhcp(host: &Host, kind: u8, id: u32, with_address: bool) -> Vec<u8> {
    let from_server = matches!(kind, 2 | 5);
    let address = if with_address { host.v4() } else { Ipv4Addr::UNSPECIFIED };
    let hardware = mac(host.ip);
    let mut out = vec![if from_server { 2 } else { 1 }, 1, 6, 0];
    out.extend(id.to_be_bytes());
    out.extend([0; 4]);
    out.extend(if from_server { Ipv4Addr::UNSPECIFIED.octets() } else { address.octets() });
    out.extend(if from_server { host.v4().octets() } else { [0; 4] });
    out.extend(if from_server { [192, 168, 10, 2] } else { [0; 4] });
    out.extend([0; 4]);
    out.extend(hardware.octets());
    out.extend([0; 10 + 192]);
    out.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind]);
    if from_server {
        out.extend([54, 4, 192, 168, 10, 2, 51, 4, 0, 0, 0x70, 0x80, 1, 4, 255, 255, 255, 0]);
        out.extend([3, 4, 192, 168, 10, 1, 6, 8, 192, 168, 10, 2, 192, 168, 10, 3]);
        out.extend([15, 12]);
        out.extend(b"city.example");
    } else {
        out.extend([61, 7, 1]);
        out.extend(hardware.octets());
        if kind == 3 && !with_address {
            out.extend([50, 4]);
            out.extend(host.v4().octets());
            out.extend([54, 4, 192, 168, 10, 2]);
        }
        let name = host.name();
        out.extend([12, u8::try_from(name.len()).unwrap_or_default()]);
        out.extend(name.as_bytes());
        out.extend([60, 8]);
        out.extend(b"MSFT 5.0");
        out.extend([55, 14, 1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252]);
    }
    out.push(255);
    let missing = 300_usize.saturating_sub(out.len());
    out.extend(std::iter::repeat_n(0, missing));
    out
}

/// A machine starts: it looks for an address, says hello to everybody, looks for its domain.
fn boot(world: &mut World, host: &Host, at: u64) {
    let dc1 = world.servers.dc1;
    let id = world.tape.rng.number();
    let steps = [
        (1, end(NOBODY, 68), end(ALL, 67)),
        (2, end(dc1, 67), end(ALL, 68)),
        (3, end(NOBODY, 68), end(ALL, 67)),
        (5, end(dc1, 67), end(ALL, 68)),
    ];
    // One in five remembers its address and only asks whether it is still good.
    let skipped = if host.number.is_multiple_of(5) { 2 } else { 0 };
    for (number, (kind, from, to)) in (0..).zip(steps).skip(skipped) {
        let message = dhcp(host, kind, id, false);
        world.tape.udp(at + number * 4 * MILLI, from, to, &message);
    }
    let mine = host.v4();
    for number in 1..4 {
        // RFC 5227: is anybody else using it? Then: it is mine.
        world.tape.push(at + number * SECOND, craft::arp(mine, mine, None));
    }
    announce(world, host, at + 3 * SECOND);
    for name in ["wpad", "isatap", "_ldap._tcp.dc._msdcs"] {
        names::nothing(world, at + 4 * SECOND, host.ip, &format!("{name}.city.example"));
    }
    for name in ["wpad", "fileserver-old"] {
        llmnr(world, host, at + 5 * SECOND, name);
        netbios(world, host, at + 6 * SECOND, name);
    }
    names::find_service(
        world,
        at + 5 * SECOND,
        host.ip,
        "_ldap._tcp.Default-First-Site-Name._sites.dc._msdcs.city.example",
        389,
    );
    web::ask(world, host.ip, at + 8 * SECOND, "connectivity.check-com.example", 90);
}

/// The lease is renewed, directly with the server.
fn renew(world: &mut World, host: &Host, at: u64) {
    let (dc1, id) = (world.servers.dc1, world.tape.rng.number());
    let (request, answer) = (dhcp(host, 3, id, true), dhcp(host, 5, id, true));
    world.tape.exchange(at, 900, (end(host.ip, 68), end(dc1, 67)), (&request, &answer));
}

/// NTP with the domain controller, which asks two servers outside.
fn time(world: &mut World, host: &Host, at: u64) {
    let dc1 = world.servers.dc1;
    ask_time(world, at, host.ip, dc1);
    if host.number == 0 {
        ask_time(world, at + SECOND, dc1, v4([203, 0, 113, 123]));
        ask_time(world, at + 2 * SECOND, dc1, v4([198, 51, 100, 123]));
    }
}

fn ask_time(world: &mut World, at: u64, from: IpAddr, to: IpAddr) {
    let stamp = |rng: &mut crate::pcaps::capture::Rng| rng.bytes(8);
    let mut question = vec![0x1b, 0, 10, 0xe9];
    question.extend([0; 36]);
    question.extend(stamp(&mut world.tape.rng));
    let mut answer = vec![0x1c, 2, 10, 0xe9, 0, 0, 0, 40, 0, 0, 0, 20, 203, 0, 113, 123];
    for _ in 0..4 {
        answer.extend(stamp(&mut world.tape.rng));
    }
    world.tape.exchange(at, 8 * MILLI, (end(from, 123), end(to, 123)), (&question, &answer));
}

/// LLMNR (RFC 4795): a name that the resolver does not know is asked of the neighbours.
fn llmnr(world: &mut World, host: &Host, at: u64, name: &str) {
    let (from, id) = (world.tape.source(host.ip), world.tape.rng.word());
    let mut query = app::dns_query(id, name, app::A);
    if let Some(flags) = query.get_mut(2) {
        *flags = 0;
    }
    for number in 0..2 {
        world.tape.udp(at + number * 410 * MILLI, from, end(v4([224, 0, 0, 252]), 5_355), &query);
    }
}

/// `NetBIOS` name service (RFC 1002): the same once more, by broadcast, three times.
fn netbios(world: &mut World, host: &Host, at: u64, name: &str) {
    let mut query = world.tape.rng.bytes(2);
    query.extend([1, 0x10, 0, 1, 0, 0, 0, 0, 0, 0, 32]);
    let name = format!("{:<15}", name.chars().take(15).collect::<String>().to_uppercase());
    for byte in name.bytes().chain([0]) {
        query.extend([b'A' + (byte >> 4), b'A' + (byte & 15)]);
    }
    query.extend([0, 0, 0x20, 0, 1]);
    for number in 0..3 {
        world.tape.udp(at + number * 750 * MILLI, end(host.ip, 137), end(SUBNET, 137), &query);
    }
}

/// A share that is no more: every way to find its name fails.
fn misspelt_share(world: &mut World, host: &Host, at: u64) {
    names::nothing(world, at, host.ip, "fileserver-old.city.example");
    llmnr(world, host, at + 100 * MILLI, "fileserver-old");
    netbios(world, host, at + 200 * MILLI, "fileserver-old");
    // Another has an address still, but nobody there.
    let from = world.tape.source(host.ip);
    let dead = world.servers.dead;
    world.tape.unanswered(at + 3 * SECOND, from, end(dead, 445), 2);
}

/// SSDP (UPnP): four requests in four seconds, and printers that answer.
fn discover(world: &mut World, host: &Host, at: u64) {
    let from = world.tape.source(host.ip);
    let message = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: urn:dial-multiscreen-org:service:dial:1\r\nUSER-AGENT: Chromium/130.0.0.0 Windows\r\n\r\n";
    for number in 0..4 {
        world.tape.udp(at + number * SECOND, from, end(v4([239, 255, 255, 250]), 1_900), message);
    }
    let back = b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nLOCATION: http://192.168.10.200:80/upnp.xml\r\nSERVER: Printer UPnP/1.0\r\nST: upnp:rootdevice\r\nUSN: uuid:2f402f80-da50-11e1-9b23-0001c0a80ac8\r\n\r\n";
    if host.number.is_multiple_of(4) {
        world.tape.udp(at + 300 * MILLI, end(PRINTERS[0], 1_900), from, back);
    }
}

/// mDNS and the browser service: here I am.
fn announce(world: &mut World, host: &Host, at: u64) {
    let query = app::dns_query(0, "_ipp._tcp.local", app::PTR);
    world.tape.udp(at, end(host.ip, 5_353), end(v4([224, 0, 0, 251]), 5_353), &query);
    let name = format!("{}.local", host.name());
    let mut answer = app::dns_answer(0, &name, app::A, &[host.v4().octets().to_vec()]);
    if let Some(flags) = answer.get_mut(2) {
        *flags = 0x84;
    }
    world.tape.udp(at + 20 * MILLI, end(host.ip, 5_353), end(v4([224, 0, 0, 251]), 5_353), &answer);
}

fn mdns_answer(printer: IpAddr) -> Vec<u8> {
    let last = as_v4(printer).octets()[3];
    app::dns_answer(0, &format!("printer-{last}.local"), app::A, &[as_v4(printer).octets().to_vec()])
}

/// SNMP (RFC 1157) asking for some objects.
pub(super) fn snmp(kind: u8, id: u32, objects: &[&[u8]], answered: bool) -> Vec<u8> {
    let value = |number: usize| {
        if answered { integer(u32::try_from(number).unwrap_or_default() * 977 + 12) } else { tlv(5, &[]) }
    };
    let list: Vec<Vec<u8>> =
        objects.iter().enumerate().map(|(number, oid)| sequence(&[object(oid), value(number)])).collect();
    let pdu = [integer(id), integer(0), integer(0), sequence(&list)].concat();
    sequence(&[integer(1), octets(b"public"), tlv(kind, &pdu)])
}

/// hrPrinterStatus and what Windows asks beside it.
const PRINTER_OBJECTS: [&[u8]; 3] = [
    &[0x2b, 6, 1, 2, 1, 25, 3, 2, 1, 5, 1],
    &[0x2b, 6, 1, 2, 1, 25, 3, 5, 1, 1, 1],
    &[0x2b, 6, 1, 2, 1, 25, 3, 5, 1, 2, 1],
];

/// Is the printer ready? Asked of each that is set up, one of which is off.
fn printer_status(world: &mut World, host: &Host, at: u64) {
    let near = printer_of(host);
    let from = world.tape.source(host.ip);
    let id = world.tape.rng.number() >> 1;
    let (question, answer) =
        (snmp(0xa0, id, &PRINTER_OBJECTS, false), snmp(0xa2, id, &PRINTER_OBJECTS, true));
    world.tape.exchange(at, 5 * MILLI, (from, end(near, 161)), (&question, &answer));
    if host.number.is_multiple_of(3) {
        for number in 0..2 {
            world.tape.udp(at + number * SECOND, from, end(PRINTERS[4], 161), &question);
        }
    }
}

/// A document goes to the printer: IPP over HTTP, or the raw port.
fn print(world: &mut World, host: &Host, at: u64) {
    if slowness(host, at).is_none() || at % DAY < HOUR {
        return;
    }
    let printer = printer_of(host);
    let tape = &mut world.tape;
    let size = tape.rng.between(40_000, 1_500_000);
    let to: End = end(printer, if host.number.is_multiple_of(2) { 631 } else { 9_100 });
    let mut session = Session::dial(tape, at, host.ip, to);
    if to.port == 631 {
        for operation in [0x0b_u8, 0x02] {
            let body = ipp(operation, operation == 2);
            let more = if operation == 2 { size } else { 0 };
            let head = format!(
                "POST /ipp/print HTTP/1.1\r\nHost: printer:631\r\nUser-Agent: Internet Print Provider\r\nContent-Type: application/ipp\r\n\
                 Content-Length: {}\r\n\r\n",
                u64::try_from(body.len()).unwrap_or_default() + more
            );
            session.ask(tape, &[head.as_bytes(), &body].concat());
            if more > 0 {
                session.bulk(tape, Way::Up, more, 4_000_000, 14_600);
            }
            let back = ipp(0, false);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\nContent-Length: {}\r\n\r\n",
                back.len()
            );
            session.answer(tape, &[head.as_bytes(), &back].concat());
        }
    } else {
        session.ask(tape, b"\x1b%-12345X@PJL JOB NAME=\"document\"\r\n@PJL ENTER LANGUAGE=PCLXL\r\n");
        session.bulk(tape, Way::Up, size, 4_000_000, 14_600);
    }
    session.wait(SECOND).close(tape);
}

fn ipp(operation: u8, is_job: bool) -> Vec<u8> {
    let mut out = vec![2, 0, 0, operation, 0, 0, 0, 1, 1];
    let texts = [("G", "attributes-charset", "utf-8"), ("H", "attributes-natural-language", "ja")];
    for (tag, name, value) in texts {
        out.extend(tag.as_bytes());
        for text in [name, value] {
            out.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
            out.extend(text.as_bytes());
        }
    }
    if is_job {
        out.extend(b"\x42\x00\x08job-name\x00\x08document");
    }
    out.push(3);
    out
}
