//! The configuration file as it is written. Every value is checked while it is read, so that an error can name its line.

use std::path::PathBuf;
use std::time::Duration;

use sekimori_sensor::limits::{Limits, MEMORY_MIN, TooLittle};
use sekimori_sensor::segment::{AllowFile, BodyFile, SegmentFile};
use sekimori_wire::envelope::VerifyingKey;
use sekimori_wire::exception::ExceptionFile;
use sekimori_wire::finding::Severity;
use serde::Deserialize;

use super::endpoint::Endpoint;
use super::watch::Watch;
use crate::capture::filter::Filter;
use crate::intel::age_of;
use crate::intel::command::public_key;
use crate::line::Proxy;

/// The whole file. Everything has a default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) capture: Capture,
    pub(super) state: State,
    pub(super) collector: Collector,
    pub(super) endpoint: Endpoint,
    pub(super) watch: Watch,
    pub(super) spool: Spool,
    pub(super) memory: Memory,
    pub(super) limits: LimitsFile,
    pub(super) body: Vec<BodyFile>,
    pub(super) segment: Vec<SegmentFile>,
    pub(super) allow: Vec<AllowFile>,
    pub(super) intel: Intel,
    pub(super) exceptions: ExceptionsFile,
    pub(super) exception: Vec<ExceptionFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Intel {
    pub(super) files: Vec<PathBuf>,
    pub(super) bundles: Vec<PathBuf>,
    pub(super) keys: Vec<PublicKey>,
    pub(super) shared: Vec<PathBuf>,
    pub(super) max_age: Option<Age>,
    pub(super) feed: Vec<FeedFile>,
}

/// What is thought of a feed here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedFile {
    pub(super) name: String,
    pub(super) max_severity: SeverityNumber,
}

/// Where further exceptions are.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExceptionsFile {
    pub(super) files: Vec<PathBuf>,
}

/// A public key as `intel keygen` prints it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct PublicKey(pub(super) VerifyingKey);

impl TryFrom<String> for PublicKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        public_key(&text).map(Self)
    }
}

/// A length of time such as `7d`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Age(pub(super) Duration);

impl TryFrom<String> for Age {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        age_of(&text).map(Self)
    }
}

/// 0 to 4.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u8")]
pub(super) struct SeverityNumber(pub(super) Severity);

impl TryFrom<u8> for SeverityNumber {
    type Error = String;
    fn try_from(level: u8) -> Result<Self, String> {
        Severity::new(level).map(Self).ok_or_else(|| format!("{level} is not between 0 and 4"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Capture {
    pub(super) interfaces: Vec<InterfaceName>,
    pub(super) engine: Engine,
    pub(super) filter: FilterText,
    pub(super) promiscuous: bool,
    pub(super) ignore_outgoing: bool,
    pub(super) workers: Option<Within<1, 16>>,
    pub(super) record: Option<PathBuf>,
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            engine: Engine::Ring,
            filter: FilterText::default(),
            promiscuous: true,
            ignore_outgoing: false,
            workers: None,
            record: None,
        }
    }
}

/// How frames are captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// Our own `TPACKET_V3` ring.
    #[default]
    Ring,
    /// libpcap.
    Pcap,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct State {
    pub(super) dir: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self { dir: PathBuf::from("/var/lib/sekimori-agent") }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Collector {
    pub(super) urls: Vec<HttpsUrl>,
    pub(super) rate: Option<BitRate>,
    pub(super) budget: Option<ByteBudget>,
    pub(super) in_flight: Option<Within<1, 4>>,
    pub(super) proxy: Option<ProxyUrl>,
    pub(super) proxy_credentials: Option<PathBuf>,
    pub(super) require_post_quantum: bool,
}

/// Bits a second: a number with `kbit/s` or `Mbit/s`; `none` is 0.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct BitRate(pub(super) u64);

/// Bytes that may go out in ten seconds: a size; `none` is 0.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ByteBudget(pub(super) u64);

/// With less than this, summaries of a busy gateway would fall behind.
const BUDGET_MIN: u64 = 32 * 1024;

impl TryFrom<String> for ByteBudget {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match (&*text, bytes_of(&text)) {
            ("none", _) => Ok(Self(0)),
            (_, Some(bytes)) if bytes >= BUDGET_MIN => Ok(Self(bytes)),
            (_, Some(_)) => Err(format!("`{text}` is less than 32 KiB")),
            (_, None) => Err(format!("`{text}` is not a size such as \"64 KiB\", nor \"none\"")),
        }
    }
}

/// Slower than this, health records alone would fall behind.
const RATE_MIN: u64 = 64_000;

impl TryFrom<String> for BitRate {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(0));
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
        let factor = match unit.trim() {
            "kbit/s" => Some(1_000),
            "Mbit/s" => Some(1_000_000),
            _ => None,
        };
        let bits =
            number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        match bits {
            Some(bits) if bits >= RATE_MIN => Ok(Self(bits)),
            Some(_) => Err(format!("`{text}` is less than 64 kbit/s")),
            None => Err(format!("`{text}` is not a rate such as \"4 Mbit/s\", nor \"none\"")),
        }
    }
}

/// The address of an HTTP proxy.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ProxyUrl(pub(super) Proxy);

impl TryFrom<String> for ProxyUrl {
    type Error = String;
    fn try_from(url: String) -> Result<Self, String> {
        Proxy::parse(&url).map(Self)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spool {
    /// 1 MiB to 1 TiB.
    pub(super) max_bytes: Option<Within<1_048_576, 1_099_511_627_776>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Memory {
    /// Of each interface's tables together.
    pub(super) max: Option<Size>,
}

/// Bytes: a number with `KiB`, `MiB` or `GiB`, or without.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "SizeText")]
pub(super) struct Size(pub(super) Limits);

/// As it is written.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum SizeText {
    Number(u64),
    Text(String),
}

impl TryFrom<SizeText> for Size {
    type Error = String;
    fn try_from(size: SizeText) -> Result<Self, String> {
        let bytes = match &size {
            SizeText::Number(bytes) => Some(*bytes),
            SizeText::Text(text) => bytes_of(text),
        };
        let Some(bytes) = bytes else {
            return Err("is not a size such as \"256 MiB\"".to_owned());
        };
        let memory = usize::try_from(bytes).unwrap_or(usize::MAX);
        Limits::within(memory).map(Self).map_err(|TooLittle| {
            format!(
                "{bytes} bytes are too little for all tables: give them {} MiB at least",
                MEMORY_MIN >> 20
            )
        })
    }
}

/// The bytes that a text such as `256 MiB` names.
fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.trim() {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsFile {
    pub(super) window_seconds: Option<Within<1, 3_600>>,
    pub(super) flows: Option<Within<1_024, 67_108_864>>,
    pub(super) summary_bytes: Option<Within<4_096, 262_144>>,
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct Within<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Within<MIN, MAX> {
    pub(super) const fn value(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> TryFrom<i64> for Within<MIN, MAX> {
    type Error = String;
    fn try_from(number: i64) -> Result<Self, String> {
        match u64::try_from(number) {
            Ok(value) if (MIN..=MAX).contains(&value) => Ok(Self(value)),
            _ => Err(format!("{number} is not between {MIN} and {MAX}")),
        }
    }
}

/// The name of a network interface: whether it exists is seen when it is opened.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct InterfaceName(pub(super) String);

impl TryFrom<String> for InterfaceName {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        // dev_valid_name() of Linux, IFNAMSIZ.
        if name.is_empty()
            || name.len() > 15
            || name.contains(['/', ':'])
            || name.contains(char::is_whitespace)
        {
            return Err(format!("`{name}` cannot be the name of an interface"));
        }
        Ok(Self(name))
    }
}

/// A BPF filter that compiles.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct FilterText(pub(super) String);

impl TryFrom<String> for FilterText {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if !text.is_empty() {
            Filter::new(&text).map_err(|cause| cause.to_string())?;
        }
        Ok(Self(text))
    }
}

/// The address of a collector's ingest listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct HttpsUrl(pub(super) String);

impl TryFrom<String> for HttpsUrl {
    type Error = String;
    fn try_from(url: String) -> Result<Self, String> {
        let parsed: hyper::Uri = url.parse().map_err(|_cause| format!("`{url}` is not a URL"))?;
        if parsed.scheme_str() != Some("https") || parsed.host().is_none_or(str::is_empty) {
            return Err(format!("`{url}` is not of the form https://HOST:PORT"));
        }
        Ok(Self(url))
    }
}
