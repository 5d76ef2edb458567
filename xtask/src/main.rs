//! The project's own commands. `cargo xtask` without arguments says what there is.
//!
//! Depends on no crate of the workspace and on little else, so that it is there within seconds of a fresh clone and can
//! install what the others need to build.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

mod command;
mod pcaps;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <command>

  pcaps             make every seeded file of pcaps/
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let root = command::root()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["pcaps"] => pcaps::write(&root)?,
        _ => {
            eprint!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}
