//! No payload on the wire: everything that an agent would send about captures, before it is encrypted, searched for every run of
//! 16 bytes of what the conversations in them said.
//!
//! 16 bytes: no such run is there by chance (10^8 of them against 10^8 sent are 10^16 pairs of 2^128), and whoever sent a password,
//! a line of a mail or a piece of a file would send one. What is sent on purpose (`docs/privacy.md`) is found too, since it comes
//! from the payload: names that were looked up, and the like. It counts as declared where the whole run, and no more, lies in a
//! field of [`DECLARED`]. Letters count without their case, so that a copy in lower case is found as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use sekimori_delivery::lanes::Lanes;
use sekimori_wire::batch::Lane;
use sekimori_wire::envelope::SigningKey;
use sekimori_wire::limits::BATCH_BYTES_MAX;
use serde_json::Value;

use crate::support::{Agent, Collector, pcap};

const RUN: usize = 16;
/// Fields that carry a piece of what was said, on purpose: the table of `docs/privacy.md`.
const DECLARED: &[&str] = &[
    // Names of hosts: looked up, asked for in TLS or HTTP, certified.
    "domains.name",
    "flows.server_name",
    "targets",
    "evidence.inputs.server_name",
    "evidence.inputs.certificate_names",
    "evidence.inputs.names_sample",
    // Programs as they name themselves to everybody.
    "evidence.inputs.client",
    "evidence.inputs.server",
    "evidence.inputs.problems",
    "evidence.inputs.scanner",
    // Alerts of endpoint products, which were sent to be read here.
    "name",
    "original",
    "vendor",
    "process",
    "file_sha256",
    // Sentences that quote the above.
    "title.en",
    "title.ja",
    "explanation.en",
    "explanation.ja",
];

/// What was sent: all of it as bytes, and its texts by where they stand.
#[derive(Default)]
struct Sent {
    bytes: Vec<u8>,
    texts: Vec<(String, Vec<u8>)>,
    batches: usize,
}

/// Everything in the agent's spool: what is there is what is sent, byte for byte, in envelopes.
fn sent(agent: &Agent) -> Sent {
    let pkcs8 = std::fs::read(agent.identity("signing-key.p8")).expect("a key");
    let key = SigningKey::from_pkcs8(&pkcs8).expect("a key");
    let key = key.verifying_key();
    let lanes = Lanes::open(&agent.state.join("spool"), 1 << 30).expect("a spool");
    let mut sent = Sent::default();
    for lane in Lane::ALL {
        for (_, envelope) in lanes.of_lane(lane).oldest_unacked(usize::MAX, usize::MAX).expect("a spool") {
            let batch = envelope.verify(key.id(), key).expect("sealed by this agent").into_inner();
            let mut plain = decompressed(&envelope.to_bytes());
            plain.make_ascii_lowercase();
            sent.bytes.append(&mut plain);
            sent.batches += 1;
            for record in &batch.records {
                texts(&serde_json::to_value(record).expect("JSON"), String::new(), &mut sent.texts);
            }
        }
    }
    sent
}

/// Where what the agent measured stands.
const MEASURED: &str = "(an address or a time)";

/// Addresses and times are the agent's own, whoever else wrote the same into a payload.
fn is_measured(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_mac = bytes.len() == 17 && bytes.iter().skip(2).step_by(3).all(|byte| *byte == b':');
    let is_time = bytes.len() >= 20 && bytes.ends_with(b"Z") && bytes[4] == b'-' && bytes[10] == b'T';
    is_mac || is_time || text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok()
}

/// The one compressed thing in an envelope.
fn decompressed(envelope: &[u8]) -> Vec<u8> {
    let begins = envelope.windows(4).position(|four| four == [0x28, 0xb5, 0x2f, 0xfd]).expect("a zstd frame");
    let frame = zstd::stream::read::Decoder::new(&envelope[begins..]).expect("a zstd frame").single_frame();
    let mut plain = Vec::new();
    frame.take(BATCH_BYTES_MAX as u64 + 1).read_to_end(&mut plain).expect("a whole frame");
    plain
}

/// Every text of a record, under the names that lead to it.
fn texts(value: &Value, path: String, out: &mut Vec<(String, Vec<u8>)>) {
    match value {
        Value::String(text) if is_measured(text) => {
            let mut bytes = text.to_ascii_lowercase().into_bytes();
            out.push((MEASURED.to_owned(), std::mem::take(&mut bytes)));
            if let Ok(IpAddr::V6(address)) =
                text.parse::<SocketAddr>().map_or_else(|_| text.parse(), |end| Ok(end.ip()))
            {
                let mut octets = vec![16];
                octets.extend(address.octets().map(|byte| byte.to_ascii_lowercase()));
                out.push((MEASURED.to_owned(), octets));
            }
        }
        Value::String(text) => {
            // A text of 15 letters stands behind its length, in our encoding as in many others.
            let mut bytes: Vec<u8> = u8::try_from(text.len()).into_iter().collect();
            bytes.extend(text.to_ascii_lowercase().into_bytes());
            out.push((path, bytes));
        }
        Value::Array(all) => all.iter().for_each(|one| texts(one, path.clone(), out)),
        Value::Object(all) => {
            for (name, one) in all {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                texts(one, path, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What TCP and UDP carried in each frame of a capture, in lower case.
fn payloads(path: &Path, mut each: impl FnMut(&[u8])) {
    let Ok(mut reader) = create_reader(1 << 20, File::open(path).expect("a capture")) else { return };
    let mut links = Vec::new();
    let mut one = |link: Linktype, frame: &[u8]| {
        if let Some(payload) = transport(link, frame).filter(|payload| payload.len() >= RUN) {
            each(&payload.to_ascii_lowercase());
        }
    };
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => links = vec![header.network],
                    PcapBlockOwned::Legacy(packet) => one(links[0], packet.data),
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => links.clear(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        links.push(interface.linktype);
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        if let Some(link) = links.get(packet.if_id as usize) {
                            one(*link, packet.data);
                        }
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(used);
            }
            Err(PcapError::Incomplete(_)) => {
                if reader.reader_exhausted() || reader.refill().is_err() {
                    return;
                }
            }
            // Its end, or where it is damaged.
            Err(_) => return,
        }
    }
}

fn transport(link: Linktype, frame: &[u8]) -> Option<&[u8]> {
    let u16_at = |at: usize| Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    let ip = match link {
        Linktype::ETHERNET => {
            let mut at = 12;
            while matches!(u16_at(at)?, 0x8100 | 0x88a8) {
                at += 4;
            }
            frame.get(at + 2..)?
        }
        Linktype::RAW => frame,
        Linktype::LINUX_SLL => frame.get(16..)?,
        Linktype::NULL | Linktype::LOOP => frame.get(4..)?,
        _ => return None,
    };
    let (protocol, rest) = match ip.first()? >> 4 {
        4 => {
            let length = usize::from(u16::from_be_bytes(ip.get(2..4)?.try_into().ok()?)).min(ip.len());
            (*ip.get(9)?, ip.get(usize::from(ip[0] & 0x0f) * 4..length)?)
        }
        6 => (*ip.get(6)?, ip.get(40..)?),
        _ => return None,
    };
    match protocol {
        6 => rest.get(usize::from(*rest.get(12)? >> 4) * 4..),
        17 => rest.get(8..),
        _ => None,
    }
}

/// Runs of bytes as a set that takes a few bits for each: what it does not hold is not there.
struct Runs(Vec<u64>);

const BITS: usize = 30;

fn hashed(run: &[u8]) -> usize {
    let half = |at: usize| u64::from_le_bytes(run[at..at + 8].try_into().expect("eight bytes"));
    let mixed = (half(0) ^ half(8).rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ half(8);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    usize::try_from(mixed >> (64 - BITS)).expect("30 bits")
}

impl Runs {
    fn of(bytes: &[u8]) -> Self {
        let mut bits = vec![0; (1 << BITS) / 64];
        for run in bytes.windows(RUN) {
            let at = hashed(run);
            bits[at / 64] |= 1 << (at % 64);
        }
        Self(bits)
    }

    fn may_hold(&self, run: &[u8]) -> bool {
        let at = hashed(run);
        self.0[at / 64] & (1 << (at % 64)) != 0
    }
}

/// Filling says nothing: zeros, one letter again and again, a counter's pattern.
fn says_something(run: &[u8]) -> bool {
    run.iter().collect::<BTreeSet<_>>().len() >= 5
}

/// Runs by the fields that they stand in, each with an example of such a field; `None`: outside of all texts.
type Found = BTreeMap<Option<String>, BTreeMap<Vec<u8>, Vec<u8>>>;

/// What was found of the captures' payload.
fn found(sent: &Sent, captures: &[PathBuf]) -> (usize, Found) {
    let runs = Runs::of(&sent.bytes);
    let mut candidates: BTreeSet<[u8; RUN]> = BTreeSet::new();
    let mut searched = 0;
    for capture in captures {
        payloads(capture, |payload| {
            searched += payload.len() - RUN + 1;
            let hits = payload.windows(RUN).filter(|run| runs.may_hold(run) && says_something(run));
            candidates.extend(hits.map(|run| <[u8; RUN]>::try_from(run).expect("sixteen bytes")));
        });
    }
    // What our own program says in its own words is nobody's payload.
    let mut program = std::fs::read(crate::support::program("sekimori-agent")).expect("our own program");
    program.make_ascii_lowercase();
    let own: BTreeSet<&[u8]> = program.windows(RUN).filter(|run| candidates.contains(*run)).collect();
    let mut found = Found::new();
    let there: BTreeSet<&[u8]> =
        sent.bytes.windows(RUN).filter(|run| candidates.contains(*run) && !own.contains(*run)).collect();
    let mut placed: BTreeSet<&[u8]> = BTreeSet::new();
    for (path, text) in &sent.texts {
        for run in text.windows(RUN) {
            if let Some(known) = there.get(run) {
                placed.insert(known);
                found.entry(Some(path.clone())).or_default().insert(run.to_vec(), text.clone());
            }
        }
    }
    for run in there.difference(&placed) {
        // The beginning of a text, behind the zeros that end what stands before it; or its end, with the two bytes of our own
        // encoding that follow.
        let zeros = run.iter().take_while(|byte| **byte == 0).count();
        let text = sent.texts.iter().find(|(_, text)| {
            (zeros > 0 && text.starts_with(&run[zeros..]))
                || (1..=2).any(|cut| text.ends_with(&run[..RUN - cut]))
        });
        let (path, text) = text.map_or((None, Vec::new()), |(path, text)| (Some(path.clone()), text.clone()));
        found.entry(path).or_default().insert(run.to_vec(), text);
    }
    (searched, found)
}

/// Replays captures into the spool of an agent whose collector is away, and looks at what would be sent.
#[expect(clippy::print_stdout, reason = "the figures of docs/privacy.md")]
fn search(name: &str, captures: &[PathBuf]) -> Vec<String> {
    let mut collector = Collector::start();
    let agent = collector.enrol("422011", name);
    collector.kill_hard();
    let mut replay = std::process::Command::new(crate::support::program("sekimori-agent"));
    replay.args(["replay", "--ship", "--quiet", "--ship-timeout", "1", "--state"]).arg(&agent.state);
    let output = replay.args(captures).output().expect("the agent starts");
    let sent = sent(&agent);
    assert!(sent.batches > 0, "{}", crate::support::said(&output));
    let (searched, found) = found(&sent, captures);
    println!(
        "{name}: {} captures, {searched} runs of payload searched for in {} bytes of {} batches",
        captures.len(),
        sent.bytes.len(),
        sent.batches
    );
    let mut leaks = Vec::new();
    for (path, runs) in &found {
        let show = |(run, text): (&Vec<u8>, &Vec<u8>)| {
            format!("{:?} in {:?}", String::from_utf8_lossy(run), String::from_utf8_lossy(text))
        };
        let examples: Vec<_> = runs.iter().step_by(runs.len().div_ceil(4)).map(show).collect();
        println!("  {}: {} runs, such as {examples:?}", path.as_deref().unwrap_or("(bytes)"), runs.len());
        if !path.as_deref().is_some_and(|path| path == MEASURED || DECLARED.contains(&path)) {
            leaks.push(format!("{name}: {path:?}: {examples:?}"));
        }
    }
    assert!(searched > 1_000_000, "payload was searched for: {searched} runs");
    leaks
}

fn captures(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|cause| panic!("{}: {cause}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            captures(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "pcap" || ending == "pcapng") {
            out.push(path);
        }
    }
    out.sort();
}

#[test]
fn nothing_that_was_said_in_our_captures_is_sent() {
    let mut all = Vec::new();
    let one = pcap("scan.port/positive-outside.pcap");
    captures(one.ancestors().nth(2).expect("the folder of captures"), &mut all);
    let leaks = search("ours", &all);
    assert!(leaks.is_empty(), "not declared, and sent:\n{}", leaks.join("\n"));
}

#[test]
fn nothing_that_was_said_in_real_captures_is_sent() {
    let Some(corpora) = crate::corpora::corpora() else { return };
    let mut leaks = Vec::new();
    for name in ["attack", "benign", "protocol"] {
        let mut all = Vec::new();
        captures(&corpora.join(name), &mut all);
        leaks.extend(search(name, &all));
    }
    assert!(leaks.is_empty(), "not declared, and sent:\n{}", leaks.join("\n"));
}
