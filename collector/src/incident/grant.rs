//! What two persons agreed to, outside of the incident's own facts: a hidden value shown for a while, an extract for others,
//! a capture of packets, findings kept out.

use std::time::Duration;

/// For how long a hidden value may be looked at after it was granted.
pub const UNMASKED_FOR: Duration = Duration::from_secs(30 * 60);
/// The recipient that stands for every body that is connected.
pub const COMMUNITY: &str = "community";

closed_words! {
    /// The marks of TLP 2.0, the narrowest first.
    Tlp {
        /// For the named recipients' eyes alone.
        Red "RED" "TLP:RED" "TLP:RED",
        /// The recipient's organisation.
        AmberStrict "AMBER+STRICT" "TLP:AMBER+STRICT" "TLP:AMBER+STRICT",
        /// The recipient's organisation and those it works for.
        Amber "AMBER" "TLP:AMBER" "TLP:AMBER",
        /// The community.
        Green "GREEN" "TLP:GREEN" "TLP:GREEN",
        /// Everybody.
        Clear "CLEAR" "TLP:CLEAR" "TLP:CLEAR",
    }
}

impl Tlp {
    /// Whether something with this mark may go to every body.
    pub const fn is_for_community(self) -> bool {
        match self {
            Self::Green | Self::Clear => true,
            Self::Red | Self::AmberStrict | Self::Amber => false,
        }
    }
}

closed_words! {
    /// What was granted.
    GrantKind {
        /// A hidden value.
        Unmask "unmask" "秘匿の解除" "Unmasking",
        /// An extract for others.
        Share "share" "外部共有" "Sharing",
        /// Packets as evidence.
        Capture "evidence_capture" "証拠採取(pcap)" "Evidence capture (pcap)",
        /// Findings kept out of incidents.
        Suppress "suppress" "抑止ルール" "Suppression rule",
    }
}

closed_words! {
    /// Where something granted stands.
    GrantState {
        /// It may be looked at.
        Open "open" "閲覧可" "May be seen",
        /// It may not be looked at any more.
        Ended "ended" "終了" "Ended",
        /// The extract is made.
        Made "made" "作成済" "Made",
        /// It keeps findings out.
        InForce "in_force" "有効" "In force",
        /// Approved, and no sensor can carry it out yet.
        Waiting "waiting" "承認済(実行できるセンサなし・待機中)" "Approved; no sensor can carry it out yet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_for_all_goes_to_all() {
        let wide: Vec<_> = Tlp::ALL.iter().filter(|one| one.is_for_community()).collect();
        assert_eq!(wide, [&Tlp::Green, &Tlp::Clear]);
        assert_eq!(Tlp::from_name("AMBER+STRICT"), Some(Tlp::AmberStrict));
        assert_eq!(Tlp::from_name("WHITE"), None);
    }
}
