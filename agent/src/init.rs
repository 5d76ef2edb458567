//! `init`: a working configuration, from flags or by asking, and the unit's list of addresses that the agent may speak with.
//!
//! Nothing is written before the text has passed the same checks as at the start, and nothing of an operator's is written over
//! without being told to: only the example that the package brings may be replaced.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

use pnet::ipnetwork::IpNetwork;
use sekimori_wire::text::BoundedText;
use toml::Value;

use crate::cli::InitArgs;
use crate::config::{Config, ConfigError};
use crate::identity::Identity;

/// What the package brings, which nobody wrote.
const EXAMPLE: &str = include_str!("../agent.example.toml");
/// Where systemd looks for additions to our unit.
const DROP_IN: &str = "addresses.conf";
/// Name servers of this machine.
const RESOLVER: &str = "/etc/resolv.conf";
/// The service's group, which may read it; others may not.
const GROUP: &str = "sekimori-agent";
const MODE: u32 = 0o640;
/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitError {
    #[error("{path} is there already: --force writes over it")]
    Exists { path: PathBuf },
    #[error("--interface: name at least one; there are: {there}")]
    NoInterface { there: String },
    #[error("--segment {given}: is NAME=NETWORK[,NETWORK…], such as internet=10.3.0.0/16")]
    Segment { given: String },
    #[error("the host {host} of the collector has no address here")]
    Unresolved {
        host: String,
        #[source]
        cause: io::Error,
    },
    #[error("what was given makes no sound configuration")]
    Unsound(#[source] Box<ConfigError>),
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot read the answer")]
    Answer(#[source] io::Error),
}

impl InitError {
    /// What was asked for is at fault, and not the world.
    pub(crate) const fn is_usage(&self) -> bool {
        match self {
            Self::Exists { .. } | Self::NoInterface { .. } | Self::Segment { .. } | Self::Unsound(_) => true,
            Self::Unresolved { .. } | Self::Write { .. } | Self::Answer(_) => false,
        }
    }
}

/// Writes the files; says what was written and what comes next.
pub(crate) fn init(args: &InitArgs) -> Result<String, InitError> {
    let is_free = match std::fs::read_to_string(&args.config) {
        Ok(text) => text == EXAMPLE || args.force,
        Err(error) => error.kind() == io::ErrorKind::NotFound || args.force,
    };
    if !is_free {
        return Err(InitError::Exists { path: args.config.clone() });
    }
    let there = pnet::datalink::interfaces();
    let interfaces = if args.interfaces.is_empty() { asked(&there)? } else { args.interfaces.clone() };
    let text = configuration(args, &interfaces, &private_networks(&there))?;
    Config::check(&args.config, &text).map_err(|cause| InitError::Unsound(Box::new(cause)))?;
    let hosts = collectors(args);
    let drop_in = match &args.drop_in {
        Some(folder) if !hosts.is_empty() => {
            Some((folder.join(DROP_IN), addresses(&hosts, &name_servers(Path::new(RESOLVER)))?))
        }
        Some(_) | None => None,
    };
    write(&args.config, &text, MODE)?;
    let mut said = format!("{}: written; interfaces: {}\n", args.config.display(), interfaces.join(", "));
    if let Some((path, text)) = drop_in {
        write(&path, &text, 0o644)?;
        said += &format!("{}: written; other addresses than these are closed to the agent\n", path.display());
    } else if args.drop_in.is_some() {
        said += "no list of addresses: neither --collector was given nor is this agent enrolled; enrol it and run init again with --force\n";
    }
    said += &format!(
        "next:\n  sekimori-agent enroll --state {} --token TOKEN      (once; sekimori-collector agent token)\n  \
         sekimori-agent doctor --config {}\n  systemctl daemon-reload && systemctl enable --now sekimori-agent\n",
        args.state.display(),
        args.config.display(),
    );
    Ok(said)
}

/// Asks for interfaces where somebody can answer.
fn asked(there: &[pnet::datalink::NetworkInterface]) -> Result<Vec<String>, InitError> {
    let names: Vec<&str> =
        there.iter().filter(|one| !one.is_loopback()).map(|one| one.name.as_str()).collect();
    let missing = || InitError::NoInterface { there: names.join(", ") };
    if !io::stdin().is_terminal() {
        return Err(missing());
    }
    let question = format!("Interfaces to capture on, of {}: ", names.join(", "));
    let mut out = io::stderr();
    out.write_all(question.as_bytes()).and_then(|()| out.flush()).map_err(InitError::Answer)?;
    let mut answer = String::new();
    io::Read::take(io::stdin().lock(), ANSWER_BYTES_MAX).read_line(&mut answer).map_err(InitError::Answer)?;
    let chosen: Vec<String> =
        answer.split([' ', ',', '\n']).filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect();
    if chosen.is_empty() { Err(missing()) } else { Ok(chosen) }
}

/// The text: what was asked for, and what this machine's own addresses suggest, as a comment.
fn configuration(args: &InitArgs, interfaces: &[String], seen: &[IpNetwork]) -> Result<String, InitError> {
    let string = |text: &str| Value::from(text).to_string();
    let names = Value::from(interfaces.to_vec());
    let state = string(&args.state.display().to_string());
    let mut out = format!(
        "# Made by `sekimori-agent init`. Every key: docs/configuration.md; `sekimori-agent check` checks this file.\n\n\
         [capture]\ninterfaces = {names}\n\n[state]\ndir = {state}\n"
    );
    if let Some(proxy) = &args.proxy {
        out += &format!("\n[collector]\nproxy = {}\n", string(proxy));
    }
    if let Some(body) = &args.body {
        let name = args.body_name.as_deref().unwrap_or(body);
        out += &format!(
            "\n[[body]]\ncode = {}\nname = {}\nmodel = {}\n",
            string(body),
            string(name),
            string(&args.model)
        );
    }
    for given in &args.segments {
        let wrong = || InitError::Segment { given: BoundedText::<200>::new(given).to_string() };
        let (name, networks) = given.split_once('=').ok_or_else(wrong)?;
        let networks: Vec<String> = networks.split(',').map(ToOwned::to_owned).collect();
        if !networks.iter().all(|network| network.parse::<IpNetwork>().is_ok()) {
            return Err(wrong());
        }
        out += &format!("\n[[segment]]\nname = {}\ncidr = {}\n", string(name), Value::from(networks));
    }
    if args.segments.is_empty() {
        out += "\n# Without [[segment]] tables the private address ranges count as inside, and nothing is a violation of\n\
                # the three segments. Name yours: my_number, lgwan, internet, dmz, and so on.\n# [[segment]]\n# name = \"internet\"\n";
        let networks: Vec<String> = seen.iter().map(ToString::to_string).collect();
        out += &match networks.as_slice() {
            [] => "# cidr = [\"10.3.0.0/16\"]\n".to_owned(),
            _ => {
                format!("# What this machine's own addresses suggest:\n# cidr = {}\n", Value::from(networks))
            }
        };
    }
    Ok(out)
}

/// Private networks that this machine has an address in: likely the body's own.
fn private_networks(there: &[pnet::datalink::NetworkInterface]) -> Vec<IpNetwork> {
    let is_private = |address: IpAddr| match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    };
    let own = there.iter().filter(|one| !one.is_loopback()).flat_map(|one| &one.ips);
    let networks = own.filter(|one| is_private(one.ip()));
    let networks: BTreeSet<IpNetwork> =
        networks.filter_map(|one| IpNetwork::new(one.network(), one.prefix()).ok()).collect();
    networks.into_iter().collect()
}

/// Hosts that the agent goes to: those given, else those of its enrolment; and the proxy in their place.
fn collectors(args: &InitArgs) -> Vec<String> {
    let urls = match (&args.proxy, args.collectors.is_empty()) {
        (Some(proxy), _) => vec![proxy.clone()],
        (None, false) => args.collectors.clone(),
        (None, true) => Identity::load(&args.state).map(|identity| identity.ingest_urls).unwrap_or_default(),
    };
    urls.iter().filter_map(|url| host(url)).collect()
}

/// The host of a URL, or of what is a host already.
fn host(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        // An IPv6 address without brackets has more than one colon.
        None if authority.matches(':').count() > 1 => authority,
        None => authority.split(':').next().unwrap_or_default(),
    };
    (!host.is_empty()).then(|| host.to_owned())
}

/// Name servers, where names must be looked up.
fn name_servers(path: &Path) -> Vec<IpAddr> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|rest| rest.trim().parse().ok()).collect()
}

/// The addition to the unit.
fn addresses(hosts: &[String], name_servers: &[IpAddr]) -> Result<String, InitError> {
    let mut allowed = BTreeSet::new();
    let mut has_names = false;
    for host in hosts {
        if let Ok(address) = host.parse::<IpAddr>() {
            allowed.insert(address);
            continue;
        }
        has_names = true;
        let found = (host.as_str(), 443)
            .to_socket_addrs()
            .map_err(|cause| InitError::Unresolved { host: host.clone(), cause })?;
        allowed.extend(found.map(|address| address.ip()));
    }
    if has_names {
        allowed.extend(name_servers);
    }
    let list: Vec<String> =
        allowed.iter().filter(|one| !one.is_loopback()).map(ToString::to_string).collect();
    Ok(format!(
        "# Made by `sekimori-agent init`: the agent may speak with its collector and name servers alone. Captured frames are not\n\
         # meant by this. Add the senders of [endpoint] and what [watch] asks; make it anew when the collector's address changes.\n\
         [Service]\nIPAddressDeny=any\nIPAddressAllow=localhost {}\n",
        list.join(" ")
    ))
}

/// A whole file, or none: written beside it and renamed.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), InitError> {
    let failed = |cause| InitError::Write { path: path.to_owned(), cause };
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let beside = path.with_extension("new");
    // One that an earlier run left half.
    if let Err(error) = std::fs::remove_file(&beside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(failed(error));
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    // Who may read the old one may read the new one; of a first one that is the service.
    let owner = match std::fs::metadata(path) {
        Ok(old) => Some((old.uid(), old.gid())),
        Err(_none) if nix::unistd::geteuid().is_root() => {
            let group = nix::unistd::Group::from_name(GROUP).ok().flatten();
            group.map(|group| (0, group.gid.as_raw()))
        }
        Err(_none) => None,
    };
    if let Some((user, group)) = owner {
        chown(&beside, Some(user), Some(group)).map_err(failed)?;
    }
    std::fs::rename(&beside, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_what_people_write() {
        for (given, expected) in [
            ("https://c.example:8440", Some("c.example")),
            ("https://[2001:db8::1]:8440/x", Some("2001:db8::1")),
            ("192.0.2.1:8440", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("c.example", Some("c.example")),
            ("https://", None),
        ] {
            assert_eq!(host(given).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn the_list_of_addresses_holds_what_is_needed() {
        let servers = ["192.0.2.53".parse().unwrap()];
        let by_address = addresses(&["203.0.113.10".to_owned()], &servers).unwrap();
        assert!(
            by_address.ends_with("IPAddressDeny=any\nIPAddressAllow=localhost 203.0.113.10\n"),
            "{by_address}"
        );
        let by_name = addresses(&["localhost".to_owned()], &servers).unwrap();
        assert!(by_name.ends_with("IPAddressAllow=localhost 192.0.2.53\n"), "{by_name}");
        addresses(&["no-such-host.invalid".to_owned()], &servers).unwrap_err();
    }
}
