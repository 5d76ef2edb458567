//! The states of an obligation, and who may move it between them.
//!
//! ```text
//! not_assessed ─assess→ assessing ─applies→ applicable ─schedule→ scheduled ─┐
//!       ▲                   │                    └────────── file ───────────┴→ filed_prelim | filed_final ─supplement→ completed
//!       └── reassess ───────┴─ exempt (reason, approved by the body's CISO) → not_applicable
//! ```
//! A preliminary report is completed when the final one of its law is filed. Overdue is no state: [`super::assess::Due`]
//! computes it, and only filing ends it.

use sekimori_wire::time::Timestamp;

use crate::auth::role::Role;
use crate::incident::obligation::{ObligationKind, ObligationState};

closed_words! {
    /// Why an obligation does not apply.
    Exemption {
        /// Fewer people than the law asks for.
        BelowThreshold "below_threshold" "人数要件に満たない" "Below the threshold",
        /// Nothing that the law protects.
        NoPersonalData "no_personal_data" "個人情報を含まない" "No personal information",
        /// Strong encryption.
        Encrypted "encrypted" "高度な暗号化等" "Strong encryption",
        /// The one who entrusted the work reports.
        EntrusterReports "entruster_reports" "委託元が報告" "The entruster reports",
        /// It was reported under another incident.
        ReportedElsewhere "reported_elsewhere" "他の事案で報告済" "Reported under another incident",
        /// Nobody is obliged, and it was decided not to.
        Voluntary "voluntary" "任意のため見送り" "Voluntary, and not chosen",
    }
}

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Begin to decide.
    Assess,
    /// It applies.
    Applies,
    /// It does not.
    Exempt {
        /// Why.
        reason: Exemption,
        /// In words.
        note: String,
        /// Who approved it.
        approved_by: Option<Approver>,
    },
    /// Filing is arranged.
    Schedule {
        /// For when.
        at: Timestamp,
    },
    /// It was filed.
    File,
    /// More was sent after the final report, or the final report followed the preliminary one.
    Supplement,
    /// The facts changed: decide again.
    Reassess,
}

/// Who approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// Their account.
    pub account: String,
    /// As what.
    pub role: Role,
}

/// Why it cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not from this state.
    #[error("this obligation is {0}, which does not lead there")]
    State(ObligationState),
    /// Not by this role.
    #[error("the role {0} may not do this")]
    Role(Role),
    /// An exemption without approval.
    #[error(
        "that an obligation does not apply is approved by the body's CISO, and by another person than proposed it"
    )]
    Approval,
    /// An exemption without words.
    #[error("that an obligation does not apply is given a reason in words")]
    Words,
    /// What the law demands cannot be declined as voluntary.
    #[error("this obligation is not voluntary")]
    NotVoluntary,
    /// A day that has passed.
    #[error("filing is arranged for a time to come")]
    Past,
}

/// Who moves it, and when.
#[derive(Clone, Copy, Debug)]
pub struct Mover<'a> {
    /// Their account.
    pub account: &'a str,
    /// As what.
    pub role: Role,
    /// When.
    pub now: Timestamp,
}

/// One obligation, as far as a move depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Duty {
    /// Which.
    pub kind: ObligationKind,
    /// Nobody is obliged.
    pub voluntary: bool,
    /// Where it stands.
    pub state: ObligationState,
}

impl Duty {
    /// The state after a move.
    ///
    /// # Errors
    /// Says why not.
    pub fn step(&self, by: Mover<'_>, wanted: &Move) -> Result<ObligationState, Refused> {
        use ObligationState as S;
        let from = |states: &[S], to: S| {
            if states.contains(&self.state) { Ok(to) } else { Err(Refused::State(self.state)) }
        };
        match wanted {
            Move::Assess => {
                prepares(by.role)?;
                from(&[S::NotAssessed], S::Assessing)
            }
            Move::Reassess => {
                prepares(by.role)?;
                from(&[S::Applicable, S::Scheduled, S::NotApplicable], S::Assessing)
            }
            Move::Applies => {
                prepares(by.role)?;
                from(&[S::NotAssessed, S::Assessing], S::Applicable)
            }
            Move::Exempt { reason, note, approved_by } => {
                prepares(by.role)?;
                let next = from(&[S::NotAssessed, S::Assessing, S::Applicable], S::NotApplicable)?;
                self.exempt(by, *reason, note, approved_by.as_ref()).map(|()| next)
            }
            Move::Schedule { at } => {
                files(by.role)?;
                let next = from(&[S::Applicable, S::Scheduled], S::Scheduled)?;
                if *at > by.now { Ok(next) } else { Err(Refused::Past) }
            }
            Move::File => {
                files(by.role)?;
                let filed = if self.is_preliminary() { S::FiledPrelim } else { S::FiledFinal };
                from(&[S::Applicable, S::Scheduled], filed)
            }
            Move::Supplement => {
                files(by.role)?;
                from(&[S::FiledPrelim, S::FiledFinal], S::Completed)
            }
        }
    }

    fn exempt(
        &self,
        by: Mover<'_>,
        reason: Exemption,
        note: &str,
        approved: Option<&Approver>,
    ) -> Result<(), Refused> {
        if reason == Exemption::Voluntary && !self.voluntary {
            return Err(Refused::NotVoluntary);
        }
        if note.trim().is_empty() {
            return Err(Refused::Words);
        }
        match approved {
            Some(approver) if approver.role == Role::BodyCiso && approver.account != by.account => Ok(()),
            Some(_) | None => Err(Refused::Approval),
        }
    }

    const fn is_preliminary(&self) -> bool {
        preliminary_of(self.kind).is_some()
    }
}

/// The final report that completes a preliminary one.
pub const fn preliminary_of(kind: ObligationKind) -> Option<ObligationKind> {
    match kind {
        ObligationKind::PpcPrelim => Some(ObligationKind::PpcFinal),
        ObligationKind::PpcMynumberPrelim => Some(ObligationKind::PpcMynumberFinal),
        ObligationKind::PpcFinal
        | ObligationKind::PpcMynumberFinal
        | ObligationKind::SubjectNotice
        | ObligationKind::PrefReport
        | ObligationKind::MicReport
        | ObligationKind::JlisReport
        | ObligationKind::Police
        | ObligationKind::Jpcert
        | ObligationKind::Ipa
        | ObligationKind::Publication
        | ObligationKind::NcoCommonForm => None,
    }
}

/// May correct since when a leak is known, which moves the days of the law: incident control, and the body's CISO.
///
/// # Errors
/// This role may not.
pub const fn corrects(role: Role) -> Result<(), Refused> {
    match role {
        Role::Control | Role::BodyCiso => Ok(()),
        Role::Reception
        | Role::Monitor
        | Role::TechSupport
        | Role::BodyOfficer
        | Role::PrefCsirt
        | Role::Auditor
        | Role::Admin => Err(Refused::Role(role)),
    }
}

/// May decide whether it applies (what frees from reporting is approved besides).
///
/// # Errors
/// This role may not.
pub const fn prepares(role: Role) -> Result<(), Refused> {
    match role {
        Role::TechSupport | Role::Control | Role::BodyOfficer | Role::BodyCiso | Role::PrefCsirt => Ok(()),
        Role::Reception | Role::Monitor | Role::Auditor | Role::Admin => Err(Refused::Role(role)),
    }
}

/// May say that it was filed: the body owes it, the SOC only drafts.
///
/// # Errors
/// This role may not.
pub const fn files(role: Role) -> Result<(), Refused> {
    match role {
        Role::BodyOfficer | Role::BodyCiso => Ok(()),
        Role::Reception
        | Role::Monitor
        | Role::TechSupport
        | Role::Control
        | Role::PrefCsirt
        | Role::Auditor
        | Role::Admin => Err(Refused::Role(role)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ObligationState as S;

    fn duty(kind: ObligationKind, state: S) -> Duty {
        Duty { kind, voluntary: kind == ObligationKind::Jpcert, state }
    }

    fn by(role: Role) -> Mover<'static> {
        Mover { account: "one", role, now: Timestamp::from_secs(100) }
    }

    fn exempt(reason: Exemption, note: &str, approver: Option<(&str, Role)>) -> Move {
        let approved_by = approver.map(|(account, role)| Approver { account: account.to_owned(), role });
        Move::Exempt { reason, note: note.to_owned(), approved_by }
    }

    #[test]
    fn every_state_by_every_move() {
        let good = exempt(Exemption::BelowThreshold, "3人", Some(("ciso", Role::BodyCiso)));
        let later = Move::Schedule { at: Timestamp::from_secs(101) };
        let table: &[(Move, &[(S, S)])] = &[
            (Move::Assess, &[(S::NotAssessed, S::Assessing)]),
            (Move::Applies, &[(S::NotAssessed, S::Applicable), (S::Assessing, S::Applicable)]),
            (
                good,
                &[
                    (S::NotAssessed, S::NotApplicable),
                    (S::Assessing, S::NotApplicable),
                    (S::Applicable, S::NotApplicable),
                ],
            ),
            (later, &[(S::Applicable, S::Scheduled), (S::Scheduled, S::Scheduled)]),
            (Move::File, &[(S::Applicable, S::FiledFinal), (S::Scheduled, S::FiledFinal)]),
            (Move::Supplement, &[(S::FiledPrelim, S::Completed), (S::FiledFinal, S::Completed)]),
            (
                Move::Reassess,
                &[
                    (S::Applicable, S::Assessing),
                    (S::Scheduled, S::Assessing),
                    (S::NotApplicable, S::Assessing),
                ],
            ),
        ];
        for (wanted, leads) in table {
            for state in S::ALL {
                let expected = leads.iter().find(|(from, _)| from == state).map(|(_, to)| *to);
                let found = duty(ObligationKind::PpcFinal, *state).step(by(Role::BodyOfficer), wanted);
                assert_eq!(found, expected.ok_or(Refused::State(*state)), "{wanted:?} from {state}");
            }
        }
        let prelim = duty(ObligationKind::PpcPrelim, S::Applicable);
        assert_eq!(prelim.step(by(Role::BodyOfficer), &Move::File), Ok(S::FiledPrelim));
    }

    #[test]
    fn every_role() {
        for role in Role::ALL {
            let decides = matches!(
                role,
                Role::TechSupport | Role::Control | Role::BodyOfficer | Role::BodyCiso | Role::PrefCsirt
            );
            let files = matches!(role, Role::BodyOfficer | Role::BodyCiso);
            let assess = duty(ObligationKind::PpcFinal, S::NotAssessed).step(by(*role), &Move::Assess);
            assert_eq!(assess.is_ok(), decides, "{role}");
            let file = duty(ObligationKind::PpcFinal, S::Applicable).step(by(*role), &Move::File);
            assert_eq!(file.is_ok(), files, "{role}");
        }
    }

    #[test]
    fn nobody_is_freed_without_words_and_a_second_person() {
        let one = duty(ObligationKind::PpcPrelim, S::Assessing);
        let officer = by(Role::BodyOfficer);
        for (wanted, expected) in [
            (exempt(Exemption::Encrypted, "AES", None), Refused::Approval),
            (exempt(Exemption::Encrypted, "AES", Some(("two", Role::Control))), Refused::Approval),
            (exempt(Exemption::Encrypted, "AES", Some(("one", Role::BodyCiso))), Refused::Approval),
            (exempt(Exemption::Encrypted, " ", Some(("two", Role::BodyCiso))), Refused::Words),
            (exempt(Exemption::Voluntary, "x", Some(("two", Role::BodyCiso))), Refused::NotVoluntary),
        ] {
            assert_eq!(one.step(officer, &wanted), Err(expected), "{wanted:?}");
        }
        let voluntary = exempt(Exemption::Voluntary, "x", Some(("two", Role::BodyCiso)));
        let jpcert = duty(ObligationKind::Jpcert, S::Assessing);
        assert_eq!(jpcert.step(officer, &voluntary), Ok(S::NotApplicable));
        let past = Move::Schedule { at: Timestamp::from_secs(100) };
        assert_eq!(duty(ObligationKind::Police, S::Applicable).step(officer, &past), Err(Refused::Past));
    }
}
