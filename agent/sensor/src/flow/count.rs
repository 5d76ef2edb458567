//! What a flow counts of each direction, in half the room of what it tells.

use crate::decode::Ip;
use crate::event::Volume;

/// One direction's share since the last time it was taken or carried over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    packets: u32,
    bytes: u32,
    wire_bytes: u32,
    payload_bytes: u32,
}

impl Tally {
    /// Counts a packet; false if there is no room for it: then nothing was counted.
    pub(crate) fn add(&mut self, ip: &Ip<'_>, wire_bytes: u32) -> bool {
        let sums = self
            .packets
            .checked_add(1)
            .zip(self.bytes.checked_add(ip.bytes))
            .zip(self.wire_bytes.checked_add(wire_bytes))
            .zip(self.payload_bytes.checked_add(ip.payload_bytes));
        let Some((((packets, bytes), wire_bytes), payload_bytes)) = sums else { return false };
        *self = Self { packets, bytes, wire_bytes, payload_bytes };
        true
    }

    /// With what was carried over.
    pub(crate) fn on_top_of(self, volume: Volume) -> Volume {
        Volume {
            packets: volume.packets.saturating_add(self.packets.into()),
            bytes: volume.bytes.saturating_add(self.bytes.into()),
            wire_bytes: volume.wire_bytes.saturating_add(self.wire_bytes.into()),
            payload_bytes: volume.payload_bytes.saturating_add(self.payload_bytes.into()),
        }
    }
}
