//! Service watch against real servers behind a cable: nginx, dnsmasq, tinyproxy, aiosmtpd, slapd, chrony. They are stopped,
//! frozen, made to lie, cut off and started again, and the stage at fault is named each time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::endpoint::certificates;
use crate::support::netns::Netns;
use crate::support::{Agent, Collector, Running, program, run_ok};

const SOON: Duration = Duration::from_secs(60);
const LINE: &str = "198.51.100.2";
const DNS: &str = "198.51.100.3";
const WEB: &str = "198.51.100.4";
const PROXY: &str = "198.51.100.5";
const OFFICE: &str = "198.51.100.6";
const ALL: [&str; 7] = ["line", "dns", "proxy", "web", "relay", "directory", "time"];

/// The resolver of a namespace; gone when dropped.
struct Resolver(PathBuf);

impl Resolver {
    fn of(namespace: &str) -> Self {
        let folder = Path::new("/etc/netns").join(namespace);
        std::fs::create_dir_all(&folder).expect("a folder for the namespace");
        let text = format!("nameserver {DNS}\noptions timeout:1 attempts:1\n");
        std::fs::write(folder.join("resolv.conf"), text).expect("a file");
        Self(folder)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        // The name is that of our namespace.
        let removed = std::fs::remove_dir_all(&self.0);
        assert!(removed.is_ok(), "{}: {removed:?}", self.0.display());
    }
}

/// The servers, each started anew whenever it is asked for.
struct Servers {
    place: Netns,
    folder: tempfile::TempDir,
}

impl Servers {
    fn new(place: Netns) -> Self {
        for address in [DNS, WEB, PROXY, OFFICE] {
            place.ip(&["addr", "add", &format!("{address}/24"), "dev", "sk0"]);
        }
        let servers = Self { place, folder: tempfile::tempdir().expect("a folder") };
        std::fs::create_dir(servers.path("www")).expect("a folder");
        servers.page("welcome to the city");
        servers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn page(&self, text: &str) {
        std::fs::write(self.path("www/index.html"), text).expect("a file");
    }

    fn start(&self, name: &str, words: &[&str], config: &str) -> Running {
        let file = self.path(&format!("{name}.conf"));
        std::fs::write(&file, config).expect("a file");
        let mut command = self.place.command(Path::new(name));
        command.args(words.iter().map(|word| word.replace("CONFIG", &file.display().to_string())));
        Running::logged(&mut command, &self.path(&format!("{name}.log")))
    }

    fn web(&self) -> Running {
        let folder = self.folder.path().display();
        let config = format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n\
             events {{}}\nhttp {{ access_log off; server {{ listen {WEB}:80; root {folder}/www; }} }}\n"
        );
        self.start("nginx", &["-c", "CONFIG"], &config)
    }

    fn dns(&self, address: &str) -> Running {
        let pid = self.path("dnsmasq.pid");
        let config = format!(
            "no-resolv\nno-hosts\nlisten-address={DNS}\nbind-interfaces\nuser=root\npid-file={}\n\
             address=/www.city.test/{address}\n",
            pid.display()
        );
        self.start("dnsmasq", &["--no-daemon", "--conf-file=CONFIG"], &config)
    }

    fn proxy(&self) -> Running {
        self.start("tinyproxy", &["-d", "-c", "CONFIG"], &format!("Port 8888\nListen {PROXY}\nTimeout 5\n"))
    }

    fn relay(&self, tls: &[PathBuf; 3]) -> Running {
        let (address, text) = (format!("{OFFICE}:25"), |path: &PathBuf| path.display().to_string());
        let words = [
            "-n",
            "-l",
            &address,
            "--tlscert",
            &text(&tls[0]),
            "--tlskey",
            &text(&tls[1]),
            "--no-requiretls",
        ];
        self.start("aiosmtpd", &words, "")
    }

    fn directory(&self) -> Running {
        let pid = self.path("slapd.pid");
        let config = format!("include /etc/ldap/schema/core.schema\npidfile {}\n", pid.display());
        self.start("slapd", &["-d", "0", "-f", "CONFIG", "-h", &format!("ldap://{OFFICE}:389")], &config)
    }

    fn time(&self) -> Running {
        let pid = self.path("chronyd.pid");
        let config = format!(
            "local stratum 8\nallow\nbindaddress {OFFICE}\ncmdport 0\nuser root\npidfile {}\n",
            pid.display()
        );
        self.start("chronyd", &["-d", "-x", "-f", "CONFIG"], &config)
    }
}

fn configuration(ca: &Path) -> String {
    let target = |name: &str, server: &str, more: &str| {
        format!(
            "[[watch.target]]\nname = \"{name}\"\nserver = \"{server}\"\ninterval = \"1s\"\ntimeout = \"900ms\"\n{more}\n"
        )
    };
    let on = |names: &str| format!("depends_on = [{names}]");
    let [line, both] = [on("\"line\""), on("\"line\", \"dns\"")];
    [
        "[capture]\ninterfaces = [\"lo\"]\nfilter = \"icmp\"\n[watch]\nper_second = 4\n".to_owned(),
        target("line", "line", &format!("probe = \"icmp\"\naddress = \"{LINE}\"")),
        target(
            "dns",
            "resolver",
            &format!("probe = \"dns\"\naddress = \"{DNS}\"\nquery = \"www.city.test\"\nanswer = [\"{WEB}\"]\n{line}"),
        ),
        target("proxy", "proxy", &format!("probe = \"tcp\"\naddress = \"{PROXY}:8888\"\n{line}")),
        target(
            "web",
            "web",
            &format!("probe = \"http\"\nurl = \"http://www.city.test/\"\ncontains = \"welcome\"\n{both}"),
        ),
        target(
            "relay",
            "mail_relay",
            &format!(
                "probe = \"smtp\"\naddress = \"{OFFICE}\"\nsecurity = \"starttls\"\ncertificate_name = \"localhost\"\nca = {ca:?}\n{line}"
            ),
        ),
        target("directory", "ad", &format!("probe = \"ldap\"\naddress = \"{OFFICE}\"\n{line}")),
        target("time", "other", &format!("probe = \"ntp\"\naddress = \"{OFFICE}\"\n{line}")),
    ]
    .concat()
}

fn status(agent: &Agent) -> Value {
    let json = std::fs::read(agent.state.join("status.json")).unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

/// Waits until each of these is at this level, with this trouble (a part of it) and because of this other target.
fn wait_until(agent: &Agent, names: &[&str], level: &str, trouble: &str, because: Option<&str>) {
    for name in names {
        let mut last = Value::Null;
        let is_so = |one: &Value| {
            one["level"] == level
                && one["trouble"].as_str().unwrap_or_default().contains(trouble)
                && one["because_of"].as_str() == because
        };
        let until = Instant::now() + SOON;
        while !is_so(&last) {
            assert!(Instant::now() < until, "{name} is {level} ({trouble}) because of {because:?}: {last}");
            std::thread::sleep(Duration::from_millis(50));
            let status = status(agent);
            let mut lines = status["watch"].as_array().into_iter().flatten();
            last = lines.find(|one| one["name"] == *name).cloned().unwrap_or_default();
        }
    }
}

#[test]
fn real_servers_are_watched_and_the_stage_at_fault_is_named() {
    let (gateway, outside) = (Netns::new("gw"), Netns::new("out"));
    gateway.connect("198.51.100.1/24", &outside, &format!("{LINE}/24"), "sk0");
    let gateway_name = gateway.name.clone();
    let _resolver = Resolver::of(&gateway_name);
    let servers = Servers::new(outside);
    let tls = certificates(servers.folder.path(), "own");
    let (web, dns, proxy) = (servers.web(), servers.dns(WEB), servers.proxy());
    let (relay, directory, time) = (servers.relay(&tls), servers.directory(), servers.time());
    let collector = Collector::start_in(Some(gateway));
    let agent = collector.enrol("422011", "watch");
    let config = agent.configure(&configuration(&tls[2]));
    let mut command = Netns::command_in(&gateway_name, &program("sekimori-agent"));
    command.args(["run", "--config"]).arg(&config);
    let _agent = Running::logged(&mut command, &agent.state.join("agent.log"));

    // A new namespace allows nobody to ping.
    wait_until(&agent, &["line"], "unknown", "net.ipv4.ping_group_range", None);
    let allow = "echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range";
    run_ok(Netns::command_in(&gateway_name, Path::new("sh")).args(["-c", allow]));
    wait_until(&agent, &ALL, "up", "", None);

    // Stopped: each is itself at fault.
    drop((web, proxy, relay, directory, time));
    wait_until(&agent, &["web", "proxy", "relay", "directory", "time"], "down", "", None);
    let (web, _proxy, relay) = (servers.web(), servers.proxy(), servers.relay(&tls));
    let (_directory, _time) = (servers.directory(), servers.time());
    wait_until(&agent, &ALL, "up", "", None);

    let _relay = lie_and_stall(&agent, &servers, &web, relay, &tls);
    let _dns = without_names(&agent, &servers, dns);

    // Cut off: only the line is at fault.
    servers.place.ip(&["link", "set", "sk0", "down"]);
    wait_until(&agent, &["line"], "down", "", None);
    wait_until(&agent, &ALL[1..], "down", "", Some("line"));
    servers.place.ip(&["link", "set", "sk0", "up"]);
    wait_until(&agent, &ALL, "up", "", None);

    // One incident for each that was at fault, however often.
    let mut subjects: Vec<String> = collector
        .incidents("service_outage", SOON)
        .iter()
        .map(|one| one["subject"].as_str().unwrap_or_default().to_owned())
        .collect();
    subjects.sort();
    assert_eq!(subjects, [LINE, DNS, PROXY, OFFICE, "www.city.test"]);
    let text = run_ok(Command::new(program("sekimori-agent")).args(["status", "--config"]).arg(&config));
    assert!(text.contains("watch      web: up since "), "{text}");
}

/// A page that is not the city's, a certificate of somebody else; then so slow that nobody waits for it.
fn lie_and_stall(
    agent: &Agent,
    servers: &Servers,
    web: &Running,
    relay: Running,
    tls: &[PathBuf; 3],
) -> Running {
    servers.page("defaced");
    drop(relay);
    let relay = servers.relay(&certificates(servers.folder.path(), "other"));
    wait_until(agent, &["web"], "down", "the expected content is missing", None);
    wait_until(agent, &["relay"], "down", "nobody that is known has issued it", None);
    servers.page("welcome back");
    drop(relay);
    let relay = servers.relay(tls);
    wait_until(agent, &ALL, "up", "", None);
    web.signal(Signal::SIGSTOP);
    wait_until(agent, &["web"], "down", "it does not answer", None);
    web.signal(Signal::SIGCONT);
    wait_until(agent, &["web"], "up", "", None);
    relay
}

/// Without its name the page is not found, and is not at fault; nor is it where its name leads elsewhere.
fn without_names(agent: &Agent, servers: &Servers, dns: Running) -> Running {
    drop(dns);
    wait_until(agent, &["dns"], "down", "it refuses connections", None);
    wait_until(agent, &["web"], "down", "its name is not resolved", Some("dns"));
    let dns = servers.dns("198.51.100.66");
    wait_until(agent, &["dns"], "down", "it says 198.51.100.66", None);
    wait_until(agent, &["web"], "down", "", Some("dns"));
    drop(dns);
    let dns = servers.dns(WEB);
    wait_until(agent, &ALL, "up", "", None);
    dns
}
