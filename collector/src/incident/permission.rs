//! Who may do what: one table of rights × roles.

use sekimori_wire::finding::Severity;
use serde::{Deserialize, Serialize};

use crate::auth::role::Role;

closed_words! {
    /// Something that a role may do, may propose, or may not do.
    Permission {
        /// Open an incident by hand.
        Open "open" "起票" "Open",
        /// `detected` → `received`.
        Acknowledge "acknowledge" "受付" "Acknowledge",
        /// `received` → `triaged`.
        Triage "triage" "トリアージ" "Triage",
        /// Another level.
        Level "level" "重大度の変更" "Change the level",
        /// `triaged` → `containing`.
        Start "start" "初動開始" "Start the first response",
        /// `containing` → `investigating`.
        Investigate "investigate" "調査へ" "Go on to the investigation",
        /// `investigating` → `notifying`.
        Notify "notify" "通知・報告へ" "Go on to notices and reports",
        /// File an obligation.
        ObligationFile "obligation_file" "法定報告の提出" "File an obligation",
        /// Decide that an obligation does not apply.
        ObligationNotApplicable "obligation_not_applicable" "法定報告の非該当" "Rule an obligation out",
        /// Approve what is published.
        PublicationApprove "publication_approve" "公表の承認" "Approve the publication",
        /// `notifying` → `recovering`, investigating → recovering.
        Recover "recover" "復旧へ" "Go on to recovery",
        /// `recovering` → `post_review`.
        Finish "finish" "復旧の確認" "Confirm the recovery",
        /// `post_review` → `closed`.
        Close "close" "完了" "Close",
        /// `closed` → `investigating`.
        Reopen "reopen" "再開" "Reopen",
        /// Nothing happened.
        FalsePositive "false_positive" "誤検知とする" "False positive",
        /// A capture of packets as evidence.
        EvidenceCapture "evidence_capture" "証拠採取(pcap)" "Evidence capture (pcap)",
        /// Incident control takes over.
        ActivateControl "activate_control" "統制の発動" "Activate incident control",
        /// A rule that keeps such findings out.
        Suppress "suppress" "抑止ルール" "Suppression rule",
        /// Give something to others.
        Share "share" "外部共有" "Share with others",
        /// Under observation, and back.
        Observe "observe" "経過観察" "Put under observation",
        /// It recurs.
        Recur "recur" "再発" "It recurs",
        /// Merge, un-merge, split.
        Regroup "regroup" "統合・分離" "Merge, un-merge, split",
        /// A step back.
        Back "back" "前段へ戻す" "Step back",
        /// See what is hidden.
        Unmask "unmask" "秘匿の解除" "Unmask",
        /// Do tasks, write notes.
        Work "work" "作業・記録" "Work and notes",
        /// Waive a mandatory task.
        Waive "waive" "必須手順の省略" "Waive a mandatory step",
        /// Fill in forms.
        Record "record" "調査票・対応記録" "Fill in the forms",
    }
}

/// Who acts: a person in a role, or the program by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Somebody.
    Person(Role),
    /// 自動処理.
    System,
}

impl Part {
    /// The stable identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person(role) => role.as_str(),
            Self::System => "system",
        }
    }
}

impl core::fmt::Display for Part {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Part {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        if text == "system" {
            return Ok(Self::System);
        }
        let role = Role::from_name(&text).map(Self::Person);
        role.ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a role")))
    }
}

/// A cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    /// –
    No,
    /// ○
    Propose,
    /// ●
    May,
    /// ● up to L2, ○ above.
    MayBelowHigh,
    /// ● up to 30 days, ○ above.
    MayShort,
    /// ○, and upwards only.
    ProposeUp,
    /// ● at L4, – below.
    MayAtCritical,
}

/// What a role may do with something at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Not at all.
    No,
    /// Another person must approve.
    Propose,
    /// By itself.
    May,
}

/// Of what is at hand, what a grant may depend on.
#[derive(Clone, Copy, Debug)]
pub struct AtHand {
    /// The incident's level.
    pub severity: Severity,
    /// The level asked for, where one is.
    pub level: Option<Severity>,
    /// For how many days, where it is about a time.
    pub days: Option<u32>,
}

const M: Cell = Cell::May;
const P: Cell = Cell::Propose;
const N: Cell = Cell::No;

/// Columns: `reception`, `monitor`, `tech_support`, `control`, `body_officer`, `body_ciso`, `pref_csirt`, `system`. An auditor and an
/// administrator have no column: they may do nothing here.
const MATRIX: &[(Permission, [Cell; 8])] = {
    use Permission as R;
    &[
        (R::Open, [M, M, M, M, M, M, M, M]),
        (R::Acknowledge, [M, M, M, M, M, N, M, N]),
        (R::Triage, [P, M, M, M, P, N, M, N]),
        (R::Level, [N, P, M, M, P, P, M, Cell::ProposeUp]),
        (R::Start, [N, M, M, M, M, N, N, N]),
        (R::Investigate, [N, N, M, M, M, N, N, N]),
        (R::Notify, [N, N, M, M, M, N, N, N]),
        (R::ObligationFile, [P, N, P, P, M, N, P, N]),
        (R::ObligationNotApplicable, [P, N, P, P, P, M, P, N]),
        (R::PublicationApprove, [N, N, N, P, P, M, N, N]),
        (R::Recover, [N, N, M, M, M, N, N, N]),
        (R::Finish, [N, N, P, P, M, M, N, N]),
        (R::Close, [N, N, P, M, P, M, N, N]),
        (R::Reopen, [N, N, P, M, P, M, M, N]),
        (R::FalsePositive, [P, Cell::MayBelowHigh, Cell::MayBelowHigh, M, P, N, M, N]),
        (R::EvidenceCapture, [N, P, P, M, P, M, N, N]),
        (R::ActivateControl, [P, P, P, M, P, M, M, Cell::MayAtCritical]),
        (R::Suppress, [N, P, Cell::MayShort, M, P, N, N, N]),
        (R::Share, [N, N, P, M, P, M, P, N]),
        // What the domain's table leaves open: observation and regrouping are judgements like triage and false
        // positives; what recurs may be taken by whoever may acknowledge, and the program sees it by itself.
        (R::Observe, [P, M, M, M, P, N, M, M]),
        (R::Recur, [M, M, M, M, M, N, M, M]),
        (R::Regroup, [P, M, M, M, P, N, M, N]),
        (R::Back, [N, N, M, M, M, N, N, N]),
        (R::Unmask, [N, P, P, P, M, M, N, N]),
        (R::Work, [M, M, M, M, M, M, M, N]),
        (R::Waive, [N, P, M, M, P, N, N, N]),
        (R::Record, [N, M, M, M, M, M, M, N]),
    ]
};

/// The column of a role.
const fn column(part: Part) -> Option<usize> {
    match part {
        Part::Person(Role::Reception) => Some(0),
        Part::Person(Role::Monitor) => Some(1),
        Part::Person(Role::TechSupport) => Some(2),
        Part::Person(Role::Control) => Some(3),
        Part::Person(Role::BodyOfficer) => Some(4),
        Part::Person(Role::BodyCiso) => Some(5),
        Part::Person(Role::PrefCsirt) => Some(6),
        Part::System => Some(7),
        Part::Person(Role::Auditor | Role::Admin) => None,
    }
}

/// Longest suppression that technical support may decide alone.
const SHORT_DAYS: u32 = 30;

/// What `part` may do.
pub fn grant(part: Part, permission: Permission, at_hand: AtHand) -> Grant {
    let row = MATRIX.iter().find(|(of, _)| *of == permission).map(|(_, row)| row);
    let cell = row.zip(column(part)).and_then(|(row, column)| row.get(column)).copied();
    let upward = at_hand.level.is_some_and(|level| level > at_hand.severity);
    match cell {
        None | Some(Cell::No) => Grant::No,
        Some(Cell::Propose) => Grant::Propose,
        Some(Cell::May) => Grant::May,
        Some(Cell::MayBelowHigh) if at_hand.severity < Severity::HIGH => Grant::May,
        Some(Cell::MayBelowHigh) => Grant::Propose,
        Some(Cell::MayShort) if at_hand.days.is_some_and(|days| days <= SHORT_DAYS) => Grant::May,
        Some(Cell::MayShort) => Grant::Propose,
        Some(Cell::ProposeUp) if upward => Grant::Propose,
        Some(Cell::ProposeUp) => Grant::No,
        Some(Cell::MayAtCritical) if at_hand.severity == Severity::CRITICAL => Grant::May,
        Some(Cell::MayAtCritical) => Grant::No,
    }
}

/// What a role may do, as a sign: `●` alone, `○` with another person's agreement, `–` not at all; behind it up to where.
pub fn sign(permission: Permission, role: Role) -> &'static str {
    let row = MATRIX.iter().find(|(of, _)| *of == permission).map(|(_, row)| row);
    match row.zip(column(Part::Person(role))).and_then(|(row, column)| row.get(column)).copied() {
        None | Some(Cell::No) => "–",
        Some(Cell::Propose) => "○",
        Some(Cell::May) => "●",
        Some(Cell::MayBelowHigh) => "● ≤ L2, ○ ≥ L3",
        Some(Cell::MayShort) => "● ≤ 30 d, ○",
        Some(Cell::ProposeUp) => "○ ↑",
        Some(Cell::MayAtCritical) => "● L4",
    }
}

/// Whose signatures it takes. What one person may propose, another approves; some things nobody does alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// One person who may (●), or one who proposes and another who may.
    One,
    /// Two persons, at least one of whom may.
    Two,
    /// Incident control and the body's CISO.
    ControlAndCiso,
}

/// How many must sign.
pub fn signatures(permission: Permission, severity: Severity) -> Signatures {
    match permission {
        Permission::Unmask => Signatures::Two,
        Permission::FalsePositive if severity >= Severity::HIGH => Signatures::Two,
        Permission::Share => Signatures::ControlAndCiso,
        Permission::FalsePositive
        | Permission::Open
        | Permission::Acknowledge
        | Permission::Triage
        | Permission::Level
        | Permission::Start
        | Permission::Investigate
        | Permission::Notify
        | Permission::ObligationFile
        | Permission::ObligationNotApplicable
        | Permission::PublicationApprove
        | Permission::Recover
        | Permission::Finish
        | Permission::Close
        | Permission::Reopen
        | Permission::EvidenceCapture
        | Permission::ActivateControl
        | Permission::Suppress
        | Permission::Observe
        | Permission::Recur
        | Permission::Regroup
        | Permission::Back
        | Permission::Work
        | Permission::Waive
        | Permission::Record => Signatures::One,
    }
}

#[cfg(test)]
mod tests;
