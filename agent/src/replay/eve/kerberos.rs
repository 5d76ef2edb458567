//! EVE of krb5: one record for a request, one for its reply.

use sekimori_sensor::event::kerberos::{
    KerberosExchange, KerberosKind, KerberosReply, KerberosRequest, encryption_name, error_name, is_weak,
};
use serde_json::{Value, json};

use super::Entry;

pub(super) fn entries(exchange: &KerberosExchange) -> Vec<Entry> {
    let from_originator = exchange.from_originator;
    let request = exchange.request.as_ref().map(|one| Entry::new("krb5", from_originator, request(one)));
    let asked = exchange.request.as_ref().map(|one| one.kind);
    let reply = exchange.reply.as_ref().map(|one| Entry::new("krb5", !from_originator, reply(one, asked)));
    request.into_iter().chain(reply).collect()
}

fn request(one: &KerberosRequest) -> Value {
    json!({
        "msg_type": request_name(one.kind),
        "cname": or_empty(one.client.as_deref()),
        "realm": or_empty(one.realm.as_deref()),
        "sname": or_empty(one.service.as_deref()),
        "encryption": "<none>",
        "weak_encryption": false,
    })
}

fn reply(one: &KerberosReply, asked: Option<KerberosKind>) -> Value {
    let mut fields = json!({
        "msg_type": match one.kind {
            Some(KerberosKind::As) => "KRB_AS_REP",
            Some(KerberosKind::Tgs) => "KRB_TGS_REP",
            None => "KRB_ERROR",
        },
        "cname": or_empty(one.client.as_deref()),
        "realm": or_empty(one.realm.as_deref()),
        "sname": or_empty(one.service.as_deref()),
        "encryption": one.encryption.map_or_else(|| "<none>".to_owned(), encryption),
        "weak_encryption": one.encryption.is_some_and(is_weak),
    });
    let Some(map) = fields.as_object_mut() else { return fields };
    if let Some(kind) = one.ticket_encryption {
        map.insert("ticket_encryption".to_owned(), encryption(kind).into());
        map.insert("ticket_weak_encryption".to_owned(), is_weak(kind).into());
    }
    if let Some(code) = one.error {
        let name = error_name(code).map_or_else(|| code.to_string(), str::to_owned);
        map.insert("error_code".to_owned(), name.into());
        let failed = asked.map_or("UNKNOWN", request_name);
        map.insert("failed_request".to_owned(), failed.into());
    }
    fields
}

const fn request_name(kind: KerberosKind) -> &'static str {
    match kind {
        KerberosKind::As => "KRB_AS_REQ",
        KerberosKind::Tgs => "KRB_TGS_REQ",
    }
}

fn or_empty(text: Option<&str>) -> &str {
    text.unwrap_or("<empty>")
}

fn encryption(number: i32) -> String {
    encryption_name(number).map_or_else(|| number.to_string(), str::to_owned)
}
