//! DCE/RPC (C706, MS-RPCE) as a workstation speaks it: the secure channel of Netlogon, and who a user is.

use super::session::Session;
use super::smb::Smb;
use super::tape::Tape;
use super::world::{Host, World};
use crate::pcaps::capture::MILLI;
use crate::pcaps::craft::end;

/// The endpoint mapper.
const MAPPER: [u8; 16] =
    [0x08, 0x83, 0xaf, 0xe1, 0x1f, 0x5d, 0xc9, 0x11, 0x91, 0xa4, 0x08, 0x00, 0x2b, 0x14, 0xa0, 0xfa];
/// MS-NRPC.
const NETLOGON: [u8; 16] =
    [0x78, 0x56, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab, 0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0xcf, 0xfb];
/// MS-LSAT.
const LSA: [u8; 16] =
    [0x78, 0x57, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab, 0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab];
/// MS-SAMR.
const SAM: [u8; 16] =
    [0x78, 0x57, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab, 0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xac];
/// MS-SRVS.
const SERVER: [u8; 16] =
    [0xc8, 0x4f, 0x32, 0x4b, 0x70, 0x16, 0xd3, 0x01, 0x12, 0x78, 0x5a, 0x47, 0xbf, 0x6e, 0xe1, 0x88];
/// NDR, version 2.
const NDR: [u8; 20] = [
    0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60, 2, 0, 0,
    0,
];

fn message(kind: u8, call: u32, body: &[u8]) -> Vec<u8> {
    let mut out = vec![5, 0, kind, 3, 0x10, 0, 0, 0];
    out.extend(u16::try_from(16 + body.len()).unwrap_or_default().to_le_bytes());
    out.extend([0, 0]);
    out.extend(call.to_le_bytes());
    out.extend_from_slice(body);
    out
}

fn bind(interface: [u8; 16], version: u8) -> (Vec<u8>, Vec<u8>) {
    let mut ask = vec![0xb8, 0x10, 0xb8, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0];
    ask.extend(interface);
    ask.extend([version, 0, 0, 0]);
    ask.extend(NDR);
    let mut tell = vec![
        0xb8, 0x10, 0xb8, 0x10, 0x33, 0x12, 0, 0, 4, 0, b'1', b'3', b'5', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    ];
    tell.extend(NDR);
    (message(11, 1, &ask), message(12, 1, &tell))
}

/// A call with arguments and results of these lengths; what they are is of no matter to anybody who only reads heads.
fn call(tape: &mut Tape, number: u32, operation: u16, lengths: (usize, usize)) -> (Vec<u8>, Vec<u8>) {
    let (arguments, results) = (tape.rng.bytes(lengths.0), tape.rng.bytes(lengths.1));
    let mut ask = u32::try_from(lengths.0).unwrap_or_default().to_le_bytes().to_vec();
    ask.extend([0, 0]);
    ask.extend(operation.to_le_bytes());
    ask.extend(arguments);
    let mut tell = u32::try_from(lengths.1).unwrap_or_default().to_le_bytes().to_vec();
    tell.extend([0, 0, 0, 0]);
    tell.extend(results);
    (message(0, number, &ask), message(2, number, &tell))
}

/// The endpoint mapper tells the port of Netlogon; challenge, authentication, capabilities: each once, as a machine that
/// knows its password does.
pub(super) fn secure_channel(world: &mut World, at: u64, host: &Host) -> u64 {
    let dc1 = world.servers.dc1;
    let tape = &mut world.tape;
    let mut mapper = Session::dial(tape, at, host.ip, end(dc1, 135));
    for (question, answer) in [bind(MAPPER, 3), call(tape, 2, 3, (132, 148))] {
        mapper.ask(tape, &question).answer(tape, &answer);
    }
    mapper.wait(20 * MILLI).close(tape);
    let mut session = Session::dial(tape, mapper.now, host.ip, end(dc1, 49_671));
    let calls = [
        bind(NETLOGON, 1),
        call(tape, 2, 4, (84, 12)),
        call(tape, 3, 26, (148, 20)),
        call(tape, 4, 21, (92, 40)),
        call(tape, 5, 29, (420, 600)),
    ];
    for (question, answer) in calls {
        session.ask(tape, &question).answer(tape, &answer);
    }
    session.wait(100 * MILLI).close(tape);
    session.now
}

/// What Explorer and the profile service ask at log-on: names of SIDs (LSA), the user's own account (SAM), shares' properties.
pub(super) fn who_am_i(world: &mut World, host: &Host, at: u64) {
    let (dc1, files) = (world.servers.dc1, world.servers.files);
    let mut smb = Smb::begin(world, at, host, dc1, "dc1");
    smb.connect(world, "\\\\dc1.city.example\\IPC$");
    let tape = &mut world.tape;
    let lsa = [
        bind(LSA, 0),
        call(tape, 2, 44, (52, 24)),
        call(tape, 3, 76, (120, 300)),
        call(tape, 4, 0, (20, 24)),
    ];
    let sam = [
        bind(SAM, 1),
        call(tape, 2, 64, (72, 48)),
        call(tape, 3, 5, (40, 100)),
        call(tape, 4, 7, (60, 24)),
        call(tape, 5, 17, (90, 60)),
        call(tape, 6, 34, (28, 24)),
        call(tape, 7, 36, (24, 520)),
        call(tape, 8, 1, (20, 24)),
    ];
    smb.pipe(world, "lsarpc", &lsa);
    smb.pipe(world, "samr", &sam);
    let now = smb.session.now;
    smb.end(world);
    let mut smb = Smb::begin(world, now + 40 * MILLI, host, files, "fs01");
    smb.connect(world, "\\\\fs01.city.example\\IPC$");
    let server =
        [bind(SERVER, 3), call(&mut world.tape, 2, 16, (80, 200)), call(&mut world.tape, 3, 21, (48, 120))];
    smb.pipe(world, "srvsvc", &server);
    smb.end(world);
}
