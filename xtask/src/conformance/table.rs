//! Tables as the references and the agent write them: tab-separated, comma-separated, Zeek's logs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

/// A row by column name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row(BTreeMap<String, String>);

impl Row {
    /// A cell; empty if there is none.
    pub(super) fn of(&self, column: &str) -> &str {
        self.get(column).unwrap_or_default()
    }

    pub(super) fn get(&self, column: &str) -> Option<&str> {
        self.0.get(column).map(String::as_str)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(column, cell)| (column.as_str(), cell.as_str()))
    }

    /// No column at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A tab-separated file with a header; nothing is quoted.
pub(super) fn tabs(path: &Path) -> anyhow::Result<Vec<Row>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    Ok(lines.map(|line| zip(&header, line.split('\t').map(str::to_owned))).collect())
}

/// A log of Zeek in tab-separated values, or what `zeek-cut -m` made of one: then the first line names the columns.
pub(super) fn zeek(text: &str) -> Vec<Row> {
    let named = text.lines().find_map(|line| line.strip_prefix("#fields\t"));
    let mut rows = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let header = named.or_else(|| rows.next()).unwrap_or_default();
    let header: Vec<&str> = header.split('\t').collect();
    rows.map(|line| zip(&header, line.split('\t').map(str::to_owned))).collect()
}

/// Comma-separated values with a header (RFC 4180).
pub(super) fn comma(text: &str) -> Vec<Row> {
    let mut lines = text.lines();
    let header: Vec<String> = fields(lines.next().unwrap_or_default());
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    lines.map(|line| zip(&header, fields(line).into_iter())).collect()
}

fn zip(header: &[&str], cells: impl Iterator<Item = String>) -> Row {
    Row(header.iter().map(|name| (*name).to_owned()).zip(cells).collect())
}

fn fields(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    for char in line.chars() {
        match (char, quoted, out.last_mut()) {
            ('"', _, _) => quoted = !quoted,
            (',', false, _) => out.push(String::new()),
            (char, _, Some(last)) => last.push(char),
            (_, _, None) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_quoted_fields() {
        let rows = comma("a,b,c\n1,\"x,y\",\n");
        assert_eq!(rows[0].of("b"), "x,y");
        assert_eq!(rows[0].of("c"), "");
    }

    #[test]
    fn reads_zeeks_header() {
        let rows = zeek("#separator \\x09\n#fields\ta\tb\n#types\tcount\tcount\n1\t-\n#close\n");
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].of("a"), rows[0].of("b")), ("1", "-"));
    }
}
