//! What the kernel says of this process (`/proc/self`, which systemd's sandbox leaves visible).

/// Clock ticks of `/proc/self/stat` in a second: the kernel has given user space this number on every machine.
const TICKS: u64 = 100;
const PAGE_BYTES: u64 = 4096;

/// How the process is; zero what the kernel does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_files: u64,
    pub(super) files_max: u64,
    pub(super) threads: u64,
}

pub(super) fn read() -> Process {
    let text = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let (ticks, threads, pages) = stat(&text("stat"));
    let milliseconds = u32::try_from(ticks.saturating_mul(1000 / TICKS)).unwrap_or(u32::MAX);
    Process {
        cpu_seconds: f64::from(milliseconds) / 1000.0,
        resident_bytes: pages.saturating_mul(PAGE_BYTES),
        open_files: std::fs::read_dir("/proc/self/fd")
            .map_or(0, |entries| u64::try_from(entries.count()).unwrap_or(u64::MAX)),
        files_max: limit(&text("limits")),
        threads,
    }
}

/// Ticks of user and system, threads, resident pages. The name of the program may hold anything: fields are counted behind it.
fn stat(text: &str) -> (u64, u64, u64) {
    let fields: Vec<u64> = text
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect())
        .unwrap_or_default();
    let at = |index: usize| fields.get(index).copied().unwrap_or_default();
    (at(10) + at(11), at(16), at(20))
}

fn limit(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|rest| rest.split_whitespace().next())
        .and_then(|soft| soft.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let line = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 100 200000 1234 5 6";
        assert_eq!(stat(line), (300, 9, 1234));
        assert_eq!(stat(""), (0, 0, 0));
        assert_eq!(
            limit("Limit  Soft  Hard  Units\nMax open files            16384   524288   files\n"),
            16384
        );
        let own = read();
        assert!(own.resident_bytes > 1 << 20 && own.open_files > 2 && own.threads >= 1 && own.files_max > 2);
    }
}
