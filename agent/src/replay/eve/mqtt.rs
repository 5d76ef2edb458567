//! EVE of mqtt.

use sekimori_sensor::event::MqttMessage;
use sekimori_sensor::event::mqtt::{
    MqttBody, MqttConnect, MqttKind, MqttName, MqttPacket, MqttProperty, MqttValue,
};
use serde_json::{Map, Value, json};

use super::Entry;

pub(super) fn entries(one: &MqttMessage) -> Vec<Entry> {
    let fields = one.packets.iter().map(|packet| (packet.kind.as_str().to_owned(), fields(packet)));
    vec![Entry::new("mqtt", true, Value::Object(fields.collect()))]
}

fn fields(packet: &MqttPacket) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("qos", packet.qos().into());
    put("retain", packet.retain().into());
    put("dup", packet.dup().into());
    let properties = match &packet.body {
        MqttBody::Connect(one) => return Value::Object(connect(one, map)),
        MqttBody::Connack { session_present, code, properties } => {
            put("session_present", (*session_present).into());
            put("return_code", (*code).into());
            properties
        }
        MqttBody::Publish { topic, id, message_bytes: _, properties } => {
            put("topic", (**topic).into());
            if let Some(id) = id {
                put("message_id", (*id).into());
            }
            properties
        }
        MqttBody::Acknowledge { id, code, properties } => {
            put("message_id", (*id).into());
            if let Some(code) = code {
                put("reason_code", (*code).into());
            }
            properties
        }
        MqttBody::Subscribe { id, topics, properties } => {
            put("message_id", (*id).into());
            let topics = topics.iter().map(|(topic, qos)| json!({"topic": **topic, "qos": qos}));
            put("topics", topics.collect());
            properties
        }
        MqttBody::Unsubscribe { id, topics, properties } => {
            put("message_id", (*id).into());
            put("topics", topics.iter().map(|topic| &**topic).collect());
            properties
        }
        MqttBody::Codes { id, codes, properties } => {
            put("message_id", (*id).into());
            if packet.kind == MqttKind::Suback {
                put("qos_granted", codes.clone().into());
            } else if !codes.is_empty() {
                put("reason_codes", codes.clone().into());
            }
            properties
        }
        MqttBody::Reason { code, properties } => {
            if let Some(code) = code {
                put("reason_code", (*code).into());
            }
            properties
        }
        MqttBody::Empty => return Value::Object(map),
        MqttBody::Skipped { bytes } => {
            put("truncated", true.into());
            put("skipped_length", (*bytes).into());
            return Value::Object(map);
        }
    };
    if !properties.is_empty() {
        put("properties", of_properties(properties));
    }
    Value::Object(map)
}

fn connect(one: &MqttConnect, mut map: Map<String, Value>) -> Map<String, Value> {
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("protocol_string", (*one.protocol).into());
    put("protocol_version", one.version.into());
    put(
        "flags",
        json!({
            "username": one.has_username(),
            "password": one.has_password(),
            "will": one.has_will(),
            "will_retain": one.will_retain(),
            "clean_session": one.clean_session(),
        }),
    );
    put("client_id", (*one.client_id).into());
    if let Some(topic) = &one.will_topic {
        let mut will = Map::new();
        will.insert("topic".to_owned(), (**topic).into());
        if !one.will_properties.is_empty() {
            will.insert("properties".to_owned(), of_properties(&one.will_properties));
        }
        put("will", Value::Object(will));
    }
    if let Some(name) = &one.username {
        put("username", (**name).into());
    }
    if !one.properties.is_empty() {
        put("properties", of_properties(&one.properties));
    }
    map
}

/// By name; a secret's value is left out with its name.
fn of_properties(properties: &[MqttProperty]) -> Value {
    let mut map = Map::new();
    for property in properties {
        let name = match &property.name {
            MqttName::Standard(name) => name,
            MqttName::User(name) => &**name,
        };
        let value = match &property.value {
            MqttValue::Number(number) => (*number).into(),
            MqttValue::Text(text) => (**text).into(),
            MqttValue::Secret => continue,
        };
        map.insert(name.to_owned(), value);
    }
    Value::Object(map)
}
