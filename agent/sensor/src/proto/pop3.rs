//! POP3 (RFC 1939).

use super::Recogniser;

pub(super) const STREAM: &[Recogniser] = &[];
pub(super) const DATAGRAM: &[Recogniser] = &[];

/// State of a connection.
#[derive(Debug, Default)]
pub(crate) struct Parser;

impl super::Parser for Parser {}
