//! What an incident is, and how people work through it: data and pure functions; nothing here does IO or reads a clock.
//!
//! ```text
//! IncidentFacts + Actor + Asked ──► transition::apply ──► Changes { facts, effects, line }   (or Refused, saying why)
//! ```
//! Correlation opens incidents (`detected`) and lets them grow; `docs/incidents.md` has the diagram of the states, the
//! table of the roles and every guard.

#[macro_use]
mod words;

pub mod action;
pub mod facts;
pub mod form;
pub mod grant;
pub mod obligation;
pub mod permission;
pub mod playbook;
pub mod precursor;
pub mod report;
pub mod severity;
pub mod similar;
pub mod task;
pub mod taxonomy;
pub mod transition;

use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;

closed_words! {
    /// What kind of incident.
    IncidentCategory {
        /// Scanning and probing.
        Scan "scan" "スキャン・探索" "Scanning",
        /// Many login attempts.
        BruteForce "brute_force" "総当たり" "Brute force",
        /// An attack on a weakness.
        ExploitAttempt "exploit_attempt" "脆弱性攻撃" "Exploit attempt",
        /// Denial of service.
        Dos "dos" "DoS/DDoS" "Denial of service",
        /// Malicious software.
        MalwareInfection "malware_infection" "マルウェア感染" "Malware infection",
        /// Contact with a command-and-control server.
        C2Beacon "c2_beacon" "C2通信の疑い" "C2 beacon",
        /// Ransomware.
        Ransomware "ransomware" "ランサムウェア" "Ransomware",
        /// Data carried in DNS.
        DnsTunnel "dns_tunnel" "DNSトンネル" "DNS tunnelling",
        /// Data leaving.
        DataExfil "data_exfil" "大量外部送信・情報持ち出し" "Data exfiltration",
        /// A suspicious mail.
        PhishingMail "phishing_mail" "不審メール・フィッシング" "Phishing mail",
        /// Forged network identities.
        NetworkSpoofing "network_spoofing" "ネットワークなりすまし" "Network spoofing",
        /// A rule of the organisation was broken.
        PolicyViolation "policy_violation" "ポリシー違反" "Policy violation",
        /// The three-layer separation (三層の対策) was broken.
        SegmentViolation "segment_violation" "三層分離違反" "Segmentation breach",
        /// A service is down.
        ServiceOutage "service_outage" "サービス停止" "Service outage",
        /// An agent is silent, or somebody tampers with it.
        SensorSilent "sensor_silent" "センサ不通・改変" "Sensor silent or tampered",
        /// A website shows what its owner did not put there.
        WebDefacement "web_defacement" "Webサイト改ざん" "Web defacement",
        /// A device or a medium is lost.
        DeviceLost "device_lost" "端末・媒体紛失" "Lost device",
        /// Somebody sent or published what they should not have.
        HumanError "human_error" "事務処理ミス(誤送信・誤公開)" "Human error",
        /// An exercise.
        DrillTest "drill_test" "訓練・試験" "Drill",
    }
}

closed_words! {
    /// Where the work on an incident stands.
    IncidentState {
        /// Opened by correlation; nobody has looked yet.
        Detected "detected" "検知" "Detected",
        /// Somebody acknowledged it.
        Received "received" "受付" "Received",
        /// Category, impact, urgency and owner are set.
        Triaged "triaged" "トリアージ済" "Triaged",
        /// First response.
        Containing "containing" "初動対応中" "Containing",
        /// Cause and extent.
        Investigating "investigating" "調査中" "Investigating",
        /// Notices, reports, publication.
        Notifying "notifying" "通知・報告・公表中" "Notifying",
        /// Limiting damage, recovering.
        Recovering "recovering" "拡大防止・復旧中" "Recovering",
        /// Prevention of the next one.
        PostReview "post_review" "事後対応中" "Post-incident review",
        /// Under observation.
        Observing "observing" "経過観察" "Under observation",
        /// Done.
        Closed "closed" "完了" "Closed",
        /// Nothing happened.
        FalsePositive "false_positive" "誤検知" "False positive",
        /// Part of another incident.
        Merged "merged" "統合済" "Merged",
    }
}

impl IncidentState {
    /// New findings still join an incident in this state.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Detected
            | Self::Received
            | Self::Triaged
            | Self::Containing
            | Self::Investigating
            | Self::Notifying
            | Self::Recovering
            | Self::PostReview
            | Self::Observing => true,
            Self::Closed | Self::FalsePositive | Self::Merged => false,
        }
    }
}

impl IncidentCategory {
    /// What the domain demands at least, whatever the findings say.
    pub const fn floor(self) -> Severity {
        match self {
            Self::Ransomware => Severity::CRITICAL,
            Self::SensorSilent => Severity::MEDIUM,
            Self::Scan
            | Self::BruteForce
            | Self::ExploitAttempt
            | Self::Dos
            | Self::MalwareInfection
            | Self::C2Beacon
            | Self::DnsTunnel
            | Self::DataExfil
            | Self::PhishingMail
            | Self::NetworkSpoofing
            | Self::PolicyViolation
            | Self::SegmentViolation
            | Self::ServiceOutage
            | Self::WebDefacement
            | Self::DeviceLost
            | Self::HumanError
            | Self::DrillTest => Severity::INFORMATIONAL,
        }
    }
}

/// The part of an incident's name before its number: `INC-<団体コード>-<YYYYMMDD>-`, or `INC-WIDE-<YYYYMMDD>-` for a
/// wide-area parent. The date is Japan's: people speak of the day of their wall clock.
pub fn name_prefix(body: Option<&BodyCode>, opened_at: Timestamp) -> String {
    const JST_SECONDS: i32 = 9 * 3600;
    let zone = jiff::tz::Offset::from_seconds(JST_SECONDS).map_or(jiff::tz::Offset::UTC, |offset| offset);
    let at = jiff::Timestamp::from_nanosecond(i128::from(opened_at.nanos())).unwrap_or_default();
    let date = zone.to_datetime(at).date();
    let body = body.map_or("WIDE", BodyCode::as_str);
    format!("INC-{body}-{:04}{:02}{:02}-", date.year(), date.month(), date.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_body_and_the_date_of_japan() {
        let body: BodyCode = "422011".parse().unwrap();
        let evening: Timestamp = "2026-11-22T14:59:59Z".parse().unwrap();
        let night: Timestamp = "2026-11-22T15:00:00Z".parse().unwrap();
        assert_eq!(name_prefix(Some(&body), evening), "INC-422011-20261122-");
        assert_eq!(name_prefix(Some(&body), night), "INC-422011-20261123-");
        assert_eq!(name_prefix(None, night), "INC-WIDE-20261123-");
    }

    #[test]
    fn words_read_back() {
        for one in IncidentCategory::ALL {
            assert_eq!(IncidentCategory::from_name(one.as_str()), Some(*one));
        }
        for one in IncidentState::ALL {
            assert_eq!(IncidentState::from_name(one.as_str()), Some(*one));
        }
    }
}
