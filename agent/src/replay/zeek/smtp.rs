//! `smtp.log`.

use sekimori_sensor::event::SmtpMail;
use sekimori_wire::time::Timestamp;

use super::Row;

pub(super) fn rows(_at: Timestamp, _one: &SmtpMail) -> Vec<Row> {
    Vec::new()
}
