//! EVE of sip.

use sekimori_sensor::event::{SipMessage, SipStart};
use serde_json::json;

use super::Entry;

pub(super) fn entries(one: &SipMessage) -> Vec<Entry> {
    let fields = match &one.start {
        SipStart::Request { method, uri } => {
            json!({"method": &**method, "uri": &**uri, "version": &*one.version, "request_line": &*one.line})
        }
        SipStart::Response { code, reason } => {
            json!({"version": &*one.version, "code": &**code, "reason": &**reason, "response_line": &*one.line})
        }
    };
    vec![Entry::new("sip", one.from_originator, fields)]
}
