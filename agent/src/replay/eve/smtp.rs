//! EVE of smtp.

use sekimori_sensor::event::SmtpMail;

use super::Entry;

pub(super) fn entries(_one: &SmtpMail) -> Vec<Entry> {
    Vec::new()
}
