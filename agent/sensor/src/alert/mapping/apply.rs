//! From a message and a mapping to an alert.

use core::net::IpAddr;

use sekimori_wire::alert::{AlertClass, EndpointAlert};
use sekimori_wire::finding::Severity;
use sekimori_wire::id::{Digest, Host};
use sekimori_wire::time::Timestamp;

use super::body::Body;
use super::template::Templates;
use super::{DEFAULT_CLASS, DEFAULT_SEVERITY, End, Mapping, Rule};
use crate::alert::form::Format;
use crate::alert::privacy::{Redaction, user_hash};
use crate::alert::time::{self, Zone};
use crate::alert::{blank, words};
use crate::segment::is_private;

/// What is known of a message besides itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    /// The whole line, of which the message is a part.
    pub(crate) line: &'a str,
    pub(crate) message: &'a str,
    pub(crate) received_at: Timestamp,
    pub(crate) zone: Zone,
    pub(crate) user_key: &'a [u8; 32],
}

/// What a mapping says of a message.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Not written as this product writes.
    NotMine,
    /// Of this product, and no alert.
    NoAlert,
    Alert(Box<EndpointAlert>),
}

impl Mapping {
    /// Reads a message.
    pub(crate) fn read(&self, given: &Given<'_>, body: Option<&Body<'_>>) -> Outcome {
        let Some(body) = body else { return Outcome::NotMine };
        if !self.is_mine(given, body) {
            return Outcome::NotMine;
        }
        if self.rule.is_empty() {
            return Outcome::Alert(Box::new(Reading { mapping: self, rule: None, body, given }.alert()));
        }
        for rule in &self.rule {
            let captured = rule.pattern.iter().find_map(|pattern| pattern.capture(given.message));
            let captured = match captured {
                Some(fields) => Some(Body::Text(fields)),
                None if rule.pattern.is_empty() => None,
                None => continue,
            };
            let body = captured.as_ref().unwrap_or(body);
            if !rule.when.iter().all(|(field, wanted)| wanted.holds(body, field)) {
                continue;
            }
            if rule.ignore {
                return Outcome::NoAlert;
            }
            let reading = Reading { mapping: self, rule: Some(rule), body, given };
            return Outcome::Alert(Box::new(reading.alert()));
        }
        Outcome::NoAlert
    }

    /// The format that it reads, with the names of its columns.
    pub(crate) fn format(&self) -> (Format, &[String]) {
        (self.format, &self.columns)
    }

    /// Whether the message can be of this product at all.
    pub(crate) fn may_be_mine(&self, message: &str) -> bool {
        self.contains.is_empty() || self.contains.iter().any(|text| message.contains(text.as_str()))
    }

    fn is_mine(&self, given: &Given<'_>, body: &Body<'_>) -> bool {
        match self.format {
            // Fields of a text are only known by its rules.
            Format::Text => self.may_be_mine(given.message),
            Format::Cef | Format::Leef | Format::Json | Format::Pairs | Format::Csv => {
                self.when.iter().all(|(field, wanted)| wanted.holds(body, field))
            }
        }
    }
}

struct Reading<'a> {
    mapping: &'a Mapping,
    rule: Option<&'a Rule>,
    body: &'a Body<'a>,
    given: &'a Given<'a>,
}

impl Reading<'_> {
    fn fill(&self, pick: impl Fn(&super::Fields) -> &Templates) -> Option<String> {
        let own = self.rule.and_then(|rule| pick(&rule.fields).fill(self.body));
        own.or_else(|| pick(&self.mapping.fields).fill(self.body))
    }

    fn text(&self, pick: impl Fn(&super::Fields) -> &Templates) -> String {
        self.fill(pick).unwrap_or_default()
    }

    fn address(&self, pick: impl Fn(&super::Fields) -> &Templates) -> Option<IpAddr> {
        let text = self.fill(pick)?;
        let text = text.trim().trim_start_matches("::ffff:");
        let text = text.split_once('/').map_or(text, |(address, _)| address);
        text.parse().ok().filter(|address: &IpAddr| !address.is_unspecified())
    }

    fn alert(&self) -> EndpointAlert {
        let name = self.text(|fields| &fields.name);
        let signature_id = self.text(|fields| &fields.signature_id);
        let class = self.class(&name);
        let (host, host_name, remote) = self.ends(class);
        let redaction = self.redaction();
        let user = self.fill(|fields| &fields.user);
        let action = self.text(|fields| &fields.action);
        EndpointAlert {
            vendor: self.text(|fields| &fields.vendor).into(),
            product: self.text(|fields| &fields.product).into(),
            signature_id: signature_id.as_str().into(),
            name: redaction.apply(if name.is_empty() { &signature_id } else { &name }).into(),
            severity: self.severity(class),
            class,
            host: host.map(Host::Ip),
            host_name: host_name.into(),
            user: user.map(|user| user_hash(self.given.user_key, &user)),
            remote: remote.map(Host::Ip),
            file_sha256: self.file(),
            process: redaction.apply(&self.text(|fields| &fields.process)).into(),
            action: self.mapping.action.get(&action).map_or(action.as_str(), String::as_str).into(),
            original: redaction.apply(self.given.line).into(),
            time: self.time().unwrap_or_default(),
            format: self.mapping.format.wire(),
            ..blank()
        }
    }

    fn redaction(&self) -> Redaction<'_> {
        let mut redaction = Redaction::new(self.given.user_key);
        let own = self.rule.map(|rule| &rule.fields.user);
        let all = [own, Some(&self.mapping.fields.user), Some(&self.mapping.private)];
        for name in all.into_iter().flatten().flat_map(|templates| templates.fill_all(self.body)) {
            redaction.name(&name);
        }
        redaction
    }

    fn time(&self) -> Option<Timestamp> {
        let own = self.rule.map(|rule| &rule.fields.time);
        let all = [own, Some(&self.mapping.fields.time)];
        let texts = all.into_iter().flatten().flat_map(|templates| templates.fill_all(self.body));
        let forms = &self.mapping.time_forms;
        texts.into_iter().find_map(|text| time::read(&text, forms, self.given.zone, self.given.received_at))
    }

    fn class(&self, name: &str) -> AlertClass {
        if let Some(class) = self.rule.and_then(|rule| rule.class) {
            return class.0;
        }
        let said = self.fill(|fields| &fields.class);
        if let Some(class) = said.as_ref().and_then(|said| self.mapping.class.get(said)) {
            return class.0;
        }
        let own = self.rule.map(|rule| &rule.fields.about);
        let mut about = name.to_owned();
        let all = [own, Some(&self.mapping.fields.about)];
        for text in all.into_iter().flatten().flat_map(|templates| templates.fill_all(self.body)) {
            about.push(' ');
            about.push_str(&text);
        }
        words::class_of(&about).unwrap_or(DEFAULT_CLASS)
    }

    fn severity(&self, class: AlertClass) -> Severity {
        if class == AlertClass::Ransomware {
            return Severity::CRITICAL;
        }
        if let Some(severity) = self.rule.and_then(|rule| rule.severity) {
            return severity.0;
        }
        let said = self.fill(|fields| &fields.severity);
        let said = said.as_ref().and_then(|said| self.mapping.severity.get(said));
        said.map_or(DEFAULT_SEVERITY, |level| level.0)
    }

    /// The SHA-256 alone, or behind its name among others.
    fn file(&self) -> Option<Digest> {
        let own = self.rule.map(|rule| &rule.fields.file_sha256);
        let all = [own, Some(&self.mapping.fields.file_sha256)];
        let texts = all.into_iter().flatten().flat_map(|templates| templates.fill_all(self.body));
        texts.into_iter().find_map(|text| match text.trim().to_ascii_lowercase().parse() {
            Ok(digest) => Some(digest),
            Err(_) => Body::labelled(&text, "sha256")?.to_ascii_lowercase().parse().ok(),
        })
    }

    /// The endpoint concerned and the other end. A private address is the endpoint rather than a public one.
    fn ends(&self, class: AlertClass) -> (Option<IpAddr>, String, Option<IpAddr>) {
        let device = (self.address(|fields| &fields.device), self.text(|fields| &fields.device_name));
        let host = (self.address(|fields| &fields.host), self.text(|fields| &fields.host_name));
        let named = |end: &(Option<IpAddr>, String)| end.0.is_some() || !end.1.is_empty();
        let remote = self.address(|fields| &fields.remote);
        if named(&host) {
            return (host.0, host.1, remote);
        }
        let source = (self.address(|fields| &fields.source), self.text(|fields| &fields.source_name));
        let destination =
            (self.address(|fields| &fields.destination), self.text(|fields| &fields.destination_name));
        let end = self.rule.and_then(|rule| rule.endpoint).unwrap_or(self.mapping.endpoint);
        let outward = match end {
            End::Source => true,
            End::Destination => false,
            End::ByClass => reaches_out(class),
        };
        let (mut own, mut other) = if outward { (source, destination) } else { (destination, source) };
        let stranger = own.0.is_some_and(|address| !is_private(address)) && other.0.is_some_and(is_private);
        if stranger || !named(&own) {
            core::mem::swap(&mut own, &mut other);
        }
        if !named(&own) {
            own = device;
        }
        (own.0, own.1, other.0.or(remote))
    }
}

/// Whether the endpoint is the one that reaches out, not the one that is reached.
const fn reaches_out(class: AlertClass) -> bool {
    match class {
        AlertClass::CommandAndControl | AlertClass::DataLoss | AlertClass::Policy => true,
        AlertClass::Malware
        | AlertClass::Ransomware
        | AlertClass::Exploit
        | AlertClass::BruteForce
        | AlertClass::Scan
        | AlertClass::Phishing
        | AlertClass::Other => false,
    }
}
