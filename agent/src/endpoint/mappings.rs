//! Mappings: those that come with the agent, and those of a folder, which need no new agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sekimori_sensor::alert::{BUILT_IN, Mapping, Mappings};

/// Files of one folder, and the size of each.
const FILES_MAX: usize = 256;
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What is wrong with a mapping.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MappingsError {
    #[error("{file}:{line}: {key}: {rule}")]
    Value { file: PathBuf, line: usize, key: String, rule: String },
    #[error("{path}: {rule}")]
    File { path: PathBuf, rule: String },
}

/// Those that come with the agent.
pub(crate) fn built_in() -> Result<Arc<Mappings>, MappingsError> {
    read(None)
}

/// Those of a folder first, then those that come with the agent; one of the same name takes the place of ours.
pub(crate) fn read(folder: Option<&Path>) -> Result<Arc<Mappings>, MappingsError> {
    let mut all = Vec::new();
    let own = folder.map(files).transpose()?.unwrap_or_default();
    for (path, text) in &own {
        all.push(parse(path, text)?);
    }
    for (name, text) in BUILT_IN {
        let mapping = parse(Path::new(&format!("{name}.toml")), text)?;
        if !all.iter().any(|one: &Mapping| one.name() == mapping.name()) {
            all.push(mapping);
        }
    }
    let path = || folder.unwrap_or_else(|| Path::new("mappings")).to_owned();
    Mappings::new(all).map(Arc::new).map_err(|cause| MappingsError::File { path: path(), rule: cause.rule })
}

/// Names and texts of the files of a folder, in the order of their names.
fn files(folder: &Path) -> Result<Vec<(PathBuf, String)>, MappingsError> {
    let wrong = |path: &Path, rule: String| MappingsError::File { path: path.to_owned(), rule };
    let entries = std::fs::read_dir(folder).map_err(|cause| wrong(folder, cause.to_string()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|cause| wrong(folder, cause.to_string()))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    if paths.len() > FILES_MAX {
        return Err(wrong(folder, format!("more than {FILES_MAX} files")));
    }
    paths.sort();
    let text = |path: PathBuf| {
        let size = std::fs::metadata(&path).map_err(|cause| wrong(&path, cause.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(wrong(&path, format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(cause) => Err(wrong(&path, cause.to_string())),
        }
    };
    paths.into_iter().map(text).collect()
}

fn parse(path: &Path, text: &str) -> Result<Mapping, MappingsError> {
    let mapping: Mapping = toml::from_str(text).map_err(|error| {
        let (line, key) = crate::config::place(text, error.span().map_or(0, |span| span.start));
        let rule = error.message().replace("unknown field", "unknown key").replace('\n', " ");
        MappingsError::Value { file: path.to_owned(), line, key, rule }
    })?;
    mapping.check().map_err(|cause| {
        let is_of = |line: &str| {
            let line = line.trim_start().trim_start_matches('[');
            line.strip_prefix(cause.key).is_some_and(|rest| rest.trim_start().starts_with(['=', ']']))
        };
        let quoted = cause.rule.split('`').nth(1).map(|field| format!("{{{field}}}"));
        let at = quoted.and_then(|field| text.lines().position(|line| line.contains(&field)));
        let line = at.or_else(|| text.lines().position(is_of)).map_or(1, |at| at + 1);
        MappingsError::Value { file: path.to_owned(), line, key: cause.key.to_owned(), rule: cause.rule }
    })?;
    Ok(mapping)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_the_agent_can_be_read() {
        assert_eq!(built_in().unwrap().iter().count(), BUILT_IN.len());
    }

    #[test]
    fn a_folder_adds_and_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "a.toml",
            "name = \"ours\"\nformat = \"pairs\"\ncontains = [\"ours=\"]\n[fields]\nname = \"{ours}\"\n",
        );
        write("b.toml", "name = \"cef\"\nformat = \"cef\"\n");
        write("notes.txt", "not a mapping");
        let read = read(Some(folder.path())).unwrap();
        let names: Vec<&str> = read.iter().map(Mapping::name).collect();
        assert_eq!(
            (names.len(), names.first(), names.get(1)),
            (BUILT_IN.len() + 1, Some(&"ours"), Some(&"cef"))
        );
    }

    #[test]
    fn an_error_names_file_line_and_key() {
        for (text, expect) in [
            ("name = \"x\"\nformat = \"yaml\"\n", "m.toml:2: format: unknown variant `yaml`"),
            ("name = \"x\"\nformat = \"cef\"\nwhat = 1\n", "m.toml:3: what: unknown key `what`"),
            (
                "name = \"x\"\nformat = \"cef\"\n[fields]\nname = \"{a\"\n",
                "m.toml:4: fields.name: `{a`: a field begins",
            ),
            (
                "name = \"x\"\nformat = \"cef\"\n[[rule]]\nclass = \"bad\"\n",
                "m.toml:4: rule.class: there is no class `bad`",
            ),
            (
                "name = \"x\"\nformat = \"cef\"\n[severity]\nhigh = 5\n",
                "m.toml:4: severity.high: severity 5 is not",
            ),
            ("name = \"x\"\nformat = \"json\"\n", "m.toml:2: format: without `when` or `contains`"),
            (
                "name = \"x\"\nformat = \"csv\"\ncolumns = [\"a\"]\ncontains = [\"z\"]\n[fields]\nname = \"{b}\"\n",
                "m.toml:6: fields: there is no field `b` to take",
            ),
            ("name = \"x\"\nformat = \"text\"\n", "m.toml:2: format: \"text\" needs rules with patterns"),
            (
                "name = \"x\"\nformat = \"text\"\n[[rule]]\npattern = [\"a {b}{c}\"]\n",
                "m.toml:4: rule.pattern: `a {b}{c}`: nothing stands between",
            ),
        ] {
            let error = parse(Path::new("m.toml"), text).unwrap_err().to_string();
            assert!(error.starts_with(expect), "{error}");
        }
        assert!(read(Some(Path::new("/nowhere"))).unwrap_err().to_string().starts_with("/nowhere: "));
    }
}
