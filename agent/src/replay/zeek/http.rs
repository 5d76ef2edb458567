//! `http.log`.

use sekimori_sensor::event::http::{Field, value};
use sekimori_sensor::event::{FileInfo, HttpExchange};
use sekimori_wire::time::Timestamp;

use super::{Cell, Log, Row};

static LOG: Log = Log {
    name: "http",
    fields: &[
        ("trans_depth", "count"),
        ("method", "string"),
        ("host", "string"),
        ("uri", "string"),
        ("referrer", "string"),
        ("version", "string"),
        ("user_agent", "string"),
        ("origin", "string"),
        ("request_body_len", "count"),
        ("response_body_len", "count"),
        ("status_code", "count"),
        ("status_msg", "string"),
        ("info_code", "count"),
        ("info_msg", "string"),
        ("tags", "set[enum]"),
        ("username", "string"),
        ("password", "string"),
        ("proxied", "set[string]"),
        ("orig_fuids", "vector[string]"),
        ("orig_filenames", "vector[string]"),
        ("orig_mime_types", "vector[string]"),
        ("resp_fuids", "vector[string]"),
        ("resp_filenames", "vector[string]"),
        ("resp_mime_types", "vector[string]"),
    ],
};

/// Fields that a proxy adds.
const PROXY: [&str; 7] = [
    "FORWARDED",
    "X-FORWARDED-FOR",
    "X-FORWARDED-FROM",
    "CLIENT-IP",
    "VIA",
    "XROXY-CONNECTION",
    "PROXY-CONNECTION",
];

pub(super) fn rows(_at: Timestamp, one: &HttpExchange) -> Vec<Row> {
    // Zeek does not read HTTP/2.
    if one.http2.is_some() {
        return Vec::new();
    }
    let request = one.request.as_ref();
    let response = one.response.as_ref();
    let field = |name: &str| Cell::of(request.and_then(|request| value(&request.fields, name)));
    // Before HTTP/1.0 there is no status line, and Zeek counts a response as one all the same.
    let is_old = response.is_some_and(|response| response.protocol.is_empty());
    let version = response.map(|response| match response.protocol.split_once('/') {
        Some((_, version)) => version,
        None => "0.9",
    });
    let status = response.map(|response| response.status.parse().unwrap_or_default());
    let reason = response.map(|response| &*response.reason);
    let interim = one.interim.as_ref();
    let is_switch = status.is_some_and(|status| (100..200).contains(&status));
    let (info_code, info_msg) = match (is_switch, interim) {
        (true, _) => (status, reason),
        (false, interim) => (interim.map(|(code, _)| u64::from(*code)), interim.map(|(_, text)| &**text)),
    };
    let bytes = |body: Option<u64>| Cell::Count(body.unwrap_or_default());
    let row = Row {
        log: &LOG,
        at: one.began,
        cells: vec![
            Cell::Count(one.number.saturating_add(1)),
            Cell::of(request.map(|request| &*request.method)),
            field("host"),
            Cell::of(request.map(|request| unescaped(&request.target))),
            field("referer"),
            Cell::of(version),
            field("user-agent"),
            field("origin"),
            bytes(request.map(|request| request.body.bytes)),
            bytes(response.map(|response| response.body.bytes)),
            status.map_or(Cell::Unset, Cell::Count),
            Cell::of(reason.map(|reason| if reason.is_empty() || is_old { "<empty>" } else { reason })),
            info_code.map_or(Cell::Unset, Cell::Count),
            Cell::of(info_msg),
            Cell::Many(Vec::new()),
            Cell::of(request.and_then(|request| request.user.as_deref())),
            Cell::Unset,
            request.map_or(Cell::Unset, |request| proxied(&request.fields)),
            Cell::Unset,
            filenames(one, true),
            Cell::Unset,
            Cell::Unset,
            filenames(one, false),
            Cell::Unset,
        ],
    };
    vec![row]
}

fn proxied(fields: &[Field]) -> Cell {
    let upper = |field: &Field| field.name.to_ascii_uppercase();
    let found = fields.iter().filter(|field| PROXY.contains(&&*upper(field)));
    let cells: Vec<Cell> =
        found.map(|field| Cell::text(format!("{} -> {}", upper(field), field.value))).collect();
    if cells.is_empty() { Cell::Unset } else { Cell::Many(cells) }
}

/// Names that the messages say; a path is none.
fn filenames(one: &HttpExchange, of_client: bool) -> Cell {
    let of_side = |file: &&FileInfo| file.from_originator == (one.from_originator == of_client);
    let path =
        one.request.as_ref().map_or("", |request| request.target.split('?').next().unwrap_or_default());
    let named = one.files.iter().filter(of_side).filter(|file| !file.name.is_empty() && *file.name != *path);
    let cells: Vec<Cell> = named.map(|file| Cell::text(&*file.name)).collect();
    if cells.is_empty() { Cell::Unset } else { Cell::Many(cells) }
}

/// A target with its `%XX` as the characters that they stand for.
fn unescaped(target: &str) -> String {
    let (mut bytes, mut out) = (target.as_bytes(), Vec::with_capacity(target.len()));
    while let Some((first, rest)) = bytes.split_first() {
        let hex = |at: usize| rest.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(high << 4 | low));
                bytes = rest.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
