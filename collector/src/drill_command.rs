//! `drill`: scenarios.

use std::path::Path;

use sekimori_collector::cli::DrillCommand;
use sekimori_collector::drill::scenario::{Scenario, load, ready};
use sekimori_wire::text::BoundedText;

use crate::print;

pub(crate) fn run(command: &DrillCommand) -> anyhow::Result<()> {
    match command {
        DrillCommand::List { json: true } => print(&serde_json::to_string(&ready()?)?),
        DrillCommand::List { json: false } => ready()?.iter().try_for_each(|one| {
            let Scenario { id, category, severity, bodies, minutes, title_ja, title_en, .. } = one;
            let level = severity.level();
            print(&format!(
                "{id}  {category}  L{level}  {bodies} bodies  {minutes} min  {title_ja} / {title_en}"
            ))
        }),
        DrillCommand::Show { scenario, en } => print(&plan(&load(scenario)?, *en)),
        DrillCommand::Check { scenario, captures } => {
            let scenario = load(scenario)?;
            if let Some(folder) = captures {
                there(&scenario, folder)?;
            }
            let Scenario { captures, reports, injects, expected, .. } = &scenario;
            print(&format!(
                "{}: {} captures, {} reports, {} injects, {} expected actions",
                scenario.id,
                captures.len(),
                reports.len(),
                injects.len(),
                expected.len()
            ))
        }
    }
}

/// Whether every file is there that the scenario names.
fn there(scenario: &Scenario, folder: &Path) -> anyhow::Result<()> {
    for (at, capture) in scenario.captures.iter().enumerate() {
        for (key, file) in [("file", Some(&capture.file)), ("config", capture.config.as_ref())] {
            let missing = file.map(|file| folder.join(file)).filter(|path| !path.is_file());
            if let Some(path) = missing {
                anyhow::bail!(
                    "the scenario {}: capture {}: {key}: {} is not there",
                    scenario.id,
                    at + 1,
                    path.display()
                );
            }
        }
    }
    Ok(())
}

/// What happens, minute by minute. A file may be a stranger's: what it says is cleaned.
fn plan(scenario: &Scenario, en: bool) -> String {
    let in_words =
        |ja: &str, en_text: &str| BoundedText::<1024>::new(if en { en_text } else { ja }).to_string();
    let mut lines: Vec<(u32, String)> = Vec::new();
    for one in &scenario.captures {
        let found: Vec<&str> = one.finds.iter().map(|category| category.as_str()).collect();
        let file = BoundedText::<256>::new(&one.file);
        lines.push((one.minute, format!("capture  body {}: {file} ({})", one.body, found.join(", "))));
    }
    for one in &scenario.reports {
        lines.push((one.minute, format!("report   body {}: {}", one.body, in_words(&one.ja, &one.en))));
    }
    for one in &scenario.injects {
        lines.push((one.minute, format!("inject   to {}: {}", one.to, in_words(&one.ja, &one.en))));
    }
    for one in &scenario.expected {
        let step = one.step.as_ref().map(|step| format!(" {step}")).unwrap_or_default();
        let why = in_words(&one.ja, &one.en);
        lines.push((one.by, format!("expect   {} {}{step}: {why}", one.role, one.action)));
    }
    lines.sort_by_key(|(minute, _)| *minute);
    let mut out = format!(
        "{}\n{}\n",
        in_words(&scenario.title_ja, &scenario.title_en),
        in_words(&scenario.about_ja, &scenario.about_en)
    );
    for (minute, line) in lines {
        out.push_str(&format!("{minute:>5}  {line}\n"));
    }
    out.trim_end().to_owned()
}
