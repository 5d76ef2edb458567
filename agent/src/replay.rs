//! Replay: capture files through the same sensor as live frames, to a report, to JSON lines, or to the collector.
//!
//! The same captures and configuration give the same bytes on standard output, whenever and wherever it runs.

mod columns;
mod crew;
mod csv;
mod dns_types;
mod eve;
#[cfg(feature = "parquet")]
mod parquet;
mod progress;
mod report;
mod shipping;
mod zeek;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sekimori_sensor::counters::Counters;
use sekimori_sensor::event::Event;
use sekimori_sensor::frame::{Frame, LinkType};
use sekimori_sensor::intel::Intel;
use sekimori_sensor::limits::Limits;
use sekimori_sensor::observe::{Options, Rules};
use sekimori_sensor::segment::Policy;
use sekimori_sensor::sensor::{Keep, SensorConfig};
use sekimori_wire::exception::Exceptions;
use sekimori_wire::id::Digest;
use sekimori_wire::record::{FlowSummary, Health, Interface, Record};
use sekimori_wire::time::Timestamp;

use self::crew::Crew;
use self::csv::Csv;
use crate::baseline::Drawer;
use crate::capture::file::Files;
use crate::capture::filter::{Filter, FilterError};
use crate::cli::{Checksums, Format, KnowledgeArgs, Midstream, ReplayArgs, Speed};
use crate::clock;
use crate::config::{Config, ConfigError, mappings_of};
use crate::exceptions::{self, ExceptionsError};
use crate::health;
use crate::intel::{self, IntelError, Sources};
use eve::Eve;
use progress::Progress;
use report::Report;
use sekimori_delivery::disk::{self, DiskError};
use shipping::Shipping;
use zeek::Zeek;

pub(crate) use shipping::ShippingError;

/// Link types that are not decoded and are named.
const STRANGE_MAX: usize = 64;
/// Files named in the health record of a replay.
const INTERFACES_MAX: usize = 64;

/// Why a replay did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Intel(#[from] IntelError),
    #[error(transparent)]
    Exceptions(#[from] ExceptionsError),
    #[error("--filter")]
    Filter(#[from] FilterError),
    #[error("--rebase-time reads the captures twice, which standard input (`-`) does not allow")]
    RebaseStdin,
    #[error("--format zeek writes a file for each log: name a folder with --output")]
    NeedsFolder,
    #[error("--format parquet cannot be written to standard output: name a file with --output")]
    NeedsFile,
    #[cfg(not(feature = "parquet"))]
    #[error("this build is without Parquet (cargo feature `parquet`)")]
    NoParquet,
    #[error("cannot write to {}", path.display())]
    Output {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot write to standard output")]
    Stdout {
        #[source]
        cause: io::Error,
    },
    #[error("{}: cannot look for learned baselines", folder.display())]
    BaselineFolder {
        folder: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{}: several files of learned baselines: give a folder with the one that is meant", folder.display())]
    ManyBaselines { folder: PathBuf },
    #[error("cannot keep the learned baselines")]
    KeepBaseline(#[from] DiskError),
    #[error(transparent)]
    Shipping(#[from] ShippingError),
    #[error("{problems} of {files} captures could not be read to the end")]
    Damaged { problems: usize, files: usize },
}

impl ReplayError {
    /// The command line or the configuration is wrong.
    pub(crate) const fn is_usage(&self) -> bool {
        match self {
            Self::Config(_) | Self::Intel(_) | Self::Exceptions(_) | Self::Filter(_) => true,
            Self::RebaseStdin | Self::NeedsFolder | Self::NeedsFile => true,
            Self::BaselineFolder { .. } | Self::ManyBaselines { .. } => true,
            #[cfg(not(feature = "parquet"))]
            Self::NoParquet => true,
            Self::Output { .. }
            | Self::Stdout { .. }
            | Self::KeepBaseline(_)
            | Self::Shipping(_)
            | Self::Damaged { .. } => false,
        }
    }

    /// The reader of a pipe went away, as `head` does.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Stdout { cause } if cause.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Replays what the command line says.
pub(crate) fn replay(args: &ReplayArgs) -> Result<(), ReplayError> {
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let filter = || args.filter.as_deref().map(Filter::new).transpose();
    let mut files = Files::open(&args.captures, filter()?);
    let shift = if args.rebase_time {
        if args.captures.iter().any(|path| path.as_os_str() == "-") {
            return Err(ReplayError::RebaseStdin);
        }
        Shift::to_end_now(Files::open(&args.captures, filter()?))
    } else {
        Shift(0)
    };
    let (intel, exceptions) = knowledge::<ReplayError>(config.as_ref(), &args.knowledge)?;
    let mappings = mappings_of(config.as_ref())?;
    let shipping = Shipping::start(&args.shipping, config.as_ref())?;
    let format = args.format.unwrap_or_else(|| default_format(args));
    let user_key = shipping.as_ref().map_or_else(
        || *Digest::of(b"sekimori-agent replay").as_bytes(),
        |shipping| shipping.identity().user_key(),
    );
    let sensor =
        SensorConfig { intel, exceptions, mappings, ..sensor_config(config, args, format, user_key) };
    let mut replay = Replay {
        writer: writer(args, format, &sensor.segments)?,
        sensor: Crew::new(sensor, args.workers.into()),
        drawer: drawer(args)?,
        save: args.baseline_save,
        shipping,
        shift,
        strange: BTreeMap::new(),
    };
    if let Some(drawer) = &replay.drawer {
        drawer.load(|file| replay.sensor.recall(file));
    }
    let mut progress = Progress::new(args.quiet, &files);
    let read = replay.frames(&mut files, args.speed, &mut progress);
    progress.finish();
    read?;
    replay.finish(&files)?;
    for problem in files.problems() {
        tracing::error!(error = problem as &dyn std::error::Error);
    }
    match files.problems().len() {
        0 => Ok(()),
        problems => Err(ReplayError::Damaged { problems, files: args.captures.len() }),
    }
}

/// Where learned baselines are, if they are to be used.
fn drawer(args: &ReplayArgs) -> Result<Option<Drawer>, ReplayError> {
    let Some(folder) = &args.baseline else { return Ok(None) };
    let failed = |cause| ReplayError::BaselineFolder { folder: folder.clone(), cause };
    if args.baseline_save {
        disk::create_private_dir(folder)?;
    }
    let only = Drawer::only(folder).map_err(failed)?;
    only.map(Some).ok_or_else(|| ReplayError::ManyBaselines { folder: folder.clone() })
}

/// What the configuration and the command line say is known beforehand.
pub(crate) fn knowledge<E: From<IntelError> + From<ExceptionsError>>(
    config: Option<&Config>,
    args: &KnowledgeArgs,
) -> Result<(Arc<Intel>, Exceptions), E> {
    let mut sources = config.map_or_else(Sources::default, |config| config.intel.clone());
    sources.files.extend_from_slice(&args.intel);
    let own = config.map_or_else(Vec::new, |config| config.exceptions.clone());
    Ok((intel::load(&sources)?.intel, exceptions::checked(own, &args.exceptions)?))
}

fn default_format(args: &ReplayArgs) -> Format {
    if args.output.is_none() && io::stdout().is_terminal() { Format::Table } else { Format::Findings }
}

/// Writes one format: takes what it wants of what the sensor gives.
trait Writer {
    /// A frame was handed to the sensor.
    fn frame(&mut self, at: Timestamp, wire_len: u32) {
        let _unused = (at, wire_len);
    }

    /// A record as it would be shipped.
    fn record(&mut self, record: &Record) -> Result<(), ReplayError> {
        let _unused = record;
        Ok(())
    }

    /// A flow ended; only for [`Keep::Flows`].
    fn flow(&mut self, flow: &FlowSummary) -> Result<(), ReplayError> {
        let _unused = flow;
        Ok(())
    }

    /// Something was observed; only for [`Keep::Events`].
    fn event(&mut self, event: &Event) -> Result<(), ReplayError> {
        let _unused = event;
        Ok(())
    }

    /// All captures were read.
    fn finish(&mut self, files: &Files, counters: &Counters) -> Result<(), ReplayError>;
}

fn writer(args: &ReplayArgs, format: Format, policy: &Policy) -> Result<Box<dyn Writer>, ReplayError> {
    Ok(match format {
        Format::Table | Format::Findings | Format::Flows | Format::Summary => {
            Box::new(Report::new(format, output(args)?))
        }
        Format::Eve => Box::new(Eve::new(output(args)?, args.community_id_seed)),
        Format::Zeek => {
            let folder = args.output.as_deref().ok_or(ReplayError::NeedsFolder)?;
            Box::new(Zeek::new(folder, args.zeek_json)?)
        }
        Format::Csv => Box::new(Csv::new(output(args)?, policy.clone())?),
        #[cfg(feature = "parquet")]
        Format::Parquet => {
            let path = args.output.as_deref().ok_or(ReplayError::NeedsFile)?;
            Box::new(parquet::Parquet::new(path, policy.clone())?)
        }
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => return Err(ReplayError::NoParquet),
    })
}

fn output(args: &ReplayArgs) -> Result<Output, ReplayError> {
    let to: Box<dyn Write> = match &args.output {
        None => Box::new(io::stdout()),
        Some(path) => {
            Box::new(File::create(path).map_err(|cause| ReplayError::Output { path: path.clone(), cause })?)
        }
    };
    Ok(Output { to: io::BufWriter::new(to), path: args.output.clone() })
}

fn sensor_config(
    config: Option<Config>,
    args: &ReplayArgs,
    format: Format,
    user_key: [u8; 32],
) -> SensorConfig {
    let (mut limits, segments) = config.map_or_else(
        || (Limits::gateway(), Policy::default_private()),
        |config| (config.limits, config.policy),
    );
    timeouts(&mut limits, format);
    // At the end all flows end at once, and every one is wanted.
    limits.pending_records = limits.pending_records.max(limits.flows.saturating_mul(2));
    let keep = match format {
        Format::Flows | Format::Table => Keep::Flows,
        Format::Eve | Format::Zeek | Format::Csv | Format::Parquet => Keep::Events,
        Format::Findings | Format::Summary => Keep::Nothing,
    };
    let observe = Options {
        verify_checksums: args.checksums == Checksums::Verify,
        midstream: args.midstream == Midstream::Yes,
        rules: match format {
            Format::Zeek => Rules::Zeek,
            Format::Eve => Rules::Suricata,
            Format::Table
            | Format::Findings
            | Format::Flows
            | Format::Summary
            | Format::Csv
            | Format::Parquet => Rules::Own,
        },
    };
    let (intel, exceptions) = (Arc::default(), Exceptions::default());
    let (mappings, hosts) = (Arc::default(), Arc::default());
    SensorConfig { limits, segments, seed: 0, user_key, observe, keep, intel, exceptions, mappings, hosts }
}

/// The references' own idea of when a flow is over; both report each flow once.
fn timeouts(limits: &mut Limits, format: Format) {
    const NEVER: Duration = Duration::from_secs(1 << 32);
    match format {
        // Zeek: `tcp_close_delay`; its inactivity timeouts are ours.
        Format::Zeek => {
            limits.closed_linger = Duration::from_secs(5);
            limits.active = NEVER;
        }
        // Suricata: `flow-timeouts`, established. Closed flows stay in its table until something looks for old ones, which
        // for captures of ordinary length is their end.
        Format::Eve => {
            limits.tcp_idle = Duration::from_secs(600);
            limits.other_idle = Duration::from_secs(300);
            limits.closed_linger = Duration::from_secs(600);
            limits.active = NEVER;
        }
        Format::Table
        | Format::Findings
        | Format::Flows
        | Format::Summary
        | Format::Csv
        | Format::Parquet => {}
    }
}

/// Where results go.
struct Output {
    to: io::BufWriter<Box<dyn Write>>,
    path: Option<PathBuf>,
}

impl Output {
    fn line(&mut self, line: &str) -> Result<(), ReplayError> {
        let written = writeln!(self.to, "{line}");
        written.map_err(|cause| self.failed(cause))
    }

    fn flush(&mut self) -> Result<(), ReplayError> {
        let flushed = self.to.flush();
        flushed.map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: io::Error) -> ReplayError {
        match &self.path {
            Some(path) => ReplayError::Output { path: path.clone(), cause },
            None => ReplayError::Stdout { cause },
        }
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.to.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What is added to event time, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Shift(i128);

impl Shift {
    fn to_end_now(mut files: Files) -> Self {
        let mut end = None;
        while let Some(frame) = files.next_frame() {
            end = end.max(Some(frame.at));
        }
        Self(end.map_or(0, |end| i128::from(clock::now().nanos()) - i128::from(end.nanos())))
    }

    fn apply(self, at: Timestamp) -> Timestamp {
        let shifted = (i128::from(at.nanos()) + self.0).max(0);
        Timestamp::from_nanos(u64::try_from(shifted).unwrap_or(u64::MAX))
    }
}

struct Replay {
    sensor: Crew,
    writer: Box<dyn Writer>,
    drawer: Option<Drawer>,
    /// What was learned is kept.
    save: bool,
    shipping: Option<Shipping>,
    shift: Shift,
    /// Frames of link types that are not decoded.
    strange: BTreeMap<u32, u64>,
}

impl Replay {
    fn frames(
        &mut self,
        files: &mut Files,
        speed: Speed,
        progress: &mut Progress,
    ) -> Result<(), ReplayError> {
        let mut pace = Pace { speed, began: None };
        while let Some(frame) = files.next_frame() {
            pace.wait_for(frame.at);
            let at = self.shift.apply(frame.at);
            self.writer.frame(at, frame.wire_len);
            if let LinkType::Other(number) = frame.link
                && (self.strange.len() < STRANGE_MAX || self.strange.contains_key(&number))
            {
                *self.strange.entry(number).or_default() += 1;
            }
            self.sensor.handle_frame(&Frame { at, ..frame });
            self.drain()?;
            progress.frame(files);
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), ReplayError> {
        while let Some(mut record) = self.sensor.poll_record() {
            if let Record::EndpointAlert(alert) = &mut record
                && alert.time != alert.received_at
            {
                // The product wrote its own clock into the line.
                alert.time = self.shift.apply(alert.time);
            }
            self.writer.record(&record)?;
            if let Some(shipping) = &mut self.shipping {
                shipping.push(record)?;
            }
        }
        while let Some(flow) = self.sensor.poll_flow() {
            self.writer.flow(&flow)?;
        }
        while let Some(event) = self.sensor.poll_event() {
            self.writer.event(&event)?;
        }
        Ok(())
    }

    fn finish(mut self, files: &Files) -> Result<(), ReplayError> {
        for (number, frames) in &self.strange {
            let name = LinkType::Other(*number).name();
            tracing::warn!(link_type = number, name, frames, "frames of this link type are not decoded");
        }
        while self.sensor.finish_some() {
            self.drain()?;
        }
        self.drain()?;
        if let (Some(drawer), true) = (&self.drawer, self.save) {
            drawer.put(self.sensor.learned());
            drawer.write()?;
        }
        let health = Record::Health(Box::new(self.health(files)));
        self.writer.record(&health)?;
        self.writer.finish(files, &self.sensor.counters())?;
        match self.shipping {
            Some(mut shipping) => {
                shipping.push(health)?;
                Ok(shipping.finish()?)
            }
            None => Ok(()),
        }
    }

    /// Only what the captures determine: a replay says nothing of the machine that it runs on.
    fn health(&self, files: &Files) -> Health {
        let unreadable = u64::try_from(files.problems().len()).unwrap_or(u64::MAX);
        let counters = self.sensor.counters();
        let interfaces = files.read().take(INTERFACES_MAX).map(|(name, packets)| {
            let name = name.rsplit('/').next().unwrap_or(name);
            Interface { name: name.into(), packets, ..Interface::default() }
        });
        Health {
            at: self.sensor.now(),
            counters: health::named(
                counters
                    .iter()
                    .map(|(name, count)| (name.to_owned(), count))
                    .chain([("capture.unreadable".to_owned(), unreadable)])
                    .chain(health::excepted(self.sensor.excepted())),
            ),
            interfaces: interfaces.collect(),
            ..Health::default()
        }
    }
}

/// Sleeps so that event time passes `speed` times as fast as real time.
struct Pace {
    speed: Speed,
    /// Event time and real time of the first frame.
    began: Option<(Timestamp, Instant)>,
}

impl Pace {
    fn wait_for(&mut self, at: Timestamp) {
        let Speed::Times(times) = self.speed else { return };
        let (first, began) = *self.began.get_or_insert_with(|| (at, Instant::now()));
        let due = Duration::try_from_secs_f64(at.since(first).as_secs_f64() / times).unwrap_or(Duration::MAX);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
}

#[cfg(test)]
mod tests;
