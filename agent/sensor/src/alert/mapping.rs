//! What the messages of a product mean, said in a file: which are its own, which of them are alerts, and what of the
//! [`EndpointAlert`](sekimori_wire::alert::EndpointAlert) stands where. docs/endpoint.md describes the files.

mod apply;
pub(crate) mod body;
mod table;
mod template;

use core::fmt;
use std::collections::BTreeMap;

use sekimori_wire::alert::AlertClass;
use sekimori_wire::finding::Severity;
use serde::Deserialize;

use super::form::Format;
use super::form::pattern::Pattern;
use super::time::Form;
use table::{Class, Level, Table, Wanted};
use template::Templates;

pub(crate) use apply::{Given, Outcome};

/// Rules of one mapping, and columns it names.
const RULES_MAX: usize = 256;
const COLUMNS_MAX: usize = 256;
/// Mappings known at once.
const MAPPINGS_MAX: usize = 256;

/// A mapping as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    name: Name,
    format: Format,
    /// One of these texts must be in the message.
    #[serde(default)]
    contains: Vec<String>,
    /// Names of the columns of `csv`.
    #[serde(default)]
    columns: Vec<String>,
    /// What must hold for a message to be of this product.
    #[serde(default)]
    when: BTreeMap<String, Wanted>,
    #[serde(default)]
    endpoint: End,
    /// Fields whose whole value is private: replaced by a keyed hash in what is kept of the original.
    #[serde(default)]
    private: Templates,
    #[serde(default)]
    fields: Fields,
    #[serde(default)]
    time_forms: Vec<Form>,
    #[serde(default)]
    severity: Table<Level>,
    #[serde(default)]
    class: Table<Class>,
    #[serde(default)]
    action: Table<String>,
    /// What makes a message an alert, first match wins. Without rules, all are.
    #[serde(default)]
    rule: Vec<Rule>,
}

/// Which messages, and what of them is otherwise than the mapping says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    pattern: Vec<Pattern>,
    #[serde(default)]
    when: BTreeMap<String, Wanted>,
    /// These are no alerts.
    #[serde(default)]
    ignore: bool,
    class: Option<Class>,
    severity: Option<Level>,
    endpoint: Option<End>,
    #[serde(default)]
    fields: Fields,
}

/// Where the values of an alert stand.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    vendor: Templates,
    product: Templates,
    signature_id: Templates,
    name: Templates,
    time: Templates,
    severity: Templates,
    class: Templates,
    about: Templates,
    host: Templates,
    host_name: Templates,
    remote: Templates,
    source: Templates,
    source_name: Templates,
    destination: Templates,
    destination_name: Templates,
    device: Templates,
    device_name: Templates,
    user: Templates,
    file_sha256: Templates,
    process: Templates,
    action: Templates,
}

/// Which end of a connection is the endpoint that an alert is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// The source where the endpoint reaches out by the alert's class, otherwise the destination.
    #[default]
    ByClass,
    Source,
    Destination,
}

/// The name of a mapping: letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > 32 || !name.bytes().all(is_plain) {
            return Err(format!("`{name}` is not a name of 1 to 32 letters, digits, - and _"));
        }
        Ok(Self(name))
    }
}

/// Why a mapping does not hold together. `key` is what to look for in its file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct MappingError {
    /// The key that it is about.
    pub key: &'static str,
    /// What is wrong.
    pub rule: String,
}

impl Mapping {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name.0
    }

    /// Checks what cannot be seen of a single value.
    pub fn check(&self) -> Result<(), MappingError> {
        let wrong = |key, rule: String| Err(MappingError { key, rule });
        if self.rule.len() > RULES_MAX {
            return wrong("rule", format!("more than {RULES_MAX} rules"));
        }
        if self.columns.len() > COLUMNS_MAX {
            return wrong("columns", format!("more than {COLUMNS_MAX} columns"));
        }
        match (self.format, self.columns.is_empty()) {
            (Format::Csv, true) => {
                return wrong("format", "\"csv\" needs the names of its columns".to_owned());
            }
            (Format::Csv, false) | (_, true) => {}
            (_, false) => return wrong("columns", "only format = \"csv\" has columns".to_owned()),
        }
        let has_patterns = self.rule.iter().any(|rule| !rule.pattern.is_empty());
        match (self.format, has_patterns) {
            (Format::Text, false) => {
                return wrong("format", "\"text\" needs rules with patterns".to_owned());
            }
            (Format::Text, true) | (_, false) => {}
            (_, true) => return wrong("pattern", "only format = \"text\" has patterns".to_owned()),
        }
        let is_own = match self.format {
            Format::Cef | Format::Leef | Format::Text => true,
            Format::Json | Format::Pairs | Format::Csv => !self.when.is_empty() || !self.contains.is_empty(),
        };
        if !is_own {
            let rule = "without `when` or `contains` every message of this format would be taken";
            return wrong("format", rule.to_owned());
        }
        self.check_names()
    }

    /// In CSV and text every field that is used must be one that there is.
    fn check_names(&self) -> Result<(), MappingError> {
        let known: Vec<&str> = match self.format {
            Format::Csv => self.columns.iter().map(String::as_str).collect(),
            Format::Text => {
                self.rule.iter().flat_map(|rule| &rule.pattern).flat_map(Pattern::names).collect()
            }
            Format::Cef | Format::Leef | Format::Json | Format::Pairs => return Ok(()),
        };
        let own = self.fields.fields().chain(self.when.keys().map(String::as_str));
        let used = self
            .rule
            .iter()
            .flat_map(|rule| rule.fields.fields().chain(rule.when.keys().map(String::as_str)));
        match own.chain(used).chain(self.private.fields()).find(|field| !known.contains(field)) {
            Some(field) => {
                Err(MappingError { key: "fields", rule: format!("there is no field `{field}` to take") })
            }
            None => Ok(()),
        }
    }
}

impl Fields {
    fn fields(&self) -> impl Iterator<Item = &str> {
        let Self {
            vendor,
            product,
            signature_id,
            name,
            time,
            severity,
            class,
            about,
            host,
            host_name,
            remote,
            source,
            source_name,
            destination,
            destination_name,
            device,
            device_name,
            user,
            file_sha256,
            process,
            action,
        } = self;
        [
            vendor,
            product,
            signature_id,
            name,
            time,
            severity,
            class,
            about,
            host,
            host_name,
            remote,
            source,
            source_name,
            destination,
            destination_name,
            device,
            device_name,
            user,
            file_sha256,
            process,
            action,
        ]
        .into_iter()
        .flat_map(Templates::fields)
    }
}

/// All mappings that are known, in the order in which they are tried.
#[derive(Clone, Default)]
pub struct Mappings(Vec<Mapping>);

impl fmt::Debug for Mappings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(Mapping::name)).finish()
    }
}

impl Mappings {
    /// These, tried in this order. One with the name of an earlier one takes its place.
    pub fn new(all: impl IntoIterator<Item = Mapping>) -> Result<Self, MappingError> {
        let mut known: Vec<Mapping> = Vec::new();
        for mapping in all {
            mapping.check()?;
            match known.iter_mut().find(|one| one.name == mapping.name) {
                Some(earlier) => *earlier = mapping,
                None => known.push(mapping),
            }
        }
        if known.len() > MAPPINGS_MAX {
            return Err(MappingError { key: "name", rule: format!("more than {MAPPINGS_MAX} mappings") });
        }
        Ok(Self(known))
    }

    /// Those with these names, or the first name that there is none of.
    pub fn only(&self, names: &[String]) -> Result<Self, String> {
        let find = |name: &String| self.0.iter().find(|one| one.name() == name).ok_or_else(|| name.clone());
        names.iter().map(|name| find(name).cloned()).collect::<Result<Vec<_>, _>>().map(Self)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.0.iter()
    }
}

const DEFAULT_SEVERITY: Severity = Severity::MEDIUM;
const DEFAULT_CLASS: AlertClass = AlertClass::Other;
