//! Things to do on an incident: taken over from a version of a playbook, or demanded by what leaked, or added by hand.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::form::{LeakClass, Signed};
use super::playbook::Playbook;
use crate::auth::role::Role;

closed_words! {
    /// The six steps of the work.
    Phase {
        /// 1.
        Detect "detect" "検知" "Detect",
        /// 2.
        Respond "respond" "初動" "Respond",
        /// 3.
        Investigate "investigate" "調査" "Investigate",
        /// 4.
        Notify "notify" "通知・報告" "Notify",
        /// 5.
        Recover "recover" "復旧" "Recover",
        /// 6.
        Review "review" "事後対応" "Review",
    }
}

closed_words! {
    /// What a task must wait for, or makes true.
    TaskKind {
        /// Nothing special.
        Work "work" "作業" "Work",
        /// Removes traces: only after the evidence is preserved.
        CleanUp "clean_up" "痕跡の除去・初期化" "Clean-up",
    }
}

/// How a task stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TaskState {
    /// Not done yet.
    #[default]
    Open,
    /// Done.
    Done {
        /// By whom, when.
        signed: Signed,
        /// What came of it.
        note: String,
    },
    /// Will not be done, for a reason.
    Waived {
        /// By whom, when.
        signed: Signed,
        /// Why not.
        reason: String,
    },
}

impl TaskState {
    /// The stable identifier.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done { .. } => "done",
            Self::Waived { .. } => "waived",
        }
    }
}

/// A thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Within the incident, from 1.
    pub n: u32,
    /// Where it comes from: `scan/1#sources`, `leak/public_interest#draft`, `hand`.
    pub origin: String,
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
    /// ★: must be done, or waived with a reason.
    pub mandatory: bool,
    /// Who it is for.
    pub role: Role,
    /// Before which step ends.
    pub phase: Phase,
    /// What it waits for.
    pub kind: TaskKind,
    /// Who took it.
    pub assignee: Option<String>,
    /// How it stands.
    pub state: TaskState,
}

impl Task {
    /// It blocks the end of its step.
    pub fn blocks(&self) -> bool {
        self.mandatory && self.state == TaskState::Open
    }
}

/// A task before it has a number.
struct Draft<'a> {
    origin: String,
    ja: &'a str,
    en: &'a str,
    mandatory: bool,
    role: Role,
    phase: Phase,
    kind: TaskKind,
}

/// Adds the steps of a playbook that are not there yet: the same incident may get a second playbook when its category
/// turns out to be another one, and what was done stays done.
pub fn attach(tasks: &mut Vec<Task>, playbook: &Playbook) {
    for step in &playbook.steps {
        let draft = Draft {
            origin: format!("{}/{}#{}", playbook.category, playbook.version, step.id),
            ja: &step.ja,
            en: &step.en,
            mandatory: step.mandatory,
            role: step.role,
            phase: step.phase,
            kind: step.kind,
        };
        push(tasks, draft);
    }
}

/// What a leak of a class demands: identifier, Japanese, English, for whom, before which step ends.
const LEAK_TASKS: &[(LeakClass, &str, &str, &str, Role, Phase)] = {
    use LeakClass::{General, Personal, PublicInterest, SpecificPersonal, Suspected};
    use Phase::{Investigate, Notify};
    use Role::{BodyCiso, BodyOfficer};
    &[
        (
            Suspected,
            "assess",
            "漏えいの有無を確定",
            "Establish whether data leaked",
            BodyOfficer,
            Investigate,
        ),
        (
            Personal,
            "items",
            "項目と本人数(最小・最大)を特定",
            "Establish items and number of people (least, most)",
            BodyOfficer,
            Investigate,
        ),
        (
            Personal,
            "subjects",
            "本人への通知を判断・実施",
            "Decide on and give notice to the people concerned",
            BodyOfficer,
            Notify,
        ),
        (
            SpecificPersonal,
            "items",
            "項目と本人数(最小・最大)を特定",
            "Establish items and number of people (least, most)",
            BodyOfficer,
            Investigate,
        ),
        (
            SpecificPersonal,
            "subjects",
            "本人への通知を判断・実施",
            "Decide on and give notice to the people concerned",
            BodyOfficer,
            Notify,
        ),
        (PublicInterest, "draft", "公表文案を作成", "Draft the publication", BodyOfficer, Notify),
        (
            PublicInterest,
            "spokesperson",
            "発言者を一人に定める",
            "Name a single spokesperson",
            BodyCiso,
            Notify,
        ),
        (
            PublicInterest,
            "legal",
            "法務の確認を受ける",
            "Have it checked by the legal section",
            BodyOfficer,
            Notify,
        ),
        (
            PublicInterest,
            "questions",
            "想定問答を作成",
            "Write the questions and answers",
            BodyOfficer,
            Notify,
        ),
        (General, "stakeholders", "関係者へ通知", "Tell the stakeholders", BodyOfficer, Notify),
        (
            General,
            "cause",
            "原因の特定と改善策の整理",
            "Establish the cause and what to improve",
            BodyOfficer,
            Investigate,
        ),
        (General, "partners", "取引先・共有先へ報告", "Report to partners", BodyOfficer, Notify),
    ]
};

/// Adds the tasks that a leak of this class demands. Tasks of a class that is no longer thought true stay: somebody
/// waives them and says why.
pub fn attach_leak(tasks: &mut Vec<Task>, class: LeakClass) {
    for (_, id, ja, en, role, phase) in LEAK_TASKS.iter().filter(|(of, ..)| *of == class) {
        let draft = Draft {
            origin: format!("leak/{class}#{id}"),
            ja,
            en,
            mandatory: true,
            role: *role,
            phase: *phase,
            kind: TaskKind::Work,
        };
        push(tasks, draft);
    }
}

/// Adds a task by hand; not mandatory.
pub fn add(tasks: &mut Vec<Task>, text: &str, role: Role, phase: Phase, kind: TaskKind) {
    let n = next(tasks);
    tasks.push(Task {
        n,
        origin: format!("hand#{n}"),
        ja: text.to_owned(),
        en: text.to_owned(),
        mandatory: false,
        role,
        phase,
        kind,
        assignee: None,
        state: TaskState::Open,
    });
}

fn push(tasks: &mut Vec<Task>, draft: Draft<'_>) {
    if tasks.iter().any(|task| task.origin == draft.origin) {
        return;
    }
    tasks.push(Task {
        n: next(tasks),
        origin: draft.origin,
        ja: draft.ja.to_owned(),
        en: draft.en.to_owned(),
        mandatory: draft.mandatory,
        role: draft.role,
        phase: draft.phase,
        kind: draft.kind,
        assignee: None,
        state: TaskState::Open,
    });
}

fn next(tasks: &[Task]) -> u32 {
    tasks.iter().map(|task| task.n).max().unwrap_or_default().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentCategory;
    use crate::incident::playbook::playbook;

    #[test]
    fn a_playbook_is_attached_once_and_a_second_one_beside_it() {
        let mut tasks = Vec::new();
        let scan = playbook(IncidentCategory::Scan).unwrap();
        attach(&mut tasks, scan);
        assert_eq!(tasks.len(), scan.steps.len());
        attach(&mut tasks, scan);
        assert_eq!(tasks.len(), scan.steps.len());
        attach(&mut tasks, playbook(IncidentCategory::Dos).unwrap());
        let numbers: Vec<u32> = tasks.iter().map(|task| task.n).collect();
        assert_eq!(numbers, (1..=u32::try_from(tasks.len()).unwrap()).collect::<Vec<_>>());
        assert!(tasks[0].blocks() && tasks[0].origin.starts_with("scan/1#"));
    }

    #[test]
    fn what_leaked_decides_what_must_be_done() {
        for (class, ids) in [
            (LeakClass::None, vec![]),
            (LeakClass::Suspected, vec!["assess"]),
            (LeakClass::Personal, vec!["items", "subjects"]),
            (LeakClass::SpecificPersonal, vec!["items", "subjects"]),
            (LeakClass::PublicInterest, vec!["draft", "spokesperson", "legal", "questions"]),
            (LeakClass::General, vec!["stakeholders", "cause", "partners"]),
        ] {
            let mut tasks = Vec::new();
            attach_leak(&mut tasks, class);
            attach_leak(&mut tasks, class);
            let found: Vec<_> =
                tasks.iter().map(|task| task.origin.split_once('#').unwrap().1.to_owned()).collect();
            assert_eq!(found, ids, "{class}");
            assert!(tasks.iter().all(|task| task.mandatory));
        }
    }

    #[test]
    fn a_task_added_by_hand_blocks_nothing() {
        let mut tasks = Vec::new();
        add(&mut tasks, "端末を初期化", Role::TechSupport, Phase::Recover, TaskKind::CleanUp);
        assert!(!tasks[0].blocks());
        assert_eq!(tasks[0].n, 1);
    }
}
