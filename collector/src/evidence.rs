//! Bundles of evidence: what the store holds of one incident, or all of it, in one file that anybody can check without the
//! collector.
//!
//! JSON Lines; each line has a `type`:
//!
//! | line | what |
//! |---|---|
//! | `bundle` | first: format, when and by which version it was made, of what |
//! | `agent` | an agent whose batches follow: identity, label, body, first key |
//! | `key` | a later key of an agent, the epoch from which it signs, and the voucher of the key before it |
//! | `incident`, `change` | the incident (its children too) and its history, as the collector tells them |
//! | `anchor` | of a whole store: up to where a chain's batches were dropped by retention, and the digest that the rest continues |
//! | `batch` | the exact signed bytes, with the place they are stored under; by agent, lane, epoch and number |
//! | `finding` | a finding or endpoint alert of the incident and the batch that it must be in |
//! | `report` | of a monthly report: its figures, as the collector tells them |
//! | `head` | of a whole store: where a chain must end |
//! | `seal` | last: how many lines came before, their SHA-256, the collector's signature over it, and its key |
//! | `carried` | last, of an agent's spool (`sekimori-agent spool export`): the same, signed by that agent |
//!
//! What an agent said is proved by its own signature: its identity is the hash of its key. What the collector says (whose
//! network an agent watches, when a batch came, the history) is proved by the seal. Whoever checks a bundle compares the
//! fingerprint of the collector's key, which `verify` prints, with one that reached them by another way.

mod check;
mod export;

use std::io::{self, Write};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekimori_wire::batch::Batch;
use sekimori_wire::bundle::{FORMAT, SEAL_LABEL};
use sekimori_wire::envelope::SigningKey;
use sekimori_wire::id::Digest;
use sekimori_wire::record::Record;
use serde_json::{Value, json};

pub use check::{BadBundle, Checked, Sealed, check, check_carried};
pub use export::{ExportError, incident, report, store};

/// Writes lines and seals them.
struct Writer<'a, W: Write> {
    to: W,
    key: &'a SigningKey,
    digest: Context,
    lines: u64,
}

impl<'a, W: Write> Writer<'a, W> {
    fn new(to: W, key: &'a SigningKey) -> Self {
        Self { to, key, digest: Context::new(&SHA256), lines: 0 }
    }

    fn line(&mut self, line: &Value) -> io::Result<()> {
        let text = line.to_string() + "\n";
        self.digest.update(text.as_bytes());
        self.lines += 1;
        self.to.write_all(text.as_bytes())
    }

    /// The last line; gives back how many lines there are.
    fn seal(mut self) -> io::Result<u64> {
        let digest = self.digest.finish();
        let signature = self.key.sign_labelled(SEAL_LABEL, digest.as_ref());
        let seal = json!({
            "type": "seal",
            "lines": self.lines,
            "sha256": hexadecimal(digest.as_ref()),
            "collector_key": URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes()),
            "signature": URL_SAFE_NO_PAD.encode(signature),
        });
        writeln!(self.to, "{seal}")?;
        self.to.flush()?;
        Ok(self.lines + 1)
    }
}

fn hexadecimal(digest: &[u8]) -> String {
    Digest::from_bytes(digest).map_or_else(String::new, |digest| digest.to_string())
}

/// Whether a batch says this finding. Whose network it is, is known from the enrolment: `body` is left to the collector.
pub fn says(batch: &Batch, finding: &Value) -> bool {
    let stored = without_body(finding.clone());
    iter_said(batch).any(|said| said == stored)
}

/// The findings of a batch, alerts as findings, without `body`.
fn iter_said(batch: &Batch) -> impl Iterator<Item = Value> {
    batch.records.iter().filter_map(|record| {
        let said = match record {
            Record::Finding(finding) => serde_json::to_value(finding),
            Record::EndpointAlert(alert) => serde_json::to_value(alert.to_finding()),
            Record::Summary(_) | Record::Health(_) | Record::Gap(_) => return None,
        };
        said.ok().map(without_body)
    })
}

fn without_body(mut finding: Value) -> Value {
    if let Some(fields) = finding.as_object_mut() {
        fields.remove("body");
    }
    finding
}

#[cfg(test)]
mod tests;
