//! `cargo xtask reference`: `docs/configuration.md`, made of the annotated examples that both programs ship.
//!
//! That the examples name every key that the programs know, and no other, is what tests of each program hold them to; `tidy`
//! holds the document to the examples.

use std::path::Path;

use anyhow::Context;

/// The document.
pub(crate) const DOCUMENT: &str = "docs/configuration.md";
/// Each program, its example, and where the package puts it.
pub(crate) const EXAMPLES: [(&str, &str, &str); 2] = [
    ("sekimori-agent", "agent/agent.example.toml", "/etc/sekimori/agent.toml"),
    ("sekimori-collector", "collector/collector.example.toml", "the folder that `init` makes"),
];
const HEAD: &str = "\
# Configuration

<!-- Made by `cargo xtask reference` from the annotated examples: change those. -->

Every key of both programs. A key that is not here is an error that names its line, so a typing error is found at the start; `sekimori-agent check
--config FILE` finds it before. *not set* stands where a key has no value unless one is given; what follows is an example then.
";

/// Writes the document.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let text = document(|path| {
        let path = root.join(path);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    })?;
    let path = root.join(DOCUMENT);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The document, of the examples.
pub(crate) fn document(read: impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<String> {
    let mut out = HEAD.to_owned();
    for (program, path, place) in EXAMPLES {
        out += &format!("\n## {program}\n\nAs an example with all comments: `{path}`; in use: {place}.\n");
        out += &tables(&read(path)?);
    }
    Ok(out)
}

/// What a line of an example is.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    Table(&'a str),
    /// Key, value, what stands behind it, and whether it is set.
    Key(&'a str, &'a str, &'a str, bool),
    Comment(&'a str),
    Empty,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Self {
        let (text, is_set) = match line.strip_prefix('#') {
            Some(text) => (text.trim(), false),
            None => (line.trim(), true),
        };
        let is_name = |name: &str, more: &str| {
            !name.is_empty()
                && name.chars().all(|letter| {
                    letter.is_ascii_lowercase() || letter.is_ascii_digit() || more.contains(letter)
                })
        };
        if text.is_empty() {
            return Self::Empty;
        }
        if text.starts_with('[') && text.split(' ').next().is_some_and(|table| is_name(table, "[]_.")) {
            return Self::Table(text.split(' ').next().unwrap_or(text));
        }
        match text.split_once(" = ") {
            Some((key, rest)) if is_name(key, "_") => {
                let (value, behind) = rest.split_once(" # ").unwrap_or((rest, ""));
                Self::Key(key, value.trim(), behind.trim(), is_set)
            }
            Some(_) | None => Self::Comment(text),
        }
    }
}

/// The tables of one example, each with its keys.
fn tables(example: &str) -> String {
    let (mut out, mut comment, mut has_keys) = (String::new(), String::new(), false);
    for line in example.lines() {
        match Line::read(line) {
            Line::Comment(text) => {
                if !comment.is_empty() {
                    comment.push(' ');
                }
                comment += text;
            }
            Line::Empty => comment.clear(),
            Line::Table(name) => {
                out += &format!("\n### `{name}`\n");
                if !comment.is_empty() {
                    out += &format!("\n{comment}\n");
                }
                (comment, has_keys) = (String::new(), false);
            }
            Line::Key(key, value, behind, is_set) => {
                if !has_keys {
                    out += "\n| key | value | meaning |\n|---|---|---|\n";
                    has_keys = true;
                }
                let meaning = [comment.as_str(), behind].join(" ").trim().replace('|', "\\|");
                let value = value.replace('|', "\\|");
                let value = if is_set { format!("`{value}`") } else { format!("*not set*; `{value}`") };
                out += &format!("| `{key}` | {value} | {meaning} |\n");
                comment.clear();
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_becomes_tables() {
        let example = "# The file.\n\n# Of the first.\n[one]\n# What it is,\n# and more.\nkey = \"a|b\" # behind\n\
                       # other_key = 5\n# [[one.more]]\n# a = [1] # x\n";
        let said = tables(example);
        assert_eq!(
            said,
            "\n### `[one]`\n\nOf the first.\n\n| key | value | meaning |\n|---|---|---|\n\
             | `key` | `\"a\\|b\"` | What it is, and more. behind |\n| `other_key` | *not set*; `5` |  |\n\
             \n### `[[one.more]]`\n\n| key | value | meaning |\n|---|---|---|\n| `a` | *not set*; `[1]` | x |\n"
        );
        assert_eq!(Line::read("# Many as there are = words"), Line::Comment("Many as there are = words"));
        assert_eq!(Line::read("#"), Line::Empty);
    }
}
