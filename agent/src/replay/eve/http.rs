//! EVE of http, of HTTP/1 and of each stream of HTTP/2, and of the files that they carried.

use sekimori_sensor::event::HttpExchange;
use sekimori_sensor::event::http::{Field, Http2, Response, value};
use serde_json::{Map, Value, json};

use super::{Entry, file};

/// What Suricata says of a response whose request it has not seen.
const NOT_SEEN: &str = "/libhtp::request_uri_not_seen";
/// Names of HTTP/2 settings (RFC 9113, 6.5.2; RFC 8441; RFC 9218) as Suricata writes them.
const SETTINGS: [(u16, &str); 8] = [
    (1, "SETTINGSHEADERTABLESIZE"),
    (2, "SETTINGSENABLEPUSH"),
    (3, "SETTINGSMAXCONCURRENTSTREAMS"),
    (4, "SETTINGSINITIALWINDOWSIZE"),
    (5, "SETTINGSMAXFRAMESIZE"),
    (6, "SETTINGSMAXHEADERLISTSIZE"),
    (8, "SETTINGSENABLECONNECTPROTOCOL"),
    (9, "SETTINGSNORFC7540PRIORITIES"),
];

pub(super) fn entries(one: &HttpExchange, parted: &mut file::Parted) -> Vec<Entry> {
    let fields = match &one.http2 {
        Some(http2) => second(one, http2),
        None => first(one),
    };
    let fields = Value::Object(fields);
    let number = one.number;
    let mut entries = vec![Entry::new("http", one.from_originator, fields.clone()).with("tx_id", number)];
    let protocol = one.application.as_str();
    let whole = parted.add(one);
    let files = one.files.iter().chain(&whole);
    entries
        .extend(files.map(|info| file::entry(info).with("http", fields.clone()).with("app_proto", protocol)));
    entries
}

/// HTTP/1.
fn first(one: &HttpExchange) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    let request = one.request.as_ref();
    if let Some(request) = request {
        let (host, port) = authority(&request.target, &request.method, value(&request.fields, "host"));
        if let Some(host) = host {
            put("hostname", host.into());
        }
        if let Some(port) = port {
            put("http_port", port.into());
        }
        put("http_method", (*request.method).into());
    }
    put("url", request.map_or(NOT_SEEN, |request| &*request.target).into());
    let of_request = |name: &str| request.and_then(|request| value(&request.fields, name));
    for (key, name) in
        [("http_user_agent", "user-agent"), ("http_refer", "referer"), ("xff", "x-forwarded-for")]
    {
        if let Some(text) = of_request(name) {
            put(key, text.into());
        }
    }
    let protocol =
        request.map(|request| &*request.protocol).or_else(|| one.response.as_ref().map(|it| &*it.protocol));
    if let Some(protocol) = protocol.filter(|protocol| !protocol.is_empty()) {
        put("protocol", protocol.into());
    }
    put("length", 0.into());
    if let Some(response) = &one.response {
        put("length", response.body.framed_bytes.into());
        fields.extend(of_response(response));
    }
    fields
}

fn of_response(response: &Response) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    if let Some(kind) = value(&response.fields, "content-type") {
        put("http_content_type", kind.split(';').next().unwrap_or_default().trim_end().into());
    }
    match response.status.parse::<u16>() {
        Ok(status) => {
            put("status", status.into());
            if let Some(location) = value(&response.fields, "location").filter(|_| status / 100 == 3) {
                put("redirect", location.into());
            }
        }
        Err(_) if !response.status.is_empty() => {
            put("status_string", (*response.status).into());
        }
        Err(_) => {}
    }
    if let Some(range) = value(&response.fields, "content-range") {
        put("content_range", content_range(range));
    }
    fields
}

/// Host and port that a request is for.
fn authority(target: &str, method: &str, host: Option<&str>) -> (Option<String>, Option<u16>) {
    let in_target = target.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let authority = if method == "CONNECT" { Some(target) } else { in_target.or(host) };
    let Some(authority) = authority.map(str::trim).filter(|authority| !authority.is_empty()) else {
        return (None, None);
    };
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && !host.ends_with(':') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    (Some(host.to_lowercase()), port)
}

/// RFC 9110, 14.4.
fn content_range(raw: &str) -> Value {
    let mut fields = json!({"raw": raw});
    let Some((range, size)) = raw.trim_start_matches("bytes").trim().split_once('/') else { return fields };
    let (start, end) = range.split_once('-').unwrap_or_default();
    if let Some(map) = fields.as_object_mut() {
        for (key, text) in [("start", start), ("end", end), ("size", size)] {
            if let Ok(number) = text.trim().parse::<u64>() {
                map.insert(key.to_owned(), number.into());
            }
        }
    }
    fields
}

/// HTTP/2.
fn second(one: &HttpExchange, http2: &Http2) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("version", "2".into());
    let of = |settings: &[(u16, u32)], is_response: bool| {
        let mut side = Map::new();
        if !settings.is_empty() {
            side.insert("settings".to_owned(), settings.iter().map(setting).collect());
        }
        if let Some(error) = http2.error.filter(|_| is_response) {
            side.insert("error_code".to_owned(), error_name(error).into());
        }
        Value::Object(side)
    };
    let sides = json!({
        "stream_id": http2.stream,
        "request": of(&http2.client_settings, false),
        "response": of(&http2.server_settings, true),
    });
    put("http2", sides);
    let [of_client, of_server] = http2.table_sizes;
    let mut put_all = |key: &str, size: Option<u32>, list: &[Field]| {
        let updates = size.map(|size| json!({"table_size_update": size}));
        let list = list.iter().map(|field| json!({"name": &*field.name, "value": &*field.value}));
        put(key, updates.into_iter().chain(list).collect());
    };
    if let Some(request) = &one.request {
        put_all("request_headers", of_client, &request.fields);
    }
    if let Some(response) = &one.response {
        put_all("response_headers", of_server, &response.fields);
    }
    if let Some(request) = &one.request {
        put("http_method", (*request.method).into());
        put("url", (*request.target).into());
        if let Some(host) = value(&request.fields, ":authority").or_else(|| value(&request.fields, "host")) {
            put("hostname", host.into());
        }
        if let Some(agent) = value(&request.fields, "user-agent") {
            put("http_user_agent", agent.into());
        }
    }
    if let Some(response) = &one.response {
        fields.extend(of_response(response));
        let length = value(&response.fields, "content-length").and_then(|length| length.parse::<u64>().ok());
        if let Some(length) = length {
            fields.insert("length".to_owned(), length.into());
        }
    }
    fields
}

fn setting((id, value): &(u16, u32)) -> Value {
    let name = SETTINGS.iter().find(|(one, _)| one == id).map(|(_, name)| (*name).to_owned());
    json!({"settings_id": name.unwrap_or_else(|| format!("SETTINGSUNKNOWN({id})")), "settings_value": value})
}

/// RFC 9113, 7.
fn error_name(error: u32) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let name = usize::try_from(error).ok().and_then(|nth| NAMES.get(nth));
    name.map_or_else(|| error.to_string(), |name| (*name).to_owned())
}
