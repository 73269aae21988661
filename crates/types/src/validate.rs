use crate::limits::{
    ATTRIBUTE_BYTES, EVENT_BYTES, EXTENSION_NAME_BYTES, EXTENSIONS, TAGS_PER_EVENT,
};
use crate::{Error, ErrorKind, ExtensionValue, NewEvent, Result, Timestamp};

/// The extension attribute that holds an event's tags, separated by spaces.
pub const TAGS: &str = "tags";

/// The extension attribute that holds the known time that an import declared (RFC 3339).
pub const KNOWN_TIME: &str = "knowntime";

/// The extension attribute with the time before which an event is not delivered (RFC 3339).
pub const NOT_BEFORE: &str = "notbefore";

/// Attributes that are added when reading and that no publisher may send.
pub const RESERVED_ATTRIBUTES: [&str; 5] =
    ["position", "revision", "recordedtime", "erased", KNOWN_TIME];

/// Checks an event against CloudEvents 1.0 (sections 3.1, 3.2) and the limits. Reserved names
/// are the reader's to refuse: an import may declare a known time.
pub fn validate(event: &NewEvent) -> Result<()> {
    required("id", &event.id)?;
    required("source", &event.source)?;
    required("type", &event.event_type)?;
    if event.source.contains(char::is_whitespace) {
        return Err(Error::invalid(format!(
            "source {:?} is not a URI reference: it holds white space",
            event.source
        )));
    }
    for (name, value) in [
        ("subject", &event.subject),
        ("datacontenttype", &event.datacontenttype),
        ("dataschema", &event.dataschema),
    ] {
        if let Some(value) = value {
            required(name, value)?;
        }
    }
    validate_extensions(event)?;
    if event.data.len() > EVENT_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "the data has {} bytes: at most {EVENT_BYTES} are allowed",
                event.data.len()
            ),
        ));
    }
    Ok(())
}

fn validate_extensions(event: &NewEvent) -> Result<()> {
    if event.extensions.is_empty() {
        return Ok(());
    }
    if event.extensions.len() > EXTENSIONS {
        return Err(Error::invalid(format!(
            "the event has {} extension attributes: at most {EXTENSIONS} are allowed",
            event.extensions.len()
        )));
    }
    if let Some(pair) = event
        .extensions
        .windows(2)
        .find(|pair| pair[0].0 >= pair[1].0)
    {
        return Err(Error::invalid(format!(
            "extension attribute {:?} is there twice",
            pair[1].0
        )));
    }
    for (name, value) in &event.extensions {
        validate_extension_name(name)?;
        if let ExtensionValue::String(text) = value {
            bounded(name, text)?;
        }
    }
    if let Some(tags) = event.extension(TAGS) {
        validate_tags(tags)?;
    }
    for name in [KNOWN_TIME, NOT_BEFORE] {
        if let Some(time) = event.extension(name) {
            let ExtensionValue::String(text) = time else {
                return Err(Error::invalid(format!(
                    "{name} must be a string that holds a time, such as 2024-05-01T12:30:00Z"
                )));
            };
            text.parse::<Timestamp>()
                .map_err(|error| error.context(name))?;
        }
    }
    Ok(())
}

fn validate_tags(tags: &ExtensionValue) -> Result<()> {
    let ExtensionValue::String(text) = tags else {
        return Err(Error::invalid(
            "tags must be a string: tags separated by single spaces",
        ));
    };
    let mut seen: Vec<&str> = text.split(' ').collect();
    if seen.iter().any(|tag| tag.is_empty()) {
        return Err(Error::invalid(format!(
            "tags {text:?} hold an empty tag: separate tags by single spaces"
        )));
    }
    if seen.len() > TAGS_PER_EVENT {
        return Err(Error::invalid(format!(
            "the event has {} tags: at most {TAGS_PER_EVENT} are allowed",
            seen.len()
        )));
    }
    seen.sort_unstable();
    match seen.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::invalid(format!("tag {:?} is there twice", pair[0]))),
        None => Ok(()),
    }
}

fn required(name: &str, value: &str) -> Result<()> {
    if value.is_empty() {
        return Err(Error::invalid(format!(
            "{name} is empty: a non-empty string is needed"
        )));
    }
    bounded(name, value)
}

fn bounded(name: &str, value: &str) -> Result<()> {
    if value.len() > ATTRIBUTE_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "{name} has {} bytes: at most {ATTRIBUTE_BYTES} are allowed",
                value.len()
            ),
        ));
    }
    // CloudEvents 1.0.2, section 3.1.1: control characters are not allowed in strings.
    // All are looked at, whatever is found: so the processor looks at many at once.
    let is_control = |byte: u8| (byte < 0x20) | (byte == 0x7f);
    if value
        .bytes()
        .fold(false, |any, byte| any | is_control(byte))
    {
        return Err(Error::invalid(format!(
            "{name} {value:?} holds a control character"
        )));
    }
    Ok(())
}

/// Checks the name of an extension attribute: lower-case letters and digits, none of the names
/// that CloudEvents itself uses.
pub fn validate_extension_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.is_empty() || name.len() > EXTENSION_NAME_BYTES || !name.bytes().all(allowed) {
        let shown: String = name.chars().take(EXTENSION_NAME_BYTES).collect();
        return Err(Error::invalid(format!(
            "{shown:?} is not the name of a CloudEvents attribute: 1 to {EXTENSION_NAME_BYTES} lower-case letters and digits are allowed"
        )));
    }
    if matches!(
        name,
        "id" | "source"
            | "type"
            | "specversion"
            | "subject"
            | "time"
            | "datacontenttype"
            | "dataschema"
            | "data"
    ) {
        return Err(Error::invalid(format!(
            "{name:?} can't be the name of an extension"
        )));
    }
    Ok(())
}
