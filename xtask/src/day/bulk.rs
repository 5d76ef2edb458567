//! A great deal of data: updates, backups, video calls, telephones.

use std::net::IpAddr;

use super::names;
use super::session::{Session, Way};
use super::web;
use super::world::{
    DAY, HOUR, Host, MINUTE, World, by_timer, is_workday, next_morning, slowness, while_there,
};
use crate::pcaps::app;
use crate::pcaps::capture::{MILLI, SECOND};
use crate::pcaps::craft::{End, end, v4};

/// Where the telephones register.
const EXCHANGE: IpAddr = v4([192, 168, 10, 14]);
/// Frames of a backup within the building are as long as the kernel hands them over.
const LONG: u16 = 60_000;

/// All of it.
pub(super) fn begin(world: &mut World) {
    for host in world.hosts.clone() {
        by_timer(world, host, 2 * HOUR, antivirus);
        while_there(world, host, 35 * SECOND, reputation);
        world.at(next_morning(&host, 0) + 10 * MINUTE, move |world, at| {
            let late = world.tape.rng.between(0, 40 * MINUTE);
            update(world, &host, at + late);
            Some(next_morning(&host, at + HOUR) + 10 * MINUTE)
        });
        if host.number % 12 == 2 {
            world.at(10 * HOUR + u64::from(host.number) * MINUTE / 4, move |world, at| {
                if slowness(&host, at).is_some() {
                    meeting(world, &host, at);
                }
                Some(at + DAY)
            });
        }
        if host.number % 4 == 0 {
            telephone(world, host.number);
        }
    }
    for server in [world.servers.files, world.servers.exchange, world.servers.intranet, world.servers.dc1] {
        world.at(HOUR, move |world, at| {
            let size = world.tape.rng.between(400_000_000, 900_000_000);
            night_backup(world, at, server, size);
            Some(at + DAY + world.tape.rng.between(0, 5 * MINUTE))
        });
    }
    world.at(3 * HOUR + 30 * MINUTE, |world, at| {
        cloud_backup(world, at);
        Some(at + DAY + world.tape.rng.between(0, 3 * MINUTE))
    });
    // Once an hour the database is copied to the second controller's disk.
    world.at(25 * MINUTE, |world, at| {
        let (from, to) = (world.servers.intranet, world.servers.backup);
        let size = world.tape.rng.between(20_000_000, 30_000_000);
        copy(world, at, from, to, size);
        Some(at + HOUR)
    });
}

/// A copy over SSH.
fn copy(world: &mut World, at: u64, from: IpAddr, to: IpAddr, size: u64) {
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, at, from, end(to, 22));
    session
        .ask(tape, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")
        .answer(tape, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n");
    let (ours, theirs) = (app::ssh_kexinit(&mut tape.rng), app::ssh_kexinit(&mut tape.rng));
    let (init, reply) = (app::ssh_ecdh_init(&mut tape.rng), app::ssh_ecdh_reply(&mut tape.rng));
    session.ask(tape, &ours).answer(tape, &theirs).ask(tape, &init).answer(tape, &reply);
    session.bulk(tape, Way::Up, size, 40_000_000, LONG).close(tape);
}

/// The nightly backup: the backup server fetches from each server, hundreds of megabytes.
fn night_backup(world: &mut World, at: u64, from: IpAddr, size: u64) {
    let backup = world.servers.backup;
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, at, from, end(backup, 10_006));
    session.ask(tape, b"BKUP/7 session open\n").answer(tape, b"BKUP/7 ready\n");
    session.bulk(tape, Way::Up, size, 60_000_000, LONG);
    session.answer(tape, b"BKUP/7 done\n").close(tape);
}

/// The outside backup: 320 megabytes to a provider, over TLS, every night.
fn cloud_backup(world: &mut World, at: u64) {
    let backup = world.servers.backup;
    let (ip, known) = names::look_up(world, at, backup, "vault3.backup-provider-com.example");
    let tape = &mut world.tape;
    let mut now = known;
    for _ in 0..4 {
        let mut session = Session::dial(tape, now, backup, end(ip, 443));
        let (hello, first) = (
            app::client_hello(&mut tape.rng, "vault3.backup-provider-com.example"),
            app::server_hello(&mut tape.rng),
        );
        session.ask(tape, &hello).answer(tape, &first);
        session.bulk(tape, Way::Up, 80_000_000, 5_000_000, 11_680);
        session.close(tape);
        now = session.now + 200 * MILLI;
    }
}

/// Patterns of the antivirus: looked for every two hours, fetched when there are new ones.
fn antivirus(world: &mut World, host: &Host, at: u64) {
    web::ask(world, host.ip, at, "pattern.antivirus-net.example", 260);
    if world.one_in(2) {
        let size = world.tape.rng.between(300_000, 4_000_000);
        download(world, host, at + SECOND, "download.antivirus-net.example", size);
    }
}

/// The antivirus asks by DNS what it knows of a file or a site: a hash in the name.
fn reputation(world: &mut World, host: &Host, at: u64) {
    let count = if world.one_in(20) { 12 } else { 1 };
    for number in 0..count {
        let hash = world.tape.rng.text(32, "0123456789abcdef");
        let tail = world.tape.rng.text(16, "0123456789abcdefghijklmnopqrstuv");
        let name = format!("4.{hash}.{tail}.avqs.antivirus-net.example");
        let known = vec![(app::A, 300, vec![127, 0, 0, 4])];
        let answer: (&[names::Record], u8) = if world.one_in(3) { (&[], 3) } else { (&known, 0) };
        names::forwarded(world, at + number * 30 * MILLI, host.ip, (&name, app::A), answer);
    }
}

/// A file over clear HTTP, as update services deliver what is signed anyway.
fn download(world: &mut World, host: &Host, at: u64, name: &str, size: u64) {
    let (ip, known) = names::look_up(world, at, host.ip, name);
    let tape = &mut world.tape;
    let mut session = Session::dial(tape, known, host.ip, end(ip, 80));
    let file = tape.rng.text(40, "0123456789abcdef");
    let request = format!(
        "GET /c/msdownload/update/{file}.cab HTTP/1.1\r\nConnection: Keep-Alive\r\nAccept: */*\r\nAccept-Encoding: identity\r\n\
         Range: bytes=0-{}\r\nUser-Agent: Microsoft-Delivery-Optimization/10.0\r\nHost: {name}\r\n\r\n",
        size - 1
    );
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Type: application/vnd.ms-cab-compressed\r\nContent-Length: {size}\r\n\
         Content-Range: bytes 0-{}/{size}\r\n\r\n",
        size - 1
    );
    session.ask(tape, request.as_bytes()).answer(tape, head.as_bytes());
    session.bulk(tape, Way::Down, size, 9_000_000, 14_600).wait(SECOND).close(tape);
}

/// Updates in the morning: from outside, and from colleagues (delivery optimisation, port 7680), some of whom are off.
fn update(world: &mut World, host: &Host, at: u64) {
    web::ask(world, host.ip, at, "sls.update-com.example", 500);
    for number in 0..world.tape.rng.between(1, 4) {
        let size = world.tape.rng.between(800_000, 6_000_000);
        download(world, host, at + number * 20 * SECOND, "dl.delivery.update-com.example", size);
    }
    for number in 0..6 {
        let Some(peer) = world.tape.rng.pick(&world.hosts).copied().filter(|peer| peer.ip != host.ip) else {
            continue;
        };
        let soon = at + 70 * SECOND + number * 3 * SECOND;
        let to = end(peer.ip, 7_680);
        if slowness(&peer, soon).is_none() {
            let from = world.tape.source(host.ip);
            world.tape.unanswered(soon, from, to, 2);
        } else if number % 3 == 2 {
            let from = world.tape.source(host.ip);
            world.tape.refused(soon, from, to);
        } else {
            let tape = &mut world.tape;
            let mut session = Session::dial(tape, soon, host.ip, to);
            let greeting = [&[14][..], b"Swarm protocol", &tape.rng.bytes(52)].concat();
            let size = tape.rng.between(1_000_000, 5_000_000);
            session.ask(tape, &greeting).answer(tape, &greeting).bulk(
                tape,
                Way::Down,
                size,
                30_000_000,
                14_600,
            );
            session.close(tape);
        }
    }
}

/// A quarter of an hour of video: 0.2 Mbit/s up and 0.4 down, scaled down from some five times that, and a connection for
/// control.
fn meeting(world: &mut World, host: &Host, at: u64) {
    let (ip, known) = names::look_up(world, at, host.ip, "relay7.meeting-com.example");
    web::ask(world, host.ip, known, "api.meeting-com.example", 900);
    let ends = (world.tape.source(host.ip), end(ip, 3_478));
    let number = world.tape.rng.bytes(12);
    let binding = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &number].concat();
    let bound =
        [&[1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42][..], &number, &[0, 0x20, 0, 8, 0, 1, 1, 2, 3, 4, 5, 6]]
            .concat();
    world.tape.exchange(known + 30 * MILLI, 12 * MILLI, ends, (&binding, &bound));
    let over = at + 15 * MINUTE;
    let sequence = world.tape.rng.word();
    let mut number = 0_u16;
    world.at(known + 100 * MILLI, move |world, at| {
        // A tenth of a second at a time.
        for packet in 0..2 {
            number = number.wrapping_add(1);
            media(world, at + packet * 30 * MILLI, ends, sequence.wrapping_add(number), 1_050);
        }
        for packet in 0..4 {
            media(
                world,
                at + packet * 23 * MILLI,
                (ends.1, ends.0),
                sequence.wrapping_add(number.wrapping_mul(3)),
                1_100,
            );
        }
        (at < over).then_some(at + 100 * MILLI + world.tape.rng.between(0, 4 * MILLI))
    });
}

/// SRTP (RFC 3711): a header in clear, the rest not.
fn media(world: &mut World, at: u64, ends: (End, End), sequence: u16, length: u16) {
    let mut packet = vec![0x90, 0x60];
    packet.extend(sequence.to_be_bytes());
    packet.extend(u32::try_from(at / 11 % 0xffff_ffff).unwrap_or_default().to_be_bytes());
    packet.extend([0x5e, 0x1c, 0, 7]);
    packet.extend(world.tape.rng.bytes(48));
    let jitter = u16::from(world.tape.rng.byte() / 4);
    world.tape.udp_cut(at, ends.0, ends.1, (&packet, length - jitter));
}

/// A telephone: it registers every ten minutes, and now and then somebody calls.
fn telephone(world: &mut World, number: u8) {
    let phone = v4([192, 168, 10, 210 + number / 4 % 40]);
    let extension = 2_000 + u32::from(number);
    let mut call_id = 0_u32;
    world.at(u64::from(number) * 7 * SECOND, move |world, at| {
        call_id += 1;
        register(world, at, phone, extension, call_id);
        Some(at + 10 * MINUTE + world.tape.rng.between(0, 4 * SECOND))
    });
    world.at(9 * HOUR + u64::from(number) * 3 * MINUTE, move |world, at| {
        if is_workday(at) && at % DAY > 9 * HOUR && at % DAY < 17 * HOUR {
            talk(world, at, phone);
        }
        Some(at + world.pause(3 * HOUR))
    });
}

fn register(world: &mut World, at: u64, phone: IpAddr, extension: u32, call_id: u32) {
    let ask = |sequence: u32, proof: &str| {
        format!(
            "REGISTER sip:pbx.city.example SIP/2.0\r\nVia: SIP/2.0/UDP {phone}:5060;branch=z9hG4bK{call_id}{sequence}\r\nFrom: \
             <sip:{extension}@pbx.city.example>;tag=a{call_id}\r\nTo: <sip:{extension}@pbx.city.example>\r\nCall-ID: \
             {extension}-{call_id}@{phone}\r\nCSeq: {sequence} REGISTER\r\nContact: <sip:{extension}@{phone}:5060>\r\nExpires: 900\r\n\
             User-Agent: Desk Phone 5.9\r\n{proof}Content-Length: 0\r\n\r\n"
        )
    };
    let tell = |sequence: u32, status: &str, more: &str| {
        format!(
            "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP {phone}:5060;branch=z9hG4bK{call_id}{sequence}\r\nFrom: \
             <sip:{extension}@pbx.city.example>;tag=a{call_id}\r\nTo: <sip:{extension}@pbx.city.example>;tag=b\r\nCall-ID: \
             {extension}-{call_id}@{phone}\r\nCSeq: {sequence} REGISTER\r\n{more}Content-Length: 0\r\n\r\n"
        )
    };
    let ends = (end(phone, 5_060), end(EXCHANGE, 5_060));
    let nonce = world.tape.rng.text(16, "0123456789abcdef");
    let challenge =
        format!("WWW-Authenticate: Digest realm=\"pbx.city.example\", nonce=\"{nonce}\", algorithm=MD5\r\n");
    let proof = format!(
        "Authorization: Digest username=\"{extension}\", realm=\"pbx.city.example\", nonce=\"{nonce}\", uri=\"sip:pbx.city.example\", \
         response=\"{}\"\r\n",
        world.tape.rng.text(32, "0123456789abcdef")
    );
    world.tape.exchange(
        at,
        4 * MILLI,
        ends,
        (ask(1, "").as_bytes(), tell(1, "401 Unauthorized", &challenge).as_bytes()),
    );
    world.tape.exchange(
        at + 20 * MILLI,
        4 * MILLI,
        ends,
        (ask(2, &proof).as_bytes(), tell(2, "200 OK", "Expires: 900\r\n").as_bytes()),
    );
}

/// A minute or two of speech: G.711, every 20 ms one packet each way.
fn talk(world: &mut World, at: u64, phone: IpAddr) {
    let ends = (end(phone, 11_780), end(EXCHANGE, 14_000));
    let over = at + world.tape.rng.between(20 * SECOND, 60 * SECOND);
    let mut sequence = world.tape.rng.word();
    world.at(at + SECOND, move |world, at| {
        for number in 0..5 {
            sequence = sequence.wrapping_add(1);
            for (from, to) in [(ends.0, ends.1), (ends.1, ends.0)] {
                let mut packet = vec![0x80, 0];
                packet.extend(sequence.to_be_bytes());
                packet.extend((u32::from(sequence) * 160).to_be_bytes());
                packet.extend([0, 0, 0x5e, 0x1c]);
                packet.extend(world.tape.rng.bytes(28));
                world.tape.udp_cut(at + number * 20 * MILLI, from, to, (&packet, 172));
            }
        }
        (at < over).then_some(at + 100 * MILLI)
    });
}
