//! EVE of fileinfo.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use sekimori_sensor::event::http::value;
use sekimori_sensor::event::{FileInfo, FileState, HttpExchange};
use serde_json::{Map, Value};

use super::Entry;

/// Files that come in parts and are not whole yet; one more, and the first by name is forgotten.
const PARTED_MAX: usize = 1_024;
/// Separate pieces of such a file.
const PIECES_MAX: usize = 256;

/// Files that come in parts (RFC 9110, 14), of one connection or of several, as Suricata puts them together.
#[derive(Debug, Default)]
pub(super) struct Parted(BTreeMap<String, Pieces>);

/// What has come of a file: apart from each other, in order; ends are not within.
#[derive(Debug, Default)]
struct Pieces(Vec<(u64, u64)>);

impl Parted {
    /// A file that is whole with the parts that this exchange carried.
    pub(super) fn add(&mut self, one: &HttpExchange) -> Option<FileInfo> {
        let (request, response) = (one.request.as_ref()?, one.response.as_ref()?);
        let part = one.files.iter().find(|file| file.range.is_some() && file.state == FileState::Closed)?;
        let (first, last) = part.range?;
        let total: u64 = value(&response.fields, "content-range")?.rsplit('/').next()?.trim().parse().ok()?;
        let host = value(&request.fields, "host").unwrap_or_default();
        let key = format!("{host} {} {total}", request.target);
        let pieces = self.0.entry(key.clone()).or_default();
        pieces.add(first, last.checked_add(1)?);
        let whole = pieces.0 == [(0, total)];
        if whole || pieces.0.len() > PIECES_MAX {
            self.0.remove(&key);
        }
        if self.0.len() > PARTED_MAX {
            self.0.pop_first();
        }
        let name = &request.target;
        whole.then(|| FileInfo { name: name.clone(), size: total, range: None, sha256: None, ..part.clone() })
    }
}

impl Pieces {
    fn add(&mut self, mut from: u64, mut to: u64) {
        for (other_from, other_to) in &self.0 {
            if *other_to >= from && *other_from <= to {
                (from, to) = (from.min(*other_from), to.max(*other_to));
            }
        }
        self.0.retain(|(other_from, other_to)| *other_to < from || *other_from > to);
        let at = self.0.partition_point(|(other, _)| *other < from);
        self.0.insert(at, (from, to));
    }
}

pub(super) fn entries(one: &FileInfo) -> Vec<Entry> {
    vec![entry(one).with("app_proto", one.application.as_str())]
}

/// One file, for what carried it to add to.
pub(super) fn entry(one: &FileInfo) -> Entry {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("filename", (*one.name).into());
    put("gaps", one.gaps.into());
    put("state", one.state.as_str().into());
    put("stored", false.into());
    put("size", one.size.into());
    put("tx_id", one.transaction.into());
    if let Some((start, end)) = one.range {
        put("start", start.into());
        put("end", end.into());
    }
    if let Some(digest) = &one.sha256 {
        let mut hex = String::with_capacity(64);
        for byte in digest {
            // Writing to a String cannot fail.
            write!(hex, "{byte:02x}").unwrap_or_default();
        }
        put("sha256", hex.into());
    }
    Entry::new("fileinfo", one.from_originator, Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_in_any_order() {
        let mut pieces = Pieces::default();
        for (from, to) in [(10, 20), (30, 40), (0, 5), (25, 30), (4, 12), (20, 26)] {
            pieces.add(from, to);
        }
        assert_eq!(pieces.0, [(0, 40)]);
    }
}
