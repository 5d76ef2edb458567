//! EVE of ftp.

use sekimori_sensor::event::FtpCommand;
use serde_json::{Map, Value, json};

use super::Entry;

pub(super) fn entries(one: &FtpCommand) -> Vec<Entry> {
    if one.transfer {
        let fields =
            json!({"filename": &*one.argument, "command": one.command.as_deref().unwrap_or_default()});
        return vec![Entry::new("ftp_data", true, fields)];
    }
    let mut ftp = Map::new();
    let mut put = |key: &str, value: Value| ftp.insert(key.to_owned(), value);
    if let Some(command) = &one.command {
        put("command", (&**command).into());
        if !one.argument.is_empty() {
            put("command_data", (&*one.argument).into());
        }
    }
    put("command_truncated", one.command_cut.into());
    let codes: Vec<Value> =
        one.replies.iter().filter_map(|(code, _)| *code).map(|code| format!("{code:03}").into()).collect();
    if !codes.is_empty() {
        put("completion_code", codes.into());
    }
    if !one.replies.is_empty() {
        put("reply", one.replies.iter().map(|(_, text)| &**text).collect());
    }
    if let Some(data) = &one.data {
        put("dynamic_port", data.to.port.into());
        put("mode", if data.passive { "passive" } else { "active" }.into());
    }
    put("reply_received", if one.replies.is_empty() { "no" } else { "yes" }.into());
    put("reply_truncated", one.reply_cut.into());
    vec![Entry::new("ftp", true, Value::Object(ftp))]
}
