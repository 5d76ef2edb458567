//! MISP's JSON: one event, a list of events as its export gives them, or the attributes of a search.

use std::borrow::Cow;
use std::path::Path;

use sekimori_sensor::intel::{Feed, Kind};
use sekimori_wire::time::Timestamp;
use serde::Deserialize;

use super::{Import, Place, Reason, Row, kind_of, stem};

#[derive(Deserialize)]
struct Top<'a> {
    #[serde(rename = "Event", borrow)]
    event: Option<Event<'a>>,
    #[serde(borrow)]
    response: Option<Response<'a>>,
    #[serde(rename = "Attribute", borrow)]
    attributes: Option<Vec<Attribute<'a>>>,
}

/// Of a search: events or attributes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Response<'a> {
    #[serde(borrow)]
    Events(Vec<Top<'a>>),
    Attributes {
        #[serde(rename = "Attribute", borrow)]
        attributes: Vec<Attribute<'a>>,
    },
}

#[derive(Default, Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    info: Cow<'a, str>,
    #[serde(rename = "Orgc", borrow)]
    author: Option<Author<'a>>,
    #[serde(default)]
    timestamp: Option<Seconds>,
    #[serde(rename = "Attribute", borrow, default)]
    attributes: Vec<Attribute<'a>>,
    #[serde(rename = "Object", borrow, default)]
    objects: Vec<Object<'a>>,
}

#[derive(Deserialize)]
struct Author<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(rename = "Attribute", borrow, default)]
    attributes: Vec<Attribute<'a>>,
}

#[derive(Deserialize)]
struct Attribute<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    #[serde(default)]
    to_ids: Option<bool>,
    #[serde(default)]
    deleted: bool,
    #[serde(borrow, default)]
    comment: Cow<'a, str>,
    #[serde(borrow, default)]
    uuid: Cow<'a, str>,
}

/// Seconds since 1970, as a number or as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Number(seconds) => Some(Timestamp::from_secs(*seconds)),
            Self::Text(text) => text.parse().ok().map(Timestamp::from_secs),
        }
    }
}

pub(super) fn read(import: &mut Import, path: &Path, text: &str) -> Result<(), serde_json::Error> {
    let tops: Vec<Top<'_>> =
        if text.starts_with('[') { serde_json::from_str(text)? } else { vec![serde_json::from_str(text)?] };
    for top in tops {
        take_top(import, path, top);
    }
    Ok(())
}

fn take_top(import: &mut Import, path: &Path, top: Top<'_>) {
    let bare = |attributes| Event { attributes, ..Event::default() };
    let events = [top.event, top.attributes.map(bare)];
    for event in events.into_iter().flatten() {
        take_event(import, path, &event);
    }
    match top.response {
        None => {}
        Some(Response::Attributes { attributes }) => take_event(import, path, &bare(attributes)),
        Some(Response::Events(tops)) => {
            for top in tops {
                take_top(import, path, top);
            }
        }
    }
}

fn take_event(import: &mut Import, path: &Path, event: &Event<'_>) {
    let name = event.author.as_ref().map_or_else(|| stem(path), |author| author.name.clone().into_owned());
    let made = event.timestamp.as_ref().and_then(Seconds::at);
    let place = Place { path, at: &event.info };
    let Some(feed) = import.feed(place, Feed { made, ..Feed::named(&name) }) else { return };
    let objects = event.objects.iter().flat_map(|object| &object.attributes);
    for attribute in event.attributes.iter().chain(objects) {
        let place = Place { path, at: &attribute.uuid };
        let value = &*attribute.value;
        let reason = match (attribute.deleted, attribute.to_ids, kind_of(&attribute.kind)) {
            (true, _, _) => Reason::Revoked,
            (false, Some(false), _) => Reason::NotForDetection,
            (false, _, None) => Reason::Kind,
            (false, Some(true) | None, Some(kind)) => {
                let note = if attribute.comment.is_empty() { &event.info } else { &attribute.comment };
                // `domain|ip` and `ip-dst|port`: the first part is what is meant.
                let value = value.split('|').next().unwrap_or_default();
                let kind = if kind == Kind::Url && value.starts_with('/') { Kind::Path } else { kind };
                import.take(place, feed, &Row { kind, value, confidence: None, expires: None, note });
                continue;
            }
        };
        import.refuse(place, &name, value, reason);
    }
}
