//! Whether somebody disciplines the machine's clock: NTP, PTP or a receiver, by what the kernel was told (adjtimex(2)).
#![expect(unsafe_code, reason = "adjtimex(2) has no safe wrapper in the crates that we use")]

use std::mem::MaybeUninit;

use nix::libc;

/// The kernel believes that its clock is right. `None`: it does not tell.
pub(crate) fn is_synchronised() -> Option<bool> {
    // All zero is valid for this structure of numbers, and with `modes` 0 the call only reads.
    let mut state = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the pointer is valid for one `timex` and nobody else has it; the kernel writes no more than that.
    // JUSTIFICATION: the answer is in no file that every distribution has, and a program to ask could not be started here.
    let clock = unsafe { libc::adjtimex(state.as_mut_ptr()) };
    // Negative: forbidden, as in a sandbox without this call.
    (clock >= 0).then_some(clock != libc::TIME_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_the_same_as_its_own_tool() {
        // Both ask the kernel; where the call is forbidden to us, nothing is claimed.
        let Some(is_synchronised) = is_synchronised() else { return };
        let Ok(tool) = std::process::Command::new("adjtimex").arg("--print").output() else { return };
        let text = String::from_utf8_lossy(&tool.stdout);
        assert_eq!(is_synchronised, !text.contains("return value = 5"), "{text}");
    }
}
