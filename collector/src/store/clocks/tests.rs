//! With a virtual clock: every look is told what time it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::net::UdpSocket;

use super::call::{Call, CalledRole};
use super::duty::Handed;
use super::*;
use crate::auth::role::Role;
use crate::incident::IncidentCategory;
use crate::incident::obligation::{ObligationKind, ObligationState};
use crate::notify::template::NOTICES;
use crate::timing::Sources;
use crate::timing::assess::{Awareness, OriginRule};
use crate::timing::data::Text;
use crate::timing::duty::{Approver, Exemption, Move, Mover};

mod passed;
mod quiet;
mod shared;

const OPENED: &str = "2026-11-25T10:00:00+09:00";
const ID: &str = "INC-422011-20261125-1";

fn at(text: &str) -> Timestamp {
    format!("2026-{text}+09:00").parse().unwrap()
}

fn opened() -> Timestamp {
    OPENED.parse().unwrap()
}

fn after(seconds: u64) -> Timestamp {
    opened().plus(Duration::from_secs(seconds))
}

/// Where notices arrive.
async fn sink() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

fn arrived(sink: &UdpSocket) -> Vec<String> {
    let mut out = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n) = sink.try_recv(&mut buffer) {
        out.push(String::from_utf8(buffer[..n].to_vec()).unwrap());
    }
    out
}

fn settings(address: &str, more: &str) -> Settings {
    let contact = |name: &str, role: &str, more: &str| {
        format!("[[contact]]\nname = \"{name}\"\nroles = [\"{role}\"]\nsyslog = \"{name}\"\n{more}\n")
    };
    let names =
        ["reception", "monitor", "tech_support", "control", "body_officer", "body_ciso", "pref_csirt"];
    let mut text: String = more.to_owned();
    for name in names.iter().chain(&["monitor2", "reception2", "drill"]) {
        text.push_str(&format!(
            "[[syslog]]\nname = \"{name}\"\naddress = \"{address}\"\ntransport = \"udp\"\n"
        ));
    }
    for name in names {
        text.push_str(&contact(name, name, ""));
    }
    text.push_str(&contact("monitor2", "monitor", ""));
    text.push_str(&contact("reception2", "reception", "deputy = true"));
    text.push_str(&contact("drill", "monitor", "drill = true"));
    Settings::parse(&Text { file: "notify.toml".to_owned(), text }, Path::new(".")).unwrap()
}

/// A replica: its own connections to the same store.
async fn replica(path: &Path, sink: &UdpSocket, more: &str) -> Clocks {
    let store = if path.exists() { Store::open(path).await } else { Store::create(path).await }.unwrap();
    let templates = Templates::parse(&Text { file: "n".to_owned(), text: NOTICES.to_owned() }).unwrap();
    Clocks {
        store,
        timing: Arc::new(Timing::load(&Sources::default()).unwrap()),
        templates: Arc::new(templates),
        settings: Arc::new(settings(&sink.local_addr().unwrap().to_string(), more)),
        url: "https://soc.example.jp".to_owned(),
    }
}

/// The same on a store of the kind that this run is about.
async fn on_any_store(clocks: &Clocks, dir: &tempfile::TempDir) -> Clocks {
    let store = crate::store::testing::store(&dir.path().join("any.db")).await;
    Clocks { store, ..clocks.clone() }
}

struct Bench {
    dir: tempfile::TempDir,
    sink: UdpSocket,
    one: Clocks,
}

async fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink().await;
    let one = replica(&dir.path().join("s.db"), &sink, "").await;
    Bench { dir, sink, one }
}

async fn open(store: &Store, id: &str, level: i64, mode: &str) {
    let mut tx = store.begin().await.unwrap();
    db::query(
        "INSERT INTO incidents (id, category, severity, state, body, subject, opened_at, updated_at, first_evidence,
                                last_evidence, findings, mode, version, title_ja, title_en, reason_json)
         VALUES ($1, 'ransomware', $2, 'detected', '422011', '203.0.113.7', $3, $3, $3, $3, 1, $4, 1, '', '', '{}')",
    )
    .bind(id)
    .bind(level)
    .bind(stored(opened()))
    .bind(mode)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    changed(store, id, "opened", opened()).await;
}

async fn changed(store: &Store, id: &str, kind: &str, now: Timestamp) {
    db::query("INSERT INTO incident_changes (at, incident, kind, json) VALUES ($1, $2, $3, '{}')")
        .bind(stored(now))
        .bind(id)
        .bind(kind)
        .execute(store.writer())
        .await
        .unwrap();
}

/// What people wrote down, and the state it led to.
async fn work(store: &Store, id: &str, state: &str, work: serde_json::Value, now: Timestamp) {
    db::query("UPDATE incidents SET state = $2, version = version + 1 WHERE id = $1")
        .bind(id)
        .bind(state)
        .execute(store.writer())
        .await
        .unwrap();
    db::query(
        "INSERT INTO incident_work (incident, json) VALUES ($1, $2)
         ON CONFLICT (incident) DO UPDATE SET json = excluded.json",
    )
    .bind(id)
    .bind(work.to_string())
    .execute(store.writer())
    .await
    .unwrap();
    changed(store, id, "moved", now).await;
}

/// Rungs that fired, with their times.
async fn fired(store: &Store) -> BTreeMap<String, Timestamp> {
    let rows: Vec<(String, String, i64, i64)> = db::query_as(
        "SELECT incident, what, rung, fired_at FROM timers WHERE fired_at IS NOT NULL ORDER BY fired_at",
    )
    .fetch_all(store.reader())
    .await
    .unwrap();
    let named = |(incident, what, rung, at): (String, String, i64, i64)| {
        (format!("{incident} {what} {rung}"), clock::from_stored(at))
    };
    rows.into_iter().map(named).collect()
}

async fn contacts(store: &Store, like: &str) -> Vec<String> {
    db::query_scalar("SELECT contact FROM notices WHERE key LIKE $1 ORDER BY written_at, key")
        .bind(like)
        .fetch_all(store.reader())
        .await
        .unwrap()
}

async fn told_times(store: &Store) -> i64 {
    let sql = "SELECT count(*) FROM incident_changes WHERE kind = 'timer'";
    db::query_scalar(sql).fetch_one(store.reader()).await.unwrap()
}

#[tokio::test]
async fn the_ladder_climbs_until_somebody_takes_it() {
    let bench = bench().await;
    let clocks = &bench.one;
    open(&clocks.store, ID, 3, "live").await;
    for (seconds, rung, to) in [
        (299, None, &[][..]),
        (300, Some(50), &["monitor"]),
        (600, Some(100), &["reception", "reception2"]),
        (900, Some(150), &["control"]),
        (1200, Some(200), &["body_ciso", "pref_csirt"]),
    ] {
        clocks.look(after(seconds)).await.unwrap();
        let Some(rung) = rung else {
            assert!(fired(&clocks.store).await.is_empty());
            continue;
        };
        assert_eq!(fired(&clocks.store).await.get(&format!("{ID} ack {rung}")), Some(&after(seconds)));
        let mut told = contacts(&clocks.store, &format!("{ID}/ack/%/{rung}/%")).await;
        told.sort();
        assert_eq!(told.iter().filter(|name| *name != "monitor2").collect::<Vec<_>>(), to, "{rung}");
    }
}

#[tokio::test]
async fn taking_it_stops_the_ladder_and_what_is_due_then_goes_on() {
    let bench = bench().await;
    let clocks = &bench.one;
    open(&clocks.store, ID, 4, "live").await;
    clocks.look(after(150)).await.unwrap();
    let taken = json!({ "acknowledged_at": after(200) });
    work(&clocks.store, ID, "received", taken, after(200)).await;
    clocks.look(after(1800)).await.unwrap();
    let fired = fired(&clocks.store).await;
    let acks: Vec<_> = fired.keys().filter(|name| name.contains(" ack ")).collect();
    assert_eq!(acks, [&format!("{ID} ack 50")], "nothing of the ladder after it was taken");
    assert!(fired.contains_key(&format!("{ID} first_response 100")));
    assert!(!fired.contains_key(&format!("{ID} status_update 100")), "30 minutes from 200 s");
    clocks.look(after(2000)).await.unwrap();
    assert!(self::fired(&clocks.store).await.contains_key(&format!("{ID} status_update 100")));
}

/// Replicas that look at odd times, at once, die and come back: every rung once, none missed.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_and_replicas_neither_miss_nor_repeat() {
    let bench = bench().await;
    let path = bench.dir.path().join("s.db");
    let ids: Vec<String> = (0..8).map(|n| format!("INC-422011-20261125-{n}")).collect();
    for (n, id) in (0_i64..).zip(&ids) {
        open(&bench.one.store, id, 2 + n % 3, "live").await;
    }
    let mut two = replica(&path, &bench.sink, "").await;
    let mut count = 0;
    for step in 0..60_u64 {
        let (now, then) = (after(step * 97), after(step * 97 + 41));
        let (a, b) = tokio::join!(bench.one.look(now), two.look(then));
        count += a.unwrap() + b.unwrap();
        if step % 7 == 0 {
            two.store.close().await;
            two = replica(&path, &bench.sink, "").await;
        }
    }
    let end = after(59 * 97 + 41);
    let calendar = bench.one.timing.calendars.of(Some(&"422011".parse().unwrap()));
    let mut expected = 0;
    for id in &ids {
        let mut tx = bench.one.store.begin().await.unwrap();
        let case = case::read(&mut tx, id, end).await.unwrap().unwrap();
        let all = crate::timing::timer::timers(&case.watch, &calendar, &bench.one.timing.table);
        expected += all.iter().filter(|timer| timer.due_at <= end).count();
    }
    let fired: i64 = db::query_scalar("SELECT count(*) FROM timers WHERE fired_at IS NOT NULL")
        .fetch_one(bench.one.store.reader())
        .await
        .unwrap();
    assert!(expected > 40, "{expected}");
    assert_eq!((usize::try_from(fired).unwrap(), usize::try_from(count).unwrap()), (expected, expected));
    assert_eq!(usize::try_from(told_times(&bench.one.store).await).unwrap(), expected, "each told once");
    let early: i64 = db::query_scalar("SELECT count(*) FROM timers WHERE fired_at < due_at")
        .fetch_one(bench.one.store.reader())
        .await
        .unwrap();
    assert_eq!(early, 0);
}

#[tokio::test]
async fn unread_goes_to_the_next_contact_and_read_does_not() {
    let bench = bench().await;
    let clocks = &bench.one;
    let pattern = |id: &str| format!("{id}/ack/%/50/monitor/%");
    let other = "INC-422011-20261125-2";
    open(&clocks.store, ID, 4, "live").await;
    open(&clocks.store, other, 4, "live").await;
    clocks.look(after(150)).await.unwrap();
    let read = clocks.store.read_notices(other, Role::Monitor, "hanako", after(160)).await.unwrap();
    assert_eq!(read, 2, "the opening and the first rung");
    assert_eq!(clocks.store.read_notices(other, Role::Monitor, "hanako", after(161)).await.unwrap(), 0);
    clocks.look(after(150 + 599)).await.unwrap();
    assert_eq!(contacts(&clocks.store, &pattern(ID)).await, ["monitor"]);
    clocks.look(after(150 + 600)).await.unwrap();
    clocks.look(after(150 + 5000)).await.unwrap();
    assert_eq!(contacts(&clocks.store, &pattern(ID)).await, ["monitor", "monitor2"]);
    assert_eq!(contacts(&clocks.store, &pattern(other)).await, ["monitor"]);
    let seen = clocks.store.notices(Some(other), 100).await.unwrap();
    assert!(seen.iter().any(|notice| notice.read_by.as_deref() == Some("hanako")));
}

#[tokio::test]
async fn a_storm_is_three_notices() {
    let bench = bench().await;
    let clocks = &bench.one;
    open(&clocks.store, ID, 2, "live").await;
    for n in 1..=1000_i64 {
        db::query("UPDATE incidents SET findings = $2, severity = $3 WHERE id = $1")
            .bind(ID)
            .bind(n)
            .bind(if n < 500 { 2_i64 } else { 4 })
            .execute(clocks.store.writer())
            .await
            .unwrap();
        if n % 10 == 0 || n < 20 {
            changed(&clocks.store, ID, "finding", opened()).await;
            clocks.look(opened()).await.unwrap();
        }
    }
    let kinds: Vec<String> =
        db::query_scalar("SELECT DISTINCT kind FROM notices WHERE key LIKE '%/findings/%' ORDER BY kind")
            .fetch_all(clocks.store.reader())
            .await
            .unwrap();
    assert_eq!(kinds, ["grown", "opened", "raised"]);
    for role in ["monitor", "reception", "body_officer"] {
        assert_eq!(contacts(&clocks.store, &format!("%/findings/%/{role}/%")).await.len(), 3, "{role}");
    }
}

#[tokio::test]
async fn a_drill_reaches_nobody_but_its_own_list() {
    let bench = bench().await;
    let clocks = &bench.one;
    open(&clocks.store, ID, 4, "replay").await;
    clocks.look(after(3600)).await.unwrap();
    let mut names = contacts(&clocks.store, "%").await;
    names.sort();
    names.dedup();
    assert_eq!(names, ["", "drill"], "and where nobody is on the list, a dead letter");
    let subjects: Vec<String> =
        db::query_scalar("SELECT subject FROM notices").fetch_all(clocks.store.reader()).await.unwrap();
    assert!(subjects.iter().all(|subject| subject.starts_with("【訓練】")));
    let dead = clocks.store.notices(None, 1000).await.unwrap();
    assert!(!dead.is_empty() && dead.iter().all(|notice| notice.contact.is_empty()));
}

#[tokio::test]
async fn letters_leave_once_each_and_two_replicas_do_not_send_the_same() {
    let bench = bench().await;
    open(&bench.one.store, ID, 4, "live").await;
    bench.one.look(after(600)).await.unwrap();
    let two = replica(&bench.dir.path().join("s.db"), &bench.sink, "").await;
    let written: i64 =
        db::query_scalar("SELECT count(*) FROM notices").fetch_one(bench.one.store.reader()).await.unwrap();
    let mut sent = 0;
    for step in 0..10 {
        let (a, b) = tokio::join!(bench.one.deliver(after(600 + step)), two.deliver(after(600 + step)));
        sent += a.unwrap().sent + b.unwrap().sent;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let letters = arrived(&bench.sink);
    assert_eq!((i64::from(sent), i64::try_from(letters.len()).unwrap()), (written, written));
    assert!(two.deliver(after(9000)).await.unwrap().is_empty(), "nothing is sent again");
}

#[tokio::test]
async fn whoever_dies_while_sending_is_followed_by_another() {
    let bench = bench().await;
    open(&bench.one.store, ID, 4, "live").await;
    bench.one.look(opened()).await.unwrap();
    let taken = bench.one.take_for_test(opened()).await;
    assert_eq!(taken, 3);
    let two = replica(&bench.dir.path().join("s.db"), &bench.sink, "").await;
    assert!(two.deliver(after(60)).await.unwrap().is_empty(), "somebody is sending them");
    assert_eq!(two.deliver(after(3600)).await.unwrap().sent, 3);
}

#[tokio::test]
async fn what_does_not_arrive_is_tried_again_then_given_up_and_passed_on() {
    let bench = bench().await;
    let path = bench.dir.path().join("t.db");
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut clocks = replica(&path, &bench.sink, "[limits]\nattempts = 3\n").await;
    let mut settings = Settings::clone(&clocks.settings);
    for target in &mut settings.syslogs {
        if target.name == "monitor" {
            target.transport = crate::notify::syslog::Transport::Tcp;
            target.address = refusing.to_string();
        }
    }
    clocks.settings = Arc::new(settings);
    open(&clocks.store, ID, 2, "live").await;
    clocks.look(opened()).await.unwrap();
    let round = clocks.deliver(opened()).await.unwrap();
    assert_eq!((round.sent, round.failed, round.dead), (2, 1, 0));
    assert!(clocks.deliver(after(29)).await.unwrap().is_empty(), "half a minute's pause");
    assert_eq!(clocks.deliver(after(30)).await.unwrap().failed, 1);
    assert!(clocks.deliver(after(89)).await.unwrap().is_empty(), "then a minute");
    assert_eq!(clocks.deliver(after(90)).await.unwrap().dead, 1);
    let attempts: Vec<Option<String>> =
        db::query_scalar("SELECT error FROM notice_attempts WHERE notice LIKE '%/monitor/0' ORDER BY n")
            .fetch_all(clocks.store.reader())
            .await
            .unwrap();
    assert!(attempts.len() == 3 && attempts.iter().all(Option::is_some), "{attempts:?}");
    let dead = clocks.store.notices(None, 10).await.unwrap();
    assert_eq!(dead.iter().map(|notice| notice.contact.as_str()).collect::<Vec<_>>(), ["monitor"]);
    clocks.look(after(91)).await.unwrap();
    assert_eq!(contacts(&clocks.store, "%/findings/%/monitor/%").await, ["monitor", "monitor2"], "at once");
}

#[tokio::test]
async fn one_address_gets_so_many_a_minute() {
    let bench = bench().await;
    let path = bench.dir.path().join("t.db");
    let clocks = replica(&path, &bench.sink, "[limits]\nper_minute = 2\n").await;
    for n in 0..5 {
        let id = format!("INC-422011-20261125-{n}");
        open(&clocks.store, &id, 2, "live").await;
        // Of one kind they would share their notices.
        db::query("UPDATE incidents SET category = $2 WHERE id = $1")
            .bind(&id)
            .bind(IncidentCategory::ALL[n].as_str())
            .execute(clocks.store.writer())
            .await
            .unwrap();
    }
    clocks.look(opened()).await.unwrap();
    let first = clocks.deliver(opened()).await.unwrap();
    assert_eq!((first.sent, first.waiting), (6, 9), "two to each of three");
    let (mut sent, mut at) = (6, 0);
    while sent < 15 {
        at += 15;
        sent += clocks.deliver(after(at)).await.unwrap().sent;
        assert!(at < 600, "{sent}");
    }
    assert!(at >= 120, "five to one address take two minutes");
}

fn officer(now: Timestamp) -> Mover<'static> {
    Mover { account: "officer", role: Role::BodyOfficer, now }
}

/// A leak that was triaged at 11:00 of the day.
async fn leaking(clocks: &Clocks) {
    open(&clocks.store, ID, 3, "live").await;
    let triaged = json!({
        "acknowledged_at": at("11-25T10:05:00"),
        "first_response_at": at("11-25T10:30:00"),
        "contained_at": at("11-25T12:00:00"),
        "triage": { "category": "ransomware", "leak_class": "personal" },
    });
    work(&clocks.store, ID, "investigating", triaged, at("11-25T11:00:00")).await;
    clocks.look(at("11-25T11:00:00")).await.unwrap();
}

#[tokio::test]
async fn obligations_are_derived_remind_and_stay_overdue_until_filed() {
    let bench = bench().await;
    let clocks = &bench.one;
    leaking(clocks).await;
    let of = |kind| async move {
        let all = clocks.store.obligations(ID).await.unwrap();
        all.into_iter().find(|one| one.kind == kind).unwrap()
    };
    let prelim = of(ObligationKind::PpcPrelim).await;
    assert_eq!(prelim.due.limit.unwrap().to_string(), "2026-11-29");
    assert_eq!((prelim.state, prelim.triggers), (ObligationState::NotAssessed, vec!["wrongful".to_owned()]));
    // Ransomware: 60 days, and a Saturday: 2027-01-23 moves to Monday.
    let last = of(ObligationKind::PpcFinal).await.due;
    assert_eq!(
        (last.raw.unwrap().to_string(), last.limit.unwrap().to_string()),
        ("2027-01-23".into(), "2027-01-25".into())
    );
    clocks.look(at("11-30T09:00:00")).await.unwrap();
    let told = contacts(&clocks.store, "%/ppc_prelim/overdue/%/1/%").await;
    assert_eq!(told, ["body_ciso", "body_officer", "control", "pref_csirt"]);
    let now = at("12-01T08:00:00");
    assert!(of(ObligationKind::PpcPrelim).await.overdue(now));
    clocks
        .store
        .move_obligation(ID, ObligationKind::PpcPrelim, officer(now), &Move::Applies, &Handed::default())
        .await
        .unwrap();
    clocks.look(now).await.unwrap();
    assert!(of(ObligationKind::PpcPrelim).await.overdue(now), "deciding does not hide it");
    clocks
        .store
        .move_obligation(ID, ObligationKind::PpcPrelim, officer(now), &Move::File, &Handed::default())
        .await
        .unwrap();
    let prelim = of(ObligationKind::PpcPrelim).await;
    assert!(!prelim.overdue(now) && prelim.late(), "filed, and late for ever");
    clocks.look(at("12-20T09:00:00")).await.unwrap();
    assert_eq!(
        contacts(&clocks.store, "%/ppc_prelim/overdue/%").await.len(),
        told.len(),
        "no more reminders"
    );
    for wanted in [Move::Applies, Move::File] {
        clocks
            .store
            .move_obligation(ID, ObligationKind::PpcFinal, officer(now), &wanted, &Handed::default())
            .await
            .unwrap();
    }
    assert_eq!(of(ObligationKind::PpcPrelim).await.state, ObligationState::Completed);
}

#[tokio::test]
async fn what_a_person_records_moves_the_days() {
    let bench = bench().await;
    let clocks = &bench.one;
    leaking(clocks).await;
    let known = Awareness {
        known_at: at("11-22T09:00:00"),
        known_by: "市民課 主事".to_owned(),
        known_dept: "市民課".to_owned(),
        origin_rule: OriginRule::Corrected,
    };
    let control = Mover { account: "control", role: Role::Control, now: at("11-25T13:00:00") };
    clocks.store.record_awareness(ID, &known, control, "電話記録で確認", None).await.unwrap();
    clocks.look(at("11-25T13:00:00")).await.unwrap();
    let all = clocks.store.obligations(ID).await.unwrap();
    let limits: BTreeMap<_, _> =
        all.into_iter().map(|one| (one.kind, one.due.limit.map(|day| day.to_string()))).collect();
    assert_eq!(limits[&ObligationKind::PpcPrelim].as_deref(), Some("2026-11-26"));
    assert_eq!(limits[&ObligationKind::PpcFinal].as_deref(), Some("2027-01-20"));
}

#[tokio::test]
async fn an_exemption_needs_the_ciso_and_what_people_decided_stays() {
    let bench = bench().await;
    let clocks = &bench.one;
    leaking(clocks).await;
    let now = at("11-25T14:00:00");
    let exempt = |approver: Option<&str>| Move::Exempt {
        reason: Exemption::NoPersonalData,
        note: "写しのみ".to_owned(),
        approved_by: approver.map(|account| Approver { account: account.to_owned(), role: Role::BodyCiso }),
    };
    let moved = |wanted| async move {
        clocks
            .store
            .move_obligation(ID, ObligationKind::PpcPrelim, officer(now), &wanted, &Handed::default())
            .await
    };
    assert!(matches!(moved(exempt(None)).await, Err(MoveError::Refused(_))));
    assert!(matches!(moved(exempt(Some("officer"))).await, Err(MoveError::Refused(_))));
    assert_eq!(moved(exempt(Some("ciso"))).await.unwrap(), ObligationState::NotApplicable);
    changed(&clocks.store, ID, "finding", now).await;
    clocks.look(now).await.unwrap();
    let all = clocks.store.obligations(ID).await.unwrap();
    let one = all.iter().find(|one| one.kind == ObligationKind::PpcPrelim).unwrap();
    assert_eq!(
        (one.state, one.reason.as_str()),
        (ObligationState::NotApplicable, "no_personal_data: 写しのみ")
    );
    let mut tx = clocks.store.begin().await.unwrap();
    let guards = obligations_of(&mut tx, ID).await.unwrap();
    assert!(guards.iter().any(|one| one.kind == ObligationKind::PpcFinal));
    assert!(
        !guards.iter().any(|one| one.kind == ObligationKind::Jpcert),
        "what is voluntary holds nobody up"
    );
}

#[tokio::test]
async fn the_body_is_told_when_somebody_read_it_or_was_called() {
    let bench = bench().await;
    let clocks = &bench.one;
    let other = "INC-422011-20261125-2";
    open(&clocks.store, ID, 4, "live").await;
    open(&clocks.store, other, 4, "live").await;
    clocks.look(opened()).await.unwrap();
    clocks.deliver(opened()).await.unwrap();
    let by = Mover { account: "hanako", role: Role::Monitor, now: after(60) };
    let call = |reached| Call {
        to: "情報政策課".to_owned(),
        reached,
        said: "第一報".to_owned(),
        role: CalledRole::BodyOfficer,
        at: None,
    };
    clocks.store.record_call(ID, &call(false), by).await.unwrap();
    clocks.store.record_call(other, &call(true), by).await.unwrap();
    assert_eq!(clocks.store.verify_audit().await.unwrap().broken, None);
    clocks.look(after(900)).await.unwrap();
    let fired = fired(&clocks.store).await;
    assert!(
        fired.contains_key(&format!("{ID} notify 100")),
        "neither a letter that was sent nor a call that reached nobody tells the body"
    );
    assert!(!fired.contains_key(&format!("{other} notify 100")));
}
