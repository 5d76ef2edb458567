//! Reading a bundle and believing nothing in it but signatures.

use std::collections::HashMap;
use std::io::{BufRead, Read as _};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sekimori_wire::batch::{Batch, Lane};
use sekimori_wire::bundle::CARRY_LABEL;
use sekimori_wire::envelope::{Envelope, Verified, VerifyingKey};
use sekimori_wire::id::{AgentId, Digest};
use sekimori_wire::keyring::KeyRing;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{FORMAT, SEAL_LABEL, iter_said, without_body};

/// Longest line: a batch in base64 and its names.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// Agents, and batches behind findings, that are remembered while reading.
const KEPT_MAX: usize = 100_000;

/// What a good bundle holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Lines, with the seal.
    pub lines: u64,
    /// Agents.
    pub agents: u64,
    /// Batches: whole, signed by their agent, in order where their neighbours are in the bundle.
    pub batches: u64,
    /// Findings: each is in its batch, word for word.
    pub findings: u64,
    /// Of a whole store: chains that are complete to their end.
    pub chains: u64,
    /// By whom.
    pub sealed: Sealed,
}

/// Who signed the last line of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sealed {
    /// Nobody yet.
    #[default]
    Not,
    /// A collector whose key has this hash, hexadecimal.
    Collector(String),
    /// The agent whose spool it is from.
    Agent(AgentId),
}

/// The first line that is not good, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadBundle {
    /// From 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Bundle { format: u64, of: Of },
    Agent { id: String, key: String },
    Key { agent: String, from_epoch: u64, key: String, voucher: String },
    Incident {},
    Change {},
    Report {},
    Anchor { agent: String, lane: u64, epoch: u64, through: u64, digest: String },
    Batch { agent: String, lane: u64, epoch: u64, seq: u64, envelope: String },
    Finding { agent: String, lane: u64, epoch: u64, seq: u64, finding: Value },
    Head { agent: String, lane: u64, epoch: u64, through: u64, digest: String },
    Seal { lines: u64, sha256: String, collector_key: String, signature: String },
    Carried { lines: u64, sha256: String, agent: String, signature: String },
}

/// What a bundle is of.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Of {
    Incident(IgnoredAny),
    Store {},
    Spool {},
    Report(IgnoredAny),
}

/// A batch's name: agent, lane, epoch, number.
type Place = (String, u64, u64, u64);

/// The batch read last.
struct Last {
    place: Place,
    digest: Digest,
}

struct Reader {
    line: u64,
    digest: Context,
    of: Of,
    agents: HashMap<String, KeyRing>,
    last: Option<Last>,
    /// Where chains begin whose first batches were dropped: by agent, lane and epoch.
    anchors: HashMap<(String, u64, u64), (u64, String)>,
    /// Ends of the chains that were read.
    ends: HashMap<(String, u64), (u64, u64, Digest)>,
    /// Of an incident's bundle: what its batches say.
    batches: HashMap<Place, Vec<Digest>>,
    found: Checked,
}

/// Reads a bundle to its seal.
///
/// # Errors
/// The first line that is not good.
pub fn check(from: impl BufRead) -> Result<Checked, BadBundle> {
    read(from, drop)
}

/// The same for what was carried from an agent's spool; each batch that is good so far is handed to `take` as it is read, and
/// only the end tells whether all of it is.
///
/// # Errors
/// The first line that is not good.
pub fn check_carried(
    from: impl BufRead,
    take: impl FnMut((Lane, Envelope)),
) -> Result<(AgentId, Checked), BadBundle> {
    let found = read(from, take)?;
    match found.sealed {
        Sealed::Agent(agent) => Ok((agent, found)),
        Sealed::Not | Sealed::Collector(_) => {
            Err(BadBundle { line: 1, why: "this is not what an agent took out of its spool".to_owned() })
        }
    }
}

fn read(mut from: impl BufRead, mut take: impl FnMut((Lane, Envelope))) -> Result<Checked, BadBundle> {
    let mut reader = Reader {
        line: 0,
        digest: Context::new(&SHA256),
        of: Of::Store {},
        agents: HashMap::new(),
        last: None,
        anchors: HashMap::new(),
        ends: HashMap::new(),
        batches: HashMap::new(),
        found: Checked::default(),
    };
    let mut sealed = false;
    let mut text = Vec::new();
    loop {
        text.clear();
        reader.line += 1;
        let read = from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
        match read.map_err(|cause| reader.bad(&format!("cannot be read: {cause}")))? {
            0 if sealed => return Ok(reader.found),
            0 => return Err(reader.bad("the bundle ends here, without its seal")),
            _ if sealed => return Err(reader.bad("something follows the seal")),
            _ => {}
        }
        if text.last() != Some(&b'\n') {
            return Err(reader.bad("the line is cut, or longer than any of ours"));
        }
        let line: Line = serde_json::from_slice(&text)
            .map_err(|cause| reader.bad(&format!("not a line of a bundle: {cause}")))?;
        if matches!(line, Line::Bundle { .. }) != (reader.line == 1) {
            return Err(reader.bad("a bundle begins with its header, once"));
        }
        sealed = matches!(line, Line::Seal { .. } | Line::Carried { .. });
        if let Some(envelope) = reader.take(line)? {
            take(envelope);
        }
        if !sealed {
            reader.digest.update(&text);
        }
    }
}

impl Reader {
    fn bad(&self, why: &str) -> BadBundle {
        BadBundle { line: self.line, why: why.to_owned() }
    }

    /// Checks a line; the batch, if it is one.
    fn take(&mut self, line: Line) -> Result<Option<(Lane, Envelope)>, BadBundle> {
        match line {
            Line::Bundle { format: FORMAT, of } => self.of = of,
            Line::Bundle { format, .. } => {
                return Err(self.bad(&format!("format {format} is not known to this version")));
            }
            Line::Agent { id, key } => self.agent(id, &key)?,
            Line::Key { agent, from_epoch, key, voucher } => self.key(&agent, from_epoch, &key, &voucher)?,
            Line::Incident {} | Line::Change {} => {}
            Line::Report {} => {
                if !matches!(self.of, Of::Report(_)) {
                    return Err(self.bad("a report in a bundle of something else"));
                }
            }
            Line::Anchor { agent, lane, epoch, through, digest } => {
                if self.anchors.len() >= KEPT_MAX || !matches!(self.of, Of::Store {}) {
                    return Err(self.bad("more anchors than a bundle may have, or not of a whole store"));
                }
                self.anchors.insert((agent, lane, epoch), (through, digest));
            }
            Line::Batch { agent, lane, epoch, seq, envelope } => {
                return self.batch((agent, lane, epoch, seq), &envelope).map(Some);
            }
            Line::Finding { agent, lane, epoch, seq, finding } => {
                self.finding(&(agent, lane, epoch, seq), finding)?;
            }
            Line::Head { agent, lane, epoch, through, digest } => {
                self.found.chains += 1;
                let end = self.ends.get(&(agent.clone(), lane));
                let is_there = end.is_some_and(|(at, seq, end)| {
                    (*at, *seq) == (epoch, through) && end.to_string() == digest
                });
                let anchor = self.anchors.get(&(agent.clone(), lane, epoch));
                let is_there = is_there || anchor.is_some_and(|at| *at == (through, digest.clone()));
                if !is_there {
                    let name = format!("agent {agent} lane {lane} epoch {epoch} batch {through}");
                    return Err(self.bad(&format!("{name}: the end of the chain is missing")));
                }
            }
            Line::Seal { lines, sha256, collector_key, signature } => {
                self.seal(lines, &sha256, &collector_key, &signature)?;
            }
            Line::Carried { lines, sha256, agent, signature } => {
                self.carried(lines, &sha256, &agent, &signature)?;
            }
        }
        Ok(None)
    }

    fn finding(&mut self, place: &Place, finding: Value) -> Result<(), BadBundle> {
        let Some(said) = self.batches.get(place) else {
            return Err(self.bad("the batch of this finding is not in the bundle"));
        };
        if !said.contains(&digest_of(&without_body(finding))) {
            return Err(self.bad("its signed batch does not say this finding"));
        }
        self.found.findings += 1;
        Ok(())
    }

    fn agent(&mut self, id: String, key: &str) -> Result<(), BadBundle> {
        let key = decoded(key).and_then(|bytes| VerifyingKey::from_bytes(&bytes));
        // An identity is the hash of its key: nobody need be believed about whose key it is.
        let Some(key) = key.filter(|key| key.id().to_string() == id) else {
            return Err(self.bad(&format!("agent {id}: this is not its key")));
        };
        if self.agents.len() >= KEPT_MAX {
            return Err(self.bad("more agents than a bundle may have"));
        }
        self.found.agents += 1;
        self.agents.insert(id, KeyRing::new(key));
        Ok(())
    }

    /// A later key of an agent, which the one before it must vouch for.
    fn key(&mut self, agent: &str, from: u64, key: &str, voucher: &str) -> Result<(), BadBundle> {
        let key = decoded(key).and_then(|bytes| VerifyingKey::from_bytes(&bytes));
        let parts = key.zip(decoded(voucher)).zip(self.agents.get_mut(agent));
        let vouched = parts.is_some_and(|((key, voucher), ring)| ring.vouch(from, key, &voucher).is_ok());
        if vouched { Ok(()) } else { Err(self.bad(&format!("agent {agent}: nobody vouches for this key"))) }
    }

    fn batch(&mut self, place: Place, envelope: &str) -> Result<(Lane, Envelope), BadBundle> {
        let (agent, lane, epoch, seq) = &place;
        let name = format!("agent {agent} lane {lane} epoch {epoch} batch {seq}");
        let line = self.line;
        let bad = |why: &str| Err(BadBundle { line, why: format!("{name}: {why}") });
        let Some(keys) = self.agents.get(agent) else { return bad("its agent is not in the bundle") };
        let envelope = STANDARD.decode(envelope).ok().and_then(|bytes| Envelope::from_bytes(&bytes).ok());
        let Some(envelope) = envelope else { return bad("not an envelope") };
        let batch = match keys.verify(&envelope) {
            Ok(batch) => batch,
            Err(cause) => return bad(&cause.to_string()),
        };
        let signed = (batch.agent, u64::from(batch.lane.number()), batch.epoch, batch.seq);
        if (signed.0.to_string(), signed.1, signed.2, signed.3) != place {
            return bad("signed under another name than it is stored under");
        }
        if let Err(why) = self.follows(&place, &batch) {
            return bad(why);
        }
        let digest = batch.digest();
        self.ends.insert((agent.clone(), *lane), (*epoch, *seq, digest));
        self.found.batches += 1;
        if matches!(self.of, Of::Incident(_)) {
            if self.batches.len() >= KEPT_MAX {
                return bad("more batches than an incident's bundle may have");
            }
            self.batches.insert(place.clone(), iter_said(&batch).map(|said| digest_of(&said)).collect());
        }
        self.last = Some(Last { place, digest });
        Ok((batch.lane, envelope))
    }

    /// Whether a batch continues what was read of its chain.
    fn follows(&self, place: &Place, batch: &Verified<Batch>) -> Result<(), &'static str> {
        let (agent, lane, epoch, seq) = place;
        let of_chain = |last: &&Last| (&last.place.0, last.place.1, last.place.2) == (agent, *lane, *epoch);
        let before = self.last.as_ref().filter(of_chain);
        if before.is_some_and(|last| last.place.3 >= *seq) {
            return Err("out of order, or twice");
        }
        let anchor = self.anchors.get(&(agent.clone(), *lane, *epoch));
        let (anchored, digest) = anchor.map_or((0, ""), |(through, digest)| (*through, digest.as_str()));
        // Before the anchor, each batch stands for itself.
        if *seq < anchored {
            return Ok(());
        }
        if *seq == anchored {
            let same = batch.digest().to_string() == digest;
            return if same { Ok(()) } else { Err("it is not the one that its anchor names") };
        }
        if anchored > 0 && *seq == anchored + 1 {
            let continues = batch.prev.to_string() == digest;
            return if continues { Ok(()) } else { Err("it does not continue the anchor of its chain") };
        }
        match before {
            Some(last) if last.place.3 + 1 == *seq && last.digest != batch.prev => {
                Err("it does not follow the batch before it")
            }
            Some(last) if last.place.3 + 1 == *seq => Ok(()),
            Some(_) if !matches!(self.of, Of::Incident(_)) => Err("the batch before it is missing"),
            None if matches!(self.of, Of::Store {}) && *seq != 1 => Err("the batch before it is missing"),
            None if *seq == 1 && batch.prev != Digest::ZERO => {
                Err("the first of its chain follows something")
            }
            Some(_) | None => Ok(()),
        }
    }

    fn seal(&mut self, lines: u64, sha256: &str, key: &str, signature: &str) -> Result<(), BadBundle> {
        if matches!(self.of, Of::Spool {}) {
            return Err(self.bad("what is carried from a spool is signed by its agent"));
        }
        let digest = self.sealed_digest(lines, sha256)?;
        let key = decoded(key).and_then(|bytes| VerifyingKey::from_bytes(&bytes));
        let Some(key) = key else { return Err(self.bad("the collector's key is none")) };
        let signed = decoded(signature)
            .is_some_and(|signature| key.verifies_labelled(SEAL_LABEL, digest.as_bytes(), &signature));
        if !signed {
            return Err(self.bad("the seal is not signed by the key that it names"));
        }
        self.found.lines = self.line;
        self.found.sealed = Sealed::Collector(AgentId::of_public_key(key.as_bytes()).to_string());
        Ok(())
    }

    /// The last line of what was carried from a spool: the newest of the agent's keys has signed it.
    fn carried(&mut self, lines: u64, sha256: &str, agent: &str, signature: &str) -> Result<(), BadBundle> {
        if !matches!(self.of, Of::Spool {}) || self.agents.len() != 1 {
            return Err(self.bad("this ends what is carried from the spool of one agent, and nothing else"));
        }
        let digest = self.sealed_digest(lines, sha256)?;
        let ring = self.agents.get(agent).filter(|ring| {
            decoded(signature).is_some_and(|signature| {
                ring.newest().verifies_labelled(CARRY_LABEL, digest.as_bytes(), &signature)
            })
        });
        let Some(agent) = ring.map(KeyRing::agent) else {
            return Err(self.bad("the end is not signed by the agent"));
        };
        self.found.lines = self.line;
        self.found.sealed = Sealed::Agent(agent);
        Ok(())
    }

    /// Of the lines before this one, if they are what its sender had written.
    fn sealed_digest(&self, lines: u64, sha256: &str) -> Result<Digest, BadBundle> {
        let digest = Digest::from_bytes(self.digest.clone().finish().as_ref());
        let same = digest.filter(|digest| lines == self.line - 1 && sha256 == digest.to_string());
        same.ok_or_else(|| self.bad("the lines are not those that were sealed"))
    }
}

fn decoded(base64url: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(base64url).ok()
}

/// Of a finding's JSON, whose fields come in order of their names.
fn digest_of(finding: &Value) -> Digest {
    Digest::of(finding.to_string().as_bytes())
}
