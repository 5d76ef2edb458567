//! `cargo xtask doctor-dev`, and the installing that `test`, `demo` and `pcaps --record` begin with.
//!
//! Only Debian packages, only through apt-get, only when something is missing, and only as root or with sudo; what is
//! installed starts no daemons, but for PostgreSQL, whose package may start a server of its own; the tests leave that one alone.
//! Otherwise the exact command is said and nothing is done.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::command;

/// How one sees that a package is there.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// A program on the path.
    Program(&'static str),
    /// One of these files.
    File(&'static [&'static str]),
}

/// A package, its sign, and what it is for.
#[derive(Clone, Copy, Debug)]
struct Package(&'static str, Sign, &'static str);

const HEADERS: Sign = Sign::File(&["/usr/include/pcap/pcap.h", "/usr/local/include/pcap/pcap.h"]);
const CJK_FONT: Sign = Sign::File(&[
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Bold.ttc",
    "/usr/share/fonts/opentype/ipafont-gothic/ipag.ttf",
]);
const FAKETIME: Sign = Sign::File(&[
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
]);

const RSYSLOG_TLS: Sign = Sign::File(&[
    "/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so",
    "/usr/lib/aarch64-linux-gnu/rsyslog/lmnsd_gtls.so",
]);

// Debian 12 to 14.
const POSTGRESQL: Sign = Sign::File(&[
    "/usr/lib/postgresql/15/bin/initdb",
    "/usr/lib/postgresql/16/bin/initdb",
    "/usr/lib/postgresql/17/bin/initdb",
    "/usr/lib/postgresql/18/bin/initdb",
]);

// Debian 12 to 14. The module `venv` is there without it, and makes no environments.
const VENV: Sign = Sign::File(&[
    "/usr/lib/python3.11/ensurepip/__init__.py",
    "/usr/lib/python3.12/ensurepip/__init__.py",
    "/usr/lib/python3.13/ensurepip/__init__.py",
    "/usr/lib/python3.14/ensurepip/__init__.py",
]);

const BUILD: [Package; 3] = [
    Package("gcc", Sign::Program("cc"), "compiles aws-lc, zstd and SQLite"),
    Package("pkg-config", Sign::Program("pkg-config"), "finds libpcap"),
    Package("libpcap-dev", HEADERS, "capture fallback and BPF compiler of the agent"),
];
const TEST: [Package; 21] = [
    Package("rsyslog", Sign::Program("rsyslogd"), "a real sender of syslog; the tests run one of their own"),
    Package("rsyslog-gnutls", RSYSLOG_TLS, "the same over TLS"),
    Package("socat", Sign::Program("socat"), "sends lines from files to sockets"),
    Package("iproute2", Sign::Program("ip"), "network namespaces for live capture tests"),
    Package("ethtool", Sign::Program("ethtool"), "turns offloads of interfaces on and off"),
    Package("nmap", Sign::Program("nmap"), "a real scan in the live capture test"),
    Package("curl", Sign::Program("curl"), "speaks to the collector's API"),
    Package("tinyproxy-bin", Sign::Program("tinyproxy"), "the way out for agents without a direct one"),
    Package("libfaketime", FAKETIME, "an agent whose clock jumps"),
    Package("chromium", Sign::Program("chromium"), "the console in a real browser"),
    Package("chromium-driver", Sign::Program("chromedriver"), "drives that browser"),
    Package("fonts-noto-cjk", CJK_FONT, "Japanese in that browser"),
    Package("postgresql", POSTGRESQL, "the collector's store on PostgreSQL; the tests start it themselves"),
    Package("python3-aiosmtpd", Sign::Program("aiosmtpd"), "a mail server that notices are sent to"),
    Package("nginx-light", Sign::Program("nginx"), "a web server that is watched"),
    Package("dnsmasq-base", Sign::Program("dnsmasq"), "a name server that is watched"),
    Package("slapd", Sign::Program("slapd"), "a directory that is watched"),
    Package("chrony", Sign::Program("chronyd"), "a time server that is watched"),
    Package("systemd", Sign::Program("systemd-analyze"), "judges how far the units are locked down"),
    Package(
        "npm",
        Sign::Program("npm"),
        "fetches axe-core, which asks pages who cannot use them, and an OpenID provider",
    ),
    Package("python3-venv", VENV, "schemathesis, which asks the API what it is not ready for"),
];
const RECORD: [Package; 50] = [
    Package("iproute2", Sign::Program("ip"), "network namespaces"),
    Package("iputils-ping", Sign::Program("ping"), "echoes"),
    Package("nmap", Sign::Program("nmap"), "scans"),
    Package("hping3", Sign::Program("hping3"), "SYN floods"),
    Package("hydra", Sign::Program("hydra"), "guesses passwords"),
    Package("dnsutils", Sign::Program("dig"), "name look-ups"),
    Package("curl", Sign::Program("curl"), "downloads"),
    Package("openssh-server", Sign::Program("sshd"), "something to guess passwords of"),
    Package("dnsmasq-base", Sign::Program("dnsmasq"), "a name server"),
    Package("iodine", Sign::Program("iodine"), "a DNS tunnel"),
    Package("openssl", Sign::Program("openssl"), "a web server over TLS"),
    Package("openssh-client", Sign::Program("ssh"), "log-ins"),
    Package("python3", Sign::Program("python3"), "a web server"),
    Package("gobuster", Sign::Program("gobuster"), "guesses paths of a web server"),
    Package("sqlmap", Sign::Program("sqlmap"), "looks for SQL injection"),
    Package("slowhttptest", Sign::Program("slowhttptest"), "requests that never end"),
    Package("dsniff", Sign::Program("arpspoof"), "forged ARP, forged answers to names, forged resets"),
    Package("tcpdump", Sign::Program("tcpdump"), "looks into a recording that failed"),
    Package("samba", Sign::Program("smbd"), "a file server"),
    Package("samba-ad-provision", Sign::File(&["/usr/share/samba/setup/provision.ldif"]), "a domain"),
    Package("samba-dsdb-modules", Sign::File(SAMBA_MODULES), "a domain controller"),
    Package("samba-vfs-modules", Sign::File(SAMBA_VFS), "a domain controller's shares"),
    Package("smbclient", Sign::Program("rpcclient"), "copies files, lists shares and accounts"),
    Package("winbind", Sign::Program("winbindd"), "a domain controller's accounts"),
    Package("python3-impacket", Sign::File(IMPACKET), "moves through a domain"),
    Package(
        "python3-scapy",
        Sign::File(&["/usr/lib/python3/dist-packages/scapy/__init__.py"]),
        "forged answers",
    ),
    Package("python3-aiosmtpd", Sign::Program("aiosmtpd"), "mail servers"),
    Package("swaks", Sign::Program("swaks"), "sends mail"),
    Package("busybox", Sign::Program("busybox"), "a DHCP client"),
    Package("udhcpd", Sign::Program("udhcpd"), "a second DHCP server"),
    Package("yersinia", Sign::Program("yersinia"), "takes all leases"),
    Package("memcached", Sign::Program("memcached"), "something to reflect from"),
    Package("ptunnel-ng", Sign::Program("ptunnel-ng"), "a tunnel in echoes"),
    Package(
        "python3-pyftpdlib",
        Sign::File(&["/usr/lib/python3/dist-packages/pyftpdlib/__init__.py"]),
        "an FTP server",
    ),
    Package("vsftpd", Sign::Program("vsftpd"), "an FTP server"),
    Package("openvpn", Sign::Program("openvpn"), "a tunnel"),
    Package("microsocks", Sign::Program("microsocks"), "a SOCKS proxy"),
    Package("aria2", Sign::Program("aria2c"), "downloads in parallel, BitTorrent"),
    Package("nginx-light", Sign::Program("nginx"), "a web server"),
    Package("apache2-utils", Sign::Program("ab"), "a load test"),
    Package("snmpd", Sign::Program("snmpd"), "devices to watch"),
    Package("snmp", Sign::Program("snmpget"), "watches devices"),
    Package("fping", Sign::Program("fping"), "watches hosts"),
    Package("nsd", Sign::Program("nsd"), "name servers"),
    Package("unbound", Sign::Program("unbound"), "a resolver"),
    Package("chrony", Sign::Program("chronyd"), "time"),
    Package("rsync", Sign::Program("rsync"), "backups"),
    Package("netcat-openbsd", Sign::Program("nc"), "connections by hand"),
    Package("socat", Sign::Program("socat"), "a slow server"),
    Package("bsdutils", Sign::Program("logger"), "syslog"),
];
const SAMBA_MODULES: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/samba/ldb/samba_dsdb.so",
    "/usr/lib/aarch64-linux-gnu/samba/ldb/samba_dsdb.so",
];
const SAMBA_VFS: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/samba/vfs/acl_xattr.so",
    "/usr/lib/aarch64-linux-gnu/samba/vfs/acl_xattr.so",
];
const IMPACKET: &[&str] = &["/usr/share/doc/python3-impacket/examples/psexec.py"];

const COUNT: [Package; 1] = [Package("valgrind", Sign::Program("valgrind"), "counts instructions")];
const PEERS: [Package; 6] = [
    Package("softflowd", Sign::Program("softflowd"), "a flow exporter to compare with"),
    Package("nfdump", Sign::Program("nfpcapd"), "a flow collector that reads captures"),
    Package("argus-server", Sign::Program("argus"), "a flow monitor"),
    Package("libndpi-bin", Sign::Program("ndpiReader"), "classifies by protocol"),
    Package("tshark", Sign::Program("tshark"), "dissects everything"),
    Package("suricata", Sign::Program("suricata"), "an intrusion detection system"),
];

const DEBIAN: [Package; 3] = [
    Package("debootstrap", Sign::Program("debootstrap"), "makes a fresh Debian"),
    Package("dpkg-dev", Sign::Program("dpkg-shlibdeps"), "which libraries a program needs"),
    Package("iproute2", Sign::Program("ip"), "a network namespace for it"),
];
const PACKAGE: [Package; 2] = [
    Package("dpkg-dev", Sign::Program("dpkg-shlibdeps"), "which libraries a program needs"),
    Package("gzip", Sign::Program("gzip"), "the manual in a package"),
];

/// What needs packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building the two programs.
    Build,
    /// Building and testing.
    Test,
    /// Building and recording captures of real tools.
    Record,
    /// Building and counting instructions.
    Count,
    /// Building and measuring other programs beside ours.
    Peers,
    /// Building and packing.
    Package,
    /// Building, packing and installing into a Debian of its own.
    Debian,
}

impl Purpose {
    fn packages(self) -> Vec<Package> {
        let mut out = BUILD.to_vec();
        match self {
            Self::Build => {}
            Self::Test => out.extend(TEST),
            Self::Record => out.extend(RECORD),
            Self::Count => out.extend(COUNT),
            Self::Peers => out.extend(PEERS),
            Self::Package => out.extend(PACKAGE),
            Self::Debian => out.extend(DEBIAN),
        }
        out
    }
}

fn is_there(sign: Sign) -> bool {
    match sign {
        Sign::Program(name) => command::is_there(name),
        Sign::File(paths) => paths.iter().any(|path| Path::new(path).exists()),
    }
}

fn missing(purpose: Purpose) -> Vec<Package> {
    purpose.packages().into_iter().filter(|package| !is_there(package.1)).collect()
}

fn install_words(packages: &[Package]) -> Vec<&'static str> {
    let names = packages.iter().map(|package| package.0);
    ["apt-get", "install", "-y", "--no-install-recommends"].into_iter().chain(names).collect()
}

/// Says what is there and what is missing, and how to get it.
pub(crate) fn doctor() -> anyhow::Result<()> {
    let mut lacking = Vec::new();
    for (title, purpose) in [
        ("build", Purpose::Build),
        ("test", Purpose::Test),
        ("ci", Purpose::Count),
        ("record", Purpose::Record),
        ("dist", Purpose::Package),
        ("install-test", Purpose::Debian),
    ] {
        println!("{title}:");
        for package in purpose.packages() {
            let there = is_there(package.1);
            println!("  {} {:<16} {}", if there { "✓" } else { "✗" }, package.0, package.2);
            if !there && !lacking.iter().any(|known: &Package| known.0 == package.0) {
                lacking.push(package);
            }
        }
    }
    println!("optional:");
    let nextest = if command::is_there("cargo-nextest") { "✓" } else { "–" };
    println!("  {nextest} cargo-nextest    runs the tests in parallel; without it `cargo test` does");
    if lacking.is_empty() {
        println!("Nothing is missing.");
        return Ok(());
    }
    bail!("{} packages are missing; install them with: {}", lacking.len(), install_words(&lacking).join(" "))
}

/// Installs what is missing for a purpose; does nothing if nothing is.
pub(crate) fn ensure(purpose: Purpose) -> anyhow::Result<()> {
    let lacking = missing(purpose);
    if lacking.is_empty() {
        return Ok(());
    }
    let words = install_words(&lacking);
    let names: Vec<&str> = lacking.iter().map(|package| package.0).collect();
    eprintln!("xtask: installing {}", names.join(", "));
    let Some(prefix) = privilege() else {
        bail!(
            "missing packages, and neither root nor sudo to install them; run as root: {}",
            words.join(" ")
        );
    };
    let _held = HeldDaemons::hold(&prefix)?;
    // A list that is too old or cannot be renewed may still do: what counts is whether installing succeeds.
    if let Err(error) = apt(&prefix, &["apt-get", "update"]) {
        eprintln!("xtask: {error:#}; trying with the package lists as they are");
    }
    apt(&prefix, &words)?;
    let still: Vec<&str> = missing(purpose).iter().map(|package| package.0).collect();
    if !still.is_empty() {
        bail!("apt-get succeeded, but these are still missing: {}", still.join(", "));
    }
    Ok(())
}

fn apt(prefix: &[&str], arguments: &[&str]) -> anyhow::Result<()> {
    let mut all = prefix.iter().copied().chain(["env", "DEBIAN_FRONTEND=noninteractive"]);
    let mut command = Command::new(all.next().unwrap_or("env"));
    // What apt says goes to standard error: standard output is for results.
    command
        .args(all)
        .args(arguments)
        .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
        .stdin(Stdio::null())
        .stdout(std::io::stderr());
    command::run(&mut command)
}

/// Installs the peers that this Debian has; says which it has not. Suricata comes from the backports where the suite itself
/// has none.
pub(crate) fn peers() -> anyhow::Result<()> {
    let lacking = missing(Purpose::Peers);
    if lacking.is_empty() {
        return Ok(());
    }
    let Some(prefix) = privilege() else {
        bail!("neither root nor sudo to install them; run as root: {}", install_words(&lacking).join(" "));
    };
    if let Err(error) = apt(&prefix, &["apt-get", "update"]) {
        eprintln!("xtask: {error:#}; trying with the package lists as they are");
    }
    for package in lacking {
        let installed = apt(&prefix, &install_words(&[package]));
        if installed.or_else(|_missing| from_backports(&prefix, package.0)).is_err() {
            eprintln!("xtask: {} is not to be had here: it is not measured", package.0);
        }
    }
    Ok(())
}

/// Installs from the backports of this suite, without leaving them among the machine's sources.
fn from_backports(prefix: &[&str], package: &str) -> anyhow::Result<()> {
    let release = std::fs::read_to_string("/etc/os-release")?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite = format!("{}-backports", suite.context("os-release names no suite")?);
    let list = std::env::temp_dir().join(format!("xtask-{}.list", std::process::id()));
    std::fs::write(&list, format!("deb http://deb.debian.org/debian {suite} main\n"))?;
    let source = format!("Dir::Etc::SourceList={}", list.display());
    let words = ["apt-get", "-o", &source, "install", "-y", "--no-install-recommends", "-t", &suite, package];
    let done = apt(prefix, &["apt-get", "-o", &source, "update"]).and_then(|()| apt(prefix, &words));
    std::fs::remove_file(list)?;
    done
}

/// What Debian asks before a package starts its own daemon (invoke-rc.d(8)). Servers are only wanted within namespaces.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// While this lives, packages that are installed start no daemons.
struct HeldDaemons<'a> {
    prefix: &'a [&'static str],
}

impl<'a> HeldDaemons<'a> {
    /// `None` if there is a policy already: whoever made it knows what is wanted here.
    fn hold(prefix: &'a [&'static str]) -> anyhow::Result<Option<Self>> {
        if Path::new(POLICY).exists() {
            return Ok(None);
        }
        privileged(prefix, "printf '#!/bin/sh\\nexit 101\\n' >\"$0\" && chmod 755 \"$0\"")?;
        Ok(Some(Self { prefix }))
    }
}

impl Drop for HeldDaemons<'_> {
    fn drop(&mut self) {
        if let Err(error) = privileged(self.prefix, "rm \"$0\"") {
            eprintln!(
                "xtask: {POLICY} could not be removed, so that packages go on starting no daemons: {error:#}"
            );
        }
    }
}

fn privileged(prefix: &[&'static str], line: &str) -> anyhow::Result<()> {
    let mut words = prefix.iter().copied().chain(["sh", "-c", line, POLICY]);
    command::run(Command::new(words.next().unwrap_or("sh")).args(words))
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    command::output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

/// What to put before a command that needs root: nothing as root, sudo where it is; `None` if there is no way.
fn privilege() -> Option<Vec<&'static str>> {
    if is_root() {
        return Some(Vec::new());
    }
    // `-n` would refuse where sudo asks for a password; asking is fine on a terminal.
    command::is_there("sudo").then(|| vec!["sudo"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_install_command_names_the_packages() {
        let words = install_words(&BUILD);
        assert_eq!(words[..4], ["apt-get", "install", "-y", "--no-install-recommends"]);
        assert_eq!(words[4..], ["gcc", "pkg-config", "libpcap-dev"]);
    }

    #[test]
    fn every_purpose_can_build() {
        for purpose in [Purpose::Build, Purpose::Test, Purpose::Record, Purpose::Count, Purpose::Peers] {
            assert!(purpose.packages().iter().any(|package| package.0 == "libpcap-dev"));
        }
    }
}
