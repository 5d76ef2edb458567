//! EVE of smb.

use sekimori_sensor::event::SmbCommand;
use sekimori_sensor::event::ntlm::Ntlm;
use sekimori_sensor::event::smb::{
    SmbCode, SmbCreate, SmbDetail, SmbSession, SmbShare, SmbShareKind, SmbStatus, SmbTransfer,
};
use serde_json::{Map, Value, json};

use super::{Entry, dcerpc};

pub(super) fn entries(command: &SmbCommand) -> Vec<Entry> {
    if matches!(command.detail, SmbDetail::Encrypted | SmbDetail::Compressed) {
        return Vec::new();
    }
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("id", command.id.into());
    put("dialect", if command.dialect.is_empty() { "unknown" } else { &command.dialect }.into());
    put("command", name(command.command).into());
    if let Some(status) = command.status {
        let (name, code) = status_text(status);
        put("status", name.into());
        put("status_code", code.into());
    }
    put("session_id", command.session.into());
    put("tree_id", command.tree.into());
    detail(&command.detail, &mut fields);
    vec![Entry::new("smb", command.from_originator, Value::Object(fields))]
}

fn name(code: SmbCode) -> String {
    code.name().map_or_else(
        || match code {
            SmbCode::V1(number) => number.to_string(),
            SmbCode::V2(number) => number.to_string(),
        },
        str::to_owned,
    )
}

/// Name (or number) and code.
fn status_text(status: SmbStatus) -> (String, String) {
    let code = match status {
        SmbStatus::Nt(number) => format!("{number:#x}"),
        SmbStatus::Dos(_, number) => format!("{number:#06x}"),
    };
    let number = match status {
        SmbStatus::Nt(number) => number.to_string(),
        SmbStatus::Dos(class, number) => format!("UNKNOWN_{class:02x}_{number:04x}"),
    };
    (status.name().map_or(number, str::to_owned), code)
}

fn detail(detail: &SmbDetail, fields: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    match detail {
        SmbDetail::None | SmbDetail::Encrypted | SmbDetail::Compressed => {}
        SmbDetail::Negotiate { client_dialects, server_guid } => {
            put("client_dialects", json!(client_dialects));
            if let Some(guid) = server_guid {
                put("server_guid", identifier(guid).into());
            }
        }
        SmbDetail::SessionSetup(session) => setup(session, fields),
        SmbDetail::TreeConnect(share) => tree(share, fields),
        SmbDetail::Create(file) => create(file, fields),
        SmbDetail::Transfer(transfer) => file(transfer, fields),
        SmbDetail::Rename { file, from, to } => {
            put("rename", json!({"from": from, "to": to}));
            put("set_info", json!({"class": "FILE_INFO", "info_level": "SMB2_FILE_RENAME_INFO"}));
            put("fuid", identifier(file).into());
        }
        SmbDetail::Delete { file, name, delete } => {
            put("filename", (**name).into());
            put("fuid", identifier(file).into());
            put("set_info", json!({"class": "FILE_INFO", "info_level": "SMB2_FILE_DISPOSITION_INFO"}));
            put("access", if *delete { "delete on close" } else { "normal" }.into());
        }
        SmbDetail::Ioctl { function } => {
            put("function", format!("{function:#010x}").into());
        }
        SmbDetail::Rpc(call) => {
            put("dcerpc", dcerpc::within_smb(call));
        }
    }
}

fn setup(session: &SmbSession, fields: &mut Map<String, Value>) {
    if let Some(names) = &session.ntlm {
        fields.insert("ntlmssp".to_owned(), ntlm(names));
    }
    if let Some(ticket) = &session.ticket {
        fields.insert("kerberos".to_owned(), json!({"realm": ticket.realm, "snames": ticket.service}));
    }
    for (key, system) in [("request", &session.client), ("response", &session.server)] {
        if let Some([os, manager]) = system {
            fields.insert(key.to_owned(), json!({"native_os": os, "native_lm": manager}));
        }
    }
}

fn ntlm(names: &Ntlm) -> Value {
    let mut fields = json!({"domain": names.domain, "user": names.user, "host": names.host});
    if let (Some(version), Some(map)) = (names.version, fields.as_object_mut()) {
        let text =
            format!("{}.{} build {} rev {}", version.major, version.minor, version.build, version.revision);
        map.insert("version".to_owned(), text.into());
    }
    fields
}

fn tree(share: &SmbShare, fields: &mut Map<String, Value>) {
    let (key, kind) = match share.kind {
        SmbShareKind::Pipe => ("named_pipe", "PIPE"),
        SmbShareKind::Disk => ("share", "FILE"),
        SmbShareKind::Print => ("share", "PRINT"),
        SmbShareKind::Unknown => ("share", "UNKNOWN"),
    };
    fields.insert(key.to_owned(), (*share.name).into());
    match &share.services {
        Some([asked, given]) => {
            fields.insert("request".to_owned(), json!({"service": asked}));
            fields.insert("response".to_owned(), json!({"service": given}));
        }
        None => {
            fields.insert("share_type".to_owned(), kind.into());
        }
    }
}

fn create(file: &SmbCreate, fields: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    let name = if file.name.is_empty() { "<share_root>" } else { &file.name };
    put(if file.is_directory { "directory" } else { "filename" }, name.into());
    put("disposition", disposition(file.disposition).into());
    put("access", if file.delete_on_close { "delete on close" } else { "normal" }.into());
    let opened = file.opened.unwrap_or_default();
    for (key, time) in ["created", "accessed", "modified", "changed"].into_iter().zip(opened.times) {
        put(key, unix(time).into());
    }
    put("size", opened.size.into());
    if file.opened.is_some() {
        put("fuid", identifier(&opened.file).into());
    }
}

fn disposition(number: u32) -> String {
    match number {
        0 => "FILE_SUPERSEDE".to_owned(),
        1 => "FILE_OPEN".to_owned(),
        2 => "FILE_CREATE".to_owned(),
        3 => "FILE_OPEN_IF".to_owned(),
        4 => "FILE_OVERWRITE".to_owned(),
        5 => "FILE_OVERWRITE_IF".to_owned(),
        other => other.to_string(),
    }
}

fn file(transfer: &SmbTransfer, fields: &mut Map<String, Value>) {
    fields.insert("filename".to_owned(), (*transfer.name).into());
    fields.insert("fuid".to_owned(), identifier(&transfer.file).into());
}

/// Seconds since 1970 of a time in 100 ns since 1601; 0 for none.
const fn unix(time: u64) -> u64 {
    const FROM_1601_TO_1970: u64 = 11_644_473_600;
    (time / 10_000_000).saturating_sub(FROM_1601_TO_1970)
}

/// A file's identifier as Suricata writes it: 16-bit groups, the low byte first, the last two after the one before.
fn identifier(bytes: &[u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *bytes;
    let [i, j, k, l, m, n, o, p] = rest;
    let word = |bytes: [u8; 4]| u32::from_le_bytes(bytes);
    let half = |low: u8, high: u8| u16::from_le_bytes([low, high]);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:04x}{:08x}",
        word([a, b, c, d]),
        half(e, f),
        half(g, h),
        half(i, j),
        half(k, l),
        word([m, n, o, p])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_written_as_suricata_does() {
        let file = [0x2a, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0];
        assert_eq!(identifier(&file), "0000002a-0008-0000-0009-000000000008");
        let file = [0x65, 0, 0, 0, 0x30, 0, 0, 0, 0x25, 0, 0x20, 0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(identifier(&file), "00000065-0030-0000-0025-0020ffffffff");
    }

    #[test]
    fn times_count_from_1970() {
        assert_eq!(unix(0), 0);
        assert_eq!(unix(116_444_736_000_000_000 + 15_000_000), 1);
    }

    #[test]
    fn errors_of_dos_have_four_digits() {
        assert_eq!(status_text(SmbStatus::Dos(2, 0x5b)), ("SRV_BADUID".into(), "0x005b".into()));
        assert_eq!(status_text(SmbStatus::Nt(0xc000_0016)).1, "0xc0000016");
        assert_eq!(status_text(SmbStatus::Nt(0x1234)), ("4660".into(), "0x1234".into()));
    }
}
