//! EVE of ftp.

use sekimori_sensor::event::FtpCommand;

use super::Entry;

pub(super) fn entries(_one: &FtpCommand) -> Vec<Entry> {
    Vec::new()
}
