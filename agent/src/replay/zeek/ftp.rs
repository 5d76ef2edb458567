//! `ftp.log`.

use sekimori_sensor::event::FtpCommand;
use sekimori_wire::time::Timestamp;

use super::Row;

pub(super) fn rows(_at: Timestamp, _one: &FtpCommand) -> Vec<Row> {
    Vec::new()
}
