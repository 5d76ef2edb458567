//! `ssh.anomaly`: SSH of a protocol, with algorithms or from programs that nobody should use any more.
//!
//! Judged is what both ends agreed on (RFC 4253, 7.1), and what they say they are. Each server and port has one finding.

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::time::Timestamp;

use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::notices::{Notices, add_to_list};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Event, FlowEvent, FlowRef, SshAgreement, SshConnection, Transaction};

/// Key exchanges that RFC 9142 (table 12) says MUST NOT or SHOULD NOT be used, but for those with SHA-1 and 2048 bits.
const KEY_EXCHANGES: [&str; 3] = ["diffie-hellman-group1-sha1", "rsa1024-sha1", "gss-group1-sha1"];
/// Key exchanges that RFC 9142 says SHOULD NOT be used and that old appliances have no better than.
const OLD_KEY_EXCHANGES: [&str; 2] = ["diffie-hellman-group-exchange-sha1", "gss-gex-sha1"];
/// RFC 8758 forbids RC4; DES, 3DES and `none` by RFC 4253, 6.3 and NIST SP 800-131A; blocks of 64 bits by CVE-2016-2183.
const CIPHERS: [&str; 9] = [
    "none",
    "des-cbc",
    "3des-cbc",
    "arcfour",
    "arcfour128",
    "arcfour256",
    "blowfish-cbc",
    "cast128-cbc",
    "idea-cbc",
];
/// MD5 (RFC 6151) and nothing at all.
const MACS: [&str; 4] = ["none", "hmac-md5", "hmac-md5-96", "hmac-sha1-96"];
/// Host keys of 1024 bits with SHA-1 (FIPS 186-4; off in `OpenSSH` since 7.0).
const HOST_KEYS: [&str; 1] = ["ssh-dss"];
/// `OpenSSH` before this got its last release in 2015; no distribution supports it.
const OPENSSH_MAJOR_MIN: u32 = 7;
/// Problems of one server that are told: each of the above once, and some programs.
const PROBLEMS_MAX: usize = 16;

/// State: findings by server.
#[derive(Debug)]
pub(super) struct SshAnomaly {
    servers: Notices<(IpAddr, u16)>,
}

/// Something wrong: its name, how bad it is, and what it was.
type Problem = (&'static str, Severity, String);

impl SshAnomaly {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { servers: Notices::new(setup.limits.detector_entries, setup.seed) }
    }
}

fn problems(ssh: &SshConnection) -> Vec<Problem> {
    let mut found = Vec::new();
    let banners = [ssh.client.banner.as_deref(), ssh.server.banner.as_deref()];
    let is_1 = |banner: &&str| banner.starts_with("SSH-1.") && !banner.starts_with("SSH-1.99");
    if let Some(banner) = banners.into_iter().flatten().find(is_1) {
        found.push(("protocol_1", Severity::LOW, banner.to_owned()));
    }
    if let Some(agreed) = &ssh.agreed {
        found.extend(of_agreement(agreed));
    }
    let old = |banner: &&str| openssh_major(banner).is_some_and(|major| major < OPENSSH_MAJOR_MIN);
    if let Some(banner) = banners.into_iter().flatten().find(old) {
        found.push(("program_out_of_support", Severity::INFORMATIONAL, banner.to_owned()));
    }
    found
}

fn of_agreement(agreed: &SshAgreement) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut look = |name, chosen: &Option<Box<str>>, list: &[&str], severity| {
        let chosen = chosen.as_deref().unwrap_or_default();
        // An extension of a name stands behind an at sign (`-etm@openssh.com`) or, with GSS-API, behind the algorithm.
        let is = |one: &&str| *one == chosen || (one.starts_with("gss-") && chosen.starts_with(*one));
        if list.iter().any(is) {
            found.push((name, severity, chosen.to_owned()));
        }
    };
    look("weak_key_exchange", &agreed.key_exchange, &KEY_EXCHANGES, Severity::LOW);
    look("old_key_exchange", &agreed.key_exchange, &OLD_KEY_EXCHANGES, Severity::INFORMATIONAL);
    look("weak_host_key", &agreed.host_key, &HOST_KEYS, Severity::INFORMATIONAL);
    for side in 0..2 {
        let nothing = None;
        look("weak_cipher", agreed.cipher.get(side).unwrap_or(&nothing), &CIPHERS, Severity::LOW);
        look("weak_mac", agreed.mac.get(side).unwrap_or(&nothing), &MACS, Severity::INFORMATIONAL);
    }
    found
}

/// The major version in `SSH-2.0-OpenSSH_5.8p1 …`.
fn openssh_major(banner: &str) -> Option<u32> {
    let version = banner.split_once("OpenSSH_")?.1;
    version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

fn tell(finding: &mut Finding, found: &[Problem]) {
    for (name, severity, what) in found {
        finding.severity = finding.severity.max(*severity);
        add_to_list(finding, "problems", &format!("{name}: {what}"), PROBLEMS_MAX);
    }
}

fn claim(at: Timestamp, flow: &FlowRef, ssh: &SshConnection, scene: &Scene<'_>) -> Finding {
    let end = flow.responder;
    let what = end.port.to_string();
    let mut finding =
        draft(Category::SshAnomaly, SshAnomaly::RULE, scene.policy, Who::of(flow, &what), (at, at));
    let server = format!("{}:{}", end.address, end.port);
    finding.severity = Severity::INFORMATIONAL;
    finding.confidence = Confidence::from_permille(950);
    finding.title = Bilingual::new(&format!("古いSSH: {server}"), &format!("Obsolete SSH: {server}"));
    finding.explanation = Bilingual::new(
        &format!(
            "{server} とのSSH接続で、すでに安全でない方式または古いソフトウェアが使われています。\
             通信を読まれたり、サーバに侵入されたりするおそれがあります。"
        ),
        &format!(
            "The SSH connection to {server} uses methods that are no longer safe, or software that is out of support: it may be \
             read, or the server broken into."
        ),
    );
    finding.evidence.formula =
        "protocol version 1, or algorithms agreed that RFC 9142, RFC 8758 and RFC 6151 rule out, or \
         a program that is out of support"
            .into();
    let banner = |banner: &Option<Box<str>>| banner.as_deref().unwrap_or_default().to_owned();
    input(&mut finding, "client", banner(&ssh.client.banner));
    input(&mut finding, "server", banner(&ssh.server.banner));
    threshold(&mut finding, "problems", 1_u64);
    port(&mut finding, end.port);
    sample(&mut finding, flow);
    finding
}

impl Detect for SshAnomaly {
    const RULE: &'static str = "ssh.anomaly/1";
    const WANTS: Kinds = Kinds::TRANSACTION;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what: FlowEvent::Transaction(one) } = event else { return };
        let Transaction::Ssh(ssh) = &**one else { return };
        let found = problems(ssh);
        if found.is_empty() {
            return;
        }
        let fresh = || {
            let mut finding = claim(*at, flow, ssh, scene);
            tell(&mut finding, &found);
            finding
        };
        let key = (flow.responder.address, flow.responder.port);
        self.servers.tell((key, *at), out, fresh, |finding| {
            tell(finding, &found);
            target(finding, &flow.originator.address.to_string());
            sample(finding, flow);
        });
    }

    fn take_evicted(&mut self) -> u64 {
        self.servers.take_evicted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::build::{Script, TCP, host};
    use crate::event::SshEnd;

    fn script(client: &str, server: &str, agreed: Option<SshAgreement>) -> Script {
        let mut script = Script::default();
        let flow = script.flow(TCP, ("192.168.1.5", 40_000), ("192.168.1.9", 22));
        let end = |banner: &str| SshEnd { banner: Some(banner.into()), hassh: None };
        let ssh =
            SshConnection { client: end(client), server: end(server), agreed, ..SshConnection::default() };
        script.push(0, flow, FlowEvent::Transaction(Box::new(ssh.into())));
        script
    }

    #[test]
    fn protocol_1_and_weak_algorithms_fire() {
        let one = script("SSH-1.5-OpenSSH_9.2", "SSH-1.99-OpenSSH_9.2", None);
        let finding = one.only(Category::SshAnomaly);
        assert_eq!((finding.severity.level(), finding.responder), (1, host("192.168.1.9")));
        let agreed = SshAgreement { cipher: [Some("arcfour".into()), None], ..SshAgreement::default() };
        let weak = script("SSH-2.0-OpenSSH_9.2", "SSH-2.0-x", Some(agreed));
        assert_eq!(weak.only(Category::SshAnomaly).severity.level(), 1);
    }

    #[test]
    fn an_old_program_is_only_noted() {
        let finding = script("SSH-2.0-OpenSSH_9.2", "SSH-2.0-OpenSSH_5.8p1 Debian", None);
        assert_eq!(finding.only(Category::SshAnomaly).severity.level(), 0);
    }

    #[test]
    fn modern_ssh_is_silent() {
        let agreed = SshAgreement {
            key_exchange: Some("curve25519-sha256".into()),
            cipher: [Some("chacha20-poly1305@openssh.com".into()), Some("aes256-ctr".into())],
            mac: [Some("hmac-sha1".into()), Some("hmac-sha2-256".into())],
            ..SshAgreement::default()
        };
        script("SSH-2.0-OpenSSH_10.0", "SSH-2.0-OpenSSH_9.2p1", Some(agreed)).quiet();
    }
}
