//! Bytes from one inside host to one outside host.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::ExfilVolume;
use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::{Detect, Scene};
use crate::event::FlowRef;

/// Bytes are added up over this long, as in Slips.
const WINDOW: Duration = Duration::from_secs(3_600);
/// Bytes within a window that are told at all: what Slips documents. Mail and its attachments, photographs and office documents
/// of a day's work stay below.
const LARGE_BYTES: u64 = 100_000_000;
/// And what is more than told: what Slips has by default.
const HUGE_BYTES: u64 = 500_000_000;
/// Bytes out for each byte back: acknowledgements alone are 3 in 100, a video call is even, a remote desktop is below.
const RATIO_MIN: u64 = 5;
/// The same amount, within this factor, at least so long ago, went there before: a backup or another job that repeats. Nightly
/// jobs begin a few hours earlier or later.
const ROUTINE_FACTOR: u64 = 3;
const ROUTINE_AFTER: Duration = Duration::from_secs(18 * 3_600);

/// Services that are for uploads and that a body may well have allowed: who sends much there is told, not raised. From the
/// vendors' documentation of the names that firewalls must let through.
const STORES: [&str; 27] = [
    "amazonaws.com",
    "apple.com",
    "azure.com",
    "azureedge.net",
    "backblaze.com",
    "backblazeb2.com",
    "box.com",
    "boxcloud.com",
    "carbonite.com",
    "cloudfront.net",
    "dropbox.com",
    "dropboxapi.com",
    "facebook.com",
    "fbcdn.net",
    "google.com",
    "googleapis.com",
    "googleusercontent.com",
    "googlevideo.com",
    "icloud.com",
    "live.com",
    "microsoft.com",
    "office.com",
    "office365.com",
    "onedrive.com",
    "sharepoint.com",
    "windows.net",
    "youtube.com",
];
/// Services that take files or messages from anybody, without an account or for a program: what MITRE ATT&CK lists under T1567
/// (exfiltration over web services) and the LOTS project (lots-project.com) as used so. Bodies have no use for them.
const DROPS: [&str; 18] = [
    "0x0.st",
    "anonfiles.com",
    "api.telegram.org",
    "bashupload.com",
    "catbox.moe",
    "file.io",
    "gofile.io",
    "mega.co.nz",
    "mega.nz",
    "pastebin.com",
    "paste.ee",
    "pixeldrain.com",
    "requestbin.com",
    "sendspace.com",
    "temp.sh",
    "transfer.sh",
    "ufile.io",
    "webhook.site",
];
/// Bytes to those that are more than asking for a page: a request with its cookies is a few kilobytes.
const DROP_BYTES: u64 = 20_000;
/// And more than comes back: a page with its pictures is far more than its requests.
const DROP_RATIO: u64 = 2;
/// Ports at which an upload of any size is nothing strange in itself: web, mail, VPN.
const USUAL_PORTS: [u16; 8] = [80, 443, 465, 587, 500, 1_194, 4_500, 51_820];

#[derive(Debug)]
pub(super) struct Upload {
    since: Timestamp,
    last: Timestamp,
    sent: u64,
    received: u64,
    /// When an earlier window had its upload, and how much that was.
    before: Option<(Timestamp, u64)>,
    name: Option<Box<str>>,
    finding: Option<FindingId>,
}

impl Upload {
    pub(super) const fn new(at: Timestamp) -> Self {
        Self { since: at, last: at, sent: 0, received: 0, before: None, name: None, finding: None }
    }

    pub(super) fn learn_name(&mut self, name: &str) {
        self.name = Some(name.to_ascii_lowercase().into());
    }

    pub(super) fn count(&mut self, at: Timestamp, sent: u64, received: u64) {
        if at.since(self.since) > WINDOW {
            if self.is_upload(LARGE_BYTES / ROUTINE_FACTOR) {
                self.before = Some((self.last, self.sent));
            }
            (self.since, self.sent, self.received, self.finding) = (at, 0, 0, None);
        }
        self.last = at;
        self.sent = self.sent.saturating_add(sent);
        self.received = self.received.saturating_add(received);
    }

    const fn is_upload(&self, bytes: u64) -> bool {
        self.sent >= bytes && self.sent >= self.received.saturating_mul(RATIO_MIN)
    }

    /// Opens a finding if this is an upload, or lets it grow.
    pub(super) fn judge(
        &mut self,
        pair: (IpAddr, IpAddr),
        flow: &FlowRef,
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        if !self.is_upload(LARGE_BYTES) && !self.is_drop(pair.1, scene) {
            return;
        }
        let severity = self.severity(pair.1, flow, scene);
        let change = |finding: &mut Finding| {
            self.tell(finding);
            finding.severity = finding.severity.max(severity);
            sample(finding, flow);
        };
        let claim = || Some(self.claim(pair, severity, flow, scene));
        self.finding = out.follow(self.finding, self.last, change, claim);
    }

    /// A file went to one of [`DROPS`].
    fn is_drop(&self, to: IpAddr, scene: &Scene<'_>) -> bool {
        self.sent >= DROP_BYTES
            && self.sent >= self.received.saturating_mul(DROP_RATIO)
            && self.name(to, scene).is_some_and(|name| is_any(name, &DROPS))
    }

    fn is_routine(&self) -> bool {
        self.before.is_some_and(|(at, bytes)| {
            self.since.since(at) >= ROUTINE_AFTER && self.sent <= bytes.saturating_mul(ROUTINE_FACTOR)
        })
    }

    fn name<'a>(&'a self, to: IpAddr, scene: &'a Scene<'_>) -> Option<&'a str> {
        self.name.as_deref().or_else(|| scene.names.of(to, self.last))
    }

    fn severity(&self, to: IpAddr, flow: &FlowRef, scene: &Scene<'_>) -> Severity {
        let name = self.name(to, scene);
        let store = name.is_some_and(|name| is_any(name, &STORES));
        let usual = USUAL_PORTS.contains(&flow.responder.port);
        if store || self.is_routine() {
            return Severity::LOW;
        }
        if !self.is_upload(LARGE_BYTES)
            || !self.is_upload(HUGE_BYTES) && name.is_some_and(|name| is_any(name, &DROPS))
        {
            return Severity::MEDIUM;
        }
        match (self.sent >= HUGE_BYTES, name.is_some(), usual) {
            // Nobody looked its name up, and it speaks nothing usual: that is how tools send, not people.
            (true, false, _) | (true, _, false) => Severity::HIGH,
            (true, true, true) | (false, false, false) => Severity::MEDIUM,
            (false, _, _) => Severity::LOW,
        }
    }

    fn tell(&self, finding: &mut Finding) {
        finding.count = self.sent;
        input(finding, "sent_bytes", self.sent);
        input(finding, "received_bytes", self.received);
        input(finding, "seconds", self.last.since(self.since).as_secs());
        if let Some((at, bytes)) = self.before {
            input(finding, "sent_bytes_before", bytes);
            input(finding, "before", at.to_string());
        }
    }

    fn claim(
        &self,
        pair: (IpAddr, IpAddr),
        severity: Severity,
        flow: &FlowRef,
        scene: &Scene<'_>,
    ) -> Finding {
        let (from, to) = pair;
        let who = Who {
            originator: Some(from.into()),
            responder: Some(to.into()),
            places: pair,
            vlan: flow.vlan,
            what: "volume",
        };
        let mut finding =
            draft(Category::ExfilVolume, ExfilVolume::RULE, scene.policy, who, (self.since, self.last));
        finding.severity = severity;
        finding.confidence = Confidence::from_permille(600);
        let amount = Amount(self.sent);
        let name = self.name(to, scene).map_or_else(|| to.to_string(), |name| format!("{name} ({to})"));
        finding.title = Bilingual::new(
            &format!("外部への大量送信: {from} → {name}"),
            &format!("Bulk upload: {from} → {name}"),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{from}が外部の{name}へ1時間以内に{amount}以上を送信しました。受信量に比べて送信が極端に多く、\
                 情報の持ち出しの可能性があります。業務による送信かを確認してください。"
            ),
            &format!(
                "{from} sent {amount} or more to {name} outside within an hour and received hardly anything: data may be \
                 leaving. Ask whether this was work."
            ),
        );
        finding.evidence.formula =
            "within an hour: bytes sent ≥ 100 MB and ≥ 5 × bytes received; worse from 500 MB, to an address without name or at \
             an unusual port; less bad to known storage, or if as much went there 18 hours ago or earlier; or to a service that takes \
             files from anybody: ≥ 20 kB and ≥ 2 × bytes received"
                .into();
        threshold(&mut finding, "sent_bytes", LARGE_BYTES);
        threshold(&mut finding, "sent_to_received", RATIO_MIN);
        if let Some(name) = self.name(to, scene) {
            target(&mut finding, name);
        }
        port(&mut finding, flow.responder.port);
        self.tell(&mut finding);
        sample(&mut finding, flow);
        finding
    }
}

/// Bytes as people say them.
struct Amount(u64);

impl core::fmt::Display for Amount {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            bytes @ ..1_000_000 => write!(f, "{} kB", bytes / 1_000),
            bytes => write!(f, "{} MB", bytes / 1_000_000),
        }
    }
}

/// The name is one of the domains or below one.
fn is_any(name: &str, domains: &[&str]) -> bool {
    let is_within =
        |domain: &&str| name.strip_suffix(*domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    domains.iter().any(is_within)
}
