//! Each wall is tried by running into it, in a process of an ordinary user: first without walls, where nothing of it is
//! denied, then behind each of the two, then behind both, where all that the agent does must still work.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::kill;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::unistd::{Gid, Pid, Uid, setresgid, setresuid};

use super::*;

const FOLDER: &str = "SEKIMORI_TEST_FOLDER";
const WALLS: &str = "SEKIMORI_TEST_WALLS";
const OTHER: &str = "SEKIMORI_TEST_OTHER";
/// The user `nobody`, where the tests run as root.
const NOBODY: u32 = 65_534;

/// A name, what to try in a folder, and the version of Landlock that forbids it; 0: seccomp does.
type Try = (&'static str, u64, fn(&Path) -> io::Result<()>);

fn open_socket(family: AddressFamily, kind: SockType) -> io::Result<()> {
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC, None).map(drop)?)
}

#[expect(
    unsafe_code,
    reason = "calls that no library makes for us; all arguments are numbers that mean nothing"
)]
fn call(number: libc::c_long, first: libc::c_long) -> io::Result<()> {
    // SAFETY: each call refuses these arguments before it does anything.
    let answer = unsafe { libc::syscall(number, first, 0, 0, 0, 0, 0) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What an ordinary user is not denied, but the agent is.
const FORBIDDEN: [Try; 20] = [
    ("read a file outside", 1, |folder| fs::read(folder.join("outside/file")).map(drop)),
    ("list a folder outside", 1, |folder| fs::read_dir(folder.join("outside")).map(drop)),
    ("write a file outside", 1, |folder| fs::write(folder.join("outside/new"), "x")),
    ("write where it only reads", 1, |folder| fs::write(folder.join("read/new"), "x")),
    ("leave by a link", 1, |folder| fs::read(folder.join("read/link")).map(drop)),
    ("make a link", 1, |folder| {
        let link = folder.join("keep/link");
        symlink("/etc", &link).and_then(|()| fs::remove_file(link))
    }),
    ("run a program (Landlock)", 1, |_| Command::new("/bin/true").status().map(drop)),
    ("empty a file outside", 3, |folder| {
        fs::File::options().write(true).truncate(true).open(folder.join("outside/other")).map(drop)
    }),
    ("listen", 4, |_| TcpListener::bind("127.0.0.1:0").map(drop)),
    ("signal another process", 6, |_| {
        let other = std::env::var(OTHER).unwrap().parse().unwrap();
        Ok(kill(Pid::from_raw(other), None)?)
    }),
    ("run a program", 0, |_| Command::new("/bin/true").status().map(drop)),
    ("trace", 0, |_| call(libc::SYS_ptrace, libc::PTRACE_CONT.into())),
    ("set capabilities", 0, |_| {
        let none = caps::CapsHashSet::new();
        caps::set(None, caps::CapSet::Inheritable, &none).map_err(|_denied| io::Error::last_os_error())
    }),
    ("become somebody", 0, |_| Ok(setresuid(Uid::current(), Uid::current(), Uid::current())?)),
    ("a raw socket", 0, |_| open_socket(AddressFamily::Unix, SockType::Raw)),
    ("a socket of another family", 0, |_| open_socket(AddressFamily::Alg, SockType::SeqPacket)),
    // Of a process with several threads the kernel refuses it as invalid, if it gets to see it.
    ("a namespace", 0, |_| Ok(unshare(CloneFlags::CLONE_NEWUSER)?)),
    ("a tree of files", 0, |_| call(libc::SYS_open_tree, 1)),
    ("another process's memory", 0, |_| call(libc::SYS_process_vm_readv, 1)),
    ("keys of the kernel", 0, |_| call(libc::SYS_add_key, 1)),
];

/// What the agent does once it runs.
const NEEDED: [Try; 10] = [
    ("read", 0, |folder| fs::read(folder.join("read/file")).map(drop)),
    ("keep", 0, |folder| {
        let (sub, file) = (folder.join("keep/sub"), folder.join("keep/sub/file"));
        fs::create_dir(&sub)?;
        fs::write(&file, "x")?;
        fs::rename(&file, folder.join("keep/moved"))?;
        fs::File::open(folder.join("keep"))?.sync_all()?;
        fs::remove_file(folder.join("keep/moved")).and_then(|()| fs::remove_dir(sub))
    }),
    ("a thread", 0, |_| {
        std::thread::Builder::new().spawn(|| ())?.join().map_err(|_panic| io::Error::other("x"))
    }),
    ("connect", 0, |folder| {
        let port: u16 = fs::read_to_string(folder.join("read/port"))?.parse().map_err(io::Error::other)?;
        TcpStream::connect(("127.0.0.1", port)).map(drop)
    }),
    // Whose groups may is the system's rule, and another error.
    ("ask for echoes", 0, |_| {
        let flags = SockFlag::SOCK_CLOEXEC;
        match socket(AddressFamily::Inet, SockType::Datagram, flags, SockProtocol::Icmp) {
            Ok(_) | Err(Errno::EACCES) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }),
    ("send datagrams", 0, |_| UdpSocket::bind("127.0.0.1:0").map(drop)),
    ("names", 0, |_| "localhost:1".to_socket_addrs().map(drop)),
    ("interfaces", 0, |_| {
        let there = pnet::datalink::interfaces();
        there.iter().find(|one| one.name == "lo").map(drop).ok_or_else(|| io::Error::other("no lo"))
    }),
    ("this machine", 0, |_| {
        fs::read_to_string("/sys/class/net/lo/mtu")?;
        fs::read_to_string("/proc/meminfo").map(drop)
    }),
    ("the clock", 0, |_| {
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME).map(drop).map_err(io::Error::from)
    }),
];

fn is_denied(tried: &io::Result<()>) -> bool {
    tried.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// What runs in a process of its own, as an ordinary user.
#[test]
#[ignore = "started by the other tests, behind walls of their choice"]
fn inside() {
    let (Ok(folder), Ok(walls)) = (std::env::var(FOLDER), std::env::var(WALLS)) else { return };
    let folder = Path::new(&folder);
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    if Uid::current().is_root() {
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        nix::unistd::setgroups(&[]).unwrap();
        setresgid(group, group, group).unwrap();
        setresuid(user, user, user).unwrap();
    }
    crate::privilege::drop_all().unwrap();
    // It is there before the walls: what holds for it holds for every thread.
    let (raised, wait) = channel::<()>();
    let (tell, told) = channel();
    let before = std::thread::spawn(move || {
        wait.recv().unwrap();
        tell.send(is_denied(&call(libc::SYS_add_key, 1))).unwrap();
    });
    let reach = Reach { read: vec![folder.join("read")], keep: vec![folder.join("keep")] };
    let stand = match walls.as_str() {
        "none" => Walls::default(),
        "files" => Walls { landlock: files(&reach).unwrap().unwrap_or(0), seccomp: false },
        "calls" => calls::forbid().map(|()| Walls { landlock: 0, seccomp: true }).unwrap(),
        _ => raise(&reach),
    };
    raised.send(()).unwrap();
    assert_eq!(told.recv().unwrap(), stand.seccomp, "the thread that was there before");
    before.join().unwrap();
    for (name, version, forbidden) in FORBIDDEN {
        let tried = forbidden(folder);
        let holds = if version == 0 { stand.seccomp } else { stand.landlock >= version };
        // Without walls, or behind the other one, it must go through; two of them are behind both.
        if holds || !name.starts_with("run a program") || stand == Walls::default() {
            assert_eq!(is_denied(&tried), holds, "{name} behind {stand:?}: {tried:?}");
        }
    }
    for (name, _, needed) in NEEDED {
        needed(folder).unwrap_or_else(|error| panic!("{name} behind {stand:?}: {error}"));
    }
    println!("walls: {stand:?}");
}

fn ordinary(command: &mut Command) -> &mut Command {
    if Uid::current().is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

/// Tries everything behind these walls; what it said.
fn behind(walls: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    open(folder.path());
    for name in ["read", "keep", "outside"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        open(&folder.path().join(name));
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(folder.path().join("read/port"), listener.local_addr().unwrap().port().to_string()).unwrap();
    for name in ["read/file", "outside/file", "outside/other"] {
        fs::write(folder.path().join(name), "x").unwrap();
        open(&folder.path().join(name));
    }
    symlink("../outside/file", folder.path().join("read/link")).unwrap();
    let mut other: Child = ordinary(Command::new("sleep").arg("60")).stdin(Stdio::null()).spawn().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sandbox::tests::inside", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .env(WALLS, walls)
        .env(OTHER, other.id().to_string())
        .output()
        .unwrap();
    other.kill().and_then(|()| other.wait()).unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("walls: "), "{}: {said}", output.status);
    said
}

#[test]
fn an_ordinary_user_without_walls_is_denied_nothing_of_it() {
    let said = behind("none");
    assert!(said.contains("landlock: 0, seccomp: false"), "{said}");
}

#[test]
fn landlock_keeps_what_is_outside_out_of_reach() {
    let said = behind("files");
    assert!(!is_there() || !said.contains("landlock: 0"), "{said}");
}

#[test]
fn seccomp_forbids_the_calls_on_all_threads() {
    behind("calls");
}

#[test]
fn behind_both_walls_the_agent_can_do_what_it_must() {
    let said = behind("both");
    assert!(said.contains("seccomp: true") && said.contains("sandboxed"), "{said}");
    assert!(is_there() || said.contains("this kernel has no Landlock"), "{said}");
}

/// Whether this kernel has Landlock.
fn is_there() -> bool {
    fs::read_to_string("/proc/kallsyms").is_ok_and(|text| text.contains("landlock_restrict_self"))
}

#[test]
fn a_call_that_is_newer_than_the_filter_is_not_there() {
    // In a thread of its own without the others: only the second filter, and only here.
    let answers = std::thread::spawn(|| {
        nix::sys::prctl::set_no_new_privs().unwrap();
        seccompiler::apply_filter(&calls::unknown()).unwrap();
        let number = |error: io::Error| error.raw_os_error().unwrap();
        let answers = [i64::from(calls::LAST_KNOWN) + 1, 0x4000_0000 + libc::SYS_getpid, libc::SYS_clone3]
            .map(|call_number| number(call(call_number, 0).unwrap_err()));
        (answers, call(libc::SYS_getppid, 0).is_ok(), std::thread::spawn(|| 1).join().unwrap())
    });
    assert_eq!(answers.join().unwrap(), ([libc::ENOSYS; 3], true, 1));
}

#[test]
fn a_folder_that_is_made_later_is_reached_by_the_one_around_it() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(nearest(&folder.path().join("a/b")), folder.path());
    assert_eq!(nearest(folder.path()), folder.path());
    assert_eq!(nearest(Path::new("")), Path::new("."));
    let nowhere = Path::new("/no-such-folder/at-all");
    assert_eq!(nearest(nowhere), nowhere, "never the root");
}
