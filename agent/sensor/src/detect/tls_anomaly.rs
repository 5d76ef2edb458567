//! `tls.anomaly`: TLS that does not protect what it should: certificates, versions, cipher suites.
//!
//! Each server and port has one finding, which names all that is wrong with it. Judged is what the server chose and showed,
//! at the time of the event: what a client merely offers harms nobody. DTLS and QUIC have their own rules (WebRTC signs its
//! certificates itself, QUIC is never older than TLS 1.3), so only their version is looked at.

mod certificate;
mod cipher;

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity, Value};
use sekimori_wire::time::Timestamp;

use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::notices::{Notices, list};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::tls::{Carrier, Progress};
use crate::event::{Event, FlowEvent, FlowRef, TlsConnection, Transaction};

/// State: findings by server.
#[derive(Debug)]
pub(super) struct TlsAnomaly {
    servers: Notices<(IpAddr, u16)>,
}

macro_rules! problems {
    ($($Name:ident $name:literal $severity:ident $ja:literal $en:literal,)*) => {
        /// Something that is wrong with a server's TLS.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Problem { $($Name,)* }

        impl Problem {
            const ALL: &'static [Self] = &[$(Self::$Name,)*];

            const fn name(self) -> &'static str {
                match self { $(Self::$Name => $name,)* }
            }

            const fn severity(self) -> Severity {
                match self { $(Self::$Name => Severity::$severity,)* }
            }

            const fn words(self) -> (&'static str, &'static str) {
                match self { $(Self::$Name => ($ja, $en),)* }
            }
        }
    };
}

problems! {
    Expired "certificate_expired" LOW "証明書の有効期限が切れています" "the certificate has expired",
    NotYetValid "certificate_not_yet_valid" LOW "証明書の有効期間がまだ始まっていません" "the certificate is not valid yet",
    NameMismatch "certificate_name_mismatch" LOW "証明書が接続先の名前のものではありません" "the certificate is for another name",
    SelfSigned "certificate_self_signed" LOW "証明書が自己署名です" "the certificate is signed by itself",
    WeakKey "weak_key" LOW "証明書の鍵または署名が弱すぎます" "the certificate's key or signature is too weak",
    LongValidity "certificate_long_validity" INFORMATIONAL "証明書の有効期間が長すぎます" "the certificate is valid for too long",
    Ssl2 "version_ssl2" LOW "SSL 2.0が使われています" "SSL 2.0 is in use",
    Ssl3 "version_ssl3" LOW "SSL 3.0が使われています" "SSL 3.0 is in use",
    OldTls "version_tls_1_0_or_1_1" INFORMATIONAL "TLS 1.0または1.1が使われています" "TLS 1.0 or 1.1 is in use",
    NoEncryption "cipher_null" LOW "暗号化されていません" "nothing is encrypted",
    Anonymous "cipher_anonymous" LOW "サーバの認証が行われていません" "the server does not prove who it is",
    WeakCipher "cipher_weak" LOW "破られている暗号(輸出用、DES、RC4)が使われています" "a broken cipher (export, DES, RC4) is in use",
    UnaskedProtocol "alpn_not_offered" LOW "クライアントが提示していないプロトコルが選ばれました" "the server chose a protocol that was not offered",
}

impl TlsAnomaly {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { servers: Notices::new(setup.limits.detector_entries, setup.seed) }
    }
}

/// All that is wrong with a connection.
fn problems(at: Timestamp, tls: &TlsConnection) -> Vec<Problem> {
    let mut found: Vec<Problem> = Vec::new();
    if tls.progress >= Progress::Answered {
        found.extend(of_version(tls.version));
        found.extend(tls.cipher.and_then(cipher::problem));
    }
    if tls.carrier == Carrier::Tls {
        let now = i64::try_from(at.nanos() / 1_000_000_000).unwrap_or(i64::MAX);
        if let [own, rest @ ..] = &*tls.server_chain
            && let Some(content) = &own.content
        {
            let asked = tls.server_name.as_deref();
            found.extend(certificate::problems(content, rest.is_empty(), asked, now));
        }
        // RFC 7301, 3.2: the server selects one of those that the client offered.
        let chosen = &*tls.server_protocols;
        if chosen.iter().any(|one| !tls.client_protocols.contains(one)) && !tls.client_protocols.is_empty() {
            found.push(Problem::UnaskedProtocol);
        }
    }
    found
}

/// RFC 6176 forbids SSL 2, RFC 7568 SSL 3, RFC 8996 TLS 1.0, 1.1 and DTLS 1.0.
const fn of_version(version: u16) -> Option<Problem> {
    match version {
        0x0002 => Some(Problem::Ssl2),
        0x0300 => Some(Problem::Ssl3),
        0x0301 | 0x0302 | 0xfeff => Some(Problem::OldTls),
        _ => None,
    }
}

/// An appliance inside signs its own certificate by default, and is reached by address and by other names: worth a note.
fn severity(problem: Problem, server_is_inside: bool) -> Severity {
    let usual = matches!(problem, Problem::SelfSigned | Problem::NameMismatch | Problem::LongValidity);
    if usual && server_is_inside { Severity::INFORMATIONAL } else { problem.severity() }
}

/// Adds what is not told yet, and says all of it anew.
fn tell(finding: &mut Finding, found: &[Problem], server: &str, inside: bool) {
    let known = list(finding, "problems");
    let is_told = |problem: &Problem| known.iter().any(|name| name.as_str() == problem.name());
    if !known.is_empty() && found.iter().all(is_told) {
        return;
    }
    let all: Vec<Problem> =
        Problem::ALL.iter().copied().filter(|one| is_told(one) || found.contains(one)).collect();
    let worst = all.iter().map(|one| severity(*one, inside)).max().unwrap_or(Severity::INFORMATIONAL);
    finding.severity = finding.severity.max(worst);
    let ja: Vec<_> = all.iter().map(|one| one.words().0).collect();
    let en: Vec<_> = all.iter().map(|one| one.words().1).collect();
    finding.explanation = Bilingual::new(
        &format!(
            "{server} との暗号通信(TLS)に問題があります: {}。盗聴やなりすましを防げないおそれがあります。",
            ja.join("、")
        ),
        &format!(
            "TLS with {server} does not protect as it should: {}. Others may listen or pose as the server.",
            en.join("; ")
        ),
    );
    let names = all.iter().map(|one| one.name().into()).collect();
    finding.evidence.inputs.insert("problems".into(), Value::List(names));
}

fn claim(at: Timestamp, flow: &FlowRef, tls: &TlsConnection, scene: &Scene<'_>) -> Finding {
    let end = flow.responder;
    let what = end.port.to_string();
    let mut finding =
        draft(Category::TlsAnomaly, TlsAnomaly::RULE, scene.policy, Who::of(flow, &what), (at, at));
    let name = tls.server_name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let server = format!("{}:{}{name}", end.address, end.port);
    finding.severity = Severity::INFORMATIONAL;
    finding.confidence = Confidence::from_permille(900);
    finding.title = Bilingual::new(&format!("TLSの問題: {server}"), &format!("Weak TLS: {server}"));
    finding.evidence.formula =
        "the server's certificate at the time of the event (validity, name by RFC 9525, self-signature, \
         key), and the version and cipher suite that it chose"
            .into();
    input(&mut finding, "version", format!("0x{:04x}", tls.version));
    if let Some(cipher) = tls.cipher {
        input(&mut finding, "cipher", format!("0x{cipher:04x}"));
    }
    if let Some(name) = &tls.server_name {
        input(&mut finding, "server_name", &**name);
    }
    if let Some(content) = tls.server_chain.first().and_then(|own| own.content.as_ref()) {
        input(&mut finding, "not_before_unix", content.not_before.to_string());
        input(&mut finding, "not_after_unix", content.not_after.to_string());
        input(&mut finding, "key_bits", content.key.bits);
        let names: Vec<_> = content.names.dns.iter().take(8).map(|name| (&**name).into()).collect();
        finding.evidence.inputs.insert("certificate_names".into(), Value::List(names));
    }
    threshold(&mut finding, "problems", 1_u64);
    port(&mut finding, end.port);
    sample(&mut finding, flow);
    finding
}

impl Detect for TlsAnomaly {
    const RULE: &'static str = "tls.anomaly/1";
    const WANTS: Kinds = Kinds::TRANSACTION;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what: FlowEvent::Transaction(one) } = event else { return };
        let Transaction::Tls(tls) = &**one else { return };
        let found = problems(*at, tls);
        if found.is_empty() {
            return;
        }
        let flow = if tls.client_is_originator { *flow } else { flow.reversed() };
        let server = flow.responder.address.to_string();
        let inside = scene.policy.is_inside(flow.responder.address);
        let fresh = || {
            let mut finding = claim(*at, &flow, tls, scene);
            tell(&mut finding, &found, &server, inside);
            finding
        };
        let key = (flow.responder.address, flow.responder.port);
        self.servers.tell((key, *at), out, fresh, |finding| {
            tell(finding, &found, &server, inside);
            target(finding, &flow.originator.address.to_string());
            sample(finding, &flow);
        });
    }

    fn take_evicted(&mut self) -> u64 {
        self.servers.take_evicted()
    }
}

#[cfg(test)]
mod tests;
