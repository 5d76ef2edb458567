//! What is read of MQTT 3 and 5.

/// A control packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MqttMessage {}
