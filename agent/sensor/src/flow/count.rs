//! What a flow counts of each direction, in a quarter of the room of what it tells.

use crate::decode::Ip;
use crate::event::Volume;

/// One direction's share since the last time it was carried over: an attempt, or a few short packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    packets: u16,
    bytes: u16,
    wire_bytes: u16,
    payload_bytes: u16,
}

impl Tally {
    /// Counts a packet; false if there is no room for it: then nothing was counted.
    #[inline]
    pub(crate) fn add(&mut self, ip: &Ip<'_>, wire_bytes: u32) -> bool {
        let sum = |so_far: u16, more: u32| u16::try_from(u32::from(so_far).checked_add(more)?).ok();
        let sums = sum(self.packets, 1)
            .zip(sum(self.bytes, ip.bytes))
            .zip(sum(self.wire_bytes, wire_bytes))
            .zip(sum(self.payload_bytes, ip.payload_bytes));
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

/// One more packet.
pub(crate) fn plus_one(volume: Volume, ip: &Ip<'_>, wire_bytes: u32) -> Volume {
    Volume {
        packets: volume.packets.saturating_add(1),
        bytes: volume.bytes.saturating_add(ip.bytes.into()),
        wire_bytes: volume.wire_bytes.saturating_add(wire_bytes.into()),
        payload_bytes: volume.payload_bytes.saturating_add(ip.payload_bytes.into()),
    }
}
