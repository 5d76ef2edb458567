//! The console's words, in Japanese and in English (`locales/*.ftl`).
//!
//! Japanese comes first; English is what a person chose. A key without words shows itself in `⟦ ⟧`, and a test fails.

use core::fmt::Display;
use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use sekimori_wire::finding::Severity;
use unic_langid::LanguageIdentifier;

use crate::auth::role::Role;
use crate::auth::session::cookie;
use crate::incident::{IncidentCategory, IncidentState};

const JA: &str = include_str!("../locales/ja.ftl");
const EN: &str = include_str!("../locales/en.ftl");
/// Cookie that remembers the choice; it holds no secret.
pub const COOKIE: &str = "sekimori-lang";

static BUNDLES: LazyLock<[FluentBundle<FluentResource>; 2]> =
    LazyLock::new(|| [bundle("ja", JA), bundle("en", EN)]);

/// A language of the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// 日本語.
    #[default]
    Ja,
    /// English.
    En,
}

impl Lang {
    /// From the value of a `Cookie` header.
    pub fn from_cookies(header: &str) -> Self {
        cookie(header, COOKIE).and_then(Self::from_code).unwrap_or_default()
    }

    /// From `ja` or `en`.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Ja, Self::En].into_iter().find(|lang| lang.code() == code)
    }

    /// For the `lang` attribute.
    pub const fn code(self) -> &'static str {
        self.pick("ja", "en")
    }

    /// The one to switch to.
    pub const fn other(self) -> Self {
        match self {
            Self::Ja => Self::En,
            Self::En => Self::Ja,
        }
    }

    /// The text in this language.
    pub const fn pick<'a>(self, ja: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Ja => ja,
            Self::En => en,
        }
    }

    /// The words behind a key.
    pub fn text(self, key: &str) -> String {
        self.format(key, None)
    }

    /// The words behind a key, with `$n` filled in; a whole number is also written with its thousands apart.
    pub fn with(self, key: &str, n: impl Display) -> String {
        let n = n.to_string();
        let value = match n.parse::<u32>() {
            Ok(number) => FluentValue::from(number),
            Err(_not_a_number) => FluentValue::from(n),
        };
        self.format(key, Some(&FluentArgs::from_iter([("n", value)])))
    }

    /// Whether the key has words.
    pub fn has(self, key: &str) -> bool {
        self.bundle().has_message(key)
    }

    /// A category.
    pub const fn category(self, category: IncidentCategory) -> &'static str {
        self.pick(category.ja(), category.en())
    }

    /// A state.
    pub const fn state(self, state: IncidentState) -> &'static str {
        self.pick(state.ja(), state.en())
    }

    /// A severity, as `L3 高`.
    pub fn severity(self, severity: Severity) -> String {
        let level = severity.level();
        format!("L{level} {}", self.text(&format!("severity-{level}")))
    }

    /// A role.
    pub fn role(self, role: Role) -> String {
        self.text(&format!("role-{role}"))
    }

    fn format(self, key: &str, args: Option<&FluentArgs<'_>>) -> String {
        let bundle = self.bundle();
        match bundle.get_message(key).and_then(|message| message.value()) {
            Some(pattern) => bundle.format_pattern(pattern, args, &mut Vec::new()).into_owned(),
            None => format!("⟦{key}⟧"),
        }
    }

    fn bundle(self) -> &'static FluentBundle<FluentResource> {
        let [ja, en] = &*BUNDLES;
        match self {
            Self::Ja => ja,
            Self::En => en,
        }
    }
}

/// What cannot be read in a locale is left out here and found by the tests: the console must start.
fn bundle(lang: &str, text: &str) -> FluentBundle<FluentResource> {
    let resource = FluentResource::try_new(text.to_owned()).unwrap_or_else(|(partial, _errors)| partial);
    let mut bundle =
        FluentBundle::new_concurrent(vec![lang.parse::<LanguageIdentifier>().unwrap_or_default()]);
    // Pages say their direction by themselves; isolating marks would only get in the way of copying.
    bundle.set_use_isolating(false);
    bundle.set_formatter(Some(|value, _memoizer| match value {
        FluentValue::Number(number) => Some(thousands(&number.as_string())),
        FluentValue::String(_) | FluentValue::Custom(_) | FluentValue::None | FluentValue::Error => None,
    }));
    bundle.add_resource_overriding(resource);
    bundle
}

/// `1234567` as `1,234,567`.
pub fn thousands(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, ch) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(ch);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::auth::password::WeakPassword;

    fn keys(text: &str) -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with([' ', '#']));
        lines.filter_map(|line| line.split_once(" =")).map(|(key, _words)| key.to_owned()).collect()
    }

    #[test]
    fn both_languages_have_the_same_keys_and_no_errors() {
        for text in [JA, EN] {
            FluentResource::try_new(text.to_owned()).unwrap();
        }
        assert_eq!(keys(JA), keys(EN));
        assert!(keys(JA).len() > 100);
    }

    /// Keys in templates and in code: `page.t("…")`, `page.n("…", …)`, `.text("…")`, `.with("…", …)`, `rule("…")`, `Rule("…", …)`.
    fn used_in(folder: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                used_in(path.to_str().unwrap(), found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            for call in ["page.t(\"", "page.n(\"", ".text(\"", ".with(\"", "rule(\"", "Rule(\""] {
                let calls = text.split(call).skip(1);
                found.extend(calls.map(|rest| rest.split('"').next().unwrap().to_owned()));
            }
        }
    }

    #[test]
    fn every_key_that_is_used_has_words_and_every_word_is_used() {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut used = BTreeSet::new();
        used_in(&format!("{root}/templates"), &mut used);
        used_in(&format!("{root}/src/console"), &mut used);
        used.extend((0..=4).map(|level| format!("severity-{level}")));
        used.extend(Role::ALL.iter().map(|role| format!("role-{role}")));
        used.extend(WeakPassword::ALL.iter().map(|weak| format!("password-{}", weak.as_str())));
        for state in IncidentState::ALL {
            used.extend([format!("next-{state}"), format!("owner-{state}")]);
        }
        for prefix in [
            "change-",
            "refusal-",
            "attention-",
            "check-",
            "counter-",
            "action-",
            "missing-",
            "hidden-",
            "report-",
            "because-",
            "sign-in-",
            "drill-",
            "duty-move-",
            "handover-",
            "host-wrong-",
            "monthly-",
            "help-",
            "settings-",
            "verified-",
            "conflict-field-",
        ] {
            used.extend(keys(JA).into_iter().filter(|key| key.starts_with(prefix)));
        }
        let there = keys(JA);
        assert_eq!(used.symmetric_difference(&there).collect::<Vec<_>>(), Vec::<&String>::new());
    }

    #[test]
    fn words_are_chosen_and_numbers_are_readable() {
        assert_eq!(Lang::from_cookies("a=b; sekimori-lang=en"), Lang::En);
        assert_eq!(Lang::from_cookies("sekimori-lang=xx"), Lang::Ja);
        assert_eq!(Lang::En.text("no such key"), "⟦no such key⟧");
        assert_eq!(thousands("1234567"), "1,234,567");
        assert_eq!(thousands("123"), "123");
        assert_eq!(Lang::En.with("total-incidents", 1), "1 incident");
        assert_eq!(Lang::En.with("total-incidents", 1234), "1,234 incidents");
        assert_eq!(Lang::Ja.with("total-incidents", 1234), "1,234 件");
    }
}
