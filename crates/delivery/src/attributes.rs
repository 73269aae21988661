//! Delivery attributes: headers that a subscription adds to its deliveries.
//! Source: "Custom delivery properties".

use std::collections::BTreeMap;

use foretell_types::limits::ATTRIBUTE_BYTES;
use foretell_types::{Data, ExtensionValue, RecordedEvent, eventgrid};
use serde_json::value::RawValue;

/// What a header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HeaderSource {
    Static(String),
    /// A field of the event: an attribute of either schema, an extension, or `data.x.y`.
    Dynamic(String),
}

/// Header names with what they say.
pub(crate) type Headers = Vec<(String, HeaderSource)>;

/// What the headers say with an event; one whose field is missing, or can't be a header, is left
/// out.
pub(crate) fn values<'a>(
    headers: &'a Headers,
    event: &RecordedEvent,
) -> impl Iterator<Item = (&'a str, String)> {
    headers.iter().filter_map(|(name, source)| {
        let value = match source {
            HeaderSource::Static(value) => value.clone(),
            HeaderSource::Dynamic(path) => field(event, path)?,
        };
        let fits =
            value.len() <= ATTRIBUTE_BYTES && value.chars().all(|c| (' '..='~').contains(&c));
        fits.then_some((name.as_str(), value))
    })
}

fn field(event: &RecordedEvent, path: &str) -> Option<String> {
    if let Some((data, path)) = path.split_once('.')
        && data.eq_ignore_ascii_case("data")
    {
        let Data::Json(json) = &event.data else {
            return None;
        };
        return in_json(json, path);
    }
    let name = path.to_ascii_lowercase();
    Some(match name.as_str() {
        "id" => event.id.clone(),
        "source" | "topic" => event.source.clone(),
        "subject" => event.subject.clone()?,
        "type" | "eventtype" => event.event_type.clone(),
        "time" | "eventtime" => event.time?.to_string(),
        "specversion" => "1.0".to_owned(),
        "datacontenttype" => event.datacontenttype.clone()?,
        "dataschema" => event.dataschema.clone()?,
        "dataversion" => event.extension_str(eventgrid::DATA_VERSION)?.to_owned(),
        name => match event.extension(name)? {
            ExtensionValue::String(text) => text.clone(),
            ExtensionValue::Integer(number) => number.to_string(),
            ExtensionValue::Boolean(value) => value.to_string(),
        },
    })
}

/// A string, number or boolean of JSON; a number as it was written.
fn in_json(json: &str, path: &str) -> Option<String> {
    let mut at: &str = json;
    for name in path.split('.') {
        let object: BTreeMap<String, &RawValue> = serde_json::from_str(at).ok()?;
        at = object.get(name)?.get();
    }
    match at.chars().next()? {
        '"' => serde_json::from_str(at).ok(),
        '-' | '0'..='9' | 't' | 'f' => Some(at.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretell_types::{Instant, NewEvent, Position};

    #[test]
    fn fields_of_an_event() {
        let json =
            r#"{"a":{"b":12.50,"c":"ü","d":null,"e":[1]},"s":"x \"y\"","t":true,"A":"other"}"#;
        let mut event = NewEvent {
            id: "1".into(),
            source: "/till".into(),
            event_type: "order.placed".into(),
            data: Data::Json(json.into()),
            ..NewEvent::default()
        };
        event.set_extension("size", ExtensionValue::Integer(7));
        let event = RecordedEvent {
            event,
            position: Position::FIRST,
            revision: None,
            recorded_time: Instant::from_nanos(0),
            erased: false,
        };
        for (path, value) in [
            ("id", Some("1")),
            ("Topic", Some("/till")),
            ("source", Some("/till")),
            ("EventType", Some("order.placed")),
            ("type", Some("order.placed")),
            ("subject", None),
            ("time", None),
            ("dataVersion", None),
            ("specversion", Some("1.0")),
            ("size", Some("7")),
            ("nothing", None),
            ("data.a.b", Some("12.50")),
            ("Data.s", Some("x \"y\"")),
            ("data.t", Some("true")),
            ("data.A", Some("other")),
            ("data.a.c", None),
            ("data.a.d", None),
            ("data.a.e", None),
            ("data.a", None),
            ("data.a.b.c", None),
            ("data", None),
            ("data.", None),
        ] {
            let headers = vec![("x".to_owned(), HeaderSource::Dynamic(path.to_owned()))];
            let found = values(&headers, &event).next().map(|(_, value)| value);
            assert_eq!(found.as_deref(), value, "{path}");
        }
    }
}
