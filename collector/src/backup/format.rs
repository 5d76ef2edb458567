//! The file: records, each with its kind and its length before it, in one zstd stream.
//!
//! | kind | what |
//! |---|---|
//! | `H` | first: JSON, [`Header`] |
//! | `F` | a file: length of its name in two bytes, its name, its bytes |
//! | `T` | JSON: name, columns and key of the table whose rows follow |
//! | `R` | a row: for each column its kind and whether it has a value in one byte, then the value |
//! | `E` | last: JSON, [`End`] |
//!
//! Numbers are little-endian. What a file says about itself is believed only as far as its SHA-256 goes: keep that elsewhere.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use aws_lc_rs::digest::{Context, SHA256};
use sekimori_wire::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::copy::{Cells, Table, hexadecimal};
use crate::store::db::Value;

/// Before everything else.
const MAGIC: &[u8] = b"sekimori-backup 1\n";
/// Longest record: a bundle of threat intelligence is the largest of what a store keeps.
const RECORD_BYTES_MAX: u32 = 512 * 1024 * 1024;
/// Bytes that are made room for before they have been read.
const AHEAD_BYTES: u32 = 64 * 1024;
const LEVEL: i32 = 3;

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The number of the newest change of the store's schema.
    pub schema: i64,
    /// `sqlite` or `postgresql`.
    pub store: String,
    /// When it was begun: nothing that came later is in it.
    pub made_at: Timestamp,
    /// By which version of the program.
    pub made_by: String,
    /// Configuration, CA and keys are in it.
    pub with_keys: bool,
}

/// What was written, to be compared with what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// How many files.
    pub files: u64,
    /// The ends of the chains and of the audit log.
    pub heads: Vec<String>,
    /// Over everything before this record, hexadecimal.
    pub sha256: String,
}

/// One record.
#[derive(Clone, Debug)]
pub enum Record {
    /// The first.
    Header(Header),
    /// A file beside the store: its name below the folder, its bytes.
    File(String, Vec<u8>),
    /// The rows that follow are of this table.
    Table(Table),
    /// One row.
    Row(Cells),
    /// The last.
    End(End),
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {record}: {why}")]
pub struct BadBackup {
    /// From 1.
    pub record: u64,
    /// What is wrong with it.
    pub why: String,
}

/// Writes records.
pub(super) struct Writer<W: Write> {
    to: zstd::Encoder<'static, W>,
    digest: Context,
    end: End,
    table: Option<String>,
    row: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(to: W, header: &Header) -> io::Result<Self> {
        let mut to = zstd::Encoder::new(to, LEVEL)?;
        to.include_checksum(true)?;
        let mut writer =
            Self { to, digest: Context::new(&SHA256), end: End::default(), table: None, row: Vec::new() };
        writer.put(MAGIC)?;
        writer.record(b'H', &serde_json::to_vec(header)?)?;
        Ok(writer)
    }

    pub(super) fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let length = u16::try_from(name.len()).map_err(|_cause| too_long("a name"))?;
        let mut record = length.to_le_bytes().to_vec();
        record.extend_from_slice(name.as_bytes());
        record.extend_from_slice(content);
        self.end.files += 1;
        self.record(b'F', &record)
    }

    pub(super) fn table(&mut self, table: &Table) -> io::Result<()> {
        self.table = Some(table.name.clone());
        self.end.rows.insert(table.name.clone(), 0);
        self.record(b'T', &serde_json::to_vec(table)?)
    }

    pub(super) fn row(&mut self, cells: &Cells) -> io::Result<()> {
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        for cell in cells {
            encode(cell, &mut row)?;
        }
        if let Some(count) = self.table.as_ref().and_then(|table| self.end.rows.get_mut(table)) {
            *count += 1;
        }
        let done = self.record(b'R', &row);
        self.row = row;
        done
    }

    /// Writes the end, and gives back what was written to.
    pub(super) fn finish(mut self, heads: Vec<String>) -> io::Result<(W, End)> {
        let sha256 = hexadecimal(self.digest.clone().finish().as_ref());
        let end = End { heads, sha256, ..std::mem::take(&mut self.end) };
        self.record(b'E', &serde_json::to_vec(&end)?)?;
        Ok((self.to.finish()?, end))
    }

    fn record(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len()).ok().filter(|length| *length <= RECORD_BYTES_MAX);
        let length = length.ok_or_else(|| too_long("a record"))?;
        self.put(&[kind])?;
        self.put(&length.to_le_bytes())?;
        self.put(content)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.to.write_all(bytes)
    }
}

fn too_long(what: &str) -> io::Error {
    io::Error::other(format!("{what} is longer than a backup can hold"))
}

fn encode(cell: &Value<'_>, to: &mut Vec<u8>) -> io::Result<()> {
    let mut bytes = |kind: u8, value: Option<&[u8]>| {
        to.push(kind | u8::from(value.is_some()));
        if let Some(value) = value {
            let length = u32::try_from(value.len()).map_err(|_cause| too_long("a value"))?;
            to.extend_from_slice(&length.to_le_bytes());
            to.extend_from_slice(value);
        }
        Ok(())
    };
    match cell {
        Value::Text(value) => return bytes(4, value.as_ref().map(|text| text.as_bytes())),
        Value::Blob(value) => return bytes(6, value.as_deref()),
        Value::Int(value) => {
            to.push(u8::from(value.is_some()));
            to.extend(value.iter().flat_map(|value| value.to_le_bytes()));
        }
        Value::Real(value) => {
            to.push(2 | u8::from(value.is_some()));
            to.extend(value.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
    Ok(())
}

/// What is left of a record.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(length).ok()?)
    }

    fn cell(&mut self) -> Option<Value<'static>> {
        let kind = *self.take(1)?.first()?;
        let has = kind & 1 == 1;
        Some(match kind & !1 {
            0 if has => Value::Int(Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))),
            0 => Value::Int(None),
            2 if has => Value::Real(Some(f64::from_le_bytes(self.take(8)?.try_into().ok()?))),
            2 => Value::Real(None),
            4 if has => Value::Text(Some(Cow::Owned(String::from_utf8(self.long()?.to_vec()).ok()?))),
            4 => Value::Text(None),
            6 if has => Value::Blob(Some(Cow::Owned(self.long()?.to_vec()))),
            6 => Value::Blob(None),
            _ => return None,
        })
    }
}

fn decode(row: &[u8]) -> Option<Cells> {
    let mut rest = Rest(row);
    let mut cells = Cells::new();
    while !rest.0.is_empty() {
        cells.push(rest.cell()?);
    }
    Some(cells)
}

/// Reads records, and believes none before its end has come.
pub struct Reader<R: Read> {
    from: zstd::Decoder<'static, io::BufReader<R>>,
    digest: Context,
    record: u64,
    seen: End,
    table: Option<String>,
    ended: bool,
}

impl<R: Read> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("record", &self.record).finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Begins to read; gives back the header.
    ///
    /// # Errors
    /// If it is no backup.
    pub fn open(from: R) -> Result<(Self, Header), BadBackup> {
        let none = |why: String| BadBackup { record: 1, why };
        let from = zstd::Decoder::new(from).map_err(|cause| none(cause.to_string()))?;
        let mut reader = Self {
            from,
            digest: Context::new(&SHA256),
            record: 0,
            seen: End::default(),
            table: None,
            ended: false,
        };
        let mut magic = [0; MAGIC.len()];
        let read = reader.from.read_exact(&mut magic);
        if read.is_err() || magic != MAGIC {
            return Err(none("this is not a backup of a collector, or one of another format".to_owned()));
        }
        reader.digest.update(&magic);
        match reader.read_next()? {
            Some(Record::Header(header)) => Ok((reader, header)),
            Some(Record::File(..) | Record::Table(_) | Record::Row(_) | Record::End(_)) | None => {
                Err(none("a backup begins with its header".to_owned()))
            }
        }
    }

    /// The next record; `None` after the end.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read_next(&mut self) -> Result<Option<Record>, BadBackup> {
        self.record += 1;
        let before = self.digest.clone();
        let mut kind = [0];
        let read = self.from.read(&mut kind).map_err(|cause| self.bad(&cause.to_string()))?;
        match (read, self.ended) {
            (0, true) => return Ok(None),
            (0, false) => return Err(self.bad("the file ends here, without its end")),
            (_, true) => return Err(self.bad("something follows the end")),
            (_, false) => {}
        }
        let mut length = [0; 4];
        self.from.read_exact(&mut length).map_err(|cause| self.bad(&cause.to_string()))?;
        self.digest.update(&kind);
        self.digest.update(&length);
        let length = u32::from_le_bytes(length);
        if length > RECORD_BYTES_MAX {
            return Err(self.bad("longer than any record of ours"));
        }
        let mut content = Vec::with_capacity(usize::try_from(length.min(AHEAD_BYTES)).unwrap_or_default());
        let read = self.from.by_ref().take(length.into()).read_to_end(&mut content);
        read.map_err(|cause| self.bad(&cause.to_string()))?;
        if u32::try_from(content.len()) != Ok(length) {
            return Err(self.bad("the file is cut off here"));
        }
        self.digest.update(&content);
        self.read(kind, &content, before).map(Some)
    }

    fn read(&mut self, kind: [u8; 1], content: &[u8], before: Context) -> Result<Record, BadBackup> {
        let json = |cause: serde_json::Error| cause.to_string();
        let record = match &kind {
            b"H" if self.record == 1 => serde_json::from_slice(content).map(Record::Header).map_err(json),
            b"F" => file(content).ok_or_else(|| "not a file".to_owned()),
            b"T" => serde_json::from_slice(content).map(Record::Table).map_err(json),
            b"R" => decode(content).map(Record::Row).ok_or_else(|| "not a row".to_owned()),
            b"E" => serde_json::from_slice(content).map(Record::End).map_err(json),
            _ => Err("of a kind that is not known here".to_owned()),
        };
        let record = record.map_err(|why| self.bad(&why))?;
        match &record {
            Record::Header(_) => {}
            Record::File(..) => self.seen.files += 1,
            Record::Table(table) => {
                self.table = Some(table.name.clone());
                if self.seen.rows.insert(table.name.clone(), 0).is_some() {
                    return Err(self.bad("this table was there already"));
                }
            }
            Record::Row(_) => match self.table.as_ref().and_then(|table| self.seen.rows.get_mut(table)) {
                Some(count) => *count += 1,
                None => return Err(self.bad("a row before its table")),
            },
            Record::End(end) => {
                self.ended = true;
                if end.sha256 != hexadecimal(before.finish().as_ref()) {
                    return Err(self.bad("the SHA-256 of what was read is not the one that was written"));
                }
                if (&end.rows, end.files) != (&self.seen.rows, self.seen.files) {
                    return Err(self.bad("rows or files are missing"));
                }
            }
        }
        Ok(record)
    }

    fn bad(&self, why: &str) -> BadBackup {
        BadBackup { record: self.record, why: why.to_owned() }
    }
}

fn file(content: &[u8]) -> Option<Record> {
    let mut rest = Rest(content);
    let length = u16::from_le_bytes(rest.take(2)?.try_into().ok()?);
    let name = str::from_utf8(rest.take(length.into())?).ok()?;
    Some(Record::File(name.to_owned(), rest.0.to_vec()))
}
