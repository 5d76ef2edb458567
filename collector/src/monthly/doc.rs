//! A report in words of one language.

use sekimori_wire::finding::Severity;

use super::kpi::{Figure, Share};
use super::{BodyRow, Improvement, Major, Missed, Next, Outage, Report, Row, SensorRow, Statutory};
use crate::doc::{Cell, Doc, Section, at, words};
use crate::i18n::Lang;
use crate::incident::IncidentCategory;
use crate::incident::form::CauseClass;

/// Nothing to tell.
const NOTHING: &str = "–";

impl Report {
    /// In this language.
    pub fn doc(&self, lang: Lang) -> Doc {
        let (first, last) = self.month.days();
        let of = match (&self.body, &self.body_name) {
            (Some(code), Some(name)) => format!("{name} ({code})"),
            (Some(code), None) => code.clone(),
            (None, _) => lang.text("monthly-all"),
        };
        let mut lead = vec![
            format!("{}: {of}", lang.text("body")),
            format!("{}: {first} – {last} (JST)", lang.text("monthly-period")),
            format!("{}: {}", lang.text("handover-made"), at(self.made_at)),
            // Whose incidents they are may be known to the body and to those who serve it.
            format!("TLP:{}", if self.anonymous { "GREEN" } else { "AMBER" }),
        ];
        if self.made_at < self.month.ends() {
            lead.push(lang.text("monthly-not-over"));
        }
        Doc { title: format!("{} {}", lang.text("monthly"), self.month), lead, sections: self.sections(lang) }
    }

    fn sections(&self, lang: Lang) -> Vec<Section> {
        let mut all = vec![self.summary(lang), self.counted(lang)];
        if self.body.is_none() {
            all.push(self.by_body(lang));
        }
        all.extend([
            self.major(lang),
            self.figured(lang),
            self.shared(lang),
            self.missed_limits(lang),
            self.services(lang),
            self.endpoint_alerts(lang),
            self.sensor_rows(lang),
            self.reports(lang),
            self.tuned(lang),
            self.improved(lang),
            self.drilled(lang),
            self.coming(lang),
        ]);
        all
    }

    /// One paragraph, compared with the month before.
    fn summary(&self, lang: Lang) -> Section {
        let (now, before) = (&self.counts, &self.before);
        let grave: i64 = self
            .levels
            .iter()
            .filter(|row| ["3", "4"].contains(&row.key.as_str()))
            .map(|row| row.count)
            .sum();
        let missed = self.shares.iter().filter(|share| share.met == Some(false)).count()
            + self.figures.iter().filter(|figure| figure.met == Some(false)).count();
        let late = self.statutory.iter().filter(|one| !one.voluntary && one.in_time == Some(false)).count();
        let line = |name: &str, count: String| format!("{}: {count}", lang.text(name));
        let text = vec![
            line("monthly-incidents", compared(now.incidents, before.incidents)),
            line("monthly-grave", grave.to_string()),
            line("monthly-open", now.open.to_string()),
            line("monthly-missed-targets", missed.to_string()),
            line("monthly-late-reports", late.to_string()),
        ];
        Section {
            name: "summary",
            title: lang.text("monthly-summary"),
            text,
            none: String::new(),
            ..Section::default()
        }
    }

    fn counted(&self, lang: Lang) -> Section {
        let (now, before) = (&self.counts, &self.before);
        let plain = [
            ("monthly-findings", now.findings, before.findings),
            ("monthly-alerts", now.alerts, before.alerts),
            ("monthly-precursors", now.precursors, before.precursors),
            ("monthly-incidents", now.incidents, before.incidents),
            ("monthly-false", now.false_positives, before.false_positives),
            ("monthly-by-hand", now.by_hand, before.by_hand),
        ];
        let mut rows: Vec<Vec<Cell>> = plain
            .into_iter()
            .map(|(name, count, before)| counted_row(&lang.text(name), "", count, before))
            .collect();
        let level = |key: &str| {
            let level = key.parse().ok().and_then(Severity::new);
            level.map_or_else(|| key.to_owned(), |level| lang.severity(level))
        };
        let category = |key: &str| {
            let known = IncidentCategory::from_name(key);
            known.map_or_else(|| key.to_owned(), |known| lang.category(known).to_owned())
        };
        let cause = |key: &str| {
            let known = CauseClass::from_name(key);
            known.map_or_else(|| key.to_owned(), |known| lang.pick(known.ja(), known.en()).to_owned())
        };
        let mut add = |name: &str, all: &[Row], words: &dyn Fn(&str) -> String| {
            rows.extend(
                all.iter().map(|row| counted_row(&lang.text(name), &words(&row.key), row.count, row.before)),
            );
        };
        add("monthly-by-level", &self.levels, &level);
        add("monthly-by-category", &self.categories, &category);
        add("monthly-by-segment", &self.segments, &str::to_owned);
        add("monthly-by-cause", &self.causes, &cause);
        section(
            lang,
            "counts",
            &["monthly-what", "monthly-key", "monthly-now", "monthly-before", "monthly-change"],
            rows,
        )
    }

    fn by_body(&self, lang: Lang) -> Section {
        let row = |one: &BodyRow| {
            let mut cells = vec![Cell::of(
                [one.body.clone(), one.name.clone()].into_iter().filter(|line| !line.is_empty()),
            )];
            cells.extend(one.levels.iter().rev().map(|count| Cell::text(&count.to_string())));
            cells.extend([one.open, one.sensors].map(|count| Cell::text(&count.to_string())));
            cells
        };
        let mut heads = vec![lang.text("body")];
        heads.extend((0..=4).rev().filter_map(Severity::new).map(|level| lang.severity(level)));
        heads.extend(["monthly-open", "monthly-sensors"].map(|head| lang.text(head)));
        Section { heads, ..section(lang, "bodies", &[], self.bodies.iter().map(row).collect()) }
    }

    fn major(&self, lang: Lang) -> Section {
        let row = |one: &Major| {
            let title = lang.pick(&one.title_ja, &one.title_en).to_owned();
            let body = one.body.clone().unwrap_or_else(|| lang.text("wide-area"));
            let first = one.first_response_at.map_or_else(|| NOTHING.to_owned(), at);
            vec![
                Cell {
                    link: link(&one.id),
                    ..Cell::of(
                        [one.id.clone(), body, at(one.opened_at)].into_iter().filter(|line| !line.is_empty()),
                    )
                },
                Cell::of([lang.severity(one.severity), lang.category(one.category).to_owned(), title]),
                Cell::text(lang.state(one.state)),
                Cell::text(&first),
                Cell::text(&one.root_cause),
                Cell::of(one.prevention.clone()),
            ]
        };
        let heads = [
            "nav-incidents",
            "handover-about",
            "state",
            "monthly-first",
            "handover-root",
            "monthly-prevention",
        ];
        section(lang, "incidents", &heads, self.incidents.iter().map(row).collect())
    }

    fn figured(&self, lang: Lang) -> Section {
        let row = |one: &Figure| {
            let levels = if one.from_level == one.to_level {
                format!("L{}", one.from_level)
            } else {
                format!("L{}–L{}", one.from_level, one.to_level)
            };
            vec![
                Cell::text(lang.pick(one.what.ja(), one.what.en())),
                Cell::text(&levels),
                Cell::text(&one.count.to_string()),
                Cell::text(&seconds(one.mean)),
                Cell::text(&seconds(one.median)),
                Cell::text(&seconds(one.p95)),
                Cell::text(&one.target.map_or_else(
                    || NOTHING.to_owned(),
                    |target| format!("≤ {}", seconds(Some(whole(target)))),
                )),
                met(lang, one.met),
            ]
        };
        let heads = [
            "monthly-figure",
            "monthly-level",
            "monthly-count",
            "monthly-mean",
            "monthly-median",
            "monthly-p95",
            "monthly-target",
            "monthly-met",
        ];
        let mut all = section(lang, "kpi", &heads, self.figures.iter().map(row).collect());
        all.text = vec![lang.text("monthly-kpi-note")];
        all
    }

    fn shared(&self, lang: Lang) -> Section {
        let row = |one: &Share| {
            let sign = if one.at_least { "≥" } else { "≤" };
            let target = one.target.map_or_else(
                || NOTHING.to_owned(),
                |target| format!("{sign} {}", percent(u64::from(target), 1000)),
            );
            vec![
                Cell::text(lang.pick(one.what.ja(), one.what.en())),
                Cell::text(&format!("{} / {}", one.count, one.of)),
                Cell::text(&percent(one.count, one.of)),
                Cell::text(&target),
                met(lang, one.met),
            ]
        };
        let heads = ["monthly-figure", "monthly-count", "monthly-share", "monthly-target", "monthly-met"];
        section(lang, "sla", &heads, self.shares.iter().map(row).collect())
    }

    fn missed_limits(&self, lang: Lang) -> Section {
        let row = |one: &Missed| {
            vec![
                Cell::incident(&one.incident),
                Cell::text(&lang.severity(one.severity)),
                Cell::text(lang.pick(one.what.ja(), one.what.en())),
                Cell::text(&one.done_at.map_or_else(|| NOTHING.to_owned(), at)).late(one.done_at.is_none()),
            ]
        };
        let heads = ["nav-incidents", "severity", "handover-step", "monthly-done"];
        section(lang, "missed", &heads, self.missed.iter().map(row).collect())
    }

    fn services(&self, lang: Lang) -> Section {
        let row = |one: &Outage| {
            vec![
                Cell::incident(&one.incident),
                Cell::text(lang.pick(&one.title_ja, &one.title_en)),
                Cell::text(&at(one.from)),
                Cell::text(&one.until.map_or_else(|| NOTHING.to_owned(), at)),
            ]
        };
        let heads = ["nav-incidents", "handover-about", "handover-from", "monthly-until"];
        section(lang, "services", &heads, self.outages.iter().map(row).collect())
    }

    fn endpoint_alerts(&self, lang: Lang) -> Section {
        let rows = self.endpoints.classes.iter();
        let mut rows: Vec<Vec<Cell>> =
            rows.map(|row| counted_row(&words(lang, "class", &row.key), "", row.count, row.before)).collect();
        rows.extend(
            self.endpoints
                .uncontained
                .iter()
                .map(|host| vec![Cell::text(&lang.text("monthly-uncontained")).late(true), Cell::text(host)]),
        );
        section(
            lang,
            "endpoints",
            &["monthly-what", "monthly-key", "monthly-now", "monthly-before", "monthly-change"],
            padded(rows, 5),
        )
    }

    fn sensor_rows(&self, lang: Lang) -> Section {
        let row = |one: &SensorRow| {
            let uptime = one.minutes.map_or_else(
                || NOTHING.to_owned(),
                |minutes| {
                    let part = u64::try_from(minutes).unwrap_or_default();
                    percent(part, u64::try_from(one.of_minutes).unwrap_or_default())
                },
            );
            vec![
                Cell::text(&one.name),
                Cell::text(&one.body),
                Cell::text(&one.version),
                Cell::text(&uptime),
                Cell::text(&one.gaps.to_string()),
                Cell::text(&one.lost.to_string()).late(one.lost > 0),
            ]
        };
        let heads = ["agent", "body", "monthly-version", "monthly-uptime", "monthly-gaps", "monthly-lost"];
        section(lang, "sensors", &heads, self.sensors.iter().map(row).collect())
    }

    fn reports(&self, lang: Lang) -> Section {
        let row = |one: &Statutory| {
            let mut state = vec![lang.pick(one.state.ja(), one.state.en()).to_owned()];
            state.extend(one.voluntary.then(|| lang.text("handover-voluntary")));
            let kept = match one.in_time {
                Some(true) => lang.text("monthly-in-time"),
                Some(false) => lang.text("handover-passed"),
                None => NOTHING.to_owned(),
            };
            vec![
                Cell::incident(&one.incident),
                Cell::text(lang.pick(one.kind.ja(), one.kind.en())),
                Cell::of(state),
                Cell::text(one.last_day.as_deref().unwrap_or(NOTHING)),
                Cell::text(&one.filed_at.map_or_else(|| NOTHING.to_owned(), at)),
                Cell::text(&kept).late(one.in_time == Some(false)),
            ]
        };
        let heads = [
            "nav-incidents",
            "handover-report",
            "state",
            "handover-last-day",
            "monthly-filed",
            "monthly-met",
        ];
        section(lang, "statutory", &heads, self.statutory.iter().map(row).collect())
    }

    fn tuned(&self, lang: Lang) -> Section {
        let all = &self.tuning;
        let rows = [
            ("monthly-exceptions", all.exceptions),
            ("monthly-exceptions-began", all.began),
            ("monthly-exceptions-ending", all.ending),
            ("monthly-excepted", all.excepted),
            ("monthly-intel", all.intel),
            ("monthly-matches", all.matches),
        ];
        let row =
            |(name, count): (&str, i64)| vec![Cell::text(&lang.text(name)), Cell::text(&count.to_string())];
        section(lang, "tuning", &["monthly-what", "monthly-now"], rows.into_iter().map(row).collect())
    }

    fn improved(&self, lang: Lang) -> Section {
        let row = |one: &Improvement| {
            vec![
                Cell::text(&one.due).late(one.overdue),
                Cell::text(&one.what),
                Cell::text(&one.owner),
                Cell::incident(&one.incident),
            ]
        };
        let heads = ["monthly-due", "handover-what", "monthly-owner", "nav-incidents"];
        section(lang, "improvements", &heads, self.improvements.iter().map(row).collect())
    }

    fn drilled(&self, lang: Lang) -> Section {
        let row = |one: &super::Drill| {
            vec![
                Cell::incident(&one.incident),
                Cell::text(lang.pick(&one.title_ja, &one.title_en)),
                Cell::text(&at(one.opened_at)),
            ]
        };
        let heads = ["nav-incidents", "handover-about", "time"];
        section(lang, "drills", &heads, self.drills.iter().map(row).collect())
    }

    fn coming(&self, lang: Lang) -> Section {
        let row = |one: &Next| {
            let what = one.report.map_or(one.what.as_str(), |kind| lang.pick(kind.ja(), kind.en()));
            vec![Cell::text(&one.day), Cell::text(what), Cell::incident(&one.incident)]
        };
        let rows = self.next.iter().map(row).collect();
        section(lang, "next", &["monthly-due", "handover-what", "nav-incidents"], rows)
    }
}

fn section(lang: Lang, name: &'static str, heads: &[&str], rows: Vec<Vec<Cell>>) -> Section {
    Section {
        name,
        title: lang.text(&format!("monthly-{name}")),
        text: Vec::new(),
        heads: heads.iter().map(|head| lang.text(head)).collect(),
        rows,
        none: lang.text("handover-nothing"),
    }
}

fn link(id: &str) -> String {
    if id.is_empty() { String::new() } else { format!("/incidents/{id}") }
}

fn counted_row(what: &str, key: &str, count: i64, before: i64) -> Vec<Cell> {
    let change = count - before;
    vec![
        Cell::text(what),
        Cell::text(key),
        Cell::text(&count.to_string()),
        Cell::text(&before.to_string()),
        Cell::text(&format!("{change:+}")),
    ]
}

/// Each row has as many cells as there are heads.
fn padded(mut rows: Vec<Vec<Cell>>, width: usize) -> Vec<Vec<Cell>> {
    rows.iter_mut().for_each(|row| row.resize(width, Cell::default()));
    rows
}

/// A number, and how it changed.
fn compared(now: i64, before: i64) -> String {
    format!("{now} ({:+})", now - before)
}

fn met(lang: Lang, met: Option<bool>) -> Cell {
    match met {
        Some(true) => Cell::text(&lang.text("monthly-yes")),
        Some(false) => Cell::text(&lang.text("monthly-no")).late(true),
        None => Cell::text(NOTHING),
    }
}

fn whole(seconds: u64) -> f64 {
    std::time::Duration::from_secs(seconds).as_secs_f64()
}

/// Seconds in the largest unit that leaves a number above one.
fn seconds(seconds: Option<f64>) -> String {
    let Some(all) = seconds else { return NOTHING.to_owned() };
    for (unit, per) in [("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)] {
        if all >= per {
            return format!("{:.1} {unit}", all / per);
        }
    }
    format!("{all:.1} s")
}

/// In tenths of a percent, rounded down: what is just missed is not shown as kept.
fn percent(part: u64, of: u64) -> String {
    let Some(thousandths) = part.saturating_mul(1000).checked_div(of) else { return NOTHING.to_owned() };
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_just_missed_is_not_rounded_up() {
        assert_eq!(percent(9_949, 10_000), "99.4 %");
        assert_eq!(percent(1, 1), "100.0 %");
        assert_eq!(percent(0, 0), NOTHING);
        assert_eq!(seconds(Some(59.96)), "60.0 s");
        assert_eq!(seconds(Some(5_400.0)), "1.5 h");
        assert_eq!(seconds(None), NOTHING);
        assert_eq!(compared(3, 5), "3 (-2)");
    }
}
