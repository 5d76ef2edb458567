//! `sekimori-agent intel …`: indicators checked, signed and looked into, without network or collector.

use core::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekimori_sensor::intel::{Hit, Intel, Kind, url_key};
use sekimori_wire::envelope::{KeyError, SigningKey, VerifyingKey};

use super::guard::{Shrunk, shrunk, sizes};
use super::{BundleError, Import, IntelError, Report, bundle, read};
use crate::cli::{ImportArgs, IntelCommand, ShowArgs};
use crate::clock;
use sekimori_delivery::disk::{self, DiskError};

/// Why a command about indicators failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Intel(#[from] IntelError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{} is no signing key", path.display())]
    Key {
        path: PathBuf,
        #[source]
        cause: KeyError,
    },
    #[error("{} exists: a signing key is never overwritten", path.display())]
    KeyExists { path: PathBuf },
    #[error("{} has mode {mode:03o}: nobody but its owner may read a signing key (chmod 600)", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("{}: {shrunk}: look at the source, then use --force", path.display())]
    Shrinks { path: PathBuf, shrunk: Shrunk },
    #[error("{} is there and cannot be compared with (--force replaces it)", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: BundleError,
    },
    #[error("cannot write a bundle")]
    Write(#[source] serde_json::Error),
}

impl CommandError {
    /// What was named on the command line cannot be used.
    pub(crate) const fn is_usage(&self) -> bool {
        matches!(self, Self::KeyExists { .. } | Self::Key { .. })
    }
}

/// What the command shows.
pub(crate) fn run(command: &IntelCommand) -> Result<String, CommandError> {
    match command {
        IntelCommand::Keygen { key } => keygen(key),
        IntelCommand::Import(args) => import(args),
        IntelCommand::Verify { keys, bundles } => verify(keys, bundles),
        IntelCommand::Show(args) => show(args),
    }
}

fn keygen(path: &Path) -> Result<String, CommandError> {
    if path.exists() {
        return Err(CommandError::KeyExists { path: path.to_owned() });
    }
    let failed = |cause| CommandError::Key { path: path.to_owned(), cause };
    let (key, pkcs8) = SigningKey::generate().map_err(failed)?;
    disk::write_atomic(path, &pkcs8)?;
    Ok(format!("{}\n", bundle::shown(key.verifying_key())))
}

fn signing_key(path: &Path) -> Result<SigningKey, CommandError> {
    let mode = disk::at("read", path, fs::metadata(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(CommandError::Exposed { path: path.to_owned(), mode: mode & 0o777 });
    }
    let bytes = disk::at("read", path, fs::read(path))?;
    SigningKey::from_pkcs8(&bytes).map_err(|cause| CommandError::Key { path: path.to_owned(), cause })
}

fn import(args: &ImportArgs) -> Result<String, CommandError> {
    let mut import = Import::default();
    for path in &args.files {
        import.file(path)?;
    }
    let (intel, report) = import.finish();
    let mut out = summary(&intel, &report);
    let (Some(output), Some(key)) = (&args.output, &args.key) else { return Ok(out) };
    let key = signing_key(key)?;
    if !args.force && output.exists() {
        guard(output, &intel, key.verifying_key())?;
    }
    let made = clock::now();
    let text = bundle::write(&intel, &key, made, args.max_age).map_err(CommandError::Write)?;
    disk::write_atomic(output, text.as_bytes())?;
    // Agents of other users read it; what keeps it whole is its signature.
    disk::at("open to readers", output, fs::set_permissions(output, fs::Permissions::from_mode(0o644)))?;
    let _infallible = writeln!(out, "signed by {}: {}", bundle::shown(key.verifying_key()), output.display());
    Ok(out)
}

/// Compares with the bundle that is to be replaced.
fn guard(path: &Path, intel: &Intel, key: &VerifyingKey) -> Result<(), CommandError> {
    let text = read(path)?;
    let before = bundle::verified(&text, core::slice::from_ref(key)).and_then(bundle::head);
    let before = before.map_err(|cause| CommandError::Unreadable { path: path.to_owned(), cause })?;
    let before = before.feeds.into_iter().map(|feed| (feed.name, feed.entries)).collect();
    match shrunk(&before, &sizes(intel)).into_iter().next() {
        Some(shrunk) => Err(CommandError::Shrinks { path: path.to_owned(), shrunk }),
        None => Ok(()),
    }
}

fn verify(keys: &[VerifyingKey], bundles: &[PathBuf]) -> Result<String, CommandError> {
    let mut out = String::new();
    for path in bundles {
        let mut import = Import::default();
        import.bundle(path, keys)?;
        let (intel, report) = import.finish();
        let _infallible = writeln!(out, "{}: good", path.display());
        out.push_str(&summary(&intel, &report));
    }
    Ok(out)
}

fn show(args: &ShowArgs) -> Result<String, CommandError> {
    let mut import = Import::default();
    for path in &args.files {
        if bundle::is_bundle(&read(path)?) {
            import.bundle(path, &args.keys)?;
        } else {
            import.file(path)?;
        }
    }
    let (intel, report) = import.finish();
    let mut out = String::new();
    let row = |hit: &Hit<'_>| {
        let expires = hit.expires.map_or_else(String::new, |at| at.to_string());
        format!(
            "{}\t{}\t{}\t{}\t{expires}\t{}\n",
            hit.kind.as_str(),
            hit.value(),
            hit.feed.name,
            hit.confidence,
            hit.note.replace(['\t', '\n', '\r'], " ")
        )
    };
    match &args.find {
        Some(value) => out.extend(find(&intel, value).iter().map(row)),
        None => {
            out.push_str("type\tvalue\tfeed\tconfidence\texpires\tnote\n");
            out.extend(intel.iter().map(|hit| row(&hit)));
        }
    }
    for line in report.lines() {
        tracing::warn!("{line}");
    }
    Ok(out)
}

/// What would match this value if traffic had it now.
fn find<'i>(intel: &'i Intel, value: &str) -> Vec<Hit<'i>> {
    let now = clock::now();
    let name = value.to_ascii_lowercase();
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let url = url_key(host, target);
    let address = value.parse().ok().and_then(|address: IpAddr| intel.address(address, now));
    let exact = [(Kind::Sni, &name), (Kind::Url, &url), (Kind::Path, &name), (Kind::Ja4, &name)];
    let exact = exact.into_iter().filter_map(|(kind, text)| intel.exact(kind, text, now));
    let certificate = name
        .parse()
        .ok()
        .and_then(|digest: sekimori_wire::id::Digest| intel.certificate(digest.as_bytes(), now));
    address.into_iter().chain(intel.domain(&name, now)).chain(exact).chain(certificate).collect()
}

/// Entries by feed and kind, then what was not taken.
fn summary(intel: &Intel, report: &Report) -> String {
    let mut out = String::new();
    for ((feed, kind), count) in intel.counts() {
        let name = intel.feeds().get(feed).map_or("", |feed| feed.name.as_str());
        let _infallible = writeln!(out, "{count:>9}  {:<12} {name}", kind.as_str());
    }
    for line in report.lines() {
        let _infallible = writeln!(out, "not taken: {line}");
    }
    let (taken, repeated, refused) = (report.taken, report.repeated, report.refused());
    let kib = intel.bytes() >> 10;
    let _infallible = writeln!(
        out,
        "{taken} taken ({repeated} said twice by one feed), {refused} not taken; {kib} KiB in memory"
    );
    out
}

/// A public key as `intel keygen` printed it.
pub(crate) fn public_key(text: &str) -> Result<VerifyingKey, String> {
    let key = URL_SAFE_NO_PAD.decode(text.trim()).ok().and_then(|bytes| VerifyingKey::from_bytes(&bytes));
    key.ok_or_else(|| format!("`{text}` is not a public key as `intel keygen` prints it"))
}
