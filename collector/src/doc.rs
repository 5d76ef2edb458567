//! A document in words of one language: sections with tables, as HTML (`templates/part/document.html`), as Markdown and, each
//! table for itself, as CSV.

use askama::Template;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use crate::export;
use crate::i18n::Lang;
use crate::timing::local;

/// Bytes of one line of a cell.
const LINE_BYTES_MAX: usize = 2_000;

/// What there is to read.
#[derive(Clone, Debug)]
pub struct Doc {
    /// What it is.
    pub title: String,
    /// Of when, since when, how much.
    pub lead: Vec<String>,
    /// What there is to say.
    pub sections: Vec<Section>,
}

/// One part.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its stable name, by which its table can be asked for.
    pub name: &'static str,
    /// What it is about.
    pub title: String,
    /// What is said before the table.
    pub text: Vec<String>,
    /// What stands over the columns.
    pub heads: Vec<String>,
    /// Lines; with none of them, `none` is said.
    pub rows: Vec<Vec<Cell>>,
    /// That there is nothing.
    pub none: String,
}

/// What stands at one place: lines, and where the first leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Lines of text, bounded and without anything invisible.
    pub lines: Vec<String>,
    /// A path of the console; empty: none.
    pub link: String,
    /// It is late.
    pub bad: bool,
}

impl Cell {
    pub(crate) fn of(lines: impl IntoIterator<Item = String>) -> Self {
        let clean = |line: String| {
            let line = line.replace(['\r', '\n', '\t'], " ");
            BoundedText::<LINE_BYTES_MAX>::new(&line).to_string()
        };
        Self { lines: lines.into_iter().map(clean).collect(), ..Self::default() }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::of([text.to_owned()])
    }

    pub(crate) fn incident(id: &str) -> Self {
        Self { link: format!("/incidents/{id}"), ..Self::text(id) }
    }

    pub(crate) fn late(self, bad: bool) -> Self {
        Self { bad, ..self }
    }
}

/// A time of Japan.
pub(crate) fn at(time: Timestamp) -> String {
    local(time).strftime("%Y-%m-%d %H:%M JST").to_string()
}

/// The words of a stable identifier, if there are any.
pub(crate) fn words(lang: Lang, key: &str, name: &str) -> String {
    let key = format!("{key}-{name}");
    if lang.has(&key) { lang.text(&key) } else { name.to_owned() }
}

impl Doc {
    /// As Markdown. What came from strangers cannot become markup: every sign that could is escaped.
    pub fn markdown(&self) -> String {
        let mut lines = vec![format!("# {}", escaped(&self.title)), String::new()];
        lines.extend(self.lead.iter().map(|line| format!("- {}", escaped(line))));
        for section in &self.sections {
            lines.extend([String::new(), format!("## {}", escaped(&section.title)), String::new()]);
            for line in &section.text {
                lines.extend([escaped(line), String::new()]);
            }
            if section.rows.is_empty() {
                lines.push(escaped(&section.none));
                continue;
            }
            let heads: Vec<String> = section.heads.iter().map(|head| escaped(head)).collect();
            lines.push(format!("| {} |", heads.join(" | ")));
            lines.push(format!("|{}", " --- |".repeat(heads.len())));
            for row in &section.rows {
                let cells: Vec<String> = row.iter().map(marked).collect();
                lines.push(format!("| {} |", cells.join(" | ")));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// The table of the section of this name as CSV (RFC 4180), with a byte order mark for spreadsheets that want one. A cell that a
    /// spreadsheet would calculate is defused; lines of a cell stand in it one below the other.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn csv(&self, name: &str, bom: bool) -> Option<Result<Vec<u8>, csv::Error>> {
        let section = self.sections.iter().find(|section| section.name == name)?;
        let rows = section.rows.iter().map(|row| row.iter().map(|cell| cell.lines.join("\n")).collect());
        Some(export::table::plain(&section.heads, rows, bom))
    }

    /// As a page with nothing around it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn html(&self, lang: Lang) -> Result<String, askama::Error> {
        Alone { doc: self, lang, linked: false }.render()
    }
}

#[derive(Template)]
#[template(path = "document_file.html")]
struct Alone<'a> {
    doc: &'a Doc,
    lang: Lang,
    linked: bool,
}

fn marked(cell: &Cell) -> String {
    let lines: Vec<String> = cell.lines.iter().map(|line| escaped(line)).collect();
    let text = lines.join("<br>");
    if cell.bad { format!("**{text}**") } else { text }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '\r' | '\n' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' | '#' | '!' | '~' => out.extend(['\\', sign]),
            _ => out.push(sign),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_write_no_markup() {
        let hostile = "a|b\n# x <script> [y](http://z) ![p](q) `c` *d* \u{202e}\0";
        let section = Section {
            name: "x",
            title: "t".to_owned(),
            text: Cell::text(hostile).lines,
            heads: vec!["h".to_owned()],
            rows: vec![vec![Cell::text(hostile)]],
            none: String::new(),
        };
        let doc = Doc { title: "x".to_owned(), lead: Vec::new(), sections: vec![section] };
        let text = doc.markdown();
        assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 3, "{text}");
        let without = text.replace("\\|", "").replace("\\]", "");
        for bad in ["<script", "](", "a|b", "\u{202e}", "\0", "\n# x <"] {
            assert!(!without.contains(bad), "{bad:?} in {text}");
        }
        let table = String::from_utf8(doc.csv("x", true).unwrap().unwrap()).unwrap();
        assert!(table.starts_with("\u{feff}h\r\na|b # x"), "{table}");
        assert!(doc.csv("y", false).is_none());
        let page = doc.html(Lang::Ja).unwrap();
        assert!(!page.contains("<script") && page.contains("script&#62;"), "{page}");
    }
}
