//! What an endpoint product (EDR, antivirus, firewall) said, normalised.

use serde::{Serialize, Serializer};

use crate::finding::{Bilingual, Category, Confidence, Evidence, Finding, Severity};
use crate::id::{BodyCode, Digest, FindingId, Host};
use crate::text::BoundedText;
use crate::time::Timestamp;

/// One alert of an endpoint product. User names are kept only as a keyed hash.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointAlert {
    /// Stable: the same original line with the same time has the same id.
    pub id: FindingId,
    /// When it happened, by the product; the receiving time where the product gave none.
    pub time: Timestamp,
    /// When the sensor received or saw it.
    pub received_at: Timestamp,
    /// How it came.
    pub intake: Intake,
    /// How it was written.
    pub format: AlertFormat,
    /// Device vendor.
    pub vendor: BoundedText<64>,
    /// Device product.
    pub product: BoundedText<64>,
    /// The product's own identifier of the rule.
    pub signature_id: BoundedText<64>,
    /// The product's own name for what it saw.
    pub name: BoundedText<256>,
    /// Mapped to 0..4.
    pub severity: Severity,
    /// What kind of alert.
    pub class: AlertClass,
    /// The endpoint concerned, by address.
    pub host: Option<Host>,
    /// The endpoint concerned, by name.
    pub host_name: BoundedText<128>,
    /// Keyed hash of the user name, if one was given.
    pub user: Option<FindingId>,
    /// The other end, if one was given.
    pub remote: Option<Host>,
    /// SHA-256 of the file concerned.
    pub file_sha256: Option<Digest>,
    /// The process or file concerned, user names replaced.
    pub process: BoundedText<256>,
    /// What the product did: blocked, quarantined, allowed.
    pub action: BoundedText<64>,
    /// The line as received, user names replaced.
    pub original: BoundedText<2048>,
    /// SHA-256 of the line exactly as received.
    pub original_sha256: Digest,
    /// The source of the agent's configuration that it came over; empty for what was captured.
    pub source: BoundedText<32>,
    /// How often it was said so far. More than one: it is told again, with what came since.
    pub count: u32,
    /// Whose network.
    pub body: Option<BodyCode>,
    /// Segment of the endpoint.
    pub segment: Option<BoundedText<32>>,
    /// The product named no address: [`host`](Self::host) is the one that its machine has by this word.
    pub joined: Option<JoinedBy>,
}

impl EndpointAlert {
    /// The finding (`endpoint.alert`) that this alert stands for.
    pub fn to_finding(&self) -> Finding {
        let product = format!("{} {}", self.vendor, self.product);
        let on = self.host.map_or_else(|| self.host_name.to_string(), |host| host.to_string());
        let mut evidence = Evidence {
            rule: "endpoint.alert/1".into(),
            formula: "an endpoint product reported it; severity and class by its own words".into(),
            ..Evidence::default()
        };
        let mut input = |name: &str, value: &str| {
            if !value.is_empty() {
                evidence.inputs.insert(name.into(), value.into());
            }
        };
        input("class", self.class.as_str());
        input("vendor", &self.vendor);
        input("product", &self.product);
        input("signature_id", &self.signature_id);
        input("name", &self.name);
        input("host_name", &self.host_name);
        input("process", &self.process);
        input("action", &self.action);
        input("source", &self.source);
        input("original_sha256", &self.original_sha256.to_string());
        input("joined", self.joined.map_or("", JoinedBy::as_str));
        if let Some(hash) = self.file_sha256 {
            input("file_sha256", &hash.to_string());
        }
        Finding {
            id: self.id,
            revision: self.count.max(1),
            time: self.time,
            end: self.time,
            detected_at: self.received_at,
            category: Category::EndpointAlert,
            severity: self.severity,
            confidence: Confidence::from_permille(900),
            originator: self.host.or(self.remote),
            responder: if self.host.is_some() { self.remote } else { None },
            targets: Vec::new(),
            ports: Vec::new(),
            title: Bilingual::new(
                &format!("端末製品の警告: {}", self.name),
                &format!("Endpoint alert: {}", self.name),
            ),
            explanation: Bilingual::new(
                &format!("{product} が {on} について「{}」を報告しました({})。", self.name, self.class.ja()),
                &format!("{product} reported \"{}\" ({}) on {on}.", self.name, self.class.as_str()),
            ),
            evidence,
            technique: BoundedText::default(),
            count: self.count.max(1).into(),
            body: self.body,
            segment: self.segment.clone(),
            degraded: false,
            excepted_by: None,
        }
    }
}

macro_rules! closed_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident $text:literal $ja:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The stable identifier.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
            /// In Japanese.
            pub const fn ja(self) -> &'static str {
                match self { $(Self::$variant => $ja,)* }
            }
            /// From the stable identifier.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

closed_words! {
    /// How an alert came to the sensor.
    Intake {
        /// Sent to the agent's own listener.
        Listener "listener" "受信",
        /// Seen in captured packets on its way to somebody else.
        Capture "capture" "傍受",
    }
}
closed_words! {
    /// Who says which address a machine has, the weakest word first.
    JoinedBy {
        /// Another alert that named the machine and its address.
        Alert "alert" "別の警告",
        /// The machine's answer to multicast DNS (RFC 6762) or LLMNR (RFC 4795).
        Multicast "multicast" "mDNS・LLMNR",
        /// The machine registered its `NetBIOS` name (RFC 1002).
        Nbns "nbns" "NetBIOS",
        /// The machine named itself when it logged on with NTLM (MS-NLMP).
        Ntlm "ntlm" "NTLM",
        /// The machine got a Kerberos ticket for itself (RFC 4120).
        Kerberos "kerberos" "Kerberos",
        /// ARP (RFC 826).
        Arp "arp" "ARP",
        /// A lease (RFC 2131).
        Dhcp "dhcp" "DHCP",
    }
}
closed_words! {
    /// How an alert was written.
    AlertFormat {
        /// `ArcSight` Common Event Format inside syslog.
        Cef "cef" "CEF",
        /// IBM Log Event Extended Format.
        Leef "leef" "LEEF",
        /// A JSON object.
        Json "json" "JSON",
        /// `key=value` pairs.
        Pairs "pairs" "key=value",
        /// Comma separated values.
        Csv "csv" "CSV",
        /// Plain words inside RFC 5424 syslog.
        Plain "plain" "平文",
    }
}
closed_words! {
    /// What kind of alert; decides the incident category.
    AlertClass {
        /// Malicious software found or running.
        Malware "malware" "マルウェア",
        /// Files being encrypted or other ransom behaviour.
        Ransomware "ransomware" "ランサムウェア",
        /// An exploit was tried.
        Exploit "exploit" "脆弱性攻撃",
        /// Many failed logins.
        BruteForce "brute_force" "総当たり",
        /// Probing.
        Scan "scan" "スキャン",
        /// Contact with a command-and-control server.
        CommandAndControl "command_and_control" "C2通信",
        /// Data leaving.
        DataLoss "data_loss" "情報持ち出し",
        /// A suspicious mail.
        Phishing "phishing" "不審メール",
        /// A rule of the organisation was broken (denied traffic, forbidden application).
        Policy "policy" "ポリシー違反",
        /// Anything else.
        Other "other" "その他",
    }
}
