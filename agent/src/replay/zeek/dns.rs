//! `dns.log`: a query and its response are one line.

use sekimori_sensor::event::{Dns, FlowRef};
use sekimori_wire::time::Timestamp;

use super::Row;

pub(super) fn rows(_at: Timestamp, _flow: &FlowRef, _dns: &Dns) -> Vec<Row> {
    Vec::new()
}
