//! Data connections that control connections announced: what the flow will be about when it comes.

use std::collections::VecDeque;

use crate::event::{Endpoint, FtpCommand};

/// Announcements kept; the oldest leaves.
const EXPECTED_MAX: usize = 256;

/// What a control connection says of its data.
#[derive(Clone, Debug)]
pub(crate) enum FtpNote {
    /// Where the next data connection goes.
    Channel(Endpoint),
    /// What it is for: the command and the file.
    Transfer(Box<str>, Box<str>),
}

/// Announced data connections of all flows.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// The control connection's flow.
    control: u64,
    to: Endpoint,
    command: Box<str>,
    file: Box<str>,
}

impl Expected {
    /// The control connection of this id said so.
    pub(crate) fn note(&mut self, control: u64, notes: &mut Vec<FtpNote>) {
        for note in notes.drain(..) {
            match note {
                FtpNote::Channel(to) => {
                    if self.waiting.len() >= EXPECTED_MAX {
                        self.waiting.pop_front();
                    }
                    let (command, file) = Default::default();
                    self.waiting.push_back(Waiting { control, to, command, file });
                }
                FtpNote::Transfer(command, file) => {
                    if let Some(last) = self.waiting.iter_mut().rfind(|one| one.control == control) {
                        (last.command, last.file) = (command, file);
                    }
                }
            }
        }
    }

    /// A flow to there is a data connection.
    pub(crate) fn has(&self, to: Endpoint) -> bool {
        // Ports differ, and are compared sooner.
        self.waiting.iter().any(|one| one.to.port == to.port && one.to.address == to.address)
    }

    /// The data connection to there is over: what it was for, if that was said.
    pub(crate) fn take(&mut self, to: Endpoint) -> Option<FtpCommand> {
        let at = self.waiting.iter().position(|one| one.to == to)?;
        let Waiting { command, file, .. } = self.waiting.remove(at)?;
        let command = Some(command).filter(|command| !command.is_empty())?;
        Some(FtpCommand { transfer: true, command: Some(command), argument: file, ..FtpCommand::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_command_before_the_end_is_what_the_data_was() {
        let to = |port| Endpoint { address: "192.0.2.2".parse().unwrap(), port };
        let mut expected = Expected::default();
        expected.note(7, &mut vec![FtpNote::Channel(to(1025)), FtpNote::Transfer("RETR".into(), "a".into())]);
        expected.note(8, &mut vec![FtpNote::Transfer("STOR".into(), "b".into())]);
        assert!(expected.has(to(1025)) && !expected.has(to(1026)));
        let transfer = expected.take(to(1025)).unwrap();
        assert_eq!((transfer.command.as_deref(), &*transfer.argument), (Some("RETR"), "a"));
        assert!(!expected.has(to(1025)));
        expected.note(7, &mut vec![FtpNote::Channel(to(1027))]);
        assert_eq!(expected.take(to(1027)), None, "nobody said what for");
    }

    #[test]
    fn announcements_are_bounded() {
        let mut expected = Expected::default();
        for port in 1..=1000 {
            let to = Endpoint { address: "192.0.2.2".parse().unwrap(), port };
            expected.note(1, &mut vec![FtpNote::Channel(to)]);
        }
        assert_eq!(expected.waiting.len(), EXPECTED_MAX);
    }
}
