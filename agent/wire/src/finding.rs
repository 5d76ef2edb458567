//! A detector's claim, with all that it takes to check it.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::id::{BodyCode, FindingId, Host};
use crate::text::BoundedText;
use crate::time::Timestamp;

/// What a detector claims happened (OCSF Detection Finding). Serialises to the `findings` format of `replay`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Stable over revisions, runs and machines.
    pub id: FindingId,
    /// 1 for the first; a finding that grows keeps its id.
    pub revision: u32,
    /// First evidence, in event time.
    pub time: Timestamp,
    /// Last evidence so far.
    pub end: Timestamp,
    /// When the rule's condition was first met, in event time.
    pub detected_at: Timestamp,
    /// What kind of behaviour.
    pub category: Category,
    /// How bad, 0 to 4.
    pub severity: Severity,
    /// How sure, 0 to 1.
    pub confidence: Confidence,
    /// The acting host (the attacker where there is one), whoever sent the first packet; `None` if it cannot be named.
    pub originator: Option<Host>,
    /// Its victim, where there is exactly one.
    pub responder: Option<Host>,
    /// Other things acted upon: addresses, domains; a sample of at most [`TARGETS_MAX`](crate::limits::TARGETS_MAX).
    pub targets: Vec<BoundedText<255>>,
    /// Responder ports, ascending; a sample of at most [`PORTS_MAX`](crate::limits::PORTS_MAX).
    pub ports: Vec<u16>,
    /// One line for a list.
    pub title: Bilingual,
    /// One sentence that a municipal officer understands.
    pub explanation: Bilingual,
    /// What the claim rests on.
    pub evidence: Evidence,
    /// MITRE ATT&CK technique, or empty.
    pub technique: BoundedText<16>,
    /// How many observations stand behind it.
    pub count: u64,
    /// Whose network.
    pub body: Option<BodyCode>,
    /// Segment of the acting or affected inside host.
    pub segment: Option<BoundedText<32>>,
    /// The sensor lost more than 1 % of the packets of this window.
    pub degraded: bool,
    /// The exception that applies, if one does.
    pub excepted_by: Option<BoundedText<64>>,
}

/// What a claim rests on. Maps are ordered, so that the same finding has the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Evidence {
    /// Rule identifier with its version, such as `scan.port/1`.
    pub rule: BoundedText<64>,
    /// The condition in words a reader can recompute.
    pub formula: BoundedText<512>,
    /// Measured values.
    pub inputs: BTreeMap<BoundedText<64>, Value>,
    /// What they were compared with.
    pub threshold: BTreeMap<BoundedText<64>, Value>,
    /// What is normal here, if a baseline was used.
    pub baseline: BTreeMap<BoundedText<64>, Value>,
    /// Sample flows (Community ID v1).
    pub community_ids: Vec<BoundedText<64>>,
}

/// A value in evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A count, or a whole number of a unit that the name gives.
    Count(u64),
    /// A measured number.
    Number(f64),
    /// A text.
    Text(BoundedText<512>),
    /// Several texts.
    List(Vec<BoundedText<255>>),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}
impl From<u32> for Value {
    fn from(count: u32) -> Self {
        Self::Count(u64::from(count))
    }
}
impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(BoundedText::new(text))
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(BoundedText::new(&text))
    }
}

/// The same words in Japanese and English.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bilingual {
    /// 日本語.
    pub ja: BoundedText<1024>,
    /// English.
    pub en: BoundedText<1024>,
}

impl Bilingual {
    /// From both texts.
    pub fn new(ja: &str, en: &str) -> Self {
        Self { ja: BoundedText::new(ja), en: BoundedText::new(en) }
    }
}

/// How bad: 0 informational, 1 low, 2 medium, 3 high, 4 critical (the government's 0–4 scale).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(u8);

impl Severity {
    /// 情報.
    pub const INFORMATIONAL: Self = Self(0);
    /// 低.
    pub const LOW: Self = Self(1);
    /// 中.
    pub const MEDIUM: Self = Self(2);
    /// 高.
    pub const HIGH: Self = Self(3);
    /// 重大.
    pub const CRITICAL: Self = Self(4);

    /// From a level; `None` above 4.
    pub const fn new(level: u8) -> Option<Self> {
        if level <= 4 { Some(Self(level)) } else { None }
    }

    /// 0 to 4.
    pub const fn level(self) -> u8 {
        self.0
    }

    /// One level worse, at most critical.
    #[must_use]
    pub const fn raised(self) -> Self {
        if self.0 < 4 { Self(self.0 + 1) } else { self }
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

/// How sure, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Confidence(u16);

impl Confidence {
    /// From thousandths; more than 1000 counts as 1000.
    pub const fn from_permille(permille: u16) -> Self {
        Self(if permille > 1000 { 1000 } else { permille })
    }

    /// In thousandths.
    pub const fn permille(self) -> u16 {
        self.0
    }
}

impl Serialize for Confidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 1000.0)
    }
}

macro_rules! categories {
    ($($variant:ident $text:literal $technique:literal $severity:literal $doc:literal,)*) => {
        /// Kinds of behaviour, with stable identifiers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Category {
            $(#[doc = $doc] $variant,)*
        }

        impl Category {
            /// Every category.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable identifier.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// MITRE ATT&CK technique, or empty.
            pub const fn technique(self) -> &'static str {
                match self { $(Self::$variant => $technique,)* }
            }

            /// Severity where nothing raises or lowers it.
            pub const fn default_severity(self) -> Severity {
                match self { $(Self::$variant => Severity($severity),)* }
            }
        }
    };
}
categories! {
    ScanPort "scan.port" "T1046" 1 "Many ports of one host.",
    ScanHost "scan.host" "T1018" 1 "One port or protocol on many hosts.",
    ScanWeb "scan.web" "T1595.002" 1 "Many paths of a web server that do not exist, or a scanner's own marks.",
    FloodSyn "flood.syn" "T1498.001" 3 "SYN flood.",
    FloodVolume "flood.volume" "T1498.001" 3 "More packets or bytes to one host than its line or its past explain.",
    FloodAmplification "flood.amplification" "T1498.002" 3 "Answers nobody asked for, from many reflectors.",
    FloodSlow "flood.slow" "T1499.002" 3 "Many connections held open by requests that never end.",
    BruteforceLogin "bruteforce.login" "T1110" 2 "Many login attempts.",
    C2Beacon "c2.beacon" "T1071" 3 "Regular contact with an outside host, as implants keep it.",
    C2Tunnel "c2.tunnel" "T1095" 3 "Data carried in a protocol that is not meant to carry any.",
    DnsTunnel "dns.tunnel" "T1071.004" 3 "Data carried in DNS names.",
    DnsDga "dns.dga" "T1568.002" 2 "Look-ups of generated domain names that mostly do not exist.",
    ExfilVolume "exfil.volume" "T1048" 3 "More data sent out than received, beyond what is usual.",
    SpoofArp "spoof.arp" "T1557.002" 3 "An address claimed by a second hardware address.",
    SpoofDns "spoof.dns" "T1557" 3 "Two answers to one DNS query that contradict each other.",
    InjectTcp "inject.tcp" "T1557" 3 "Two TCP segments for the same place in a stream with different content.",
    DhcpRogue "dhcp.rogue" "T1557.003" 3 "A second DHCP server on a network.",
    DhcpStarvation "dhcp.starvation" "T1499" 2 "Leases asked for by many made-up clients.",
    LateralExec "lateral.exec" "T1021" 3 "A program started on another host through its management interfaces.",
    LateralSession "lateral.session" "T1021" 2 "An administrative session or share between inside hosts.",
    AdAbuse "ad.abuse" "T1003.006" 4 "Abuse of the directory service or of Kerberos.",
    WormSpread "worm.spread" "T1210" 4 "A host that was attacked attacks others the same way.",
    CleartextCredentials "cleartext.credentials" "T1040" 2 "Credentials sent in clear text.",
    ExploitAttempt "exploit.attempt" "T1190" 2 "A request that exploits a known weakness.",
    IntelMatch "intel.match" "" 3 "Contact with an indicator of a threat feed.",
    TlsAnomaly "tls.anomaly" "T1573" 1 "A certificate or version of TLS that should not be in use.",
    SshAnomaly "ssh.anomaly" "T1021.004" 1 "A version or algorithm of SSH that should not be in use.",
    ProtocolMismatch "protocol.mismatch" "T1571" 2 "A protocol on a port of another.",
    PolicyUse "policy.use" "" 1 "Use of mining, VPN, file sharing, anonymisation or remote control.",
    SpamBurst "spam.burst" "T1566" 3 "Mail to many servers or recipients from a host that is no mail server.",
    SegmentViolation "segment.violation" "" 2 "Traffic that the three-layer separation (三層の対策) forbids.",
    BaselineVolume "baseline.volume" "" 2 "Volume far from what this hour of the week has been.",
    BaselineHost "baseline.host" "" 2 "A host that behaves unlike its own past.",
    HostNew "host.new" "T1200" 1 "A device that was never seen on this network.",
    ServiceExposed "service.exposed" "T1133" 1 "A service that was never seen to listen answers to the outside.",
    ServiceDown "service.down" "" 3 "A server that is watched does not answer as it should.",
    EndpointAlert "endpoint.alert" "" 2 "An endpoint product's alert.",
}

impl core::str::FromStr for Category {
    type Err = NotACategory;
    fn from_str(text: &str) -> Result<Self, NotACategory> {
        Self::ALL.iter().copied().find(|category| category.as_str() == text).ok_or(NotACategory)
    }
}

impl core::fmt::Display for Category {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Category {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Not a category that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a category that this version knows")]
pub struct NotACategory;
