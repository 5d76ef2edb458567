//! A finding as `replay --format findings` wrote it, as far as exceptions judge it.

use core::fmt;
use std::borrow::Cow;

use sekimori_wire::exception::Facts;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;
use serde::Deserialize;

/// One line.
#[derive(Debug, Deserialize)]
pub(super) struct Stored<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    category: Cow<'a, str>,
    severity: u8,
    end: Cow<'a, str>,
    #[serde(default)]
    originator: Option<String>,
    #[serde(default)]
    responder: Option<String>,
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    ports: Vec<u16>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    segment: Option<String>,
}

impl Stored<'_> {
    /// What is judged; `None` for a category of a later version, which no exception can name.
    pub(super) fn facts(&self) -> Option<Facts<'_>> {
        let host = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
        Some(Facts {
            category: self.category.parse().ok()?,
            originator: host(&self.originator),
            responder: host(&self.responder),
            targets: self.targets.iter().map(String::as_str).collect(),
            ports: &self.ports,
            body: self.body.as_ref().and_then(|body| body.parse().ok()),
            segment: self.segment.as_deref(),
        })
    }

    /// The time of its last evidence, by which exceptions run out. An unreadable one is long ago.
    pub(super) fn at(&self) -> Timestamp {
        self.end.parse().unwrap_or_default()
    }
}

impl fmt::Display for Stored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |host: &Option<String>| host.clone().unwrap_or_else(|| "-".to_owned());
        let (from, to) = (host(&self.originator), host(&self.responder));
        let line = format!("{} {} severity {} {from} to {to}", self.id, self.category, self.severity);
        BoundedText::<512>::new(&line).fmt(f)
    }
}
