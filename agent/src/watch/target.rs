//! What is watched, and what may be found wrong with it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use sekimori_wire::id::Digest;
use sekimori_wire::text::BoundedText;
use serde::Deserialize;

use super::window::Window;

/// A server that is watched.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) server: Server,
    /// Name or address, as it was configured.
    pub(crate) host: String,
    /// 0 where the probe has none.
    pub(crate) port: u16,
    pub(crate) probe: Probe,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// An answer that takes longer is no failure, but not well either.
    pub(crate) slow_after: Option<Duration>,
    /// Places in the list of what has to work for it to work: always before its own.
    pub(crate) depends_on: Vec<usize>,
    pub(crate) maintenance: Vec<Window>,
}

/// What kind of server it is: the five of the requirements, what lies before them, and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Server {
    Web,
    MailRelay,
    Proxy,
    ExternalDns,
    Ad,
    Line,
    Resolver,
    Other,
}

/// Where on the way a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Line,
    Dns,
    Proxy,
    Server,
}

impl Server {
    /// Which stage fails when it fails.
    pub(crate) const fn stage(self) -> Stage {
        match self {
            Self::Line => Stage::Line,
            Self::ExternalDns | Self::Resolver => Stage::Dns,
            Self::Proxy => Stage::Proxy,
            Self::Web | Self::MailRelay | Self::Ad | Self::Other => Stage::Server,
        }
    }

    /// As it is configured.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::MailRelay => "mail_relay",
            Self::Proxy => "proxy",
            Self::ExternalDns => "external_dns",
            Self::Ad => "ad",
            Self::Line => "line",
            Self::Resolver => "resolver",
            Self::Other => "other",
        }
    }

    /// In Japanese and in English.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Web => ("Webサーバ", "web server"),
            Self::MailRelay => ("メールリレーサーバ", "mail relay"),
            Self::Proxy => ("プロキシサーバ", "proxy server"),
            Self::ExternalDns => ("外部DNSサーバ", "external DNS server"),
            Self::Ad => ("Active Directoryサーバ", "Active Directory server"),
            Self::Line => ("回線", "line"),
            Self::Resolver => ("名前解決サーバ", "DNS resolver"),
            Self::Other => ("サーバ", "server"),
        }
    }
}

impl Stage {
    /// In evidence.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Dns => "dns",
            Self::Proxy => "proxy",
            Self::Server => "server",
        }
    }

    /// In Japanese and in English.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Line => ("回線", "the line"),
            Self::Dns => ("DNS(名前解決)", "DNS"),
            Self::Proxy => ("プロキシ", "the proxy"),
            Self::Server => ("サーバ", "the server"),
        }
    }
}

/// What is asked, and which answer is expected.
#[derive(Debug)]
pub(crate) enum Probe {
    /// Echo request.
    Icmp,
    /// A connection, closed at once.
    Tcp,
    /// One GET of a page.
    Http(Box<Http>),
    /// One question.
    Dns(Box<Dns>),
    /// The greeting of a mail server.
    Mail(Box<Mail>),
    /// An anonymous search of the root DSE.
    Ldap,
    /// A request for a ticket of this realm.
    Kerberos { realm: String },
    /// The time, and how far it may be from ours.
    Ntp { max_offset: Duration },
}

impl Probe {
    /// As it is configured.
    pub(crate) const fn key(&self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
            Self::Http(_) => "http",
            Self::Dns(_) => "dns",
            Self::Mail(mail) => mail.protocol.key(),
            Self::Ldap => "ldap",
            Self::Kerberos { .. } => "kerberos",
            Self::Ntp { .. } => "ntp",
        }
    }
}

/// A question, and what the answer has to be.
#[derive(Debug)]
pub(crate) struct Dns {
    pub(crate) query: String,
    pub(crate) record: RecordType,
    /// All that the records say; empty: anything.
    pub(crate) answer: BTreeSet<String>,
    /// The AD flag is wanted.
    pub(crate) authenticated: bool,
    /// Signatures are wanted.
    pub(crate) signed: bool,
}

macro_rules! records {
    ($($variant:ident $key:literal $number:literal,)*) => {
        /// What is asked for.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "UPPERCASE")]
        pub(crate) enum RecordType {
            #[default]
            $($variant,)*
        }

        impl RecordType {
            /// As it is configured.
            pub(crate) const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key,)* }
            }

            /// On the wire.
            pub(crate) const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }
        }
    };
}
records! {
    A "A" 1,
    Ns "NS" 2,
    Cname "CNAME" 5,
    Soa "SOA" 6,
    Ptr "PTR" 12,
    Mx "MX" 15,
    Txt "TXT" 16,
    Aaaa "AAAA" 28,
}

/// A mail server.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) protocol: MailProtocol,
    pub(crate) security: Security,
}

/// Which language it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MailProtocol {
    Smtp,
    Pop3,
    Imap,
}

impl MailProtocol {
    /// As it is configured.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Pop3 => "pop3",
            Self::Imap => "imap",
        }
    }
}

/// Whether and how it goes over to TLS.
#[derive(Debug)]
pub(crate) enum Security {
    None,
    Starttls(Tls),
    /// From the beginning.
    Tls(Tls),
}

/// A page, and what it has to be.
#[derive(Debug)]
pub(crate) struct Http {
    /// `Host:` header: the authority of the URL.
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) tls: Option<Tls>,
    pub(crate) status: u16,
    /// Expected `Location:`.
    pub(crate) redirect: Option<String>,
    pub(crate) contains: Option<String>,
    /// SHA-256 of the whole page.
    pub(crate) sha256: Option<Digest>,
}

/// How a certificate is judged.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    /// The name that it has to be for.
    pub(crate) name: rustls::pki_types::ServerName<'static>,
    /// One that ends sooner is not well.
    pub(crate) days: u32,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All as expected, after this time.
    Up(Duration),
    /// It works, but not for long or not well.
    Degraded(Fault),
    /// It does not do what it is there for.
    Down(Fault),
    /// This machine does not let us ask: nothing is known about the server.
    Unable(String),
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// What exactly; may hold words of a hostile server.
    pub(crate) detail: BoundedText<200>,
}

macro_rules! faults {
    ($($variant:ident $key:literal $ja:literal $en:literal $doc:literal,)*) => {
        /// What may be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum FaultKind {
            $(#[doc = $doc] $variant,)*
        }

        impl FaultKind {
            /// In evidence.
            pub(crate) const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key,)* }
            }

            /// In Japanese and in English.
            pub(crate) const fn words(self) -> (&'static str, &'static str) {
                match self { $(Self::$variant => ($ja, $en),)* }
            }
        }
    };
}
faults! {
    NoName "no_name" "名前を解決できない" "its name is not resolved" "The name has no address.",
    NoRoute "no_route" "経路がない" "there is no route to it" "This machine has no way there.",
    NoAnswer "no_answer" "応答なし" "it does not answer" "Nothing came in time.",
    Refused "refused" "接続拒否" "it refuses connections" "The port is closed.",
    Broken "broken" "応答が途切れる、または規約に反する" "its answer breaks off or breaks the protocol" "Not what the protocol allows.",
    Status "status" "想定外の応答コード" "it answers with another status than expected" "Another status.",
    Redirect "redirect" "想定外の転送先" "it redirects elsewhere" "Another place.",
    Content "content" "想定した内容がない" "the expected content is missing" "Words are missing.",
    Changed "changed" "内容が変わった(改ざんの疑い)" "the page has changed (possibly defaced)" "Another hash.",
    TooLarge "too_large" "応答が大きすぎる" "its answer is larger than is read" "Beyond the bound.",
    Certificate "certificate" "証明書が無効" "its certificate is not valid" "Expired, for another name, or of nobody known.",
    CertificateSoon "certificate_soon" "証明書の期限切れが近い" "its certificate ends soon" "Fewer days than wanted.",
    Unsigned "unsigned" "DNSSECの署名または検証がない" "DNSSEC signatures or their validation are missing" "No AD flag or no RRSIG.",
    Offset "offset" "時刻のずれ" "its time is off" "Farther from our clock than wanted.",
    Slow "slow" "応答が遅い" "it answers slowly" "Later than wanted.",
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, detail: impl core::fmt::Display) -> Self {
        Self { kind, detail: BoundedText::new(&detail.to_string()) }
    }

    /// The stage that it shows by itself; otherwise it is that of the server.
    pub(crate) const fn stage(&self) -> Option<Stage> {
        match self.kind {
            FaultKind::NoName => Some(Stage::Dns),
            FaultKind::NoRoute => Some(Stage::Line),
            FaultKind::NoAnswer
            | FaultKind::Refused
            | FaultKind::Broken
            | FaultKind::Status
            | FaultKind::Redirect
            | FaultKind::Content
            | FaultKind::Changed
            | FaultKind::TooLarge
            | FaultKind::Certificate
            | FaultKind::CertificateSoon
            | FaultKind::Unsigned
            | FaultKind::Offset
            | FaultKind::Slow => None,
        }
    }
}
