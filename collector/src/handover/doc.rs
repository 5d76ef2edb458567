//! A pack in words of one language: sections with tables, as HTML (`templates/part/handover.html`) and as Markdown.

use askama::Template;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use super::{Changed, Lesson, Limit, Open, Pack, ReportOwed, Sensor, Undelivered};
use crate::fleet::watch::CONDITIONS;
use crate::i18n::Lang;
use crate::incident::{IncidentCategory, IncidentState};
use crate::notify::template::NoticeKind;
use crate::timing::local;

/// Bytes of one line of a cell.
const LINE_BYTES_MAX: usize = 2_000;

/// A pack in words.
#[derive(Clone, Debug)]
pub struct Doc {
    /// What it is.
    pub title: String,
    /// Of when, since when, how much.
    pub lead: Vec<String>,
    /// What there is to say.
    pub sections: Vec<Section>,
}

/// One part.
#[derive(Clone, Debug)]
pub struct Section {
    /// What it is about.
    pub title: String,
    /// What stands over the columns.
    pub heads: Vec<String>,
    /// Lines; with none of them, `none` is said.
    pub rows: Vec<Vec<Cell>>,
    /// That there is nothing.
    pub none: String,
}

/// What stands at one place: lines, and where the first leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Lines of text, bounded and without anything invisible.
    pub lines: Vec<String>,
    /// A path of the console; empty: none.
    pub link: String,
    /// It is late.
    pub bad: bool,
}

impl Cell {
    fn of(lines: impl IntoIterator<Item = String>) -> Self {
        let clean = |line: String| {
            let line = line.replace(['\r', '\n', '\t'], " ");
            BoundedText::<LINE_BYTES_MAX>::new(&line).to_string()
        };
        Self { lines: lines.into_iter().map(clean).collect(), ..Self::default() }
    }

    fn text(text: &str) -> Self {
        Self::of([text.to_owned()])
    }

    fn incident(id: &str) -> Self {
        Self { link: format!("/incidents/{id}"), ..Self::text(id) }
    }

    fn late(self, bad: bool) -> Self {
        Self { bad, ..self }
    }
}

/// A time of Japan.
fn at(time: Timestamp) -> String {
    local(time).strftime("%Y-%m-%d %H:%M JST").to_string()
}

/// The words of a stable identifier, if there are any.
fn words(lang: Lang, key: &str, name: &str) -> String {
    let key = format!("{key}-{name}");
    if lang.has(&key) { lang.text(&key) } else { name.to_owned() }
}

impl Doc {
    /// The pack in this language.
    pub fn new(pack: &Pack, lang: Lang) -> Self {
        let title = match &pack.incident {
            Some(id) => format!("{} {id}", lang.text("handover-one")),
            None => lang.text("handover"),
        };
        let mut lead = vec![
            format!("{}: {}", lang.text("handover-made"), at(pack.made_at)),
            format!("{}: {}", lang.text("handover-since"), at(pack.since)),
        ];
        if pack.left_out > 0 {
            lead.push(lang.with("handover-left-out", pack.left_out));
        }
        let sections = vec![
            open(pack, lang),
            limits(pack, lang),
            reports(pack, lang),
            changes(pack, lang),
            sensors(pack, lang),
            notices(pack, lang),
            lessons(pack, lang),
        ];
        Self { title, lead, sections }
    }

    /// As Markdown. What came from strangers cannot become markup: every sign that could is escaped.
    pub fn markdown(&self) -> String {
        let mut lines = vec![format!("# {}", escaped(&self.title)), String::new()];
        lines.extend(self.lead.iter().map(|line| format!("- {}", escaped(line))));
        for section in &self.sections {
            lines.extend([String::new(), format!("## {}", escaped(&section.title)), String::new()]);
            if section.rows.is_empty() {
                lines.push(escaped(&section.none));
                continue;
            }
            let heads: Vec<String> = section.heads.iter().map(|head| escaped(head)).collect();
            lines.push(format!("| {} |", heads.join(" | ")));
            lines.push(format!("|{}", " --- |".repeat(heads.len())));
            for row in &section.rows {
                let cells: Vec<String> = row.iter().map(marked).collect();
                lines.push(format!("| {} |", cells.join(" | ")));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// As a page with nothing around it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn html(&self, lang: Lang) -> Result<String, askama::Error> {
        Alone { doc: self, lang, linked: false }.render()
    }
}

#[derive(Template)]
#[template(path = "handover_file.html")]
struct Alone<'a> {
    doc: &'a Doc,
    lang: Lang,
    linked: bool,
}

fn marked(cell: &Cell) -> String {
    let lines: Vec<String> = cell.lines.iter().map(|line| escaped(line)).collect();
    let text = lines.join("<br>");
    if cell.bad { format!("**{text}**") } else { text }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '\r' | '\n' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '#' | '!' | '~' => out.extend(['\\', sign]),
            _ => out.push(sign),
        }
    }
    out
}

fn section(lang: Lang, name: &str, heads: &[&str], rows: Vec<Vec<Cell>>) -> Section {
    Section {
        title: lang.text(&format!("handover-{name}")),
        heads: heads.iter().map(|head| lang.text(head)).collect(),
        rows,
        none: lang.text("handover-nothing"),
    }
}

fn open(pack: &Pack, lang: Lang) -> Section {
    let row = |one: &Open| {
        let body = match (&one.body, &one.body_name) {
            (Some(code), Some(name)) => format!("{code} {name}"),
            (Some(code), None) => code.clone(),
            (None, _) => lang.text("wide-area"),
        };
        let owner = one.owner.clone().unwrap_or_else(|| lang.text("handover-nobody"));
        let note = one.note.iter().map(|note| format!("{} {}: {}", at(note.at), note.author, note.text));
        vec![
            Cell {
                link: format!("/incidents/{}", one.id),
                ..Cell::of([one.id.clone(), body, at(one.opened_at)])
            },
            Cell::of([
                lang.severity(one.severity),
                lang.category(one.category).to_owned(),
                one.subject.clone(),
            ]),
            Cell::of([lang.state(one.state).to_owned(), owner]),
            Cell::of(next(one, lang)),
            Cell::of(note),
        ]
    };
    let heads = ["nav-incidents", "handover-about", "handover-stands", "handover-next", "handover-note"];
    section(lang, "open", &heads, pack.incidents.iter().map(row).collect())
}

/// Who owes what next: what the state asks for, then what waits for an agreement, then tasks.
fn next(one: &Open, lang: Lang) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: {}",
        lang.text(&format!("owner-{}", one.state)),
        lang.text(&format!("next-{}", one.state))
    )];
    for wait in &one.proposals {
        let action = words(lang, "action", &wait.action);
        lines.push(format!("{} #{} {action} ({})", lang.text("handover-agreement"), wait.n, wait.by));
    }
    for task in &one.tasks {
        let star = if task.mandatory { "★" } else { "" };
        let who = task.assignee.clone().unwrap_or_else(|| lang.role(task.role));
        lines.push(format!("{star}{}. {} — {who}", task.n, lang.pick(&task.ja, &task.en)));
    }
    let rest = one.tasks_open.saturating_sub(one.tasks.len());
    if rest > 0 {
        lines.push(lang.with("handover-more-tasks", rest));
    }
    lines
}

fn limits(pack: &Pack, lang: Lang) -> Section {
    let of = |one: &Open| one.limits.iter().map(|limit| (one.id.clone(), limit.clone())).collect::<Vec<_>>();
    let mut all: Vec<(String, Limit)> = pack.incidents.iter().flat_map(of).collect();
    all.sort_by(|(a, one), (b, other)| (one.due_at, a).cmp(&(other.due_at, b)));
    let row = |(id, limit): &(String, Limit)| {
        let state = if limit.passed { "handover-passed" } else { "handover-runs" };
        vec![
            Cell::incident(id),
            Cell::text(lang.pick(limit.what.ja(), limit.what.en())),
            Cell::text(&at(limit.due_at)).late(limit.passed),
            Cell::text(&lang.text(state)).late(limit.passed),
        ]
    };
    let heads = ["nav-incidents", "handover-step", "handover-due", "state"];
    section(lang, "limits", &heads, all.iter().map(row).collect())
}

fn reports(pack: &Pack, lang: Lang) -> Section {
    let of = |one: &Open| one.reports.iter().map(|owed| (one.id.clone(), owed.clone())).collect::<Vec<_>>();
    let mut all: Vec<(String, ReportOwed)> = pack.incidents.iter().flat_map(of).collect();
    // What has no day comes last.
    all.sort_by_key(|(id, owed)| {
        let day = owed.limit.clone().or_else(|| owed.target.clone());
        (day.is_none(), day, id.clone())
    });
    let row = |(id, owed): &(String, ReportOwed)| {
        let day = |day: &Option<String>| Cell::text(day.as_deref().unwrap_or("–"));
        let mut state = vec![lang.pick(owed.state.ja(), owed.state.en()).to_owned()];
        state.extend(owed.overdue.then(|| lang.text("handover-passed")));
        state.extend(owed.voluntary.then(|| lang.text("handover-voluntary")));
        vec![
            Cell::incident(id),
            Cell::text(lang.pick(owed.kind.ja(), owed.kind.en())),
            Cell::of(state).late(owed.overdue),
            day(&owed.internal),
            day(&owed.target),
            day(&owed.limit).late(owed.overdue),
        ]
    };
    let heads = [
        "nav-incidents",
        "handover-report",
        "state",
        "handover-internal",
        "handover-target",
        "handover-last-day",
    ];
    section(lang, "reports", &heads, all.iter().map(row).collect())
}

fn changes(pack: &Pack, lang: Lang) -> Section {
    let row = |one: &Changed| {
        let state =
            IncidentState::from_name(&one.state).map_or(one.state.as_str(), |state| lang.state(state));
        vec![
            Cell::text(&at(one.last)),
            Cell::incident(&one.incident),
            Cell::text(&format!("{} ×{}", words(lang, "change", &one.kind), one.count)),
            Cell::text(state),
        ]
    };
    let heads = ["time", "nav-incidents", "handover-what", "handover-now"];
    section(lang, "changes", &heads, pack.changes.iter().map(row).collect())
}

fn sensors(pack: &Pack, lang: Lang) -> Section {
    let row = |one: &Sensor| {
        let known = CONDITIONS.iter().find(|known| known.key == one.condition);
        let what = known.map_or(one.condition.as_str(), |known| lang.pick(known.ja, known.en));
        vec![
            Cell { link: format!("/agents/{}", one.agent), ..Cell::text(&one.name) },
            Cell::text(&one.body),
            Cell::text(what).late(true),
            Cell::text(&at(one.since)),
            Cell::incident(&one.incident),
        ]
    };
    let heads = ["agent", "body", "handover-what", "handover-from", "nav-incidents"];
    section(lang, "sensors", &heads, pack.sensors.iter().map(row).collect())
}

fn notices(pack: &Pack, lang: Lang) -> Section {
    let row = |one: &Undelivered| {
        let known = NoticeKind::from_name(&one.kind);
        let kind = known.map_or(one.kind.as_str(), |kind| lang.pick(kind.ja(), kind.en()));
        let state = if one.dead { "handover-dead" } else { "handover-waits" };
        let contact = if one.contact.is_empty() { lang.text("handover-nobody") } else { one.contact.clone() };
        vec![
            Cell::text(&at(one.written_at)),
            one.incident.as_deref().map(Cell::incident).unwrap_or_default(),
            Cell::text(kind),
            Cell::of([words(lang, "role", &one.role), contact]),
            Cell::of([lang.text(state), one.error.clone()]).late(one.dead),
        ]
    };
    let heads = ["time", "nav-incidents", "handover-what", "handover-whom", "state"];
    section(lang, "notices", &heads, pack.notices.iter().map(row).collect())
}

fn lessons(pack: &Pack, lang: Lang) -> Section {
    let row = |one: &Lesson| {
        let category = IncidentCategory::from_name(&one.category);
        vec![
            Cell::incident(&one.incident),
            Cell::text(category.map_or(one.category.as_str(), |category| lang.category(category))),
            Cell::text(&one.root_cause),
            Cell::text(&one.lesson),
        ]
    };
    let heads = ["nav-incidents", "handover-category", "handover-root", "handover-lesson"];
    section(lang, "lessons", &heads, pack.lessons.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_write_no_markup() {
        let hostile = "a|b\n# x <script> [y](http://z) ![p](q) `c` *d* \u{202e}\0";
        let section = Section {
            title: "t".to_owned(),
            heads: vec!["h".to_owned()],
            rows: vec![vec![Cell::text(hostile)]],
            none: String::new(),
        };
        let doc = Doc { title: "x".to_owned(), lead: Vec::new(), sections: vec![section] };
        let text = doc.markdown();
        assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 3, "{text}");
        let without = text.replace("\\|", "").replace("\\]", "");
        for bad in ["<script", "](", "a|b", "\u{202e}", "\0", "\n# x <"] {
            assert!(!without.contains(bad), "{bad:?} in {text}");
        }
        let page = doc.html(Lang::Ja).unwrap();
        assert!(!page.contains("<script") && page.contains("script&#62;"), "{page}");
    }
}
