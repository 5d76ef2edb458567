//! What of a finding can be the same in several bodies, because it is the attacker's and not the body's.

use std::net::IpAddr;

use sekimori_wire::finding::{Category, Finding};
use sekimori_wire::id::{Digest, Host};

use super::{domains, input};
use crate::incident::IncidentCategory;

/// RFC 1035, 2.3.4, as text.
const DOMAIN_BYTES_MAX: usize = 253;
/// `t13d1516h2_8daaf6152771_b186095e22b6` has 36.
const JA4_BYTES_MAX: usize = 64;

/// Something that can be the same in several bodies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Indicator {
    /// What it is.
    pub kind: IndicatorKind,
    /// Its value, as text.
    pub value: String,
}

/// What an indicator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IndicatorKind {
    /// The address of the attacker: who acts, or who is contacted by malware.
    Address,
    /// A registered domain.
    Domain,
    /// The TLS client's fingerprint.
    Ja4,
    /// SHA-256 of a server's certificate.
    Certificate,
    /// SHA-256 of a file.
    File,
}

impl IndicatorKind {
    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Domain => "domain",
            Self::Ja4 => "ja4",
            Self::Certificate => "certificate",
            Self::File => "file",
        }
    }

    /// Every one.
    pub const ALL: [Self; 5] = [Self::Address, Self::Domain, Self::Ja4, Self::Certificate, Self::File];

    /// From the stable identifier.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }

    /// A value as it is written in the store, from what a person wrote; `None` if it cannot be one.
    pub fn normal(self, written: &str) -> Option<String> {
        let written = written.trim();
        match self {
            Self::Address => written.parse().ok().map(|host: Host| host.to_string()),
            Self::Domain => {
                let name = written.trim_end_matches('.').to_ascii_lowercase();
                (!name.is_empty() && name.len() <= DOMAIN_BYTES_MAX).then_some(name)
            }
            Self::Ja4 => (!written.is_empty() && written.len() <= JA4_BYTES_MAX).then(|| written.to_owned()),
            Self::Certificate | Self::File => digest(written),
        }
    }

    /// In Japanese and English.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Address => ("同じ攻撃元・通信先", "the same attacking address"),
            Self::Domain => ("同じドメイン", "the same domain"),
            Self::Ja4 => ("同じ TLS 指紋 (JA4)", "the same TLS fingerprint (JA4)"),
            Self::Certificate => ("同じサーバー証明書", "the same server certificate"),
            Self::File => ("同じファイル (SHA-256)", "the same file (SHA-256)"),
        }
    }
}

/// All of a finding.
pub(super) fn of(finding: &Finding, category: IncidentCategory, by_domain: bool) -> Vec<Indicator> {
    let mut all: Vec<Indicator> = [finding.originator, contacted(finding)]
        .into_iter()
        .flatten()
        .filter(is_unique_to_one_owner)
        .map(|host| Indicator { kind: IndicatorKind::Address, value: host.to_string() })
        .collect();
    if by_domain {
        all.extend(domains(finding).map(|value| Indicator { kind: IndicatorKind::Domain, value }));
    }
    all.extend(listed(finding));
    all.extend(input(finding, "ja4").map(|value| Indicator { kind: IndicatorKind::Ja4, value }));
    // The same appliance stands in many bodies: its certificate is no attacker's because it breaks a rule.
    if category != IncidentCategory::PolicyViolation {
        all.extend(hash(finding, "certificate_sha256", IndicatorKind::Certificate));
    }
    all.extend(hash(finding, "file_sha256", IndicatorKind::File));
    all.sort();
    all.dedup();
    all
}

/// The other end, where it is the attacker's: an endpoint product names the host that it protects first, and malware calls
/// its server.
fn contacted(finding: &Finding) -> Option<Host> {
    let is_server = matches!(finding.category, Category::C2Beacon | Category::C2Tunnel);
    (finding.category == Category::EndpointAlert || is_server).then_some(finding.responder).flatten()
}

/// What a threat feed lists, by its type.
fn listed(finding: &Finding) -> Option<Indicator> {
    if finding.category != Category::IntelMatch {
        return None;
    }
    let value = input(finding, "indicator")?;
    let indicator = |kind, value| Some(Indicator { kind, value });
    match input(finding, "type")?.as_str() {
        "ip" => {
            let host: Host = value.parse().ok()?;
            is_unique_to_one_owner(&host).then_some(Indicator { kind: IndicatorKind::Address, value })
        }
        "domain" | "sni" => {
            indicator(IndicatorKind::Domain, value.trim_end_matches('.').to_ascii_lowercase())
        }
        "ja4" => indicator(IndicatorKind::Ja4, value),
        "cert_sha256" => digest(&value).map(|value| Indicator { kind: IndicatorKind::Certificate, value }),
        // A path may be any server's; a URL has a host, which stands among the other ends.
        _ => None,
    }
}

fn hash(finding: &Finding, name: &str, kind: IndicatorKind) -> Option<Indicator> {
    Some(Indicator { kind, value: digest(&input(finding, name)?)? })
}

/// A SHA-256 in lower case. The one of nothing at all says nothing: every product reports empty files.
fn digest(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let is_one = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_one && text != Digest::of(b"").to_string()).then_some(text)
}

/// Private and local addresses mean another machine in every body; equality of those says nothing.
fn is_unique_to_one_owner(host: &Host) -> bool {
    match host {
        Host::Mac(_) => false,
        Host::Ip(IpAddr::V4(address)) => {
            let [a, b, ..] = address.octets();
            let shared = a == 100 && (64..128).contains(&b); // RFC 6598, carrier-grade NAT.
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_unspecified()
                || address.is_broadcast()
                || shared)
        }
        Host::Ip(IpAddr::V6(address)) => {
            !(address.is_unique_local()
                || address.is_loopback()
                || address.is_unicast_link_local()
                || address.is_multicast()
                || address.is_unspecified())
        }
    }
}
