//! `spool export`: what waits in the spool as one file, for a gateway whose line to the collector is broken or not there.
//!
//! JSON Lines, as `docs/operations.md` tells: `bundle`, `agent`, `key`s, `batch`es in the order of delivery, `carried`, which
//! the agent signs over all before it. `sekimori-collector verify FILE` checks it, `import` takes it in.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sekimori_delivery::lanes;
use sekimori_delivery::spool::SpoolError;
use sekimori_wire::bundle::{CARRY_LABEL, FORMAT};
use sekimori_wire::id::Digest;
use serde_json::{Value, json};

use crate::clock;
use crate::identity::{Identity, IdentityError};

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CarryError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "the spool cannot be taken out; start the agent once, which mends its spool and declares what is lost"
    )]
    Spool(#[from] SpoolError),
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("nothing waits in the spool of this state folder")]
    Nothing,
}

/// Writes what waits in the spool of a state folder to `output`, which has its name only once it is whole. What it says.
pub(crate) fn export(state: &Path, output: &Path) -> Result<String, CarryError> {
    let identity = Identity::load(state)?;
    let mut name = output.as_os_str().to_owned();
    name.push(".part");
    let temporary = PathBuf::from(name);
    let failed = |cause| CarryError::Write { path: output.to_owned(), cause };
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let mut lines = Lines::new(BufWriter::new(file.map_err(failed)?));
    let written = bundle(state, &identity, &mut lines, failed);
    let kept = written.and_then(|batches| {
        if batches == 0 {
            return Err(CarryError::Nothing);
        }
        lines.close(&identity).map_err(failed)?;
        let file = lines.to.into_inner().map_err(|cause| failed(cause.into_error()))?;
        file.sync_all().and_then(|()| std::fs::rename(&temporary, output)).map_err(failed)?;
        Ok(format!(
            "{batches} batches in {}; they stay in the spool until the collector acknowledges them\n",
            output.display()
        ))
    });
    if kept.is_err() {
        // The name of an unfinished file is of no use; that it cannot be removed changes nothing about the error.
        drop(std::fs::remove_file(&temporary));
    }
    kept
}

fn bundle<W: Write>(
    state: &Path,
    identity: &Identity,
    lines: &mut Lines<W>,
    failed: impl Fn(io::Error) -> CarryError,
) -> Result<u64, CarryError> {
    let agent = identity.agent().to_string();
    lines
        .line(&json!({
            "type": "bundle", "format": FORMAT, "made_at": clock::now(), "made_by": env!("CARGO_PKG_VERSION"),
            "of": { "spool": { "agent": agent } },
        }))
        .map_err(&failed)?;
    for (idx, key) in Identity::public_keys(state)?.into_iter().enumerate() {
        let line = if idx == 0 {
            json!({
                "type": "agent", "id": agent, "name": identity.name, "body": identity.body.to_string(), "key": key.key,
            })
        } else {
            json!({
                "type": "key", "agent": agent, "from_epoch": key.from_epoch, "key": key.key, "voucher": key.voucher,
            })
        };
        lines.line(&line).map_err(&failed)?;
    }
    lanes::waiting(&state.join("spool"), |lane, at, raw| {
        let line = json!({
            "type": "batch", "agent": agent, "lane": lane.number(), "epoch": at.epoch, "seq": at.seq,
            "envelope": STANDARD.encode(raw),
        });
        lines.line(&line).map_err(&failed)
    })
}

/// Lines and their digest.
struct Lines<W: Write> {
    to: W,
    digest: Context,
    count: u64,
}

impl<W: Write> Lines<W> {
    fn new(to: W) -> Self {
        Self { to, digest: Context::new(&SHA256), count: 0 }
    }

    fn line(&mut self, line: &Value) -> io::Result<()> {
        let text = line.to_string() + "\n";
        self.digest.update(text.as_bytes());
        self.count += 1;
        self.to.write_all(text.as_bytes())
    }

    /// The last line: the agent vouches for how much it was.
    fn close(&mut self, identity: &Identity) -> io::Result<()> {
        let digest = self.digest.clone().finish();
        let signature = identity.signer.key.sign_labelled(CARRY_LABEL, digest.as_ref());
        let last = json!({
            "type": "carried",
            "lines": self.count,
            "sha256": Digest::from_bytes(digest.as_ref()).unwrap_or_default().to_string(),
            "agent": identity.agent().to_string(),
            "signature": URL_SAFE_NO_PAD.encode(signature),
        });
        writeln!(self.to, "{last}")
    }
}
