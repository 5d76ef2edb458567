//! Tables: comma- or tab-separated, the first line names the columns `type,value[,feed,confidence,expires,note]`; others are
//! ignored, and so are lines that begin with `#`.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use sekimori_sensor::intel::Feed;

use super::{Import, IntelError, Place, Reason, Row, kind_of, stem, time_of};

/// Where each column stands.
struct Columns {
    kind: usize,
    value: usize,
    feed: Option<usize>,
    confidence: Option<usize>,
    expires: Option<usize>,
    note: Option<usize>,
}

impl Columns {
    fn of(header: &StringRecord) -> Option<Self> {
        let at = |names: &[&str]| {
            header.iter().position(|one| names.iter().any(|name| one.trim().eq_ignore_ascii_case(name)))
        };
        Some(Self {
            kind: at(&["type", "indicator_type"])?,
            value: at(&["value", "indicator"])?,
            feed: at(&["feed", "source"]),
            confidence: at(&["confidence"]),
            expires: at(&["expires", "valid_until"]),
            note: at(&["note", "comment"]),
        })
    }
}

pub(super) fn read(import: &mut Import, path: &Path, text: &str) -> Result<(), IntelError> {
    let first = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    let tabs = first.contains('\t');
    let mut reader = ReaderBuilder::new()
        .delimiter(if tabs { b'\t' } else { b',' })
        .quoting(!tabs)
        .comment(Some(b'#'))
        .flexible(true)
        .from_reader(text.as_bytes());
    let columns = reader.headers().ok().and_then(Columns::of);
    let Some(columns) = columns else { return Err(IntelError::NoHeader { path: path.to_owned() }) };
    let own = stem(path);
    let mut record = StringRecord::new();
    // The last feed, which the next line usually has too.
    let mut feed: Option<(String, u16)> = None;
    loop {
        let more = reader.read_record(&mut record);
        let line = reader.position().line().saturating_sub(1).max(2);
        let place = Place { path, at: &line };
        match more {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(_) => {
                import.refuse(place, &own, "", Reason::Line);
                continue;
            }
        }
        let field = |at: Option<usize>| at.and_then(|at| record.get(at)).map_or("", str::trim);
        let name = Some(field(columns.feed)).filter(|name| !name.is_empty()).unwrap_or(&own);
        let number = match &feed {
            Some((known, number)) if known == name => *number,
            Some(_) | None => {
                let Some(number) = import.feed(place, Feed::named(name)) else { continue };
                feed = Some((name.to_owned(), number));
                number
            }
        };
        let value = field(Some(columns.value));
        match row(field(Some(columns.kind)), value, field(columns.confidence), field(columns.expires)) {
            Ok(row) => import.take(place, number, &Row { note: field(columns.note), ..row }),
            Err(reason) => import.refuse(place, name, value, reason),
        }
    }
}

fn row<'a>(kind: &str, value: &'a str, confidence: &str, expires: &str) -> Result<Row<'a>, Reason> {
    if kind.is_empty() || value.is_empty() {
        return Err(Reason::Columns);
    }
    let kind = kind_of(kind).ok_or(Reason::Kind)?;
    let confidence = match confidence {
        "" => None,
        text => Some(text.parse().ok().filter(|percent| *percent <= 100).ok_or(Reason::Confidence)?),
    };
    let expires = match expires {
        "" => None,
        text => Some(time_of(text).ok_or(Reason::Expires)?),
    };
    Ok(Row { kind, value, confidence, expires, note: "" })
}
