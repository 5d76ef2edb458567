//! Which system calls the agent may not make any more, on any thread: those with which code that an attacker brought in would
//! start programs, look into others, change the machine, or send packets of its own making. They fail with `EPERM`.
//!
//! The unit's `SystemCallFilter=` names what is allowed and is narrower; this one holds without systemd as well, knows what
//! the agent no longer needs once it runs, and looks at arguments.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads, sock_filter,
};

/// Why calls cannot be limited.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallsError {
    #[error("no filter is known for this processor ({})", std::env::consts::ARCH)]
    Processor,
    #[error("the filter does not compile")]
    Compile(#[from] seccompiler::BackendError),
    #[error("the kernel does not take the filter")]
    Apply(#[from] seccompiler::Error),
}

/// Whatever their arguments are.
const FORBIDDEN: &[libc::c_long] = &[
    // other programs
    libc::SYS_execve,
    libc::SYS_execveat,
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // who we are
    libc::SYS_capset,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_personality,
    // which world we are in
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_mknodat,
    // the machine
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    // ways around this filter, and parts of the kernel where flaws are often found
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
];

#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[libc::c_long] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_mknod,
    libc::SYS_kexec_file_load,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[libc::c_long] = &[];

/// Calls are looked at up to this one (`mseal`, Linux 6.10). Those with greater numbers are newer, and not known to be harmless;
/// among them, seen as numbers, are all of the x32 table.
pub(super) const LAST_KNOWN: u32 = 462;

/// Families of sockets that the agent still opens: the collector, the resolver, the service manager, the list of interfaces.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// The kind of a socket, without `SOCK_CLOEXEC` and `SOCK_NONBLOCK`.
const KIND_MASK: u64 = 0xf;
/// The older raw kind, of packet sockets; the C library's name for it is deprecated.
const SOCK_PACKET: libc::c_int = 10;
/// Bits of `clone` that make another namespace.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// Forbids them on every thread that there is, and so on every one that will be. Needs `no_new_privs`.
pub(super) fn forbid() -> Result<(), CallsError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|_unknown| CallsError::Processor)?;
    let deny = SeccompAction::Errno(errno(libc::EPERM));
    let filter: BpfProgram = SeccompFilter::new(rules()?, SeccompAction::Allow, deny, arch)?.try_into()?;
    apply_filter_all_threads(&unknown())?;
    Ok(apply_filter_all_threads(&filter)?)
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, CallsError> {
    let whole = FORBIDDEN.iter().chain(FORBIDDEN_HERE).map(|number| (*number, Vec::new()));
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = whole.collect();
    rules.insert(libc::SYS_socket, sockets()?);
    rules.insert(libc::SYS_socketpair, sockets()?);
    let bits = NAMESPACES.map(|bit| {
        let bit = u64::from(bit.unsigned_abs());
        Ok(SeccompRule::new(vec![argument(0, SeccompCmpOp::MaskedEq(bit), bit)?])?)
    });
    rules.insert(libc::SYS_clone, bits.into_iter().collect::<Result<_, CallsError>>()?);
    Ok(rules)
}

/// Sockets of other families, and those that send what they like; the kernel's own conversations are all of the raw kind.
fn sockets() -> Result<Vec<SeccompRule>, CallsError> {
    let number = |value: libc::c_int| u64::from(value.unsigned_abs());
    let others = FAMILIES
        .iter()
        .map(|family| argument(0, SeccompCmpOp::Ne, number(*family)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut rules = vec![SeccompRule::new(others)?];
    for kind in [libc::SOCK_RAW, SOCK_PACKET] {
        rules.push(SeccompRule::new(vec![
            argument(0, SeccompCmpOp::Ne, number(libc::AF_NETLINK))?,
            argument(1, SeccompCmpOp::MaskedEq(KIND_MASK), number(kind))?,
        ])?);
    }
    Ok(rules)
}

fn argument(at: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, CallsError> {
    Ok(SeccompCondition::new(at, SeccompCmpArgLen::Dword, op, value)?)
}

/// A second filter, for what takes another answer: `ENOSYS` makes the C library use the older call that it knows. `clone3` has
/// its flags in memory, where no filter can look; `clone` does the same for threads.
pub(super) fn unknown() -> [sock_filter; 5] {
    let [load, equal, greater, give] = [
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    ]
    .map(|code| u16::try_from(code).unwrap_or(u16::MAX));
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    [
        step(load, 0, 0, 0), // the number is the first field of `seccomp_data`
        step(equal, 2, 0, u32::try_from(libc::SYS_clone3).unwrap_or(u32::MAX)),
        step(greater, 1, 0, LAST_KNOWN),
        step(give, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(give, 0, 0, libc::SECCOMP_RET_ERRNO | errno(libc::ENOSYS)),
    ]
}

fn errno(number: libc::c_int) -> u32 {
    number.unsigned_abs()
}
