//! Exceptions: what somebody decided is not worth an incident, for whom, why, and until when.
//!
//! One kind of object for every category. An excepted finding is still made, shipped and counted; it only says which
//! exception covers it. The agent judges with this when a revision leaves, the collector judges again with the same code.
//!
//! An exception covers a finding only if everything that the finding names lies within its scope: one more port or
//! target, and the finding stands. So an exception never hides more than its owner signed for.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use crate::finding::{Category, Finding};
use crate::id::{BodyCode, Host};
use crate::limits::{PORTS_MAX, TARGETS_MAX};
use crate::text::BoundedText;
use crate::time::Timestamp;

/// Longest life of an exception: a year and a month to renew it in, so that each is looked at once a year.
const LIFE_DAYS_MAX: u64 = 400;
/// Exceptions in force at once. More than a person can have an opinion on.
pub(crate) const EXCEPTIONS_MAX: usize = 1_024;
/// As findings carry it.
const ID_BYTES_MAX: usize = 64;
/// Of the reason, and of the owner: both are shown with every finding that is covered.
const TEXT_BYTES_MAX: usize = 1_024;

/// An exception as a file writes it (`[[exception]]`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExceptionFile {
    /// Its number in the owner's list.
    pub id: String,
    /// A category, or a family of them such as `scan.*`.
    pub category: Option<String>,
    /// Address or prefix of the acting host.
    pub originator: Option<String>,
    /// Address or prefix of those acted upon.
    pub responder: Option<String>,
    /// Responder port.
    pub port: Option<u16>,
    /// A domain with all below it, or another target as the finding names it.
    pub target: Option<String>,
    /// 団体コード.
    pub body: Option<String>,
    /// Segment of the host.
    pub segment: Option<String>,
    /// Why this is acceptable.
    #[serde(default)]
    pub reason: String,
    /// Who decided it and is asked when it runs out.
    #[serde(default)]
    pub owner: String,
    /// The day on which it was decided, Japanese time, such as `2026-04-01`.
    #[serde(default)]
    pub created: String,
    /// Last day on which it holds, Japanese time.
    #[serde(default)]
    pub expires: String,
}

/// A checked exception.
#[derive(Clone, Debug)]
pub struct Exception {
    /// Its number in the owner's list.
    pub id: BoundedText<64>,
    /// Why this is acceptable.
    pub reason: String,
    /// Who decided it.
    pub owner: String,
    /// Beginning of the day on which it was decided.
    pub created: Timestamp,
    /// It holds up to and including this time.
    pub expires: Timestamp,
    scope: Scope,
    /// The scope as the file writes it: keys and values.
    pub written: Vec<(&'static str, String)>,
}

/// What one exception says of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It covers it.
    Covers,
    /// It would cover it, but had ended by then.
    Ended,
    /// Everything fits but one list of the finding, of which only a part lies within.
    Exceeds {
        /// Which key of the scope.
        key: &'static str,
        /// What lies outside.
        outside: Outside<'a>,
    },
    /// The finding is about something else.
    Other,
}

/// What lies outside the scope of an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside<'a> {
    /// A responder port.
    Port(u16),
    /// Something acted upon.
    Target(&'a str),
    /// The list is full: it may have left something out.
    LeftOut,
}

impl fmt::Display for Outside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => port.fmt(f),
            Self::Target(target) => BoundedText::<256>::new(target).fmt(f),
            Self::LeftOut => f.write_str("the list is full, some may be left out"),
        }
    }
}

/// What an exception covers: all that is set must fit.
#[derive(Clone, Debug, Default)]
struct Scope {
    category: Option<Family>,
    originator: Option<Prefix>,
    responder: Option<Prefix>,
    port: Option<u16>,
    target: Option<String>,
    body: Option<BodyCode>,
    segment: Option<String>,
}

/// One category or a family of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Family {
    One(Category),
    /// With its dot: `scan.`.
    Begins(String),
}

/// Addresses with the same leading bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prefix {
    network: u128,
    /// Bits to the right of those that count.
    free: u32,
    is_v4: bool,
}

/// What is judged of a finding.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// What kind of behaviour.
    pub category: Category,
    /// The acting host.
    pub originator: Option<Host>,
    /// Its only victim.
    pub responder: Option<Host>,
    /// Other things acted upon.
    pub targets: Vec<&'a str>,
    /// Responder ports.
    pub ports: &'a [u16],
    /// Whose network.
    pub body: Option<BodyCode>,
    /// Segment of the inside host.
    pub segment: Option<&'a str>,
}

impl<'a> From<&'a Finding> for Facts<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            category: finding.category,
            originator: finding.originator,
            responder: finding.responder,
            targets: finding.targets.iter().map(BoundedText::as_str).collect(),
            ports: &finding.ports,
            body: finding.body,
            segment: finding.segment.as_deref(),
        }
    }
}

/// The exceptions in force, in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub struct Exceptions(Vec<Exception>);

impl Exceptions {
    /// Checks what files say.
    ///
    /// # Errors
    /// If an exception is incomplete, too wide, too long, or given twice.
    pub fn from_files(files: Vec<ExceptionFile>) -> Result<Self, ExceptionError> {
        Self::checked(files).map_err(|(_place, cause)| cause)
    }

    /// Checks what files say.
    ///
    /// # Errors
    /// Which one is refused, from 0, and why.
    pub fn checked(files: Vec<ExceptionFile>) -> Result<Self, (usize, ExceptionError)> {
        if files.len() > EXCEPTIONS_MAX {
            return Err((EXCEPTIONS_MAX, ExceptionError::TooMany { count: files.len() }));
        }
        let mut ids = BTreeSet::new();
        let mut out = Vec::with_capacity(files.len());
        for (index, file) in files.into_iter().enumerate() {
            let exception = check(index, &file).map_err(|cause| (index, cause))?;
            if !ids.insert(file.id) {
                return Err((index, ExceptionError::Twice { id: exception.id }));
            }
            out.push(exception);
        }
        Ok(Self(out))
    }

    /// There is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Exception> {
        self.0.iter()
    }

    /// The first exception that covers this at `now`, and its place in the order.
    pub fn judge(&self, facts: &Facts<'_>, now: Timestamp) -> Option<(usize, &Exception)> {
        self.0.iter().enumerate().find(|(_, one)| one.verdict(facts, now) == Verdict::Covers)
    }

    /// The one of this id, whether it holds or has ended.
    pub fn by_id(&self, id: &str) -> Option<&Exception> {
        self.0.iter().find(|one| one.id.as_str() == id)
    }
}

impl Exception {
    /// What it says of this at `now`.
    pub fn verdict<'a>(&self, facts: &Facts<'a>, now: Timestamp) -> Verdict<'a> {
        match self.scope.fit(facts) {
            Fit::Within if now <= self.expires => Verdict::Covers,
            Fit::Within => Verdict::Ended,
            Fit::Beyond { key, outside } => Verdict::Exceeds { key, outside },
            Fit::None => Verdict::Other,
        }
    }
}

/// How much of a finding lies within a scope, or within one key of it.
enum Fit<'a> {
    Within,
    Beyond { key: &'static str, outside: Outside<'a> },
    None,
}

impl Scope {
    fn is_empty(&self) -> bool {
        let Self { category, originator, responder, port, target, body, segment } = self;
        let places = originator.is_none() && responder.is_none() && body.is_none() && segment.is_none();
        places && category.is_none() && port.is_none() && target.is_none()
    }

    fn fit<'a>(&self, facts: &Facts<'a>) -> Fit<'a> {
        let host = |prefix: &Prefix, host: Option<Host>| match host {
            Some(Host::Ip(address)) => prefix.contains(address),
            Some(Host::Mac(_)) | None => false,
        };
        let one_victim = facts.responder.is_some();
        let fits = self.category.as_ref().is_none_or(|family| family.holds(facts.category))
            && self.originator.is_none_or(|prefix| host(&prefix, facts.originator))
            && self.responder.is_none_or(|prefix| !one_victim || host(&prefix, facts.responder))
            && self.body.is_none_or(|body| facts.body == Some(body))
            && self.segment.as_ref().is_none_or(|segment| facts.segment == Some(segment));
        if !fits {
            return Fit::None;
        }
        let victims = self.responder.filter(|_| !one_victim).map(|prefix| {
            let within = |target: &str| target.parse().is_ok_and(|address: IpAddr| prefix.contains(address));
            every_target("responder", facts, within)
        });
        let ports = self.port.map(|port| {
            if !facts.ports.contains(&port) {
                return Fit::None;
            }
            let outside = facts.ports.iter().find(|one| **one != port).map(|one| Outside::Port(*one));
            fit_of_list("port", outside, facts.ports.len() >= PORTS_MAX)
        });
        let targets =
            self.target.as_ref().map(|name| every_target("target", facts, |target| is_within(target, name)));
        let mut whole = Fit::Within;
        for fit in [victims, ports, targets].into_iter().flatten() {
            match fit {
                Fit::None => return Fit::None,
                Fit::Beyond { .. } => whole = fit,
                Fit::Within => {}
            }
        }
        whole
    }
}

/// At least one target, none left out of the list, and each fits.
fn every_target<'a>(key: &'static str, facts: &Facts<'a>, fits: impl Fn(&str) -> bool) -> Fit<'a> {
    if !facts.targets.iter().any(|one| fits(one)) {
        return Fit::None;
    }
    let outside = facts.targets.iter().copied().find(|one| !fits(one)).map(Outside::Target);
    fit_of_list(key, outside, facts.targets.len() >= TARGETS_MAX)
}

/// Of a list of which something lies within. A full one may have left something out.
const fn fit_of_list<'a>(key: &'static str, outside: Option<Outside<'a>>, full: bool) -> Fit<'a> {
    match outside {
        Some(outside) => Fit::Beyond { key, outside },
        None if full => Fit::Beyond { key, outside: Outside::LeftOut },
        None => Fit::Within,
    }
}

/// The name itself or one below it; also any other target that is the same text.
fn is_within(target: &str, name: &str) -> bool {
    let (target, name) = (target.trim_end_matches('.').as_bytes(), name.as_bytes());
    let Some(cut) = target.len().checked_sub(name.len()) else { return false };
    let (front, back) = target.split_at(cut);
    back.eq_ignore_ascii_case(name) && (front.is_empty() || front.ends_with(b"."))
}

impl Family {
    fn holds(&self, category: Category) -> bool {
        match self {
            Self::One(one) => *one == category,
            Self::Begins(start) => category.as_str().starts_with(start.as_str()),
        }
    }
}

impl FromStr for Family {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_suffix('*') {
            None => text.parse().map(Self::One).map_err(drop),
            Some(start) => {
                let known = Category::ALL.iter().any(|category| category.as_str().starts_with(start));
                if start.ends_with('.') && known { Ok(Self::Begins(start.to_owned())) } else { Err(()) }
            }
        }
    }
}

impl Prefix {
    fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits_of(address);
        is_v4 == self.is_v4 && cleared(bits, self.free) == self.network
    }
}

impl FromStr for Prefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let (bits, is_v4) = bits_of(address.parse().map_err(drop)?);
        let all = if is_v4 { 32 } else { 128 };
        let length = length.map_or(Ok(all), |length| length.parse::<u32>().map_err(drop))?;
        let free = all.checked_sub(length).ok_or(())?;
        Ok(Self { network: cleared(bits, free), free, is_v4 })
    }
}

fn bits_of(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    }
}

const fn cleared(bits: u128, free: u32) -> u128 {
    match bits.checked_shr(free) {
        Some(left) => left << free,
        None => 0,
    }
}

fn check(index: usize, file: &ExceptionFile) -> Result<Exception, ExceptionError> {
    if file.id.trim().is_empty() || file.id.len() > ID_BYTES_MAX {
        return Err(ExceptionError::Id { index });
    }
    let id = BoundedText::<64>::new(&file.id);
    for (key, value) in [("reason", &file.reason), ("owner", &file.owner)] {
        if value.trim().is_empty() {
            return Err(ExceptionError::Missing { id, key });
        }
        if value.len() > TEXT_BYTES_MAX {
            return Err(ExceptionError::TooLong { id, key });
        }
    }
    let scope = scope_of(&id, file)?;
    if scope.is_empty() {
        return Err(ExceptionError::NoScope { id });
    }
    let created = day(&id, "created", &file.created, "00:00:00")?;
    let expires = day(&id, "expires", &file.expires, "23:59:59.999999999")?;
    if expires < created || expires.since(created) > Duration::from_secs((LIFE_DAYS_MAX + 1) * 86_400) {
        return Err(ExceptionError::Life { id });
    }
    let (reason, owner) = (file.reason.clone(), file.owner.clone());
    Ok(Exception { id, reason, owner, created, expires, scope, written: written(file) })
}

fn written(file: &ExceptionFile) -> Vec<(&'static str, String)> {
    let keys = [
        ("category", file.category.clone()),
        ("originator", file.originator.clone()),
        ("responder", file.responder.clone()),
        ("port", file.port.map(|port| port.to_string())),
        ("target", file.target.clone()),
        ("body", file.body.clone()),
        ("segment", file.segment.clone()),
    ];
    keys.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))).collect()
}

fn scope_of(id: &BoundedText<64>, file: &ExceptionFile) -> Result<Scope, ExceptionError> {
    fn read<T: FromStr>(
        id: &BoundedText<64>,
        key: &'static str,
        value: Option<&String>,
    ) -> Result<Option<T>, ExceptionError> {
        let refused = |value: &String| ExceptionError::Value { id: id.clone(), key, value: value.clone() };
        value.map(|text| text.parse().map_err(|_cause| refused(text))).transpose()
    }
    let text = |value: &Option<String>| value.clone().filter(|text| !text.trim().is_empty());
    Ok(Scope {
        category: read(id, "category", file.category.as_ref())?,
        originator: read(id, "originator", file.originator.as_ref())?,
        responder: read(id, "responder", file.responder.as_ref())?,
        port: file.port,
        target: text(&file.target).map(|name| name.trim_end_matches('.').to_ascii_lowercase()),
        body: read(id, "body", file.body.as_ref())?,
        segment: text(&file.segment),
    })
}

/// A day as people write it, in Japanese time.
fn day(
    id: &BoundedText<64>,
    key: &'static str,
    value: &str,
    time: &str,
) -> Result<Timestamp, ExceptionError> {
    if value.trim().is_empty() {
        return Err(ExceptionError::Missing { id: id.clone(), key });
    }
    let refused = |_cause| ExceptionError::Value { id: id.clone(), key, value: value.to_owned() };
    format!("{value}T{time}+09:00").parse().map_err(refused)
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}: {}), until {}", self.id, self.owner, self.reason, self.expires)
    }
}

/// Which rule an exception breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExceptionError {
    /// No id, or one that findings cannot carry.
    #[error("exception[{index}].id is missing or longer than {ID_BYTES_MAX} bytes")]
    Id {
        /// Place in the file, from 0.
        index: usize,
    },
    /// Something that must be there is not.
    #[error(
        "exception \"{id}\": {key} is missing: each exception needs a reason, an owner, a day of creation and an end"
    )]
    Missing {
        /// Which exception.
        id: BoundedText<64>,
        /// Which key.
        key: &'static str,
    },
    /// A text that nobody would read.
    #[error("exception \"{id}\": {key} is longer than {TEXT_BYTES_MAX} bytes")]
    TooLong {
        /// Which exception.
        id: BoundedText<64>,
        /// Which key.
        key: &'static str,
    },
    /// It would cover everything.
    #[error(
        "exception \"{id}\" has no scope: name at least one of category, originator, responder, port, target, body, segment"
    )]
    NoScope {
        /// Which exception.
        id: BoundedText<64>,
    },
    /// A value that cannot be read.
    #[error("exception \"{id}\": {key} = \"{value}\" cannot be read: {}", form_of(key))]
    Value {
        /// Which exception.
        id: BoundedText<64>,
        /// Which key.
        key: &'static str,
        /// What it says.
        value: String,
    },
    /// It ends before it begins, or holds too long.
    #[error("exception \"{id}\": expires must lie after created, by at most {LIFE_DAYS_MAX} days")]
    Life {
        /// Which exception.
        id: BoundedText<64>,
    },
    /// Two of one id.
    #[error("exception \"{id}\" is given twice")]
    Twice {
        /// The id.
        id: BoundedText<64>,
    },
    /// More than anybody can answer for.
    #[error("{count} exceptions are more than {EXCEPTIONS_MAX}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

fn form_of(key: &str) -> &'static str {
    match key {
        "category" => "a category such as `scan.port`, or a family such as `scan.*`",
        "originator" | "responder" => "an address, or a prefix such as `192.0.2.0/24`",
        "body" => "a 団体コード of six digits",
        _ => "a day such as `2027-03-31`",
    }
}

#[cfg(test)]
mod tests;
