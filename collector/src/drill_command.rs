//! `drill`: scenarios, and drills.

use std::path::Path;

use anyhow::Context as _;
use sekimori_collector::auth::scope::Scope;
use sekimori_collector::beside::{open, operator, read_only};
use sekimori_collector::cli::DrillCommand;
use sekimori_collector::clock;
use sekimori_collector::drill::scenario::{Scenario, load, ready};
use sekimori_collector::export::By;
use sekimori_collector::handover::Format;
use sekimori_collector::i18n::Lang;
use sekimori_collector::store::drill::{Drill, StartError};
use sekimori_wire::text::BoundedText;

use crate::{Usage, print};

pub(crate) async fn run(command: &DrillCommand) -> anyhow::Result<()> {
    match command {
        DrillCommand::Start { config, scenario, bodies } => start(config, &load(scenario)?, bodies).await,
        DrillCommand::Status { config, id, json } => status(config, *id, *json).await,
        DrillCommand::End { config, id } => end(config, *id).await,
        DrillCommand::Report { config, id, format, lang } => {
            let drill = found(config, *id).await?;
            let lang = Lang::from_code(lang).unwrap_or_default();
            print(&match format {
                Format::Json => serde_json::to_string(&drill)?,
                Format::Markdown => drill.doc(lang).markdown(),
                Format::Html => drill.doc(lang).html(lang)?,
            })
        }
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

async fn start(config: &Path, scenario: &Scenario, bodies: &[String]) -> anyhow::Result<()> {
    let (_config, store) = open(config).await?;
    let by = By { actor: operator(), role: "admin".to_owned() };
    let begun = store.seen_in(&Scope::All).start_drill(scenario, bodies, &by, clock::now()).await;
    store.close().await;
    match begun {
        Ok(id) => print(&format!("drill {id}: {} runs for {} minutes", scenario.id, scenario.minutes)),
        Err(cause @ (StartError::Bodies { .. } | StartError::UnknownBody(_))) => {
            Err(Usage(format!("--bodies: {cause}")).into())
        }
        Err(cause @ (StartError::Busy | StartError::Store(_))) => Err(cause.into()),
    }
}

async fn end(config: &Path, id: i64) -> anyhow::Result<()> {
    let (_config, store) = open(config).await?;
    let by = By { actor: operator(), role: "admin".to_owned() };
    let ended = store.seen_in(&Scope::All).end_drill(id, &by, clock::now()).await;
    store.close().await;
    if ended? { Ok(()) } else { anyhow::bail!("no drill {id} runs") }
}

async fn found(config: &Path, id: i64) -> anyhow::Result<Drill> {
    let store = read_only(config).await?;
    let drill = store.seen_in(&Scope::All).drill(id, clock::now()).await;
    store.close().await;
    drill?.with_context(|| format!("there is no drill {id}"))
}

async fn status(config: &Path, id: Option<i64>, json: bool) -> anyhow::Result<()> {
    let drills = match id {
        Some(id) => vec![found(config, id).await?],
        None => {
            let store = read_only(config).await?;
            let drills = store.seen_in(&Scope::All).drills(clock::now()).await;
            store.close().await;
            drills?
        }
    };
    if json {
        return print(&serde_json::to_string(&drills)?);
    }
    for one in &drills {
        let state = one.ended_at.map_or_else(|| "runs".to_owned(), |ended| format!("ended {ended}"));
        let Drill { id, scenario, started_at, bodies, given, .. } = one;
        print(&format!(
            "{id}  {}  {state}  started {started_at} by {}  bodies {}  {} given",
            scenario.id,
            BoundedText::<64>::new(&one.started_by),
            bodies.join(","),
            given.len()
        ))?;
        for role in &one.score.roles {
            print(&format!(
                "    {}: {} of {} in time, {} late, {} %",
                role.role, role.met, role.expected, role.late, role.percent
            ))?;
        }
        for incident in one.incidents() {
            print(&format!("    {incident}"))?;
        }
    }
    Ok(())
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
