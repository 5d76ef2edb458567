//! Records that can be told apart: each carries a number that comes back out of the store.

use sekimori_wire::alert::{AlertClass, AlertFormat, EndpointAlert, Intake};
use sekimori_wire::finding::{Bilingual, Category, Confidence, Evidence, Finding, Severity};
use sekimori_wire::id::{Digest, FindingId, Host};
use sekimori_wire::record::{Gap, Health, NamedCount, Record, Summary};
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use crate::chance::Chance;

/// What the reason of a gap begins with that is a label, and no declaration.
pub(crate) const GAP: &str = "label";

/// The identity of the finding or alert with this label.
pub(crate) fn id_of(label: u64) -> FindingId {
    FindingId::of(&[b"simulated", &label.to_le_bytes()])
}

/// A record of some kind and size that carries the label.
pub(crate) fn record(label: u64, at: Timestamp, chance: &mut Chance) -> Record {
    match chance.below(100) {
        0..35 => {
            let names = chance.below(6);
            let name = |n: u64| NamedCount { name: noise(label, n), count: n };
            let domains = (0..names).map(name).collect();
            Record::Summary(Box::new(Summary { packets: label, start: at, domains, ..Summary::default() }))
        }
        35..60 => {
            let reason: BoundedText<128> =
                format!("{GAP} {}", Digest::of(&label.to_le_bytes())).as_str().into();
            Record::Gap(Gap { from: at, until: at, reason, records: label, ..Gap::default() })
        }
        60..80 => Record::Finding(Box::new(finding(label, at, chance))),
        80..90 => Record::EndpointAlert(Box::new(alert(label, at))),
        _ => Record::Health(Box::new(Health { at, uptime_seconds: label, ..Health::default() })),
    }
}

/// The label of a record; `None` for what the sealer itself declares.
pub(crate) fn label_of(record: &Record) -> Option<u64> {
    match record {
        Record::Summary(summary) => Some(summary.packets),
        Record::Finding(finding) => Some(finding.count),
        Record::EndpointAlert(alert) => alert.signature_id.parse().ok(),
        Record::Health(health) => Some(health.uptime_seconds),
        Record::Gap(gap) => gap.reason.starts_with(GAP).then_some(gap.records),
    }
}

/// What the sealer writes where batches were damaged; other reasons tell of records.
pub(crate) const DAMAGED: &str = "batches damaged in the spool";

/// How many dropped records a record declares.
pub(crate) fn declared_drops(record: &Record) -> u64 {
    declaration(record).map_or(0, |gap| if &*gap.reason == DAMAGED { 0 } else { gap.records })
}

/// How many damaged batches a record declares.
pub(crate) fn declared_damage(record: &Record) -> u64 {
    declaration(record).map_or(0, |gap| if &*gap.reason == DAMAGED { gap.records } else { 0 })
}

fn declaration(record: &Record) -> Option<&Gap> {
    match record {
        Record::Gap(gap) => (!gap.reason.starts_with(GAP)).then_some(gap),
        Record::Summary(_) | Record::Finding(_) | Record::EndpointAlert(_) | Record::Health(_) => None,
    }
}

/// Text that does not compress.
fn noise<const MAX: usize>(label: u64, n: u64) -> BoundedText<MAX> {
    let bytes = [label.to_le_bytes(), n.to_le_bytes()].concat();
    Digest::of(&bytes).to_string().as_str().into()
}

fn host(label: u64) -> Option<Host> {
    format!("192.168.0.{}", label % 5 + 1).parse().ok()
}

fn finding(label: u64, at: Timestamp, chance: &mut Chance) -> Finding {
    Finding {
        id: id_of(label),
        revision: 1,
        time: at,
        end: at,
        detected_at: at,
        category: Category::ScanPort,
        severity: Severity::MEDIUM,
        confidence: Confidence::from_permille(900),
        originator: host(label),
        responder: None,
        targets: (0..chance.below(4)).map(|n| noise(label, n)).collect(),
        ports: vec![22],
        title: Bilingual::default(),
        explanation: Bilingual::default(),
        evidence: Evidence { rule: "scan.port/1".into(), ..Evidence::default() },
        technique: "T1046".into(),
        count: label,
        body: None,
        segment: None,
        degraded: false,
        excepted_by: None,
    }
}

fn alert(label: u64, at: Timestamp) -> EndpointAlert {
    EndpointAlert {
        id: id_of(label),
        time: at,
        received_at: at,
        intake: Intake::Listener,
        format: AlertFormat::Cef,
        vendor: "V".into(),
        product: "EDR".into(),
        signature_id: label.to_string().as_str().into(),
        name: "encrypting files".into(),
        severity: Severity::HIGH,
        class: AlertClass::Malware,
        host: host(label),
        host_name: BoundedText::default(),
        user: None,
        remote: None,
        file_sha256: None,
        action: BoundedText::default(),
        original: "CEF".into(),
        original_sha256: Digest::of(&label.to_le_bytes()),
        process: "".into(),
        source: "".into(),
        count: 1,
        body: None,
        segment: None,
        joined: None,
    }
}
