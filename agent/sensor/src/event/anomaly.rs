//! Violations of a protocol, as Suricata's `anomaly` and Zeek's `weird` name them.

use super::Application;

/// Something that should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// Where it was noticed.
    pub layer: Layer,
    /// Whose rules were broken; `Unknown` below the application.
    pub application: Application,
    /// Suricata's event name where it has one (`decoder.ipv4.trunc_pkt`, `INVALID_RECORD_TYPE`), else ours in its manner.
    pub name: &'static str,
    /// The sender is the flow's originator.
    pub from_originator: bool,
}

/// Where an anomaly was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Decoding a frame.
    Decode,
    /// Following a TCP stream.
    Stream,
    /// Reading an application protocol.
    Application,
}
