//! The demo: three cities of Nagasaki behind one prefectural cloud, one afternoon.
//!
//! The same outside host scans all three, so that one parent incident opens across them; each city has trouble of its
//! own besides. Web traffic goes through the cloud's proxy and names through its resolver, as the matrix of the
//! three-layer separation wants it: what breaks the matrix is there on purpose.

use std::net::IpAddr;

use super::behaviour as act;
use super::capture::{Capture, MILLI, SECOND};
use super::cases::{ATTACKER, shuffled_ports, ssh_guesses};
use super::craft::{end, v4};
use super::talk::{self, Office};
use super::{Case, Expect};

/// A body of the demo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    /// In file names.
    pub(crate) key: &'static str,
    /// 団体コード with its check digit.
    pub(crate) code: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// Second octet of its networks (10.x.0.0/16).
    pub(crate) net: u8,
}

/// The three bodies.
pub(crate) const BODIES: [Body; 3] = [
    Body { key: "nagasaki", code: "422011", name: "長崎市", net: 11 },
    Body { key: "sasebo", code: "422029", name: "佐世保市", net: 12 },
    Body { key: "isahaya", code: "422045", name: "諫早市", net: 13 },
];

const RESOLVER: IpAddr = v4([10, 250, 0, 53]);
const GUESSER: IpAddr = v4([198, 51, 100, 23]);
const OUTSIDE: IpAddr = v4([198, 51, 100, 80]);

const fn office(net: u8) -> Office {
    Office { net: [10, net, 30], resolver: RESOLVER, proxy: Some(end(v4([10, 250, 0, 80]), 8_080)) }
}

/// A host of a body: third and fourth octet.
const fn host(net: u8, third: u8, last: u8) -> IpAddr {
    v4([10, net, third, last])
}

/// The office at work, and the outside host that scans the body's public web server.
fn scanned(capture: &mut Capture, net: u8, start: u64) {
    talk::office(capture, &office(net), 0, 60 * SECOND);
    act::scan_ports(capture, start, ATTACKER, host(net, 9, 10), &shuffled_ports(150), &[80, 443]);
}

/// Segments of one body as the agent's configuration says them.
pub(crate) fn agent_toml(body: &Body) -> String {
    let Body { key, code, name, net } = *body;
    let mut out = format!(
        "# Segments of {name} in the demo. Made by `cargo xtask pcaps`; the network numbers are invented.\n\
         [[body]]\ncode = \"{code}\"\nname = \"{name}\"\nmodel = \"alpha\"\n"
    );
    for (segment, third) in [("my_number", 10), ("lgwan", 20), ("internet", 30), ("dmz", 9), ("mgmt", 99)] {
        out += &format!("\n[[segment]]\nname = \"{segment}\"\ncidr = [\"10.{net}.{third}.0/24\"]\n");
    }
    out += "\n[[segment]]\nname = \"sec_cloud\"\ncidr = [\"10.250.0.0/24\"]\n";
    out += &format!(
        "\n[[allow]]\nid = \"SC-001-{key}\"\nfrom = \"lgwan\"\nto = \"internet\"\nsrc = \"10.{net}.20.10/32\"\n\
         dst = \"10.{net}.30.8/32\"\nproto = \"tcp\"\nport = 443\npurpose = \"VDI画面転送\"\n\
         approved_by = \"情報政策課長\"\nexpires = \"2036-03-31\"\n"
    );
    out
}

/// The demo's captures.
pub(crate) fn all() -> Vec<Case> {
    [nagasaki(), sasebo(), isahaya()].concat()
}

fn nagasaki() -> Vec<Case> {
    vec![
        Case {
            name: "demo/nagasaki-scan",
            about: "長崎市: an outside host scans the public web server.",
            config: Some("nagasaki.toml"),
            expect: vec![Expect::of("scan.port", Some(ATTACKER), Some(host(11, 9, 10)))],
            build: |c| scanned(c, 11, 10 * SECOND),
        },
        Case {
            name: "demo/nagasaki-login",
            about: "長崎市: another outside host guesses SSH passwords of the mail server.",
            config: Some("nagasaki.toml"),
            expect: vec![Expect::of("bruteforce.login", Some(GUESSER), Some(host(11, 9, 11)))],
            build: |c| ssh_guesses(c, 20 * SECOND, GUESSER, end(host(11, 9, 11), 22)),
        },
        Case {
            name: "demo/nagasaki-endpoint",
            about: "長崎市: the EDR manager reports malware on a terminal (CEF over syslog).",
            config: Some("nagasaki.toml"),
            expect: vec![Expect::of("endpoint.alert", Some(host(11, 30, 25)), None)],
            build: |c| {
                let alert = act::cef_malware(95, host(11, 30, 25), "NGS-PC-0125", OUTSIDE);
                let ends = (end(host(11, 30, 6), 40_514), end(host(11, 30, 14), 514));
                c.udp(95 * SECOND + 250 * MILLI, ends.0, ends.1, &alert);
            },
        },
    ]
}

fn sasebo() -> Vec<Case> {
    vec![
        Case {
            name: "demo/sasebo-scan",
            about: "佐世保市: the same outside host scans the public web server.",
            config: Some("sasebo.toml"),
            expect: vec![Expect::of("scan.port", Some(ATTACKER), Some(host(12, 9, 10)))],
            build: |c| scanned(c, 12, 25 * SECOND),
        },
        Case {
            name: "demo/sasebo-flood",
            about: "佐世保市: a SYN flood from forged sources on the public web server.",
            config: Some("sasebo.toml"),
            expect: vec![Expect::of("flood.syn", None, Some(host(12, 9, 12)))],
            build: |c| act::flood_syn(c, 90 * SECOND, 20, 300, end(host(12, 9, 12), 443)),
        },
        Case {
            name: "demo/sasebo-tunnel",
            about: "佐世保市: a terminal carries data out in DNS names, through the cloud's resolver.",
            config: Some("sasebo.toml"),
            expect: vec![Expect::of("dns.tunnel", Some(host(12, 30, 40)), None)],
            build: |c| act::tunnel(c, 30 * SECOND, (host(12, 30, 40), RESOLVER), "tunnel.example", 400),
        },
    ]
}

fn isahaya() -> Vec<Case> {
    vec![
        Case {
            name: "demo/isahaya-scan",
            about: "諫早市: the same outside host scans the public web server.",
            config: Some("isahaya.toml"),
            expect: vec![Expect::of("scan.port", Some(ATTACKER), Some(host(13, 9, 10)))],
            build: |c| scanned(c, 13, 40 * SECOND),
        },
        Case {
            name: "demo/isahaya-segment",
            about: "諫早市: a host of the MyNumber segment sends a file to the internet.",
            config: Some("isahaya.toml"),
            expect: vec![Expect::of("segment.violation", Some(host(13, 10, 21)), Some(OUTSIDE))],
            build: |c| {
                act::upload(c, 70 * SECOND, host(13, 10, 21), end(OUTSIDE, 80), "files.example.net", 40_000);
            },
        },
        Case {
            name: "demo/isahaya-sweep",
            about: "諫早市: an infected terminal looks for SMB in its own network; its antivirus program reports a worm.",
            config: Some("isahaya.toml"),
            expect: vec![
                Expect::of("scan.host", Some(host(13, 30, 77)), None),
                Expect::of("endpoint.alert", Some(host(13, 30, 77)), None),
            ],
            build: |c| {
                act::sweep_tcp(c, 75 * SECOND, host(13, 30, 77), [10, 13, 30], 445);
                let alert = act::plain_alert(110, host(13, 30, 77), "ISH-PC-0077");
                let ends = (end(host(13, 30, 77), 40_515), end(host(13, 30, 14), 514));
                c.udp(110 * SECOND + 250 * MILLI, ends.0, ends.1, &alert);
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_check_digits() {
        for body in BODIES {
            let digits: Vec<u32> = body.code.chars().filter_map(|digit| digit.to_digit(10)).collect();
            let sum: u32 = digits.iter().zip([6, 5, 4, 3, 2]).map(|(digit, weight)| digit * weight).sum();
            assert_eq!(digits[5], (11 - sum % 11) % 10, "{}", body.name);
        }
    }
}
