//! The report of a drill in words of one language.

use super::score::{Line, Verdict};
use crate::doc::{Cell, Doc, Section, at};
use crate::i18n::Lang;
use crate::incident::playbook::playbook;
use crate::store::drill::{Drill, Given, Kind};

impl Drill {
    /// In this language: what was given, what each role came to, what to get better at.
    pub fn doc(&self, lang: Lang) -> Doc {
        let scenario = &self.scenario;
        let mut lead = vec![
            "TLP:GREEN".to_owned(),
            lang.pick(&scenario.about_ja, &scenario.about_en).to_owned(),
            format!("{}: {} v{}", lang.text("drill-scenario"), scenario.id, scenario.version),
            format!("{}: {}", lang.text("drill-bodies"), self.bodies.join(", ")),
            format!("{}: {} ({})", lang.text("drill-started"), at(self.started_at), self.started_by),
        ];
        lead.push(match (self.ended_at, &self.ended_by) {
            (Some(ended), Some(by)) => format!("{}: {} ({by})", lang.text("drill-ended"), at(ended)),
            (Some(_), None) | (None, _) => lang.text("drill-running"),
        });
        let title = lang.pick(&scenario.title_ja, &scenario.title_en);
        Doc {
            title: format!("【訓練】{} {}: {title}", lang.text("drill-report"), self.id),
            lead,
            sections: vec![self.roles(lang), self.expected(lang), self.improvements(lang), self.cards(lang)],
        }
    }

    /// What the clock gave.
    pub fn cards(&self, lang: Lang) -> Section {
        let row = |one: &Given| {
            let incident = one.incident.as_deref().map_or_else(Cell::default, Cell::incident);
            vec![
                Cell::text(&at(one.at)),
                Cell::text(lang.pick(one.kind.ja(), one.kind.en())),
                Cell::of(self.said(one, lang)),
                incident,
            ]
        };
        section(
            lang,
            "cards",
            &["drill-at", "drill-kind", "drill-text", "incident"],
            self.given.iter().map(row).collect(),
        )
    }

    fn said(&self, given: &Given, lang: Lang) -> Vec<String> {
        let scenario = &self.scenario;
        let words = match given.kind {
            Kind::Capture => scenario.captures.get(given.n).map(|one| {
                let found: Vec<&str> = one.finds.iter().map(|category| category.as_str()).collect();
                vec![found.join(", ")]
            }),
            Kind::Report => scenario.reports.get(given.n).map(|one| {
                vec![
                    lang.pick(&one.title_ja, &one.title_en).to_owned(),
                    lang.pick(&one.ja, &one.en).to_owned(),
                ]
            }),
            Kind::Inject => scenario
                .injects
                .get(given.n)
                .map(|one| vec![format!("→ {}", lang.role(one.to)), lang.pick(&one.ja, &one.en).to_owned()]),
        };
        words.unwrap_or_default()
    }

    /// What each role came to.
    pub fn roles(&self, lang: Lang) -> Section {
        let rows = self.score.roles.iter().map(|one| {
            vec![
                Cell::text(&lang.role(one.role)),
                Cell::text(&one.expected.to_string()),
                Cell::text(&one.met.to_string()),
                Cell::text(&one.late.to_string()),
                Cell::text(&format!("{} %", one.percent)),
            ]
        });
        let heads = ["drill-role", "drill-expected", "drill-met", "drill-late", "drill-percent"];
        section(lang, "roles", &heads, rows.collect())
    }

    /// What was expected, and what became of it.
    pub fn expected(&self, lang: Lang) -> Section {
        let row = |line: &Line| {
            let verdict = line.verdict;
            let missed = matches!(verdict, Verdict::Missed | Verdict::Late);
            let who = line.by.as_ref().zip(line.at).map(|(by, time)| format!("{by} {}", at(time)));
            vec![
                Cell::text(&lang.with("drill-minute", line.expected.by)),
                Cell::text(&lang.role(line.expected.role)),
                Cell::of(self.what(line, lang)),
                Cell::text(lang.pick(verdict.ja(), verdict.en())).late(missed),
                Cell::of(who),
            ]
        };
        let heads = ["drill-by", "drill-role", "drill-action", "drill-verdict", "drill-who"];
        section(lang, "expected", &heads, self.score.lines.iter().map(row).collect())
    }

    fn what(&self, line: &Line, lang: Lang) -> Vec<String> {
        let expected = &line.expected;
        let action = lang.pick(expected.action.ja(), expected.action.en());
        let steps = playbook(self.scenario.category).map_or(&[][..], |found| found.steps.as_slice());
        let step = expected.step.as_ref().and_then(|step| steps.iter().find(|one| one.id == *step));
        let first = match step {
            Some(step) => format!("{action}: {}", lang.pick(&step.ja, &step.en)),
            None => action.to_owned(),
        };
        vec![first, lang.pick(&expected.ja, &expected.en).to_owned()]
    }

    /// What to get better at.
    pub fn improvements(&self, lang: Lang) -> Section {
        let row = |line: &Line| {
            vec![
                Cell::text(&lang.role(line.expected.role)),
                Cell::of(self.what(line, lang)),
                Cell::text(lang.pick(line.verdict.ja(), line.verdict.en())),
            ]
        };
        let rows = self.score.improvements().map(row).collect();
        section(lang, "improvements", &["drill-role", "drill-action", "drill-verdict"], rows)
    }
}

fn section(lang: Lang, name: &'static str, heads: &[&str], rows: Vec<Vec<Cell>>) -> Section {
    Section {
        name,
        text: Vec::new(),
        title: lang.text(&format!("drill-{name}")),
        heads: heads.iter().map(|head| lang.text(head)).collect(),
        rows,
        none: lang.text("drill-nothing"),
    }
}
