//! What is read of SNMP v1, v2c, v3.

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnmpMessage {}
