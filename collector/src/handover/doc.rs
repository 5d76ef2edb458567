//! A pack in words of one language.

use super::{Changed, Lesson, Limit, Open, Pack, ReportOwed, Sensor, Undelivered};
use crate::doc::{Cell, Doc, Section, at, words};
use crate::fleet::watch::CONDITIONS;
use crate::i18n::Lang;
use crate::incident::{IncidentCategory, IncidentState};
use crate::notify::template::NoticeKind;

impl Pack {
    /// In this language.
    pub fn doc(&self, lang: Lang) -> Doc {
        let pack = self;
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
        Doc { title, lead, sections }
    }
}

fn section(lang: Lang, name: &'static str, heads: &[&str], rows: Vec<Vec<Cell>>) -> Section {
    Section {
        name,
        text: Vec::new(),
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
