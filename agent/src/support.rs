//! `support-bundle`: everything that somebody who helps asks for first, in one tar file, and no secret.
//!
//! ```text
//! manifest.txt   what is in it, and which keys of the configuration lost their value
//! agent.toml     only values of keys that are known to be harmless     status.json, spool.json   as the agent shows them
//! doctor.txt, doctor.json   what is wrong                               log.txt                  the end of the agent's log
//! versions.txt   agent, kernel, system                                  interfaces.txt           names, states, addresses
//! ```

mod scrub;
mod tar;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use toml::{Table, Value};

use crate::cli::SupportArgs;
use crate::config::Config;
use crate::{clock, doctor, inspect};
use scrub::{Secrets, configuration};
use tar::Tar;

/// Of each file, its last part.
const BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Lines of the journal.
const LINES: &str = "5000";
/// In place of a log of which nobody knows what to remove.
const NO_LOG: &str = "left out: without the configuration it is not known which secrets there are\n";
const STATE: &str = "/var/lib/sekimori-agent";
const IDENTITY: [&str; 4] = ["signing-key.p8", "tls-key.pem", "next-signing-key.p8", "enrolment.json"];

/// Writes the bundle, and says what is in it.
///
/// # Errors
/// If the file is there already or cannot be written. What cannot be had is said in the bundle instead.
pub(crate) fn bundle(args: &SupportArgs) -> anyhow::Result<String> {
    let doing = || format!("{}: cannot write the bundle", args.output.display());
    // Never into a file that somebody else made: it is for the owner's eyes.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.output);
    let mut archive = Tar::new(file.with_context(doing)?, clock::now().secs());
    let mut secrets = Secrets::default();
    let text = tail(&args.config);
    if let Some(table) = text.as_ref().ok().and_then(|text| text.parse::<Table>().ok()) {
        known(&args.config, &table, &mut secrets);
    }
    let (written, removed, log) = match text.map(|text| configuration(&text, &mut secrets)) {
        Ok(Some((clean, removed))) => (clean, removed, log(args.log.as_deref())),
        // Where it breaks may be within a secret, and which others there are nobody knows.
        Ok(None) => ("# not TOML: left out as a whole\n".to_owned(), Vec::new(), NO_LOG.to_owned()),
        Err(error) => (format!("# cannot be read: {error}\n"), Vec::new(), NO_LOG.to_owned()),
    };
    let config = Config::load(&args.config);
    let report = doctor::doctor(Some(&args.config), Duration::from_secs(args.look));
    let mut parts = vec![
        ("agent.toml", written),
        ("doctor.txt", report.text()),
        ("doctor.json", report.json()),
        ("versions.txt", versions()),
        ("interfaces.txt", inspect::interfaces()),
        ("log.txt", log),
    ];
    if let Ok(config) = &config {
        let read = |text: Result<String, std::io::Error>| text.unwrap_or_else(|error| format!("{error}\n"));
        parts.push(("status.json", read(tail(&config.state.join(inspect::STATUS_FILE)))));
        let spool = inspect::spool_inspect(&config.state, true);
        parts.push(("spool.json", spool.unwrap_or_else(|error| format!("{error}\n"))));
    }
    let mut manifest = format!("sekimori-agent support bundle of {}\n", clock::now());
    for (name, text) in &parts {
        manifest.push_str(&format!("{name}\t{} bytes\n", text.len()));
    }
    manifest.push_str("keys without their value: ");
    manifest.push_str(if removed.is_empty() { "none" } else { "" });
    manifest.push_str(&removed.join(", "));
    manifest.push('\n');
    archive.add("manifest.txt", manifest.as_bytes()).with_context(doing)?;
    for (name, text) in &parts {
        archive.add(name, secrets.scrub(text).as_bytes()).with_context(doing)?;
    }
    archive.end().and_then(|file| file.sync_all()).with_context(doing)?;
    Ok(manifest)
}

/// Secrets that lie in files of this machine, whether or not the agent takes the configuration that names them.
fn known(config: &Path, table: &Table, secrets: &mut Secrets) {
    let beside = config.parent().unwrap_or_else(|| Path::new(""));
    let text = |table: Option<&Value>, key: &str| Some(table?.get(key)?.as_str()?.to_owned());
    let sources = table.get("endpoint").and_then(|endpoint| endpoint.get("source")).and_then(Value::as_array);
    let keys = sources.into_iter().flatten().filter_map(|source| text(Some(source), "key"));
    for name in text(table.get("collector"), "proxy_credentials").into_iter().chain(keys) {
        if let Ok(text) = tail(&beside.join(name)) {
            secrets.add_file(&text);
        }
    }
    let state = text(table.get("state"), "dir").unwrap_or_else(|| STATE.to_owned());
    let state = Path::new(&state);
    for name in IDENTITY {
        let path = state.join("identity").join(name);
        // Keys are long; what is short in `enrolment.json` are its words.
        if let Ok(bytes) = std::fs::read(path) {
            let text = String::from_utf8_lossy(&bytes);
            text.split(['"', '\n']).filter(|word| word.len() >= 40).for_each(|word| secrets.add(word));
        }
    }
}

/// The end of a file, from a whole line on.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let skipped = file.metadata()?.len().saturating_sub(BYTES_MAX);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(match text.split_once('\n') {
        Some((_cut, rest)) if skipped > 0 => rest.to_owned(),
        _ => text,
    })
}

/// Of the file, or of the journal.
fn log(file: Option<&Path>) -> String {
    if let Some(file) = file {
        return tail(file).unwrap_or_else(|error| format!("{}: {error}\n", file.display()));
    }
    let words = ["--unit", "sekimori-agent", "--lines", LINES, "--no-pager", "--output", "short-iso"];
    match Command::new("journalctl").args(words).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => format!("journalctl: {error}; give the log's file with --log\n"),
    }
}

fn versions() -> String {
    let mut text = format!("sekimori-agent {}\n", env!("CARGO_PKG_VERSION"));
    if let Ok(system) = nix::sys::utsname::uname() {
        for word in [system.sysname(), system.release(), system.version(), system.machine()] {
            text.push_str(&word.to_string_lossy());
            text.push('\n');
        }
    }
    text.push_str(&tail(Path::new("/etc/os-release")).unwrap_or_default());
    text
}
