//! Messages made by hand after MS-SMB2 and MS-CIFS; what tshark shows of such messages is what is expected here.

use crate::event::Transaction;
use crate::event::dcerpc::RpcType;
use crate::event::smb::{SmbCode, SmbCommand, SmbDetail, SmbShareKind, SmbStatus};
use crate::proto::Side::{Originator, Responder};
use crate::proto::bench::Bench;

const FILE: [u8; 16] = [0x2a, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0];
const BEFORE: [u8; 16] = [0xff; 16];
const TREE: u32 = 5;
const SESSION: u64 = 0x400_0000_0031;

fn nbss(message: &[u8]) -> Vec<u8> {
    [&u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A command of SMB 2.
fn command(code: u16, flags: u32, status: u32, message: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\xfeSMB\x40\x00\x01\x00".to_vec();
    bytes.extend(status.to_le_bytes());
    bytes.extend(code.to_le_bytes());
    bytes.extend([1, 0]);
    bytes.extend(flags.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(message.to_le_bytes());
    bytes.extend([0xff, 0xfe, 0, 0]);
    bytes.extend(TREE.to_le_bytes());
    bytes.extend(SESSION.to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend(body);
    bytes
}

fn ask(code: u16, message: u64, body: &[u8]) -> Vec<u8> {
    nbss(&command(code, 0, 0, message, body))
}

fn tell(code: u16, status: u32, message: u64, body: &[u8]) -> Vec<u8> {
    nbss(&command(code, 1, status, message, body))
}

/// Commands in one message, each at a multiple of eight.
fn chain(commands: &[Vec<u8>]) -> Vec<u8> {
    let mut message = Vec::new();
    for (at, one) in commands.iter().enumerate() {
        let mut one = one.clone();
        if at + 1 < commands.len() {
            one.resize(one.len().next_multiple_of(8), 0);
            let next = u32::try_from(one.len()).unwrap().to_le_bytes();
            one[20..24].copy_from_slice(&next);
        }
        message.extend(one);
    }
    nbss(&message)
}

fn tree_connect(path: &str) -> Vec<u8> {
    let path = wide(path);
    [&[9, 0, 0, 0, 72, 0][..], &u16::try_from(path.len()).unwrap().to_le_bytes(), &path].concat()
}

fn tree_connected(kind: u8) -> Vec<u8> {
    [&[16, 0, kind, 0][..], &[0; 12]].concat()
}

fn create(name: &str, options: u32) -> Vec<u8> {
    let name = wide(name);
    let mut body = vec![57, 0, 0, 0, 2, 0, 0, 0];
    body.extend([0; 16]);
    body.extend(0x0012_0089_u32.to_le_bytes());
    body.extend([0; 8]);
    body.extend(1_u32.to_le_bytes());
    body.extend(options.to_le_bytes());
    body.extend([120, 0]);
    body.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    body.extend([0; 8]);
    body.extend(name);
    body
}

fn created(file: [u8; 16], size: u64) -> Vec<u8> {
    let mut body = vec![89, 0, 0, 0, 1, 0, 0, 0];
    for time in [1_u64, 2, 3, 4] {
        body.extend(time.to_le_bytes());
    }
    body.extend([0; 8]);
    body.extend(size.to_le_bytes());
    body.extend([0; 8]);
    body.extend(file);
    body.extend([0; 8]);
    body
}

fn close(file: [u8; 16]) -> Vec<u8> {
    [&[24, 0, 0, 0, 0, 0, 0, 0][..], &file].concat()
}

fn write(file: [u8; 16], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_le_bytes();
    [&[49, 0, 112, 0][..], &length, &[0; 8], &file, &[0; 16], data].concat()
}

fn read(file: [u8; 16], length: u32) -> Vec<u8> {
    [&[49, 0, 0x50, 0][..], &length.to_le_bytes(), &[0; 8], &file, &[0; 16]].concat()
}

fn data(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [&[17, 0, 80, 0][..], &length, &[0; 8], bytes].concat()
}

fn transceive(file: [u8; 16], bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let mut body = vec![57, 0, 0, 0, 0x17, 0xc0, 0x11, 0];
    body.extend(file);
    body.extend([120, 0, 0, 0]);
    body.extend(length);
    body.extend([0; 24]);
    body.extend(bytes);
    body
}

fn transceived(file: [u8; 16], bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let mut body = vec![49, 0, 0, 0, 0x17, 0xc0, 0x11, 0];
    body.extend(file);
    body.extend([0; 8]);
    body.extend([112, 0, 0, 0]);
    body.extend(length);
    body.extend([0; 8]);
    body.extend(bytes);
    body
}

/// Bind of svcctl 2.0 in call 2.
const BIND: &[u8] = b"\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00\x00\x00\x02\x00\x00\x00\xb8\x10\xb8\x10\x00\x00\x00\x00\
    \x01\x00\x00\x00\x00\x00\x01\x00\x81\xbb\x7a\x36\x44\x98\xf1\x35\xad\x32\x98\xf0\x38\x00\x10\x03\x02\x00\x00\x00\
    \x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\x00\x2b\x10\x48\x60\x02\x00\x00\x00";
const BIND_ACK: &[u8] =
    b"\x05\x00\x0c\x03\x10\x00\x00\x00\x44\x00\x00\x00\x02\x00\x00\x00\xb8\x10\xb8\x10\x01\x00\x00\x00\
    \x0d\x00\\PIPE\\ntsvcs\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\
    \x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\x00\x2b\x10\x48\x60\x02\x00\x00\x00";
/// Call 3: operation 12 with four bytes.
const CALL: &[u8] =
    b"\x05\x00\x00\x03\x10\x00\x00\x00\x1c\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x00\x00\x0c\x00abcd";
const RESULT: &[u8] =
    b"\x05\x00\x02\x03\x10\x00\x00\x00\x1e\x00\x00\x00\x03\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00abcdef";

fn commands(bench: &Bench) -> Vec<SmbCommand> {
    let all = bench.all(|one| if let Transaction::Smb(one) = one { Some(&**one) } else { None });
    all.into_iter().cloned().collect()
}

fn only(bench: &Bench) -> SmbCommand {
    let mut all = commands(bench);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn dialects_and_server_are_read() {
    let mut request = vec![36, 0, 2, 0, 1, 0, 0, 0];
    request.extend([0; 28]);
    request.extend([0x02, 0x02, 0x11, 0x03]);
    let mut response = vec![65, 0, 1, 0, 0x11, 0x03, 0, 0];
    response.extend(FILE);
    response.extend([0; 40]);
    let mut bench = Bench::to_port(445);
    bench.stream(Originator, &ask(0, 0, &request)).stream(Responder, &tell(0, 0, 0, &response));
    let one = only(&bench);
    assert_eq!((one.id, &*one.dialect, one.command), (1, "3.11", SmbCode::V2(0)));
    assert_eq!(one.status, Some(SmbStatus::Nt(0)));
    let SmbDetail::Negotiate { client_dialects, server_guid } = &one.detail else { panic!("{one:?}") };
    assert_eq!(client_dialects.iter().map(|one| &**one).collect::<Vec<_>>(), ["2.02", "3.11"]);
    assert_eq!(*server_guid, Some(FILE));
}

#[test]
fn a_negotiation_may_begin_as_smb_1() {
    let mut request = b"\xffSMB\x72\0\0\0\0\x18\x53\xc8".to_vec();
    request.extend([0; 20]);
    request.extend(b"\0\x18\0\x02NT LM 0.12\0\x02SMB 2.???\0");
    let mut response = vec![65, 0, 1, 0, 0xff, 0x02, 0, 0];
    response.extend(FILE);
    response.extend([0; 40]);
    let mut bench = Bench::to_port(445);
    bench.stream(Originator, &nbss(&request)).stream(Responder, &tell(0, 0, 0, &response));
    let one = only(&bench);
    assert_eq!((one.command, &*one.dialect), (SmbCode::V1(0x72), "2.??"));
    let SmbDetail::Negotiate { client_dialects, .. } = &one.detail else { panic!("{one:?}") };
    assert_eq!(client_dialects.len(), 2);
    assert_eq!(&*client_dialects[1], "SMB 2.???");
}

#[test]
fn a_share_is_named() {
    let mut bench = Bench::to_port(445);
    bench
        .stream(Originator, &ask(3, 4, &tree_connect(r"\\DC1\C$")))
        .stream(Responder, &tell(3, 0, 4, &tree_connected(1)));
    let one = only(&bench);
    let SmbDetail::TreeConnect(share) = &one.detail else { panic!("{one:?}") };
    assert_eq!((&*share.name, share.kind), (r"\\DC1\C$", SmbShareKind::Disk));
    assert_eq!((one.session, one.tree), (SESSION, TREE));
    assert_eq!(&*one.dialect, "", "nobody said");
}

#[test]
fn a_refusal_has_its_status() {
    let mut bench = Bench::to_port(445);
    bench.stream(Originator, &ask(3, 4, &tree_connect(r"\\DC1\ADMIN$")));
    bench.stream(Responder, &tell(3, 0xc000_0022, 4, &[9, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(only(&bench).status.and_then(SmbStatus::name), Some("STATUS_ACCESS_DENIED"));
    assert_eq!(bench.malformed(), 0);
}

#[test]
fn a_file_is_opened_and_marked_for_deletion() {
    let mut bench = Bench::to_port(445);
    bench.stream(Originator, &ask(5, 7, &create(r"Users\a.txt", 0x1000)));
    bench.stream(Responder, &tell(5, 0, 7, &created(FILE, 1234)));
    let one = only(&bench);
    let SmbDetail::Create(file) = &one.detail else { panic!("{one:?}") };
    assert_eq!((&*file.name, file.delete_on_close, file.is_directory), (r"Users\a.txt", true, false));
    assert_eq!((file.disposition, file.access), (1, 0x0012_0089));
    let opened = file.opened.unwrap();
    assert_eq!((opened.file, opened.times, opened.size), (FILE, [1, 2, 3, 4], 1234));
}

#[test]
fn an_answer_that_is_pending_is_waited_for() {
    let mut bench = Bench::to_port(445);
    bench.stream(Originator, &ask(5, 7, &create("a", 0)));
    bench.stream(Responder, &nbss(&command(5, 3, 0x103, 7, &[9, 0, 0, 0, 0, 0, 0, 0, 0])));
    assert!(commands(&bench).is_empty());
    bench.stream(Responder, &nbss(&command(5, 3, 0, 7, &created(FILE, 1))));
    assert_eq!(only(&bench).status, Some(SmbStatus::Nt(0)));
}

#[test]
fn a_chain_is_read_command_by_command() {
    let related = |code, message, body: &[u8]| command(code, 4, 0, message, body);
    let request = chain(&[
        command(5, 0, 0, 7, &create("x", 0)),
        related(16, 8, &[0; 40]),
        related(6, 9, &close(BEFORE)),
    ]);
    let response = chain(&[
        command(5, 1, 0, 7, &created(FILE, 1)),
        command(16, 5, 0, 8, &[9, 0, 72, 0, 0, 0, 0, 0]),
        command(6, 5, 0, 9, &[60, 0]),
    ]);
    let mut bench = Bench::to_port(445);
    bench.stream(Originator, &request).stream(Responder, &response);
    let codes: Vec<_> = commands(&bench).iter().map(|one| (one.id, one.command)).collect();
    assert_eq!(codes, [(1, SmbCode::V2(5)), (2, SmbCode::V2(6))], "information is no unit of its own");
}

#[test]
fn what_was_read_is_said_when_the_file_is_closed() {
    let mut bench = Bench::to_port(445);
    bench
        .stream(Originator, &ask(3, 1, &tree_connect(r"\\A\B")))
        .stream(Responder, &tell(3, 0, 1, &tree_connected(1)));
    bench
        .stream(Originator, &ask(5, 2, &create("big.bin", 0)))
        .stream(Responder, &tell(5, 0, 2, &created(FILE, 9)));
    bench.stream(Originator, &ask(8, 3, &read(FILE, 1 << 20)));
    for piece in tell(8, 0, 3, &data(&vec![7; 1 << 20])).chunks(1460) {
        bench.stream(Responder, piece);
    }
    bench.stream(Originator, &ask(6, 4, &close(FILE))).stream(Responder, &tell(6, 0, 4, &[60, 0]));
    let all = commands(&bench);
    let SmbDetail::Transfer(file) = &all[2].detail else { panic!("{all:?}") };
    assert_eq!((&*file.name, file.bytes, file.is_write, file.is_closed), ("big.bin", 1 << 20, false, true));
    assert_eq!((all[2].command, all[3].command), (SmbCode::V2(8), SmbCode::V2(6)));
    assert_eq!(bench.malformed(), 0);
}

#[test]
fn a_rename_says_both_names() {
    let to = wide(r"b\new.pdf");
    let length = u32::try_from(to.len()).unwrap();
    let mut body = vec![33, 0, 1, 10];
    body.extend((length + 20).to_le_bytes());
    body.extend([96, 0, 0, 0, 0, 0, 0, 0]);
    body.extend(FILE);
    body.extend([0; 16]);
    body.extend(length.to_le_bytes());
    body.extend(to);
    let mut bench = Bench::to_port(445);
    bench
        .stream(Originator, &ask(5, 2, &create(r"a\old.pdf", 0)))
        .stream(Responder, &tell(5, 0, 2, &created(FILE, 9)));
    bench.stream(Originator, &ask(17, 3, &body)).stream(Responder, &tell(17, 0, 3, &[2, 0]));
    let all = commands(&bench);
    let SmbDetail::Rename { from, to, .. } = &all[1].detail else { panic!("{all:?}") };
    assert_eq!((&**from, &**to), (r"a\old.pdf", r"b\new.pdf"));
}

#[test]
fn calls_go_through_pipes() {
    let mut bench = Bench::to_port(445);
    bench
        .stream(Originator, &ask(3, 1, &tree_connect(r"\\A\IPC$")))
        .stream(Responder, &tell(3, 0, 1, &tree_connected(2)));
    bench
        .stream(Originator, &ask(5, 2, &create("svcctl", 0)))
        .stream(Responder, &tell(5, 0, 2, &created(FILE, 0)));
    bench
        .stream(Originator, &ask(9, 3, &write(FILE, BIND)))
        .stream(Responder, &tell(9, 0, 3, &[17, 0, 0, 0]));
    bench
        .stream(Originator, &ask(8, 4, &read(FILE, 1024)))
        .stream(Responder, &tell(8, 0, 4, &data(BIND_ACK)));
    bench.stream(Originator, &ask(11, 5, &transceive(FILE, CALL)));
    bench.stream(Responder, &tell(11, 0, 5, &transceived(FILE, RESULT)));
    let all = commands(&bench);
    let rpc = |at: usize| {
        let SmbDetail::Rpc(call) = &all[at].detail else { panic!("{all:?}") };
        (all[at].command, &**call)
    };
    let (carrier, bind) = rpc(2);
    assert_eq!(
        (carrier, bind.request, bind.response),
        (SmbCode::V2(9), Some(RpcType::Bind), Some(RpcType::BindAck))
    );
    assert_eq!(bind.interfaces[0].uuid.interface_name(), Some("svcctl"));
    assert_eq!((bind.interfaces[0].version, bind.interfaces[0].answer), ((2, 0), Some((0, 0))));
    let (carrier, call) = rpc(3);
    assert_eq!((carrier, call.response), (SmbCode::V2(11), Some(RpcType::Response)));
    let uuid = call.interface.unwrap();
    assert_eq!(uuid.operation_name(call.operation), Some("RCreateServiceW"));
    assert_eq!((call.sent.bytes, call.received.bytes), (4, 6));
    assert_eq!(all.len(), 4);
}

#[test]
fn names_of_smb_1_are_read() {
    let header = |code: u8, flags: u8, status: u32| {
        let mut bytes = b"\xffSMB".to_vec();
        bytes.push(code);
        bytes.extend(status.to_le_bytes());
        bytes.extend([flags, 1, 0xc0, 0, 0]);
        bytes.extend([0; 10]);
        bytes.extend([8, 0, 1, 0, 100, 0, 2, 0]);
        bytes
    };
    let mut request = header(0x75, 0x18, 0);
    request.extend([4, 0xff, 0, 0, 0, 0, 0, 1, 0]);
    // One byte of a password puts the path at an even place.
    let mut bytes = vec![0];
    bytes.extend(wide("\\\\S\\X\0"));
    bytes.extend(b"?????\0");
    request.extend(u16::try_from(bytes.len()).unwrap().to_le_bytes());
    request.extend(bytes);
    let mut response = header(0x75, 0x98, 0);
    response.extend([3, 0xff, 0, 0, 0, 0, 0, 3, 0, b'A', b':', 0]);
    let mut bench = Bench::to_port(139);
    bench.stream(Originator, &nbss(&request)).stream(Responder, &nbss(&response));
    let one = only(&bench);
    let SmbDetail::TreeConnect(share) = &one.detail else { panic!("{one:?}") };
    assert_eq!((&*share.name, share.kind), (r"\\S\X", SmbShareKind::Disk));
    assert_eq!((one.tree, one.session), (8, 100));
    assert_eq!(share.services, Some(["?????".into(), "A:".into()]));
}

#[test]
fn an_error_of_dos_is_told_from_an_ntstatus() {
    let mut request = b"\xffSMB\x74\0\0\0\0\x18\x01\x00".to_vec();
    request.extend([0; 20]);
    request.extend([2, 0xff, 0, 0, 0, 0, 0]);
    let mut response = b"\xffSMB\x74\x02\0\x5b\0\x98\x01\x00".to_vec();
    response.extend([0; 20]);
    response.extend([0, 0, 0]);
    let mut bench = Bench::to_port(445);
    bench.stream(Originator, &nbss(&request)).stream(Responder, &nbss(&response));
    assert_eq!(only(&bench).status, Some(SmbStatus::Dos(2, 0x5b)));
}

#[test]
fn the_session_service_may_come_first() {
    let mut bench = Bench::to_port(139);
    let mut request = vec![0x81, 0, 0, 0x44, 0x20];
    request.extend([b'C'; 67]);
    bench.stream(Originator, &request).stream(Responder, &[0x82, 0, 0, 0]);
    bench.stream(Originator, &ask(13, 1, &[4, 0, 0, 0])).stream(Responder, &[0x85, 0, 0, 0]);
    bench.stream(Responder, &tell(13, 0, 1, &[4, 0, 0, 0]));
    assert_eq!(only(&bench).command.name(), Some("SMB2_COMMAND_KEEPALIVE"));
}

#[test]
fn a_byte_that_keeps_tcp_alive_does_not_shift_what_follows() {
    let mut bench = Bench::to_port(445);
    bench.stream(Originator, &ask(13, 1, &[4, 0, 0, 0])).stream(Responder, &[0]);
    bench.stream(Responder, &tell(13, 0, 1, &[4, 0, 0, 0]));
    assert_eq!(only(&bench).status, Some(SmbStatus::Nt(0)));
    assert_eq!(bench.malformed(), 0);
}

#[test]
fn encryption_is_noted_once() {
    let mut bench = Bench::to_port(445);
    let sealed = nbss(&[b"\xfdSMB".to_vec(), vec![0x5a; 100]].concat());
    bench.stream(Originator, &sealed).stream(Responder, &sealed).stream(Originator, &sealed);
    assert_eq!(only(&bench).detail, SmbDetail::Encrypted);
    assert_eq!(bench.malformed(), 0);
}

#[test]
fn a_gap_within_a_message_is_stepped_over() {
    let mut bench = Bench::to_port(445);
    let message = ask(9, 3, &write(FILE, &[1; 6000]));
    bench.stream(Originator, &message[..1000]).lose(Originator, Some(500));
    bench.stream(Originator, &message[1500..]).stream(Originator, &ask(13, 4, &[4, 0, 0, 0]));
    bench.finish();
    assert!(commands(&bench).iter().any(|one| one.command == SmbCode::V2(13)), "{:?}", commands(&bench));
    assert_eq!(bench.malformed(), 0);
}

#[test]
fn after_a_gap_of_unknown_length_a_message_is_found_again() {
    let mut bench = Bench::to_port(445);
    bench.stream(Originator, &ask(13, 1, &[4, 0, 0, 0])).lose(Originator, None);
    bench.stream(Originator, &[0x41; 3000]).stream(Originator, &ask(13, 2, &[4, 0, 0, 0])).finish();
    assert_eq!(commands(&bench).len(), 2);
}

#[test]
fn many_requests_without_an_answer_are_bounded() {
    let mut bench = Bench::to_port(445);
    for message in 0..1000 {
        bench.stream(Originator, &ask(13, message, &[4, 0, 0, 0]));
    }
    assert_eq!(commands(&bench).len(), 1000 - 256, "the oldest were given up");
    assert_eq!(bench.anomalies(), ["too_many_transactions"]);
    bench.finish();
    assert_eq!(commands(&bench).len(), 1000);
}

#[test]
fn long_chains_cost_as_much_as_they_are_long() {
    let commands = vec![command(13, 0, 0, 1, &[]); 100_000];
    let mut bench = Bench::to_port(445);
    let bytes = chain(&commands);
    for piece in bytes.chunks(1460) {
        bench.stream(Originator, piece);
    }
    assert!(bench.calls < 120_000, "{}", bench.calls);
    assert!(!bench.is_opaque());
}

#[test]
fn a_huge_length_is_not_waited_for() {
    let mut bench = Bench::to_port(445);
    let mut bytes = ask(9, 3, &write(FILE, &[]));
    bytes[1..4].copy_from_slice(&[0xff; 3]);
    bench.stream(Originator, &bytes).stream(Originator, &[0; 10_000]);
    // The command was read; all else of it is stepped over.
    assert!(bench.calls < 10, "{}", bench.calls);
    assert!(bench.anomalies().is_empty());
}

#[test]
fn garbage_is_malformed() {
    let mut bench = Bench::to_port(445);
    bench.stream(Originator, &ask(13, 1, &[4, 0, 0, 0])).stream(Originator, &[9, 9, 9, 9, 9]);
    assert_eq!((bench.malformed(), bench.anomalies()), (1, vec!["malformed_data"]));
    let mut bench = Bench::to_port(445);
    bench.stream(Originator, &ask(99, 1, &[4, 0, 0, 0]));
    assert_eq!(bench.anomalies(), ["malformed_data"], "no such command");
}

proptest::proptest! {
    #[test]
    fn nothing_panics(code in 0_u16..20, flags in 0_u32..8, body: Vec<u8>, piece in 1_usize..300) {
        let two = command(code, flags, 0, 0, &body);
        let mut one = b"\xffSMB".to_vec();
        one.push(u8::try_from(code).unwrap() + 0x70);
        one.extend([0; 4]);
        one.push(if flags & 1 == 0 { 0x18 } else { 0x98 });
        one.extend([0; 22]);
        one.extend(&body);
        let all = [nbss(&two), nbss(&one), chain(&[two.clone(), two]), body].concat();
        Bench::to_port(445).torture(&all, piece);
    }
}
