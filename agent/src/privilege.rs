//! Giving up what is no longer needed: after the rings and sockets are open, the process needs no capability at all.
//!
//! Capabilities belong to threads. This must run before any other thread is started; threads started later inherit
//! what is left. No code here needs `unsafe`.

use caps::{CapSet, CapsHashSet};

/// What could not be given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivilegeError {
    #[error("cannot give up the {set} capabilities")]
    Capabilities {
        set: &'static str,
        #[source]
        cause: caps::errors::CapsError,
    },
    #[error("cannot forbid gaining privileges (PR_SET_NO_NEW_PRIVS)")]
    NoNewPrivileges {
        #[source]
        cause: nix::Error,
    },
}

/// Drops every capability of the calling thread, for good.
pub(crate) fn drop_all() -> Result<(), PrivilegeError> {
    nix::sys::prctl::set_no_new_privs().map_err(|cause| PrivilegeError::NoNewPrivileges { cause })?;
    let none = CapsHashSet::new();
    // Ambient first: it must stay within the others. The bounding set needs CAP_SETPCAP, which a service does not have
    // and, with no_new_privs and no file capability ever gained, does not need.
    for (set, name) in [
        (CapSet::Ambient, "ambient"),
        (CapSet::Inheritable, "inheritable"),
        (CapSet::Effective, "effective"),
        (CapSet::Permitted, "permitted"),
    ] {
        // A service whose program was started again without privileges may be denied the call, and needs none.
        if !caps::read(None, set).is_ok_and(|held| held.is_empty()) {
            caps::set(None, set, &none).map_err(|cause| PrivilegeError::Capabilities { set: name, cause })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    use super::*;

    #[test]
    fn nothing_is_left_afterwards() {
        // In a thread of its own: capabilities and no_new_privs are per thread.
        let left = std::thread::spawn(|| {
            drop_all().unwrap();
            let sets = [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted];
            let left = sets.map(|set| caps::read(None, set).unwrap().len());
            (left, nix::sys::prctl::get_no_new_privs().unwrap())
        });
        assert_eq!(left.join().unwrap(), ([0; 4], true));
    }

    #[test]
    fn who_has_nothing_needs_no_call_that_a_service_is_denied() {
        let again = std::thread::spawn(|| {
            drop_all().unwrap();
            let deny = SeccompAction::Errno(nix::libc::EPERM.unsigned_abs());
            let calls = [(nix::libc::SYS_capset, Vec::new())].into_iter().collect();
            let arch = std::env::consts::ARCH.try_into().unwrap();
            let filter = SeccompFilter::new(calls, SeccompAction::Allow, deny, arch).unwrap();
            let filter: BpfProgram = filter.try_into().unwrap();
            seccompiler::apply_filter(&filter).unwrap();
            caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).unwrap_err();
            drop_all()
        });
        again.join().unwrap().unwrap();
    }
}
