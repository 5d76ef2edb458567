//! What is measured: our replay, and the peers with their exact commands.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::command;

/// A program and how it is called; `{file}` is the capture and `{dir}` an empty folder.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// As it is called in the table.
    pub(super) name: &'static str,
    program: PathBuf,
    /// Its arguments, with spaces between them.
    words: &'static str,
    /// How to ask for its version.
    version: &'static str,
    /// Larger captures are cut to so many packets, and the worst case to so many: it would take too long, or all memory.
    pub(super) most: [u64; 2],
}

/// Our replay with everything on: all protocols and detectors always run, and of the formats `summary` is the one that
/// makes and writes the summaries.
pub(super) const OURS: &str = "sekimori";
/// The same with two workers.
pub(super) const OURS_TWO: &str = "sekimori, 2 workers";
/// The floor.
pub(super) const FLOOR: &str = "libpcap count-only";
/// What the promises are held against.
pub(super) const SOFTFLOWD: &str = "softflowd";
pub(super) const NFPCAPD: &str = "nfpcapd";
pub(super) const NDPI: &str = "ndpiReader";
pub(super) const SURICATA: &str = "suricata, EVE";

const ALL: [u64; 2] = [u64::MAX; 2];
/// Of the worst case 100 MB.
const SLICE: [u64; 2] = [u64::MAX, 1_200_000];

/// EVE as a small sensor writes it; the rest as Debian configures it.
const SURICATA_YAML: &str = "%YAML 1.1
---
include: /etc/suricata/suricata.yaml
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      types: [flow, dns, tls, http, anomaly]
stats:
  enabled: no
";
const SURICATA_QUIET_YAML: &str = "%YAML 1.1
---
include: /etc/suricata/suricata.yaml
outputs: []
stats:
  enabled: no
";

const REPLAY: &str = "replay --quiet --format summary --output /dev/null {file}";
const REPLAY_TWO: &str = "replay --quiet --format summary --output /dev/null --workers 2 {file}";
const SURICATA_EVE: &str = "-c {dir}/../eve.yaml -r {file} --runmode single -S /dev/null -k none -l {dir}";
const SURICATA_QUIET: &str =
    "-c {dir}/../quiet.yaml -r {file} --runmode single -S /dev/null -k none -l {dir}";

/// What is there of them, ours first; `work` is where what they need is put.
pub(super) fn installed(agent: &Path, work: &Path) -> anyhow::Result<Vec<Peer>> {
    let floor = count_only(work)?;
    std::fs::write(work.join("eve.yaml"), SURICATA_YAML)?;
    std::fs::write(work.join("quiet.yaml"), SURICATA_QUIET_YAML)?;
    let peer = |name, program: &Path, words, version, most| {
        let program = program.to_owned();
        Peer { name, program, words, version, most }
    };
    let by_name = |name, words, version, most| peer(name, Path::new(name), words, version, most);
    let suricata = |name, words| peer(name, Path::new("suricata"), words, "-V", SLICE);
    let out = vec![
        peer(OURS, agent, REPLAY, "--version", ALL),
        peer(OURS_TWO, agent, REPLAY_TWO, "--version", ALL),
        peer(FLOOR, &floor, "{file}", "", ALL),
        by_name(SOFTFLOWD, "-d -r {file}", "-h", ALL),
        by_name(NFPCAPD, "-r {file} -l {dir}", "-V", ALL),
        by_name("argus", "-X -r {file} -w /dev/null", "-h", SLICE),
        by_name(NDPI, "-q -i {file}", "-h", SLICE),
        suricata(SURICATA, SURICATA_EVE),
        suricata("suricata, no EVE", SURICATA_QUIET),
        by_name("tshark", "-n -r {file} -q -z conv,ip", "--version", [200_000; 2]),
    ];
    let is_there =
        |peer: &Peer| peer.program.is_absolute() || command::is_there(&peer.program.to_string_lossy());
    Ok(out.into_iter().filter(is_there).collect())
}

/// libpcap's own loop, compiled here: this program does not link libpcap, since it also installs it.
fn count_only(work: &Path) -> anyhow::Result<PathBuf> {
    let (source, program) = (work.join("count-only.c"), work.join("count-only"));
    std::fs::write(&source, include_str!("count_only.c"))?;
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-o"]).arg(&program).arg(&source).arg("-lpcap");
    command::run(&mut compile).context("the count-only loop needs gcc and libpcap-dev")?;
    Ok(program)
}

impl Peer {
    /// Its command for a capture.
    pub(super) fn command(&self, file: &Path, dir: &Path) -> Command {
        let mut out = Command::new(&self.program);
        for word in self.words.split(' ') {
            let word = word.replace("{file}", &file.to_string_lossy());
            out.arg(word.replace("{dir}", &dir.to_string_lossy()));
        }
        out
    }

    /// Its command as it is documented.
    pub(super) fn shown(&self) -> String {
        let program = self.program.file_name().unwrap_or_default().to_string_lossy();
        format!("{program} {}", self.words)
    }

    /// The first line of what it says of its version that has a number, if it says one.
    pub(super) fn version(&self) -> String {
        if self.version.is_empty() {
            return String::new();
        }
        let Ok(said) = Command::new(&self.program).arg(self.version).output() else { return String::new() };
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let numbered = |line: &&str| line.contains('.') && line.chars().any(|one| one.is_ascii_digit());
        text.lines().find(numbered).unwrap_or_default().trim().chars().take(80).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_a_command_are_filled() {
        let words = "-r {file} -c {dir}/../y";
        let peer = Peer { name: "x", program: "/bin/x".into(), words, version: "", most: ALL };
        let command = peer.command(Path::new("/a.pcap"), Path::new("/d/w"));
        assert_eq!(command::show(&command), "/bin/x -r /a.pcap -c /d/w/../y");
        assert_eq!(peer.shown(), "x -r {file} -c {dir}/../y");
    }
}
