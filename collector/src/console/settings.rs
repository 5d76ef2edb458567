//! 設定: the rules in force, as their data files have them: what the law wants reported, time limits, calendars; and who is told.
//!
//! Each value stands with its source and whether somebody compared it, so that whoever goes by it knows what it is worth.
//! Nothing is changed here: the files are.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::response::Response;
use toml::{Table, Value};

use super::Visitor;
use super::page::{Page, chain, render};
use crate::auth::role::Role;
use crate::config::Config;
use crate::doc::{Cell, Doc, Section};
use crate::i18n::Lang;
use crate::notify::settings::{Contact, Settings};
use crate::timing::data::{DataError, Text};
use crate::timing::{Sources, texts};

/// Keys that have a column of their own, or are the name of what they stand in.
const APART: [&str; 4] = ["source", "verified", "ja", "en"];
/// Keys whose value tells entries of one list apart.
const NAMES: [&str; 7] = ["id", "kind", "timer", "point", "name", "code", "prefecture"];

/// What the collector started with.
#[derive(Clone, Debug, Default)]
pub(super) struct InForce {
    /// Obligations, time limits, calendars.
    files: Vec<(&'static str, Text)>,
    contacts: Vec<Contact>,
}

impl InForce {
    /// Reads what the configuration names; the start has checked it.
    pub(super) fn load(config: &Config) -> Self {
        let contacts = config.notify.as_deref().map(Settings::load).transpose();
        let told = |cause: DataError| {
            tracing::error!(error = %chain(&cause), "the page of settings does not show everything");
        };
        let settings = contacts.map_err(told).ok().flatten().unwrap_or_default();
        let files = texts(&config.timing).map_err(told).map(Vec::from).unwrap_or_default();
        Self { files, contacts: settings.contacts }
    }
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    page: Page,
    doc: Doc,
    linked: bool,
}

/// `GET /settings`.
pub(super) async fn show(visitor: Visitor, started: Option<Extension<Arc<InForce>>>) -> Response {
    let page = Page::new(&visitor, "settings");
    let built_in = || {
        Arc::new(InForce {
            files: texts(&Sources::default()).map(Vec::from).unwrap_or_default(),
            contacts: Vec::new(),
        })
    };
    let in_force = started.map_or_else(built_in, |Extension(one)| one);
    // Names and addresses of people are for those who keep them.
    let keeps = matches!(visitor.user.role, Role::Admin | Role::Control | Role::Auditor);
    let contacts = (keeps && visitor.user.scope.is_all()).then_some(&in_force.contacts[..]);
    let doc = doc(page.lang, &in_force.files, contacts);
    render(&SettingsPage { page, doc, linked: false })
}

fn doc(lang: Lang, files: &[(&'static str, Text)], contacts: Option<&[Contact]>) -> Doc {
    let mut sections: Vec<Section> = files.iter().map(|(name, text)| file(lang, name, text)).collect();
    sections.extend(contacts.map(|contacts| people(lang, contacts)));
    Doc { title: lang.text("settings-title"), lead: vec![lang.text("settings-lead")], sections }
}

/// One file: a line for each of its tables, and for each entry of its lists.
fn file(lang: Lang, name: &'static str, text: &Text) -> Section {
    let table: Table = text.text.parse().unwrap_or_default();
    let mut rows = Vec::new();
    for (key, value) in &table {
        match value {
            // A table of tables (`limits`): each of them is a line.
            Value::Table(inner) if inner.values().all(Value::is_table) => {
                for (below, one) in inner.iter().filter_map(|(name, one)| Some((name, one.as_table()?))) {
                    rows.push(row(lang, &format!("{key}.{below}"), one));
                }
            }
            Value::Table(one) => rows.push(row(lang, key, one)),
            Value::Array(all) => {
                rows.extend(all.iter().filter_map(Value::as_table).map(|one| row(lang, key, one)));
            }
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => {}
        }
    }
    let place = std::path::Path::new(&text.file).file_name().map(|name| name.to_string_lossy().into_owned());
    Section {
        name,
        title: lang.text(&format!("settings-{name}")),
        text: vec![lang.text(&format!("settings-{name}-note")), place.unwrap_or_default()],
        heads: ["settings-what", "settings-values", "settings-source", "settings-verified"]
            .map(|head| lang.text(head))
            .to_vec(),
        rows,
        none: lang.text("settings-none"),
    }
}

fn row(lang: Lang, key: &str, table: &Table) -> Vec<Cell> {
    let text = |key: &str| table.get(key).and_then(Value::as_str);
    let words = text(lang.pick("ja", "en")).map(ToOwned::to_owned);
    let of = NAMES.iter().find_map(|name| text(name)).map(|name| format!("{key}: {name}"));
    let what = words.into_iter().chain([of.unwrap_or_else(|| key.to_owned())]);
    let values = table.iter().filter(|(key, _)| !APART.contains(&key.as_str()));
    let verified = text("verified").map(|word| lang.text(&format!("verified-{word}")));
    vec![
        Cell::of(what),
        Cell::of(values.map(|(key, value)| format!("{key} = {value}"))),
        Cell::text(text("source").unwrap_or("–")),
        Cell::text(&verified.unwrap_or_else(|| "–".to_owned())),
    ]
}

/// Who is told; how, and not by which address.
fn people(lang: Lang, contacts: &[Contact]) -> Section {
    let row = |contact: &Contact| {
        let roles = contact.roles.iter().map(|role| lang.role(*role));
        let mut bodies: Vec<String> = contact.bodies.iter().map(ToString::to_string).collect();
        if bodies.is_empty() {
            bodies.push(lang.text("settings-every-body"));
        }
        let marks = [(contact.deputy, "settings-deputy"), (contact.drill, "settings-drill")];
        let marks = marks.into_iter().filter(|(is, _)| *is).map(|(_, key)| lang.text(key));
        vec![
            Cell::of([contact.name.clone()].into_iter().chain(marks)),
            Cell::of(roles.chain(contact.tags.iter().cloned())),
            Cell::of(bodies),
            Cell::text(contact.address.channel()),
        ]
    };
    Section {
        name: "contacts",
        title: lang.text("settings-contacts"),
        text: vec![lang.text("settings-contacts-note")],
        heads: ["settings-name", "help-role", "settings-bodies", "settings-channel"]
            .map(|head| lang.text(head))
            .to_vec(),
        rows: contacts.iter().map(row).collect(),
        none: lang.text("settings-none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_shown_with_its_source() {
        for lang in [Lang::Ja, Lang::En] {
            let files = texts(&Sources::default()).unwrap();
            let doc = doc(lang, &files, Some(&[]));
            let text = doc.markdown();
            assert!(!text.contains('⟦'), "a key without words: {text}");
            let names: Vec<&str> = doc.sections.iter().map(|section| section.name).collect();
            assert_eq!(names, ["law", "timers", "calendar", "contacts"]);
            for (section, least) in doc.sections.iter().zip([15, 15, 4]) {
                assert!(section.rows.len() >= least, "{}: {}", section.name, section.rows.len());
            }
            // What the files say is what is shown: each limit, trigger and source once.
            let limits =
                files.iter().find(|(name, _)| *name == "timers").unwrap().1.text.matches("[limits.").count();
            let shown = doc.sections.iter().flat_map(|section| &section.rows);
            let shown = shown.filter(|row| {
                row.first().is_some_and(|cell| cell.lines.iter().any(|line| line.starts_with("limits.")))
            });
            assert_eq!(shown.count(), limits);
            assert!(text.contains("個人情報保護法 68条"), "{text}");
        }
    }
}
