//! `obligations.toml`: which facts demand which report, and by when. Data, checked at start.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use super::data::{DataError, Text, Verified};
use crate::incident::IncidentCategory;
use crate::incident::obligation::ObligationKind;

/// Longest period that a file may set.
const DAYS_MAX: u16 = 366;

closed_words! {
    /// A law with reports of its own.
    Track {
        /// 個人情報保護法.
        Ppc "ppc" "個人情報保護法" "Personal information",
        /// 番号法.
        PpcMynumber "ppc_mynumber" "番号法" "My Number",
    }
}

closed_words! {
    /// How the day of an obligation comes about.
    Deadline {
        /// As a preliminary report.
        Prelim "prelim" "速報" "Preliminary report",
        /// As a final report.
        Final "final" "確報" "Final report",
        /// By a number of days of ours.
        Target "target" "目標" "Target",
        /// No day.
        None "none" "期限なし" "No deadline",
    }
}

closed_words! {
    /// What leaked, as far as the law asks.
    Item {
        /// 要配慮個人情報.
        Sensitive "sensitive" "要配慮個人情報" "Sensitive personal information",
        /// What money can be taken with.
        Property "property" "財産的被害につながる情報" "Financial information",
        /// 条例要配慮個人情報.
        LocalSensitive "local_sensitive" "条例要配慮個人情報" "Sensitive by ordinance",
        /// 特定個人情報.
        MyNumber "my_number" "特定個人情報" "My Number data",
        /// The same, and everybody could see it.
        MyNumberOpen "my_number_open" "特定個人情報(不特定多数が閲覧)" "My Number data open to everybody",
    }
}

/// The whole file.
#[derive(Clone, Debug)]
pub struct Law {
    /// The preliminary report.
    pub prelim: Prelim,
    /// The final report.
    pub last: Final,
    /// Categories whose purpose counts as wrongful until somebody says otherwise.
    pub wrongful: BTreeSet<IncidentCategory>,
    /// What makes a leak reportable.
    pub triggers: Vec<Trigger>,
    /// What follows.
    pub obligations: Vec<Rule>,
}

/// The preliminary report: days of a guideline.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prelim {
    /// Should be filed on this day.
    pub target_day: u16,
    /// Must be.
    pub limit_day: u16,
    /// Where this comes from.
    pub source: String,
    /// Whether somebody compared it.
    pub verified: Verified,
}

/// The final report.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Final {
    /// Our own deadline lies so many working days before the law's.
    pub internal_business_days: u16,
    /// Where the law gives more time, this day stays a target.
    pub internal_day: u16,
    /// Where this comes from.
    pub source: String,
    /// Whether somebody compared it.
    pub verified: Verified,
}

/// What makes a leak reportable.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The stable identifier.
    pub id: String,
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
    /// Which law.
    pub track: Track,
    /// This must be among what leaked.
    pub item: Option<Item>,
    /// It must have leaked from one of these.
    #[serde(default)]
    pub segments: Vec<String>,
    /// A wrongful purpose must be possible.
    #[serde(default)]
    pub wrongful: bool,
    /// People, at a public body.
    pub persons_public: Option<u64>,
    /// People, at a company.
    pub persons_private: Option<u64>,
    /// Of the final report.
    pub days: u16,
    /// Where this comes from.
    pub source: String,
    /// Whether somebody compared it.
    pub verified: Verified,
}

/// When a report is owed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which.
    pub kind: ObligationKind,
    /// How its day comes about.
    pub deadline: Deadline,
    /// With `target`: the day.
    pub day: Option<u16>,
    /// With `target`: the day, counted from when others spoke of it.
    pub mentioned_day: Option<u16>,
    /// Nobody is obliged.
    #[serde(default)]
    pub voluntary: bool,
    /// One of these is enough.
    pub any: Vec<When>,
    /// Where this comes from.
    pub source: String,
    /// Whether somebody compared it.
    pub verified: Verified,
}

/// Everything that is given must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// A trigger of this law fired.
    pub track: Option<Track>,
    /// At least so bad.
    pub level: Option<u8>,
    /// In one of these segments.
    pub segments: Vec<String>,
    /// One of these.
    pub categories: Vec<IncidentCategory>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    prelim: Spanned<Prelim>,
    #[serde(rename = "final")]
    last: Spanned<Final>,
    wrongful: WrongfulFile,
    trigger: Vec<Spanned<Trigger>>,
    obligation: Vec<Spanned<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrongfulFile {
    categories: BTreeSet<IncidentCategory>,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verified")]
    _verified: Verified,
}

impl Law {
    /// Reads `obligations.toml`.
    ///
    /// # Errors
    /// Names line, key and rule.
    pub fn parse(text: &Text) -> Result<Self, DataError> {
        let file: File = text.toml()?;
        let prelim = file.prelim.get_ref();
        if prelim.target_day == 0 || prelim.target_day > prelim.limit_day || prelim.limit_day > DAYS_MAX {
            return Err(text.broken(
                &file.prelim,
                "prelim.limit_day",
                "is at least target_day, which is 1 or more",
            ));
        }
        let last = file.last.get_ref();
        if last.internal_day == 0 || last.internal_day > DAYS_MAX || last.internal_business_days > DAYS_MAX {
            return Err(text.broken(&file.last, "final.internal_day", "is 1 to 366"));
        }
        let mut ids = BTreeSet::new();
        for one in &file.trigger {
            check_trigger(text, one)?;
            if !ids.insert(&one.get_ref().id) {
                return Err(text.broken(one, "trigger.id", "stands there twice"));
            }
        }
        let mut kinds = BTreeSet::new();
        for one in &file.obligation {
            check_rule(text, one)?;
            if !kinds.insert(one.get_ref().kind) {
                return Err(text.broken(one, "obligation.kind", "stands there twice"));
            }
        }
        Ok(Self {
            prelim: file.prelim.into_inner(),
            last: file.last.into_inner(),
            wrongful: file.wrongful.categories,
            triggers: file.trigger.into_iter().map(Spanned::into_inner).collect(),
            obligations: file.obligation.into_iter().map(Spanned::into_inner).collect(),
        })
    }
}

fn check_trigger(text: &Text, at: &Spanned<Trigger>) -> Result<(), DataError> {
    let one = at.get_ref();
    let broken = |key: &str, rule: &str| Err(text.broken(at, format!("trigger {:?}: {key}", one.id), rule));
    if one.id.is_empty() || !one.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        return broken("id", "has small letters and _ only");
    }
    if !(1..=DAYS_MAX).contains(&one.days) {
        return broken("days", "is 1 to 366");
    }
    if one.persons_public.is_none() && one.persons_private.is_none() {
        return broken("persons_public", "or persons_private must be given");
    }
    if [one.persons_public, one.persons_private].contains(&Some(0)) {
        return broken("persons_public", "and persons_private are 1 or more");
    }
    if one.source.is_empty() {
        return broken("source", "says where this comes from");
    }
    Ok(())
}

fn check_rule(text: &Text, at: &Spanned<Rule>) -> Result<(), DataError> {
    let one = at.get_ref();
    let broken =
        |key: &str, rule: &str| Err(text.broken(at, format!("obligation {}: {key}", one.kind), rule));
    let has_day = one.deadline == Deadline::Target;
    if one.day.is_some() != has_day {
        return broken("day", "goes with deadline = \"target\"");
    }
    if [one.day, one.mentioned_day].into_iter().flatten().any(|day| !(1..=DAYS_MAX).contains(&day)) {
        return broken("day", "is 1 to 366");
    }
    if one.mentioned_day.is_some_and(|day| one.day.is_none_or(|usual| day > usual)) {
        return broken("mentioned_day", "is no later than day");
    }
    if one.any.is_empty() {
        return broken("any", "has at least one condition");
    }
    for when in &one.any {
        if when.level.is_some_and(|level| level > 4) {
            return broken("any.level", "is 0 to 4");
        }
        let by_track = matches!(one.deadline, Deadline::Prelim | Deadline::Final);
        if by_track && when.track.is_none() {
            return broken("any.track", "must be given where the deadline is that of a law");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_line_key_and_rule() {
        let good = super::super::LAW;
        let parse = |text: String| Law::parse(&Text { file: "o.toml".to_owned(), text });
        assert_eq!(parse(good.to_owned()).unwrap().obligations.len(), ObligationKind::ALL.len());
        for (from, to, expected) in [
            ("limit_day = 5", "limit_day = 2", "prelim.limit_day is at least target_day"),
            ("internal_day = 30", "internal_day = 0", "final.internal_day is 1 to 366"),
            ("id = \"many\"", "id = \"wrongful\"", "trigger.id stands there twice"),
            ("id = \"many\"", "id = \"Many\"", "small letters"),
            ("days = 60", "days = 600", "trigger \"wrongful\": days is 1 to 366"),
            ("persons_public = 101", "persons_public = 0", "trigger \"many\": persons_public and"),
            ("track = \"ppc\"\nitem", "track = \"gdpr\"\nitem", "\"gdpr\" is not one of ppc, ppc_mynumber"),
            ("verified = \"no\"", "verified = \"yes\"", "unknown variant `yes`"),
            (
                "kind = \"police\"\ndeadline = \"target\"",
                "kind = \"police\"\ndeadline = \"none\"",
                "obligation police: day goes with",
            ),
            ("mentioned_day = 1", "mentioned_day = 9", "publication: mentioned_day is no later"),
            (
                "any = [{ level = 2, segments",
                "any = [{ level = 5, segments",
                "jlis_report: any.level is 0 to 4",
            ),
            ("kind = \"ipa\"", "kind = \"jpcert\"", "obligation.kind stands there twice"),
            ("any = [{ track = \"ppc\" }]", "any = [{ level = 1 }]", "any.track must be given"),
            ("any = [{ track = \"ppc\" }]", "any = []", "any has at least one condition"),
            ("source = \"都道府県警察サイバー窓口\"\n", "", "missing field `source`"),
        ] {
            assert!(good.contains(from), "{from}");
            let error = parse(good.replacen(from, to, 1)).unwrap_err();
            let shown = super::super::data::shown(&error);
            assert!(
                shown.starts_with("o.toml") && shown.contains("line ") && shown.contains(expected),
                "{shown}"
            );
        }
    }
}
