//! The agent's own walls, raised once everything is open and before any other thread is started: what a flaw in a parser can
//! still reach. After [`crate::privilege`] they come in this order: Landlock (which files, no listening, no signals to
//! others), then seccomp ([`calls`]: which system calls).
//!
//! A kernel without one of them is no reason not to watch: it is said in the log, and in the status by `sandbox.landlock`
//! (its version, 0 without) and `sandbox.seccomp` (1 or 0).

mod calls;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
    make_bitflags,
};

/// What is read of the system, now or later: the resolver's configuration and modules (loaded at the first question), time
/// zones, what the kernel tells of this machine, whether the clock is disciplined. Whole folders, because a file that is
/// replaced by renaming is another file to the kernel.
const SYSTEM: [&str; 12] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/proc",
    "/sys",
    "/dev",
    "/run/systemd",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/run/connman",
    "/var/lib/systemd/timesync",
];

/// Rights to read.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// Rights in folders of the agent's own: everything that makes, changes and removes files and folders, and nothing that makes
/// devices, sockets or links.
const KEEP: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
});

/// Which folders stay within reach.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// To read, beside those of the system.
    pub(crate) read: Vec<PathBuf>,
    /// To keep things in.
    pub(crate) keep: Vec<PathBuf>,
}

/// Which walls stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walls {
    /// Version of Landlock that is enforced; 0 without.
    landlock: u64,
    seccomp: bool,
}

impl Walls {
    /// For the health record.
    pub(crate) fn counters(self) -> Vec<(String, u64)> {
        vec![
            ("sandbox.landlock".to_owned(), self.landlock),
            ("sandbox.seccomp".to_owned(), self.seccomp.into()),
        ]
    }
}

/// Raises the walls, for good. The calling thread must be the only one, and `no_new_privs` set: Landlock holds for this thread
/// and those that it starts.
pub(crate) fn raise(reach: &Reach) -> Walls {
    let landlock = match files(reach) {
        Ok(Some(version)) => version,
        Ok(None) => {
            tracing::warn!(
                "this kernel has no Landlock: files are kept apart by their owners and the unit alone"
            );
            0
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "Landlock is not in force");
            0
        }
    };
    let seccomp = match calls::forbid() {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "system calls are not limited by the agent itself (seccomp)"
            );
            false
        }
    };
    tracing::info!(landlock, seccomp, "sandboxed");
    Walls { landlock, seccomp }
}

/// Lets Landlock keep every file out of reach but those below the folders named. The version in force, if there is any.
fn files(reach: &Reach) -> Result<Option<u64>, RulesetError> {
    // The crate's usual way with older kernels: what they do not know is left out.
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::Signal)?
        .create()?;
    for folder in SYSTEM {
        rules = allow(rules, Path::new(folder), READ)?;
    }
    if let Ok(null) = PathFd::new("/dev/null") {
        rules = rules.add_rule(PathBeneath::new(null, AccessFs::ReadFile | AccessFs::WriteFile))?;
    }
    for folder in &reach.read {
        rules = allow(rules, &nearest(folder), READ)?;
    }
    for folder in &reach.keep {
        rules = allow(rules, folder, KEEP)?;
    }
    let status = rules.restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => None,
        (_, LandlockStatus::Available { effective_abi, .. }) => Some(effective_abi as u64),
        (_, LandlockStatus::NotEnabled | LandlockStatus::NotImplemented) => None,
    })
}

/// A folder that is not there needs no rule, and cannot have one.
fn allow(
    rules: RulesetCreated,
    folder: &Path,
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(folder) {
        Ok(opened) => rules.add_rule(PathBeneath::new(opened, rights)),
        Err(error) => {
            tracing::debug!(folder = %folder.display(), %error, "out of reach");
            Ok(rules)
        }
    }
}

/// A folder that is made later is reached by the one that it will be made in, unless that is the root: this would be everything.
fn nearest(folder: &Path) -> PathBuf {
    let there = folder.ancestors().find(|one| one.as_os_str().is_empty() || one.is_dir());
    match there {
        Some(found) if found.as_os_str().is_empty() => PathBuf::from("."),
        Some(found) if found == Path::new("/") => {
            tracing::warn!(
                folder = %folder.display(),
                "there is no such folder: files in it are out of reach until the agent is started again"
            );
            folder.to_owned()
        }
        Some(found) => found.to_owned(),
        None => folder.to_owned(),
    }
}
