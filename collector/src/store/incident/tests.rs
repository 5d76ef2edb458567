//! What must hold whatever comes in which order, and whatever people do meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sekimori_wire::alert::AlertClass;
use sekimori_wire::finding::Category;

use super::hosts::tests::{Bench, at, made};
use super::*;
use crate::auth::role::Role;
use crate::incident::action::Action;
use crate::incident::permission::Part;
use crate::incident::transition::{Actor, Asked, Bodies, Changes};
use crate::store::work::Acted;

#[test]
fn the_statements_name_the_states_that_are_not_open() {
    let closed: Vec<_> =
        IncidentState::ALL.iter().filter(|state| !state.is_open()).map(|state| state.as_str()).collect();
    assert_eq!(closed, ["closed", "false_positive", "merged"]);
}

const KINDS: [Category; 5] = [
    Category::ScanPort,
    Category::BruteforceLogin,
    Category::C2Beacon,
    Category::ExfilVolume,
    Category::EndpointAlert,
];

fn class(category: Category) -> Option<AlertClass> {
    (category == Category::EndpointAlert).then_some(AlertClass::Malware)
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

async fn texts(bench: &Bench, sql: &'static str) -> Vec<(String, String)> {
    db::query_as(sql).fetch_all(bench.store.reader()).await.unwrap()
}

async fn levels(bench: &Bench) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> =
        db::query_as("SELECT id, severity FROM incidents").fetch_all(bench.store.reader()).await.unwrap();
    rows.into_iter().collect()
}

/// Findings that belong together, by incident or by link, and how bad the worst incident of each group is.
async fn groups(bench: &Bench) -> BTreeSet<(BTreeSet<String>, i64)> {
    let findings = texts(bench, "SELECT id, incident FROM findings WHERE incident IS NOT NULL").await;
    let links = texts(bench, "SELECT one, other FROM incident_links").await;
    let levels = levels(bench).await;
    let mut group: BTreeMap<String, String> = levels.keys().map(|id| (id.clone(), id.clone())).collect();
    for (one, other) in links {
        let (from, to) = (group[&one].clone(), group[&other].clone());
        for name in group.values_mut().filter(|name| **name == from) {
            name.clone_from(&to);
        }
    }
    let mut all: BTreeMap<String, (BTreeSet<String>, i64)> = BTreeMap::new();
    for (finding, incident) in findings {
        let (members, worst) = all.entry(group[&incident].clone()).or_default();
        members.insert(finding);
        *worst = levels[&incident].max(*worst);
    }
    all.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Everything within ten minutes, so that every rule's window holds it all.
    #[test]
    fn what_belongs_together_does_not_depend_on_who_reports_first(
        seen in proptest::collection::vec((0_u64..10, 1_u8..4), 5),
        chosen in proptest::collection::btree_set(0_usize..5, 2..5),
        order in Just([0_usize, 1, 2, 3, 4]).prop_shuffle(),
    ) {
        let found = |kind: usize| {
            let (minute, level) = seen[kind];
            made(KINDS[kind], Severity::new(level).unwrap(), minute, "192.168.10.20")
        };
        let told = |kinds: Vec<usize>| run(async {
            let mut bench = Bench::new().await;
            for kind in kinds {
                bench.take(found(kind), class(KINDS[kind])).await;
            }
            groups(&bench).await
        });
        let mut by_time: Vec<usize> = chosen.iter().copied().collect();
        by_time.sort_by_key(|kind| seen[*kind].0);
        let shuffled: Vec<usize> = order.into_iter().filter(|kind| chosen.contains(kind)).collect();
        prop_assert_eq!(told(by_time), told(shuffled));
    }

    #[test]
    fn only_people_lower_a_level_and_every_change_of_one_is_in_the_history(
        steps in proptest::collection::vec((0_u8..8, 0_usize..5, 0_usize..6, 1_u8..5), 4..24)
    ) {
        run(async {
            let mut world = World::new().await;
            for step in steps {
                world.step(step).await;
            }
        });
    }
}

/// A store, and what is known of it.
struct World {
    bench: Bench,
    findings: Vec<Finding>,
    minute: u64,
    /// Of what was merged: the state and level that it must have again.
    merged: BTreeMap<String, (String, i64)>,
}

impl World {
    async fn new() -> Self {
        Self { bench: Bench::new().await, findings: Vec::new(), minute: 0, merged: BTreeMap::new() }
    }

    async fn step(&mut self, (what, kind, pick, level): (u8, usize, usize, u8)) {
        let before = levels(&self.bench).await;
        let lines = self.lines().await;
        let level = Severity::new(level).unwrap();
        self.minute += 3;
        let lowered = match what {
            0..=2 => {
                let host = ["192.168.10.20", "192.168.10.21", "192.168.10.22"][pick % 3];
                let finding = made(KINDS[kind], level, self.minute, host);
                self.findings.push(finding.clone());
                self.bench.take(finding, class(KINDS[kind])).await;
                BTreeSet::new()
            }
            3 => {
                self.revise(pick, level).await;
                BTreeSet::new()
            }
            4 => {
                self.bench.overdue(self.minute + 30).await;
                BTreeSet::new()
            }
            5 => self.lower(&before, pick, level).await,
            6 => {
                self.merge(&before, pick, kind).await;
                BTreeSet::new()
            }
            _ => self.unmerge(pick).await,
        };
        let after = levels(&self.bench).await;
        for (id, was) in &before {
            let is = after[id];
            assert!(is >= *was || lowered.contains(id), "{id} went from {was} to {is} by step {what}");
            assert!(is == *was || self.lines().await > lines, "{id} changed without a line");
        }
        let counted: Vec<(i64, i64)> = db::query_as(
            "SELECT findings, (SELECT count(*) FROM findings f WHERE f.incident = incidents.id) FROM incidents",
        )
        .fetch_all(self.bench.store.reader())
        .await
        .unwrap();
        assert!(counted.iter().all(|(told, real)| told == real), "{counted:?}");
    }

    async fn lines(&self) -> i64 {
        db::query_scalar(
            "SELECT count(*) FROM incident_changes WHERE kind IN ('raised', 'recorded', 'absorbed', 'released')",
        )
        .fetch_one(self.bench.store.reader())
        .await
        .unwrap()
    }

    async fn revise(&mut self, pick: usize, level: Severity) {
        let many = self.findings.len();
        let Some(finding) = self.findings.get_mut(pick % many.max(1)) else { return };
        finding.revision += 1;
        finding.severity = finding.severity.max(level);
        finding.end = at(self.minute);
        let finding = finding.clone();
        let class = class(finding.category);
        self.bench.take(finding, class).await;
    }

    async fn act(&self, id: &str, action: Action) -> Option<Box<Changes>> {
        let version = db::query_scalar("SELECT work_version FROM incidents WHERE id = $1")
            .bind(id)
            .fetch_one(self.bench.store.reader())
            .await
            .unwrap();
        let role = Part::Person(Role::Control);
        let actor = Actor { name: "hanako".to_owned(), role, bodies: Bodies::All };
        let asked = Asked { version, action };
        match self.bench.store.act(id, &actor, &asked, at(self.minute)).await.unwrap() {
            Acted::Done(changes) => Some(changes),
            Acted::Refused(_) | Acted::NotFound => None,
        }
    }

    async fn lower(&self, before: &BTreeMap<String, i64>, pick: usize, level: Severity) -> BTreeSet<String> {
        let Some(id) = before.keys().nth(pick) else { return BTreeSet::new() };
        self.act(id, Action::SetLevel { level, reason: "looked".to_owned() }).await;
        BTreeSet::from([id.clone()])
    }

    async fn state(&self, id: &str) -> String {
        db::query_scalar("SELECT state FROM incidents WHERE id = $1")
            .bind(id)
            .fetch_one(self.bench.store.reader())
            .await
            .unwrap()
    }

    async fn merge(&mut self, before: &BTreeMap<String, i64>, pick: usize, other: usize) {
        let (Some(id), Some(into)) = (before.keys().nth(pick), before.keys().nth(other)) else { return };
        let was = (self.state(id).await, before[id]);
        let action = Action::Merge { into: into.clone(), reason: "the same".to_owned() };
        if self.act(id, action).await.is_some() {
            assert_eq!(self.state(id).await, "merged");
            assert!(levels(&self.bench).await[into] >= was.1, "{into} takes over the level of {id}");
            self.merged.insert(id.clone(), was);
        }
    }

    /// Undone: the state is the one before, and no lower level than its own; of the other nothing is lost that its own
    /// evidence or a rule asked for.
    async fn unmerge(&mut self, pick: usize) -> BTreeSet<String> {
        let Some(id) = self.merged.keys().nth(pick % self.merged.len().max(1)).cloned() else {
            return BTreeSet::new();
        };
        let into: String = db::query_scalar("SELECT merged_into FROM incidents WHERE id = $1")
            .bind(&id)
            .fetch_one(self.bench.store.reader())
            .await
            .unwrap();
        let (state, level) = self.merged[&id].clone();
        if self.act(&id, Action::Unmerge { reason: "not the same".to_owned() }).await.is_none() {
            return BTreeSet::new();
        }
        self.merged.remove(&id);
        assert_eq!(self.state(&id).await, state);
        assert!(levels(&self.bench).await[&id] >= level);
        BTreeSet::from([into])
    }
}

/// Time, category, level, acting host, other end, target.
const BENIGN_DAY: &str = include_str!("benign_day.txt");

#[tokio::test]
async fn a_benign_day_promotes_nothing_and_no_rule_makes_anything_worse() {
    let mut bench = Bench::new().await;
    // Three mornings of the same within a day, which is more of it than a town hall has.
    for again in 0..3_u32 {
        for line in BENIGN_DAY.lines().filter(|line| !line.starts_with('#')) {
            let parts: Vec<&str> = line.split(' ').collect();
            let category: Category = parts[1].parse().unwrap();
            let level = Severity::new(parts[2].parse().unwrap()).unwrap();
            let mut finding = made(category, level, 0, parts[3]);
            let time: Timestamp = parts[0].parse().unwrap();
            finding.time = time.plus(std::time::Duration::from_secs(u64::from(again) * 6 * 3600));
            (finding.end, finding.detected_at) = (finding.time, finding.time);
            finding.responder = parts[4].parse().ok();
            finding.targets = [parts[5]].into_iter().filter(|one| *one != "-").map(Into::into).collect();
            finding.id = sekimori_wire::id::FindingId::of(&[line.as_bytes(), &again.to_be_bytes()]);
            bench.take(finding, None).await;
        }
    }
    let worse: Vec<_> = bench.incidents().await.into_iter().filter(|one| one.1 > 1).collect();
    assert_eq!(worse, []);
    assert_eq!(bench.changes("raised").await, Vec::<Value>::new());
    let promoted: i64 = db::query_scalar("SELECT count(*) FROM precursors WHERE incident IS NOT NULL")
        .fetch_one(bench.store.reader())
        .await
        .unwrap();
    let kept: i64 =
        db::query_scalar("SELECT count(*) FROM precursors").fetch_one(bench.store.reader()).await.unwrap();
    assert_eq!((promoted, kept), (0, 6), "what is level 0 is counted");
}

#[tokio::test]
async fn a_sensors_own_health_holds_its_recovery_back() {
    use crate::incident::facts::Probes;
    let mut bench = Bench::new().await;
    let whose = sensor::Whose { agent: "a", name: "gw", body: "422011" };
    let told = sensor::Told {
        condition: "silent",
        ja: "",
        en: "",
        severity: Severity::MEDIUM,
        inputs: Value::Null,
        threshold: Value::Null,
        why: "",
    };
    db::query("INSERT INTO bodies (code, name) VALUES ('422011', 'x')")
        .execute(bench.store.writer())
        .await
        .unwrap();
    db::query(
        "INSERT INTO agents (id, name, body, signing_key, cert_serial, cert_expires_at, enrolled_at)
         VALUES ('a', 'gw', '422011', $1, '1', 0, 0)",
    )
    .bind([0_u8; 32].as_slice())
    .execute(bench.store.writer())
    .await
    .unwrap();
    let mut tx = bench.store.begin_changing().await.unwrap();
    let incident = sensor::tell(&mut tx, &mut bench.ledger, &whose, &told, at(0)).await.unwrap();
    db::query("INSERT INTO sensor_watch (agent, condition, since, incident) VALUES ('a', 'silent', $1, $2)")
        .bind(stored(at(0)))
        .bind(&incident)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let probes =
        async |store: &crate::store::Store| store.work_of(&incident).await.unwrap().unwrap().facts.probes;
    assert_eq!(probes(&bench.store).await, Probes::Red);
    bench.ledger.now = at(90);
    let mut tx = bench.store.begin_changing().await.unwrap();
    sensor::over(&mut tx, &bench.ledger, &incident, "silent", at(0), at(90)).await.unwrap();
    db::query("DELETE FROM sensor_watch").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(probes(&bench.store).await, Probes::GreenSince(at(90)));
}
