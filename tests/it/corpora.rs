//! The program on every real capture of `SEKIMORI_CORPORA`: whatever is in them, it ends and says what it could not read.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{program, said};

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|cause| panic!("{}: {cause}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

#[test]
fn every_real_capture_ends_without_a_panic() {
    let Some(corpora) = std::env::var_os("SEKIMORI_CORPORA") else {
        println!("SKIPPED: SEKIMORI_CORPORA does not name the folder of captures");
        return;
    };
    let mut captures = Vec::new();
    for kind in ["attack", "benign", "malformed", "formats", "protocol"] {
        files(&Path::new(&corpora).join(kind), &mut captures);
    }
    assert!(captures.len() > 100, "{} captures in {}", captures.len(), Path::new(&corpora).display());
    let mut problems = Vec::new();
    for capture in captures {
        let mut command = Command::new(program("sekimori-agent"));
        let output =
            command.args(["replay", "--format", "table"]).arg(&capture).output().expect("the agent starts");
        let name = capture.file_name().expect("a file").to_string_lossy().into_owned();
        let fine = match output.status.code() {
            // What was not looked at stands in the report, by reason.
            Some(0) => String::from_utf8_lossy(&output.stdout).contains("frames"),
            // Damaged, or a format that is not read: an error that names the file.
            Some(1) => String::from_utf8_lossy(&output.stderr).contains(&name),
            Some(_) | None => false,
        };
        if !fine || said(&output).contains("panicked") {
            problems.push(format!("{}: {}: {}", capture.display(), output.status, said(&output)));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
