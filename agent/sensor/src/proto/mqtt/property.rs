//! Properties of MQTT 5 (OASIS MQTT 5.0, 2.2.2).

use super::super::reader::Reader;
use super::packet::{lossy, text, variable};
use crate::event::mqtt::{MqttName, MqttProperty, MqttValue};

/// Properties of a packet that are kept; further ones are read over.
const PROPERTIES_MAX: usize = 32;

/// How a value is written.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Byte,
    Two,
    Four,
    Variable,
    Text,
    Secret,
}

/// Name and form of a property; none if the identifier is not assigned. A user property is none of these.
const fn property(identifier: u32) -> Option<(&'static str, Kind)> {
    Some(match identifier {
        1 => ("payload_format_indicator", Kind::Byte),
        2 => ("message_expiry_interval", Kind::Four),
        3 => ("content_type", Kind::Text),
        8 => ("response_topic", Kind::Text),
        9 => ("correlation_data", Kind::Text),
        11 => ("subscription_identifier", Kind::Variable),
        17 => ("session_expiry_interval", Kind::Four),
        18 => ("assigned_client_identifier", Kind::Text),
        19 => ("server_keep_alive", Kind::Two),
        21 => ("authentication_method", Kind::Text),
        22 => ("authentication_data", Kind::Secret),
        23 => ("request_problem_information", Kind::Byte),
        24 => ("will_delay_interval", Kind::Four),
        25 => ("request_response_information", Kind::Byte),
        26 => ("response_information", Kind::Text),
        28 => ("server_reference", Kind::Text),
        31 => ("reason_string", Kind::Text),
        33 => ("receive_maximum", Kind::Two),
        34 => ("topic_alias_maximum", Kind::Two),
        35 => ("topic_alias", Kind::Two),
        36 => ("maximum_qos", Kind::Byte),
        37 => ("retain_available", Kind::Byte),
        39 => ("maximum_packet_size", Kind::Four),
        40 => ("wildcard_subscription_available", Kind::Byte),
        41 => ("subscription_identifier_available", Kind::Byte),
        42 => ("shared_subscription_available", Kind::Byte),
        _ => return None,
    })
}

/// Identifier of a user property.
const USER: u32 = 38;

/// All properties of a packet; none if they are cut or broken.
pub(super) fn properties(reader: &mut Reader<'_>) -> Option<Vec<MqttProperty>> {
    let length = usize::try_from(variable(reader)?).ok()?;
    let mut inner = Reader(reader.take(length)?);
    let mut all = Vec::new();
    while !inner.0.is_empty() && all.len() < PROPERTIES_MAX {
        all.push(one(&mut inner)?);
    }
    Some(all)
}

fn one(reader: &mut Reader<'_>) -> Option<MqttProperty> {
    let identifier = variable(reader)?;
    if identifier == USER {
        let name = MqttName::User(text(reader)?);
        return Some(MqttProperty { name, value: MqttValue::Text(text(reader)?) });
    }
    let (name, kind) = property(identifier)?;
    let value = match kind {
        Kind::Byte => MqttValue::Number(reader.u8()?.into()),
        Kind::Two => MqttValue::Number(reader.u16()?.into()),
        Kind::Four => MqttValue::Number(reader.u32()?),
        Kind::Variable => MqttValue::Number(variable(reader)?),
        Kind::Text => MqttValue::Text(lossy(reader.vec16()?.0)),
        Kind::Secret => {
            let _secret = reader.vec16()?;
            MqttValue::Secret
        }
    };
    Some(MqttProperty { name: MqttName::Standard(name), value })
}
