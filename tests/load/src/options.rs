//! The command line.

use std::path::PathBuf;
use std::time::Duration;

pub(crate) const USAGE: &str = "sekimori-load --collector PROGRAM --dir NEW_FOLDER [--agents N] [--seconds S]
    [--store sqlite|postgres] [--replicas R] [--rate MORE_BATCHES_A_SECOND] [--kill-every S]
    [--restart-every S] [--fail-over-after S] [--within MILLISECONDS]";

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) collector: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) agents: usize,
    /// Of each step.
    pub(crate) hold: Duration,
    pub(crate) store: Kind,
    pub(crate) replicas: usize,
    /// So many batches a second more with every step, until a promise breaks.
    pub(crate) rate: Option<u32>,
    pub(crate) kill_every: Option<Duration>,
    /// The database is stopped as if its machine had failed, and started again.
    pub(crate) restart_every: Option<Duration>,
    /// The database has a synchronous standby, which takes over then.
    pub(crate) fail_over_after: Option<Duration>,
    /// 99 of 100 batches are acknowledged so soon after they are due.
    pub(crate) within: Duration,
}

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Options {
    /// `None` for wrong usage.
    pub(crate) fn parse(words: &[String]) -> Option<Self> {
        let mut options = Self {
            collector: PathBuf::new(),
            dir: PathBuf::new(),
            agents: 2_000,
            hold: Duration::from_secs(60),
            store: Kind::Sqlite,
            replicas: 1,
            rate: None,
            kill_every: None,
            restart_every: None,
            fail_over_after: None,
            within: Duration::from_secs(1),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next()?;
            let number = || value.parse::<u32>().ok().filter(|number| *number > 0);
            match word.as_str() {
                "--collector" => options.collector = value.into(),
                "--dir" => options.dir = value.into(),
                "--agents" => options.agents = usize::try_from(number()?).ok()?,
                "--seconds" => options.hold = Duration::from_secs(number()?.into()),
                "--replicas" => options.replicas = usize::try_from(number()?).ok()?,
                "--rate" => options.rate = Some(number()?),
                "--kill-every" => options.kill_every = Some(Duration::from_secs(number()?.into())),
                "--restart-every" => options.restart_every = Some(Duration::from_secs(number()?.into())),
                "--fail-over-after" => {
                    options.fail_over_after = Some(Duration::from_secs(number()?.into()));
                }
                "--within" => options.within = Duration::from_millis(number()?.into()),
                "--store" => options.store = store(value)?,
                _ => return None,
            }
        }
        let is_whole = !options.collector.as_os_str().is_empty() && !options.dir.as_os_str().is_empty();
        is_whole.then_some(options)
    }

    /// Whether collectors or the database are made to fail.
    pub(crate) const fn fails(&self) -> bool {
        self.kill_every.is_some() || self.restart_every.is_some() || self.fail_over_after.is_some()
    }
}

fn store(name: &str) -> Option<Kind> {
    match name {
        "sqlite" => Some(Kind::Sqlite),
        "postgres" => Some(Kind::Postgres),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let parse =
            |line: &str| Options::parse(&line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>());
        let usual = parse("--collector c --dir d").unwrap();
        assert_eq!((usual.agents, usual.hold.as_secs(), usual.store), (2_000, 60, Kind::Sqlite));
        let all = parse(
            "--collector c --dir d --agents 5 --seconds 7 --store postgres --replicas 2 --rate 9 --kill-every 3 --restart-every 4 --fail-over-after 6 --within 50",
        );
        let all = all.unwrap();
        assert_eq!((all.agents, all.replicas, all.rate, all.store), (5, 2, Some(9), Kind::Postgres));
        assert_eq!((usual.within.as_millis(), all.within.as_millis()), (1000, 50));
        let seconds = |every: Option<Duration>| every.map(|every| every.as_secs());
        assert_eq!((all.hold.as_secs(), seconds(all.kill_every)), (7, Some(3)));
        assert_eq!((seconds(all.restart_every), seconds(all.fail_over_after)), (Some(4), Some(6)));
        assert_eq!((usual.fails(), all.fails()), (false, true));
        for wrong in
            ["", "--collector c", "--collector c --dir d --agents 0", "--collector c --dir d --store x"]
        {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
