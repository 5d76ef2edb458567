//! EVE of mqtt.

use sekimori_sensor::event::MqttMessage;

use super::Entry;

pub(super) fn entries(_one: &MqttMessage) -> Vec<Entry> {
    Vec::new()
}
