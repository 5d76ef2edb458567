//! `ftp.log`.

use core::net::IpAddr;

use sekimori_sensor::event::{FlowRef, FtpCommand};
use sekimori_wire::time::Timestamp;

use super::{Cell, Log, Row};

static LOG: Log = Log {
    name: "ftp",
    fields: &[
        ("user", "string"),
        ("password", "string"),
        ("command", "string"),
        ("arg", "string"),
        ("mime_type", "string"),
        ("file_size", "count"),
        ("reply_code", "count"),
        ("reply_msg", "string"),
        ("data_channel.passive", "bool"),
        ("data_channel.orig_h", "addr"),
        ("data_channel.resp_h", "addr"),
        ("data_channel.resp_p", "port"),
        ("fuid", "string"),
    ],
};

/// Commands that have a line.
const LOGGED: [&str; 10] = ["APPE", "DELE", "RETR", "STOR", "STOU", "ACCT", "PORT", "PASV", "EPRT", "EPSV"];
/// Those of them whose argument is a file.
const OF_FILES: [&str; 5] = ["APPE", "DELE", "RETR", "STOR", "STOU"];

pub(super) fn rows(at: Timestamp, flow: &FlowRef, one: &FtpCommand) -> Vec<Row> {
    let Some(command) = one.command.as_deref().filter(|command| !one.transfer && LOGGED.contains(command))
    else {
        return Vec::new();
    };
    let argument = if OF_FILES.contains(&command) {
        url(flow.responder.address, &one.path)
    } else {
        one.argument.to_string()
    };
    let password = one.guest_password.as_deref().or_else(|| one.password_given.then_some("<hidden>"));
    let data =
        |of: fn(&sekimori_sensor::event::FtpDataChannel) -> Cell| one.data.as_ref().map_or(Cell::Unset, of);
    vec![Row {
        log: &LOG,
        at,
        cells: vec![
            Cell::text(one.user.as_deref().unwrap_or("<unknown>")),
            Cell::of(password),
            Cell::text(command),
            Cell::of(Some(argument).filter(|argument| !argument.is_empty())),
            Cell::Unset,
            one.file_bytes.map_or(Cell::Unset, Cell::Count),
            one.last_reply.as_ref().map_or(Cell::Unset, |(code, _)| Cell::Count((*code).into())),
            Cell::of(one.last_reply.as_ref().map(|(_, text)| &**text)),
            data(|data| Cell::Bool(data.passive)),
            data(|data| Cell::text(data.from.to_string())),
            data(|data| Cell::text(data.to.address.to_string())),
            data(|data| Cell::Count(data.to.port.into())),
            Cell::Unset,
        ],
    }]
}

fn url(server: IpAddr, path: &str) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    match server {
        IpAddr::V4(v4) => format!("ftp://{v4}{slash}{path}"),
        IpAddr::V6(v6) => format!("ftp://[{v6}]{slash}{path}"),
    }
}
