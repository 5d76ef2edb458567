//! EVE of telnet: Suricata recognises Telnet and writes no event of it; these fields are this program's.

use sekimori_sensor::event::TelnetSession;
use serde_json::{Map, Value};

use super::Entry;

pub(super) fn entries(one: &TelnetSession) -> Vec<Entry> {
    let mut telnet = Map::new();
    let mut put = |key: &str, value: Value| telnet.insert(key.to_owned(), value);
    put("options", one.options.clone().into());
    if let Some(user) = &one.user {
        put("user", (&**user).into());
    }
    put("password_given", one.password_given.into());
    if let Some(succeeded) = one.succeeded {
        put("login_succeeded", succeeded.into());
    }
    vec![Entry::new("telnet", true, Value::Object(telnet))]
}
