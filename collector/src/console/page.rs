//! What every page has: the frame, times, levels, and the pages for when something is wrong.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use sekimori_wire::finding::Severity;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use super::{Visitor, accounts, assets, audit, lang_of};
use crate::clock::now;
use crate::i18n::{Lang, thousands};
use crate::store::StoreError;

/// The frame of a page: in which language, for whom, where.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) lang: Lang,
    /// Name and role; `None` before login.
    pub(super) person: Option<(String, String)>,
    pub(super) csrf: String,
    /// Sees everybody's figures.
    pub(super) sees_all: bool,
    /// Pages that are not for everybody.
    pub(super) doors: Doors,
    /// Where to come back after switching the language.
    pub(super) place: String,
    /// The entry of the navigation that this page belongs to.
    pub(super) section: &'static str,
    /// The latest change that this page can have seen.
    pub(super) seq: i64,
    pub(super) now: Timestamp,
    pub(super) version: &'static str,
}

/// Which of the pages that are not for everybody the navigation leads to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doors {
    /// Everybody's accounts.
    pub(super) accounts: bool,
    /// The audit log.
    pub(super) audit: bool,
}

impl Page {
    /// For somebody with a session.
    pub(super) fn new(visitor: &Visitor, section: &'static str) -> Self {
        Self {
            person: Some((visitor.user.name.to_string(), visitor.lang.role(visitor.user.role))),
            csrf: visitor.token.csrf(),
            section,
            seq: visitor.seq,
            sees_all: visitor.user.scope.is_all(),
            doors: Doors {
                accounts: accounts::may_manage(&visitor.user),
                audit: audit::may_read(&visitor.user),
            },
            ..Self::anonymous(visitor.lang, &visitor.place)
        }
    }

    /// Before login.
    pub(super) fn anonymous(lang: Lang, place: &str) -> Self {
        Self {
            lang,
            person: None,
            csrf: String::new(),
            sees_all: false,
            doors: Doors::default(),
            place: query_value(place),
            section: "",
            seq: 0,
            now: now(),
            version: assets::version(),
        }
    }

    pub(super) fn t(&self, key: &str) -> String {
        self.lang.text(key)
    }

    pub(super) fn n(&self, key: &str, n: impl core::fmt::Display) -> String {
        self.lang.with(key, n)
    }

    /// `aria-current` of an entry of the navigation.
    pub(super) fn is(&self, section: &str) -> bool {
        self.section == section
    }

    /// How long ago, in words.
    pub(super) fn ago(&self, at: Timestamp) -> String {
        let seconds = self.now.since(at).as_secs();
        match seconds {
            0..60 => self.lang.with("ago-seconds", seconds),
            60..3600 => self.lang.with("ago-minutes", seconds / 60),
            3600..172_800 => self.lang.with("ago-hours", seconds / 3600),
            _ => self.lang.with("ago-days", seconds / 86_400),
        }
    }

    /// A length of time, in its largest two units.
    pub(super) fn lasting(&self, seconds: u64) -> String {
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        let two = |a: String, b: String| format!("{a} {b}");
        match seconds {
            0..60 => self.lang.with("lasting-seconds", seconds),
            60..3600 => self.lang.with("lasting-minutes", minutes),
            3600..86_400 => {
                two(self.lang.with("lasting-hours", hours), self.lang.with("lasting-minutes", minutes))
            }
            _ => two(self.lang.with("lasting-days", days), self.lang.with("lasting-hours", hours)),
        }
    }
}

/// A time: Japan's on the page, UTC in its title.
#[derive(Clone, Debug, Template)]
#[template(source = r#"<time datetime="{{ utc }}" title="{{ utc }}">{{ jst }}</time>"#, ext = "html")]
pub(super) struct When {
    jst: String,
    utc: String,
}

impl askama::filters::HtmlSafe for When {}

impl From<Timestamp> for When {
    fn from(at: Timestamp) -> Self {
        let zone = jiff::tz::Offset::from_seconds(9 * 3600).unwrap_or(jiff::tz::Offset::UTC);
        let utc = jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).unwrap_or_default();
        let jst = zone.to_datetime(utc).strftime("%Y-%m-%d %H:%M:%S").to_string();
        Self { jst, utc: at.to_string() }
    }
}

/// A level: colour, bars and words.
#[derive(Clone, Debug, Template)]
#[template(
    source = r#"<span class="sev sev-{{ level }}"><span aria-hidden="true">{% for bar in bars %}<i{% if *bar %} class="on"{% endif %}></i>{% endfor %}</span>{{ label }}</span>"#,
    ext = "html"
)]
pub(super) struct Level {
    level: u8,
    bars: [bool; 4],
    pub(super) label: String,
}

impl askama::filters::HtmlSafe for Level {}

impl Level {
    pub(super) fn new(lang: Lang, severity: Severity) -> Self {
        let level = severity.level();
        Self { level, bars: [1, 2, 3, 4].map(|bar| bar <= level), label: lang.severity(severity) }
    }
}

/// A mark: colour, sign and words.
#[derive(Clone, Debug, Template)]
#[template(
    source = r#"<span class="mark {{ class }}"{% if !title.is_empty() %} title="{{ title }}"{% endif %}>{{ sign }} {{ label }}</span>"#,
    ext = "html"
)]
pub(super) struct Mark {
    class: &'static str,
    sign: &'static str,
    label: String,
    title: String,
}

impl askama::filters::HtmlSafe for Mark {}

impl Mark {
    pub(super) fn ok(label: String) -> Self {
        Self { class: "ok", sign: "✓", label, title: String::new() }
    }

    pub(super) fn bad(label: String) -> Self {
        Self { class: "bad", sign: "✕", label, title: String::new() }
    }

    pub(super) fn warn(label: String) -> Self {
        Self { class: "warn", sign: "▲", label, title: String::new() }
    }

    pub(super) fn none(label: String) -> Self {
        Self { class: "none", sign: "–", label, title: String::new() }
    }

    pub(super) fn titled(self, title: String) -> Self {
        Self { title, ..self }
    }
}

/// Text from strangers as a page may show it: bounded, nothing invisible.
pub(super) fn shown(text: &str) -> String {
    BoundedText::<1024>::new(text).to_string()
}

/// A number with its thousands apart.
pub(super) fn number(n: impl core::fmt::Display) -> String {
    thousands(&n.to_string())
}

/// Bytes in a readable unit.
pub(super) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut tenths = n.saturating_mul(10);
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    if unit == "B" { format!("{n} B") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}

/// A text as the value of a query parameter.
pub(super) fn query_value(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let one = |byte: u8| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// The page, or a bare error if it cannot be rendered.
pub(super) fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(cause) => {
            tracing::error!(%cause, "cannot render a page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    page: Page,
    status: u16,
    title: String,
    text: String,
}

/// A page that says what is wrong.
pub(super) fn error(lang: Lang, status: StatusCode) -> Response {
    let (title, text) = match status {
        StatusCode::BAD_REQUEST => (lang.text("error-400"), lang.text("error-400-text")),
        StatusCode::UNAUTHORIZED => (lang.text("error-401"), lang.text("error-401-text")),
        StatusCode::FORBIDDEN => (lang.text("error-403"), lang.text("error-403-text")),
        StatusCode::NOT_FOUND => (lang.text("error-404"), lang.text("error-404-text")),
        StatusCode::CONFLICT => (lang.text("error-409"), lang.text("error-409-text")),
        StatusCode::PAYLOAD_TOO_LARGE => (lang.text("error-413"), lang.text("error-413-text")),
        StatusCode::UNPROCESSABLE_ENTITY => (lang.text("error-422"), lang.text("error-422-text")),
        StatusCode::SERVICE_UNAVAILABLE => (lang.text("error-503"), lang.text("error-503-text")),
        _ => (lang.text("error-500"), lang.text("error-500-text")),
    };
    let page = Page::anonymous(lang, "/");
    (status, render(&ErrorPage { page, status: status.as_u16(), title, text })).into_response()
}

/// For what is our fault; the cause goes to the log, not to the page.
pub(super) fn failed(lang: Lang, cause: &StoreError) -> Response {
    tracing::error!(error = %chain(cause), "a page failed");
    error(lang, StatusCode::INTERNAL_SERVER_ERROR)
}

/// An error with all its causes.
pub fn chain(error: &dyn core::error::Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        out.push_str(": ");
        out.push_str(&error.to_string());
        cause = error.source();
    }
    out
}

/// For every path that is none of ours.
pub(super) async fn not_found(headers: HeaderMap) -> Response {
    error(lang_of(&headers), StatusCode::NOT_FOUND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_japans_with_utc_in_the_title() {
        let at: Timestamp = "2026-11-22T15:00:00.5Z".parse().unwrap();
        assert_eq!(
            When::from(at).to_string(),
            r#"<time datetime="2026-11-22T15:00:00.500000000Z" title="2026-11-22T15:00:00.500000000Z">2026-11-23 00:00:00</time>"#
        );
    }

    #[test]
    fn sizes_are_readable() {
        for (n, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1 << 30, "1.0 GiB")]
        {
            assert_eq!(bytes(n), text);
        }
        assert_eq!(bytes(u64::MAX).split(' ').nth(1), Some("TiB"));
    }

    #[test]
    fn query_values_cannot_end_themselves() {
        assert_eq!(query_value("/incidents?a=b&c=\"<"), "/incidents%3Fa%3Db%26c%3D%22%3C");
    }
}
