//! Protocols that are recognised and not read.

use super::Recogniser;

pub(super) const STREAM: &[Recogniser] = &[];
pub(super) const DATAGRAM: &[Recogniser] = &[];
