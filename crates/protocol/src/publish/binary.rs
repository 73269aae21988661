//! The binary content mode of CloudEvents over HTTP: attributes in headers, data in the body.
//! Source: CloudEvents "HTTP Protocol Binding" 1.0.2, section 3.1.

use std::borrow::Cow;

use foretell_types::cloudevents::is_json;
use foretell_types::limits::EVENT_BYTES;
use foretell_types::{
    Data, Error, ExtensionValue, NewEvent, RESERVED_ATTRIBUTES, Result, Timestamp, compact_json,
    validate,
};
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

use super::content_type::ContentType;
use super::too_large;

/// Reads one event; `Content-Type` is its `datacontenttype`.
pub(super) fn read(
    headers: &HeaderMap,
    content_type: Option<&ContentType>,
    body: &[u8],
) -> Result<NewEvent> {
    let mut event = NewEvent::default();
    let mut size = body.len();
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else {
            continue;
        };
        let mut values = headers.get_all(name).iter();
        let bytes = values.next().map_or(&b""[..], |value| value.as_bytes());
        if values.next().is_some() {
            return Err(Error::invalid(format!("header '{name}' is there twice")));
        }
        size += attribute.len() + bytes.len();
        set(&mut event, attribute, decode(name.as_str(), bytes)?)?;
    }
    if size > EVENT_BYTES {
        return Err(too_large(format_args!(
            "the event has {size} bytes: at most {EVENT_BYTES} are allowed"
        )));
    }
    for (name, value) in [
        ("ce-id", &event.id),
        ("ce-source", &event.source),
        ("ce-type", &event.event_type),
    ] {
        if value.is_empty() {
            return Err(Error::invalid(format!(
                "required header '{name}' is missing"
            )));
        }
    }
    event.extensions.sort_by(|a, b| a.0.cmp(&b.0));
    event.datacontenttype = content_type.map(|content| content.text().to_owned());
    event.data = data(content_type, body)?;
    validate(&event)?;
    Ok(event)
}

fn set(event: &mut NewEvent, attribute: &str, value: String) -> Result<()> {
    match attribute {
        "specversion" if value == "1.0" => {}
        "specversion" => {
            return Err(Error::invalid(format!(
                "header 'ce-specversion' is {value:?}: expected 1.0"
            )));
        }
        "id" => event.id = value,
        "source" => event.source = value,
        "type" => event.event_type = value,
        "subject" => event.subject = Some(value),
        "time" => {
            let time = value.parse::<Timestamp>();
            event.time = Some(time.map_err(|error| error.context("header 'ce-time'"))?);
        }
        "dataschema" => event.dataschema = Some(value),
        "datacontenttype" => {
            return Err(Error::invalid(
                "header 'ce-datacontenttype' is not allowed: Content-Type says it",
            ));
        }
        name if RESERVED_ATTRIBUTES.contains(&name) => {
            return Err(Error::invalid(format!(
                "header 'ce-{name}' is reserved: it is added when reading, leave it out"
            )));
        }
        name => event
            .extensions
            .push((name.to_owned(), ExtensionValue::String(value))),
    }
    Ok(())
}

/// Unquotes, then decodes one round of percent-encoding (section 3.1.3.2).
///
/// Bytes that aren't UTF-8 are read as Latin-1: Python's `http.client` sends text up to U+00FF so.
fn decode(name: &str, bytes: &[u8]) -> Result<String> {
    let text: Cow<'_, str> = match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let text = unquote(text.trim());
    percent_decode_str(&text)
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| {
            Error::invalid(format!(
                "header '{name}' holds percent-encoded bytes that are not UTF-8"
            ))
        })
}

/// A quoted string without its quotes and backslashes (RFC 9110, section 5.6.4).
fn unquote(text: &str) -> Cow<'_, str> {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        None => Cow::Borrowed(text),
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        Some(inner) => {
            let mut out = String::with_capacity(inner.len());
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                out.extend(if c == '\\' { chars.next() } else { Some(c) });
            }
            Cow::Owned(out)
        }
    }
}

/// The body as data. Without a content type, what is JSON is taken as JSON: the Python SDK of
/// CloudEvents 2.x sends none where `datacontenttype` is unset.
fn data(content_type: Option<&ContentType>, body: &[u8]) -> Result<Data> {
    if body.is_empty() {
        return Ok(Data::None);
    }
    let Some(content) = content_type else {
        return match json(body) {
            Ok(raw) => Ok(Data::Json(compact_json(raw.get())?.into_owned())),
            Err(_) => Ok(Data::Binary(body.to_vec())),
        };
    };
    if is_json(Some(content.media())) {
        if let Some(charset) = content.foreign_charset() {
            return Err(Error::invalid(format!(
                "charset {charset:?} is not supported for JSON: send UTF-8"
            )));
        }
        let raw = json(body).map_err(|error| {
            Error::invalid(format!(
                "the body is not JSON, which Content-Type says it is: {error}"
            ))
        })?;
        return Ok(Data::Json(compact_json(raw.get())?.into_owned()));
    }
    if content.media().starts_with("text/")
        && content.foreign_charset().is_none()
        && let Ok(text) = std::str::from_utf8(body)
    {
        return Ok(Data::Text(text.to_owned()));
    }
    Ok(Data::Binary(body.to_vec()))
}

fn json(body: &[u8]) -> serde_json::Result<&RawValue> {
    serde_json::from_slice(body)
}
