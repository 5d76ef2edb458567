//! From the fields of a form to an action.

use serde_json::{Map, Value, json};

use crate::incident::action::Action;

/// Fields that hold whole numbers.
const NUMBERS: &[&str] = &["task", "proposal", "level", "days"];
/// Fields of the page, not of the action.
const OURS: &[&str] = &["csrf", "version"];

/// What the fields ask; `None` if they make no sense together.
pub(super) fn action(fields: &[(String, String)]) -> Option<Action> {
    let of = Fields(fields);
    let name = of.one("action");
    let filled = match name {
        "triage" => json!({ "triage": of.triage() }),
        "investigation" => json!({ "form": of.investigation() }),
        "review" => json!({ "form": of.review() }),
        "publication" => json!({ "form": of.publication(), "text": of.one("text") }),
        // The field has no zone: people mean the clock on their wall.
        "eta" => json!({ "until": format!("{}:00+09:00", of.one("until")), "reason": of.one("reason") }),
        "leak" => json!({ "form": of.leak()? }),
        "vendor" => json!({ "form": of.vendor() }),
        "split" => json!({ "findings": of.all("findings"), "reason": of.one("reason") }),
        _ => of.plain()?,
    };
    let Value::Object(mut filled) = filled else { return None };
    filled.insert("action".to_owned(), json!(name));
    serde_json::from_value(Value::Object(filled)).ok()
}

struct Fields<'a>(&'a [(String, String)]);

impl Fields<'_> {
    fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value.trim()).collect()
    }

    fn one(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    /// Nothing where nothing was chosen.
    fn chosen(&self, name: &str) -> Value {
        let text = self.one(name);
        if text.is_empty() { Value::Null } else { json!(text) }
    }

    fn lines(&self, name: &str) -> Vec<&str> {
        self.one(name).lines().map(str::trim).filter(|line| !line.is_empty()).collect()
    }

    /// Every field as it is.
    fn plain(&self) -> Option<Value> {
        let mut out = Map::new();
        for (name, value) in self.0.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
            let value = if NUMBERS.contains(&name.as_str()) {
                json!(value.parse::<u32>().ok()?)
            } else {
                json!(value.trim())
            };
            out.insert(name.clone(), value);
        }
        Some(Value::Object(out))
    }

    fn triage(&self) -> Value {
        // Boxes that are not ticked are not sent: the form says beside them that somebody looked.
        let hurts = if self.one("hurts_stated").is_empty() { Value::Null } else { json!(self.all("hurts")) };
        json!({
            "category": self.chosen("category"),
            "impact": self.chosen("impact"),
            "urgency": self.chosen("urgency"),
            "hurts": hurts,
            "leak_class": self.chosen("leak_class"),
            "owner": self.chosen("owner"),
            "cause": self.chosen("cause"),
        })
    }

    fn investigation(&self) -> Value {
        let answer = |name: &str| {
            json!({
                "value": self.chosen(name),
                "unknown_because": self.chosen(&format!("{name}_unknown")),
            })
        };
        json!({
            "vector": answer("vector"),
            "assets": answer("assets"),
            "scope": answer("scope"),
            "period": answer("period"),
            "accounts": answer("accounts"),
            "evidence": answer("evidence"),
        })
    }

    fn review(&self) -> Value {
        let rows = self.all("what").into_iter().zip(self.all("owner")).zip(self.all("due"));
        let filled = rows.filter(|((what, owner), due)| [what, owner, due].iter().any(|one| !one.is_empty()));
        let prevention: Vec<Value> =
            filled.map(|((what, owner), due)| json!({ "what": what, "owner": owner, "due": due })).collect();
        json!({
            "held_on": self.one("held_on"),
            "attendees": self.lines("attendees"),
            "whys": self.lines("whys"),
            "root_cause": self.one("root_cause"),
            "cause": self.chosen("cause"),
            "findings": self.one("findings"),
            "prevention": prevention,
            "lesson": self.one("lesson"),
        })
    }

    fn leak(&self) -> Option<Value> {
        let number = |name: &str| -> Option<Value> {
            let text = self.one(name);
            if text.is_empty() { Some(Value::Null) } else { Some(json!(text.parse::<u64>().ok()?)) }
        };
        let encrypted = Some(self.one("encrypted")).filter(|one| !one.is_empty()).map(|one| one == "yes");
        Some(json!({
            "item_types": self.lines("item_types"),
            "persons_min": number("persons_min")?,
            "persons_max": number("persons_max")?,
            "confirmed": !self.one("confirmed").is_empty(),
            "encrypted": encrypted,
            "subject_notice": self.chosen("subject_notice"),
        }))
    }

    fn vendor(&self) -> Value {
        json!({
            "name": self.one("name"),
            "contract": self.one("contract"),
            "nda": !self.one("nda").is_empty(),
            "from": self.one("from"),
            "what": self.one("what"),
        })
    }

    fn publication(&self) -> Value {
        json!({
            "publish": !self.one("publish").is_empty(),
            "when": self.one("when"),
            "media": self.lines("media"),
            "spokesperson": self.one("spokesperson"),
            "reason": self.one("reason"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::IncidentState;

    fn filled(fields: &[(&str, &str)]) -> Option<Action> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        action(&fields.iter().map(own).collect::<Vec<_>>())
    }

    #[test]
    fn forms_become_actions() {
        let ours = [("csrf", "x"), ("version", "3")];
        let with = |fields: &[(&'static str, &'static str)]| filled(&[&ours[..], fields].concat());
        assert_eq!(with(&[("action", "start")]), Some(Action::Start));
        assert_eq!(
            with(&[("action", "do_task"), ("task", "2"), ("note", "済")]),
            Some(Action::DoTask { task: 2, note: "済".to_owned() })
        );
        assert_eq!(
            with(&[("action", "back"), ("to", "containing"), ("reason", " x ")]),
            Some(Action::Back { to: IncidentState::Containing, reason: "x".to_owned() })
        );
        for bad in [
            vec![("action", "do_task"), ("task", "two")],
            vec![("action", "no such")],
            vec![("action", "note"), ("text", "x"), ("more", "x")],
            vec![("action", "eta"), ("until", "soon")],
            vec![],
        ] {
            assert_eq!(with(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_not_filled_in_is_missing() {
        let Some(Action::Triage { triage }) = filled(&[
            ("action", "triage"),
            ("category", "scan"),
            ("impact", ""),
            ("urgency", "u1"),
            ("leak_class", "none"),
            ("owner", " "),
        ]) else {
            panic!()
        };
        assert_eq!(triage.missing(), ["impact", "hurts", "owner"]);
        let Some(Action::Triage { triage }) =
            filled(&[("action", "triage"), ("hurts_stated", "1"), ("hurts", "integrity")])
        else {
            panic!()
        };
        assert_eq!(triage.hurts.unwrap().len(), 1);
    }

    #[test]
    fn a_review_takes_the_rows_that_say_something() {
        let Some(Action::Review { form }) = filled(&[
            ("action", "review"),
            ("held_on", "2026-12-01"),
            ("attendees", "統制\n\n 監視 "),
            ("whys", "なぜ"),
            ("root_cause", "設定"),
            ("what", "MFA"),
            ("owner", "課"),
            ("due", "2027-01-31"),
            ("what", ""),
            ("owner", ""),
            ("due", ""),
        ]) else {
            panic!()
        };
        assert_eq!((form.attendees.len(), form.prevention.len()), (2, 1));
        assert!(form.missing().is_empty());
    }

    #[test]
    fn a_leak_says_how_many_or_nothing() {
        let fields =
            [("action", "leak"), ("item_types", "氏名\n住所"), ("persons_min", "10"), ("persons_max", "")];
        let Some(Action::Leak { form }) = filled(&fields) else { panic!() };
        assert_eq!((form.item_types.len(), form.persons_min, form.persons_max), (2, Some(10), None));
        assert_eq!((form.encrypted, form.confirmed), (None, false));
        assert_eq!(filled(&[("action", "leak"), ("persons_min", "many")]), None);
        let Some(Action::Vendor { form }) = filled(&[("action", "vendor"), ("name", "A社"), ("nda", "1")])
        else {
            panic!()
        };
        assert!(form.nda && form.name == "A社");
    }

    #[test]
    fn a_time_is_that_of_japan() {
        let Some(Action::Eta { until, .. }) =
            filled(&[("action", "eta"), ("until", "2026-11-23T09:00"), ("reason", "")])
        else {
            panic!()
        };
        assert_eq!(until.to_string(), "2026-11-23T00:00:00.000000000Z");
    }
}
