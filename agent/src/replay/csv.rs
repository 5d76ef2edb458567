//! Flows as CSV (RFC 4180) with a header, in order of their end. Times are RFC 3339 UTC; what is not known is empty.

use std::io;

use sekimori_sensor::counters::Counters;
use sekimori_sensor::event::Event;
use sekimori_sensor::segment::Policy;

use super::columns::{COLUMNS, Flow, Value};
use super::{Output, ReplayError, Writer};
use crate::capture::file::Files;

/// Writes CSV.
pub(super) struct Csv {
    to: csv::Writer<Output>,
    policy: Policy,
}

impl Csv {
    pub(super) fn new(output: Output, policy: Policy) -> Result<Self, ReplayError> {
        let mut csv = Self { to: csv::Writer::from_writer(output), policy };
        csv.write(COLUMNS.iter().map(|column| column.name.to_owned()))?;
        Ok(csv)
    }

    fn write(&mut self, cells: impl Iterator<Item = String>) -> Result<(), ReplayError> {
        let written = self.to.write_record(cells);
        written.map_err(|error| {
            let text = error.to_string();
            let io = if let csv::ErrorKind::Io(cause) = error.into_kind() { Some(cause) } else { None };
            self.to.get_ref().failed(io.unwrap_or_else(|| io::Error::other(text)))
        })
    }
}

impl Writer for Csv {
    fn event(&mut self, event: &Event) -> Result<(), ReplayError> {
        let Some(flow) = Flow::ended(event, &self.policy) else { return Ok(()) };
        self.write(COLUMNS.iter().map(|column| match (column.value)(&flow) {
            Value::Unset => String::new(),
            Value::Count(count) => count.to_string(),
            Value::Small(number) => number.to_string(),
            Value::Text(text) => text,
            Value::Time(at) => at.to_string(),
            Value::Flag(flag) => flag.to_string(),
        }))
    }

    fn finish(&mut self, _files: &Files, _counters: &Counters) -> Result<(), ReplayError> {
        let flushed = self.to.flush();
        flushed.map_err(|cause| self.to.get_ref().failed(cause))
    }
}
