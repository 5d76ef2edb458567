//! `conn.log`.

use sekimori_sensor::event::{FlowRecord, FlowRef};

use super::{Cell, Log, Row};

static CONN: Log = Log { name: "conn", fields: &[("conn_state", "string")] };

pub(super) fn rows(_flow: &FlowRef, record: &FlowRecord) -> Vec<Row> {
    vec![Row { log: &CONN, at: record.start, cells: vec![Cell::text(record.state.as_str())] }]
}
