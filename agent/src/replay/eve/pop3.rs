//! EVE of pop3.

use sekimori_sensor::event::Pop3Command;
use serde_json::{Map, Value, json};

use super::Entry;

pub(super) fn entries(one: &Pop3Command) -> Vec<Entry> {
    let mut pop3 = Map::new();
    if let Some(request) = &one.request {
        let command = if request.command.is_empty() { "<SASL DATA>" } else { &request.command };
        let arguments: Vec<&str> = request.arguments.iter().map(|argument| &**argument).collect();
        pop3.insert("request".to_owned(), json!({"command": command, "args": arguments}));
    }
    if let Some(response) = &one.response {
        let data: Vec<&str> = response.data.iter().map(|line| &**line).collect();
        let status = if response.success { "OK" } else { "ERR" };
        let response =
            json!({"success": response.success, "status": status, "header": &*response.header, "data": data});
        pop3.insert("response".to_owned(), response);
    }
    vec![Entry::new("pop3", true, Value::Object(pop3))]
}
