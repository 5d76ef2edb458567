//! Which findings satisfy a label: a table in a file of its own, and whom a finding must name.

use std::collections::BTreeSet;

use core::net::IpAddr;

use sekimori_wire::finding::{Category, Finding};
use sekimori_wire::id::Host;

use super::manifest::Entry;

/// The table: see its head.
const TABLE: &str = include_str!("labels.tsv");

/// The table, read.
#[derive(Debug)]
pub(super) struct Labels {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    label: &'static str,
    /// `None`: any.
    category: Option<Category>,
    named: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Attacker,
    Any,
}

/// A line of the table that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("line {number}: {what}")]
pub(crate) struct LabelsError {
    number: usize,
    what: &'static str,
}

impl Labels {
    /// The table that belongs to this version's categories.
    pub(super) fn own() -> Result<Self, LabelsError> {
        let lines = (1..).zip(TABLE.lines()).filter(|(_, line)| !line.starts_with('#'));
        let rows = lines.skip(1).map(|(number, line)| Row::parse(number, line));
        Ok(Self { rows: rows.collect::<Result<_, _>>()? })
    }

    /// A finding of one of these categories may satisfy the label; empty: any may.
    pub(super) fn categories(&self, label: &str) -> BTreeSet<Category> {
        self.rows.iter().filter(|row| row.fits(label)).filter_map(|row| row.category).collect()
    }

    /// The finding says what the label says.
    pub(super) fn is_satisfied(&self, entry: &Entry, finding: &Finding) -> bool {
        let mut rows = self.rows.iter().filter(|row| row.fits(&entry.expected));
        rows.any(|row| {
            row.category.is_none_or(|category| category == finding.category) && row.names(entry, finding)
        })
    }
}

impl Row {
    fn parse(number: usize, line: &'static str) -> Result<Self, LabelsError> {
        let mut cells = line.split('\t');
        let mut cell = |what| cells.next().ok_or(LabelsError { number, what });
        let (label, category, named) = (cell("no label")?, cell("no category")?, cell("no name of an end")?);
        let category = match category {
            "*" => None,
            name => Some(name.parse().map_err(|_cause| LabelsError { number, what: "unknown category" })?),
        };
        let named = match named {
            "attacker" => Named::Attacker,
            "any" => Named::Any,
            _ => return Err(LabelsError { number, what: "neither attacker nor any" }),
        };
        Ok(Self { label, category, named })
    }

    fn fits(&self, label: &str) -> bool {
        match self.label.split_once('*') {
            Some((start, end)) => {
                label.len() >= start.len() + end.len() && label.starts_with(start) && label.ends_with(end)
            }
            None => self.label == label,
        }
    }

    /// Every address in the label's text counts; where the label names nobody, the category alone decides.
    fn names(&self, entry: &Entry, finding: &Finding) -> bool {
        let mut wanted = hosts(&entry.attacker);
        if wanted.is_empty() || self.named == Named::Any {
            wanted.extend(hosts(&entry.victim));
        }
        wanted.is_empty() || named(finding).iter().any(|host| wanted.contains(host))
    }
}

/// Whom a finding names.
fn named(finding: &Finding) -> Vec<Host> {
    let ends = [finding.originator, finding.responder].into_iter().flatten();
    ends.chain(finding.targets.iter().filter_map(|target| target.parse().ok())).collect()
}

/// Address and MAC literals within a text.
pub(super) fn hosts(text: &str) -> BTreeSet<Host> {
    let words = text.split(|letter: char| !(letter.is_ascii_hexdigit() || ".:-".contains(letter)));
    words.filter_map(host).collect()
}

/// A literal, with or without a port behind it.
fn host(word: &str) -> Option<Host> {
    let word = word.trim_matches(['.', '-']);
    let literal = |text: &str| text.replace('-', ":").parse::<Host>().ok().or_else(|| ip(text));
    literal(word)
        .or_else(|| literal(word.trim_end_matches(':')))
        .or_else(|| literal(word.rsplit_once(':')?.0))
}

fn ip(text: &str) -> Option<Host> {
    text.split('-').next()?.parse::<IpAddr>().ok().map(Host::Ip)
}
