//! Flows as Parquet with typed columns, in order of their end; what is not known is null.
//!
//! A row group is written whenever it is full, so that memory does not grow with the capture; only the file's footer does,
//! by some kilobytes a group.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use sekimori_sensor::counters::Counters;
use sekimori_sensor::event::Event;
use sekimori_sensor::segment::Policy;

use super::columns::{COLUMNS, Column, Flow, Kind, Value};
use super::{ReplayError, Writer};
use crate::capture::file::Files;

/// Rows of a row group: some ten megabytes before they are compressed.
const GROUP_ROWS: usize = 32_768;

/// Writes Parquet.
pub(super) struct Parquet {
    path: PathBuf,
    /// `None` once the file is closed.
    to: Option<SerializedFileWriter<File>>,
    policy: Policy,
    group: Vec<Values>,
    rows: usize,
}

/// The values of a column in a row group that are not null, and for each row whether it is one of them.
struct Values {
    there: Vec<i16>,
    typed: Typed,
}

enum Typed {
    Wide(Vec<i64>),
    Narrow(Vec<i32>),
    Text(Vec<ByteArray>),
    Flag(Vec<bool>),
}

impl Parquet {
    pub(super) fn new(path: &Path, policy: Policy) -> Result<Self, ReplayError> {
        let failed = |cause| ReplayError::Output { path: path.to_owned(), cause };
        let file = File::create(path).map_err(failed)?;
        let fields = COLUMNS.iter().map(|column| field(column).map(Arc::new));
        let schema = fields
            .collect::<Result<_, _>>()
            .and_then(|fields| Type::group_type_builder("flow").with_fields(fields).build());
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("sekimori-agent ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let to = schema
            .and_then(|schema| SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)))
            .map_err(|error| failed(io_error(error)))?;
        let group = COLUMNS.iter().map(|column| Values::new(column.kind)).collect();
        Ok(Self { path: path.to_owned(), to: Some(to), policy, group, rows: 0 })
    }

    fn write_group(&mut self) -> Result<(), ReplayError> {
        self.rows = 0;
        let Some(to) = &mut self.to else { return Ok(()) };
        write_group(to, &mut self.group).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: ParquetError) -> ReplayError {
        ReplayError::Output { path: self.path.clone(), cause: io_error(error) }
    }
}

impl Writer for Parquet {
    fn event(&mut self, event: &Event) -> Result<(), ReplayError> {
        let Some(flow) = Flow::ended(event, &self.policy) else { return Ok(()) };
        for (column, values) in COLUMNS.iter().zip(&mut self.group) {
            values.push((column.value)(&flow));
        }
        self.rows += 1;
        if self.rows < GROUP_ROWS { Ok(()) } else { self.write_group() }
    }

    fn finish(&mut self, _files: &Files, _counters: &Counters) -> Result<(), ReplayError> {
        if self.rows > 0 {
            self.write_group()?;
        }
        let closed = self.to.take().map_or(Ok(()), |to| to.close().map(drop));
        closed.map_err(|error| self.failed(error))
    }
}

fn write_group(to: &mut SerializedFileWriter<File>, group: &mut [Values]) -> Result<(), ParquetError> {
    let mut row_group = to.next_row_group()?;
    for values in group {
        let Some(mut column) = row_group.next_column()? else { break };
        let there = Some(&values.there[..]);
        match &mut values.typed {
            Typed::Wide(wide) => {
                column.typed::<Int64Type>().write_batch(wide, there, None)?;
                wide.clear();
            }
            Typed::Narrow(narrow) => {
                column.typed::<Int32Type>().write_batch(narrow, there, None)?;
                narrow.clear();
            }
            Typed::Text(text) => {
                column.typed::<ByteArrayType>().write_batch(text, there, None)?;
                text.clear();
            }
            Typed::Flag(flags) => {
                column.typed::<BoolType>().write_batch(flags, there, None)?;
                flags.clear();
            }
        }
        values.there.clear();
        column.close()?;
    }
    row_group.close().map(drop)
}

impl Values {
    const fn new(kind: Kind) -> Self {
        let typed = match kind {
            Kind::Count | Kind::Time => Typed::Wide(Vec::new()),
            Kind::Small => Typed::Narrow(Vec::new()),
            Kind::Text => Typed::Text(Vec::new()),
            Kind::Flag => Typed::Flag(Vec::new()),
        };
        Self { there: Vec::new(), typed }
    }

    /// A value that is not of the column's kind would be null; there is none (see the test of the columns).
    fn push(&mut self, value: Value) {
        let there = match (&mut self.typed, value) {
            (Typed::Wide(wide), Value::Count(count)) => {
                wide.push(count.cast_signed());
                true
            }
            (Typed::Wide(wide), Value::Time(at)) => {
                wide.push(at.nanos().cast_signed());
                true
            }
            (Typed::Narrow(narrow), Value::Small(number)) => {
                narrow.push(number.into());
                true
            }
            (Typed::Text(texts), Value::Text(text)) => {
                texts.push(text.into_bytes().into());
                true
            }
            (Typed::Flag(flags), Value::Flag(flag)) => {
                flags.push(flag);
                true
            }
            _ => false,
        };
        self.there.push(i16::from(there));
    }
}

/// The type of a column. The unsigned ones keep their bits.
fn field(column: &Column) -> Result<Type, ParquetError> {
    let unsigned = |bit_width| Some(LogicalType::integer(bit_width, false));
    let (physical, logical) = match column.kind {
        Kind::Count => (Physical::INT64, unsigned(64)),
        Kind::Small => (Physical::INT32, unsigned(16)),
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Flag => (Physical::BOOLEAN, None),
        Kind::Time => {
            let time = LogicalType::timestamp(true, TimeUnit::NANOS);
            (Physical::INT64, Some(time))
        }
    };
    Type::primitive_type_builder(column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()
}

fn io_error(error: ParquetError) -> io::Error {
    let ParquetError::External(cause) = error else { return io::Error::other(error) };
    cause.downcast::<io::Error>().map_or_else(io::Error::other, |cause| *cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use sekimori_sensor::event::{Endpoint, FlowEvent, FlowRef};
    use sekimori_wire::time::Timestamp;

    #[test]
    fn row_groups_are_bounded_and_typed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows.parquet");
        let mut parquet = Parquet::new(&path, Policy::default_private()).unwrap();
        let end = |port| Endpoint { address: [192, 0, 2, 1].into(), port };
        let mut flow = FlowRef {
            id: 0,
            began: Timestamp::from_secs(1),
            originator: end(1),
            responder: end(2),
            protocol: 6,
            vlan: None,
            swapped: false,
        };
        let rows = GROUP_ROWS + 10;
        for id in 0..rows {
            flow.id = u64::MAX - u64::try_from(id).unwrap();
            let what = FlowEvent::Ended(Box::default());
            parquet.event(&Event::Flow { at: flow.began, flow, what }).unwrap();
            assert!(parquet.group.iter().all(|values| values.there.len() < GROUP_ROWS));
        }
        parquet.finish(&Files::open(&[], None), &Counters::default()).unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let metadata = reader.metadata();
        let groups: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [i64::try_from(GROUP_ROWS).unwrap(), 10]);
        assert_eq!(metadata.file_metadata().schema_descr().num_columns(), COLUMNS.len());
        let first = reader.get_row_iter(None).unwrap().next().unwrap().unwrap();
        let (name, value) = first.get_column_iter().next().unwrap();
        assert_eq!((name.as_str(), value.to_string()), ("flow_id", u64::MAX.to_string()));
    }
}
