//! What the law or a contract demands to be reported, as far as the work on an incident must know it: kind and state.
//!
//! Which obligations an incident has, when each falls due and what may change its state is decided elsewhere; here they
//! are facts that guards read.

closed_words! {
    /// What must be reported, and to whom.
    ObligationKind {
        /// Preliminary report of a leak to the PPC.
        PpcPrelim "ppc_prelim" "速報(個人情報保護委員会)" "Preliminary report (PPC)",
        /// Final report of a leak to the PPC.
        PpcFinal "ppc_final" "確報(個人情報保護委員会)" "Final report (PPC)",
        /// The same for My Number data.
        PpcMynumberPrelim "ppc_mynumber_prelim" "速報(特定個人情報)" "Preliminary report (My Number)",
        /// The same for My Number data.
        PpcMynumberFinal "ppc_mynumber_final" "確報(特定個人情報)" "Final report (My Number)",
        /// To the people whose data it is.
        SubjectNotice "subject_notice" "本人通知" "Notice to data subjects",
        /// To the prefecture.
        PrefReport "pref_report" "都道府県報告" "Report to the prefecture",
        /// To the Ministry of Internal Affairs and Communications.
        MicReport "mic_report" "総務省報告" "Report to MIC",
        /// To J-LIS, where LGWAN is concerned.
        JlisReport "jlis_report" "J-LIS 報告(LGWAN)" "Report to J-LIS (LGWAN)",
        /// To the police.
        Police "police" "警察" "Police",
        /// To JPCERT/CC, voluntary.
        Jpcert "jpcert" "JPCERT/CC(任意)" "JPCERT/CC (voluntary)",
        /// To IPA, voluntary.
        Ipa "ipa" "IPA(任意)" "IPA (voluntary)",
        /// To everybody.
        Publication "publication" "公表" "Publication",
        /// The common form of the National Cybersecurity Office.
        NcoCommonForm "nco_common_form" "共通様式(国家サイバー統括室)" "Common form (NCO)",
    }
}

closed_words! {
    /// Where an obligation stands. That it is overdue is a property of its clock, not a state.
    ObligationState {
        /// Nobody has looked.
        NotAssessed "not_assessed" "未判定" "Not assessed",
        /// Somebody is deciding.
        Assessing "assessing" "判定中" "Being assessed",
        /// It applies; nothing was filed.
        Applicable "applicable" "該当" "Applicable",
        /// Filing is arranged for a later day.
        Scheduled "scheduled" "提出予定" "Scheduled",
        /// The preliminary report is filed.
        FiledPrelim "filed_prelim" "速報提出済" "Preliminary report filed",
        /// The final report, or the only one, is filed.
        FiledFinal "filed_final" "確報提出済" "Final report filed",
        /// Filed, and nothing more is asked.
        Completed "completed" "完了" "Completed",
        /// It does not apply; approved.
        NotApplicable "not_applicable" "非該当" "Not applicable",
    }
}

impl ObligationState {
    /// Recovery may begin: filed, arranged, or not applicable.
    pub const fn lets_recovery_begin(self) -> bool {
        match self {
            Self::Scheduled
            | Self::FiledPrelim
            | Self::FiledFinal
            | Self::Completed
            | Self::NotApplicable => true,
            Self::NotAssessed | Self::Assessing | Self::Applicable => false,
        }
    }

    /// Nothing is left to do.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::FiledFinal | Self::Completed | Self::NotApplicable => true,
            Self::NotAssessed | Self::Assessing | Self::Applicable | Self::Scheduled | Self::FiledPrelim => {
                false
            }
        }
    }
}

/// One obligation of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obligation {
    /// Which.
    pub kind: ObligationKind,
    /// How far.
    pub state: ObligationState,
}
