//! What one can ask of an incident, as the API takes it: `{"action": "triage", …}`.

use sekimori_wire::finding::Severity;
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::form::{FalsePositiveReason, Investigation, Leak, Publication, Review, Triage, Vendor};
use super::permission::Permission;
use super::severity::level;
use super::task::{Phase, TaskKind};
use crate::auth::role::Role;

/// Something to do with an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// `detected` → `received`.
    Acknowledge,
    /// `received` → `triaged`; in a later state: assess again, and the state stays.
    Triage {
        /// All of it.
        triage: Triage,
    },
    /// Another level, up or down.
    SetLevel {
        /// 0 to 4.
        #[serde(with = "level")]
        #[schema(value_type = u8, maximum = 4)]
        level: Severity,
        /// Why.
        reason: String,
    },
    /// Somebody else works on it.
    Assign {
        /// Who.
        owner: String,
    },
    /// Nobody in particular works on it any more: it is its role's again.
    Release {
        /// Why.
        reason: String,
    },
    /// It has to do with another incident.
    Link {
        /// Which.
        other: String,
        /// Why.
        reason: String,
    },
    /// It has nothing to do with another incident, after all.
    Unlink {
        /// Which.
        other: String,
        /// Why.
        reason: String,
    },
    /// Retention leaves it alone, however old it is: a lawsuit, an inquiry.
    Hold {
        /// Why.
        reason: String,
    },
    /// Retention may take it.
    ReleaseHold {
        /// Why.
        reason: String,
    },
    /// `triaged` → `containing`.
    Start,
    /// `containing` → `investigating`.
    Investigate,
    /// `investigating` → `notifying`.
    Notify,
    /// `notifying` → `recovering`; investigating → recovering where nothing must be reported.
    Recover,
    /// `recovering` → `post_review`.
    Finish,
    /// `post_review` → `closed`.
    Close,
    /// `observing` → `closed`, when a week has passed.
    Expire,
    /// `closed`, `recovering` or `post_review` → `investigating`.
    Reopen {
        /// Why.
        reason: String,
    },
    /// One of investigating → containing, notifying → investigating, notifying → containing.
    Back {
        /// Where to.
        to: super::IncidentState,
        /// Why.
        reason: String,
    },
    /// → `observing`.
    Observe {
        /// Why.
        reason: String,
    },
    /// `observing` → `received`.
    Recur {
        /// What was seen.
        reason: String,
    },
    /// → `false_positive`.
    FalsePositive {
        /// Why, in one word.
        code: FalsePositiveReason,
        /// Why, in a sentence.
        reason: String,
    },
    /// → `merged`.
    Merge {
        /// Into which incident.
        into: String,
        /// Why.
        reason: String,
    },
    /// merged → what it was.
    Unmerge {
        /// Why.
        reason: String,
    },
    /// Some of its findings become an incident of their own.
    Split {
        /// Which.
        findings: Vec<String>,
        /// Why.
        reason: String,
    },
    /// A task is done.
    DoTask {
        /// Its number.
        task: u32,
        /// What came of it.
        #[serde(default)]
        note: String,
    },
    /// A task will not be done.
    WaiveTask {
        /// Its number.
        task: u32,
        /// Why not.
        reason: String,
    },
    /// A task was not done after all.
    UndoTask {
        /// Its number.
        task: u32,
        /// Why.
        reason: String,
    },
    /// Somebody takes a task.
    TakeTask {
        /// Its number.
        task: u32,
        /// Who.
        assignee: String,
    },
    /// One more thing to do.
    AddTask {
        /// What.
        text: String,
        /// For whom.
        role: Role,
        /// Before which step ends.
        phase: Phase,
        /// Whether it removes traces.
        kind: TaskKind,
    },
    /// Something worth knowing.
    Note {
        /// In words.
        text: String,
    },
    /// When it will be done.
    Eta {
        /// When.
        #[schema(value_type = String, format = DateTime)]
        until: Timestamp,
        /// Why then.
        #[serde(default)]
        reason: String,
    },
    /// What was found out.
    Investigation {
        /// The form.
        form: Investigation,
    },
    /// What leaked.
    Leak {
        /// The form.
        form: Leak,
    },
    /// The evidence is safe.
    PreserveEvidence {
        /// What, where.
        what: String,
    },
    /// Whether and how the public is told. The text becomes a new version; an approval is void then.
    Publication {
        /// The decision; `texts` and `approved` are kept by the program.
        form: Publication,
        /// The words proposed.
        #[serde(default)]
        text: String,
    },
    /// The last version may be published.
    ApprovePublication,
    /// Others speak of it already.
    Mentioned {
        /// Where.
        place: String,
    },
    /// Somebody from outside helps.
    Vendor {
        /// Who.
        form: Vendor,
    },
    /// The review.
    Review {
        /// The form.
        form: Review,
    },
    /// Incident control takes over.
    ActivateControl {
        /// Why.
        reason: String,
    },
    /// Packets as evidence.
    EvidenceCapture {
        /// Which hosts, which time.
        what: String,
        /// Why.
        reason: String,
    },
    /// See what is hidden.
    Unmask {
        /// What.
        what: String,
        /// Why.
        reason: String,
    },
    /// Keep such findings out.
    Suppress {
        /// Which, as `category=scan.port originator=192.0.2.7 port=443 responder=… target=… segment=…`; all that is named must
        /// fit. It holds for the incident's body; `body=…` names the one of a wide-area incident.
        scope: String,
        /// For how long.
        days: u32,
        /// Why.
        reason: String,
    },
    /// Give it to others.
    Share {
        /// To whom.
        recipient: String,
        /// Marked how (TLP 2.0).
        tlp: String,
        /// Why.
        reason: String,
    },
    /// Agree to a proposal of somebody else.
    Approve {
        /// Its number.
        proposal: u32,
    },
    /// Refuse it, or take one's own back.
    Reject {
        /// Its number.
        proposal: u32,
        /// Why.
        reason: String,
    },
}

impl Action {
    /// The stable identifier.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Triage { .. } => "triage",
            Self::SetLevel { .. } => "set_level",
            Self::Assign { .. } => "assign",
            Self::Release { .. } => "release",
            Self::Link { .. } => "link",
            Self::Unlink { .. } => "unlink",
            Self::Hold { .. } => "hold",
            Self::ReleaseHold { .. } => "release_hold",
            Self::Start => "start",
            Self::Investigate => "investigate",
            Self::Notify => "notify",
            Self::Recover => "recover",
            Self::Finish => "finish",
            Self::Close => "close",
            Self::Expire => "expire",
            Self::Reopen { .. } => "reopen",
            Self::Back { .. } => "back",
            Self::Observe { .. } => "observe",
            Self::Recur { .. } => "recur",
            Self::FalsePositive { .. } => "false_positive",
            Self::Merge { .. } => "merge",
            Self::Unmerge { .. } => "unmerge",
            Self::Split { .. } => "split",
            Self::DoTask { .. } => "do_task",
            Self::WaiveTask { .. } => "waive_task",
            Self::UndoTask { .. } => "undo_task",
            Self::TakeTask { .. } => "take_task",
            Self::AddTask { .. } => "add_task",
            Self::Note { .. } => "note",
            Self::Eta { .. } => "eta",
            Self::Investigation { .. } => "investigation",
            Self::Leak { .. } => "leak",
            Self::PreserveEvidence { .. } => "preserve_evidence",
            Self::Publication { .. } => "publication",
            Self::ApprovePublication => "approve_publication",
            Self::Mentioned { .. } => "mentioned",
            Self::Vendor { .. } => "vendor",
            Self::Review { .. } => "review",
            Self::ActivateControl { .. } => "activate_control",
            Self::EvidenceCapture { .. } => "evidence_capture",
            Self::Unmask { .. } => "unmask",
            Self::Suppress { .. } => "suppress",
            Self::Share { .. } => "share",
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
        }
    }

    /// What it takes; `None` for a decision about a proposal, which takes what the proposal takes.
    pub const fn permission(&self) -> Option<Permission> {
        Some(match self {
            Self::Acknowledge => Permission::Acknowledge,
            Self::Triage { .. } | Self::Assign { .. } | Self::Release { .. } => Permission::Triage,
            Self::SetLevel { .. } => Permission::Level,
            Self::Start => Permission::Start,
            Self::Investigate => Permission::Investigate,
            Self::Notify => Permission::Notify,
            Self::Recover => Permission::Recover,
            Self::Finish => Permission::Finish,
            Self::Close | Self::Hold { .. } | Self::ReleaseHold { .. } => Permission::Close,
            Self::Reopen { .. } => Permission::Reopen,
            Self::Back { .. } => Permission::Back,
            Self::Observe { .. } | Self::Expire => Permission::Observe,
            Self::Recur { .. } => Permission::Recur,
            Self::FalsePositive { .. } => Permission::FalsePositive,
            Self::Merge { .. }
            | Self::Unmerge { .. }
            | Self::Split { .. }
            | Self::Link { .. }
            | Self::Unlink { .. } => Permission::Regroup,
            Self::DoTask { .. }
            | Self::UndoTask { .. }
            | Self::TakeTask { .. }
            | Self::AddTask { .. }
            | Self::Mentioned { .. }
            | Self::Note { .. } => Permission::Work,
            Self::WaiveTask { .. } => Permission::Waive,
            Self::Eta { .. }
            | Self::Investigation { .. }
            | Self::Leak { .. }
            | Self::PreserveEvidence { .. }
            | Self::Publication { .. }
            | Self::Vendor { .. }
            | Self::Review { .. } => Permission::Record,
            Self::ApprovePublication => Permission::PublicationApprove,
            Self::ActivateControl { .. } => Permission::ActivateControl,
            Self::EvidenceCapture { .. } => Permission::EvidenceCapture,
            Self::Unmask { .. } => Permission::Unmask,
            Self::Suppress { .. } => Permission::Suppress,
            Self::Share { .. } => Permission::Share,
            Self::Approve { .. } | Self::Reject { .. } => return None,
        })
    }

    /// The reason that its history shows.
    pub fn reason(&self) -> &str {
        match self {
            Self::SetLevel { reason, .. }
            | Self::Release { reason }
            | Self::Link { reason, .. }
            | Self::Unlink { reason, .. }
            | Self::Hold { reason }
            | Self::ReleaseHold { reason }
            | Self::Reopen { reason }
            | Self::Back { reason, .. }
            | Self::Observe { reason }
            | Self::Recur { reason }
            | Self::FalsePositive { reason, .. }
            | Self::Merge { reason, .. }
            | Self::Unmerge { reason }
            | Self::Split { reason, .. }
            | Self::WaiveTask { reason, .. }
            | Self::UndoTask { reason, .. }
            | Self::Eta { reason, .. }
            | Self::ActivateControl { reason }
            | Self::EvidenceCapture { reason, .. }
            | Self::Unmask { reason, .. }
            | Self::Suppress { reason, .. }
            | Self::Share { reason, .. }
            | Self::Reject { reason, .. } => reason,
            Self::DoTask { note, .. } => note,
            Self::PreserveEvidence { what } => what,
            Self::Mentioned { place } => place,
            // Nobody writes one: it is always the same.
            Self::Expire => "7日間の経過観察で新たな検知なし / 7 days of observation without new evidence",
            Self::Acknowledge
            | Self::Triage { .. }
            | Self::Assign { .. }
            | Self::Start
            | Self::Investigate
            | Self::Notify
            | Self::Recover
            | Self::Finish
            | Self::Close
            | Self::TakeTask { .. }
            | Self::AddTask { .. }
            | Self::Note { .. }
            | Self::Investigation { .. }
            | Self::Leak { .. }
            | Self::Publication { .. }
            | Self::ApprovePublication
            | Self::Vendor { .. }
            | Self::Review { .. }
            | Self::Approve { .. } => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_read_as_the_api_takes_them() {
        let read = |json: &str| serde_json::from_str::<Action>(json);
        assert_eq!(read(r#"{"action":"acknowledge"}"#).unwrap(), Action::Acknowledge);
        let level = read(r#"{"action":"set_level","level":3,"reason":"x"}"#).unwrap();
        assert_eq!(level, Action::SetLevel { level: Severity::HIGH, reason: "x".to_owned() });
        for bad in [
            r#"{"action":"delete"}"#,
            r#"{"action":"set_level","level":5,"reason":"x"}"#,
            r#"{"action":"set_level","level":3}"#,
            r#"{"action":"eta","until":"tomorrow"}"#,
            r#"{"action":"back","to":"nowhere","reason":"x"}"#,
            r#"{"action":"note","text":"x","more":1}"#,
            "[]",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_the_one_on_the_wire() {
        let actions = [
            Action::Acknowledge,
            Action::SetLevel { level: Severity::LOW, reason: String::new() },
            Action::Unmerge { reason: String::new() },
            Action::DoTask { task: 1, note: String::new() },
            Action::PreserveEvidence { what: String::new() },
            Action::ApprovePublication,
            Action::Approve { proposal: 1 },
        ];
        for action in actions {
            let json = serde_json::to_value(&action).unwrap();
            assert_eq!(json["action"], action.name());
            assert_eq!(serde_json::from_value::<Action>(json).unwrap(), action);
        }
    }
}
