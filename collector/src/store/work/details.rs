//! What one asks of a lost device and of a mistake, beside what one asks of every incident.

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::incident::form::said;

/// Longest answer, in characters.
const ANSWER_MAX: usize = 200;

closed_words! {
    /// What went wrong.
    Mistake {
        /// Sent to somebody else.
        Misdirected "misdirected" "誤送信・誤交付" "Sent or handed to the wrong person",
        /// Open to everybody.
        Published "published" "誤公開" "Published by mistake",
        /// Paper, or a medium, is gone.
        Paper "paper" "紙・書類の紛失" "Paper lost",
        /// Thrown away or deleted.
        Discarded "discarded" "誤廃棄" "Discarded by mistake",
        /// Something else.
        Other "other" "その他" "Something else",
    }
}

/// The questions of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Details {
    /// A device or a medium is gone.
    Device {
        /// What: a notebook, a phone, a USB stick.
        #[schema(min_length = 1, max_length = 200)]
        device: String,
        /// Its number in the inventory.
        #[serde(default)]
        #[schema(max_length = 200)]
        asset: String,
        /// Who had it. Hidden.
        #[serde(default)]
        #[schema(max_length = 200)]
        holder: String,
        /// Where and when it was seen last.
        #[serde(default)]
        #[schema(max_length = 200)]
        last_seen: String,
        /// Whether it is encrypted; not given: not known.
        #[serde(default)]
        encrypted: Option<bool>,
        /// Whether it was locked or wiped from afar; not given: not known.
        #[serde(default)]
        locked: Option<bool>,
        /// The number of the report to the police.
        #[serde(default)]
        #[schema(max_length = 200)]
        police_report: String,
    },
    /// Somebody made a mistake.
    Mistake {
        /// Which.
        mistake: Mistake,
        /// Who has it now. Hidden.
        #[serde(default)]
        #[schema(max_length = 200)]
        recipient: String,
        /// What data.
        #[serde(default)]
        #[schema(max_length = 200)]
        items: String,
        /// Of how many people; not given: not known.
        #[serde(default)]
        #[schema(maximum = 1_000_000_000)]
        persons: Option<u32>,
        /// Whether it was taken back or deleted; not given: not known.
        #[serde(default)]
        recovered: Option<bool>,
    },
}

/// People that one mistake can be about.
const PERSONS_MAX: u32 = 1_000_000_000;

impl Details {
    /// What is missing or not valid.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let long = |text: &String| text.chars().nth(ANSWER_MAX).is_some();
        let wrong: Vec<(&'static str, bool)> = match self {
            Self::Device { device, asset, holder, last_seen, encrypted: _, locked: _, police_report } => {
                vec![
                    ("details.device", !said(device) || long(device)),
                    ("details.asset", long(asset)),
                    ("details.holder", long(holder)),
                    ("details.last_seen", long(last_seen)),
                    ("details.police_report", long(police_report)),
                ]
            }
            Self::Mistake { mistake: _, recipient, items, persons, recovered: _ } => vec![
                ("details.recipient", long(recipient)),
                ("details.items", long(items)),
                ("details.persons", persons.is_some_and(|persons| persons > PERSONS_MAX)),
            ],
        };
        wrong.into_iter().filter(|(_, is_wrong)| *is_wrong).map(|(name, _)| name).collect()
    }

    /// The one answer that names a person.
    pub(super) fn hidden(&self) -> (&'static str, &str) {
        match self {
            Self::Device { holder, .. } => ("holder", holder),
            Self::Mistake { recipient, .. } => ("recipient", recipient),
        }
    }

    /// The others.
    pub(super) fn open(&self) -> Value {
        match self {
            Self::Device { device, asset, holder: _, last_seen, encrypted, locked, police_report } => json!({
                "kind": "device", "device": device, "asset": asset, "last_seen": last_seen,
                "encrypted": encrypted, "locked": locked, "police_report": police_report,
            }),
            Self::Mistake { mistake, recipient: _, items, persons, recovered } => json!({
                "kind": "mistake", "mistake": mistake, "items": items, "persons": persons, "recovered": recovered,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Details, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn names_of_people_are_not_among_what_is_open() {
        let device = read(r#"{"kind":"device","device":"PC","holder":"山田","encrypted":true}"#).unwrap();
        assert!(device.missing().is_empty());
        assert_eq!(device.hidden(), ("holder", "山田"));
        assert!(!device.open().to_string().contains("山田"));
        let mistake =
            read(r#"{"kind":"mistake","mistake":"misdirected","recipient":"乙社","persons":3}"#).unwrap();
        assert_eq!(mistake.hidden(), ("recipient", "乙社"));
        assert!(!mistake.open().to_string().contains("乙社"));
    }

    #[test]
    fn what_is_too_long_or_unknown_is_named() {
        let long = "あ".repeat(201);
        let device = read(&format!(r#"{{"kind":"device","device":" ","holder":"{long}"}}"#)).unwrap();
        assert_eq!(device.missing(), ["details.device", "details.holder"]);
        let many = read(r#"{"kind":"mistake","mistake":"other","persons":2000000000}"#).unwrap();
        assert_eq!(many.missing(), ["details.persons"]);
        for bad in [
            r#"{"kind":"mistake","mistake":"theft"}"#,
            r#"{"kind":"device"}"#,
            r#"{"kind":"device","device":"x","more":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
