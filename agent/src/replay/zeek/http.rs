//! `http.log`.

use sekimori_sensor::event::HttpExchange;
use sekimori_wire::time::Timestamp;

use super::Row;

pub(super) fn rows(_at: Timestamp, _one: &HttpExchange) -> Vec<Row> {
    Vec::new()
}
