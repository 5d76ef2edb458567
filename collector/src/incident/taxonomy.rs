//! What others call our categories: JPCERT/CC's report form, and the Reference Incident Classification Taxonomy (RSIT).

use super::IncidentCategory as C;

/// A category in the words of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// JPCERT/CC's report section; `None` where it takes no reports.
    pub jpcert: Option<&'static str>,
    /// RSIT, as `class:type`.
    pub rsit: &'static str,
}

/// What others call `category`.
pub const fn elsewhere(category: C) -> Elsewhere {
    let (jpcert, rsit) = match category {
        C::Scan => (Some("スキャン"), "information-gathering:scanner"),
        C::BruteForce => (Some("スキャン(その他)"), "intrusion-attempts:brute-force"),
        C::ExploitAttempt => (Some("その他"), "intrusion-attempts:ids-alert"),
        C::Dos => (Some("DoS/DDoS"), "availability:ddos"),
        C::MalwareInfection => (Some("その他"), "malicious-code:infected-system"),
        C::C2Beacon => (Some("標的型攻撃 or その他"), "malicious-code:c2-server"),
        C::Ransomware => {
            (Some("その他"), "information-content-security:unauthorised-information-modification")
        }
        C::DnsTunnel => (Some("その他"), "malicious-code:c2-server"),
        C::DataExfil => {
            (Some("標的型攻撃 or その他"), "information-content-security:unauthorised-information-access")
        }
        C::WebDefacement => (Some("Webサイト改ざん"), "intrusions:application-compromise"),
        C::PhishingMail => (Some("フィッシングサイト(報告時)"), "fraud:phishing"),
        // Somebody inside poses as another host; RSIT's nearest word is an attempt seen by an intrusion detection system.
        C::NetworkSpoofing => (Some("その他"), "intrusion-attempts:ids-alert"),
        C::PolicyViolation => (None, "vulnerable:vulnerable-system"),
        C::SegmentViolation => (Some("その他"), "vulnerable:vulnerable-system"),
        C::ServiceOutage | C::SensorSilent => (None, "availability:outage"),
        C::DeviceLost => (None, "information-content-security:data-loss"),
        C::HumanError => (None, "information-content-security:unauthorised-information-access"),
        C::DrillTest => (None, "test:test"),
    };
    Elsewhere { jpcert, rsit }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The classes of RSIT (MISP taxonomy `rsit`).
    const CLASSES: &[&str] = &[
        "abusive-content",
        "malicious-code",
        "information-gathering",
        "intrusion-attempts",
        "intrusions",
        "availability",
        "information-content-security",
        "fraud",
        "vulnerable",
        "other",
        "test",
    ];

    #[test]
    fn every_category_has_a_class_of_rsit() {
        for category in C::ALL {
            let (class, kind) = elsewhere(*category).rsit.split_once(':').unwrap();
            assert!(CLASSES.contains(&class) && !kind.is_empty(), "{category}");
        }
    }

    #[test]
    fn what_is_reported_to_jpcert_has_a_section() {
        let unreported: Vec<_> =
            C::ALL.iter().filter(|one| elsewhere(**one).jpcert.is_none()).map(|one| one.as_str()).collect();
        assert_eq!(
            unreported,
            [
                "policy_violation",
                "service_outage",
                "sensor_silent",
                "device_lost",
                "human_error",
                "drill_test"
            ]
        );
    }
}
