//! ヘルプ: what each state, level, role, right and category means, from the same tables that decide.

use askama::Template;
use axum::response::Response;
use sekimori_wire::finding::Severity;

use super::Visitor;
use super::page::{Page, render};
use crate::auth::role::Role;
use crate::doc::{Cell, Doc, Section};
use crate::i18n::Lang;
use crate::incident::permission::{Permission, sign};
use crate::incident::taxonomy::elsewhere;
use crate::incident::{IncidentCategory, IncidentState};

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage {
    page: Page,
    doc: Doc,
    linked: bool,
}

/// `GET /help`.
pub(super) async fn show(visitor: Visitor) -> Response {
    let page = Page::new(&visitor, "help");
    let doc = doc(page.lang);
    render(&HelpPage { page, doc, linked: true })
}

fn doc(lang: Lang) -> Doc {
    Doc {
        title: lang.text("help-title"),
        lead: vec![lang.text("help-lead")],
        sections: vec![states(lang), levels(lang), roles(lang), rights(lang), categories(lang)],
    }
}

fn section(lang: Lang, name: &'static str, heads: Vec<String>, rows: Vec<Vec<Cell>>) -> Section {
    let title = lang.text(&format!("help-{name}"));
    let text = vec![lang.text(&format!("help-{name}-note"))];
    Section { name, title, text, heads, rows, none: String::new() }
}

/// Who owes what in each state.
fn states(lang: Lang) -> Section {
    let row = |state: &IncidentState| {
        vec![
            Cell::text(lang.state(*state)),
            Cell::text(&lang.text(&format!("owner-{state}"))),
            Cell::text(&lang.text(&format!("next-{state}"))),
        ]
    };
    let heads = ["state", "help-owner", "handover-next"].map(|head| lang.text(head)).to_vec();
    section(lang, "states", heads, IncidentState::ALL.iter().map(row).collect())
}

fn levels(lang: Lang) -> Section {
    let row = |level: Severity| {
        vec![
            Cell::text(&lang.severity(level)),
            Cell::text(&lang.text(&format!("help-level-{}", level.level()))),
        ]
    };
    let heads = ["severity", "help-meaning"].map(|head| lang.text(head)).to_vec();
    section(lang, "levels", heads, (0..=4).rev().filter_map(Severity::new).map(row).collect())
}

fn roles(lang: Lang) -> Section {
    let row = |role: &Role| {
        vec![Cell::text(&lang.role(*role)), Cell::text(&lang.text(&format!("help-role-{role}")))]
    };
    let heads = ["help-role", "help-meaning"].map(|head| lang.text(head)).to_vec();
    section(lang, "roles", heads, Role::ALL.iter().map(row).collect())
}

/// The table of rights × roles, of those that have any.
fn rights(lang: Lang) -> Section {
    let working = || Role::ALL.iter().copied().filter(|role| role.works_incidents());
    let row = |permission: &Permission| {
        let mut cells = vec![Cell::text(lang.pick(permission.ja(), permission.en()))];
        cells.extend(working().map(|role| Cell::text(sign(*permission, role))));
        cells
    };
    let mut heads = vec![lang.text("help-right")];
    heads.extend(working().map(|role| lang.role(role)));
    section(lang, "rights", heads, Permission::ALL.iter().map(row).collect())
}

fn categories(lang: Lang) -> Section {
    let row = |category: &IncidentCategory| {
        let others = elsewhere(*category);
        vec![
            Cell::of([lang.category(*category).to_owned(), category.as_str().to_owned()]),
            Cell::text(&lang.severity(category.floor())),
            Cell::text(others.jpcert.unwrap_or("–")),
            Cell::text(others.rsit),
        ]
    };
    let heads = vec![
        lang.text("handover-category"),
        lang.text("help-floor"),
        "JPCERT/CC".to_owned(),
        "RSIT".to_owned(),
    ];
    section(lang, "categories", heads, IncidentCategory::ALL.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_there_is_is_explained_in_both_languages() {
        for lang in [Lang::Ja, Lang::En] {
            let doc = doc(lang);
            let rows: Vec<usize> = doc.sections.iter().map(|section| section.rows.len()).collect();
            let expected = [
                IncidentState::ALL.len(),
                5,
                Role::ALL.len(),
                Permission::ALL.len(),
                IncidentCategory::ALL.len(),
            ];
            assert_eq!(rows, expected);
            let text = doc.markdown();
            assert!(!text.contains('⟦'), "a key without words: {text}");
            for section in &doc.sections {
                assert!(section.rows.iter().all(|row| row.len() == section.heads.len()), "{}", section.name);
                assert!(section.rows.iter().flatten().all(|cell| !cell.lines.is_empty()), "{}", section.name);
            }
        }
        assert_eq!(sign(Permission::Close, Role::Control), "●");
        assert_eq!(sign(Permission::Close, Role::Auditor), "–");
        assert_eq!(sign(Permission::FalsePositive, Role::Monitor), "● ≤ L2, ○ ≥ L3");
    }
}
