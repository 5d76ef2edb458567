//! What `evaluate` prints.

use std::fmt::Write as _;

use sekimori_wire::finding::Finding;
use serde_json::{Value, json};

use super::score::{Figures, Score};

/// A readable table; with `verbose` also what was found, and notices.
pub(super) fn table(score: &Score<'_>, verbose: bool) -> String {
    let mut out = String::new();
    let written = write_table(&mut out, score, verbose);
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
    out
}

fn write_table(out: &mut String, score: &Score<'_>, verbose: bool) -> std::fmt::Result {
    writeln!(
        out,
        "{:24} {:>7} {:>6} {:>6} {:>7} {:>10} {:>6}",
        "category", "labels", "found", "false", "recall", "precision", "F1"
    )?;
    let mut row = |name: &str, figures: Figures| {
        let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{share:.3}"));
        writeln!(
            out,
            "{name:24} {:>7} {:>6} {:>6} {:>7} {:>10} {:>6}",
            figures.labels,
            figures.found,
            figures.false_findings,
            share(figures.recall()),
            share(figures.precision()),
            share(figures.f1()),
        )
    };
    for (category, figures) in score.by_category() {
        row(category.as_str(), figures)?;
    }
    row("all", score.overall())?;
    let weak: Vec<_> = score.by_label().into_iter().filter(|(_, (labels, found))| found < labels).collect();
    for (label, (labels, found)) in weak {
        writeln!(out, "label {label}: {found} of {labels}")?;
    }
    if let Some(median) = score.median_time() {
        writeln!(out, "time to detect: median {:.1} s of event time", median.as_secs_f64())?;
    }
    let benign = score.counted_benign().count();
    let disturbed = score.counted_benign().filter(|quiet| !quiet.false_findings.is_empty()).count();
    let falses = score.overall().false_findings;
    writeln!(
        out,
        "benign captures: {benign}, with false findings: {disturbed}; false findings: {falses} in {:.1} h of event time",
        score.benign_hours()
    )?;
    write_captures(out, score, verbose)
}

/// Captures that were judged wrongly, and those that could not be read; with `verbose` all.
fn write_captures(out: &mut String, score: &Score<'_>, verbose: bool) -> std::fmt::Result {
    for judged in score.attacks.iter().filter(|judged| judged.hit.is_none()) {
        let mark = if judged.entry.is_counted() { "missed" } else { "missed (not counted)" };
        writeln!(out, "{mark}: {} {}", judged.entry.expected, judged.entry.path.display())?;
        judged.others.iter().try_for_each(|finding| writeln!(out, "    {}", line(finding)))?;
    }
    for quiet in score.benign.iter().filter(|quiet| !quiet.false_findings.is_empty()) {
        writeln!(out, "false: {} ({})", quiet.entry.path.display(), quiet.entry.expected)?;
        quiet.false_findings.iter().try_for_each(|finding| writeln!(out, "    {}", line(finding)))?;
    }
    if verbose {
        for judged in &score.attacks {
            let Some((hit, took)) = &judged.hit else { continue };
            writeln!(
                out,
                "found: {} {} after {:.1} s",
                judged.entry.expected,
                judged.entry.path.display(),
                took.as_secs_f64()
            )?;
            writeln!(out, "    {}", line(hit))?;
            judged.others.iter().try_for_each(|finding| writeln!(out, "    + {}", line(finding)))?;
        }
        for quiet in score.benign.iter().filter(|quiet| !quiet.notices.is_empty()) {
            writeln!(out, "notices: {} ({})", quiet.entry.path.display(), quiet.entry.expected)?;
            quiet.notices.iter().try_for_each(|finding| writeln!(out, "    {}", line(finding)))?;
        }
    }
    let problems = score.attacks.iter().map(|one| (&one.entry, &one.problem));
    for (entry, problem) in problems.chain(score.benign.iter().map(|one| (&one.entry, &one.problem))) {
        if let Some(problem) = problem {
            writeln!(out, "not read to the end: {}: {problem}", entry.path.display())?;
        }
    }
    Ok(())
}

/// One finding in one line.
fn line(finding: &Finding) -> String {
    format!("{} s{} {} ×{}", finding.category, finding.severity.level(), finding.title.en, finding.count)
}

/// The same for programs.
pub(super) fn json(score: &Score<'_>) -> String {
    let figures = |one: Figures| {
        json!({
            "labels": one.labels,
            "found": one.found,
            "false_findings": one.false_findings,
            "recall": one.recall(),
            "precision": one.precision(),
            "f1": one.f1(),
        })
    };
    let categories: serde_json::Map<String, Value> = score
        .by_category()
        .into_iter()
        .map(|(category, one)| (category.as_str().to_owned(), figures(one)))
        .collect();
    let labels: serde_json::Map<String, Value> = score
        .by_label()
        .into_iter()
        .map(|(label, (labels, found))| (label.to_owned(), json!({ "labels": labels, "found": found })))
        .collect();
    let attacks: Vec<Value> = score
        .attacks
        .iter()
        .map(|judged| {
            json!({
                "path": judged.entry.path,
                "expected": judged.entry.expected,
                "counted": judged.entry.is_counted(),
                "found": judged.hit.is_some(),
                "seconds_to_detect": judged.hit.as_ref().map(|(_, took)| took.as_secs_f64()),
                "finding": judged.hit.as_ref().map(|(finding, _)| finding),
                "others": judged.others,
                "problem": judged.problem,
            })
        })
        .collect();
    let benign: Vec<Value> = score
        .benign
        .iter()
        .map(|quiet| {
            json!({
                "path": quiet.entry.path,
                "expected": quiet.entry.expected,
                "counted": quiet.entry.is_counted(),
                "seconds": quiet.duration.as_secs_f64(),
                "false_findings": quiet.false_findings,
                "notices": quiet.notices,
                "problem": quiet.problem,
            })
        })
        .collect();
    let benign_count = score.counted_benign().count();
    let disturbed = score.counted_benign().filter(|quiet| !quiet.false_findings.is_empty()).count();
    let out = json!({
        "overall": figures(score.overall()),
        "categories": categories,
        "labels": labels,
        "median_seconds_to_detect": score.median_time().map(|time| time.as_secs_f64()),
        "benign": {
            "captures": benign_count,
            "with_false_findings": disturbed,
            "hours": score.benign_hours(),
            "false_findings_per_hour": f64::from(score.overall().false_findings) / score.benign_hours().max(f64::MIN_POSITIVE),
        },
        "attack_captures": attacks,
        "benign_captures": benign,
    });
    out.to_string() + "\n"
}
