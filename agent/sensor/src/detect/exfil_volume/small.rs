//! Small uploads that show in their protocol: files by FTP or TFTP, mail to oneself, large bodies to bare addresses.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::ExfilVolume;
use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::{Detect, Scene};
use crate::event::{
    Application, FlowRef, FtpCommand, HttpExchange, SmtpMail, TftpRequest, Transaction, http,
};

/// Uploads of a pair within this long are one finding.
const WINDOW: Duration = Duration::from_secs(3_600);
/// Bytes of a request's body that are a file rather than a form: browsers' forms and telemetry are a few kilobytes.
const BODY_BYTES_MIN: u64 = 64 * 1024;

/// How a file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Means {
    Ftp,
    Tftp,
    Mail,
    Http,
}

/// What one transaction showed.
#[derive(Clone, Copy, Debug)]
struct Sent {
    means: Means,
    severity: Severity,
    bytes: u64,
}

#[derive(Debug)]
pub(super) struct Small {
    pairs: Map<(IpAddr, IpAddr, Means), Told>,
    evicted: u64,
}

#[derive(Debug)]
struct Told {
    last: Timestamp,
    files: u64,
    bytes: u64,
    finding: FindingId,
}

impl Small {
    pub(super) fn new(entries: usize, seed: u64) -> Self {
        Self { pairs: Map::new(entries, seed), evicted: 0 }
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }

    pub(super) fn on_transaction(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        transaction: &Transaction,
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        let (from, to) = (flow.originator.address, flow.responder.address);
        let outward = scene.policy.is_inside(from) && !scene.policy.is_inside(to);
        // What comes to us from outside is not leaving.
        if !scene.policy.is_inside(from) && scene.policy.is_inside(to) {
            return;
        }
        let sent = if let Transaction::Ftp(command) = transaction {
            by_ftp(command, outward)
        } else if let Transaction::Tftp(request) = transaction {
            by_tftp(request, outward)
        } else if let Transaction::Smtp(mail) = transaction {
            by_mail(mail, outward)
        } else if let Transaction::Http(exchange) = transaction {
            by_http(exchange, outward)
        } else {
            None
        };
        let Some(sent) = sent else { return };
        let key = (from, to, sent.means);
        if let Some(told) = self.pairs.get_mut(&key).filter(|told| at.since(told.last) <= WINDOW) {
            told.last = at;
            (told.files, told.bytes) = (told.files + 1, told.bytes.saturating_add(sent.bytes));
            let (files, bytes) = (told.files, told.bytes);
            let grown = out.grow(told.finding, at, |finding| {
                tell(finding, files, bytes);
                finding.severity = finding.severity.max(sent.severity);
                sample(finding, flow);
            });
            if grown {
                return;
            }
        }
        let finding = out.open(claim(at, flow, sent, scene));
        let left = self.pairs.insert(key, Told { last: at, files: 1, bytes: sent.bytes, finding });
        self.evicted += u64::from(left.is_some_and(|(other, _)| other != key));
    }
}

/// STOR, APPE and STOU (RFC 959) that the server did not refuse.
fn by_ftp(command: &FtpCommand, outward: bool) -> Option<Sent> {
    let stores = command.command.as_deref().is_some_and(|name| matches!(name, "STOR" | "APPE" | "STOU"));
    let refused = command.replies.iter().any(|(code, _)| code.is_some_and(|code| code >= 400));
    // FTP is clear text: whoever listens has the file and the password. Inside, old machines still hand over files so.
    let severity = if outward { Severity::MEDIUM } else { Severity::LOW };
    (stores && !refused && !command.transfer).then_some(Sent { means: Means::Ftp, severity, bytes: 0 })
}

/// TFTP is for machines that start, in one network; nothing of it belongs outside.
fn by_tftp(request: &TftpRequest, outward: bool) -> Option<Sent> {
    (request.is_write && outward).then_some(Sent { means: Means::Tftp, severity: Severity::MEDIUM, bytes: 0 })
}

/// A mail that its sender sends to himself through a server outside, logged in and in clear text: how stealers report. With
/// other recipients it is an old mail program.
fn by_mail(mail: &SmtpMail, outward: bool) -> Option<Sent> {
    let message = mail.message.as_ref()?;
    let (from, to) = (address_of(mail.mail_from.as_deref()?), mail.rcpt_to.as_slice());
    if !outward || mail.tls || mail.login.is_none() {
        return None;
    }
    let attached = !message.attachments.is_empty();
    let own = to.iter().all(|one| address_of(one).eq_ignore_ascii_case(from)) && !to.is_empty();
    let severity = if own && attached { Severity::MEDIUM } else { Severity::LOW };
    (own || attached).then_some(Sent { means: Means::Mail, severity, bytes: 0 })
}

/// A path without its brackets and parameters.
fn address_of(path: &str) -> &str {
    let inner = path.split_once('<').map_or(path, |(_, rest)| rest);
    inner.split_once('>').map_or(inner, |(address, _)| address).trim()
}

/// A file in clear text; worse to a server that has no name, for services that take files have one.
fn by_http(exchange: &HttpExchange, outward: bool) -> Option<Sent> {
    let request = exchange.request.as_ref()?;
    let sends = matches!(&*request.method, "POST" | "PUT") && request.body.bytes >= BODY_BYTES_MIN;
    let host = http::value(&request.fields, "host").unwrap_or_default();
    let bare = host.is_empty() || is_address(host);
    let clear = exchange.application == Application::Http && exchange.from_originator;
    let severity = if bare { Severity::MEDIUM } else { Severity::LOW };
    (sends && clear && outward).then_some(Sent { means: Means::Http, severity, bytes: request.body.bytes })
}

/// A Host field that is an address, with or without a port.
fn is_address(host: &str) -> bool {
    let without_port = host.rsplit_once(':').map_or(host, |(name, _)| name);
    [host, without_port].iter().any(|text| text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok())
}

fn tell(finding: &mut Finding, files: u64, bytes: u64) {
    finding.count = files;
    input(finding, "uploads", files);
    if bytes > 0 {
        input(finding, "bytes", bytes);
    }
}

fn claim(at: Timestamp, flow: &FlowRef, sent: Sent, scene: &Scene<'_>) -> Finding {
    let (from, to) = (flow.originator.address, flow.responder.address);
    let mut finding = draft(
        Category::ExfilVolume,
        ExfilVolume::RULE,
        scene.policy,
        Who::of(flow, sent.means.name_en()),
        (flow.began, at),
    );
    finding.severity = sent.severity;
    finding.confidence = Confidence::from_permille(600);
    let (name_ja, name_en) = (sent.means.name_ja(), sent.means.name_en());
    finding.title = Bilingual::new(
        &format!("ファイルの送信({name_ja}): {from} → {to}"),
        &format!("File sent by {name_en}: {from} → {to}"),
    );
    finding.explanation = Bilingual::new(
        &format!(
            "{from}が{to}へ{name_ja}でファイルを送信しました。暗号化されない経路であり、業務上の転送でなければ、\
             情報の持ち出しやマルウェアによる報告の可能性があります。"
        ),
        &format!(
            "{from} sent a file to {to} by {name_en}, which is not encrypted. Unless this is work, data may be leaving, or \
             malware reports what it found."
        ),
    );
    finding.evidence.formula = sent.means.formula().into();
    threshold(&mut finding, "uploads", 1_u64);
    if sent.means == Means::Http {
        threshold(&mut finding, "body_bytes", BODY_BYTES_MIN);
    }
    port(&mut finding, flow.responder.port);
    tell(&mut finding, 1, sent.bytes);
    sample(&mut finding, flow);
    finding
}

impl Means {
    const fn name_en(self) -> &'static str {
        match self {
            Self::Ftp => "FTP",
            Self::Tftp => "TFTP",
            Self::Mail => "mail in clear text",
            Self::Http => "HTTP in clear text",
        }
    }

    const fn name_ja(self) -> &'static str {
        match self {
            Self::Ftp => "FTP",
            Self::Tftp => "TFTP",
            Self::Mail => "平文のメール",
            Self::Http => "平文のHTTP",
        }
    }

    const fn formula(self) -> &'static str {
        match self {
            Self::Ftp => {
                "STOR, APPE or STOU that was not refused; severity 2 from inside to outside, 1 inside"
            }
            Self::Tftp => "a write request from inside to outside",
            Self::Mail => {
                "mail with login and without TLS from inside to outside, with attachments or to the sender himself; both is \
                 severity 2"
            }
            Self::Http => {
                "POST or PUT with a body of 64 KiB or more from inside to outside; severity 2 to a server without a name"
            }
        }
    }
}
