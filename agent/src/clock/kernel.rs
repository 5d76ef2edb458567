//! Whether somebody disciplines the machine's clock: NTP, PTP or a receiver, by what the kernel was told (adjtimex(2)), or by
//! the sign that systemd-timesyncd leaves where the service manager forbids that question (`ProtectClock`).
#![expect(unsafe_code, reason = "adjtimex(2) has no safe wrapper in the crates that we use")]

use std::mem::MaybeUninit;
use std::path::Path;

use nix::libc;

/// systemd-timesyncd makes this folder when it runs, and the file `synchronized` in it when it has set the clock.
const TIMESYNCD: &str = "/run/systemd/timesync";

/// The machine's clock is disciplined. `None`: nobody tells.
pub(crate) fn is_synchronised() -> Option<bool> {
    told_by_kernel().or_else(|| told_by_daemon(Path::new(TIMESYNCD)))
}

fn told_by_kernel() -> Option<bool> {
    // All zero is valid for this structure of numbers, and with `modes` 0 the call only reads.
    let mut state = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the pointer is valid for one `timex` and nobody else has it; the kernel writes no more than that.
    // JUSTIFICATION: the answer is in no file that every distribution has, and a program to ask could not be started here.
    let clock = unsafe { libc::adjtimex(state.as_mut_ptr()) };
    // Negative: forbidden, as in a sandbox without this call.
    (clock >= 0).then_some(clock != libc::TIME_ERROR)
}

fn told_by_daemon(folder: &Path) -> Option<bool> {
    folder.is_dir().then(|| folder.join("synchronized").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_the_same_as_its_own_tool() {
        // Both ask the kernel; where the call is forbidden to us, nothing is claimed.
        let Some(is_synchronised) = told_by_kernel() else { return };
        let Ok(tool) = std::process::Command::new("adjtimex").arg("--print").output() else { return };
        let text = String::from_utf8_lossy(&tool.stdout);
        assert_eq!(is_synchronised, !text.contains("return value = 5"), "{text}");
    }

    #[test]
    fn the_daemons_sign_is_believed_where_the_daemon_runs() {
        let folder = tempfile::tempdir().unwrap();
        let timesync = folder.path().join("timesync");
        assert_eq!(told_by_daemon(&timesync), None, "it does not run");
        std::fs::create_dir(&timesync).unwrap();
        assert_eq!(told_by_daemon(&timesync), Some(false), "it looks for a server");
        std::fs::write(timesync.join("synchronized"), "").unwrap();
        assert_eq!(told_by_daemon(&timesync), Some(true));
    }
}
