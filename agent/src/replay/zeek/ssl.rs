//! `ssl.log` and `x509.log`.

use sekimori_sensor::event::{QuicHello, TlsConnection};
use sekimori_wire::time::Timestamp;

use super::Row;

pub(super) fn rows(_at: Timestamp, _one: &TlsConnection) -> Vec<Row> {
    Vec::new()
}

pub(super) fn of_quic(_at: Timestamp, _one: &QuicHello) -> Vec<Row> {
    Vec::new()
}
