//! What is said of a contact with something listed, and how bad it is.

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::time::Timestamp;

use super::{IntelMatch, SHARED_FEEDS, SHARED_NAMES};
use crate::detect::Detect as _;
use crate::detect::findings::{Who, draft, input, port, sample, target, threshold};
use crate::event::FlowRef;
use crate::intel::{Hit, Kind};
use crate::segment::Policy;

/// STIX 2.1, appendix A: "high" is 70 to 100.
const CONFIDENCE_HIGH: u8 = 70;
/// Even odds.
const CONFIDENCE_MEDIUM: u8 = 50;

/// How a listed thing showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A flow to its address.
    Connection,
    /// A DNS question.
    Query,
    /// The canonical name in a DNS answer.
    Answer,
    /// A TLS or QUIC server name.
    ServerName,
    /// An HTTP request.
    Request,
    /// The server's certificate.
    Certificate,
    /// The client's way of speaking TLS.
    Fingerprint,
    /// A flow from its address.
    Call,
}

/// Why a contact is only worth a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lowered {
    /// A public resolver or delivery network that one feed lists.
    Shared,
    /// The name that was wanted is not listed and shares the address with others.
    NameOutranks,
    /// Strangers call all day.
    Caller,
    /// And nobody answered.
    UnansweredCaller,
}

/// One contact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact<'a> {
    pub(super) at: Timestamp,
    pub(super) flow: FlowRef,
    /// Who acts.
    pub(super) host: IpAddr,
    /// The outside address, or the inside host that is called.
    pub(super) peer: Option<IpAddr>,
    pub(super) seen: Seen,
    /// What the peer was called.
    pub(super) name: Option<&'a str>,
    pub(super) lowered: Option<Lowered>,
}

impl Seen {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Query => "dns query",
            Self::Answer => "dns answer",
            Self::ServerName => "tls server name",
            Self::Request => "http request",
            Self::Certificate => "certificate",
            Self::Fingerprint => "ja4",
            Self::Call => "connection from it",
        }
    }

    const fn did(self) -> (&'static str, &'static str) {
        match self {
            Self::Connection => ("と通信しました", "communicated with"),
            Self::Query => ("の名前解決を行いました", "looked up"),
            Self::Answer => ("へ名前解決で誘導されました", "was led by DNS to"),
            Self::ServerName => ("に TLS で接続しました", "opened a TLS connection to"),
            Self::Request => ("に HTTP でアクセスしました", "sent an HTTP request to"),
            Self::Certificate => ("を提示するサーバーに接続しました", "connected to a server that presents"),
            Self::Fingerprint => ("の特徴を持つ TLS 通信を行いました", "speaks TLS with the fingerprint"),
            Self::Call => ("から通信を試みました", "called from"),
        }
    }
}

impl Lowered {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared service, one feed",
            Self::NameOutranks => "shared address, name not listed",
            Self::Caller => "caller",
            Self::UnansweredCaller => "caller, not answered",
        }
    }

    const fn severity(self) -> Severity {
        match self {
            Self::Shared | Self::NameOutranks | Self::Caller => Severity::LOW,
            Self::UnansweredCaller => Severity::INFORMATIONAL,
        }
    }
}

const fn kind_names(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Address => ("アドレス", "the address"),
        Kind::Domain => ("ドメイン", "the domain"),
        Kind::Sni => ("サーバー名", "the server name"),
        Kind::Url => ("URL", "the URL"),
        Kind::Path => ("URL パス", "the path"),
        Kind::Ja4 => ("JA4 指紋", "the JA4"),
        Kind::Certificate => ("証明書", "the certificate"),
    }
}

/// By the feed's confidence and its own limit. A client's fingerprint is shared by all that use its library, and a path
/// may be any server's: they count one less.
pub(super) fn severity(hit: &Hit<'_>, contact: &Contact<'_>) -> Severity {
    let sure = match hit.confidence {
        CONFIDENCE_HIGH.. => Severity::HIGH,
        CONFIDENCE_MEDIUM.. => Severity::MEDIUM,
        _ => Severity::LOW,
    };
    let most = match hit.kind {
        Kind::Ja4 | Kind::Path => Severity::MEDIUM,
        Kind::Address | Kind::Domain | Kind::Sni | Kind::Url | Kind::Certificate => Severity::CRITICAL,
    };
    let lowered = contact.lowered.map_or(Severity::CRITICAL, Lowered::severity);
    sure.min(most).min(lowered).min(hit.feed.severity_max)
}

pub(super) fn claim(hit: &Hit<'_>, contact: &Contact<'_>, policy: &Policy) -> Finding {
    let Contact { at, flow, host, peer, seen, .. } = *contact;
    let value = hit.value();
    let what = format!("{} {value}", hit.kind.as_str());
    let who = Who {
        originator: Some(host.into()),
        responder: peer.map(Into::into),
        places: (host, peer.unwrap_or(flow.responder.address)),
        vlan: flow.vlan,
        what: &what,
    };
    let first = flow.began.min(at);
    let mut finding = draft(Category::IntelMatch, IntelMatch::RULE, policy, who, (first, at));
    finding.severity = severity(hit, contact);
    finding.confidence = Confidence::from_permille(u16::from(hit.confidence) * 10);
    finding.title =
        Bilingual::new(&format!("脅威情報との一致: {value}"), &format!("On a threat list: {value}"));
    explain(&mut finding, hit, contact, &value);
    finding.evidence.formula = format!(
        "listed and not expired; severity 3 from {CONFIDENCE_HIGH} % confidence, 2 from {CONFIDENCE_MEDIUM} %, else 1, at most the feed's own; \
         1 for an unlisted name on an address of {SHARED_NAMES} or more domains, for a shared service listed by fewer than {SHARED_FEEDS} feeds, and for callers"
    )
    .into();
    threshold(&mut finding, "confidence_high_percent", u64::from(CONFIDENCE_HIGH));
    threshold(&mut finding, "confidence_medium_percent", u64::from(CONFIDENCE_MEDIUM));
    input(&mut finding, "type", hit.kind.as_str());
    input(&mut finding, "indicator", value.as_str());
    input(&mut finding, "feed", hit.feed.name.as_str());
    input(&mut finding, "feeds", hit.feeds);
    input(&mut finding, "confidence_percent", u64::from(hit.confidence));
    if !hit.note.is_empty() {
        input(&mut finding, "note", hit.note);
    }
    if let Some(expires) = hit.expires {
        input(&mut finding, "expires", expires.to_string());
    }
    if let Some(made) = hit.feed.made.filter(|_| hit.feed.is_stale(at)) {
        input(&mut finding, "feed_age_days", at.since(made).as_secs() / 86_400);
    }
    input(&mut finding, "seen_first_as", seen.as_str());
    if let Some(lowered) = contact.lowered {
        input(&mut finding, "lowered", lowered.as_str());
    }
    target(&mut finding, &value);
    show(&mut finding, contact);
    finding
}

/// The words fit the gravest contact so far.
fn explain(finding: &mut Finding, hit: &Hit<'_>, contact: &Contact<'_>, value: &str) {
    let (did_ja, did_en) = contact.seen.did();
    let (kind_ja, kind_en) = kind_names(hit.kind);
    let feed = &hit.feed.name;
    let (host, peer) = (contact.host, contact.peer.map_or_else(String::new, |peer| peer.to_string()));
    let (why_ja, why_en) = match contact.lowered {
        None => (
            "マルウェア感染や不正なサイトへの接続のおそれがあるため、端末を確認してください。".to_owned(),
            "The host may be infected or misled: look at it.".to_owned(),
        ),
        Some(Lowered::Shared) => (
            "多くの利用者が共有するサービスで、掲載元が一つだけのため、参考情報です。".to_owned(),
            "Many share this service and only one feed lists it, so this is a note.".to_owned(),
        ),
        Some(Lowered::NameOutranks) => {
            let name = contact.name.unwrap_or_default();
            (
                format!(
                    "接続先の名前 {name} は掲載されておらず、同じアドレスを複数のサイトが共有しているため、参考情報です。"
                ),
                format!(
                    "The name it asked for, {name}, is not listed and shares the address with others, so this is a note."
                ),
            )
        }
        Some(Lowered::Caller | Lowered::UnansweredCaller) => {
            finding.explanation = Bilingual::new(
                &format!(
                    "脅威情報「{feed}」に {value} として掲載されている {host} から {peer} への通信がありました。外部からの探索は日常的にあるため、参考情報です。"
                ),
                &format!(
                    "{host}, which the feed \"{feed}\" lists as {value}, called {peer}. Strangers call every day, so this is a note."
                ),
            );
            return;
        }
    };
    finding.explanation = Bilingual::new(
        &format!("{host} が、脅威情報「{feed}」に掲載されている{kind_ja} {value} {did_ja}。{why_ja}"),
        &format!("{host} {did_en} {kind_en} {value}, which the feed \"{feed}\" lists. {why_en}"),
    );
}

/// More of the same. An answer only repeats its question, and an answered call was counted when it began.
pub(super) fn add(finding: &mut Finding, hit: &Hit<'_>, contact: &Contact<'_>) {
    let again = contact.seen == Seen::Answer || contact.lowered == Some(Lowered::Caller);
    if !again {
        finding.count = finding.count.saturating_add(1);
    }
    let now = severity(hit, contact);
    if now > finding.severity {
        finding.severity = now;
        explain(finding, hit, contact, &hit.value());
        match contact.lowered {
            Some(lowered) => input(finding, "lowered", lowered.as_str()),
            None => drop(finding.evidence.inputs.remove(&"lowered".into())),
        }
    }
    if let Some(peer) = contact.peer {
        let first = finding.responder.is_none() && finding.targets.len() <= 1;
        if first {
            finding.responder = Some(peer.into());
        } else if finding.responder != Some(peer.into()) {
            if let Some(before) = finding.responder.take() {
                target(finding, &before.to_string());
            }
            target(finding, &peer.to_string());
        }
    }
    show(finding, contact);
}

fn show(finding: &mut Finding, contact: &Contact<'_>) {
    if matches!(contact.flow.protocol, 6 | 17) {
        port(finding, contact.flow.responder.port);
    }
    if let Some(name) = contact.name {
        input(finding, "name", name);
    }
    sample(finding, &contact.flow);
}
