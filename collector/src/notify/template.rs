//! `notices.toml`: what notices say, in Japanese and in English. Text only; values of strangers are made harmless first
//! and never read as a template again.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::clean;
use crate::i18n::Lang;
use crate::timing::data::{DataError, Text};

/// What is built in.
pub const NOTICES: &str = include_str!("../../data/notices.toml");
/// Stands before the subject of every notice of a drill.
pub const DRILL_MARK: &str = "【訓練】";
/// Longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 120;
/// Longest template.
const TEMPLATE_BYTES_MAX: usize = 16 * 1024;

closed_words! {
    /// What a notice is about.
    NoticeKind {
        /// An incident began.
        Opened "opened" "検知" "Detected",
        /// Its level rose.
        Raised "raised" "深刻度引き上げ" "Severity raised",
        /// Its findings multiplied.
        Grown "grown" "検知多数" "Many findings",
        /// A limit comes near or has passed.
        Timer "timer" "期限" "Time limit",
        /// A report is due.
        Obligation "obligation" "報告等の期限" "Report due",
        /// What was small, once a day.
        Digest "digest" "日次まとめ" "Daily digest",
        /// An extract was made for a body.
        Shared "shared" "共有情報" "Shared information",
        /// A test of the way.
        Test "test" "試験" "Test",
    }
}

closed_words! {
    /// What is filled in.
    Field {
        /// Its name.
        Incident "incident" "事案" "Incident",
        /// Whose.
        Body "body" "団体" "Body",
        /// How bad.
        Level "level" "深刻度" "Severity",
        /// What kind.
        Category "category" "種別" "Category",
        /// What it is about.
        Subject "subject" "対象" "Subject",
        /// When it began.
        Opened "opened" "検知時刻" "Detected",
        /// How many findings.
        Findings "findings" "検知件数" "Findings",
        /// Which step.
        Timer "timer" "段階" "Step",
        /// How much of the limit.
        Percent "percent" "割合" "Share",
        /// From when on.
        Since "since" "起算" "Since",
        /// Until when.
        Due "due" "期限" "Due",
        /// Which report.
        Obligation "obligation" "報告等" "Report",
        /// Which of its days.
        Point "point" "区分" "Point",
        /// Which day.
        Day "day" "日" "Day",
        /// How many.
        Count "count" "件数" "Count",
        /// How many precursors.
        Precursors "precursors" "予兆" "Precursors",
        /// One line for each.
        Lines "lines" "一覧" "List",
        /// Its TLP mark.
        Tlp "tlp" "TLP" "TLP",
        /// Beginning of a document's SHA-256.
        Digest "extract" "抜粋" "Extract",
        /// Where to read on.
        Link "link" "リンク" "Link",
    }
}

impl NoticeKind {
    /// What this kind knows.
    pub const fn fields(self) -> &'static [Field] {
        use Field as F;
        match self {
            Self::Opened | Self::Raised | Self::Grown => {
                &[F::Incident, F::Body, F::Level, F::Category, F::Subject, F::Opened, F::Findings, F::Link]
            }
            Self::Timer => &[
                F::Incident,
                F::Body,
                F::Level,
                F::Category,
                F::Opened,
                F::Timer,
                F::Percent,
                F::Since,
                F::Due,
                F::Link,
            ],
            Self::Obligation => {
                &[F::Incident, F::Body, F::Level, F::Category, F::Obligation, F::Point, F::Due, F::Link]
            }
            Self::Digest => &[F::Day, F::Body, F::Since, F::Count, F::Precursors, F::Lines, F::Link],
            Self::Shared => &[F::Body, F::Tlp, F::Since, F::Digest, F::Link],
            Self::Test => &[F::Opened],
        }
    }
}

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// Lines of text.
    pub body: String,
}

/// The values of a notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<Field, String>);

impl Values {
    /// With one more; made harmless here.
    #[must_use]
    pub fn with(mut self, field: Field, value: &str) -> Self {
        self.0.insert(field, clean::line(value, clean::CHARS_MAX));
        self
    }

    /// With a list, one line for each; every line made harmless here.
    #[must_use]
    pub fn with_lines(mut self, field: Field, lines: &[String]) -> Self {
        let lines: Vec<String> = lines.iter().map(|line| clean::line(line, clean::CHARS_MAX)).collect();
        self.0.insert(field, lines.join("\n"));
        self
    }

    fn get(&self, field: Field) -> &str {
        match self.0.get(&field).map(String::as_str) {
            None | Some("") => "-",
            Some(value) => value,
        }
    }
}

/// All templates.
#[derive(Clone, Debug)]
pub struct Templates(BTreeMap<(NoticeKind, &'static str), [Vec<Piece>; 2]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PairFile {
    ja: TemplateFile,
    en: TemplateFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateFile {
    subject: Spanned<String>,
    body: Spanned<String>,
}

impl Templates {
    /// Reads `notices.toml`.
    ///
    /// # Errors
    /// Names line, key and rule.
    pub fn parse(text: &Text) -> Result<Self, DataError> {
        let mut file: BTreeMap<NoticeKind, PairFile> = text.toml()?;
        let mut out = BTreeMap::new();
        for kind in NoticeKind::ALL.iter().copied() {
            let Some(pair) = file.remove(&kind) else {
                return Err(DataError::Rule {
                    file: text.file.clone(),
                    line: 1,
                    key: kind.to_string(),
                    rule: "is missing".to_owned(),
                });
            };
            for (lang, one) in [(Lang::Ja, pair.ja), (Lang::En, pair.en)] {
                let subject = pieces(text, kind, &one.subject)?;
                if one.subject.get_ref().contains(clean::is_harmful) {
                    return Err(text.broken(&one.subject, format!("{kind}.subject"), "is one line"));
                }
                out.insert((kind, lang.code()), [subject, pieces(text, kind, &one.body)?]);
            }
        }
        Ok(Self(out))
    }

    /// Fills a template in; `drill` marks the subject.
    pub fn fill(&self, kind: NoticeKind, lang: Lang, values: &Values, drill: bool) -> Message {
        let empty = [Vec::new(), Vec::new()];
        let [subject, body] = self.0.get(&(kind, lang.code())).unwrap_or(&empty);
        let put = |pieces: &[Piece]| -> String {
            let one = |piece: &Piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Field(field) => values.get(*field).to_owned(),
            };
            pieces.iter().map(one).collect()
        };
        let mark = if drill { DRILL_MARK } else { "" };
        let subject = clean::line(&put(subject), SUBJECT_CHARS_MAX);
        let head = if drill { format!("{DRILL_MARK}\n") } else { String::new() };
        Message { subject: format!("{mark}{subject}"), body: format!("{head}{}", put(body).trim_start()) }
    }
}

fn pieces(text: &Text, kind: NoticeKind, at: &Spanned<String>) -> Result<Vec<Piece>, DataError> {
    let broken = |rule: String| text.broken(at, kind.as_str(), rule);
    if at.get_ref().len() > TEMPLATE_BYTES_MAX {
        return Err(broken(format!("is at most {TEMPLATE_BYTES_MAX} bytes")));
    }
    let (mut out, mut rest) = (Vec::new(), at.get_ref().as_str());
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else {
            return Err(broken("has a { without }".to_owned()));
        };
        let field = Field::from_name(name).filter(|field| kind.fields().contains(field));
        let Some(field) = field else {
            let known: Vec<_> = kind.fields().iter().map(|field| field.as_str()).collect();
            return Err(broken(format!("knows no {{{name}}}; it knows {}", known.join(", "))));
        };
        out.push(Piece::Text(before.to_owned()));
        out.push(Piece::Field(field));
        rest = behind;
    }
    out.push(Piece::Text(rest.to_owned()));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Templates, DataError> {
        Templates::parse(&Text { file: "n.toml".to_owned(), text: text.to_owned() })
    }

    fn all_values(value: &str) -> Values {
        Field::ALL.iter().fold(Values::default(), |values, field| values.with(*field, value))
    }

    #[test]
    fn every_notice_in_both_languages_is_filled() {
        let templates = parse(NOTICES).unwrap();
        for kind in NoticeKind::ALL.iter().copied() {
            for lang in [Lang::Ja, Lang::En] {
                let message = templates.fill(kind, lang, &all_values("VALUE"), false);
                let both = format!("{}{}", message.subject, message.body);
                assert!(both.contains("VALUE") && !both.contains(['{', '}']), "{both}");
                assert!(!both.contains(DRILL_MARK));
                let drill = templates.fill(kind, lang, &Values::default(), true);
                assert!(drill.subject.starts_with(DRILL_MARK) && drill.body.starts_with(DRILL_MARK));
            }
        }
    }

    #[test]
    fn strangers_write_no_lines_headers_or_placeholders() {
        let templates = parse(NOTICES).unwrap();
        let hostile = "x\r\nBcc: all@example.jp\r\n\r\n{link}\u{202e}\0【訓練】";
        let message = templates.fill(NoticeKind::Opened, Lang::Ja, &all_values(hostile), false);
        assert!(!message.subject.contains(['\r', '\n', '\0', '\u{202e}']), "{}", message.subject);
        assert!(!message.body.contains(['\r', '\0', '\u{202e}']));
        assert!(message.body.contains("{link}"), "a value is not read as a template");
        assert!(!message.subject.starts_with(DRILL_MARK));
        let lines =
            |values| templates.fill(NoticeKind::Opened, Lang::Ja, &values, false).body.lines().count();
        assert_eq!(lines(all_values(hostile)), lines(all_values("x")));
        let long = templates.fill(NoticeKind::Opened, Lang::Ja, &all_values(&"長".repeat(10_000)), false);
        assert!(long.subject.chars().count() <= SUBJECT_CHARS_MAX + 1 && long.body.len() < 20_000);
    }

    #[test]
    fn errors_name_line_key_and_rule() {
        for (from, to, expected) in [
            ("{findings}", "{finding}", "opened knows no {finding}; it knows incident, body"),
            ("送信時刻: {opened}", "送信時刻: {incident}", "test knows no {incident}"),
            ("{findings}", "{findings", "opened knows no"),
            ("[関守] 通知の試験", "a\\r\\nBcc: x", "test.subject is one line"),
            ("[test.en]", "[test.fr]", "unknown field `fr`"),
            ("[grown.", "[groan.", "\"groan\" is not one of opened"),
        ] {
            assert!(NOTICES.contains(from), "{from}");
            let shown = crate::timing::data::shown(&parse(&NOTICES.replace(from, to)).unwrap_err());
            assert!(
                shown.starts_with("n.toml") && shown.contains("line ") && shown.contains(expected),
                "{shown}"
            );
        }
        let without = NOTICES.split("[test.ja]").next().unwrap_or_default();
        assert!(parse(without).unwrap_err().to_string().contains("test is missing"));
    }
}
