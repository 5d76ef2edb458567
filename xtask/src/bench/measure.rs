//! One run of a program under the operating system's accounting.
//!
//! CPU time is what the kernel accounted to the child when it was waited for (`getrusage`); memory is read from
//! `/proc/PID/status` while it runs. `RssAnon` is what the program made its own: a mapped capture file is not.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::command;

/// Between two looks at the memory.
const SAMPLE: Duration = Duration::from_millis(20);

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// User and system time of all its threads.
    pub(super) cpu: Duration,
    pub(super) wall: Duration,
    /// Highest `RssAnon` seen, in KiB.
    pub(super) rss_anon: u64,
    /// `VmHWM` when last seen, in KiB: mapped files included.
    pub(super) peak: u64,
}

/// Runs a program to its end; its output is thrown away, what it complains of is kept in `log`.
pub(super) fn measure(program: &mut Command, log: &Path) -> anyhow::Result<Usage> {
    let shown = command::show(program);
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?);
    let before = children()?;
    let begun = Instant::now();
    let mut child = program.spawn().with_context(|| format!("cannot start {shown}"))?;
    let (path, over) = (format!("/proc/{}/status", child.id()), AtomicBool::new(false));
    let (status, wall, (rss_anon, peak)) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(&path, &over));
        let status = child.wait();
        let wall = begun.elapsed();
        over.store(true, Ordering::Relaxed);
        (status, wall, sampler.join().unwrap_or_default())
    });
    let status = status.with_context(|| format!("cannot wait for {shown}"))?;
    if !status.success() {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(3).collect();
        bail!("{shown} ended with {status}: {}", last.join(" | "));
    }
    Ok(Usage { cpu: children()?.saturating_sub(before), wall, rss_anon, peak })
}

/// CPU time of all children that were waited for.
fn children() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    let time = |value: TimeVal| {
        let micros = i128::from(value.tv_sec()) * 1_000_000 + i128::from(value.tv_usec());
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

fn sample(path: &str, over: &AtomicBool) -> (u64, u64) {
    let (mut rss_anon, mut peak) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        let Ok(status) = std::fs::read_to_string(path) else { break };
        rss_anon = rss_anon.max(kib(&status, "RssAnon:"));
        peak = peak.max(kib(&status, "VmHWM:"));
        std::thread::sleep(SAMPLE);
    }
    (rss_anon, peak)
}

/// A line of `/proc/PID/status`; 0 once the process has given its memory back.
pub(super) fn kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_accounted() {
        let log = std::env::temp_dir().join(format!("xtask-measure-{}.log", std::process::id()));
        let mut busy = Command::new("sh");
        busy.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
        let usage = measure(&mut busy, &log).unwrap();
        assert!(
            usage.cpu > Duration::from_millis(10) && usage.wall >= Duration::from_millis(10),
            "{usage:?}"
        );
        assert!(usage.rss_anon > 0 && usage.peak >= usage.rss_anon, "{usage:?}");
        let failed = measure(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), &log).unwrap_err();
        assert!(failed.to_string().contains("why"), "{failed}");
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn memory_of_a_status_file() {
        assert_eq!(kib("Name:\tx\nRssAnon:\t    1234 kB\n", "RssAnon:"), 1_234);
        assert_eq!(kib("Name:\tx\n", "RssAnon:"), 0);
    }
}
