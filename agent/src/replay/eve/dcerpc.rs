//! EVE of dcerpc.

use sekimori_sensor::event::RpcCall;

use super::Entry;

pub(super) fn entries(_one: &RpcCall) -> Vec<Entry> {
    Vec::new()
}
