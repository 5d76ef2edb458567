//! Tools at honest work that looks like something else.

use super::super::Side::{Inside, Outside};
use super::{Recording, as_neighbour};

pub(super) fn all() -> Vec<Recording> {
    [copies_and_load(), watching(), names_and_time()].into_iter().flatten().collect()
}

fn copies_and_load() -> Vec<Recording> {
    vec![
        Recording {
            name: "bruteforce.login/benign-recorded-rsync",
            about: "rsync copies forty files over SSH, and what is new six times, one soon after the other.",
            expect: vec![],
            servers: &[(Outside, BACKUP_SERVER)],
            acts: &[(
                Inside,
                "mkdir docs; for i in $(seq 40); do head -c 1200 /dev/urandom >docs/d$i; done; \
                 S=\"ssh -i $PWD/user -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null\"; \
                 for r in $(seq 7); do rsync -a -e \"$S\" docs/ root@203.0.113.66:\"$PWD\"/backup/; \
                 head -c 3000 /dev/urandom >docs/new$r; sleep 2; done; [ $(ls backup | wc -l) -ge 46 ]",
            )],
        },
        Recording {
            name: "flood.syn/benign-recorded-ab",
            about: "ab loads a web server (nginx) with 240 requests, twenty at a time.",
            expect: vec![],
            servers: &[(Inside, WEB_SERVER)],
            acts: &[(
                Outside,
                "sleep 1; ab -q -n 160 -c 20 http://192.168.10.5/; ab -q -n 80 -c 20 -k http://192.168.10.5/",
            )],
        },
        Recording {
            name: "scan.host/benign-recorded-aria2c",
            about: "aria2c fetches thirty files from sixteen addresses at once.",
            expect: vec![],
            servers: &[
                (
                    Outside,
                    "for i in $(seq 101 116); do ip addr add 203.0.113.$i/24 dev sk-out; done; sleep 600",
                ),
                (Outside, WEB_SERVER),
            ],
            acts: &[(
                Inside,
                "sleep 2; for i in $(seq 30); do echo http://203.0.113.$((101 + i % 16))/p$i; done >list; \
                 aria2c -q -j 16 -x 4 -d got -i list; [ $(ls got | wc -l) = 30 ]",
            )],
        },
    ]
}

fn watching() -> Vec<Recording> {
    vec![Recording {
        name: "scan.host/benign-recorded-snmp-fping",
        about: "snmpget and fping ask twelve devices for their state every few seconds; two more are down.",
        expect: vec![],
        servers: &[(
            Inside,
            "for i in $(seq 11 22); do ip addr add 192.168.10.$i/24 dev sk-in; done; echo 'rocommunity public' >snmpd.conf; \
             exec snmpd -f -C -c $PWD/snmpd.conf -Lf log -p $PWD/snmpd.pid udp:161",
        )],
        acts: &[
            (Outside, as_neighbour!()),
            (
                Outside,
                "for r in 1 2 3; do for i in $(seq 11 22); do \
                 snmpget -v2c -c public 192.168.10.$i 1.3.6.1.2.1.1.3.0 1.3.6.1.2.1.1.5.0 || exit 1; done; \
                 fping -q -c 1 -g 192.168.10.11 192.168.10.24; sleep 4; done; \
                 for i in 11 12 13; do snmpbulkwalk -v2c -c public 192.168.10.$i 1.3.6.1.2.1.2; done; true",
            ),
        ],
    }]
}

fn names_and_time() -> Vec<Recording> {
    vec![
        Recording {
            name: "scan.host/benign-recorded-unbound",
            about: "a resolver (unbound) asks forty name servers (nsd), from the root on, for names of which a third does not exist.",
            expect: vec![],
            servers: &[(Outside, NAME_SERVERS), (Inside, RESOLVER)],
            acts: &[(
                Inside,
                "sleep 2; ask() { dig +short +tries=1 @127.0.0.1 \"$@\"; }; for i in $(seq 102 140); do \
                 [ $(ask www.city$i.example) = 203.0.113.66 ] || exit 1; ask mail.city$i.example mx; \
                 ask nobody.city$i.example; done",
            )],
        },
        Recording {
            name: "flood.amplification/benign-recorded-chrony",
            about: "chrony asks two servers for the time every second, after a burst.",
            expect: vec![],
            servers: &[(Outside, TIME_SERVER), (Inside, TIME_CLIENT)],
            acts: &[(Inside, "sleep 60")],
        },
    ]
}

const BACKUP_SERVER: &str = "mkdir -p /run/sshd; for k in hostkey user; do ssh-keygen -q -t ed25519 -N '' -f \"$PWD/$k\" <<<y; done; \
    exec /usr/sbin/sshd -D -e -f /dev/null -h \"$PWD/hostkey\" -o UsePAM=no -o ListenAddress=203.0.113.66 \
    -o AuthorizedKeysFile=\"$PWD/user.pub\" -o StrictModes=no -o PermitRootLogin=yes";
const WEB_SERVER: &str = r#"mkdir -p www; head -c 500 /dev/urandom | base64 >www/index.html; \
    for i in $(seq 30); do head -c 5000 /dev/urandom >www/p$i; done; \
    T=$(for t in client_body proxy fastcgi uwsgi scgi; do printf '%s_temp_path %s;' $t $t; done); \
    printf 'user root; daemon off; pid nginx.pid; error_log error.log; events {} http { access_log off; %s %s }' "$T" \
    'server { listen 80; root www; }' >nginx.conf; exec nginx -p "$PWD" -c nginx.conf"#;
const NAME_SERVERS: &str = r#"for i in $(seq 101 140); do ip addr add 203.0.113.$i/24 dev sk-out; A="$A -a 203.0.113.$i"; done; \
    printf '$TTL 300\n@ SOA ns1. root. 1 60 60 600 60\n@ NS ns1.\nns1 A 203.0.113.101\n' >root.zone; \
    printf 'server:\n username: ""\n chroot: ""\n database: ""\n pidfile: ""\n' >nsd.conf; \
    for f in zonesdir logfile xfrdfile zonelistfile; do D=$PWD/$f; [ $f = zonesdir ] && D=$PWD; \
    printf ' %s: "%s"\n' $f "$D" >>nsd.conf; done; \
    printf 'remote-control:\n control-enable: no\nzone:\n name: "."\n zonefile: root.zone\n' >>nsd.conf; \
    for i in $(seq 102 140); do \
    printf 'city%s.example NS ns.city%s.example\nns.city%s.example A 203.0.113.%s\n' $i $i $i $i >>root.zone; \
    printf '$TTL 300\n@ SOA ns root 1 60 60 600 60\n@ NS ns\nns A 203.0.113.%s\nwww A 203.0.113.66\nmail A 203.0.113.66\n' \
    $i >zone$i; printf 'zone:\n name: "city%s.example"\n zonefile: zone%s\n' $i $i >>nsd.conf; done; \
    exec nsd -d $A -c "$PWD/nsd.conf""#;
const RESOLVER: &str = r#"printf '. NS ns1.\nns1. A 203.0.113.101\n' >hints; \
    printf 'server:\n interface: 127.0.0.1\n username: ""\n chroot: ""\n pidfile: ""\n use-syslog: no\n' >unbound.conf; \
    printf ' root-hints: hints\n module-config: iterator\n outgoing-interface: 192.168.10.5\n directory: "%s"\n' "$PWD" \
    >>unbound.conf; exec unbound -d -c "$PWD/unbound.conf""#;
const TIME_SERVER: &str = r#"ip addr add 203.0.113.101/24 dev sk-out; \
    printf 'local stratum 8\nallow all\ncmdport 0\npidfile %s/server.pid\n' "$PWD" >server.conf; \
    exec chronyd -x -d -u root -f "$PWD/server.conf""#;
const TIME_CLIENT: &str = r#"for s in '66 iburst xleave' '101 iburst'; do \
    echo "server 203.0.113.$s minpoll 0 maxpoll 1" >>client.conf; done; \
    printf 'cmdport 0\npidfile %s/client.pid\n' "$PWD" >>client.conf; exec chronyd -x -d -u root -f "$PWD/client.conf""#;
