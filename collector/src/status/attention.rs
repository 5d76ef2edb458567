//! What needs somebody, and how much.

use std::time::Duration;

use sekimori_wire::time::Timestamp;
use serde::Serialize;

use super::Status;
use crate::incident::IncidentState;
use crate::observe::heartbeat::Running;
use crate::observe::snapshot::{CERTIFICATE_SOON, Snapshot};
use crate::timing::local;

/// A certificate of the collector that ends within this time is wrong by now.
const CERTIFICATE_LATE: Duration = Duration::from_secs(7 * 86_400);
/// A notice that waits for so long does not leave.
const NOTICE_STUCK_SECONDS: u64 = 900;
/// Incidents of this level that nobody has acknowledged are for now, those below for today.
const LEVEL_NOW: i64 = 3;

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Wrong: `status` ends with 3.
    Bad,
    /// To be seen to.
    Warn,
}

/// One thing that needs somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attention {
    /// How bad.
    pub grade: Grade,
    /// For programs: stable.
    pub what: &'static str,
    /// How many.
    pub count: i64,
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
}

/// Gathers it, the worst first.
pub(super) fn attention(
    status: &Status,
    watch: &Snapshot,
    collectors: &[Running],
    now: Timestamp,
) -> Vec<Attention> {
    let mut all = Gathered(Vec::new());
    all.collector(watch, collectors, now);
    all.work(status, watch);
    all.fleet(status, watch);
    all.exceptions(status);
    all.0.sort_by_key(|one| one.grade);
    all.0
}

struct Gathered(Vec<Attention>);

impl Gathered {
    /// `{n}` in a text is the count.
    fn add(&mut self, (grade, what): (Grade, &'static str), count: i64, ja: &str, en: &str) {
        if count > 0 {
            let fill = |text: &str| text.replace("{n}", &count.to_string());
            self.0.push(Attention { grade, what, count, ja: fill(ja), en: fill(en) });
        }
    }

    fn collector(&mut self, watch: &Snapshot, collectors: &[Running], now: Timestamp) {
        let none = i64::from(!collectors.iter().any(|one| one.alive));
        self.add(
            (Grade::Bad, "not_running"),
            none,
            "収集装置が動いていません",
            "no collector runs on this store",
        );
        if none == 0 {
            self.add(
                (Grade::Bad, "timers_late"),
                watch.timers_late,
                "{n} 件の時計が動いていません(ログを確認)",
                "{n} timers are due and did not fire: see the log",
            );
        }
        let gone = collectors.iter().filter(|one| !one.alive).count();
        self.add(
            (Grade::Warn, "collector_gone"),
            i64::try_from(gone).unwrap_or(i64::MAX),
            "{n} 台の収集装置が終了を告げずに消えました(7日以内)",
            "{n} collectors went away without a word within a week",
        );
        for (what, until) in &watch.certificates {
            let left = until.since(now);
            let grade = if left < CERTIFICATE_LATE { Grade::Bad } else { Grade::Warn };
            let day = local(*until).date();
            self.add(
                (grade, "own_certificate"),
                i64::from(left < CERTIFICATE_SOON),
                &format!("収集装置の証明書 {what} の期限は {day} です(ca renew-server / begin-swap)"),
                &format!("the collector's certificate {what} ends {day}: ca renew-server, or begin-swap"),
            );
        }
    }

    fn work(&mut self, status: &Status, watch: &Snapshot) {
        let detected = |high: bool| -> i64 {
            let new = watch.incidents.iter().filter(|(state, level, _)| {
                state == IncidentState::Detected.as_str() && (*level >= LEVEL_NOW) == high
            });
            new.map(|(_, _, count)| count).sum()
        };
        self.add(
            (Grade::Bad, "obligations_overdue"),
            watch.obligations_overdue,
            "法定報告など {n} 件が期限超過です",
            "{n} reports that are owed are overdue",
        );
        self.add(
            (Grade::Bad, "limits_passed"),
            watch.limits_passed,
            "事案の期限 {n} 件を超過しています",
            "{n} limits of incidents ran out",
        );
        self.add(
            (Grade::Bad, "unacknowledged_high"),
            detected(true),
            "L3以上の事案 {n} 件が未受付です",
            "{n} incidents of level 3 or more wait for somebody",
        );
        self.add(
            (Grade::Warn, "unacknowledged"),
            detected(false),
            "L2以下の事案 {n} 件が未受付です",
            "{n} incidents of level 2 or less wait for somebody",
        );
        let unverified = status.incidents.iter().filter(|one| !one.verified && one.findings > 0).count();
        self.add(
            (Grade::Bad, "not_verified"),
            i64::try_from(unverified).unwrap_or(i64::MAX),
            "事案 {n} 件の証拠の署名が確認できません(verify を実行)",
            "the evidence of {n} incidents does not verify: run `verify`",
        );
        let dead = watch.notices.iter().map(|one| one.dead).sum();
        self.add(
            (Grade::Bad, "notices_dead"),
            dead,
            "通知 {n} 件の送信を断念しました(notices dead で確認)",
            "{n} notices are given up: see `notices dead`",
        );
        let waiting = watch.notices.iter().map(|one| one.queued).sum();
        let stuck = if watch.notice_oldest_seconds > NOTICE_STUCK_SECONDS { waiting } else { 0 };
        self.add(
            (Grade::Bad, "notices_stuck"),
            stuck,
            "通知 {n} 件が15分以上送信できていません",
            "{n} notices wait, the oldest for more than 15 min",
        );
    }

    fn fleet(&mut self, status: &Status, watch: &Snapshot) {
        let fleet = &watch.fleet;
        self.add(
            (Grade::Bad, "agents_silent"),
            fleet.silent,
            "エージェント {n} 台が不通です",
            "{n} agents are silent",
        );
        self.add(
            (Grade::Bad, "agent_certificates_over"),
            fleet.certificates_over,
            "エージェント {n} 台の証明書が期限切れです",
            "the certificates of {n} agents are over: enrol them again",
        );
        self.add(
            (Grade::Warn, "agents_degraded"),
            fleet.degraded,
            "エージェント {n} 台の検知能力が低下しています",
            "{n} agents do not see well",
        );
        let due = i64::try_from(status.fleet.renewals_due.len()).unwrap_or(i64::MAX);
        self.add(
            (Grade::Warn, "renewals_due"),
            due,
            "エージェント {n} 台が証明書を更新していません",
            "{n} agents have not renewed their certificates",
        );
        self.add(
            (Grade::Warn, "enrolments_held"),
            fleet.held,
            "登録 {n} 件が確認を待っています(agent confirm)",
            "{n} enrolments wait for `agent confirm`",
        );
    }

    fn exceptions(&mut self, status: &Status) {
        let unread = i64::from(status.exceptions_error.is_some());
        self.add(
            (Grade::Bad, "exceptions_unread"),
            unread,
            "例外のファイルを読めません(以前のものが有効)",
            "the files of exceptions cannot be read: those before stay in force",
        );
        let ended = status.exceptions.iter().filter(|one| one.ends_within.is_some()).count();
        let ended = i64::try_from(ended).unwrap_or(i64::MAX);
        self.add(
            (Grade::Warn, "exceptions_ending"),
            ended,
            "例外 {n} 件の期限が30日以内か、切れています",
            "{n} exceptions end within 30 days, or have ended",
        );
        let unknown = i64::try_from(status.exceptions_unknown.len()).unwrap_or(i64::MAX);
        self.add(
            (Grade::Warn, "exceptions_unknown"),
            unknown,
            "収集装置に登録のない例外が {n} 件あります",
            "{n} exceptions are known to agents alone",
        );
    }
}
