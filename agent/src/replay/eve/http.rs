//! EVE of http.

use sekimori_sensor::event::HttpExchange;

use super::Entry;

pub(super) fn entries(_one: &HttpExchange) -> Vec<Entry> {
    Vec::new()
}
